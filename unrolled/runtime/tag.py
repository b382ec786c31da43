"""A tagger: names in texts with how sure it is of each, as `unrolled predict` answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import named
from ..data import tagged
from ..data.vocab import UNKNOWN
from ..named import Answer, Read
from .field import best, marginals
from .opened import Opened, alike, padded


class Tagger:
    """`labels` has the tags."""

    def __init__(self, opened: Opened):
        self.codec, self.graph, self.labels = opened.codec, opened.graph, opened.codec.labels
        self.lower, self.spelling = opened.settings["lower"], opened.settings["spelling"]

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """The names in each text, read sentence by sentence."""
        cut = [tagged.of_text(text) for text in texts]
        read = iter(self.read([[token.text for token in words] for _, found in cut for words in found]))
        return [named.answer(self.labels, line, [(words, next(read)) for words in found]) for line, found in cut]

    def read(self, sentences: Sequence[Sequence[str]]) -> list[Read]:
        """The best tags of sentences of words, and how sure each is."""
        found: list[Read | None] = [None] * len(sentences)
        for some in alike(np.array([len(words) for words in sentences])):
            given = self._given([sentences[i] for i in some])
            made = self.graph(given)
            scores = made["start"], made["follows"], made["end"]
            for row, i in enumerate(some):
                emissions = made["emissions"][row, : given["lengths"][row]]
                found[i] = Read(best(emissions, *scores), marginals(emissions, *scores))
        return found

    def _given(self, sentences: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
        index = self.codec.index
        folded = [[word.lower() if self.lower else word for word in words] for words in sentences]
        ids, lengths = padded([np.array([index.get(word, UNKNOWN) for word in words]) for words in folded])
        if not self.spelling:
            return {"ids": ids, "lengths": lengths}
        letters, _ = padded([named.spelled(word) for words in sentences for word in words])
        spelling = np.zeros((*ids.shape, letters.shape[1]), np.int64)
        spelling[np.arange(ids.shape[1]) < lengths[:, None]] = letters
        return {"ids": ids, "lengths": lengths, "spelling": spelling}
