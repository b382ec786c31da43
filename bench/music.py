"""What half an hour of training makes of six minutes of music: nats a sample on what is held out, beside the run's baselines."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from .harness import save, seconds
from .language import needed
from .reading import command

MINUTES = 30


def run(data: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ("train", "wavenet", str(Path(needed(data)) / "audio" / "music"), "--minutes", str(MINUTES), "--out", str(out))
        wall = seconds(partial(command, *words, "--batch", "1", "--rate", "3e-3"))
        save("wavenet-music", [row(out) | {"wall_seconds": wall}])


def row(out: Path) -> dict[str, Any]:
    """Of a trained run."""
    report = json.loads((out / "report.json").read_text())
    nats = {name: found["nats_per_sample"] for name, found in report["baselines"].items()}
    eight_bits = {found["precision"]: found["nats_per_sample"] for found in report["tables"]["precisions"]}
    return {
        "minutes": MINUTES,
        "steps": report["steps"],
        "threads": report["environment"]["threads"],
        "net": report["dev"]["nats_per_sample"],
        **nats,
        "lost_in_8_bits": eight_bits["int8"] - eight_bits["float32"],
    }
