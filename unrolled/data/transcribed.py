"""Recordings as training reads them: samples of 16 bits in one file, and of each its text and where it came from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .batch import Rows, open_map, write
from .samples import as_floats


@dataclasses.dataclass(frozen=True)
class Clips:
    """Recordings: what is heard, what is said, whose they are and where they stand."""

    sounds: Rows  # int16
    texts: list[str]
    groups: list[str]
    places: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> np.ndarray:
        """Samples (N,), full scale 1."""
        return as_floats(self.row(i))

    def row(self, i: int) -> np.ndarray:
        """Samples (N,) as they are kept."""
        return self.sounds.ids[self.sounds.bounds[i] : self.sounds.bounds[i + 1]]

    def spread(self, limit: int | None) -> Clips:
        """`limit` of them, always the same ones; all where there are no more."""
        if limit is None or limit >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(0).permutation(len(self))[:limit])
        sounds = Rows.of([self.row(i) for i in chosen])
        return Clips(sounds, *([values[i] for i in chosen] for values in (self.texts, self.groups, self.places)))


def keep_sounds(path: Path, rows: Iterable[np.ndarray]) -> dict[str, Any]:
    """Write samples of 16 bits beside `path`; what open_sounds needs to find them."""
    bounds = [0]

    def counted() -> Iterator[np.ndarray]:
        for row in rows:
            bounds.append(bounds[-1] + len(row))
            yield row

    ids = write(path.with_suffix(".ids"), np.dtype(np.int16), counted())
    return {"ids": ids, "bounds": write(path.with_suffix(".bounds"), np.dtype(np.int64), [np.array(bounds)])}


def open_sounds(path: Path, account: dict[str, Any]) -> Rows:
    return Rows(*(open_map(path.with_suffix(f".{name}"), account[name]) for name in ("ids", "bounds")))


def keep(path: Path, clips: Clips, chosen: Sequence[int]) -> dict[str, Any]:
    """Write some of the recordings beside `path`; what open_clips needs to find them."""
    with open(path.with_suffix(".jsonl"), "w", encoding="utf-8", errors="surrogatepass") as file:
        file.writelines(json.dumps([clips.texts[i], clips.groups[i], clips.places[i]]) + "\n" for i in chosen)
    return keep_sounds(path, (clips.row(i) for i in chosen))


def open_clips(path: Path, account: dict[str, Any]) -> Clips:
    with open(path.with_suffix(".jsonl"), encoding="utf-8", errors="surrogatepass") as file:
        texts, groups, places = zip(*map(json.loads, file), strict=True)
    return Clips(open_sounds(path, account), list(texts), list(groups), list(places))
