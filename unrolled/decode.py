"""From probabilities to symbols: greedy, sampling and beam search over any step function. numpy alone.

A step is step(ids (B,), state) -> (logits (B, V) as numpy, state), state a tuple of arrays or tensors with rows first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

State = tuple[Any, ...]
Step = Callable[[np.ndarray, State], tuple[np.ndarray, State]]


class Sampling(NamedTuple):
    """How the next symbol is drawn. Filters apply in the order of the fields; None is off.

    temperature         divides the logits; 0 takes the likeliest symbol
    top_k               keep the k likeliest
    top_p               keep the fewest symbols that together have probability p (Holtzman et al. 2020)
    min_p               keep symbols at least this fraction as likely as the likeliest (Nguyen et al. 2024)
    repetition_penalty  divides positive, multiplies negative logits of symbols in the last `window` (Keskar et al. 2019)
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    window: int = 64


def probabilities(logits: np.ndarray, settings: Sampling, recent: np.ndarray | None = None) -> np.ndarray:
    """The distribution the next symbol is drawn from; logits (B, V), recent (B, n) ids -> (B, V), rows sum to 1."""
    logits = logits.astype(np.float64)
    if settings.repetition_penalty != 1.0 and recent is not None and recent.shape[1]:
        seen = np.take_along_axis(logits, recent, 1)
        penalty = settings.repetition_penalty
        np.put_along_axis(logits, recent, np.where(seen > 0, seen / penalty, seen * penalty), 1)
    if settings.temperature == 0:
        return (np.arange(logits.shape[1]) == logits.argmax(1)[:, None]).astype(np.float64)
    p = np.exp((logits - logits.max(1, keepdims=True)) / settings.temperature)
    if settings.top_k is not None and settings.top_k < p.shape[1]:
        others = np.argpartition(p, -settings.top_k, 1)[:, : -settings.top_k]
        np.put_along_axis(p, others, 0.0, 1)
    if settings.top_p is not None:
        p = _nucleus(p / p.sum(1, keepdims=True), settings.top_p)
    if settings.min_p is not None:
        p[p < settings.min_p * p.max(1, keepdims=True)] = 0
    return p / p.sum(1, keepdims=True)


def _nucleus(p: np.ndarray, top_p: float) -> np.ndarray:
    order = np.argsort(-p, 1, kind="stable")
    ordered = np.take_along_axis(p, order, 1)
    before = np.cumsum(ordered, 1) - ordered  # probability of all likelier symbols
    ordered[before >= top_p] = 0  # the likeliest has 0 before it and always stays
    np.put_along_axis(p, order, ordered, 1)
    return p


def draw(p: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One id a row by inverse transform; p (B, V) -> (B,)."""
    upto = np.cumsum(p, 1)
    return (upto <= random.random(len(p))[:, None] * upto[:, -1:]).sum(1)  # random() < 1: never past the last with p > 0


def sample(
    step: Step, logits: np.ndarray, state: State, settings: Sampling, random: np.random.Generator, banned: list[int]
) -> Iterator[np.ndarray]:
    """Ids (B,) for ever, one state update each; logits (B, V) and state are those after the prompt."""
    recent = np.zeros((len(logits), 0), np.int64)
    while True:
        logits[:, banned] = -np.inf
        ids = draw(probabilities(logits, settings, recent), random)
        yield ids
        if settings.repetition_penalty != 1.0:
            recent = np.concatenate([recent, ids[:, None]], 1)[:, -settings.window :]
        logits, state = step(ids, state)


class Hypothesis(NamedTuple):
    ids: list[int]
    score: float  # log-probability, divided by length ** length_power


def beam(
    step: Step, logits: np.ndarray, state: State, width: int, length: int, end: int | None, banned: list[int],
    length_power: float = 0.0,
) -> list[Hypothesis]:  # fmt: skip
    """The best `width` continuations of one prompt, best first; logits (1, V), state of one row.

    length_power 0 compares whole log-probabilities, 1 their mean a symbol. A hypothesis ends at `end` or at `length`.
    """
    scores, history, done = np.zeros(1), np.zeros((1, 0), np.int64), []
    for t in range(1, length + 1):
        logits[:, banned] = -np.inf
        candidates = scores[:, None] + log_softmax(logits)  # (beams, V)
        flat = np.argsort(-candidates, axis=None, kind="stable")[: 2 * width]
        rows, ids = np.unravel_index(flat, candidates.shape)
        values = candidates[rows, ids]
        ended = (ids == end) & np.isfinite(values) if end is not None else np.zeros(len(ids), bool)
        for row, value in zip(rows[ended], values[ended], strict=True):
            done.append(Hypothesis([*history[row].tolist(), int(end)], value / t**length_power))
        keep = np.flatnonzero(~ended & np.isfinite(values))[:width]
        if not len(keep):
            return sorted(done, key=lambda h: -h.score)[:width]
        rows, ids, scores = rows[keep], ids[keep], values[keep]
        history = np.concatenate([history[rows], ids[:, None]], 1)
        done = sorted(done, key=lambda h: -h.score)[:width]
        if length_power == 0 and len(done) == width and done[-1].score >= scores[0]:
            return done  # log-probabilities only fall: nothing open can overtake
        logits, state = step(ids, tuple(s[rows] for s in state))
    open_ones = [Hypothesis(h.tolist(), s / len(h) ** length_power) for h, s in zip(history, scores, strict=True) if len(h)]
    return sorted(done + open_ones, key=lambda h: -h.score)[:width]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(B, V) -> natural logarithms of probabilities, float64."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
