"""Decoders that look at a memory (a sentence's steps, a picture's places), packed for the CPU.

What comes out for one sentence or picture does not depend on what else is written at the same time, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import decode
from .attention import Attention
from .kernels.product import Packed, pack
from .kernels.stepping import KINDS, stack
from .kernels.translating import Decoder, Memory, step, times

COVERED, SENTENCES, ARRAYS = 2, 3, 4  # places in the state of one net's search, and their number


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


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
def packed(
    cells: Sequence[nn.Module], symbols: Tensor, attention: Attention | None, combine: nn.Linear, output: nn.Linear,
    feed: bool = False, gate: nn.Linear | None = None,
) -> Decoder:  # fmt: skip
    """Of the layers' cells, the symbols' vectors (V, E), and what makes features of the context and a state.

    feed  the first layer reads the last step's features behind the symbol's vector
    gate  one number of a state: its σ is the part of the context that counts
    """
    first, E = cells[0], symbols.shape[1]
    no_matrix, no_vector = pack(torch.zeros(E, 0)), np.zeros(0, np.float32)
    head = pack(output.weight.float().t())
    return Decoder(
        kind=KINDS[type(first)],
        stack=stack(list(cells)),
        table=nn.functional.linear(symbols, first.W[:, :E], first.b).float().contiguous().numpy(),
        feed=pack(first.W[:, E:].float().t()) if feed else no_matrix,
        query=no_matrix if attention is None or attention.query is None else pack(attention.query.weight.float().t()),
        v=no_vector if attention is None or attention.v is None else attention.v.weight[0].float().numpy(),
        past=no_vector if attention is None or attention.past is None else attention.past.float().numpy(),
        gate=no_vector if gate is None else torch.cat((gate.weight[0], gate.bias)).float().numpy(),
        combine=pack(combine.weight.float().t()),
        combine_bias=combine.bias.float().numpy(),
        head=head,
        bias=_filled(output.bias, head),
    )


def _filled(bias: Tensor, matrix: Packed) -> np.ndarray:
    """A bias for all the columns that the matrix is packed in: there are no symbols behind the last."""
    panels, _ = matrix
    return nn.functional.pad(bias.float(), (0, panels.shape[0] * panels.shape[2] - len(bias)), value=-torch.inf).numpy()


def writing(net: Decoder, memory: Memory, states: np.ndarray) -> tuple[decode.Step, decode.State]:
    """The step that writes about each of N memories, and the state before the first symbol; states (N, L·S, H)."""
    N, room = len(states), np.empty((0, len(net.bias)), np.float32)

    def advance(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
        nonlocal room
        if len(ids) > len(room):  # pages of new memory would cost a fifth of the step
            room = np.empty((len(ids), room.shape[1]), np.float32)
        hidden, fed, covered, sentences = state
        hidden, covered, logits = hidden.transpose(1, 0, 2).copy(), covered.copy(), room[: len(ids)]
        features = step(net, memory, ids, hidden, fed, covered, sentences, logits)
        return logits, (hidden.transpose(1, 0, 2), features, covered, sentences)

    fed = np.zeros((N, len(net.combine_bias)), np.float32)
    return advance, (states, fed, np.zeros((N, np.diff(memory.bounds).max(initial=0)), np.float32), np.arange(N))
