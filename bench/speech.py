"""Spoken digits (Free Spoken Digit Dataset, six speakers, 8 kHz): whole commands with default settings, one seed.

Its test part, numbers 5 to 9 of every speaker and digit as far as they are there, is never trained on; a twentieth of the rest
chooses the step. Connected digits are three to seven clips of one speaker's test part, a tenth of a second apart, in white noise
20 dB below them: made here, of nothing that was trained on. With `digits-speakers` each speaker in turn is left out of training.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrolled.data import sound

from .harness import save, seconds
from .language import needed
from .reading import command

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
RATE, TEST = 8000, range(10)  # the numbers of clips that are tested on
SENTENCES, GAP, SNR = 200, 0.1, 20.0
MINUTES = 3


class Clip(NamedTuple):
    path: Path
    text: str
    speaker: str
    number: int


def clips(data: str | None) -> list[Clip]:
    folder = Path(needed(data)) / "audio" / "digits"
    named = [(path, *path.stem.split("_")) for path in sorted(folder.glob("*.flac"))]
    return [Clip(path.absolute(), DIGITS[int(digit)], speaker, int(number)) for path, digit, speaker, number in named]


def table(path: Path, rows: list[tuple[Path, str, str]]) -> Path:
    lines = ["audio\ttext\tspeaker\n", *("\t".join(map(str, row)) + "\n" for row in rows)]
    path.write_text("".join(lines))
    return path


def connected(folder: Path, test: list[Clip]) -> Path:
    """Sentences of digits, written as WAV files, and their table."""
    rng, rows, gap = np.random.default_rng(1), [], np.zeros(round(GAP * RATE), np.float32)
    for i in range(SENTENCES):
        theirs = [clip for clip in test if clip.speaker == test[i * len(test) // SENTENCES].speaker]
        chosen = [theirs[j] for j in rng.integers(len(theirs), size=rng.integers(3, 8))]
        samples = np.concatenate([gap, *(part for clip in chosen for part in (sound.read(clip.path, RATE), gap))])
        noise = rng.normal(0, np.sqrt(np.square(samples).mean() * 10 ** (-SNR / 10)), len(samples))
        path = folder / f"connected-{i:03d}.wav"
        sound.write(path, 0.9 * (samples + noise) / max(1.0, np.abs(samples + noise).max()), RATE)
        rows.append((path, " ".join(clip.text for clip in chosen), chosen[0].speaker))
    return table(folder / "connected.tsv", rows)


def trained(folder: Path, name: str, train: list[Clip], test: list[Clip], options: tuple[str, ...]) -> dict[str, Any]:
    """One command, and what it reaches on single and on connected digits."""
    inner = folder / name
    inner.mkdir()
    given, single = (
        table(inner / f"{part}.tsv", [clip[:3] for clip in some]) for part, some in (("train", train), ("test", test))
    )
    run = str(inner / "run")
    wall = seconds(partial(command, "train", "speech", str(given), "--out", run, *options))
    row: dict[str, Any] = {"tested_on": name, "recordings": len(test), "wall_seconds": wall}
    row["steps"] = json.loads((inner / "run" / "report.json").read_text())["steps"]
    for kind, path in (("single", single), ("connected", connected(inner, test))):
        found = {each["measure"]: each for each in json.loads(command("evaluate", run, str(path), "--json"))["measures"]}
        errors = found["word_error_rate"]
        row |= {f"{kind}_wer": errors["value"], f"{kind}_interval": f"{errors['from']:.4f}-{errors['to']:.4f}"}
        row[f"{kind}_greedy"] = found["greedy_word_error_rate"]["value"]
    return row


def run_digits(data: str | None) -> None:
    """A net that reads both ways, and one that reads forward only."""
    found = clips(data)
    train, test = [clip for clip in found if clip.number not in TEST], [clip for clip in found if clip.number in TEST]
    with tempfile.TemporaryDirectory() as folder:
        minutes = ("--minutes", str(MINUTES))
        rows = [
            trained(Path(folder), direction, train, test, (*minutes, "--direction", direction))
            for direction in ("both", "forward")
        ]
    save("digits", rows)


def run_speakers(data: str | None) -> None:
    """Each speaker in turn, all of whose clips are new to the net."""
    found = clips(data)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for speaker in sorted({clip.speaker for clip in found}):
            train, test = [clip for clip in found if clip.speaker != speaker], [clip for clip in found if clip.speaker == speaker]
            rows.append(trained(Path(folder), speaker, train, test, ("--minutes", str(MINUTES))))
    save("digits-speakers", rows)
