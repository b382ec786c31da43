"""How good word vectors are: analogies solved (Mikolov et al. 2013), and similarities that rank as people rank them.

A file is one or the other, and its first row shows which:

    : capital-common-countries          love    sex    6.77
    Athens Greece Baghdad Iraq          tiger   cat    7.35
    a section, and its questions        two words and a number, between tabs, commas or blanks

Capitals count for nothing: of words that differ in them alone, the most frequent is meant. Questions and pairs with a word that
has no vector are left out, and counted. `#` begins a comment.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .config import check, option
from .errors import UserError, did_you_mean, of_system
from .metrics import Z, wilson

METHODS = ("add", "multiply")
TINY = 0.001  # of 3CosMul, so that nothing is divided by zero
COLUMNS, QUESTIONS = 4096, 64  # words, and questions, looked at together


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of an evaluation."""

    among: int = option(30_000, "look for answers among so many words, the most frequent; 0 takes all", minimum=0)
    method: str = option("add", "how analogies are solved: 3CosAdd or 3CosMul", choices=METHODS)


class Score(NamedTuple):
    """Right answers of a section, and the share of them with Wilson's 95 % interval; None where no question is covered."""

    section: str
    right: int
    covered: int  # questions whose four words have vectors
    asked: int
    accuracy: float | None
    low: float | None
    high: float | None


class Analogies(NamedTuple):
    file: str
    among: int  # words that answers were looked for in
    method: str
    sections: list[Score]
    semantic: Score | None  # sections whose name does not begin with `gram`; None where there is but one kind
    syntactic: Score | None
    total: Score


class Similarities(NamedTuple):
    """Spearman's rank correlation of cosines with people's numbers, and its 95 % interval; None below 4 pairs."""

    file: str
    spearman: float | None
    low: float | None
    high: float | None
    covered: int  # pairs whose two words have vectors
    pairs: int


class Questions(NamedTuple):
    sections: list[tuple[str, list[tuple[str, ...]]]]


class Pairs(NamedTuple):
    pairs: list[tuple[str, str]]
    numbers: list[float]


# --- files


def read(path: Path) -> Questions | Pairs:
    """An evaluation set; UserErrors name file:line."""
    rows = list(_rows(path))
    if not rows:
        raise UserError(f"`{path}` is empty", str(path), "name a file of analogies, or of word pairs with a similarity")
    if rows[0][1].startswith(":"):
        return _questions(path, rows)
    return _pairs(path, rows)


def _rows(path: Path) -> Iterable[tuple[int, str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"`{path}` does not exist", fix=did_you_mean(path.name, beside)) from None
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    except UnicodeDecodeError as error:
        raise UserError(f"byte {error.start} of `{path}` is not UTF-8", str(path)) from None
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return ((number, line) for number, line in lines if line and not line.startswith("#"))


def _questions(path: Path, rows: list[tuple[int, str]]) -> Questions:
    sections: list[tuple[str, list[tuple[str, ...]]]] = []
    for number, line in rows:
        if line.startswith(":"):
            sections.append((line[1:].strip(), []))
            continue
        words = tuple(line.split())
        if len(words) != 4:
            raise UserError(f"`{line}` is {len(words)} words; a question is 4: a is to b as c is to d", f"{path}:{number}")
        sections[-1][1].append(words)
    return Questions(sections)


def _pairs(path: Path, rows: list[tuple[int, str]]) -> Pairs:
    found = Pairs([], [])
    for i, (number, line) in enumerate(rows):
        fields = [field.strip() for field in line.split("\t" if "\t" in line else "," if "," in line else None)]
        value = _number(fields[2]) if len(fields) > 2 else None
        if value is not None:
            found.pairs.append((fields[0], fields[1]))
            found.numbers.append(value)
        elif i or len(fields) < 3:  # the first row may name the columns
            fix = "analogies begin with a line `: section`" if len(fields) == 4 else None
            raise UserError(f"`{line}` is not a pair: two words and a number are needed", f"{path}:{number}", fix)
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# --- measuring


def evaluate(path: Path, words: Sequence[str], matrix: np.ndarray, options: Evaluate) -> Analogies | Similarities:
    """Measure vectors (V, D), most frequent word first, by one file. Pairs look at all words, analogies at `among`."""
    check(options)
    asked = read(path)
    if isinstance(asked, Pairs):
        return similarities(str(path), asked, words, matrix)
    among = min(options.among or len(words), len(words))
    return analogies(str(path), asked, words[:among], matrix[:among], options.method)


def analogies(file: str, asked: Questions, words: Sequence[str], matrix: np.ndarray, method: str) -> Analogies:
    """Answers among `words`; the words of the question, in any capitals, are none."""
    questions = [[word.upper() for word in words] for _, section in asked.sections for words in section]
    places = _places({word for question in questions for word in question}, words)
    covered = np.array([all(word in places for word in question) for question in questions], bool)
    known = [question for question, has in zip(questions, covered, strict=True) if has]
    right = np.zeros(len(questions), bool)
    if known:
        first = np.array([[places[word][0] for word in question] for question in known])
        banned = [(i, place) for i, question in enumerate(known) for word in question[:3] for place in places[word]]
        answers = solve(matrix, first[:, :3], np.array(banned), method)
        right[covered] = [answer in places[question[3]] for answer, question in zip(answers.tolist(), known, strict=True)]
    borders = np.cumsum([0] + [len(section) for _, section in asked.sections])
    inside = [slice(*pair) for pair in pairwise(borders)]
    names = [name for name, _ in asked.sections]
    sections = [_score(name, right[part], covered[part]) for name, part in zip(names, inside, strict=True)]
    syntactic = np.repeat([name.startswith("gram") for name in names], np.diff(borders))
    both = syntactic.any() and not syntactic.all()
    kinds = [_score(n, right[k], covered[k]) for n, k in (("semantic", ~syntactic), ("syntactic", syntactic))]
    return Analogies(file, len(words), method, sections, *(kinds if both else (None, None)), _score("total", right, covered))


def _places(wanted: set[str], words: Sequence[str]) -> dict[str, list[int]]:
    """Where the words stand that are one of `wanted` in capitals, the most frequent first."""
    places: dict[str, list[int]] = {}
    for i, word in enumerate(words):
        capitals = word.upper()
        if capitals in wanted:
            places.setdefault(capitals, []).append(i)
    return places


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, D) brought to length 1, in float32; zeros stay zeros."""
    rows = np.asarray(rows, np.float32)
    with np.errstate(over="ignore"):
        lengths = np.sqrt(np.vecdot(rows, rows))
    return rows / np.where(lengths > 0, lengths, 1)[:, None]


def solve(matrix: np.ndarray, questions: np.ndarray, banned: np.ndarray, method: str) -> np.ndarray:
    """The best word (Q,) for each question (a, b, c): a is to b as c is to …; (question, word) in `banned` (N, 2) is no answer.

    The cosines of all words with the few different ones that are asked about are computed once, block of words by block:
    3CosAdd is cos(x, b) - cos(x, a) + cos(x, c), 3CosMul their product and quotient (Levy and Goldberg 2014).
    """
    asked, part = np.unique(questions, return_inverse=True)
    part, rows = part.reshape(questions.shape), unit(matrix[asked])
    best, score = np.zeros(len(questions), np.int64), np.full(len(questions), -np.inf, np.float32)
    for begin in range(0, len(matrix), COLUMNS):
        cosines = rows @ unit(matrix[begin : begin + COLUMNS]).T
        if method == "multiply":
            cosines = (1 + cosines) / 2
        here = banned[(banned[:, 1] >= begin) & (banned[:, 1] < begin + COLUMNS)]
        for first in range(0, len(questions), QUESTIONS):
            a, b, c = (cosines[part[first : first + QUESTIONS, i]] for i in range(3))
            scores = b * c / (a + TINY) if method == "multiply" else b - a + c
            low, high = np.searchsorted(here[:, 0], [first, first + QUESTIONS])
            scores[here[low:high, 0] - first, here[low:high, 1] - begin] = -np.inf
            found = scores.argmax(1)
            highest, of = scores[np.arange(len(found)), found], slice(first, first + len(found))
            better = highest > score[of]
            best[of][better], score[of][better] = found[better] + begin, highest[better]
    return best


def _score(name: str, right: np.ndarray, covered: np.ndarray) -> Score:
    count, good = int(covered.sum()), int(right.sum())
    low, high = wilson(good, count) if count else (None, None)
    return Score(name, good, count, len(covered), good / count if count else None, low, high)


def similarities(file: str, asked: Pairs, words: Sequence[str], matrix: np.ndarray) -> Similarities:
    places = _places({word.upper() for pair in asked.pairs for word in pair}, words)
    known = [i for i, (a, b) in enumerate(asked.pairs) if a.upper() in places and b.upper() in places]
    rho, low, high = None, None, None
    if len(known) > 3:
        a, b = (unit(matrix[[places[asked.pairs[i][side].upper()][0] for i in known]]) for side in (0, 1))
        rho = spearman(np.vecdot(a, b), np.array([asked.numbers[i] for i in known]))
    if rho is not None:
        low, high = interval(rho, len(known))
    return Similarities(file, rho, low, high, len(known), len(asked.pairs))


def spearman(x: np.ndarray, y: np.ndarray) -> float | None:
    """The correlation of ranks, equal values sharing the mean of theirs; None where one side is all equal."""
    x, y = _ranks(x), _ranks(y)
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread else None


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks less their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place] - (len(values) + 1) / 2


def interval(rho: float, count: int) -> tuple[float, float]:
    """A 95 % interval of Spearman's rho: Fisher's z with the standard error of Bonett and Wright (2000)."""
    if abs(rho) >= 1:
        return rho, rho
    reach = Z * math.sqrt((1 + rho * rho / 2) / (count - 3))
    return math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)


# --- what is told


def records(result: Analogies | Similarities) -> list[dict[str, Any]]:
    """Plain data, one dict a section, then those of the kinds and the total; or one of a set of pairs."""
    if isinstance(result, Similarities):
        return [result._asdict()]
    kinds = [kind for kind in (result.semantic, result.syntactic) if kind is not None]
    return [{"file": result.file, **score._asdict()} for score in [*result.sections, *kinds, result.total]]


def title(result: Analogies | Similarities) -> str:
    if isinstance(result, Similarities):
        return f"{result.file}: how cosines rank pairs of words, against people"
    how = {"add": "3CosAdd", "multiply": "3CosMul"}[result.method]
    return f"{result.file}: analogies, answers among the {result.among:,} most frequent words, by {how}"


def table(result: Analogies | Similarities) -> list[tuple[str, ...]]:
    """Rows for people: names, and what was measured."""
    if isinstance(result, Similarities):
        row = (f"{result.covered:,}", f"{result.pairs:,}", _shown(result.spearman, 3), _range(result, 3))
        return [("covered", "pairs", "spearman", "95 % interval"), row]
    rows = [("", "right", "covered", "asked", "accuracy", "95 % interval")]
    for record in records(result):
        score = Score(*list(record.values())[1:])
        counts = (f"{count:,}" for count in score[1:4])
        rows.append((score.section, *counts, _shown(score.accuracy, 1), _range(score, 1)))
    return rows


def _shown(value: float | None, digits: int) -> str:
    """A correlation with 3 digits, a share in per cent with 1."""
    return "" if value is None else f"{value:.3f}" if digits == 3 else f"{100 * value:.1f} %"


def _range(result: Score | Similarities, digits: int) -> str:
    return "" if result.low is None else f"{_shown(result.low, digits)} to {_shown(result.high, digits)}"
