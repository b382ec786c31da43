"""Text as people have it: files, folders, standard input, .gz .bz2 .xz, a column of JSONL, CSV or TSV.

Everything is read as a stream, in pieces of about a megabyte; nothing is held whole. A byte that is not text is
reported by file and offset, a bad row by file and line.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import json
import lzma
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import UserError, did_you_mean, of_system
from .vocab import whole

BLOCK = 1 << 20  # bytes read at a time
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TABLES = (".jsonl", ".csv", ".tsv")
DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)
csv.field_size_limit(1 << 30)


class Record(NamedTuple):
    """One row of a table: its text, its label (None without a label column) and file:line."""

    text: str
    label: str | None
    where: str


def find(names: Iterable[str], spool: Path) -> list[Path]:
    """The files that `names` stand for: themselves, a folder's text files in name order, `-` standard input.

    Standard input is copied into the folder `spool`, since text is read more than once.
    """
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if name == "-":
            files.append(_copy_of_stdin(spool))
        elif path.is_dir():
            files += _text_files(path)
        elif path.exists():
            files.append(path)
        else:
            raise _missing(path)
    if not files:
        raise UserError("no data was named", fix="name a file, a folder, or `-` for standard input")
    return files


def _missing(path: Path) -> UserError:
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return UserError(f"`{path}` does not exist", fix=did_you_mean(path.name, beside))


def _copy_of_stdin(spool: Path) -> Path:
    if sys.stdin.isatty():
        raise UserError("`-` reads standard input, and nothing is piped into it", fix="cat notes/*.md | unrolled …")
    spool.mkdir(parents=True, exist_ok=True)
    path = spool / "stdin"
    try:
        with open(path, "wb") as out:
            shutil.copyfileobj(sys.stdin.buffer, out, BLOCK)
    except OSError as error:
        raise of_system(error, "copying standard input to", str(path)) from None
    return path


def _text_files(folder: Path) -> list[Path]:
    """A folder's files in name order, hidden ones and those with a zero byte up front left out."""
    inside = (p for p in sorted(folder.rglob("*")) if p.is_file())
    visible = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    files = [p for p in visible if p.suffix in OPENERS or b"\0" not in _head(p)]
    if not files:
        raise UserError(f"the folder `{folder}` has no text file in it")
    return files


def _head(path: Path) -> bytes:
    with _open(path) as file:
        return file.read(4096)


def _open(path: Path) -> BinaryIO:
    try:
        return OPENERS.get(path.suffix, open)(path, "rb")
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None


def blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes, decompressed, a block at a time."""
    with _open(path) as file:
        while True:
            try:
                block = file.read(BLOCK)
            except (*DAMAGED, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise of_system(error, "reading", str(path)) from None
                raise UserError(f"`{path}` is damaged: it does not unpack to its end", str(path)) from None
            if not block:
                return
            yield block


def characters(path: Path, encoding: str) -> Iterator[str]:
    """A file's text, a block at a time; a byte-order mark in front is dropped."""
    decoder = _decoder(encoding)
    offset, at_start = 0, True
    for block in _with_end(blocks(path)):
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise not_text(path, offset - held, encoding, error) from None
        except UnicodeError as error:
            raise UserError(f"`{path}` is not {encoding}: {error}", str(path), "name the file's own `--encoding`") from None
        yield text.removeprefix("\ufeff") if at_start else text
        at_start = at_start and not text
        offset += len(block)


def not_text(path: Path, offset: int, encoding: str, error: UnicodeDecodeError) -> UserError:
    """The message for bytes that do not decode; `offset` is where those that were tried begin in the file."""
    at = offset + error.start
    return UserError(
        f"byte {at} of `{path}` is not {encoding}: 0x{error.object[error.start]:02x} ({error.reason})",
        f"{path}: byte {at}",
        "name the file's own `--encoding` (latin-1, utf-16 …); a language model can read any file by `--symbols bytes`",
    )


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        "".encode(encoding)  # also refuses what Python knows but is no encoding of text (hex, rot13)
        return codecs.getincrementaldecoder(encoding)()
    except (LookupError, UnicodeError):
        fix = "try utf-8 or latin-1"
        raise UserError(f"`--encoding` got `{encoding}`, which Python does not know as an encoding of text", fix=fix) from None


def _with_end(parts: Iterator[bytes]) -> Iterator[bytes]:
    yield from parts
    yield b""


def chunks(files: Iterable[Path], encoding: str) -> Iterator[str]:
    """All files' text in order, cut after line ends (else after blanks); a file without a last line end gets one
    before the next file starts."""
    rest, last = "", "\n"  # not yet given out; the last character read
    for path in files:
        if last != "\n":
            rest, last = rest + "\n", "\n"
        for block in characters(path, encoding):
            rest, last = rest + block, block[-1:] or last
            cut = max(rest.rfind("\n"), rest.rfind(" ") if len(rest) > BLOCK else -1) + 1
            if len(rest) > 8 * BLOCK and not cut:
                cut = len(rest)
            if cut > BLOCK // 2:
                yield rest[:cut]
                rest = rest[cut:]
    if rest:
        yield rest


def records(files: Iterable[Path], column: str, condition: str | None, encoding: str) -> Iterator[Record]:
    """The rows of tables: the text in `column` and the label in `condition`."""
    for path in files:
        inner = Path(path.stem) if path.suffix in OPENERS else path
        if inner.suffix not in TABLES:
            raise UserError(f"`--column {column}` needs a table; `{path}` is none of {', '.join(TABLES)}", str(path))
        rows = _json_rows(path, encoding) if inner.suffix == ".jsonl" else _csv_rows(path, inner.suffix, encoding)
        for line, row in rows:
            where = f"{path}:{line}"
            label = None if condition is None else _cell(row, condition, where)
            yield Record(_cell(row, column, where), label, where)


def _cell(row: dict, column: str, where: str) -> str:
    value = row.get(column)
    if value is None and column in row:
        raise UserError(f"the column `{column}` is empty here", where, "fill it in, or leave the row out")
    if value is None:
        names = [str(name) for name in row if name is not None]
        raise UserError(f"no column `{column}`; the row has {', '.join(names)}", where, did_you_mean(column, names))
    return whole(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _lines(path: Path, encoding: str) -> Iterator[str]:
    rest = ""
    for block in characters(path, encoding):
        *lines, rest = (rest + block).split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest


def _json_rows(path: Path, encoding: str) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(_lines(path, encoding), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"not JSON: {error}", f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise UserError("each line is a JSON object with named fields", f"{path}:{number}")
        yield number, row


def _csv_rows(path: Path, suffix: str, encoding: str) -> Iterator[tuple[int, dict]]:
    reader = csv.DictReader(_lines(path, encoding), delimiter="\t" if suffix == ".tsv" else ",")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"not a table: {error}", f"{path}:{reader.line_num}") from None
