"""Nets that write sound, packed for the CPU: they hear what is known and write on, any number of streams at once.

One Synthesiser holds the weights of all streams. What streams remember is a tuple of arrays made by start(), a row a stream, which
does not grow.
"""

from __future__ import annotations

import numpy as np

from .dilated import WaveNet
from .errors import UserError
from .kernels import dilated

State = tuple[np.ndarray, ...]
PRECISIONS = ("float32", "int8")


class Synthesiser:
    """A WaveNet of levels (its outputs their logits) or of real samples (its outputs a mixture of logistics, logistics.py).

    precision  of weights: "float32", or "int8" with a scale an output channel. Of the weights as they are now.
    UserError for another precision, and where outputs do not fit the samples.
    """

    def __init__(self, model: WaveNet, precision: str = "float32"):
        if precision not in PRECISIONS:
            raise UserError(f"`precision` got `{precision}`; allowed are {', '.join(PRECISIONS)}")
        outputs = model.output.out_channels
        if model.levels and outputs != model.levels:
            raise UserError(f"a net of {model.levels} levels has {outputs} outputs; needed is one a level")
        if not model.levels and outputs % 3:
            raise UserError(f"a net of real samples has {outputs} outputs; needed are 3 a logistic")
        self.net = dilated.packed(model, precision == "int8")
        self.levels, self.outputs, self.channels = model.levels, outputs, self.net.condition[0].shape[1]

    def start(self, streams: int) -> State:
        """The state before the first sample."""
        return dilated.start(self.net, streams)

    def force(self, x: np.ndarray, state: State, condition: np.ndarray | None = None) -> np.ndarray:
        """Known samples x (streams, n), levels or real -> the net's outputs at each (streams, n, outputs).

        condition (streams, n or 1, C). The state becomes the one after them.
        """
        samples, condition = np.require(x, np.float32, "C"), self._condition(condition, len(x))
        out = np.empty((*x.shape, self.outputs), np.float32)
        if x.size:
            dilated.force(self.net, samples, condition, out, *state)
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
        top_p        the likeliest levels that have so much of the probability; of each logistic so much of its middle
        condition    (streams, n or 1, C) that goes with each sample written

        The state becomes the one after them; the same samples come, to the last bit, however they are cut into calls and
        whatever the other streams are. A stream that has heard nothing begins after one sample of silence.
        UserError where the net's outputs are no numbers.
        """
        streams, condition = len(state[0]), self._condition(condition, len(state[0]))
        self._silence(state, condition)
        samples = np.empty((streams, n), np.float32)
        uniforms = np.require(uniforms, np.float64, "C").reshape(streams, n, 1 if self.levels else 2)
        if n and not dilated.generate(self.net, uniforms, condition, float(temperature), float(top_p), samples, *state):
            raise UserError("the net's outputs are no numbers, so that no sample can be drawn", fix="take an earlier step")
        return samples.astype(np.int64) if self.levels else samples

    def _silence(self, state: State, condition: np.ndarray) -> None:
        """One sample of it for the streams that have heard nothing."""
        fresh = state[-1] == 0
        if fresh.any():
            part = tuple(array[fresh] for array in state)
            self.force(np.full((fresh.sum(), 1), self.levels // 2, np.float32), part, condition[fresh][:, :1])
            for array, new in zip(state, part, strict=True):
                array[fresh] = new

    def _condition(self, condition: np.ndarray | None, streams: int) -> np.ndarray:
        if condition is None:
            condition = np.zeros((streams, 1, self.channels), np.float32)
        return np.require(condition, np.float32, "C")
