"""Training data for a detector, mixed anew for every step: words laid over background at random places, with labels.

As the lecture makes them: ten seconds of background; in it some clips of the word and some of other speech, none over another.
Each clip comes faster or slower, from somewhere in a room, through some microphone, at some level above what is behind it. A
batch is a function of (seed, step) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .samples import SILENCE, as_floats, level, smooth, trimmed, word

MASKED = -1  # a label that the loss passes over
LONGEST_OTHER = 3.0  # seconds; of other speech that lasts longer, a piece
ROOMS = 64
RAISE = 30.0  # decibels; a quiet recording is not made louder by more, or its hiss would be a storm
NOISES = ("white", "pink", "brown", "hum", "babble")
COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # how amplitude falls with frequency: f to the minus this


@dataclass(frozen=True)
class Mixture:
    """What is drawn. A pair is the least and the most."""

    rate: int = 16000  # hertz
    hop: int = 160  # samples a label
    seconds: float = 10.0  # of an example
    words: int = 2  # clips of the word in an example, at most
    others: int = 4  # clips of other speech, at most
    after: float = 0.5  # seconds after the word's end that are labelled 1
    snr: tuple[float, float] = (0.0, 25.0)  # decibels of a clip above the background under it
    background: tuple[float, float] = (-60.0, -30.0)  # decibels of full scale
    speed: tuple[float, float] = (0.9, 1.1)
    in_room: float = 0.5  # the share of clips with echo
    filtered: float = 0.5  # the share of clips through a microphone that is not flat
    recorded: float = 0.75  # the share of examples with a recorded background, where there are any
    clipped: float = 0.03  # the share of examples that were recorded too loud


class Sources(NamedTuple):
    """What is mixed: float32 samples, clips without silence around them; backgrounds may be int16, and of any length."""

    words: list[np.ndarray]
    others: list[np.ndarray]
    backgrounds: list[np.ndarray]
    rooms: list[np.ndarray]


def sources(
    words: Sequence[np.ndarray], others: Sequence[np.ndarray], backgrounds: Sequence[np.ndarray], mixture: Mixture, seed: int
) -> Sources:
    """Clips (N,) made ready: of one of the word, the word alone. UserError where there is none, or one that is silent or longer
    than half an example."""
    if not words:
        raise UserError("there is no clip of the word to train on", fix="record some, name their folder, or have them spoken")
    longest = mixture.seconds / 2 / mixture.speed[0]
    ready = [clip[slice(*word(clip, mixture.rate))].astype(np.float32) for clip in words]
    for number, clip in enumerate(ready, 1):
        if not len(clip):
            raise UserError(f"clip {number} of the word is silent")
        if len(clip) > longest * mixture.rate:
            said = f"clip {number} of the word lasts {len(clip) / mixture.rate:.1f} s, at most {longest:.1f} are mixed"
            raise UserError(said, fix="cut the clips to the word alone; one that repeats it is several")
    speech = [trimmed(clip, mixture.rate).astype(np.float32) for clip in others]
    heard = [sound for sound in backgrounds if len(sound)]
    return Sources(ready, [clip for clip in speech if len(clip)], heard, rooms(mixture.rate, ROOMS, seed))


def rooms(rate: int, number: int, seed: int) -> list[np.ndarray]:
    """Impulse responses (N,) of made-up rooms, of energy 1: the direct sound, then noise that falls by 60 dB in 0.1 to 0.6 s."""
    made = []
    for i in range(number):
        rng = np.random.default_rng((seed, i))
        seconds, direct = rng.uniform(0.1, 0.6), rng.uniform(0.0, 12.0)  # decibels of the direct sound above its echo
        times = np.arange(round(seconds * rate)) / rate
        echo = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
        echo[: round(rng.uniform(0.001, 0.01) * rate)] = 0  # the first echo comes from a wall
        echo *= 10 ** (-direct / 20) / np.sqrt(np.dot(echo, echo))
        echo[0] = 1.0
        made.append((echo / np.sqrt(np.dot(echo, echo))).astype(np.float32))
    return made


def batch(given: Sources, mixture: Mixture, size: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples (B, N) float32 within -1 and 1, and labels (B, N // hop) int8.

    A label is for the frame that ends with its last sample: 1 in the `after` seconds from a word's end, MASKED from the
    word's middle to its end, else 0. Row i is a function of (seed, step, i).
    """
    rows = [_example(given, mixture, np.random.default_rng((seed, step, row))) for row in range(size)]
    return np.stack([samples for samples, _ in rows]), np.stack([labels for _, labels in rows])


def _example(given: Sources, mixture: Mixture, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One row: samples (N,), labels (N // hop,)."""
    samples = background(given, mixture, round(mixture.seconds * mixture.rate), rng)
    clips = _clips(given, mixture, rng)
    begins = _places([length for _, length, _ in clips], len(samples), rng)
    spans = []
    for begin, (clip, length, is_word) in zip(begins, clips, strict=False):  # those that found no place are left out
        gain = _gain(clip[:length], samples[begin : begin + length], mixture, rng)
        spans.append((begin, begin + length, is_word))
        _lay(samples, begin, clip * gain)
    return _recorded(samples, mixture, rng), labels([span[:2] for span in spans if span[2]], len(samples), mixture)


def labels(words: Sequence[tuple[int, int]], size: int, mixture: Mixture) -> np.ndarray:
    """The labels (size // hop,) int8 of `size` samples with words from sample begin to end."""
    found, hop, after = np.zeros(size // mixture.hop, np.int8), mixture.hop, round(mixture.after * mixture.rate)
    for begin, end in words:
        found[(begin + end) // 2 // hop : end // hop] = MASKED
    for _, end in words:  # a word that follows at once leaves the ones before it as they are
        found[end // hop : (end + after) // hop] = 1
    return found


def passage(
    clips: Sequence[np.ndarray], pauses: Sequence[float], given: Sources, mixture: Mixture, rng: np.random.Generator
) -> np.ndarray:
    """Clips after one another (N,) float32 within -1 and 1, as one recording: one speed, room, microphone, background.

    Before each clip, and after the last one, a pause of so many seconds. Levels of clips differ by a few decibels.
    """
    parts: list[np.ndarray] = []
    for clip, pause in zip(clips, pauses, strict=False):
        gain = np.float32(10 ** ((rng.normal(0.0, 2.0) - level(clip)) / 20))
        parts += [
            np.zeros(round(pause * mixture.rate), np.float32),
            _faded(clip, max(1, min(len(clip) // 4, mixture.rate // 200))) * gain,
        ]
    parts.append(np.zeros(round(pauses[-1] * mixture.rate), np.float32))
    spoken, length = heard(np.concatenate(parts), given.rooms, mixture, rng)
    samples = background(given, mixture, length, rng)
    _lay(samples, 0, spoken * _gain(spoken[:length], samples, mixture, rng))
    return _recorded(samples, mixture, rng)


# --- clips


def _clips(given: Sources, mixture: Mixture, rng: np.random.Generator) -> list[tuple[np.ndarray, int, bool]]:
    """Clips in random order: samples with their echo, how many of them come before it, whether it is the word."""
    words = _drawn(given.words, rng.integers(mixture.words + 1), rng)
    others = [_piece(clip, mixture, rng) for clip in _drawn(given.others, rng.integers(mixture.others + 1), rng)]
    clips = [(*heard(clip, given.rooms, mixture, rng), True) for clip in words]
    clips += [(*heard(clip, given.rooms, mixture, rng), False) for clip in others]
    return [clips[i] for i in rng.permutation(len(clips))]


def _drawn(clips: list[np.ndarray], number: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [clips[i] for i in rng.integers(len(clips), size=number)] if clips else []


def _piece(clip: np.ndarray, mixture: Mixture, rng: np.random.Generator) -> np.ndarray:
    """The clip, or of a long one a piece from half as long as may be on."""
    longest = round(min(LONGEST_OTHER, mixture.seconds / 2) * mixture.rate)
    if len(clip) <= longest:
        return clip
    size = rng.integers(longest // 2, longest)
    begin = rng.integers(len(clip) - size)
    return _faded(clip[begin : begin + size], mixture.rate // 100)


def _faded(clip: np.ndarray, size: int) -> np.ndarray:
    """The clip with `size` samples at both ends that rise and fall, so that a cut makes no click."""
    rise, faded = np.linspace(0, 1, size, dtype=np.float32), clip.copy()
    faded[:size] *= rise
    faded[-size:] *= rise[::-1]
    return faded


def heard(clip: np.ndarray, rooms: list[np.ndarray], mixture: Mixture, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The clip at another speed, from a room, through a microphone, and how many samples come before its last echo.

    All three in one Fourier transform there and back: with fewer or more samples back than there, it is faster or slower.
    """
    room = rooms[rng.integers(len(rooms))] if rng.random() < mixture.in_room else np.ones(1, np.float32)
    speed = rng.uniform(*mixture.speed)
    after = smooth(len(clip) / speed + len(room))
    before = smooth(max(after * speed, len(clip)))
    kept = min(before, after) // 2
    spectrum = np.fft.rfft(clip, before)[:kept]
    if len(room) > 1:
        spectrum *= np.fft.rfft(room, after)[:kept]
    if rng.random() < mixture.filtered:
        spectrum *= _microphone(np.arange(kept, dtype=np.float32) * (mixture.rate / after), mixture.rate / 2, rng)
    samples = np.fft.irfft(spectrum, after).astype(np.float32) * np.float32(after / before)
    length = round(len(clip) * after / before)
    return samples[: length + len(room) - 1], length


def _microphone(hertz: np.ndarray, highest: float, rng: np.random.Generator) -> np.ndarray:
    """How much of each frequency (F,) comes through: a band, a telephone's band, or a tilt of up to 4 dB an octave."""
    kind = rng.integers(3)
    if kind == 2:
        octaves = np.log2(np.maximum(hertz, 50.0) / 1000.0)
        return (10 ** (rng.uniform(-4.0, 4.0) * octaves / 20)).astype(np.float32)
    low, high = (300.0, 3400.0) if kind == 1 else (rng.uniform(20.0, 400.0), rng.uniform(2500.0, highest))
    order = 2 * rng.integers(1, 4)  # as Butterworth's: 12, 24 or 36 dB an octave
    below, above = (low / np.maximum(hertz, 1.0)) ** (2 * order), (hertz / high) ** (2 * order)
    return (1 / np.sqrt((1 + below) * (1 + above))).astype(np.float32)


def _places(lengths: list[int], size: int, rng: np.random.Generator) -> list[int]:
    """Where clips begin, in their order, so that none overlaps; as many of them as there is room for."""
    while sum(lengths) > size:
        lengths = lengths[:-1]
    free = np.sort(rng.integers(size - sum(lengths) + 1, size=len(lengths)))
    return (free + np.concatenate(([0], np.cumsum(lengths)))[: len(lengths)]).astype(int).tolist()


def _gain(clip: np.ndarray, under: np.ndarray, mixture: Mixture, rng: np.random.Generator) -> np.float32:
    """What puts the clip's level the drawn number of decibels above that of the background under it, where silence is none."""
    behind = max(level(under), mixture.background[0])
    return np.float32(10 ** ((behind + rng.uniform(*mixture.snr) - level(clip)) / 20))


def _lay(samples: np.ndarray, begin: int, clip: np.ndarray) -> None:
    """Add a clip from `begin` on; what of its echo does not fit is cut off."""
    part = samples[begin : begin + len(clip)]
    part += clip[: len(part)]


def _recorded(samples: np.ndarray, mixture: Mixture, rng: np.random.Generator) -> np.ndarray:
    """What a recording of it has: no more than full scale, and rarely the tops cut off."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 0 and rng.random() < mixture.clipped:
        return np.clip(samples * np.float32(10 ** (rng.uniform(1.0, 10.0) / 20) / peak), -1, 1)
    return samples / np.float32(peak) if peak > 1 else samples


# --- backgrounds


def background(given: Sources, mixture: Mixture, size: int, rng: np.random.Generator) -> np.ndarray:
    """A stretch (size,) of a recorded background, or noise, at a drawn level."""
    if given.backgrounds and rng.random() < mixture.recorded:
        samples, most = _stretch(given.backgrounds, size, rng), RAISE
    else:
        kinds = NOISES if given.others else NOISES[:-1]
        samples, most = noise(kinds[rng.integers(len(kinds))], size, mixture.rate, rng, given.others), -SILENCE
    gain = min(rng.uniform(*mixture.background) - level(samples), most)
    return samples * np.float32(10 ** (gain / 20))


def _stretch(backgrounds: list[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
    """So many samples from anywhere: of a longer recording more often; a short one is repeated."""
    ends = np.cumsum([len(sound) for sound in backgrounds])
    sound = backgrounds[np.searchsorted(ends, rng.integers(ends[-1]), side="right")]
    begin = rng.integers(max(len(sound) - size + 1, 1))
    part = sound[begin : begin + size] if len(sound) >= size else np.resize(np.roll(sound, -rng.integers(len(sound))), size)
    return as_floats(part)


def noise(kind: str, size: int, rate: int, rng: np.random.Generator, speech: Sequence[np.ndarray] = ()) -> np.ndarray:
    """One of NOISES, (size,) float32 of no stated level: of all frequencies alike (white), of low ones more (pink, brown),
    mains with its harmonics (hum), a few of `speech` at once (babble)."""
    if kind == "hum":
        hertz = rng.choice((50.0, 60.0)) * np.arange(1, 9)
        phases, heights = rng.uniform(0, 2 * np.pi, 8), rng.random(8) / np.arange(1, 9)
        turns = np.arange(rate) * (2 * np.pi / rate)  # a second, which is then repeated
        second = sum(h * np.sin(f * turns + p) for f, p, h in zip(hertz, phases, heights, strict=True))
        return np.resize(second.astype(np.float32), size)
    if kind == "babble":
        return np.sum([_chatter(speech, size, rng) for _ in range(rng.integers(3, 9))], 0, dtype=np.float32)
    whole = smooth(size)
    spectrum = rng.standard_normal(2 * (whole // 2 + 1), dtype=np.float32).view(np.complex64)
    spectrum *= np.maximum(np.arange(len(spectrum)) * (rate / whole), 20.0).astype(np.float32) ** np.float32(-COLOURS[kind])
    return np.fft.irfft(spectrum, whole)[:size].astype(np.float32)


def _chatter(speech: Sequence[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
    """Clips after one another (size,), the first begun somewhere."""
    parts, filled = [], 0
    skip = -1
    while filled < size:
        clip = speech[rng.integers(len(speech))]
        skip = rng.integers(len(clip)) if skip < 0 else 0
        parts.append(clip[skip : skip + size - filled])
        filled += len(parts[-1])
    return np.concatenate(parts)
