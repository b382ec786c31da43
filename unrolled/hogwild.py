"""The training loop of word vectors: pieces of work dealt to threads that update the same rows without locks (Niu et al. 2011).

What a piece does is a function of (seed, its number), and with one thread pieces are done in order: then a run that was
stopped and went on equals one that was not, bit for bit. With more threads no two runs are the same.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from . import run as folders
from .errors import INTERRUPTED, RUN_FAILED, UserError
from .fit import ROLLBACKS, interruptible
from .kernels.threads import in_shares
from .progress import Progress, minutes

LARGEST = 1e4  # a mean loss beyond it is no training any more
SAVE_EVERY = 60.0  # seconds of training that a kill may cost, at most


class Done(NamedTuple):
    """What a piece of work came to."""

    work: int  # words or co-occurrences gone through
    counted: int  # losses in the sum
    loss: float  # their sum, nats (GloVe: weighted squares)


class Work(Protocol):
    """A method in training, with the arrays it trains."""

    pieces: int  # an epoch
    epochs: int
    unit: str  # what `Done.work` counts
    rate_scale: float

    def compile(self) -> None: ...  # what compiles at first use, so that no measured second goes to it
    def piece(self, number: int, thread: int) -> Done: ...
    def begin_epoch(self, epoch: int) -> None: ...
    def measures(self) -> dict[str, float]: ...
    def weights(self) -> dict[str, np.ndarray]: ...
    def state(self) -> dict[str, np.ndarray]: ...
    def restore(self, weights: dict[str, np.ndarray], state: dict[str, np.ndarray]) -> None: ...


@dataclasses.dataclass
class Standing:
    """What a resumed run must know beside arrays; kept in the step's manifest."""

    seconds: float = 0.0  # of training, over all sittings
    work: int = 0
    rate_scale: float = 1.0  # halved at each rollback
    rollbacks: int = 0
    counted: int = 0  # losses since the epoch began
    loss: float = 0.0  # their sum
    first: float | None = None  # the mean loss at the start


def train(folder: Path, work: Work, threads: int, evaluate: bool, progress: Progress) -> Standing:
    """Go on from the run's last saved step to the end; `evaluate` takes the work's measures after each epoch.

    Raises UserError with code 130 after Ctrl-C or SIGTERM, the run saved; with code 1 when it diverges for good.
    """
    step, standing = restore(folder, work)
    last = work.pieces * work.epochs
    work.compile()
    saved = time.monotonic()
    with interruptible() as interrupted:
        while step < last:
            epoch = step // work.pieces
            work.begin_epoch(epoch)
            done, sane = _until_save(work, step, (epoch + 1) * work.pieces, standing, threads, interrupted, progress)
            if not sane:
                step, standing = _set_back(folder, work, standing, step + done, progress)
                continue
            step += done
            if done and step % work.pieces == 0:
                measures = work.measures() if evaluate else {}
                train_loss = standing.loss / max(1, standing.counted)
                standing.counted, standing.loss = 0, 0.0
                folders.log(folder, {"step": step, "seconds": round(standing.seconds, 2), "train": train_loss, **measures})
                progress.say(_epoch_line(work, step, standing, train_loss, measures))
            stop = interrupted()
            if stop or step == last or time.monotonic() - saved > SAVE_EVERY:
                save(folder, work, step, standing)
                saved = time.monotonic()
            if stop and step < last:
                raise UserError(
                    f"stopped at piece {step} of {last}; nothing is lost", fix=f"unrolled train --resume {folder}",
                    code=INTERRUPTED,
                )  # fmt: skip
    return standing


def _until_save(
    work: Work, step: int, end: int, standing: Standing, threads: int, interrupted: Callable[[], bool], progress: Progress
) -> tuple[int, bool]:
    """Pieces from `step` on until the epoch ends, it is time to save, or it was interrupted; (how many, all finite)."""
    began, waiting, results = time.monotonic(), iter(range(step, end)), []

    def share(thread: int) -> None:
        while time.monotonic() - began < SAVE_EVERY and not interrupted() and all(math.isfinite(r.loss) for r in results[-8:]):
            number = next(waiting, None)
            if number is None:
                return
            results.append(work.piece(number, thread))
            if thread == 0:
                progress.now(_live_line(work, step + len(results), standing, results, time.monotonic() - began))

    in_shares(share, threads)
    standing.seconds += time.monotonic() - began
    standing.work += sum(r.work for r in results)
    standing.counted += sum(r.counted for r in results)
    standing.loss += sum(r.loss for r in results)
    mean = sum(r.loss for r in results) / max(1, sum(r.counted for r in results))
    standing.first = mean if standing.first is None else standing.first
    return len(results), mean < min(LARGEST, 10 * standing.first + 1)  # nan is not


def _set_back(folder: Path, work: Work, standing: Standing, at: int, progress: Progress) -> tuple[int, Standing]:
    """A diverged run goes on from its last saved step at half the rate; what it was is lost, but not more."""
    scale, rollbacks = standing.rate_scale / 2, standing.rollbacks + 1
    if rollbacks > ROLLBACKS:
        raise UserError(
            f"training diverged {rollbacks} times, the last in piece {at}",
            str(folder),
            "train again with a smaller --rate",
            RUN_FAILED,
        )
    step, standing = restore(folder, work)
    standing.rate_scale = work.rate_scale = scale
    standing.rollbacks = rollbacks
    folders.log(folder, {"step": at, "event": "rollback", "to": step, "rate_scale": scale})
    progress.say(f"diverged in piece {at}; back to piece {step} at half the learning rate")
    return step, standing


def save(folder: Path, work: Work, step: int, standing: Standing) -> None:
    weights, state = ({name: torch.from_numpy(a) for name, a in part.items()} for part in (work.weights(), work.state()))
    folders.save_step(folder, folders.Step(step, weights, state, dataclasses.asdict(standing)), best=True)


def restore(folder: Path, work: Work) -> tuple[int, Standing]:
    """Give the work the arrays of the last saved step."""
    step = folders.load_step(folder, "last", with_state=True)
    work.restore(*({name: value.numpy() for name, value in part.items()} for part in (step.weights, step.state)))
    standing = Standing(**step.progress)
    work.rate_scale = standing.rate_scale
    return step.number, standing


def _live_line(work: Work, step: int, standing: Standing, results: list[Done], seconds: float) -> str:
    """epoch 2/5 · 40 s left · 3,100,000 words/s · loss 2.31"""
    speed = (standing.work + sum(r.work for r in results)) / (standing.seconds + seconds + 1e-9)
    left = (work.pieces * work.epochs - step) * (standing.seconds + seconds) / max(1, step)
    counted, loss = standing.counted + sum(r.counted for r in results), standing.loss + sum(r.loss for r in results)
    epoch = min(work.epochs, step // work.pieces + 1)
    return f"epoch {epoch}/{work.epochs} · {minutes(left)} left · {speed:,.0f} {work.unit}/s · loss {loss / max(1, counted):.4f}"


def _epoch_line(work: Work, step: int, standing: Standing, loss: float, measures: dict[str, float]) -> str:
    speed = standing.work / (standing.seconds + 1e-9)
    left = minutes((work.pieces * work.epochs - step) * standing.seconds / step)
    shown = "".join(f" · {name.replace('_', ' ')} {value:.4f}" for name, value in measures.items())
    return f"epoch {step // work.pieces}/{work.epochs} · {left} left · {speed:,.0f} {work.unit}/s · loss {loss:.4f}{shown}"
