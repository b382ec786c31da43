"""What a detector is measured on: streams as they would be heard, with the word at known places or nowhere.

Words are laid over what is behind them one after another, at a stated number of decibels above it; other sound is heard as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .data import mixing, sound
from .data.clips import Clip
from .data.marks import Mark
from .data.samples import SILENCE, as_floats, level
from .detection import Recording
from .detector import Detector
from .kernels.threads import in_shares

CLEAN = 40.0  # decibels above the background that count as none
LEVELS = (CLEAN, 20.0, 10.0, 5.0)  # decibels of the word above what is behind it, to validate on
MOST_WORDS = 200  # at each of them
LONGEST = 300  # seconds of other sound in a stream
BACKGROUND = -40.0  # decibels of full scale that what is behind the words has
PAUSE = 1.5, 3.0  # seconds between a word and the next, at least and at most
WARMING = 1.0  # seconds before the first
TOGETHER = 50  # words in a stream
BLOCK = 1 << 16  # samples heard at a time


class Stream(NamedTuple):
    name: str
    kind: str  # words at so many decibels, or where else it is from
    sound: np.ndarray | Path  # samples (N,), float32 or int16; a file of any length
    marks: list[Mark]  # by time; the label says where the word came from


class Heard(NamedTuple):
    """Streams to measure on; as many as they have seconds."""

    streams: list[Stream]
    rate: int

    def __len__(self) -> int:
        return sum(len(stream.sound) for stream in self.streams) // self.rate

    def some(self, seconds: float | None) -> list[Stream]:
        """Streams of about so many seconds in all, always the same ones, half of that with the word; None: all."""
        if seconds is None or seconds >= len(self):
            return self.streams
        found: set[int] = set()
        for wanted in (True, False):
            those = [i for i, stream in enumerate(self.streams) if bool(stream.marks) == wanted]
            left = seconds / 2
            for i in np.random.default_rng(0).permutation(those).tolist():
                if left > 0:
                    found.add(i)
                    left -= len(self.streams[i].sound) / self.rate
        return [self.streams[i] for i in sorted(found)]


def recordings(marked: Iterable[tuple[str, Sequence[Mark]]]) -> int:
    """How many recordings of the word streams of such names and marks hold: one at several levels is one."""
    return len({(name, i) for name, marks in marked for i in range(len(marks))})


def at_levels(words: Sequence[Clip], backgrounds: Sequence[np.ndarray], rate: int, seed: int) -> list[Stream]:
    """Up to MOST_WORDS words, drawn by the seed, at each of LEVELS above what is behind them."""
    chosen = [words[i] for i in np.random.default_rng(seed).permutation(len(words))[:MOST_WORDS]]
    chosen = [Clip(as_floats(clip.samples), clip.origin) for clip in chosen]
    return [stream for level in LEVELS for stream in with_words(chosen, backgrounds, level, rate, seed)]


def without_words(clips: Sequence[Clip], rate: int) -> list[Stream]:
    """Clips of one origin after one another, at most some minutes in a stream."""
    found = []
    for origin, group in itertools.groupby(clips, lambda clip: clip.origin):
        parts = [clip.samples for clip in group]
        ends = np.cumsum([len(part) for part in parts]) // (LONGEST * rate)
        found += [
            Stream(origin, origin, np.concatenate([part for part, n in zip(parts, ends, strict=True) if n == number]), [])
            for number in np.unique(ends)
        ]
    return found


def with_words(words: Sequence[Clip], backgrounds: Sequence[np.ndarray], decibels: float, rate: int, seed: int) -> list[Stream]:
    """Streams in which each word (samples, origin) stands once, `decibels` above a stretch of a background, or of noise where
    there is none."""
    kind = "clean" if decibels >= CLEAN else f"{decibels:g} dB"
    made = []
    for number, begin in enumerate(range(0, len(words), TOGETHER)):
        rng = np.random.default_rng((seed, number, round(decibels * 100) & 0xFFFF))
        made.append(_stream(f"words {begin + 1} to {begin + TOGETHER}", kind, words[begin : begin + TOGETHER], backgrounds,
                            decibels, rate, rng))  # fmt: skip
    return made


def _stream(
    name: str, kind: str, words: Sequence[Clip], backgrounds: Sequence[np.ndarray], decibels: float, rate: int,
    rng: np.random.Generator,
) -> Stream:  # fmt: skip
    pauses = np.rint(rng.uniform(*PAUSE, len(words)) * rate).astype(int)
    lengths = np.array([len(clip) for clip, _ in words], np.int64)
    begins = round(WARMING * rate) + np.append(0, np.cumsum(lengths + pauses)[:-1])
    size = int(begins[-1] + len(words[-1][0]) + pauses[-1])
    samples, found = _behind(backgrounds, size, rate, rng), []
    for begin, (clip, origin) in zip(begins.tolist(), words, strict=True):
        end = begin + len(clip)
        gain = max(level(samples[begin:end]), 2 * BACKGROUND) + decibels - level(clip)
        samples[begin:end] += clip * np.float32(10 ** (gain / 20))
        found.append(Mark(begin / rate, end / rate, origin))
    loudest = float(np.abs(samples).max())
    return Stream(name, kind, samples / np.float32(max(loudest, 1.0)), found)


def _behind(backgrounds: Sequence[np.ndarray], size: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """What is behind the words (size,): pieces of backgrounds, each at BACKGROUND decibels."""
    parts, filled = [], 0
    while filled < size:
        if len(backgrounds):
            one = backgrounds[rng.integers(len(backgrounds))]
            begin = rng.integers(max(1, len(one) - 10 * rate))
            part = as_floats(one[begin : begin + 10 * rate])
        else:
            part = mixing.noise("pink", 10 * rate, rate, rng)
        part = part[: size - filled]
        height = level(part)
        parts.append(part * np.float32(10 ** ((BACKGROUND - height) / 20)) if height > SILENCE else part)
        filled += len(part)
    return np.concatenate(parts)


def blocks(stream: Stream, rate: int) -> Iterator[np.ndarray]:
    """Its sound, as float32."""
    if isinstance(stream.sound, Path):
        yield from sound.blocks(stream.sound, rate)
        return
    for begin in range(0, len(stream.sound), BLOCK):
        yield as_floats(stream.sound[begin : begin + BLOCK])


def heard(detector: Detector, streams: Sequence[Stream]) -> list[Recording]:
    """What a detector makes of each, on all threads; marks are moved to where detection counts an answer's time."""
    found: list[Recording] = [Recording(np.empty(0, np.float32), [])] * len(streams)

    def one(i: int) -> None:
        moved = [Mark(max(0.0, m.begin - detector.offset), max(0.0, m.end - detector.offset), m.label) for m in streams[i].marks]
        found[i] = Recording(detector.probabilities(blocks(streams[i], detector.rate)), moved)

    if streams:
        in_shares(one, len(streams))
    return found
