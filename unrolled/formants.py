"""A small speaker of made-up words, for demonstrations: harmonics under formants, and noise for what has no voice.

It speaks clearly enough to be told apart by ear and by a net, in as many voices as are drawn; it does not sound like a person.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .data import mixing, sound
from .data.samples import smooth

RATE = 16_000  # hertz

# The first three formants of vowels, hertz: means of men's (Peterson and Barney 1952). Voiced consonants are weaker vowels.
VOICED = {
    "a": (730, 1090, 2440), "e": (530, 1840, 2480), "i": (270, 2290, 3010), "o": (570, 840, 2410), "u": (300, 870, 2240),
    "m": (250, 1100, 2200), "n": (250, 1500, 2500), "l": (360, 1300, 2700), "r": (420, 1200, 1600),
}  # fmt: skip
# Noise between two frequencies, hertz: drawn out, or after a pause.
HISS = {"s": (4000, 7500), "f": (1500, 7000), "h": (500, 3000)}
BURST = {"t": (3000, 7000), "k": (1200, 2600), "p": (300, 1500)}
WEAK = frozenset("mnlr")
SECONDS = {"vowel": 0.13, "weak": 0.07, "hiss": 0.10, "burst": 0.07}
WIDTH = (90.0, 110.0, 160.0)  # of the formants, hertz
STRETCH, GLIDE, SPECTRUM = 400, 80, 512  # samples that are shaped together, from one to the next, of the Fourier transform


class Voice(NamedTuple):
    pitch: float  # hertz
    tract: float  # formants times this: short tracts have higher ones
    pace: float  # durations times this
    breath: float  # noise among the harmonics


def voice(rng: np.random.Generator) -> Voice:
    """Anyone: low or high, slow or fast."""
    high = rng.random()
    return Voice(90 * 2.5**high, 0.92 + 0.25 * high + rng.normal(0, 0.02), rng.uniform(0.8, 1.25), rng.uniform(0.01, 0.08))


def say(word: str, speaker: Voice, rng: np.random.Generator) -> np.ndarray:
    """A word of the letters above as samples (N,), float32 at RATE, without silence around it."""
    durations = [SECONDS[_kind(letter)] * speaker.pace * rng.uniform(0.85, 1.15) for letter in word]
    ends = np.rint(np.cumsum(durations) * RATE).astype(int)
    begins = np.concatenate(([0], ends[:-1]))
    size = int(ends[-1])
    voiced = _voiced(word, begins, size, speaker, rng)
    for letter, begin, end in zip(word, begins, ends, strict=True):
        if letter not in VOICED:
            voiced[begin:end] += _noise(letter, end - begin, rng)
    edge = min(size // 4, RATE // 100)
    voiced[:edge] *= np.linspace(0, 1, edge)
    voiced[size - edge :] *= np.linspace(1, 0, edge)
    return (voiced * (0.3 / max(1e-9, np.abs(voiced).max()))).astype(np.float32)


def _kind(letter: str) -> str:
    return "weak" if letter in WEAK else "vowel" if letter in VOICED else "hiss" if letter in HISS else "burst"


def _voiced(word: str, begins: np.ndarray, size: int, speaker: Voice, rng: np.random.Generator) -> np.ndarray:
    """Pulses of a gliding pitch and some breath (size,), each stretch of them shaped by the formants of its time."""
    times = np.arange(size) / RATE
    pitch = (
        speaker.pitch
        * (1.08 - 0.2 * times / max(times[-1], 0.1))
        * (1 + 0.01 * np.sin(2 * np.pi * 5 * times + rng.uniform(0, 6)))
    )
    turns = np.floor(np.cumsum(pitch) / RATE)
    source = np.diff(turns, prepend=0.0) + speaker.breath * rng.standard_normal(size)
    padded = np.pad(source, STRETCH)
    stretches = np.lib.stride_tricks.sliding_window_view(padded, STRETCH)[::GLIDE]  # (F, STRETCH)
    middle = np.arange(len(stretches)) * GLIDE - STRETCH // 2
    at = np.clip(np.searchsorted(begins, middle, "right") - 1, 0, None)
    formants = np.stack([_near(word, i) for i in range(len(word))])[at] * speaker.tract  # (F, 3)
    loud = np.array([0.0 if letter not in VOICED else 0.35 if letter in WEAK else 1.0 for letter in word])[at]
    shaped = np.fft.irfft(np.fft.rfft(stretches * np.hanning(STRETCH), SPECTRUM) * _gains(formants, loud), SPECTRUM)
    total = np.zeros(len(stretches) * GLIDE + SPECTRUM)
    for i, stretch in enumerate(shaped):
        total[i * GLIDE : i * GLIDE + SPECTRUM] += stretch
    return total[STRETCH : STRETCH + size]


def _gains(formants: np.ndarray, loud: np.ndarray) -> np.ndarray:
    """How strong each frequency (F, SPECTRUM / 2 + 1) is: resonances at the formants, falling by 6 dB an octave."""
    hertz = np.fft.rfftfreq(SPECTRUM, 1 / RATE)
    part = hertz / formants[:, :, None]  # (F, 3, frequencies)
    width = np.array(WIDTH)[:, None] / formants[:, :, None]
    resonance = 1 / np.sqrt((1 - part**2) ** 2 + (part * width) ** 2)
    return resonance.prod(1) * loud[:, None] * np.minimum(1, 100 / np.maximum(hertz, 1))


def _near(word: str, i: int) -> tuple[int, int, int]:
    """Where the formants are in a sound, or would be: those of the next voiced one, else of the last."""
    voiced = [
        *(letter for letter in word[i:] if letter in VOICED),
        *(letter for letter in word[:i][::-1] if letter in VOICED),
        "a",
    ]
    return VOICED[voiced[0]]


def _noise(letter: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """A hiss, or a pause and a burst (size,)."""
    low, high = HISS.get(letter) or BURST[letter]
    whole = smooth(size)
    spectrum = np.fft.rfft(rng.standard_normal(whole))
    hertz = np.fft.rfftfreq(whole, 1 / RATE)
    made = np.fft.irfft(spectrum * ((hertz > low) & (hertz < high)), whole)[:size]
    made *= 2.5 / max(1e-9, np.abs(made).max())
    if letter in BURST:
        made *= np.where(np.arange(size) < size // 2, 0.0, np.exp(-np.linspace(-6, 6, size).clip(0)))
    return made


# --- demonstrations

WORD, NEAR = "kamito", ("kami", "mito", "kamiti", "kanito", "lamito", "tokami", "kamuto", "kasito")
SYLLABLES = [consonant + vowel for consonant in "mnlrsfhtkp" for vowel in "aeiou"]


def other_words(number: int, rng: np.random.Generator) -> list[str]:
    """Made-up words of two to four syllables, none of them WORD; every third is like it."""
    drawn = ["".join(rng.choice(SYLLABLES, rng.integers(2, 5))) for _ in range(number)]
    return [NEAR[rng.integers(len(NEAR))] if i % 3 == 0 else word for i, word in enumerate(drawn) if word != WORD]


def write_words(folder: Path, seed: int) -> None:
    """Folders positive (WORD, by many voices), negative (other words), background (a room with a hum)."""
    rng = np.random.default_rng(seed)
    for name, words in (("positive", [WORD] * 150), ("negative", other_words(400, rng))):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i, word in enumerate(words):
            sound.write(folder / name / f"{i:03d}-{word}.wav", say(word, voice(rng), rng), RATE)
    (folder / "background").mkdir(exist_ok=True)
    for i, kind in enumerate(("pink", "brown")):
        room = mixing.noise(kind, 60 * RATE, RATE, rng) + 0.1 * mixing.noise("hum", 60 * RATE, RATE, rng)
        sound.write(folder / "background" / f"room-{i + 1}.wav", 0.05 * room / np.abs(room).max(), RATE)
