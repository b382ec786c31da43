"""Text as people have it: files, folders, standard input, .gz .bz2 .xz; its lines, and the rows of CSV, TSV and JSONL.

Everything is read as a stream, in pieces of about a megabyte; nothing is held whole. A byte that is not text is
reported by file and offset, a bad row by file and line.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import MISSING_EXTRA, UserError, did_you_mean, of_system

BLOCK = 1 << 20  # bytes read at a time
UNPACKED, RATIO = 64 << 20, 200  # bytes that any file may unpack to; a larger one may be so many times its size
LOOK = 100  # lines looked at to see what a file is
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TABLES = {".jsonl": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".ndjson": "jsonl", ".parquet": "parquet"}
NAMED = ("jsonl", "parquet")  # kinds in which each row names its cells
DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)
csv.field_size_limit(1 << 26)  # a quote that is never closed ends here, not when memory does


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
    files = [p for p in visible if p.suffix in OPENERS or b"\0" not in head(p)]
    if not files:
        raise UserError(f"the folder `{folder}` has no text file in it")
    return files


def visible(folder: Path) -> list[Path]:
    """What stands in a folder, in name order, hidden files left out."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def texts_by_folder(folder: Path) -> dict[str, list[Path]]:
    """The files in each folder of a folder that has any, by that folder's name; tables are left out."""
    inner = {path.name: visible(path) for path in visible(folder) if path.is_dir()}
    texts = {name: [path for path in paths if path.is_file() and suffix(path) not in TABLES] for name, paths in inner.items()}
    return {name: paths for name, paths in texts.items() if paths}


def _unpacked_rows(path: Path, file: Any, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    """Few at a time: a cell that stands in the file once may stand in a million rows."""
    groups = range(file.num_row_groups)
    _check_unpacked(path, sum(file.metadata.row_group(i).total_byte_size for i in groups))
    done = 0
    for batch in file.iter_batches(columns=columns, batch_size=64):
        rows = batch.to_pylist()
        done += sum(len(cell) for row in rows for cell in row.values() if isinstance(cell, (str, bytes, list)))
        _check_unpacked(path, done)
        yield from rows


def head(path: Path) -> bytes:
    """The first bytes of a file, decompressed."""
    with _open(path) as file:
        return file.read(4096)


def _open(path: Path) -> BinaryIO:
    try:
        return OPENERS.get(path.suffix, open)(path, "rb")
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None


def blocks(path: Path) -> Iterator[bytes]:
    """A file's bytes, decompressed, a block at a time."""
    done = 0
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
            done += len(block)
            if path.suffix in OPENERS:
                _check_unpacked(path, done)
            yield block


def _check_unpacked(path: Path, size: int) -> None:
    """A UserError for a file that comes to far more bytes than it has."""
    if size > max(UNPACKED, path.stat().st_size * RATIO):
        said = f"`{path}` unpacks to over {RATIO} times its size: one thing again and again, no text"
        raise UserError(said, str(path), "unpack it yourself, if it is one")


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


def lines(path: Path, encoding: str) -> Iterator[str]:
    """A file's lines, each with its line feed, which alone ends a line."""
    return chain.from_iterable(io.StringIO(piece, newline="\n") for piece in _whole_lines(path, encoding))


def _whole_lines(path: Path, encoding: str) -> Iterator[str]:
    held: list[str] = []
    for block in characters(path, encoding):
        cut = block.rfind("\n") + 1
        if cut:
            yield "".join([*held, block[:cut]])
            held = []
        held.append(block[cut:])
    yield "".join(held)


# --- tables: each row with the line on which it begins


def suffix(path: Path) -> str:
    """The end of a file's name, what it is packed by left out: `.csv` of reviews.csv.gz."""
    return (Path(path.stem) if path.suffix in OPENERS else path).suffix.lower()


def kind(path: Path, encoding: str, prose: bool = False) -> str:
    """csv, tsv, jsonl or parquet: by the file's name, else by its first lines; `lines` for other text, if prose is allowed."""
    if suffix(path) in TABLES:
        return TABLES[suffix(path)]
    start = head(path)
    if start.startswith(b"PAR1"):
        return "parquet"
    binary = b"\0" in start and "\0" in start.decode(encoding, "replace")
    first = [] if binary else [line for line in islice(lines(path, encoding), LOOK) if not line.isspace()]
    begin = "".join("".join(first[:2]).split())[:2]
    if begin[:1] == "{":
        return "jsonl"
    if first and _even([line.count("\t") + 1 for line in first]) >= 0.9:
        return "tsv"
    if not binary and prose and begin != "[{":
        return "lines"
    if first and begin != "[{" and delimiter(path, encoding):
        return "csv"
    fix = "jq -c '.[]' a.json > a.jsonl makes lines of a list" if begin == "[{" else "save the table as .csv or .jsonl"
    raise UserError(f"`{path}` is no table: neither CSV, TSV, Parquet nor JSONL (an object a line)", str(path), fix)


def delimiter(path: Path, encoding: str) -> str | None:
    """What stands between the cells of a CSV: a comma, unless something else cuts (nearly) all of the first lines into as
    many cells as the first; None where nothing does."""
    first, best, most = list(islice(lines(path, encoding), LOOK)), None, 0.0
    for tried in ",;\t|":
        even = _even(_widths(first, tried))
        if even > most and (tried == "," or even >= 0.9):
            best, most = tried, even
    return best


def _widths(first: list[str], delimiter: str) -> list[int]:
    try:
        widths = [len(row) for row in csv.reader(first, delimiter=delimiter) if row]
    except csv.Error:
        return []
    return widths[:-1] if len(first) == LOOK else widths  # the last row may be cut within a cell


def _even(widths: list[int]) -> float:
    """The part of the rows that have as many cells as the first; 0 where that has only one."""
    return widths.count(widths[0]) / len(widths) if widths and widths[0] > 1 else 0.0


def cell_rows(path: Path, kind: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of csv, tsv or lines, and the line on which each begins."""
    if kind == "csv":
        return _csv_rows(path, encoding, delimiter(path, encoding) or ",")
    if kind == "tsv":
        return _tsv_rows(path, encoding)
    return ((number, [line.rstrip("\r\n")]) for number, line in enumerate(lines(path, encoding), 1))


def named_rows(path: Path, kind: str, encoding: str, columns: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of jsonl, each with its line, or of parquet, numbered from 1; parquet's can be those columns alone."""
    return _json_rows(path, encoding) if kind == "jsonl" else _parquet_rows(path, columns)


def _tsv_rows(path: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Cells between tabs; a quote is a character like any other."""
    for number, line in enumerate(lines(path, encoding), 1):
        if "\t" in line or not line.isspace():
            yield number, line.rstrip("\r\n").split("\t")


def _csv_rows(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cells that may stand in double quotes, and then hold delimiters and line ends (RFC 4180)."""
    reader, begin = csv.reader(lines(path, encoding), delimiter=delimiter, strict=True), 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        fix = 'a double quote within a cell in double quotes is written twice (""); lines end in a line feed'
        raise UserError(f"not a table: {error}", f"{path}:{begin}", fix) from None


def _json_rows(path: Path, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """One JSON object a line."""
    for number, line in enumerate(lines(path, encoding), 1):
        if line.isspace():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"not JSON: {error}", f"{path}:{number}") from None
        if not isinstance(row, dict):
            raise UserError("each line is a JSON object with named fields", f"{path}:{number}")
        yield number, row


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"`{path}` is Parquet, which needs pyarrow", None, 'pip install "unrolled[data]"', MISSING_EXTRA
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            wanted = list(columns) if columns and set(columns) <= set(file.schema_arrow.names) else None
            yield from enumerate(_unpacked_rows(path, file, wanted), 1)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"`{path}` is damaged Parquet: {error}", str(path)) from None
