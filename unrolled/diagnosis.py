"""What holds a run back: gradients by distance in time on its own data, gates, units, weights, how training went; and a verdict
in words with what to try next.

Nothing here knows a task: a run's model is anything whose forward(batch, state) calls Recurrent stacks and that has a loss.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import gradients, saturation
from . import run as folders
from .cells import CELLS
from .errors import UserError
from .recurrent import Recurrent

ROWS, STEPS, MOST = 8, 600, 300  # of a batch that are read by each cell; distances that are followed

CLIPPED = 0.9  # share of steps above which it is the clip that sets the pace
SPIKE = 20.0  # times the mean norm: a gradient that throws a net off
GROWTH = 1.02  # times a step: above, gradients explode
LOST = 1e-3  # of a gradient: less is as good as nothing
STUCK, DEAD = 0.9, 0.2  # shares of saturated tanhs and of dead units
HOT, COLD = 0.08, 3e-5  # relative change of a matrix by a step: above, it jumps; below, it stands still
WORSE, GAP = 1.03, 1.5  # times the best measure, times the training loss, on validation data: learnt by heart


LOGGED = ("gradient_norm", "highest_gradient_norm", "clipped", "weights", "gradients", "changes")  # the last three by parameter


class Layer(NamedTuple):
    """A cell of the run, on its data."""

    name: str
    cell: str
    units: int
    steps: int  # longest row read
    norms: list[float]  # ln of the norm of d s_T / d s_t at distances 0, 1, …
    growth: float  # times a step; below 1 gradients vanish
    left: float  # of a gradient, at the longest distance followed
    memory: int | None  # steps until less than 1/e is left; None: it never was
    gates: list[saturation.Gate]
    dead: float  # share of units
    expected: float | None  # growth by theory, of the basic RNN: its singular values and how far its tanh is from its ends


class Parameter(NamedTuple):
    """A parameter beside its gradient on a batch, and how much a step at the run's highest rate changed it."""

    name: str
    weights: float  # root mean square
    gradient: float  # root mean square of its gradient
    change: float | None  # of the norm, relative to it; at the last evaluation. None: the run's log does not tell


class Training(NamedTuple):
    """How training went, from the run's log. None: an older version wrote it, or there was no evaluation yet."""

    clip: float
    gradient_norm: float | None  # mean over all steps, before clipping
    highest_gradient_norm: float | None
    clipped: float | None  # share of steps
    change: float | None  # of the middle matrix by a step at the highest rate, relative to it, when it was greatest
    rollbacks: int
    rate: float
    best_step: int
    last_step: int
    best: float | None  # of the measure that picks the best step
    last: float | None
    measure: str
    train: float | None  # loss at the end, a running mean


class Beside(NamedTuple):
    """A measure of the run beside the baseline that does best by it, on the same validation data."""

    measure: str
    run: float
    baseline: str
    of_baseline: float


class Verdict(NamedTuple):
    fault: str
    evidence: str
    next: str


class Diagnosis(NamedTuple):
    layers: list[Layer]
    parameters: list[Parameter]
    training: Training
    beside: Beside | None  # None: no baseline tells what the run does
    log: list[dict[str, Any]]  # of each evaluation: step, LOGGED
    verdicts: list[Verdict]


def diagnose(run: Any, batch: Any) -> Diagnosis:
    """A run (of api.load) and a batch of data as it is trained on; a UserError where the run has no recurrent layers."""
    layers = list(layers_of(run.model, batch))
    if not layers:
        raise UserError(f"`{run.folder}` has no recurrent layers: there is no gradient through time to follow")
    log = [entry for entry in folders.read_log(run.folder) if "train" in entry]
    changed = log[-1].get("changes", {}) if log else {}
    parameters, training = parameters_of(run.model, batch, changed), training_of(run, log)
    told = [{name: entry[name] for name in ("step", *LOGGED) if name in entry} for entry in log if "changes" in entry]
    beside = beside_baselines(run)
    return Diagnosis(layers, parameters, training, beside, told, verdicts(layers, training, beside))


def own_data(run: Any) -> list[str]:
    """The names of the data that a run was trained on; a UserError where they are there no more."""
    names = list(run.config.data)
    lost = [name for name in names if not Path(name).exists()]
    if lost:
        raise UserError(
            f"the data of `{run.folder}` are no more at `{lost[0]}`",
            fix=f"name data like it: unrolled diagnose {run.folder} FILE",
        )
    return names


def layers_of(model: nn.Module, batch: Any) -> list[Layer]:
    """Every cell of every stack, on what it reads of the batch."""
    found, read = [], inputs(model, batch)
    for name, (stack, x, lengths) in read.items():
        for part in gradients.parts(stack, x, lengths):
            own = part.name if len(read) == 1 else name if len(stack.cells) == 1 else f"{name}, {part.name}"
            found.append(_layer(own, part, lengths))
    return found


def inputs(model: nn.Module, batch: Any) -> dict[str, tuple[Recurrent, Tensor, Tensor | None]]:
    """What each recurrent stack reads (B, T, I) first as the model reads a batch, and its lengths; at most ROWS and STEPS."""
    found: dict[str, tuple[Recurrent, Tensor, Tensor | None]] = {}
    names = {stack: name for name, stack in model.named_modules() if isinstance(stack, Recurrent)}

    def note(stack: Recurrent, given: tuple, named: dict[str, Any]) -> None:
        x, lengths = given[0][:ROWS, :STEPS].detach(), named.get("lengths", given[2] if len(given) > 2 else None)
        lengths = None if lengths is None else lengths[:ROWS].clamp(max=STEPS)
        found.setdefault(names[stack], (stack, x, lengths))

    handles = [stack.register_forward_pre_hook(note, with_kwargs=True) for stack in names]
    with torch.no_grad():
        model.eval()(batch, None)
    for handle in handles:
        handle.remove()
    return found


def _layer(name: str, part: gradients.Part, lengths: Tensor | None) -> Layer:
    found = gradients.read(part.cell, part.x, lengths)
    told, working = gradients.reached(found, MOST), saturation.working(found)
    logs = told.norms
    kind = next((kind for kind, known in CELLS.items() if type(part.cell) is known), type(part.cell).__name__)
    expected = math.exp(gradients.theory(found).expected) if kind == "rnn" else None
    return Layer(
        name, kind, part.cell.hidden_size, int(found.lengths.max()), logs.tolist(), math.exp(gradients.slope(logs)),
        math.exp(logs[-1]), gradients.memory(logs), working.gates, working.dead, expected,
    )  # fmt: skip


def parameters_of(model: nn.Module, batch: Any, changed: dict[str, float]) -> list[Parameter]:
    """Each parameter beside the gradient of the batch's loss, dropout off."""
    model = copy.deepcopy(model).eval()  # gradients are left on a copy
    outputs, _ = model(batch, None)
    model.loss(outputs, batch).backward()
    return [
        Parameter(name, _size(p), _size(p.grad), changed.get(name))
        for name, p in model.named_parameters() if p.grad is not None
    ]  # fmt: skip


def _middle(changes: dict[str, float]) -> float:
    """The middle one of the matrices' relative changes; vectors such as biases begin at zero, and say nothing."""
    matrices = {name: change for name, change in changes.items() if not name.endswith((".b", ".bias", ".d"))}
    return float(np.median(list((matrices or changes).values())))


def _size(values: Tensor) -> float:
    return float(values.detach().double().square().mean().sqrt())


def training_of(run: Any, log: list[dict[str, Any]]) -> Training:
    """What the log says of the whole of training; each evaluation's figures are of the steps since the one before."""
    counted = [entry for entry in log if "clipped" in entry]
    spans = np.diff([0, *(entry["step"] for entry in counted)])
    changes = [_middle(entry["changes"]) for entry in log if entry.get("changes")]
    mean = lambda name: float(np.average([entry[name] for entry in counted], weights=spans)) if counted else None  # noqa: E731
    progress = folders.load_step(run.folder, "last").progress
    measures = [entry[run.task.MEASURE] for entry in log if run.task.MEASURE in entry]
    highest = max((entry["highest_gradient_norm"] for entry in counted), default=None)
    return Training(
        run.config.clip, mean("gradient_norm"), highest, mean("clipped"), max(changes, default=None),
        progress["rollbacks"], run.config.rate * progress["rate_scale"],
        progress["best_step"], log[-1]["step"] if log else 0,
        min(measures, default=None), measures[-1] if measures else None, run.task.MEASURE, log[-1]["train"] if log else None,
    )  # fmt: skip


COMPARED = {  # whether more of it is better; of several that a run has, the first
    "bits_per_character": False, "accuracy": True, "span_f1": True, "bleu": True, "cider": True, "nats_per_sample": False,
    "greedy_character_error_rate": False, "miss_rate": False,
}  # fmt: skip
PEOPLE = "people"  # a line to look up to, not a baseline


def beside_baselines(run: Any) -> Beside | None:
    """The run's measure and the best baseline's, from its report; None where there is none, or it has no such measure."""
    path = run.folder / "report.json"
    report = folders.read_json(path) if path.exists() else {}
    own, baselines = report.get("dev", {}), report.get("baselines", {})
    for name, more in COMPARED.items():
        told = {floor: values[name] for floor, values in baselines.items() if name in values and floor != PEOPLE}
        if name in own and told:
            best = (max if more else min)(told, key=told.__getitem__)
            return Beside(name, own[name], best, told[best])
    return None


# --- the verdict


def verdicts(layers: list[Layer], training: Training, beside: Beside | None) -> list[Verdict]:
    """Every fault that the figures show, the gravest first."""
    found = [_too_fast(training), _too_slow(training), *_by_clipping(training)]
    for judge in (_explodes, _vanishes, _stuck, _dead):
        found.append(next(filter(None, map(judge, layers)), None))
    found += [_by_heart(training), _beaten(beside)]
    return [verdict for verdict in found if verdict is not None]


def _too_fast(training: Training) -> Verdict | None:
    if training.rollbacks:
        evidence = f"training diverged and was set back {_times(training.rollbacks)}"
        return Verdict("the rate is too high", evidence, f"--rate {training.rate:.2g}, where it went on")
    if training.change is None or training.change <= HOT:
        return None
    return Verdict("the rate is too high", _changed(training.change), f"--rate {training.rate / 10:.2g}")


def _too_slow(training: Training) -> Verdict | None:
    if training.change is None or training.change >= COLD:
        return None
    return Verdict("the rate is too low", _changed(training.change), "ten times the --rate, or leave it out: it is chosen then")


def _changed(change: float) -> str:
    return f"a step at the highest rate changed the middle matrix by as much as {100 * change:.2g} % of its size"


def _by_clipping(training: Training) -> list[Verdict]:
    norm, highest = training.gradient_norm, training.highest_gradient_norm
    if not norm or highest is None or training.clipped is None:
        return []
    found = []
    if training.clipped > CLIPPED:
        evidence = f"{100 * training.clipped:.0f} % of the steps were clipped to {training.clip:g}; the mean norm was {norm:.2g}"
        found.append(Verdict("nearly every gradient is clipped", evidence, f"--clip {2 * norm:.2g}"))
    if min(highest, training.clip) > SPIKE * norm:
        evidence = f"the longest gradient was {highest:.2g}, the mean {norm:.2g}, and the clip at {training.clip:g} let it pass"
        found.append(Verdict("single gradients throw it off", evidence, f"--clip {2 * norm:.2g}"))
    return found


def _explodes(layer: Layer) -> Verdict | None:
    if not (layer.growth > GROWTH and layer.left > 1 / LOST):
        return None
    evidence = (
        f"in {layer.name} they grow {layer.growth:.3g} times a step, {layer.left:.1g} times over {len(layer.norms) - 1} steps"
    )
    return Verdict("gradients explode", evidence, "--clip 1 or less, a smaller --rate; fresh weights start orthogonal")


def _vanishes(layer: Layer) -> Verdict | None:
    if not (layer.cell == "rnn" and layer.memory is not None and layer.left < LOST):
        return None
    evidence = (
        f"in {layer.name} less than 1/e is left after {layer.memory} step{'s' if layer.memory != 1 else ''} and {layer.left:.1g} "
        f"after {len(layer.norms) - 1}; what lies further back is not learnt"
    )
    return Verdict("gradients vanish", evidence, "--cell lstm or --cell gru")


def _stuck(layer: Layer) -> Verdict | None:
    ends = next((gate.shut + gate.open for gate in layer.gates if gate.name == "tanh"), 0.0)
    if ends <= STUCK:
        return None
    evidence = f"in {layer.name} {100 * ends:.0f} % of the tanhs stand beyond ±{saturation.HIGH}, where few gradients pass"
    return Verdict("units are saturated", evidence, "a smaller --rate or more --weight-decay; inputs near 1 in size")


def _dead(layer: Layer) -> Verdict | None:
    if layer.dead <= DEAD:
        return None
    evidence = f"in {layer.name} {100 * layer.dead:.0f} % of {layer.units} units never move on these data"
    return Verdict("units are dead", evidence, f"--hidden {max(1, round(layer.units * (1 - layer.dead)))}, or a smaller --rate")


def _by_heart(training: Training) -> Verdict | None:
    best, last, where = training.best, training.last, f"{training.measure} on validation data"
    if best is None or last is None or best <= 0:
        return None
    if last > WORSE * best:
        evidence = f"{where} was {best:.4g} at step {training.best_step} and {last:.4g} at step {training.last_step}"
    elif training.measure.startswith("nats") and last > GAP * training.train:  # the loss is in the same unit
        evidence = f"{where} is {last:.4g}, and {training.train:.4g} on those it trains on"
    else:
        return None
    return Verdict("it learnt its data by heart", evidence, "more data, more --dropout, fewer --hidden, or fewer --steps")


def _beaten(beside: Beside | None) -> Verdict | None:
    if beside is None or (beside.run >= beside.of_baseline if COMPARED[beside.measure] else beside.run <= beside.of_baseline):
        return None
    evidence = f"{beside.measure} is {beside.run:.4g}, and {beside.of_baseline:.4g} of the baseline `{beside.baseline}`"
    return Verdict("a simpler baseline does better", evidence, "more --minutes or more data; if it stays so, use the baseline")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
