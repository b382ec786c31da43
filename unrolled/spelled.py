"""What a text found in a recording is: its symbols, its words with the answers that they were read from; and the likeliest one.

log_probabilities (T, V), natural logarithms, of answers one after another; one of the symbols is the blank
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .errors import UserError


class Found(NamedTuple):
    """A text that a search has found."""

    ids: np.ndarray
    score: float  # nats, and what language model, insertions and hot phrases add
    nats: float  # log-probability of the frames being read as this text, as far as the beam has seen


class Word(NamedTuple):
    """A run of symbols between blanks of the text, and its frames: the first, and one past the last."""

    ids: np.ndarray
    begin: int
    end: int


def greedy(log_probabilities: np.ndarray, blank: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The likeliest symbol of each frame, runs taken for one, blanks left out: ids, their first frames, one past their last."""
    best = checked(log_probabilities).argmax(1)
    borders = np.flatnonzero(np.diff(best, prepend=-1, append=-1))
    begins, ends = borders[:-1], borders[1:]
    spoken = best[begins] != blank
    return best[begins][spoken], begins[spoken], ends[spoken]


def words(ids: np.ndarray, begins: np.ndarray, ends: np.ndarray, space: int | None) -> list[Word]:
    """The words of a text with the frames that `align` or `greedy` gave its symbols; of no space each symbol is one."""
    if space is None:
        return [Word(ids[i : i + 1], int(begins[i]), int(ends[i])) for i in range(len(ids))]
    borders = np.flatnonzero(np.concatenate(([True], ids == space, [True])))  # before each word and after the last
    return [Word(ids[a:b], int(begins[a]), int(ends[b - 1])) for a, b in zip(borders[:-1], borders[1:] - 1, strict=True) if b > a]


def checked(log_probabilities: np.ndarray) -> np.ndarray:
    """Frames (T, V) of float64; a UserError for what are none."""
    frames = np.ascontiguousarray(log_probabilities, np.float64)
    if frames.ndim != 2:
        raise UserError(f"log-probabilities have the shape (frames, symbols); got {frames.shape}")
    if not (frames < np.inf).all():
        raise UserError("log-probabilities are no numbers: the net's weights are damaged, or its training diverged")
    return frames
