"""ARPA files: n-gram models of words as SRILM, KenLM and others write them, plain or packed, as automata to decode with.

    \\data\\            how many n-grams of each length
    \\1-grams:          log10 probability, the n words, log10 of what backing off from them costs (if anything goes on with them)
    …
    \\end\\
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..backoff import Model
from ..errors import UserError
from . import text

LN10 = math.log(10)
UNSEEN = -20.0  # nats of a word that a file without `<unk>` does not know
Gram = tuple[int, ...]


class Grams(NamedTuple):
    """The n-grams of one length as they stand in the file."""

    words: list[Gram]
    nats: list[float]
    backoffs: list[float]
    lines: list[int]


def read(path: Path) -> Model:
    """The model that a file holds, in natural logarithms. UserError with file:line where it is no ARPA file."""
    numbers: dict[str, int] = {}
    levels = _levels(path, numbers)
    known = {word.lower(): number for word, number in numbers.items() if word.startswith("<")}
    if "</s>" not in known:
        raise UserError("the model has no `</s>`, which ends a sentence", str(path))
    states = {gram: i for i, gram in enumerate([(), *(gram for level in levels[:-1] for gram in level.words)])}
    backoffs = [0.0 if "<unk>" in known else UNSEEN, *(price for level in levels[:-1] for price in level.backoffs)]
    froms, symbols, nats, to = [], [], [], []
    for level in levels:
        for gram, probability, line in zip(level.words, level.nats, level.lines, strict=True):
            if gram[:-1] not in states:
                raise UserError("an n-gram without the shorter one that it begins with", f"{path}:{line}")
            froms.append(states[gram[:-1]])
            symbols.append(gram[-1])
            nats.append(probability)
            to.append(_longest(states, gram if len(gram) < len(levels) else gram[1:]))
    order, shorter = np.lexsort((symbols, froms)), [_longest(states, gram[1:]) for gram in states]
    begin = np.searchsorted(np.array(froms)[order], np.arange(len(states) + 1))
    arcs = np.array(symbols)[order], np.array(nats)[order], np.array(to)[order]
    start = _longest(states, (known["<s>"],)) if "<s>" in known else 0
    automaton = begin, *arcs, np.array(backoffs), np.array(shorter)
    return Model(automaton, start, known["</s>"], tuple(numbers), known.get("<unk>", -1))


def _longest(states: dict[Gram, int], gram: Gram) -> int:
    """The state of the longest end of an n-gram that is one."""
    while gram not in states:
        gram = gram[1:]
    return states[gram]


def _levels(path: Path, numbers: dict[str, int]) -> list[Grams]:
    """The n-grams of each length; the words of the 1-grams get their numbers in order."""
    lines = ((number, line.strip()) for number, line in enumerate(text.lines(path, "utf-8"), 1))
    counts, levels = _counts(path, lines), []
    for size, count in enumerate(counts, 1):
        level = Grams([], [], [], [])
        for number, line in lines:
            if line.startswith("\\"):
                break
            if line:
                _add(level, line, size, numbers, f"{path}:{number}")
                level.lines.append(number)
        else:
            raise UserError(f"the file is cut off: it ends within its {size}-grams", str(path))
        if len(level.words) != count:
            raise UserError(f"{len(level.words):,} {size}-grams stand here, and the head speaks of {count:,}", f"{path}:{number}")
        levels.append(level)
    return levels


def _counts(path: Path, lines: Iterator[tuple[int, str]]) -> list[int]:
    """What the head says, up to the line that begins the 1-grams."""
    counts, head = [], False
    for number, line in lines:
        head = head or line == "\\data\\"
        if head and line == "\\1-grams:" and counts:
            return counts
        found = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line) if head else None
        if found and int(found[1]) == len(counts) + 1:
            counts.append(int(found[2]))
        elif head and line and line != "\\data\\":
            raise UserError(f"`{line[:40]}` is no line of an ARPA file's head", f"{path}:{number}", "ngram 1=…, then \\1-grams:")
    raise UserError(f"`{path}` is no ARPA file: its head is missing", str(path))


def _add(level: Grams, line: str, size: int, numbers: dict[str, int], where: str) -> None:
    cells = line.split()
    if len(cells) not in (size + 1, size + 2):
        raise UserError(f"a line of {size}-grams has {size + 1} or {size + 2} cells; this one has {len(cells)}", where)
    words = cells[1 : size + 1]
    if size == 1:
        numbers.setdefault(words[0], len(numbers))
    if not all(word in numbers for word in words):
        unknown = next(word for word in words if word not in numbers)
        raise UserError(f"`{unknown}` is not among the 1-grams", where)
    level.words.append(tuple(numbers[word] for word in words))
    level.nats.append(_nats(cells[0], where))
    level.backoffs.append(_nats(cells[size + 1], where) if len(cells) == size + 2 else 0.0)
    if level.nats[-1] > 0:
        raise UserError(f"`{cells[0]}` is the logarithm of no probability: it is above 0", where)


def _nats(cell: str, where: str) -> float:
    try:
        value = LN10 * float(cell)
    except ValueError:
        raise UserError(f"`{cell}` is no number", where) from None
    if math.isnan(value):
        raise UserError("`nan` is no number", where)
    return value
