"""The compiled choice of the likeliest continuations against numpy's and scipy's."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from unrolled import decode
from unrolled.kernels import beams

NONE = np.zeros(0, np.int64), np.zeros(0, np.int64)


def both(logits, nats, borders, count, never=NONE):
    """What the compiled and the other give, held to be the same."""
    found, wanted = (
        beams.best(logits.copy(), nats, borders, count, never),
        decode.best(logits.copy(), nats, borders, count, never),
    )
    for got, want in zip(found[:2], wanted[:2], strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(found[2:], wanted[2:], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-12)
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    symbols=st.sampled_from([1, 2, 7, 63, 64, 65, 200, 1000]),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    count=st.integers(1, 12),
    spread=st.sampled_from([0.01, 1.0, 30.0, 1e4]),
    values=st.sampled_from([3, 10_000]),
)
@settings(max_examples=200, deadline=None)
def test_they_are_numpys(seed, symbols, sizes, count, spread, values):
    """Few values: many equals within a row. Every second row is like the one before it: equals between rows."""
    random = np.random.default_rng(seed)
    borders = np.append(0, np.cumsum(sizes))
    R = borders[-1]
    logits = np.stack([random.choice(spread * random.normal(size=values), symbols) for _ in range(R)]).astype(np.float32)
    logits[random.random(logits.shape) < 0.1] = -np.inf
    nats = -random.random(R)
    logits[1::2], nats[1::2] = logits[0:-1:2], nats[0:-1:2]
    never = np.unique(random.integers(0, [R, symbols], (3, 2)), axis=0).T
    both(logits, nats, borders, count, tuple(never))


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_never_chosen(bad):
    logits = np.random.default_rng(0).normal(size=(3, 150)).astype(np.float32)
    logits[0, ::2], logits[1], logits[2, 64:128] = bad, bad, bad
    _, ids, nats, _ = both(logits, np.zeros(3), np.arange(4), 100)
    assert (ids[0, :75] % 2 == 1).all() and (nats[0, 75:] == -np.inf).all()
    assert (nats[1] == -np.inf).all()
    assert not ((ids[2, :86] >= 64) & (ids[2, :86] < 128)).any()


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e30])
def test_the_base_is_the_log_probability_of_logit_zero(shift):
    random = np.random.default_rng(1)
    logits = (random.normal(size=(40, 777)) * np.linspace(0.01, 100, 40)[:, None] + shift).astype(np.float32)
    base = beams.best(logits.copy(), np.zeros(40), np.arange(41), 1, NONE)[3]
    np.testing.assert_allclose(base, -logsumexp(logits.astype(np.float64), 1), rtol=1e-14)


def test_e_to_the_power_is_that_of_the_c_library():
    x = np.linspace(-699, 0, 10_001)
    np.testing.assert_allclose([beams.power(a) for a in x], np.exp(x), rtol=2e-13)
    near = np.linspace(-1, 0, 1001)
    np.testing.assert_allclose([beams.power(a) for a in near], np.exp(near), rtol=1e-15)


def test_other_kinds_of_arrays_are_taken_too():
    logits = np.random.default_rng(2).normal(size=(70, 6)).astype(np.float32)
    wanted = beams.best(logits.T.copy(), np.zeros(6), np.array([0, 6]), 4, NONE)
    for kind in (logits.T, logits.T.astype(np.float64)):
        for got, want in zip(beams.best(kind, np.zeros(6), np.array([0, 6]), 4, NONE), wanted, strict=True):
            np.testing.assert_array_equal(got, want)


def test_threads_side_by_side_find_what_one_finds():
    logits = np.random.default_rng(3).normal(size=(40, 3000)).astype(np.float32)
    nats, borders, parts = np.zeros(40), np.arange(0, 41, 5), {}

    def work(half):
        rows = slice(20 * half, 20 * half + 20)
        parts[half] = beams.best(logits[rows].copy(), nats[rows], borders[:5], 10, NONE)

    threads = [Thread(target=work, args=(half,)) for half in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    _, ids, found, base = both(logits, nats, borders, 10)
    for i, whole in ((1, ids), (2, found), (3, base)):
        np.testing.assert_array_equal(np.concatenate([parts[0][i], parts[1][i]]), whole)
