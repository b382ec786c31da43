"""Where a translator looks: a net that must look at known places, and what page, picture and tables say of it."""

import json
import re
import struct
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from unrolled import api, cli
from unrolled.alignment import Words, align, pharaoh
from unrolled.attention_page import ENDINGS, Looked, page, picture, table, visible, whole
from unrolled.errors import MISSING_EXTRA, UserError
from unrolled.tasks import translate

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
SMALL = {
    "hidden": 32, "embedding": 32, "rate": 0.01, "symbols": "words", "evaluations": 1, "dropout": 0.0, "device": "cpu",
    "quiet": True,
}  # fmt: skip


def train(folder, steps, **changes):
    """A run that writes a sentence's words backwards, in capitals."""
    generator = np.random.default_rng(1)
    rows = [[WORDS[i] for i in generator.integers(len(WORDS), size=generator.integers(2, 7))] for _ in range(1500)]
    lines = [f"{' '.join(row)}\t{' '.join(row[::-1]).upper()}\n" for row in rows]
    (folder / "pairs.tsv").write_text("source\ttarget\n" + "".join(lines))
    settings = SMALL | changes
    return api.train(
        "translate", folder / "pairs.tsv", out=folder / "run", source="source", target="target", steps=steps, **settings
    )


@pytest.fixture(scope="module")
def backwards(tmp_path_factory):
    return train(tmp_path_factory.mktemp("backwards"), 400)


def looked(source, written, weights=None, source_of=None, written_of=None) -> Looked:
    """Symbols that are words, unless it is said otherwise."""
    T, S = len(written), len(source)
    weights = np.full((T, S), 1 / S) if weights is None else np.array(weights)
    words = (
        Words([x.strip() for x in source], np.arange(S)),
        Words([x.strip() for x in written[:-1]], np.array([*range(T - 1), -1])),
    )
    return Looked(source, written, weights, "a note & more", source_of or words[0], written_of or words[1])


class Cells(HTMLParser):
    """The table of a page: the text of each row's cells, and their titles."""

    def __init__(self, text: str):
        super().__init__()
        self.rows, self.titles, self.sentences, self.inside = [], [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.titles += [named["title"]] if "title" in named else []
        if tag == "dd":
            self.sentences[named["id"]] = ""
        self.inside = (tag, named.get("id")) if tag in ("td", "th", "dd") else self.inside

    def handle_data(self, text):
        if self.inside and self.inside[0] == "dd":
            self.sentences[self.inside[1]] += text
        elif self.inside:
            self.rows[-1][-1] += text

    def handle_endtag(self, tag):
        self.inside = None if tag in ("td", "th", "dd") else self.inside


# --- a net that must look backwards


def test_the_net_looks_at_the_word_it_translates(backwards):
    words = ["two", "seven", "one", "five", "eight"]
    found = translate.look(backwards, " ".join(words))
    assert found.written == ["EIGHT", " FIVE", " ONE", " SEVEN", " TWO", "⏎"] and "".join(found.source) == " ".join(words)
    assert found.weights.shape == (6, 5) and found.weights.sum(1) == pytest.approx(np.ones(6), abs=1e-5)
    assert found.weights[:5].argmax(1).tolist() == [4, 3, 2, 1, 0]
    assert align(found.weights, found.source_words, found.written_words).pairs == [(4, 0), (3, 1), (2, 2), (1, 3), (0, 4)]
    assert f"{backwards.folder}: gru, dot attention; score -0." in found.note


def test_look_writes_what_predict_answers(backwards):
    for text in ("two seven", "one one one", "zzz six"):
        (answer,) = translate.predict(backwards, [text], translate.Predict())
        assert "".join(translate.look(backwards, text).written[:-1]) == answer.text


def test_all_kinds_of_symbols_can_be_looked_at(tmp_path):
    for kind in ("bpe", "characters", "bytes"):
        (tmp_path / kind).mkdir()
        run = train(tmp_path / kind, 2, symbols=kind)
        found = translate.look(run, "one twö, 日本")
        assert found.weights.shape == (len(found.written), len(found.source)) and found.written[-1] == "⏎"
        assert found.source_words.texts == ["one", "twö", ",", "日", "本"]
        assert [len(found.source), len(found.written)] == [len(found.source_words.of), len(found.written_words.of)]


def test_a_run_without_attention_an_empty_text_and_a_long_one_are_refused(backwards, tmp_path):
    run = train(tmp_path, 1, attention="none")
    with pytest.raises(UserError, match="was trained with `--attention none`: it looks nowhere") as caught:
        translate.look(run, "one")
    assert caught.value.fix == "train one with --attention dot, general or additive"
    with pytest.raises(UserError, match="the text is empty: there is nothing to translate"):
        translate.look(backwards, " \n")
    with pytest.raises(UserError, match="the sentence has 201 symbols; at most 200 fit on a page"):
        translate.look(backwards, "one " * 201)


# --- the command line


def test_look_writes_what_the_files_ending_says(backwards, tmp_path, capsys):
    run = str(backwards.folder)
    for name, begins in (("a.html", b"<!doctype html>"), ("a.PNG", b"\x89PNG"), ("a.svg", b"<?xml")):
        assert cli.run(["look", run, "two one", "--out", str(tmp_path / name)]) == 0
        said = capsys.readouterr()
        assert (tmp_path / name).read_bytes().startswith(begins) and f"see {tmp_path / name}" in said.err
    assert [line.split()[:2] for line in said.out.splitlines()[1:3]] == [["ONE", "one"], ["TWO", "two"]]
    for name in ("a.pdf", "a"):
        assert cli.run(["look", run, "two one", "--out", name]) == 2
        assert (
            f"`--out {name}` does not say what to write; of this run it may end in .html or .png or .svg"
            in capsys.readouterr().err
        )


def test_look_tells_a_program_everything(backwards, capsys):
    assert cli.run(["look", str(backwards.folder), "two one", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["source"], told["written"], told["alignment"]) == (["two", " one"], ["ONE", " TWO", "⏎"], "1-0 0-1")
    assert np.array(told["weights"]) == pytest.approx(translate.look(backwards, "two one").weights, abs=1e-6)
    assert (backwards.folder / "look.html").exists()


# --- the page


def test_the_page_is_a_table_of_percents():
    found = looked(["a", " b"], ["x", " y", "⏎"], [[0.996, 0.004], [0.3, 0.7], [0.5, 0.5]])
    read = Cells(page(found).decode())
    assert read.rows == [["", "a", "b"], ["x", "100", ""], ["y", "30", "70"], ["⏎", "50", "50"]]
    assert read.titles[:3] == ["x ← a: 0.996", "x ← b: 0.004", "y ← a: 0.300"]
    assert read.sentences == {"source": "a b", "written": "x y⏎"}


def test_symbols_are_text_in_the_page_whatever_they_hold():
    odd = ["<b>", " @TABLE@", "'\" onclick=x", "&amp;", "\udcff"]
    read = Cells(text := page(looked(odd, [*odd, "⏎"])).decode())
    assert "<b>" not in text.split("<dl>")[1] and "a note &amp; more" in text
    assert [row[0] for row in read.rows[1:6]] == read.rows[0][1:] == ["<b>", "@TABLE@", "'\" onclick=x", "&amp;", "?"]
    assert read.sentences["source"] == "<b> @TABLE@'\" onclick=x&amp;?"


def test_a_page_asks_for_nothing_from_elsewhere():
    text = page(looked(["a"], ["b", "⏎"])).decode()
    assert "default-src 'none'" in text and not re.search(r"@[A-Z]+@|https?://|\bsrc=|<link|@import", text)


def test_words_stand_apart_and_so_does_the_end():
    of = Words(["ab", "c"], np.array([0, 0, -1, 1]))
    found = looked(list("ab c"), ["x", "y", "⏎"], None, of, Words(["xy"], np.array([0, 0, -1])))
    head, *rows = re.findall(r"<tr.*?</tr>", page(found).decode())
    assert [("begins" in cell) for cell in head.split("<th")[1:]] == [False, False, False, True]
    assert [row.startswith("<tr class='begins'") for row in rows] == [False, False, True]


def test_symbols_that_leave_no_mark_get_one():
    assert [visible(symbol) for symbol in (" the", " ", "\n", "\t ", "")] == ["the", "␣", r"\n", r"\t␣", "∅"]


# --- tables


def test_the_table_has_the_two_that_were_looked_at_most():
    found = looked(["a", " b", " c"], ["x", "⏎"], [[0.25, 0.125, 0.625], [0.5, 0.5, 0]])
    rows = [tuple(row.values()) for row in table(found)]
    assert rows == [("x", "c", 0.625, "a", 0.25), ("⏎", "a", 0.5, "b", 0.5)]
    assert tuple(table(looked(["a"], ["⏎"]))[0].values()) == ("⏎", "a", 1.0, None, None)


def test_the_record_for_programs_aligns_words():
    of, written = Words(["ab", "c"], np.array([0, 0, 1])), Words(["x", "yz"], np.array([0, 1, 1, -1]))
    weights = [[0, 0, 1], [0.3, 0.3, 0.4], [0.3, 0.3, 0.4], [0, 0, 1]]
    (record,) = whole(looked(["a", "b", " c"], ["x", " y", "z", "⏎"], weights, of, written))
    assert record["alignment"] == pharaoh([(1, 0), (0, 1)]) and record["weights"] == weights
    assert (record["source_words"], record["written_words"]) == (["ab", "c"], ["x", "yz"])


# --- the picture


def test_pictures_are_of_their_kind_and_the_same_each_time():
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    found = looked(["a", " 日本", "$x_1$"], ["x", "⏎"])
    png, svg = (ENDINGS[ending](found) for ending in (".png", ".svg"))
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", png[16:24])) > 100
    assert b"<svg" in svg and (png, svg) == (picture(found, "png"), picture(found, "svg"))


def test_a_picture_without_matplotlib_names_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name == "unrolled.plot" or name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delattr("unrolled.plot", raising=False)
    with pytest.raises(UserError, match="a picture needs the package `matplotlib`") as caught:
        picture(looked(["a"], ["⏎"]), "svg")
    assert caught.value.code == MISSING_EXTRA and "--out look.html" in caught.value.fix
