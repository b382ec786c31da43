"""One step of a cell in numpy, for sampling and streaming with few rows, where calling torch costs more than the sums.

Each function is the cell's forward of cells.py: (Wx, state, cell's arrays) -> state. They are tested against it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import nn

from .. import cells

Arrays = dict[str, np.ndarray]
State = tuple[np.ndarray, ...]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5  # the same function, and no overflow


def rnn(Wx: np.ndarray, state: State, a: Arrays) -> State:
    return (np.tanh(Wx + state[0] @ a["U"].T),)


def gru(Wx: np.ndarray, state: State, a: Arrays) -> State:
    (h,) = state
    H = h.shape[1]
    U = a["U"]
    zr = sigmoid(Wx[:, : 2 * H] + h @ U[: 2 * H].T)
    z, r = zr[:, :H], zr[:, H:]
    candidate = np.tanh(Wx[:, 2 * H :] + (r * h) @ U[2 * H :].T)
    return (h + z * (candidate - h),)


def gru_after(Wx: np.ndarray, state: State, a: Arrays) -> State:
    (h,) = state
    H = h.shape[1]
    Uh = h @ a["U"].T
    rz = sigmoid(Wx[:, : 2 * H] + Uh[:, : 2 * H])
    r, z = rz[:, :H], rz[:, H:]
    candidate = np.tanh(Wx[:, 2 * H :] + r * (Uh[:, 2 * H :] + a.get("d", 0)))
    return (candidate + z * (h - candidate),)


def lstm(Wx: np.ndarray, state: State, a: Arrays) -> State:
    h, c = state
    H = h.shape[1]
    gates = Wx + h @ a["U"].T
    i, f, o = sigmoid(gates[:, :H]), sigmoid(gates[:, H : 2 * H]), sigmoid(gates[:, 3 * H :])
    c = f * c + i * np.tanh(gates[:, 2 * H : 3 * H])
    return o * np.tanh(c), c


STEPS: dict[type[nn.Module], Callable[[np.ndarray, State, Arrays], State]] = {
    cells.RNN: rnn,
    cells.GRU: gru,
    cells.GRUAfter: gru_after,
    cells.LSTM: lstm,
}


def arrays(cell: nn.Module) -> Arrays:
    """A cell's parameters as float32 arrays."""
    return {name: p.detach().cpu().float().numpy() for name, p in cell.named_parameters()}
