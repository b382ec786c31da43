"""A language run as language model of a speech run: little speech, much text, both of one made-up language.

Its sentences are drawn from a chain: 200 words of two or three syllables, each followed by one of six others. The small speaker
of the demo says 300 of them to train on and 200 others to test, those in white noise; the language run reads 10,000 more as text.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from unrolled import formants
from unrolled.data import sound

from .harness import save
from .reading import command

WORDS, FOLLOWERS, SPOKEN, TESTED, READ = 200, 6, 300, 200, 10_000
STEPS = {"speech": 500, "language": 600}
SNR = 15.0  # decibels of the test's speech above the noise
WEIGHTS = (0.3, 0.6, 1.0)


def chain(rng: np.random.Generator) -> dict[str, list[str]]:
    """Words, and what may follow each."""
    made: dict[str, None] = {}
    while len(made) < WORDS:
        made["".join(rng.choice(formants.SYLLABLES, rng.integers(2, 4)))] = None
    return {word: rng.choice(list(made), FOLLOWERS, replace=False).tolist() for word in made}


def sentence(followers: dict[str, list[str]], rng: np.random.Generator) -> str:
    words = [list(followers)[rng.integers(WORDS)]]
    while len(words) < 3 or (len(words) < 8 and rng.random() < 0.8):
        words.append(followers[words[-1]][rng.integers(FOLLOWERS)])
    return " ".join(words)


def spoken(folder: Path, name: str, texts: list[str], snr: float, rng: np.random.Generator) -> Path:
    """Sentences as WAV files, and their table."""
    lines, gap = ["audio\ttext\n"], np.zeros(round(0.08 * formants.RATE), np.float32)
    (folder / name).mkdir()
    for i, text in enumerate(texts):
        speaker = formants.voice(rng)
        samples = np.concatenate([gap, *(part for word in text.split() for part in (formants.say(word, speaker, rng), gap))])
        samples += rng.normal(0, np.sqrt(np.square(samples).mean() * 10 ** (-snr / 10)), len(samples)).astype(np.float32)
        sound.write(folder / name / f"{i:03d}.wav", samples / max(1.0, np.abs(samples).max()), formants.RATE)
        lines.append(f"{name}/{i:03d}.wav\t{text}\n")
    (folder / f"{name}.tsv").write_text("".join(lines))
    return folder / f"{name}.tsv"


def prepared(folder: Path) -> tuple[Path, Path, Path]:
    """Tables to train on and to test, and the text."""
    rng = np.random.default_rng(1)
    followers = chain(rng)
    texts = [sentence(followers, rng) for _ in range(SPOKEN + TESTED + READ)]
    heard, tested, read = texts[:SPOKEN], texts[SPOKEN : SPOKEN + TESTED], texts[SPOKEN + TESTED :]
    (folder / "text.txt").write_text("\n".join(text for text in read if text not in set(tested)) + "\n")
    return spoken(folder, "train", heard, 30.0, rng), spoken(folder, "test", tested, SNR, rng), folder / "text.txt"


def run_speech_language(data: str | None) -> None:
    """The same recordings without a language model, with the transcripts' n-grams, with a language run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, test, text = prepared(folder)
        runs = {task: str(folder / task) for task in STEPS}
        for task, path in (("speech", train), ("language", text)):
            command("train", task, str(path), "--out", runs[task], "--steps", str(STEPS[task]))
        save("speech-language", [row for lm in ("none", None, runs["language"]) for row in rows(runs["speech"], test, lm)])


NAMES = {"none": "none", None: "n-grams of the transcripts"}


def rows(run: str, test: Path, lm: str | None) -> list[dict[str, Any]]:
    """What a language model reaches at each weight."""
    return [row(run, test, lm, weight) for weight in (WEIGHTS if lm != "none" else WEIGHTS[:1])]


def row(run: str, test: Path, lm: str | None, weight: float) -> dict[str, Any]:
    told = command("evaluate", run, str(test), "--json", *(("--lm", lm) if lm else ()), "--weight", str(weight))
    measures = {row["measure"]: row for row in json.loads(told)["measures"]}
    words = measures["word_error_rate"]
    return {
        "language_model": NAMES.get(lm, "a language run"), "weight": None if lm == "none" else weight,
        "word_error_rate": words["value"], "interval": f"{words['from']:.3f}-{words['to']:.3f}",
        "character_error_rate": measures["character_error_rate"]["value"],
    }  # fmt: skip
