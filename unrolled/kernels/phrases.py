"""Pairs of neighbouring words: counted in a hash table; joined where a pair is a phrase (word2phrase, Mikolov et al. 2013)."""

from __future__ import annotations

import numpy as np

from .jit import compiled

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio (Knuth's multiplicative hashing)
u64, i64 = np.uint64, np.int64


@compiled
def place_of(keys, left, right):
    """Where the pair stands in the table, or the free place that it would take, and its key."""
    key = u64(left) << u64(32) | u64(right)
    mask = u64(keys.shape[0] - 1)
    mixed = key * MIX
    slot = (mixed ^ (mixed >> u64(32))) & mask
    while keys[slot] != EMPTY and keys[slot] != key:
        slot = (slot + u64(1)) & mask
    return slot, key


@compiled
def count(ids, at, keys, values, used, most):
    """Count the pairs from ids[at:] on until `most` different ones are held; returns (where it stopped, how many are held)."""
    while at + 1 < ids.shape[0] and used < most:
        left, right = ids[at], ids[at + 1]
        at += 1
        if left >= 0 and right >= 0:
            slot, key = place_of(keys, left, right)
            if keys[slot] == EMPTY:
                keys[slot] = key
                used += 1
            values[slot] += 1
    return at, used


@compiled
def move(keys, values, new_keys, new_values, least):
    """Take the pairs counted `least` times or more over into another table; returns how many."""
    used = 0
    for i in range(keys.shape[0]):
        if keys[i] != EMPTY and values[i] >= least:
            slot, key = place_of(new_keys, i64(keys[i] >> u64(32)), i64(keys[i] & u64(0xFFFFFFFF)))
            new_keys[slot] = key
            new_values[slot] = values[i]
            used += 1
    return used


@compiled
def join(ids, keys, values, out):
    """Write ids with each pair of the table as one id (values), from left to right; returns how many."""
    n, at, last = 0, 0, ids.shape[0] - 1
    while at <= last:
        out[n] = ids[at]
        if at < last and ids[at] >= 0 and ids[at + 1] >= 0:
            slot, _ = place_of(keys, ids[at], ids[at + 1])
            if keys[slot] != EMPTY:
                out[n] = values[slot]
                at += 1
        at += 1
        n += 1
    return n
