"""Words and their vectors: a mapping word -> array, from a run of `embed`, from a file, or one-hot.

    vectors = Vectors.open("runs/words")        vectors["paris"]                (D,)
    vectors.nearest("paris")                    vectors.analogy("man", "king", "woman")
    vectors.save("words.bin")                   vectors.evaluate(["questions-words.txt"])

Similar means a large cosine. One reading of the matrix answers a question, so a memory map is never copied; `half()` halves it.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import evaluation, vector_convert, vector_files, vector_run
from .config import option
from .data.subwords import Subwords
from .errors import UserError
from .evaluation import METHODS, TINY, unit

MANY, FEW = 200_000, 20  # words; and how many of them are looked for one by one before an index is made
FREQUENT = 20_000  # words that spellings are compared with one by one
LONG = 50  # characters of a word that slips are looked for in
RUN = 64  # scores of which the highest is looked at first
SHARE = 1 << 22  # bytes of a matrix that are worth a thread
BLOCK = 1 << 20  # bytes of float32 looked at together
COMPILED = 1 << 24  # bytes of float16 from which compiled loops are worth their start


class Neighbour(NamedTuple):
    word: str
    similarity: float


class UnknownWord(UserError, KeyError):
    """A word without a vector; a mapping's KeyError too."""


@dataclasses.dataclass(frozen=True)
class Nearest:
    """Options of a search for neighbours."""

    number: int = option(10, "how many to show", minimum=1)
    among: int | None = option(None, "look among so many words, the most frequent", minimum=1)


@dataclasses.dataclass(frozen=True)
class Analogy:
    """Options of an analogy."""

    number: int = option(10, "how many answers to show", minimum=1)
    among: int | None = option(None, "look among so many words, the most frequent", minimum=1)
    method: str = option("add", "3CosAdd or 3CosMul", choices=METHODS)


class Vectors(Mapping[str, np.ndarray]):
    """Words, the most frequent first, and their vectors.

    words     (V,) strings                       matrix    (V, D) float32 or float16, perhaps a memory map
    counts    (V,) how often each was seen       context   (V, D) word2vec's θ; None where they are not known
    subwords  gives `vectors[word]` for words never seen; `word in vectors` stays False for them

    UserError: not one row a word; a word that stands twice (found when words are first looked up).
    """

    def __init__(
        self,
        words: Sequence[str],
        matrix: np.ndarray,
        counts: np.ndarray | None = None,
        context: np.ndarray | None = None,
        subwords: Subwords | None = None,
    ):
        if matrix.ndim != 2 or len(matrix) != len(words):
            raise UserError(f"{len(words):,} words need a matrix of as many rows; got shape {matrix.shape}")
        small = matrix.dtype in (np.dtype(np.float32), np.dtype(np.float16)) and matrix.dtype.isnative
        self.words = words if isinstance(words, list) else list(words)
        self.matrix = matrix if small else matrix.astype(np.float32)
        self.counts, self.context, self.subwords = counts, context, subwords
        self._looked = 0  # words, before there was an index
        self._lengths = np.zeros(0, np.float32)  # of the first rows, as far as they were needed

    @classmethod
    def open(cls, path: str | Path) -> Vectors:
        """The vectors of a run of `embed` or of a file: word2vec text or binary, GloVe text, .npy; what it is, its bytes say.

        Runs and .npy are mapped, not read. UserErrors name the line or the byte that is wrong.
        """
        path = Path(path)
        if path.is_dir():
            return cls(*vector_run.open_run(path))
        return cls(*vector_files.read(path))

    @classmethod
    def one_hot(cls, words: Sequence[str]) -> Vectors:
        """Each word its own dimension, V of them; a view into 2V - 1 numbers, of which the middle one is 1."""
        if not words:
            raise UserError("one-hot vectors need at least one word")
        line = np.zeros(2 * len(words) - 1, np.float32)
        line[len(words) - 1] = 1
        made = cls(words, np.lib.stride_tricks.sliding_window_view(line, len(words))[::-1])
        len(made.index)  # finds a word that stands twice
        return made

    def save(self, path: str | Path, format: str | None = None) -> None:
        """Write a new file: text, binary, glove or npy, None as the suffix says. float16 is kept in .npy alone."""
        stream = vector_convert.of_arrays(None, self.words, self.matrix, vector_files.stop)
        options = vector_convert.Convert(vector_convert.format_of(Path(path), format))
        half = options.format == "npy" and self.matrix.dtype == np.float16
        vector_convert.write(Path(path), stream, dataclasses.replace(options, half=half), vector_files.stop)

    def half(self) -> Vectors:
        """A copy in float16: half the memory, neighbours in half the time, cosines right to about 0.001."""
        matrix = vector_convert.rounded(self.words, self.matrix, np.dtype(np.float16))
        return Vectors(self.words, matrix, self.counts, self.context, self.subwords)

    # --- the mapping

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each word stands."""
        index = dict(zip(self.words, range(len(self.words)), strict=True))
        if len(index) != len(self.words):
            i = next(i for i, word in enumerate(self.words) if index[word] != i)
            word = self.words[i]
            raise UserError(f"the word `{word}` stands twice: in rows {i} and {index[word]}")
        return index

    def _place(self, word: object) -> int | None:
        """Where a word stands. Among millions the first few are looked for one by one: making an index takes seconds."""
        if "index" in vars(self) or len(self) < MANY or self._looked >= FEW:
            return self.index.get(word)
        self._looked += 1
        return self.words.index(word) if word in self.words else None

    def __getitem__(self, word: str) -> np.ndarray:
        """The word's vector (D,), a view; of a word never seen that of its subwords; else UnknownWord."""
        place = self._place(word)
        if place is not None:
            return self.matrix[place]
        made = None if self.subwords is None else self.subwords.vector(word)
        if made is None:
            raise UnknownWord(f"`{word}` is not among the {len(self):,} words", fix=self._spellings(word))
        return made

    def __contains__(self, word: object) -> bool:
        return self._place(word) is not None

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"Vectors({len(self):,} words, {self.matrix.shape[1]} dimensions, {self.matrix.dtype})"

    def recased(self, word: str) -> str | None:
        """The most frequent word that differs in capitals alone; None where there is none."""
        capitals = word.upper()
        return next((other for other in self.words if other.upper() == capitals), None)

    def spelt(self, word: str, say: Callable[[str], None]) -> str:
        """The word, or one that differs in capitals alone; `say` is told when a word is not taken as it is."""
        other = word if word in self else self.recased(word)
        if other is None:
            self[word]  # an error, unless subwords give it a vector
            say(f"`{word}` was never seen in training; its vector is that of its subwords")
        elif other != word:
            say(f"`{word}` is not among the words; `{other}` is")
        return word if other is None else other

    def _spellings(self, word: str) -> str | None:
        """'did you mean …?' with words that one slip away from this one, or else alike; None where nothing is."""
        slips, recased = _slips(word, self.words), self.recased(word)
        found = ([] if recased is None else [recased]) + [other for other in self.words if other in slips and other != recased]
        found = found[:3]
        found = found or difflib.get_close_matches(word, self.words[:FREQUENT], n=2, cutoff=0.7)
        return f"did you mean {' or '.join(f'`{other}`' for other in found)}?" if found else None

    # --- questions

    def similarity(self, a: str, b: str) -> float:
        """The cosine of two words, -1 to 1; 0 where a vector is zero."""
        a, b = unit(np.stack((self[a], self[b])))
        return float(a @ b)

    def nearest(self, word: str | np.ndarray, number: int = 10, among: int | None = None) -> list[Neighbour]:
        """The words of largest cosine with a word, itself left out, or with a vector (D,), the nearest first.

        among  look at so many words only, the most frequent
        """
        vector, without = (self[word], [word]) if isinstance(word, str) else (np.asarray(word), [])
        if vector.shape != self.matrix.shape[1:]:
            raise UserError(
                f"a vector of shape {vector.shape} has no neighbours among vectors of {self.matrix.shape[1]} dimensions"
            )
        if not vector.any():
            raise UserError("a vector of zeros has no direction, and so no neighbours")
        return self._best(self._cosines(vector, among), number, without)

    def analogy(self, a: str, b: str, c: str, number: int = 10, method: str = "add", among: int | None = None) -> list[Neighbour]:
        """a is to b as c is to …: the best answers, those three words left out.

        add       cos(x, b - a + c), of vectors of length 1 (3CosAdd, Mikolov et al. 2013)
        multiply  p(x, b) p(x, c) / (p(x, a) + 0.001), p = (1 + cos) / 2 (3CosMul, Levy and Goldberg 2014)
        """
        if method not in METHODS:
            raise UserError(f"`method` got `{method}`; allowed are {', '.join(METHODS)}")
        from_a, from_b, from_c = parts = unit(np.stack([self[word] for word in (a, b, c)]))
        if method == "multiply":
            from_a, from_b, from_c = ((1 + self._cosines(part, among)) / 2 for part in parts)
            scores = from_b * from_c / (from_a + TINY)
        else:
            scores = self._cosines(from_b - from_a + from_c, among)
        return self._best(scores, number, [a, b, c])

    def explained(self, a: str, b: str, c: str, options: Analogy) -> list[dict[str, str | float]]:
        """The answers of an analogy, each with its similarity to the three words, which show why it won."""
        found = self.analogy(a, b, c, options.number, options.method, options.among)
        to = {"to_b": b, "to_c": c, "to_a": a}
        return [{**each._asdict(), **{to_: self.similarity(each.word, part) for to_, part in to.items()}} for each in found]

    def most_similar(
        self, positive: Iterable[str] | str = (), negative: Iterable[str] | str = (), topn: int = 10
    ) -> list[Neighbour]:
        """As gensim's: the words nearest to the sum of `positive` less `negative`, of length 1 each, those words left out."""
        added, taken = ([words] if isinstance(words, str) else list(words) for words in (positive, negative))
        if not added and not taken:
            raise UserError("`most_similar` needs a word: `positive` and `negative` are both empty")
        rows = unit(np.stack([self[word] for word in added + taken]))
        return self._best(self._cosines(rows[: len(added)].sum(0) - rows[len(added) :].sum(0)), topn, added + taken)

    def evaluate(
        self, files: Iterable[str | Path] | str | Path, among: int | None = 30_000, method: str = "add"
    ) -> list[evaluation.Analogies | evaluation.Similarities]:
        """Measure by sets of analogies and of similar pairs, one result a file; analogies look at the `among` most frequent."""
        files = [files] if isinstance(files, (str, Path)) else files
        options = evaluation.Evaluate(among or 0, method)
        return [evaluation.evaluate(Path(file), self.words, self.matrix, options) for file in files]

    # --- how

    def _cosines(self, vector: np.ndarray, among: int | None = None) -> np.ndarray:
        """Cosines (V,) of the first `among` words with a vector (D,)."""
        if among is not None and among < 1:
            raise UserError(f"`among` got `{among}`; allowed is at least 1, or None for all words")
        rows = self.matrix[:among]
        if len(self._lengths) < len(rows):
            more = np.sqrt(_products(rows[len(self._lengths) :], None))
            more[more == 0] = 1
            more[np.isinf(more)] = np.nan  # so that _best names the word
            self._lengths = np.concatenate((self._lengths, more))
        cosines = _products(rows, unit(vector[None])[0])
        return np.divide(cosines, self._lengths[: len(rows)], out=cosines)

    def _best(self, scores: np.ndarray, number: int, without: Sequence[str]) -> list[Neighbour]:
        """The `number` words of the highest scores (V,), which are written over."""
        places = [place for place in map(self._place, without) if place is not None and place < len(scores)]
        scores[places] = -np.inf
        found = [i for i in highest(scores, number) if scores[i] != -np.inf]
        damaged = next((self.words[i] for i in found if np.isnan(scores[i])), None)
        if damaged is not None:
            raise UserError(
                f"the vector of `{damaged}` holds nan, infinity or numbers too large to square",
                fix="`unrolled vectors convert … --mend` leaves it out",
            )
        return [Neighbour(self.words[i], float(scores[i])) for i in found]


def highest(scores: np.ndarray, number: int) -> list[int]:
    """Where the highest `number` scores stand, the highest first; nan counts as highest.

    Of the runs of 64, only as many need a look as scores are wanted: those with the highest maxima.
    """
    runs = len(scores) // RUN
    if number < runs // 4:
        maxima = scores[: runs * RUN].reshape(runs, RUN).max(1)
        chosen = np.argpartition(maxima, -number)[-number:] if number else []
        looked = np.concatenate([np.arange(i * RUN, (i + 1) * RUN) for i in chosen] + [np.arange(runs * RUN, len(scores))])
    else:
        looked = np.arange(len(scores))
    looked = looked.astype(int)
    order = np.lexsort((looked, -scores[looked]))  # nan last
    order = np.roll(order, np.isnan(scores[looked]).sum())
    return looked[order[: max(0, number)]].tolist()


def _products(matrix: np.ndarray, vector: np.ndarray | None) -> np.ndarray:
    """Every row's product with a vector, or with itself for None, (V,) float32: one reading at the memory's speed.

    In float32 NumPy's row by row is as fast as the memory (its `matrix @ vector` is not: it reads several rows at once).
    """
    if matrix.dtype == np.float16 and matrix.nbytes > COMPILED:
        from .kernels import nearest

        if nearest.fits(matrix):
            return nearest.dots(matrix, vector)
    out, rows = np.empty(len(matrix), np.float32), max(1, BLOCK // (4 * matrix.shape[1]))
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = min(processors, 1 + matrix.nbytes // SHARE)
    borders = np.linspace(0, len(matrix), shares + 1).astype(int)

    def share(first: int, last: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(first, last, rows):
                block = np.asarray(matrix[i : min(i + rows, last)], np.float32)  # of float32 no copy
                np.vecdot(block, block if vector is None else vector, out=out[i : i + len(block)])

    if shares == 1:
        share(0, len(matrix))
    else:
        with ThreadPoolExecutor(shares) as pool:
            list(pool.map(share, borders[:-1], borders[1:]))
    return out


def _slips(word: str, words: Sequence[str]) -> set[str]:
    """What one slip makes of a word: a letter left out, changed, put in, or two exchanged."""
    if len(word) > LONG:
        return set()
    letters = set("".join(words[:1000]))
    halves = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    slips = {a + b[1:] for a, b in halves if b} | {a + b[1] + b[0] + b[2:] for a, b in halves if len(b) > 1}
    for letter in letters:
        slips |= {a + letter + b for a, b in halves} | {a + letter + b[1:] for a, b in halves if b}
    return slips
