"""Three tasks that need a memory of known length, and how many steps a cell takes to learn each.

copy    a few symbols of eight, blanks for `lag` steps, a cue: write the symbols again, in order; chance 1/8
adding  two of many numbers in 0 … 1 are marked, one at the beginning and one past the middle: their sum at the end is right
        where it is off by less than CLOSE; chance is that of always answering 1, the mean
order   two marked symbols, X or Y, among others, one at the beginning and one past the middle: which four-way order? chance 1/4

After Hochreiter and Schmidhuber 1997. Of adding and order `lag` is the length; the first mark stands in its first tenth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import cells
from .layers import initialise
from .progress import Progress
from .recurrent import Recurrent

COPIED, SYMBOLS, CLOSE = 2, 8, 0.1
SOLVED = 0.95  # accuracy on examples never trained on
LOOK, TESTED = 25, 500  # steps from one look at that to the next; examples
BATCH, CLIP = 32, 1.0
FIXED = 25  # steps in time that cost what a training step costs whatever its length, about
RATES = {cells.RNN: 5e-3}  # of Adam, each the best of four tried on these tasks with seed 1: see docs/gradients.md
GATED = 2e-2


class Examples(NamedTuple):
    x: Tensor  # (B, T, I)
    answers: Tensor  # (B, asked) symbols, or real numbers


class LagTask(NamedTuple):
    make: Callable[[int, int, torch.Generator], Examples]  # rows, lag, random numbers
    inputs: int
    outputs: int
    asked: int  # steps at the end that answer
    chance: float


def copy(rows: int, lag: int, generator: torch.Generator) -> Examples:
    symbols = torch.randint(SYMBOLS, (rows, COPIED), generator=generator)
    ids = torch.full((rows, COPIED + lag), SYMBOLS)  # blanks
    ids[:, :COPIED], ids[:, lag] = symbols, SYMBOLS + 1  # the cue
    return Examples(F.one_hot(ids, SYMBOLS + 2).float(), symbols)


def adding(rows: int, lag: int, generator: torch.Generator) -> Examples:
    numbers, (first, second) = torch.rand(rows, lag, generator=generator), _marks(rows, lag, generator)
    marked = torch.zeros(rows, lag).scatter_(1, torch.stack((first, second), 1), 1.0)
    return Examples(torch.stack((numbers, marked), -1), (numbers * marked).sum(1, keepdim=True))


def order(rows: int, lag: int, generator: torch.Generator) -> Examples:
    ids, places = torch.randint(2, 6, (rows, lag), generator=generator), torch.stack(_marks(rows, lag, generator), 1)
    symbols = torch.randint(2, (rows, 2), generator=generator)
    return Examples(F.one_hot(ids.scatter_(1, places, symbols), 6).float(), 2 * symbols[:, :1] + symbols[:, 1:])


def _marks(rows: int, lag: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    tenth = max(1, lag // 10)
    first, second = torch.randint(tenth, (2, rows), generator=generator)
    return first, lag // 2 + second


TASKS = {
    "copy": LagTask(copy, SYMBOLS + 2, SYMBOLS, COPIED, 1 / SYMBOLS),
    "adding": LagTask(adding, 2, 1, 1, 2 * CLOSE - CLOSE**2),  # P(|a + b - 1| < c) of a and b in 0 … 1
    "order": LagTask(order, 6, 4, 1, 0.25),
}
LEAST = 4  # the shortest lag at which the marks are apart


class Net(nn.Module):
    """Recurrent layers and an answer at each of the last steps. Gates are told the lag, unless it is None."""

    def __init__(self, task: LagTask, cell: str, hidden: int, layers: int, lag: int | None):
        super().__init__()
        self.task = task
        self.recurrent = Recurrent(cell, task.inputs, hidden, layers)
        self.output = nn.Linear(hidden, task.outputs)
        self.apply(initialise)
        for own in self.recurrent.cells if lag is not None else ():
            remember(own, lag)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.recurrent(x)
        return self.output(hidden[:, -self.task.asked :])  # (B, asked, O)

    def loss(self, examples: Examples) -> Tensor:
        told = self(examples.x)
        if self.task.outputs == 1:
            return F.mse_loss(told.squeeze(-1), examples.answers)
        return F.cross_entropy(told.flatten(0, 1), examples.answers.flatten())

    @torch.no_grad()
    def accuracy(self, examples: Examples) -> float:
        told = self(examples.x)
        if self.task.outputs == 1:
            return float(((told.squeeze(-1) - examples.answers).abs() < CLOSE).double().mean())
        return float((told.argmax(-1) == examples.answers).double().mean())


@torch.no_grad()
def remember(cell: nn.Module, lag: int) -> None:
    """Begin with units that forget after 1 … `lag` steps, spread evenly over its logarithm (after Tallec and Ollivier 2018).

    The gate's bias says it: σ(b) of the old state is kept, and 1 / (1 - σ(b)) = 1 + e^b steps is about how long. The basic RNN
    has no gate to say it with, and other cells stay as they are.
    """
    spread = torch.rand(cell.hidden_size) * math.log(max(2, lag))
    if isinstance(cell, cells.LSTM):
        cell.b.chunk(4)[1].copy_(spread)
        cell.b.chunk(4)[0].copy_(-spread)  # what is kept long is written little
    elif isinstance(cell, cells.GRU):
        cell.b.chunk(3)[0].copy_(-spread)  # its z writes
    elif isinstance(cell, cells.GRUAfter):
        cell.b.chunk(3)[1].copy_(spread)


class Trial(NamedTuple):
    """What a cell reached at a task."""

    cell: str
    task: str
    lag: int
    accuracy: float  # on TESTED examples never trained on
    chance: float
    solved_after: int | None  # steps; None: not solved
    steps: int  # taken


class Learner:
    """A cell that learns a task, step after step."""

    def __init__(self, cell: str, task: str, lag: int, hidden: int, layers: int, seed: int, tell: bool = True):
        torch.manual_seed(seed)
        self.cell, self.name, self.task, self.lag, self.seed = cell, task, TASKS[task], lag, seed
        self.net = Net(self.task, cell, hidden, layers, lag if tell else None)
        rate = RATES.get(type(self.net.recurrent.cells[0]), GATED)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate, fused=True)
        self.tested = self.task.make(TESTED, lag, torch.Generator().manual_seed(seed))
        self.steps, self.accuracy, self.seconds = 0, 0.0, 0.0

    @property
    def solved(self) -> bool:
        return self.accuracy >= SOLVED

    @property
    def trial(self) -> Trial:
        steps = self.steps if self.solved else None
        return Trial(self.cell, self.name, self.lag, self.accuracy, self.task.chance, steps, self.steps)

    def step(self) -> None:
        self.steps += 1
        examples = self.task.make(BATCH, self.lag, torch.Generator().manual_seed(hash((self.seed, self.steps))))
        self.net.loss(examples).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def learn(self, most: int) -> None:
        """Until it is solved, or `most` steps are taken in all."""
        began = time.monotonic()
        while self.steps < most and not self.solved:
            self.step()
            if self.steps % LOOK == 0 or self.steps == most:
                self.accuracy = self.net.accuracy(self.tested)
        self.seconds += time.monotonic() - began


def lags(longest: int) -> list[int]:
    """Growing lags up to the longest one."""
    return sorted({max(LEAST, longest // part) for part in (20, 4, 1)})


def trials(
    names: Sequence[str],
    longest: int,
    hidden: int,
    layers: int,
    seed: int,
    tell: bool,
    steps: int | None,
    seconds: float,
    progress: Progress,
) -> Iterator[Trial]:
    """Every cell at every task at growing lags; what is not solved has had as many steps as anything else at its lag.

    So many are `steps`, or what the seconds left allow, of which a lag's share grows with the lag.
    """
    began, left = time.monotonic(), lags(longest)
    while left:
        share = (seconds - (time.monotonic() - began)) * (left[0] + FIXED) / sum(each + FIXED for each in left)
        lag = left.pop(0)
        learners = [Learner(cell, task, lag, hidden, layers, seed, tell) for task in TASKS for cell in names]
        for most in [steps] if steps else _affordable(learners, share):
            for learner in learners:
                progress.now(f"{learner.name} at lag {lag}: {learner.cell}, {learner.steps:,} steps")
                learner.learn(most)
        yield from (learner.trial for learner in learners)


def _affordable(learners: Sequence[Learner], seconds: float) -> Iterator[int]:
    """Growing numbers of steps, each for half of the time that is left, as long as something is unsolved."""
    began, most = time.monotonic(), LOOK
    yield most
    while unsolved := [learner for learner in learners if not learner.solved]:
        a_step = sum(learner.seconds / learner.steps for learner in unsolved)
        more = int((seconds - (time.monotonic() - began)) / 2 / a_step) // LOOK * LOOK
        if more < LOOK:
            return
        most += more
        yield most
