"""Words out of text: cut, counted, ranked and numbered as a plain Python loop does it, whoever shares the work."""

import errno
import re
import tempfile
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unrolled import UserError
from unrolled.data import corpus, phrases, text
from unrolled.progress import Progress

QUIET = Progress(quiet=True)
READING = corpus.Reading("utf-8", None, "words", False, 1, 10**6, 0, 100.0, 1)


def read(tmp_path: Path, written: str | list[str], known: dict[str, int] | None = None, **changed):
    """(words, counts, ids) of texts, one file each."""
    files = []
    for i, part in enumerate([written] if isinstance(written, str) else written):
        files.append(tmp_path / f"{i}.txt")
        files[-1].write_text(part, encoding="utf-8", newline="")
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    return number(files, folder, READING._replace(**changed), known or {})


def number(files: list[Path], folder: Path, reading: corpus.Reading, known: dict[str, int]) -> corpus.Corpus:
    return corpus.number(corpus.count(files, reading, folder / "words", QUIET), folder, reading, known)[0]


def sentences(found: corpus.Corpus) -> list[list[str]]:
    lines = [[]]
    for i in found.ids:
        if i < 0:
            lines.append([])
        else:
            lines[-1].append(found.words[i])
    return [line for line in lines if line]


def cut(line: str) -> list[str]:
    """The rule of the words, written with a pattern: letters, marks, digits and _; joiners inside; ideographs alone."""
    kinds = ""
    for c in line:
        point, joiner = ord(c), c in "'’-\u2010\u2011"
        ideograph = 0x3400 <= point <= 0x9FFF or 0xF900 <= point <= 0xFAFF or 0x20000 <= point <= 0x3FFFF
        kinds += "i" if ideograph else "j" if joiner else "w" if c == "_" or unicodedata.category(c)[0] in "LMN" else " "
    return [line[m.start() : m.end()] for m in re.finditer(r"i|w+(?:jw+)*", kinds)]


TEXTS = st.text(st.sampled_from("aabcé日本_' -’\n\t,.1٣\u0301\U0001f389ß"), max_size=60)


@given(TEXTS.filter(lambda t: any(cut(line) for line in t.split("\n"))), st.integers(1, 3))
@example("don't --stop-- it's x-ray's 'quoted' rock'n'roll a'-b", 1)
@example("日本語 text日本 naïve café", 2)
@settings(max_examples=150, deadline=None)
def test_words_are_cut_as_the_rule_says(tmp_path_factory, written, threads):
    found = read(tmp_path_factory.mktemp("c"), written, threads=threads)
    wanted = [cut(line) for line in unicodedata.normalize("NFC", written).split("\n")]
    assert sentences(found) == [line for line in wanted if line]


@given(st.text(st.sampled_from("ab.,'\n \u3000\u00a0é"), min_size=1, max_size=40).filter(str.strip))
@settings(max_examples=100, deadline=None)
def test_between_blanks_everything_is_a_word(tmp_path_factory, written):
    found = read(tmp_path_factory.mktemp("c"), written, split="blanks")
    assert sentences(found) == [line.split() for line in written.split("\n") if line.split()]


@given(st.lists(st.sampled_from(["a", "b", "bb", "é", "the", "x"]), min_size=1, max_size=60), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_words_are_ranked_by_count_and_then_by_letters(tmp_path_factory, written, min_count):
    total = Counter(written)
    frequent = sorted((word for word in total if total[word] >= min_count), key=lambda word: (-total[word], word))
    found = read(tmp_path_factory.mktemp("c"), " ".join(written), min_count=min_count)
    assert (found.words, found.counts.tolist()) == (frequent, [total[word] for word in frequent])
    assert (found.read, found.different) == (len(written), len(total))
    assert [found.words[i] for i in found.ids if i >= 0] == [word for word in written if word in frequent]


def test_many_words_in_many_blocks_come_out_the_same_however_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK", 2000)
    random = np.random.default_rng(1)
    numbers = random.zipf(1.3, 30_000) % 100_000
    written = "\n".join(" ".join(f"w{n}" for n in row) for row in numbers.reshape(-1, 20))
    founds = [read(tmp_path, [written[:90_000], written[90_000:]], threads=threads, min_count=2) for threads in (1, 2, 3)]
    counts = Counter(re.findall(r"w\d+", written[:90_000] + "\n" + written[90_000:]))
    assert dict(zip(founds[0].words, founds[0].counts, strict=True)) == {w: n for w, n in counts.items() if n >= 2}
    assert all(f.words == founds[0].words and (f.ids == founds[0].ids).all() for f in founds[1:])


def test_a_full_table_lets_rare_words_go_and_keeps_frequent_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK", 2000)
    monkeypatch.setattr(corpus, "MOST_HELD", 1000)
    written = "".join(f"often rare{n} " for n in range(200_000))
    found = read(tmp_path, written)
    assert found.words[0] == "often" and found.counts[0] == 200_000
    assert len(found.words) < 150_000


def test_capitals_can_be_read_as_small_letters(tmp_path):
    assert read(tmp_path, "The the THE É é", lower=True).words == ["the", "é"]
    assert sorted(read(tmp_path, "The the THE É é").words) == ["THE", "The", "the", "É", "é"]


def test_the_vocabulary_keeps_the_most_frequent_and_what_was_known(tmp_path):
    found = read(tmp_path, "a a a b b c", vocabulary=2)
    assert found.words == ["a", "b"] and [i for i in found.ids if i >= 0] == [0, 0, 0, 1, 1]
    found = read(tmp_path, "a a a b b c", known={"c": 1, "old": 7}, vocabulary=2, min_count=2)
    assert dict(zip(found.words, found.counts, strict=True)) == {"old": 7, "a": 3, "c": 2}


def test_a_column_of_a_table_is_read_row_by_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"t": "one two"}\n{"t": "three\\nfour"}\n')
    found = number([path], tmp_path / "tokens", READING._replace(column="t"), {})
    assert sentences(found) == [["one", "two"], ["three"], ["four"]]


def joined(lines: list[list[str]], score: float, least: int) -> list[list[str]]:
    """One pass of word2phrase, written out."""
    words = Counter(word for line in lines for word in line)
    pairs = Counter(pair for line in lines for pair in pairwise(line))
    total = sum(words.values())
    found = {(a, b) for (a, b), n in pairs.items() if n >= max(2, least) and (n - least) / words[a] / words[b] * total > score}
    out = []
    for line in lines:
        out.append([])
        i = 0
        while i < len(line):
            pair = tuple(line[i : i + 2])
            out[-1].append("_".join(pair) if pair in found else line[i])
            i += 2 if pair in found else 1
    return out


@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=8), min_size=1, max_size=12), st.integers(1, 2))
@settings(max_examples=80, deadline=None)
def test_phrases_are_those_of_word2phrase(tmp_path_factory, lines, passes):
    wanted = lines
    for _ in range(passes):
        wanted = joined(wanted, 1.2, 1)
    written = "\n".join(map(" ".join, lines))
    found = read(tmp_path_factory.mktemp("c"), written, phrases=passes, phrase_score=1.2)
    assert sentences(found) == wanted
    counts = Counter(word for line in wanted for word in line)
    assert dict(zip(found.words, found.counts, strict=True)) == counts


def test_phrases_in_small_pieces_and_small_tables_are_the_same(tmp_path, monkeypatch):
    random = np.random.default_rng(2)
    lines = [[f"w{n}" for n in row] for row in random.integers(0, 60, (400, 9))]
    written = "\n".join(map(" ".join, lines))
    plain = read(tmp_path, written, phrases=1, phrase_score=1.5)
    monkeypatch.setattr(phrases, "AT_ONCE", 7)
    pieces = read(tmp_path, written, phrases=1, phrase_score=1.5)
    assert plain.words == pieces.words and (plain.ids == pieces.ids).all()
    assert sum("_" in word for word in plain.words) > 20


def test_rare_words_stand_between_the_words_of_a_phrase(tmp_path):
    found = read(tmp_path, "new york\n" * 9 + "new old york\nnew mad york\n", min_count=2, phrases=1, phrase_score=0.1)
    assert "new_york" in found.words and sentences(found)[-1] == ["new", "york"]


def test_a_run_of_letters_too_long_for_a_word_is_passed_over(tmp_path):
    found = read(tmp_path, f"one {'x' * 255} {'y' * 256} two")
    assert sentences(found) == [["one", "x" * 255, "two"]]


def test_a_text_without_words_is_refused(tmp_path):
    for written in ("", " \n\n", "... !!"):
        with pytest.raises(UserError, match="the text has no words in it"):
            read(tmp_path, written)


def test_a_byte_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good words \xff\xfe here")
    with pytest.raises(UserError, match=r"byte 11 of .* is not utf-8"):
        number([path], tmp_path / "tokens", READING, {})


def test_a_full_disk_is_a_message(tmp_path, monkeypatch):
    def full(self, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(np.ndarray):
        tofile = full

    monkeypatch.setattr(corpus.Table, "cut", lambda self, block, kinds: np.zeros(3, np.int32).view(Full))
    with pytest.raises(UserError, match="no room left while writing"):
        read(tmp_path, "some words")
