"""How far gradients reach: against closed forms, autograd's own Jacobian, and theory."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from unrolled import cells, gradients
from unrolled.cells import CELLS
from unrolled.layers import initialise
from unrolled.recurrent import Recurrent


class Linear(nn.Module):
    """h_t = U h_{t-1} + W x_t: a basic RNN without its tanh."""

    gates, states = 1, 1

    def __init__(self, U):
        super().__init__()
        self.input_size, self.hidden_size = 3, len(U)
        self.U, self.W, self.b = nn.Parameter(U), nn.Parameter(torch.ones(len(U), 3).to(U)), None

    def forward(self, Wx, state):
        return (Wx + state[0] @ self.U.T,)


def drawn(cell, size=6, rows=3, steps=9):
    torch.manual_seed(1)
    net = CELLS[cell](4, size).double()
    return net, torch.randn(rows, steps, 4, dtype=torch.float64)


@pytest.mark.parametrize("cell", CELLS)
def test_norms_are_those_of_the_jacobian_that_autograd_finds(cell):
    net, x = drawn(cell)
    found = gradients.read(net, x)
    told = gradients.reached(found, largest=True)
    for distance in (0, 1, 5):
        t, wanted, most = 9 - distance, [], []
        for row in range(3):

            def onward(s, row=row, t=t):
                state = tuple(s.view(net.states, 1, 6))
                for Wx in found.Wx[row, t:]:
                    state = net(Wx.unsqueeze(0), state)
                return torch.cat(state, -1).flatten()

            J = torch.autograd.functional.jacobian(onward, torch.cat([s[row] for s in found.states[t]]))
            wanted.append(math.log(J.norm() / math.sqrt(len(J))))
            most.append(math.log(torch.linalg.matrix_norm(J, 2)))
        assert told.norms[distance] == pytest.approx(np.mean(wanted), abs=1e-10)
        assert told.largest[distance] == pytest.approx(np.mean(most), abs=1e-10)


@pytest.mark.parametrize("gain", [0.5, 0.9, 1.1])
def test_a_linear_nets_slope_is_that_of_its_singular_values_where_its_matrix_is_normal(gain):
    torch.manual_seed(2)
    symmetric = torch.randn(32, 32, dtype=torch.float64)
    symmetric = symmetric + symmetric.T
    U = gain * symmetric / torch.linalg.svdvals(symmetric).max()
    told = gradients.reached(gradients.read(Linear(U), torch.zeros(2, 100, 3, dtype=torch.float64)), largest=True)
    assert gradients.slope(told.largest) == pytest.approx(math.log(gain), rel=1e-9)
    orthogonal = gain * nn.init.orthogonal_(torch.empty(32, 32, dtype=torch.float64))
    told = gradients.reached(gradients.read(Linear(orthogonal), torch.zeros(2, 100, 3, dtype=torch.float64)), largest=True)
    assert gradients.slope(told.norms) == pytest.approx(math.log(gain), rel=1e-9)


def test_a_linear_nets_slope_is_that_of_the_spectral_radius_where_its_matrix_is_not_normal():
    torch.manual_seed(3)
    U = torch.randn(32, 32, dtype=torch.float64) * 0.8 / math.sqrt(32)
    told = gradients.reached(gradients.read(Linear(U), torch.zeros(2, 400, 3, dtype=torch.float64)), largest=True)
    radius, largest = float(torch.linalg.eigvals(U).abs().max()), float(torch.linalg.svdvals(U).max())
    assert radius < 0.7 * largest
    assert gradients.slope(told.largest) == pytest.approx(math.log(radius), rel=0.05)
    assert np.all(told.largest <= np.arange(400) * math.log(largest) + 1e-9)


def test_theory_of_a_basic_rnn():
    torch.manual_seed(4)
    net = cells.RNN(4, 48).double()
    net.apply(initialise)
    found = gradients.read(net, torch.randn(4, 80, 4, dtype=torch.float64))
    told, theory = gradients.reached(found, largest=True), gradients.theory(found)
    assert theory.largest == pytest.approx(1, abs=1e-6)  # initialise draws orthogonal matrices
    assert theory.radius == pytest.approx(1, abs=1e-6)
    assert gradients.slope(told.largest) < theory.bound < 0
    assert gradients.slope(told.norms) == pytest.approx(theory.expected, rel=0.1)
    nothing = gradients.read(net, torch.zeros(1, 20, 4, dtype=torch.float64))  # h stays 0, where tanh is linear
    assert gradients.theory(nothing).bound == pytest.approx(math.log(theory.largest), abs=1e-12)


def test_many_directions_are_sampled_without_bias(monkeypatch):
    net, x = drawn("lstm", size=12)
    found = gradients.read(net, x)
    exact = gradients.reached(found)
    monkeypatch.setattr(gradients, "EXACT", 10)
    monkeypatch.setattr(gradients, "DIRECTIONS", 8)
    sampled = [gradients.reached(found, largest=True, seed=seed) for seed in range(40)]
    assert sampled[0].largest is None
    squares = np.mean([np.exp(2 * each.norms) for each in sampled], 0)
    np.testing.assert_allclose(squares, np.exp(2 * exact.norms), rtol=0.1)


def test_rows_of_different_length_count_from_their_own_end():
    net, x = drawn("gru")
    lengths = torch.tensor([9, 4, 6])
    told = gradients.reached(gradients.read(net, x, lengths))
    alone = [gradients.reached(gradients.read(net, x[i : i + 1, :n])).norms for i, n in enumerate(lengths)]
    assert told.norms[3] == pytest.approx(np.mean([each[3] for each in alone]), abs=1e-12)
    assert told.norms[5] == pytest.approx(np.mean([alone[0][5], alone[2][5]]), abs=1e-12)
    assert told.norms[8] == pytest.approx(alone[0][8], abs=1e-12)


def test_a_norm_too_small_for_a_float_has_a_logarithm():
    U = 1e-3 * torch.eye(4, dtype=torch.float64)
    told = gradients.reached(gradients.read(Linear(U), torch.zeros(1, 300, 3, dtype=torch.float64)))
    assert told.norms[299] == pytest.approx(299 * math.log(1e-3))
    assert len(gradients.reached(gradients.read(Linear(U), torch.zeros(1, 300, 3, dtype=torch.float64)), most=50).norms) == 50


def test_memory_is_the_distance_at_which_the_norm_is_below_1_over_e():
    assert gradients.memory(np.log(0.9) * np.arange(50)) == 10  # 0.9^9 is 0.387, 0.9^10 is 0.349
    assert gradients.memory(np.zeros(50)) is None
    assert math.isnan(gradients.slope(np.zeros(1)))


def test_parts_of_a_stack_read_what_they_read_inside_it():
    torch.manual_seed(5)
    stack = Recurrent("gru", 3, 5, num_layers=2, bidirectional=True)
    x, lengths = torch.randn(2, 7, 3), torch.tensor([7, 4])
    found = list(gradients.parts(stack, x, lengths))
    assert [part.name for part in found] == ["layer 1 forward", "layer 1 backward", "layer 2 forward", "layer 2 backward"]
    out, _ = stack(x, lengths=lengths)
    last, _ = cells.scan(found[2].cell, found[2].x, None, lengths)
    torch.testing.assert_close(last, out[..., :5])
    assert [part.name for part in gradients.parts(Recurrent("rnn", 3, 5), x)] == ["layer 1"]
