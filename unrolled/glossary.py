"""Words that a translation must hold: those asked for, and those that a glossary gives for terms of the source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .data import pairs
from .data.vocab import UNKNOWN, Codec
from .errors import UserError

NO_TERM = r"(?!)"  # matches nothing


def required(codec: Codec, texts: Sequence[str], words: Sequence[str], glossary: str | None) -> list[list[list[int]]]:
    """For each text the phrases, as ids, that its translations must hold.

    words      phrases required of every text
    glossary   a table of terms and their translations, each required where its term stands in a text as whole words
    A UserError where the codec has no symbols for a phrase.
    """
    terms = {} if glossary is None else {pair.source: pair.target for pair in pairs.pairs(pairs.find((glossary,), Path()))}
    longest_first = sorted(terms, key=len, reverse=True)
    term = re.compile("|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in longest_first) or NO_TERM)
    found = [[*words, *(terms[one] for one in dict.fromkeys(term.findall(text)))] for text in texts]
    ids = {phrase: _inside(codec, phrase) for phrase in {phrase for phrases in found for phrase in phrases}}
    return [[ids[phrase] for phrase in phrases] for phrases in found]


def _inside(codec: Codec, phrase: str) -> list[int]:
    """Ids of a phrase as it stands inside a sentence."""
    ids = codec.encode(phrase if codec.kind == "words" else " " + phrase).tolist()
    if UNKNOWN in ids or not phrase.strip():
        fix = "other words, or train with --symbols bpe"
        raise UserError(f"`{phrase}` cannot be required: the run has no symbols for it", fix=fix)
    return ids
