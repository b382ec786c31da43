"""Runs in words: what one is and reached, and several side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import run as folders
from .errors import UserError

TRAINING = ("best_step", "seconds", "rollbacks", "weights")  # what a report tells of training


def of_run(folder: Path) -> dict[str, Any]:
    """The facts of a run, by section; an unfinished one tells how far it is."""
    about = folders.read_config(folder)
    folders.load_step(folder, "last")  # checks what is about to be told
    report = _report(folder)
    facts: dict[str, Any] = {"run": str(folder), "task": about["task"], "state": _state(folder, about, report)}
    if about.get("from"):
        facts["from"] = about["from"]
    if report:
        if report.get("reached"):
            facts["reached"] = ". ".join(report["reached"])
        facts["validation"] = report["dev"]
        facts |= brief(report)
        facts["training"] = {key: report[key] for key in TRAINING}
        facts["environment"] = report["environment"]
    facts["baselines"] = {
        name: _shown(measures) for name, measures in (report or {}).get("baselines", about["baselines"]).items()
    }
    facts["settings"] = {name: _plain(value) for name, value in about["config"].items()}
    return facts


MOST, WORST, TEXT = 12, 5, 60  # labels told, mistakes and suspects told, characters of a text


def brief(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What matters most of a report's tables: each label or kind, what is most often taken for what, and
    texts whose label looks wrong."""
    told, found = report.get("tables", {}), {}
    parts = {title: told.get(title, []) for title in ("labels", "kinds", "levels", "sounds")}
    parts |= {"mistakes": _mistakes(told.get("confusion", [])), "suspects": report.get("suspects", [])}
    for title, rows in parts.items():
        most = WORST if title in ("mistakes", "suspects") else MOST
        if rows:
            found[title if len(rows) <= most else f"{title}, {most} of {len(rows)}"] = [_short(row) for row in rows[:most]]
    return found


def _mistakes(confusion: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    cells = [(row["is"], name, times) for row in confusion for name, times in list(row.items())[1:] if name != row["is"]]
    made = sorted((cell for cell in cells if cell[2]), key=lambda cell: -cell[2])
    return [{"is": name, "taken_for": other, "times": times} for name, other, times in made]


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"text": " ".join(row["text"].split())[:TEXT]} if "text" in row else row


def _shown(measures: dict[str, float]) -> float:
    """The one measure of a baseline that is told."""
    return measures.get("bits_per_character", next(iter(measures.values())))


def _report(folder: Path) -> dict[str, Any] | None:
    path = folder / "report.json"
    if not path.exists():
        return None
    report = folders.read_json(path)
    if not isinstance(report, dict) or not {"dev", "environment", *TRAINING} <= report.keys():
        raise UserError(f"`{path}` is damaged: it holds no measures", str(path))
    return report


def _state(folder: Path, about: dict[str, Any], report: dict[str, Any] | None) -> str:
    last, steps = folders.pointer(folder, "last"), about["config"]["steps"]
    return f"finished, {steps} steps" if report else f"at step {last} of {steps}; unrolled train --resume {folder}"


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def compared(runs: list[Path]) -> dict[str, list[Any]]:
    """Measures of every run, then the settings in which they differ: {name: [one value a run]}."""
    if len(runs) < 2:
        raise UserError(f"`compare` got {len(runs)} run; it takes two or more")
    facts = [of_run(run) for run in runs]
    rows: dict[str, list[Any]] = {}
    for section in ("validation", "training"):
        names = dict.fromkeys(name for f in facts for name in f.get(section, {}))
        rows |= {name: [f.get(section, {}).get(name) for f in facts] for name in names}
    for name in dict.fromkeys(name for f in facts for name in f["settings"]):
        values = [f["settings"].get(name) for f in facts]
        if any(value != values[0] for value in values):
            rows[name] = values
    return rows
