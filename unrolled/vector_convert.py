"""Word vectors written to files, and brought from one kind of file to another without being held whole.

A file appears under its name only when it is complete: it is written beside and renamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from . import vector_files, vector_run
from .config import option
from .errors import UserError, did_you_mean, of_system
from .vector_files import Chunk, Refuse, Stream, stop, words_file

FORMATS = ("text", "binary", "glove", "npy")
SUFFIXES = {".txt": "text", ".vec": "text", ".bin": "binary", ".glove": "glove", ".npy": "npy"}
ROWS = 4096  # written at a time
SHOWN = 10  # rows left out that are told one by one


@dataclasses.dataclass(frozen=True)
class Convert:
    """Options of a conversion."""

    format: str | None = option(None, "what to write; the default is what OUT's suffix says", choices=FORMATS)
    half: bool = option(False, "write .npy in float16: half the size, neighbours found in half the time")
    mend: bool = option(False, "leave out rows that cannot be used, in place of stopping at the first")


class Written(NamedTuple):
    file: str
    words: int
    dimensions: int
    left_out: int  # rows that could not be used


def convert(source: Path, out: Path, options: Convert, say: Callable[[str], None] = lambda _: None) -> Written:
    """Write the vectors of a run or a file to a new file; `say` is told what `mend` leaves out."""
    left_out: list[UserError] = []
    refuse = left_out.append if options.mend else stop
    if source.is_dir():
        stored = vector_run.open_run(source)
        if stored.subwords is not None:
            say("the vectors of its n-grams stay behind: words never seen will have none")
        stream = of_arrays(source, stored.words, stored.matrix, refuse)
    elif vector_files.is_npy(source):
        stream = of_arrays(source, *vector_files.read(source), refuse)
    else:
        stream = vector_files.open_stream(source, refuse)
    written = write(out, stream, options, refuse)._replace(left_out=len(left_out))
    for error in left_out[:SHOWN]:
        say(f"left out: {error.what}" + (f" ({error.where})" if error.where else ""))
    if len(left_out) > SHOWN:
        say(f"left out: {len(left_out) - SHOWN:,} more")
    return written


def of_arrays(source: Path | None, words: Sequence[str], matrix: np.ndarray, refuse: Refuse) -> Stream:
    """Vectors in memory, or in a memory map, as a stream; words that stand twice, nan and infinity are refused."""
    return Stream(matrix.shape[1], len(words), _sound(source, words, matrix, refuse))


def _sound(source: Path | None, words: Sequence[str], matrix: np.ndarray, refuse: Refuse) -> Iterator[Chunk]:
    seen: set[str] = set()
    for begin in range(0, len(words), ROWS):
        here, rows, kept = words[begin : begin + ROWS], matrix[begin : begin + ROWS], []
        finite = np.isfinite(rows).all(1)
        for i, word in enumerate(here):
            if word in seen or not finite[i]:
                what = f"the word `{word}` stands twice" if word in seen else f"the vector of `{word}` holds nan or infinity"
                where = f"row {begin + i}" + (f" of {source}" if source else "")
                refuse(UserError(what, where, "`unrolled vectors convert … --mend` leaves it out"))
            else:
                kept.append(i)
            seen.add(word)
        yield Chunk([here[i] for i in kept], rows[kept])


def write(path: Path, stream: Stream, options: Convert, refuse: Refuse) -> Written:
    """Write the vectors of a stream to a new file."""
    format = format_of(path, options.format)
    if options.half and format != "npy":
        raise UserError(f"`--half` writes .npy, and `{path}` is {format}", fix=f"name the file {path.stem}.npy")
    if format == "npy" and path.suffix != ".npy":
        raise UserError(f"`--format npy` needs a name that ends with .npy; `{path}` does not", fix=f"{path}.npy")
    for taken in [path, words_file(path)] if format == "npy" else [path]:
        if taken.exists():
            raise UserError(f"`{taken}` is already there", fix="name another file, or remove that one first")
    if format == "npy":
        count = _write_npy(path, stream, np.dtype("<f2" if options.half else "<f4"), refuse)
    else:
        with _new(path) as file:
            count = _write_rows(file, stream, format, refuse)
    return Written(str(path), count, stream.size, 0)


def format_of(path: Path, given: str | None) -> str:
    """The format given, or that of a name's suffix."""
    if given is not None and given not in FORMATS:
        raise UserError(f"`format` got `{given}`; allowed are {', '.join(FORMATS)}", fix=did_you_mean(given, FORMATS))
    if given is None and path.suffix not in SUFFIXES:
        raise UserError(
            f"the suffix of `{path}` says no format; known are {' '.join(SUFFIXES)}",
            fix=did_you_mean(path.suffix, SUFFIXES) or "name the format with --format",
        )
    return given or SUFFIXES[path.suffix]


def _write_rows(file: BinaryIO, stream: Stream, format: str, refuse: Refuse) -> int:
    """Write text or binary; returns how many rows. The first line, which says it, is written over at the end."""
    width = len(str(stream.count)) if stream.count and refuse is stop else 12
    line, count = _line_writer(format, stream.size), 0

    def first_line() -> None:
        if format != "glove":
            file.write(f"{count:>{width}} {stream.size}\n".encode())

    first_line()
    for words, rows in _usable(stream, _fits, refuse):
        file.write(b"".join(map(line, words, rows)))
        count += len(words)
    file.seek(0)
    first_line()
    return count


def _usable(stream: Stream, fits: Callable[[str, Refuse], bool], refuse: Refuse) -> Iterator[Chunk]:
    """The rows whose words the format can hold; at least one."""
    count = 0
    for words, rows in stream.chunks:
        kept = [i for i, word in enumerate(words) if fits(word, refuse)]
        count += len(kept)
        yield Chunk([words[i] for i in kept], rows[kept])
    if not count:
        raise UserError("no row is left to write: none of them can be used")


def _fits(word: str, refuse: Refuse) -> bool:
    """Whether a word can stand in a line: blanks end it there, in every reader but GloVe's."""
    if word and not set(word) & set(" \t\n\r\v\f"):
        return True
    fix = "write .npy, or leave such words out with --mend"
    refuse(UserError(f"the word {word!r} has a blank in it, where these files end a word", fix=fix))
    return False


def _line_writer(format: str, size: int) -> Callable[[str, np.ndarray], bytes]:
    if format == "binary":
        return lambda word, row: word.encode() + b" " + row.astype("<f4").tobytes() + b"\n"
    numbers = " %.9g" * size + "\n"  # nine digits give every float32 back
    return lambda word, row: (word + numbers % tuple(row.tolist())).encode()


def _write_npy(path: Path, stream: Stream, kind: np.dtype, refuse: Refuse) -> int:
    count = 0
    with _new(path) as file, _new(words_file(path)) as words_out:

        def header() -> None:
            description = {"descr": kind.str, "fortran_order": False, "shape": (count, stream.size)}
            np.lib.format.write_array_header_1_0(file, description)  # of one length, whatever the count

        header()
        for words, rows in _usable(stream, _is_line, refuse):
            file.write(rounded(words, rows, kind).tobytes())
            words_out.write("".join(f"{word}\n" for word in words).encode())
            count += len(words)
        file.seek(0)
        header()
    return count


def _is_line(word: str, refuse: Refuse) -> bool:
    if word and "\n" not in word and "\r" not in word:
        return True
    refuse(UserError(f"the word {word!r} is no line of a list of words", fix="leave such words out with --mend"))
    return False


def rounded(words: Sequence[str], rows: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Rows in another kind of float; a UserError where float16 cannot hold a number."""
    with np.errstate(over="ignore"):
        rounded = rows.astype(kind)
    if kind.itemsize == 2 and not np.isfinite(rounded).all():
        word = words[int(np.flatnonzero(~np.isfinite(rounded).all(1))[0])]
        raise UserError(f"the vector of `{word}` has numbers above 65,504, the largest of float16", fix="leave out --half")
    return rounded


@contextlib.contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete, and is removed when it does not get so far."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise of_system(error, "writing", str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
