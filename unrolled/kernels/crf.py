"""A linear chain of tags in compiled loops: the sum over all paths with its gradient, and the best paths (Lafferty et al. 2001).

    score(y|x) = start[y_1] + Σ_t e_t[y_t] + Σ_t A[y_{t-1}, y_t] + end[y_T]
    α_t(j) = e_t(j) + ln Σ_i exp(α_{t-1}(i) + A(i, j)),    ln Z = ln Σ_j exp(α_T(j) + end(j))

α is kept as logarithms, each step's relative to its largest, so that no length and no score is too much. Its sum over i is a
product with exp A, made once: ln Σ_i exp(α(i)) · exp(A(i, j) - c_j) + c_j, with c_j the largest of column j. A product can lose
terms below 1e-304, which matters only where all terms are small; such a sum (below TINY) is done anew from the logarithms.

The way back needs no second recursion: given y_t = j, the tag before is i with exp(α_{t-1}(i) + A(i, j)) over the sum that made
α_t(j), so the marginals γ follow from the last step to the first, as probabilities, without another logarithm:
    γ_{t-1}(i) = Σ_j γ_t(j) P(i | j, x_1..t),    γ_T = softmax(α_T + end)

Rows do not meet: a row's numbers are the same beside whatever others, and on any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .jit import compiled, inner
from .product import _tile_1, panel_width
from .threads import in_shares

TINY = 1e-200  # a sum of float64 products below this may have lost terms
BLOCKS = 8  # the gradient of A is added up in at most so many parts, whatever the number of threads
ALONE = 300_000  # multiplications that one thread has done before others have woken up

# start (K), A transposed (K, K), end (K); -inf where something is forbidden
Scores = tuple[np.ndarray, np.ndarray, np.ndarray]


def scores(start: np.ndarray, follows: np.ndarray, end: np.ndarray) -> Scores:
    """The chain's scores as the loops read them, float64."""
    start, into, end = (np.ascontiguousarray(each, np.float64) for each in (start, follows.T, end))
    return start, into, end


class Chain(NamedTuple):
    """What the sum over all paths reads of the scores."""

    into: np.ndarray  # exp(A - c) transposed, (K, K)
    arrays: tuple[np.ndarray, ...]  # start, A transposed, end, exp(A - c) packed (product.pack), that transposed, c (K)
    width: int  # how long a row is that is multiplied with a packed matrix


def chain_of(start: np.ndarray, into: np.ndarray, end: np.ndarray) -> Chain:
    """The chain with these scores()."""
    tops = into.max(1)
    tops[np.isneginf(tops)] = 0  # a tag that follows none
    weights = np.exp(into - tops[:, None])
    forth, back = _packed(weights.T), _packed(weights)
    return Chain(weights, (start, into, end, forth, back, tops), forth.shape[0] * forth.shape[2])


def _packed(matrix: np.ndarray) -> np.ndarray:
    """product.pack for a small square matrix, in half the time."""
    K, width = len(matrix), panel_width(8)
    filled = np.zeros((K, -(-K // width) * width))
    filled[:, :K] = matrix
    return np.ascontiguousarray(filled.reshape(K, -1, width).transpose(1, 0, 2))


def forward(
    chain: Chain, emissions: np.ndarray, tags: np.ndarray, lengths: np.ndarray, keep: bool
) -> tuple[np.ndarray, np.ndarray]:
    """ln Z - score(tags) of each row (B), float64; and α (B, T, K) if it is to be kept for backward().

    emissions (B, T, K), contiguous; tags (B, T); lengths (B), from 1 to T. A tag that is none (or forbidden) gives inf.
    """
    B, T, K = emissions.shape
    nats, alpha = np.empty(B), np.empty((B, T if keep else 2, K))
    given = emissions, tags, lengths, chain.arrays
    _deal(lengths, K * K, lambda rows: _forward(rows, *given, alpha, nats, np.empty((2, chain.width))))
    return nats, alpha


def backward(
    chain: Chain, emissions: np.ndarray, tags: np.ndarray, lengths: np.ndarray, alpha: np.ndarray, d_nats: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of emissions, start, A and end, each row's weighted by d_nats (B); where tags are -1 nothing is taken off."""
    B, _, K = emissions.shape
    blocks = max(1, min(BLOCKS, B // 2))
    borders = [B * i // blocks for i in range(blocks + 1)]
    d_emissions = np.zeros_like(emissions)
    d_start, d_end, d_into, pairs = (np.zeros((blocks, *shape)) for shape in ((K,), (K,), (K, K), (K, K)))
    shares, given = _shares(lengths, K * K, blocks), (emissions, tags, lengths, chain.arrays, alpha, d_nats)

    def share(first: int) -> None:
        for i in range(first, blocks, shares):
            found = d_emissions, d_start[i], d_into[i], d_end[i], pairs[i]
            _backward(borders[i], borders[i + 1], *given, *found, np.empty((5, chain.width)))

    in_shares(share, shares)
    d_into = d_into.sum(0) + pairs.sum(0) * chain.into
    return d_emissions, d_start.sum(0), d_into.T, d_end.sum(0)


def best(scores: Scores, emissions: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The path with the highest score of each row (B, T), 0 after its end, and that score (B) (Viterbi 1967)."""
    B, T, K = emissions.shape
    tags, found, follows = np.zeros((B, T), np.int64), np.empty(B), np.ascontiguousarray(scores[1].T)
    _deal(lengths, K * K, lambda rows: _best(rows, emissions, lengths, *scores, follows, tags, found, np.empty((T, K))))
    return tags, found


def n_best(scores: Scores, emissions: np.ndarray, lengths: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The n paths with the highest scores (B, n, T), best first, and these (B, n); tags -1 and -inf where there are fewer."""
    B, T, K = emissions.shape
    tags, found = np.zeros((B, n, T), np.int64), np.empty((B, n))
    _deal(lengths, K * K * n, lambda rows: _n_best(rows, emissions, lengths, *scores, tags, found))
    return tags, found


def _deal(lengths: np.ndarray, a_step: int, work: Callable[[np.ndarray], None]) -> None:
    """work(rows) on threads that each have about the same to do; a_step: multiplications or so for each step."""
    shares, order = _shares(lengths, a_step, len(lengths)), np.argsort(-lengths, kind="stable")
    in_shares(lambda i: work(np.ascontiguousarray(order[i::shares])), shares)


def _shares(lengths: np.ndarray, a_step: int, most: int) -> int:
    return 1 if lengths.sum() * a_step < ALONE else max(1, min(torch.get_num_threads(), most))


# --- exp and ln as LLVM can vectorise them


LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # ln 2 in two parts, the first with zeros at its end
ROUND = 6755399441055744.0  # 1.5 · 2⁵²: a number added to it is rounded, and stands in its low bits
E = tuple(1 / math.factorial(k) for k in range(13))
E0, E1, E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12 = E
L1, L3, L5, L7, L9, L11, L13, L15, L17, L19, L21 = (2 / k for k in range(1, 23, 2))
BITS_OF_ROOT_HALF, EXPONENT, BIAS = np.int64(0x3FE6A09E667F3BCD), np.int64(52), np.int64(1023)


@intrinsic
def bits_of(typing, x):
    """The 64 bits of a float64 as a whole number."""
    return types.int64(x), lambda context, builder, signature, values: builder.bitcast(values[0], ir.IntType(64))


@intrinsic
def float_of(typing, bits):
    """The float64 that has these 64 bits."""
    return types.float64(bits), lambda context, builder, signature, values: builder.bitcast(values[0], ir.DoubleType())


@inner
def exp(x):
    """eˣ for x <= 0, to the last bits; 0 below -700. eˣ = 2ⁿ eʳ, |r| <= ½ ln 2, eʳ by its series."""
    shifted = x * (1 / math.log(2)) + ROUND
    n = shifted - ROUND
    r = x - n * LN2_HIGH - n * LN2_LOW
    low = ((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r + E1
    high = ((((E12 * r + E11) * r + E10) * r + E9) * r + E8) * r + E7
    r2 = r * r
    power = float_of((bits_of(shifted) + BIAS) << EXPONENT)
    y = ((high * (r2 * r2 * r2) + low) * r + E0) * power
    return 0.0 if x < -700.0 else y


@inner
def ln(x):
    """ln x for x of ordinary size, to the last bits; nan for nan. x = 2ⁿ m, ln m = 2 artanh((m - 1) / (m + 1)) by its series."""
    bits = bits_of(x)
    n = (bits - BITS_OF_ROOT_HALF) >> EXPONENT
    m = float_of(bits - (n << EXPONENT))
    z = (m - 1.0) / (m + 1.0)
    u = z * z
    series = (((((((((L21 * u + L19) * u + L17) * u + L15) * u + L13) * u + L11) * u + L9) * u + L7) * u + L5) * u + L3) * u + L1
    return n * LN2_HIGH + (n * LN2_LOW + series * z) + (x - x)


# --- the sum over all paths


@inner
def times(a, packed, c):
    """c = a @ the packed matrix."""
    P, K, width = packed.shape
    for p in range(P):
        _tile_1(a, 0, packed, p * K * width, c, p * width, P * width, K)


@inner
def reach(before, weights, p, sums):
    """p = exp α_{t-1}; sums = p · exp(A - c)."""
    for j in range(before.size):
        p[j] = exp(before[j])
    times(p, weights, sums)


@inner
def exact(before, into):
    """ln Σ_i exp(α(i) + A(i, j)), however small; into: column j of A."""
    top, total = -np.inf, 0.0
    for i in range(before.size):
        score = before[i] + into[i]
        top = score if score > top else top
    if top == -np.inf:
        return top
    for i in range(before.size):
        total += math.exp(before[i] + into[i] - top)
    return top + math.log(total)


@inner
def under_largest(a, K):
    """Take the largest of the first K off all of them; returns it."""
    top = -np.inf
    for j in range(K):
        top = a[j] if a[j] > top else top
    for j in range(K):
        a[j] -= top
    return top


@inner
def softmax(a, b, out):
    """out = softmax(a + b); returns ln Σ exp(a + b)."""
    total = 0.0
    for j in range(a.size):
        out[j] = a[j] + b[j]
    top = under_largest(out, a.size)
    for j in range(a.size):
        out[j] = exp(out[j])
    for j in range(a.size):
        total += out[j]
    for j in range(a.size):
        out[j] /= total
    return top + math.log(total)


@compiled
def _forward(rows, emissions, tags, lengths, chain, alpha, nats, scratch):
    start, into, end, weights, _, tops = chain
    K, kept = emissions.shape[2], alpha.shape[1]
    p, sums = scratch[0], scratch[1]
    for b in rows:
        y, total = -1, 0.0  # ln Z - score so far: small however long the row
        a = alpha[b, 0]
        for t in range(lengths[b]):
            before, a, e = a, alpha[b, t % kept], emissions[b, t]
            if t == 0:
                for j in range(K):
                    a[j] = start[j] + e[j]
            else:
                reach(before, weights, p, sums)
                for j in range(K):
                    a[j] = e[j] + (tops[j] + ln(sums[j]))
                for j in range(K):
                    if sums[j] < TINY:
                        a[j] = e[j] + exact(before, into[j])
            y_before, y = y, tags[b, t]
            gold = -np.inf
            if y < 0 or y >= K:
                y = -1
            elif t == 0:
                gold = start[y] + e[y]
            elif y_before >= 0:
                gold = into[y, y_before] + e[y]
            total += under_largest(a, K) - gold
        nats[b] = total + softmax(a, end, p) - end[y]


@compiled
def _backward(
    first, last, emissions, tags, lengths, chain, alpha, d_nats, d_emissions, d_start, d_into, d_end, pairs, scratch
):  # fmt: skip
    """Rows first to last. The gradient of Aᵀ is d_into + pairs · exp(A - c)ᵀ."""
    _, into, end, weights, transposed, _ = chain
    K = emissions.shape[2]
    gamma, p, w, sums, back = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for b in range(first, last):
        g, t = d_nats[b], lengths[b] - 1
        softmax(alpha[b, t], end, gamma)
        gradient(gamma, tags[b, t], g, d_end)
        while t > 0:
            gradient(gamma, tags[b, t], g, d_emissions[b, t])
            if tags[b, t] >= 0:
                d_into[tags[b, t], tags[b, t - 1]] -= g
            t -= 1
            reach(alpha[b, t], weights, p, sums)
            deep = 0
            for j in range(K):
                w[j] = 0.0 if sums[j] < TINY else gamma[j] / sums[j]
                deep += sums[j] < TINY and gamma[j] > 0
            times(w, transposed, back)
            for j in range(K):
                q = g * w[j]
                for i in range(K):
                    pairs[j, i] += q * p[i]
            for i in range(K):
                back[i] *= p[i]
            if deep:
                step_back_exactly(alpha[b, t], into, sums, gamma, g, back, d_into)
            for i in range(K):
                gamma[i] = back[i]
        gradient(gamma, tags[b, 0], g, d_emissions[b, 0])
        gradient(gamma, tags[b, 0], g, d_start)


@inner
def step_back_exactly(before, into, sums, gamma, g, back, d_into):
    """Add to back and d_into what the tags bring whose sums are below TINY."""
    for j in range(before.size):
        if sums[j] < TINY and gamma[j] > 0:
            total = exact(before, into[j])
            for i in range(before.size):
                pair = gamma[j] * math.exp(before[i] + into[j, i] - total)
                back[i] += pair
                d_into[j, i] += g * pair


@inner
def gradient(gamma, y, g, target):
    """target += g · (γ - 1[y])."""
    for j in range(target.size):
        target[j] += g * gamma[j]
    if y >= 0:
        target[y] -= g


# --- the best paths


@compiled
def _best(rows, emissions, lengths, start, into, end, follows, tags, scores, v):
    """v_t(j) = e_t(j) + max_i v_{t-1}(i) + A(i, j); the way back looks for each maximum again, for one j a step."""
    K = emissions.shape[2]
    for b in rows:
        steps = lengths[b]
        for j in range(K):
            v[0, j] = start[j] + emissions[b, 0, j]
        for t in range(1, steps):
            before, now, e = v[t - 1], v[t], emissions[b, t]
            for j in range(K):
                now[j] = -np.inf
            for i in range(K):
                q = before[i]
                for j in range(K):
                    score = q + follows[i, j]
                    now[j] = score if score > now[j] else now[j]
            for j in range(K):
                now[j] += e[j]
        scores[b], y = highest(v[steps - 1], end)
        tags[b, steps - 1] = y
        for t in range(steps - 2, -1, -1):
            _, y = highest(v[t], into[y])
            tags[b, t] = y


@inner
def highest(a, b):
    """The largest of a + b, and its (first) place."""
    top, place = -np.inf, 0
    for i in range(a.size):
        score = a[i] + b[i]
        if score > top:
            top, place = score, i
    return top, place


@compiled
def _n_best(rows, emissions, lengths, start, into, end, tags, scores):
    """Each tag of each step keeps its n best ways to it, value (T, K, n), and by which it came: tag · n + rank."""
    _, T, K = emissions.shape
    n = tags.shape[1]
    value, came = np.empty((T, K, n)), np.empty((T, K, n), np.int64)
    taken, by = np.empty(K, np.int64), np.empty(n, np.int64)
    for b in rows:
        steps = lengths[b]
        for j in range(K):
            for m in range(n):
                value[0, j, m] = start[j] + emissions[b, 0, j] if m == 0 else -np.inf
        for t in range(1, steps):
            for j in range(K):
                merge(value[t - 1], into[j], taken, value[t, j], came[t, j])
                for m in range(n):
                    value[t, j, m] += emissions[b, t, j]
        merge(value[steps - 1], end, taken, scores[b], by)
        for m in range(n):
            at = by[m]
            for t in range(steps - 1, -1, -1):
                tags[b, m, t] = at // n if scores[b, m] > -np.inf else -1
                at = came[t, at // n, at % n] if t > 0 else 0


@inner
def merge(before, scores, taken, value, came):
    """value (n): the largest of before(i, ·) + scores(i), before (K, n) falling along its rows; came: i · n + place there."""
    K, n = before.shape
    for i in range(K):
        taken[i] = 0
    for m in range(n):
        top, place = -np.inf, -1
        for i in range(K):
            if taken[i] < n and before[i, taken[i]] + scores[i] > top:
                top, place = before[i, taken[i]] + scores[i], i
        value[m], came[m] = top, 0
        if place >= 0:
            came[m] = place * n + taken[place]
            taken[place] += 1
