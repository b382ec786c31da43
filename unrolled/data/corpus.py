"""A text as word numbers: files of any size cut into words, counted and numbered in one pass, on all cores.

Words are the runs of letters, digits and marks, with apostrophes and hyphens inside them (`--split words`), or whatever stands
between blanks (`--split blanks`); an ideograph is a word by itself. A line's end is a sentence's end. The text is never held
whole: its numbers go to disk as they come, and training reads them from there.
"""

from __future__ import annotations

import sys
import time
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError, of_system
from ..kernels import words as kernel
from ..progress import Progress
from . import phrases, text
from .batch import open_map, write
from .table import records

SPLITS = ("words", "blanks")
MOST_HELD = 10_000_000  # different words in a thread's table before rare ones are taken out of it
JOINERS = "'’-\u2010\u2011"
IDEOGRAPHS = ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


class Reading(NamedTuple):
    """How a text is read."""

    encoding: str
    column: str | None
    split: str
    lower: bool
    min_count: int
    vocabulary: int  # most words
    phrases: int  # passes that join pairs
    phrase_score: float
    threads: int


class Corpus(NamedTuple):
    """words and counts, most frequent first; ids (N,) int32 of the text, -1 where a sentence ends, rare words left out."""

    words: list[str]
    counts: np.ndarray  # (V,) int64
    ids: np.ndarray  # (N,) a memory map
    read: int  # words in the text
    different: int


class Counted(NamedTuple):
    """One pass over a text: a table of its words, and its numbers in a file whose blocks came from several tables."""

    table: Table
    spool: Path
    blocks: list[tuple[int, int]]  # (table, numbers) one after the other
    finals: list[np.ndarray]  # of each table: its numbers -> the one table's numbers


class Table:
    """The arrays of kernels.words, grown as needed."""

    def __init__(self) -> None:
        self.slots, self.entries = np.zeros(1 << 17, np.int32), np.zeros((1 << 16, 4), np.int64)
        self.letters, self.used = np.zeros(1 << 19, np.uint8), np.zeros(3, np.int64)
        self.least = 1

    def __len__(self) -> int:
        return int(self.used[0])

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.slots, self.entries, self.letters, self.used

    @property
    def counts(self) -> np.ndarray:
        return self.entries[: len(self), kernel.COUNT]

    def word(self, entry: int) -> str:
        return self.letters[self.entries[entry, kernel.BEGIN] : self.entries[entry + 1, kernel.BEGIN]].tobytes().decode()

    def make_room(self, words: int, letters: int) -> None:
        """Room for so many more words and letters; while that means too many, the rarest are taken out first."""
        while len(self) + words > MOST_HELD and len(self):  # as word2vec.c's ReduceVocab
            self.least += 1
            kernel.prune(self.arrays, self.least)
        if len(self) + words >= len(self.entries):
            more = max(len(self) + words + 1, 2 * len(self.entries)) - len(self.entries)
            self.entries = np.concatenate([self.entries, np.zeros((more, 4), np.int64)])
        if 2 * (len(self) + words) > len(self.slots):
            self.slots = np.zeros(1 << (2 * (len(self) + words) - 1).bit_length(), np.int32)
            kernel.seat(self.arrays)
        if self.used[1] + letters > len(self.letters):
            more = max(int(self.used[1]) + letters, 2 * len(self.letters)) - len(self.letters)
            self.letters = np.concatenate([self.letters, np.zeros(more, np.uint8)])

    def cut(self, block: bytes, kinds: np.ndarray) -> np.ndarray:
        """The numbers of a block's words."""
        codes, ids = np.frombuffer(block, np.uint8), np.empty(len(block) + 1, np.int32)
        at = n = 0
        self.make_room(1, len(block) + 8)
        while True:
            at, n = kernel.read(codes, at, kinds, self.arrays, ids, n)
            if at >= len(block):
                return ids[:n].copy()
            self.make_room(len(self), len(block) + 8)


@cache
def kinds(split: str, ascii_alone: bool) -> np.ndarray:
    """What each character is in a text, by its code point: kernels.words' GAP, WORD, LINE_END, JOINER or ALONE."""
    size = 128 if ascii_alone else sys.maxunicode + 1
    if split == "blanks":
        table = np.fromiter((kernel.GAP if chr(i).isspace() else kernel.WORD for i in range(size)), np.uint8, size)
    else:
        letters = ("L", "M", "N")
        category = unicodedata.category
        table = np.fromiter((category(chr(i))[0] in letters for i in range(size)), np.uint8, size)
        table[[ord(c) for c in JOINERS if ord(c) < size]] = kernel.JOINER
        table[ord("_")] = kernel.WORD
        for first, last in IDEOGRAPHS if not ascii_alone else ():
            table[first : last + 1] = kernel.ALONE
    table[ord("\n")] = kernel.LINE_END
    return table


def blocks(files: list[Path], encoding: str, column: str | None, lower: bool) -> Iterator[tuple[bytes, bool]]:
    """The text as UTF-8, a megabyte at a time, cut between words; and whether it is ASCII alone."""
    if column is None:
        pieces: Iterable[str] = text.chunks(files, encoding)
    else:
        pieces = gathered(row.text + "\n" for row in records(files, column, None, encoding))
    for piece in pieces:
        yield prepared(piece, lower)


def prepared(piece: str, lower: bool) -> tuple[bytes, bool]:
    """A piece of text as the tables read it: é as one character, small letters where they are asked for."""
    piece = piece if piece.isascii() else unicodedata.normalize("NFC", piece)
    piece = piece.lower() if lower else piece
    return piece.encode("utf-8", "replace"), piece.isascii()


def gathered(rows: Iterable[str]) -> Iterator[str]:
    held, size = [], 0
    for row in rows:
        held.append(row)
        size += len(row)
        if size > text.BLOCK:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


def count(files: list[Path], reading: Reading, spool: Path, progress: Progress) -> Counted:
    """Count the words of a text and write their numbers to the file `spool`, blocks in their order."""
    spool.parent.mkdir(parents=True, exist_ok=True)
    tables = [Table() for _ in range(reading.threads)]
    free, waiting, done = deque(range(reading.threads)), deque(), []
    began, bytes_read = time.monotonic(), 0

    with ThreadPoolExecutor(reading.threads) as pool, open(spool, "wb") as file:

        def write_first() -> None:
            owner, future = waiting.popleft()
            ids = future.result()
            free.append(owner)
            done.append((owner, len(ids)))
            try:
                ids.tofile(file)
            except OSError as error:
                raise of_system(error, "writing", str(spool)) from None

        for block, plain in blocks(files, reading.encoding, reading.column, reading.lower):
            if not free:
                write_first()
            owner = free.popleft()
            waiting.append((owner, pool.submit(tables[owner].cut, block, kinds(reading.split, plain))))
            bytes_read += len(block)
            speed = bytes_read / 1e6 / (time.monotonic() - began + 1e-9)
            progress.now(f"reading: {bytes_read / 1e6:,.0f} MB · {speed:.0f} MB/s · {sum(map(len, tables)):,} different words")
        while waiting:
            write_first()
    first, finals = tables[0], [np.arange(tables[0].used[2], dtype=np.int32)]
    for other in tables[1:]:
        first.make_room(len(other), int(other.used[1]) + 8)
        finals.append(np.full(int(other.used[2]), kernel.RARE, np.int32))
        kernel.merge(first.arrays, other.arrays, finals[-1])
    return Counted(first, spool, done, finals)


def chosen(table: Table, min_count: int, most: int, known: dict[str, int]) -> tuple[list[str], np.ndarray]:
    """Words that are frequent enough, or known before, in rank(); and (numbers,) -> place, RARE for all others."""
    counts = table.counts
    frequent = np.flatnonzero(counts >= min_count)
    words = [table.word(i) for i in frequent]
    unknown = [i for i in np.flatnonzero(counts < min_count) if known and table.word(i) in known]
    words += [table.word(i) for i in unknown]
    total = {**known, **{word: known.get(word, 0) + int(n) for word, n in zip(words, counts[[*frequent, *unknown]], strict=True)}}
    order = rank(total, most, known)
    place = {word: i for i, word in enumerate(order)}
    places = np.full(int(table.used[2]), kernel.RARE, np.int32)
    for entry, word in zip([*frequent, *unknown], words, strict=True):
        places[table.entries[entry, kernel.NUMBER]] = place.get(word, kernel.RARE)
    return order, places


def rank(total: dict[str, int], most: int, known: dict[str, int]) -> list[str]:
    """Words, most frequent first, at most so many beside the known ones; among equals by their letters, so that the order
    does not depend on how the text was shared out."""
    order = sorted(total, key=lambda word: (-total[word], word))
    return order if len(order) <= most else [word for i, word in enumerate(order) if i < most or word in known]


def renumbered(counted: Counted, places: np.ndarray, counts: np.ndarray, keep_rare: bool) -> Iterator[np.ndarray]:
    """The text in its words' places, block by block; `counts` (V,) gets how often each stands there."""
    finals = [np.where(final < 0, kernel.RARE, places[np.maximum(final, 0)]).astype(np.int32) for final in counted.finals]
    with open(counted.spool, "rb") as file:
        blocks = ((np.fromfile(file, np.int32, size), finals[owner]) for owner, size in counted.blocks)
        yield from compacted(blocks, keep_rare, counts)


def compacted(parts: Iterable[tuple[np.ndarray, np.ndarray]], keep_rare: bool, counts: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of a text (their numbers, the places of those) in places, without what is left out; counted in `counts`."""
    last = kernel.SENTENCE_END
    for ids, places in parts:
        ids = ids[: kernel.renumber(ids, places, keep_rare, counts, last)]
        last = ids[-1] if len(ids) else last
        yield ids


def number(counted: Counted, folder: Path, reading: Reading, known: dict[str, int]) -> tuple[Corpus, dict]:
    """Rank the words and write the text as their numbers to folder/ids; the account opens that file again.

    known   words that stay whatever their count, with the counts they come with
    """
    total, different = int(counted.table.counts.sum()), len(counted.table)
    if not total:
        raise UserError("the text has no words in it", fix="give it something to read, or try `--split blanks`")
    words, places = chosen(counted.table, reading.min_count, reading.vocabulary, known)
    counts = np.zeros(len(words), np.int64)
    account = write(folder / "ids", np.dtype(np.int32), renumbered(counted, places, counts, reading.phrases > 0))
    counted.spool.unlink()
    for _ in range(reading.phrases):
        words, counts, account = phrases.join(folder / "ids", words, counts, account, reading.min_count, reading.phrase_score)
    if reading.phrases:
        words, counts, account = ranked(folder / "ids", words, counts, account, reading, known)
    counts = counts + np.array([known.get(word, 0) for word in words], np.int64)
    return Corpus(words, counts, open_map(folder / "ids", account), total, different), account


def ranked(path: Path, words: list[str], counts: np.ndarray, account: dict, reading: Reading, known: dict[str, int]) -> tuple:
    """Words and phrases in rank() after joining, those left out that have become rare; rewrites the file of numbers."""
    total = {word: known.get(word, 0) + int(n) for word, n in zip(words, counts, strict=True)}
    kept = {word: n for word, n in total.items() if word in known or n >= reading.min_count}
    order = rank(kept, reading.vocabulary, known)
    place = {word: i for i, word in enumerate(order)}
    places = np.array([place.get(word, kernel.RARE) for word in words], np.int32)
    final, ids, beside = np.zeros(len(order), np.int64), open_map(path, account), path.with_name("ids-ranked")

    starts = range(0, len(ids), phrases.AT_ONCE)
    parts = ((np.array(ids[at : at + phrases.AT_ONCE]), places) for at in starts)
    account = write(beside, np.dtype(np.int32), compacted(parts, False, final))
    beside.replace(path)
    return order, final, account
