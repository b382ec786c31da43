"""Where in a sound something is said: a table of begin, end (seconds) and label between tabs, as Audacity exports labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .text import cell_rows

ROUNDING = 0.1  # seconds that a mark may end after its sound
FIX = "a line is: begin TAB end TAB label, times in seconds (Audacity: File, Export Labels)"


class Mark(NamedTuple):
    begin: float  # seconds
    end: float
    label: str


def read(path: Path) -> list[Mark]:
    """The marks of a file by time of beginning; UserError with file:line for a line that is none.

    A first line of names is passed over, and so are Audacity's lines of frequencies, which begin with a backslash.
    """
    rows = [(number, cells) for number, cells in cell_rows(Path(path), "tsv", "utf-8") if not cells[0].startswith("\\")]
    if rows and _seconds(rows[0][1][0]) is None and rows[0][1][0].strip().lower() in ("begin", "start", "onset"):
        rows = rows[1:]
    return sorted(_mark(cells, f"{path}:{number}") for number, cells in rows)


def within(path: Path, seconds: float, name: str) -> list[Mark]:
    """The marks of a file; UserError where one ends after the sound `name`, which lasts so many seconds."""
    marks = read(path)
    late = [mark for mark in marks if mark.end > seconds + ROUNDING]
    if late:
        said = (
            f"`{name}` lasts {seconds:.2f} s, and {len(late)} of {len(marks)} marks end later, the first at {late[0].end:.2f} s"
        )
        raise UserError(said, str(path), "times are in seconds; see that the table belongs to this recording")
    return marks


def _mark(cells: list[str], where: str) -> Mark:
    if len(cells) not in (2, 3):
        raise UserError(f"a mark has three cells, here are {len(cells)}", where, FIX)
    begin, end = _seconds(cells[0]), _seconds(cells[1])
    if begin is None or end is None:
        wrong = cells[0] if begin is None else cells[1]
        raise UserError(f"not a time in seconds from 0 on: `{wrong}`", where, FIX)
    if end < begin:
        raise UserError(f"a mark ends before it begins: {begin:g} to {end:g} s", where, FIX)
    return Mark(begin, end, cells[2].strip() if len(cells) == 3 else "")


def _seconds(cell: str) -> float | None:
    try:
        value = float(cell.strip().replace(",", "."))  # some countries' programs write a decimal comma
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def write(path: Path, marks: list[Mark]) -> None:
    """The marks as `read` takes them, to the microsecond."""
    Path(path).write_text("".join(f"{mark.begin:.6f}\t{mark.end:.6f}\t{mark.label}\n" for mark in marks), "utf-8")
