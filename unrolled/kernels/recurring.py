"""The loop of writing sound with recurrent layers, compiled: the cells of stepping.py over samples, what is drawn fed back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from .jit import compiled
from .loops import copy
from .product import Packed, columns, pack, product
from .sampling import sample
from .stepping import KINDS, Stack, advance, stack


class Net(NamedTuple):
    """Recurrent layers over samples, packed: L layers of H, G·H gates, Q outputs, C channels of condition."""

    kind: np.ndarray  # of stepping.KINDS
    levels: int  # 0 of a net of real samples
    stack: Stack
    table: np.ndarray  # (levels, G·H): W x + b of the first layer; or (2, G·H): what x is multiplied with, and what is added
    condition: Packed  # (C, G·H), float32 always
    width: int  # H, or L·H: what the head reads of all layers' states
    head: Packed  # (width, Q)
    bias: np.ndarray  # (Q)


@torch.no_grad()
def packed(first: nn.Module, cells: Sequence[nn.Module], last: nn.Linear, int8: bool) -> Net:
    """first: an Embedding of levels, or a Linear of one real sample; the first cell reads what it gives, then the condition."""
    weights = [first.weight] if isinstance(first, nn.Embedding) else [first.weight.t(), first.bias.unsqueeze(0)]
    vectors, W, b = torch.cat(weights), cells[0].W, cells[0].b
    table = vectors @ W[:, : vectors.shape[1]].t()
    if b is not None:
        table[slice(None) if isinstance(first, nn.Embedding) else slice(1, 2)] += b
    return Net(
        KINDS[type(cells[0])],
        len(vectors) if isinstance(first, nn.Embedding) else 0,
        stack(cells, int8),
        table.float().contiguous().numpy(),
        pack(W[:, vectors.shape[1] :].float().t().contiguous()),
        last.in_features,
        pack(last.weight.float().t(), int8),
        last.bias.detach().float().clone().numpy(),
    )


@compiled
def run(
    kind, levels, stack, table, condition, width, head, bias, given, uniforms, temperature, top_p, samples, out, state, outputs
):
    """Steps with samples (R, n): known ones whose outputs go to out (R, n, Q), or, where there are uniforms (R, n, 1 or 2), drawn
    here. given (R, n or 1, C) the condition; state (L·S, R, H) and outputs (R, Q) become the next. False where the outputs are no
    numbers.
    """
    dimensions = kind.ndim
    (R, n), Q, G, L, C = samples.shape, bias.size, table.shape[1], stack[3].shape[0], given.shape[2]
    rows, length, f32 = np.arange(R), np.ones(R, np.int64), table.dtype
    A, hidden, p, c = np.empty((R, G), f32), np.empty((R, L * state.shape[2]), f32), np.empty(Q, f32), np.empty((R, C), f32)
    wide, above = np.empty((R, columns(head)), f32), np.empty((R, columns(condition)), f32)
    top = np.empty((R, width), f32)
    for t in range(n):
        for i in range(R):
            if uniforms.shape[1]:
                samples[i, t] = sample(levels, outputs[i], temperature, top_p, uniforms[i, t], p)
                if np.isnan(samples[i, t]):
                    return False
            if levels:
                copy(A[i], table[int(samples[i, t])])
            else:
                for j in range(G):
                    A[i, j] = table[0, j] * samples[i, t] + table[1, j]
            copy(c[i], given[i, min(t, given.shape[1] - 1)])
        if C:
            product(c, R, condition, above)
            for i in range(R):
                for j in range(G):
                    A[i, j] += above[i, j]
        advance(dimensions, stack, rows, length, A, state, hidden)
        for i in range(R):
            copy(top[i], hidden[i, hidden.shape[1] - top.shape[1] :])
        product(top, R, head, wide)
        for i in range(R):
            for j in range(Q):
                outputs[i, j] = wide[i, j] + bias[j]
            if not uniforms.shape[1]:
                copy(out[i, t], outputs[i])
    return True
