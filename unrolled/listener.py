"""A net that listens, packed for streams on the CPU: log-mel frames, a convolution over time, recurrent layers, a linear one; or
dilated convolutions in their place.

One Listener holds the weights of any number of streams. A stream is its state, a tuple of arrays made by start(): a few kilobytes
that do not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .dilated import WaveNet
from .errors import UserError
from .kernels import dilated, listening
from .kernels.stepping import KINDS
from .logmel import LogMel

State = tuple[np.ndarray, ...]  # listening's; of dilated convolutions theirs after it


class Listener:
    """features = (logmel - mean) * scale; relu(convolution); cells; linear. Of the weights as they are now.

    logmel       how sound becomes frames
    mean, scale  (bands,)
    convolution  weight (C, bands, k) and bias (C,) of a torch.nn.Conv1d over time without padding, or None
    stride       of the convolution, at most k; 1 where there is none
    cells        of one-directional layers, first layer first, all of one kind and width (`Recurrent.cells`)
    linear       from the last layer to the classes
    UserError where these do not fit each other.
    """

    @torch.no_grad()
    def __init__(
        self,
        logmel: LogMel,
        mean: Tensor,
        scale: Tensor,
        convolution: tuple[Tensor, Tensor] | None,
        stride: int,
        cells: Sequence[nn.Module],
        linear: nn.Linear,
    ):
        _check(logmel, mean, scale, convolution, stride, cells, linear)
        self.arrays = listening.packed(
            logmel.hop_samples, logmel.hann(), logmel.bank(), mean, scale, convolution, stride, cells, linear
        )
        self.hop, self.classes = logmel.hop_samples, linear.out_features

    def start(self) -> State:
        """The state before the first sample."""
        return listening.start(self.arrays[1])

    def __call__(self, samples: np.ndarray, state: State) -> np.ndarray:
        """Any number of samples (N,), full scale 1, at the log-mel's rate -> the answers they complete (n, classes), float32.

        An answer comes as soon as the last sample that it rests on is there; the state becomes the one after all of them.
        Answers are the same, to the last bit, however a sound is cut into calls. UserError where a sample is no finite number,
        with the state as it was, or the state is another net's.
        """
        return _heard(listening.listen, self.arrays, samples, self.hop, self.classes, state)


class DilatedListener:
    """features = (logmel - mean) * scale; relu(convolution); WaveNet's gated dilated convolutions over its steps.

    net  a WaveNet that reads vectors, of as many numbers as the convolution has channels. The rest, the calls and the errors are
         Listener's.
    """

    @torch.no_grad()
    def __init__(
        self, logmel: LogMel, mean: Tensor, scale: Tensor, convolution: tuple[Tensor, Tensor], stride: int, net: WaveNet
    ):
        _check_ear(logmel, mean, scale, convolution, stride)
        _same("the vectors that the dilated convolutions read", net.residual, len(convolution[1]))
        self.ear = listening.packed_ear(logmel.hop_samples, logmel.hann(), logmel.bank(), mean, scale, convolution, stride)
        self.net = dilated.packed(net, int8=False)
        self.hop, self.channels, self.classes = logmel.hop_samples, net.residual, net.output.out_features
        self.shapes = [part.shape for part in self.start()]

    def start(self) -> State:
        """The state before the first sample."""
        return *listening.start(self.ear[0]), *dilated.start(self.net, 1)

    def __call__(self, samples: np.ndarray, state: State) -> np.ndarray:
        """Any number of samples (N,) -> the answers they complete (n, classes), as a Listener's."""
        if [part.shape for part in state] != self.shapes:
            raise _refused(listening.UNEQUAL, samples)
        x = _heard(listening.hear_steps, self.ear, samples, self.hop, self.channels, state[:4])
        out, nothing = np.empty((1, len(x), self.classes), np.float32), np.empty((1, 0, 1))
        dilated.run(self.net, x[None], nothing, 0.0, 1.0, np.empty((1, len(x)), np.float32), out, *state[4:])
        return out[0]


def _heard(
    compiled: Callable, arrays: tuple[np.ndarray, ...], samples: np.ndarray, hop: int, classes: int, state: State
) -> np.ndarray:
    """What compiled code answers to samples."""
    if not isinstance(samples, np.ndarray) or samples.dtype.char != "f" or samples.ndim != 1 or not samples.flags.carray:
        samples = _taken(samples)
    out = np.empty((samples.size // hop + 1, classes), np.float32)
    made = compiled(*arrays, samples, out, *state)
    if made < 0:
        raise _refused(made, samples)
    return out[:made]


@torch.no_grad()
def packed(model: nn.Module) -> Listener:
    """A task's model as it is now: its logmel, normalise (a BatchNorm1d), convolution and stride, recurrent layers, output."""
    return Listener(*_ear(model), list(model.recurrent.cells), model.output)


@torch.no_grad()
def packed_dilated(model: nn.Module) -> DilatedListener:
    """The same of a model with a WaveNet, `gated`, in place of recurrent layers and output."""
    return DilatedListener(*_ear(model), model.gated)


def _ear(model: nn.Module) -> tuple[LogMel, Tensor, Tensor, tuple[Tensor, Tensor], int]:
    norm, filters = model.normalise, model.convolution
    scale = (norm.running_var + norm.eps).rsqrt()
    return model.logmel, norm.running_mean, scale, (filters.weight, filters.bias), model.stride


def check_stride(frames: int, stride: int) -> None:
    """A UserError for a convolution that would skip frames."""
    if not 1 <= stride <= frames:
        raise UserError(f"`stride` got {stride}; allowed are 1 to {frames}, the frames that a step sees")


def _taken(samples: np.ndarray) -> np.ndarray:
    """Samples as compiled code knows arrays: float32, in one piece, writeable."""
    if not isinstance(samples, np.ndarray) or samples.ndim != 1 or samples.dtype.kind != "f":
        shown = f"{samples.dtype} {samples.shape}" if isinstance(samples, np.ndarray) else type(samples).__name__
        raise UserError(
            f"samples got {shown}; needed is an array (N,) of floats, full scale 1", fix="divide 16-bit samples by 32768"
        )
    return np.require(samples, np.float32, ("C", "A", "W"))


def _refused(made: int, samples: np.ndarray) -> UserError:
    if made == listening.UNEQUAL:
        return UserError("the state is not one of this net's `start()`: its shapes differ")
    at = int(np.isfinite(samples).argmin())
    return UserError(f"sample {at} of this piece is {samples[at]}, no finite number", fix="leave it out, or put 0 in its place")


def _check(
    logmel: LogMel,
    mean: Tensor,
    scale: Tensor,
    convolution: tuple[Tensor, Tensor] | None,
    stride: int,
    cells: Sequence[nn.Module],
    linear: nn.Linear,
) -> None:
    inputs = _check_ear(logmel, mean, scale, convolution, stride)
    if type(cells[0]) not in KINDS or any(type(cell) is not type(cells[0]) for cell in cells):
        raise UserError(f"no compiled listener is written for layers of {', '.join(type(cell).__name__ for cell in cells)}")
    for cell, wanted in zip(cells, [inputs, *(cell.hidden_size for cell in cells)], strict=False):
        _same("the inputs of a recurrent layer", cell.input_size, wanted)
        _same("the width of a recurrent layer", cell.hidden_size, cells[0].hidden_size)
    _same("the inputs of the linear layer", linear.in_features, cells[0].hidden_size)


def _check_ear(logmel: LogMel, mean: Tensor, scale: Tensor, convolution: tuple[Tensor, Tensor] | None, stride: int) -> int:
    """How many numbers the cells read."""
    inputs, frames = logmel.bands, 1
    if convolution is not None:
        inputs, bands, frames = convolution[0].shape
        _same("the convolution's bands", bands, logmel.bands)
        _same("the convolution's biases", convolution[1].numel(), inputs)
    check_stride(frames, stride)
    for name, part in (("mean", mean), ("scale", scale)):
        _same(f"the size of `{name}`", part.numel(), logmel.bands)
    return inputs


def _same(what: str, got: int, wanted: int) -> None:
    if got != wanted:
        raise UserError(f"{what} got {got}; needed is {wanted}")
