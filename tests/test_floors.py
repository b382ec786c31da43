"""The floors: TF-IDF and its logistic regression are scikit-learn's, at one or two words a feature."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from unrolled import UserError, floors
from unrolled.data.batch import Rows

rows_of_ids = st.lists(st.lists(st.integers(0, 4), max_size=8), min_size=1, max_size=12).filter(any)


def ragged(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([i for row in rows for i in row], np.int32), np.cumsum([0, *map(len, rows)])


def texts(rows: list[list[int]]) -> list[str]:
    return [" ".join(map(str, row)) for row in rows]


def vectoriser() -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")


def sentences(count: int, kinds: int, seed: int = 0) -> tuple[list[list[int]], np.ndarray]:
    """Rows of up to 12 words of 30; each label has words that it likes."""
    rng = np.random.default_rng(seed)
    liking = rng.dirichlet(np.full(30, 0.3), kinds)
    labels = rng.integers(kinds, size=count)
    return [rng.choice(30, size=rng.integers(1, 13), p=liking[y]).tolist() for y in labels], labels


def dense(matrix: floors.Sparse, width: int) -> np.ndarray:
    return matrix.times(torch.eye(width)).numpy()


# --- features


@given(rows_of_ids)
@settings(max_examples=60, deadline=None)
def test_words_and_pairs_are_weighed_as_by_scikit_learn(rows):
    theirs = vectoriser()
    wanted = theirs.fit_transform(texts(rows)).toarray()
    found, at = floors.occurrences(*ragged(rows))
    keys, features = np.unique(found, return_inverse=True)
    matrix, idf = floors.tf_idf(features, at, len(rows), None, len(keys))
    split = [divmod(key, 1 << 32) for key in keys.tolist()]  # of a pair: its first word and 1, its second
    names = [f"{first - 1} {second}" if first else f"{second}" for first, second in split]
    order = [theirs.vocabulary_[name] for name in names]
    np.testing.assert_allclose(dense(matrix, len(keys)), wanted[:, order], atol=1e-6)
    np.testing.assert_allclose(idf, theirs.idf_[order])
    np.testing.assert_allclose(matrix.transposed(len(keys)).times(torch.eye(len(rows))), wanted[:, order].T, atol=1e-6)


def test_a_pair_does_not_reach_over_the_end_of_a_row():
    keys, rows = floors.occurrences(*ragged([[1, 2], [], [3], [1, 2]]))
    assert sorted(zip(rows.tolist(), keys.tolist(), strict=True)) == [
        (0, 1), (0, 2), (0, (2 << 32) | 2), (2, 3), (3, 1), (3, 2), (3, (2 << 32) | 2),
    ]  # fmt: skip


@given(rows_of_ids, st.randoms())
@settings(max_examples=30, deadline=None)
def test_taken_rows_are_the_rows(rows, random):
    chosen = [random.randrange(len(rows)) for _ in range(5)]
    ids, bounds = Rows(*ragged(rows)).taken(np.array(chosen))
    assert [ids[a:b].tolist() for a, b in pairwise(bounds)] == [rows[i] for i in chosen]


# --- the model


@pytest.mark.parametrize("kinds", [2, 3, 5])
def test_probabilities_are_those_of_scikit_learn(kinds):
    rows, labels = sentences(300, kinds)
    asked, _ = sentences(100, kinds, seed=1)
    model = floors.fit(*ragged(rows), labels, kinds, 1)
    features = vectoriser()
    x = features.fit_transform(texts(rows))
    # of two labels theirs has one row of weights in place of ours and its negative: half the pull on the same difference
    theirs = LogisticRegression(C=floors.C * (2 if kinds == 2 else 1), tol=1e-8, max_iter=1000).fit(x, labels)
    wanted = theirs.predict_proba(features.transform(texts(asked)))
    np.testing.assert_allclose(model.probabilities(*ragged(asked)), wanted, atol=2e-3)


def test_a_pair_decides_where_words_alone_cannot():
    rows, labels = [[0, 1], [1, 0], [0, 1, 2], [2, 1, 0]] * 10, np.array([0, 1, 0, 1] * 10)
    found = floors.fit(*ragged(rows), labels, 2, 1).probabilities(*ragged([[0, 1], [1, 0]]))
    assert found[0, 0] > 0.9 and found[1, 1] > 0.9


def test_the_same_rows_make_the_same_model():
    rows, labels = sentences(200, 3)
    found = []
    threads = torch.get_num_threads()
    for number in (1, threads):
        torch.set_num_threads(number)
        found.append(floors.fit(*ragged(rows), labels, 3, 1).probabilities(*ragged(rows)))
        assert torch.get_num_threads() == number
    assert (found[0] == found[1]).all()


def test_what_training_has_not_seen_counts_for_nothing():
    rows, labels = sentences(100, 2)
    model = floors.fit(*ragged(rows), labels, 2, 1)
    found = model.probabilities(*ragged([[], [1000], [1000, 2_000_000_000], [3], [1000, 3]]))
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all() and (found[3] == found[4]).all()
    assert not (found[0] == found[3]).all()
    np.testing.assert_allclose(found.sum(1), 1)


def test_rows_without_a_word_leave_the_shares_of_the_labels():
    found = floors.fit(*ragged([[], [], [], []]), np.array([0, 0, 0, 2]), 3, 1).probabilities(*ragged([[], [7]]))
    np.testing.assert_allclose(found, [[0.75, 0, 0.25]] * 2, atol=1e-3)


def test_one_label_is_certain():
    assert floors.fit(*ragged([[1], [2]]), np.array([0, 0]), 1, 1).probabilities(*ragged([[1], []])).tolist() == [[1], [1]]


def test_without_rows_there_is_nothing_to_fit():
    with pytest.raises(UserError, match="there is no row to fit the bag of words to"):
        floors.fit(*ragged([]), np.zeros(0, int), 2, 1)


def test_where_there_are_very_many_features_those_seen_once_are_left_out(monkeypatch):
    rows, labels = [[1, 2, 3], [1, 2, 4], [5, 6]], np.array([0, 0, 1])
    assert len(floors.fit(*ragged(rows), labels, 2, 1).keys) == 10
    monkeypatch.setattr(floors, "FEATURES", 9)
    model = floors.fit(*ragged(rows), labels, 2, 1)
    assert model.keys.tolist() == [1, 2, (2 << 32) | 2]
    found = model.probabilities(*ragged([[1, 2], [2, 3], [5]]))
    assert found[0, 0] > found[2, 0] and len(model.idf) == 3


def test_of_very_many_words_rows_drawn_from_all_are_taken(monkeypatch):
    rows, labels = [[i, 100] for i in range(60)], np.arange(60) // 30
    monkeypatch.setattr(floors, "WORDS", 40)  # of 120
    words = [{key for key in floors.fit(*ragged(rows), labels, 2, seed).keys.tolist() if key < 60} for seed in (1, 1, 2)]
    assert len(words[0]) == 20 and words[0] == words[1] != words[2]
    assert min(words[0]) < 15 and max(words[0]) > 45
    monkeypatch.setattr(floors, "WORDS", 120)
    assert len(floors.fit(*ragged(rows), labels, 2, 1).keys) == 121


def test_the_commonest_label_is_the_likeliest_and_none_is_impossible():
    assert floors.majority(np.array([1, 1, 1, 0]), 3).tolist() == [2 / 7, 4 / 7, 1 / 7]
    assert floors.majority(np.zeros(0, int), 2).tolist() == [0.5, 0.5]
