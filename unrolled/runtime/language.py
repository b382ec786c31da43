"""A language model: writes as `unrolled sample` does, and scores texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .. import decode, writer
from ..data.vocab import END
from ..writer import Sample, Writer
from .opened import Opened

AT_ONCE = 4096  # symbols of a text that are scored together


class Scored(NamedTuple):
    """How surprised the model is by a text."""

    texts: list[str]  # of each symbol
    nats: np.ndarray  # one a symbol


class Language:
    """`codec` has the symbols; `step` reads one a row."""

    def __init__(self, opened: Opened):
        self.codec, self.graph = opened.codec, opened.graph
        self.writer = Writer(self.codec, self._draw, self._begin)

    def sample(self, options: Sample) -> list[str]:
        """Texts, options.number of them; the prompt is not repeated."""
        return writer.texts(self.writer, options)

    def stream(self, options: Sample) -> Iterator[str]:
        """One text, piece by piece as it is written."""
        return writer.stream(self.writer, options)

    def score(self, text: str, label: str | None = None) -> Scored:
        """The nats of each symbol of a text, given all before it; an `end` follows where the model knows records."""
        ids = self.codec.encode(text)
        ids = np.append(ids, END) if self.codec.records else ids
        before = np.append(self.codec.start, ids[:-1])
        state, nats = self.graph.start(1), []
        for begin in range(0, len(ids), AT_ONCE):
            logits, state = self.read(before[None, begin : begin + AT_ONCE], state, writer.label_asked(self.codec, label))
            part = ids[begin : begin + AT_ONCE]
            nats.append(-decode.log_softmax(logits[0])[np.arange(len(part)), part])
        return Scored([self.codec.text(int(i)) for i in ids], np.concatenate(nats) if nats else np.zeros(0))

    def read(
        self, ids: np.ndarray, state: Sequence[np.ndarray], label: int | None = None
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """ids (B, T) -> logits (B, T, V) of the symbols after them, and the state."""
        given = {"ids": ids.astype(np.int64), "lengths": np.full(len(ids), ids.shape[1])}
        given |= {f"state_{i}": one for i, one in enumerate(state)}
        if label is not None:
            given["labels"] = np.full(len(ids), label)
        found = self.graph(given)
        return found["logits"], tuple(found[f"after_state_{i}"] for i in range(len(state)))

    def _begin(self, options: Sample) -> tuple[decode.Step, np.ndarray, decode.State]:
        label = writer.label_asked(self.codec, options.label)

        def step(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
            logits, state = self.read(ids[:, None], state, label)
            return logits[:, 0], state

        logits, state = self.read(np.array([writer.prompted(self.codec, options)]), self.graph.start(1), label)
        return step, logits[:, -1].copy(), state

    def _draw(self, options: Sample, rows: int, filters: decode.Sampling, random: np.random.Generator) -> Iterator[np.ndarray]:
        step, logits, state = self._begin(options)
        logits, state = np.repeat(logits, rows, 0), tuple(s.repeat(rows, 0) for s in state)
        return decode.sample(step, logits, state, filters, random, writer.banned(self.codec))
