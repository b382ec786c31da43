"""Fast ways to run a cell over time, and the one place that picks among them.

A kernel is run(cell, U, x, state, lengths) -> (hidden states, last state), the same function as cells.scan; U is
handed over apart because recurrent dropout replaces it. Every kernel is tested forward and backward against scan().
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .. import cells
from . import native, stepping


class Kernel(NamedTuple):
    name: str
    run: Callable[..., tuple[Tensor, cells.State]] | None
    why: str


def scan(cell: nn.Module, U: Tensor, x: Tensor, state: cells.State, lengths: Tensor | None):
    """cells.scan with another U in the cell's place."""
    if U is cell.U:
        return cells.scan(cell, x, state, lengths)
    with_U = _Replaced(cell, U)
    return cells.scan(with_U, x, state, lengths)


class _Replaced:
    """A cell seen with another recurrent matrix; holds nothing else of its own."""

    def __init__(self, cell: nn.Module, U: Tensor):
        self.cell, self.U, self.W, self.b = cell, U, cell.W, cell.b

    def __call__(self, Wx: Tensor, state: cells.State) -> cells.State:
        return functional_call(self.cell, {"U": self.U}, (Wx, state))


def choose(cell: nn.Module, device: torch.device, dtype: torch.dtype, shape: tuple[int, int]) -> Kernel:
    """The kernel for this cell; shape is (batch, steps). The answer's `why` is what `unrolled doctor` prints."""
    run = native.KERNELS.get(type(cell))
    if run is not None:
        return Kernel("torch", run, "torch's own layer computes the same equation (oneDNN on the CPU, cuDNN on a GPU)")
    return Kernel("scan", scan, "no faster kernel computes this equation; the loop over cells.py runs")


def choose_step(cell: nn.Module) -> Kernel:
    """The fastest single step for few rows on the CPU: (Wx, state, arrays) in numpy, or None where there is none."""
    run = stepping.STEPS.get(type(cell))
    if run is not None:
        return Kernel("numpy", run, "one symbol at a time, numpy costs less than a call of torch")
    return Kernel("torch", None, "no numpy form of this equation; cells.step runs")
