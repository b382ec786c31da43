"""A translation model packed for the CPU: reads sentences, and writes the likeliest translations by beam search.

What comes out for a sentence does not depend on what else is translated with it, to the last bit: sentences of one length
are read together, and every row of every product is summed in one order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from . import decode
from .data.batch import Rows
from .data.vocab import END
from .decode import Hypothesis
from .kernels.beams import best
from .kernels.product import Packed, pack
from .kernels.stepping import KINDS, Stepper, stack
from .kernels.threads import in_shares
from .kernels.translating import Decoder, Memory, step, times

AT_ONCE = 32  # sentences that one thread searches together


class Linear(NamedTuple):
    """A packed nn.Linear."""

    matrix: Packed
    bias: np.ndarray
    width: int

    @classmethod
    def of(cls, layer: nn.Linear) -> Linear:
        bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach()
        return cls(pack(layer.weight.float().t()), bias.float().numpy(), layer.out_features)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x (N, K) -> (N, width)."""
        return times(x, self.matrix, self.width) + self.bias


class Translator:
    """Of a translate model's weights as they are now."""

    @torch.no_grad()
    def __init__(self, model: nn.Module):
        E, first = model.combine.out_features, model.decoder.cells[0]
        self.embed = (model.embed.weight * model.scale).float().numpy()
        self.directions, self.states = model.encoder.directions, first.states
        self.steppers = [Stepper([cell]) for cell in model.encoder.cells]
        self.memory, self.bridge = Linear.of(model.memory), [Linear.of(layer) for layer in model.bridge]
        attention = model.attention
        self.keys = None if attention is None or attention.key is None else Linear.of(attention.key)
        nothing = pack(torch.zeros(E, 0))
        table = nn.functional.linear(model.embed_target.weight * model.scale, first.W[:, :E], first.b)
        self.decoder = Decoder(
            KINDS[type(first)], stack(list(model.decoder.cells)), table.float().contiguous().numpy(),
            pack(first.W[:, E:].float().t()) if model.feed else nothing,
            nothing if attention is None or attention.query is None else pack(attention.query.weight.float().t()),
            np.zeros(0, np.float32) if attention is None or attention.v is None else attention.v.weight[0].float().numpy(),
            pack(model.combine.weight.float().t()), model.combine.bias.float().numpy(),
            pack(model.output.weight.float().t()), model.output.bias.float().numpy(),
        )  # fmt: skip

    def read(self, source: Rows) -> tuple[Memory, np.ndarray]:
        """The memory of sentences, and the decoder's first states (N, L·S, H)."""
        lengths, H = source.lengths, self.memory.width
        values = np.empty((len(source.ids), H), np.float32)
        states = np.empty((len(lengths), len(self.bridge), H), np.float32)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            at = source.bounds[rows] + np.arange(length)[:, None]  # (T, R)
            hidden, last = self._encode(self.embed[source.ids[at]])
            values[at.ravel()] = self.memory(hidden.reshape(at.size, -1))
            for i, layer in enumerate(self.bridge):
                states[rows, i] = np.tanh(layer(last[i])) if i % self.states == 0 else layer(last[i])
        return Memory(values, values if self.keys is None else self.keys(values), source.bounds), states

    def _encode(self, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """x (T, R, E) -> the last layer's states (T, R, D·H), and what each of the bridge's layers reads, (R, D·H)."""
        last = []
        for layer in range(0, len(self.steppers), self.directions):
            outs, ends = [], []
            for direction, stepper in enumerate(self.steppers[layer : layer + self.directions]):
                state = stepper.start(x.shape[1])
                turned = np.ascontiguousarray(x[::-1]) if direction else x
                out = stepper(turned, state)
                outs.append(out[::-1] if direction else out)
                ends.append(state)
            x = np.ascontiguousarray(np.concatenate(outs, -1))
            last += [np.concatenate([end[i] for end in ends], -1) for i in range(self.states)]
        return x, last

    def translate(self, source: Rows, options: decode.Beam, banned: list[int]) -> list[list[Hypothesis]]:
        """For each sentence its best translations, best first; symbols `banned` are never written."""
        order = np.argsort(source.lengths, kind="stable")[::-1]
        parts = [order[begin : begin + AT_ONCE] for begin in range(0, len(order), AT_ONCE)]
        found: list[list[Hypothesis]] = [[] for _ in order]

        def work(i: int) -> None:
            for row, hypotheses in zip(parts[i], self._search(source.taken(parts[i]), options, banned), strict=True):
                found[row] = hypotheses

        in_shares(work, len(parts))
        return found

    def _search(self, source: Rows, options: decode.Beam, banned: list[int]) -> list[list[Hypothesis]]:
        memory, states = self.read(source)
        N, width = len(states), len(self.decoder.combine_bias)

        def advance(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
            hidden, fed, sentences = state
            hidden = np.ascontiguousarray(hidden.transpose(1, 0, 2))
            logits, features, _ = step(self.decoder, memory, ids, hidden, fed, sentences)
            return logits, (hidden.transpose(1, 0, 2), features, sentences)

        start = states, np.zeros((N, width), np.float32), np.arange(N)
        logits, state = advance(np.full(N, END), start)
        return decode.beams(advance, logits, state, options, 2 * source.lengths + 20, END, banned, choose=best)
