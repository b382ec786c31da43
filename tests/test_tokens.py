"""Words and sentences of prose: cut as the module says, nothing lost, text that is cut already left as it is."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import tokens

few = settings(max_examples=150, deadline=None)
PIECES = [
    "don't", "He’s", "U.S.", "U.S.-led", "Mr.", "J. K. Rowling", "3.14", "1,000", "10:30", "x@y.org", "http://a.b/c?d=e.",
    "www.x.com", "foo.com/bar", "@me", "#tag", "AT&T", "O'Neil", "''", "``", "...", "?!", "--", "(", ")", "-", "'", "’", ".",
    "/", "\\", ":)", ";-D", "<3", "&amp;", "日本語", "かな", "हिन्दी", "e\u0301", "👍🏽", "👨‍👩‍👧", "🇩🇪", "❤️", "\u200b",
    "\ufeff", "\u00ad", "\ud800", "\0", " ", "\n", "\t", "\r\n", "\u00a0", "\u2028", "word", "a", "I", "_", "n't", "'s",
]  # fmt: skip
texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


def rows() -> list[tuple[str, str]]:
    """The table in the module's docstring: [(a text, how it is cut), …]."""
    lines = re.findall(r"^    (\S.*?)  +(\S.*?)  +(\S.*)$", tokens.__doc__, re.M)
    return [(text, cuts) for _, text, cuts in lines if text != "The text ..."]


@pytest.mark.parametrize(("text", "cuts"), rows())
def test_the_table_of_the_module_is_what_it_does(text, cuts):
    assert "|".join(tokens.words(text)) == cuts


def test_the_table_is_read():
    assert len(rows()) == 7


@pytest.mark.parametrize(
    ("text", "cuts"),
    [
        # The Penn Treebank's own examples of contractions and possessives
        ("they'll can't won't children's parents'", "they|'ll|ca|n't|wo|n't|children|'s|parents|'"),
        ("I'm we've you'd you're", "I|'m|we|'ve|you|'d|you|'re"),
        ("DON'T HE'S couldn't've", "DO|N'T|HE|'S|could|n't|'ve"),
        ("don’t he’s", "do|n’t|he|’s"),
        ("'tis 'sam' rock'n'roll o'clock 'em '60s the '90s.", "'|tis|'|sam|'|rock'n'roll|o'clock|'em|'60s|the|'90s|."),
        ("a.m. p.m., e.g. this, U.S.-led U.S.A; e.g.this", "a.m.|p.m.|,|e.g.|this|,|U.S.-led|U.S.A|;|e.g.|this"),
        ("J.K. Rowling, J. R. R. Tolkien; I. Then", "J.K.|Rowling|,|J.|R.|R.|Tolkien|;|I|.|Then"),
        ("Dr. No said no. Mr.X", "Dr.|No|said|no|.|Mr|.|X"),
        ("the buffet.I loved it", "the|buffet|.|I|loved|it"),  # a blank forgotten
        ("$3,000.50, 24/7, 10:30-11:30. 5% #1", "$|3,000.50|,|24/7|,|10:30-11:30|.|5|%|#1"),
        ("mail a.b-c+d@x-y.co.uk.", "mail|a.b-c+d@x-y.co.uk|."),
        ("(http://a.b/c_(d)?e=f#g), https://x.y/z.", "(|http://a.b/c_(d)?e=f#g|)|,|https://x.y/z|."),
        ("http://!!! www.example.com/a, news.bbc.com. x.common", "http|:|/|/|!!!|www.example.com/a|,|news.bbc.com|.|x|.|common"),
        ("@paul: #wow!! C# a@b", "@paul|:|#wow|!!|C|#|a|@b"),
        ("well-known twenty-one - yes -- no-", "well-known|twenty-one|-|yes|--|no|-"),
        ("AT&T R&B salt&pepper &lt; &#39; & so", "AT&T|R&B|salt|&|pepper|&lt;|&#39;|&|so"),
        ("fine:) :-( ;D <3 12:3 :P =/ Rating:3 a:// :Do", "fine|:)|:-(|;D|<3|12:3|:P|=/|Rating|:|3|a|:|/|/|:|Do"),
        ("yes….“No”", "yes|…|.|“|No|”"),
        ("हिन्दी में लिखा है।", "हिन्दी|में|लिखा|है|।"),  # vowel signs are no letters to Python's \w
        ("cafe\u0301 co\u00adop col·legi", "cafe\u0301|co\u00adop|col·legi"),
        ("我爱NLP。ひらカナ", "我|爱|NLP|。|ひ|ら|カ|ナ"),
        ("👍🏽❤️🇩🇪🇫🇷👨‍👩‍👧→", "👍🏽|❤️|🇩🇪|🇫🇷|👨‍👩‍👧|→"),
        ("¿Qué? «Oui» ,.;", "¿|Qué|?|«|Oui|»|,|.|;"),
        ("  \t\n\u00a0 ", ""),
    ],
)
def test_cuts(text, cuts):
    assert "|".join(tokens.words(text)) == cuts


@few
@given(texts)
def test_nothing_is_lost_but_white_space(text):
    found = tokens.tokenise(text)
    assert [text[start:end] for _, start, end in found] == [token.text for token in found] == tokens.words(text)
    assert all(token.text and not re.search(r"\s", token.text) for token in found)
    borders = [0, *(place for token in found for place in token[1:]), len(text)]
    assert all(text[begin:end].strip() == "" and begin <= end for begin, end in list(pairwise(borders))[::2])


CUT = [
    "ca", "n't", "wo", "he", "'s", "``", "''", "'", "`", "...", "--", "-", "U.S.", "U.S.-led", "Mr.", "J.", "3.14", "AT&T",
    "$", "'d", "(", ")", "?!", "'60s", "'em", "O'Neil", "well-known", "#", "%", "@you", ",", ".", "Smith", "we", "'ll", "1/2",
]  # fmt: skip


@few
@given(st.lists(st.sampled_from(CUT), max_size=12))
def test_text_that_is_cut_keeps_its_cuts(words):
    # titles and initials keep their period before a word alone
    line = [word for word, after in pairwise([*words, ""]) if word != "J." or after == "Smith"]
    assert tokens.words(" ".join(line)) == line


NASTY = [
    "ab.", "a.b", "a-b", "x@y",
    "x@", "'a", "n't", ".a", "http://", "-", "!a", "1.", "@", "a'", "&a", "👍\u200d", "a.c/", "ab", " ",
]  # fmt: skip


@pytest.mark.parametrize("piece", NASTY)
def test_time_grows_with_length_alone(piece):
    began = time.process_time()
    assert "".join(tokens.words(piece * 30_000)) == piece.strip() * 30_000
    assert time.process_time() - began < 1  # 0.05 s; were it quadratic, minutes


# --- sentences


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("It rains. He said so! Did he? Yes…", ["It rains.", "He said so!", "Did he?", "Yes…"]),
        (
            "Dr. Who met J. Doe of the U.S. Navy at 3.14 a.m. Go.",
            ["Dr. Who met J. Doe of the U.S. Navy at 3.14 a.m. Go."],
        ),
        ('"It rains." He left. (So did I.) "Why?" she asked.', ['"It rains."', "He left.", "(So did I.)", '"Why?" she asked.']),
        ("Wait... what? etc. and so on.", ["Wait... what? etc. and so on."]),  # small letters go on
        ("A title\n\nThe text goes on\nhere. The end", ["A title", "The text goes on\nhere.", "The end"]),
        ("One\r\n \r\nTwo", ["One", "Two"]),
        ("It rains .\nHe left .", ["It rains .", "He left ."]),
        ("buffet.I loved", ["buffet.I loved"]),  # no white space
        ("我爱你。你好！好", ["我爱你。", "你好！", "好"]),
        ('"', ['"']),
        ('") Yes.', ['") Yes.']),
        (" \n\n ", []),
    ],
)
def test_sentences(text, wanted):
    found = list(tokens.sentences(text))
    assert [text[sentence[0].start : sentence[-1].end] for sentence in found] == wanted
    assert [token for sentence in found for token in sentence] == tokens.tokenise(text)


@few
@given(texts)
def test_sentences_are_all_words_in_order(text):
    found = list(tokens.sentences(text))
    assert [token for sentence in found for token in sentence] == tokens.tokenise(text)
    assert all(found)


def test_a_text_without_an_end_is_cut_somewhere():
    assert [len(sentence) for sentence in tokens.sentences("on and " * 600)] == [500, 500, 200]
