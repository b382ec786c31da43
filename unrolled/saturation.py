"""How much of a net still works: gates that stand at an end, where hardly a gradient passes, and units that never move."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import cells
from .gradients import Read

LOW, HIGH = 0.1, 0.9  # a gate outside is saturated (Karpathy et al. 2015); a tanh is beyond ±HIGH
STILL = 0.01  # a unit whose h has a standard deviation below this over all that was read is dead


class Gate(NamedTuple):
    name: str
    shut: float  # share of its values below LOW (of a tanh: below -HIGH)
    open: float  # share above HIGH


class Working(NamedTuple):
    gates: list[Gate]
    dead: float  # share of units

    @property
    def saturated(self) -> float:
        """The share of saturated values of the gate that has most."""
        return max((gate.shut + gate.open for gate in self.gates), default=0.0)


def values(cell: nn.Module, Wx: Tensor, state: cells.State) -> dict[str, Tensor]:
    """What a known cell computes in a step beside its next state: each gate (B, H) by name; of a cell of one's own, its h."""
    h = state[0]
    if isinstance(cell, cells.LSTM):
        i, f, candidate, o = (Wx + h @ cell.U.T).chunk(4, dim=-1)
        return {"input gate": i.sigmoid(), "forget gate": f.sigmoid(), "output gate": o.sigmoid(), "tanh": candidate.tanh()}
    if isinstance(cell, cells.GRU):
        (Wx_z, Wx_r, Wx_h), (U_z, U_r, U_h) = Wx.chunk(3, dim=-1), cell.U.chunk(3)
        z, r = torch.sigmoid(Wx_z + h @ U_z.T), torch.sigmoid(Wx_r + h @ U_r.T)
        return {"update gate": z, "reset gate": r, "tanh": torch.tanh(Wx_h + (r * h) @ U_h.T)}
    if isinstance(cell, cells.GRUAfter):
        (Wx_r, Wx_z, Wx_h), (U_r, U_z, U_h) = Wx.chunk(3, dim=-1), cell.U.chunk(3)
        z, r = torch.sigmoid(Wx_z + h @ U_z.T), torch.sigmoid(Wx_r + h @ U_r.T)
        return {"update gate": z, "reset gate": r, "tanh": torch.tanh(Wx_h + r * F.linear(h, U_h, cell.d))}
    return {"tanh": cell(Wx, state)[0]}


@torch.no_grad()
def working(found: Read) -> Working:
    """Shares over all rows and steps that were read, padding left out."""
    kept: dict[str, list[Tensor]] = {}
    hidden = []
    for t in range(found.Wx.shape[1]):
        alive = t < found.lengths
        state = tuple(s[alive] for s in found.states[t])
        for name, value in values(found.cell, found.Wx[alive, t], state).items():
            kept.setdefault(name, []).append(value)
        hidden.append(found.states[t + 1][0][alive])
    gates = [_shares(name, torch.cat(parts)) for name, parts in kept.items()]
    return Working(gates, float((torch.cat(hidden).std(0, correction=0) < STILL).double().mean()))


def _shares(name: str, value: Tensor) -> Gate:
    low = -HIGH if name == "tanh" else LOW
    return Gate(name, float((value < low).double().mean()), float((value > HIGH).double().mean()))
