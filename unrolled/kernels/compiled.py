"""The four cells on the CPU: training.py's products, and between them the compiled loops of loops.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import cells
from . import loops, matrices, threads, training
from .product import Packed, pack
from .training import Engine, Gradients, Kept, Loops

ROWS_A_SHARE = 4  # fewer rows would leave a thread waiting for its own sums


class Rows(NamedTuple):
    """Which steps there are, and who does them."""

    begin: np.ndarray  # (B) where a row's steps begin among all
    length: np.ndarray  # (B)
    shares: list[np.ndarray]  # batch rows of each thread, longest first
    valid: Tensor | None  # (B, T) where there is a step, or None if everywhere


def plan(batch: int, steps: int, lengths: Tensor | None, device: torch.device) -> Rows:
    """Deal rows out to threads, longest first, so that all have about the same to do."""
    length = np.full(batch, steps) if lengths is None else lengths.detach().cpu().numpy().astype(np.int64)
    shares = max(1, min(torch.get_num_threads(), -(-batch // ROWS_A_SHARE)))
    order = np.argsort(-length, kind="stable")
    valid = None
    if lengths is not None and int(length.sum()) != batch * steps:
        valid = torch.arange(steps) < torch.from_numpy(length).unsqueeze(1)
    begin = np.concatenate([[0], np.cumsum(length)[:-1]])
    return Rows(begin, length, [np.ascontiguousarray(order[i::shares]) for i in range(shares)], valid)


def _go(loop: Callable, rows: Rows, *arrays: Tensor | Packed) -> None:
    views = [a.detach().numpy() if isinstance(a, Tensor) else a for a in arrays]
    threads.in_shares(lambda i: loop(rows.shares[i], rows.begin, rows.length, *views), len(rows.shares))


def _kept(A: Tensor, hidden: int, keep: bool, number: int) -> list[Tensor]:
    return [A.new_empty(len(A) if keep else 0, hidden) for _ in range(number)]


# --- the cells; forward(rows, A, U, d, state, out, keep) fills out and returns (last, Kept)


def _rnn_forward(rows, A, U, d, state, out, keep):
    (h0,), last, (before,) = state, torch.empty_like(state[0]), _kept(A, U.shape[1], keep, 1)
    _go(loops.rnn_forward, rows, A, pack(U.t()), h0, out, last, before)
    return (last,), Kept(A.new_empty(0), before)


def _rnn_backward(rows, out, kept, U, d_out, d_last, low):
    dA, d_first = torch.empty_like(kept.before), torch.empty_like(d_last[0])
    _go(loops.rnn_backward, rows, out, pack(U), d_out, d_last[0], dA, d_first)
    return Gradients(dA, matrices.weight_gradient(dA, kept.before, low), None, (d_first,))


def _gru_forward(rows, A, U, d, state, out, keep):
    H = U.shape[1]
    (h0,), last, (before, reset) = state, torch.empty_like(state[0]), _kept(A, H, keep, 2)
    _go(loops.gru_forward, rows, A, pack(U[: 2 * H].t()), pack(U[2 * H :].t()), h0, out, last, before, reset)
    return (last,), Kept(A, before, (reset,))


def _gru_backward(rows, out, kept, U, d_out, d_last, low):
    H, (reset,) = U.shape[1], kept.more
    dA, d_first = kept.gates, torch.empty_like(d_last[0])  # in place: fresh memory takes longer to get than to fill
    packed = pack(U[: 2 * H]), pack(U[2 * H :])
    _go(loops.gru_backward, rows, kept.gates, kept.before, *packed, d_out, d_last[0], dA, d_first)
    gates, candidate = dA[:, : 2 * H], dA[:, 2 * H :]
    dU = torch.cat([matrices.weight_gradient(gates, kept.before, low), matrices.weight_gradient(candidate, reset, low)])
    return Gradients(dA, dU, None, (d_first,))


def _gru_after_forward(rows, A, U, d, state, out, keep):
    H = U.shape[1]
    (h0,), last, (before, after) = state, torch.empty_like(state[0]), _kept(A, H, keep, 2)
    bias = A.new_zeros(H) if d is None else d
    _go(loops.gru_after_forward, rows, A, pack(U.t()), bias, h0, out, last, before, after)
    return (last,), Kept(A, before, (after,))


def _gru_after_backward(rows, out, kept, U, d_out, d_last, low):
    H, (after,) = U.shape[1], kept.more
    dA, d_after, d_first = kept.gates, torch.empty_like(after), torch.empty_like(d_last[0])
    _go(loops.gru_after_backward, rows, kept.gates, kept.before, after, pack(U), d_out, d_last[0], dA, d_after, d_first)
    parts = [matrices.weight_gradient(g, kept.before, low) for g in (dA[:, : 2 * H], d_after)]
    return Gradients(dA, torch.cat(parts), d_after.sum(0), (d_first,))


def _lstm_forward(rows, A, U, d, state, out, keep):
    (h0, c0), last = state, [torch.empty_like(s) for s in state]
    before, cell_before = _kept(A, U.shape[1], keep, 2)
    _go(loops.lstm_forward, rows, A, pack(U.t()), h0, c0, out, *last, before, cell_before)
    return tuple(last), Kept(A, before, (cell_before,))


def _lstm_backward(rows, out, kept, U, d_out, d_last, low):
    dA, d_first = kept.gates, [torch.empty_like(g) for g in d_last]
    _go(loops.lstm_backward, rows, kept.gates, kept.more[0], pack(U), d_out, *d_last, dA, *d_first)
    return Gradients(dA, matrices.weight_gradient(dA, kept.before, low), None, tuple(d_first))


ENGINE = Engine(
    plan,
    {
        cells.RNN: Loops(_rnn_forward, _rnn_backward),
        cells.GRU: Loops(_gru_forward, _gru_backward),
        cells.GRUAfter: Loops(_gru_after_forward, _gru_after_backward),
        cells.LSTM: Loops(_lstm_forward, _lstm_backward),
    },
)


def run(cell: nn.Module, U: Tensor, x: Tensor, state: cells.State, lengths: Tensor | None):
    """x (B, T, I), state (B, H) each; see kernels/__init__ for the contract."""
    return training.run(ENGINE, cell, U, x, state, lengths)
