"""Which words stand near which, for GloVe: counted within a memory budget, kept on disk, laid in the order of training.

    ids -> count_part -> Partial(s) -> add -> Partial -> arrange -> Cooccurrences            count() does it all

A Partial is X of a corpus or of some part of one, in rows; sums are whole numbers, so that parts, counted one after the other
or on several machines, add up to the same X to the last bit. X is symmetric and only its half j <= i is kept.

Cooccurrences are the same entries in tiles. Words are cut into bands with about as many entries each; the entries between two
bands are a tile, whose words' vectors fit a processor's cache while it is trained. In a tile all entries of a word follow each
other, words and entries shuffled. Two tiles without a common band share no vector, so `rounds` puts such tiles together: they
are trained side by side without locks and with one result for any number of threads (Gemulla et al. 2011).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import LIMIT, UserError, of_system
from ..kernels import cooccurrences as kernel
from ..kernels.threads import in_shares
from ..progress import Progress

MB = 2**20
ENTRY = 12  # bytes: column and sum, or row, column and X
TILE = 40_000  # entries of a tile, on average
MOST_ROOM = 2**22  # entries a thread holds before they are written
MOST_PARTS = 256  # that a text is counted in, for lack of memory
BLOCK = 2**20  # items of a file read at once
FINISHED = "finished.json"  # what a folder holds; written last
PARTIAL = {"columns": np.int32, "sums": np.int64, "starts": np.int64}
ARRANGED = {"rows": np.int32, "columns": np.int32, "X": np.float32}


class Partial(NamedTuple):
    """X in rows: the columns of row i are columns[starts[i] : starts[i + 1]] of a file, ascending and none beyond i.

    Sums are X · unit(window), but half of that for a word beside itself, which stands in both halves of X.
    """

    folder: Path
    vocabulary: int
    window: int
    starts: np.ndarray  # (V + 1,) int64

    def read(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The columns and sums of rows first … last - 1."""
        here = int(self.starts[first]), int(self.starts[last])
        return _read(self.folder / "columns", np.int32, *here), _read(self.folder / "sums", np.int64, *here)


class Cooccurrences(NamedTuple):
    """X in tiles: entries starts[n] … starts[n + 1] - 1 are those of tile n, between bands a >= b for n = a (a + 1) / 2 + b."""

    folder: Path
    vocabulary: int
    window: int
    nonzeros: int  # of X, both its halves
    bands: list[int]  # band a holds the words bands[a] … bands[a + 1] - 1
    starts: list[int]

    def tile(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns <= rows, and X of a tile's entries, as kernels.glove.train takes them."""
        return tuple(_read(self.folder / name, kind, *self.starts[n : n + 2]) for name, kind in ARRANGED.items())


def count(
    ids: np.ndarray, vocabulary: int, window: int, folder: Path, memory: int, threads: int, seed: int, progress: Progress
) -> Cooccurrences:
    """X[i, j] = Σ 1 / distance over the places where j stands within `window` words of i in one sentence.

    ids      (N,) int32, 0 … vocabulary - 1, frequent words first; -1 ends a sentence
    folder   is made; 12 bytes an entry of half of X in the end, three times that meanwhile
    memory   bytes to use beside what Python takes; neither it nor `threads` changes the result
    seed     of the order of entries
    Raises UserError: no two words near each other, too little memory or room on disk, a number that is no word's.
    """
    part = count_part(ids, vocabulary, window, folder / "counted", memory, threads, progress)
    arranged = arrange(part, folder, memory, threads, seed, progress)
    shutil.rmtree(part.folder, ignore_errors=True)
    return arranged


def unit(window: int) -> int:
    """The number of which 1/1, …, 1/window are whole parts; with windows beyond 22 they are rounded to 2⁻³²."""
    return min(math.lcm(*range(1, window + 1)), 2**32)


# --- counting


def count_part(
    ids: np.ndarray, vocabulary: int, window: int, folder: Path, memory: int, threads: int, progress: Progress
) -> Partial:
    """X of these ids, perhaps one part of a corpus, which should end where a sentence does; may be empty. See `count`."""
    at_once, room = _plan(len(ids), vocabulary, memory, threads)
    if len(ids) <= at_once:
        return _count_segment(ids, (0, len(ids)), vocabulary, window, folder, room, threads, progress)
    parts = []
    for first in range(0, len(ids), at_once):
        segment, place = (first, min(first + at_once, len(ids))), folder / f"{len(parts):04d}"
        parts.append(_count_segment(ids, segment, vocabulary, window, place, room, threads, progress))
    whole = add(parts, folder, memory, threads, progress)
    for part in parts:
        shutil.rmtree(part.folder, ignore_errors=True)
    return whole


def count_segment(
    ids: np.ndarray, segment: tuple[int, int], vocabulary: int, window: int, folder: Path, memory: int, progress: Progress
) -> Partial:
    """X of the pairs whose rarer word stands in ids[first:last], on one thread: a cluster's piece of work."""
    _, room = _plan(segment[1] - segment[0], vocabulary, memory, 1)
    return _count_segment(ids, segment, vocabulary, window, folder, room, 1, progress)


def keep(folder: Path, vocabulary: int, window: int, columns: np.ndarray, sums: np.ndarray, starts: np.ndarray) -> Partial:
    """The Partial of rows that were counted elsewhere."""
    return _write_rows(folder, vocabulary, window, iter([(starts[1:], columns, sums)]), Progress(quiet=True))


def _plan(length: int, vocabulary: int, memory: int, threads: int) -> tuple[int, int]:
    """How many ids are counted at once, and for how many entries each thread has room: at least the longest row's."""
    fixed = 64 * vocabulary + threads * 9 * kernel.room(vocabulary)  # starts, limits and the like; sums and bits
    needed = fixed + threads * ENTRY * vocabulary + 8 * max(vocabulary, length // MOST_PARTS)
    if memory < needed:
        raise UserError(
            f"{memory / MB:.1f} MB of memory are not enough to count the pairs of {vocabulary} words on {threads} threads; "
            f"{needed / MB + 0.1:.1f} MB are",
            fix="allow more memory, or fewer threads or words",
            code=LIMIT,
        )
    room = max(vocabulary, min(MOST_ROOM, (memory - fixed) // (8 * ENTRY * threads)))
    at_once = (memory - fixed - threads * ENTRY * room) // 8  # an id and its place take 4 bytes each
    return min(max(at_once, 1), 2**31 - 1), room


def _count_segment(
    ids: np.ndarray,
    segment: tuple[int, int],
    vocabulary: int,
    window: int,
    folder: Path,
    room: int,
    threads: int,
    progress: Progress,
) -> Partial:
    """Pairs whose rarer word stands in ids[first:last], its neighbour perhaps outside: each pair falls into one segment."""
    first, last = segment
    starts, where = np.zeros(vocabulary + 2, np.int64), np.empty(last - first, np.int32)
    wrong = kernel.places(ids, first, last, starts, where)
    if wrong >= 0:
        raise UserError(f"the number {ids[wrong]} at place {wrong} is no word's; allowed are -1 to {vocabulary - 1}")
    starts = starts[:-1]
    times = np.diff(starts)
    most = np.minimum(np.arange(1, vocabulary + 1), 2 * window * times)  # entries of a row
    weights = np.array([0, *((unit(window) + d // 2) // d for d in range(1, window + 1))], np.int64)

    def fill(rows: tuple[int, int], buffers: tuple[np.ndarray, ...]) -> np.ndarray:
        ends = np.empty(rows[1] - rows[0], np.int64)
        kernel.gather(ids, first, where, starts, rows, weights, *buffers, ends)
        return ends

    chunks = _chunks((most, room), (times, max(1, len(where) // (16 * threads))))
    return _write_rows(folder, vocabulary, window, _side_by_side(fill, chunks, vocabulary, room, threads), progress)


def add(parts: Sequence[Partial], folder: Path, memory: int, threads: int, progress: Progress) -> Partial:
    """The sum of several counts with the same words and window."""
    kinds = sorted({(part.vocabulary, part.window) for part in parts})
    if len(kinds) > 1:
        raise UserError(f"counts of different kinds do not add up: {kinds} are their words and windows")
    ((vocabulary, window),) = kinds
    _, room = _plan(0, vocabulary, memory, threads)

    def fill(rows: tuple[int, int], buffers: tuple[np.ndarray, ...]) -> np.ndarray:
        first, last = rows
        columns, sums = map(np.concatenate, zip(*(part.read(first, last) for part in parts), strict=True))
        starts = np.stack([part.starts[first : last + 1] - part.starts[first] for part in parts])
        starts[1:] += np.cumsum(starts[:-1, -1])[:, None]
        ends = np.empty(last - first, np.int64)
        kernel.add(columns, sums, starts, rows, *buffers, ends)
        return ends

    chunks = _chunks((sum(np.diff(part.starts) for part in parts), room))
    return _write_rows(folder, vocabulary, window, _side_by_side(fill, chunks, vocabulary, room, threads), progress)


def _chunks(*limits: tuple[np.ndarray, int]) -> Iterator[tuple[int, int]]:
    """Cut rows into (first, last), each chunk within all limits (an amount of each row, the most of a chunk) or one row."""
    totals = [(np.cumsum(amounts), most) for amounts, most in limits]
    first, rows = 0, len(totals[0][0])
    while first < rows:
        done = [int(total[first - 1]) if first else 0 for total, _ in totals]
        last = min(
            int(np.searchsorted(total, before + most, "right")) for (total, most), before in zip(totals, done, strict=True)
        )
        yield first, max(last, first + 1)
        first = max(last, first + 1)


Fill = Callable[[tuple[int, int], tuple[np.ndarray, ...]], np.ndarray]


def _side_by_side(
    fill: Fill, chunks: Iterator[tuple[int, int]], vocabulary: int, room: int, threads: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What fill((first, last), (sums, bits, columns, found)) makes of each chunk, in order: where rows end, columns, sums."""
    words = kernel.room(vocabulary)
    zeros = [(np.zeros(words, np.int64), np.zeros(words // kernel.BITS, np.uint64)) for _ in range(threads)]
    buffers = [(*both, np.empty(room, np.int32), np.empty(room, np.int64)) for both in zeros]
    while group := list(islice(chunks, threads)):
        ends = [np.zeros(0, np.int64)] * len(group)

        def work(n: int, group: list = group, ends: list = ends) -> None:
            ends[n] = fill(group[n], buffers[n])

        in_shares(work, len(group))
        for end, (_, _, columns, found) in zip(ends, buffers, strict=False):
            yield end, columns[: end[-1]], found[: end[-1]]


def _write_rows(
    folder: Path, vocabulary: int, window: int, pieces: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]], progress: Progress
) -> Partial:
    """The Partial of these rows, all of them in order."""
    starts, row = np.zeros(vocabulary + 1, np.int64), 0
    with _written(folder, PARTIAL) as files:
        for ends, columns, sums in pieces:
            starts[row + 1 : row + 1 + len(ends)] = starts[row] + ends
            row += len(ends)
            files["columns"].write(columns)
            files["sums"].write(sums)
            progress.now(f"counting which words stand near which: {100 * row / vocabulary:.0f} % of the words")
        files["starts"].write(starts)
    _finish(folder, PARTIAL, {"vocabulary": vocabulary, "window": window})
    return Partial(folder, vocabulary, window, starts)


# --- the order of training


def arrange(part: Partial, folder: Path, memory: int, threads: int, seed: int, progress: Progress) -> Cooccurrences:
    """The entries of a Partial in tiles. Takes 32 bytes for each entry of a band, 180 MB where X has 10⁹ nonzeros."""
    if not part.starts[-1]:
        raise UserError(
            f"no two words of the text stand within {part.window} words of each other: there is nothing to learn from",
            fix="give more text, or keep rarer words",
        )
    bands = _bands(part)
    band_of = np.repeat(np.arange(len(bands) - 1, dtype=np.int32), np.diff(bands))
    sizes, itself = [np.zeros(0, np.int64)] * (len(bands) - 1), [0] * (len(bands) - 1)
    todo = iter(range(len(sizes)))

    def work(_: int) -> None:
        for band in todo:
            sizes[band], laid = _lay_band(part, bands[band], bands[band + 1], band_of, (seed, band))
            itself[band] = int((laid[0] == laid[1]).sum())
            for name, values in zip(ARRANGED, laid, strict=True):
                _write_at(folder / name, int(part.starts[bands[band]]), values)
            progress.now(f"laying co-occurrences in the order of training: {100 * band / len(sizes):.0f} %")

    with _written(folder, ARRANGED):
        pass
    largest = int(np.diff(part.starts[bands]).max())
    in_shares(work, max(1, min(threads, len(sizes), memory // (32 * largest))))
    facts = {
        "vocabulary": part.vocabulary,
        "window": part.window,
        "nonzeros": 2 * int(part.starts[-1]) - sum(itself),
        "bands": bands,
        "starts": np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).tolist(),
    }
    _finish(folder, ARRANGED, facts)
    return Cooccurrences(folder, **facts)


def _bands(part: Partial) -> list[int]:
    """Where bands begin, and V: about as many entries in each, a word's row and column taken together."""
    lengths = np.diff(part.starts)
    entries = int(part.starts[-1])
    for columns in _blocks(part.folder / "columns", np.int32, entries):
        lengths += np.bincount(columns, minlength=part.vocabulary)
    number = max(1, min(part.vocabulary, round(math.sqrt(2 * entries / TILE))))
    wanted = int(lengths.sum()) * np.arange(1, number) / number
    cuts = np.searchsorted(np.cumsum(lengths), wanted) + 1
    return np.unique([0, *cuts, part.vocabulary]).tolist()


def _lay_band(
    part: Partial, first: int, last: int, band_of: np.ndarray, seed: tuple[int, int]
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The sizes of the tiles of rows first … last - 1, and their entries' rows, columns and X."""
    columns, sums = part.read(first, last)
    sizes = np.bincount(band_of[columns], minlength=band_of[first] + 1)
    random = np.random.default_rng(seed)
    order, state = random.permutation(last - first), random.integers(2**63, size=1, dtype=np.uint64)
    laid = np.empty_like(columns), np.empty_like(columns), np.empty(len(columns), np.float32)
    starts = part.starts[first : last + 1] - part.starts[first]
    kernel.lay(columns, sums, starts, order, first, band_of, unit(part.window), state, np.cumsum(sizes) - sizes, *laid)
    return sizes, laid


def rounds(x: Cooccurrences, seed: int, epoch: int) -> list[list[int]]:
    """All tiles of an epoch, as lists of tiles without a common word; a function of (seed, epoch).

    A round-robin tournament: with its bands in a circle, one fixed in the middle, round r pairs those that stand opposite each
    other when the circle has turned r places. The tiles of one band with itself are a round of their own.
    """
    bands = len(x.bands) - 1
    random = np.random.default_rng((seed, epoch))
    players = random.permutation(bands + bands % 2).tolist()  # of an odd number one has to wait each time
    found = [[(band, band) for band in range(bands)]]
    for _ in range(len(players) - 1):
        half = len(players) // 2
        found.append(list(zip(players[:half], reversed(players[half:]), strict=True)))
        players.insert(1, players.pop())
    numbers = [[max(pair) * (max(pair) + 1) // 2 + min(pair) for pair in pairs if max(pair) < bands] for pairs in found]
    return [numbers[n] for n in random.permutation(len(numbers)) if numbers[n]]


# --- files


def open_part(folder: Path) -> Partial:
    """The Partial that a folder holds; a UserError if it was not finished or is damaged."""
    facts = _facts(folder, PARTIAL)
    return Partial(folder, **facts, starts=_read(folder / "starts", np.int64, 0, facts["vocabulary"] + 1))


def reopen(folder: Path) -> Cooccurrences:
    """The Cooccurrences that a folder holds; a UserError if they were not finished or are damaged."""
    return Cooccurrences(folder, **_facts(folder, ARRANGED))


def _facts(folder: Path, kinds: dict[str, type]) -> dict[str, Any]:
    """What was written of a folder by _finish, once its files are seen to be those."""
    try:
        facts = json.loads((folder / FINISHED).read_bytes())
        expected, sizes = facts.pop("bytes"), {name: (folder / name).stat().st_size for name in kinds}
    except (OSError, ValueError, KeyError):
        raise UserError(f"`{folder}` holds no finished count of co-occurrences", fix="count again") from None
    for name, kind in kinds.items():
        whole = sizes[name] == expected[name]
        if whole and name in ("rows", "columns"):  # loops compiled for speed do not look before they reach into memory
            blocks = _blocks(folder / name, kind, sizes[name] // np.dtype(kind).itemsize)
            whole = all(block.min() >= 0 and block.max() < facts["vocabulary"] for block in blocks)
        if not whole:
            raise UserError(f"`{folder / name}` is damaged", str(folder / name), "count the co-occurrences again")
    return facts


def _read(path: Path, kind: type, first: int, last: int) -> np.ndarray:
    """Items first … last - 1 of a file. Not a memory map, whose pages would count as memory of this process."""
    try:
        return np.fromfile(path, kind, last - first, offset=first * np.dtype(kind).itemsize)
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None


def _blocks(path: Path, kind: type, items: int) -> Iterator[np.ndarray]:
    for first in range(0, items, BLOCK):
        yield _read(path, kind, first, min(first + BLOCK, items))


@contextmanager
def _written(folder: Path, names: Iterable[str]) -> Iterator[dict[str, BinaryIO]]:
    """New files of these names in a folder that is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FINISHED).unlink(missing_ok=True)
        with ExitStack() as stack:
            yield {name: stack.enter_context(open(folder / name, "wb")) for name in names}
    except OSError as error:
        raise of_system(error, "writing co-occurrences to", str(folder)) from None


def _write_at(path: Path, entry: int, values: np.ndarray) -> None:
    try:
        with open(path, "r+b") as file:
            file.seek(entry * values.itemsize)
            file.write(values)
    except OSError as error:
        raise of_system(error, "writing co-occurrences to", str(path.parent)) from None


def _finish(folder: Path, names: Iterable[str], facts: dict[str, Any]) -> None:
    facts = {**facts, "bytes": {name: (folder / name).stat().st_size for name in names}}
    with _written(folder, [FINISHED]) as files:
        files[FINISHED].write(json.dumps(facts).encode())
