"""One step of a decoder that looks at a memory, compiled, for many hypotheses of many sentences at once.

Every row is reckoned from its own numbers alone and in one order of sums (product.py), over its own sentence's steps and no
padding: what comes out for a sentence is the same, bit for bit, whatever else is in the batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .jit import MATH, compiled
from .loops import copy
from .product import Packed, columns, product
from .smooth import sigmoid, tanh
from .stepping import Stack, advance


class Decoder(NamedTuple):
    """A decoder packed for stepping; Packed matrices of no columns where the net has none."""

    kind: np.ndarray  # of stepping.KINDS
    stack: Stack
    table: np.ndarray  # (V, G·H): W x + b of the first layer for each symbol
    feed: Packed  # (E, G·H) of what the last step made of its context
    query: Packed  # (H, H), additive attention's W
    v: np.ndarray  # (H), additive attention's; empty for the others
    past: np.ndarray  # (1), what a step of the memory that was looked at before is worth; empty without coverage
    gate: np.ndarray  # (H + 1), w and b of σ(wᵀ h + b), the part of the context that counts; empty: all of it
    combine: Packed  # (2H or H, E)
    combine_bias: np.ndarray  # (E)
    head: Packed  # (E, V), V as many columns as it is packed in
    bias: np.ndarray  # (V), -inf where there is no symbol


class Memory(NamedTuple):
    """What was read of N sentences, one after the other: sentence n's steps are bounds[n] … bounds[n + 1] - 1."""

    values: np.ndarray  # (steps, H)
    keys: np.ndarray  # (steps, H)
    bounds: np.ndarray  # (N + 1)


def step(
    net: Decoder, memory: Memory, ids: np.ndarray, state: np.ndarray, fed: np.ndarray, covered: np.ndarray,
    sentences: np.ndarray, logits: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """ids (R), state (L·S, R, H), fed (R, E), covered (R, S), sentences (R) -> features (R, E); logits (R, V) are written.

    `state` becomes the one after the step; features are what `fed` is at the next one. `covered` is how much of its sentence's
    memory each hypothesis has looked at: this step's weights are added.
    """
    R = len(ids)
    features = np.empty((R, len(net.combine_bias)), np.float32)
    _step(*net, *memory, np.arange(R), np.ones(R, np.int64), ids, state, fed, covered, sentences, logits, features)
    return features


def dot(a, b):
    total = np.float32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


dot = compiled(dot, MATH | {"reassoc"})  # in any order, always the same one: as vectors


@compiled
def _step(
    kind, stack, table, feed, query, v, past, gate, combine, combine_bias, head, bias, values, keys, bounds,
    rows, length, ids, state, fed, covered, sentences, logits, features,
):  # fmt: skip
    (R, E), (L, G), H = features.shape, stack[3].shape, state.shape[2]
    A, hidden, top = np.empty((R, G), np.float32), np.empty((R, L * H), np.float32), np.empty((R, H), np.float32)
    for i in range(R):
        copy(A[i], table[ids[i]])
    if columns(feed):
        of_context = np.empty((R, columns(feed)), np.float32)
        product(fed, R, feed, of_context)
        for i in range(R):
            for j in range(G):
                A[i, j] += of_context[i, j]
    advance(kind.ndim, stack, rows, length, A, state, hidden)
    for i in range(R):
        copy(top[i], hidden[i, (L - 1) * H :])
    seen = np.empty((R, combine[0].shape[1]), np.float32)  # [c_t; h_t], or h_t alone
    if seen.shape[1] > H:
        queries = top
        if columns(query):
            queries = np.empty((R, columns(query)), np.float32)
            product(top, R, query, queries)
        weights = np.empty(covered.shape[1], np.float32)
        for i in range(R):
            begin, end = bounds[sentences[i]], bounds[sentences[i] + 1]
            look(queries[i], v, past, values, keys, begin, end, covered[i], weights, seen[i, :H])
            if len(gate):
                part = sigmoid(dot(gate[:H], top[i]) + gate[H])
                for j in range(H):
                    seen[i, j] *= part
    for i in range(R):
        copy(seen[i, seen.shape[1] - H :], top[i])
    wide = np.empty((R, columns(combine)), np.float32)
    product(seen, R, combine, wide)
    for i in range(R):
        for j in range(E):
            features[i, j] = tanh(wide[i, j] + combine_bias[j])
    product(features, R, head, logits)
    for i in range(R):
        for j in range(len(bias)):
            logits[i, j] += bias[j]


@compiled
def look(query, v, past, values, keys, begin, end, covered, weights, context):
    """α over a sentence's steps begin … end - 1 into weights and on top of covered, and the context Σ α m."""
    H = len(context)
    highest = np.float32(-np.inf)
    for s in range(begin, end):
        score = np.float32(0)
        if len(v):
            for j in range(H):
                score += v[j] * tanh(query[j] + keys[s, j])
        else:
            score = dot(query, keys[s])
        if len(past):
            score += past[0] * covered[s - begin]
        weights[s - begin] = score
        highest = max(highest, score)
    total = np.float32(0)
    for s in range(end - begin):
        weights[s] = math.exp(weights[s] - highest)
        total += weights[s]
    for j in range(H):
        context[j] = 0
    for s in range(end - begin):
        weights[s] /= total
        covered[s] += weights[s]
        for j in range(H):
            context[j] += weights[s] * values[begin + s, j]


@compiled
def _times(x, matrix, out):
    wide = np.empty((len(x), columns(matrix)), np.float32)
    product(x, len(x), matrix, wide)
    for i in range(len(x)):
        for j in range(out.shape[1]):
            out[i, j] = wide[i, j]


def times(x: np.ndarray, matrix: Packed, width: int) -> np.ndarray:
    """x (N, K) through a packed matrix (K, width) -> (N, width), each row for itself."""
    out = np.empty((len(x), width), np.float32)
    _times(np.ascontiguousarray(x, np.float32), matrix, out)
    return out
