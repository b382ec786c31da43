"""From where a net looked to which word stands for which: symbols grouped into words, words aligned, a dictionary counted.

A word is what `tokens.py` cuts, as long as each of its words begins where a symbol does: a symbol of more than one word
("sat.", where symbols are words) keeps them together. A symbol belongs to the word of its first letter; blanks to none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from .data import tokens
from .data.vocab import WORDS, Codec

LETTER = re.compile(r"\S")


class Words(NamedTuple):
    """The words of a sentence of S symbols."""

    texts: list[str]
    of: np.ndarray  # (S,) the word that each symbol is part of; -1: of none


class Aligned(NamedTuple):
    """Which of a sentence's words stand for which of its translation's."""

    source: list[str]
    target: list[str]
    pairs: list[tuple[int, int]]  # (i, j): source word i stands for target word j


def symbols(codec: Codec, pieces: Sequence[str]) -> list[str]:
    """The texts of a sentence's symbols with the blanks between them, also where these are not said."""
    return [f" {piece}" if i else piece for i, piece in enumerate(pieces)] if codec.kind in WORDS else list(pieces)


def words(codec: Codec, ids: Sequence[int], symbols: Sequence[str]) -> Words:
    """The words of a sentence, given as ids and as the text of each, with blanks."""
    added = _added(codec, ids, symbols)
    text, begins = "".join(added), accumulate(map(len, added[:-1]), initial=0)
    # of a piece that ends inside a character, that character comes with a later one
    letters = [LETTER.search(text, begin) if symbol.strip() else None for symbol, begin in zip(symbols, begins, strict=False)]
    starts = np.array([letter.start() if letter else -1 for letter in letters], int)  # of each symbol, past its blanks
    borders = sorted({token.start for token in tokens.tokenise(text)} & set(starts.tolist()))
    texts = [text[begin:end].strip() for begin, end in pairwise([*borders, len(text)])]
    return Words(texts, np.where(starts < 0, -1, np.searchsorted(borders, starts, "right") - 1))


def _added(codec: Codec, ids: Sequence[int], symbols: Sequence[str]) -> list[str]:
    """What each symbol adds to the text."""
    if codec.kind in ("characters", *WORDS):
        return list(symbols)
    piece = codec.decoder()
    texts = [piece(int(i)) for i in ids]
    return [*texts[:-1], *(text + piece(None) for text in texts[-1:])]


def between(weights: np.ndarray, source: Words, target: Words) -> np.ndarray:
    """Weights of words (J, I) from those of symbols (T, S): a word is looked at as much as its symbols together, and looks
    where its symbols do in the mean (Clark et al. 2019). What is of no word is left out."""
    inside_source, inside_target = (one.of[:, None] == np.arange(len(one.texts)) for one in (source, target))
    return (inside_target / inside_target.sum(0)).T @ weights @ inside_source


def align(weights: np.ndarray, source: Words, target: Words, least: float = 0.0) -> Aligned:
    """Each target word with the source word it looked at most, if that has at least the weight `least`."""
    found = between(weights, source, target)
    most = found.argmax(1) if source.texts else np.zeros(0, int)  # the first of equals
    pairs = [(int(i), j) for j, i in enumerate(most) if found[j, i] >= least]
    return Aligned(source.texts, target.texts, pairs)


def pharaoh(pairs: Iterable[tuple[int, int]]) -> str:
    """Pairs as aligners exchange them: `0-0 1-2`, source word first, counted from 0."""
    return " ".join(f"{i}-{j}" for i, j in pairs)


class Dictionary:
    """The target word that stood most often for each source word: the floor of a translation, word by word."""

    def __init__(self, best: dict[str, str]):
        self.best = best

    @classmethod
    def counted(cls, some: Iterable[Aligned]) -> Dictionary:
        """Of aligned sentences; of target words that stood equally often for a word, the one met first."""
        counts: dict[str, Counter[str]] = {}
        for source, target, pairs in some:
            for i, j in pairs:
                counts.setdefault(source[i], Counter())[target[j]] += 1
        return cls({word: found.most_common(1)[0][0] for word, found in counts.items()})

    def translate(self, text: str) -> str:
        """The text with every word that is known replaced; what is not known, and white space, stays."""
        return re.sub(r"\S+", lambda run: self._replaced(run[0]), text)

    def _replaced(self, run: str) -> str:
        """A run without white space: a word as it stands, else the words in it."""
        if run in self.best:
            return self.best[run]
        return "".join(self.best.get(token.text, token.text) for token in tokens.tokenise(run))
