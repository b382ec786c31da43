"""The audit, held to repeats and wrong labels that were put in on purpose."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import UserError, audit, floors

WORDS = 200


def rows(*texts: str, name: str = "a") -> list[tuple[str, str | None, str]]:
    """`text` or `text|label`."""
    return [(*(text.split("|") if "|" in text else (text, None)), f"{name}:{i}") for i, text in enumerate(texts, 1)]


# --- texts that stand twice


def test_repeats_within_training_and_between_the_parts_are_counted():
    train = rows("good food|1", "bad|0", "Good  FOOD|1", "good\tfood \n|1", "new|1")
    dev = rows("BAD|0", "only here|1", "only here|1", "good food|1", name="b")
    found = audit.duplicates(iter(train), iter(dev))
    assert found.within == (2, [("a:1", "a:3"), ("a:1", "a:4")])
    assert found.between == (2, [("a:2", "b:1"), ("a:1", "b:4")])
    assert found.conflicting == (0, [])


def test_a_text_with_several_labels_counts_once_and_in_either_part():
    train = rows("fine|0", "Fine|1", "fine|2", "well|1")
    dev = rows("well|0", "new|0", "new|1", name="b")
    assert audit.duplicates(train, dev).conflicting == (3, [("a:1", "a:2"), ("a:4", "b:1"), ("b:2", "b:3")])
    assert audit.duplicates(train, dev).between == (1, [("a:4", "b:1")])


def test_other_texts_are_no_repeats_and_few_examples_are_kept():
    assert audit.duplicates(rows("a b", "ab", "a-b", "a b c"), rows("b a", "")) == ((0, []), (0, []), (0, []))
    found = audit.duplicates(rows(*["again"] * 1000), rows())
    assert found.within.count == 999 and len(found.within.examples) == audit.EXAMPLES


def test_capitals_are_folded_beyond_ascii():
    assert audit.duplicates(rows("STRASSE ÉTÉ"), rows("straße été")).between.count == 1


def test_what_was_found_is_told_in_sentences_and_survives_json():
    found = audit.duplicates(rows("fine|0", "Fine|1", "well|1", "well|1"), rows("well|1", name="b"))
    lines = audit.told(found._asdict())
    assert lines == [
        "training texts that repeat an earlier one: 2, as a:1 and a:2",
        "validation texts that also stand in the training part, which flatters its measures: 1, as a:3 and b:1",
        "texts that have more than one label: 1, as a:1 and a:2",
    ]
    assert audit.told(json.loads(json.dumps(found._asdict()))) == lines
    assert audit.told(audit.duplicates(rows("a"), rows("b"))._asdict()) == []


@given(st.lists(st.sampled_from("abcdef")), st.lists(st.sampled_from("abcdef")))
@settings(max_examples=50, deadline=None)
def test_counts_are_those_of_sets(train, dev):
    found = audit.duplicates(rows(*train), rows(*dev))
    assert found.within.count == len(train) - len(set(train))
    assert found.between.count == sum(letter in train for letter in dev)


# --- labels that are hard to believe


def sentences(count: int, kinds: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of 10 words; four in ten are of those that a label has to itself. ids, bounds, labels."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(kinds, size=count, p=np.arange(1, kinds + 1) / (kinds * (kinds + 1) / 2))  # some are rarer
    own = labels[:, None] * 20 + rng.integers(20, size=(count, 10))
    words = np.where(rng.random((count, 10)) < 0.4, own, rng.integers(100, WORDS, size=(count, 10)))
    return words.ravel(), np.arange(count + 1) * 10, labels


def flipped(labels: np.ndarray, kinds: int, share: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + rng.integers(1, kinds, len(labels))) % kinds, labels)


@pytest.mark.parametrize("kinds", [2, 4])
def test_labels_flipped_on_purpose_are_found(kinds):
    ids, bounds, labels = sentences(1000, kinds, seed=1)
    given = flipped(labels, kinds, 0.08)
    probabilities = audit.out_of_sample(ids, bounds, given, kinds, seed=1)
    found = audit.label_errors(probabilities, given)
    wrong = given != labels
    assert wrong[found].mean() > 0.98  # precision; every unexpected label would be 0.83 to 0.92
    assert wrong[found].sum() / wrong.sum() > 0.6  # recall; by a model that has seen them, 0


def test_right_labels_are_hardly_doubted():
    ids, bounds, labels = sentences(1000, 3, seed=2)
    probabilities = audit.out_of_sample(ids, bounds, labels, 3, seed=1)
    assert len(audit.label_errors(probabilities, labels)) < 0.01 * len(labels)


def test_another_label_must_be_as_probable_as_it_is_where_it_is_right():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.25, 0.75], [0.2, 0.8], [0.4, 0.6]])
    labels = np.array([0, 0, 0, 1, 0])  # label 1 has 0.8 where it is right: neither 0.75 nor 0.6 reaches that
    assert audit.label_errors(probabilities, labels).tolist() == []
    probabilities[2] = 0.15, 0.85
    assert audit.label_errors(probabilities, labels).tolist() == [2]
    probabilities[4] = 0.1, 0.9
    assert audit.label_errors(probabilities, labels).tolist() == [4, 2]  # the worse first


def test_a_label_that_no_example_has_is_not_preferred():
    probabilities = np.array([[0.3, 0.2, 0.5], [0.3, 0.6, 0.1]])
    assert audit.label_errors(probabilities, np.array([0, 1])).tolist() == []
    assert audit.label_errors(np.zeros((0, 2)), np.zeros(0, int)).tolist() == []


def test_a_row_is_judged_by_a_model_that_has_not_seen_it():
    ids, bounds, labels = sentences(40, 2, seed=3)
    ids = np.arange(len(ids))  # no two rows share a word: what is not seen leaves the bias alone
    found = audit.out_of_sample(ids, bounds, labels, 2, seed=1)
    assert np.allclose(found[:, 1], labels.mean(), atol=0.12)
    seen = floors.fit(ids, bounds, labels, 2, 1).probabilities(ids, bounds)
    assert (seen.argmax(1) == labels).all()


def test_folds_are_by_the_seed_and_no_more_than_rows():
    ids, bounds, labels = sentences(60, 2, seed=4)
    one, again, other = (audit.out_of_sample(ids, bounds, labels, 2, seed) for seed in (1, 1, 2))
    assert (one == again).all() and not (one == other).all()
    few = audit.out_of_sample(ids[:20], bounds[:3], np.array([0, 1]), 2, seed=1)
    assert (few.argmax(1) == [1, 0]).all()  # each knows the other alone
    with pytest.raises(UserError, match="labels are judged by those of other rows; got 1, at least 2"):
        audit.out_of_sample(ids[:10], bounds[:2], labels[:1], 2, seed=1)
