"""Sentences with tagged words, as people have them. What a file is shows in its first lines, not in its name.

CoNLL columns          JSON lines
    EU    B-org        {"text": "EU rejects it", "spans": [{"start": 0, "end": 2, "label": "org"}]}
    rejects O          {"text": "EU rejects it", "entities": [[0, 2, "org"]]}
    it    O            {"words": ["EU", "rejects", "it"], "tags": ["B-org", "O", "O"]}

CoNLL: the word is the first column, the tag the last or `column` (from 1); tabs stand between columns, or blanks and tabs in a
file whose first row has no tab. Any line of white space ends a sentence, `-DOCSTART-` too. A comment begins with `#`, has no tag,
and stands before a sentence, or is no row at all (`# a remark`); `#word` with a tag is a word.

JSON lines: a line is a sentence. `start` and `end` count characters, the end left out; `tokens` cuts the text into words, and a
word once more where a span's border falls inside it. `column` names the field of the spans or tags, where it has another name.

Without labels (to predict) the tags may be missing, and a file that is neither of these is prose, which `tokens` cuts into
sentences. Every file is read twice: its scheme shows only at its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from .. import spans
from ..errors import UserError
from ..spans import Span
from . import text, tokens
from .tokens import Token
from .vocab import whole

SCHEME = "bioes"  # what tags are read into: its letters say most about a word
LOOK = 50  # first lines that show what a file is
SPANS, WORDS, TAGS = ("spans", "entities", "labels", "label"), ("words", "tokens"), ("tags", "ner_tags")
BLANK = " \t\r\n"
CELL = re.compile(r"[^ \t\r\n]+")
DOCUMENT = "-DOCSTART-"


class Sentence(NamedTuple):
    """Words, their tags (bioes; None without labels), and file:line of the first word."""

    words: list[str]
    tags: list[str] | None
    where: str


class Given(NamedTuple):
    """A text to be answered, cut into sentences of words that know their places in it."""

    text: str
    sentences: list[list[Token]]


class Found(NamedTuple):
    """A sentence as it stands in its file."""

    words: list[str]
    tags: list[str] | None
    line: int  # of the first word
    step: int  # lines from a word to the next: 1 in columns, 0 in JSON
    scheme: str | None = None  # None: the file's
    given: Given | None = None  # without labels, where there is a text


def read(
    files: Iterable[Path],
    column: str | None,
    encoding: str,
    labelled: bool = True,
    scheme: str | None = None,
    repair: bool = False,
) -> Iterator[Sentence]:
    """The sentences of files in order, streamed; UserErrors name file:line.

    column  of the tags: a number (CoNLL) or a field's name (JSON lines)
    scheme  of the tags, one of spans.SCHEMES; None is found out, file by file
    repair  tags that break their scheme are read as conlleval reads them; else they are a UserError
    """
    for path in files:
        sentences = _reader(path, column, encoding, labelled)
        if not labelled:
            yield from (Sentence(found.words, None, f"{path}:{found.line}") for found in sentences() if found.words)
            continue
        own = scheme or spans.scheme(found.tags for found in sentences() if found.scheme is None)
        empty = True
        for found in sentences():
            yield Sentence(found.words, _converted(found, own, repair, path), f"{path}:{found.line}")
            empty = False
        if empty:
            raise UserError(f"`{path}` has no sentence in it", str(path))


def items(path: Path, encoding: str, a_line_each: bool = False) -> Iterator[tuple[str, Given]]:
    """What there is to answer in a file, each after its place: the sentences that `read` finds.

    a_line_each  prose is answered line by line, blank ones too, not sentence by sentence
    """
    for found in _reader(path, None, encoding, labelled=False, a_line_each=a_line_each)():
        yield f"{path}:{found.line}", found.given or of_words(found.words)


def of_text(source: str) -> Given:
    """A text of any number of sentences."""
    return Given(source, list(tokens.sentences(source)))


def of_words(words: list[str]) -> Given:
    """A sentence that is cut already; its text has a blank between words."""
    ends = list(accumulate(len(word) + 1 for word in words))
    placed = [Token(word, end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]
    return Given(" ".join(words), [placed] if words else [])


def _as_one(source: str) -> Given:
    words = tokens.tokenise(source)
    return Given(source, [words] if words else [])


def _converted(found: Found, own: str, repair: bool, path: Path) -> list[str]:
    """The tags of a sentence in SCHEME."""
    if found.tags.count("O") == len(found.tags):
        return found.tags
    scheme = found.scheme or own
    broken = None if repair else spans.problem(found.tags, scheme)
    if broken:
        place = f"{path}:{found.line + broken[0] * found.step}"
        fix = "mend the tag, or read such tags as conlleval does with `--repair`"
        if scheme == "bio":
            fix += "; where I may begin a span, the scheme is `--scheme iob1`"
        raise UserError(f"{broken[1]}, which {scheme} does not allow", place, fix)
    return spans.tags(spans.spans(found.tags, scheme, repaired=True), len(found.tags), SCHEME)


def _reader(
    path: Path, column: str | None, encoding: str, labelled: bool, a_line_each: bool = False
) -> Callable[[], Iterator[Found]]:
    """How this file is read, found out from its name and first lines."""
    lines = [line for line in islice(text.lines(path, encoding), LOOK) if line.strip(BLANK)]
    first = lines[0].strip(BLANK) if lines else ""
    if text.suffix(path) in (".jsonl", ".ndjson", ".json") or (first.startswith("{") and first.endswith("}")):
        return partial(_json_lines, path, column, encoding, labelled)
    if labelled or _are_columns(lines, bare=not a_line_each):
        return partial(_columns, path, column, encoding, labelled)
    return partial(_lines if a_line_each else _prose, path, encoding)


def _are_columns(lines: list[str], bare: bool) -> bool:
    """Whether these are words with columns beside them, not prose: all have a tag in the same place, or several have as many
    columns; with `bare` a column of words alone too."""
    lines = [line.rstrip(BLANK) for line in lines if not line.startswith(("# ", DOCUMENT))]
    rows = [CELL.findall(line) for line in lines]
    if len({len(row) for row in rows}) != 1:
        return False
    several = len(rows) > 3
    if several and (all("\t" in line for line in lines) or (bare and len(rows[0]) == 1)):
        return True
    tagged = [column for column in list(zip(*rows, strict=True))[1:] if all(map(spans.is_tag, column))]
    return any(several or any("-" in tag for tag in column) for column in tagged)  # "Am I" is a line of prose


# --- columns


class Layout(NamedTuple):
    tabs: bool  # alone stand between columns
    width: int  # columns
    place: int  # of the tag


def _columns(path: Path, column: str | None, encoding: str, labelled: bool) -> Iterator[Found]:
    layout: Layout | None = None
    words: list[str] = []
    tags: list[str] = []
    begin = 0
    for number, line in enumerate(text.lines(path, encoding), 1):
        line = line.rstrip(BLANK)
        if not line or line.isspace() or line.startswith(DOCUMENT):
            if words:
                yield Found(words, tags, begin, 1)
                words, tags = [], []
            continue
        tabs = layout.tabs if layout else "\t" in line
        cells = line.split("\t") if tabs else CELL.findall(line)
        if line[0] == "#" and _is_comment(line, cells, layout, labelled):
            if words and not _is_remark(line, cells, layout):
                what = f"`{line}` has no tag; a row has {layout.width} columns, and comments stand before a sentence"
                raise UserError(what, f"{path}:{number}")
            continue
        layout = layout or _layout(tabs, len(cells), column if labelled else None, labelled, f"{path}:{number}")
        word = cells[0].strip(" ")
        if len(cells) != layout.width or not word:
            raise _misshapen(cells, layout, f"{path}:{number}")
        if not words:
            begin = number
        words.append(word)
        if labelled:
            tags.append(cells[layout.place].strip(" "))
            if not spans.is_tag(tags[-1]):
                raise _no_tag(tags[-1], f"{path}:{number}")
    if words:
        yield Found(words, tags, begin, 1)


def _layout(tabs: bool, width: int, column: str | None, labelled: bool, where: str) -> Layout:
    """The layout of a file whose first row is this wide."""
    if labelled and width < 2:
        raise UserError("this row has 1 column; a word and its tag are needed", where, "put a tab between word and tag")
    if column and not (column.isdecimal() and 2 <= int(column) <= width):
        raise UserError(f"`--column` got `{column}`; the tag is in one of the columns 2 to {width}", where)
    return Layout(tabs, width, int(column) - 1 if column else -1)


def _is_comment(line: str, cells: list[str], layout: Layout | None, labelled: bool) -> bool:
    """Whether a line that begins with `#` is no row; before the first row, `# text = …` of many words is none."""
    if len(cells) != layout.width if layout else len(cells) > 2 and line.startswith("# "):
        return True
    return not spans.is_tag(cells[layout.place if layout else -1].strip(" ")) and (labelled or line.startswith("# "))


def _is_remark(line: str, cells: list[str], layout: Layout) -> bool:
    """Whether a comment is surely one inside a sentence too, and no word whose tag is missing or stands apart by a blank."""
    return line.startswith("# ") and len(cells) != layout.width and not spans.is_tag(CELL.findall(line)[-1])


def _misshapen(cells: list[str], layout: Layout, where: str) -> UserError:
    if len(cells) == layout.width:
        return UserError("the word is empty", where, "give it a text, or leave the row out")
    fix = None if layout.tabs else "a word with blanks inside needs tabs between the columns"
    return UserError(f"{layout.width} columns are needed, as in the first row; this one has {len(cells)}", where, fix)


def _no_tag(tag: str, where: str) -> UserError:
    fix = "name the column or field with the tags by `--column`"
    return UserError(f"`{tag}` is not a tag; allowed are O, and B-, I-, E- or S- before a kind", where, fix)


# --- JSON


def _json_lines(path: Path, column: str | None, encoding: str, labelled: bool) -> Iterator[Found]:
    for number, row in text.named_rows(path, "jsonl", encoding):
        where = f"{path}:{number}"
        marked = "text" in row
        words, tags = (_of_text if marked else _of_words)(row, column, labelled, where)
        if words or not labelled:
            given = _as_one(whole(row["text"])) if marked and not labelled else None
            yield Found(words, tags, number, 0, SCHEME if marked else None, given)


def _field(row: dict[str, Any], names: Iterable[str], where: str) -> list[Any]:
    """The first field of these names that the row has: a list."""
    name = next((name for name in names if name in row), None)
    if name is None:
        fix = "name another field of tags or spans by `--column`"
        raise UserError(f"no field {' or '.join(f'`{name}`' for name in names)}; the row has {', '.join(row)}", where, fix)
    if not isinstance(row[name], list):
        raise UserError(f"`{name}` is `{_shown(row[name])}`; a list is needed", where)
    return row[name]


def _of_words(row: dict[str, Any], column: str | None, labelled: bool, where: str) -> tuple[list[str], list[str] | None]:
    words = _field(row, WORDS, where)
    tags = _field(row, (column,) if column else TAGS, where) if labelled else None
    for name, items in (("word", words), ("tag", tags or ())):
        wrong = next((item for item in items if not isinstance(item, str) or not item.strip()), None)
        if wrong is not None:
            raise UserError(f"`{_shown(wrong)}` is not a {name}; texts that are not empty are needed", where)
    if labelled and len(words) != len(tags):
        raise UserError(f"every word needs its tag; words: {len(words)}, tags: {len(tags)}", where)
    wrong = next((tag for tag in tags or () if not spans.is_tag(tag)), None)
    if wrong is not None:
        raise _no_tag(wrong, where)
    return [whole(word) for word in words], tags and [whole(tag) for tag in tags]


def _of_text(row: dict[str, Any], column: str | None, labelled: bool, where: str) -> tuple[list[str], list[str] | None]:
    if not isinstance(row["text"], str):
        raise UserError(f"`text` is `{_shown(row['text'])}`; a text is needed", where)
    source = whole(row["text"])
    found = tokens.tokenise(source)
    if not labelled:
        return [token.text for token in found], None
    marked = sorted(_span(item, source, where) for item in _field(row, (column,) if column else SPANS, where))
    for one, other in pairwise(marked):
        if other.start < one.end:
            what = f"the spans {_named(one, source)} and {_named(other, source)} overlap; a word has one tag"
            raise UserError(what, where, "keep one of them")
    found = _cut_at(found, {border for start, end, _ in marked for border in (start, end)}, source)
    first = {token.start: i for i, token in enumerate(found)}
    after = {token.end: i + 1 for i, token in enumerate(found)}
    in_words = [Span(first[start], after[end], kind) for start, end, kind in marked]
    return [token.text for token in found], spans.tags(in_words, len(found), SCHEME)


def _span(item: Any, source: str, where: str) -> Span:
    """A span of characters, the white space at its borders taken off."""
    start, end, kind = (item.get(name) for name in ("start", "end", "label")) if isinstance(item, dict) else _three(item)
    if type(start) is not int or type(end) is not int or not isinstance(kind, str) or not kind.strip():
        what = f"`{_shown(item)}` is not a span; start, end and label are needed"
        raise UserError(what, where, 'write {"start": 0, "end": 5, "label": "person"} or [0, 5, "person"]')
    if not 0 <= start < end <= len(source):
        what = f"the span from {start} to {end} is not inside the text, which has {len(source)} characters"
        raise UserError(what, where, "`start` and `end` count characters from 0, not bytes; the end is not part of it")
    inside = source[start:end]
    if not inside.strip():
        raise UserError(f"the span from {start} to {end} has no word in it", where)
    return Span(start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip()), whole(kind.strip()))


def _three(item: Any) -> tuple[Any, Any, Any]:
    return tuple(item) if isinstance(item, list) and len(item) == 3 else (None, None, None)


def _shown(value: Any) -> str:
    """Any JSON, as much as a message needs of it."""
    return json.dumps(value, ensure_ascii=False)[:80]


def _named(span: Span, source: str) -> str:
    return f"`{source[span.start : span.end]}` ({span.start} to {span.end})"


def _cut_at(found: list[Token], borders: set[int], source: str) -> list[Token]:
    """The words of a text, those with a border inside cut there and read anew, piece by piece."""
    pieces: list[Token] = []
    for token in found:
        inside = [place for place in range(token.start + 1, token.end) if place in borders]
        if not inside:
            pieces.append(token)
            continue
        for begin, end in pairwise([token.start, *inside, token.end]):
            pieces += [Token(t.text, begin + t.start, begin + t.end) for t in tokens.tokenise(source[begin:end])]
    return pieces


# --- prose


def _prose(path: Path, encoding: str) -> Iterator[Found]:
    for first, paragraph in _paragraphs(path, encoding):
        line, at = first, 0
        for sentence in tokens.sentences(paragraph):
            line, at = line + paragraph.count("\n", at, sentence[0].start), sentence[0].start
            inside = paragraph[sentence[0].start : sentence[-1].end]
            yield Found([token.text for token in sentence], None, line, 0, given=_as_one(inside))


def _lines(path: Path, encoding: str) -> Iterator[Found]:
    for number, line in enumerate(text.lines(path, encoding), 1):
        line = line.rstrip("\r\n")
        yield Found(tokens.words(line), None, number, 0, given=of_text(line))


def _paragraphs(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Lines up to a blank one, and the number of the first; after a block's length without one, what was read so far."""
    lines: list[str] = []
    first, size = 1, 0
    for number, line in enumerate(text.lines(path, encoding), 1):
        if line.isspace() or size > text.BLOCK:
            yield first, "".join(lines)
            lines, first, size = [], number, 0
        lines.append(line)
        size += len(line)
    yield first, "".join(lines)
