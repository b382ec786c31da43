"""Takes cut out of sounds whose words and pauses are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import UserError, recorder
from unrolled.data import samples, sound
from unrolled.progress import Progress

RATE = 8000
WORD = 0.5  # seconds


def room(seconds: float, decibels: float = -70.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (noise * 10 ** (decibels / 20)).astype(np.float32)


def tone(seconds: float = WORD, height: float = 0.3) -> np.ndarray:
    return (height * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def heard(*parts: np.ndarray, block: int = 400) -> list[recorder.Heard]:
    whole = np.concatenate(parts)
    return list(recorder.listen(np.split(whole, range(block, len(whole), block)), RATE))


def takes(*parts: np.ndarray, block: int = 400) -> list[recorder.Take]:
    return [one.take for one in heard(*parts, block=block) if one.take is not None]


def test_each_word_between_pauses_is_a_take():
    found = takes(room(1.5), tone(), room(1.0), tone(0.8), room(1.0))
    assert [take.problem for take in found] == [None, None]
    assert [len(take.samples) / RATE for take in found] == pytest.approx([WORD + 0.2, 0.8 + 0.2], abs=0.03)
    for take in found:
        begin, end = samples.sounding(take.samples, RATE, 30)
        assert begin / RATE == pytest.approx(0.1, abs=0.021) and (len(take.samples) - end) / RATE == pytest.approx(0.1, abs=0.021)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30_000))
def test_takes_do_not_depend_on_the_blocks(block):
    parts = room(1.3), tone(), room(0.9), tone(0.3), room(0.7)
    wanted = takes(*parts)
    found = takes(*parts, block=block)
    assert len(found) == len(wanted) == 2
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(found, wanted, strict=True))


def test_a_short_pause_within_a_word_does_not_end_it():
    assert len(takes(room(1.2), tone(0.3), room(0.2), tone(0.3), room(1.0))) == 1
    assert len(takes(room(1.2), tone(0.3), room(0.6), tone(0.3), room(1.0))) == 2


def test_what_is_being_said_when_the_sound_ends_is_a_take():
    (take,) = takes(room(1.2), tone())
    assert take.problem is None and len(take.samples) / RATE == pytest.approx(WORD + 0.1, abs=0.02)


def test_the_room_is_measured_and_told():
    levels = heard(room(2.0, -60.0))
    assert levels[0].room is None and levels[-1].room == pytest.approx(-60, abs=1)
    assert levels[5].level == pytest.approx(-60, abs=1)
    assert takes(room(3.0, -30.0)) == []  # its own noise is no word


def test_a_device_that_is_silent_has_no_take_from_nothing():
    assert takes(np.zeros(5 * RATE, np.float32)) == []


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ((room(1.2), np.clip(tone(height=1.5), -1, 1), room(1.0)), "too loud, its tops are cut off"),
        ((room(1.2), tone(0.1), room(1.0)), "only 0.10 s of sound, a word has at least 0.2"),
        ((room(1.2), tone(6.0), room(1.0)), "more than 4 s of sound"),
        ((room(1.2, -85), tone(height=0.003), room(1.0, -85)), "too quiet, -53 dB of at least -50"),
        ((room(1.2, -50), tone(height=0.022), room(1.0, -50)), "only 13 dB above the room, at least 15 are needed"),
    ],
)
def test_a_take_that_cannot_be_used_says_why(parts, problem):
    found = takes(*parts)
    assert problem in found[0].problem


def test_two_samples_at_full_scale_are_a_peak_and_not_a_loss():
    loud = tone()
    loud[1000:1002] = 1.0
    assert recorder.problem(loud, -70, RATE) is None
    loud[1000:1003] = 1.0
    assert "too loud" in recorder.problem(loud, -70, RATE)


def test_the_meter_shows_eighty_decibels():
    assert recorder.meter(-40.0) == "█" * 20 + "·" * 20 + "  -40 dB"
    assert recorder.meter(3.0).startswith("█" * 40) and recorder.meter(-120.0) == "·" * 40 + "  -80 dB"


def test_takes_are_numbered_on_from_those_that_are_there(tmp_path, capsys):
    pytest.importorskip("soundfile", reason="takes are written by soundfile")
    (tmp_path / "take-0007.wav").write_bytes(b"")
    (tmp_path / "take-x.wav").write_bytes(b"")
    whole = np.concatenate((room(1.5), tone(), room(1.0), tone(0.1), room(1.0), tone(0.7), room(1.0), tone(), room(1.0)))
    written = recorder.record(tmp_path, np.split(whole, 50), RATE, 2, Progress())
    assert written == [tmp_path / "take-0008.wav", tmp_path / "take-0009.wav"]
    assert [len(sound.read(path, RATE)) / RATE for path in written] == pytest.approx([0.7, 0.9], abs=0.03)
    said = capsys.readouterr().err
    assert "the room has -70 dB. Say the word" in said
    assert "not kept: only 0.10 s of sound" in said
    assert f"take 2 of 2: {tmp_path / 'take-0009.wav'}, 0.9 s" in said


def test_a_loud_room_is_told(tmp_path, capsys):
    with pytest.raises(UserError, match="nothing is recorded: no word was heard before the sound ended"):
        recorder.record(tmp_path / "new", [room(2.0, -20.0)], RATE, None, Progress())
    assert "it is loud, a quieter place gives clearer takes" in capsys.readouterr().err


def test_where_no_take_could_be_used_nothing_is_recorded(tmp_path):
    short = np.concatenate((room(1.2), tone(0.1), room(1.0)))
    with pytest.raises(UserError, match="no take could be used, of 1 heard"):
        recorder.record(tmp_path, np.split(short, 20), RATE, None, Progress(quiet=True))
    assert list(tmp_path.iterdir()) == []
