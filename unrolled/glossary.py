"""Words that a translation must hold: those asked for, and those that a glossary gives for terms of the source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .data import text
from .data.vocab import UNKNOWN, Codec
from .errors import UserError

NO_TERM = r"(?!)"  # matches nothing


def required(codec: Codec, texts: Sequence[str], words: Sequence[str], glossary: str | None) -> list[list[list[int]]]:
    """For each text the phrases, as ids, that its translations must hold.

    words      phrases required of every text
    glossary   a file of terms and their translations, each required where its term stands in a text as whole words
    A UserError where the codec has no symbols for a phrase, and as `read`.
    """
    terms = {} if glossary is None else read(Path(glossary))
    longest_first = sorted(terms, key=len, reverse=True)
    term = re.compile("|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in longest_first) or NO_TERM)
    found = [[*words, *(terms[one] for one in dict.fromkeys(term.findall(text)))] for text in texts]
    ids = {phrase: _inside(codec, phrase) for phrase in {phrase for phrases in found for phrase in phrases}}
    return [[ids[phrase] for phrase in phrases] for phrases in found]


def read(path: Path) -> dict[str, str]:
    """Translations by their terms: a line each, a tab between (of .csv a comma), no header, UTF-8. UserErrors name file:line."""
    if not path.is_file():
        raise UserError(f"there is no glossary `{path}`", fix="a file of lines: term TAB translation")
    found: dict[str, str] = {}
    for line, cells in text.cell_rows(path, "csv" if path.suffix.lower() == ".csv" else "tsv", "utf-8"):
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if len(cells) != 2 or not all(cells):
            raise UserError("a line of a glossary is a term and its translation", f"{path}:{line}", "term TAB translation")
        if found.setdefault(*cells) != cells[1]:
            both = f"`{found[cells[0]]}` and `{cells[1]}`"
            raise UserError(f"`{cells[0]}` has two translations, {both}", f"{path}:{line}", "keep one of them")
    return found


def _inside(codec: Codec, phrase: str) -> list[int]:
    """Ids of a phrase as it stands inside a sentence."""
    ids = codec.encode(phrase if codec.kind == "words" else " " + phrase).tolist()
    if UNKNOWN in ids or not phrase.strip():
        fix = "other words, or train with --symbols bpe"
        raise UserError(f"`{phrase}` cannot be required: the run has no symbols for it", fix=fix)
    return ids
