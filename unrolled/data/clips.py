"""Recordings for a detector: words cut out of them, other sound in pieces, a part of the files held out, all kept on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from . import sound
from .batch import Rows, open_rows, write_rows
from .samples import in_16_bits, word


class Clip(NamedTuple):
    samples: np.ndarray  # (N,) float32 or int16
    origin: str  # the folder that it came from, or who spoke it


class Clips(NamedTuple):
    """Clips of one kind, on disk."""

    sounds: Rows  # int16
    origins: list[str]

    def __len__(self) -> int:
        return len(self.origins)

    def whole(self) -> list[Clip]:
        """Each with its origin; their samples are int16 and stay on disk until they are read."""
        begins = self.sounds.bounds
        return [Clip(self.sounds.ids[begins[i] : begins[i + 1]], origin) for i, origin in enumerate(self.origins)]


def words(names: Iterable[str], rate: int, longest: float) -> list[Clip]:
    """The word alone, cut out of each recording in folders or files; its origin is the folder that it lies in.

    UserError for a silent recording, and for a word of more than `longest` seconds.
    """
    paths = [path for name in names for path in sound.files(Path(name))]
    return [Clip(_word(path, rate, longest), str(path.parent)) for path in paths]


def _word(path: Path, rate: int, longest: float) -> np.ndarray:
    samples = sound.read(path, rate)
    begin, end = word(samples, rate)
    if begin == end:
        raise UserError(f"`{path}` is silent: it should hold the word", str(path), "take it out, or record it again")
    if end - begin > longest * rate:
        said = f"the word in `{path}` lasts {(end - begin) / rate:.1f} s; at most {longest:.1f} are mixed"
        raise UserError(said, str(path), "cut it to the word alone, or give a longer --example")
    return samples[begin:end]


def others(names: Iterable[str], rate: int) -> list[Clip]:
    """Whole files of folders, or files; their origin is the folder or file as it was named."""
    return [Clip(sound.read(path, rate), name) for name in names for path in sound.files(Path(name))]


def draw(clips: Sequence[Clip], share: float, rng: np.random.Generator) -> tuple[list[Clip], list[Clip]]:
    """Those that stay and a `share` of them that is held out, at least one; a single one stays."""
    order = rng.permutation(len(clips))
    held = set(order[: max(1, round(share * len(clips)))].tolist()) if len(clips) > 1 else set()
    stay, out = ([clip for i, clip in enumerate(clips) if (i in held) == inside] for inside in (False, True))
    return stay, out


def split(files: Sequence[Clip], share: float, rng: np.random.Generator) -> tuple[list[Clip], list[Clip], bool]:
    """Files that stay, files held out, and whether one was cut.

    Files are drawn until they make up `share` of the sound; if none is so short, the shortest is held out. Where that would be
    more than half of all, as where there is one file, the end of the longest is.
    """
    if not files:
        return [], [], False
    sizes = np.array([len(one.samples) for one in files])
    held, room = set(), share * sizes.sum()
    for i in rng.permutation(len(files)).tolist():
        if sizes[i] <= room:
            held.add(i)
            room -= sizes[i]
    held = held or {int(sizes.argmin())}
    if sizes[list(held)].sum() <= sizes.sum() / 2:
        stay, out = ([one for i, one in enumerate(files) if (i in held) == inside] for inside in (False, True))
        return stay, out, False
    longest = int(sizes.argmax())
    samples, origin = files[longest]
    at = len(samples) - round(min(share * sizes.sum(), len(samples) / 2))
    stay = [one for i, one in enumerate(files) if i != longest]
    return [*stay, Clip(samples[:at], origin)], [Clip(samples[at:], origin)], True


def pieces(clips: Iterable[Clip], size: int) -> Iterator[Clip]:
    """The clips in pieces of up to `size` samples."""
    for samples, origin in clips:
        yield from (Clip(part, origin) for part in cut(samples, size))


def cut(samples: np.ndarray, size: int) -> list[np.ndarray]:
    """Samples in pieces of up to `size`."""
    return [samples[begin : begin + size] for begin in range(0, len(samples), size)]


def keep(path: Path, clips: Sequence[Clip]) -> dict[str, Any]:
    """Write clips beside `path`; the account with which `opened` finds them."""
    rows = write_rows(path, np.dtype(np.int16), (in_16_bits(clip.samples) for clip in clips))
    return rows | {"origins": [clip.origin for clip in clips]}


def opened(path: Path, account: dict[str, Any]) -> Clips:
    """What `keep` wrote."""
    return Clips(open_rows(path, account), account["origins"])
