"""What `unrolled train language FILE --minutes M` reaches with its defaults: whole command, wall time, whole validation text.

Every row is one command run as a user would run it; `nats_per_symbol` is of the whole held-out part.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from unrolled import api
from unrolled.tasks import language

from .harness import save, seconds


def train(text: Path, minutes: float, seed: int, out: Path) -> dict[str, Any]:
    """One command, timed from its start; its report."""
    command = [sys.executable, "-m", "unrolled", "train", "language", str(text), "--minutes", str(minutes)]
    command += ["--seed", str(seed), "--out", str(out)]
    wall = seconds(lambda: subprocess.run(command, check=True))
    report = json.loads((out / "report.json").read_text())
    measures = {name: report["dev"][name] for name in ("nats_per_symbol", "bits_per_character", "symbols")}
    floors = {name: floor["bits_per_character"] for name, floor in report["baselines"].items()}
    settings = json.loads((out / "config.json").read_text())["config"]
    sizes = {name: settings[name] for name in ("layers", "hidden", "batch", "length", "steps")}
    return {"minutes": minutes, "seed": seed, "wall_seconds": wall, **measures, **floors, **sizes}


def shakespeare(data: str, minutes: float, seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    """First 90 % train, last 10 % validation; then the same text under dynamic evaluation."""
    text = Path(data) / "text" / "shakespeare.txt"
    rows = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            row = train(text, minutes, seed, out)
            row["dynamic_nats_per_symbol"] = dynamic(out, text)
            rows.append(row)
    return rows


def dynamic(out: Path, text: Path) -> float:
    run = api.load(out)
    written = text.read_text()
    held_out = written[int(len(written) * 0.9) :]
    ids = run.codec.encode(held_out)
    scored = language.score(run, ids, len(held_out), language.Score(dynamic=True))
    return scored.measures["nats_per_symbol"]


def run_short(data: str | None) -> None:
    save("shakespeare-81-seconds", shakespeare(needed(data), 1.35, (1, 2)))


def run_long(data: str | None) -> None:
    save("shakespeare-10-minutes", shakespeare(needed(data), 10, (1,)))


def run_latex(data: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        row = train(Path(needed(data)) / "text" / "stacks.tex.xz", 30, 1, Path(folder) / "run")
    save("latex-30-minutes", [row])


def needed(data: str | None) -> str:
    if data is None:
        sys.exit("this measurement needs --data FOLDER, which holds text/shakespeare.txt and text/stacks.tex.xz")
    return data
