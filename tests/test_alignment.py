"""Words from symbols, word weights in closed form, and a dictionary counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.alignment import Aligned, Dictionary, Words, align, between, pharaoh, symbols, words
from unrolled.data import tokens
from unrolled.data.vocab import UNKNOWN, Codec, learn

BPE = learn("bpe", ["the cat sat on the mat, and the rat sat on the über cat\n"] * 20, 300)
few = settings(max_examples=100, deadline=None)
texts = st.text(st.one_of(st.sampled_from("ab. ,\n\t日ü🎉'"), st.characters(exclude_categories=["Cs"])), max_size=40)


def of(codec: Codec, text: str) -> Words:
    return words(codec, codec.encode(text), symbols(codec, codec.pieces(text)))


def members(found: Words, pieces: list[str]) -> list[list[str]]:
    """The symbols of each word."""
    return [[pieces[i] for i in np.flatnonzero(found.of == j)] for j in range(len(found.texts))]


# --- words


def test_pieces_of_one_word_go_together_and_signs_are_words():
    text = "the catsat, on"
    found = of(BPE, text)
    assert found.texts == ["the", "catsat", ",", "on"]
    assert [len(pieces) for pieces in members(found, BPE.pieces(text))][1] > 1
    assert ["".join(pieces).strip() for pieces in members(found, BPE.pieces(text))] == found.texts


def test_blanks_are_of_no_word_where_they_are_symbols():
    codec = learn("characters", ["ab cd."], 100)
    found = of(codec, "ab  d.")
    assert found.texts == ["ab", "d", "."] and found.of.tolist() == [0, 0, -1, -1, 1, 2]


def test_a_symbol_of_two_words_keeps_them_together():
    codec = learn("words", ["he sat. down"], 100)
    found = of(codec, "he sat.\ndown")
    assert found.texts == ["he", "sat.", "down"] and found.of.tolist() == [0, 1, -1, 2]


def test_words_never_seen_keep_their_text():
    for kind in ("words", "characters"):
        codec = learn(kind, ["a b"], 100)
        assert UNKNOWN in codec.encode("a zzz") and of(codec, "a zzz").texts == ["a", "zzz"]


def test_a_character_cut_in_two_is_of_one_word():
    for text in ("a ü", "ü日 é🎉", "🎉"):
        found = of(Codec("bytes"), text)
        assert found.texts == [token.text for token in tokens.tokenise(text)]
        lengths = [len(word.encode()) for word in found.texts]
        assert [int((found.of == j).sum()) for j in range(len(lengths))] == lengths


def test_a_piece_of_a_blank_and_half_a_character_is_of_the_word_behind_it():
    codec = learn("bpe", [" ü ö ä ß " * 20], 257)  # one piece more than the bytes: a blank and the first byte of these
    assert len(codec.encode(" ü")) == 2 and codec.pieces(" ü") == [r" \xc3", r"\xbc"]
    assert of(codec, "a ü").of.tolist() == [0, 1, 1]


@few
@given(st.sampled_from(["characters", "bytes", "words", "bpe"]), texts)
def test_every_word_has_symbols_in_order_and_nothing_but_white_space_is_lost(kind, text):
    codec = BPE if kind == "bpe" else learn(kind, [text], 1000)
    found = of(codec, text)
    inside = found.of[found.of >= 0]
    assert len(found.of) == len(codec.encode(text))
    assert (np.diff(inside) >= 0).all() and set(inside.tolist()) == set(range(len(found.texts)))
    assert "".join("".join(found.texts).split()) == "".join(text.split())


# --- weights and pairs


def test_a_word_is_looked_at_as_much_as_its_symbols_and_looks_as_they_do_in_the_mean():
    source = Words(["ab", "c"], np.array([0, 0, -1, 1]))
    target = Words(["x", "yz"], np.array([0, 1, 1, -1]))  # the last symbol is the end
    weights = np.array([[0.5, 0.25, 0.125, 0.125], [1, 0, 0, 0], [0, 0.25, 0.25, 0.5], [0, 0, 1, 0]])
    assert between(weights, source, target).tolist() == [[0.75, 0.125], [0.625, 0.25]]


def test_symbols_that_are_words_keep_their_weights():
    one = Words(["a", "b", "c"], np.arange(3))
    weights = np.random.default_rng(1).dirichlet(np.ones(3), 3)
    assert between(weights, one, one) == pytest.approx(weights)


def test_each_target_word_has_the_source_word_it_looked_at_most():
    source, target = Words(["the", "white", "cat"], np.arange(3)), Words(["le", "chat", "blanc"], np.arange(3))
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.25, 0.4, 0.35]])
    assert align(weights, source, target).pairs == [(0, 0), (2, 1), (1, 2)]
    assert align(weights, source, target, least=0.5) == Aligned(source.texts, target.texts, [(0, 0), (2, 1)])
    assert pharaoh([(0, 0), (2, 1), (1, 2)]) == "0-0 2-1 1-2"


def test_sentences_without_words_have_no_pairs():
    nothing, some = Words([], np.array([-1, -1])), Words(["a"], np.array([0]))
    assert align(np.full((2, 1), 1.0), some, nothing).pairs == []
    assert align(np.full((1, 2), 0.5), nothing, some).pairs == []


# --- the dictionary


def test_a_dictionary_takes_what_stood_most_often_and_copies_the_rest():
    some = [
        Aligned(["the", "cat"], ["le", "chat"], [(0, 0), (1, 1)]),
        Aligned(["the", "house"], ["la", "maison"], [(0, 0), (1, 1)]),
        Aligned(["the", "house", "."], ["la", "case", "."], [(0, 0), (1, 1), (2, 2)]),
    ]
    counted = Dictionary.counted(some)
    assert counted.best == {"the": "la", "cat": "chat", "house": "maison", ".": "."}  # of equals, the one met first
    assert counted.translate("the  cat, the zoo.\nhouse") == "la  chat, la zoo.\nmaison"
    assert Dictionary.counted([]).translate("the cat") == "the cat"


def test_a_run_that_was_one_word_is_looked_up_whole():
    assert Dictionary({"sat.": "saß.", "sat": "sitzt"}).translate("sat. sat, sat") == "saß. sitzt, sitzt"
    assert Dictionary({"": "x", " ": "y"}).translate(" a b ") == " a b "


@few
@given(texts)
def test_an_empty_dictionary_changes_nothing(text):
    assert Dictionary({}).translate(text) == text
