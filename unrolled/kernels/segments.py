"""Words cut into pieces by chance: by merges of which some are left out, or along a path of pieces drawn backwards.

words (N)        numbers of words, text after text: text i has words[bounds[i] : bounds[i + 1]]
starts (W + 1)   word w has the letters starts[w] … starts[w + 1] - 1
seeds (texts)    where each text's random numbers begin; they are used up
ids, ends        out: the pieces of all texts, text i's up to ends[i + 1]; ids has room for a piece a letter
"""

from __future__ import annotations

import numpy as np

from .jit import compiled, inner
from .phrases import place_of
from .word2vec import draw

CHANCES = 1 << 31  # of draw()
NEVER = np.int32(2**31 - 1)  # the rank of a pair that no merge joins


@compiled
def rank_pairs(pairs, keys, ranks):
    """Put pairs (M, 2) into an empty table of 2ⁿ > M places: the rank of each is its row."""
    for rank in range(pairs.shape[0]):
        slot, key = place_of(keys, pairs[rank, 0], pairs[rank, 1])
        keys[slot] = key
        ranks[slot] = rank


@inner
def rank_of(keys, ranks, left, right):
    slot, key = place_of(keys, left, right)
    return ranks[slot] if keys[slot] == key else NEVER


@compiled
def merge(words, bounds, starts, seeds, ids, ends, letters, keys, ranks, joined, left_out):
    """Cut words by merges, each possible one left out with probability left_out / CHANCES at every step.

    letters  the id of each letter of each word
    joined   what the merge of each rank makes
    """
    longest = 1
    for w in range(starts.shape[0] - 1):
        longest = max(longest, starts[w + 1] - starts[w])
    possible = np.empty(longest, np.int32)
    n = 0
    for i in range(bounds.shape[0] - 1):
        for word in words[bounds[i] : bounds[i + 1]]:
            size = starts[word + 1] - starts[word]
            pieces = ids[n : n + size]
            pieces[:] = letters[starts[word] : starts[word + 1]]
            for j in range(size - 1):
                possible[j] = rank_of(keys, ranks, pieces[j], pieces[j + 1])
            n += join(pieces, possible, size, keys, ranks, joined, left_out, seeds[i : i + 1])
        ends[i + 1] = n


@inner
def join(pieces, possible, size, keys, ranks, joined, left_out, random):
    """Merge until no merge is possible, or all that are have been left out; returns how many pieces remain.

    Chance is asked only of a merge that would be the first so far: what it says of the others changes nothing.
    """
    while True:
        first, at = NEVER, -1
        for j in range(size - 1):
            if possible[j] < first and draw(random) >= left_out:
                first, at = possible[j], j
        if at < 0:
            return size
        pieces[at] = joined[first]
        size -= 1
        for j in range(at + 1, size):
            pieces[j] = pieces[j + 1]
            possible[j - 1] = possible[j]
        if at > 0:
            possible[at - 1] = rank_of(keys, ranks, pieces[at - 1], pieces[at])
        if at + 1 < size:
            possible[at] = rank_of(keys, ranks, pieces[at], pieces[at + 1])


@compiled
def walk(words, bounds, starts, seeds, ids, ends, edges, lengths, names, below):
    """Cut words from their ends to their beginnings, each time with a piece drawn from those that end there.

    edges (letters + 1)  the pieces that end with letter k are edges[k] … edges[k + 1] - 1
    lengths, names, below  of each such piece: its letters, its id, the probability of this one and those before it
    """
    n = 0
    for i in range(bounds.shape[0] - 1):
        random = seeds[i : i + 1]
        for word in words[bounds[i] : bounds[i + 1]]:
            k, begin = starts[word + 1] - 1, n
            while k >= starts[word]:
                chance, edge = draw(random) / CHANCES, edges[k]
                while below[edge] <= chance:
                    edge += 1
                ids[n] = names[edge]
                n += 1
                k -= lengths[edge]
            ids[begin:n] = ids[begin:n][::-1].copy()
        ends[i + 1] = n
