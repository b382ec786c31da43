"""word2vec as work for hogwild.train: p(t|c) = softmax(θ_tᵀ e_c), e and θ learned together (Mikolov et al. 2013).

skip-gram: each word around a target predicts it; cbow: their mean does. The softmax is estimated from negatives, taken along
Huffman's tree, or exact. With subwords a word read is the mean of its own row and those of its n-grams (Bojanowski et al. 2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .data.subwords import ngrams
from .hogwild import Done
from .kernels import tree
from .kernels import word2vec as kernel

OUTPUTS = {"negatives": kernel.NEGATIVES, "tree": kernel.TREE, "softmax": kernel.SOFTMAX}
PIECES, LEAST_PIECE, MOST_PIECE = 64, 2_000, 200_000  # an epoch is cut into so many, of so many words each
HELD_OUT = 200_000  # words at the text's end that are not trained on, at most
LEAST_RATE = 1e-4  # of the rate, at the end
POOL = 1 << 22  # negatives drawn for an epoch, at least; read one after the other from a random place
NEVER_FREQUENT = 0.75  # power of the counts that negatives are drawn by


class Settings(NamedTuple):
    dimensions: int
    cbow: bool
    output: str
    window: int
    negatives: int
    sample: float | None
    rate: float
    epochs: int
    seed: int
    threads: int
    shortest: int | None  # n-grams, in characters; None without subwords
    longest: int | None
    buckets: int
    keep_context: bool


class Word2vec:
    """The arrays e (x) and θ (y) and a text to train them on; see hogwild.Work."""

    unit = "words"

    def __init__(self, words: list[str], counts: np.ndarray, ids: np.ndarray, settings: Settings):
        self.words, self.counts, self.settings, self.epochs = len(words), counts, settings, settings.epochs
        held_out = min(HELD_OUT, max(len(ids) // 100, min(1000, len(ids) // 10)))
        self.ids, self.held_out = ids[: len(ids) - held_out], ids[len(ids) - held_out :]
        self.piece_size = max(LEAST_PIECE, min(MOST_PIECE, len(self.ids) // PIECES))
        self.pieces = max(1, -(-len(self.ids) // self.piece_size))
        self.size = row_size(settings.dimensions)
        self.kind, self.rate_scale, self.epoch = OUTPUTS[settings.output], 1.0, -1
        self.tree, self.outputs = (np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.float32)), settings.negatives
        if settings.output == "tree":
            self.tree, self.outputs = tree.build(counts)
        self.pieces_of_words = subword_rows(words, settings)
        self.x = aligned_zeros((self.words + (settings.buckets if settings.shortest else 0)) * self.size)
        self.y = aligned_zeros((self.words + settings.threads) * self.size)
        self.keep = kept(counts, settings.sample)
        self.pool = np.zeros(1, np.int32)

    def start(self) -> None:
        """Fresh rows: e uniform in ±1/2D, θ zero (word2vec.c)."""
        random = np.random.default_rng(self.settings.seed)
        rows, dimensions = self.x.reshape(-1, self.size), self.settings.dimensions
        for at in range(0, len(rows), 1 << 16):  # in parts: no second array of all rows
            part = rows[at : at + (1 << 16), :dimensions]
            part[:] = (random.random(part.shape, np.float32) - 0.5) / dimensions

    def take(self, places: np.ndarray, vectors: np.ndarray, context: np.ndarray | None, ngrams: np.ndarray | None) -> None:
        """Go on from vectors (N, D) for the words at these places; from θ and the n-grams' rows too, where they are there.

        With subwords a word's own row becomes what makes the mean of all its rows its vector.
        """
        dimensions = self.settings.dimensions
        x, (starts, rows) = self.x.reshape(-1, self.size)[:, :dimensions], self.pieces_of_words
        x[places] = vectors
        if ngrams is not None and ngrams.shape == x[self.words :].shape:
            x[self.words :] = ngrams
        for place, vector in zip(places, vectors, strict=True) if self.settings.shortest else ():
            others = rows[starts[place] + 1 : starts[place + 1]]
            x[place] = vector * (len(others) + 1) - x[others].sum(0)
        if context is not None and self.kind != kernel.TREE:
            self.y.reshape(-1, self.size)[places, :dimensions] = context

    # --- hogwild.Work

    def compile(self) -> None:
        self._train(self.ids, 0, 0, 0, 1, (0.0, 0.0))

    def begin_epoch(self, epoch: int) -> None:
        if epoch != self.epoch and self.kind == kernel.NEGATIVES:
            self.pool = np.zeros(max(POOL, 8 * self.words), np.int32)
            kernel.fill(self.pool, np.cumsum(self.counts**NEVER_FREQUENT), np.uint64(hash((self.settings.seed, epoch)) % 2**64))
        self.epoch = epoch

    def piece(self, number: int, thread: int) -> Done:
        begin = number % self.pieces * self.piece_size
        rates = [self.settings.rate * self.rate_scale * self._left(n) for n in (number, number + 1)]
        seed = hash((self.settings.seed, number)) % 2**64
        end = min(begin + self.piece_size, len(self.ids))
        _, counted, loss = self._train(self.ids, begin, end, thread, seed, (rates[0], rates[1]))
        return Done(end - begin, counted, loss)

    def _left(self, number: int) -> float:
        return max(LEAST_RATE, 1 - number / (self.pieces * self.epochs))

    def _train(self, ids: np.ndarray, begin: int, end: int, thread: int, seed: int, rates: tuple[float, float]) -> tuple:
        return kernel.train(
            ids, begin, end, self.x, self.y, self.size, self.keep, self.pool, self.tree, self.pieces_of_words, self.kind,
            self.settings.cbow, self.settings.window, self.outputs, self.words, (self.words + thread) * self.size,
            np.uint64(seed), rates,
        )  # fmt: skip

    def measures(self) -> dict[str, float]:
        """The loss on the held-out end of the text, nothing moved."""
        self.begin_epoch(self.epoch if self.epoch >= 0 else self.epochs - 1)  # a run may be resumed at its very end
        _, counted, loss = self._train(self.held_out, 0, len(self.held_out), 0, 1, (0.0, 0.0))
        return {"nats_per_pair": loss / counted} if counted else {}

    def weights(self) -> dict[str, np.ndarray]:
        """What a run is used for: the words' vectors, finished, their counts, θ, and the n-grams' rows."""
        x, y = (rows.reshape(-1, self.size)[:, : self.settings.dimensions] for rows in (self.x, self.y))
        found = {"vectors": x[: self.words], "counts": self.counts}
        if self.settings.shortest:
            found = {"vectors": self._composed(x), "counts": self.counts, "ngrams": x[self.words :]}
        if self.settings.keep_context:
            found["context"] = y[: self.words]
        return {name: np.ascontiguousarray(array) for name, array in found.items()}

    def _composed(self, x: np.ndarray) -> np.ndarray:
        starts, rows = self.pieces_of_words
        vectors = np.empty((self.words, x.shape[1]), np.float32)
        for word in range(self.words):
            vectors[word] = x[rows[starts[word] : starts[word + 1]]].mean(0)
        return vectors

    def state(self) -> dict[str, np.ndarray]:
        """What training needs beside: whole rows."""
        return {"e": self.x, "theta": self.y}

    def restore(self, weights: dict[str, np.ndarray], state: dict[str, np.ndarray]) -> None:
        self.x[:], self.y[:] = state["e"], state["theta"]


def row_size(dimensions: int) -> int:
    """Numbers a row takes: whole cache lines and registers."""
    return -(-dimensions // kernel.A_ROW) * kernel.A_ROW


def aligned_zeros(size: int) -> np.ndarray:
    """float32 zeros that begin with a cache line."""
    array = np.zeros(size + 16, np.float32)
    return array[-array.ctypes.data // 4 % 16 :][:size]


def kept(counts: np.ndarray, sample: float | None) -> np.ndarray:
    """Of each word, the draws of 31 bits below which it is read: all, or √(s/f) + s/f of them for share f (word2vec.c)."""
    if sample is None:
        return np.full(len(counts), 2**31, np.int64)
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    return np.minimum((np.sqrt(ratio) + ratio) * 2**31, 2**31).astype(np.int64)


def subword_rows(words: list[str], settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """(starts, rows): the rows of e that make up each word, its own first; empty without subwords."""
    if settings.shortest is None:
        return np.zeros(1, np.int64), np.zeros(0, np.int32)
    rows = [
        [i, *(len(words) + n for n in ngrams(word, settings.shortest, settings.longest, settings.buckets))]
        for i, word in enumerate(words)
    ]
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return starts, np.concatenate(rows).astype(np.int32)


def of_counts_alone(counts: np.ndarray, ids: np.ndarray, settings: Settings) -> float:
    """The loss on these words for who knows nothing but how often each stands in a text: the floor beside every loss.

    With all words or a tree as outputs that is -log p(t). With K negatives from q a word is the target with p(t), a negative
    with K q(t) (1 - p(t)), and the best σ is the part of the first.
    """
    keep = np.minimum(kept(counts, settings.sample) / 2**31, 1.0)
    p = counts * keep / (counts * keep).sum()
    p = np.maximum(p, 1e-12)
    seen = np.bincount(ids[ids >= 0], minlength=len(counts)) * keep
    seen = seen / max(1e-12, seen.sum())
    if settings.output != "negatives":
        return float(-(seen * np.log(p)).sum())
    q = counts**NEVER_FREQUENT
    q, K = q / q.sum(), settings.negatives
    share = p / (p + K * q * (1 - p))
    return float(-(seen * np.log(share)).sum() - K * (q * np.log1p(-share) * (1 - seen)).sum())
