"""Speech by espeak-ng where it is installed, and by a small program of the test's own."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from unrolled import UserError, small_talk, sound_alikes, voices

RATE = 16000
espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")

TONE = """
import math, struct, sys, wave
text, path, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
text = text or sys.stdin.read()
tone = [math.sin(i * (0.1 + 0.01 * number)) * 9000 for i in range(400 * len(text))]
samples = [0.0] * 4000 + tone + [0.0] * 4000
with wave.open(path, "wb") as file:
    file.setparams((1, 2, 8000, 0, "NONE", ""))
    file.writeframes(struct.pack(f"<{len(samples)}h", *map(int, samples)))
"""


@pytest.fixture
def speaks(tmp_path):
    """The command of a program that speaks: a tone, longer for a longer text, another for each number, at 8 kHz."""
    pytest.importorskip("soundfile", reason="a command's sound file is read by soundfile")
    pytest.importorskip("soxr", reason="sound of another rate is resampled by soxr")
    (tmp_path / "speak.py").write_text(TONE)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'speak.py'))}"


# --- a command


def test_a_command_speaks_each_text_without_silence_around_it(speaks):
    clips = voices.say(["hello", "a longer text"], 4, rate=RATE, command=f"{speaks} {{text}} {{wav}} {{number}}")
    assert [len(clip) / RATE for clip in clips] == pytest.approx([0.25, 0.65, 0.25, 0.65], abs=0.03)
    assert all(clip.dtype == np.float32 and 0.2 < np.abs(clip).max() < 0.4 for clip in clips)
    assert not np.array_equal(clips[0], clips[2])  # {number} is the clip's


def test_a_text_is_one_argument_whatever_is_in_it(speaks):
    nasty = 'a "b" $(c) {wav}'
    (clip,) = voices.say(nasty, 1, rate=RATE, command=f"{speaks} {{text}} {{wav}} 0")
    assert len(clip) / RATE == pytest.approx(0.05 * len(nasty), abs=0.03)


def test_without_a_place_for_it_the_text_is_on_standard_input(speaks):
    (clip,) = voices.say("hello", 1, rate=RATE, command=f"{speaks} '' {{wav}} 0")
    assert len(clip) / RATE == pytest.approx(0.25, abs=0.03)


def test_talk_by_a_command_lasts_as_long_as_is_wanted(speaks):
    command, sentences = f"{speaks} {{text}} {{wav}} 0", ["one two", "hey you there", "yes."]
    passages = list(voices.talk(20, command=command, sentences=sentences, avoid=["Hey, you"]))
    seconds = [len(passage) / RATE for passage in passages]
    assert sum(seconds) >= 20 > sum(seconds[:-1])
    longest, shortest = 0.05 * (12 * len("one two. ") - 1), 0.05 * (12 * len("yes. ") - 1)
    assert all(shortest - 0.1 < one < longest + 0.1 for one in seconds)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("cat {text}", r"`cat \{text\}` has no \{wav\}, the file to write"),
        ("no-such-program {wav}", "there is no program `no-such-program` to speak with"),
        ("true {wav}", "`true` wrote no sound file"),
        ("false {wav}", "`false` failed with 1: it says nothing of it"),
        ("ls /no/such/folder/{wav}", "`ls` failed with 2: ls: "),
        ("say '{wav}", r"`say '\{wav\}` is not read as a command: no closing quotation"),
    ],
)
def test_a_command_that_does_not_speak_is_named(command, message):
    with pytest.raises(UserError, match=message):
        voices.say("hello", 1, command=command)


def test_a_program_that_cannot_be_run_is_named(tmp_path):
    (tmp_path / "broken").write_bytes(b"\0\1\2")
    (tmp_path / "broken").chmod(0o755)
    with pytest.raises(UserError, match="broken` cannot be run: "):
        voices.say("hello", 1, command=f"{tmp_path / 'broken'} {{wav}}")


def test_a_program_that_is_never_ready_is_stopped_with_what_it_started(monkeypatch):
    monkeypatch.setattr(voices, "PATIENCE", 0.2)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"`sh` was not ready after 0\.2 s"):
        voices.say("50", 1, command="sh -c 'sleep {text}; true' {wav}")
    assert time.monotonic() - began < 20  # the sleeper has the pipe, which would have been waited for


def test_a_program_that_is_silent_is_named(speaks):
    with pytest.raises(UserError, match=r"nothing is heard when `.*` says ``"):
        voices.say("", 1, command=f"{speaks} {{text}} {{wav}} 0")


def test_without_any_text_there_is_nothing_to_say():
    with pytest.raises(UserError, match="there is no text to say"):
        voices.say([], 3)


def test_without_espeak_the_next_step_is_told(monkeypatch):
    monkeypatch.setattr(voices, "ESPEAK", "no-espeak-here")
    with pytest.raises(UserError, match="espeak-ng, which speaks, is not installed") as raised:
        voices.say("hello", 1)
    assert raised.value.code == 3 and "apt install espeak-ng" in raised.value.fix


def test_where_every_sentence_has_the_word_no_talk_is_made(speaks):
    with pytest.raises(UserError, match="hardly a sentence is without `computer`"):
        list(voices.talk(1, command=f"{speaks} {{text}} {{wav}} 0", sentences=["my computer"], avoid=["computer"]))


# --- espeak-ng


@espeak
def test_every_clip_is_another_voice_and_the_seed_decides():
    clips = voices.say("hey computer", 12, seed=3, rate=RATE)
    again = voices.say("hey computer", 6, seed=3, rate=RATE)
    assert all(np.array_equal(one, other) for one, other in zip(clips, again, strict=False))
    assert len({clip.tobytes() for clip in clips}) == 12
    assert all(0.4 < len(clip) / RATE < 2.0 and np.abs(clip).max() > 0.05 for clip in clips)
    assert not np.array_equal(clips[0], voices.say("hey computer", 1, seed=4, rate=RATE)[0])


@espeak
def test_a_clip_has_the_same_speech_at_any_rate():
    (low,), (high,) = (voices.say("computer", 1, seed=1, rate=rate) for rate in (8000, 22050))
    assert len(low) / 8000 == pytest.approx(len(high) / 22050, abs=0.03)
    assert np.sqrt(np.mean(low**2)) == pytest.approx(np.sqrt(np.mean(high**2)), rel=0.15)


@espeak
def test_espeak_has_hundreds_of_english_voices():
    found = voices.voices("en")
    assert len(found) == len(set(found)) > 300
    assert {"en-us", "en-gb+Alicia"} <= set(found) and not any("mb" in voice.split("+")[0].split("-") for voice in found)
    assert all(voice.startswith("de") for voice in voices.voices("de"))
    with pytest.raises(UserError, match="espeak-ng has no voice for `xx`"):
        voices.voices("xx")


@espeak
def test_what_cannot_be_spoken_is_named():
    with pytest.raises(UserError, match="nothing is heard when `espeak-ng` says ` `"):
        voices.say(" ", 1)


@espeak
def test_talk_is_of_many_words():
    passages = list(voices.talk(30, seed=1, rate=RATE))
    assert sum(map(len, passages)) / RATE >= 30 and all(len(passage) / RATE > 5 for passage in passages)
    again = next(voices.talk(1, seed=1, rate=RATE))
    assert np.array_equal(passages[0], again)


# --- texts


def test_sentences_are_filled_and_various():
    rng = np.random.default_rng(1)
    made = [small_talk.sentence(rng) for _ in range(500)]
    assert not any(re.search(r"[{}|\n]|  ", one) for one in made)
    assert len(set(made)) > 400
    said = {word for one in made for word in re.findall(r"[a-z']+", one.lower())}
    assert said <= set(small_talk.common_words()) and len(small_talk.common_words()) > 300


@pytest.mark.parametrize(
    ("text", "phrase", "wanted"),
    [
        ("Hey, Computer!", "hey computer", True),
        ("hey you computer", "hey computer", False),
        ("they computer", "hey computer", False),
        ("anything", "", False),
        ("größe", "Größe", True),
    ],
)
def test_a_text_says_a_phrase_if_its_words_stand_in_a_row(text, phrase, wanted):
    assert voices.says(text, phrase) is wanted


@pytest.mark.parametrize(
    ("word", "pieces"),
    [("computer", ["com", "pu", "ter"]), ("alexa", ["a", "le", "xa"]), ("hey", ["hey"]), ("hmm", ["hmm"]), ("石", ["石"])],
)
def test_syllables(word, pieces):
    assert sound_alikes.syllables(word) == pieces


def test_near_words_are_parts_cuts_rhymes_and_never_the_phrase():
    found = sound_alikes.near("Hey, computer", phonemes=False)
    assert {"hey", "computer", "computer hey", "hey compu", "puter", "ley computer", "hey lomputer"} <= set(found)
    assert len(found) == len(set(found)) > 40
    assert not any(voices.says(text, "hey computer") for text in found)
    assert not {"hey komputer", "hey gomputer"} & set(found)  # how some say it
    assert sound_alikes.near("x", phonemes=False) == []


@espeak
def test_one_sound_away_is_one_phoneme_away():
    found = [text for text in sound_alikes.near("hey computer") if text.startswith("[[")]
    wanted = ["h'eI", "k@mpj'u:t3"]
    assert len(found) > 15 and len(set(found)) == len(found)
    for text in found:
        words = text.strip("[]").split(" ")
        (changed,) = [i for i in range(2) if words[i] != wanted[i]]
        assert words[changed][0] == wanted[changed][0] or words[changed][1:] == wanted[changed][1:]
    near, phrase = voices.say([found[0], "hey computer"], 2)
    assert len(near) and not np.array_equal(near, phrase)


@espeak
def test_what_another_accent_has_is_no_other_sound(monkeypatch):
    monkeypatch.setattr(sound_alikes, "EDITS", 100)  # all that there are
    found = {text.strip("[]") for text in sound_alikes.near("hey computer")}
    assert {"h'eI b@mpj'u:t3", "h'eI k@mpj'u:s3", "h'aI k@mpj'u:t3"} <= found
    assert not {"h'eI g@mpj'u:t3", "h'eI k@mpj'u:d3", "h'eI k@npj'u:t3", "h'eI k@mpj'Ut3", "h'eI k'I:mpj'u:t3"} & found


@espeak
def test_another_language_has_its_own_sounds():
    found = [text for text in sound_alikes.near("hallo rechner", "de") if text.startswith("[[")]
    assert found and all("C" in text or "h'alo:" in text for text in found)
    assert all(one != other for one, other in pairwise(found))


# --- flite


def told(kind):
    """A speaker that says who it is, what, and the number of the clip."""
    return lambda text, number: (kind, text, number)


def test_a_share_of_the_clips_is_people_s_and_phonemes_never():
    either = voices._either
    said = [either(told("formants"), told("people"), 7, "computer", i) for i in range(400)]
    assert said == [either(told("formants"), told("people"), 7, "computer", i) for i in range(400)]
    assert [one[1:] for one in said] == [("computer", i) for i in range(400)]
    assert abs(sum(kind == "people" for kind, *_ in said) - 400 * voices.SHARE) < 40
    assert {either(told("formants"), told("people"), 7, "[[k@m'pju:t3]]", i)[0] for i in range(40)} == {"formants"}


def flite_is_there(monkeypatch, there):
    monkeypatch.setattr(voices, "voices", lambda language: [language])
    monkeypatch.setattr(shutil, "which", lambda name: name if there or name != "flite" else None)


@pytest.mark.parametrize(
    ("there", "language", "kind"), [(True, "en", "_either"), (True, "de", "_espeak"), (False, "en", "_espeak")]
)
def test_people_speak_english_where_flite_is_installed(monkeypatch, there, language, kind):
    flite_is_there(monkeypatch, there)
    assert voices.speaker(1, RATE, language, None).func is getattr(voices, kind)


@flite
def test_flite_s_clips_differ_in_length_and_pitch_and_come_again():
    clips = [voices._flite(3, RATE, "computer", i) for i in range(8)]
    assert all(0.25 < len(clip) / RATE < 1.6 and np.abs(clip).max() > 0.05 for clip in clips)
    assert len({len(clip) for clip in clips}) > 5
    np.testing.assert_array_equal(clips[2], voices._flite(3, RATE, "computer", 2))


@flite
def test_flite_says_what_looks_like_a_command_as_text():
    assert len(voices._flite(1, RATE, "-o /tmp/nothing; ls", 0))
