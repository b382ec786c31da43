"""Step by step with few rows: one compiled call a step, or one for many steps, where calling torch would cost more than the sums.

A stack of layers is packed once (float32, or int8 with a scale a column) and its loops are those of loops.py, run for one step.
States are arrays (L·S, R, H), layer by layer, each layer's states in order; they are changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from .. import cells
from ..errors import UserError
from . import loops
from .jit import compiled, pasted
from .loops import copy
from .product import Packed, columns, pack, product

# Which cell a compiled function is for is told by the number of dimensions of an empty array: a type, so that only the loops
# of that cell are compiled, and one that costs nothing to hand over.
KINDS: dict[type[nn.Module], np.ndarray] = {
    cells.RNN: np.empty((0,)),
    cells.GRU: np.empty((0, 0)),
    cells.GRUAfter: np.empty((0, 0, 0)),
    cells.LSTM: np.empty((0, 0, 0, 0)),
}

# The layers of a net, one above the other, all of one kind and width:
#   W (L - 1, …)  packed input matrices of all layers but the first
#   U (L, …)      packed recurrent matrices; of the lecture's GRU those of z and r
#   V (L, …)      the lecture's GRU's matrix of the candidate, packed; else of no panels
#   b (L, G·H), d (L, H)
Stack = tuple[Packed, Packed, Packed, np.ndarray, np.ndarray]


def stack(layers: Sequence[nn.Module], int8: bool = False) -> Stack:
    """Pack the cells of a net's layers, first layer first."""
    H = layers[0].hidden_size
    split = 2 * H if type(layers[0]) is cells.GRU else len(layers[0].U)
    b = [torch.zeros(len(cell.U)) if cell.b is None else cell.b.detach().float() for cell in layers]
    d = [torch.zeros(H) if getattr(cell, "d", None) is None else cell.d.detach().float() for cell in layers]
    return (
        _together([pack(cell.W.float().t(), int8) for cell in layers[1:]], H, int8),
        _together([pack(cell.U[:split].float().t(), int8) for cell in layers], H, int8),
        _together([pack(cell.U[split:].float().t(), int8) for cell in layers], H, int8),
        torch.stack(b).numpy(),
        torch.stack(d).numpy(),
    )


def _together(matrices: list[Packed], rows: int, int8: bool) -> Packed:
    if not matrices:  # of the type the others have
        shape = (0, 1, rows, 1, 2) if int8 else (0, 1, rows, 1)
        return np.zeros(shape, np.int8 if int8 else np.float32), np.zeros((0, 0), np.float32)
    return np.stack([panels for panels, _ in matrices]), np.stack([scales for _, scales in matrices])


@pasted
def one(matrices, layer):
    return matrices[0][layer], matrices[1][layer]


@pasted
def advance(dimensions, net, rows, length, A, state, hidden):
    """One step of all layers: A (R, G·H) the first one's W x + b (spent), hidden (R, L·H) receives all layers' h.

    dimensions of KINDS' array; rows 0, …, R - 1; length 1 each.
    """
    W, U, V, b, d = net
    L, (_, R, H) = len(b), state.shape
    out, nothing = np.empty((R, 1, H), A.dtype), np.empty((0, H), A.dtype)
    states = len(state) // L
    for layer in range(L):
        at = layer * states
        if layer:
            W_layer = one(W, layer - 1)
            Wx = np.empty((R, columns(W_layer)), A.dtype)
            product(state[at - states], R, W_layer, Wx)
            for i in range(R):
                for j in range(A.shape[1]):
                    A[i, j] = Wx[i, j] + b[layer, j]
        h, c = state[at], state[at + states - 1]
        if dimensions == 1:
            loops.rnn_forward(rows, rows, length, A, one(U, layer), h, out, h, nothing)
        elif dimensions == 2:
            loops.gru_forward(rows, rows, length, A, one(U, layer), one(V, layer), h, out, h, nothing, nothing)
        elif dimensions == 3:
            loops.gru_after_forward(rows, rows, length, A, one(U, layer), d[layer], h, out, h, nothing, nothing)
        else:
            loops.lstm_forward(rows, rows, length, A, one(U, layer), h, c, out, h, c, nothing, nothing)
        for i in range(R):
            copy(hidden[i, layer * H : (layer + 1) * H], h[i])


@compiled
def run(kind, W, W_scales, U, U_scales, V, V_scales, b, d, first, first_scales, rows, length, x, state, out):
    """T steps: x (T, R, I) through the first layer's packed W and on; out (T, R, H) receives the last layer's h.

    Arrays one by one, not a Stack: Numba takes a microsecond longer to look into tuples.
    """
    net, W_first = ((W, W_scales), (U, U_scales), (V, V_scales), b, d), (first, first_scales)
    dimensions = kind.ndim
    (T, R, H), (L, G) = out.shape, b.shape
    rows, length = np.arange(R), np.ones(R, np.int64)
    wide, A, hidden = np.empty((R, columns(W_first)), x.dtype), np.empty((R, G), x.dtype), np.empty((R, L * H), x.dtype)
    for t in range(T):
        product(x[t], R, W_first, wide)
        for i in range(R):
            for j in range(G):
                A[i, j] = wide[i, j] + b[0, j]
        advance(dimensions, net, rows, length, A, state, hidden)
        for i in range(R):
            copy(out[t, i], hidden[i, (L - 1) * H :])


class Stepper:
    """A one-directional net for streaming: packed once, then microseconds a step. Of the weights as they are now."""

    def __init__(self, layers: Sequence[nn.Module], int8: bool = False):
        W, U, V, b, d = stack(layers, int8)
        self.arrays = (KINDS[type(layers[0])], *W, *U, *V, b, d, *pack(layers[0].W.float().t(), int8))
        self.one_row = np.arange(1), np.ones(1, np.int64)
        self.inputs, self.hidden = layers[0].input_size, layers[0].hidden_size
        self.states = layers[0].states * len(layers)

    def start(self, rows: int = 1) -> np.ndarray:
        """The state before the first step: zeros (L·S, R, H), float32."""
        return np.zeros((self.states, rows, self.hidden), np.float32)

    def __call__(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Steps x (T, R, I) -> (T, R, H), float32; `state` becomes the one after them. UserError where shapes do not fit."""
        if not isinstance(x, np.ndarray) or x.dtype.char != "f" or not x.flags.carray:
            x = _taken(x)
        if x.ndim != 3 or x.shape[2] != self.inputs or not x.shape[1]:
            raise UserError(f"`x` has shape {x.shape}; needed is (steps, rows, {self.inputs})")
        T, R, _ = x.shape
        if not isinstance(state, np.ndarray) or state.dtype.char != "f" or not state.flags.carray:
            kind = state.dtype if isinstance(state, np.ndarray) else type(state).__name__
            raise UserError(f"`state` is of {kind}; needed is an array like start()'s: float32, in one piece, to be written")
        if state.shape != (self.states, R, self.hidden):
            raise UserError(f"`state` has shape {state.shape}; needed is ({self.states}, {R}, {self.hidden})")
        out = np.empty((T, R, self.hidden), np.float32)
        rows, length = self.one_row if R == 1 else (np.arange(R), np.ones(R, np.int64))
        run(*self.arrays, rows, length, x, state, out)
        return out


def _taken(x: np.ndarray) -> np.ndarray:
    """x as compiled code knows arrays (it would be compiled anew for another kind): float32, in one piece, writeable."""
    if np.iscomplexobj(x):
        raise UserError("`x` is of complex numbers; needed are real ones")
    return np.require(x, np.float32, ("C", "A", "W"))
