"""Counting which words stand near which: the rows of X in GloVe (Pennington et al. 2014, §4.2), and their order for training.

X[i, j] is symmetric, so of each pair the row of the rarer word (the larger number) holds it: j <= i. A row is gathered whole: it
is known where its word stands, the neighbours there are summed in an array of all words, and what is not zero is written out.
So there is no hash table and nothing to sort; the frequent words, which are most neighbours, share a few cache lines.

A neighbour at distance d adds 1 / d, in whole numbers of a unit (weights[d]): sums come out the same in whatever order and in
however many parts they are made.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .jit import compiled, pasted
from .rows import fetch

i64, u64, f32 = np.int64, np.uint64, np.float32
ONE, BITS = u64(1), 64  # of a number of the bit set
AHEAD = 16  # places ahead of the one at work that are asked for from memory


def room(vocabulary: int) -> int:
    """The length of `sums` for so many words: whole numbers of bits, and one of them for what is not to be kept."""
    return (vocabulary // BITS + 2) * BITS


@intrinsic
def lowest(typing, bits):
    """The place of the lowest bit of a uint64 that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(bits), generate


@compiled
def places(ids, first, last, starts, where):
    """Where each word stands in ids[first:last]: word i at first + where[starts[i] : starts[i + 1]], in order.

    starts (V + 2,) zeros, where (last - first,) int32. Returns -1, or the place of a number that is no word's.
    """
    V = starts.shape[0] - 2
    for p in range(first, last):
        if ids[p] >= V or ids[p] < -1:
            return p
        if ids[p] >= 0:
            starts[ids[p] + 2] += 1
    for i in range(V):
        starts[i + 2] += starts[i + 1]
    for p in range(first, last):  # starts[i + 1] runs through word i's places, and ends where the next word's begin
        if ids[p] >= 0:
            where[starts[ids[p] + 1]] = p - first
            starts[ids[p] + 1] += 1
    return -1


@pasted
def note(j, more, sums, bits):
    sums[j] += more
    bits[j // BITS] |= ONE << u64(j % BITS)


@pasted
def collect(i, sums, bits, columns, found, n):
    """Write out what row i holds in its columns 0 … i, in order, and leave sums and bits empty. Returns the entries so far."""
    for block in range(i // BITS + 1):
        left = bits[block]
        bits[block] = 0
        while left:
            j = block * BITS + lowest(left)
            left &= left - ONE
            columns[n], found[n] = j, sums[j]
            sums[j] = 0
            n += 1
    return n


@compiled
def gather(ids, origin, where, starts, rows, weights, sums, bits, columns, found, ends):
    """Rows first … last - 1 of what ids hold around the places origin + where[…] (see `places`).

    rows        (first, last)
    weights     (window + 1,) int64: what a neighbour at each distance adds
    sums, bits  zeros, int64 and uint64, of room(V) words: what lies beyond V is never written out
    columns, found, ends  filled: row i's entries end at ends[i - first]; returns the entries
    """
    first, last = rows
    beyond = i64(sums.shape[0] - 1)
    n = 0
    for i in range(first, last):
        for k in range(starts[i], starts[i + 1]):
            p = origin + where[k]
            if k + AHEAD < starts[last]:
                ahead = origin + where[k + AHEAD]
                fetch(ids, max(ahead - weights.shape[0], 0))
                fetch(ids, ahead)
            for d in range(1, min(weights.shape[0], ids.shape[0] - p)):
                j = i64(ids[p + d])
                if j < 0:  # the sentence ends
                    break
                note(j if j <= i else beyond, weights[d], sums, bits)
            for d in range(1, min(weights.shape[0], p + 1)):
                j = i64(ids[p - d])
                if j < 0:
                    break
                note(j if j < i else beyond, weights[d], sums, bits)  # a word beside itself was counted from the left one
        n = collect(i, sums, bits, columns, found, n)
        ends[i - first] = n
    return n


@compiled
def add(columns, found, starts, rows, sums, bits, all_columns, all_found, ends):
    """Rows first … last - 1 of several counts together; starts (counts, last - first + 1): where row i lies in each."""
    first, last = rows
    n = 0
    for i in range(first, last):
        for part in range(starts.shape[0]):
            for k in range(starts[part, i - first], starts[part, i - first + 1]):
                note(i64(columns[k]), found[k], sums, bits)
        n = collect(i, sums, bits, all_columns, all_found, n)
        ends[i - first] = n
    return n


@compiled
def lay(columns, found, starts, order, first, band_of, unit, random, ends, to_rows, to_columns, to_values):
    """The entries of a band of rows in the order of training: tile by tile, in a tile word by word as `order` has them.

    columns, found  those of all rows of the band, row first + r at starts[r] : starts[r + 1]; shuffled within each row
    band_of         (V,) the band of a column, whose tile begins at ends[band]; it ends there afterwards
    unit            what sums are whole numbers of; a word beside itself counts from both sides, as X[i, i]
    random          (1,) uint64, the state of the shuffle
    """
    for r in order:
        i = first + r
        for k in range(starts[r + 1] - 1, starts[r] - 1, -1):
            random[0] = random[0] * u64(6364136223846793005) + u64(1442695040888963407)  # Knuth's linear congruence
            other = starts[r] + i64((random[0] >> u64(33)) * u64(k + 1 - starts[r]) >> u64(31))
            j, value = columns[other], found[other]
            columns[other], found[other] = columns[k], found[k]
            n = ends[band_of[j]]
            ends[band_of[j]] += 1
            to_rows[n], to_columns[n] = i, j
            to_values[n] = f32(value / unit * (2 if i == j else 1))
