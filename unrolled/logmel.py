"""What a net hears: the log-mel spectrogram, in torch and in numpy. `kernels/logmel.py` computes the same one frame at a time.

torch is imported where it computes: an exported file is run without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FLOOR = 1e-6  # added to the power before its logarithm: silence is -13.8
AT_ONCE = 1024  # frames that numpy transforms together


@dataclass(frozen=True)
class LogMel:
    """How sound becomes frames of features; plain numbers, to be kept as JSON (`dataclasses.asdict`).

    rate         samples a second, hertz
    window, hop  what a frame looks at and how far apart frames begin, seconds; hop <= window
    bands        features of a frame
    low, high    where the first band begins and the last one ends, hertz; high <= rate / 2

    Frame t sees samples [hop·t, hop·t + window) and nothing later. N is the least power of two from 256 on that holds a window of
    M samples:
        w_n = ½ - ½ cos(2πn / M)                               Hann
        P_k = |Σ_n w_n x_n e^(-2πi nk/N)|²                     k = 0 … N/2, at k·rate/N hertz
        mel(f) = 2595 log₁₀(1 + f/700)                         O'Shaughnessy 1987, with the constants of HTK
        feature_b = ln(Σ_k m_bk P_k + 10⁻⁶)
    where m_b is a triangle over frequency (Davis and Mermelstein 1980) that rises from 0 at f_b to 1 at f_(b+1) and falls to 0 at
    f_(b+2), and f_0 = low … f_(bands+1) = high lie evenly in mel. UserError where the numbers do not fit each other.
    """

    rate: int = 16000
    window: float = 0.025
    hop: float = 0.010
    bands: int = 40
    low: float = 20.0
    high: float = 7600.0

    def __post_init__(self):
        if not 0 <= self.low < self.high <= self.rate / 2:
            said = f"bands from `low` {self.low} to `high` {self.high} hertz; at `rate` {self.rate}"
            raise UserError(f"{said} allowed is 0 <= low < high <= {self.rate / 2}")
        if not 1 <= self.hop_samples <= self.window_samples or self.window_samples < 8:
            said = f"`window` {self.window} and `hop` {self.hop} seconds are {self.window_samples} and {self.hop_samples} samples"
            raise UserError(f"{said}; allowed is 1 <= hop <= window, and a window of at least 8")
        if self.bands < 1:
            raise UserError(f"`bands` got {self.bands}; needed is at least 1")
        empty = np.flatnonzero(~self.bank().any(0))
        if len(empty):
            said = f"`bands` got {self.bands}: too narrow, since {len(empty)} of them lie between two frequencies of the spectrum"
            raise UserError(said, fix="fewer bands, a longer window or a higher `low`")

    @property
    def window_samples(self) -> int:
        return round(self.window * self.rate)

    @property
    def hop_samples(self) -> int:
        return round(self.hop * self.rate)

    @property
    def spectrum_samples(self) -> int:
        """N, the length of the Fourier transform."""
        return max(256, 1 << (self.window_samples - 1).bit_length())

    def frames(self, samples: int) -> int:
        """How many whole frames so many samples have."""
        return max(0, 1 + (samples - self.window_samples) // self.hop_samples)

    def hann(self) -> np.ndarray:
        """w (M,), float64."""
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window_samples) / self.window_samples)

    def bank(self) -> np.ndarray:
        """The triangles m (N/2 + 1, bands), float64."""
        lowest, highest = 2595 * np.log10(1 + np.array([self.low, self.high]) / 700)
        corners = 700 * (10 ** (np.linspace(lowest, highest, self.bands + 2) / 2595) - 1)
        hertz = np.arange(self.spectrum_samples // 2 + 1)[:, None] * self.rate / self.spectrum_samples
        begin, middle, end = corners[:-2], corners[1:-1], corners[2:]
        return np.maximum(0, np.minimum((hertz - begin) / (middle - begin), (end - hertz) / (end - middle)))

    def __call__(self, samples: Tensor) -> Tensor:
        """Samples (…, N), full scale 1, float32 or float64 -> features (…, frames, bands)."""
        import torch

        if samples.shape[-1] < self.window_samples:
            return samples.new_zeros((*samples.shape[:-1], 0, self.bands))
        hann, bank = _constants(self, samples.dtype, samples.device)
        windows = samples.unfold(-1, self.window_samples, self.hop_samples) * hann  # (…, frames, M)
        spectrum = torch.fft.rfft(windows, self.spectrum_samples)
        power = spectrum.real.square() + spectrum.imag.square()  # (…, frames, N/2 + 1)
        return (power @ bank + FLOOR).log()

    def of_array(self, samples: np.ndarray) -> np.ndarray:
        """The same in numpy: samples (N,) -> features (frames, bands), float32. The sums are in float64, so that frames are
        the same to the last bit or nearly, however many are computed together."""
        if len(samples) < self.window_samples:
            return np.zeros((0, self.bands), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(samples, self.window_samples)[:: self.hop_samples]
        hann, bank = _arrays(self)
        found = np.empty((len(windows), self.bands), np.float32)
        for begin in range(0, len(windows), AT_ONCE):
            spectrum = np.fft.rfft(windows[begin : begin + AT_ONCE] * hann, self.spectrum_samples)
            power = np.square(spectrum.real) + np.square(spectrum.imag)  # (frames, N/2 + 1)
            found[begin : begin + AT_ONCE] = np.log(power @ bank + FLOOR)
        return found


def of(config: Any) -> LogMel:
    """How a task hears whose settings are hertz, window, hop and bands: up to 7,600 hertz, or a little below half the rate."""
    return LogMel(config.hertz, config.window, config.hop, config.bands, 20.0, min(7600.0, 0.475 * config.hertz))


@lru_cache(maxsize=32)
def _constants(logmel: LogMel, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    import torch

    hann, bank = map(torch.from_numpy, _arrays(logmel))
    return hann.to(device, dtype), bank.to(device, dtype)


@lru_cache(maxsize=32)
def _arrays(logmel: LogMel) -> tuple[np.ndarray, np.ndarray]:
    return logmel.hann(), logmel.bank()
