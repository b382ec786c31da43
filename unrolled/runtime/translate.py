"""A translator: the best translations by beam search, as `unrolled predict` answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import decode
from ..config import check, option
from ..data.vocab import END, UNKNOWN
from ..decode import Hypothesis
from ..errors import UserError
from .opened import Opened, alike, padded

AT_ONCE = 32  # sentences searched together


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    beam: int = option(5, "hypotheses kept a sentence; 1 takes the likeliest symbol each time", minimum=1, maximum=1000)
    best: int = option(1, "translations of a sentence", minimum=1, maximum=1000)
    length_power: float = option(1.1, "0 compares whole log-probabilities, 1 their mean a symbol", minimum=0, maximum=2)
    patience: float | None = option(1.0, "the search is over when so many beams have ended", minimum=0.01)
    threshold: float | None = option(3.0, "hypotheses so many nats below the likeliest are given up", minimum=0)
    no_repeat: int | None = option(None, "no run of so many symbols stands twice in an answer", minimum=1)
    diversity: float | None = option(
        None, "answers that differ: nats that a beam pays for a symbol that another has at its step", minimum=0.01, maximum=100
    )
    groups: int | None = option(None, "beams that pay each other nothing are together in one of these  [each alone]", minimum=1)

    def __post_init__(self) -> None:
        check(self)


class Translation(NamedTuple):
    text: str
    score: float  # what translations are ranked by
    nats: float  # log-probability


class Answer(NamedTuple):
    text: str
    best: list[Translation]


class Translator:
    """The encoder reads sentences, the decoder in the file beside it writes, a symbol a step."""

    def __init__(self, opened: Opened):
        self.codec, self.encoder, self.decoder = opened.codec, opened.graph, opened.parts["step"]
        self.stretch, self.copies = opened.settings["stretch"], opened.settings["copies"]
        self.widths = {each.name: each.shape for each in self.decoder.session.get_inputs()}

    def predict(self, texts: Sequence[str], options: Predict | None = None) -> list[Answer]:
        """The best translations of each sentence; an empty one's is empty."""
        options = options or Predict()
        if options.best > options.beam:
            raise UserError(f"`best={options.best}` is more than `beam={options.beam}` keeps", fix=f"beam={options.best}")
        answers = [Answer("", []) for _ in texts]
        some = [i for i, text in enumerate(texts) if text.strip()]
        sources = [self.codec.source.encode(texts[i]) for i in some]
        sources = [source if len(source) else np.array([UNKNOWN]) for source in sources]
        for group in alike(np.array([len(source) for source in sources]), AT_ONCE):
            found = self.search([sources[i] for i in group], options)
            for i, hypotheses in zip(group, found, strict=True):
                best = [self._told(texts[some[i]], sources[i], one) for one in hypotheses[: options.best]]
                answers[some[i]] = Answer(best[0].text, best)
        return answers

    def search(self, sources: Sequence[np.ndarray], options: Predict) -> list[list[Hypothesis]]:
        """The best hypotheses of each sentence of ids."""
        step, state = self.open(sources)
        logits, state = step(np.full(len(sources), END), state)
        longest = np.ceil(self.stretch * np.array([len(source) for source in sources])).astype(np.int64) + 20
        groups = decode.groups_of(options.beam, options.groups, options.diversity)
        beam = decode.Beam(
            options.beam, options.length_power, options.no_repeat, options.patience, options.threshold,
            groups, options.diversity or 0.0,
        )  # fmt: skip
        return decode.beams(step, logits, state, beam, longest, END, [] if self.copies else [UNKNOWN])

    def open(self, sources: Sequence[np.ndarray]) -> tuple[decode.Step, decode.State]:
        """The step that writes translations of these sentences, and the state before the first symbol.

        The state: the decoder's own arrays by the order of their names, where each row looked last, each row's sentence.
        """
        ids, lengths = padded(sources)
        read = self.encoder({"ids": ids, "lengths": lengths})
        shared = {name: read[name] for name in ("memory", "keys") if name in self.widths}
        shared |= {"lengths": lengths} if "lengths" in self.widths else {}
        own = [name for name in self.widths if name not in (*shared, "ids")]
        begun = [read.get(f"first_{name}", np.zeros((len(ids), *self._width(name, ids.shape[1])), np.float32)) for name in own]

        def step(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
            rows = state[-1]
            given = {name: value[rows] for name, value in shared.items()} | dict(zip(own, state, strict=False))
            made = self.decoder(given | {"ids": ids.astype(np.int64)})
            looked = made.get("weights", state[-2])
            return made["logits"], (*(made[f"after_{name}"] for name in own), looked, rows)

        return step, (*begun, np.zeros(ids.shape, np.float32), np.arange(len(ids)))

    def _width(self, name: str, steps: int) -> list[int]:
        return [size if isinstance(size, int) else steps for size in self.widths[name][1:]]

    def _told(self, text: str, source: np.ndarray, found: Hypothesis) -> Translation:
        """A hypothesis as text, with symbols of the source in the place of unknown ones (Luong et al. 2015)."""
        ids = [i for i in found.ids if i != END]
        if UNKNOWN not in ids:
            return Translation(self.codec.decode(ids).strip(), found.score, found.nats)
        pieces, parts = self.codec.source.pieces(text), []
        step, state = self.open([source])
        for before, i in zip([END, *ids], ids, strict=False):
            _, state = step(np.array([before]), state)
            parts.append(pieces[state[-2][0].argmax()] if i == UNKNOWN else self.codec.text(i))
        between = "" if self.codec.kind == "characters" else " "
        return Translation(between.join(parts).strip(), found.score, found.nats)
