"""What is reached without a net: how often each value occurs, and linear prediction as lossless coders use it.

    m_t = Σ_k a_k x_{t-k}                                      k = 1 … 32; a by least squares on the training sound
    s_t = exp(b_0 + b_1 ln r16_t + b_2 ln r256_t)              r: the mean of |x - m| over the last 16 and 256 samples
    P(low <= x_t < high) = Σ_i w_i [σ((high - m_t) / (s_t c_i)) - σ((low - m_t) / (s_t c_i))]

a mixture of logistics around the prediction, as wide as the last errors were (or, not following them, always the same:
b_1 = b_2 = 0), fitted to the likelihood of training sound. It sees of the past what a net sees (of mu-law sound the levels), and
its probabilities of all values sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

ORDER = 32
WINDOWS = (16, 256)
FIT = 30_000  # samples that the mixture is fitted on
RIDGE = 1e-9  # of the sound's power, so that silence has a solution
WIDTHS = tuple(2.0**i for i in range(-4, 5))  # c
SOFTEST = 1e-6  # least mean error that is told from none
BEYOND = 1e6  # times full scale: stands for infinity, whose distance over a width has no gradient
SHARE = 1e-6  # of the probability is spread over all values: none is impossible


class Predictor(NamedTuple):
    """Plain numbers, to be kept as JSON."""

    coefficients: list[float]  # a (32,)
    spread: list[float]  # b (3,)
    weights: list[float]  # w (9,)


class Piece(NamedTuple):
    """A stretch of sound, (N,) each: what is heard of it, the sound itself, and between what the value of each sample lies."""

    heard: np.ndarray
    true: np.ndarray
    low: np.ndarray
    high: np.ndarray


def fit(pieces: Sequence[Piece], follow: bool = True) -> Predictor:
    """Fit to pieces of sound; `follow`: the spread follows the last errors."""
    moments, targets = np.zeros((ORDER, ORDER)), np.zeros(ORDER)
    for x, y, _, _ in pieces:
        for begin in range(0, len(x), 1 << 18):
            past = _past(x, begin, min(begin + (1 << 18), len(x)))
            moments += past.T @ past
            targets += past.T @ y[begin : begin + len(past)]
    ridge = RIDGE * (np.trace(moments) + 1e-9)
    a = np.linalg.solve(moments + ridge * np.eye(ORDER), targets)
    every = max(1, sum(len(piece.heard) for piece in pieces) // FIT)
    chosen = [
        tuple(part[::every].copy() for part in (*_seen(a, x), low, high))
        for x, _, low, high in pieces  # a view keeps the whole
    ]
    given = [torch.tensor(np.concatenate(parts), dtype=torch.float64) for parts in zip(*chosen, strict=True)]
    return _mixture(a, follow, *given)


def nats(predictor: Predictor, piece: Piece, values: int) -> np.ndarray:
    """-ln P of each sample (N,) of a piece, which has one of so many values."""
    means, spreads = _seen(np.array(predictor.coefficients), piece.heard)
    spread, weights = (torch.tensor(part, dtype=torch.float64) for part in predictor[1:])
    found = np.empty(len(means))
    for begin in range(0, len(means), 1 << 16):  # what is computed of a sample is fifty times as large
        block = slice(begin, begin + (1 << 16))
        given = [torch.tensor(part[block], dtype=torch.float64) for part in (means, spreads, piece.low, piece.high)]
        logs = _log_likelihood(spread, weights.log(), *given)
        found[block] = -torch.log((1 - SHARE) * logs.exp() + SHARE / values).numpy()
    return found


def histogram_nats(counts: np.ndarray, found: np.ndarray) -> float:
    """Mean nats of values, found (V,) times each, under the frequencies of `counts` (V,), each seen once more."""
    return float(-(found * np.log((counts + 1) / (counts + 1).sum())).sum() / max(1, found.sum()))


def _past(x: np.ndarray, begin: int, end: int) -> np.ndarray:
    """The 32 samples before each of x[begin:end], the newest first (n, 32); before the sound: zeros."""
    padded = np.concatenate((np.zeros(ORDER), x[max(0, begin - ORDER) : end]))[-(end - begin + ORDER) :]
    return np.lib.stride_tricks.sliding_window_view(padded, ORDER)[: end - begin, ::-1]


def _seen(a: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The prediction of each sample (N,), and the logarithms of the mean errors before it (N, 2)."""
    x = np.asarray(x, np.float64)
    means = np.concatenate([_past(x, b, min(b + (1 << 18), len(x))) @ a for b in range(0, len(x), 1 << 18)])
    total = np.concatenate(([0.0], np.cumsum(np.abs(x - means))))  # up to each sample
    at = np.arange(len(x))
    before = [(total[at] - total[np.maximum(0, at - size)]) / size for size in WINDOWS]
    return means, np.log(np.stack(before, 1) + SOFTEST)


def _mixture(a: np.ndarray, follow: bool, *given: torch.Tensor) -> Predictor:
    level = float(given[1][:, 1].median())  # of the errors
    start = [0.0, 0.5, 0.5] if follow else [level, 0.0, 0.0]
    spread = torch.tensor(start, dtype=torch.float64, requires_grad=follow)
    logits = torch.zeros(len(WIDTHS), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([spread, logits] if follow else [logits], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logs = _log_likelihood(spread, logits.log_softmax(0), *given)
        found = -torch.log((1 - SHARE) * logs.exp() + SHARE / 65_536).mean()
        found.backward()
        return found

    optimizer.step(loss)
    return Predictor(a.tolist(), spread.tolist(), logits.softmax(0).tolist())


def _log_likelihood(
    spread: torch.Tensor, log_weights: torch.Tensor, means: torch.Tensor, spreads: torch.Tensor, low: torch.Tensor,
    high: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """ln P that each sample lies between low and high (N,)."""
    widths = torch.tensor(WIDTHS, dtype=torch.float64)
    wide = (torch.exp(spread[0] + spreads @ spread[1:]).unsqueeze(1) * widths).clamp(min=1e-7)  # (N, 9)
    high, low = high.clamp(max=BEYOND), low.clamp(min=-BEYOND)
    above, below = (high - means).unsqueeze(1) / wide, (low - means).unsqueeze(1) / wide
    flip = above > 0  # on the side of the mean where the logistic is small, so that differences keep their digits
    upper, lower = torch.where(flip, -below, above), torch.where(flip, -above, below)
    each = (torch.sigmoid(upper) - torch.sigmoid(lower)).clamp(min=1e-300).log()
    return torch.logsumexp(log_weights + each, 1)
