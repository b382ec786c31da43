"""What a server tells of itself: JSON lines for logs, numbers for Prometheus. Neither holds anything that a user sent."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
PACKAGE = Path(__file__).parent.parent


def log(event: str, **facts: Any) -> None:
    """One line on standard error."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    sys.stderr.write(json.dumps({"time": now, "event": event} | facts, ensure_ascii=False) + "\n")
    sys.stderr.flush()


def log_failure(number: str, error: BaseException) -> None:
    """What a bug was, without its message, which may hold what a user sent: its kind, and the places it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    places = [f"{Path(frame.filename).relative_to(PACKAGE)}:{frame.lineno} {frame.name}" for frame in inside[-8:]]
    log("failure", id=number, kind=type(error).__name__, places=places)


class Lines(logging.Handler):
    """The HTTP server's own warnings, as lines of the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        log("server", level=record.levelname.lower(), said=record.getMessage().splitlines()[0])


class Meters:
    """Counters, gauges and histograms by labels; text as Prometheus reads it (its exposition format 0.0.4)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: dict[tuple[str, tuple], float] = {}
        self.times: dict[tuple[str, tuple], list[float]] = {}
        self.gauges: dict[tuple[str, tuple], Callable[[], float]] = {
            ("unrolled_resident_bytes", ()): lambda: psutil.Process().memory_info().rss
        }

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        with self.lock:
            key = name, tuple(labels.items())
            self.counts[key] = self.counts.get(key, 0) + by

    def time(self, name: str, seconds: float, **labels: str) -> None:
        with self.lock:
            row = self.times.setdefault((name, tuple(labels.items())), [0.0] * (len(BUCKETS) + 2))
            for i, bound in enumerate(BUCKETS):
                row[i] += seconds <= bound
            row[-2] += 1
            row[-1] += seconds

    def gauge(self, name: str, value: Callable[[], float], **labels: str) -> None:
        """A number that is asked for when it is read."""
        self.gauges[name, tuple(labels.items())] = value

    def text(self) -> str:
        with self.lock:
            counts, times = sorted(self.counts.items()), sorted((key, list(row)) for key, row in self.times.items())
        lines = _Lines()
        for (name, labels), value in counts:
            lines.add(name, "counter", _line(name, labels, value))
        for (name, labels), value in sorted(self.gauges.items(), key=lambda pair: pair[0]):
            lines.add(name, "gauge", _line(name, labels, value()))
        for (name, labels), row in times:
            for bound, value in zip([*map(str, BUCKETS), "+Inf"], row, strict=False):
                lines.add(name, "histogram", _line(f"{name}_bucket", (*labels, ("le", bound)), value))
            lines.add(name, "histogram", _line(f"{name}_count", labels, row[-2]))
            lines.add(name, "histogram", _line(f"{name}_sum", labels, row[-1]))
        return "\n".join(lines.lines) + "\n"


class _Lines:
    """Lines, the kind of each name before its first."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.named: set[str] = set()

    def add(self, name: str, kind: str, line: str) -> None:
        if name not in self.named:
            self.named.add(name)
            self.lines.append(f"# TYPE {name} {kind}")
        self.lines.append(line)


def _line(name: str, labels: tuple, value: float) -> str:
    """name{label="value"} number; names of runs hold no quote, so none needs a mark before it."""
    inside = ",".join(f'{key}="{text}"' for key, text in labels)
    return f"{name}{{{inside}}} {value:g}" if inside else f"{name} {value:g}"
