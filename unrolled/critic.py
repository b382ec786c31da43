"""What a caption earns while it is learnt: CIDEr-D beside the picture's own captions (Vedantam et al. 2015), as caption_scores
measures it, of captions given as ids.

How rare a run of symbols is comes from all pictures trained on, not from those of a step: of a few pictures, the commonest
runs would count as rare, and a net would learn to say these.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .caption_scores import ORDER, SIGMA

Ids = Sequence[int]


class Vector(NamedTuple):
    """A caption's runs of n symbols, each with its weight times its count, for n = 1 … ORDER."""

    values: list[dict[int, float]]
    norms: list[float]
    pairs: int  # of symbols: what CIDEr-D takes for the length


class Critic:
    """
    references  of each picture trained on, its captions
    """

    def __init__(self, references: Iterable[Sequence[Ids]]):
        seen: Counter[int] = Counter()
        self.pictures = 0
        for some in references:
            seen.update({run for ids in some for runs in _runs(ids) for run in runs})
            self.pictures += 1
        self.known, self.weights = np.array(sorted(seen), np.int64), np.empty(0)
        self.weights = math.log(max(1, self.pictures)) - np.log([seen[run] for run in self.known.tolist()])

    def __call__(self, captions: Sequence[Ids], references: Sequence[Ids]) -> np.ndarray:
        """CIDEr-D, 0 to 10, of each of a picture's captions (N,) beside its references, of which there is at least one."""
        others = [self._vector(ids) for ids in references]
        return np.array([np.mean([_alike(own, other) for other in others]) for own in map(self._vector, captions)])

    def _vector(self, ids: Ids) -> Vector:
        values = [self._weighted(runs) for runs in _runs(ids)]
        return Vector(values, [math.sqrt(sum(v * v for v in each.values())) for each in values], max(0, len(ids) - 1))

    def _weighted(self, runs: Counter[int]) -> dict[int, float]:
        asked = np.fromiter(runs, np.int64, len(runs))
        at = np.searchsorted(self.known, asked).clip(max=max(0, len(self.known) - 1))
        known = self.known[at] == asked if len(self.known) else np.zeros(len(asked), bool)
        rare = math.log(max(1, self.pictures))  # what no picture's captions have counts as if one's had it
        return {run: count * (self.weights[i] if k else rare) for (run, count), i, k in zip(runs.items(), at, known, strict=True)}


def _runs(ids: Ids) -> list[Counter[int]]:
    """Runs of n symbols, n = 1 … ORDER, each as a number: Python's hash of the tuple, the same in every process."""
    ids = list(ids)
    return [Counter(hash(tuple(ids[i : i + n])) for i in range(len(ids) - n + 1)) for n in range(1, ORDER + 1)]


def _alike(own: Vector, other: Vector) -> float:
    total = 0.0
    for mine, theirs, norm, norm_of_other in zip(own.values, other.values, own.norms, other.norms, strict=True):
        if norm and norm_of_other:
            total += sum(min(mine[run], v) * v for run, v in theirs.items() if run in mine) / (norm * norm_of_other)
    return 10 * total / ORDER * math.exp(-((own.pairs - other.pairs) ** 2) / (2 * SIGMA**2))
