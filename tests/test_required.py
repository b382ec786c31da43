"""Phrases that must stand: the automata against reading the text again from its beginning, sharing out against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.required import advance, begin, missing, prepare, share_out, with_required

SYMBOLS = 3
PHRASE = st.lists(st.integers(0, SYMBOLS - 1), min_size=1, max_size=4)
SENTENCES = st.lists(st.lists(PHRASE, max_size=3), min_size=1, max_size=3)


def reading(phrase, text):
    """(how often it stands, how much of it stands at the end), of a phrase that does not overlap itself."""
    count, begun = 0, 0
    for at in range(len(text)):
        if at + 1 - begun >= len(phrase) and text[at + 1 - len(phrase) : at + 1] == phrase:
            count, begun = count + 1, at + 1
    rest = text[begun:]
    return count, max(n for n in range(min(len(phrase) - 1, len(rest)) + 1) if rest[len(rest) - n :] == phrase[:n])


def missing_by_hand(phrases, text):
    total, furthest = 0, 0
    for phrase in map(list, {tuple(phrase) for phrase in phrases}):
        count, part = reading(phrase, text)
        left = max(0, phrases.count(phrase) - count)
        total, furthest = total + left * len(phrase), max(furthest, part if left else 0)
    return total - furthest


@given(required=SENTENCES, data=st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_missing_is_what_a_fresh_reading_misses(required, data):
    length = data.draw(st.integers(0, 12))
    symbol = st.integers(0, SYMBOLS - 1)
    texts = [data.draw(st.lists(symbol, min_size=length, max_size=length)) for _ in required]
    phrases = prepare(required, SYMBOLS)
    met = begin(phrases)
    for t in range(length + 1):
        assert missing(phrases, met).tolist() == [missing_by_hand(p, text[:t]) for p, text in zip(required, texts, strict=True)]
        if t < length:
            met = advance(phrases, met, np.array([text[t] for text in texts]))


@pytest.mark.parametrize(
    ("phrases", "text", "misses"),
    [
        ([[0, 0, 1]], [0, 0, 0], 1),  # falls back to its last two symbols, which still stand
        ([[0, 1, 2]], [0, 1, 1], 3),  # broken off
        ([[0, 0], [0, 0]], [0, 0, 0], 1),  # twice, and not one over the other
        ([[0, 0], [0, 0]], [0, 0, 0, 0], 0),
        ([[0, 1], [1, 2]], [0, 1, 2], 0),  # different phrases share a symbol
        ([[0, 1], [1]], [0, 1], 0),  # one in another
        ([[]], [], 0),
    ],
)
def test_phrases_that_overlap_repeat_and_are_broken_off(phrases, text, misses):
    automata = prepare([phrases], SYMBOLS)
    met = begin(automata)
    for symbol in text:
        met = advance(automata, met, np.array([symbol]))
    assert missing(automata, met).tolist() == [misses]


@given(required=SENTENCES, data=st.data())
@settings(max_examples=100, deadline=None)
def test_some_symbol_brings_every_unmet_text_one_further(required, data):
    text = data.draw(st.lists(st.integers(0, SYMBOLS - 1), max_size=6))
    phrases = prepare(required, SYMBOLS)
    met = begin(phrases)
    for symbol in text:
        met = advance(phrases, met, np.full(len(required), symbol))
    before = missing(phrases, met)
    rows, ids = with_required(phrases, met, np.zeros(0, np.int64), np.zeros(0, np.int64))
    after = missing(phrases, advance(phrases, met.of(rows), ids))
    assert {int(r) for r, a in zip(rows, after, strict=True) if a < before[r]} == set(np.flatnonzero(before).tolist())


def test_each_candidate_is_there_once():
    phrases = prepare([[[1]], [[2], [2, 0]]], SYMBOLS)
    rows, ids = with_required(phrases, begin(phrases), np.array([0, 0, 1]), np.array([2, 1, 0]))
    assert list(zip(rows.tolist(), ids.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 0), (1, 2)]


def shared_out(candidates, count):
    """In turn the best of each kind, those that miss least first; candidates (nats, missing, number)."""
    kinds = {}
    for _, misses, number in sorted(candidates, key=lambda c: -c[0]):
        kinds.setdefault(misses, []).append(number)
    chosen = []
    while any(kinds.values()):
        chosen += [kinds[misses].pop(0) for misses in sorted(kinds) if kinds[misses]]
    return (chosen + [-1] * count)[:count]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-3, 0), st.integers(0, 2)), max_size=25),
    st.integers(1, 8),
)
@settings(max_examples=200, deadline=None)
def test_places_are_shared_out_in_turn(drawn, count):
    groups, nats, short = np.array(drawn, np.int64).reshape(-1, 3).T
    got = share_out(groups, nats.astype(float), short, 3, count)
    for g in range(3):
        mine = [(nats[i], short[i], i) for i in np.flatnonzero(groups == g)]
        assert got[g].tolist() == shared_out(mine, count)
