"""A run as one page of HTML: what was trained on what, how it went, what it reached beside the baselines, what it made.

The page holds everything it shows and asks nothing of any network; it can be read on a phone, printed, and sent to others.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from . import charts, line_chart, tables, tasks, template
from . import config as settings
from . import run as folders
from .errors import UserError
from .line_chart import Line

ROWS = 40  # of a table, at most
TYPES = {".wav": "audio/wav", ".png": "image/png"}


def page(folder: Path, graph: str) -> bytes:
    """The page of a finished run; graph: its net as SVG, or nothing."""
    about, report = folders.read_config(folder), folders.read_json(folder / "report.json")
    task = about["task"]
    title = escape(f"{task}: {folder.resolve().name}")
    parts = {
        "@TITLE@": title,
        "@HEADING@": title,
        "@TASK@": escape(tasks.TASKS[task]),
        "@DATA@": escape(_trained_on(about)),
        "@REACHED@": "".join(f"<p><strong>{escape(line)}</strong></p>" for line in report.get("reached", [])),
        "@MEASURES@": _measures(report),
        "@CHARTS@": _charts(folder, tasks.load(task).MEASURE, report),
        "@GRAPH@": graph,
        "@TABLES@": _tables(report),
        "@SAMPLES@": _samples(folder / "samples"),
        "@COMMAND@": escape(command(about)),
        "@SETTINGS@": _pairs(about["config"]),
        "@ENVIRONMENT@": _pairs(_facts(about, report)),
    }
    return template.fill("report.html", parts)


def _trained_on(about: Mapping[str, Any]) -> str:
    names = about["config"].get("data") or ["what the command's options name"]
    return f"trained on {', '.join(map(str, names))}"


def command(about: Mapping[str, Any]) -> str:
    """The command line that does the same again: all settings as they were chosen, but those that are the default."""
    chosen, config = about["config"], tasks.load(about["task"]).Config
    words = ["unrolled", "train", about["task"], *chosen.get("data", [])]
    words += ["--from", about["from"]] if about.get("from") else []
    for o in settings.options(config):
        value = chosen.get(o.name)
        if not o.typed or o.name in ("data", "minutes" if chosen.get("steps") else "") or value in (None, [], ()):
            continue
        if value == (list(o.default) if isinstance(o.default, tuple) else o.default):
            continue
        if o.type is bool:
            words.append(o.flag if value else f"--no-{o.flag[2:]}")
            continue
        for one in value if o.many else [value]:
            words += [o.flag, str(one)]
    return shlex.join(words)


def _measures(report: dict[str, Any]) -> str:
    """The run's measures, and the baselines' beside them."""
    columns = {"this run": report["dev"], **report.get("baselines", {})}
    names = dict.fromkeys(
        name for measures in columns.values() for name, value in measures.items() if not isinstance(value, dict)
    )
    return _table([{"measure": name} | {column: measures.get(name) for column, measures in columns.items()} for name in names])


def curves(path: str | Path, runs: Mapping[str, str | Path], measure: str) -> None:
    """Write a picture, an SVG, of a measure of runs over their steps, and of the first run's baselines beside it."""
    lines = {name: logged(Path(folder), measure) for name, folder in runs.items()}
    for name, line in lines.items():
        if not line.xs:
            raise UserError(
                f"the log of `{runs[name]}` has no measure `{measure}`", fix="log.jsonl in its folder names what it has"
            )
    report = folders.read_json(Path(next(iter(runs.values()))) / "report.json")
    charts.lines(path, _titled(measure), "training steps", lines, _floors(report, measure))


def _titled(measure: str) -> str:
    return "loss while training" if measure == "train" else measure.replace("_", " ")


def logged(folder: Path, name: str) -> Line:
    """What the log of a run has of a measure, over its steps."""
    path = folder / "log.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = [row for row in rows if isinstance(row.get(name), (int, float)) and "step" in row]
    return Line([row["step"] for row in found], [row[name] for row in found])


def _floors(report: dict[str, Any], name: str) -> dict[str, float]:
    return {floor: values[name] for floor, values in report.get("baselines", {}).items() if isinstance(values.get(name), float)}


def _charts(folder: Path, measure: str, report: dict[str, Any]) -> str:
    drawn = []
    for name, title in (("train", _titled("train")), (measure, f"{_titled(measure)}, validation")):
        line = logged(folder, name)
        if len(line.xs) > 1:
            levels = {} if name == "train" else _floors(report, name)
            drawn.append(line_chart.svg(title, "steps", {"this run": line}, levels))
    return "".join(drawn)


def _tables(report: dict[str, Any]) -> str:
    found = {title: rows for title, rows in report.get("tables", {}).items() if rows}
    found |= {"suspects": report["suspects"]} if report.get("suspects") else {}
    shown = "".join(f"<h3>{escape(title.replace('_', ' '))}</h3>{_table(rows)}" for title, rows in found.items())
    return f"<h2>In detail</h2>\n{shown}" if found else ""


def _samples(folder: Path) -> str:
    """What it made at the last evaluation, text or sound; and pictures that were made at the end."""
    made = sorted((path for path in folder.glob("*.*") if path.stem.isdigit()), key=lambda path: (int(path.stem), path.suffix))
    last = [path for path in made if path.stem == made[-1].stem]
    steps = f"<h2>What it made, after {int(last[0].stem):,} steps</h2>" if last else ""
    pictures = "".join(_shown(path) for path in sorted(folder.glob("*.png")) if not path.stem.isdigit())
    return steps + "".join(map(_shown, last)) + (f"<h2>Pictures</h2>{pictures}" if pictures else "")


def _shown(path: Path) -> str:
    if path.suffix == ".txt":
        return f"<pre>{escape(path.read_text(encoding='utf-8', errors='replace'))}</pre>"
    if path.suffix not in TYPES:
        return ""
    data = f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return f'<audio controls src="{data}"></audio>' if path.suffix == ".wav" else f'<img alt="{escape(path.stem)}" src="{data}">'


def _facts(about: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    names = ("steps", "best_step", "seconds", "rollbacks", "weights")
    said = about["data"].get("said") if isinstance(about.get("data"), dict) else None
    read = {"read": "; ".join(said)} if isinstance(said, list) else {}
    facts = {name.replace("_", " "): report[name] for name in names if name in report}
    return facts | {"seconds": round(report["seconds"])} | read | report.get("environment", {})


def _pairs(facts: Mapping[str, Any]) -> str:
    words = {
        name: " ".join(map(str, value)) if isinstance(value, list) else tables.number(value) for name, value in facts.items()
    }
    rows = (f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in words.items())
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Records as a table; long ones are cut, and say so."""
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows[:ROWS] for name in row))
    head = "".join(f'<th scope="col">{escape(name.replace("_", " "))}</th>' for name in names)
    body = "".join("<tr>" + "".join(_cell(row.get(name)) for name in names) + "</tr>" for row in rows[:ROWS])
    more = f'<p class="soft">{len(rows) - ROWS:,} more rows are in report.json</p>' if len(rows) > ROWS else ""
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _cell(value: Any) -> str:
    kind = ' class="number"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    return f"<td{kind}>{escape(tables.number(value))}</td>"
