"""A trigger word: whole commands on real recordings of it, tested on others, over noise, and on hours of other sound.

Real clips of the word are drawn by a seed; those not trained on are the test. Negatives of the test are all of audio/speech,
music and noise, the digits that were not trained on, and made-up talk in voices drawn anew. The digits trained on (indices 5
to 24) are the only real speech that training has beside the word.
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from .harness import save, seconds
from .language import needed
from .reading import command

REAL, LAST_DIGIT, TALK = 100, 24, 10
QUICK = ("--minutes", "10")
LONG = ("--minutes", "35", "--spoken", "8000", "--talk", "3")  # of one hour of talk, half a false accept says little


def linked(files: list[Path], folder: Path) -> str:
    """A folder of links to files."""
    folder.mkdir(parents=True)
    for path in files:
        os.symlink(path.resolve(), folder / path.name)
    return str(folder)


def on_word(data: str | None, name: str, word: str, real: int, how: tuple[str, ...] = QUICK) -> None:
    """Train with so many real clips, made-up speech, and digits; miss rate at 10 dB and false accepts of each kind of sound."""
    audio = Path(needed(data)) / "audio"
    clips = sorted((audio / "wake-words" / word).glob("*.flac"))
    order = np.random.default_rng(1).permutation(len(clips))
    digits = sorted((audio / "digits").glob("*.flac"))
    trained = [path for path in digits if int(path.stem.split("_")[2]) <= LAST_DIGIT]
    with tempfile.TemporaryDirectory() as folder:
        place = lambda name: Path(folder) / name  # noqa: E731
        words = ["--say", word, *how]
        if real:  # alone, recordings of other speech would only teach that recordings are not the word
            words += ["--positive", linked([clips[i] for i in order[:real]], place("train"))]
            words += ["--negative", linked(trained, place("digits"))]
        run = str(place("run"))
        wall = seconds(partial(command, "train", "trigger", "--out", run, *words))
        test = linked([clips[i] for i in order[REAL:]], place("test"))
        others = [str(audio / kind) for kind in ("speech", "music", "noise")]
        others.append(linked([path for path in digits if path not in trained], place("other digits")))
        told = json.loads(command(
            "evaluate", run, test, "--background", str(audio / "noise"), "--snr", "10", "--talk", str(TALK), "--json",
            *(word for other in others for word in ("--negative", other)),
        ))  # fmt: skip
        rows = {row["measure"]: row for row in told["measures"]}
        best = [row for row in told["curve"] if row["false_accepts_per_hour"] <= 0.5]
        misses = rows["miss_rate"]
        save(name, [{
            "word": word, "real_clips": real, "training": " ".join(how), "wall_seconds": wall,
            "tested_on": int(rows["words"]["value"]),
            "miss_rate": misses["value"], "miss_interval": f"{misses['from']:.3f}-{misses['to']:.3f}",
            "false_accepts_per_hour": rows["false_accepts_per_hour"]["value"],
            "interval": f"{rows['false_accepts_per_hour']['from']:.2f}-{rows['false_accepts_per_hour']['to']:.2f}",
            "hours": rows["hours"]["value"], "miss_rate_at_0.5_an_hour": min((row["miss_rate"] for row in best), default=1.0),
            "delay_median": rows.get("delay_median", {}).get("value"),
            "sounds": "; ".join(map(of_sound, told["sounds"])),
        }])  # fmt: skip


def of_sound(row: dict) -> str:
    return f"{Path(row['sound']).name} {row['hours']:.2f} h: {row['false_accepts']}"


run_alexa = partial(on_word, name="trigger-alexa", word="alexa", real=REAL, how=LONG)
run_computer = partial(on_word, name="trigger-computer", word="computer", real=REAL, how=LONG)
run_alexa_spoken = partial(on_word, name="trigger-alexa-spoken", word="alexa", real=0)
run_computer_spoken = partial(on_word, name="trigger-computer-spoken", word="computer", real=0)
