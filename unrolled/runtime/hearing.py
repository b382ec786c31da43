"""A net that listens, in an exported file: sound in, answers out, for any number of streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data import sound
from ..errors import UserError
from ..logmel import LogMel
from .opened import Opened

Sound = str | Path | tuple[np.ndarray, int]  # a file, or samples (N,), full scale 1, and their rate
SECONDS = 30.0  # of a sound that are heard together


class State(NamedTuple):
    """A stream between two pieces of sound."""

    held: np.ndarray  # samples from the begin of the next frame on
    frames: np.ndarray  # (n, bands) that the next answer sees, those of them that are there
    net: tuple[np.ndarray, ...]


class Ears:
    """The graph's `output` is what is answered.

    rate  samples a second
    step  samples from one answer to the next
    lead  samples until the first answer
    """

    def __init__(self, opened: Opened, output: str):
        self.graph, self.output = opened.graph, output
        self.logmel, self.frames, self.stride = (opened.settings[name] for name in ("logmel", "frames", "stride"))
        self.logmel = LogMel(**self.logmel)
        self.rate, self.step = self.logmel.rate, self.stride * self.logmel.hop_samples
        self.lead = (self.frames - 1) * self.logmel.hop_samples + self.logmel.window_samples
        (shape,) = (each.shape for each in self.graph.session.get_outputs() if each.name == output)
        self.nothing = np.zeros((0, *shape[2:]), np.float32)

    def start(self) -> State:
        """A stream before its first sample."""
        return State(np.zeros(0, np.float32), np.zeros((0, self.logmel.bands), np.float32), self.graph.start(1))

    def __call__(self, samples: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Samples (N,) of any number, at `rate` -> the answers that they complete (n, …), and the state after them.

        UserError where samples are no floats in one row, or one is no finite number.
        """
        samples = np.concatenate((state.held, checked(samples)))
        features = self.logmel.of_array(samples)
        held = samples[len(features) * self.logmel.hop_samples :]
        features = np.concatenate((state.frames, features))
        before = self.frames - self.stride
        n = max(0, len(features) - before) // self.stride
        if not n:
            return self.nothing, State(held, features, state.net)
        new = features[before : before + n * self.stride].reshape(1, n, self.stride, -1)
        given = {"features": new, "lengths": np.array([n])} | ({"before": features[None, :before]} if before else {})
        made = self.graph(given | {f"state_{i}": one for i, one in enumerate(state.net)})
        net = tuple(made[f"after_state_{i}"] for i in range(len(state.net)))
        return made[self.output][0], State(held, features[n * self.stride :], net)

    def blocks(self, heard: Sound) -> Iterator[np.ndarray]:
        """A sound at `rate`, in pieces."""
        return pieces(heard, self.rate)


def pieces(heard: Sound, rate: int) -> Iterator[np.ndarray]:
    """A sound at `rate`, in pieces. A file takes soundfile; soxr, where its rate is another."""
    if isinstance(heard, tuple):
        samples, own = heard
        size = max(1, round(SECONDS * own))
        return sound.resampled((checked(samples)[i : i + size] for i in range(0, len(samples), size)), own, rate)
    return sound.blocks(Path(heard), rate, SECONDS)


def checked(samples: np.ndarray) -> np.ndarray:
    """Samples as float32; a UserError for what are none."""
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        said = f"samples got {samples.dtype} {samples.shape}; needed is an array (N,) of floats, full scale 1"
        raise UserError(said, fix="divide 16-bit samples by 32768; take the mean of channels")
    if not (finite := np.isfinite(samples)).all():
        at = int(finite.argmin())
        raise UserError(
            f"sample {at} of this piece is {samples[at]}, no finite number", fix="leave it out, or put 0 in its place"
        )
    return samples.astype(np.float32)
