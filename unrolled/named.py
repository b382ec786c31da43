"""Names found in a text: how a tagger sees words spelled, and from words' tags to spans of characters. numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import spans
from .data.tokens import Token

SCHEME = "bioes"
SPELLED = 24  # bytes of a word that are read: of a longer one, the first and the last half


class Name(NamedTuple):
    text: str
    label: str
    start: int  # characters of the text
    end: int
    probability: float  # of the least sure of its words


class Answer(NamedTuple):
    text: str
    names: list[Name]
    words: list[str]
    tags: list[str]
    offsets: list[tuple[int, int]]  # of each word: its first character in the text, and one past its last


class Read(NamedTuple):
    """What the net makes of a sentence."""

    tags: np.ndarray  # (T,) the best sequence
    marginals: np.ndarray  # (T, K) probability of each tag


def spelled(word: str) -> np.ndarray:
    """A word's bytes + 1, at most SPELLED of them."""
    data = np.frombuffer(word.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int32) + 1
    return data if len(data) <= SPELLED else np.concatenate((data[: SPELLED // 2], data[-SPELLED // 2 :]))


def found(labels: Sequence[str], read: Read) -> list[spans.Span]:
    """The names in a sentence, by its words."""
    return spans.spans([labels[i] for i in read.tags], SCHEME)


def answer(labels: Sequence[str], line: str, sentences: list[tuple[list[Token], Read]]) -> Answer:
    """What is answered to a text of several sentences."""
    told = Answer(line, [], [], [], [])
    for words, read in sentences:
        names, sure = found(labels, read), read.marginals[np.arange(len(words)), read.tags]
        for a, b, kind in names:
            start, end = words[a].start, words[b - 1].end
            told.names.append(Name(line[start:end], kind, start, end, float(sure[a:b].min())))
        told.words.extend(word.text for word in words)
        told.tags.extend(spans.tags(names, len(words), "bio"))
        told.offsets.extend((word.start, word.end) for word in words)
    return told
