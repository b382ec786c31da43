"""Files of word vectors, read and written as streams.

text     word2vec's: `V D`, then a line a word: it and its D numbers. fastText's .vec is the same
binary   word2vec's: `V D`, then a word, a blank and D little-endian float32, V times
glove    GloVe's text: as word2vec's without the first line; a word may hold blanks
npy      NumPy's matrix (V, D) in NAME.npy, the words in NAME.words.txt (or NAME.txt), one a line; opens as a memory map

What a file is, its bytes say, not its name; all but .npy may be packed by gzip, bzip2 or xz. A row that cannot be used is an
error with its line or byte, or is left out where the reader says so (`Refuse`).
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from .data.text import DAMAGED
from .errors import UserError, did_you_mean, of_system

BLOCK = 1 << 22  # bytes read at a time
HEAD = 1 << 20  # bytes that show what a file is
BY_PYTHON = 1 << 24  # bytes of text read before a compiled reader is worth its start
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
OTHERS = {
    b"PK\x03\x04": ("a zip archive", "unpack it and name a file of it"),
    b"\x80": (
        "a pickle, which can run any code; unrolled opens none",
        "in gensim: vectors.save_word2vec_format(FILE, binary=True)",
    ),
    b"\xba\x16\x4f\x2f": ("a model of fastText", "name its .vec file"),
    b"\x93NUMPY": ("a packed .npy, which cannot be mapped", "unpack it"),
}
KNOWN = "known are word2vec text and binary, GloVe text, .npy, and run folders of `embed`"
LONGEST = 1 << 16  # bytes of a word

Refuse = Callable[[UserError], None]  # is told of a row that cannot be used; if it returns, the row is left out


class Chunk(NamedTuple):
    words: list[str]
    rows: np.ndarray  # (n, D) float32 or float16


class Stream(NamedTuple):
    """Vectors on their way from one place to another."""

    size: int  # D
    count: int | None  # V, where it is known before the end
    chunks: Iterator[Chunk]


def stop(error: UserError) -> None:
    """The Refuse that ends everything at the first row that cannot be used."""
    raise error


# --- reading


def read(path: Path) -> tuple[list[str], np.ndarray]:
    """The words and the matrix (V, D) float32 of a text or binary file; of NAME.npy a memory map, float32 or float16."""
    if is_npy(path):
        return _mapped(path)
    stream = open_stream(path)
    words: list[str] = []
    matrix = np.empty((0, stream.size), np.float32)
    for chunk in stream.chunks:
        after = len(words) + len(chunk.words)
        if after > len(matrix):  # in place: a large array grows without a copy, and takes memory only where it is filled
            matrix.resize((max(after, 2 * len(matrix)), stream.size), refcheck=False)
        matrix[len(words) : after] = chunk.rows
        words += chunk.words
    matrix.resize((len(words), stream.size), refcheck=False)
    return words, matrix


def is_npy(path: Path) -> bool:
    return _bytes(path, 6) == b"\x93NUMPY"


def open_stream(path: Path, refuse: Refuse = stop) -> Stream:
    """The vectors of a text or binary file; what it is, and its first line, are checked here, the rest while it is read."""
    with _unpacked(path) as file:
        head = _read(file, path, HEAD)
    if not head.strip():
        raise UserError(f"`{path}` is empty", str(path))
    for magic, (what, fix) in OTHERS.items():
        if head.startswith(magic):
            raise UserError(f"`{path}` is {what}", str(path), fix)
    first = re.match(rb"[ \t]*(\d{1,15})[ \t]+(\d{1,9})[ \t\r]*(?:\n|$)", head)
    if first is None:
        size = _size_of_rows(path, head)
        return Stream(size, None, _text(path, size, None, refuse))
    count, size = int(first[1]), int(first[2])
    if not count or not size:
        raise UserError(f"the first line of `{path}` says {count} words and {size} dimensions; both are at least 1", f"{path}:1")
    after = head[first.end() : first.end() + 4096]
    if re.search(rb"[\0-\x08\x0e-\x1f]", after):  # no text has them, and nearly every float32
        return Stream(size, count, _binary(path, size, count, first.end(), refuse))
    return Stream(size, count, _text(path, size, count, refuse))


def _size_of_rows(path: Path, head: bytes) -> int:
    """D of a text without a first line that says it: what most of its lines have."""
    lines = head.split(b"\n")[: -1 if len(head) == HEAD else None][:1000]
    fields = [line.split() for line in lines if line.strip()]
    size = Counter(map(len, fields)).most_common(1)[0][0] - 1 if fields else 0
    if size < 1 or b"\0" in head or not any(len(f) > size and all(map(_is_number, f[-size:])) for f in fields):
        raise UserError(f"`{path}` is not a file of word vectors", str(path), KNOWN)
    return size


def _is_number(field: bytes) -> bool:
    try:
        float(field)
        return True
    except ValueError:
        return False


class _Sound:
    """Passes on the rows that can be used: words that are UTF-8 and new, numbers that are finite."""

    def __init__(self, path: Path, refuse: Refuse):
        self.path, self.refuse = path, refuse
        self.seen: dict[str, str | int] = {}  # word -> its place

    def chunk(self, words: list[bytes], rows: np.ndarray, places: Sequence[int], kind: str) -> Chunk:
        """`places` are lines or bytes, as `kind` says: `{path}:{place}` or `{path}: byte {place}`."""
        with contextlib.suppress(UnicodeDecodeError):
            texts = b"\n".join(words).decode().split("\n") if words else []
            fresh = len(texts) == len(set(texts)) == len(words) and self.seen.keys().isdisjoint(texts)
            if fresh and "" not in texts and np.isfinite(rows).all():
                self.seen.update(zip(texts, places, strict=True))
                return Chunk(texts, rows)
        texts, finite = [_decoded(word) for word in words], np.isfinite(rows).all(1)
        kept = []
        for i, text in enumerate(texts):
            problem = self._problem(words[i], text, finite[i], kind)
            if problem is None:
                self.seen[text] = places[i]
                kept.append(i)
            else:
                self.say(problem, f"{self.path}:{places[i]}" if kind == "line" else f"{self.path}: byte {places[i]}")
        return Chunk([texts[i] for i in kept], rows[kept])

    def say(self, problem: str, where: str) -> None:
        """Have a row refused."""
        fix = f"`unrolled vectors convert {self.path} OUT --mend` leaves out what cannot be used"
        self.refuse(UserError(problem, where, fix))

    def _problem(self, word: bytes, text: str | None, finite: bool, kind: str) -> str | None:
        if text is None:
            return f"the word `{word.decode(errors='backslashreplace')}` is not UTF-8"
        if not text:
            return "there is no word before the numbers"
        if text in self.seen:
            return f"the word `{text}` stands twice: here and in {kind} {self.seen[text]}"
        return None if finite else f"the vector of `{text}` holds nan or infinity"


def _decoded(word: bytes) -> str | None:
    try:
        return word.decode()
    except UnicodeDecodeError:
        return None


def _text(path: Path, size: int, count: int | None, refuse: Refuse) -> Iterator[Chunk]:
    sound, line, found, read_bytes = _Sound(path, refuse), 1, 0, 0
    for block in _whole_lines(path):
        torn = not block.endswith(b"\n")
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10).tolist() + [len(block)] * torn
        if len(ends) * size > 4 * max(len(block), BLOCK):
            raise UserError(f"`{path}` has lines too short for the {size:,} dimensions of its first line", f"{path}:{line}")
        rows, after = np.empty((len(ends), size), np.float32), np.zeros(len(ends), np.int64)
        if read_bytes >= BY_PYTHON:
            from .kernels import decimals

            after = decimals.read(block, np.array(ends), rows)
        words, kept, begin = [], [], 0
        for i, (end, word_end) in enumerate(zip(ends, after.tolist(), strict=True)):
            text, begin = block[begin : word_end or end], end + 1
            if not text.strip() or (count is not None and line + i == 1):  # an empty line, or the one that says V and D
                continue
            found += 1
            word = text if word_end else _row(text, rows[i], f"{path}:{line + i}", torn and i == len(ends) - 1, sound)
            if word is not None:
                words.append(word)
                kept.append(i)
        yield sound.chunk(words, rows if len(kept) == len(rows) else rows[kept], [line + i for i in kept], "line")
        line, read_bytes = line + len(ends), read_bytes + len(block)
    if count is not None and found != count:
        how = "is cut off" if found < count else "goes on"
        sound.say(f"`{path}` {how} after {found:,} words; its first line says {count:,}", f"{path}:{line - 1}")


def _row(line: bytes, row: np.ndarray, where: str, torn: bool, sound: _Sound) -> bytes | None:
    """Read one line by Python: its numbers into `row`; returns its word, or None where the line was refused."""
    word, *numbers = line.rsplit(None, len(row))
    many = len(numbers) + sum(1 for _ in takewhile(_is_number, word.split()[:0:-1]))  # GloVe's words may hold blanks
    if many != len(row):
        cut = "; the file is cut off here" if torn else ""
        return sound.say(f"numbers after the word: {many}; expected: {len(row)}{cut}", where)
    try:
        values = list(map(float, numbers))
    except ValueError:
        j = next(j for j, text in enumerate(numbers) if not _is_number(text))
        shown = numbers[j].decode(errors="backslashreplace")
        return sound.say(f"`{shown}` is not a number: dimension {j + 1} of {len(row)}", where)
    with np.errstate(over="ignore"):  # infinity is refused with the rest
        row[:] = values
    return word


def _binary(path: Path, size: int, count: int, begin: int, refuse: Refuse) -> Iterator[Chunk]:
    sound, found, buffer, offset = _Sound(path, refuse), 0, b"", begin
    with _unpacked(path) as file:
        file.read(begin)
        while found < count:
            block = _read(file, path, BLOCK)
            buffer += block
            words, numbers, places, at = [], [], [], 0
            while found + len(words) < count:
                blank = buffer.find(b" ", at, at + LONGEST)
                after = blank + 1 + 4 * size
                if blank < 0 or after > len(buffer):
                    break
                words.append(buffer[at:blank].lstrip(b"\n"))
                numbers.append(buffer[blank + 1 : after])
                places.append(offset + at)
                at = after
            found += len(words)
            yield sound.chunk(words, np.frombuffer(b"".join(numbers), "<f4").reshape(-1, size), places, "byte")
            buffer, offset = buffer[at:], offset + at
            if found < count and (not block or (blank < 0 and len(buffer) > LONGEST)):
                what = f"`{path}` is cut off after" if not block else f"`{path}` is damaged: no word is found after"
                sound.say(f"{what} {found:,} of {count:,} words", f"{path}: byte {offset + len(buffer) * (not block)}")
                return
        if (buffer + file.read(2)).strip(b"\r\n"):
            sound.say(f"`{path}` goes on after {count:,} words, all that its first line says", f"{path}: byte {offset}")


HEADER = 10_000  # bytes that numpy reads of a header at most


def _check_header(path: Path) -> None:
    """A UserError where a header claims more than one has: numpy takes memory for it before it looks at it."""
    with open(path, "rb") as file:
        begin = file.read(12)
    claimed = int.from_bytes(begin[8 : 10 if begin[6:7] == b"\1" else 12], "little")
    if claimed > HEADER:
        raise UserError(f"`{path}` is damaged: its header claims {claimed:,} bytes", str(path))


def _mapped(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        _check_header(path)
        matrix = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"`{path}` is damaged: {error}", str(path)) from None
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not matrix.size:
        raise UserError(
            f"`{path}` holds {matrix.dtype} of shape {matrix.shape}; a row of numbers for each word is needed", str(path)
        )
    words, beside = _words_of(path)
    if len(words) != len(matrix):
        raise UserError(f"`{beside}` has {len(words):,} words, `{path}` {len(matrix):,} rows", str(beside))
    return words, np.asarray(matrix)


def words_file(path: Path) -> Path:
    """Where the words of NAME.npy are written: NAME.words.txt (NAME.txt may be what it was made from)."""
    return path.with_name(f"{path.stem}.words.txt")


def _words_of(path: Path) -> tuple[list[str], Path]:
    beside = words_file(path)
    if not beside.exists():
        beside = path.with_suffix(".txt")
    if not beside.exists():
        raise UserError(
            f"`{path}` has its words in `{words_file(path).name}`, one a line, and it is not there",
            str(path),
            f"write {words_file(path)}",
        )
    data = _bytes(beside)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"byte {error.start} of `{beside}` is not UTF-8", f"{beside}:{line}") from None
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n"), beside


# --- bytes


def _bytes(path: Path, most: int = -1) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"`{path}` does not exist", fix=did_you_mean(path.name, beside)) from None
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None


def _unpacked(path: Path) -> BinaryIO:
    head = _bytes(path, 6)
    opener = next((opener for magic, opener in PACKED.items() if head.startswith(magic)), open)
    try:
        return opener(path, "rb")
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None


def _read(file: BinaryIO, path: Path, most: int) -> bytes:
    try:
        return file.read(most)
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise of_system(error, "reading", str(path)) from None
        raise UserError(f"`{path}` is damaged: it does not unpack to its end", str(path)) from None


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The file in blocks that end with a line's end, but for its last."""
    rest = b""
    with _unpacked(path) as file:
        while block := _read(file, path, BLOCK):
            cut = block.rfind(b"\n") + 1
            if cut:
                yield rest + block[:cut]
                rest = block[cut:]
            else:
                rest += block
    if rest:
        yield rest
