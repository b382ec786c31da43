"""Sound files as stretches to learn from: silence taken out, a part held out, all of it told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from . import sound
from .samples import EVERY, in_16_bits, level, levels

PAUSE = 0.5  # seconds; shorter silence belongs to the sound
AROUND = 0.1  # seconds of silence that stay at either side
SHORTEST = 0.1  # seconds of a stretch
LEAST = 2.0  # seconds to learn from in all
HIGHEST = 16_000  # hertz, unless asked for
MANY = 20  # files from which on whole files are held out
FULL = 0.999  # of full scale: what is cut off stands there
CLIPPED = 1e-4  # of the samples, from which on it is told

Guide = Callable[[Path, np.ndarray], np.ndarray]  # a file and its samples -> features of every hundredth of a second


class Stretch(NamedTuple):
    """Sound without long silence."""

    samples: np.ndarray  # (N,) int16
    origin: str
    label: str | None
    guide: np.ndarray | None  # (frames, C) float32


class Found(NamedTuple):
    """What is in sound files, and lines about it for the user."""

    train: list[Stretch]
    dev: list[Stretch]
    said: list[str]


class File(NamedTuple):
    """One sound file as it was read."""

    path: Path
    label: str | None
    stretches: list[Stretch]
    seconds: float
    rate: int
    channels: int
    clipped: float  # part of its samples
    level: float  # decibels
    coarse: bool  # 8 bits


def rate(names: Iterable[str]) -> int:
    """Samples a second that most of the sound has, at most HIGHEST."""
    seconds: dict[int, float] = {}
    for info in (sound.info(path) for name in names for path in sound.files(Path(name))):
        seconds[info.rate] = seconds.get(info.rate, 0.0) + info.seconds
    return min(HIGHEST, max(seconds, key=lambda rate: (seconds[rate], rate)))


def read(names: Iterable[str], hertz: int, silence: float, labelled: bool = False, guide: Guide | None = None) -> list[File]:
    """The sound files under these names, cut at what is softer than `silence` decibels for longer than PAUSE seconds."""
    found = []
    for name in names:
        root = Path(name)
        for path in sound.files(root):
            found.append(_read(path, _label(root, path) if labelled else None, hertz, silence, guide))
    return found


def split(files: Sequence[File], dev: Sequence[File], holdout: float, hertz: int, seed: int, silence: float) -> Found:
    """What to learn from and what to measure on: the files of `dev`; else of many files some, of few the last part of each."""
    said = told(files, hertz, silence)
    kept = [file for file in files if file.stretches]
    if dev:
        train, held = [s for file in kept for s in file.stretches], [s for file in dev for s in file.stretches]
        said += told(dev, hertz, silence)
    elif len(kept) >= MANY:
        chosen = set(np.random.default_rng(seed).permutation(len(kept))[: max(1, round(holdout * len(kept)))].tolist())
        train = [s for i, file in enumerate(kept) if i not in chosen for s in file.stretches]
        held = [s for i in sorted(chosen) for s in kept[i].stretches]
        said.append(f"held out to measure on: {len(chosen)} of the {len(kept)} files, drawn by the seed")
    else:
        parts = [_parted(file.stretches, holdout, hertz) for file in kept]
        train, held = [s for before, _ in parts for s in before], [s for _, after in parts for s in after]
        each = "each of the files" if len(kept) > 1 else "the file"
        said.append(f"held out to measure on: the last {100 * holdout:.0f} % of {each}")
    _check(files, dev, train, held, hertz, silence)
    lasts = [seconds(part, hertz) for part in (train, held)]
    return Found(train, held, [*said, f"{lasts[0]:.1f} s to learn from, {lasts[1]:.1f} s to measure on"])


def seconds(stretches: Iterable[Stretch], hertz: int) -> float:
    return sum(len(s.samples) for s in stretches) / hertz


def told(files: Sequence[File], hertz: int, silence: float) -> list[str]:
    """How much was read, what was left out and why, and what is odd about it."""
    whole, kept = sum(file.seconds for file in files), sum(seconds(file.stretches, hertz) for file in files)
    rates = ", ".join(f"{rate:,}" for rate in sorted({file.rate for file in files}))
    loud = [file.level for file in files]
    lines = [
        f"read {len(files)} file{'s' if len(files) != 1 else ''}, {whole:.1f} s at {rates} hertz, {-max(loud):.0f} to "
        f"{-min(loud):.0f} dB below full scale on average; {kept:.1f} s kept at {hertz:,} hertz"
    ]
    if whole - kept >= 0.05:
        lines.append(f"{whole - kept:.1f} s left out as silence: softer than {silence:.0f} dB for over {PAUSE} s (--silence)")
    for what, which in (
        ("left out whole, silent or too short", [f for f in files if not f.stretches]),
        (
            "clipped: some of the loudest samples are cut off, and so will be what is made",
            [f for f in files if f.clipped > CLIPPED],
        ),
        ("of 8 bits: its hiss will be learnt", [f for f in files if f.coarse]),
        ("of several channels: their mean is taken", [f for f in files if f.channels > 1]),
    ):
        if which:
            names = ", ".join(f"`{file.path.name}`" for file in which[:3]) + (
                f" and {len(which) - 3} more" if len(which) > 3 else ""
            )
            lines.append(f"{names}: {what}")
    return lines


def _label(root: Path, path: Path) -> str:
    """The folder right below the one that was named; of a file, its own folder."""
    inside = path.relative_to(root).parts if root.is_dir() else ()
    return inside[0] if len(inside) > 1 else path.parent.name


def _read(path: Path, label: str | None, hertz: int, silence: float, guide: Guide | None) -> File:
    info = sound.info(path)
    samples = sound.read(path, hertz)
    first = next(sound.blocks(path, info.rate)) * 128
    features = None if guide is None else guide(path, samples)
    size = round(EVERY * hertz)
    stretches = []
    for begin, end in sounding(samples, hertz, silence):
        part = None if features is None else features[begin // size : -(-end // size)]
        stretches.append(Stretch(in_16_bits(samples[begin:end]), str(path), label, part))
    clipped = float((np.abs(samples) >= FULL).mean())
    coarse = bool((first == np.rint(first)).all() and first.any()) and info.channels == 1
    return File(path, label, stretches, info.seconds, info.rate, info.channels, clipped, level(samples), coarse)


def sounding(samples: np.ndarray, hertz: int, silence: float) -> list[tuple[int, int]]:
    """Where sound is: [(begin, end), …], begins at whole hundredths of a second; softer than `silence` decibels is none."""
    loud, size = levels(samples, hertz) > silence, round(EVERY * hertz)
    if not loud.any():
        return []
    at = np.flatnonzero(loud)
    apart = np.flatnonzero(np.diff(at) * EVERY > PAUSE)
    begins, ends = at[np.append(0, apart + 1)], at[np.append(apart, -1)] + 1
    around = round(AROUND / EVERY)
    found = [(max(0, b - around) * size, min(len(samples), (e + around) * size)) for b, e in zip(begins, ends, strict=True)]
    found = [(b, len(samples) if len(samples) - e < size else e) for b, e in found]
    return [(int(b), int(e)) for b, e in found if (e - b) / hertz >= SHORTEST]


def _parted(stretches: list[Stretch], holdout: float, hertz: int) -> tuple[list[Stretch], list[Stretch]]:
    """The stretches before and after a place in a file."""
    size = round(EVERY * hertz)
    left = round(sum(len(s.samples) for s in stretches) * (1 - holdout)) // size * size
    before, after = [], []
    for s in stretches:
        here = min(left, len(s.samples)) // size * size if left < len(s.samples) else len(s.samples)
        frames = -(-here // size)
        if here:
            before.append(s._replace(samples=s.samples[:here], guide=None if s.guide is None else s.guide[:frames]))
        if here < len(s.samples):
            after.append(s._replace(samples=s.samples[here:], guide=None if s.guide is None else s.guide[frames:]))
        left -= here
    return before, after


def _check(
    files: Sequence[File], dev: Sequence[File], train: list[Stretch], held: list[Stretch], hertz: int, silence: float
) -> None:  # fmt: skip
    where = ", ".join(sorted({str(file.path) for file in files})[:3])
    if not train and not held:
        loudest = max(file.level for file in files)
        raise UserError(
            f"there is only silence: nothing is louder than `--silence {silence:g}` decibels, and the loudest file has "
            f"{loudest:.0f} on average",
            where,
            "a lower --silence, or other recordings",
        )
    if train and not held and dev:
        names = ", ".join(sorted({str(file.path) for file in dev})[:3])
        raise UserError("there is only silence to validate on", names, "name other sound with --dev, or leave it out")
    if seconds(train, hertz) + seconds(held, hertz) < LEAST or not held or not train:
        said = f"there are {seconds(train, hertz) + seconds(held, hertz):.2f} seconds of sound; needed are at least {LEAST:g}"
        raise UserError(said, where, "give more of it")
