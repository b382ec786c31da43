"""Sentence pairs as people have them: two files line by line, or a table with a column of sources and one of translations.

`find` looks at the first rows and settles what is what, `pairs` then streams them, `check` keeps those that a translator should
be trained on and counts the others, with the places of the first. A line feed alone ends a line: U+2028 and its like are text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from . import table
from . import text as text_of
from .table import Row, Table
from .text import TABLES

SOURCES = ("source", "src", "source_text", "source_sentence", "input", "original")
TARGETS = ("target", "tgt", "trg", "target_text", "target_sentence", "output", "translation", "reference")
LANGUAGES = frozenset(
    re.findall(
        r"\w+",
        """af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km kn ko
        ku ky la lt lv mk ml mn mr ms mt my ne nl no nb nn pa pl ps pt ro ru sk sl sq sr sv sw ta te tg th tl tr tt uk ur uz
        vi xh yi zh zu eng deu ger fra fre spa ita por nld rus ces cze pol jpn zho kor vie tur ara hin english german french
        spanish italian portuguese dutch russian czech polish japanese chinese korean vietnamese turkish arabic hindi swedish
        danish finnish norwegian greek hungarian romanian ukrainian hebrew latin""",
    )
)
NO_SENTENCE = re.compile(r"\s*(?:[-+]?[\d.,]+(?:e[-+]?\d+)?\s*%?|https?://\S*|CC.BY\b.*)?\s*", re.S | re.I)  # numbers, sources
SAMPLE = 1000  # rows looked at
PLACES = 3  # shown of each kind of fault


class Pair(NamedTuple):
    """A sentence, its translation, and the source's file:line (of Parquet: row)."""

    source: str
    target: str
    where: str


class Parallel(NamedTuple):
    """What `find` settled: all that `pairs` needs, and the columns to ask for again in another file."""

    files: list[Path]  # tables; or lines: source, target, source, target …
    source: str | None  # a column; None where a line is a sentence
    target: str | None
    header: bool  # whether the first line names the columns
    encoding: str
    said: str | None  # what was decided without being asked for, in one sentence


# --- finding


def find(
    names: Iterable[str], spool: Path, source: str | None = None, target: str | None = None, encoding: str = "utf-8"
) -> Parallel:
    """Files, a folder or `-` (copied into the folder `spool`) as sentence pairs.

    Plain files are read two and two, line by line: `a.en a.de b.en b.de`. Of a table, columns that are not given are guessed
    where it is obvious, and `said` says so; where it is not, a UserError lists them.
    """
    names = list(names)
    files = [path for name in names for path in _files(name, spool)]
    if names.count("-") > 1:
        raise UserError("`-` is named twice; standard input is read once", fix="give the other side as a file, or pipe a table")
    for path in files:
        _check_zeros(path, encoding)
    if not _are_lines(files, encoding, asked=source or target):
        return _find_columns(files or text_of.find([], spool), source, target, encoding)
    _check_order(files, source, target)
    shown = ", ".join(f"{one} and {other}" for one, other in _two_and_two(files)[:3])
    said = f"each line is a sentence, with its translation on that line of the other file: {shown}"
    return Parallel(files, None, None, False, encoding, said + (", …" if len(files) > 6 else ""))


def _files(name: str, spool: Path) -> list[Path]:
    files = text_of.find([name], spool)
    plain = [path.name for path in files if text_of.suffix(path) not in TABLES]
    if Path(name).is_dir() and len(plain) > 2:
        shown = ", ".join(plain[:5]) + (", …" if len(plain) > 5 else "")
        raise UserError(f"which files of the folder `{name}` belong together is not obvious: {shown}", name, "name two of them")
    return files


def _two_and_two(files: list[Path]) -> list[tuple[Path, Path]]:
    return list(zip(files[::2], files[1::2], strict=True))


def _are_lines(files: list[Path], encoding: str, asked: str | None) -> bool:
    """Whether the files are lines, not tables: by their names, else by their first lines."""
    named = [path for path in files if text_of.suffix(path) in TABLES]
    prose = not (asked and len(files) == 1)
    plain = [path for path in files if path not in named and text_of.kind(path, encoding, prose) == "lines"]
    if named and plain:
        raise UserError(f"`{named[0]}` is a table and `{plain[0]}` is none", str(plain[0]), "name one kind alone")
    return bool(plain)


def _check_order(files: list[Path], source: str | None, target: str | None) -> None:
    """UserErrors for an odd number of files, one named twice, and sides that change places."""
    if len(files) % 2:
        fix = "name two files, train.en train.de, or a table with a column of each"
        raise UserError(f"`{files[-1]}` has lines, and no file beside it has their translations", str(files[-1]), fix)
    ends = [(text_of.suffix(one), text_of.suffix(other)) for one, other in _two_and_two(files)]
    kinds = list(dict.fromkeys(end for pair in ends for end in pair))
    for (one, other), here in zip(_two_and_two(files), ends, strict=True):
        if one.samefile(other):
            raise UserError(f"`{one}` is named as source and as target", str(one), "name the file of its translations second")
        if here != ends[0] and len(kinds) == 2:
            fix = f"name sources and translations in turn: a{kinds[0]} a{kinds[1]} b{kinds[0]} b{kinds[1]}"
            raise UserError(
                f"`{one}` and `{other}` do not go together as `{files[0]}` and `{files[1]}` do; files are read two and two",
                None,
                fix,
            )
    if source and target and (f".{target}", f".{source}") == ends[0]:
        raise UserError(f"`--source {source}`, but `{files[0]}` is named first", None, f"name them so: {files[1]} {files[0]}")


def _check_zeros(path: Path, encoding: str) -> None:
    start = text_of.head(path)
    if b"\0" in start and not start.startswith(b"PAR1") and "\0" in start.decode(encoding, "replace"):
        raise _zeros(str(path))


def _zeros(where: str) -> UserError:
    fix = "name the file's own `--encoding` (utf-16 …); single zeros go with tr -d '\\000'"
    return UserError("there is a zero byte in the text", where, fix)


# --- a table's columns


class _Look(NamedTuple):
    """The first rows of a table; a header line is still among them."""

    path: Path
    names: list[str] | None  # of the cells, where each row has them
    rows: list[list[str]]


def _look(path: Path, encoding: str) -> _Look:
    kind = text_of.kind(path, encoding)
    if kind not in text_of.NAMED:
        return _Look(path, None, [row for _, row in islice(text_of.cell_rows(path, kind, encoding), SAMPLE)])
    sample = [row for _, row in islice(text_of.named_rows(path, kind, encoding), SAMPLE)]
    names = list(dict.fromkeys(name for row in sample for name in row))
    inner = [name for name in names if isinstance(sample[0].get(name), dict)]
    if inner:
        fix = f"jq -c .{inner[0]} {path} > pairs.jsonl takes the sentences out"
        raise UserError(f"the column `{inner[0]}` holds an object; a sentence is needed", str(path), fix)
    return _Look(path, names, [[_shown(row.get(name)) for name in names] for row in sample])


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _find_columns(files: list[Path], source: str | None, target: str | None, encoding: str) -> Parallel:
    looks = [look for look in (_look(path, encoding) for path in files) if look.rows]
    if not looks:
        raise UserError(f"there are no pairs in {', '.join(f'`{path}`' for path in files[:5])}", fix="give it at least one")
    header = _agreed_header(looks, source, target)
    kept = _columns(looks[0], header, source, target)
    said = [
        f"{what} is column {_title(column)}"
        for what, given, column in zip(("source", "target"), (source, target), kept, strict=True)
        if given is None
    ]
    if looks[0].names is None and not _by_name(source, target):
        said.append("the first line is a header" if header else "no header line")
    found = Parallel(files, *kept, header, encoding, ", ".join(said) or None)
    next(pairs(found))  # a column that is not there is told now
    return found


def _by_name(*columns: str | None) -> bool:
    return any(column is not None and not column.isdecimal() for column in columns)


def _title(column: str) -> str:
    return column if column.isdecimal() else f"`{column}`"


def _agreed_header(looks: list[_Look], *asked: str | None) -> bool:
    """Whether first lines are headers; always where columns go by name."""
    if _by_name(*asked) or looks[0].names is not None:
        return True
    headers = [_is_header(look.rows[0]) for look in looks]
    for look, header in zip(looks, headers, strict=True):
        if header != headers[0]:
            fix = "give both a header line or neither, or name the columns with --source and --target"
            raise UserError(f"a header line is in only one of `{looks[0].path}` and `{look.path}`", f"{look.path}:1", fix)
    return headers[0]


def _is_header(row: list[str]) -> bool:
    """Whether cells are names of columns: one is a word for a side of a pair, or two (or the only one) are languages."""
    languages = {cell for cell in row if _language(cell)}
    return any(_word(cell) in (*SOURCES, *TARGETS, *table.TEXTS) for cell in row) or len(languages) >= min(2, len(row))


def _word(name: str) -> str:
    return "_".join(name.lower().split())


def _language(name: str) -> bool:
    """`en`, `en_US`, `English`, `text_en`, `en_sentence`."""
    parts = re.split(r"[-_ ]", name.strip().lower())
    return len(name) <= 24 and (parts[0] in LANGUAGES or parts[-1] in LANGUAGES) and len(parts) <= 2


def _columns(look: _Look, header: bool, source: str | None, target: str | None) -> tuple[str, str]:
    """Source and target: as asked for, else by known names, else the only two columns with sentences, in their order."""
    names, rows = look.names, look.rows
    if header and names is None:
        names, rows = [cell.strip() for cell in rows[0]], rows[1:] or rows
    titles = names or [str(i + 1) for i in range(len(rows[0]))]
    if source is None and target is None:
        words = [_word(title) for title in titles]
        source, target = (_only(words, titles, known) for known in (SOURCES, TARGETS))
    taken = {_named(column, titles) for column in (source, target) if column is not None}
    free = [title for i, title in enumerate(titles) if title not in taken and _has_sentences(rows, i)]
    if len(free) == (source is None) + (target is None):
        source = free.pop(0) if source is None else source
        target = free.pop(0) if target is None else target
    if source is None or target is None:
        shown = ", ".join(f"{_title(title)} ({_short(cell)})" for title, cell in zip(titles, rows[0], strict=False))
        fix = "name them, each by its name or number: --source COLUMN --target COLUMN"
        raise UserError(f"which columns are source and target is not obvious; `{look.path}` has {shown}", str(look.path), fix)
    if _named(source, titles) == _named(target, titles):
        raise UserError(f"`--source` and `--target` both got the column `{source}`", str(look.path), "give two columns")
    return source, target


def _only(words: list[str], titles: list[str], known: tuple[str, ...]) -> str | None:
    found = [title for word, title in zip(words, titles, strict=True) if word in known]
    return found[0] if len(found) == 1 else None


def _named(column: str, titles: list[str]) -> str:
    """The title of a column asked for by number."""
    return titles[int(column) - 1] if column not in titles and column.isdecimal() and 0 < int(column) <= len(titles) else column


def _has_sentences(rows: list[list[str]], i: int) -> bool:
    cells = [row[i] for row in rows if i < len(row)]
    return sum(NO_SENTENCE.fullmatch(cell) is None for cell in cells) * 2 > len(cells)


def _short(cell: str) -> str:
    cell = " ".join(cell.split())
    return cell if len(cell) <= 32 else cell[:31] + "…"


# --- reading


def pairs(found: Parallel) -> Iterator[Pair]:
    """The pairs, streamed; blank sides are passed on.

    UserErrors name file and line: files of unequal length, a zero byte, a row that breaks its table, a column that is missing.
    """
    if found.source is None:
        both = (pair for files in _two_and_two(found.files) for pair in _in_step(*files, found.encoding))
    else:
        # a column is read on its own: twice the work, and no more kept than a row
        sides = (table.rows(Table(found.files, column, None, found.header, found.encoding, None), "keep")
                 for column in (found.source, found.target))  # fmt: skip
        both = (Pair(one.text, other.text, one.where) for one, other in zip(*sides, strict=True))
    for pair in both:
        if "\0" in pair.source or "\0" in pair.target:
            raise _zeros(pair.where)
        yield pair


def _in_step(source: Path, target: Path, encoding: str) -> Iterator[Pair]:
    """Line by line; blank lines behind the end of the other file are nothing."""
    sides = [text_of.cell_rows(path, "lines", encoding) for path in (source, target)]
    both = zip_longest(*sides, fillvalue=None)
    for one, other in both:
        if one is None or other is None:
            rest = (line for pair in both for line in pair if line is not None)
            if any(line[1][0].strip() for line in (one or other, *rest)):
                raise _unequal(source, target, encoding)
            return
        yield Pair(one[1][0], other[1][0], f"{source}:{one[0]}")


def sources(
    name: str, spool: Path, column: str | None = None, encoding: str = "utf-8", asked: bool = False
) -> Iterator[Row]:  # fmt: skip
    """The sentences to translate of a file or of standard input: lines, or a table's column. Blank ones are passed on, so
    that as many come as there are lines.

    A table with one column needs no name for it, nor one with a column named as sources are.
    """
    files = text_of.find([name], spool)
    for path in files:
        _check_zeros(path, encoding)
        if text_of.kind(path, encoding, prose=True) == "lines":
            if asked:
                raise UserError(f"`--column {column}`, and `{path}` has none: each line is a sentence", str(path), "leave it out")
            rows: Iterable[Row] = (
                Row(cells[0], None, f"{path}:{number}") for number, cells in text_of.cell_rows(path, "lines", encoding)
            )
        else:
            rows = _column(path, column, encoding)
        for row in rows:
            if "\0" in row.text:
                raise _zeros(row.where)
            yield row


def _column(path: Path, column: str | None, encoding: str) -> Iterator[Row]:
    look = _look(path, encoding)
    if not look.rows:
        return iter(())
    header = look.names is not None or _is_header(look.rows[0]) or (column is not None and column in look.rows[0])
    titles = look.names or (look.rows[0] if header else [str(i + 1) for i in range(len(look.rows[0]))])
    titles = [title.strip() for title in titles]
    if len(titles) == 1:
        column = titles[0]  # it may have another name in a table with translations
    column = column or _only([_word(title) for title in titles], titles, (*SOURCES, *table.TEXTS))
    if column is None:
        fix = "name it by its name or number, counted from 1"
        raise UserError(f"which column to translate is not obvious; `{path}` has {', '.join(titles)}", str(path), fix)
    return table.rows(Table([path], column, None, header, encoding, None), "keep")


# --- files of unequal length


def _unequal(source: Path, target: Path, encoding: str) -> UserError:
    lengths = [
        np.array([len(row[0].strip()) for _, row in text_of.cell_rows(path, "lines", encoding)]) for path in (source, target)
    ]
    (longer, more), (shorter, fewer) = sorted(zip((source, target), lengths, strict=True), key=lambda side: -len(side[1]))
    blank, line = np.flatnonzero(more == 0) + 1, parted(more, fewer)
    where, fix = None, "give them the same number of lines"
    if len(blank) == len(more) - len(fewer):
        shown = ", ".join(map(str, blank[:PLACES])) + (", …" if len(blank) > PLACES else "")
        where, fix = f"{longer}:{blank[0]}", f"take the empty lines out of `{longer}`: {shown}"
    elif line > len(fewer) - 2:
        where, fix = f"{longer}:{line}", f"from there on no line has a partner: `{shorter}` seems to end too early"
    elif line > 10:  # earlier it may as well be chance
        where, fix = f"{longer}:{line}", "compare both thereabouts, or somewhat before: judged by the lengths of lines alone"
    counts = " and ".join(f"`{path}` has {len(n):,} lines" for path, n in zip((source, target), lengths, strict=True))
    return UserError(f"{counts}; line for line there must be as many", where, fix)


def parted(more: np.ndarray, fewer: np.ndarray) -> int:
    """The line (from 1) from which on two files' lines likeliest no longer go together, by the lengths of all.

    Logarithms of lengths are compared line by line; up to that line they lie closer, by most, than those of lines that have
    nothing to do with each other (the other file read from its end).
    """
    a, b = np.log1p(more[: len(fewer)]), np.log1p(fewer)
    if not len(b):
        return 1
    b = b + np.median(a) - np.median(b)
    here, by_chance = (np.minimum(np.abs(a - other), 1.0) for other in (b, b[::-1]))
    return int(np.cumsum([0, *(here - 0.75 * by_chance.mean())]).argmin()) + 1


def refuse_columns_of_lines(found: Parallel, *columns: str | None) -> None:
    """A UserError where columns are asked for of files whose lines are sentences; their endings, `en` of `a.en`, may be."""
    endings = {text_of.suffix(path).lstrip(".") for path in found.files}
    for flag, column in zip(("--source", "--target"), columns, strict=True):
        if found.source is None and column is not None and column not in endings:
            what = f"`{flag} {column}` names a column, and `{found.files[0]}` has none: each line is a sentence"
            raise UserError(what, str(found.files[0]), f"leave {flag} out, or give a table: .tsv, .csv, .jsonl")


# --- checking


class Fault(NamedTuple):
    count: int
    places: list[str]  # of the first


class Counts(NamedTuple):
    """How often each word stands on each side."""

    source: Counter[str]
    target: Counter[str]


class Kept(NamedTuple):
    """The pairs to train on, how many were read, and what was wrong with how many: keys are those of TOLD."""

    pairs: list[Pair]
    read: int
    faults: dict[str, Fault]
    counts: Counts
    longest: int
    unit: str  # that `longest` counts


TOLD = {
    "both_empty": "left out, both sides empty",
    "source_empty": "left out, no source",
    "target_empty": "left out, no translation",
    "long": "left out, a side of more than {longest} {unit}",
    "copied": "left out, the translation is the source",
    "copying": "whose translation is the source: so many that they are kept",
    "disproportionate": "left out, one side far too long for the other",
    "swapped": "left out, source and translation seem to have changed places",
    "repeated": "of an earlier one again, kept",
}
COPYING = 0.2  # where a greater part are copies, copying is what is to be learnt
APART = 9.0  # one side so many times as long as the other, for what is usual here, is no translation …
SHORT = 40  # … where it has more than so many characters
SURE = 6.0  # nats by which each side fits the other column better, and by a nat a word


def words(text: str) -> int:
    """How many there are, between white space."""
    return len(text.split())


def check(found: Iterable[Pair], longest: int, length: Callable[[str], int] = words) -> Kept:
    """The pairs to train on, read once; `length` counts the symbols of a side. A UserError where none is left."""
    kept: list[Pair] = []
    faults: dict[str, Fault] = {}
    seen: set[int] = set()
    read = 0
    for read, pair in enumerate(found, 1):  # noqa: B007
        kind = _unfit(pair, longest, length)
        if kind is not None:
            _note(faults, kind, pair)
            continue
        key = hash((pair.source, pair.target))
        if key in seen:
            _note(faults, "repeated", pair)
        seen.add(key)
        kept.append(pair)
    kept = _without_copies(kept, faults)
    kept = _in_proportion(kept, faults)
    kept, counts = _not_swapped(kept, faults)
    done = Kept(kept, read, faults, counts, longest, "words" if length is words else "characters")
    if read and not kept:
        raise UserError(
            f"none of the {read:,} pairs can be trained on: {'; '.join(told(done))}", None, "look at the places named"
        )
    return done


def told(kept: Kept) -> list[str]:
    """A line for each kind of fault, with its first places."""
    lines = []
    for kind, how in TOLD.items():
        if kind in kept.faults:
            count, places = kept.faults[kind]
            shown = ", ".join(places) + (", …" if count > len(places) else "")
            how = how.format(longest=kept.longest, unit=kept.unit)
            lines.append(f"{count:,} {'pair' if count == 1 else 'pairs'} {how} ({shown})")
    return lines


def _note(faults: dict[str, Fault], kind: str, pair: Pair) -> None:
    count, places = faults.get(kind, Fault(0, []))
    faults[kind] = Fault(count + 1, [*places, pair.where] if count < PLACES else places)


def _unfit(pair: Pair, longest: int, length: Callable[[str], int]) -> str | None:
    source, target = not pair.source.strip(), not pair.target.strip()
    if source or target:
        return "both_empty" if source and target else "source_empty" if source else "target_empty"
    return "long" if max(length(pair.source), length(pair.target)) > longest else None


def _without_copies(pairs: list[Pair], faults: dict[str, Fault]) -> list[Pair]:
    copies = [pair.source.strip() == pair.target.strip() and any(map(str.isalpha, pair.source)) for pair in pairs]
    few = sum(copies) <= COPYING * len(pairs)
    for pair, copy in zip(pairs, copies, strict=True):
        if copy:
            _note(faults, "copied" if few else "copying", pair)
    return [pair for pair, copy in zip(pairs, copies, strict=True) if not (copy and few)]


def _in_proportion(pairs: list[Pair], faults: dict[str, Fault]) -> list[Pair]:
    """Without pairs whose sides' characters are APART times further from each other than all pairs' are."""
    usual = sum(len(pair.target) for pair in pairs) / max(1, sum(len(pair.source) for pair in pairs))
    kept = []
    for pair in pairs:
        source, target = len(pair.source) * usual, len(pair.target)
        if max(len(pair.source), target) > SHORT and max(source, target) > APART * min(source, target):
            _note(faults, "disproportionate", pair)
        else:
            kept.append(pair)
    return kept


# --- sides that changed places


def _counts(pairs: Iterable[Pair]) -> Counts:
    counts = Counts(Counter(), Counter())
    for pair in pairs:
        counts.source.update(pair.source.lower().split())
        counts.target.update(pair.target.lower().split())
    return counts


def _leanings(counts: Counts, own: int) -> tuple[dict[str, float], dict[str, float]]:
    """Of each word of the source, and of the target, the nats by which it speaks for its side: log p(word | this side) less
    log p(word | the other); `own` occurrences on its side are those asked about, and left out. A word never seen speaks for none.
    """
    sides = []
    for here, there in (counts, counts[::-1]):
        a, b = max(1, here.total()), max(1, there.total())
        share = a / (a + b)  # of one more occurrence, spread over both sides as all words are
        sides.append({
            word: math.log((max(0, n - own) + share) / a) - math.log((there[word] + 1 - share) / b) for word, n in here.items()
        })  # fmt: skip
    return sides[0], sides[1]


def _changed_places(pair: Pair, leanings: tuple[dict[str, float], dict[str, float]]) -> bool:
    """Whether both sides fit the other column better: by SURE nats each, and by a nat a word."""
    for text, leaning in zip(pair[:2], leanings, strict=True):
        found = [leaning.get(word, 0.0) for word in text.lower().split()]
        if sum(found) > -max(SURE, len(found)):
            return False
    return True


def _not_swapped(pairs: list[Pair], faults: dict[str, Fault]) -> tuple[list[Pair], Counts]:
    counts = _counts(pairs)
    leanings = _leanings(counts, own=1)
    changed = [_changed_places(pair, leanings) for pair in pairs]
    for pair, is_changed in zip(pairs, changed, strict=True):
        if is_changed:
            _note(faults, "swapped", pair)
    return [pair for pair, is_changed in zip(pairs, changed, strict=True) if not is_changed], counts


def refuse_swapped(counts: Counts, some: Iterable[Pair], flag: str = "--dev") -> None:
    """A UserError if most of `some` pairs, given with `flag`, have their sides the other way round than training has."""
    leanings = _leanings(counts, own=0)
    sources, targets = ({**leaning} for leaning in leanings)
    for word, nats in leanings[1].items():
        sources.setdefault(word, -nats)
    for word, nats in leanings[0].items():
        targets.setdefault(word, -nats)
    some = list(some)
    changed = sum(_changed_places(pair, (sources, targets)) for pair in some)
    if changed * 2 > len(some):
        raise UserError(
            f"the sides of `{flag}` are the other way round than those to train on, in {changed:,} of {len(some):,} pairs",
            some[0].where,
            f"name the files of `{flag}` in the other order, or change --source and --target",
        )


class Shared(NamedTuple):
    """Pairs to validate on that training has too."""

    sources: int  # the same source, whatever its translation
    pairs: int  # the same pair


def shared(train: Iterable[Pair], dev: Iterable[Pair]) -> Shared:
    """How many pairs of `dev` also stand in `train`, letter for letter."""
    dev = list(dev)
    wanted, found, both = {pair.source for pair in dev}, set(), set()
    for pair in train:
        if pair.source in wanted:
            found.add(pair.source)
            both.add(pair[:2])
    return Shared(sum(pair.source in found for pair in dev), sum(pair[:2] in both for pair in dev))
