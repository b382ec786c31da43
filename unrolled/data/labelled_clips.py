"""Clips and what they show: a table that names them, one label a clip or labels of frames; or a folder of clips for each label.

A table's first line names its columns. Of frames it has a row for each range, in the columns `first` and `last`, or for each
frame, in `frame`; they are counted from 0, and `last` belongs to the range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MISSING_EXTRA, UserError
from . import frames
from . import text as text_of
from .recordings import column

CLIPS = ("clip", "video", "path", "file", "filename", "file_name", "video_path", "film", "frames_path")
LABELS = ("label", "class", "action", "activity", "gesture", "motion", "category")
FIRST = ("first", "first_frame", "begin", "start", "start_frame")
LAST = ("last", "last_frame", "end", "stop", "stop_frame", "end_frame")
FRAME = ("frame", "frame_number")
TRAINING, VALIDATING = ("train", "training"), ("val", "valid", "validation", "dev")
PLACES = 3  # shown of each kind of fault


class Columns(NamedTuple):
    """Names of columns, or their numbers from 1; None: to be found."""

    path: str | None = None
    label: str | None = None
    group: str | None = None


class Range(NamedTuple):
    first: int
    last: int
    label: str


class Labelled(NamedTuple):
    path: Path
    label: str | None  # of the whole clip
    ranges: list[Range]  # of its frames
    split: str | None
    group: str | None
    where: str  # file:line of the table, or the clip itself


class Found(NamedTuple):
    clips: list[Labelled]
    per: str  # clip or frame: what has a label
    label: str | None  # the column that it stands in
    again: list[str]  # places of rows that name a clip a second time; they are left out


def find(names: Sequence[str], spool: Path, columns: Columns, per: str | None, encoding: str = "utf-8") -> Found:
    """What tables and folders name: paths are those in a folder that is named beside the table, else beside the table itself.

    per    clip or frame; None: frame where a table has columns of frames
    UserErrors name file:line: no such column, columns that are not obvious, a range that is none, none at all.
    """
    folders = [Path(name) for name in names if Path(name).is_dir()]
    tables = [name for name in names if not Path(name).is_dir()]
    if not tables:
        return Found([one for folder in folders for one in _by_folder(folder)], "clip", None, [])
    found: dict[Path, Labelled] = {}
    again: list[str] = []
    for name in tables:
        for path in text_of.find([name], spool):
            rows = list(_rows(path, encoding))
            if not rows:
                continue
            at = _settled(rows[0], columns, per, path)
            per = "frame" if at.ranged else "clip"
            for row in rows:
                one = _labelled(row, at, [*folders, Path() if name == "-" else path.parent])
                if one.path in found and not at.ranged:
                    again.append(one.where)
                elif one.path in found:
                    found[one.path].ranges.extend(one.ranges)
                else:
                    found[one.path] = one
    if not found:
        raise UserError("there are no clips in the table", ", ".join(tables), "a row names a clip and its label")
    return Found(list(found.values()), per or "clip", at.label, again)


def _by_folder(folder: Path) -> Iterator[Labelled]:
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if len(inside) < 2:
        raise UserError(
            f"the folder `{folder}` has {len(inside)} folders in it; each label is a folder of clips", str(folder),
            "or name a table of clips and labels beside it: unrolled train video clips/ labels.tsv",
        )  # fmt: skip
    for label in inside:
        yield from (Labelled(path, label.name, [], None, None, str(path)) for path in frames.clips(label))


class _Row(NamedTuple):
    cells: dict[str, str]
    where: str


def _rows(path: Path, encoding: str) -> Iterator[_Row]:
    kind = text_of.kind(path, encoding)
    if kind in text_of.NAMED:
        for number, row in text_of.named_rows(path, kind, encoding):
            yield _Row({name: "" if value is None else str(value) for name, value in row.items()}, f"{path}:{number}")
        return
    names: list[str] = []
    for number, cells in text_of.cell_rows(path, kind, encoding):
        if not names:
            names = [cell.strip() for cell in cells]
            continue
        if len(cells) != len(names):
            said = f"{len(cells)} cells stand in this row; the first line names {len(names)} columns"
            raise UserError(said, f"{path}:{number}", "fill it in")
        yield _Row(dict(zip(names, map(str.strip, cells), strict=True)), f"{path}:{number}")


class _Columns(NamedTuple):
    path: str
    label: str
    group: str | None
    split: str | None
    ranged: tuple[str, str] | None  # the first and the last frame


def _settled(row: _Row, columns: Columns, per: str | None, path: Path) -> _Columns:
    """Which column is which: as asked for, else by names that such columns have."""
    names = list(row.cells)
    found = column("clip", columns.path, CLIPS, names, path), column("label", columns.label, LABELS, names, path)
    for what, option, name in zip(("clip", "label"), ("path", "label"), found, strict=True):
        if name is None:
            shown = ", ".join(f"`{name}` ({cell[:32]})" for name, cell in row.cells.items())
            raise UserError(f"which column is the {what} of a row is not obvious: {shown}", str(path), f"--{option} COLUMN")
    first, last, frame = (column("frame", None, known, names, path) for known in (FIRST, LAST, FRAME))
    ranged = (first, last) if first and last else (frame, frame) if frame else None
    if per == "frame" and not ranged:
        said = f"`--per frame` needs columns of frames; there are {', '.join(names)}"
        raise UserError(said, str(path), "`first` and `last`, or `frame`, counted from 0")
    group = column("group", columns.group, (), names, path)
    split = None if group else column("split", None, ("split",), names, path)
    return _Columns(*found, group, split, None if per == "clip" else ranged)


def _labelled(row: _Row, at: _Columns, folders: Sequence[Path]) -> Labelled:
    cells = row.cells
    for name in (at.path, at.label):
        if not cells.get(name):
            raise UserError(f"there is no `{name}` in this row", row.where, "fill it in, or leave the row out")
    places = [folder / cells[at.path] for folder in folders]
    path = next((place for place in places if place.exists()), places[0])
    split = cells[at.split].lower() if at.split else None
    group = cells[at.group] if at.group else None
    if at.ranged is None:
        return Labelled(path, cells[at.label], [], split, group, row.where)
    first, last = (cells[name] for name in at.ranged)
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        said = f"frames `{first}` to `{last}` are no range of whole numbers from 0"
        raise UserError(said, row.where, "the last frame belongs to the range: 0 to 4 are five frames")
    return Labelled(path, None, [Range(int(first), int(last), cells[at.label])], split, group, row.where)


# --- what training reads


class Fault(NamedTuple):
    count: int
    places: list[str]  # of the first


def readable(found: Iterable[Labelled], read: Callable[[Path], Any], faults: dict[str, Fault]) -> Iterator[tuple[Labelled, Any]]:
    """Clips and what `read` makes of each; those missing or not to be read are counted in `faults`."""
    for one in found:
        kind = "missing"
        if one.path.exists():
            try:
                yield one, read(one.path)
                continue
            except UserError as error:
                if error.code == MISSING_EXTRA:
                    raise
                kind = "unread"
        count, places = faults.get(kind, Fault(0, []))
        faults[kind] = Fault(count + 1, [*places, f"{one.path}, {one.where}"][:PLACES])


TOLD = {"missing": "left out that are not there", "unread": "left out that cannot be read"}


def told(faults: dict[str, Fault]) -> list[str]:
    """A line for each kind of fault, with its first places."""
    return [
        f"{fault.count:,} {TOLD[kind]} ({'; '.join(fault.places)}{'; …' if fault.count > PLACES else ''})"
        for kind, fault in faults.items()
    ]


def of_frames(one: Labelled, numbers: np.ndarray, count: int, rest: str) -> list[str]:
    """The labels of some of a clip's `count` frames; of one in no range `rest`, of one in several that of the last row.

    UserError for a range beyond the clip's end.
    """
    labels = [rest] * count
    for first, last, label in one.ranges:
        if last >= count:
            said = f"frame {last} is named of a clip that has {count}: its last one is {count - 1}"
            raise UserError(said, one.where, "frames are counted from 0")
        labels[first : last + 1] = [label] * (last + 1 - first)
    return [labels[i] for i in numbers.tolist()]


def split(found: Sequence[Labelled], share: float, seed: int) -> tuple[list[int], list[int], str]:
    """Which to train on, which to validate on, and a sentence about it.

    By the column `split` where there is one; else whole groups, drawn until they make up a `share`, where there are such; else
    the same part of each label's clips (of clips with labels of frames, of all).
    """
    everything = np.arange(len(found))
    if any(one.split for one in found):
        train = [i for i, one in enumerate(found) if one.split in TRAINING]
        dev = [i for i, one in enumerate(found) if one.split in VALIDATING]
        others = sorted({str(one.split) for one in found} - {*TRAINING, *VALIDATING})
        left = f"; left out: {len(found) - len(train) - len(dev):,} of {', '.join(others)}" if others else ""
        return train, dev, f"the column `split` says what is validated on{left}"
    generator = np.random.default_rng(seed)
    if any(one.group for one in found):
        held = _groups(found, share, generator)
        dev = [i for i in everything.tolist() if found[i].group in held]
        return sorted({*everything.tolist()} - {*dev}), dev, f"groups held out whole: {', '.join(sorted(held))}"
    of_label: dict[str | None, list[int]] = {}
    for i in generator.permutation(len(found)).tolist():
        of_label.setdefault(found[i].label, []).append(i)
    dev = sorted(i for each in of_label.values() for i in each[: round(share * len(each))])
    return sorted({*everything.tolist()} - {*dev}), dev, f"{share:.0%} of the clips held out, drawn by the seed"


def _groups(found: Sequence[Labelled], share: float, generator: np.random.Generator) -> set[str]:
    names = sorted({str(one.group) for one in found})
    if len(names) < 2:
        raise UserError(f"all clips are of the group `{names[0]}`: none can be held out", fix="leave `--group` out")
    held: set[str] = set()
    for name in generator.permutation(names)[:-1].tolist():
        held.add(name)
        if sum(str(one.group) in held for one in found) >= share * len(found):
            break
    return held
