"""Phrases: words that stand together more often than chance has it become one word, `new_york` (Mikolov et al. 2013)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..kernels import phrases as kernel
from .batch import open_map, write

MOST_HELD = 20_000_000  # different pairs held before rare ones are left out
AT_ONCE = 1 << 22  # numbers rewritten at a time


def join(path: Path, words: list[str], counts: np.ndarray, account: dict, least: int, score: float) -> tuple:
    """Join each pair (a, b) with (n_ab - least) · N / (n_a · n_b) above `score`; rewrites the file of numbers.

    Returns the words with the phrases behind them, the counts of both, the file's account. A number below zero (a sentence's
    end, a rare word) stands between words.
    """
    ids = open_map(path, account)
    keys, values = pairs(ids)
    held = np.flatnonzero((keys != kernel.EMPTY) & (values >= max(2, least)))
    left, right = (keys[held] >> np.uint64(32)).astype(np.int64), (keys[held] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    scores = (values[held] - least) / counts[left] / counts[right] * counts.sum()
    found = np.flatnonzero(scores > score)
    found = found[np.lexsort((right[found], left[found]))]  # an order that does not depend on the table's
    numbers = {(int(left[i]), int(right[i])): len(words) + n for n, i in enumerate(found)}
    phrases = [f"{words[a]}_{words[b]}" for a, b in numbers]
    keys, values = table(2 * len(numbers) + 2)
    for (a, b), number in numbers.items():
        place, key = kernel.place_of(keys, a, b)
        keys[place], values[place] = key, number
    joined = path.with_name(f"{path.name}-joined")
    total = np.zeros(len(words) + len(phrases), np.int64)
    account = write(joined, np.dtype(np.int32), rewritten(ids, keys, values, total))
    joined.replace(path)
    return words + phrases, total, account


def pairs(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each pair of neighbours stands in the text: (keys, values) of kernels.phrases."""
    keys, values = table(1 << 16)
    at, used, least = 0, 0, 1
    while True:
        at, used = kernel.count(ids, at, keys, values, used, len(keys) // 2)
        if at + 1 >= len(ids):
            return keys, values
        full = used >= MOST_HELD
        least += full
        larger = table(len(keys) if full else 2 * len(keys))
        used = kernel.move(keys, values, *larger, least)
        keys, values = larger


def table(room: int) -> tuple[np.ndarray, np.ndarray]:
    size = 1 << max(4, (room - 1).bit_length())
    return np.full(size, kernel.EMPTY), np.zeros(size, np.int32)


def rewritten(ids: np.ndarray, keys: np.ndarray, values: np.ndarray, total: np.ndarray) -> Iterator[np.ndarray]:
    """The text with its phrases joined, in pieces cut between words that are no pair; `total` counts what stands in it."""
    at = 0
    while at < len(ids):
        end = min(len(ids), at + AT_ONCE)
        while end < len(ids) and ids[end - 1] >= 0 and ids[end] >= 0 and is_pair(keys, ids[end - 1], ids[end]):
            end += 1
        out = np.empty(end - at, np.int32)
        out = out[: kernel.join(ids[at:end], keys, values, out)]
        total += np.bincount(out[out >= 0], minlength=len(total))
        yield out
        at = end


def is_pair(keys: np.ndarray, left: int, right: int) -> bool:
    return bool(keys[kernel.place_of(keys, left, right)[0]] != kernel.EMPTY)
