"""Plucked strings by Karplus and Strong's method (1983, Computer Music Journal 7:2), for demonstrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .data import sound

RATE = 8_000
SCALE = (0, 2, 4, 7, 9, 12)  # semitones above the lowest string: a pentatonic scale
LOWEST = 196.0  # hertz


def pluck(hertz: float, seconds: float, rate: int, generator: np.random.Generator, damping: float = 0.996) -> np.ndarray:
    """One note: noise as long as a period p, again and again through a mean: y_t = damping (y_{t-p} + y_{t-p-1}) / 2."""
    period, size = round(rate / hertz - 0.5), round(seconds * rate)
    made = np.zeros(size + period + 1)
    made[1 : period + 1] = generator.uniform(-1, 1, period)
    for begin in range(period + 1, len(made), period):  # a whole period rests on the one before it
        end = min(begin + period, len(made))
        made[begin:end] = damping * 0.5 * (made[begin - period : end - period] + made[begin - period - 1 : end - period - 1])
    return made[-size:]


def melody(seconds: float, rate: int, seed: int) -> np.ndarray:
    """Notes drawn from a scale, five a second, each sounding on into the next ones: float32, peak 0.7."""
    generator = np.random.default_rng(seed)
    made = np.zeros(round(seconds * rate))
    for begin in range(0, len(made), round(0.2 * rate)):
        note = LOWEST * 2 ** (generator.choice(SCALE) / 12)
        played = pluck(note, min(1.2, (len(made) - begin) / rate), rate, generator)
        made[begin : begin + len(played)] += played * generator.uniform(0.5, 1)
    return (0.7 * made / np.abs(made).max()).astype(np.float32)


def write_sounds(folder: Path, seed: int) -> None:
    """Fifteen seconds of it in three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(3):
        sound.write(folder / f"plucked-{i + 1}.wav", melody(5.0, RATE, seed + i), RATE)
