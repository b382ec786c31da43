"""How many words or characters of a transcript are wrong: word error rate and character error rate, and which.

    rate = (substituted + deleted + inserted) / symbols of the reference

both sums over all sentences. Errors are those of the fewest edits that make the hypothesis of the reference; where several ways
have as few, one that leaves the most symbols as they are.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import overlap
from .errors import UserError
from .kernels import edits

MARKS = (" ", "S", "D", "I")  # under a symbol that is the same, substituted, deleted, inserted


class Edit(NamedTuple):
    """One column of an alignment."""

    mark: str  # of MARKS
    reference: str  # empty where inserted
    hypothesis: str  # empty where deleted


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Errors a word of the references; words are what stands between blanks. May be above 1.

    UserError where there is not one reference for each hypothesis, or no word in any reference.
    """
    return _rate(counts(hypotheses, references, "words"))


def character_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Errors a character (code point) of the references, blanks inside a sentence among them. UserErrors as above."""
    return _rate(counts(hypotheses, references, "characters"))


def counts(hypotheses: Sequence[str], references: Sequence[str], unit: str = "words") -> np.ndarray:
    """How many symbols of each sentence are the same, substituted, deleted, inserted (N, 4)."""
    if len(hypotheses) != len(references):
        raise UserError(
            f"there are {len(hypotheses):,} hypotheses and {len(references):,} references", fix="give one of each a sentence"
        )
    numbers: dict[str, int] = {}
    return edits.counts(*_ids(hypotheses, unit, numbers), *_ids(references, unit, numbers))


def interval(hypotheses: Sequence[str], references: Sequence[str], unit: str = "words", seed: int = 1) -> tuple[float, float]:
    """The 95 % interval of the rate, by the bootstrap over sentences (Bisani and Ney 2004)."""
    rows = counts(hypotheses, references, unit)
    _rate(rows)  # refuses what has no symbol
    drawn = overlap.draws(rows, seed)
    symbols = drawn[:, :3].sum(1)
    return overlap.middle(drawn[symbols > 0, 1:].sum(1) / symbols[symbols > 0])


def _rate(rows: np.ndarray) -> float:
    symbols = int(rows[:, :3].sum())
    if not symbols:
        raise UserError("the references are empty: there is nothing that errors could be a share of", fix="give it transcripts")
    return int(rows[:, 1:].sum()) / symbols


def pieces(text: str, unit: str) -> list[str]:
    """The words of a text, or its characters without the blanks around it."""
    return text.split() if unit == "words" else list(text.strip())


def _ids(texts: Sequence[str], unit: str, numbers: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The symbols of all texts as numbers, and where each text begins; `numbers` grows by words it does not know yet."""
    if unit == "characters":
        stripped = [text.strip() for text in texts]
        ids = np.frombuffer("".join(stripped).encode("utf-32-le", "surrogatepass"), np.int32)
        return ids, np.cumsum([0, *map(len, stripped)])
    cut = [text.split() for text in texts]
    ids = np.fromiter((numbers.setdefault(word, len(numbers)) for words in cut for word in words), np.int32)
    return ids, np.cumsum([0, *map(len, cut)])


# --- to look at


def align(hypothesis: str, reference: str, unit: str = "words") -> list[Edit]:
    """A hypothesis beside its reference, symbol by symbol."""
    numbers: dict[str, int] = {}
    (said, _), (meant, _) = _ids([hypothesis], unit, numbers), _ids([reference], unit, numbers)
    spoken, wanted = iter(pieces(hypothesis, unit)), iter(pieces(reference, unit))
    return [
        Edit(MARKS[what], next(wanted) if what != edits.INSERTED else "", next(spoken) if what != edits.DELETED else "")
        for what in edits.path(said, meant)
    ]


def shown(alignment: Sequence[Edit]) -> str:
    """Three lines: reference, hypothesis, and a mark under each error; `*` fills up what one of them lacks."""
    lines = ["REF", "HYP", "   "]
    for mark, reference, hypothesis in alignment:
        width = max(1, columns(reference), columns(hypothesis))
        lines[0] += " " + (_padded(reference, width) if reference else "*" * width)
        lines[1] += " " + (_padded(hypothesis, width) if hypothesis else "*" * width)
        lines[2] += " " + mark.ljust(width)
    return "\n".join(line.rstrip() for line in lines)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: a character of East Asia two, a mark set on another none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def confusions(hypotheses: Sequence[str], references: Sequence[str], unit: str = "words", most: int = 10) -> list[dict[str, Any]]:
    """The most frequent errors as records: which reference became which hypothesis (None: deleted, inserted), how often."""
    pairs = zip(hypotheses, references, strict=True)
    found = Counter(edit[1:] for pair in pairs for edit in align(*pair, unit) if edit.mark != MARKS[edits.SAME])
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [{"reference": meant or None, "hypothesis": said or None, "times": times} for (meant, said), times in ranked]


def worst(hypotheses: Sequence[str], references: Sequence[str], unit: str = "words", most: int = 10) -> list[dict[str, Any]]:
    """The sentences with the most errors as records, those with the higher rate first among equals."""
    rows = counts(hypotheses, references, unit)
    errors, symbols = rows[:, 1:].sum(1), np.maximum(rows[:, :3].sum(1), 1)
    order = np.lexsort((-errors / symbols, -errors))[:most]
    return [
        {"errors": int(errors[i]), "symbols": int(symbols[i]), "reference": references[i], "hypothesis": hypotheses[i]}
        for i in order
        if errors[i]
    ]
