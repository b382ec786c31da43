"""What is done at an event: the sound around it is kept, a program is started."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from .data import sound
from .detector import Detector, Event
from .errors import UserError

BEFORE, AFTER = 2.0, 0.5  # seconds that are kept around an event


def kept(net: Detector, blocks: Iterable[np.ndarray], folder: Path | None) -> Iterator[tuple[Event, Path | None]]:
    """Events of a stream as they come, each with the file in `folder` that its sound is written to, BEFORE it and AFTER it; that
    is written when so much more has been heard, or the stream ends, or its listener goes. No more than those seconds are held."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    state, recent, heard = net.start(), np.empty(0, np.float32), 0
    number = 0 if folder is None else _last(folder)
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
                _write(*waiting.pop(0), recent, heard, net.rate)
            oldest = min([heard, *(round(event.time * net.rate) for event, _ in waiting)]) - round(BEFORE * net.rate)
            recent = recent[max(0, oldest - (heard - len(recent))) :]
    finally:  # also when whoever listens has had enough
        for event, path in waiting:
            _write(event, path, recent, heard, net.rate)


def _last(folder: Path) -> int:
    """The highest number of an event that is kept there."""
    numbers = (path.stem.split("-")[1] for path in folder.glob("event-*-*.wav"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _write(event: Event, path: Path, recent: np.ndarray, heard: int, rate: int) -> None:
    first = heard - len(recent)
    begin, end = (max(0, round((event.time + seconds) * rate) - first) for seconds in (-BEFORE, AFTER))
    sound.write(path, recent[begin:end], rate)


def command(line: str) -> list[str]:
    """A command in words; a UserError where it is none, or there is no such program."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UserError(f"`--exec {line}` is not read as a command: {str(error).lower()}") from None
    if not words or shutil.which(words[0]) is None:
        raise UserError(f"`--exec {line}` names no program that is there")
    return words


class Runner:
    """Starts a program at each event, without waiting for it; without a shell."""

    def __init__(self, words: list[str]):
        self.words, self.started = words, []

    def __call__(self, event: Event) -> None:
        self.started = [process for process in self.started if process.poll() is None]  # reaps those that have ended
        values = {"{time}": f"{event.time:.2f}", "{probability}": f"{event.probability:.4f}"}
        filled = self.words
        for name, value in values.items():
            filled = [word.replace(name, value) for word in filled]
        self.started.append(subprocess.Popen(filled, stdin=subprocess.DEVNULL))

    def wait(self) -> None:
        """Until all that were started have ended."""
        for process in self.started:
            process.wait()
