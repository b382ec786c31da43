"""A net that writes down what is said: texts of sounds with the times of their words, as `unrolled predict` answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import hot_words, spelled
from ..config import check, option
from ..data.recordings import spaced
from ..data.vocab import UNKNOWN
from ..decode import log_softmax
from ..errors import UserError
from ..spelled import Found
from . import prefixes
from .hearing import Ears, Sound
from .opened import Opened
from .prefixes import Ngrams, Rules

BLANK = UNKNOWN  # which no transcript has


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    beam: int = option(32, "hypotheses that go on after each answer of the net", minimum=1, maximum=10_000)
    best: int = option(1, "texts of a sound", minimum=1, maximum=1000)
    lm: str | None = option(None, "`none`: without the n-grams of the transcripts", choices=("none",))
    weight: float = option(0.6, "of the n-grams", minimum=0, maximum=10)
    insertion: float = option(0.0, "nats that every symbol earns", minimum=-100, maximum=100)
    hot: tuple[str, ...] = option((), "phrases to listen for")
    bonus: float = option(1.0, "nats that every symbol of such a phrase earns", minimum=0, maximum=100)

    def __post_init__(self) -> None:
        check(self)


class Guess(NamedTuple):
    text: str
    score: float  # what texts are ranked by
    nats: float  # log-probability, given the sound


class Word(NamedTuple):
    word: str
    begin: float  # seconds
    end: float


class Answer(NamedTuple):
    text: str
    probability: float
    best: list[Guess]
    words: list[Word]


class Speech:
    """`codec` has the symbols."""

    def __init__(self, opened: Opened):
        self.codec, self.ears = opened.codec, Ears(opened, "logits")
        self.rate, self.tail = self.ears.rate, np.zeros(opened.settings["tail"], np.float32)
        self.space = int(self.codec.encode(" ")[0]) if self.codec.kind == "characters" else None
        self.ngrams = Ngrams(**opened.parts["ngrams"]({}))

    def predict(self, sounds: Sequence[Sound], options: Predict | None = None) -> list[Answer]:
        """What is said in each sound: a file's path, or samples (N,), full scale 1, and their rate."""
        options = options or Predict()
        if options.best > options.beam:
            raise UserError(f"`best={options.best}` is more than `beam={options.beam}` keeps", fix=f"beam={options.best}")
        rules = self._rules(options)
        return [self._answer(self.heard(sound), rules, options) for sound in sounds]

    def greedy(self, sounds: Sequence[Sound]) -> list[str]:
        """The likeliest symbol of each answer, as text: without a search."""
        return [self._written(spelled.greedy(self.heard(sound), BLANK)[0]) for sound in sounds]

    def heard(self, sound: Sound) -> np.ndarray:
        """Log-probabilities (T, V) of a sound and the silence after it."""
        logits, _ = self.ears(np.concatenate([*self.ears.blocks(sound), self.tail]), self.ears.start())
        return log_softmax(logits.astype(np.float64))

    def _rules(self, options: Predict) -> Rules:
        hot = hot_words.listen([self._hot(phrase) for phrase in options.hot], self.codec.size, self.space, options.bonus)
        ngrams = None if options.lm == "none" else self.ngrams
        return Rules(BLANK, ngrams, options.weight, options.insertion, hot, self.codec.size)

    def _hot(self, phrase: str) -> np.ndarray:
        ids = self.codec.encode(spaced(phrase))
        if not len(ids) or (ids == BLANK).any():
            raise UserError(f"the hot phrase `{phrase}` is empty, or has a symbol that no transcript had")
        return ids

    def _answer(self, answers: np.ndarray, rules: Rules, options: Predict) -> Answer:
        found = prefixes.search(answers, rules, options.beam, options.best)
        guesses = [Guess(self._written(one.ids), round(one.score, 4), round(one.nats, 4)) for one in found]
        return Answer(guesses[0].text, round(math.exp(found[0].nats), 4), guesses, self._words(found[0], answers))

    def _words(self, found: Found, answers: np.ndarray) -> list[Word]:
        """Each word from the middle of what its first answer sees to that of its last."""
        step, middle = self.ears.step / self.rate, self.ears.lead / self.rate / 2
        return [
            Word(self._written(word.ids), *(round(at * step + middle, 3) for at in (word.begin, word.end - 1)))
            for word in spelled.words(found.ids, *prefixes.align(answers, found.ids, BLANK), self.space)
        ]

    def _written(self, ids: np.ndarray) -> str:
        return spaced(self.codec.decode(ids.tolist()))
