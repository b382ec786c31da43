"""Mixed examples, taken apart again: where the words are, how loud, and what the labels say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import UserError
from unrolled.data import mixing, samples
from unrolled.data.mixing import MASKED, Mixture

RATE = 8000
PLAIN = Mixture(
    rate=RATE, hop=80, seconds=4.0, words=2, others=3, after=0.3, snr=(20.0, 20.0), speed=(1.0, 1.0), in_room=0.0, filtered=0.0,
    clipped=0.0, background=(-40.0, -40.0),
)  # fmt: skip


def burst(hertz: float, seconds: float = 0.4) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.2 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def quiet(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) * np.float32(0.01)


@pytest.fixture
def given_sounds():
    return mixing.sources([burst(500), burst(510)], [burst(2000), burst(2100, 0.7)], [quiet(20)], PLAIN, seed=1)


def found_in(row: np.ndarray, hertz: float) -> np.ndarray:
    """Which hundredths of a second sound near a frequency, (frames,)."""
    frames = row[: len(row) // 400 * 400].reshape(-1, 400)  # 20 hertz apart
    power = np.abs(np.fft.rfft(frames)) ** 2
    return power[:, round(hertz / 20) - 1 : round(hertz / 20) + 2].sum(1) / power.sum(1) > 0.5


# --- labels


def test_labels_are_ones_after_the_word_and_masked_from_its_middle():
    found = mixing.labels([(800, 1600), (4000, 4801)], 8000, PLAIN)
    assert found.dtype == np.int8 and len(found) == 100
    wanted = np.zeros(100, int)
    wanted[15:20], wanted[20:50] = MASKED, 1  # middle 1200, end 1600, then 0.3 s: frames that end after 1600 and by 4000
    wanted[55:60], wanted[60:90] = MASKED, 1
    assert found.tolist() == wanted.tolist()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 7000), st.integers(1, 1000), st.sampled_from([1, 13, 80, 160]))
def test_a_label_says_what_is_known_at_its_frames_end(begin, length, hop):
    mixture = replace(PLAIN, hop=hop)
    found = mixing.labels([(begin, begin + length)], 8000, mixture)
    ends = (np.arange(8000 // hop) + 1) * hop
    end, middle = begin + length, (2 * begin + length) // 2
    after = (ends > end) & (ends <= (end + 2400) // hop * hop)
    before = (ends > middle) & (ends <= end)
    assert np.array_equal(found == 1, after) and np.array_equal(found == MASKED, before)


def test_a_word_at_once_after_another_leaves_its_ones():
    found = mixing.labels([(0, 800), (880, 1680)], 8000, PLAIN)
    assert found[10:40].tolist() == [1] * 11 + [1] * 19 and found[:5].tolist() == [0] * 5


# --- examples


def test_a_batch_is_a_function_of_seed_and_step(given_sounds):
    one = mixing.batch(given_sounds, PLAIN, 3, seed=1, step=5)
    assert one[0].shape == (3, 32000) and one[0].dtype == np.float32 and one[1].shape == (3, 400) and one[1].dtype == np.int8
    again, longer = mixing.batch(given_sounds, PLAIN, 3, seed=1, step=5), mixing.batch(given_sounds, PLAIN, 5, seed=1, step=5)
    assert all(np.array_equal(a, b) and np.array_equal(a, c[:3]) for a, b, c in zip(one, again, longer, strict=True))
    for other in (mixing.batch(given_sounds, PLAIN, 3, 1, 6), mixing.batch(given_sounds, PLAIN, 3, 2, 5)):
        assert not np.array_equal(one[0], other[0])
    assert not np.array_equal(one[0][0], one[0][1])


def test_labels_stand_behind_the_words_that_are_heard(given_sounds):
    rows, labels = mixing.batch(given_sounds, PLAIN, 40, seed=2, step=0)
    heard_words = 0
    for row, label in zip(rows, labels, strict=True):
        begins = np.flatnonzero(np.diff((label == 1).astype(int), prepend=0) == 1)
        for begin in begins:
            if label[begin - 1] == MASKED and begin >= 40:
                word = row[(begin - 35) * 80 : (begin - 5) * 80]  # of 0.4 s before
                assert found_in(word, 505).mean() > 0.7
                heard_words += 1
        masked = label == MASKED
        said = np.repeat(found_in(row, 505), 5)
        assert said[np.flatnonzero(masked)].mean() > 0.7 if masked.any() else not said[5:-5].any()
    assert heard_words > 15


def test_words_stand_above_what_is_behind_them_as_far_as_is_asked(given_sounds):
    loud = replace(PLAIN, words=1, others=0, snr=(12.0, 12.0), recorded=1.0)
    rows, labels = mixing.batch(given_sounds, loud, 60, seed=3, step=0)
    with_word = [(row, np.flatnonzero(label == 1)[0]) for row, label in zip(rows, labels, strict=True) if (label == 1).any()]
    assert 10 < len(with_word) < 50
    for row, after in with_word:
        word = row[max(0, after - 30) * 80 : (after - 1) * 80]
        assert samples.level(word) + 40 == pytest.approx(10 * np.log10(1 + 10**1.2), abs=1.0)


def test_other_speech_has_label_0(given_sounds):
    rows, labels = mixing.batch(given_sounds, replace(PLAIN, words=0), 20, seed=4, step=0)
    assert not labels.any()
    assert np.mean([found_in(row, 2000).any() or found_in(row, 2100).any() for row in rows]) > 0.5


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=8), st.integers(0, 1000))
def test_clips_never_overlap(lengths, seed):
    begins = mixing._places(lengths, 1000, np.random.default_rng(seed))
    ends = [begin + length for begin, length in zip(begins, lengths, strict=False)]
    assert all(end <= begin for end, begin in zip(ends[:-1], begins[1:], strict=True)) and all(end <= 1000 for end in ends)
    assert all(begin >= 0 for begin in begins)
    assert len(begins) == len(lengths) or sum(lengths[: len(begins) + 1]) > 1000


def test_clips_come_to_lie_anywhere():
    drawn = np.array([mixing._places([10, 20], 40, np.random.default_rng(i)) for i in range(6000)])
    assert len(np.unique(drawn, axis=0)) == 66  # a begin from 0 to 10, the other from 10 after it to 20
    assert drawn[:, 0].min() == 0 and drawn[:, 1].max() == 20
    assert drawn[:, 0].mean() == pytest.approx(10 / 3, abs=0.3)


# --- what happens to a clip


def heard(clip: np.ndarray, mixture: Mixture, seed: int = 0) -> tuple[np.ndarray, int]:
    return mixing.heard(clip, mixing.rooms(RATE, 4, 1), mixture, np.random.default_rng(seed))


def test_a_clip_that_nothing_happens_to_is_itself():
    clip = (burst(500) * np.hanning(3200)).astype(np.float32)
    found, length = heard(clip, PLAIN)
    assert length == len(clip) and found[:length] == pytest.approx(clip, abs=1e-5)


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_a_faster_clip_is_shorter_and_higher(speed):
    clip = (burst(500, 1.0) * np.hanning(RATE)).astype(np.float32)
    found, length = heard(clip, replace(PLAIN, speed=(speed, speed)))
    assert length == pytest.approx(RATE / speed, rel=0.03)
    peak = np.abs(np.fft.rfft(found[:length])).argmax() * RATE / length
    assert peak == pytest.approx(500 * RATE / length, abs=2)
    assert np.abs(found).max() == pytest.approx(0.2, rel=0.01)


def test_a_room_is_a_convolution_with_its_response():
    clip = quiet(0.3)
    clip -= clip.mean()
    room = mixing.rooms(RATE, 1, 1)[0]
    found, length = mixing.heard(clip, [room], replace(PLAIN, in_room=1.0), np.random.default_rng(0))
    assert length == len(clip) and len(found) == len(clip) + len(room) - 1
    assert found == pytest.approx(np.convolve(clip, room), abs=5e-4)


def test_rooms_fall_by_60_decibels_and_have_energy_1():
    made = mixing.rooms(16000, 30, seed=1)
    assert all(np.dot(room, room) == pytest.approx(1, abs=1e-4) and np.abs(room).argmax() == 0 for room in made)
    assert min(map(len, made)) / 16000 >= 0.1 and max(map(len, made)) / 16000 <= 0.6
    for room in made:
        third = len(room) // 3
        early, late = samples.level(room[third : third + 400]), samples.level(room[-400:])
        assert early - late == pytest.approx(60 * (len(room) - 400 - third) / len(room), abs=3)
    assert np.array_equal(made[0], mixing.rooms(16000, 1, seed=1)[0])


def test_a_microphone_is_not_flat_and_lets_the_middle_through():
    hertz = np.linspace(0, 8000, 801, dtype=np.float32)
    uneven = []
    for seed in range(60):
        through = mixing._microphone(hertz, 8000.0, np.random.default_rng(seed))
        assert np.isfinite(through).all() and through[100] == pytest.approx(1, abs=0.02)  # 1,000 hertz
        uneven.append(through.max() / through.min() > 1.5)
    assert np.mean(uneven) > 0.8


def test_a_long_clip_of_other_speech_gives_a_piece_with_soft_ends():
    clip = np.ones(10 * RATE, np.float32)
    piece = mixing._piece(clip, PLAIN, np.random.default_rng(1))
    assert RATE <= len(piece) <= 2 * RATE and piece[0] == piece[-1] == 0 and piece[100:-100].min() == 1


# --- background


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -10.0), ("brown", -20.0)])
def test_noises_fall_with_frequency_as_their_names_say(kind, slope):
    noise = mixing.noise(kind, 64000, 16000, np.random.default_rng(1))
    power = np.abs(np.fft.rfft(noise)) ** 2
    low, high = (10 * np.log10(power[round(f * 4 * 0.8) : round(f * 4 * 1.25)].mean()) for f in (200, 2000))
    assert high - low == pytest.approx(slope, abs=1.5)  # decibels a decade


def test_a_hum_has_the_mains_and_its_harmonics_alone():
    power = np.abs(np.fft.rfft(mixing.noise("hum", RATE, RATE, np.random.default_rng(1)))) ** 2
    tones = np.flatnonzero(power > power.max() * 1e-6)
    assert tones[0] in (50, 60) and (tones % tones[0] == 0).all() and len(tones) > 3


def test_babble_is_of_several_voices():
    voices = [burst(300), burst(600), burst(900)]
    noise = mixing.noise("babble", 4 * RATE, RATE, np.random.default_rng(1), voices)
    assert len(noise) == 4 * RATE and all(found_in(noise, f).mean() < 0.9 for f in (300, 600, 900))
    assert np.abs(noise).max() > 0.25  # two at once


@pytest.mark.parametrize("made", [True, False])
def test_a_background_has_the_level_that_was_drawn(made, given_sounds):
    mixture = replace(PLAIN, recorded=0.0 if made else 1.0, background=(-50.0, -30.0), words=0, others=0)
    rows, _ = mixing.batch(given_sounds, mixture, 30, seed=1, step=0)
    levels = [samples.level(row) for row in rows]
    assert -50.1 < min(levels) < -45 and -35 < max(levels) < -29.9


def test_backgrounds_come_from_everywhere_and_may_be_whole_numbers():
    ramp = np.arange(1, 20_001).astype(np.int16)
    for seed in range(20):
        part = mixing._stretch([ramp[:500], ramp], 1000, np.random.default_rng(seed))
        steps = np.diff(part * 32768)
        assert len(part) == 1000 and part.dtype == np.float32 and np.isin(steps.round(), (1, -499)).all()
    begins = [mixing._stretch([ramp], 1000, np.random.default_rng(seed))[0] * 32768 for seed in range(200)]
    assert min(begins) < 1000 and max(begins) > 18_000
    assert mixing._stretch([ramp], 20_000, np.random.default_rng(0))[-1] * 32768 == 20_000


def test_a_word_over_silence_is_still_heard():
    silent = mixing.sources([burst(500)], [], [np.zeros(10 * RATE, np.float32)], PLAIN, seed=1)
    rows, labels = mixing.batch(silent, replace(PLAIN, recorded=1.0, words=1), 10, seed=1, step=0)
    said = [row[samples.sounding(row, RATE)[0] :][:3200] for row, label in zip(rows, labels, strict=True) if label.any()]
    loud = [samples.level(word) for word in said]
    assert loud and loud == pytest.approx([-20.0] * len(loud), abs=0.5)  # 20 decibels above -40


def test_samples_stay_within_full_scale_and_some_are_clipped(given_sounds):
    harsh = replace(PLAIN, snr=(30.0, 60.0), clipped=0.5)
    rows, _ = mixing.batch(given_sounds, harsh, 40, seed=1, step=0)
    assert np.abs(rows).max() == 1.0
    tops = [(np.abs(row) == 1.0).sum() for row in rows]
    assert sum(top > 20 for top in tops) > 8 and sum(top <= 2 for top in tops) > 8


# --- sources


def test_sources_are_trimmed_and_silent_others_left_out():
    padded = np.concatenate((np.zeros(4000, np.float32), burst(500), np.zeros(4000, np.float32)))
    found = mixing.sources([padded], [np.zeros(100, np.float32), padded], [np.empty(0, np.float32)], PLAIN, seed=1)
    assert len(found.words[0]) == pytest.approx(3360, abs=200) and len(found.others) == 1 and found.backgrounds == []
    assert len(found.rooms) == mixing.ROOMS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is no clip of the word to train on"),
        ([burst(500), np.zeros(900, np.float32)], "clip 2 of the word is silent"),
        ([burst(500, 3.0)], r"clip 1 of the word lasts 3\.0 s, at most 2\.0 are mixed"),
    ],
)
def test_words_that_cannot_be_mixed_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        mixing.sources(words, [], [], PLAIN, seed=1)
