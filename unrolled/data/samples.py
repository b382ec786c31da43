"""Sound as arrays of samples: how loud it is, where it begins and ends, how it is at another rate.

Levels are in decibels of full scale: a square wave between -1 and 1 has 0, a sine of that height -3.
"""

from __future__ import annotations

import numpy as np

SILENCE = -120.0  # decibels; what is softer counts as this
EVERY = 0.01  # seconds; of the frames that `levels` measures
SMOOTH = np.unique([2**a * 3**b * 5**c for a in range(25) for b in range(9) for c in range(5)])  # sizes whose FFT is fast


def level(samples: np.ndarray) -> float:
    """The level of samples (N,) in decibels; of none, SILENCE."""
    power = float(np.dot(samples, samples)) / max(len(samples), 1)
    return max(SILENCE, 10 * np.log10(power)) if power > 0 else SILENCE


def levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """The level of every hundredth of a second of samples (N,) in decibels (frames,); what is left over joins the last."""
    size = max(1, round(rate * EVERY))
    begins = np.arange(0, max(len(samples) - size + 1, 1), size)
    if not len(samples):
        return np.empty(0)
    powers = np.add.reduceat(np.square(samples, dtype=float), begins) / np.diff(begins, append=len(samples))
    return 10 * np.log10(np.maximum(powers, 10 ** (SILENCE / 10)))


def sounding(samples: np.ndarray, rate: int, below: float = 40.0) -> tuple[int, int]:
    """Where sound begins and ends: the first and last frame within `below` decibels of the loudest; (0, 0) in silence."""
    found = levels(samples, rate)
    loud = np.flatnonzero(found > max(found.max(initial=SILENCE) - below, SILENCE))
    if not len(loud):
        return 0, 0
    size = max(1, round(rate * EVERY))
    return int(loud[0]) * size, len(samples) if loud[-1] == len(found) - 1 else int(loud[-1] + 1) * size


def trimmed(samples: np.ndarray, rate: int, below: float = 40.0) -> np.ndarray:
    """The samples without the silence around them."""
    begin, end = sounding(samples, rate, below)
    return samples[begin:end]


def smooth(size: float) -> int:
    """The least number of samples from `size` on whose Fourier transform is fast."""
    return int(SMOOTH[np.searchsorted(SMOOTH, size)])


def resampled(samples: np.ndarray, was: int, rate: int) -> np.ndarray:
    """A clip (N,) at another rate, by cutting its spectrum or filling it up; for clips that are silent at both ends."""
    if was == rate or not len(samples):
        return samples.astype(np.float32)
    common = int(np.gcd(was, rate))
    parts = smooth(len(samples) * common / was)  # so that both sizes are whole, and their transforms fast
    before, after = parts * (was // common), parts * (rate // common)
    spectrum = np.fft.rfft(samples, before)[: min(before, after) // 2]
    return np.fft.irfft(spectrum, after)[: round(len(samples) * rate / was)].astype(np.float32) * np.float32(after / before)
