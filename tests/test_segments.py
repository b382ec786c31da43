"""Cuts drawn anew: never another text, always the same for the same version, as often as the papers' formulas say."""

import json
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data.segments import Segments, dropout, sampling
from unrolled.data.vocab import FIRST, KINDS, Codec, learn
from unrolled.errors import UserError

few = settings(max_examples=100, deadline=None)
anything = st.one_of(st.sampled_from("aat r\n\t \0'sé日🎉\x1c\u2028"), st.characters())  # lone surrogates too
texts = st.one_of(st.text(anything, max_size=40), st.text(st.sampled_from("   \n\t\u00a0at"), max_size=20))
TEXT = (
    "the cat sat on the mat, and the rat sat on the cat; cats rattle, rattling mats; café cafés 日本 日本語    \n\n   \t\tthe\n  "
)
BPE, UNIGRAM = (learn(kind, [TEXT] * 20, 330) for kind in ("bpe", "unigram"))
MAKERS = [(dropout, BPE, 0.0), (dropout, BPE, 0.3), (dropout, BPE, 1.0)]
MAKERS += [(sampling, UNIGRAM, 0.0), (sampling, UNIGRAM, 0.2), (sampling, UNIGRAM, 1.0)]


def rows(segments: Segments, version: int = 0) -> list[list[int]]:
    ids, bounds = segments.version(version)
    return [part.tolist() for part in np.split(ids, bounds[1:-1])]


def names(codec: Codec, ids: list[int]) -> tuple[bytes, ...]:
    return tuple(codec._bytes(i) for i in ids)


def shares(segments: Segments, codec: Codec) -> dict[tuple[bytes, ...], float]:
    """How often each way to cut the texts, all the same, was drawn."""
    drawn = Counter(names(codec, row) for row in rows(segments))
    return {cut: count / drawn.total() for cut, count in drawn.items()}


def close(found: dict[tuple, float], wanted: dict[tuple, float], draws: int) -> bool:
    """Whether all shares are within five standard errors."""
    assert sum(wanted.values()) == pytest.approx(1)
    return all(abs(found.get(cut, 0) - wanted.get(cut, 0)) <= 5 * math.sqrt(wanted.get(cut, 0) / draws) for cut in found | wanted)


# --- what holds for both kinds


@pytest.mark.parametrize(("make", "codec", "amount"), MAKERS)
@few
@given(some=st.lists(texts, min_size=1, max_size=4), version=st.integers(0, 9))
def test_every_version_decodes_to_the_same_text(make, codec, amount, some, version):
    drawn = rows(make(codec, some, amount, 1), version)
    assert [codec.decode(row) for row in drawn] == [codec.decode(codec.encode(text)) for text in some]


@pytest.mark.parametrize(("make", "codec", "amount"), [MAKERS[1], MAKERS[4]])
def test_a_version_is_the_same_again_and_unlike_other_versions_and_seeds(make, codec, amount):
    first = rows(make(codec, [TEXT] * 8, amount, 5), 3)
    assert rows(make(codec, [TEXT] * 8, amount, 5), 3) == first
    segments = make(codec, [TEXT] * 8, amount, 5)
    assert rows(segments, 4) != first
    assert rows(segments, 3) == first  # also after another
    assert rows(make(codec, [TEXT] * 8, amount, 6), 3) != first
    assert len(set(map(tuple, first))) > 1


@pytest.mark.parametrize(("make", "codec", "amount"), [MAKERS[1], MAKERS[4]])
def test_a_text_s_cuts_depend_on_its_place_and_not_on_the_texts_beside_it(make, codec, amount):
    few, many = rows(make(codec, ["cat", TEXT], amount, 1), 2), rows(make(codec, ["mats rattling", TEXT, "rat"], amount, 1), 2)
    assert few[1] == many[1]
    assert rows(make(codec, [TEXT, TEXT], amount, 1), 2)[0] != few[1]


@pytest.mark.parametrize(("make", "codec", "amount"), MAKERS)
def test_a_text_without_any_symbol_has_no_ids(make, codec, amount):
    assert rows(make(codec, ["", "cat", ""], amount, 1))[::2] == [[], []]
    assert make(codec, [""], amount, 1).version(0).ids.tolist() == []
    assert make(codec, [], amount, 1).version(0).lengths.tolist() == []


def test_a_very_long_word_is_cut_too():
    word = "rattling" * 2000
    for segments, codec in ((dropout(BPE, [word], 0.1, 1), BPE), (sampling(UNIGRAM, [word], 0.5, 1), UNIGRAM)):
        assert codec.decode(rows(segments)[0]) == word


# --- bpe


@few
@given(st.lists(texts, min_size=1, max_size=5))
def test_without_dropout_the_ids_are_those_of_encode(some):
    assert rows(dropout(BPE, some, 0.0, 1)) == [BPE.encode(text).tolist() for text in some]


def test_with_all_merges_left_out_single_bytes_remain():
    assert b"".join(names(BPE, rows(dropout(BPE, [TEXT], 1.0, 1))[0])) == TEXT.encode()
    assert len(rows(dropout(BPE, [TEXT], 1.0, 1))[0]) == len(TEXT.encode())


def dropped(pieces: tuple[bytes, ...], rank: dict[tuple[bytes, bytes], int], rate: float, chance: float = 1.0) -> Counter:
    """The probability of each way that a word can end up cut (Provilkov et al. 2020, algorithm 1), by following all of them."""
    found = Counter()
    possible = sorted((rank[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in rank)
    for skipped, (_, at) in enumerate(possible):
        merged = (*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :])
        found.update(dropped(merged, rank, rate, chance * rate**skipped * (1 - rate)))
    found[pieces] += chance * rate ** len(possible)
    return found


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("word", ["rattling", "matsat", " 日本"])
def test_merges_are_left_out_as_often_as_the_paper_says(word, rate):
    merges = json.loads(BPE.tokenizer_json)["model"]["merges"]
    as_bytes = {BPE.tokenizer.id_to_token(i - FIRST): BPE._bytes(i) for i in range(FIRST, BPE.size)}
    rank = {(as_bytes[left], as_bytes[right]): i for i, (left, right) in enumerate(merges)}
    wanted = dropped(tuple(bytes([byte]) for byte in word.encode()), rank, rate)
    assert len(wanted) > 3
    found = shares(dropout(BPE, [word] * 40_000, rate, 7), BPE)
    assert close(found, wanted, 40_000)


# --- unigram


def every_cut(word: bytes, known: dict[bytes, float]) -> list[tuple[bytes, ...]]:
    if not word:
        return [()]
    return [(word[:i], *rest) for i in range(1, len(word) + 1) if word[:i] in known for rest in every_cut(word[i:], known)]


SCORES = {UNIGRAM._bytes(i + FIRST): score for i, (_, score) in enumerate(json.loads(UNIGRAM.tokenizer_json)["model"]["vocab"])}


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("word", ["matsat", " cats", " café"])
def test_ways_to_cut_a_word_are_drawn_by_a_power_of_their_probability(word, alpha):
    weights = {cut: math.exp(alpha * sum(map(SCORES.get, cut))) for cut in every_cut(word.encode(), SCORES)}
    wanted = {cut: weight / sum(weights.values()) for cut, weight in weights.items()}
    assert len(wanted) > 3
    found = shares(sampling(UNIGRAM, [word] * 40_000, alpha, 7), UNIGRAM)
    assert close(found, wanted, 40_000)


@few
@given(st.lists(st.sampled_from([*TEXT.split(), "matsat", "the rats", "rattled on"]), min_size=1))
def test_with_a_large_power_the_likeliest_way_is_drawn(some):
    drawn = rows(sampling(UNIGRAM, some, 1e6, 1))
    nats = [[sum(map(SCORES.get, names(UNIGRAM, row))) for row in each] for each in (drawn, map(UNIGRAM.encode, some))]
    assert nats[0] == pytest.approx(nats[1])


# --- what has nothing to draw


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bpe"])
def test_a_codec_without_merges_is_refused(kind):
    with pytest.raises(UserError, match=f"`{kind}` symbols have no merges that could be left out; `bpe` has\n.*--symbols bpe"):
        dropout(learn(kind, [TEXT], 300), [TEXT], 0.1, 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unigram"])
def test_a_codec_without_probabilities_is_refused(kind):
    with pytest.raises(UserError, match=f"`{kind}` symbols have no probabilities to draw by; `unigram` has\n.*--symbols unigram"):
        sampling(learn(kind, [TEXT], 300), [TEXT], 0.1, 1)
