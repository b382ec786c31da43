"""Tables as people have them: CSV, TSV, JSONL or Parquet; a text a line; a folder of texts for each label.

`find` looks at the first rows and settles what is what: the kind of file, whether the first line is a header, which
column is the text and which the label. `rows` then streams. A column goes by its name, or by its number counted from 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError, did_you_mean
from . import text as text_of
from .text import TABLES
from .vocab import whole

TEXTS = (
    "text", "review", "sentence", "comment", "content", "body", "message", "tweet", "utterance", "document", "description",
    "review_text", "reviewtext",
)  # fmt: skip
LABELS = (
    "label", "labels", "class", "sentiment", "stars", "star_rating", "rating", "target", "category", "polarity", "score",
    "intent", "emotion", "topic",
)  # fmt: skip
SAMPLE = 1000  # rows looked at


class Row(NamedTuple):
    """A text, its label (None without a label column) and where they stand: file:line, or the file that is the text."""

    text: str
    label: str | None
    where: str


class Table(NamedTuple):
    """What `find` settled: all that `rows` needs, and the columns to ask for again in another file."""

    files: list[Path]
    text: str | None  # a column; None where a line or a whole file is the text
    label: str | None
    header: bool  # whether the first line names the columns
    encoding: str
    said: str | None  # what was decided without being asked for, in one sentence
    whole: bool = False  # each file is a text, and its folder's name the label


# --- finding


def find(
    names: Iterable[str],
    spool: Path,
    text: str | None = None,
    label: str | None = None,
    encoding: str = "utf-8",
    labelled: bool = True,
) -> Table:
    """Files, folders or `-` (copied into the folder `spool`) as a table with the columns `text` and `label`.

    What is not given is guessed where it is obvious, and `said` says so; where it is not, a UserError lists the columns.
    labelled=False reads texts alone: no label is needed, and in a file that is no table each line is a text.
    """
    names = list(names)
    found = [_in_folder(Path(name)) if Path(name).is_dir() else (text_of.find([name], spool), None) for name in names]
    files, said = [path for paths, _ in found for path in paths], [said for _, said in found]
    if not any(said):
        return _find_columns(files or text_of.find([], spool), text, label, encoding, labelled)
    if not all(said):
        raise _mixed(names)
    return Table(files, None, None, False, encoding, "; ".join(said), whole=True)


def _mixed(names: Iterable[str | Path]) -> UserError:
    return UserError(f"plain texts and tables cannot be read as one: {', '.join(map(str, names))}", fix="name one kind alone")


def _in_folder(folder: Path) -> tuple[list[Path], str | None]:
    """The texts of a folder of folders, and what to say of it; or a folder's tables, and None."""
    labels = text_of.texts_by_folder(folder)
    if len(labels) > 1:
        shown = [f"{name} ({_count(len(texts), 'text')})" for name, texts in labels.items()]
        shown = [*shown[:8], "…"] if len(shown) > 9 else shown
        return list(chain.from_iterable(labels.values())), f"each folder in `{folder}` is a label: {', '.join(shown)}"
    tables = [path for path in text_of.visible(folder) if text_of.suffix(path) in TABLES]
    if not tables:
        raise UserError(
            f"the folder `{folder}` has no table in it, and {_count(len(labels), 'folder')} of texts; each label is a folder",
            str(folder), "of reviews/pos and reviews/neg, name reviews",
        )  # fmt: skip
    return tables, None


def _find_columns(files: list[Path], text: str | None, label: str | None, encoding: str, labelled: bool) -> Table:
    looks = [look for look in (_look(path, encoding, labelled) for path in files) if look.rows]
    if not looks:
        raise _no_rows(files)
    first, lines = looks[0], {look.kind == "lines" for look in looks}
    if len(lines) > 1:
        raise _mixed(look.path for look in looks)
    if first.kind == "lines":
        return Table(files, None, None, False, encoding, "each line is a text")
    given = asked = (text, label if labelled else None)
    header = _agreed_header(looks, asked, label)
    names, body = first.names, first.rows
    if header and names is None:
        names, body = [*map(str.strip, body[0])], body[1:]
    if not body:
        raise _no_rows(files)
    if not labelled and len(body[0]) == 1 and text is not None and not _by_name(text):
        asked = ("1", None)  # it may have had another number in a table with labels
    at = _columns(first.path, names, body, asked, labelled)
    kept = tuple(_kept(first, names, column, i) for column, i in zip(asked, at, strict=True))
    return Table(files, *kept, header, encoding, _said(first, header, given, kept, encoding))


def _kept(look: _Look, names: list[str] | None, asked: str | None, i: int | None) -> str | None:
    """A column's name, or its number where it has no name or was asked for by number: other files may have no names."""
    if i is None:
        return None
    return names[i] if names and (asked is None or look.names) else asked or str(i + 1)


def _said(look: _Look, header: bool, asked: tuple[str | None, ...], kept: tuple[str | None, ...], encoding: str) -> str | None:
    named = header or look.names is not None
    said = [
        f"{what} is column " + (f"`{column}`" if named else column)
        for what, given, column in zip(("text", "label"), asked, kept, strict=True)
        if given is None and column is not None
    ]
    if look.names is None and not _by_name(*asked):
        said.append("the first line is a header" if header else "no header line")
    if look.kind == "csv" and (delimiter := text_of.delimiter(look.path, encoding) or ",") != ",":
        said.append("a tab between cells" if delimiter == "\t" else f"`{delimiter}` between cells")
    return ", ".join(said) or None


class _Look(NamedTuple):
    """The first rows of a file, all of one width; a header line is still among them."""

    path: Path
    kind: str
    names: list[str] | None  # of the cells, where each row has them
    rows: list[list[str]]


def _look(path: Path, encoding: str, labelled: bool) -> _Look:
    kind = text_of.kind(path, encoding, prose=not labelled)
    if kind in text_of.NAMED:
        sample = [row for _, row in islice(text_of.named_rows(path, kind, encoding), SAMPLE)]
        names = list(dict.fromkeys(chain.from_iterable(sample)))
        return _Look(path, kind, names, [[_as_text(row.get(name)) for name in names] for row in sample])
    sample = list(islice(text_of.cell_rows(path, kind, encoding), SAMPLE))
    for number, row in sample:
        if len(row) != len(sample[0][1]):
            raise _uneven(path, kind, number, row, len(sample[0][1]))
    return _Look(path, kind, None, [row for _, row in sample])


# --- which column is which: decided on the first rows


def _by_name(*columns: str | None) -> bool:
    return any(column is not None and not column.isdecimal() for column in columns)


def _agreed_header(looks: list[_Look], asked: tuple[str | None, ...], label: str | None) -> bool:
    """Whether first lines are headers; always where columns go by name."""
    if _by_name(*asked) or looks[0].names is not None:
        return True
    headers = [_has_header(look, label) for look in looks]
    for look, header in zip(looks, headers, strict=True):
        if look.names is None and header != headers[0]:
            fix = "give both a header line or neither, or name the columns with --text and --label"
            raise UserError(f"only one of `{looks[0].path}` and `{look.path}` has a header line", f"{look.path}:1", fix)
    return headers[0]


def _has_header(look: _Look, label: str | None) -> bool:
    """Whether the first row's cells look like names: one is a word for such a column and stands only there, or the first
    label is unlike the others, which repeat or are numbers."""
    if look.names is not None or look.kind == "lines" or not look.rows:
        return False
    first, rest = look.rows[0], look.rows[1:]
    if any(len(cell) > 40 or _is_number(cell) for cell in first):
        return False
    if any(_word(cell) in (*TEXTS, *LABELS) and cell not in {row[i] for row in rest} for i, cell in enumerate(first)):
        return True
    at = _pair(rest)[1] if len(first) == 2 else None
    if label is not None and label.isdecimal():
        at = int(label) - 1
    if not rest or at is None or not 0 <= at < len(first):
        return False
    labels = [row[at] for row in rest]
    return all(map(_is_number, labels)) or (first[at] not in labels and len(set(labels)) * 5 <= len(labels))


def _word(name: str) -> str:
    return "_".join(name.lower().split())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _columns(
    path: Path, names: list[str] | None, body: list[list[str]], asked: tuple[str | None, ...], labelled: bool
) -> tuple[int, int | None]:
    """Where text and label stand: as asked for, else by known names, else the one column left or the likely pair of two."""
    width = len(body[0])
    text, label = (None if column is None else _index(column, names, width, path) for column in asked)
    words = [_word(name) for name in names or ()]
    text = _only(words, TEXTS, label) if text is None else text
    label = _only(words, LABELS, text) if label is None and labelled else label
    if width == 1 and not labelled:
        text = 0
    elif width == 2 and text is None:
        text, label = _pair(body) if label is None else (1 - label, label)
    elif width == 2 and label is None and (asked[0] is not None or _few(body, 1 - text)):
        label = 1 - text
    if text is None or (labelled and label is None):
        raise _unclear(path, names, body[0], "text" if text is None else "label")
    if text == label:
        raise UserError(f"`--text` and `--label` both got the column `{asked[0]}`", str(path), "give two columns")
    return text, label if labelled else None


def _only(words: list[str], known: tuple[str, ...], taken: int | None) -> int | None:
    """Where the one known word stands; the first of the known goes before all others."""
    found = [i for i, word in enumerate(words) if word in known and i != taken]
    found = [i for i in found if words[i] == known[0]] or found
    return found[0] if len(found) == 1 else None


def _pair(body: list[list[str]]) -> tuple[int, int] | tuple[None, None]:
    """Which of two columns are text and label: the labels are few, and shorter than the texts or very few."""
    different = [len({row[i] for row in body}) for i in (0, 1)]
    length = [sum(len(row[i]) for row in body) for i in (0, 1)]
    label = 0 if different[0] < different[1] else 1
    likely = length[label] < length[1 - label] or different[label] * 5 <= different[1 - label]
    return (1 - label, label) if different[0] != different[1] and likely and _few(body, label) else (None, None)


def _few(body: list[list[str]], i: int) -> bool:
    """Whether a column's values come twice or more on average."""
    return len({row[i] for row in body}) * 2 <= len(body)


def _unclear(path: Path, names: list[str] | None, row: list[str], what: str) -> UserError:
    titles = [f"`{name}`" for name in names] if names else [str(i + 1) for i in range(len(row))]
    shown = ", ".join(f"{title} ({_short(cell)})" for title, cell in zip(titles, row, strict=True))
    fix = "name them, each by its name or number: --text COLUMN --label COLUMN"
    return UserError(f"which column is the {what} is not obvious; `{path}` has {shown}", str(path), fix)


def _index(column: str, names: list[str] | None, width: int, path: Path) -> int:
    """Where a column stands, counted from 0."""
    times = names.count(column) if names else 0
    if times > 1:
        raise UserError(f"the header line has the column `{column}` {times} times", f"{path}:1", "give its number")
    if times:
        return names.index(column)
    if column.isdecimal() and 0 < int(column) <= width:
        return int(column) - 1
    raise _no_column(column, names or [str(i + 1) for i in range(width)], f"{path}:1")


def _no_column(column: str, names: Sequence[str], where: str) -> UserError:
    hint = did_you_mean(column, names) or "a column goes by its name, or by its number counted from 1"
    return UserError(f"no column `{column}`; the row has {', '.join(map(_short, names))}", where, hint)


def _no_rows(files: list[Path]) -> UserError:
    return UserError(f"there are no rows in {', '.join(f'`{path}`' for path in files[:5])}", fix="give it at least one")


def _short(cell: str) -> str:
    cell = " ".join(cell.split())
    return cell if len(cell) <= 32 else cell[:31] + "…"


# --- reading


def rows(table: Table, empty: str = "refuse") -> Iterator[Row]:
    """The rows, streamed. A blank text is refused, or with empty="keep" passed on; a blank label is always refused.

    UserErrors name file and line: cells too few or too many, a column that is missing, broken CSV or JSON; and no rows at all.
    """
    found = _rows(table, keep=empty == "keep")
    first = next(found, None)
    if first is None:
        raise _no_rows(table.files)
    yield from chain([first], found)


def records(files: Iterable[Path], column: str, condition: str | None, encoding: str) -> Iterator[Row]:
    """The rows of tables: the text in `column` and the label in `condition`, each a name or a number.

    A blank text is passed on, and a JSON value that is not text as JSON writes it.
    """
    for path in files:
        if text_of.suffix(path) not in TABLES:
            raise UserError(f"`--column {column}` needs a table; `{path}` is none of {', '.join(TABLES)}", str(path))
        header = _by_name(column, condition) or _has_header(_look(path, encoding, labelled=True), condition)
        yield from _rows(Table([path], column, condition, header, encoding, None), keep=True, nested=True)


def _rows(table: Table, keep: bool, nested: bool = False) -> Iterator[Row]:
    for path in table.files:
        before, picked = _picked(path, table, nested)
        for number, text, label in picked:
            where = f"{before}{number}"
            if not keep and (not text or text.isspace()):
                raise _blank(table.text, where)
            if label is not None:
                label = label.strip()
                if not label:
                    raise _blank(table.label, where)
            yield Row(text, label, where)


Picked = Iterator[tuple[int | str, str, str | None]]  # line (of Parquet: row), text, label


def _picked(path: Path, table: Table, nested: bool) -> tuple[str, Picked]:
    """How a file's rows are called, up to their number; and the rows."""
    if table.whole:
        text = "".join(text_of.characters(path, table.encoding)).rstrip("\r\n")
        return str(path), iter([("", text, path.parent.name)])
    kind = text_of.kind(path, table.encoding, prose=table.text is None)
    picked = _from_names(path, kind, table, nested) if kind in text_of.NAMED else _from_cells(path, kind, table)
    return _place(path, kind, ""), picked


def _from_cells(path: Path, kind: str, table: Table) -> Picked:
    found = text_of.cell_rows(path, kind, table.encoding)
    first = next(found, None)
    if first is None:
        return
    names, width = [*map(str.strip, first[1])] if table.header else None, len(first[1])
    text = 0 if table.text is None else _index(table.text, names, width, path)
    label = None if table.label is None else _index(table.label, names, width, path)
    for number, row in found if table.header else chain([first], found):
        if len(row) != width:
            raise _uneven(path, kind, number, row, width)
        yield number, row[text], None if label is None else row[label]


def _from_names(path: Path, kind: str, table: Table, nested: bool) -> Picked:
    text, label = table.text, table.label
    wanted = [column for column in (text, label) if column is not None]
    for number, row in text_of.named_rows(path, kind, table.encoding, wanted):
        where = (path, kind, number)
        yield number, _value(row, text, where, nested), None if label is None else _value(row, label, where, nested)


def _value(row: dict[str, Any], column: str, where: tuple[Path, str, int], nested: bool) -> str:
    if column in row:
        value = row[column]
    elif column.isdecimal() and 0 < int(column) <= len(row):
        value = list(row.values())[int(column) - 1]
    else:
        raise _no_column(column, list(row), _place(*where))
    if not nested and not isinstance(value, (str, bool, int, float, type(None))):
        holds = {dict: "an object", list: "a list"}.get(type(value), f"a {type(value).__name__}")
        allowed = "allowed are text, a number, true and false"
        raise UserError(f"the column `{column}` holds {holds} here; {allowed}", _place(*where))
    return _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # JSON can write half a character
            return whole(value)
        return value
    if type(value) is int:
        return str(value)
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _place(path: Path, kind: str, number: int | str) -> str:
    return f"{path}: row {number}" if kind == "parquet" else f"{path}:{number}"


def _blank(column: str | None, where: str) -> UserError:
    what = "text" if column is None else f"column `{column}`"
    return UserError(f"the {what} is empty here", where, "fill it in, or leave it out")


def _uneven(path: Path, kind: str, number: int, row: list[str], width: int) -> UserError:
    fix = "fill it in" if len(row) < width else "a cell that holds what stands between cells is put in double quotes"
    if kind == "tsv":
        fix = "a quote means nothing in a .tsv; where quotes hold cells together, name the file .csv"
    return UserError(f"this row has {_count(len(row), 'cell')}; the first row has {width}", f"{path}:{number}", fix)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
