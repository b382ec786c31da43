"""The lecture's recurrent cells, equation by equation, and scan(), which unrolls any of them in time.

Notation: x_t (B, I) input, h_t (B, H) hidden state, c_t (B, H) the LSTM's cell state; B batch, T time, I input, H hidden.
A cell holds its gates' matrices stacked: W (G·H, I), U (G·H, H), b (G·H), for G gates. Its forward takes
    Wx     W x_t + b for every gate, (B, G·H): scan() computes it for all steps in one product
    state  the previous state, a tuple of (B, H), h first
and returns the next state. A new cell is a class like these and its line in CELLS; nothing else needs to know it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]


class RNN(nn.Module):
    """The basic recurrent net: h_t = tanh(W_hh h_{t-1} + W_xh x_t + b_h). bias=False is the lecture's slide."""

    gates, states = 1, 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True):
        super().__init__()
        add_parameters(self, input_size, hidden_size, bias)

    def forward(self, Wx: Tensor, state: State) -> State:
        (h,) = state
        h = torch.tanh(Wx + h @ self.U.T)  # h_t = tanh(W_hh h_{t-1} + W_xh x_t + b_h)
        return (h,)


class GRU(nn.Module):
    """The lecture's gated recurrent unit (Cho et al. 2014): the reset gate acts before the recurrent matrix."""

    gates, states = 3, 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True):
        super().__init__()
        add_parameters(self, input_size, hidden_size, bias)

    def forward(self, Wx: Tensor, state: State) -> State:
        (h,) = state
        Wx_z, Wx_r, Wx_h = Wx.chunk(3, dim=-1)
        U_z, U_r, U_h = self.U.chunk(3)
        z = torch.sigmoid(Wx_z + h @ U_z.T)  # z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
        r = torch.sigmoid(Wx_r + h @ U_r.T)  # r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
        candidate = torch.tanh(Wx_h + (r * h) @ U_h.T)  # tanh(W_h x_t + U_h (r_t∘h_{t-1}) + b_h)
        h = (1 - z) * h + z * candidate  # h_t = (1 - z_t)∘h_{t-1} + z_t∘candidate
        return (h,)


class GRUAfter(nn.Module):
    """The other GRU (cuDNN's, torch.nn's, Keras's `reset_after`): the reset gate acts after the recurrent matrix.

    It has a recurrent bias d of its own, and its z keeps the old state where the lecture's z writes the new one.
    Gates are stacked r, z, candidate, as torch.nn.GRU stacks them.
    """

    gates, states = 3, 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True):
        super().__init__()
        add_parameters(self, input_size, hidden_size, bias)
        bound = 1 / math.sqrt(hidden_size)
        self.d = nn.Parameter(torch.empty(hidden_size).uniform_(-bound, bound)) if bias else None

    def forward(self, Wx: Tensor, state: State) -> State:
        (h,) = state
        Wx_r, Wx_z, Wx_h = Wx.chunk(3, dim=-1)
        U_r, U_z, U_h = self.U.chunk(3)
        r = torch.sigmoid(Wx_r + h @ U_r.T)  # r_t = σ(W_r x_t + U_r h_{t-1} + b_r)
        z = torch.sigmoid(Wx_z + h @ U_z.T)  # z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
        candidate = torch.tanh(Wx_h + r * F.linear(h, U_h, self.d))  # tanh(W_h x_t + b_h + r_t∘(U_h h_{t-1} + d))
        h = z * h + (1 - z) * candidate  # h_t = z_t∘h_{t-1} + (1 - z_t)∘candidate
        return (h,)


class LSTM(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, forget gate Gers et al. 2000).

    Gates are stacked i, f, candidate, o, as torch.nn.LSTM stacks them.
    """

    gates, states = 4, 2

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True):
        super().__init__()
        add_parameters(self, input_size, hidden_size, bias)

    def forward(self, Wx: Tensor, state: State) -> State:
        h, c = state
        i, f, candidate, o = (Wx + h @ self.U.T).chunk(4, dim=-1)  # each W x_t + U h_{t-1} + b
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)  # c_t = f_t∘c_{t-1} + i_t∘tanh(…)
        h = torch.sigmoid(o) * torch.tanh(c)  # h_t = o_t∘tanh(c_t)
        return h, c


CELLS: dict[str, type[nn.Module]] = {"rnn": RNN, "gru": GRU, "gru_after": GRUAfter, "lstm": LSTM}


def add_parameters(cell: nn.Module, input_size: int, hidden_size: int, bias: bool) -> None:
    """Give a cell W, U and b, drawn uniformly from ±1/√H as torch.nn draws them."""
    bound = 1 / math.sqrt(hidden_size)
    rows = cell.gates * hidden_size
    cell.input_size, cell.hidden_size = input_size, hidden_size
    cell.W = nn.Parameter(torch.empty(rows, input_size).uniform_(-bound, bound))
    cell.U = nn.Parameter(torch.empty(rows, hidden_size).uniform_(-bound, bound))
    cell.b = nn.Parameter(torch.empty(rows).uniform_(-bound, bound)) if bias else None


def start(cell: nn.Module, batch: int) -> State:
    """The state before the first symbol: zeros (B, H), one for each of the cell's states."""
    return tuple(cell.U.new_zeros(batch, cell.hidden_size) for _ in range(cell.states))


def step(cell: nn.Module, x: Tensor, state: State) -> tuple[Tensor, State]:
    """One step in time: x (B, I) -> h_t (B, H) and the state after it."""
    state = cell(F.linear(x, cell.W, cell.b), state)
    return state[0], state


def scan(cell: nn.Module, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
    """Unroll a cell over time: the reference for every faster kernel.

    x (B, T, I); lengths (B) or None when all rows have T steps. Returns the hidden states (B, T, H), zero past a row's
    length, and each row's state after its own last step.
    """
    if state is None:
        state = tuple(s.to(x.dtype) for s in start(cell, x.shape[0]))
    if lengths is not None:  # padding may hold anything, and 0 times nan is nan in a gradient
        padding = torch.arange(x.shape[1], device=x.device) >= lengths.to(x.device).unsqueeze(1)  # (B, T)
        x = x.masked_fill(padding.unsqueeze(-1), 0.0)
    hidden = []
    for t, Wx in enumerate(F.linear(x, cell.W, cell.b).unbind(1)):  # Wx (B, G·H)
        after = cell(Wx, state)
        if lengths is not None:
            alive = ~padding[:, t : t + 1]  # (B, 1)
            after = tuple(torch.where(alive, new, old) for new, old in zip(after, state, strict=True))
            hidden.append(torch.where(alive, after[0], 0.0))
        else:
            hidden.append(after[0])
        state = after
    return torch.stack(hidden, 1), state  # (B, T, H)
