"""Edit distances of many pairs of sequences of ids, and the ways they stand for (Levenshtein 1966; Wagner and Fischer 1974).

A cost is errors · 2³² + substitutions: of all ways with the fewest errors the one that leaves the most symbols as they are.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled, inner

ERROR = 1 << 32
SAME, SUBSTITUTED, DELETED, INSERTED = range(4)


def counts(said: np.ndarray, said_borders: np.ndarray, meant: np.ndarray, meant_borders: np.ndarray) -> np.ndarray:
    """Symbols that are the same, substituted, deleted, inserted in each of N pairs (N, 4).

    said holds the ids of all sequences one after the other, sequence i from said_borders[i] to said_borders[i + 1]; meant those
    that they should be.
    """
    found = np.empty((len(said_borders) - 1, 4), np.int64)
    _counts(said, said_borders, meant, meant_borders, found)
    return found


def path(said: np.ndarray, meant: np.ndarray) -> np.ndarray:
    """What is done to the symbols of `meant` (M,), in order, to make `said` (N,): SAME, SUBSTITUTED, DELETED, INSERTED."""
    return _path(said, meant)[::-1]


@inner
def next_row(before, row, symbol, said):
    """Costs of `said` up to each place against one symbol more; before, row (N + 1)."""
    row[0] = before[0] + ERROR
    for j in range(said.size):
        changed = before[j] + (0 if said[j] == symbol else ERROR + 1)
        row[j + 1] = min(changed, min(before[j + 1], row[j]) + ERROR)


@compiled
def _counts(said, said_borders, meant, meant_borders, found):
    longest = 0
    for i in range(len(found)):
        longest = max(longest, said_borders[i + 1] - said_borders[i])
    rows = np.empty((2, longest + 1), np.int64)
    for i in range(len(found)):
        one, other = (
            said[said_borders[i] : said_borders[i + 1]],
            meant[meant_borders[i] : meant_borders[i + 1]],
        )
        N, M = one.size, other.size
        for j in range(N + 1):
            rows[0, j] = j * ERROR
        for k in range(M):
            next_row(rows[k % 2], rows[1 - k % 2], other[k], one)
        cost = rows[M % 2, N]
        errors, substituted = cost // ERROR, cost % ERROR
        deleted = (errors - substituted + M - N) // 2  # deleted + inserted, and deleted - inserted = M - N
        found[i, SAME], found[i, SUBSTITUTED] = M - substituted - deleted, substituted
        found[i, DELETED], found[i, INSERTED] = deleted, deleted + N - M


@compiled
def _path(said, meant):
    """From the last symbol to the first."""
    N, M = said.size, meant.size
    rows, done = np.empty((M + 1, N + 1), np.int64), np.empty(N + M, np.int64)
    for j in range(N + 1):
        rows[0, j] = j * ERROR
    for k in range(M):
        next_row(rows[k], rows[k + 1], meant[k], said)
    k, j, size = M, N, 0
    while k > 0 or j > 0:
        what = INSERTED
        if k > 0 and j > 0 and rows[k, j] == rows[k - 1, j - 1] + (0 if said[j - 1] == meant[k - 1] else ERROR + 1):
            what = SAME if said[j - 1] == meant[k - 1] else SUBSTITUTED
        elif k > 0 and rows[k, j] == rows[k - 1, j] + ERROR:
            what = DELETED
        k -= what != INSERTED
        j -= what != DELETED
        done[size] = what
        size += 1
    return done[:size]
