"""Nets that write sound, packed for the CPU: they hear what is known and write on, any number of streams at once.

One synthesiser holds the weights of all streams. What streams remember is a tuple of arrays made by start(), a row a
stream, which does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from .dilated import WaveNet
from .errors import UserError
from .kernels import dilated, recurring
from .kernels.stepping import KINDS

State = tuple[np.ndarray, ...]
PRECISIONS = ("float32", "int8")


class Synthesiser:
    """Writes sound with a net packed for it; of_wavenet() and of_layers() make one."""

    def __init__(self, net: Stack | Recurrence):
        self.net, self.levels, self.outputs, self.channels = net, net.levels, net.outputs, net.channels

    def start(self, streams: int) -> State:
        """The state before the first sample; its last array says how many samples have been (streams)."""
        return self.net.start(streams)

    def force(self, x: np.ndarray, state: State, condition: np.ndarray | None = None) -> np.ndarray:
        """Known samples x (streams, n), levels or real -> the net's outputs at each (streams, n, outputs).

        condition (streams, n or 1, C). The state becomes the one after them. UserError where x or the condition do not fit the
        net or the state.
        """
        _known(state, self.start(0))
        samples = _samples(x, self.levels, len(state[0]))
        condition = _condition(condition, *samples.shape, self.channels)
        out = np.empty((*samples.shape, self.outputs), np.float32)
        self.net.run(samples, np.empty((len(samples), 0, 1)), 1.0, 1.0, condition, out, state)
        return out

    def __call__(
        self,
        n: int,
        state: State,
        uniforms: np.ndarray,
        temperature: float = 1.0,
        top_p: float = 1.0,
        condition: np.ndarray | None = None,
    ) -> np.ndarray:
        """Write n samples a stream -> (streams, n): levels (int64), or real samples of 16 bits (float32, full scale 1).

        uniforms     (streams, n) random numbers in [0, 1), a sample each; (streams, n, 2) for a mixture
        temperature  of the softmax, and of a mixture the spread of its logistics; 0: the likeliest
        top_p        the likeliest levels that have so much of the probability; of each logistic so much around its mean
        condition    (streams, n or 1, C) that goes with each sample written

        The state becomes the one after them; the same samples come, to the last bit, however they are cut into calls and
        whatever the other streams are. A stream that has heard nothing begins after one sample of silence.
        UserError where these do not fit the net or the state, and where the net's outputs are no numbers.
        """
        _known(state, self.start(0))
        streams, nothing = len(state[0]), np.empty((0, 0, 0), np.float32)
        condition = _condition(condition, streams, n, self.channels)
        uniforms, samples = _drawing(uniforms, streams, n, self.levels), np.empty((streams, n), np.float32)
        if n:
            _silence(self, state, condition)
            if not self.net.run(samples, uniforms, float(temperature), float(top_p), condition, nothing, state):
                raise UserError(
                    "the net's outputs are no numbers: no sample can be drawn", fix="take an earlier step of its training"
                )
        return samples.astype(np.int64) if self.levels else samples


def of_wavenet(model: WaveNet, precision: str = "float32") -> Synthesiser:
    """A WaveNet of levels (its outputs their logits) or of real samples (its outputs a mixture of logistics, logistics.py).

    precision  of weights: "float32", or "int8" with a scale an output channel. Of the weights as they are now.
    UserError for another precision, and where outputs do not fit the samples.
    """
    return Synthesiser(Stack(model, precision))


def of_layers(
    first: nn.Embedding | nn.Linear, cells: Sequence[nn.Module], last: nn.Linear, precision: str = "float32"
) -> Synthesiser:
    """Recurrent layers over samples.

    first  an Embedding of levels, or a Linear of one real sample; the first cell reads what it gives, then the condition
    cells  of one-directional layers, first layer first, all of one kind and width (`Recurrent.cells`)
    last   from the last layer's state, or from all layers', to the outputs
    UserError for another precision, and where these do not fit each other.
    """
    return Synthesiser(Recurrence(first, cells, last, precision))


class Stack:
    """A WaveNet as compiled code runs it."""

    def __init__(self, model: WaveNet, precision: str):
        _check(model.levels, model.output.out_features, precision)
        self.packed = dilated.packed(model, precision == "int8")
        self.levels, self.outputs, self.channels = model.levels, model.output.out_features, self.packed.condition[0].shape[1]

    def start(self, streams: int) -> State:
        return dilated.start(self.packed, streams)

    def run(self, samples, uniforms, temperature, top_p, condition, out, state) -> bool:
        return dilated.run(self.packed, condition, uniforms, temperature, top_p, samples, out, *state)


class Recurrence:
    """Recurrent layers as compiled code runs them."""

    def __init__(self, first: nn.Embedding | nn.Linear, cells: Sequence[nn.Module], last: nn.Linear, precision: str):
        self.levels, inputs = (
            (first.num_embeddings, first.embedding_dim) if isinstance(first, nn.Embedding) else (0, first.out_features)
        )
        self.outputs, self.channels = last.out_features, cells[0].input_size - inputs
        _check(self.levels, self.outputs, precision)
        if type(cells[0]) not in KINDS:
            raise UserError(f"no compiled synthesiser is written for layers of {type(cells[0]).__name__}")
        if self.channels < 0:
            raise UserError(
                f"the inputs of the first layer got {cells[0].input_size}; needed are {inputs}, and the condition's channels"
            )
        self.shape = len(cells) * cells[0].states, cells[0].hidden_size
        self.packed = recurring.packed(first, cells, last, precision == "int8")

    def start(self, streams: int) -> State:
        """The recurrent state (streams, states, H), the outputs that the next sample is drawn from (streams, outputs), and how
        many samples have been (streams).
        """
        hidden, outputs = np.zeros((streams, *self.shape), np.float32), np.zeros((streams, self.outputs), np.float32)
        return hidden, outputs, np.zeros(streams, np.int64)

    def run(self, samples, uniforms, temperature, top_p, condition, out, state) -> bool:
        hidden, outputs, heard = state
        working = np.ascontiguousarray(hidden.transpose(1, 0, 2))  # as the loops of cells keep it
        fine = recurring.run(*self.packed, condition, uniforms, temperature, top_p, samples, out, working, outputs)
        hidden[:] = working.transpose(1, 0, 2)
        heard += samples.shape[1]
        return fine


def _silence(synthesiser: Synthesiser, state: State, condition: np.ndarray) -> None:
    """One sample of it for the streams that have heard nothing."""
    fresh = state[-1] == 0
    if fresh.any():
        part = tuple(array[fresh] for array in state)
        quiet = np.full((len(part[0]), 1), synthesiser.levels // 2)
        synthesiser.force(quiet if synthesiser.levels else quiet.astype(np.float32), part, condition[fresh][:, :1])
        for array, new in zip(state, part, strict=True):
            array[fresh] = new


def _known(state: State, own: State) -> None:
    """A UserError for a state of another net, which compiled code would read beyond its end."""
    if [(part.shape[1:], part.dtype, len(part)) for part in state] != [(o.shape[1:], o.dtype, len(state[0])) for o in own]:
        raise UserError("the state is not one of this net's `start()`: its shapes differ")


def _samples(x: np.ndarray, levels: int, streams: int) -> np.ndarray:
    """Known samples as compiled code takes them."""
    if x.ndim != 2 or len(x) != streams:
        raise UserError(f"the samples have shape {x.shape}; the streams of the state are {streams}", fix="one row a stream")
    if levels and x.size and (x.min() < 0 or x.max() >= levels):
        raise UserError(f"the samples go from {x.min()} to {x.max()}; allowed are 0 to {levels - 1}")
    if not np.isfinite(x).all():
        raise UserError("among the samples is one that is no finite number")
    return np.require(x, np.float32, ("C", "A", "W"))


def _condition(condition: np.ndarray | None, streams: int, n: int, channels: int) -> np.ndarray:
    """(streams, n or 1, C) as compiled code takes it."""
    if condition is None and not channels:
        return np.zeros((streams, 1, 0), np.float32)
    shape = None if condition is None else condition.shape
    if shape not in ((streams, n, channels), (streams, 1, channels)):
        raise UserError(f"`condition` has shape {shape}; needed is ({streams}, {n} or 1, {channels})")
    return np.require(condition, np.float32, ("C", "A", "W"))


def _drawing(uniforms: np.ndarray, streams: int, n: int, levels: int) -> np.ndarray:
    """Random numbers (streams, n, 1 or 2) as compiled code takes them."""
    wanted = (streams, n) if levels else (streams, n, 2)
    if uniforms.shape != wanted:
        raise UserError(f"`uniforms` has shape {uniforms.shape}; needed is {wanted}")
    return np.require(uniforms, np.float64, ("C", "A", "W")).reshape(streams, n, 1 if levels else 2)


def _check(levels: int, outputs: int, precision: str) -> None:
    if precision not in PRECISIONS:
        raise UserError(f"`precision` got `{precision}`; allowed are {', '.join(PRECISIONS)}")
    if levels and outputs != levels:
        raise UserError(f"a net of {levels} levels needs one output each; it has {outputs}")
    if not levels and outputs % 3:
        raise UserError(f"a net of real samples has {outputs} outputs; needed are 3 a logistic")
