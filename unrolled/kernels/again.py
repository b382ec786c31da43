"""cells.scan with other weights in the cell's place, and through it the derivatives of a kernel's derivatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .. import cells


class _Scanned(nn.Module):
    """cells.scan as a module: functional_call then replaces weights once for all steps."""

    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: cells.State, lengths: Tensor | None) -> tuple[Tensor, cells.State]:
        return cells.scan(self.cell, x, state, lengths)


def scan(cell: nn.Module, weights: dict[str, Tensor], x: Tensor, state: cells.State, lengths: Tensor | None):
    """Hidden states (B, T, H) and the last state, computed with these weights."""
    return functional_call(_Scanned(cell), {f"cell.{name}": value for name, value in weights.items()}, (x, state, lengths))


def gradients(
    cell: nn.Module, weights: dict[str, Tensor], x: Tensor, state: cells.State, lengths: Tensor | None,
    d_outputs: tuple[Tensor, ...],
) -> list[Tensor | None]:  # fmt: skip
    """Gradients of x, of each weight and of each state, as differentiable functions of them all."""
    x, *state = (value.view_as(value) for value in (x, *state))  # else a state made from a weight would count that path here too
    weights = {name: value.view_as(value) for name, value in weights.items()}
    inputs = [x, *weights.values(), *state]
    present = [value for value in inputs if value.requires_grad]
    out, last = scan(cell, weights, x, tuple(state), lengths)
    found = iter(torch.autograd.grad((out, *last), present, d_outputs, create_graph=True, allow_unused=True))
    return [next(found) if value.requires_grad else None for value in inputs]
