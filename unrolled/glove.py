"""GloVe as work for hogwild.train: Σ_ij f(X_ij) (θ_iᵀ e_j + b_i + b'_j - ln X_ij)² (Pennington et al. 2014).

A piece is a round of tiles that have no word in common; each tile is one thread's work, so that the result is the same for
any number of threads, and hogwild.train has one thread hand out the rounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .data.cooccurrences import Cooccurrences, rounds
from .hogwild import Done
from .kernels import glove as kernel

FLOOR = 2_000_000  # entries that the floor is measured on, at least


class Settings(NamedTuple):
    dimensions: int
    rate: float
    x_max: float
    power: float
    epochs: int
    seed: int
    threads: int
    keep_context: bool


class Glove:
    """θ, e and both biases, and the co-occurrences to fit them to; see hogwild.Work."""

    unit = "co-occurrences"

    def __init__(self, counts: np.ndarray, x: Cooccurrences, settings: Settings):
        self.counts, self.x, self.settings, self.epochs = counts, x, settings, settings.epochs
        self.rate_scale, self.rounds = 1.0, rounds(x, settings.seed, 0)
        self.pieces = len(self.rounds)
        self.parameters = kernel.start(x.vocabulary, settings.dimensions, settings.seed)

    def start(self) -> None:
        """kernel.start has drawn the first parameters."""

    def take(self, places: np.ndarray, vectors: np.ndarray, context: np.ndarray | None, ngrams: np.ndarray | None) -> None:
        """Go on from vectors (N, D), and θ where it is there, for the words at these places."""
        dimensions = self.settings.dimensions
        self.parameters[places, kernel.CONTEXT, :dimensions] = vectors
        self.parameters[places, kernel.WORD, :dimensions] = vectors if context is None else context

    # --- hogwild.Work

    def compile(self) -> None:
        nothing = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
        kernel.train(self.parameters, [nothing], 0.0, self.settings.x_max, self.settings.power)

    def begin_epoch(self, epoch: int) -> None:
        self.rounds = rounds(self.x, self.settings.seed, epoch)

    def piece(self, number: int, thread: int) -> Done:
        return self._pass([self.x.tile(n) for n in self.rounds[number % self.pieces]], self.settings.rate * self.rate_scale)

    def _pass(self, tiles: list[kernel.Tile], rate: float) -> Done:
        settings = self.settings
        loss = kernel.train(self.parameters, tiles, rate, settings.x_max, settings.power, settings.threads)
        entries = sum(2 * len(X) - int((rows == columns).sum()) for rows, columns, X in tiles)
        return Done(entries, entries, loss)

    def measures(self) -> dict[str, float]:
        """The loss a co-occurrence, nothing moved: a pass over all of them, which are those trained on; none are held out."""
        done = [self._pass([self.x.tile(n) for n in numbers], 0.0) for numbers in self.rounds]
        return {"training_weighted_squares": sum(d.loss for d in done) / sum(d.counted for d in done)}

    def weights(self) -> dict[str, np.ndarray]:
        found = {"vectors": kernel.vectors(self.parameters, self.settings.dimensions), "counts": self.counts}
        if self.settings.keep_context:
            found["context"] = self.parameters[:, kernel.WORD, : self.settings.dimensions]
        return {name: np.ascontiguousarray(array) for name, array in found.items()}

    def state(self) -> dict[str, np.ndarray]:
        return {"parameters": self.parameters}

    def restore(self, weights: dict[str, np.ndarray], state: dict[str, np.ndarray]) -> None:
        self.parameters[:] = state["parameters"]


def of_counts_alone(counts: np.ndarray, x: Cooccurrences, settings: Settings) -> float:
    """The loss a co-occurrence if words stood near each other by chance: ln X_ij = ln n_i + ln n_j + a constant, the best one.

    Measured on the first tiles that are seen, FLOOR entries or a little more.
    """
    logs, squares, seen = np.log(np.maximum(counts, 1)), [], 0
    for numbers in rounds(x, settings.seed, 0):
        for n in numbers:
            rows, columns, X = x.tile(n)
            squares.append((np.log(X) - logs[rows] - logs[columns], kernel.weight(X, settings.x_max, settings.power)))
            seen += len(X)
        if seen > FLOOR:
            break
    wrong, f = (np.concatenate(parts) for parts in zip(*squares, strict=True))
    return float((f * (wrong - (f * wrong).sum() / f.sum()) ** 2).sum() / len(f))
