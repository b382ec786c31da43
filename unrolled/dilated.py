"""WaveNet's network: a stack of causal dilated convolutions with gates (van den Oord et al. 2016, https://arxiv.org/abs/1609.03499).

    z_t = tanh(W_f · [x_{t-d}, x_t] + V_f c_t + b_f) ⊙ σ(W_g · [x_{t-d}, x_t] + V_g c_t + b_g)      equations 2 and 3
    x'_t = x_t + W_r z_t + b_r        into the next layer
    s_t = Σ_layers W_s z_t + b_s      into the output: W_2 relu(W_1 relu(s_t) + b_1) + b_2

What a layer looks back at, d samples, doubles from layer to layer, so that the field grows with 2 to the number of layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]


def field(dilations: Sequence[int], kernel: int) -> int:
    """Samples that one output of such layers rests on, the newest with them."""
    return (kernel - 1) * sum(dilations) + 1


class WaveNet(nn.Module):
    """What is likely next, of a sequence of levels or of real samples; or what is said of a sequence of vectors.

    levels     how many values a sample has, each with a learned vector; 0 for real samples, times one learned vector; None for
               vectors of R numbers, which are read as they are
    outputs    numbers that describe the next sample, or the vectors so far
    residual   channels R from layer to layer
    skip       channels S from the layers to the output
    dilations  of the layers, the lowest first
    kernel     samples that a layer looks at, d apart
    condition  channels C of what else is known at each sample; 0: nothing
    """

    def __init__(
        self,
        levels: int | None,
        outputs: int,
        residual: int,
        skip: int,
        dilations: Sequence[int],
        kernel: int = 2,
        condition: int = 0,
    ):
        super().__init__()
        self.levels, self.residual, self.dilations, self.kernel = levels, residual, tuple(dilations), kernel
        if levels is not None:
            self.input = nn.Embedding(levels, residual) if levels else nn.Linear(1, residual)
        self.gates = nn.ModuleList(nn.Linear(kernel * residual, 2 * residual) for _ in self.dilations)
        self.conditions = nn.ModuleList(nn.Linear(condition, 2 * residual, bias=False) for _ in self.dilations if condition)
        self.residuals = nn.ModuleList(nn.Linear(residual, residual) for _ in self.dilations)
        self.skips = nn.ModuleList(nn.Linear(residual, skip) for _ in self.dilations)
        self.hidden, self.output = nn.Linear(skip, skip), nn.Linear(skip, outputs)

    @property
    def field(self) -> int:
        """Samples that one output rests on, the newest with them."""
        return field(self.dilations, self.kernel)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x (B, T), or vectors (B, T, R), condition (B, T or 1, C) -> (B, T, outputs); output t rests on x up to t. Before the
        first sample: zeros.
        """
        return self._read(self.vectors(x), condition, self.start(len(x)))[0]

    def vectors(self, x: Tensor) -> Tensor:
        """Of each sample (B, T) -> (B, T, R); what are vectors stay as they are."""
        if self.levels is None:
            return x
        return self.input(x) if self.levels else self.input(x.unsqueeze(-1))

    def whole(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The outputs that rest on a whole field: forward()'s from field - 1 on (B, T - field + 1, outputs), for about half the
        time where T is twice the field: a layer computes only what those above look at.
        """
        return self.after(self.vectors(x), condition)

    def after(self, vectors: Tensor, condition: Tensor | None = None) -> Tensor:
        """whole()'s outputs, of samples' vectors (B, T, R)."""
        return self._read(vectors, condition, None)[0]

    def start(self, batch: int) -> State:
        """What each layer remembers before the first sample: its last inputs (B, (kernel - 1)·d, R), the oldest first."""
        return tuple(self.hidden.weight.new_zeros(batch, (self.kernel - 1) * d, self.residual) for d in self.dilations)

    def step(self, x: Tensor, state: State, condition: Tensor | None = None) -> tuple[Tensor, State]:
        """x (B,) or (B, R), condition (B, C) -> (B, outputs), the next state."""
        out, state = self._read(self.vectors(x.unsqueeze(1)), None if condition is None else condition.unsqueeze(1), state)
        return out.squeeze(1), state

    def _read(self, x: Tensor, condition: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        length = x.shape[1] - (self.field - 1 if state is None else 0)
        after, total = [], torch.zeros((), device=x.device)
        for layer, d in enumerate(self.dilations):
            if state is not None:
                x = torch.cat([state[layer], x], dim=1)
                after.append(x[:, length:])
            steps = x.shape[1] - (self.kernel - 1) * d
            gates = self.gates[layer](torch.cat([x[:, k * d : k * d + steps] for k in range(self.kernel)], dim=2))
            if condition is not None:
                gates = gates + self.conditions[layer](condition[:, -steps:])
            filtered, opened = gates.chunk(2, dim=2)
            z = filtered.tanh() * opened.sigmoid()
            x, total = x[:, -steps:] + self.residuals[layer](z), total + self.skips[layer](z[:, -length:])
        return self.output(F.relu(self.hidden(F.relu(total)))), tuple(after)
