"""Word and character errors against jiwer, the alignment against its own counts, the interval against a closed form."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import word_errors
from unrolled.errors import UserError

texts = st.text(st.sampled_from("aab é字🎉"), max_size=24)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)
few = settings(max_examples=150, deadline=None)


def distance(a, b):
    """Edit distance by its definition, over shorter and shorter ends."""
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b[1:]) + (a[0] != b[0]), distance(a[1:], b) + 1, distance(a, b[1:]) + 1)


@few
@given(pairs=pairs)
def test_rates_are_those_of_jiwer(pairs):
    jiwer = pytest.importorskip("jiwer", reason="jiwer is not installed")
    hypotheses, references = map(list, zip(*pairs, strict=True))
    if any(map(str.split, references)):
        assert word_errors.word_error_rate(hypotheses, references) == jiwer.wer(references, hypotheses)
        assert word_errors.character_error_rate(hypotheses, references) == jiwer.cer(references, hypotheses)
        rows, wanted = word_errors.counts(hypotheses, references).sum(0), jiwer.process_words(references, hypotheses)
        assert rows[0] >= wanted.hits  # jiwer takes any of the ways with the fewest errors
        assert rows[3] - rows[2] == wanted.insertions - wanted.deletions


@few
@given(a=st.text("ab", max_size=6), b=st.text("abc", max_size=6))
def test_errors_are_the_fewest_edits(a, b):
    same, substituted, deleted, inserted = word_errors.counts([a], [b], "characters")[0]
    assert substituted + deleted + inserted == distance(a, b)
    assert (same + substituted + deleted, same + substituted + inserted) == (len(b), len(a))


@few
@given(hypothesis=texts, reference=texts, unit=st.sampled_from(["words", "characters"]))
def test_an_alignment_holds_both_texts_and_the_errors_that_are_counted(hypothesis, reference, unit):
    edits = word_errors.align(hypothesis, reference, unit)
    assert [edit.reference for edit in edits if edit.reference] == word_errors.pieces(reference, unit)
    assert [edit.hypothesis for edit in edits if edit.hypothesis] == word_errors.pieces(hypothesis, unit)
    assert all((edit.reference == edit.hypothesis) == (edit.mark == " ") for edit in edits)
    marks = [edit.mark for edit in edits]
    assert [marks.count(mark) for mark in word_errors.MARKS] == word_errors.counts([hypothesis], [reference], unit)[0].tolist()


def test_of_ways_with_as_few_errors_one_keeps_the_most():
    assert word_errors.counts(["b c"], ["a b"]).tolist() == [[1, 0, 1, 1]]  # not two substitutions


def test_a_person_sees_what_stands_where():
    edits = word_errors.align("the 猫 sat on the mat", "the cat sat the big mat")
    assert word_errors.shown(edits).splitlines() == [
        "REF the cat sat ** the big mat",
        "HYP the 猫  sat on the *** mat",
        "        S       I      D",
    ]
    assert word_errors.shown([]) == "REF\nHYP\n"
    assert word_errors.columns("e\u0301字") == 3


def test_the_most_frequent_errors_and_the_worst_sentences_are_named():
    hypotheses, references = ["a x", "a x c", "", "q z z"], ["a b", "a b c", "d", "q"]
    wanted = [(None, "z", 2), ("b", "x", 2), ("d", None, 1)]
    assert [tuple(row.values()) for row in word_errors.confusions(hypotheses, references)] == wanted
    assert [tuple(row.values()) for row in word_errors.worst(hypotheses, references, most=3)] == [
        (2, 1, "q", "q z z"), (1, 1, "d", ""), (1, 2, "a b", "a x"),
    ]  # fmt: skip


def test_what_cannot_be_measured_is_said():
    with pytest.raises(UserError, match="there are 1 hypotheses and 2 references"):
        word_errors.word_error_rate(["a"], ["a", "b"])
    for ask in (word_errors.word_error_rate, word_errors.character_error_rate, word_errors.interval):
        with pytest.raises(UserError, match="the references are empty: there is nothing"):
            ask(["a", "b"], ["", "  "])


def test_the_interval_is_that_of_a_share():
    """Sentences of one word each: the rate is a share, whose interval is known."""
    rng, size, share = random.Random(1), 2000, 0.2
    hypotheses = ["right" if rng.random() > share else "wrong" for _ in range(size)]
    references = ["right"] * size
    measured = word_errors.word_error_rate(hypotheses, references)
    low, high = word_errors.interval(hypotheses, references, seed=3)
    reach = 1.96 * math.sqrt(measured * (1 - measured) / size)
    np.testing.assert_allclose([low, high], [measured - reach, measured + reach], atol=0.2 * reach)
    assert (low, high) == word_errors.interval(hypotheses, references, seed=3)


def test_an_interval_with_empty_references_is_one_of_numbers():
    low, high = word_errors.interval(["a", "b", ""], ["a b", "", ""])
    assert 0.5 <= low <= high < math.inf
