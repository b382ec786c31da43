"""Recordings as training reads them: samples of 16 bits in one file, and of each its text and where it came from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .batch import Rows, open_rows, write_rows
from .samples import as_floats

SAMPLES = np.dtype(np.int16)


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


def keep(path: Path, clips: Clips, chosen: Sequence[int]) -> dict[str, Any]:
    """Write some of the recordings beside `path`; what open_clips needs to find them."""
    with open(path.with_suffix(".jsonl"), "w", encoding="utf-8", errors="surrogatepass") as file:
        file.writelines(json.dumps([clips.texts[i], clips.groups[i], clips.places[i]]) + "\n" for i in chosen)
    return write_rows(path, SAMPLES, (clips.row(i) for i in chosen))


def open_clips(path: Path, account: dict[str, Any]) -> Clips:
    with open(path.with_suffix(".jsonl"), encoding="utf-8", errors="surrogatepass") as file:
        texts, groups, places = zip(*map(json.loads, file), strict=True)
    return Clips(open_rows(path, account), list(texts), list(groups), list(places))
