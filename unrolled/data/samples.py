"""Sound as arrays of samples: how loud it is, where it begins and ends, how it is at another rate.

Levels are in decibels of full scale: a square wave between -1 and 1 has 0, a sine of that height -3.
"""

from __future__ import annotations

import numpy as np

SILENCE = -120.0  # decibels; what is softer counts as this
CLICK, KNOCK = 0.03, 0.15  # seconds; what sounds for less is a click, and a stretch of less no word
EVERY = 0.01  # seconds; of the frames that `levels` measures
SMOOTH = np.unique([2**a * 3**b * 5**c for a in range(25) for b in range(9) for c in range(5)])  # sizes whose FFT is fast


def as_floats(samples: np.ndarray) -> np.ndarray:
    """Samples of 16 bits as float32, full scale 1; floats as they are."""
    return samples.astype(np.float32) / np.float32(32768) if samples.dtype == np.int16 else samples


def in_16_bits(samples: np.ndarray) -> np.ndarray:
    """Samples, full scale 1, as int16; what is louder is clipped."""
    return np.rint(np.clip(samples, -1, 32767 / 32768) * 32768).astype(np.int16)


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


def word(samples: np.ndarray, rate: int, pause: float = 0.3) -> tuple[int, int]:
    """Where a recording of one word, or a phrase, has it: the stretch with the most energy among those that lie more than `pause`
    seconds apart. What is softer than the recording's own noise, and clicks, are no part of any. (0, 0) where there is none."""
    found = levels(samples, rate)
    heard = found[found > SILENCE]
    if not len(heard):
        return 0, 0
    noise, peak = np.quantile(heard, 0.1), heard.max()
    stretches = _runs(found > max(peak - 40, min(noise + 10, peak - 20)))
    stretches = stretches[np.diff(stretches)[:, 0] * EVERY >= CLICK]
    if not len(stretches):
        return sounding(samples, rate)
    apart = np.flatnonzero((stretches[1:, 0] - stretches[:-1, 1]) * EVERY > pause)
    begins, ends = stretches[np.append(0, apart + 1), 0], stretches[np.append(apart, -1), 1]
    energy = np.append(0, np.cumsum(10 ** (found / 10)))
    best = np.where((ends - begins) * EVERY >= KNOCK, energy[ends] - energy[begins], 0).argmax()
    size, margin = max(1, round(rate * EVERY)), 2  # frames, for what is soft at its ends
    return max(0, int(begins[best]) - margin) * size, min(len(samples), (int(ends[best]) + margin) * size)


def _runs(true: np.ndarray) -> np.ndarray:
    """Where true begins and ends (n, 2)."""
    edges = np.diff(np.concatenate(([0], true.astype(np.int8), [0])))
    return np.flatnonzero(edges).reshape(-1, 2)


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
