"""Pictures of coloured shapes, drawn by code, and sentences that say what stands where."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIZE = 64  # pixels a side
COLOURS = {
    "red": (205, 40, 45), "green": (40, 150, 60), "blue": (45, 75, 200), "yellow": (225, 200, 40), "purple": (135, 50, 165),
    "white": (245, 245, 245),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross", "ring")
APART = 22  # pixels between middles, at least
CLEAR = 16  # pixels by which two shapes stand more beside than above one another, or the other way round


class Drawn(NamedTuple):
    pixels: np.ndarray  # (SIZE, SIZE, 3) of uint8
    caption: str
    regions: dict[str, list[float]]  # where what the caption names is, in parts of the sides


def draw(random: np.random.Generator) -> Drawn:
    """A picture of one shape (a fifth of all) or two, told from left to right, or from top to bottom."""
    middles = _middles(random)
    chosen: list[tuple[str, str]] = []
    while len(chosen) < len(middles):
        pair = str(random.choice(list(COLOURS))), str(random.choice(SHAPES))
        if pair not in chosen:
            chosen.append(pair)
    pixels = np.full((SIZE, SIZE, 3), random.uniform(60, 130, 3)) + random.normal(0, 6, (SIZE, SIZE, 3))
    regions = {}
    for (colour, shape), (x, y) in zip(chosen, middles, strict=True):
        radius = random.uniform(7, 10)
        cover = _cover(shape, x, y, radius)[:, :, None]
        pixels = pixels * (1 - cover) + cover * (np.array(COLOURS[colour]) + random.uniform(-15, 15, 3))
        regions[f"{colour} {shape}"] = [float(side / SIZE) for side in (x - radius, y - radius, x + radius, y + radius)]
    names = [f"a {colour} {shape}" for colour, shape in chosen]
    if len(names) == 2:
        across = abs(middles[0][0] - middles[1][0]) > abs(middles[0][1] - middles[1][1])
        names.insert(1, "left of" if across else "above")
    return Drawn(pixels.clip(0, 255).round().astype(np.uint8), " ".join(names), regions)


def _middles(random: np.random.Generator) -> list[tuple[float, float]]:
    """Where shapes stand: the left one first, or the upper one, and clearly so."""
    if random.random() < 0.2:
        return [tuple(random.uniform(11, SIZE - 11, 2).tolist())]
    while True:
        a, b = random.uniform(11, SIZE - 11, (2, 2))
        x, y = np.abs(a - b)
        if max(x, y) > APART and abs(x - y) > CLEAR:
            axis = 0 if x > y else 1
            return [tuple(one.tolist()) for one in sorted((a, b), key=lambda one: one[axis])]


def _cover(shape: str, x: float, y: float, radius: float) -> np.ndarray:
    """How much of each pixel a shape covers, (SIZE, SIZE): the mean of three times three points in it."""
    fine = (np.arange(SIZE * 3) + 0.5) / 3
    u, v = (fine[None, :] - x) / radius, (fine[:, None] - y) / radius  # -1 to 1 inside
    inside = {
        "circle": u**2 + v**2 < 1,
        "square": (np.abs(u) < 0.85) & (np.abs(v) < 0.85),
        "triangle": (v < 0.85) & (np.abs(u) < (v + 1) / 1.85),
        "cross": (np.abs(u) < 0.3) & (np.abs(v) < 1) | (np.abs(v) < 0.3) & (np.abs(u) < 1),
        "ring": (u**2 + v**2 < 1) & (u**2 + v**2 > 0.3),
    }[shape]
    return inside.reshape(SIZE, 3, SIZE, 3).mean((1, 3))
