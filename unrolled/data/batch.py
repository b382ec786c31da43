"""Symbols on disk and the batches cut from them. What a step sees is a function of (seed, step) alone."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
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
