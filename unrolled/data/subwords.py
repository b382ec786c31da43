"""Subwords: the runs of characters in a word whose vectors make up its own (Bojanowski et al. 2017).

They are numbered as fastText numbers them, so that rows are found again by its own hash.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BASIS, PRIME, MASK = 2166136261, 16777619, 0xFFFFFFFF  # of FNV-1a in 32 bits


def ngrams(word: str, shortest: int, longest: int, buckets: int) -> list[int]:
    """The rows in 0 … buckets - 1 of the runs of `shortest` to `longest` characters in `<word>`, in fastText's order.

    A mark alone, `<` or `>`, is no subword.
    """
    found = []
    marked = [character.encode("utf-8", "surrogatepass") for character in f"<{word}>"]
    for begin in range(len(marked)):
        hashed = BASIS
        for end in range(begin, min(begin + longest, len(marked))):
            for byte in marked[end]:
                # fastText hashes signed bytes: one of 128 and more sets the 24 bits above it too
                hashed = ((hashed ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * PRIME) & MASK
            alone = end == begin and begin in (0, len(marked) - 1)
            if end - begin + 1 >= shortest and not alone:
                found.append(hashed % buckets)
    return found


class Subwords(NamedTuple):
    """Vectors of subwords, which give one to words that were never seen."""

    rows: np.ndarray  # (buckets, D)
    shortest: int
    longest: int

    def vector(self, word: str) -> np.ndarray | None:
        """The mean of the word's subwords (D,), as fastText has it; None for a word too short to have one."""
        chosen = ngrams(word, self.shortest, self.longest, len(self.rows))
        return self.rows[chosen].mean(0, dtype=np.float32) if chosen else None
