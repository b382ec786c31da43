"""Cells side by side, before any data: how far their gradients reach at the start, and which lags they learn to bridge."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import torch

from . import gradients, lag_tasks, saturation
from .cells import CELLS
from .config import check, option
from .errors import UserError, did_you_mean
from .layers import initialise
from .progress import Progress
from .recurrent import Recurrent

ROWS, INPUTS = 4, 16  # sequences of normal random numbers that the fresh nets read, and numbers a step
FRESH, TOLD = "fresh", "told the lag"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is compared, and how long that may take."""

    cells: str = option("rnn,gru,lstm", "cells, with commas between")
    layers: int = option(1, "recurrent layers", minimum=1, maximum=100)
    hidden: int = option(64, "units a layer", minimum=1, maximum=4096)
    lag: int = option(
        200, "longest lag in steps; the others are a twentieth and a quarter of it", minimum=lag_tasks.LEAST, maximum=100_000
    )
    minutes: float = option(2.0, "wall time of the three tasks, about", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps of a task at most, in place of minutes", minimum=1)
    tell: bool = option(True, "in the tasks, gates begin with memories up to the lag; else as in any training")
    seed: int = option(1, "of weights and examples", minimum=0, maximum=2**62)

    def __post_init__(self) -> None:
        check(self)
        for name in self.names:
            if name not in CELLS:
                raise UserError(f"`--cells` got `{name}`; allowed are {', '.join(CELLS)}", fix=did_you_mean(name, CELLS))

    @property
    def names(self) -> list[str]:
        return [name.strip() for name in self.cells.split(",")]


class Start(NamedTuple):
    """A layer of a net before training."""

    cell: str
    layer: str
    start: str  # FRESH, as layers.initialise draws it; TOLD, its gates begun as the tasks' nets are (lag_tasks.remember)
    norms: list[float]  # ln of the norm of d s_T / d s_t at distances 0 … lag
    growth: float  # of the norm, times a step
    memory: int | None  # steps until less than 1/e is left; None: it never was
    gates: list[saturation.Gate]
    theory: gradients.Theory | None  # of the basic RNN

    @property
    def left(self) -> float:
        """Of the gradient at the longest distance."""
        return math.exp(self.norms[-1])


class Comparison(NamedTuple):
    starts: list[Start]
    trials: list[lag_tasks.Trial]
    tell: bool  # whether the trials' gates were told the lag


def compare(options: Options, progress: Progress) -> Comparison:
    """Gradients at the start, then the three tasks."""
    found = starts(options)
    given = (
        options.names,
        options.lag,
        options.hidden,
        options.layers,
        options.seed,
        options.tell,
        options.steps,
        60 * options.minutes,
    )
    return Comparison(found, list(lag_tasks.trials(*given, progress)), options.tell)


def starts(options: Options) -> list[Start]:
    """Every layer of every cell at both starts; the basic RNN has but one, since it has no gates."""
    found = []
    for name in options.names:
        for start in (FRESH, TOLD):
            torch.manual_seed(options.seed)
            stack = Recurrent(name, INPUTS, options.hidden, options.layers)
            stack.apply(initialise)
            before = [cell.b.clone() for cell in stack.cells]
            for cell in stack.cells:
                if start == TOLD:
                    lag_tasks.remember(cell, options.lag)
            if start == TOLD and all(torch.equal(b, cell.b) for b, cell in zip(before, stack.cells, strict=True)):
                continue
            found += _layers(name, start, stack.double(), options.lag)
    return found


def _layers(name: str, start: str, stack: Recurrent, lag: int) -> list[Start]:
    x = torch.randn(ROWS, lag + 1, INPUTS, dtype=torch.float64)
    found = []
    for part in gradients.parts(stack, x):
        read = gradients.read(part.cell, part.x)
        logs = gradients.reached(read).norms
        theory = gradients.theory(read) if name == "rnn" else None
        growth, gates = math.exp(gradients.slope(logs)), saturation.working(read).gates
        found.append(Start(name, part.name, start, logs.tolist(), growth, gradients.memory(logs), gates, theory))
    return found


def gradient_table(found: Comparison) -> list[dict[str, Any]]:
    """A row for each layer and start."""
    several = len({start.layer for start in found.starts}) > 1
    return [
        {"cell": start.cell} | ({"layer": start.layer} if several else {}) | {
            "start": start.start, "growth_a_step": round(start.growth, 4),
            "theory": None if start.theory is None else round(math.exp(start.theory.expected), 4),
            "at_most": None if start.theory is None else round(math.exp(start.theory.bound), 4),
            f"left_after_{len(start.norms) - 1}": f"{start.left:.1e}",
            "memory_in_steps": f"over {len(start.norms) - 1}" if start.memory is None else start.memory,
            "saturated": ", ".join(f"{gate.name} {100 * (gate.shut + gate.open):.0f} %" for gate in start.gates),
        }
        for start in found.starts
    ]  # fmt: skip


def task_table(found: Comparison) -> list[dict[str, Any]]:
    """A row for each task and lag; of each cell the accuracy, and after how many steps it was solved."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for trial in sorted(found.trials, key=lambda trial: (list(lag_tasks.TASKS).index(trial.task), trial.lag)):
        row = rows.setdefault((trial.task, trial.lag), {"task": trial.task, "lag": trial.lag, "chance": percent(trial.chance)})
        row[trial.cell] = f"{percent(trial.accuracy)}, {told(trial)}"
    return list(rows.values())


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def told(trial: lag_tasks.Trial) -> str:
    return f"solved in {trial.solved_after:,}" if trial.solved_after else f"not in {trial.steps:,}"
