"""From a stream of probabilities to events, and from events to what they are worth: misses, false accepts an hour, delay.

A detector fires when the probability reaches a threshold, and not again before it has fallen below a lower one and some time is
over. An event is a hit if it overlaps a marked word; every other one, a word's second included, is a false accept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import firing
from .data.marks import Mark
from .errors import UserError
from .firing import START, Rule, State
from .kernels.events import fire, match
from .metrics import clopper_pearson, poisson

TOLERANCE = 0.5  # seconds after a word's end in which it may still be found
MOST = 400  # thresholds of a curve


def events(probabilities: np.ndarray, rule: Rule, hop: float, state: State = START) -> tuple[np.ndarray, State]:
    """Times (n,) in seconds from the stream's beginning at which a detector fires, and its state after that piece.

    probabilities (T,) come every `hop` seconds; an event's time is the end of its frame. However a stream is cut into pieces,
    its events are the same; START begins anew. What is no number never fires. UserError for a rule that is none.
    """
    firing.check(rule)
    frames = np.arange(state.frame, state.frame + len(probabilities))
    found, ready, again = _fired(np.asarray(probabilities, np.float32), frames, rule, hop, state)
    return (found + 1) * hop, State(state.frame + len(frames), ready, again)


def _fired(probabilities: np.ndarray, frames: np.ndarray, rule: Rule, hop: float, state: State) -> tuple[np.ndarray, bool, int]:
    """The frames at which it fires, whether it is ready after the last, and the frame from which on it may fire again."""
    threshold, found = np.float32(rule.threshold), np.empty(len(frames), np.int64)
    kept = np.array((state.ready, state.again), np.int64)
    wait = round(rule.refractory / hop)
    n = fire(probabilities, frames, threshold, np.float32(rule.release) * threshold, wait, kept, found)
    return found[:n], bool(kept[0]), int(kept[1])


# --- events and words


class Recording(NamedTuple):
    """A sound that was listened to, and the words that are in it."""

    probabilities: np.ndarray  # (T,), one every hop
    marks: Sequence[Mark]


class Outcome(NamedTuple):
    """What a detector did in one recording."""

    times: np.ndarray  # (n,) of its events, seconds
    words: np.ndarray  # (n,) the mark, by time of beginning, that each is a hit of; -1: a false accept


class Point(NamedTuple):
    """What a detector did in all recordings, at one threshold."""

    threshold: float
    hits: int
    words: int
    false_accepts: int
    hours: float  # without the words and the time that each may be found in
    delays: np.ndarray  # (hits,) seconds from a word's end to its event, below 0 where it came before


def matched(times: np.ndarray, marks: Sequence[Mark], tolerance: float = TOLERANCE) -> Outcome:
    """Events (n,), ascending, put to words: each word has at most one, from its begin to `tolerance` seconds after its end."""
    begins, ends = _bounds(marks)
    words = np.empty(len(times), np.int64)
    match(times, np.array([0, len(times)]), begins, ends + tolerance, np.array([0, len(begins)]), words)
    return Outcome(times, words)


def _bounds(marks: Sequence[Mark]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array([(mark.begin, mark.end) for mark in sorted(marks)], float).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def outcomes(recordings: Sequence[Recording], rule: Rule, hop: float, tolerance: float = TOLERANCE) -> list[Outcome]:
    """What a detector does in each recording, which it begins anew."""
    return [matched(events(each.probabilities, rule, hop)[0], each.marks, tolerance) for each in recordings]


def total(threshold: float, recordings: Sequence[Recording], found: Sequence[Outcome], hours: float) -> Point:
    """The outcomes of all recordings as counts."""
    delays = [
        outcome.times[outcome.words >= 0] - _bounds(each.marks)[1][outcome.words[outcome.words >= 0]]
        for each, outcome in zip(recordings, found, strict=True)
    ]
    hits, fired = sum(map(len, delays)), sum(len(outcome.times) for outcome in found)
    return Point(threshold, hits, sum(len(each.marks) for each in recordings), fired - hits, hours, np.concatenate([*delays, []]))


def hours_without_words(recordings: Sequence[Recording], hop: float, tolerance: float = TOLERANCE) -> float:
    """How long there was nothing to find: the time in which an event is a false accept for certain."""
    return sum(len(each.probabilities) * hop - _covered(each, hop, tolerance) for each in recordings) / 3600


def _covered(recording: Recording, hop: float, tolerance: float) -> float:
    """Seconds that lie in some word's time."""
    begins, ends = _bounds(recording.marks)
    length = len(recording.probabilities) * hop
    latest = np.minimum(np.maximum.accumulate(ends + tolerance), length)
    earliest = np.minimum(np.maximum(begins, np.concatenate(([0.0], latest))[: len(begins)]), length)
    return float(np.maximum(latest - earliest, 0).sum())


def by_label(recordings: Sequence[Recording], found: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Hits and words of each label, which may be a voice, a room, a distance: who is not understood?"""
    counts: dict[str, tuple[int, int]] = {}
    for each, outcome in zip(recordings, found, strict=True):
        for w, mark in enumerate(sorted(each.marks)):
            hits, words = counts.get(mark.label, (0, 0))
            counts[mark.label] = hits + (w in outcome.words), words + 1
    return dict(sorted(counts.items()))


# --- thresholds


def curve(recordings: Sequence[Recording], rule: Rule, hop: float, tolerance: float = TOLERANCE, most: int = MOST) -> list[Point]:
    """Misses against false accepts: a Point each for up to `most` + 1 thresholds, ascending; `rule` gives release and refractory.

    What is counted changes only where a threshold passes a peak of the probabilities, so peaks are the thresholds: all of the
    highest, fewer of those below, and one above all, where nothing fires. Each Point is what `outcomes` finds at its threshold.
    """
    firing.check(rule)
    if not any(len(each.probabilities) for each in recordings):
        raise UserError("there is no sound to measure a detector on", fix="give it recordings, with or without the word")
    hours = hours_without_words(recordings, hop, tolerance)
    probabilities, frames, starts = _joined(recordings, round(rule.refractory / hop))
    begins, ends = (np.concatenate(bounds) for bounds in zip(*(_bounds(each.marks) for each in recordings), strict=True))
    marked = np.cumsum([0, *(len(each.marks) for each in recordings)])
    points = []
    for threshold in _thresholds(recordings, most).tolist():
        at = rule._replace(threshold=threshold)
        probabilities, frames = _thinned(probabilities, frames, np.float32(rule.release) * np.float32(threshold))
        found = _fired(probabilities, frames, at, hop, START)[0]
        fired = np.searchsorted(found, starts)
        times = (found - np.repeat(starts[:-1], np.diff(fired)) + 1) * hop
        words = np.empty(len(times), np.int64)
        match(times, fired, begins, ends + tolerance, marked, words)
        delays = (times - ends[words])[words >= 0] if len(ends) else np.empty(0)
        points.append(Point(threshold, len(delays), len(ends), len(times) - len(delays), hours, delays))
    return points


def _joined(recordings: Sequence[Recording], wait: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All recordings' probabilities and their frames on one line, and where each recording begins (R + 1,). Behind each lies a
    frame below any threshold and a gap of `wait` frames, so that the next begins with a detector that remembers nothing."""
    below = np.full(1, -1, np.float32)
    sizes = np.array([len(each.probabilities) + 1 for each in recordings])
    starts = np.concatenate(([0], np.cumsum(sizes + wait)))
    probabilities = np.concatenate([part for each in recordings for part in (each.probabilities, below)], dtype=np.float32)
    return probabilities, np.concatenate([start + np.arange(size) for start, size in zip(starts, sizes, strict=False)]), starts


def _thresholds(recordings: Sequence[Recording], most: int) -> np.ndarray:
    """The heights of peaks (K,), ascending, thinned out evenly in the logarithm of their rank; above them one that none has."""
    peaks = np.concatenate([_peaks(np.asarray(each.probabilities, np.float32)) for each in recordings])
    heights = np.unique(peaks[peaks > 0])[::-1]
    if len(heights) > most:
        ranks = np.unique(np.geomspace(1, len(heights), most).round().astype(int)) - 1
        heights = heights[ranks]
    above = np.nextafter(heights[:1] if len(heights) else np.float32([0.5]), np.float32(np.inf))
    return np.concatenate((heights[::-1], above)).astype(float)


def _peaks(probabilities: np.ndarray) -> np.ndarray:
    """The values that neither neighbour exceeds; what is no number is below all."""
    heights = np.pad(np.where(np.isnan(probabilities), -np.inf, probabilities), 1, constant_values=-np.inf)
    return heights[1:-1][(heights[1:-1] >= heights[:-2]) & (heights[1:-1] >= heights[2:])]


def _thinned(probabilities: np.ndarray, frames: np.ndarray, low: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities from `low` on, and the first of each run below it: all that what a detector does depends on."""
    high = ~(probabilities < low)  # what is no number is kept
    kept = high | np.concatenate(([True], high[:-1]))[: len(high)]
    return probabilities[kept], frames[kept]


def choose(points: Sequence[Point], budget: float) -> Point:
    """The Point with the fewest misses among those with at most `budget` false accepts an hour, then with the fewest false
    accepts; of equal ones the middle, from which either way is farthest."""
    allowed = [point for point in points if point.false_accepts <= budget * point.hours]
    if not allowed:
        raise UserError(f"no threshold has at most {budget:g} false accepts an hour", fix="allow more, or train longer")
    best = max((point.hits, -point.false_accepts) for point in allowed)
    equal = [point for point in allowed if (point.hits, -point.false_accepts) == best]
    return equal[len(equal) // 2]


# --- figures


def measures(point: Point) -> dict[str, float | int | None]:
    """A Point as shares and rates; None where there is nothing to divide by. Delays are in seconds after a word's end."""
    delays = dict.fromkeys(("median", "90_percent", "longest"))
    if len(point.delays):
        delays = dict(zip(delays, np.quantile(point.delays, (0.5, 0.9, 1.0)).tolist(), strict=True))
    return {
        "threshold": point.threshold,
        "miss_rate": 1 - point.hits / point.words if point.words else None,
        "false_accepts_per_hour": point.false_accepts / point.hours if point.hours > 0 else None,
        "words": point.words,
        "false_accepts": point.false_accepts,
        "hours": point.hours,
    } | {f"delay_{name}": value for name, value in delays.items()}


def miss_interval(misses: int, words: int, recordings: int) -> tuple[float, float]:
    """The 95 % interval of a share of misses (Clopper and Pearson). One recording heard at several levels is not several trials:
    it is the interval of the same share of so many recordings."""
    return clopper_pearson(misses * recordings / words, recordings)


def intervals(point: Point, recordings: int | None = None) -> dict[str, tuple[float, float] | None]:
    """95 % intervals: of the share of misses, where the words are so many different recordings, as many as there are words if
    None; of false accepts an hour (Garwood; of none, the upper bound alone: below 3 / hours)."""
    low, high = poisson(point.false_accepts)
    return {
        "miss_rate": miss_interval(point.words - point.hits, point.words, recordings or point.words) if point.words else None,
        "false_accepts_per_hour": (low / point.hours, high / point.hours) if point.hours > 0 else None,
    }
