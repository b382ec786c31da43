"""Clips: 21 actions of sprites, hair styles held out that are not trained on; the net beside the mean of frames and one frame."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from .harness import save, seconds
from .language import needed
from .reading import command

STEPS, SEEDS = 1500, (1,)


def run(data: str | None) -> None:
    """One command a seed; every clip is resampled to one number of frames."""
    folder = Path(needed(data)) / "video" / "sprite-actions"
    save("video", [row(folder, seed) for seed in SEEDS])


def row(folder: Path, seed: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        options = [
            "--label",
            "label",
            "--path",
            "clip",
            "--group",
            "hair_style",
            "--holdout",
            "0.2",
            "--direction",
            "both",
            "--steps",
            str(STEPS),
        ]
        line = ["train", "video", str(folder / "clips"), str(folder / "labels.tsv"), *options, "--seed", str(seed)]
        wall = seconds(lambda: command(*line, "--out", str(Path(name) / "run")))
        report = json.loads((Path(name) / "run" / "report.json").read_text())
    accuracy = report["tables"]["measures"][0]
    return {
        "data": "sprite-actions", "seed": seed, "clips": report["dev"]["clips"], "steps": STEPS, "wall_seconds": wall,
        "accuracy": accuracy["value"], "from": accuracy["from"], "to": accuracy["to"],
        **{name.replace(" ", "_"): floor["accuracy"] for name, floor in report["baselines"].items()},
    }  # fmt: skip
