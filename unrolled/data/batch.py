"""Symbols on disk and the batches cut from them. What a step sees is a function of (seed, step) alone."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, of_system
from .vocab import UNKNOWN


@dataclasses.dataclass(frozen=True)
class Symbols:
    """A text as a memory map of ids; labels, one a symbol, where the text is labelled."""

    ids: np.ndarray  # (N,)
    labels: np.ndarray | None  # (N,)
    characters: int

    def __len__(self) -> int:
        return len(self.ids)


class Batch(NamedTuple):
    inputs: Tensor  # (B, T) ids
    targets: Tensor  # (B, T) the ids that follow
    labels: Tensor | None  # (B, T)
    fresh: Tensor  # (B) True where the carried state starts again from zeros

    def to(self, device: torch.device) -> Batch:
        return Batch(*(part if part is None else part.to(device) for part in self))


def spread_rows(number: int, most: int) -> np.ndarray:
    """At most so many of `number` rows, evenly spread over them, always the same ones."""
    return np.linspace(0, number - 1, min(most, number)).astype(np.int64)


class Streams:
    """A text read by B readers side by side, T symbols a step, each going on where its last step ended.

    An epoch is one pass over the text, which is a ring: each epoch starts at another offset, so that cuts fall
    elsewhere and nothing at the end is left unread. A reader's state starts afresh with each epoch, and at random with
    `reset` probability a step: without that a state carried for ever drifts to where evaluation never goes.
    """

    def __init__(self, symbols: Symbols, rows: int, length: int, reset: float, seed: int):
        self.symbols, self.rows, self.length, self.reset, self.seed = symbols, rows, length, reset, seed
        if len(symbols) < 2:
            raise UserError(f"the training text has {len(symbols)} symbols; at least 2 are needed")
        self.rows = rows
        self.lane = -(-len(symbols) // rows)  # symbols from one reader's start to the next's
        self.steps_per_epoch = max(1, -(-self.lane // length))

    def batch(self, step: int) -> Batch:
        epoch, within = divmod(step, self.steps_per_epoch)
        offset = np.random.default_rng((self.seed, epoch)).integers(len(self.symbols)) if epoch else 0
        starts = offset + within * self.length + np.arange(self.rows) * self.lane  # (B,)
        index = (starts[:, None] + np.arange(self.length + 1)) % len(self.symbols)  # (B, T + 1)
        fresh = np.random.default_rng((self.seed, epoch, within)).random(self.rows) < self.reset
        ids = torch.from_numpy(self.symbols.ids[index].astype(np.int64))
        labels = None
        if self.symbols.labels is not None:
            labels = torch.from_numpy(self.symbols.labels[index[:, 1:]].astype(np.int64))
        return Batch(ids[:, :-1], ids[:, 1:], labels, torch.from_numpy(fresh | (within == 0)))


class Rows(NamedTuple):
    """Sequences of different lengths, one after the other: row i is ids[bounds[i] : bounds[i + 1]]."""

    ids: np.ndarray  # (N,)
    bounds: np.ndarray  # (rows + 1,)

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> Rows:
        bounds = np.cumsum([0, *map(len, parts)])
        return cls(np.concatenate(parts) if parts else np.zeros(0, np.int64), bounds)

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.bounds)

    def taken(self, rows: np.ndarray) -> Rows:
        """The chosen rows, in that order."""
        lengths = self.lengths[rows]
        bounds = np.concatenate(([0], np.cumsum(lengths)))
        return Rows(self.ids[np.repeat(self.bounds[rows] - bounds[:-1], lengths) + np.arange(bounds[-1])], bounds)

    def padded(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """The chosen rows as ids (B, T), zeros behind the shorter ones, and their lengths (B)."""
        lengths = self.lengths[rows]
        t = np.arange(max(1, lengths.max()))
        inside = t < lengths[:, None]  # (B, T)
        index = np.where(inside, self.bounds[rows][:, None] + t, 0)
        values = self.ids if len(self.ids) else np.zeros(1, np.int64)  # all rows may be empty
        ids = np.where(inside, values[index], 0).astype(np.int64)
        return torch.from_numpy(ids), torch.from_numpy(lengths)


class Buckets:
    """Which rows a step reads: rows of about the same length together, so that little is padding.

    A batch has `rows` rows; fewer where they are long, so that it holds at most `most` symbols, padding included (a row
    longer than that is alone). Each epoch sorts by length with some chance in it, cuts the order into the same sizes, and
    takes the batches in a new order. The last batch is filled up with rows of the one before it.

    within   lengths of something else of each row: among GROUP batches of like lengths, rows are put in its order
    """

    def __init__(self, lengths: np.ndarray, rows: int, seed: int, most: int = 1 << 16, within: np.ndarray | None = None):
        self.lengths, self.seed, self.within = lengths, seed, within
        self.borders = borders(np.sort(lengths), rows, most)
        self.steps_per_epoch = len(self.borders)
        self.kept: tuple[int, np.ndarray, np.ndarray] | None = None  # an epoch's order of rows, and of batches

    def rows(self, step: int) -> np.ndarray:
        epoch, within = divmod(step, self.steps_per_epoch)
        if self.kept is None or self.kept[0] != epoch:
            self.kept = epoch, *self._shuffled(epoch)
        _, order, turns = self.kept
        begin, end = self.borders[turns[within]]
        return order[begin:end]

    def _shuffled(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng((self.seed, epoch))
        order = np.argsort(_about(self.lengths, generator))
        turns = generator.permutation(self.steps_per_epoch)
        if self.within is not None:
            lengths = _about(self.within, generator)
            for first in range(0, len(self.borders), GROUP):
                begin, end = self.borders[first][0], self.borders[first : first + GROUP][-1][1]
                order[begin:end] = order[begin:end][np.argsort(lengths[order[begin:end]])]
        return order, turns


GROUP = 20  # batches


def _about(lengths: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Lengths with some chance in them."""
    chance = generator.random(len(lengths))
    return lengths * (1 + 0.2 * chance) + chance


def borders(lengths: np.ndarray, rows: int, most: int) -> list[tuple[int, int]]:
    """Where to cut rows sorted by length: [(first, one past the last), …]."""
    borders, begin = [], 0
    while begin < len(lengths):
        size = rows
        while size > 1 and size * lengths[min(begin + size, len(lengths)) - 1] > most:
            size //= 2
        end = min(begin + size, len(lengths))
        borders.append((max(0, end - size), end))
        begin = end
    return borders


def write(path: Path, dtype: np.dtype, parts: Iterable[np.ndarray]) -> dict[str, int | str]:
    """Write arrays one after the other; returns what a reader needs to open the file again and trust it."""
    count, unknown, sha256 = 0, 0, hashlib.sha256()
    try:
        with open(path, "wb") as file:
            for part in parts:
                data = part.astype(dtype).tobytes()
                file.write(data)
                sha256.update(data)
                count += len(part)
                unknown += int((part == UNKNOWN).sum())
    except OSError as error:
        raise of_system(error, "writing", str(path)) from None
    return {"count": count, "unknown": unknown, "dtype": dtype.name, "sha256": sha256.hexdigest()}


def write_rows(path: Path, dtype: np.dtype, rows: Iterable[np.ndarray]) -> dict[str, dict[str, int | str]]:
    """Write rows of different lengths beside `path` as they come; returns what open_rows needs."""
    bounds = [0]

    def counted() -> Iterator[np.ndarray]:
        for row in rows:
            bounds.append(bounds[-1] + len(row))
            yield row

    ids = write(path.with_name(f"{path.name}.ids"), dtype, counted())
    return {"ids": ids, "bounds": write(path.with_name(f"{path.name}.bounds"), np.dtype(np.int64), [np.array(bounds)])}


def open_rows(path: Path, account: dict[str, dict[str, int | str]]) -> Rows:
    """What write_rows wrote, as memory maps."""
    return Rows(*(open_map(path.with_name(f"{path.name}.{name}"), account[name]) for name in ("ids", "bounds")))


def open_map(path: Path, account: dict[str, int | str]) -> np.ndarray:
    """The memory map of a written file; a UserError if it is not the one in the account."""
    if not account["count"]:
        return np.zeros(0, account["dtype"])
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    if digest != account["sha256"]:
        raise UserError(f"`{path}` is not the file this run was started with", str(path), "start a new run on your text")
    return np.memmap(path, account["dtype"], "r")
