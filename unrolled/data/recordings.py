"""Recordings and what is said in them: a table of sound files and their transcripts, or a folder with a .txt beside each.

`find` settles which column is what and reads the table; `sounding` then reads the sound, keeps what can be trained on, and counts
the rest, with the places of the first.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MISSING_EXTRA, UserError, did_you_mean
from . import samples as of_samples
from . import sound
from . import text as text_of

AUDIO = ("audio", "path", "file", "filename", "file_name", "wav", "sound", "recording", "clip", "audio_path")
TEXTS = ("text", "transcript", "transcription", "sentence", "words")
GROUP = "speaker"
PLACES = 3  # shown of each kind of fault
SILENT = -75.0  # decibels of full scale; what is softer is no recording of anything


class Recording(NamedTuple):
    path: Path
    text: str  # one blank between words
    group: str  # whose errors are counted apart: a speaker, or the folder
    where: str  # file:line of the table, or the .txt


class Columns(NamedTuple):
    """Names of columns, or their numbers from 1; None: to be found."""

    audio: str | None = None
    text: str | None = None
    group: str | None = None


ANY = Columns()


class Row(NamedTuple):
    cells: dict[str, str]  # by name, or by number
    where: str


def find(
    names: Iterable[str], spool: Path, columns: Columns = ANY, encoding: str = "utf-8", transcribed: bool = True
) -> list[Recording]:  # fmt: skip
    """All recordings that tables, folders or `-` (a table, copied into `spool`) name; paths are relative to their table.

    UserErrors name the file or file:line: no such column, columns that are not obvious, a folder without transcripts, none.
    transcribed=False asks for no text.
    """
    found: list[Recording] = []
    for name in names:
        if Path(name).is_dir():
            found += _beside(Path(name), encoding, transcribed)
            continue
        for path in text_of.find([name], spool):
            found += _of_table(path, Path() if name == "-" else path.parent, columns, encoding, transcribed)
    if not found:
        raise UserError("there are no recordings", ", ".join(names), "name a table of sound files and texts, or a folder of both")
    return found


def _beside(folder: Path, encoding: str, transcribed: bool) -> Iterator[Recording]:
    """The sound files of a folder, each with the text beside it; those without are passed on with none."""
    paths = sound.files(folder)
    if transcribed and not any(path.with_suffix(".txt").exists() for path in paths):
        raise UserError(
            f"no sound file in `{folder}` has its text beside it: of {paths[0].name} it would be {paths[0].stem}.txt",
            str(folder),
            "write them, or name a table of paths and texts",
        )
    for path in paths:
        beside = path.with_suffix(".txt")
        text = "".join(text_of.characters(beside, encoding)) if transcribed and beside.exists() else ""
        yield Recording(path, spaced(text), path.parent.name, str(beside if transcribed else path))


def _of_table(path: Path, base: Path, columns: Columns, encoding: str, transcribed: bool) -> Iterator[Recording]:
    rows = list(_rows(path, encoding, columns))
    if not rows:
        return
    names = list(rows[0].cells)
    audio = column("audio", columns.audio, AUDIO, names, path) or _only_sound(rows, names, path)
    text = column("text", columns.text, TEXTS, names, path) if transcribed else ""
    if text is None:
        others = [name for name in names if name != audio]
        if len(others) != 1:
            raise _unclear("text", rows[0], path)
        text = others[0]
    group = column("group", columns.group, (GROUP,), names, path)
    for row in rows:
        _has(row, (audio, text, group))
        named = row.cells[audio].strip()
        if not named:
            raise UserError(f"the column `{audio}` names no sound file here", row.where)
        file = base / named
        said = row.cells[text] if text else ""
        yield Recording(file, spaced(said), row.cells[group] if group else file.parent.name, row.where)


def _has(row: Row, wanted: tuple[str | None, ...]) -> None:
    for name in wanted:
        if name and name not in row.cells:
            raise UserError(f"this row has no `{name}`; it has {', '.join(row.cells)}", row.where)


def _rows(path: Path, encoding: str, columns: Columns) -> Iterator[Row]:
    """A table's rows; its first line names the columns, unless one of its cells is a sound file's name."""
    kind = text_of.kind(path, encoding)
    if kind in text_of.NAMED:
        for number, row in text_of.named_rows(path, kind, encoding):
            yield Row({name: _text(value) for name, value in row.items()}, f"{path}:{number}")
        return
    names: list[str] = []
    for number, cells in text_of.cell_rows(path, kind, encoding):
        if not names:
            header = not any(map(is_sound, cells))
            names = [cell.strip() for cell in cells] if header else [str(i + 1) for i in range(len(cells))]
            if header:
                continue
        if len(cells) != len(names):
            said = f"this row has {len(cells)} cells; the first has {len(names)}"
            raise UserError(
                said, f"{path}:{number}", "fill it in; a cell that holds what stands between cells is put in double quotes"
            )
        yield Row(dict(zip(names, cells, strict=True)), f"{path}:{number}")


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def is_sound(cell: str) -> bool:
    """Whether a cell ends as the names of sound files do."""
    return cell.strip().lower().endswith(sound.ENDINGS)


def column(what: str, asked: str | None, known: tuple[str, ...], names: list[str], path: Path) -> str | None:
    """The column asked for, by name or by number; else the one that is called as such columns are; else None."""
    if asked is None:
        return next((name for word in known for name in names if name.lower() == word), None)
    if asked in names:
        return asked
    if asked.isdecimal() and 0 < int(asked) <= len(names):
        return names[int(asked) - 1]
    hint = did_you_mean(asked, names) or "a column goes by its name, or by its number counted from 1"
    raise UserError(f"there is no column `{asked}` for the {what}; there are {', '.join(names)}", f"{path}:1", hint)


def _only_sound(rows: list[Row], names: list[str], path: Path) -> str:
    """The one column whose cells are names of sound files."""
    found = [name for name in names if any(is_sound(row.cells.get(name, "")) for row in rows[:100])]
    if len(found) != 1:
        raise _unclear("audio", rows[0], path)
    return found[0]


def _unclear(what: str, row: Row, path: Path) -> UserError:
    shown = ", ".join(f"`{name}` ({cell[:32]})" for name, cell in row.cells.items())
    return UserError(f"which column is the {what} is not obvious; there are {shown}", str(path), f"name it: --{what} COLUMN")


def spaced(text: str) -> str:
    """The text with one blank between words and none around them."""
    return " ".join(text.split())


def paths(name: str, spool: Path, columns: Columns = ANY, encoding: str = "utf-8") -> list[tuple[str, Path]]:
    """Where they are named, and the sound files themselves: of a folder, of a table, or of a list with one a line."""
    if Path(name).is_dir():
        return [(str(path), path) for path in sound.files(Path(name))]
    (path,) = text_of.find([name], spool)
    if text_of.kind(path, encoding, prose=True) != "lines":
        return [(one.where, one.path) for one in find([name], spool, columns, encoding, transcribed=False)]
    base = Path() if name == "-" else path.parent
    lines = (line.strip() for line in text_of.lines(path, encoding))
    return [(f"{path}:{number}", base / line) for number, line in enumerate(lines, 1) if line]


# --- what can be trained on


def rate(found: Iterable[Recording], most: int) -> int | None:
    """The rate that most of the first recordings have, of at most `most`; None where none can be read."""
    rates: Counter[int] = Counter()
    for one in found:
        if sum(rates.values()) == most:
            break
        with contextlib.suppress(UserError):  # told when it is read
            rates[sound.info(one.path).rate] += 1
    return rates.most_common(1)[0][0] if rates else None


class Fault(NamedTuple):
    count: int
    places: list[str]  # of the first


TOLD = {
    "missing": "whose sound file is not there",
    "unread": "that cannot be read as sound",
    "silent": "that are silent",
    "empty": "without text",
    "short": "too short for what they are said to hold",
    "long": "longer than {longest:g} s",
}


def sounding(
    found: Iterable[Recording], rate: int, longest: float, needed: Callable[[str], float], faults: dict[str, Fault]
) -> Iterator[tuple[Recording, np.ndarray]]:
    """Recordings that can be trained on with their samples (N,) at `rate`; the others are counted in `faults`.

    longest   seconds that one may last
    needed    the seconds that a text takes at least
    """
    for one in found:
        fault, samples = _heard(one, rate, longest)
        if fault is None and len(samples) < needed(one.text) * rate:
            fault = "short"
        if fault is None:
            yield one, samples
        else:
            count, places = faults.get(fault, Fault(0, []))
            faults[fault] = Fault(count + 1, [*places, one.where][:PLACES])


def _heard(one: Recording, rate: int, longest: float) -> tuple[str | None, np.ndarray]:
    nothing = np.empty(0, np.float32)
    if not one.text:
        return "empty", nothing
    if not one.path.is_file():
        return "missing", nothing
    try:
        if sound.info(one.path).seconds > longest:
            return "long", nothing
        samples = sound.read(one.path, rate)
    except UserError as error:
        if error.code == MISSING_EXTRA:
            raise
        return "unread", nothing
    return ("silent" if of_samples.level(samples) < SILENT else None), samples


def told(faults: dict[str, Fault], longest: float) -> list[str]:
    """A line for each kind of fault, with its first places."""
    return [
        f"{faults[kind].count:,} left out {how.format(longest=longest)} "
        f"({', '.join(faults[kind].places)}{', …' if faults[kind].count > PLACES else ''})"
        for kind, how in TOLD.items() if kind in faults
    ]  # fmt: skip
