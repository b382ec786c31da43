"""The layer around a cell: deep, both ways, ragged, with carried state and dropouts, in torch.nn's shapes."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unrolled
from unrolled import cells
from unrolled.cells import CELLS
from unrolled.errors import UserError
from unrolled.recurrent import GRU, LSTM, RNN, Recurrent, drop, mask, reverse

every_cell = pytest.mark.parametrize("name", CELLS)
OURS = {"rnn": RNN, "gru_after": GRU, "lstm": LSTM}
TORCHS = {"rnn": nn.RNN, "gru_after": nn.GRU, "lstm": nn.LSTM}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def close(got, wanted, tolerance=1e-10):
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


def state_of(net, rows):
    return tuple(0.8 * torch.randn_like(s) for s in net.start(rows))


def refused(message):
    return pytest.raises(UserError, match=re.escape(message))


# --- depth, direction, raggedness, carried state


def row_by_hand(net, x, state):
    """One row (T, I) through the net's cells, layer by layer, each direction by itself: outputs (T, ·) and states."""
    size, last = net.cells[0].states, []
    for layer in range(0, len(net.cells), net.directions):
        outputs = []
        for direction in range(net.directions):
            index = layer + direction
            ahead = x if direction == 0 else torch.stack(list(x)[::-1])
            out, after = cells.scan(net.cells[index], ahead.unsqueeze(0), state[index * size : (index + 1) * size])
            outputs.append(out[0] if direction == 0 else torch.stack(list(out[0])[::-1]))
            last += after
        x = torch.cat(outputs, -1)
    return x, last


@every_cell
@given(
    lengths=st.none() | st.lists(st.integers(1, 5), min_size=3, max_size=3),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_a_net_is_its_cells_row_by_row(name, lengths, layers, bidirectional, bias):
    net = Recurrent(name, 2, 4, layers, bias, bidirectional=bidirectional).double()
    x, state = torch.randn(3, 5, 2, dtype=torch.float64), state_of(net, 3)
    out, last = net(x, state, torch.tensor(lengths) if lengths else None)
    assert out.shape == (3, 5, 8 if bidirectional else 4)
    for i, length in enumerate(lengths or [5, 5, 5]):
        wanted, end = row_by_hand(net, x[i, :length], tuple(s[i : i + 1] for s in state))
        close(out[i, :length], wanted)
        assert not out[i, length:].any()
        close([s[i : i + 1] for s in last], end)


@every_cell
def test_the_state_is_that_of_each_rows_own_last_step(name):
    net = Recurrent(name, 2, 4, num_layers=2, bidirectional=True)
    lengths = torch.tensor([2, 5, 1])
    out, last = net(torch.randn(3, 5, 2), None, lengths)
    forward, backward = last[2 * net.cells[0].states], last[3 * net.cells[0].states]  # h of the upper layer
    for i, length in enumerate(lengths):
        assert torch.equal(forward[i], out[i, length - 1, :4])
        assert torch.equal(backward[i], out[i, 0, 4:])  # the backward half ends at the beginning


@every_cell
def test_a_text_in_two_parts_is_one_pass(name):
    net = Recurrent(name, 2, 4, num_layers=2).double()
    x = torch.randn(3, 7, 2, dtype=torch.float64)
    whole, end = net(x)
    first, state = net(x[:, :3])
    second, state = net(x[:, 3:], state)
    close(torch.cat([first, second], 1), whole)
    close(state, end)


@every_cell
def test_ragged_parts_carry_each_rows_state(name):
    net = Recurrent(name, 2, 4, num_layers=2).double()
    x = torch.randn(2, 6, 2, dtype=torch.float64)
    _, state = net(x[:, :3], None, torch.tensor([3, 1]))  # the second row's part is one step long
    rest = torch.stack([x[0, 3:], x[1, 1:4]])
    _, state = net(rest, state)
    close([s[:1] for s in state], list(net(x[:1])[1]))
    close([s[1:] for s in state], list(net(x[1:, :4])[1]))


@every_cell
def test_step_by_step_is_one_pass(name):
    net = Recurrent(name, 2, 4, num_layers=3).double()
    x, state = torch.randn(3, 5, 2, dtype=torch.float64), state_of(net, 3)
    out, end = net(x, state)
    for t in range(5):
        h, state = net.step(x[:, t], state)
        close(h, out[:, t])
    close(state, end)


@every_cell
def test_no_state_is_a_state_of_zeros(name):
    net = Recurrent(name, 2, 4, num_layers=2, bidirectional=True)
    x = torch.randn(3, 5, 2)
    assert len(net.start(3)) == 4 * net.cells[0].states and not torch.cat(net.start(3)).any()
    close(net(x), net(x, net.start(3)))


@every_cell
def test_padding_of_a_deep_net_gets_no_gradient_and_is_never_read(name):
    net = Recurrent(name, 2, 4, num_layers=2, bidirectional=True)
    lengths = torch.tensor([2, 4, 1])
    padded = torch.arange(4) >= lengths.unsqueeze(1)
    x = torch.randn(3, 4, 2)
    found = []
    for fill in (0.0, float("nan")):
        filled = x.masked_fill(padded.unsqueeze(-1), fill).requires_grad_()
        out, _ = net(filled, None, lengths)
        gradients = torch.autograd.grad(out.square().sum(), [filled, *net.parameters()])
        assert not gradients[0][padded].any()
        found.append((out, gradients))
    close(found[1], found[0], 1e-6)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_reverse_turns_each_row_within_its_own_length(lengths):
    x = torch.arange(len(lengths) * 6).view(-1, 6, 1)
    turned = reverse(x, torch.tensor(lengths))
    for row, length, got in zip(x.squeeze(-1).tolist(), lengths, turned.squeeze(-1).tolist(), strict=True):
        assert got == row[:length][::-1] + row[length:]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
@every_cell
def test_lengths_of_any_whole_type_will_do(name, dtype):
    net = Recurrent(name, 2, 4, bidirectional=True)
    x = torch.randn(3, 5, 2)
    close(net(x, None, torch.tensor([5, 1, 3], dtype=dtype)), net(x, None, torch.tensor([5, 1, 3])))


# --- torch.nn's own layers


def pair(kind, **options):
    """One of our layers with the weights of one of torch's."""
    theirs = TORCHS[kind](3, 8, **options)
    extra = {"reset_after": True} if kind == "gru_after" else {}
    return OURS[kind](3, 8, **options, **extra).copy_from(theirs), theirs


def hx_of(kind, *shape):
    return (torch.randn(shape), torch.randn(shape)) if kind == "lstm" else torch.randn(shape)


@pytest.mark.parametrize("given_state", [False, True], ids=["zeros", "hx"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "both-ways"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "plain"])
@pytest.mark.parametrize("layout", ["time-first", "batch-first", "unbatched"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", OURS)
def test_a_layer_with_torchs_weights_is_torchs(kind, layers, layout, bias, bidirectional, given_state):
    options = {"num_layers": layers, "bias": bias, "bidirectional": bidirectional, "batch_first": layout == "batch-first"}
    ours, theirs = pair(kind, **options)
    depth = layers * (2 if bidirectional else 1)
    x = torch.randn((6, 3) if layout == "unbatched" else (6, 4, 3)).requires_grad_()
    rows = () if layout == "unbatched" else (6,) if layout == "batch-first" else (4,)
    arguments = (x, hx_of(kind, depth, *rows, 8)) if given_state else (x,)
    found = []
    for layer in (ours, theirs):
        out, last = layer(*arguments)
        (gradient,) = torch.autograd.grad(out.square().sum(), x)
        found.append((out, last, gradient))
    close(found[0][:2], found[1][:2], 1e-6)
    close(found[0][2], found[1][2], 1e-5)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", OURS)
def test_lengths_do_what_torchs_packed_sequences_do(kind, bidirectional, batch_first):
    ours, theirs = pair(kind, num_layers=2, bidirectional=bidirectional, batch_first=batch_first)
    lengths = torch.tensor([2, 6, 1, 4])
    x = torch.randn((4, 6, 3) if batch_first else (6, 4, 3))
    hx = hx_of(kind, 4 if bidirectional else 2, 4, 8)
    packed, last = theirs(pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False), hx)
    out, _ = pad_packed_sequence(packed, batch_first)
    close(ours(x, hx, lengths), (out, last), 1e-6)


def test_a_copied_layer_is_a_copy():
    ours, theirs = pair("lstm")
    before = ours.recurrent.cells[0].W.clone()
    with torch.no_grad():
        theirs.weight_ih_l0.zero_()
    assert torch.equal(ours.recurrent.cells[0].W, before)


def test_the_public_names_are_these_layers_with_the_lectures_gru():
    assert (unrolled.RNN, unrolled.GRU, unrolled.LSTM) == (RNN, GRU, LSTM)
    kinds = {"rnn": RNN(3, 8), "gru": GRU(3, 8), "gru_after": GRU(3, 8, reset_after=True), "lstm": LSTM(3, 8)}
    assert {name: type(layer.recurrent.cells[0]) for name, layer in kinds.items()} == CELLS


@pytest.mark.parametrize("make", [RNN, GRU, LSTM])
def test_every_argument_of_a_layer_arrives(make):
    dropouts = {"dropout": 0.1, "variational": True, "recurrent_dropout": 0.2, "weight_dropout": 0.3}
    layer = make(3, 8, 2, bias=False, bidirectional=True, **dropouts)
    net = layer.recurrent
    assert {key: getattr(net, key) for key in dropouts} == dropouts
    assert len(net.cells) == 4 and net.directions == 2 and net.cells[0].b is None
    assert not layer.batch_first and make(3, 8, batch_first=True).batch_first


def test_a_layer_goes_into_a_file_and_comes_back(tmp_path):
    layer, other = LSTM(3, 8, 2, bidirectional=True), LSTM(3, 8, 2, bidirectional=True)
    torch.save(layer.state_dict(), tmp_path / "layer")
    other.load_state_dict(torch.load(tmp_path / "layer", weights_only=True))
    x = torch.randn(5, 2, 3)
    close(other(x), layer(x))


# --- dropouts


def test_ordinary_dropout_draws_every_entry_anew():
    dropped = drop(torch.ones(8, 50, 20), 0.25, True, variational=False)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert abs(dropped.mean() - 1) < 0.05
    assert not (dropped == dropped[:, :1]).all(1).any()  # no row and unit keeps one fate for 50 steps


def test_a_variational_mask_is_one_for_all_steps_of_a_row():
    dropped = drop(torch.ones(8, 50, 20), 0.25, True, variational=True)
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert abs(dropped.mean() - 1) < 0.1
    assert (dropped == dropped[:, :1]).all()
    assert len(dropped[:, 0].unique(dim=0)) == 8  # each row has its own


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_is_off_when_not_training(variational):
    x = torch.randn(4, 5, 6)
    assert torch.equal(drop(x, 0.5, False, variational), x)
    assert torch.equal(drop(x, 0.0, True, variational), x)


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_lies_between_the_layers_and_nowhere_else(variational):
    net = Recurrent("rnn", 3, 8, num_layers=2, dropout=0.5, variational=variational).double()
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    lower = Recurrent("rnn", 3, 8).double()
    with torch.no_grad():
        lower.cells[0].load_state_dict(net.cells[0].state_dict())
        net.cells[1].W.copy_(0.2 * torch.eye(8, dtype=torch.float64))  # the upper layer shows 0.2 times its input, under a tanh
        net.cells[1].U.zero_()
        net.cells[1].b.zero_()
        mask = torch.atanh(net.train()(x)[0]) / 0.2 / lower(x)[0]
        close(net.eval()(x)[0], torch.tanh(0.2 * lower(x)[0]))
    assert ((mask.abs() < 1e-6) | ((mask - 2).abs() < 1e-6)).all()
    constant = ((mask - mask[:, :1]).abs() < 1e-6).all()
    assert constant == variational


def recurrent_matrix(net, x):
    """The U behind each step after the second, got back from an RNN's own hidden states; (T - 2, H, H)."""
    cell, found = net.cells[0], []
    with torch.no_grad():
        out, _ = net(x)
        for t in range(2, x.shape[1]):
            own = torch.atanh(out[:, t]) - x[:, t] @ cell.W.T - cell.b  # = h_{t-1} U^T
            found.append(torch.linalg.lstsq(out[:, t - 1], own).solution.T)
    return torch.stack(found)


@pytest.mark.parametrize("kind", ["recurrent_dropout", "weight_dropout"])
def test_recurrent_and_weight_dropout_are_the_same_at_every_step(kind):
    net = Recurrent("rnn", 3, 8, **{kind: 0.5}).double()
    x = torch.randn(40, 6, 3, dtype=torch.float64)
    U = recurrent_matrix(net, x)
    close(U, U[:1].expand_as(U), 1e-6)
    factor = U[0] / net.cells[0].U
    kept, gone = (factor - 2).abs() < 1e-5, factor.abs() < 1e-5  # a kept weight counts double, so that the mean stays
    assert (kept | gone).all() and kept.any() and gone.any()
    whole_units = (gone == gone[:1]).all()  # a column of U is what one unit says to all others
    assert whole_units == (kind == "recurrent_dropout")
    assert (recurrent_matrix(net, x)[0] - U[0]).abs().max() > 0.1  # the next batch has another mask


@pytest.mark.parametrize("kind", ["recurrent_dropout", "weight_dropout"])
@every_cell
def test_a_net_that_drops_every_recurrent_weight_is_one_without(name, kind):
    net = Recurrent(name, 3, 8, num_layers=2, bidirectional=True, **{kind: 1.0})
    x, state, lengths = torch.randn(4, 6, 3), state_of(net, 4), torch.tensor([6, 2, 1, 5])
    dropped = net.train()(x, state, lengths)
    with torch.no_grad():
        for cell in net.cells:
            cell.U.zero_()
    close(dropped, net.eval()(x, state, lengths), 1e-6)


@every_cell
def test_dropouts_are_off_in_evaluation_and_leave_the_weights_alone(name):
    plain = Recurrent(name, 3, 8, num_layers=2)
    net = Recurrent(name, 3, 8, num_layers=2, dropout=0.5, variational=True, recurrent_dropout=0.5, weight_dropout=0.5)
    net.load_state_dict(plain.state_dict())
    x = torch.randn(4, 6, 3)
    close(net.eval()(x), plain(x), 1e-6)
    first, second = net.train()(x)[0], net(x)[0]
    assert (first - second).abs().max() > 0.01
    close(net.eval()(x), plain(x), 1e-6)


@every_cell
def test_gradients_flow_through_the_recurrent_dropouts(name):
    net = Recurrent(name, 3, 8, recurrent_dropout=0.5, weight_dropout=0.5)
    net(torch.randn(4, 6, 3))[0].square().sum().backward()
    rows = net.cells[0].U.grad.abs().sum(0)
    assert (rows == 0).any() and (rows > 0).any()  # none to the units that are silent, some to the others


# --- what is refused


def test_an_unknown_cell_is_refused_with_the_closest_name():
    with refused("`cell` got `lsmt`; allowed are rnn, gru, gru_after, lstm") as caught:
        Recurrent("lsmt", 3, 8)
    assert caught.value.fix == "did you mean `lstm`?"


@pytest.mark.parametrize("sizes", [(0, 8, 1), (3, 0, 1), (3, 8, 0), (3, -2, 1)])
def test_a_size_below_one_is_refused(sizes):
    with refused(f"sizes got input {sizes[0]}, hidden {sizes[1]}, layers {sizes[2]}; each is at least 1"):
        Recurrent("rnn", *sizes)


def test_a_net_that_reads_both_ways_has_no_step():
    net = Recurrent("rnn", 3, 8, bidirectional=True)
    with refused("a bidirectional net cannot go step by step: its backward half starts at the end"):
        net.step(torch.randn(2, 3), net.start(2))


@pytest.mark.parametrize(("lengths", "row"), [([3, 0, 2], 1), ([3, 2, -1], 2), ([6, 5, 5], 0)])
@every_cell
def test_a_row_of_no_steps_or_too_many_is_refused_by_its_number(name, lengths, row):
    net = Recurrent(name, 3, 8)
    with refused(f"`lengths` has {lengths[row]} at row {row}; allowed is from 1 to 5"):
        net(torch.randn(3, 5, 3), None, torch.tensor(lengths))


@pytest.mark.parametrize("lengths", [[1, 2], [1, 2, 3, 4], [[1], [2], [3]], [1.0, 2.0, 3.0]])
def test_lengths_that_are_not_one_whole_number_a_row_are_refused(lengths):
    lengths = torch.tensor(lengths)
    wanted = f"`lengths` got shape {tuple(lengths.shape)}, {lengths.dtype}; needed are 3 whole numbers"
    with refused(wanted):
        Recurrent("rnn", 3, 8)(torch.randn(3, 5, 3), None, lengths)


def test_a_mask_in_place_of_lengths_is_refused():
    with refused("`lengths` got shape (3,), torch.bool; needed are 3 whole numbers"):
        Recurrent("rnn", 3, 8)(torch.randn(3, 5, 3), None, torch.tensor([True, True, True]))


@pytest.mark.parametrize(("name", "given", "needed"), [("rnn", 1, 2), ("lstm", 2, 4), ("gru", 3, 2)])
def test_a_state_of_another_net_is_refused(name, given, needed):
    net, state = Recurrent(name, 3, 8, num_layers=2), tuple(torch.zeros(2, 8) for _ in range(given))
    message = f"`state` has {given} tensors; this net has {needed}"
    with refused(message):
        net(torch.randn(2, 5, 3), state)
    with refused(message):
        net.step(torch.randn(2, 3), state)


# --- shapes: torch's kernels do not look at them, and read from beyond the end of a tensor


@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 5, 1), (2, 0, 3), (5, 3), (3,)])
@every_cell
def test_an_input_of_the_wrong_shape_is_refused(name, shape):
    with refused(f"`input` has shape {shape}; needed is (batch, steps, 3)"):
        Recurrent(name, 3, 8)(torch.randn(shape))


@every_cell
def test_a_step_with_an_input_of_the_wrong_shape_is_refused(name):
    net = Recurrent(name, 3, 8)
    with refused("`input` has shape (2, 4); needed is (batch, 3)"):
        net.step(torch.randn(2, 4), net.start(2))


@pytest.mark.parametrize("shape", [(1, 8), (7, 8), (2, 7), (2, 1), (8,), (1, 2, 8)])
@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 2])], ids=["full", "ragged"])
@every_cell
def test_a_state_of_the_wrong_shape_is_refused(name, lengths, shape):
    net = Recurrent(name, 3, 8)
    state = tuple(torch.zeros(shape) for _ in range(net.cells[0].states))
    with refused(f"`state` has shape {shape}; needed is (2, 8)"):
        net(torch.randn(2, 5, 3), state, lengths)


@pytest.mark.parametrize("wrong", range(4))
def test_every_tensor_of_a_state_is_looked_at(wrong):
    net = Recurrent("lstm", 3, 8, num_layers=2)
    state = [torch.zeros(7 if i == wrong else 2, 8) for i in range(4)]
    with refused("`state` has shape (7, 8); needed is (2, 8)"):
        net(torch.randn(2, 5, 3), tuple(state))


@pytest.mark.parametrize("make", [RNN, GRU, LSTM])
@pytest.mark.parametrize("depth", [1, 3, 4])
def test_hx_of_another_depth_is_refused(make, depth):
    layer = make(3, 8, num_layers=2)
    hx = torch.zeros(depth, 4, 8)
    with refused(f"`hx` has {depth} layers and directions; this net has 2"):
        layer(torch.randn(5, 4, 3), (hx, hx) if make is LSTM else hx)


def test_an_lstm_wants_both_its_states():
    with refused("`state` has 1 tensors; this net has 2"):
        LSTM(3, 8)(torch.randn(5, 4, 3), torch.zeros(1, 4, 8))


# --- weights that do not fit


def test_torchs_gru_does_not_fit_the_lectures_and_says_what_would():
    with refused("weights of a torch.nn.GRU do not fit this cell") as caught:
        GRU(3, 8).copy_from(nn.GRU(3, 8))
    assert caught.value.fix == "torch.nn.GRU's equation is `GRU(…, reset_after=True)`"


@pytest.mark.parametrize(("ours", "theirs"), [(RNN, nn.LSTM), (LSTM, nn.RNN), (LSTM, nn.GRU), (GRU, nn.LSTM)])
def test_weights_of_another_cell_are_refused(ours, theirs):
    with refused(f"weights of a torch.nn.{theirs.__name__} do not fit this cell"):
        ours(3, 8).copy_from(theirs(3, 8))


@pytest.mark.parametrize(
    ("ours", "theirs", "option"), [(RNN, nn.RNN, {"nonlinearity": "relu"}), (LSTM, nn.LSTM, {"proj_size": 2})]
)
def test_another_equation_is_refused(ours, theirs, option):
    with refused("a torch.nn layer with `proj_size` or `relu` computes another equation; its weights do not fit"):
        ours(3, 8).copy_from(theirs(3, 8, **option))


@pytest.mark.parametrize("layers", [1, 3])
def test_weights_of_another_depth_are_refused(layers):
    with refused(f"weights of {layers} layers and directions do not fit a net of 2"):
        RNN(3, 8, num_layers=2).copy_from(nn.RNN(3, 8, layers))


@pytest.mark.parametrize("theirs", [{"input_size": 4, "hidden_size": 8}, {"input_size": 3, "hidden_size": 7}])
def test_weights_of_other_sizes_are_refused(theirs):
    other = nn.LSTM(**theirs)
    with refused(f"weights of sizes {(tuple(other.weight_ih_l0.shape), tuple(other.weight_hh_l0.shape))} do not fit"):
        LSTM(3, 8).copy_from(other)


@pytest.mark.parametrize("bias", [True, False])
def test_biases_without_a_place_or_missing_are_refused(bias):
    with refused(f"`bias` is {bias} here and {not bias} in the other layer"):
        LSTM(3, 8, bias=bias).copy_from(nn.LSTM(3, 8, bias=not bias))


def test_a_refused_copy_changes_nothing():
    layer = RNN(3, 8, num_layers=2)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    with refused("do not fit"):
        layer.copy_from(nn.RNN(3, 8, 2, bidirectional=True))  # four layers and directions, the first of which fits
    assert all(torch.equal(layer.state_dict()[key], value) for key, value in before.items())


# --- streaming


@pytest.mark.parametrize("cell", CELLS)
def test_a_stepper_is_the_net_step_by_step(cell):
    net = Recurrent(cell, 3, 5, num_layers=2)
    x = torch.randn(2, 6, 3)
    step, found = net.stepper(), []
    state = step.start(rows=2)
    for t in range(6):
        found.append(step(x[:, t].unsqueeze(0).numpy(), state)[0])
    with torch.no_grad():
        out, last = net(x)
    torch.testing.assert_close(torch.from_numpy(np.stack(found, 1)), out, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(state), torch.stack(last), rtol=1e-5, atol=1e-5)


def test_what_cannot_stream_says_so(monkeypatch):
    with pytest.raises(UserError, match="bidirectional net cannot go step by step"):
        Recurrent("gru", 3, 5, bidirectional=True).stepper()

    class Mine(CELLS["gru"]):
        pass

    monkeypatch.setitem(CELLS, "mine", Mine)
    with pytest.raises(UserError, match="no compiled step is written for this cell; `step` takes one through torch"):
        Recurrent("mine", 3, 5).stepper()


@pytest.mark.parametrize(
    ("x", "state", "said"),
    [
        (
            np.zeros((1, 1, 4), np.float32),
            np.zeros((1, 1, 5), np.float32),
            r"`x` has shape \(1, 1, 4\); needed is \(steps, rows, 3\)",
        ),
        (np.zeros((1, 0, 3), np.float32), np.zeros((1, 0, 5), np.float32), r"`x` has shape \(1, 0, 3\); needed is"),
        (
            np.zeros((1, 1, 3), complex),
            np.zeros((1, 1, 5), np.float32),
            "`x` is of complex numbers; needed are real ones",
        ),
        (
            np.zeros((1, 1, 3)),
            torch.zeros(1, 1, 5),
            r"`state` is of Tensor; needed is an array like start\(\)'s",
        ),
        (np.zeros((1, 3), np.float32), np.zeros((1, 1, 5), np.float32), r"`x` has shape \(1, 3\); needed is"),
        (np.zeros((1, 1, 3), np.float32), np.zeros((1, 1, 5)), r"`state` is of float64; needed is an array like start\(\)'s"),
        (np.zeros((1, 2, 3), np.float32), np.zeros((1, 1, 5), np.float32), r"`state` has shape \(1, 1, 5\); needed is"),
        (np.zeros((1, 1, 3), np.float32), np.zeros((2, 1, 5), np.float32), r"`state` has shape \(2, 1, 5\); needed is"),
    ],
)
def test_a_stepper_refuses_what_it_would_read_past(x, state, said):
    with pytest.raises(UserError, match=said):
        Recurrent("gru", 3, 5).stepper()(x, state)


def test_a_stepper_takes_arrays_that_do_not_lie_in_one_piece():
    step = Recurrent("gru", 3, 5).stepper()
    x = np.random.default_rng(1).standard_normal((4, 2, 6), np.float32)[:, :, ::2]
    assert (step(x, step.start(2)) == step(x.copy(), step.start(2))).all()


def test_a_stepper_keeps_the_weights_it_was_made_of():
    net = Recurrent("gru", 1, 32)  # one input: a matrix of one row lies packed already
    step, x = net.stepper(), np.ones((1, 1, 1), np.float32)
    before = step(x, step.start())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    assert (step(x, step.start()) == before).all()


def test_a_stepper_reads_what_may_not_be_written():
    step = Recurrent("gru", 3, 5).stepper()
    x = np.frombuffer(np.arange(6, dtype=np.float32).tobytes(), np.float32).reshape(2, 1, 3)
    assert not x.flags.writeable and (step(x, step.start()) == step(x.copy(), step.start())).all()


def test_states_and_inputs_of_another_kind_are_refused():
    layer = unrolled.GRU(3, 5, batch_first=True)
    with pytest.raises(UserError, match=r"is of torch.int64; needed are real numbers"):
        layer(torch.randn(2, 4, 3), torch.zeros(1, 2, 5, dtype=torch.long))
    with pytest.raises(UserError, match=r"`state 0` is .*the input needs"):
        layer(torch.randn(2, 4, 3), torch.zeros(1, 2, 5, dtype=torch.float64))
    packed = pack_padded_sequence(torch.randn(2, 4, 3), torch.tensor([4, 2]), batch_first=True)
    with pytest.raises(UserError, match=r"packed sequences are not needed here\n.*give the padded tensor, and `lengths`"):
        layer(packed)


# --- dropout


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.95])
def test_dropout_keeps_the_mean_and_drops_as_often_as_asked(probability):
    torch.manual_seed(1)
    x = torch.ones(50, 40, 33)
    y = drop(x, probability, training=True, variational=False)
    dropped = float((y == 0).float().mean())
    assert dropped == pytest.approx(probability, abs=5 * math.sqrt(probability * (1 - probability) / x.numel()))
    assert y[y != 0].unique().tolist() == pytest.approx([1 / (1 - probability)], rel=1e-3)
    beside = ((y[..., 1:] == 0) & (y[..., :-1] == 0)).float().mean()
    assert float(beside) == pytest.approx(probability**2, abs=0.01)  # neighbours come from one random number


def test_dropout_is_one_mask_for_all_steps_where_asked_and_nothing_otherwise():
    torch.manual_seed(2)
    x = torch.randn(6, 9, 20)
    y = drop(x, 0.5, training=True, variational=True)
    kept = y != 0
    assert torch.equal(kept, kept[:, :1].expand_as(kept)) and not torch.equal(kept[0], kept[1])
    assert drop(x, 0.5, training=False, variational=True) is x and drop(x, 0.0, training=True, variational=False) is x
    torch.manual_seed(3)
    first = mask(x, 0.3)
    torch.manual_seed(3)
    assert torch.equal(first, mask(x, 0.3)) and not torch.equal(first, mask(x, 0.3))


def test_the_gradient_goes_where_the_value_went():
    torch.manual_seed(4)
    x = torch.randn(3, 5, 7, requires_grad=True)
    y = drop(x, 0.4, training=True, variational=False)
    y.sum().backward()
    assert torch.allclose(x.grad * x, y)
