"""What a picture shows: the best captions by beam search, as `unrolled predict` answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import decode
from ..config import check, option
from ..data import pictures
from ..data.vocab import END, UNKNOWN
from ..decode import Hypothesis
from ..errors import UserError
from .opened import Opened

AT_ONCE = 16  # pictures searched together
Picture = str | Path | np.ndarray  # a file, or its pixels (H, W, 3) of uint8


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    beam: int = option(5, "hypotheses kept a picture; 1 takes the likeliest symbol each time", minimum=1, maximum=1000)
    best: int = option(1, "captions of a picture", minimum=1, maximum=1000)
    length_power: float = option(1.0, "0 compares whole log-probabilities, 1 their mean a symbol", minimum=0, maximum=2)
    patience: float | None = option(3.0, "the search is over when so many beams have ended", minimum=0.01)
    no_repeat: int | None = option(None, "no run of so many symbols stands twice in a caption", minimum=1)
    diversity: float | None = option(
        None, "captions that differ: nats that a beam pays for a symbol that another has at its step", minimum=0.01, maximum=100
    )
    groups: int | None = option(None, "beams that pay each other nothing are together in one of these  [each alone]", minimum=1)

    def __post_init__(self) -> None:
        check(self)


class Caption(NamedTuple):
    text: str
    score: float  # what captions are ranked by
    nats: float  # log-probability


class Answer(NamedTuple):
    text: str
    probability: float
    best: list[Caption]


class Captioner:
    """The encoder looks at pictures, the decoder in the file beside it writes, a symbol a step."""

    def __init__(self, opened: Opened):
        self.codec, self.encoder, self.decoder = opened.codec, opened.graph, opened.parts["step"]
        self.size, self.longest = opened.settings["size"], opened.settings["longest"]
        self.states = len(self.decoder.start(1))

    def predict(self, found: Sequence[Picture], options: Predict | None = None) -> list[Answer]:
        """The best captions of each picture. A file takes Pillow, as do pixels of another size than the net's."""
        options = options or Predict()
        if options.best > options.beam:
            raise UserError(f"`best={options.best}` is more than `beam={options.beam}` keeps", fix=f"beam={options.best}")
        answers = []
        for begin in range(0, len(found), AT_ONCE):
            pixels = np.stack([self._opened(one) for one in found[begin : begin + AT_ONCE]])
            for hypotheses in self.search(pixels, options):
                best = [Caption(self._written(one), one.score, one.nats) for one in hypotheses[: options.best]]
                answers.append(Answer(best[0].text, math.exp(best[0].nats), best))
        return answers

    def search(self, pixels: np.ndarray, options: Predict) -> list[list[Hypothesis]]:
        """The best hypotheses of each of pictures (N, S, S, 3) of uint8."""
        step, state = self.open(pixels)
        logits, state = step(np.full(len(pixels), END), state)
        groups = decode.groups_of(options.beam, options.groups, options.diversity)
        beam = decode.Beam(
            options.beam, options.length_power, options.no_repeat, options.patience,
            groups=groups, diversity=options.diversity or 0.0,
        )  # fmt: skip
        return decode.beams(step, logits, state, beam, [self.longest] * len(pixels), END, [UNKNOWN])

    def open(self, pixels: np.ndarray) -> tuple[decode.Step, decode.State]:
        """The step that writes captions of these pictures, and the state before the first symbol: the decoder's, where each
        row looked last (P,), each row's picture."""
        read = self.encoder({"pixels": pixels})
        shared = {name: read[name] for name in ("memory", "keys") if name in read}
        begun = [read[f"first_state_{i}"] for i in range(self.states)]

        def step(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
            rows = state[-1]
            given = {f"state_{i}": one for i, one in enumerate(state[: self.states])}
            given |= {name: value[rows] for name, value in shared.items()}
            made = self.decoder(given | {"ids": ids.astype(np.int64)})
            after = (made[f"after_state_{i}"] for i in range(self.states))
            return made["logits"], (*after, made["weights"], rows)

        looked = np.zeros(read["memory"].shape[:2], np.float32)
        return step, (*begun, looked, np.arange(len(pixels)))

    def _opened(self, found: Picture) -> np.ndarray:
        if not isinstance(found, np.ndarray):
            return pictures.read(Path(found), self.size, self.size)
        return pictures.stretched(found, self.size, self.size)

    def _written(self, found: Hypothesis) -> str:
        return self.codec.decode([i for i in found.ids if i != END]).strip()
