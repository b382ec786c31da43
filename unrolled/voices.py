"""Speech by a program, in as many voices as it has: clips of a word to train a detector on, and hours of other talk.

espeak-ng, where it is installed, has about a hundred voices in several accents of a language, at any speed and pitch, made by
formants. flite has three in English made of people's recordings; where it is installed too, half of the clips are its. Any other
program speaks by a command of its own, with {text} and {wav} in place of what to say and where to write it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import PIPE

import numpy as np

from .data import sound
from .data.samples import resampled, trimmed
from .errors import MISSING_EXTRA, UserError
from .small_talk import sentence

ESPEAK = "espeak-ng"
HEADER = 44  # bytes in front of the samples that espeak-ng writes to a pipe
PATIENCE = 120  # seconds that one clip may take
SPEEDS, PITCHES, LOUDNESS = (120, 220), (15, 85), (60, 140)  # words a minute; of 0 … 99; of 0 … 200
FLITE, PEOPLE = "flite", ("awb", "rms", "slt")
STRETCHES, HERTZ, FORMANTS = (0.75, 1.35), (80.0, 230.0), (0.85, 1.18)  # of durations; the pitch; how much higher formants lie
SHARE = 0.25  # of clips that flite speaks, where it can: it takes five times as long
TOGETHER = 12  # sentences spoken in one voice
LONGEST = 120.0  # seconds of a command's clip

Speak = Callable[[str, int], np.ndarray]  # text and number of the clip -> samples


def say(
    texts: str | Sequence[str],
    number: int,
    seed: int = 0,
    rate: int = 16000,
    language: str = "en",
    command: str | None = None,
) -> list[np.ndarray]:
    """`number` clips (N,), float32 at `rate` hertz, without silence around them; clip i says texts[i % len(texts)].

    Voice, speed, pitch and loudness of a clip are a function of (seed, i). Of a `command` they are what it makes of {number},
    which is i, and of {seed}; without {text} it reads the text from standard input. It is split as a shell would, but run
    without one. UserError where there is no program to speak, it fails, takes longer than PATIENCE, or writes nothing.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not texts:
        raise UserError("there is no text to say", fix="give it the word or phrase that is spoken")
    speak = speaker(seed, rate, language, command)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda i: speak(texts[i % len(texts)], i), range(number)))


def talk(
    seconds: float,
    seed: int = 0,
    rate: int = 16000,
    language: str = "en",
    command: str | None = None,
    sentences: Sequence[str] | None = None,
    avoid: Sequence[str] = (),
) -> Iterator[np.ndarray]:
    """Passages of TOGETHER sentences in one voice each, as say()'s clips, until they last `seconds`.

    The sentences are drawn from those given, else made by small_talk (English). None has the words of a phrase of `avoid` in
    a row.
    """
    pick = sentence if sentences is None else lambda rng: sentences[rng.integers(len(sentences))]
    speak, cores = speaker(seed, rate, language, command), os.cpu_count() or 1
    done, first = 0.0, 0
    with ThreadPoolExecutor(cores) as pool:
        while done < seconds:
            numbers = range(first, first + 4 * cores)
            for passage in pool.map(lambda i: speak(_passage(pick, avoid, np.random.default_rng((seed, i, 1))), i), numbers):
                if done < seconds:
                    done += len(passage) / rate
                    yield passage
            first = numbers.stop


def _passage(pick: Callable[[np.random.Generator], str], avoid: Sequence[str], rng: np.random.Generator) -> str:
    """Sentences without the phrases of `avoid`, drawn anew where they have them."""
    found: list[str] = []
    for _ in range(100 * TOGETHER):
        one = pick(rng).strip()
        if one and not any(says(one, phrase) for phrase in avoid):
            found.append(one if one[-1] in ".?!" else one + ".")
        if len(found) == TOGETHER:
            return " ".join(found)
    raise UserError(f"hardly a sentence is without `{'`, `'.join(avoid)}`", fix="give other sentences")


def says(text: str, phrase: str) -> bool:
    """Whether a text has a phrase's words in a row; of no words never."""
    words, wanted = (" ".join(["", *re.findall(r"\w+", one.lower()), ""]) for one in (text, phrase))
    return bool(wanted.strip()) and wanted in words


def speaker(seed: int, rate: int, language: str, command: str | None) -> Speak:
    """What speaks: a function of the text and the clip's number."""
    if command is None:
        by_formants = partial(_espeak, voices(language), seed, rate)
        if not language.startswith("en") or shutil.which(FLITE) is None:
            return by_formants
        return partial(_either, by_formants, partial(_flite, seed, rate), seed)
    words = _split(command)
    if not any("{wav}" in word for word in words):
        raise UserError(f"`{command}` has no {{wav}}, the file to write", fix="for example: piper -m voice.onnx -f {wav}")
    if shutil.which(words[0]) is None:
        raise UserError(f"there is no program `{words[0]}` to speak with", code=MISSING_EXTRA)
    return partial(_by_command, words, seed, rate)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UserError(f"`{command}` is not read as a command: {str(error).lower()}") from None


# --- espeak-ng


def espeak(*arguments: str, text: str = "") -> bytes:
    """What espeak-ng writes to standard output. UserError where it is not installed, or fails."""
    if shutil.which(ESPEAK) is None:
        fix = "apt install espeak-ng, or name a program of your own: --voice 'piper -m voice.onnx -f {wav}'"
        raise UserError("espeak-ng, which speaks, is not installed", None, fix, MISSING_EXTRA)
    return _run([ESPEAK, *arguments], text)


def voices(language: str = "en") -> list[str]:
    """The voices that espeak-ng has for a language: each accent in each variant. UserError for a language it lacks."""
    accents = re.findall(r"^ *\d+ +(\S+) +\S+ +\S+ +(?!mb/|!v/)\S+/", espeak(f"--voices={language}").decode(), re.MULTILINE)
    if not accents:
        raise UserError(f"espeak-ng has no voice for `{language}`", fix="espeak-ng --voices lists the languages")
    variants = re.findall(r"!v/(.*?) *(?:\(.*)?$", espeak("--voices=variant").decode(), re.MULTILINE)
    accents = list(dict.fromkeys(accents))
    return [f"{accent}{variant}" for accent in accents for variant in ("", *(f"+{one}" for one in sorted(variants)))]


def _espeak(voices: list[str], seed: int, rate: int, text: str, number: int) -> np.ndarray:
    rng = np.random.default_rng((seed, number))
    voice = voices[rng.integers(len(voices))]
    speed, pitch, loudness = (str(rng.integers(*reach)) for reach in (SPEEDS, PITCHES, LOUDNESS))
    wav = espeak("-v", voice, "-s", speed, "-p", pitch, "-a", loudness, "-b", "1", "--stdin", "--stdout", text=text)
    whole = (len(wav) - HEADER) // 2 * 2
    heard = np.frombuffer(wav[HEADER : HEADER + whole], "<i2") / np.float32(32768) if whole > 0 else np.empty(0, np.float32)
    return _clip(resampled(heard, int.from_bytes(wav[24:28], "little"), rate), rate, text, ESPEAK)


def _clip(samples: np.ndarray, rate: int, text: str, program: str) -> np.ndarray:
    heard = trimmed(samples, rate)
    if not len(heard):
        raise UserError(
            f"nothing is heard when `{program}` says `{text}`", fix="hear it yourself; write the text as it is spoken"
        )
    return heard


# --- flite


def _either(by_formants: Speak, by_people: Speak, seed: int, text: str, number: int) -> np.ndarray:
    """Phonemes are for espeak-ng alone."""
    spelt = "[[" in text or np.random.default_rng((seed, number, 2)).random() >= SHARE
    return (by_formants if spelt else by_people)(text, number)


def _flite(seed: int, rate: int, text: str, number: int) -> np.ndarray:
    """A person's voice at another pitch and speed, and as of a shorter or longer vocal tract: spoken slower by as much as it is
    then played faster."""
    rng = np.random.default_rng((seed, number))
    faster, stretch, hertz = (rng.uniform(*reach) for reach in (FORMANTS, STRETCHES, HERTZ))
    voice = ("-voice", str(rng.choice(PEOPLE)))
    settings = ("--setf", f"duration_stretch={stretch * faster:.3f}", "--setf", f"int_f0_target_mean={hertz / faster:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "said.wav"
        _run([FLITE, *voice, *settings, "-t", text, "-o", str(wav)], "")
        heard = sound.read(wav, round(rate / faster), LONGEST)  # taken for sound of `rate`
        return _clip(heard, rate, text, FLITE)


# --- any other program


def _by_command(words: list[str], seed: int, rate: int, text: str, number: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "said.wav"
        values = {"{text}": text, "{wav}": str(wav), "{number}": str(number), "{seed}": str(seed)}
        filled = [re.sub(r"\{(?:text|wav|number|seed)\}", lambda found: values[found[0]], word) for word in words]
        _run(filled, "" if any("{text}" in word for word in words) else text)
        if not wav.exists():
            raise UserError(f"`{words[0]}` wrote no sound file", fix=f"try it: {shlex.join(words)}")
        return _clip(sound.read(wav, rate, LONGEST), rate, text, words[0])


def _run(words: list[str], text: str) -> bytes:
    """What a program writes to standard output, with a text as its input; it is stopped when PATIENCE is over."""
    try:
        process = subprocess.Popen(words, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in an argument
        raise UserError(f"`{words[0]}` cannot be run: {str(error).lower()}") from None
    with process:
        try:
            heard, said = process.communicate(text.encode(), PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with those that it has started
            raise UserError(f"`{words[0]}` was not ready after {PATIENCE} s", fix=f"try it: {shlex.join(words)}") from None
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["it says nothing of it"]
        raise UserError(f"`{words[0]}` failed with {process.returncode}: {last[0]}", fix=f"try it: {shlex.join(words)}")
    return heard
