"""What a diagnosis says, as tables, pictures and one page of HTML: of cells before any data, and of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import lag_tasks, tables
from .comparison import FRESH, Comparison, gradient_table, percent, task_table, told
from .diagnosis import Diagnosis
from .errors import MISSING_EXTRA, UserError
from .run import write_bytes
from .template import fill

NAME = "diagnosis"
LINES = 12  # parameters drawn


def of_cells(found: Comparison) -> dict[str, list[dict[str, Any]]]:
    """The tables of a comparison."""
    return {"gradients before training": gradient_table(found), f"tasks that need a memory, {begun(found)}": task_table(found)}


def begun(found: Comparison) -> str:
    """How the tasks' nets began: it decides much of what they reach."""
    return "gates told the lag" if found.tell else "gates fresh"


def of_run(found: Diagnosis) -> dict[str, list[dict[str, Any]]]:
    """The tables of a run; the verdict last, where a terminal shows it."""
    layers = [
        {
            "layer": layer.name, "cell": layer.cell, "steps": layer.steps, "growth_a_step": round(layer.growth, 4),
            "theory": None if layer.expected is None else round(layer.expected, 4),
            "left": f"{layer.left:.1e} after {len(layer.norms) - 1}",
            "memory_in_steps": f"over {len(layer.norms) - 1}" if layer.memory is None else layer.memory,
            "dead": f"{percent(layer.dead)} of {layer.units}",
        }
        for layer in found.layers
    ]  # fmt: skip
    gates = [
        {"layer": layer.name, "gate": gate.name, "shut": percent(gate.shut), "open": percent(gate.open)}
        for layer in found.layers for gate in layer.gates
    ]  # fmt: skip
    parameters = [
        {
            "parameter": p.name, "weights": f"{p.weights:.1e}", "gradient": f"{p.gradient:.1e}",
            "gradient_to_weights": f"{p.gradient / max(p.weights, 1e-12):.1e}",
            "change_a_step": "" if p.change is None else f"{p.change:.1e}",
        }
        for p in found.parameters
    ]  # fmt: skip
    verdicts = [{"fault": v.fault, "because": v.evidence, "try": v.next} for v in found.verdicts]
    nothing = [{"fault": "none found", "because": "nothing in these figures holds it back", "try": "more minutes, or more data"}]
    return {
        "gradients through time": layers, "saturated gates": gates, "parameters": parameters,
        "training": [_training(found)], "verdict": verdicts or nothing,
    }  # fmt: skip


def _training(found: Diagnosis) -> dict[str, Any]:
    t = found.training
    number = lambda value: None if value is None else f"{value:.3g}"  # noqa: E731
    return {
        "clip": f"{t.clip:g}", "clipped": None if t.clipped is None else percent(t.clipped),
        "mean_norm": number(t.gradient_norm), "longest": number(t.highest_gradient_norm), "rollbacks": t.rollbacks,
        "rate": f"{t.rate:.2g}", "best_step": t.best_step, "last_step": t.last_step,
    }  # fmt: skip


def write(
    folder: Path,
    title: str,
    note: str,
    sections: dict[str, list[dict[str, Any]]],
    pictures: Callable[[ModuleType], dict[str, Any]],
) -> list[Path]:
    """The pictures as PNG and SVG and one page with everything, in a folder; a UserError where matplotlib is missing."""
    try:
        from . import plot
    except ImportError as error:
        fix = "pip install 'unrolled[plot]', or --json for the numbers alone"
        raise UserError(f"a diagnosis draws with the package `{error.name}`", fix=fix, code=MISSING_EXTRA) from None
    folder.mkdir(parents=True, exist_ok=True)
    drawn, paths, figures = {}, [], pictures(plot)
    for name, figure in figures.items():
        drawn[name] = plot.svg(figure)
        for path, data in ((folder / f"{name}.png", plot.png(figure)), (folder / f"{name}.svg", drawn[name])):
            write_bytes(path, data)
            paths.append(path)
    page = folder / f"{NAME}.html"
    write_bytes(page, html(title, note, sections, list(drawn.values())))
    return [*paths, page]


def html(title: str, note: str, sections: dict[str, list[dict[str, Any]]], drawings: Sequence[bytes]) -> bytes:
    """The page; names are text in it, whatever they hold."""
    first, *others = (f"<h2>{escape(name)}</h2>{_table(rows)}" for name, rows in reversed(sections.items()) if rows)
    svgs = "".join(f"<figure>{_inner(drawing)}</figure>" for drawing in drawings)
    parts = {"@FIRST@": first, "@PICTURES@": svgs, "@TABLES@": "".join(others)}
    return fill(f"{NAME}.html", {"@TITLE@": escape(title), "@NOTE@": escape(note), **parts})


def _inner(drawing: bytes) -> str:
    """An SVG file without its head, as it stands inside a page."""
    text = drawing.decode()
    return text[text.index("<svg") :]


def _table(rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(tables.number(v))}</td>" for v in row.values()) + "</tr>" for row in rows)
    return f"<div class=wide><table><tr>{head}</tr>{body}</table></div>"


# --- pictures


def pictures_of_cells(found: Comparison) -> Callable[[ModuleType], dict[str, Any]]:
    """One picture: gradients, and the tasks beside them."""
    names = list(dict.fromkeys(start.cell for start in found.starts))
    several = len({start.layer for start in found.starts}) > 1

    def draw(plot: ModuleType) -> dict[str, Any]:
        curves = []
        for start in found.starts:
            of, begun = f", {start.layer}" if several else "", "" if start.start == FRESH else f", {start.start}"
            style = "-" if start.start != FRESH or start.theory is not None else ":"
            curves.append(plot.Curve(f"{start.cell}{of}{begun}", _tens(start.norms), names.index(start.cell), style))
            if start.theory is not None:
                line = [start.theory.expected * distance for distance in range(len(start.norms))]
                curves.append(plot.Curve(f"{start.cell}{of}, by its singular values", _tens(line), names.index(start.cell), "--"))
        return {NAME: plot.reach(curves, _grids(plot, found, names), _key(found))}

    return draw


def _key(found: Comparison) -> str:
    """What the lines' styles mean; the tasks began told the lag, or fresh."""
    told, fresh = "as begun for the tasks", "as drawn afresh, of a gated cell"
    if not found.tell:
        told, fresh = "with gates told the lag, or none to tell", "with gates as drawn afresh, as begun for the tasks"
    return f"Solid: {told}; dotted: {fresh}; dashed: the theory. See docs/gradients.md"


def _grids(plot: ModuleType, found: Comparison, names: list[str]) -> list[Any]:
    grids = []
    lags = sorted({trial.lag for trial in found.trials})
    by_place = {(trial.task, trial.cell, trial.lag): trial for trial in found.trials}
    for task, what in lag_tasks.TASKS.items():
        trials = [[by_place[task, name, lag] for lag in lags] for name in names]
        shares = np.array([[trial.accuracy for trial in row] for row in trials])
        texts = [[f"{percent(trial.accuracy)}, {told(trial)}" for trial in row] for row in trials]
        title = f"{task}: accuracy (chance {percent(what.chance)}), solved in how many training steps"
        grids.append(plot.Grid(title, names, [f"lag {lag}" for lag in lags], shares, texts))
    return grids


def pictures_of_run(found: Diagnosis) -> Callable[[ModuleType], dict[str, Any]]:
    """Gradients through time, and, where the log tells, how training went."""

    def draw(plot: ModuleType) -> dict[str, Any]:
        curves = []
        for number, layer in enumerate(found.layers):
            curves.append(plot.Curve(f"{layer.name} ({layer.cell})", _tens(layer.norms), number, "-"))
            if layer.expected is not None:
                line = [math.log(layer.expected) * distance for distance in range(len(layer.norms))]
                curves.append(plot.Curve(f"{layer.name}, by its singular values", _tens(line), number, "--"))
        drawn = {NAME: plot.reach(curves, [], "On the run's own data, each layer by itself. See docs/gradients.md")}
        if found.log:
            drawn["training"] = _over_training(plot, found)
        return drawn

    return draw


def _over_training(plot: ModuleType, found: Diagnosis) -> Any:
    steps, means, highest = ([entry[key] for entry in found.log] for key in ("step", "gradient_norm", "highest_gradient_norm"))
    names = [p.name for p in found.parameters if p.change is not None][:LINES]
    series = [(number, name, [entry["changes"].get(name) for entry in found.log]) for number, name in enumerate(names)]
    sizes = [(number, name, [_ratio(entry, name) for entry in found.log]) for number, name in enumerate(names)]
    panels = {
        "gradient (clipped) over weights, of the norms": _curves(plot, sizes),
        "change by a step at the highest rate over weights": _curves(plot, series),
    }
    note = (
        "Each point stands for the steps since the one before; gradients are AdamW's running mean, changes those of its next step"
    )
    return plot.training(steps, means, highest, found.training.clip, panels, note)


def _ratio(entry: dict[str, Any], name: str) -> float | None:
    """A parameter's gradient over its weights; None in a log of an older version."""
    gradient, weights = (entry.get(key, {}).get(name) for key in ("gradients", "weights"))
    return None if gradient is None or not weights else gradient / weights


def _curves(plot: ModuleType, series: Sequence[tuple[int, str, list[float | None]]]) -> list[Any]:
    """Curves in powers of ten; what is not known or zero leaves a gap."""
    return [
        plot.Curve(name, [math.log10(value) if value else math.nan for value in values], number, "-")
        for number, name, values in series
    ]


def _tens(logs: Sequence[float]) -> list[float]:
    return [value / math.log(10) for value in logs]
