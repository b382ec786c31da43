"""A net that listens, packed for streams on the CPU: log-mel frames, a convolution over time, recurrent layers, a linear one.

One Listener holds the weights of any number of streams. A stream is its state, a tuple of arrays made by start(): a few kilobytes
that do not grow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .errors import UserError
from .kernels import listening
from .kernels.stepping import KINDS
from .logmel import LogMel

State = listening.State


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
        return listening.start(self.arrays)

    def __call__(self, samples: np.ndarray, state: State) -> np.ndarray:
        """Any number of samples (N,), full scale 1, at the log-mel's rate -> the answers they complete (n, classes), float32.

        An answer comes as soon as the last sample that it rests on is there; the state becomes the one after all of them.
        Answers are the same, to the last bit, however a sound is cut into calls. UserError where a sample is no finite number,
        with the state as it was, or the state is another net's.
        """
        if not isinstance(samples, np.ndarray) or samples.dtype.char != "f" or samples.ndim != 1 or not samples.flags.carray:
            samples = _taken(samples)
        out = np.empty((samples.size // self.hop + 1, self.classes), np.float32)
        made = listening.listen(*self.arrays, samples, out, *state)
        if made < 0:
            raise _refused(made, samples)
        return out[:made]


@torch.no_grad()
def packed(model: nn.Module) -> Listener:
    """A task's model as it is now: its logmel, normalise (a BatchNorm1d), convolution and stride, recurrent layers, output."""
    norm, filters = model.normalise, model.convolution
    return Listener(
        model.logmel, norm.running_mean, (norm.running_var + norm.eps).rsqrt(), (filters.weight, filters.bias), model.stride,
        list(model.recurrent.cells), model.output,
    )  # fmt: skip


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
    inputs = logmel.bands
    if convolution is not None:
        inputs, bands, k = convolution[0].shape
        _same("the convolution's bands", bands, logmel.bands)
        _same("the convolution's biases", convolution[1].numel(), inputs)
    else:
        k = 1
    check_stride(k, stride)
    for name, part in (("mean", mean), ("scale", scale)):
        _same(f"the size of `{name}`", part.numel(), logmel.bands)
    if type(cells[0]) not in KINDS or any(type(cell) is not type(cells[0]) for cell in cells):
        raise UserError(f"no compiled listener is written for layers of {', '.join(type(cell).__name__ for cell in cells)}")
    for cell, wanted in zip(cells, [inputs, *(cell.hidden_size for cell in cells)], strict=False):
        _same("the inputs of a recurrent layer", cell.input_size, wanted)
        _same("the width of a recurrent layer", cell.hidden_size, cells[0].hidden_size)
    _same("the inputs of the linear layer", linear.in_features, cells[0].hidden_size)


def _same(what: str, got: int, wanted: int) -> None:
    if got != wanted:
        raise UserError(f"{what} got {got}; needed is {wanted}")
