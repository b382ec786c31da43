"""Prose cut into words, and into sentences. Nothing is lost: a word knows where in the text it stands.

A word is, by the first rule that fits (the Penn Treebank's, as far as they need no dictionary):

    rule                                                            The text ...           ... is cut
    web and mail addresses, @names, #tags, &amp; stay whole         see x.org/a, @you      see|x.org/a|,|@you
    so do letters with periods, initials, a few titles              U.S. J. Doe, Dr. Who   U.S.|J.|Doe|,|Dr.|Who
    n't, 's, 'm, 'd, 'll, 're, 've are words of their own           don't, he's, dogs'     do|n't|,|he|'s|,|dogs|'
    other apostrophes, hyphens and numbers' signs stay inside       O'Neil's 3.14-inch     O'Neil|'s|3.14-inch
    smileys, emoji, and runs of . - ! ? ' ` = * ~ are one word      wait... what?! :-)     wait|...|what|?!|:-)
    Chinese and Japanese characters are words, one each             日本 mat                日|本|mat
    any other sign is a word                                        (and/or) $5            (|and|/|or|)|$|5

Text that is cut already, with blanks between its words ("ca n't", "``", "U.S."), keeps its cuts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from operator import sub
from typing import NamedTuple

LONGEST = 500  # words of a sentence; more without an end are cut there


class Token(NamedTuple):
    """A word and its place: text == source[start:end]."""

    text: str
    start: int
    end: int


# The inside of a [ ]. What is no part of a word: the signs of ASCII but `_`, of Latin-1, Arabic, Devanagari, Chinese, general
# punctuation, currencies, arrows, mathematics, symbols and emoji. Left out are what stands inside words: soft hyphens, the point
# of Catalan, joiners; and so marks are letters, as Hindi's vowels must be (Python's \w has none of them).
SIGN = (
    r"\x00-/:-@\[-\^`{-©«¬®-±´¶¸»¿×÷\u0609-\u060d\u061b-\u061f\u066a-\u066d\u06d4\u0964\u0965\u200b\u200e-\u206f\u20a0-\u20cf"
    r"\u2190-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3030\u303d-\u303f\u30fb\ufe10-\ufe1f\ufe30-\ufe6f\ufeff-\uff0f\uff1a-\uff20"
    r"\uff3b-\uff40\uff5b-\uff65\U0001f000-\U0001faff"
)
SINGLE = r"\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana and ideographs
LETTER = rf"[^\s{SIGN}{SINGLE}]"  # the pieces below are possessive (`++`) wherever a long text must not be tried again and again
ENDED = f"(?!{LETTER})"
CLITIC = rf"['’](?i:s|m|d|ll|re|ve){ENDED}"
TITLES = "Mr|Mrs|Ms|Dr|Prof|St|Gen|Sen|Rep|Gov|Lt|Col|Capt|Sgt|Rev|Hon|Mt|Jr|Sr|Inc|Corp|Ltd|Co|Bros|vs"
PATH = r"""[^\s<>"“”]*[^\s<>"“”.,;:!?'’)\]}…]"""
EMOJI = r"[\u2190-\u2bff\U0001f000-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]*"
RULES = (
    rf"{LETTER}++(?!\S)",  # most words: nothing to ask
    rf"(?:https?://|www\.){PATH}",
    r"\w[\w.+-]{0,63}+@\w[\w-]*+(?:\.\w[\w-]*+)+",
    rf"(?:\w[\w-]*+\.){{1,4}}(?:com|org|net|edu|gov|io){ENDED}(?:/(?:{PATH})?)?",
    rf"[@#]{LETTER}++",
    rf"(?:[^\W\d_]\.){{2,}}+(?:[^\W\d_]{ENDED})?(?:-{LETTER}++)*+",
    rf"(?:{TITLES})\.(?!\S)",
    rf"(?!I)[A-Z]\.(?=\s?[A-Z](?:\.|{LETTER}))",
    rf"[nN]['’][tT]{ENDED}",
    rf"(?={LETTER}++['’]){LETTER}+(?=[nN]['’][tT]{ENDED})",
    CLITIC,
    rf"['’](?:\d\ds?|em|til|cause|n['’]?){ENDED}",
    rf"{LETTER}++(?:(?:-|(?!{CLITIC})['’]|(?<=\d)[.,:/](?=\d)|(?<=[A-Z])&(?=[A-Z])){LETTER}++)*+",
    r"&(?:#\d{1,7}|[A-Za-z]{2,8});",
    rf"[:;=]['’]?-?[()\[\]DPpOo/\\](?!/){ENDED}|<3{ENDED}",
    rf"[\U0001f1e6-\U0001f1ff]{{2}}|{EMOJI}(?:\u200d{EMOJI})*",  # flags are two letters; joined emoji are one
    r"\.++|-++|[!?]++|'++|`++|=++|\*++|~++",
    r"\S",
)


WORD = rf"(?<!\s)\s*+(?:{'|'.join(RULES)})"  # with the white space before it, so that lengths add up to places


@cache  # to compile it takes as long as to open a small run
def _word() -> re.Pattern:
    return re.compile(WORD)


def words(text: str) -> list[str]:
    """The words of a text, without their places."""
    return list(map(str.lstrip, _word().findall(text)))


def tokenise(text: str) -> list[Token]:
    """The words of a text in order; between two of them stands nothing but white space."""
    pieces = _word().findall(text)
    found, ends = list(map(str.lstrip, pieces)), list(accumulate(map(len, pieces)))
    return list(map(Token, found, map(sub, ends, map(len, found)), ends))


# --- sentences

STOP = re.compile(r"[.!?…]+|[。！？।۔]")
CLOSING = ('"', "'", "''", "”", "’", "»", ")", "]", "」", "』", "）")


def sentences(text: str) -> Iterator[list[Token]]:
    """The words of a text, sentence by sentence.

    A sentence ends at a blank line, and after `.`, `!`, `?` or `…` (closing quotes and brackets go with it) where white space
    follows and the next word does not begin with a small letter. The period of a title or of initials ends none, a line end
    alone neither. After LONGEST words one ends anyway.
    """
    tokens = tokenise(text)
    begin = 0
    for i in range(1, len(tokens)):
        if i - begin >= LONGEST or _ends(text, tokens, i):
            yield tokens[begin:i]
            begin = i
    if tokens:
        yield tokens[begin:]


def _ends(text: str, tokens: list[Token], i: int) -> bool:
    """Whether a sentence ends between tokens i - 1 and i."""
    gap = text[tokens[i - 1].end : tokens[i].start]
    if gap.count("\n") > 1:
        return True
    last = i - 1
    while last > 0 and tokens[last].text in CLOSING:
        last -= 1
    if not STOP.fullmatch(tokens[last].text):
        return False
    return (bool(gap) or not tokens[last].text.isascii()) and not tokens[i].text[0].islower()
