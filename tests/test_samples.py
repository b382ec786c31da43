"""Levels, edges and rates of sounds that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import samples


def sine(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def test_a_sine_has_3_decibels_less_than_a_square():
    assert samples.level(sine(1.0, 8000)) == pytest.approx(10 * np.log10(0.5), abs=1e-4)
    assert samples.level(np.sign(sine(1.0, 8000) + 1e-9)) == pytest.approx(0.0, abs=1e-6)
    assert samples.level(0.1 * sine(1.0, 8000)) == pytest.approx(-20 + 10 * np.log10(0.5), abs=1e-4)
    assert samples.level(np.zeros(10)) == samples.level(np.empty(0)) == samples.SILENCE


def test_levels_are_those_of_each_hundredth_of_a_second():
    sound = np.concatenate((np.full(80, 0.1), np.full(80, 1.0), np.zeros(80), np.full(93, 0.5)))
    assert samples.levels(sound, 8000) == pytest.approx([-20, 0, samples.SILENCE, 20 * np.log10(0.5)])
    assert len(samples.levels(np.ones(3), 8000)) == 1 and len(samples.levels(np.empty(0), 8000)) == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3000), st.integers(81, 3000), st.integers(0, 3000))
def test_silence_is_cut_off_to_a_hundredth_of_a_second(before, loud, after):
    sound = np.concatenate((np.zeros(before), np.full(loud, 0.2), np.full(after, 0.0001)))
    begin, end = samples.sounding(sound, 8000)
    assert before - 80 < begin <= before and before + loud <= end < before + loud + 160
    assert np.array_equal(samples.trimmed(sound, 8000), sound[begin:end])


def test_silence_sounds_nowhere():
    assert samples.sounding(np.zeros(1000), 8000) == (0, 0)
    assert len(samples.trimmed(np.empty(0, np.float32), 8000)) == 0


@pytest.mark.parametrize("size", [1, 7, 1000, 123_457])
def test_a_smooth_size_is_the_next_whose_primes_are_2_3_and_5(size):
    found, rest = samples.smooth(size), samples.smooth(size)
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1 and size <= found <= size * 1.25


@pytest.mark.parametrize(("was", "rate"), [(22050, 16000), (8000, 16000), (16000, 8000), (44100, 16000), (16000, 16000)])
def test_a_tone_keeps_its_frequency_at_another_rate(was, rate):
    found = samples.resampled(sine(0.5, was) * sine(0.5, was, 1.0) ** 2, was, rate)  # it rises and falls once
    wanted = sine(0.5, rate) * sine(0.5, rate, 1.0) ** 2
    assert found.dtype == np.float32 and len(found) == len(wanted)
    assert found == pytest.approx(wanted, abs=2e-4)


def test_what_the_lower_rate_cannot_hold_is_gone():
    high = (sine(0.5, 16000, 6000.0) * np.hanning(8000)).astype(np.float32)
    assert np.abs(samples.resampled(high, 16000, 8000)).max() < 1e-3


def noise(seconds: float, level: float) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(round(seconds * 8000)) * 10 ** (level / 20)


def click(seconds: float, height: float) -> np.ndarray:
    return np.full(round(seconds * 8000), height)


def test_a_word_is_found_between_clicks_and_knocks_in_a_noisy_room():
    said = [sine(0.3, 8000) * 0.3, noise(0.2, -50), sine(0.2, 8000) * 0.3]
    after = [noise(0.6, -50), click(0.05, 0.9), noise(0.5, -50), sine(0.3, 8000) * 0.03]
    sound = np.concatenate([click(0.02, 0.9), noise(0.5, -50), *said, *after])
    begin, end = samples.word(sound, 8000)
    assert (begin / 8000, end / 8000) == (pytest.approx(0.52, abs=0.031), pytest.approx(1.22, abs=0.031))
    begin, end = samples.sounding(sound, 8000)
    assert begin == 0 and end == len(sound)


def test_a_pause_that_is_too_long_divides_words():
    sound = np.concatenate((sine(0.3, 8000) * 0.1, np.zeros(2000), sine(0.4, 8000) * 0.1, np.zeros(8000)))
    assert samples.word(sound, 8000) == (0, 2400 + 2000 + 3200 + 160)
    assert samples.word(sound, 8000, pause=0.2) == (2400 + 2000 - 160, 2400 + 2000 + 3200 + 160)


@pytest.mark.parametrize("decibels", [0.0, -30.0])
def test_a_clip_that_is_all_word_stays_whole(decibels):
    sound = sine(0.5, 8000) * 10 ** (decibels / 20)
    assert samples.word(sound, 8000) == (0, 4000)


def test_where_nothing_is_said_there_is_no_word():
    assert samples.word(np.zeros(1000), 8000) == samples.word(np.empty(0), 8000) == (0, 0)
    click_alone = np.append(click(0.02, 0.5), np.zeros(800))
    assert samples.word(click_alone, 8000) == samples.sounding(click_alone, 8000) == (0, 160)
