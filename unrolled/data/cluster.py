"""Counting words on many machines: Ray Data hands parts of the files to whatever cores it has and brings back, in order, what
each found there. Every machine sees the files under the same path. The result is that of one machine."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MISSING_EXTRA, UserError, of_system
from ..kernels import words as kernel
from ..progress import Progress
from . import cooccurrences, corpus, text
from .cooccurrences import Cooccurrences
from .corpus import Counted, Reading, Table

IDS = 4 << 20  # words of the text whose neighbours are one piece of work
PART = 8 << 20  # bytes of a plain file that are one piece of work


class Part(NamedTuple):
    """A piece of work: bytes begin … end of a file, moved on to the next blanks; None … None the whole file, unpacked."""

    path: str
    begin: int | None
    end: int | None
    closed: bool  # whether the file's last line gets an end, since another file follows


@contextmanager
def ray(address: str) -> Iterator[None]:
    """Ray on this machine (`local`) or a cluster's, quiet; a UserError if it is not there."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("`--cluster` needs Ray", fix="pip install 'unrolled[cluster]'", code=MISSING_EXTRA) from None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        ray.init(address=address, include_dashboard=None, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        fix = "`local`, or what `ray start --head` printed"
        raise UserError(f"`--cluster {address}`: no Ray there ({str(error).splitlines()[0]})", fix=fix) from None
    try:
        yield
    finally:
        ray.shutdown()


def mapped(work: Callable[[dict], dict], items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """work(item) for every item, somewhere; the results in the items' order. A UserError there is raised here."""
    import ray.data

    def guarded(item: dict[str, Any]) -> dict[str, Any]:
        try:
            return work(item)
        except UserError as error:
            return {"error": json.dumps([error.what, error.where, error.fix, error.code])}

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order, context.enable_progress_bars = True, False
    for row in ray.data.from_items(items, override_num_blocks=len(items)).map(guarded).iter_rows():
        if "error" in row:
            raise UserError(*json.loads(row["error"]))
        yield row


def count(files: list[Path], reading: Reading, spool: Path, progress: Progress) -> Counted:
    """corpus.count() with the words cut elsewhere; between `with ray(…)`."""
    spool.parent.mkdir(parents=True, exist_ok=True)
    table, sizes = Table(), []
    items = [{"part": tuple(part), "reading": tuple(reading)} for part in parts(files, reading)]
    with open(spool, "wb") as file:
        for n, found in enumerate(mapped(cut, items)):
            entries = np.frombuffer(found["entries"], np.int64).reshape(-1, 4)
            letters, used = np.frombuffer(found["letters"], np.uint8), np.array(found["used"], np.int64)
            table.make_room(len(entries), len(letters) + 8)
            numbers = np.full(int(used[2]) + 1, kernel.RARE, np.int32)
            numbers[-1] = kernel.SENTENCE_END  # where -1 leads
            kernel.merge(table.arrays, (table.slots, entries, letters, used), numbers)
            ids = numbers[np.frombuffer(found["ids"], np.int32)]
            try:
                ids.tofile(file)
            except OSError as error:
                raise of_system(error, "writing", str(spool)) from None
            sizes.append((0, len(ids)))
            progress.now(f"reading: {n + 1} of {len(items)} parts · {len(table):,} different words")
    return Counted(table, spool, sizes, [np.arange(int(table.used[2]), dtype=np.int32)])


def count_near(
    ids: np.ndarray, vocabulary: int, window: int, folder: Path, memory: int, threads: int, seed: int, progress: Progress
) -> Cooccurrences:
    """cooccurrences.count() with pieces of the text counted elsewhere; `ids` is a memory map that every machine sees."""
    about = {"path": str(Path(ids.filename).resolve()), "words": vocabulary, "window": window, "memory": memory}
    items = [about | {"first": first, "last": min(first + IDS, len(ids))} for first in range(0, len(ids), IDS)]
    partials = []
    for n, found in enumerate(mapped(near, items)):
        rows = (np.frombuffer(found[name], kind) for name, kind in cooccurrences.PARTIAL.items())
        partials.append(cooccurrences.keep(folder / f"{n:06d}", vocabulary, window, *rows))
        progress.now(f"counting which words stand near which: {n + 1} of {len(items)} parts")
    whole = cooccurrences.add(partials, folder / "counted", memory, threads, progress)
    arranged = cooccurrences.arrange(whole, folder, memory, threads, seed, progress)
    for part in [*partials, whole]:
        shutil.rmtree(part.folder, ignore_errors=True)
    return arranged


def near(item: dict[str, Any]) -> dict[str, Any]:
    """The pairs of a piece of the text whose rarer word is in it: the arrays of a cooccurrences.Partial."""
    ids = np.memmap(item["path"], np.int32, "r")
    with tempfile.TemporaryDirectory() as name:
        segment, quiet = (item["first"], item["last"]), Progress(quiet=True)
        counted = cooccurrences.count_segment(ids, segment, item["words"], item["window"], Path(name), item["memory"], quiet)
        columns, sums = counted.read(0, item["words"])
        return {"columns": columns.tobytes(), "sums": sums.tobytes(), "starts": counted.starts.tobytes()}


def parts(files: list[Path], reading: Reading) -> Iterable[Part]:
    """The files in order, plain ones in pieces."""
    for i, path in enumerate(files):
        closed = i + 1 < len(files)
        plain = reading.column is None and path.suffix not in text.OPENERS and reading.encoding.lower() in ("utf-8", "utf8")
        size = path.stat().st_size
        path = path.resolve()
        if not plain:
            yield Part(str(path), None, None, closed)
        for begin in range(0, size, PART) if plain else ():
            yield Part(str(path), begin, min(begin + PART, size), closed and begin + PART >= size)


def cut(item: dict[str, Any]) -> dict[str, Any]:
    """The words of a part: what kernels.words calls a table, and the part in its numbers."""
    part, reading = Part(*item["part"]), Reading(*item["reading"])
    table = Table()
    ids = [table.cut(block, corpus.kinds(reading.split, plain)) for block, plain in blocks(part, reading)]
    entries = table.entries[: len(table) + 1]
    return {
        "entries": entries.tobytes(), "letters": table.letters[: table.used[1]].tobytes(), "used": table.used.tolist(),
        "ids": np.concatenate(ids or [np.zeros(0, np.int32)]).tobytes(),
    }  # fmt: skip


def blocks(part: Part, reading: Reading) -> Iterator[tuple[bytes, bool]]:
    if part.begin is None:
        yield from corpus.blocks([Path(part.path)], reading.encoding, reading.column, reading.lower)
        if part.closed:
            yield b"\n", True
        return
    try:
        with open(part.path, "rb") as file:
            begin, end = (after_blank(file, at) for at in (part.begin, part.end))
            file.seek(begin)
            data = file.read(end - begin)
    except OSError as error:
        raise of_system(error, "reading", part.path) from None
    try:
        piece = data.decode()
    except UnicodeDecodeError as error:
        raise text.not_text(Path(part.path), begin, "utf-8", error) from None
    piece = piece.removeprefix("\ufeff") if begin == 0 else piece
    yield corpus.prepared(piece + "\n" if part.closed and not piece.endswith("\n") else piece, reading.lower)


def after_blank(file: Any, at: int) -> int:
    """Where the first word begins that begins at byte `at` or later: behind the first blank from at - 1 on."""
    if at == 0:
        return 0
    file.seek(at - 1)
    at -= 1
    while block := file.read(1 << 16):
        found = [i for i in (block.find(blank) for blank in (b" ", b"\n", b"\t", b"\r")) if i >= 0]
        if found:
            return at + min(found) + 1
        at += len(block)
    return at
