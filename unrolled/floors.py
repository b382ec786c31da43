"""What a classifier without a net reaches: the labels' shares, and logistic regression on words and pairs of neighbours.

Texts are rows of word numbers, given as one array and its borders: row i is ids[bounds[i] : bounds[i + 1]].
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .data.batch import Rows
from .errors import UserError

C = 2.0  # what the examples weigh against the pull to zero, as scikit-learn's LogisticRegression counts it
STEPS, FLAT = 100, 1e-5  # of L-BFGS: most of them, and the largest number of a gradient that counts as none
WORDS = 8_000_000  # about the most that are fitted to, in rows drawn from all: memory stays near a gigabyte
FEATURES = 1_000_000  # where there are more different ones, those that stand there once are left out


def majority(labels: np.ndarray, kinds: int) -> np.ndarray:
    """The labels' shares (K,), each counted once more than it occurs (Laplace), so that none is impossible."""
    counts = np.bincount(labels, minlength=kinds) + 1.0
    return counts / counts.sum()


# --- a sparse matrix


@dataclasses.dataclass(frozen=True)
class Sparse:
    """Row i has `values` in the `columns` of bounds[i] … bounds[i + 1] - 1, and zeros elsewhere."""

    values: Tensor  # (Z,) float32
    columns: Tensor  # (Z,)
    bounds: Tensor  # (N + 1,)

    def times(self, dense: Tensor) -> Tensor:
        """(N, F) times (F, K) -> (N, K): sums of weighted rows, which torch calls a bag of embeddings."""
        return F.embedding_bag(
            self.columns, dense, self.bounds, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def transposed(self, width: int) -> Sparse:
        rows = torch.repeat_interleave(self.bounds.diff())
        order = torch.argsort(self.columns, stable=True)
        bounds = F.pad(torch.bincount(self.columns, minlength=width).cumsum(0), (1, 0))
        return Sparse(self.values[order], rows[order], bounds)


# --- words and pairs


def occurrences(ids: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A key for each word, and for each pair of neighbours in a row; and the row that each stands in."""
    ids = np.asarray(ids, np.int64)
    rows = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    together = rows[1:] == rows[:-1]
    pairs = (ids[:-1] + 1 << 32) | ids[1:]
    return np.concatenate((ids, pairs[together])), np.concatenate((rows, rows[1:][together]))


def tf_idf(features: np.ndarray, rows: np.ndarray, count: int, idf: np.ndarray | None, width: int) -> tuple[Sparse, np.ndarray]:
    """Features (below `width`) in `count` rows as scikit-learn weighs them with sublinear_tf; and the idf (F,) it was done with.

    (1 + ln times) · idf, a row then brought to length 1;  idf = 1 + ln((1 + rows) / (1 + rows that have it))
    """
    cells, times = np.unique(rows * width + features, return_counts=True)
    rows, features = np.divmod(cells, width)
    if idf is None:
        idf = 1 + np.log((1 + count) / (1 + np.bincount(features, minlength=width)))
    values = (1 + np.log(times)) * idf[features]
    values /= np.sqrt(np.bincount(rows, values**2, minlength=count))[rows]
    bounds = np.searchsorted(rows, np.arange(count + 1))
    return Sparse(torch.from_numpy(values).float(), torch.from_numpy(features), torch.from_numpy(bounds)), idf


@dataclasses.dataclass(frozen=True)
class BagOfWords:
    """Words and pairs of neighbours, weighted by TF-IDF, and a softmax over them."""

    keys: np.ndarray  # (F,) sorted
    idf: np.ndarray  # (F,)
    weights: Tensor  # (F, K)
    bias: Tensor  # (K,)

    def probabilities(self, ids: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """(N, K). What training has not seen counts for nothing; a row that has nothing else is judged by the bias alone."""
        keys, rows = occurrences(ids, bounds)
        at = np.searchsorted(self.keys, keys)
        known = np.append(self.keys, -1)[at] == keys
        matrix, _ = tf_idf(at[known], rows[known], len(bounds) - 1, self.idf, len(self.keys))
        return (matrix.times(self.weights) + self.bias).double().softmax(1).numpy()


def fit(ids: np.ndarray, bounds: np.ndarray, labels: np.ndarray, kinds: int, seed: int) -> BagOfWords:
    """A bag of words fitted to rows and their labels (N,), numbers below `kinds`. UserError without rows.

    The same rows give the same model; the seed draws which of them are taken where there are more than WORDS words.
    """
    if not len(labels):
        raise UserError("there is no row to fit the bag of words to")
    if bounds[-1] > WORDS:
        few = max(1, len(labels) * WORDS // int(bounds[-1]))
        chosen = np.sort(np.random.default_rng(seed).choice(len(labels), few, replace=False))
        ids, bounds = Rows(ids, bounds).taken(chosen)
        labels = labels[chosen]
    found, rows = occurrences(ids, bounds)
    keys, features, seen = np.unique(found, return_inverse=True, return_counts=True)
    if len(keys) > FEATURES:
        kept = seen > 1
        inside = kept[features]
        keys, features, rows = keys[kept], (np.cumsum(kept) - 1)[features[inside]], rows[inside]
    matrix, idf = tf_idf(features, rows, len(labels), None, len(keys))
    weights, bias = regression(matrix, len(keys), torch.from_numpy(np.array(labels, np.int64)), kinds)
    return BagOfWords(keys, idf, weights, bias)


def regression(matrix: Sparse, width: int, labels: Tensor, kinds: int) -> tuple[Tensor, Tensor]:
    """Weights (F, K) and bias (K,) that make  mean nats + |weights|² / (2 C N)  least, by L-BFGS.

    On one thread: its many short steps gain a fifth from two, but take ten times as long where those wait for a busy core;
    and the sums are then the same for any number of threads.
    """
    transposed, count = matrix.transposed(width), len(labels)
    weights, bias = torch.zeros(width, kinds), torch.zeros(kinds)
    truth = F.one_hot(labels, kinds).float()
    optimiser = torch.optim.LBFGS(
        (weights, bias), max_iter=STEPS, tolerance_grad=FLAT, tolerance_change=0, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        nats = (matrix.times(weights) + bias).log_softmax(1)  # (N, K)
        error = (nats.exp() - truth) / count
        weights.grad = transposed.times(error).add_(weights, alpha=1 / (C * count))
        bias.grad = error.sum(0)
        return -(nats * truth).sum() / count + weights.square().sum() / (2 * C * count)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        optimiser.step(loss)
    finally:
        torch.set_num_threads(threads)
    return weights, bias
