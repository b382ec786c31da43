"""What Python callers and the command line share: train a task, go on with a run, load one."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch

from . import config as options
from . import fit, run_report, summary, tables, tasks, unrolling
from . import run as folders
from .data.vocab import Codec
from .errors import UserError
from .layers import grow
from .progress import Progress, minutes

MARGIN = 0.95  # of the time left goes to planned steps; the rest is for a minute slower than the measured one


class Run(NamedTuple):
    """A trained model: `run.task.sample(run, …)` and its like take it."""

    folder: Path
    config: Any
    codec: Codec
    model: torch.nn.Module
    task: ModuleType
    beside: Any = None  # another Run that it writes with (speech: a language run)


def load(folder: str | Path, which: str = "best") -> Run:
    """A run from its folder, on the CPU, every byte checked; a UserError says what is missing or damaged."""
    folder = Path(folder)
    folders.read_config(folder)
    step = folders.load_step(folder, which)  # checks config and codec before anything is built from them
    run = _open(folder)
    folders.put_weights(run.model, step.weights, folder)
    return run._replace(model=run.model.eval())


def _open(folder: Path) -> Run:
    """A run with the model still untrained."""
    about = folders.read_config(folder)
    page = tasks.load(about["task"])
    config = options.build(page.Config, about["config"], str(folder / "config.json"))
    try:
        codec = Codec.from_json(folders.read_json(folder / "codec.json"))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"`{folder / 'codec.json'}` is damaged: it holds no codec", str(folder)) from None
    torch.manual_seed(config.seed)
    return Run(folder, config, codec, page.Model(config, codec), page)


def train(
    task: str,
    data: str | Path | Iterable[str | Path],
    *,
    out: str | Path | None = None,
    start_from: str | Path | None = None,
    quiet: bool = False,
    began: float | None = None,
    **settings: Any,
) -> Run:
    """Train a task on data and return the finished run.

    out         the run folder; runs/<task>, with a number if that is taken, when None
    start_from  a run whose weights to start from (embed: or a file of vectors)
    began       time.monotonic() from which `minutes` counts; now if None
    settings    the fields of the task's Config (`hidden=512, minutes=10`)
    """
    began = time.monotonic() if began is None else began
    page = tasks.load(task)
    names = [data] if isinstance(data, (str, Path)) else list(data)
    settings = {**settings, "data": tuple(map(str, names))}
    folder = Path(out) if out is not None else free_name(task)
    if tasks.trains_itself(page):
        with folders.creating(folder) as staging:
            page.begin(options.build(page.Config, settings), staging, start_from and str(start_from), Progress(quiet))
            folders.publish(staging, folder)
        return resume(folder, quiet=quiet)
    from accelerate.utils import broadcast_object_list

    prepared: list[Any] = [None]
    processes = fit.processes(settings.get("device") or "auto")
    if processes.is_main_process:
        try:
            _prepare(page, task, folder, start_from, settings, Progress(quiet), began)
            prepared = [folder]
        except UserError as error:
            prepared = [error]
    broadcast_object_list(prepared)
    if isinstance(prepared[0], UserError):
        raise prepared[0]
    return resume(prepared[0], quiet=quiet)


def resume(folder: str | Path, *, quiet: bool = False) -> Run:
    """Go on with a run exactly where it stopped, to its end, and return it."""
    folder = Path(folder)
    folders.read_config(folder)
    folders.load_step(folder, "last")  # as in load
    run = _open(folder)
    if (folder / "report.json").exists():
        fix = f"to train further, start from its weights: unrolled train {run.task.__name__.split('.')[-1]} DATA --from {folder}"
        raise UserError(f"`{folder}` is finished: it took all its {run.config.steps} steps", fix=fix)
    if tasks.trains_itself(run.task):
        run.task.go_on(folder, run.config, run.codec, Progress(quiet))
        return _told(load(folder))
    processes = fit.processes(run.config.device)
    progress = Progress(quiet or not processes.is_main_process)
    about = folders.read_config(folder)
    data = run.task.reopen(run.codec, about["data"], folder / "tokens")
    settings = run.task.settings(run.config, data)
    if hasattr(run.task, "equip"):
        run.task.equip(run.config, data, run.model, begins=False)
    limit = about["evaluate"]["while_training"]

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        run.task.calibrate(model, run.codec, data.dev, limit)
        measures = watching(run.task)(model, run.codec, data.dev, limit)
        if hasattr(run.task, "remark"):
            progress.say("    " + run.task.remark(run.config, measures, about["baselines"]))
        return measures

    for left in (folder / "samples").glob(".*.new"):  # of a process that was killed
        left.unlink()
    samples = _Samples(run, progress)
    standing = fit.fit(folder, run.model, run.task.batches(run.config, data), evaluate, settings, progress, samples)
    if processes.is_main_process:
        _report(folder, data, about, standing, progress)
        _told(load(folder))
    processes.wait_for_everyone()
    return load(folder)


def _told(run: Run) -> Run:
    """The run, with its page written."""
    graph = unrolling.svg(run.task.picture(run.model)) if hasattr(run.task, "picture") else ""
    folders.write_bytes(run.folder / "report.html", run_report.page(run.folder, graph))
    return run


def watching(page: ModuleType) -> Callable[..., dict[str, float]]:
    """What measures a net while it trains: cheaper than `evaluate`, where the page has such a thing."""
    return getattr(page, "watch", page.evaluate)


class _Samples:
    """Keeps and shows what the model writes as it learns."""

    def __init__(self, run: Run, progress: Progress):
        self.run, self.progress = run, progress

    def __call__(self, model: torch.nn.Module, step: int) -> None:
        page = self.run.task
        if not hasattr(page, "glimpse"):
            return
        text = page.glimpse(self.run._replace(model=model), seed=step)
        path = self.run.folder / "samples" / f"{step}.txt"
        path.parent.mkdir(exist_ok=True)
        folders.write_bytes(path, text.encode("utf-8", "replace"))
        self.progress.say("    " + text[:120].replace("\n", "⏎"))


def _prepare(
    page: ModuleType, task: str, folder: Path, start_from: str | Path | None, given: dict[str, Any], progress: Progress,
    began: float,
) -> None:  # fmt: skip
    """Read, choose sizes, measure the speed, and leave a run folder at step 0."""
    base = load(start_from) if start_from is not None else None
    if base is not None:
        given = {**page.inherited(base.config, given), **{name: value for name, value in given.items() if value is not None}}
    config = options.build(page.Config, given)
    if config.minutes is not None and config.steps is not None:
        raise UserError("`--minutes` and `--steps` were both given; train by one of them")
    with folders.creating(folder) as staging:
        data = page.read(config, staging / "tokens", base.codec if base else None)
        config = page.plan(config, data)
        torch.manual_seed(config.seed)
        model = page.Model(config, data.codec)
        taken = [] if base is not None else page.take_vectors(config, data.codec, model)
        if base is not None:
            grow(model, base.model)
        elif hasattr(page, "prime"):
            page.prime(model, data)
        for line in [*page.describe(config, data, model), *taken]:
            progress.say(line)
        floors = page.baselines(config, data)
        _say_floors(floors, progress)
        if hasattr(page, "equip"):
            page.equip(config, data, model, begins=True)
        config, evaluation = _schedule(page, config, data, model, began, progress)
        config = page.settle(config, data) if hasattr(page, "settle") else config
        shutil.rmtree(staging / "tokens" / "spool", ignore_errors=True)
        folders.write_json(staging / "codec.json", data.codec.to_json())
        about = {
            "format": folders.FORMAT, "task": task, "config": options.to_json(config), "data": data.accounts,
            "baselines": floors, "evaluate": evaluation, "from": str(start_from) if start_from else None,
        }  # fmt: skip
        folders.write_json(staging / "config.json", about)
        first = folders.Step(0, folders.weights_of(model), {}, dataclasses.asdict(fit.Standing()))
        folders.save_step(staging, first, best=True)
        folders.publish(staging, folder)


SHOWN = (
    "bits_per_character", "nats_per_sample", "bits_per_sample", "accuracy", "mean_absolute_error", "span_f1", "bleu", "miss_rate",
    "word_error_rate", "cider", "bleu4",
)  # fmt: skip  # the measures a baseline line shows


def _say_floors(floors: dict[str, dict[str, float]], progress: Progress) -> None:
    for name, measures in floors.items():
        progress.say(f"baseline {name}: " + ", ".join(f"{value:.3f} {key}" for key, value in measures.items() if key in SHOWN))


def _schedule(
    page: ModuleType, config: Any, data: Any, model: torch.nn.Module, began: float, progress: Progress
) -> tuple[Any, dict[str, int | None]]:
    """Turn minutes into steps once, from the measured speed, and see that evaluations take little of them."""
    measuring, size = page.MEASURING, len(data.dev)
    if config.steps is not None:
        return config, {"while_training": measuring.few, "at_the_end": min(size, measuring.many)}
    total = config.minutes * 60
    settings, batches = page.settings(config, data), page.batches(config, data)
    per_step = fit.seconds_per_step(model, batches, settings, budget=max(1.5, min(10.0, 0.005 * total)))
    one = brief = _seconds_each(page, page.evaluate, data, model)
    if hasattr(page, "watch"):
        brief = _seconds_each(page, page.watch, data, model)
    while_training = max(measuring.few, int(0.01 * total / config.evaluations / brief) - measuring.warming)
    at_the_end = min(size, int(0.1 * total / one))
    readings = 1 + hasattr(page, "details") + hasattr(page, "conclude")
    last = readings * one * (at_the_end + measuring.warming)
    often = config.evaluations * (brief * 2 * (min(while_training, size) + measuring.warming) + 0.1)
    left = (total - (time.monotonic() - began)) * MARGIN - last - often
    steps = min(int(left / per_step), page.most_steps(config, data))
    if steps < 10:
        raise UserError(
            f"`--minutes {config.minutes:g}` leaves time for {max(0, steps)} steps of {per_step:.2g} s after reading",
            fix="give more minutes, or a smaller --hidden",
        )
    pace, about = f"{steps:,} steps of {per_step * 1000:.0f} ms", minutes(steps * per_step + last + often)
    progress.say(f"{pace}, {page.passes(config, data, steps)}; about {about}")
    return dataclasses.replace(config, steps=steps), {"while_training": while_training, "at_the_end": at_the_end}


def _seconds_each(page: ModuleType, measure: Callable[..., dict[str, float]], data: Any, model: torch.nn.Module) -> float:
    """What it takes to measure one of what a page counts, with a trained net."""
    measuring = page.MEASURING
    measure(model, data.codec, data.dev, limit=1)  # compiles what is not yet
    clock = time.monotonic()
    probe = measure(model, data.codec, data.dev, limit=measuring.probe)
    return (time.monotonic() - clock) / (probe[measuring.counted] + measuring.warming) / measuring.untrained


def _report(folder: Path, data: Any, about: dict[str, Any], standing: fit.Standing, progress: Progress) -> None:
    """Measure the best step on the validation data and write report.json beside the baselines."""
    run = load(folder)
    if hasattr(run.task, "conclude"):
        run.task.conclude(run.model, run.codec, data.dev, about["evaluate"]["at_the_end"])
        last = folders.load_step(folder, "last", with_state=True)
        concluded = last._replace(number=last.number + 1, weights=folders.weights_of(run.model))
        folders.save_step(folder, concluded, best=True)
    measures = run.task.evaluate(run.model, run.codec, data.dev, limit=about["evaluate"]["at_the_end"])
    told = run.task.settings(run.config, data)
    if not told.unit and run.task.MEASURE not in told.shown:
        del measures[run.task.MEASURE]  # what nobody reads
    report = {
        "task": about["task"], "dev": measures, "baselines": about["baselines"], "steps": run.config.steps,
        "best_step": standing.best_step, "seconds": round(standing.seconds, 1), "rollbacks": standing.rollbacks,
        "weights": sum(p.numel() for p in run.model.parameters()), "environment": folders.environment(),
    }  # fmt: skip
    if hasattr(run.task, "details"):
        more = run.task.details(run, data, folder / "tokens", about["evaluate"]["at_the_end"])
        measures |= more.pop("dev", {})
        report |= more
    folders.write_json(folder / "report.json", report)
    shutil.rmtree(folder / "tokens", ignore_errors=True)
    told = (f"{value:.3f} {key}" for key, value in measures.items() if isinstance(value, float) and key != "characters")
    for line in report.get("reached") or [", ".join(told)]:
        progress.say(f"{folder}: {line}")
    _say_floors({name: report["baselines"][name] for name in report["baselines"].keys() - about["baselines"].keys()}, progress)
    for title, records in summary.brief(report).items():
        progress.say("\n".join([title, *("  " + line for line in tables.lines(records))]))


def free_name(task: str) -> Path:
    """runs/<task>, else the first of runs/<task>-2, -3, … that is free."""
    names = itertools.chain([task], (f"{task}-{n}" for n in itertools.count(2)))
    return next(path for path in (Path("runs") / name for name in names) if not path.exists())
