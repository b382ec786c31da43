"""The likeliest continuations of many hypotheses, as decode.best finds them, in one pass through the logits.

A row's total takes an exponential a symbol, eight at a time in float64. On the way the highest logit of each BLOCK is kept, so
that afterwards only blocks that could hold one of the likeliest are looked at again.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .jit import MATH, compiled, pasted

BLOCK = 64
LOG2E, LN2 = math.log2(math.e), math.log(2)
LEAST = -700.0  # e^-700 is as good as nothing beside the highest, which is e^0
WHOLE = 1.5 * 2**52  # a float64 added to it becomes a whole number, in the last bits
E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12 = [1 / math.factorial(n) for n in range(2, 13)]  # within 2e-16 up to ln 2 / 2
IMPOSSIBLE, POSITIVE, INFINITE = np.int32(-(2**31)), np.int32(2**31 - 1), np.int32(0x7F800000)
NEGATIVE_INFINITE = np.int32(-0x7F800001)  # key(-inf)


def best(
    logits: np.ndarray, nats: np.ndarray, borders: np.ndarray, count: int, never: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """decode.best, for logits (R, V) in float32: same arguments, same answers but for rounding in float64 (1e-15 of the total).

    Equal rows have equal totals here and there, so that ties are broken alike. Without the GIL: threads may share sentences out.
    """
    if logits.dtype != np.float32 or not logits.flags.c_contiguous or not logits.flags.writeable:
        logits = np.array(logits, np.float32, order="C")
    (R, V), G = logits.shape, len(borders) - 1
    base, highest = np.empty(R), np.empty((R, -(-V // BLOCK)), np.float32)
    totals(logits, base, highest)
    base = nats - base
    logits[never] = -np.inf
    rows, ids, found = np.zeros((G, count), np.int64), np.zeros((G, count), np.int64), np.full((G, count), -np.inf)
    pick(logits, base, highest, borders, rows, ids, found)
    return rows, ids, found, base


@intrinsic
def _bits(typing, x):
    return types.int64(types.float64), lambda context, builder, signature, values: builder.bitcast(values[0], ir.IntType(64))


@intrinsic
def _of_bits(typing, bits):
    return types.float64(types.int64), lambda context, builder, signature, values: builder.bitcast(values[0], ir.DoubleType())


@intrinsic
def _float(typing, bits):
    return types.float32(types.int32), lambda context, builder, signature, values: builder.bitcast(values[0], ir.FloatType())


@pasted
def power(x):
    """e^x for x from LEAST to 0: 2^n e^r, n whole and r at most ln 2 / 2 from 0, e^r by Taylor's series."""
    whole = x * LOG2E + WHOLE
    r = x - (whole - WHOLE) * LN2
    high = ((((((E12 * r + E11) * r + E10) * r + E9) * r + E8) * r + E7) * r + E6) * r + E5
    series = (((high * r + E4) * r + E3) * r + E2) * r * r + r + 1.0
    return series * _of_bits((_bits(whole) + 1023) << 52)


@pasted
def key(bits):
    """Whole numbers in the order of the float32 that have these bits; what is not below inf is last."""
    ordered = bits ^ ((bits >> 31) & POSITIVE)
    return IMPOSSIBLE if (ordered >= INFINITE) | (ordered < NEGATIVE_INFINITE) else ordered


@compiled
def totals(logits, total, highest):
    """total (R) = ln Σ exp of each row, 0 where all are impossible; highest (R, blocks) of each BLOCK symbols.

    What is not below inf counts as impossible. Maxima are of whole numbers: of floats, nan keeps them from being vectors.
    """
    R, V = logits.shape
    bits, highest_bits, terms = logits.view(np.int32), highest.view(np.int32), np.empty(V)
    for i in range(R):
        row, top = bits[i], IMPOSSIBLE
        for block in range(highest.shape[1]):
            part, most = row[block * BLOCK : (block + 1) * BLOCK], IMPOSSIBLE
            for j in range(len(part)):
                most = max(most, key(part[j]))
            highest_bits[i, block] = most ^ ((most >> 31) & POSITIVE)
            top = max(top, most)
        total[i] = 0.0
        if top > NEGATIVE_INFINITE:
            total[i] = log_total(logits[i], np.float64(_float(top ^ ((top >> 31) & POSITIVE))), terms)


@compiled
def log_total(row, top, terms):
    """top + ln Σ e^(row - top); terms (V) is room to work in."""
    for j in range(len(row)):
        x = np.float64(row[j]) - top
        terms[j] = power(x if LEAST <= x <= 0 else LEAST)
    return top + math.log(total_of(terms))


def total_of(terms):
    total = 0.0
    for j in range(len(terms)):
        total += terms[j]
    return total


total_of = compiled(total_of, MATH | {"reassoc"})  # in any order: as vectors


@compiled
def pick(logits, base, highest, borders, rows, ids, found):
    """Fill rows, ids and found (G, count), -inf so far; symbols are met in the order in which equals are kept."""
    V, last = logits.shape[1], found.shape[1] - 1
    for g in range(len(found)):
        for i in range(borders[g], borders[g + 1]):
            for block in range(highest.shape[1]):
                if not base[i] + np.float64(highest[i, block]) > found[g, last]:  # nan: none is possible
                    continue
                for j in range(block * BLOCK, min((block + 1) * BLOCK, V)):
                    value = base[i] + np.float64(logits[i, j])
                    if found[g, last] < value < np.inf:
                        insert(rows[g], ids[g], found[g], i, j, value)


@compiled
def insert(rows, ids, found, row, symbol, value):
    """Behind all that are not less; the last one falls out."""
    at = len(found) - 1
    while at > 0 and found[at - 1] < value:
        rows[at], ids[at], found[at] = rows[at - 1], ids[at - 1], found[at - 1]
        at -= 1
    rows[at], ids[at], found[at] = row, symbol, value
