"""The factor on the logits, against scipy's minimiser and against what made the labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from unrolled.calibration import HIGHEST, LOWEST, temperature


def labelled(examples: int, kinds: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from the probabilities that `sharpness` times them give."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(examples, kinds)) * 2
    noise = rng.gumbel(size=logits.shape)  # the largest of logit + noise is a draw from the softmax
    return logits, (sharpness * logits + noise).argmax(1)


def total(s: float, logits: np.ndarray, labels: np.ndarray) -> float:
    return (logsumexp(s * logits, axis=1) - s * logits[np.arange(len(labels)), labels]).sum() + s - np.log(s)


@given(st.integers(0, 60), st.integers(1, 5), st.floats(0.01, 10), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_it_is_where_scipy_finds_the_least_surprise(examples, kinds, sharpness, seed):
    logits, labels = labelled(examples, kinds, sharpness, seed)
    wanted = minimize_scalar(total, bounds=(LOWEST, HIGHEST), args=(logits, labels), method="bounded", options={"xatol": 1e-8})
    assert temperature(logits, labels) == pytest.approx(wanted.x, rel=1e-4)


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 4.0])
def test_it_finds_the_factor_that_the_labels_were_drawn_with(sharpness):
    logits, labels = labelled(20_000, 4, sharpness)
    assert temperature(logits, labels) == pytest.approx(sharpness, rel=0.05)
    assert temperature(logits.astype(np.float32) * 2, labels) == pytest.approx(sharpness / 2, rel=0.05)


def test_a_handful_that_are_all_right_does_not_make_it_certain():
    right = np.array([[3.0, 0.0], [0.0, 2.0], [4.0, 0.0]])
    assert 1 < temperature(right, np.array([0, 1, 0])) < 1.5
    assert temperature(np.zeros((0, 2)), np.zeros(0, int)) == pytest.approx(1)
    assert temperature(np.ones((5, 3)), np.zeros(5, int)) == pytest.approx(1)  # logits that say nothing


def test_it_stays_within_its_bounds():
    logits = np.tile([5.0, 0.0], (1000, 1))
    assert temperature(logits, np.ones(1000, int)) == pytest.approx(LOWEST, rel=1e-6)  # always wrong
    assert temperature(logits / 100, np.zeros(1000, int)) == pytest.approx(HIGHEST, rel=1e-6)  # always right, hardly saying so


def test_masked_and_huge_logits_are_numbers_too():
    logits, labels = labelled(500, 3, 1.0)
    masked = np.concatenate((logits, np.full((500, 1), -np.inf)), 1)
    assert temperature(masked, labels) == pytest.approx(temperature(logits, labels))
    assert temperature(logits + 1e6, labels) == pytest.approx(temperature(logits, labels), rel=1e-6)
    logits[3, 1] = np.nan
    assert temperature(logits, labels) == 1  # a net that gives no numbers keeps its sharpness
    logits[3, 1] = 0
    assert LOWEST <= temperature(logits * 1e30, labels) <= HIGHEST
