"""Takes of a word, one after another, cut out of what a microphone hears: `unrolled record FOLDER`.

The room is measured first. A take begins when sound rises above the room and ends when it has fallen back for a while; it is
kept only if it can be used, and why it cannot is said at once, when it is still easy to say the word again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .data import sound
from .data.samples import EVERY, SILENCE, level, levels
from .errors import UserError
from .progress import Progress

ROOM = 1.0  # seconds of quiet that are measured first
RISE, FALL = 12.0, 6.0  # decibels above the room at which a take begins, and below which it ends
BEGUN, ENDED = 0.05, 0.4  # seconds of sound that begin a take, and of quiet that end it
MARGIN = 0.1  # seconds kept on both sides
SHORTEST, LONGEST = 0.2, 4.0  # seconds of sound in a take
CLEAR = 15.0  # decibels that a take's loudest tenth lies above the room
QUIET = -50.0  # decibels of full scale that it must reach
CLIPPED = 0.99  # of full scale; so many samples or more in a row there have lost their tops:
TOPS = 3
LOUD_ROOM = -35.0  # decibels; in a louder room hardly a take is clear
WIDTH = 40  # characters of the meter, for 80 decibels


class Take(NamedTuple):
    """Sound between two pauses: its samples (N,), and why it cannot be used, or None."""

    samples: np.ndarray
    problem: str | None


class Heard(NamedTuple):
    """What a block brought; of one in which takes end, each brings its own."""

    level: float  # decibels
    room: float | None  # decibels; None while it is being measured
    take: Take | None  # that ended in it


def listen(blocks: Iterable[np.ndarray], rate: int) -> Iterator[Heard]:
    """What each block (N,) of a sound at `rate` hertz brings; the takes do not depend on how it is cut into blocks. When the
    sound ends, what is then being said is a take too."""
    size = round(rate * EVERY)
    rest, frames = np.empty(0, np.float32), []  # samples of no whole frame yet; frames since the last take, (size,) each
    room, loud, quiet, speaking = None, 0, 0, False
    for block in blocks:
        rest = np.concatenate((rest, np.asarray(block, np.float32)))
        while len(rest) >= size:
            frame, rest = rest[:size], rest[size:]
            frames.append(frame)
            if room is None:
                room, frames = (_room(frames), []) if len(frames) * EVERY >= ROOM else (None, frames)
                continue
            height = level(frame)
            loud = loud + 1 if height > room + RISE else 0
            quiet = quiet + 1 if height < room + FALL else 0
            if not speaking:
                speaking = loud * EVERY >= BEGUN
                quiet = 0 if speaking else quiet
                frames = frames if speaking else frames[-_count(BEGUN + MARGIN) :]
            elif quiet * EVERY >= ENDED or len(frames) * EVERY > LONGEST + MARGIN + ENDED:
                yield Heard(height, room, _take(frames, quiet, room, rate))
                frames, speaking, loud = [], False, 0
        yield Heard(level(block), room, None)
    if speaking and room is not None:
        yield Heard(SILENCE, room, _take(frames, quiet, room, rate))


def _count(seconds: float) -> int:
    return round(seconds / EVERY)


def _room(frames: list[np.ndarray]) -> float:
    """The level that most of a quiet stretch stays below, in decibels; the digital silence of some devices has none."""
    return max(float(np.quantile([level(frame) for frame in frames], 0.75)), -90.0)


def _take(frames: list[np.ndarray], quiet: int, room: float, rate: int) -> Take:
    """The frames as a take, with MARGIN of the quiet at their end."""
    kept = len(frames) - max(0, quiet - _count(MARGIN))
    samples = np.concatenate(frames[:kept])
    return Take(samples, problem(samples, room, rate))


def problem(samples: np.ndarray, room: float, rate: int) -> str | None:
    """Why a take cannot be used, in a room of so many decibels, and what to do; None if it can."""
    heights = levels(samples, rate)
    sounding = float((heights > room + FALL).sum()) * EVERY
    loudest = float(np.quantile(heights, 0.9))
    if _longest_run(np.abs(samples) >= CLIPPED) >= TOPS:
        return "too loud, its tops are cut off: go farther away, or turn the microphone down"
    if sounding < SHORTEST:
        return f"only {sounding:.2f} s of sound, a word has at least {SHORTEST:g}: say it once more"
    if sounding > LONGEST:
        return f"more than {LONGEST:g} s of sound: pause between two takes, and wait until it is quiet"
    if loudest < QUIET:
        return f"too quiet, {loudest:.0f} dB of at least {QUIET:.0f}: come closer, or turn the microphone up"
    if loudest < room + CLEAR:
        return f"only {loudest - room:.0f} dB above the room, at least {CLEAR:.0f} are needed: come closer"
    return None


def _longest_run(true: np.ndarray) -> int:
    """The most neighbours that are all true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], true, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def meter(height: float) -> str:
    """A level from -80 to 0 decibels as a line of text."""
    filled = round(min(max(height + 80, 0.0), 80.0) / 80 * WIDTH)
    return f"{'█' * filled}{'·' * (WIDTH - filled)} {max(height, -80):4.0f} dB"


def record(folder: Path, blocks: Iterable[np.ndarray], rate: int, number: int | None, progress: Progress) -> list[Path]:
    """Write takes to folder/take-0001.wav and so on, after those that are there, until there are `number` more or the sound
    ends; the files written. UserError if no usable take came."""
    written: list[Path] = []
    first, told, refused = _next_number(folder), False, 0
    progress.say("quiet, please: the room is measured")
    for heard in listen(blocks, rate):
        if heard.room is not None and not told:
            told = _tell_of(heard.room, progress)
        if heard.take is not None and heard.take.problem is not None:
            refused += 1
            progress.say(f"not kept: {heard.take.problem}")
        elif heard.take is not None:
            written.append(folder / f"take-{first + len(written):04d}.wav")
            folder.mkdir(parents=True, exist_ok=True)
            sound.write(written[-1], heard.take.samples, rate)
            of = f" of {number}" if number else ""
            progress.say(f"take {len(written)}{of}: {written[-1]}, {len(heard.take.samples) / rate:.1f} s")
        if number and len(written) == number:
            break
        progress.now(meter(heard.level))
    if not written:
        said = f"no take could be used, of {refused} heard" if refused else "no word was heard before the sound ended"
        raise UserError(f"nothing is recorded: {said}", fix="say it clearly, with a pause of half a second after it")
    return written


def _tell_of(room: float, progress: Progress) -> bool:
    noisy = "; it is loud, a quieter place gives clearer takes" if room > LOUD_ROOM else ""
    progress.say(f"the room has {room:.0f} dB{noisy}. Say the word, pause, and say it again; Ctrl-C ends")
    return True


def _next_number(folder: Path) -> int:
    """The number after the highest take that is there."""
    names = (re.fullmatch(r"take-(\d+)\.wav", path.name) for path in folder.glob("take-*.wav"))
    return max((int(name[1]) for name in names if name), default=0) + 1
