"""Reading sound: every format to the same samples, whole and in blocks; what a header claims; each fault named."""

import io
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import sound
from unrolled.errors import MISSING_EXTRA, UserError

soundfile = pytest.importorskip("soundfile", reason="the extra `audio` is not installed")
soxr = pytest.importorskip("soxr", reason="the extra `audio` is not installed")
few = settings(max_examples=40, deadline=None)


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pcm_bytes(samples: np.ndarray) -> bytes:
    return np.rint(samples * 32768).astype("<i2").tobytes()


# --- what is read


@pytest.mark.parametrize(("ending", "off"), [("wav", 1e-4), ("flac", 1e-4), ("aiff", 1e-4), ("ogg", 0.02), ("mp3", 0.02)])
def test_every_format_gives_the_samples_that_were_written(tmp_path, ending, off):
    path, samples = tmp_path / f"tone.{ending.upper()}", tone(440, 16000)
    soundfile.write(path, samples, 16000)
    got = sound.read(path, 16000)
    assert got.dtype == np.float32 and got.shape == samples.shape
    assert np.abs(got - samples)[1000:-1000].max() < off
    assert sound.info(path) == (1.0, 16000, 1)


def test_channels_are_averaged(tmp_path):
    left, right = tone(440, 8000), tone(900, 8000)
    soundfile.write(tmp_path / "a.wav", np.stack((left, right), 1), 8000, subtype="FLOAT")
    assert np.abs(sound.read(tmp_path / "a.wav", 8000) - (left + right) / 2).max() < 1e-7
    assert sound.info(tmp_path / "a.wav").channels == 2


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_is_the_same_tone_at_another_rate(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(1000, rate), rate, subtype="FLOAT")
    got = sound.read(tmp_path / "a.wav", 16000)
    assert len(got) == 16000
    assert np.abs(got - tone(1000, 16000))[800:-800].max() < 1e-4


@few
@given(st.integers(1, 9000), st.sampled_from([8000, 11025, 16000, 44100]), st.floats(0.001, 0.5))
def test_blocks_are_what_read_gives(tmp_path_factory, count, rate, seconds):
    path = tmp_path_factory.mktemp("blocks") / "a.flac"
    soundfile.write(path, np.random.default_rng(count).uniform(-0.9, 0.9, count), rate)
    got = np.concatenate([np.empty(0, np.float32), *sound.blocks(path, 16000, seconds)])
    assert np.array_equal(got, sound.read(path, 16000))
    assert len(got) == round(count * 16000 / rate)


@few
@given(st.integers(0, 3000), st.lists(st.integers(1, 700), min_size=1), st.booleans(), st.sampled_from([8000, 16000]))
def test_raw_sound_is_the_same_however_the_pipe_tears_it(count, pieces, odd, rate):
    samples = np.rint(np.random.default_rng(count).uniform(-0.9, 0.9, count) * 32768) / 32768
    pipe = Torn(pcm_bytes(samples) + b"\1" * odd, pieces)
    got = np.concatenate([np.empty(0, np.float32), *sound.pcm(pipe, rate, 16000)])
    wanted = samples.astype(np.float32)
    wanted = soxr.resample(wanted, rate, 16000) if rate != 16000 and count else wanted
    assert got.dtype == np.float32 and len(got) == len(wanted)
    assert np.abs(got - wanted).max(initial=0) < 1e-6


class Torn(io.BytesIO):
    """A pipe that gives so many bytes at a time, in turn."""

    def __init__(self, data: bytes, pieces: list[int]):
        super().__init__(data)
        self.pieces, self.turn = pieces, 0

    def read1(self, size: int = -1) -> bytes:
        self.turn += 1
        return self.read(min(size, self.pieces[self.turn % len(self.pieces)]))


def test_a_folder_is_its_sound_files_in_name_order(tmp_path):
    for name in ("b.WAV", "a.flac", "sub/c.Mp3", "notes.txt", ".hidden.wav", ".git/d.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.relative_to(tmp_path).as_posix() for path in sound.files(tmp_path)] == ["a.flac", "b.WAV", "sub/c.Mp3"]
    assert sound.files(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_a_folder_without_sound_is_told_what_is_read(tmp_path):
    (tmp_path / "a.m4a").write_bytes(b"x")
    with pytest.raises(UserError, match=r"^the folder `.*` has no sound file in it\n  next:  read are .wav .flac .*ffmpeg"):
        sound.files(tmp_path)


# --- what is written


@pytest.mark.parametrize("ending", ["wav", "FLAC"])
def test_what_was_written_is_read_again(tmp_path, ending):
    path, samples = tmp_path / f"a.{ending}", np.float32([0.25, -1.5, 1.5, 1 / 3, -1 / 32768])
    sound.write(path, samples, 16000)
    wanted = np.clip(np.rint(samples * 32768), -32768, 32767) / 32768
    assert np.array_equal(sound.read(path, 16000), wanted.astype(np.float32))
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^sound is written as .wav or .flac, not as `a.mp3`"):
        sound.write(tmp_path / "a.mp3", tone(440, 8000), 8000)
    with pytest.raises(UserError, match="a sample is nan"):
        sound.write(tmp_path / "a.wav", np.float32([0, np.nan]), 8000)
    with pytest.raises(UserError, match="cannot go on writing"):
        sound.write(tmp_path / "none" / "a.wav", tone(440, 8000), 8000)
    assert list(tmp_path.iterdir()) == []


# --- what is refused


def test_a_small_file_that_would_unpack_to_hours_is_refused_by_its_header(tmp_path, monkeypatch):
    path = tmp_path / "bomb.flac"
    soundfile.write(path, np.zeros(16000 * 60, np.int16), 16000)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(sound, "_block", None)  # nothing may be decoded
    with pytest.raises(UserError, match=r"lasts 60.0 s; allowed are 59.0\n  where: .*bomb.flac"):
        sound.read(path, 16000, longest_seconds=59)


def test_a_file_that_does_not_say_its_length_is_refused(tmp_path):
    path = tmp_path / "piped.flac"
    soundfile.write(path, np.zeros(16000 * 8, np.int16), 16000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(UserError, match="does not say how long it is, as if written to a pipe"):
        sound.read(path, 16000)


def header(channels: int = 1, rate: int = 16000, data: bytes = b"\0" * 64, declared: int | None = None) -> bytes:
    """A WAV file of 16 bits, by hand."""
    size = len(data) if declared is None else declared
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 & 0xFFFFFFFF, channels * 2, 16)
    riff = struct.pack("<4sI4s4sI", b"RIFF", min(36 + size, 0xFFFFFFFF), b"WAVE", b"fmt ", 16)
    return riff + form + struct.pack("<4sI", b"data", size) + data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (header(33, data=b"\0" * 660), r"has 33 channels; allowed are 1 to 32"),
        (header(rate=999), r"^a rate of 999 hertz is not read; allowed are 1000 to 768000"),
        (header(rate=768_001), r"^a rate of 768001 hertz is not read"),
        (header(data=b""), r"has no sample in it"),
        (header(declared=1000), r"is damaged or ends early, after 0.0 s: 1000 bytes of sound declared, 64 there"),
        (b"", r"is not read as sound: format not recognised"),
        (b"RIFF\0\0", r"is not read as sound: "),
        (b"these are words, no sound\n" * 50, r"is not read as sound: format not recognised"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(tmp_path, data, message):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(UserError, match=message):
        sound.read(tmp_path / "a.wav", 16000)
    with pytest.raises(UserError, match=message):
        list(sound.blocks(tmp_path / "a.wav", 16000))


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x80000000, 0x7FFFF000])
def test_a_file_written_to_a_pipe_declares_no_length_and_is_read(tmp_path, declared):
    (tmp_path / "a.wav").write_bytes(header(data=pcm_bytes(tone(440, 16000)), declared=declared))
    assert len(sound.read(tmp_path / "a.wav", 16000)) == 16000


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "aiff"])
def test_a_file_that_ends_early_is_damaged(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, 48000), 16000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UserError, match=r"is damaged or ends early, after \d.\d s"):
        sound.read(path, 16000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named_with_its_place(tmp_path, value):
    samples = np.zeros((90_000, 2), np.float32)
    samples[80_000, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(UserError, match=rf"^a sample is {value}, no finite number\n  where: .*a.wav: sample 80000 \(5.000 s\)"):
        sound.read(tmp_path / "a.wav", 8000)


def test_a_wrong_name_is_told_the_right_one(tmp_path):
    (tmp_path / "hello.wav").write_bytes(b"")
    (tmp_path / "hello.raw").write_bytes(b"\0\0")
    with pytest.raises(UserError, match=r"helo.wav` does not exist\n.*did you mean `hello.wav`"):
        sound.read(tmp_path / "helo.wav", 16000)
    with pytest.raises(UserError, match="is a folder; needed is a sound file"):
        sound.info(tmp_path)
    with pytest.raises(UserError, match="is raw sound: it has no header that says its rate"):
        sound.read(tmp_path / "hello.raw", 16000)


def test_raw_sound_of_an_unheard_rate_is_refused():
    with pytest.raises(UserError, match=r"^a rate of 10 hertz is not read.*\n  where: standard input"):
        sound.pcm(io.BytesIO(b""), 10, 16000)


@pytest.mark.parametrize(
    ("package", "message"), [("soundfile", "^sound files need soundfile"), ("soxr", "^sound of another rate needs soxr")]
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, package, message):
    soundfile.write(tmp_path / "a.wav", tone(440, 8000), 8000)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=message) as caught:
        sound.read(tmp_path / "a.wav", 16000)
    assert caught.value.code == MISSING_EXTRA and caught.value.fix == 'pip install "unrolled[audio]"'


# --- the microphone


class Microphone:
    """sounddevice with a microphone that hears 1, 2, 3, … and then breaks; or that is not there."""

    class PortAudioError(Exception): ...

    def __init__(self, there: bool):
        self.there, self.heard, self.open = there, 0, False

    def InputStream(self, rate, blocksize, channels, dtype):
        if not self.there:
            raise self.PortAudioError("Error querying device -1")
        assert (rate, blocksize, channels, dtype) == (16000, 800, 1, "float32")
        return self

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, *_):
        self.open = False

    def read(self, frames):
        self.heard += 1
        return np.full((frames, 1), self.heard, np.float32), False


def test_the_microphone_is_heard_until_the_caller_stops(monkeypatch):
    device = Microphone(there=True)
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    heard = sound.microphone(16000)
    first, second = next(heard), next(heard)
    assert first.shape == (800,) and (first == 1).all() and (second == 2).all() and device.open
    heard.close()
    assert not device.open


def test_without_a_microphone_one_is_told_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(there=False))
    with pytest.raises(UserError, match=r"^the microphone is not heard: Error querying device -1\n.*arecord"):
        next(sound.microphone(16000))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r"^a microphone needs sounddevice and PortAudio") as caught:
        next(sound.microphone(16000))
    assert caught.value.code == MISSING_EXTRA
