"""A cell over time with its analytic gradients: what the loops on the CPU and the kernels on a GPU have in common.

W x + b of all steps is one product, and so are the gradients of x, W and U: no state stands in them. What remains are the loops
over time, forward and backward, which an Engine has for each of the four cells. Differentiable any number of times: a second
derivative goes through cells.scan, which is slow and right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import cells
from ..errors import UserError
from . import again, matrices


class Kept(NamedTuple):
    """What a forward loop leaves for the backward one; tensors."""

    gates: Tensor  # (N, G·H)
    before: Tensor  # (N, H), empty where no backward loop will come
    more: tuple[Tensor, ...] = ()  # the cell's own


class Gradients(NamedTuple):
    """What a backward loop yields."""

    dA: Tensor  # (N, G·H), of W x + b
    dU: Tensor
    dd: Tensor | None  # of gru_after's recurrent bias
    state: tuple[Tensor, ...]


class Loops(NamedTuple):
    """The two loops of a cell: forward(rows, A, U, d, state, out, keep) fills out and returns (last state, Kept);
    backward(rows, out, Kept, U, d_out, d_last, low) returns Gradients; low: products of many
    steps in bfloat16. It may overwrite Kept.gates."""

    forward: Callable[..., tuple[tuple[Tensor, ...], Kept]]
    backward: Callable[..., Gradients]


class Engine(NamedTuple):
    """One kind of processor.

    plan(batch, steps, lengths, device) -> rows, as the loops want them; rows.valid (B, T) tells where there is a step if
    they want those steps alone, one after the other, else it is None.
    """

    plan: Callable[[int, int, Tensor | None, torch.device], Any]
    loops: dict[type[nn.Module], Loops]


def run(engine: Engine, cell: nn.Module, U: Tensor, x: Tensor, state: cells.State, lengths: Tensor | None):
    """x (B, T, I), state (B, H) each; see kernels/__init__ for the contract.

    Under autocast on the CPU the large products take bfloat16, all else stays what the weights are; on a GPU all is cast.
    """
    W, b, d, low = cell.W, cell.b, getattr(cell, "d", None), False
    if torch.is_autocast_enabled(x.device.type):
        on_cpu, kind = x.device.type == "cpu", torch.get_autocast_dtype(x.device.type)
        low, kind = on_cpu and kind == torch.bfloat16, W.dtype if on_cpu else kind
        x, W, U, b, d, *state = (value if value is None else value.to(kind) for value in (x, W, U, b, d, *state))
    check(x, W, U, b, d, state)
    rows = engine.plan(x.shape[0], x.shape[1], lengths, x.device)
    with torch.autocast(x.device.type, enabled=False):
        out, *last = _Run.apply(engine, cell, rows, lengths, low, x, W, U, b, d, *state)
    return out, tuple(last)


def check(x: Tensor, W: Tensor, U: Tensor, b: Tensor | None, d: Tensor | None, state: cells.State) -> None:
    """A UserError unless all fit together: compiled loops would read what is not there."""
    G, H = U.shape
    needed = {"W": (W, (G, x.shape[2])), "U": (U, (len(W), H)), "b": (b, (G,)), "d": (d, (H,))}
    needed |= {f"state {i}": (s, (len(x), H)) for i, s in enumerate(state)}
    for name, (value, shape) in needed.items():
        if value is not None and (value.shape != shape or value.dtype != x.dtype or value.device != x.device):
            found, wanted = (f"{tuple(sizes)}, {v.dtype} on {v.device}" for sizes, v in ((value.shape, value), (shape, x)))
            raise UserError(f"`{name}` is {found}; the input needs {wanted}")


def _forward(engine, cell, rows, low, keep, x, W, U, b, d, *state):
    """Hidden states (B, T, H), last state, and what the backward loop needs."""
    steps = x.flatten(0, 1) if rows.valid is None else x[rows.valid]  # (N, I)
    A = matrices.forward(steps, W, b, low)  # (N, G·H)
    out = (x.new_empty if rows.valid is None else x.new_zeros)(*x.shape[:2], U.shape[1])
    last, kept = engine.loops[type(cell)].forward(rows, A, U, d, [s.contiguous() for s in state], out, keep)
    return out, last, kept


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx, engine, cell, rows, lengths, low, x, W, U, b, d, *state):
        keep = any(ctx.needs_input_grad)
        out, last, kept = _forward(engine, cell, rows, low, keep, x, W, U, b, d, *state)
        if keep:
            ctx.engine, ctx.cell, ctx.rows, ctx.lengths, ctx.states = engine, cell, rows, lengths, len(state)
            ctx.low, ctx.spent = low, False
            ctx.save_for_backward(x, W, U, b, d, *state, out, kept.gates, kept.before, *kept.more)
        return out, *last

    @staticmethod
    def backward(ctx, d_out, *d_last):
        x, W, U, b, d, *rest = ctx.saved_tensors
        state, (out, gates, before, *more) = rest[: ctx.states], rest[ctx.states :]
        if torch.is_grad_enabled():  # a derivative of this derivative will be asked for
            weights = {name: value for name, value in zip("WUbd", (W, U, b, d), strict=True) if value is not None}
            dx, *others = again.gradients(ctx.cell, weights, x, tuple(state), ctx.lengths, (d_out, *d_last))
            d_weights = [others.pop(0) if value is not None else None for value in (W, U, b, d)]
            return None, None, None, None, None, dx, *d_weights, *others
        kept = Kept(gates, before, tuple(more))
        if ctx.spent:  # a second pass backward: the first one's loop has overwritten the gates
            _, _, kept = _forward(ctx.engine, ctx.cell, ctx.rows, ctx.low, True, x, W, U, b, d, *state)
        ctx.spent = True
        rows, needs = ctx.rows, ctx.needs_input_grad[5:]
        loop, d_last = ctx.engine.loops[type(ctx.cell)], [g.contiguous() for g in d_last]
        found = loop.backward(rows, out, kept, U, d_out.contiguous(), d_last, ctx.low)
        dx = dW = db = None
        if needs[0]:
            flat = matrices.input_gradient(found.dA, W, ctx.low)
            dx = flat.view_as(x) if rows.valid is None else torch.zeros_like(x).masked_scatter_(rows.valid.unsqueeze(-1), flat)
        if needs[1]:
            dW = matrices.weight_gradient(found.dA, x.flatten(0, 1) if rows.valid is None else x[rows.valid], ctx.low)
        if needs[3]:
            db = found.dA.sum(0)
        return None, None, None, None, None, dx, dW, found.dU, db, None if d is None else found.dd, *found.state
