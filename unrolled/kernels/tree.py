"""Huffman's tree over words (Huffman 1952), for the hierarchical softmax: frequent words have short ways down."""

from __future__ import annotations

import numpy as np

from .jit import compiled


@compiled
def huffman(counts, parents, turns):
    """The parents (2V - 1,) and the turn taken there, 0 left or 1 right, of words (by falling count) and then inner nodes."""
    words = counts.shape[0]
    totals = np.empty(2 * words - 1, np.int64)
    for i in range(words):
        totals[i] = counts[i]
    leaf, inner = words - 1, words  # the rarest word, and the lightest inner node, not yet below another
    for node in range(words, 2 * words - 1):
        total = 0
        for turn in range(2):
            if leaf >= 0 and (inner >= node or totals[leaf] < totals[inner]):
                child = leaf
                leaf -= 1
            else:
                child = inner
                inner += 1
            total += totals[child]
            parents[child] = node
            turns[child] = turn
        totals[node] = total


@compiled
def lengths(parents, words, starts):
    """starts (V + 1,) of each word's path, one behind the other; returns the longest path's length."""
    root, longest = parents.shape[0] - 1, 0
    starts[0] = 0
    for word in range(words):
        node, steps = word, 0
        while node != root:
            node = parents[node]
            steps += 1
        starts[word + 1] = starts[word] + steps
        longest = max(longest, steps)
    return longest


@compiled
def paths(parents, turns, words, starts, nodes, ways):
    """Each word's inner nodes, numbered from 0 (the order does not matter), and the turns taken at them."""
    root = parents.shape[0] - 1
    for word in range(words):
        node, at = word, starts[word]
        while node != root:
            ways[at] = turns[node]
            node = parents[node]
            nodes[at] = node - words
            at += 1


def build(counts: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int]:
    """((starts, nodes, turns) as kernels.word2vec takes them, the longest path) of words given by falling count."""
    words = len(counts)
    parents, turns = np.zeros(2 * words - 1, np.int32), np.zeros(2 * words - 1, np.float32)
    huffman(np.maximum(counts, 1), parents, turns)
    starts = np.zeros(words + 1, np.int64)
    longest = lengths(parents, words, starts)
    nodes, ways = np.zeros(starts[-1], np.int32), np.zeros(starts[-1], np.float32)
    paths(parents, turns, words, starts, nodes, ways)
    return (starts, nodes, ways), longest
