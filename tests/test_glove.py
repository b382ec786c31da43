"""GloVe's loss and its training, against the lecture's sum and AdaGrad written out in numpy."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import cooccurrences
from unrolled.kernels import glove
from unrolled.kernels.glove import CONTEXT, CONTEXT_SCALE, LIMIT, WORD, WORD_SCALE, biases, start, train, vectors, weight
from unrolled.progress import Progress

X_MAX, ALPHA = 10.0, 0.75


def random_parameters(V, D, seed=0, size=0.4):
    """As after some training: all numbers larger, and AdaGrad's scales smaller than 1."""
    random, parameters = np.random.default_rng(seed), start(V, D, seed)
    for row in (WORD, CONTEXT):
        learned = parameters[:, row + 1] > 0
        parameters[:, row][learned] = random.normal(0, size, learned.sum())
        parameters[:, row + 1][learned] = random.uniform(0.3, 1, learned.sum())
    return parameters


def random_entries(V, N, seed=0):
    """A tile: rows >= columns, no pair twice, some X beyond x_max."""
    random = np.random.default_rng(seed)
    pairs = np.array([(i, j) for i in range(V) for j in range(i + 1)], np.int32)
    chosen = pairs[random.permutation(len(pairs))[:N]]
    return chosen[:, 0].copy(), chosen[:, 1].copy(), random.lognormal(1, 1.5, len(chosen)).astype(np.float32)


def named(parameters, D):
    """θ, e, b, b' in float64."""
    b, c = biases(parameters, D)
    return tuple(part.astype(np.float64) for part in (parameters[:, WORD, :D], parameters[:, CONTEXT, :D], b, c))


def lecture(X, theta, e, b, c):
    """Σ_ij f(X_ij) (θ_iᵀ e_j + b_i + b'_j - ln X_ij)², over a full matrix X; f(0) = 0."""
    total = 0.0
    for i in range(len(X)):
        for j in range(len(X)):
            if X[i, j] > 0:
                f = (X[i, j] / X_MAX) ** ALPHA if X[i, j] < X_MAX else 1
                total += f * (theta[i] @ e[j] + b[i] + c[j] - np.log(X[i, j])) ** 2
    return total


def full(V, rows, columns, values):
    X = np.zeros((V, V))
    X[rows, columns] = X[columns, rows] = values
    return X


class Reference:
    """One entry of X after the other by AdaGrad in float64, with its sums G and a true root."""

    def __init__(self, parameters, D):
        self.numbers = list(named(parameters, D))
        scales = parameters.copy()
        scales[:, WORD], scales[:, CONTEXT] = parameters[:, WORD_SCALE], parameters[:, CONTEXT_SCALE]
        self.G = [1 / s**2 for s in named(scales, D)]

    def entry(self, i, j, x, rate):
        theta, e, b, c = self.numbers
        away = theta[i] @ e[j] + b[i] + c[j] - np.log(x)
        f = min(1, (x / X_MAX) ** ALPHA)
        slopes = [(0, i, f * away * e[j]), (1, j, f * away * theta[i]), (2, i, f * away), (3, j, f * away)]
        for kind, at, slope in slopes:
            step = rate * slope
            self.numbers[kind][at] = self.numbers[kind][at] - step / np.sqrt(self.G[kind][at])
            self.G[kind][at] = self.G[kind][at] + step**2
        return f * away**2

    def run(self, rows, columns, values, rate):
        loss = 0.0
        for i, j, x in zip(rows, columns, values.astype(np.float64), strict=True):
            loss += self.entry(i, j, x, rate) + (self.entry(j, i, x, rate) if i != j else 0)
        return loss


def compare(parameters, D, reference, tolerance):
    for found, wanted in zip(named(parameters, D), reference.numbers, strict=True):
        np.testing.assert_allclose(found, wanted, atol=tolerance)
    scales = parameters.copy()
    scales[:, WORD], scales[:, CONTEXT] = parameters[:, WORD_SCALE], parameters[:, CONTEXT_SCALE]
    for found, G in zip(named(scales, D), reference.G, strict=True):
        np.testing.assert_allclose(found, 1 / np.sqrt(G), atol=tolerance)


# --- what is trained


@pytest.mark.parametrize(("D", "size"), [(1, 16), (14, 16), (15, 32), (100, 112)])
def test_parameters_begin_as_in_the_authors_program(D, size):
    parameters = start(50, D, 3)
    assert parameters.shape == (50, 4, size) and parameters.dtype == np.float32 and parameters.ctypes.data % 64 == 0
    theta, e, b, c = named(parameters, D)
    for drawn in (theta, e, b, c):
        assert np.abs(drawn).max() <= 0.5 / (D + 1) < 1.2 * np.abs(drawn).max() and abs(drawn.mean()) < 0.15 / (D + 1)
    assert len({drawn.flat[0] for drawn in (theta, e, b, c)}) == 4
    ones = np.zeros((4, size))
    ones[[WORD_SCALE, CONTEXT_SCALE], :D] = ones[[WORD_SCALE, WORD, CONTEXT, CONTEXT_SCALE], [D, D + 1, D, D + 1]] = 1
    rest = parameters.copy()
    rest[:, [WORD, CONTEXT], :D] = rest[:, WORD, D] = rest[:, CONTEXT, D + 1] = 0
    assert (rest == ones).all()


def test_another_seed_begins_elsewhere():
    assert (start(5, 4, 1) == start(5, 4, 1)).all() and (start(5, 4, 1) != start(5, 4, 2)).any()


def test_vectors_are_the_mean_of_both():
    parameters = random_parameters(6, 5)
    theta, e, _, _ = named(parameters, 5)
    np.testing.assert_allclose(vectors(parameters, 5), (theta + e) / 2, rtol=1e-6)


def test_weights_are_those_of_the_paper():
    found = weight(np.array([0.5, 1, 10, 99.9, 100, 1e6], np.float32), 100.0, 0.75)
    np.testing.assert_allclose(found, [0.005**0.75, 0.01**0.75, 0.1**0.75, 0.999**0.75, 1, 1], rtol=1e-6)
    assert found.dtype == np.float32


# --- the loss


def test_the_loss_of_a_small_corpus_is_the_lectures_sum(tmp_path):
    ids, V, D = np.array([0, 1, 2, 3, 0, 4, 5, 0, 6, 2, 3, 0, 1, 5, 0, 1, 2, 3], np.int32), 7, 7
    X = np.zeros((V, V))
    for here in range(len(ids)):
        for there in range(max(0, here - 3), min(len(ids), here + 4)):
            if here != there:
                X[ids[here], ids[there]] += 1 / abs(here - there)
    x = cooccurrences.count(ids, V, 3, tmp_path, 2**20, 1, 0, Progress(quiet=True))
    assert x.nonzeros == (X > 0).sum()
    parameters = random_parameters(V, D)
    before = parameters.copy()
    loss = sum(train(parameters, [x.tile(n) for n in tiles], 0.0, X_MAX, ALPHA) for tiles in cooccurrences.rounds(x, 0, 0))
    assert loss == pytest.approx(lecture(X, *named(parameters, D)), rel=1e-5)
    assert (parameters == before).all()


def test_the_slope_is_that_of_the_loss():
    V, D, rate, h = 4, 5, 1e-4, 1e-5
    for rows, columns in ((2, 1), (3, 3)):
        parameters = random_parameters(V, D)
        scaled = parameters[:, [WORD_SCALE, CONTEXT_SCALE]]
        parameters[:, [WORD_SCALE, CONTEXT_SCALE]] = np.where(scaled > 0, np.float32(1), np.float32(0))
        at = named(parameters, D)
        tile = np.array([rows], np.int32), np.array([columns], np.int32), np.array([4.0], np.float32)
        X = full(V, *tile)
        train(parameters, [tile], rate, X_MAX, ALPHA)
        for kind, (before, after) in enumerate(zip(at, named(parameters, D), strict=True)):
            for place in np.ndindex(before.shape):
                sides = [[part.copy() for part in at] for _ in range(2)]
                sides[0][kind][place] += h
                sides[1][kind][place] -= h
                slope = (lecture(X, *sides[0]) - lecture(X, *sides[1])) / (2 * h)
                assert (before - after)[place] / rate == pytest.approx(slope / 2, abs=3e-3)


# --- training


@pytest.mark.parametrize(("i", "j"), [(3, 1), (2, 2)])
@pytest.mark.parametrize("D", [1, 14, 15, 100])
def test_one_step_is_adagrads(i, j, D):
    parameters = random_parameters(5, D, size=0.2)
    reference = Reference(parameters, D)
    tile = np.array([i], np.int32), np.array([j], np.int32), np.array([3.5], np.float32)
    loss = train(parameters, [tile], 0.05, X_MAX, ALPHA)
    assert loss == pytest.approx(reference.run(*tile, 0.05), rel=1e-5)
    compare(parameters, D, reference, 1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), D=st.integers(1, 40), N=st.integers(1, 60))
def test_many_steps_are_adagrads(seed, D, N):
    parameters, tile = random_parameters(12, D, seed, 0.2), random_entries(12, N, seed)
    reference = Reference(parameters, D)
    loss = train(parameters, [tile], 0.05, X_MAX, ALPHA)
    assert loss == pytest.approx(reference.run(*tile, 0.05), rel=1e-4)
    compare(parameters, D, reference, 1e-3)  # the series in place of the root: at most 4.8e-4 in 3,000 such cases


def test_what_is_no_parameter_stays():
    parameters, tile = random_parameters(12, 20), random_entries(12, 60)
    fixed = np.stack([parameters[:, WORD_SCALE] == 0, parameters[:, CONTEXT_SCALE] == 0], 1)
    before = parameters[:, [WORD, CONTEXT]][fixed]
    train(parameters, [tile], 0.05, X_MAX, ALPHA)
    assert (parameters[:, [WORD, CONTEXT]][fixed] == before).all()
    assert (parameters[:, [WORD_SCALE, CONTEXT_SCALE]][fixed] == 0).all()


def test_training_finds_vectors_that_made_the_counts():
    V, D, random = 30, 4, np.random.default_rng(5)
    theta = random.normal(0, 0.5, (V, D))
    X = np.exp(theta @ theta.T + 1).astype(np.float32)
    rows, columns = np.tril_indices(V)
    order = random.permutation(len(rows))
    tile = rows[order].astype(np.int32), columns[order].astype(np.int32), X[rows, columns][order]
    parameters = start(V, D, 1)
    losses = [train(parameters, [tile], 0.2, X_MAX, ALPHA) for _ in range(300)]
    assert all(after < before for before, after in pairwise(losses[:20]))
    assert losses[-1] < 1e-3 * losses[0]
    found = vectors(parameters, D)
    assert np.corrcoef((found @ found.T).ravel(), (theta @ theta.T).ravel())[0, 1] > 0.95


def test_neither_threads_nor_the_order_of_tiles_change_a_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(cooccurrences, "TILE", 60)
    ids = np.minimum(np.random.default_rng(0).geometric(0.05, 8000) - 1, 99).astype(np.int32)
    x = cooccurrences.count(ids, 100, 4, tmp_path, 2**21, 1, 0, Progress(quiet=True))
    results = []
    for threads, direction in ((1, 1), (2, 1), (3, -1)):
        parameters, losses = start(100, 9, 2), []
        for epoch in range(3):
            for tiles in cooccurrences.rounds(x, 1, epoch):
                losses.append(train(parameters, [x.tile(n) for n in tiles][::direction], 0.05, X_MAX, ALPHA, threads))
        results.append((parameters, losses))
    assert len(losses) > 20
    for parameters, losses in results[1:]:
        assert (parameters == results[0][0]).all()
        assert losses == pytest.approx(results[0][1], rel=1e-12)
    assert results[0][1] == results[1][1]


def test_steps_are_limited_and_scales_only_shrink():
    parameters, tile = random_parameters(12, 20, size=3), random_entries(12, 60)
    before = parameters.copy()
    first = tuple(part[:1] for part in tile)
    train(parameters, [first], 1e6, X_MAX, ALPHA)
    moved = (parameters - before)[:, [WORD, CONTEXT]]
    assert np.abs(moved).max() == pytest.approx(LIMIT, rel=1e-5)
    train(usual := before.copy(), [first], 1e-3, X_MAX, ALPHA)
    assert (np.sign(moved) == np.sign(usual - before)[:, [WORD, CONTEXT]]).all() and len(np.unique(np.sign(moved))) == 3
    for _ in range(50):
        assert np.isfinite(train(parameters, [tile], 1e6, X_MAX, ALPHA))
    scales = parameters[:, [WORD_SCALE, CONTEXT_SCALE]]
    assert (scales <= before[:, [WORD_SCALE, CONTEXT_SCALE]]).all() and (scales >= 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_any_more_shows_in_the_loss(bad):
    parameters, tile = random_parameters(12, 20), random_entries(12, 78)
    parameters[3, WORD, 5] = bad
    assert not np.isfinite(train(parameters, [tile], 0.05, X_MAX, ALPHA))


def test_no_tiles_are_no_loss():
    parameters = start(3, 2, 1)
    assert glove.train(parameters, [], 0.05, X_MAX) == 0
