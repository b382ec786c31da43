"""What a detector did, as tables a person reads: measures with intervals, misses and false accepts by kind, what fires it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import detection, rehearsal
from .detection import Outcome, Point, Recording
from .detector import Detector
from .metrics import poisson
from .rehearsal import Stream

Row = dict[str, Any]
FIRED = 20  # false accepts that are told
CURVE = 12  # points of it that are told
PROTOCOL = "an event is a hit from a word's begin to half a second after its end; {words:,} words of {recordings:,} recordings"


class Case(NamedTuple):
    """A stream, what was heard in it, and what the detector did."""

    stream: Stream
    recording: Recording
    outcome: Outcome


def point(net: Detector, recordings: Sequence[Recording]) -> Point:
    """What the detector did in all of them, at its threshold."""
    hours = detection.hours_without_words(recordings, net.hop)
    return detection.total(net.rule.threshold, recordings, detection.outcomes(recordings, net.rule, net.hop), hours)


def tables(net: Detector, streams: Sequence[Stream], recordings: Sequence[Recording]) -> dict[str, list[Row]]:
    """All tables, by title."""
    cases = [Case(*case) for case in zip(streams, recordings, detection.outcomes(recordings, net.rule, net.hop), strict=True)]
    return {
        "measures": _measures(point(net, recordings), _recordings(streams)),
        "curve": _curve(detection.curve(recordings, net.rule, net.hop)),
        "levels": _misses(cases, by_level=True),
        "origins": sorted(_misses(cases, by_level=False), key=lambda row: row["of"]),
        "sounds": _sounds(cases, net.hop),
        "fired": _fired(cases, net),
    }


def _recordings(streams: Sequence[Stream]) -> int:
    return rehearsal.recordings((stream.name, stream.marks) for stream in streams)


def reached(net: Detector, streams: Sequence[Stream], recordings: Sequence[Recording], budget: float) -> list[str]:
    """What the detector does, with 95 % intervals, as a person says it; and a warning where it was not heard for long enough to
    show that it keeps to `budget` false accepts an hour."""
    found = point(net, recordings)
    bounds, said = detection.intervals(found, _recordings(streams)), []
    if found.words:
        low, high = (100 * end for end in bounds["miss_rate"])
        said.append(f"{100 * (1 - found.hits / found.words):.1f} % missed ({low:.1f}-{high:.1f})")
    if found.hours:
        low, high = bounds["false_accepts_per_hour"]
        rate = f"{low:.2g}-{high:.2g}/h" if found.false_accepts else f"below {high:.2g}/h"
        said.append(f"{found.false_accepts:,} false accepts in {found.hours:.2g} h ({rate} at 95 %)")
    lines = [", ".join(said)]
    least = poisson(0)[1]
    if found.hours * budget < least and budget:
        lines.append(
            f"{found.hours:.2g} hours are too few to show {budget:g} false accepts an hour: that takes {least / budget:.2g} h "
            "without one. Give more --negative or --background, or more --talk where the word is spoken"
        )
    return lines


def _measures(found: Point, recordings: int) -> list[Row]:
    bounds, hours = detection.intervals(found, recordings), f"{found.false_accepts:,} in {found.hours:.2f} hours without the word"
    if not found.false_accepts and found.hours:
        hours += f": below {bounds['false_accepts_per_hour'][1]:.3g} an hour at 95 %"
    protocol = {"miss_rate": PROTOCOL.format(words=found.words, recordings=recordings), "false_accepts_per_hour": hours}
    return [
        {"measure": name, "value": value, **_ends(bounds.get(name)), "protocol": protocol.get(name, "")}
        for name, value in detection.measures(found).items()
        if value is not None
    ]


def _ends(interval: tuple[float, float] | None) -> Row:
    return dict(zip(("from", "to"), interval or (None, None), strict=True))


def efficient(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in misses and in false accepts, those with the fewest false accepts first; where there is no
    word to miss, one for each number of them."""
    found: list[Point] = []
    for one in sorted(points, key=lambda one: (one.false_accepts, -one.hits)):
        if not found or one.hits > found[-1].hits or (not one.words and one.false_accepts > found[-1].false_accepts):
            found.append(one)
    return found


def _curve(points: list[Point]) -> list[Row]:
    """About CURVE points of it, from few false accepts to many."""
    best = efficient(points)
    chosen = np.unique(np.linspace(0, len(best) - 1, min(CURVE, len(best))).round().astype(int))
    return [
        {
            "threshold": one.threshold,
            "miss_rate": 1 - one.hits / one.words if one.words else None,
            "false_accepts_per_hour": one.false_accepts / one.hours if one.hours else None,
        }
        for one in (best[i] for i in chosen)
    ]


def _misses(cases: list[Case], by_level: bool) -> list[Row]:
    """How many words were missed, at each level or of each origin, in the order in which these come."""
    heard: dict[str, list[tuple[str, int, bool]]] = {}
    for case in cases:
        found = set(case.outcome.words.tolist())
        for i, mark in enumerate(case.recording.marks):
            heard.setdefault(case.stream.kind if by_level else mark.label, []).append((case.stream.name, i, i in found))
    rows = []
    for name, words in heard.items():
        n, misses, recordings = len(words), sum(not hit for _, _, hit in words), len({(stream, i) for stream, i, _ in words})
        ends = _ends(detection.miss_interval(misses, n, recordings))
        rows.append({"of": name, "words": n, "recordings": recordings, "miss_rate": misses / n, **ends})
    return rows


def _sounds(cases: list[Case], hop: float) -> list[Row]:
    """How long each kind of sound was heard, and its false accepts."""
    hours, accepts = Counter(), Counter()
    for stream, recording, outcome in cases:
        name = f"around words, {stream.kind}" if stream.marks else stream.kind
        hours[name] += detection.hours_without_words([recording], hop)
        accepts[name] += int((outcome.words < 0).sum())
    rows = []
    for name, time in hours.items():
        low, high = poisson(accepts[name])
        rates = (accepts[name] / time, low / time, high / time) if time else (None, None, None)
        rows.append(
            dict(
                zip(
                    ("sound", "hours", "false_accepts", "an_hour", "from", "to"), (name, time, accepts[name], *rates), strict=True
                )
            )
        )
    return rows


def _fired(cases: list[Case], net: Detector) -> list[Row]:
    """What fired it that is not the word, the surest first."""
    rows = [
        {
            "sound": case.stream.name,
            "seconds": round(float(time + net.offset), 3),
            "probability": round(float(case.recording.probabilities[round(time / net.hop) - 1]), 4),
        }
        for case in cases
        for time, word in zip(case.outcome.times, case.outcome.words, strict=True)
        if word < 0
    ]
    return sorted(rows, key=lambda row: -row["probability"])[:FIRED]


def picture(net: Detector, streams: Sequence[Stream], recordings: Sequence[Recording], kind: str = "png") -> bytes:
    """Misses against false accepts as a picture, png or svg; what `tables` tells in numbers. ImportError without matplotlib."""
    from . import plot

    found = point(net, recordings)
    best = efficient(detection.curve(recordings, net.rule, net.hop))
    rates = np.array([one.false_accepts / one.hours for one in best])
    misses = np.array([100 * (1 - one.hits / one.words) for one in best])
    measured, (low, high) = detection.measures(found), detection.intervals(found, _recordings(streams))["miss_rate"]
    heard = f"{found.words:,} words of {_recordings(streams):,} recordings, {found.hours:.2f} hours"
    note = f"dot: threshold {found.threshold:.3f}, 95 % interval of misses; {heard}; the left edge is no false accept"
    chosen = (measured["false_accepts_per_hour"], 100 * measured["miss_rate"])
    drawn = plot.trade_off(rates, misses, chosen, (100 * low, 100 * high), 0.5 / found.hours, note)
    return {"png": plot.png, "svg": plot.svg}[kind](drawn)
