"""Mu-law: 16 bits of sound as 256 levels, fine ones for what is soft (ITU-T G.711's curve, as van den Oord et al. 2016 use it).

f(x) = sign(x) ln(1 + 255 |x|) / ln 256,   level = round(255 (f(x) + 1) / 2)          x from -1 to 1
"""

from __future__ import annotations

import numpy as np

LEVELS = 256
SILENCE = LEVELS // 2  # the level of 0


def levels(samples: np.ndarray) -> np.ndarray:
    """Samples (…), full scale 1 -> levels (…), uint8; what is louder than full scale is clipped."""
    x = np.clip(samples, -1, 1)
    curved = np.sign(x) * np.log1p((LEVELS - 1) * np.abs(x)) / np.log(LEVELS)
    return np.floor((curved + 1) / 2 * (LEVELS - 1) + 0.5).astype(np.uint8)


def samples(levels: np.ndarray) -> np.ndarray:
    """The sample in the middle of each level, float32."""
    return _straight(levels).astype(np.float32)


def edges() -> np.ndarray:
    """Where each level begins, and where the last one ends: (257,) from -inf to inf, since what is too loud is clipped."""
    found = _straight(np.arange(LEVELS + 1) - 0.5)
    found[[0, -1]] = -np.inf, np.inf
    return found


def _straight(levels: np.ndarray) -> np.ndarray:
    curved = 2 * np.asarray(levels, np.float64) / (LEVELS - 1) - 1
    return np.sign(curved) * (LEVELS ** np.abs(curved) - 1) / (LEVELS - 1)
