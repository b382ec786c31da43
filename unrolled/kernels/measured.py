"""Choices between equal ways to compute, made by measuring once on this machine and kept in a file.

They are kept because a resumed run must take the ways it took before: two ways round differently. The file lies in
$UNROLLED_CACHE, $XDG_CACHE_HOME/unrolled or ~/.cache/unrolled. Where it cannot be written the first way is taken.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

ROUNDS = 5


def faster(question: str, ways: dict[str, Callable[[], Any]]) -> str:
    """The name of the way that takes the least time here; `question` names the choice in the file."""
    known = _known()
    key = f"{question}, {torch.get_num_threads()} threads"
    if known.get(key) not in ways:
        path = _path()
        if not _writable(path.parent):
            return next(iter(ways))
        known[key] = min(ways, key=lambda name: _seconds(ways[name]))
        _keep(path, known)
    return known[key]


def answers() -> dict[str, str]:
    """What was measured so far on this machine."""
    return dict(_known())


def _seconds(way: Callable[[], Any]) -> float:
    taken = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        way()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def _path() -> Path:
    home = os.environ.get("UNROLLED_CACHE")
    folder = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unrolled"
    return folder / f"choices-{_processor()}-torch-{torch.__version__}.json"


@cache
def _processor() -> str:
    """A name for this kind of processor that a file can bear."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            fields = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        name = "-".join(fields.get(key, "") for key in ("model name", "cpu family", "model", "stepping"))
    return "".join(c if c.isalnum() else "-" for c in name)


@cache
def _known() -> dict[str, str]:
    try:
        found = json.loads(_path().read_text())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: no home folder
        return {}
    return found if isinstance(found, dict) else {}


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _keep(path: Path, known: dict[str, str]) -> None:
    beside = path.with_suffix(f".{os.getpid()}.new")
    try:
        beside.write_text(json.dumps(known, indent=1) + "\n")
        os.replace(beside, path)
    except OSError:  # measured all the same, and used while this process lives
        beside.unlink(missing_ok=True)
