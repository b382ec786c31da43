"""The two GRUs and the LSTM on a GPU: training.py's products, and between them the Triton kernels of triton_loops.py.

TRITON_INTERPRET=1 runs the kernels on the CPU, slowly, one program after another: so only with one program for all units.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor, nn

from .. import cells
from . import matrices, measured, native, training, triton_loops
from .training import Engine, Gradients, Kept, Loops

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
CELLS = (cells.GRU, cells.GRUAfter, cells.LSTM)


class Rows(NamedTuple):
    """How many steps each row has; padding is computed and masked."""

    lengths: Tensor  # (B) int32, on the device
    steps: int
    valid: None = None


class Tiles(NamedTuple):
    """How the work is cut."""

    rows: int  # of a program
    units: int  # of a program
    inputs: int  # of a product at a time, where states are exchanged
    swap: bool  # whether programs of the same rows exchange states
    warps: int
    launch: int  # most rows in one launch


def tiles(batch: int, hidden: int, item_bytes: int, processors: int, shared_bytes: int) -> Tiles:
    """One program for all units while U fits on the chip beside it; else as many as can run at once, few units each.

    Warps are those with which ptxas for sm_90 spills no registers, or next to none.
    """
    alone = (128 if item_bytes == 2 else 64) if shared_bytes >= 160_000 else (64 if item_bytes == 2 else 32)
    if hidden <= alone:
        units = max(16, triton.next_power_of_2(hidden))
        return Tiles(16, units, 16, False, 8 if units * item_bytes >= 256 else 4, batch)
    units, rows = 16, 16
    while rows < min(batch, 64):
        rows *= 2
    while triton.cdiv(hidden, units) > processors:
        units *= 2
    at_once = processors // triton.cdiv(hidden, units)  # row tiles
    return Tiles(rows, units, 64 if item_bytes == 2 else 32, True, 8 if rows >= 32 else 4, min(batch, rows * at_once))


def plan(batch: int, steps: int, lengths: Tensor | None, device: torch.device) -> Rows:
    full = torch.full((batch,), steps, dtype=torch.int32, device=device)
    return Rows(full if lengths is None else lengths.to(device, torch.int32), steps)


def run(cell: nn.Module, U: Tensor, x: Tensor, state: cells.State, lengths: Tensor | None):
    """x (B, T, I), state (B, H) each; see kernels/__init__ for the contract."""
    if lengths is not None:
        padding = torch.arange(x.shape[1], device=x.device) >= lengths.to(x.device).unsqueeze(1)
        x = x.masked_fill(padding.unsqueeze(-1), 0.0)  # 0 times nan is nan in a gradient
    return training.run(ENGINE, cell, U, x, state, lengths)


@cache
def sound(kind: type[nn.Module], device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernels of a cell give scan()'s results on this device: tried once a process, at a small and a larger size."""
    tolerance = 1e-3 if dtype == torch.float32 else 0.03
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        return all(_difference(kind, device, dtype, hidden) < tolerance for hidden in ((32,) if INTERPRETED else (32, 272)))


def _difference(kind: type[nn.Module], device: torch.device, dtype: torch.dtype, hidden: int) -> float:
    """The largest difference from scan() in float32, as a part of the largest entry, over results and gradients."""
    found = []
    cell = kind(24, hidden).to(device, dtype)
    x, lengths = torch.randn(20, 12, 24, device=device, dtype=dtype), torch.arange(20) % 12 + 1
    weights = torch.randn(20, 12, hidden, device=device)
    for go, kind_of_number in ((_scan, torch.float32), (run, dtype)):
        cell, given = cell.to(kind_of_number), x.detach().to(kind_of_number).requires_grad_()
        out, last = go(cell, cell.U, given, cells.start(cell, 20), lengths)
        gradients = torch.autograd.grad((out.float() * weights).sum() + last[-1].float().sum(), [given, *cell.parameters()])
        found.append([value.detach().float() for value in (out, *last, *gradients)])
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found, strict=True))


def _scan(cell: nn.Module, U: Tensor, x: Tensor, state: cells.State, lengths: Tensor | None):
    return cells.scan(cell, x, state, lengths)


def beats_cudnn(cell: nn.Module, device: torch.device, dtype: torch.dtype, shape: tuple[int, int], ragged: bool) -> bool:
    """Whether forward and backward take less time here than cuDNN's; measured once a machine for each such layer."""
    batch, steps = shape[0], min(shape[1], 128)
    copy = type(cell)(cell.W.shape[1], cell.hidden_size).to(device, dtype)
    x = torch.randn(batch, steps, cell.W.shape[1], device=device, dtype=dtype)
    lengths = torch.linspace(1, steps, batch).long() if ragged else None

    def way(go: Any) -> Any:
        def train() -> None:
            out, _ = go(copy, copy.U, x, cells.start(copy, batch), lengths)
            torch.autograd.grad(out.sum(), list(copy.parameters()))
            torch.cuda.synchronize(device)

        return train

    layer = f"{type(cell).__name__} of {cell.hidden_size}, {batch} rows{', ragged' if ragged else ''}, {dtype}"
    with torch.random.fork_rng(devices=[device]):
        ways = {"cudnn": way(native.run), "triton": way(run)}
        return measured.faster(f"{torch.cuda.get_device_name(device)}: {layer}", ways) == "triton"


@cache
def _chip(device: torch.device) -> tuple[int, int]:
    """Multiprocessors, and bytes of shared memory that a program can have."""
    if INTERPRETED:
        return 1, 227 << 10
    properties = torch.cuda.get_device_properties(device)
    return properties.multi_processor_count, properties.shared_memory_per_block_optin


def _go(kernel: Any, rows: Rows, shared: tuple[Tensor, ...], slots: int, arrays: dict[str, Tensor], **flags: bool) -> None:
    """Launch a kernel: `shared` are U and d, `arrays` all that have a row for each row of the batch, by parameter name."""
    U = shared[0].detach().contiguous()
    B, H = len(rows.lengths), U.shape[1]
    cut = _cut(B, H, U)
    weights = dict(zip(("U", "d"), (U, *(d.detach() for d in shared[1:])), strict=False))
    for first in range(0, B, cut.launch):
        part = {name: array[first : first + cut.launch] for name, array in arrays.items()}
        n = min(cut.launch, B - first)
        grid = (triton.cdiv(n, cut.rows), triton.cdiv(H, cut.units))
        room = U.new_empty(slots * n * H if cut.swap else 0)
        counter = torch.zeros(grid[0], dtype=torch.int32, device=U.device)
        options = {} if INTERPRETED else {"num_warps": cut.warps, "launch_cooperative_grid": cut.swap}
        kernel[grid](
            **part, **weights, lengths=rows.lengths[first : first + n], swap=room, counter=counter, B=n, T=rows.steps, H=H,
            SWAP=cut.swap, BM=cut.rows, BN=cut.units, BK=cut.inputs, PRECISION=_precision(), **flags, **options,
        )  # fmt: skip


def _cut(batch: int, hidden: int, U: Tensor) -> Tiles:
    return tiles(batch, hidden, U.element_size(), *_chip(U.device))


def _precision() -> str:
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def _by_row(flat: Tensor, rows: Rows) -> Tensor:
    """(B·T, …) -> (B, T, …)"""
    return flat.view(len(rows.lengths), rows.steps, flat.shape[-1])


def _before(first: Tensor, out: Tensor) -> Tensor:
    """The state before each step, (B, T, H); past a row's length it is not used."""
    return torch.cat([first.unsqueeze(1), out[:, :-1]], 1)


# --- the cells; forward(rows, A, U, d, state, out, keep) fills out and returns (last, Kept)


def _gru_forward(rows, A, U, d, state, out, keep):
    (h0,), last = state, torch.empty_like(state[0])
    reset = torch.empty_like(out) if keep else out
    arrays = {"A": _by_row(A, rows), "h0": h0, "out": out, "last": last, "reset": reset}
    _go(triton_loops.gru_forward, rows, (U,), 3, arrays, KEEP=keep)
    return (last,), Kept(A, _before(h0, out) if keep else out, (reset,))


def _gru_backward(rows, out, kept, U, d_out, d_last, low):
    H, (reset,) = U.shape[1], kept.more
    dA, d_first = torch.empty_like(kept.gates), torch.empty_like(d_last[0])
    arrays = {
        "A": _by_row(kept.gates, rows), "before": kept.before, "d_out": d_out, "d_last": d_last[0],
        "dA": _by_row(dA, rows), "d_first": d_first,
    }  # fmt: skip
    _go(triton_loops.gru_backward, rows, (U,), 4, arrays)
    before, reset = kept.before.flatten(0, 1), reset.flatten(0, 1)
    dU = [matrices.weight_gradient(dA[:, : 2 * H], before, low), matrices.weight_gradient(dA[:, 2 * H :], reset, low)]
    return Gradients(dA, torch.cat(dU), None, (d_first,))


def _gru_after_forward(rows, A, U, d, state, out, keep):
    (h0,), last = state, torch.empty_like(state[0])
    after = torch.empty_like(out) if keep else out
    bias = A.new_zeros(U.shape[1]) if d is None else d
    arrays = {"A": _by_row(A, rows), "h0": h0, "out": out, "last": last, "after": after}
    _go(triton_loops.gru_after_forward, rows, (U, bias), 2, arrays, KEEP=keep)
    return (last,), Kept(A, _before(h0, out) if keep else out, (after,))


def _gru_after_backward(rows, out, kept, U, d_out, d_last, low):
    H, (after,) = U.shape[1], kept.more
    dA, d_after, d_first = torch.empty_like(kept.gates), torch.empty_like(after), torch.empty_like(d_last[0])
    arrays = {
        "A": _by_row(kept.gates, rows), "before": kept.before, "after": after, "d_out": d_out, "d_last": d_last[0],
        "dA": _by_row(dA, rows), "d_after": d_after, "d_first": d_first,
    }  # fmt: skip
    _go(triton_loops.gru_after_backward, rows, (U,), 6, arrays)
    before, d_after = kept.before.flatten(0, 1), d_after.flatten(0, 1)
    dU = [matrices.weight_gradient(g, before, low) for g in (dA[:, : 2 * H], d_after)]
    return Gradients(dA, torch.cat(dU), d_after.sum(0), (d_first,))


def _lstm_forward(rows, A, U, d, state, out, keep):
    (h0, c0), last = state, [torch.empty_like(s) for s in state]
    cell_before = torch.empty_like(out) if keep else out
    arrays = {
        "A": _by_row(A, rows), "h0": h0, "c0": c0, "out": out, "last_h": last[0], "last_c": last[1], "cell_before": cell_before
    }  # fmt: skip
    _go(triton_loops.lstm_forward, rows, (U,), 2, arrays, KEEP=keep)
    return tuple(last), Kept(A, _before(h0, out) if keep else out, (cell_before,))


def _lstm_backward(rows, out, kept, U, d_out, d_last, low):
    dA, d_first = torch.empty_like(kept.gates), [torch.empty_like(g) for g in d_last]
    arrays = {
        "A": _by_row(kept.gates, rows), "cell_before": kept.more[0], "d_out": d_out, "d_last_h": d_last[0],
        "d_last_c": d_last[1], "dA": _by_row(dA, rows), "d_h0": d_first[0], "d_c0": d_first[1],
    }  # fmt: skip
    _go(triton_loops.lstm_backward, rows, (U,), 8, arrays)
    return Gradients(dA, matrices.weight_gradient(dA, kept.before.flatten(0, 1), low), None, tuple(d_first))


ENGINE = Engine(
    plan,
    {
        cells.GRU: Loops(_gru_forward, _gru_backward),
        cells.GRUAfter: Loops(_gru_after_forward, _gru_after_backward),
        cells.LSTM: Loops(_lstm_forward, _lstm_backward),
    },
)
