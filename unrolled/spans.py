"""Names in a sentence as spans, the tags that write them down, and how well spans were found.

A tag is `O` (outside), or a letter and a kind: `B-person`. Three schemes say which letters a span's words get:

    words    John  lives  in  New     York    City    Mary    Anne    spans
    bio      B-p   O      O   B-l     I-l     I-l     B-p     B-p     (0, 1, p) (3, 6, l) (6, 7, p) (7, 8, p)
    bioes    S-p   O      O   B-l     I-l     E-l     S-p     S-p     bilou writes L and U for E and S, bmes M for I
    iob1     I-p   O      O   I-l     I-l     I-l     I-p     B-p     B only parts a span from one of its kind before it

Tags that no scheme writes (an I after O) are left out when they are read strictly; or they are repaired as the script of the
CoNLL shared tasks, conlleval, does. On a benchmark's table that choice alone moves F1 by half a point (Lignos and Kamyab 2020).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

SCHEMES = ("bio", "bioes", "iob1")
LETTERS = {"bio": "BI", "bioes": "BIES", "iob1": "BI"}
SYNONYMS = {"L": "E", "U": "S", "M": "I", "W": "S"}  # of bilou and bmes
DRAWS = 1000  # of the bootstrap


class Span(NamedTuple):
    """The words [start, end) of a sentence, and what they name."""

    start: int
    end: int
    kind: str


# --- tags


@lru_cache(4096)  # files have few different tags
def cut(tag: str) -> tuple[str, str]:
    """Letter and kind of a tag, ('O', '') of `O`; bilou's and bmes's letters as those of bioes."""
    letter, _, kind = tag.partition("-")
    return SYNONYMS.get(letter, letter), kind


@lru_cache(4096)
def is_tag(tag: str) -> bool:
    """Whether some scheme writes this."""
    return tag == "O" or cut(tag)[0] in ("B", "I", "E", "S")


def written(letter: str, kind: str) -> str:
    """A tag; of a file without kinds the letter alone."""
    return f"{letter}-{kind}" if kind else letter


def scheme(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme that all tags of a file were written in.

    E or S are bioes alone. Else it is iob1 if spans begin with I more often than with a B that need not be there.
    """
    pairs: Counter[tuple[str, str]] = Counter()  # a file has few different ones
    for tags in sentences:
        pairs.update(pairwise(["O", *tags]))
    cuts = [(cut(before), cut(after), count) for (before, after), count in pairs.items()]
    if any(letter in ("E", "S") for _, (letter, _), _ in cuts):
        return "bioes"
    begun = {"B": 0, "I": 0}
    for before, (letter, kind), count in cuts:
        if letter in begun and (before[0] == "O" or before[1] != kind):
            begun[letter] += count
    return "iob1" if begun["I"] > begun["B"] else "bio"


@lru_cache(1 << 16)
def _may_follow(before: str, after: str, scheme: str) -> bool:
    """Whether a scheme writes one tag after another; a sentence's borders are as `O`."""
    if scheme == "iob1":
        return True
    (first, kind), (then, same) = cut(before), cut(after)
    goes_on, unended = then in ("I", "E"), first in ("B", "I")
    if scheme == "bio":
        return not goes_on or (unended and kind == same)
    return goes_on == unended and (not unended or kind == same)


def problem(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    """Where tags first break their scheme, and how: (4, '`I-person` follows `O`'); None where all is well."""
    for i, (before, after) in enumerate(pairwise(["O", *tags, "O"])):
        if cut(after)[0] not in "O" + LETTERS[scheme]:
            return i, f"`{after}` is used"
        if not _may_follow(before, after, scheme):
            if i == len(tags):
                return i - 1, f"the sentence ends after `{before}`"
            return i, f"`{after}` follows `{before}`" if i else f"`{after}` begins a sentence"
    return None


def spans(tags: Sequence[str], scheme: str, repaired: bool = False) -> list[Span]:
    """The spans that tags write down, in order. Strict: a span that is not written as `scheme` asks does not count.

    repaired  reads any sequence as conlleval does: a span begins at B and S, and at whatever else does not go on
              with the kind of an unended span
    """
    found: list[Span] = []
    start, before, whole = 0, "O", False  # `whole`: the span began as it should
    for i, after in enumerate([*tags, "O"]):
        if not _goes_on(before, after):
            if before != "O" and (repaired or (whole and _may_follow(before, "O", scheme))):
                found.append(Span(start, i, cut(before)[1]))
            start, whole = i, _may_follow("O", after, scheme)
        before = after
    return found


@lru_cache(1 << 16)
def _goes_on(before: str, after: str) -> bool:
    """Whether a span goes on from one tag to the next (conlleval's start_of_chunk and end_of_chunk)."""
    (first, kind), (then, same) = cut(before), cut(after)
    return then in ("I", "E") and first in ("B", "I") and kind == same


def tags(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The tags of a sentence of `length` words in a scheme; its spans do not overlap."""
    line = ["O"] * length
    before = Span(0, 0, "")
    for span in sorted(spans):
        first, inside, last = _letters(span, before, scheme)
        for i in range(span.start, span.end):
            letter = first if i == span.start else last if i == span.end - 1 else inside
            line[i] = written(letter, span.kind)
        before = span
    return line


def _letters(span: Span, before: Span, scheme: str) -> tuple[str, str, str]:
    """The letters of a span's first, inner and last word."""
    if scheme == "bioes":
        return "B" if span.end - span.start > 1 else "S", "I", "E"
    touches = before.end == span.start and before.kind == span.kind and before.end > 0
    return "I" if scheme == "iob1" and not touches else "B", "I", "I"


def names(kinds: Iterable[str], scheme: str) -> list[str]:
    """Every tag that a scheme has for these kinds, `O` first."""
    return ["O", *(written(letter, kind) for kind in kinds for letter in LETTERS[scheme])]


def allowed(tags: Sequence[str], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of K tags may begin a sentence (K,), which may follow which (K, K; rows before columns), which may end it (K,)."""
    start = np.array([_may_follow("O", after, scheme) for after in tags], bool)
    follows = np.array([[_may_follow(before, after, scheme) for after in tags] for before in tags], bool)
    end = np.array([_may_follow(before, "O", scheme) for before in tags], bool)
    return start, follows, end


# --- scores


class Measure(NamedTuple):
    """Spans found as they are (borders and kind), as shares of those predicted and of those there; 0 where there are none."""

    precision: float
    recall: float
    f1: float
    right: int
    predicted: int
    support: int  # spans there


class Scores(NamedTuple):
    """How well spans were found: the figures of a Measure, every span counting alike, and more."""

    precision: float
    recall: float
    f1: float
    right: int
    predicted: int
    support: int
    low: float | None  # a 95 % interval of f1 by bootstrap over sentences; None where no span is
    high: float | None
    macro_f1: float  # the mean over kinds
    kinds: dict[str, Measure]
    confusion: np.ndarray  # (kinds + 1, kinds + 1): the kind there, the kind predicted; last row invented, last column missed


def measure(right: int, predicted: int, support: int) -> Measure:
    precision, recall = (right / n if n else 0.0 for n in (predicted, support))
    return Measure(precision, recall, 2 * right / (predicted + support) if right else 0.0, right, predicted, support)


def score(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], seed: int = 0) -> Scores:
    """Compare the spans of sentences with those predicted, neither overlapping; figures are seqeval's for the same spans."""
    pairs = [(set(there), set(found)) for there, found in zip(gold, predicted, strict=True)]
    counts = np.array([(len(there & found), len(found), len(there)) for there, found in pairs], np.int64).reshape(-1, 3)
    names = sorted({span.kind for both in pairs for spans in both for span in spans})
    confusion = _confusion(pairs, names)
    right, said, there = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    kinds = {name: measure(int(right[i]), int(said[i]), int(there[i])) for i, name in enumerate(names)}
    macro = sum(kind.f1 for kind in kinds.values()) / len(kinds) if kinds else 0.0
    return Scores(*measure(*counts.sum(0).tolist()), *_interval(counts, seed), macro, kinds, confusion)


def score_some(
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    words: Sequence[Sequence[str]],
    wanted: Callable[[str], bool],
) -> Scores:
    """The same for spans with a word that is `wanted` alone: those with a word never seen in training, say."""

    def some(sentences: Sequence[Sequence[Span]]) -> list[list[Span]]:
        lines = zip(words, sentences, strict=True)
        return [[span for span in spans if any(map(wanted, line[span.start : span.end]))] for line, spans in lines]

    return score(some(gold), some(predicted))


def score_kind(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], kind: str) -> Scores:
    """The same for spans of one kind alone."""
    of_kind = [[[span for span in spans if span.kind == kind] for spans in sentences] for sentences in (gold, predicted)]
    return score(*of_kind)


def _confusion(pairs: Iterable[tuple[set[Span], set[Span]]], names: Sequence[str]) -> np.ndarray:
    """Spans by their kind there and the kind predicted for the same borders."""
    place = {name: i for i, name in enumerate(names)}
    none = len(names)
    table = np.zeros((none + 1, none + 1), np.int64)
    for there, found in pairs:
        kind = {(start, end): place[kind] for start, end, kind in found}
        for span in there:
            table[place[span.kind], kind.pop((span.start, span.end), none)] += 1
        for invented in kind.values():
            table[none, invented] += 1
    return table


def _interval(counts: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """Percentiles 2.5 and 97.5 of F1 when sentences are drawn anew. Sentences with equal counts (right, predicted, there) are
    alike, so how often each sort is drawn is multinomial: a thousand draws cost no more than the sorts are many."""
    if not counts.any():
        return None, None
    sorts, times = np.unique(counts, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(counts), times / len(counts), size=DRAWS) @ sorts  # (DRAWS, 3)
    right, spans = drawn[:, 0], drawn[:, 1] + drawn[:, 2]
    low, high = np.quantile(2 * right / np.maximum(spans, 1), [0.025, 0.975])
    return float(low), float(high)
