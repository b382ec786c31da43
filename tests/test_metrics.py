"""Measures against their closed forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import metrics


@given(sides=st.integers(1, 1000), symbols=st.integers(1, 10**9))
@settings(max_examples=50, deadline=None)
def test_a_die_of_n_sides_has_log_n_bits_and_perplexity_n(sides, symbols):
    found = metrics.language(symbols * math.log(sides), symbols, symbols)
    assert found["nats_per_symbol"] == pytest.approx(math.log(sides))
    assert found["bits_per_character"] == pytest.approx(math.log2(sides))
    assert found["perplexity"] == pytest.approx(sides)
    assert (found["symbols"], found["characters"]) == (symbols, symbols)


def test_bits_are_a_character_and_the_rest_a_symbol():
    words = metrics.language(nats=40 * math.log(2), symbols=5, characters=20)  # 40 bits in 5 words of 4 characters
    assert words["bits_per_character"] == pytest.approx(2)
    assert words["nats_per_symbol"] == pytest.approx(8 * math.log(2)) and words["perplexity"] == pytest.approx(256)
    letters = metrics.language(nats=40 * math.log(2), symbols=20, characters=20)
    assert letters["bits_per_character"] == words["bits_per_character"]  # so that models over different symbols compare


def test_a_text_the_model_knows_by_heart_has_no_surprise():
    assert metrics.language(0.0, 7, 9) == {
        "nats_per_symbol": 0.0, "bits_per_character": 0.0, "perplexity": 1.0, "symbols": 7, "characters": 9,
    }  # fmt: skip


def test_boundless_surprise_still_has_a_finite_perplexity():
    found = metrics.language(1e6, 10, 10)
    assert found["nats_per_symbol"] == 1e5 and math.isfinite(found["perplexity"]) and found["perplexity"] > 1e300


def test_a_model_that_is_no_number_is_not_given_one():
    assert math.isnan(metrics.language(math.nan, 10, 10)["nats_per_symbol"])
