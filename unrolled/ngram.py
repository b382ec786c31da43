"""The counting baseline of language modelling: an n-gram with interpolated Kneser-Ney smoothing (Chen and Goodman 1999)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: a multiplier that spreads neighbouring keys
DISCOUNT = 0.75


class Counts(NamedTuple):
    """What was seen after contexts of one length. Contexts and pairs (context and next symbol) are sorted 64-bit hashes."""

    pairs: np.ndarray
    pair_counts: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray  # symbols seen after each context
    kinds: np.ndarray  # different symbols seen after each context


def nats(train: np.ndarray, text: np.ndarray, symbols: int, order: int) -> np.ndarray:
    """Surprise in nats of each symbol of `text` after counting `train`; ids (N,), (M,) -> (M,).

    p_k(x | context of k) = (max(count(context x) - D, 0) + D kinds(context) p_{k-1}(x)) / count(context), down to the
    uniform distribution over `symbols`. The longest contexts count occurrences, shorter ones count different
    left-hand neighbours.
    """
    seen, asked = contexts(train, order), contexts(text, order)
    tables = []
    events = np.arange(len(train))
    for k in reversed(range(order)):
        table, first = count(seen[k][events], train[events])
        tables.append(table)
        events = events[first]  # each longer pair once: its shorter pair is counted by left-hand neighbours
    p = np.full(len(text), 1 / symbols)
    for k, table in enumerate(reversed(tables)):
        p = interpolate(p, table, asked[k], text)
    return -np.log(p)


def contexts(ids: np.ndarray, order: int) -> list[np.ndarray]:
    """The hashes of the 0, 1, … order - 1 symbols before each place."""
    found = [np.zeros(len(ids), np.uint64)]
    for k in range(1, order):
        back = np.zeros(len(ids), np.uint64)  # the symbol k places back; 0 before the text's start
        back[k:] = ids[:-k].astype(np.uint64) + np.uint64(1)
        mixed = (found[-1] ^ back) * SPREAD
        found.append(mixed ^ (mixed >> np.uint64(29)))
    return found


def pair(context: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return (context + ids.astype(np.uint64)) * SPREAD


def count(context: np.ndarray, ids: np.ndarray) -> tuple[Counts, np.ndarray]:
    """The table of (context, next symbol) events, and where each different pair first stands."""
    pairs, first, pair_counts = np.unique(pair(context, ids), return_index=True, return_counts=True)
    found, inverse, kinds = np.unique(context[first], return_inverse=True, return_counts=True)
    return Counts(pairs, pair_counts, found, np.bincount(inverse, pair_counts), kinds), first


def interpolate(p: np.ndarray, table: Counts, context: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """p_{k-1} of each symbol -> p_k; a context never seen leaves it as it is."""
    at = np.minimum(np.searchsorted(table.contexts, context), len(table.contexts) - 1)
    asked = pair(context, ids)
    pair_at = np.minimum(np.searchsorted(table.pairs, asked), len(table.pairs) - 1)
    counted = np.where(table.pairs[pair_at] == asked, table.pair_counts[pair_at] - DISCOUNT, 0.0)
    known = table.contexts[at] == context
    return np.where(known, (counted + DISCOUNT * table.kinds[at] * p) / table.totals[at], p)
