"""Sound files and raw streams as float32 mono samples of one rate, whole or in blocks.

libsndfile (soundfile) decodes WAV, FLAC, Ogg Vorbis and Opus, MP3 and AIFF; soxr resamples. What a header claims is checked
before anything is decoded, since a small file can unpack to any size.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import MISSING_EXTRA, UserError, did_you_mean, of_system

ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")
LONGEST_SECONDS = 3600.0  # that read() holds whole: 230 MB at 16 kHz
MOST_CHANNELS = 32
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
RAW = 16_000  # hertz of raw sound that nothing is said of
BLOCK = 1 << 16  # frames decoded at a time by read(); bytes taken from a pipe
UNKNOWN = 1 << 62  # frames that libsndfile gives a FLAC file whose header leaves them out, as one written to a pipe does
# A WAV file written to a pipe declares 2 or 4 GB, since its length was not known in front; libsndfile's log has what it declares.
ENDLESS = 0x7FFF0000
DECLARED = re.compile(r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
TO_WAV = "ffmpeg -i IN OUT.wav makes a WAV file of nearly anything"


class Info(NamedTuple):
    """What a sound file's header says: seconds, rate in hertz, channels."""

    seconds: float
    rate: int
    channels: int


def files(folder_or_file: Path) -> list[Path]:
    """A file itself, or the sound files of a folder at any depth, by ending, in name order; hidden ones are left out.

    UserError where there is none.
    """
    root = Path(folder_or_file)
    if not root.is_dir():
        return [_existing(root)]
    inside = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in ENDINGS and path.is_file()]
    found = [path for path in inside if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    if not found:
        raise UserError(f"the folder `{root}` has no sound file in it", fix=f"read are {' '.join(ENDINGS)}; {TO_WAV}")
    return found


def info(path: Path) -> Info:
    """A file's seconds, rate and channels, from its header. UserError as for read()."""
    with _open(Path(path)) as file:
        return Info(file.frames / file.samplerate, file.samplerate, file.channels)


def read(path: Path, rate: int, longest_seconds: float = LONGEST_SECONDS) -> np.ndarray:
    """A file's samples (N,) at `rate` hertz: float32, full scale 1, the mean of its channels.

    UserError where the file is not sound, damaged, ends early, is longer than `longest_seconds`, has more than MOST_CHANNELS
    channels, a rate outside LOWEST_RATE to HIGHEST_RATE, no sample, or one that is no finite number.
    """
    path = Path(path)
    with _open(path) as file:
        if (seconds := file.frames / file.samplerate) > longest_seconds:
            said = f"`{path}` lasts {seconds:.1f} s; allowed are {longest_seconds:.1f}"
            raise UserError(said, str(path), "cut it into shorter files")
        parts = resampled(_decoded(path, file, BLOCK), file.samplerate, rate)
        return np.concatenate([np.empty(0, np.float32), *parts])


def blocks(path: Path, rate: int, seconds: float = 1.0) -> Iterator[np.ndarray]:
    """read() in blocks of about so many seconds, of a file of any length with flat memory; the same samples."""
    path = Path(path)
    with _open(path) as file:
        frames = max(1, round(seconds * file.samplerate))
        yield from resampled(_decoded(path, file, frames), file.samplerate, rate)


def pcm(file: BinaryIO, rate_in: int, rate: int) -> Iterator[np.ndarray]:
    """Raw mono sound of 16 bits, little-endian, at `rate_in` hertz (`arecord -t raw -f S16_LE`): blocks of float32 at `rate`, as
    they come. Half a sample at the end is dropped."""
    _check_rate(rate_in, "standard input")
    return resampled(_numbers(file), rate_in, rate)


def microphone(rate: int, seconds: float = 0.05) -> Iterator[np.ndarray]:
    """What the microphone hears, as it comes, until the caller stops: blocks (N,) of so many seconds, float32 at `rate` hertz.

    UserError where there is no microphone or it does not know that rate.
    """
    sounddevice = _sounddevice()
    frames = max(1, round(seconds * rate))
    try:
        with sounddevice.InputStream(rate, blocksize=frames, channels=1, dtype="float32") as stream:
            while True:
                block, _ = stream.read(frames)
                yield block[:, 0]
    except sounddevice.PortAudioError as error:
        fix = "pipe sound in instead: arecord -t raw -f S16_LE -r 16000 | unrolled …"
        raise UserError(f"the microphone is not heard: {error}", None, fix) from None


def heard(source: str, rate: int, hertz: int | None, seconds: float = 1.0) -> Iterator[np.ndarray]:
    """What comes from the microphone (`mic`), as raw sound at `hertz` (16,000 if None) through standard input (`-`), or from a
    file in blocks of so many seconds: at `rate`. UserError for hertz that nothing is read at."""
    if hertz is not None and source != "-":
        raise UserError(f"`--hertz` is of raw sound through standard input; `{source}` has a rate of its own", fix="leave it out")
    if source == "mic":
        return microphone(rate)
    return pcm(sys.stdin.buffer, hertz or RAW, rate) if source == "-" else blocks(Path(source), rate, seconds)


def write(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write samples (N,), full scale 1, as a mono WAV or FLAC file of 16 bits; what is louder is clipped.

    It stands under its name only when it is whole. read() gives back what was written to within half a step of 16 bits.
    """
    path, soundfile = Path(path), _soundfile()
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("wav", "flac"):
        raise UserError(f"sound is written as .wav or .flac, not as `{path.name}`")
    _check_finite(np.asarray(samples), 0, rate, path)
    whole = np.clip(np.rint(np.asarray(samples, np.float64) * 32768), -32768, 32767).astype(np.int16)
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "wb") as file:
            soundfile.write(file, whole, rate, subtype="PCM_16", format=kind.upper())
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise of_system(error, "writing", str(path)) from None


# --- a file's header


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The soundfile.SoundFile, its header checked, nothing decoded."""
    soundfile = _soundfile()
    if _existing(path).suffix.lower() == ".raw":
        raise UserError(f"`{path}` is raw sound: it has no header that says its rate", str(path), "save it as .wav or .flac")
    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise UserError(f"`{path}` is not read as sound: {_reason(error)}", str(path), TO_WAV) from None
    with file:
        _check_header(path, file)
        yield file


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise UserError(f"`{path}` is a folder; needed is a sound file")
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"`{path}` does not exist", fix=did_you_mean(path.name, beside))
    return path


def _check_header(path: Path, file: Any) -> None:
    if file.channels > MOST_CHANNELS:
        raise UserError(f"`{path}` has {file.channels} channels; allowed are 1 to {MOST_CHANNELS}", str(path))
    _check_rate(file.samplerate, str(path))
    if file.frames >= UNKNOWN:
        raise UserError(f"`{path}` does not say how long it is, as if written to a pipe", str(path), TO_WAV)
    if not file.frames:
        raise UserError(f"`{path}` has no sample in it", str(path))
    declared = DECLARED.search(file.extra_info)
    if declared and int(declared[2]) < int(declared[1]) < ENDLESS:
        raise _damaged(path, file.frames / file.samplerate, f"{declared[1]} bytes of sound declared, {declared[2]} there")


def _check_rate(rate: int, where: str) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise UserError(f"a rate of {rate} hertz is not read; allowed are {LOWEST_RATE} to {HIGHEST_RATE}", where)


# --- samples


def _decoded(path: Path, file: Any, frames: int) -> Iterator[np.ndarray]:
    """A file's samples at its own rate, mono, so many at a time."""
    done, rate = 0, file.samplerate
    while len(block := _block(path, file, frames, done)):
        mono = block.mean(1) if block.shape[1] > 1 else block[:, 0]
        _check_finite(mono, done, rate, path)
        done += len(block)
        yield mono
    if done < file.frames:
        raise _damaged(path, done / rate, f"{file.frames} samples declared, {done} there")


def _block(path: Path, file: Any, frames: int, done: int) -> np.ndarray:
    try:
        return file.read(frames, dtype="float32", always_2d=True)
    except _soundfile().LibsndfileError as error:
        raise _damaged(path, done / file.samplerate, _reason(error)) from None


def _check_finite(samples: np.ndarray, before: int, rate: int, path: Path) -> None:
    finite = np.isfinite(samples)
    if not finite.all():
        at = before + int(finite.argmin())
        raise UserError(f"a sample is {samples[at - before]}, no finite number", f"{path}: sample {at} ({at / rate:.3f} s)")


def resampled(parts: Iterable[np.ndarray], rate_in: int, rate: int) -> Iterator[np.ndarray]:
    """The same sound at `rate`, by soxr's HQ; the samples do not depend on how it is cut into parts."""
    if rate_in == rate:
        yield from parts
        return
    stream = _soxr().ResampleStream(rate_in, rate, 1, dtype="float32", quality="HQ")
    for part in parts:
        if len(made := stream.resample_chunk(part)):
            yield made
    if len(made := stream.resample_chunk(np.empty(0, np.float32), last=True)):
        yield made


def _numbers(file: BinaryIO) -> Iterator[np.ndarray]:
    """Pairs of bytes as numbers from -1 to 1; a pair may be torn between two reads."""
    take = getattr(file, "read1", file.read)  # what is there already, instead of waiting for a whole block
    rest = b""
    while data := take(BLOCK):
        data = rest + data
        whole = len(data) & ~1
        rest = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)


# --- what goes wrong


def _damaged(path: Path, seconds: float, why: str) -> UserError:
    return UserError(f"`{path}` is damaged or ends early, after {seconds:.1f} s: {why}", str(path), "copy or record it again")


def _reason(error: Any) -> str:
    return error.error_string.strip(" .").lower() or "it cannot be decoded"


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there, libsndfile is not
        raise UserError("sound files need soundfile", None, 'pip install "unrolled[audio]"', MISSING_EXTRA) from None
    return soundfile


def _soxr() -> Any:
    try:
        import soxr
    except ImportError:
        raise UserError("sound of another rate needs soxr", None, 'pip install "unrolled[audio]"', MISSING_EXTRA) from None
    return soxr


def _sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError):  # OSError: the package is there, PortAudio is not
        fix = 'pip install "unrolled[audio]" (on Debian also: apt install libportaudio2)'
        raise UserError("a microphone needs sounddevice and PortAudio", None, fix, MISSING_EXTRA) from None
    return sounddevice
