"""The exact gradient of t-SNE against its equation in NumPy, finite differences, and openTSNE's own tree."""

import numpy as np
import pytest

from unrolled.kernels import tsne

sparse = pytest.importorskip("scipy.sparse", reason="needs the plot extra")


def problem(count, seed=0):
    random = np.random.default_rng(seed)
    P = random.random((count, count)) * (random.random((count, count)) < 0.3)
    np.fill_diagonal(P, 0)
    P = P + P.T
    return 3 * random.normal(size=(count, 2)), P / P.sum()


def divergence(positions, P):
    w = 1 / (1 + ((positions[:, None] - positions[None]) ** 2).sum(2))
    np.fill_diagonal(w, 0)
    return (P[P > 0] * np.log(P[P > 0] / (w / w.sum())[P > 0])).sum()


def equation(positions, P):
    """Equation 5 of the paper, its factor 4 left out."""
    between = positions[:, None] - positions[None]
    w = 1 / (1 + (between**2).sum(2))
    np.fill_diagonal(w, 0)
    return (((P - w / w.sum()) * w)[:, :, None] * between).sum(1)


@pytest.mark.parametrize("count", [3, 17, 200])
def test_it_is_the_equation(count):
    positions, P = problem(count)
    told, gradient = tsne.gradient(positions, sparse.csr_matrix(P), should_eval_error=True)
    wanted = equation(positions, P)
    assert np.allclose(gradient, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max() + 1e-9)
    assert told == pytest.approx(divergence(positions, P), rel=1e-5)


def test_it_is_the_slope_of_the_divergence():
    positions, P = problem(20)
    _, gradient = tsne.gradient(positions, sparse.csr_matrix(P))
    for i, axis in ((0, 0), (7, 1), (19, 0)):
        step = np.zeros_like(positions)
        step[i, axis] = 1e-5
        slope = (divergence(positions + step, P) - divergence(positions - step, P)) / 2e-5
        assert 4 * gradient[i, axis] == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_the_divergence_is_told_only_when_asked():
    positions, P = problem(20)
    assert np.isnan(tsne.gradient(positions, sparse.csr_matrix(P))[0])


@pytest.mark.parametrize("shares", [2, 3, 7])
def test_shares_of_the_work_change_nothing(shares, monkeypatch):
    positions, P = problem(100)
    alone = tsne.gradient(positions, sparse.csr_matrix(P), should_eval_error=True)
    monkeypatch.setattr(tsne, "ALONE", 0)
    monkeypatch.setattr(tsne, "processors", lambda: shares)
    shared = tsne.gradient(positions, sparse.csr_matrix(P), should_eval_error=True)
    assert alone[0] == shared[0] and (alone[1] == shared[1]).all()


def test_points_on_one_spot_do_not_push():
    positions, P = np.zeros((5, 2)), problem(5)[1]
    told, gradient = tsne.gradient(positions, sparse.csr_matrix(P), should_eval_error=True)
    assert (gradient == 0).all() and told == pytest.approx(divergence(positions, P), rel=1e-5)


def test_a_point_that_is_no_number_is_seen():
    positions, P = problem(40)
    positions[3] = np.nan
    _, gradient = tsne.gradient(positions, sparse.csr_matrix(P))
    assert np.isnan(gradient).all()


def test_opentsne_goes_down_with_it_as_with_its_tree():
    openTSNE = pytest.importorskip("openTSNE", reason="needs the plot extra")
    vectors = np.random.default_rng(0).normal(size=(150, 6))
    affinities = openTSNE.affinity.PerplexityBasedNN(vectors, perplexity=10, method="exact")
    start = 1e-4 * np.random.default_rng(1).normal(size=(150, 2))
    found = []
    for method in (tsne.gradient, "bh"):
        layout = openTSNE.TSNEEmbedding(start, affinities, negative_gradient_method=method)
        layout.optimize(100, exaggeration=12, momentum=0.8, inplace=True)
        layout.optimize(300, momentum=0.8, inplace=True)
        found.append(divergence(np.asarray(layout), affinities.P.toarray()))
        assert layout.kl_divergence == pytest.approx(found[-1], rel=1e-4 if method is tsne.gradient else 0.05)
    assert found[0] < found[1] * 1.05
