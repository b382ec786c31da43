"""The training loop: one for every task, every device, and any number of processes.

What it needs of a task:
    model(batch, state) -> outputs, state      state a tuple of (B, …) tensors carried to the next step, () for none
    model.loss(outputs, batch) -> loss         a mean over the batch
    batches.batch(step) -> batch               a NamedTuple of (B, …) tensors or None: the whole batch of all processes
    evaluate(model) -> {measure: value}        settings.measure picks the best step, smaller is better

Data and random numbers are functions of (seed, step), so a run that stops anywhere and resumes equals an unbroken one,
bit for bit on the CPU at the same number of threads.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from . import run as folders
from .errors import INTERRUPTED, RUN_FAILED, UserError
from .progress import Progress, minutes

if TYPE_CHECKING:
    from accelerate import Accelerator, PartialState

ROLLBACKS = 5  # how often a diverging run is set back, each time at half the rate, before it is given up


class Measuring(NamedTuple):
    """How validation is measured, counted in what `counted` names (a measure of evaluate)."""

    counted: str
    probe: int  # that many show the speed
    few: int  # read at an evaluation, at least
    many: int  # read at the end of a run that has no minutes to keep to
    warming: int  # read before those that count, at most
    untrained: float = 1.0  # how many times as long it takes before training


class Settings(NamedTuple):
    """learning_rate falls from its full value along a cosine to zero at `steps`, after `warmup` steps of linear rise."""

    steps: int
    learning_rate: float
    warmup: int
    weight_decay: float
    clip: float
    evaluate_every: int
    patience: int | None
    seed: int
    measure: str
    device: str
    bfloat16: bool
    unit: str  # of the measure and of the training loss as people read them; empty: `shown` stands for the measure
    unit_scale: float  # multiplies both for showing
    work: str  # what a step gets through, and how much of it
    work_per_step: float
    shown: tuple[str, ...] = ()  # other measures in an evaluation's line
    averaged: int = 0  # steps the weights are averaged over, about; 0: not at all


class Measure(NamedTuple):
    """What a task's loop is measured by, and how people read it: see Settings."""

    name: str
    unit: str
    unit_scale: float
    work: str
    work_per_step: float
    shown: tuple[str, ...] = ()


def settings_of(config: Any, measure: Measure, warmup: int, average: float = 0.0) -> Settings:
    """The Settings of a task's config: its steps, and what follows from them; warmup at most a tenth of them.

    average is the part of all steps that the weights are averaged over.
    """
    steps = config.steps or 1
    return Settings(
        steps=steps, learning_rate=config.rate, warmup=min(warmup, steps // 10), weight_decay=config.weight_decay,
        clip=config.clip, evaluate_every=max(1, -(-steps // config.evaluations)), patience=config.patience,
        seed=config.seed, measure=measure.name, device=config.device,
        bfloat16=wants_bfloat16(config.device, config.precision), unit=measure.unit, unit_scale=measure.unit_scale,
        work=measure.work, work_per_step=measure.work_per_step, shown=measure.shown, averaged=round(average * steps),
    )  # fmt: skip


@dataclasses.dataclass
class Standing:
    """What a resumed run must know beside tensors; kept in the step's manifest."""

    best: float = math.inf
    best_step: int = 0
    stale: int = 0  # evaluations since the best one
    rate_scale: float = 1.0  # halved at each rollback
    rollbacks: int = 0
    smooth: float | None = None  # training loss, averaged over about 50 steps
    lowest: float = math.inf  # of smooth
    seconds: float = 0.0  # of training, evaluations included, over all sittings
    # of the steps since the last evaluation: their number, how many were clipped, gradients' norms before that
    counted: int = 0
    clipped: int = 0
    norms: float = 0.0  # their sum
    highest_norm: float = 0.0

    def count(self, norm: float, clip: float) -> None:
        """Note a step whose gradient had this norm; one that is no number counts as clipped."""
        self.counted += 1
        self.clipped += not norm <= clip
        if math.isfinite(norm):
            self.norms += norm
            self.highest_norm = max(self.highest_norm, norm)

    def counts(self) -> dict[str, float]:
        """What was noted, for the log; counting begins anew."""
        steps = max(1, self.counted)
        told = {
            "gradient_norm": self.norms / steps, "highest_gradient_norm": self.highest_norm, "clipped": self.clipped / steps
        }  # fmt: skip
        self.counted, self.clipped, self.norms, self.highest_norm = 0, 0, 0.0, 0.0
        return told


class Loop:
    """One training run in progress, begun at its last saved step."""

    def __init__(self, folder: Path, model: nn.Module, batches: Any, settings: Settings, progress: Progress):
        self.folder, self.batches, self.settings, self.progress = folder, batches, settings, progress
        self.accelerator = accelerator(settings.device)
        self.bare = model.to(self.accelerator.device)
        self.model = self.accelerator.prepare(self.bare)
        self.optimizer = adamw(self.bare, settings)
        self.state: tuple[Tensor, ...] | None = None
        self.mean: list[Tensor] = []  # of each parameter over the last steps, where settings.averaged
        self.restore()
        if self.standing.best_step == self.step and self.accelerator.is_main_process:
            folders.mark_best(folder)  # a kill may have come between `last` and `best`

    # --- one step

    def train_step(self) -> float:
        """Forward, backward, update; returns the loss of the whole batch."""
        factor = schedule(self.step, self.settings) * self.standing.rate_scale
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor
        torch.manual_seed(hash((self.settings.seed, self.step, self.accelerator.process_index)))
        batch = self.share(self.batches.batch(self.step))
        loss, self.state, norm = update(
            self.model, self.bare, batch, self.state, self.optimizer, self.settings, self.accelerator.backward
        )
        self.standing.count(norm, self.settings.clip)
        self.step += 1
        if self.mean and loss.isfinite():
            share = max(1 / self.settings.averaged, 1 / (1 + self.step / 10))  # the first steps soon count no more
            torch._foreach_lerp_(self.mean, [p.data for p in self.bare.parameters()], share)
        return float(self.accelerator.reduce(loss, "mean"))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model holds the mean of its weights over the last steps (Polyak and Juditsky 1992), if it is kept."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for i, parameter in enumerate(self.bare.parameters() if self.mean else ()):
            parameter.data, self.mean[i] = self.mean[i], parameter.data

    def share(self, batch: Any) -> Any:
        """This process's rows of a batch, on its device."""
        return type(batch)(*(part if part is None else self._rows(part).to(self.accelerator.device) for part in batch))

    def _rows(self, part: Tensor) -> Tensor:
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        if len(part) % world:
            raise UserError(f"`--batch` is {len(part)}; it must divide by the {world} processes")
        size = len(part) // world
        return part[rank * size : (rank + 1) * size]

    # --- saving and going back

    def save(self, best: bool) -> None:
        """Write the step; what is kept as its weights are the averaged ones, where there are such."""
        tensors = {f"optimizer/{name}/{key}": value for name, key, value in self._moments()}
        if self.mean:
            tensors |= {f"latest/{name}": parameter.data for name, parameter in self.bare.named_parameters()}
        for i, s in enumerate(self.state or ()):
            tensors[f"carried/{i}"] = self.accelerator.gather(s)
        if self.accelerator.is_main_process:
            progress = dataclasses.asdict(self.standing)
            with self.averaged():
                weights = folders.weights_of(self.bare)
                folders.save_step(self.folder, folders.Step(self.step, weights, tensors, progress), best)
        self.accelerator.wait_for_everyone()

    def _moments(self) -> Iterator[tuple[str, str, Tensor]]:
        for name, parameter in self.bare.named_parameters():
            for key, value in self.optimizer.state[parameter].items():
                yield name, key, value

    def restore(self) -> None:
        """Take everything from the last saved step."""
        step = folders.load_step(self.folder, "last", with_state=True)
        folders.put_weights(self.bare, step.weights, self.folder)
        self.optimizer.state.clear()
        parameters = dict(self.bare.named_parameters())
        self.mean = [p.detach().clone() for p in parameters.values()] if self.settings.averaged else []
        carried: dict[int, Tensor] = {}
        for path, value in step.state.items():
            kind, name, *key = path.split("/")
            if kind == "carried":
                carried[int(name)] = self._rows(value).to(self.accelerator.device)
            elif kind == "latest":
                parameters[name].data.copy_(value)
            else:
                on_cpu = key[0] == "step"  # where torch's optimisers keep their count
                self.optimizer.state[parameters[name]][key[0]] = value if on_cpu else value.to(self.accelerator.device)
        self.state = tuple(carried[i] for i in sorted(carried)) or None
        self.standing = Standing(**step.progress)
        self.step = step.number

    def guard(self, loss: float) -> bool:
        """True while the loss is sane; else the run is set back to its last saved step at half the rate."""
        standing = self.standing
        smooth = loss if standing.smooth is None else 0.98 * standing.smooth + 0.02 * loss
        standing.smooth = smooth
        if math.isfinite(smooth) and smooth <= 2 * standing.lowest:
            standing.lowest = min(standing.lowest, smooth)
            return True
        at, scale, rollbacks = self.step, standing.rate_scale / 2, standing.rollbacks + 1
        if rollbacks > ROLLBACKS:
            raise UserError(
                f"training diverged {rollbacks} times, the last at step {at}", str(self.folder),
                f"train again with --rate below {self.settings.learning_rate * scale:.1g}", RUN_FAILED,
            )  # fmt: skip
        self.restore()
        self.standing.rate_scale, self.standing.rollbacks = scale, rollbacks
        self.note({"step": at, "event": "rollback", "to": self.step, "rate_scale": scale})
        self.progress.say(f"diverged at step {at} (loss {loss:.3g}); back to step {self.step} at half the learning rate")
        return False

    def note(self, entry: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            folders.log(self.folder, entry)


def update(
    model: nn.Module, bare: nn.Module, batch: Any, state: tuple[Tensor, ...] | None, optimizer: torch.optim.Optimizer,
    settings: Settings, backward: Callable[[Tensor], None] = Tensor.backward,
) -> tuple[Tensor, tuple[Tensor, ...], float]:  # fmt: skip
    """One step down the loss; `model` may be `bare` wrapped for many processes.

    Returns the loss, the carried state, and the norm of the gradient before it was clipped. A gradient that is not finite
    changes no weight, and its loss is returned as nan.
    """
    bare.train()
    with autocast(next(bare.parameters()).device, settings.bfloat16):
        outputs, state = model(batch, state)
    loss = bare.loss(outputs, batch)
    backward(loss)
    norm = nn.utils.clip_grad_norm_(bare.parameters(), settings.clip)
    sound = bool(norm.isfinite())
    if sound:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach() if sound else loss.detach() * math.nan, tuple(s.detach() for s in state), float(norm)


@torch.no_grad()
def of_parameters(model: nn.Module, optimizer: torch.optim.Optimizer, rate: float) -> dict[str, dict[str, float]]:
    """Of each parameter: its norm (`weights`), that of its gradient after clipping (`gradients`, the root of AdamW's mean of
    squares), and how much AdamW's next step would change it at this rate, relative to its norm (`changes`)."""
    told: dict[str, dict[str, float]] = {"weights": {}, "gradients": {}, "changes": {}}
    betas, epsilon = optimizer.param_groups[0]["betas"], optimizer.param_groups[0]["eps"]
    for name, parameter in model.named_parameters():
        kept = optimizer.state.get(parameter)
        if not kept:  # it has no gradient
            continue
        mean, square = (
            kept[key] / (1 - beta ** float(kept["step"])) for key, beta in zip(("exp_avg", "exp_avg_sq"), betas, strict=True)
        )
        weights = float(parameter.norm())
        change = rate * float((mean / (square.sqrt() + epsilon)).norm())
        for key, value in (
            ("weights", weights),
            ("gradients", float(square.sum().sqrt())),
            ("changes", change / max(weights, 1e-12)),
        ):
            told[key][name] = float(f"{value:.3g}")
    return told


def fit(
    folder: Path,
    model: nn.Module,
    batches: Any,
    evaluate: Callable[[nn.Module], dict[str, float]],
    settings: Settings,
    progress: Progress,
    after_evaluation: Callable[[nn.Module, int], None] | None = None,
) -> Standing:
    """Train `model` from the last saved step in the run `folder` until settings.steps, or until patience ends it.

    Raises UserError with code 130 after Ctrl-C or SIGTERM, the run saved; with code 1 when it diverges for good.
    """
    loop = Loop(folder, model, batches, settings, progress)
    with interruptible() as interrupted:
        while loop.step < settings.steps:
            if settings.patience is not None and loop.standing.stale >= settings.patience:
                progress.say(f"no better for {loop.standing.stale} evaluations; stopped at step {loop.step}")
                break
            began = time.monotonic()
            loss = loop.train_step()
            sane = loop.guard(loss)
            loop.standing.seconds += time.monotonic() - began
            progress.now(live_line(loop))
            if sane and (loop.step == settings.steps or loop.step % settings.evaluate_every == 0):
                _evaluate(loop, evaluate)
                if after_evaluation is not None and loop.accelerator.is_main_process:
                    with loop.averaged():
                        after_evaluation(loop.bare, loop.step)
            if interrupted() and loop.step < settings.steps:
                loop.save(best=False)
                raise UserError(
                    f"stopped at step {loop.step} of {settings.steps}; nothing is lost",
                    fix=f"unrolled train --resume {folder}", code=INTERRUPTED,
                )  # fmt: skip
    return loop.standing


def _evaluate(loop: Loop, evaluate: Callable) -> None:
    standing, settings = loop.standing, loop.settings
    began = time.monotonic()
    measures = {}
    if loop.accelerator.is_main_process:
        loop.bare.eval()
        with loop.averaged(), autocast(loop.accelerator.device, settings.bfloat16):
            measures = evaluate(loop.bare)
    value = torch.tensor(measures.get(settings.measure, 0.0), dtype=torch.float64)
    value = float(loop.accelerator.reduce(value.to(loop.accelerator.device), "sum"))
    better = value < standing.best
    if better:
        standing.best, standing.best_step, standing.stale = value, loop.step, 0
    else:
        standing.stale += 1
    standing.seconds += time.monotonic() - began
    counts = standing.counts()
    loop.save(better)
    parameters = of_parameters(loop.bare, loop.optimizer, settings.learning_rate * standing.rate_scale)
    loop.note(
        {
            "step": loop.step,
            "seconds": round(standing.seconds, 2),
            "train": standing.smooth,
            **measures,
            **counts,
            **parameters,
        }
    )
    told = [f"{measures[name]:.3f} {name}" for name in settings.shown if name in measures]
    loop.progress.say(evaluation_line(loop, value, better, told))


def evaluation_line(loop: Loop, value: float, better: bool, told: list[str]) -> str:
    """A measure without a unit is one that nobody reads: what else is told then stands for it."""
    scale, unit, best = loop.settings.unit_scale, loop.settings.unit, loop.standing.best_step
    mark = "" if better else f" (best {loop.standing.best * scale:.3f} at step {best})" if unit else f" (best at step {best})"
    if not unit:
        return f"{live_line(loop)} · dev {', '.join(told)}{mark}"
    return ", ".join([f"{live_line(loop)} · dev {value * scale:.3f} {unit}{mark}", *told])


def live_line(loop: Loop) -> str:
    """step 400/6000 · 1.2 min left · 61,000 characters/s · train 1.893 · dev 1.901 bits/character"""
    standing, settings = loop.standing, loop.settings
    pace = standing.seconds / max(1, loop.step)
    left = minutes(pace * (settings.steps - loop.step))
    speed = settings.work_per_step / max(pace, 1e-9)
    train = (standing.smooth or 0.0) * settings.unit_scale
    return f"step {loop.step}/{settings.steps} · {left} left · {speed:,.0f} {settings.work}/s · train {train:.3f}"


def schedule(step: int, settings: Settings) -> float:
    """The learning rate's factor at a step: linear rise, then a cosine to zero (Loshchilov and Hutter 2017)."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup))
    return rise * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def adamw(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019); vectors (biases, gains) do not decay."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)


def accelerator(device: str) -> Accelerator:
    """Where to compute: `auto` takes what accelerate finds, else cpu, cuda or mps; a UserError if it is not there."""
    from accelerate import Accelerator

    processes(device)
    return Accelerator(cpu=device == "cpu")


def processes(device: str) -> PartialState:
    """This process among those that train together, on a device that is there.

    accelerate keeps the device it was first asked for; a later run in the same Python session may want another.
    """
    from accelerate import PartialState  # slow to import, and only training needs it
    from accelerate.state import AcceleratorState

    present = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device in present and not present[device]():
        raise UserError(
            f"`--device {device}`: this machine has no such device, or its torch cannot use it", fix="unrolled doctor"
        )
    state = PartialState(cpu=device == "cpu")
    if state.num_processes == 1 and (state.device.type == "cpu") != (device == "cpu" or not _has_accelerator()):
        AcceleratorState._reset_state(reset_partial_state=True)
        state = PartialState(cpu=device == "cpu")
    return state


def _has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def autocast(device: torch.device, bfloat16: bool) -> torch.autocast:
    """bfloat16 products with float32 sums and weights; accelerate's own switch is one for the process, this is one a run."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)


def wants_bfloat16(device: str, precision: str) -> bool:
    """auto: where the hardware multiplies bfloat16 matrices (AMX on a CPU, tensor cores), since there it is twice as fast."""
    if precision != "auto":
        return precision == "bfloat16"
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device in ("auto", "cpu") and torch.cpu._is_amx_tile_supported()


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM sets a flag, to be looked at between steps; a second Ctrl-C stops at once."""
    asked = []

    def note(number: int, frame: Any) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: nothing to catch here
        before = {}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def seconds_per_step(model: nn.Module, batches: Any, settings: Settings, budget: float) -> float:
    """Measured: a few steps on a copy of the model, for about `budget` seconds, in this process alone."""
    place = accelerator(settings.device)
    trial = copy.deepcopy(model).to(place.device)
    optimizer, state = adamw(trial, settings), None
    taken: list[float] = []
    while len(taken) < 8 or sum(taken) < budget:
        began = time.monotonic()
        whole = batches.batch(len(taken))
        rows = len(whole[0]) // place.num_processes
        batch = type(whole)(*(part if part is None else part[:rows].to(place.device) for part in whole))
        loss, state, _ = update(trial, trial, batch, state, optimizer, settings)
        float(loss)  # waits for the device
        taken.append(time.monotonic() - began)
    return statistics.median(taken[3:])
