"""What is done at an event: the sound around it is kept, a program is started."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .data import sound
from .detector import Detector, Event
from .errors import UserError, did_you_mean
from .progress import Progress

ERRORS = 2  # the file descriptor of standard error
BEFORE, AFTER = 2.0, 0.5  # seconds that are kept around an event


def kept(
    net: Detector, blocks: Iterable[np.ndarray], folder: Path | None, written: Callable[[Event, Path], object] = lambda *_: None
) -> Iterator[tuple[Event, Path | None]]:
    """Events of a stream as they come, each with the file in `folder` that its sound is written to, BEFORE it and AFTER it; that
    is written when so much more has been heard, or the stream ends, or its listener goes, and `written` is called then. No more
    than those seconds are held."""
    state, recent, heard = net.start(), np.empty(0, np.float32), 0
    number = 0 if folder is None else _last(folder)

    def write() -> None:
        event, path = waiting.pop(0)
        _write(event, path, recent, heard, net.rate)
        written(event, path)

    waiting: list[tuple[Event, Path]] = []
    try:
        for block in blocks:
            _, events, state = net(block, state)
            recent, heard = np.concatenate((recent, block)), heard + len(block)
            for event in events:
                number, path = number + 1, None
                if folder is not None:
                    path = folder / f"event-{number:04d}-{event.time:.1f}s.wav"
                    waiting.append((event, path))
                yield event, path
            while waiting and heard >= round((waiting[0][0].time + AFTER) * net.rate):
                write()
            oldest = min([heard, *(round(event.time * net.rate) for event, _ in waiting)]) - round(BEFORE * net.rate)
            recent = recent[max(0, oldest - (heard - len(recent))) :]
    finally:  # also when whoever listens has had enough
        while waiting:
            write()


def _last(folder: Path) -> int:
    """The highest number of an event that is kept there."""
    numbers = (path.stem.split("-")[1] for path in folder.glob("event-*-*.wav"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _write(event: Event, path: Path, recent: np.ndarray, heard: int, rate: int) -> None:
    first = heard - len(recent)
    begin, end = (max(0, round((event.time + seconds) * rate) - first) for seconds in (-BEFORE, AFTER))
    path.parent.mkdir(parents=True, exist_ok=True)
    sound.write(path, recent[begin:end], rate)


def command(line: str, places: Sequence[str]) -> list[str]:
    """A command in words; a UserError where it is none, there is no such program, or it has a {place} that nothing is filled
    into."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UserError(f"`--exec {line}` is not read as a command: {str(error).lower()}") from None
    if not words or shutil.which(words[0]) is None:
        raise UserError(f"`--exec {line}` names no program that is there")
    for place in re.findall(r"\{(\w+)\}", line):
        if place not in places:
            known = ", ".join(f"{{{one}}}" for one in places)
            fix = "{sound} is there with --capture FOLDER" if place == "sound" else did_you_mean(place, places)
            raise UserError(f"`--exec {line}` has `{{{place}}}`; filled in are {known}", fix=fix)
    return words


class Runner:
    """Starts a program at each event, without waiting for it; without a shell. What it prints goes to standard error. Where it
    cannot be started, that is said once."""

    def __init__(self, words: list[str]):
        self.words, self.started, self.warned = words, [], False
        self.waits = any("{sound}" in word for word in words)  # until the sound is written

    def __call__(self, event: Event, sound: Path | None = None) -> None:
        self.started = [process for process in self.started if process.poll() is None]  # reaps those that have ended
        values = {"time": f"{event.time:.2f}", "probability": f"{event.probability:.4f}", "sound": str(sound)}
        filled = [re.sub(r"\{(\w+)\}", lambda found: values[found[1]], word) for word in self.words]
        try:
            self.started.append(subprocess.Popen(filled, stdin=subprocess.DEVNULL, stdout=ERRORS))
        except OSError as error:
            if not self.warned:
                Progress().say(
                    f"note: `{filled[0]}` cannot be started: {(error.strerror or str(error)).lower()}; listening goes on"
                )
            self.warned = True

    def wait(self) -> None:
        """Until all that were started have ended."""
        for process in self.started:
            process.wait()
