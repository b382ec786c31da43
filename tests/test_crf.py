"""The conditional random field: its loops against all K^T paths written out, against SciPy, and against the equations."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from unrolled import UserError
from unrolled.crf import CRF, NEVER, by_steps

BIO = (torch.tensor([True, True, False]), torch.tensor([[True, True, False], [True, True, True], [True, True, True]]), None)
OPEN = {"start": None, "follows": None, "end": None}


def field(K, seed, start=None, follows=None, end=None, scale=1.0):
    """A float64 field with scores drawn at random."""
    random = np.random.default_rng(seed)
    crf = CRF(start, follows, end, tags=K).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.from_numpy(random.normal(size=tuple(parameter.shape)) * scale))
    return crf


def some_limits(K, seed):
    """Random limits under which tag 0 may do everything, so that a path is left at any length."""
    random = np.random.default_rng(seed)
    start, follows, end = (random.random(shape) < 0.6 for shape in (K, (K, K), K))
    start[0] = follows[0, 0] = end[0] = True
    return {"start": start, "follows": follows, "end": end}


def normal(*shape, seed=1, scale=1.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape) * scale)


def paths(crf, e):
    """Every legal path of one row, e (T, K), and its score, best first: nothing but additions."""
    start, follows, end = (scores.detach().numpy() for scores in crf.scores())
    found = []
    for path in itertools.product(range(e.shape[1]), repeat=len(e)):
        score = start[path[0]] + end[path[-1]] + sum(e[t, y] for t, y in enumerate(path))
        score += sum(follows[a, b] for a, b in itertools.pairwise(path))
        if score > -np.inf:
            found.append((score, path))
    return sorted(found, reverse=True)


# --- against all paths


@settings(max_examples=60, deadline=None)
@given(
    K=st.integers(1, 4), T=st.integers(1, 5), seed=st.integers(0, 10**6), limited=st.booleans(), scale=st.sampled_from([1, 30])
)
def test_sum_best_n_best_and_marginals_equal_all_paths_written_out(K, T, seed, limited, scale):
    crf = field(K, seed, **(some_limits(K, seed) if limited else OPEN))
    e = normal(1, T, K, seed=seed + 1, scale=scale)
    known = paths(crf, e[0].numpy())
    scores = np.array([score for score, _ in known])
    probabilities = np.exp(scores - logsumexp(scores))

    score, path = known[len(known) // 2]
    nats = crf(e, torch.tensor([path]))
    assert nats.item() == pytest.approx(logsumexp(scores) - score, abs=1e-10)
    best, best_score = crf.best(e)
    assert tuple(best[0].tolist()) == known[0][1] and best_score.item() == pytest.approx(scores[0], abs=1e-10)
    tags, p = crf.n_best(e, n=5)
    assert [tuple(row) for row in tags[0].tolist()] == ([path for _, path in known] + [(-1,) * T] * 5)[:5]
    assert p[0].numpy() == pytest.approx(np.append(probabilities, np.zeros(5))[:5], abs=1e-12)
    wanted = np.zeros((T, K))
    for probability, (_, path) in zip(probabilities, known, strict=True):
        wanted[range(T), path] += probability
    assert crf.marginals(e)[0].numpy() == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(K=st.integers(1, 4), T=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_the_equations_by_steps_equal_all_paths_written_out(K, T, seed):
    crf = field(K, seed, **some_limits(K, seed))
    e = normal(1, T, K, seed=seed)
    known = paths(crf, e[0].numpy())
    score, path = known[-1]
    nats = by_steps(e, torch.tensor([path]), torch.tensor([T]), *crf.scores(NEVER))
    assert nats.item() == pytest.approx(logsumexp([score for score, _ in known]) - score, abs=1e-10)


def test_what_a_step_says_is_the_sum_over_all_paths_so_far():
    crf = field(3, 4, **some_limits(3, 4))
    e = normal(1, 5, 3, seed=4)
    state, free = crf.start_step(1), field(3, 4, **(some_limits(3, 4) | {"end": None}))
    free.end.data.zero_()
    for t in range(5):
        said, state = crf.step(e[:, t], state)
        weights = np.zeros(3)
        for score, path in paths(free, e[0, : t + 1].numpy()):
            weights[path[-1]] += np.exp(score)
        assert said[0].exp().numpy() == pytest.approx(weights / weights.sum(), abs=1e-12)


# --- gradients


@pytest.mark.parametrize("limited", [False, True])
def test_the_gradient_is_that_of_finite_differences(limited):
    crf = field(3, 7, **(some_limits(3, 7) if limited else OPEN))
    lengths, e = torch.tensor([4, 1, 3]), normal(3, 4, 3).requires_grad_()
    tags, _ = crf.best(normal(3, 4, 3, seed=9), lengths)
    weights = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)

    def weighted(e, *parameters):
        return crf(e, tags, lengths) * weights

    assert torch.autograd.gradcheck(weighted, (e, *crf.parameters()))


def gradients(nats, *inputs):
    return torch.autograd.grad((nats * torch.linspace(0.5, 2, len(nats), dtype=nats.dtype)).sum(), inputs, materialize_grads=True)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 5), (5, 9, 1), (37, 13, 25), (2, 4, 130)])
@pytest.mark.parametrize("limited", [False, True])
def test_the_compiled_loops_equal_the_equations_forward_and_backward(shape, limited):
    B, T, K = shape
    crf = field(K, 5, **(some_limits(K, 5) if limited else OPEN))
    lengths = torch.from_numpy(np.random.default_rng(2).integers(1, T + 1, B))
    e = normal(*shape, scale=3).requires_grad_()
    tags, _ = crf.best(normal(*shape, seed=3), lengths)
    nats, wanted = crf(e, tags, lengths), by_steps(e, tags, lengths, *crf.scores(NEVER))
    assert torch.allclose(nats, wanted, rtol=1e-12, atol=1e-10)
    for found, right in zip(gradients(nats, e, *crf.parameters()), gradients(wanted, e, *crf.parameters()), strict=True):
        assert torch.allclose(found, right, rtol=1e-10, atol=1e-11)


def test_in_float32_only_what_comes_in_and_goes_out_is_rounded():
    crf = field(25, 3)
    e, lengths = normal(8, 40, 25, scale=3).float().requires_grad_(), torch.arange(33, 41)
    tags = torch.from_numpy(np.random.default_rng(1).integers(0, 25, (8, 40)))
    low = crf(e, tags, lengths)
    high = crf(e.double(), tags, lengths)
    assert low.dtype == torch.float32 and torch.allclose(low.double(), high, rtol=1e-7)
    for found, right in zip(gradients(low, e, *crf.parameters()), gradients(high, e, *crf.parameters()), strict=True):
        assert torch.allclose(found.double(), right.double(), rtol=1e-6, atol=1e-7)
    half = crf(e.bfloat16(), tags, lengths)
    assert half.dtype == torch.float32 and torch.allclose(half, crf(e.bfloat16().float(), tags, lengths))


def test_a_second_derivative_is_refused():
    crf, e = field(2, 1), normal(1, 3, 2).requires_grad_()
    nats = crf(e, torch.tensor([[0, 1, 0]]))
    with pytest.raises(RuntimeError, match="differentiable once"):
        torch.autograd.grad(nats, e, create_graph=True)


def test_forbidden_scores_get_no_gradient_and_stay():
    crf = CRF(*BIO)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.fill_(0.25)
    step = torch.optim.Adam(crf.parameters(), 0.1)
    tags = torch.tensor([[0, 1, 2, 2], [1, 0, 0, 1]])
    crf(torch.zeros(2, 4, 3), tags).sum().backward()
    assert crf.start.grad[2] == 0 and crf.follows.grad[0, 2] == 0 and crf.follows.grad[1, 2] != 0
    step.step()
    assert crf.start[2] == 0.25 and crf.follows[0, 2] == 0.25 and crf.follows[1, 2] != 0.25


# --- long rows, large scores


def in_logarithms(crf, e, tags):
    """ln Z - score, as differences small enough to add up exactly, and the best path's score: NumPy, float64."""
    start, follows, end = (scores.detach().numpy() for scores in crf.scores())
    alpha = v = start + e[0]
    nats, score = -alpha[tags[0]], alpha[tags[0]]
    for t in range(1, len(e)):
        step = follows[tags[t - 1], tags[t]] + e[t, tags[t]]
        top = alpha.max()
        nats, score = nats + (top - step), score + step
        to = (alpha - top)[:, None] + follows  # (from, to)
        most = to.max(0)
        alpha = most + np.log(np.exp(to - most).sum(0)) + e[t]
        v = (v[:, None] + follows).max(0) + e[t]
    return nats + logsumexp(alpha + end) - end[tags[-1]], (v + end).max()


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_ten_thousand_steps_of_large_scores(scale):
    crf = field(5, 6, **some_limits(5, 6))
    e = np.random.default_rng(1).uniform(-scale, scale, (10_000, 5)).astype(np.float32)
    at = torch.from_numpy(e)[None]
    tags, score = crf.best(at)
    nats, best = in_logarithms(crf, e.astype(np.float64), tags[0].numpy())
    assert crf(at.double(), tags).item() == pytest.approx(nats, rel=1e-9, abs=1e-7)
    assert crf(at, tags).item() == pytest.approx(nats, rel=1e-6, abs=1e-6)
    assert score.item() == pytest.approx(best, rel=1e-12)
    gamma = crf.marginals(at.double())
    assert torch.allclose(gamma.sum(2), torch.ones(1, 10_000, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize("scale", [500.0, 1e4])
def test_a_path_that_must_take_what_is_all_but_impossible(scale):
    """Tags 1 and 2 lie 500 or 10,000 nats below tag 0, but no row may end in 0 and 0 leads only to 1: products lose them."""
    follows = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 1]], bool)
    crf = field(3, 2, start=np.array([True, True, True]), follows=follows, end=np.array([False, False, True]))
    e = normal(2, 6, 3)
    e[:, :, 1:] -= scale
    e[1, 2:4, 0] -= 3 * scale
    e.requires_grad_()
    tags, lengths = torch.tensor([[0, 0, 0, 0, 1, 2], [1, 2, 0, 1, 2, 0]]), torch.tensor([6, 5])
    nats, wanted = crf(e, tags, lengths), by_steps(e, tags, lengths, *crf.scores(NEVER))
    assert torch.allclose(nats, wanted, rtol=1e-10, atol=1e-8)
    for found, right in zip(gradients(nats, e, *crf.parameters()), gradients(wanted, e, *crf.parameters()), strict=True):
        assert torch.allclose(found, right, rtol=1e-7, atol=1e-8)
    known = paths(crf, e[0].detach().numpy())
    assert tuple(crf.best(e)[0][0].tolist()) == known[0][1]


# --- rows


def everything(crf, e, tags, lengths):
    e = e.clone().requires_grad_()
    nats = crf(e, tags, lengths)
    (slope,) = torch.autograd.grad(nats.sum(), e)
    return nats.detach(), slope, *crf.best(e, lengths), crf.marginals(e, lengths), *crf.n_best(e, lengths, 3)


@pytest.fixture
def ragged():
    B, T, K = 19, 30, 9
    crf = field(K, 8, **some_limits(K, 8)).float()
    lengths = torch.from_numpy(np.random.default_rng(4).integers(1, T + 1, B))
    lengths[3] = 1
    e = normal(B, T, K, scale=2).float()
    return crf, e, crf.best(normal(B, T, K, seed=5), lengths)[0], lengths


def test_a_row_is_the_same_alone_to_the_bit(ragged):
    crf, e, tags, lengths = ragged
    together = everything(crf, e, tags, lengths)
    for row in range(len(e)):
        n = int(lengths[row])
        alone = everything(crf, e[row : row + 1, :n], tags[row : row + 1, :n], lengths[row : row + 1])
        for one, all_ in zip(alone, together, strict=True):
            mine = all_[row]
            mine = mine if mine.shape == one[0].shape else mine[:n] if len(mine) == len(e[0]) else mine[:, :n]
            assert torch.equal(one[0], mine)


def test_what_stands_after_a_row_does_not_matter(ragged):
    crf, e, tags, lengths = ragged
    clean = everything(crf, e, tags, lengths)
    after = torch.arange(e.shape[1]) >= lengths[:, None]
    e[after], tags[after] = torch.nan, -100
    for one, other in zip(clean, everything(crf, e, tags, lengths), strict=True):
        assert torch.equal(one, other)
    assert clean[1][after].abs().max() == 0 and clean[2][after].max() == 0 and clean[4][after].max() == 0
    nats = by_steps(e.requires_grad_(), tags, lengths, *crf.scores(NEVER))
    (slope,) = torch.autograd.grad(nats.sum(), e)
    assert torch.allclose(nats.float(), clean[0], rtol=1e-5) and torch.allclose(slope, clean[1], atol=1e-6)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    crf, lengths = field(25, 8), torch.arange(9, 40)
    e, tags = normal(31, 39, 25), torch.randint(25, (31, 39))
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        crf.zero_grad()
        crf(e, tags, lengths).sum().backward()
        found.append([*everything(crf, e, tags, lengths), *(parameter.grad.clone() for parameter in crf.parameters())])
    for one, two, three in zip(*found, strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)


def test_without_lengths_rows_are_full_and_no_rows_are_no_work():
    crf, e, tags = field(4, 1), normal(3, 6, 4), torch.randint(4, (3, 6))
    assert torch.equal(crf(e, tags), crf(e, tags, torch.tensor([6, 6, 6])))
    assert crf(e[:0], tags[:0]).shape == (0,) and crf.best(e[:0])[0].shape == (0, 6) and crf.marginals(e[:0]).shape == (0, 6, 4)
    assert crf.n_best(e[:0], n=2)[0].shape == (0, 2, 6)


def test_a_tag_that_follows_none_stands_first_or_nowhere():
    crf = field(3, 2, follows=np.array([[1, 0, 1], [1, 0, 1], [1, 0, 1]], bool))
    e = normal(1, 4, 3)
    known = paths(crf, e[0].numpy())
    assert len(known) == 3 * 2**3 and all(1 not in path[1:] for _, path in known)
    assert crf(e, torch.tensor([[1, 0, 2, 0]])).item() == pytest.approx(
        logsumexp([score for score, _ in known]) - dict((path, score) for score, path in known)[1, 0, 2, 0], abs=1e-10
    )
    assert crf.marginals(e)[0, 1:, 1].max() == 0 and tuple(crf.best(e)[0][0].tolist()) == known[0][1]


def test_answers_are_always_legal():
    crf = CRF(*BIO)
    e = torch.zeros(50, 7, 3)
    e[:, :, 2] = 1000 * torch.rand(50, 7)
    for tags in (crf.best(e)[0], *crf.n_best(e, n=4)[0].unbind(1)):
        before = torch.cat([torch.zeros(50, 1, dtype=torch.long), tags[:, :-1]], 1)
        assert not ((tags == 2) & (before == 0)).any() and (tags >= 0).all()
    assert crf.marginals(e)[:, 0, 2].max() == 0


# --- what is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "`CRF` got no number of tags"),
        ({"tags": 0}, "`CRF` got no number of tags"),
        ({"start": np.ones(3, bool), "end": np.ones(4, bool)}, r"`end` is (4,), torch.bool; (3,) of torch.bool is needed"),
        ({"follows": np.ones((3, 4), bool)}, "`follows` is (3, 4), torch.bool; (3, 3) of torch.bool is needed"),
        ({"start": np.ones(3)}, "`start` is (3,), torch.float64; (3,) of torch.bool is needed"),
        ({"start": np.zeros(3, bool)}, "no path of length 1 is legal: `start`, `follows` and `end` forbid them all"),
        ({"end": np.zeros(3, bool)}, "no path of length 1 is legal"),
        ({"follows": np.zeros((3, 3), bool)}, "no path of length 2 is legal"),
        ({"follows": ~np.eye(2, dtype=bool), "start": np.array([True, False]), "end": np.array([True, False])}, "of length 2 is"),
    ],
)
def test_a_field_without_legal_paths_is_refused(given, message):
    with pytest.raises(UserError) as error:
        CRF(**given)
    assert message in error.value.what


@pytest.mark.parametrize(
    ("tags", "what", "where"),
    [
        ([[0, 2, 0], [0, 0, 0]], "tag 2 may not stand after tag 0", "row 0, step 1"),
        ([[2, 0, 0], [0, 0, 0]], "tag 2 may not stand at the start", "row 0, step 0"),
        ([[0, 0, 0], [0, 1, 0]], "tag 1 may not stand after tag 0, the row's last step", "row 1, step 1"),
        ([[0, 3, 0], [0, 0, 0]], "tag 3 is none of the 3 (0 to 2)", "row 0, step 1"),
        ([[0, 0, 0], [-1, 0, 0]], "tag -1 is none of the 3 (0 to 2)", "row 1, step 0"),
    ],
)
def test_tags_that_are_none_or_forbidden_are_named(tags, what, where):
    crf = CRF(BIO[0], BIO[1], torch.tensor([True, False, True]))
    with pytest.raises(UserError) as error:
        crf(torch.zeros(2, 3, 3), torch.tensor(tags), torch.tensor([3, 2]))
    assert error.value.what == what and error.value.where == where


def test_shapes_that_do_not_fit_are_refused():
    crf = CRF(tags=3)

    def refused(*given):
        with pytest.raises(UserError) as error:
            crf(*given)
        return error.value.what

    tags = torch.zeros(2, 4, dtype=torch.long)
    assert refused(torch.zeros(2, 4, 5), tags) == "`emissions` are (2, 4, 5); (rows, steps, 3) is needed"
    assert refused(torch.zeros(4, 3), tags) == "`emissions` are (4, 3); (rows, steps, 3) is needed"
    assert refused(torch.zeros(2, 5, 3), tags) == "`tags` are (2, 4); (2, 5) is needed"
    for lengths in ([4], [0, 4], [5, 4]):
        message = f"`lengths` are {lengths}; one for each of 2 rows, from 1 to 4, is needed"
        assert refused(torch.zeros(2, 4, 3), tags, torch.tensor(lengths)) == message


def test_a_net_that_has_diverged_says_so():
    crf, e = CRF(*BIO), torch.zeros(2, 4, 3)
    e[1, 1, 1] = torch.nan  # of a tag that is not the right one
    nats = crf(e.requires_grad_(), torch.zeros(2, 4, dtype=torch.long))
    nats.sum().backward()
    assert nats.isnan().tolist() == [False, True] and e.grad[1].isnan().any() and not e.grad[0].isnan().any()
    for value in (torch.nan, torch.inf):
        e.data[1, 1, 1] = value
        for ask in (crf.best, crf.marginals, crf.n_best):
            with pytest.raises(UserError, match="the tags' scores are no numbers"):
                ask(e.detach())
    crf.follows.data[1, 1] = torch.nan
    with pytest.raises(UserError, match="the tags' scores are no numbers"):
        crf.best(torch.zeros(1, 1, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_numbers():
    crf, e, tags = CRF(*BIO), normal(4, 9, 3).float(), torch.zeros(4, 9, dtype=torch.long)
    wanted = gradients(crf(e.requires_grad_(), tags), e, *crf.parameters())
    crf, there = crf.cuda(), e.detach().cuda().requires_grad_()
    for found, right in zip(gradients(crf(there, tags.cuda()), there, *crf.parameters()), wanted, strict=True):
        assert torch.allclose(found.cpu(), right, atol=1e-6)
    assert torch.equal(crf.best(there)[0].cpu(), CRF(*BIO).best(e)[0])
