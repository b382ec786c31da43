"""Pictures and the sentences that describe them, in the forms that people keep them in.

    table         CSV, TSV, Parquet: a row for each caption, columns picture, caption, and, if there are, split and regions
    JSONL         an object a line with these names; `caption` or `captions` may be a list
    COCO          one JSON object: images [{id, file_name}], annotations [{image_id, caption}]
    Karpathy      one JSON object: images [{filename, filepath, split, sentences [{raw}]}]
    list          one JSON list: [{file_path, captions}]
    Flickr8k      lines `name.jpg#0<tab>caption`
    folder        pictures, each with its captions beside it, a line each: dog.jpg, dog.txt

What a file is, its content says. `find` reads the names and sentences, `decode` the pictures: what cannot be used is counted,
with the places of the first.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MISSING_EXTRA, UserError, did_you_mean
from . import pictures
from . import text as text_of
from .batch import Rows, open_rows, write_rows

PICTURES = ("picture", "image", "photo", "file", "filename", "file_name", "path", "file_path", "image_path")
CAPTIONS = ("caption", "captions", "text", "sentence", "sentences", "description")
SPLITS = {
    "train": "train", "training": "train", "restval": "train", "val": "dev", "valid": "dev", "validation": "dev", "dev": "dev",
    "test": "test",
}  # fmt: skip  # restval: the part of COCO's validation pictures that Karpathy trains on
TOKEN = re.compile(r"(\S.*\.\w+)#\d+\t(.*)")
PLACES = 3  # shown of each kind of fault
Box = tuple[float, float, float, float]  # left, top, right, bottom, in parts of the picture's width and height


@dataclasses.dataclass(frozen=True)
class Captioned:
    """A picture: its file, what is said of it, the part of the data it belongs to, and where it stands.

    regions   where things are that phrases name: {"red circle": (left, top, right, bottom)}, in parts of the sides
    """

    path: Path
    captions: list[str]
    split: str | None
    where: str
    regions: dict[str, Box] = dataclasses.field(default_factory=dict)


class Columns(NamedTuple):
    """Names of columns, or their numbers from 1; None: to be found."""

    picture: str | None = None
    caption: str | None = None


class Found(NamedTuple):
    pictures: list[Captioned]  # each file once, in the order named
    said: list[str]  # lines on what was recognised and left out


class Row(NamedTuple):
    name: str
    captions: list[str]
    split: str | None
    where: str
    regions: dict[str, Box]


ANY = Columns()


def find(names: Sequence[str], spool: Path, columns: Columns = ANY, encoding: str = "utf-8") -> Found:
    """All pictures and captions that files name; folders are where pictures lie, or hold the captions too.

    UserErrors name the file or file:line: no captions, a column that is not obvious, a split that is not known.
    """
    folders = [Path(name) for name in names if Path(name).is_dir()]
    files = [name for name in names if not Path(name).is_dir()]
    if not files:
        rows = [row for folder in folders for row in _beside(folder, encoding)]
        return _joined(
            rows, [*folders, Path()], [f"recognised {', '.join(map(str, folders))}: pictures with captions beside them"]
        )
    rows, said, roots = [], [], list(folders)
    for name in files:
        for path in text_of.find([name], spool):
            kind, some = _rows(path, columns, encoding)
            rows += some
            said.append(f"recognised {name}: {kind}, {len(some):,} pictures or captions")
            roots += [Path()] if name == "-" else [path.parent, path.parent / "images"]
    return _joined(rows, roots, said)


def _joined(rows: list[Row], roots: list[Path], said: list[str]) -> Found:
    """Rows of one picture together; a caption that is blank, or said before of the picture, is left out."""
    found: dict[Path, Captioned] = {}
    blank, twice, at = 0, 0, {}
    for row in rows:
        path = at[row.name] if row.name in at else at.setdefault(row.name, _located(row.name, roots))
        one = found.setdefault(path, Captioned(path, [], row.split, row.where, row.regions))
        if one.split != row.split:
            raise UserError(
                f"`{row.name}` is in two parts of the data: {one.split} and {row.split}", row.where, "keep one of them"
            )
        for caption in (" ".join(caption.split()) for caption in row.captions):
            blank, twice = blank + (not caption), twice + (caption in one.captions and bool(caption))
            if caption and caption not in one.captions:
                one.captions.append(caption)
    if not found:
        raise UserError("there are no captions", None, "name a folder of pictures and a table of their captions")
    said += [f"{blank:,} blank captions left out"] if blank else []
    said += [f"{twice:,} captions left out that stand twice for one picture"] if twice else []
    return Found(list(found.values()), said)


def _located(name: str, roots: list[Path]) -> Path:
    """A picture's file under the first folder that has it, with the folders of its name or without."""
    tried = [root / part for root in roots for part in dict.fromkeys((name, Path(name).name))]
    return next((path for path in tried if path.is_file()), tried[0])


def _beside(folder: Path, encoding: str) -> Iterator[Row]:
    paths = [path for path in pictures.files(folder) if path.with_suffix(".txt").is_file()]
    if not paths:
        said = f"no picture in `{folder}` has captions beside it: of dog.jpg they would be dog.txt, a line each"
        raise UserError(said, str(folder), "write them, or name a table of captions after the folder")
    for path in paths:
        lines = "".join(text_of.characters(path.with_suffix(".txt"), encoding)).splitlines()
        yield Row(str(path.absolute()), lines, None, str(path.with_suffix(".txt")), {})


def _rows(path: Path, columns: Columns, encoding: str) -> tuple[str, list[Row]]:
    """What a file is, and its rows."""
    start = text_of.head(path).lstrip()[:1]
    if start in (b"{", b"[") and (whole := _whole_json(path, encoding)) is not None:
        return _of_json(whole, path)
    if all(map(TOKEN.match, first := [line for line in islice(text_of.lines(path, encoding), 20) if line.strip()])) and first:
        return "a token file as Flickr8k's", list(_of_tokens(path, encoding))
    kind = text_of.kind(path, encoding)
    return {"jsonl": "JSON lines"}.get(kind, kind.upper()), list(_of_table(path, kind, columns, encoding))


def _whole_json(path: Path, encoding: str) -> Any:
    """A file that is one JSON value; None where it is lines of several."""
    try:
        value = json.loads("".join(text_of.characters(path, encoding)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) or "images" in value else None


def _of_json(whole: Any, path: Path) -> tuple[str, list[Row]]:
    try:
        if isinstance(whole, list):
            rows = [(one["file_path"], one["captions"], one.get("split")) for one in whole]
            return "a JSON list", [_row(*row, f"{path}, item {i}") for i, row in enumerate(rows, 1)]
        if "annotations" in whole:
            names = {one["id"]: one["file_name"] for one in whole["images"]}
            rows = [(names[one["image_id"]], one["caption"], None) for one in whole["annotations"]]
            return "COCO captions", [_row(*row, f"{path}, annotation {i}") for i, row in enumerate(rows, 1)]
        rows = [
            (str(Path(one.get("filepath", "")) / one["filename"]), [s["raw"] for s in one["sentences"]], one.get("split"))
            for one in whole["images"]
        ]
        return "Karpathy's JSON", [_row(*row, f"{path}, image {i}") for i, row in enumerate(rows, 1)]
    except (KeyError, TypeError, AttributeError) as error:
        said = f"`{path}` looks like captions in JSON, but has no {error}"
        raise UserError(said, str(path), "docs/caption.md has the forms that are read") from None


def _of_tokens(path: Path, encoding: str) -> Iterator[Row]:
    for number, line in enumerate(text_of.lines(path, encoding), 1):
        if not line.strip():
            continue
        if (match := TOKEN.match(line)) is None:
            raise UserError("this line is no `name.jpg#0`, a tab and a caption, as those before it", f"{path}:{number}")
        yield _row(match[1], match[2], None, f"{path}:{number}")


def _of_table(path: Path, kind: str, columns: Columns, encoding: str) -> Iterator[Row]:
    rows = _named(path, kind, encoding)
    first = next(rows, None)
    if first is None:
        return
    names = list(first[1])
    picture = _column("picture", columns.picture, PICTURES, names, path) or _only_pictures(first[1], path)
    caption = _column("caption", columns.caption, CAPTIONS, names, path)
    if caption is None:
        others = [name for name in names if name not in (picture, "split", "regions")]
        if len(others) != 1:
            raise _unclear("caption", first[1], path)
        caption = others[0]
    for where, cells in (first, *rows):
        if not cells.get(picture):
            raise UserError(f"this row has no `{picture}`; it has {', '.join(cells)}", where)
        yield _row(cells[picture], cells.get(caption) or "", cells.get("split"), where, cells.get("regions"))


def _named(path: Path, kind: str, encoding: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A table's rows; its first line names the columns, unless one of its cells is a picture's name."""
    if kind in text_of.NAMED:
        yield from ((f"{path}:{number}", row) for number, row in text_of.named_rows(path, kind, encoding))
        return
    names: list[str] = []
    for number, cells in text_of.cell_rows(path, kind, encoding):
        if not names:
            header = not any(map(pictures.is_picture, cells))
            names = [cell.strip() for cell in cells] if header else [str(i + 1) for i in range(len(cells))]
            if header:
                continue
        if len(cells) != len(names):
            said = f"this row has {len(cells)} cells; the first has {len(names)}"
            raise UserError(said, f"{path}:{number}", "put a caption with what stands between cells in double quotes")
        yield f"{path}:{number}", dict(zip(names, cells, strict=True))


def _column(what: str, asked: str | None, known: tuple[str, ...], names: list[str], path: Path) -> str | None:
    """The column asked for, by name or by number; else the one that is called as such columns are; else None."""
    if asked is None:
        return next((name for word in known for name in names if name.lower() == word), None)
    if asked in names:
        return asked
    if asked.isdecimal() and 0 < int(asked) <= len(names):
        return names[int(asked) - 1]
    hint = did_you_mean(asked, names) or "a column goes by its name, or by its number counted from 1"
    raise UserError(f"there is no column `{asked}` for the {what}; there are {', '.join(names)}", f"{path}:1", hint)


def _only_pictures(cells: dict[str, Any], path: Path) -> str:
    found = [name for name, cell in cells.items() if pictures.is_picture(str(cell))]
    if len(found) != 1:
        raise _unclear("picture", cells, path)
    return found[0]


def _unclear(what: str, cells: dict[str, Any], path: Path) -> UserError:
    shown = ", ".join(f"`{name}` ({str(cell)[:32]})" for name, cell in cells.items())
    return UserError(f"which column is the {what} is not obvious; there are {shown}", str(path), f"name it: --{what} COLUMN")


def _row(name: Any, captions: Any, split: Any, where: str, regions: Any = None) -> Row:
    """Checked: captions are one string or a list, a split is one of SPLITS, regions are four numbers each."""
    captions = captions if isinstance(captions, list) else [captions]
    if not isinstance(name, str) or not all(isinstance(caption, str) for caption in captions):
        raise UserError(f"a picture's name and its captions are text; here are `{name}` and `{captions}`", where)
    part = None if split in (None, "") else SPLITS.get(str(split).strip().lower())
    if part is None and split not in (None, ""):
        raise UserError(
            f"`{split}` is no part of the data; known are {', '.join(SPLITS)}", where, "leave the cell empty, or name one"
        )
    if regions and not (isinstance(regions, dict) and all(_is_box(box) for box in regions.values())):
        raise UserError(f"regions are {{phrase: [left, top, right, bottom]}} in 0 to 1; here is `{regions}`", where)
    return Row(name.strip(), captions, part, where, {phrase: tuple(box) for phrase, box in (regions or {}).items()})


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(isinstance(side, (int, float)) and 0 <= side <= 1 for side in box)


def paths(name: str, spool: Path, columns: Columns = ANY, encoding: str = "utf-8") -> Iterator[tuple[str, Path]]:
    """Where they are named, and the pictures themselves: of a folder, of captions in any form, or of a list with one a line."""
    if Path(name).is_dir():
        yield from ((str(path), path) for path in pictures.files(Path(name)))
        return
    (path,) = text_of.find([name], spool)
    if text_of.head(path).lstrip()[:1] in (b"{", b"[") or text_of.kind(path, encoding, prose=True) != "lines":
        yield from ((one.where, one.path) for one in find([name], spool, columns, encoding).pictures)
        return
    base = Path() if name == "-" else path.parent
    for number, line in enumerate(text_of.lines(path, encoding), 1):
        if line.strip():
            yield f"{path}:{number}", base / line.strip()


# --- what can be trained on


@dataclasses.dataclass(frozen=True)
class Album:
    """Pictures of one size as training reads them, with what is said of each and where it stands."""

    pixels: Rows  # uint8, size · size · 3 a row
    size: int
    captions: list[list[str]]
    places: list[str]
    regions: list[dict[str, Box]]

    def __len__(self) -> int:
        return len(self.captions)

    def taken(self, rows: np.ndarray) -> np.ndarray:
        """The chosen pictures, (B, size, size, 3) of uint8."""
        return np.stack([self.pixels.ids[self.pixels.bounds[i] : self.pixels.bounds[i + 1]] for i in rows]).reshape(
            len(rows), self.size, self.size, 3
        )

    def spread(self, limit: int | None) -> np.ndarray:
        """The rows of `limit` of them, always the same ones; of all where there are no more."""
        if limit is None or limit >= len(self):
            return np.arange(len(self))
        return np.sort(np.random.default_rng(0).permutation(len(self))[:limit])

    def chosen(self, rows: Sequence[int] | np.ndarray) -> Album:
        values = ([value[i] for i in rows] for value in (self.captions, self.places, self.regions))
        return Album(self.pixels.taken(np.asarray(rows, np.int64)), self.size, *values)


TOLD = {
    "missing": "whose file is not there",
    "unread": "that cannot be read as pictures",
    "large": "that are too large",
    "empty": "without a caption",
    "twice": "with the same pixels as one before them",
}


def decode(found: Iterable[Captioned], size: int, path: Path) -> tuple[Album, list[Captioned], list[str]]:
    """The pictures that can be used, size x size, written beside `path`; which they are; what is told of the others."""
    kept: list[Captioned] = []
    faults: dict[str, list[str]] = {}
    seen: set[bytes] = set()

    def rows() -> Iterator[np.ndarray]:
        for one in found:
            fault, row = _seen(one, size, seen)
            if fault is None:
                kept.append(one)
                yield row
            else:
                faults.setdefault(fault, []).append(one.where if fault == "empty" else str(one.path))

    account = write_rows(path, np.dtype(np.uint8), rows())
    told = [
        f"{len(places):,} pictures left out {TOLD[kind]} ({', '.join(places[:PLACES])}{', …' if len(places) > PLACES else ''})"
        for kind, places in sorted(faults.items())
    ]
    if not kept:
        raise UserError(f"none of the pictures can be used: {'; '.join(told)}", None, "look at the places named")
    return _album(open_rows(path, account), size, kept), kept, told


def _seen(one: Captioned, size: int, seen: set[bytes]) -> tuple[str | None, np.ndarray]:
    nothing = np.empty(0, np.uint8)
    if not one.captions:
        return "empty", nothing
    if not one.path.is_file():
        return "missing", nothing
    try:
        row = pictures.read(one.path, size, size).ravel()
    except UserError as error:
        if error.code == MISSING_EXTRA:
            raise
        return "large" if "pixels; allowed are" in error.what else "unread", nothing
    digest = hashlib.sha256(row).digest()
    if digest in seen:
        return "twice", nothing
    seen.add(digest)
    return None, row


def _album(pixels: Rows, size: int, kept: list[Captioned]) -> Album:
    return Album(pixels, size, [one.captions for one in kept], [one.where for one in kept], [one.regions for one in kept])


def keep(path: Path, album: Album, chosen: Sequence[int]) -> dict[str, Any]:
    """Write some of the pictures beside `path`; what open_album needs to find them."""
    part = [[album.captions[i], album.places[i], album.regions[i]] for i in chosen]
    with open(path.with_suffix(".jsonl"), "w", encoding="utf-8", errors="surrogatepass") as file:
        file.writelines(json.dumps(one) + "\n" for one in part)
    rows = (album.pixels.ids[album.pixels.bounds[i] : album.pixels.bounds[i + 1]] for i in chosen)
    return {"size": album.size, **write_rows(path, np.dtype(np.uint8), rows)}


def open_album(path: Path, account: dict[str, Any]) -> Album:
    with open(path.with_suffix(".jsonl"), encoding="utf-8", errors="surrogatepass") as file:
        captions, places, regions = zip(*map(json.loads, file), strict=True)
    return Album(open_rows(path, account), account["size"], list(captions), list(places), list(regions))


def sizes(found: Iterable[Captioned], most: int = 100) -> int:
    """The middle one of the shorter sides of the first pictures that can be read; 0 where none can."""
    sides = []
    for one in islice(found, most):
        try:
            sides.append(min(pictures.info(one.path)[:2]))
        except UserError as error:  # told when it is decoded
            if error.code == MISSING_EXTRA:
                raise
    return int(np.median(sides)) if sides else 0
