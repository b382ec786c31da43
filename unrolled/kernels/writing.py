"""The whole loop of writing, compiled: step, softmax, filters, next symbol, with Python out of it.

The distribution a symbol is drawn from is decode.probabilities', and the same random numbers draw the same symbols; here they are
found without sorting the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from .jit import compiled, pasted
from .loops import copy
from .product import Packed, columns, pack, product
from .stepping import KINDS, Stack, advance, stack


class Net(NamedTuple):
    """A language model packed for writing."""

    kind: np.ndarray  # of stepping.KINDS
    stack: Stack
    table: np.ndarray  # (V, G·H): W x + b of the first layer for each symbol
    head: Packed  # (L·H, V)
    bias: np.ndarray  # (V)


def net(layers: Sequence[nn.Module], table: Tensor, head: Tensor, bias: Tensor, int8: bool = False) -> Net:
    """Pack cells, the first one's table (V, G·H), and the output layer's head (V, L·H) and bias (V)."""
    kind = KINDS[type(layers[0])]
    return Net(
        kind, stack(layers, int8), table.float().contiguous().numpy(), pack(head.float().t(), int8), bias.float().clone().numpy()
    )


# The places of `filters` below, in the order in which they are applied; 0 is off, but for the temperature.
PENALTY, TEMPERATURE, TOP_K, TOP_P, MIN_P = range(5)


def numbers(filters: Any) -> np.ndarray:
    """A decode.Sampling as compiled code takes it."""
    top_p = filters.top_p if filters.top_p is not None and filters.top_p < 1 else 0
    return np.array([filters.repetition_penalty, filters.temperature, filters.top_k or 0, top_p, filters.min_p or 0], np.float64)


def read(net: Net, ids: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Logits (R, V) after symbols ids (T, R); state (L·S, R, H) becomes the one after them."""
    R = ids.shape[1]
    logits = np.empty((R, len(net.bias)), np.float32)
    nothing = np.empty((R, 0), np.int64), np.zeros((R, 5)), np.empty(0, np.int64), np.empty((0, R))
    _write(*net, np.arange(R), np.ones(R, np.int64), logits, state, *nothing, ids.astype(np.int64))
    return logits


def write(
    net: Net,
    logits: np.ndarray,
    state: np.ndarray,
    recent: np.ndarray,
    filters: np.ndarray,
    banned: np.ndarray,
    random: np.ndarray,
) -> np.ndarray:
    """Draw len(random) symbols a row and step after each; all but `filters` and `banned` become what they are then.

    logits (R, V), state (L·S, R, H); recent (R, n) the last symbols, -1 for none, which the penalty is for; filters (5,), or
    (R, 5) where rows differ; random (T, R) uniform numbers. Returns ids (T, R), -1 where the logits were no numbers.
    """
    R, ids = len(logits), np.empty(random.shape, np.int64)
    filters = np.tile(filters, (R, 1)) if filters.ndim == 1 else filters
    _write(*net, np.arange(R), np.ones(R, np.int64), logits, state, recent, filters, banned, random, ids)
    return ids


@compiled
def _write(kind, stack, table, head, bias, rows, length, logits, state, recent, filters, banned, random, ids):
    """Steps ids (T, R), those before the last len(random) given, the others drawn here."""
    dimensions = kind.ndim
    (R, V), G, L = logits.shape, table.shape[1], stack[3].shape[0]
    A, hidden, wide = (
        np.empty((R, G), table.dtype),
        np.empty((R, L * state.shape[2]), table.dtype),
        np.empty((R, columns(head)), table.dtype),
    )
    p, kept = np.empty(V), np.empty(V, np.int64)
    given = len(ids) - len(random)
    for t in range(len(ids)):
        for i in range(R):
            if t >= given:
                distribution(logits[i], recent[i], filters[i], banned, p, kept)
                ids[t, i] = draw(p, random[t - given, i])
                for k in range(recent.shape[1] - 1):
                    recent[i, k] = recent[i, k + 1]
                if recent.shape[1]:
                    recent[i, -1] = ids[t, i]
            copy(A[i], table[ids[t, i]])
        advance(dimensions, stack, rows, length, A, state, hidden)
        product(hidden, R, head, wide)
        for i in range(R):
            for j in range(V):
                logits[i, j] = wide[i, j] + bias[j]


@compiled
def distribution(logits, recent, filters, banned, p, kept):
    """decode.probabilities of one row into p (V), up to a factor; kept (V) is room to work in. Spends logits."""
    for i in banned:
        logits[i] = -np.inf
    penalize(logits, recent, filters[PENALTY], kept)
    best = 0
    for j in range(len(logits)):
        if logits[j] > logits[best]:
            best = j
    if filters[TEMPERATURE] == 0:
        for j in range(len(p)):
            p[j] = 0.0
        p[best] = 1.0
        return
    total = 0.0
    for j in range(len(p)):
        p[j] = math.exp((np.float64(logits[j]) - np.float64(logits[best])) / filters[TEMPERATURE])
        total += p[j]
    if filters[TOP_K] or filters[TOP_P]:
        keep_likeliest(p, total, filters[TOP_K], filters[TOP_P], kept)
    floor = filters[MIN_P] * p[best]
    for j in range(len(p)):
        if p[j] < floor:
            p[j] = 0.0


@pasted
def penalize(logits, recent, penalty, seen):
    """Each symbol of `recent` once, however often it stands there."""
    if penalty == 1.0:
        return
    number = 0
    for symbol in recent:
        new = symbol >= 0
        for k in range(number):
            new = new and seen[k] != symbol
        if new:
            logits[symbol] = logits[symbol] / penalty if logits[symbol] > 0 else logits[symbol] * penalty
            seen[number] = symbol
            number += 1


@compiled
def keep_likeliest(p, total, top_k, top_p, heap):
    """Set to zero all but the likeliest: a heap gives them one by one, and few are asked for."""
    V = len(p)
    for j in range(V):
        heap[j] = j
    for root in range(V // 2 - 1, -1, -1):
        sink(p, heap, root, V)
    most = min(V, int(top_k)) if top_k else V
    size, mass = V, 0.0
    if top_k:  # top_p is of what top_k leaves
        total = 0.0
        while V - size < most:
            total += p[heap[0]]
            size = pop(p, heap, size)
        for k in range(size):
            p[heap[k]] = 0.0
    if top_p:
        if top_k:  # the kept ones lie sorted at the heap's end, the likeliest last
            for k in range(V - 1, size - 1, -1):
                if mass >= top_p * total:
                    p[heap[k]] = 0.0
                else:
                    mass += p[heap[k]]
        else:
            while size > 0 and mass < top_p * total:
                mass += p[heap[0]]
                size = pop(p, heap, size)
            for k in range(size):
                p[heap[k]] = 0.0


@pasted
def likelier(p, a, b):
    return p[a] > p[b] or (p[a] == p[b] and a < b)


@compiled
def sink(p, heap, root, size):
    """Move the root down until neither child is likelier."""
    while True:
        child = 2 * root + 1
        if child >= size:
            return
        if child + 1 < size and likelier(p, heap[child + 1], heap[child]):
            child += 1
        if not likelier(p, heap[child], heap[root]):
            return
        heap[root], heap[child] = heap[child], heap[root]
        root = child


@pasted
def pop(p, heap, size):
    """Move the likeliest behind the heap, which is one smaller then."""
    heap[0], heap[size - 1] = heap[size - 1], heap[0]
    sink(p, heap, 0, size - 1)
    return size - 1


@pasted
def draw(p, uniform):
    """decode.draw: the first symbol whose cumulated probability exceeds the uniform number; -1 where p is no distribution."""
    total = 0.0
    for j in range(len(p)):
        total += p[j]
    if not 0 < total < np.inf:  # nan too
        return -1
    upto, last = 0.0, 0
    for j in range(len(p)):
        upto += p[j]
        if p[j] > 0:
            last = j
        if upto > uniform * total:
            return j
    return last
