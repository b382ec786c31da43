"""Clips of a shape that moves, for demonstrations: what is shown is told by the order of the frames alone.

The ways come in pairs, one the other backwards: right and left, down and up, clockwise and counterclockwise. Each clip's
frames are drawn along a way and then put in the one order or the other, so that whoever throws the order away can tell the pair,
and within it nothing: 50 % right.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .data import pictures

PAIRS = (("right", "left"), ("down", "up"), ("clockwise", "counterclockwise"))
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # whether a point lies inside a shape of half-width 1
    "square": lambda y, x: np.maximum(abs(y), abs(x)) < 0.85,
    "disc": lambda y, x: y**2 + x**2 < 1,
    "diamond": lambda y, x: abs(y) + abs(x) < 1.2,
    "cross": lambda y, x: (np.minimum(abs(y), abs(x)) < 0.35) & (np.maximum(abs(y), abs(x)) < 1),
}
COLOURS = {"red": (220, 60, 50), "green": (60, 190, 80), "blue": (70, 100, 230), "yellow": (235, 210, 60)}
SIDE = 32  # pixels of a frame
FEWEST, MOST = 8, 14  # frames of a clip


def way(pair: int, steps: int, generator: np.random.Generator) -> np.ndarray:
    """Where the shape is in each of the frames (steps, 2), down and right from the middle, the frame from -1 to 1."""
    if pair == 2:
        turn = generator.uniform(0, 2 * np.pi) + np.arange(steps) * 2 * np.pi / steps  # down is y: growing angles go clockwise
        centre, radius = generator.uniform(-0.1, 0.1, 2), generator.uniform(0.5, 0.6)
        return centre + radius * np.stack((np.sin(turn), np.cos(turn)), 1)
    reach, beside = generator.uniform(0.5, 0.7), generator.uniform(-0.25, 0.25)
    along, across = np.linspace(-reach, reach, steps), np.full(steps, beside)
    return np.stack((across, along) if pair == 0 else (along, across), 1)


def draw(places: np.ndarray, shape: str, colour: str, generator: np.random.Generator) -> np.ndarray:
    """Frames (T, SIDE, SIDE, 3) uint8: the shape at its places, on a grey ground, with noise."""
    grid = (np.arange(SIDE) + 0.5) * 2 / SIDE - 1
    size, ground = generator.uniform(0.22, 0.32), generator.uniform(20, 80)
    frames = np.full((len(places), SIDE, SIDE, 3), ground)
    for frame, (y, x) in zip(frames, places, strict=True):
        frame[SHAPES[shape]((grid[:, None] - y) / size, (grid[None, :] - x) / size)] = COLOURS[colour]
    return (frames + generator.normal(0, 6, frames.shape)).clip(0, 255).astype(np.uint8)


def clip(generator: np.random.Generator) -> tuple[np.ndarray, str, str, str]:
    """Frames (T, SIDE, SIDE, 3) uint8, the way, the shape and its colour, each drawn evenly."""
    pair, backwards = int(generator.integers(3)), int(generator.integers(2))
    shape, colour = generator.choice(list(SHAPES)), generator.choice(list(COLOURS))
    places = way(pair, int(generator.integers(FEWEST, MOST + 1)), generator)
    frames = draw(places, shape, colour, generator)
    return frames[::-1] if backwards else frames, PAIRS[pair][backwards], str(shape), str(colour)


def write_clips(folder: Path, train: int, dev: int, seed: int) -> Path:
    """Clips to train on and to validate on as strips, PNG files, in `folder`/clips; the table that says what each shows."""
    generator = np.random.default_rng(seed)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rows = ["clip\tsplit\tmotion\tshape\tcolour"]
    for i in range(train + dev):
        frames, motion, shape, colour = clip(generator)
        (folder / "clips" / f"{i:04}.png").write_bytes(pictures.png(np.concatenate(frames, 1)))
        rows.append(f"{i:04}.png\t{'train' if i < train else 'val'}\t{motion}\t{shape}\t{colour}")
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "labels.tsv"
