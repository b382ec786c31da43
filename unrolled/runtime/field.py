"""A chain of tags with scores of what may follow what (crf.py has the equations): one sentence, in numpy, in float64."""

from __future__ import annotations

import numpy as np


def best(emissions: np.ndarray, start: np.ndarray, follows: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The most probable tags (T,) of emissions (T, K) (Viterbi 1967)."""
    emissions, follows = emissions.astype(np.float64), follows.astype(np.float64)
    score, back = start + emissions[0], []
    for emission in emissions[1:]:
        through = score[:, None] + follows  # (K before, K)
        back.append(through.argmax(0))
        score = through.max(0) + emission
    tags = [int((score + end).argmax())]
    for came_from in reversed(back):
        tags.append(int(came_from[tags[-1]]))
    return np.array(tags[::-1])


def marginals(emissions: np.ndarray, start: np.ndarray, follows: np.ndarray, end: np.ndarray) -> np.ndarray:
    """p(y_t = k | emissions) (T, K), by sums over all ways from the left and from the right (Rabiner 1989)."""
    emissions, follows = emissions.astype(np.float64), follows.astype(np.float64)
    left = [start + emissions[0]]
    for emission in emissions[1:]:
        left.append(log_sum(left[-1][:, None] + follows) + emission)
    right = [end.astype(np.float64)]
    for emission in emissions[:0:-1]:
        right.append(log_sum((emission + right[-1])[:, None] + follows.T))
    both = np.stack(left) + np.stack(right[::-1])
    shares = np.exp(both - both.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def log_sum(values: np.ndarray) -> np.ndarray:
    """ln Σ exp over the first axis; -inf where all are."""
    top = values.max(0)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(values - top).sum(0))
