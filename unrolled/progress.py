"""What a person sees while a command works: lines on standard error, and one live line on a terminal."""

from __future__ import annotations

import sys
import time


def minutes(seconds: float) -> str:
    """A duration as people say it: `40 s`, `9.5 min`, `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Progress:
    """Prints to standard error. quiet=True prints nothing."""

    def __init__(self, quiet: bool = False):
        self.quiet, self.live = quiet, sys.stderr.isatty()
        self.shown = 0.0
        self.width = 0

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.quiet:
            self._clear()
            print(text, file=sys.stderr, flush=True)

    def now(self, text: str) -> None:
        """A line that the next one replaces; shown on a terminal only, at most five times a second."""
        if self.quiet or not self.live or time.monotonic() - self.shown < 0.2:
            return
        self._clear()
        print(text, end="", file=sys.stderr, flush=True)
        self.shown, self.width = time.monotonic(), len(text)

    def _clear(self) -> None:
        if self.width:
            print("\r" + " " * self.width + "\r", end="", file=sys.stderr)
            self.width = 0
