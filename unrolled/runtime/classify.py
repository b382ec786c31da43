"""A classifier: the label of a text and how sure it is, as `unrolled predict` answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..data.vocab import UNKNOWN
from ..metrics import answers
from .opened import Opened, alike, padded


class Answer(NamedTuple):
    """What is answered to a text; to a blank one nothing."""

    text: str
    label: str | None = None  # the likeliest; of ordered labels the median, which is least far off on average
    probability: float | None = None
    likeliest: str | None = None
    probabilities: dict[str, float] | None = None


class Classifier:
    """`labels` has the names of the answers."""

    def __init__(self, opened: Opened):
        self.codec, self.graph, self.labels = opened.codec, opened.graph, opened.codec.labels
        self.lower, self.ordered = opened.settings["lower"], opened.settings["ordered"]

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """An answer to each text."""
        told = [Answer(text) for text in texts]
        full = [i for i, text in enumerate(texts) if text.strip()]
        if full:
            shares = self.probabilities([texts[i] for i in full])
            for i, label, row in zip(full, answers(shares, self.ordered), shares, strict=True):
                by_name = dict(zip(self.labels, row.tolist(), strict=True))
                told[i] = Answer(texts[i], self.labels[label], float(row[label]), self.labels[row.argmax()], by_name)
        return told

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Of each label, (N, K)."""
        rows = [self.codec.encode(text.lower() if self.lower else text) for text in texts]
        rows = [row if len(row) else np.array([UNKNOWN]) for row in rows]
        logits = np.zeros((len(rows), len(self.labels)))
        for some in alike(np.array([len(row) for row in rows])):
            ids, lengths = padded([rows[i] for i in some])
            logits[some] = self.graph({"ids": ids, "lengths": lengths})["logits"]
        e = np.exp(logits - logits.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)
