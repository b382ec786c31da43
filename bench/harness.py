"""How everything is measured: ours and the peer in one process, turn by turn, medians and their spread, JSON with the machine."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unrolled.run import environment

RESULTS = Path(__file__).parent / "results"


def beside(ours: Callable[[], Any], peers: dict[str, Callable[[], Any]], rounds: int = 9) -> dict[str, dict[str, float]]:
    """Ours and each peer in turn, `rounds` times after one unmeasured turn.

    {"ours": {"seconds": …}, peer: {"seconds", "ratio", "ratio_min", "ratio_max"}}: medians, and the range over the rounds.
    A ratio above 1 means that ours is faster.
    """
    ways = {"ours": ours, **peers}
    for way in ways.values():
        way()
    taken = [{name: seconds(way) for name, way in ways.items()} for _ in range(rounds)]
    found = {"ours": {"seconds": statistics.median(turn["ours"] for turn in taken)}}
    for name in peers:
        ratios = [turn[name] / turn["ours"] for turn in taken]
        found[name] = {
            "seconds": statistics.median(turn[name] for turn in taken), "ratio": statistics.median(ratios),
            "ratio_min": min(ratios), "ratio_max": max(ratios),
        }  # fmt: skip
    return found


def alternate(ours: Callable[[], Any], peer: Callable[[], Any], rounds: int = 9) -> dict[str, float]:
    """beside() with one peer, flat: ours_seconds, peer_seconds, ratio, ratio_min, ratio_max."""
    found = beside(ours, {"peer": peer}, rounds)
    ratio = {name: value for name, value in found["peer"].items() if name != "seconds"}
    return {"ours_seconds": found["ours"]["seconds"], "peer_seconds": found["peer"]["seconds"], **ratio}


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def save(name: str, rows: list[dict[str, Any]]) -> None:
    """Write bench/results/<name>.json and print the rows as a table."""
    RESULTS.mkdir(exist_ok=True)
    result = {"command": f"python -m bench {name}", "rows": rows, "environment": machine()}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows))


def machine() -> dict[str, Any]:
    return environment() | {
        "processor": processor(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of one shape as a Markdown table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[show(row.get(name)) for name in names] for row in rows]
    lines = [names, ["---"] * len(names), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 0.1 else f"{value:.3f}"
    return f"{value:,}" if type(value) is int else str(value)
