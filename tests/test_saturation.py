"""Saturated gates and dead units: against the cells' own next state, and nets made to have them."""

import pytest
import torch

from unrolled import cells, gradients, saturation
from unrolled.cells import CELLS


@pytest.mark.parametrize("cell", CELLS)
def test_gates_make_the_cells_next_state(cell):
    torch.manual_seed(1)
    net = CELLS[cell](4, 5)
    state, Wx = tuple(torch.randn(3, 5) for _ in range(net.states)), torch.randn(3, net.gates * 5)
    g, h = saturation.values(net, Wx, state), state[0]
    made = {
        "rnn": lambda: (g["tanh"],),
        "gru": lambda: ((1 - g["update gate"]) * h + g["update gate"] * g["tanh"],),
        "gru_after": lambda: (g["update gate"] * h + (1 - g["update gate"]) * g["tanh"],),
        "lstm": lambda: _lstm(g, state[1]),
    }[cell]()
    for own, wanted in zip(made, net(Wx, state), strict=True):
        torch.testing.assert_close(own, wanted)
    assert len(g) == net.gates


def _lstm(g, c):
    c = g["forget gate"] * c + g["input gate"] * g["tanh"]
    return g["output gate"] * c.tanh(), c


def test_saturated_gates_are_counted_where_rows_are_read():
    net = cells.LSTM(2, 10)
    with torch.no_grad():
        net.W.zero_(), net.U.zero_(), net.b.zero_()
        net.b[10:15] = 5.0  # half of the forget gates stand open
        net.b[30:40] = -5.0  # all output gates are shut
    x = torch.zeros(3, 6, 2)
    x[0, 4:] = torch.nan  # padding may hold anything
    told = saturation.working(gradients.read(net, x, torch.tensor([4, 6, 6])))
    gates = {gate.name: (gate.shut, gate.open) for gate in told.gates}
    assert gates == {"input gate": (0, 0), "forget gate": (0, 0.5), "output gate": (1, 0), "tanh": (0, 0)}
    assert told.saturated == 1


def test_dead_units_are_those_that_never_move():
    torch.manual_seed(1)
    net = cells.RNN(2, 10)
    with torch.no_grad():
        net.W[:4], net.U[:4], net.b[:4] = 0, 0, 0
        net.W[4] = 0
        net.U[4], net.b[4] = 0, 2.0  # always the same, though not zero
    told = saturation.working(gradients.read(net, torch.randn(4, 20, 2)))
    assert told.dead == pytest.approx(0.5)


def test_a_tanh_is_saturated_at_both_ends():
    net = cells.RNN(1, 4)
    with torch.no_grad():
        net.W[:], net.U[:], net.b[:] = torch.tensor([[9.0], [9.0], [-9.0], [0.0]]), 0, 0
    told = saturation.working(gradients.read(net, torch.ones(1, 3, 1)))
    assert told.gates == [saturation.Gate("tanh", 0.25, 0.5)]
