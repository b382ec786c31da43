"""The contract of every cell and of every way to run it over time.

The equations stand here a second time, in plain Python floats, one number after the other: that is the reference for
cells.py. Everything faster is then held to cells.py, forward and backward.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrolled import cells, doctor, recurrent
from unrolled.cells import CELLS
from unrolled.data.vocab import Codec
from unrolled.errors import UserError
from unrolled.kernels import (
    choice,
    compiled,
    jit,
    loops,
    matrices,
    measured,
    native,
    product,
    product_int8,
    smooth,
    stepping,
    threads,
    writing,
)
from unrolled.recurrent import Recurrent
from unrolled.tasks import language

IMPLEMENTATIONS = {  # of those, the ones a cell does not have fall back to the chosen one
    "scan": choice.scan,
    "chosen": None,
    "compiled": compiled.run,
    "native": native.run,
}
DEVICES = ("cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")))
LENGTHS = [4, 1, 3]  # ragged, unsorted, one row full and one of a single step

every_cell = pytest.mark.parametrize("name", CELLS)
every_way = pytest.mark.parametrize("way", IMPLEMENTATIONS)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make(name, inputs=2, hidden=3, bias=True, dtype=torch.float64):
    return CELLS[name](inputs, hidden, bias).to(dtype)


def state_of(cell, rows):
    """A state that no text has led to: not zeros, which would hide half of every equation."""
    return tuple(0.8 * torch.randn_like(s) for s in cells.start(cell, rows))


def run(way, cell, x, state, lengths=None, U=None):
    go = IMPLEMENTATIONS[way]
    if way == "chosen" or (way == "native" and type(cell) not in native.LAYERS):
        go = choice.choose(cell, x.device, x.dtype, x.shape[:2], lengths is not None).run
    return go(cell, cell.U if U is None else U, x, state, lengths)


def close(got, wanted, tolerance=1e-12):
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


# --- the equations, once more


def sigma(numbers):
    return [1 / (1 + math.exp(-a)) for a in numbers]


def tanh(numbers):
    return [math.tanh(a) for a in numbers]


class Letters:
    """W, U, b and d of one cell as lists of floats; gates are named in the order they are stacked."""

    def __init__(self, cell, order, flipped=None):
        H = cell.hidden_size
        self.rows = {gate: range(g * H, (g + 1) * H) for g, gate in enumerate(order)}
        self.W, self.U = cell.W.tolist(), cell.U.tolist()
        self.b = cell.b.tolist() if cell.b is not None else [0.0] * len(self.W)
        d = getattr(cell, "d", None)
        self.d = d.tolist() if d is not None else [0.0] * H
        self.flipped = flipped

    def sign(self, gate):
        return -1 if gate == self.flipped else 1

    def product(self, M, gate, v):
        return [self.sign(gate) * sum(m * a for m, a in zip(M[row], v, strict=True)) for row in self.rows[gate]]

    def Wx(self, gate, x):
        b = [self.sign(gate) * self.b[row] for row in self.rows[gate]]
        return [a + c for a, c in zip(self.product(self.W, gate, x), b, strict=True)]

    def Uh(self, gate, h):
        return self.product(self.U, gate, h)

    def both(self, gate, x, h):
        return [a + c for a, c in zip(self.Wx(gate, x), self.Uh(gate, h), strict=True)]


def rnn(p, x, h):
    return (tanh(p.both("h", x, h)),)


def gru(p, x, h):
    z, r = sigma(p.both("z", x, h)), sigma(p.both("r", x, h))
    candidate = tanh(p.both("h", x, [a * b for a, b in zip(r, h, strict=True)]))
    return ([(1 - z[j]) * h[j] + z[j] * candidate[j] for j in range(len(h))],)


def gru_after(p, x, h):
    r, z = sigma(p.both("r", x, h)), sigma(p.both("z", x, h))
    Wx, Uh = p.Wx("h", x), p.Uh("h", h)
    candidate = tanh([Wx[j] + r[j] * (Uh[j] + p.sign("h") * p.d[j]) for j in range(len(h))])
    return ([z[j] * h[j] + (1 - z[j]) * candidate[j] for j in range(len(h))],)


def lstm(p, x, h, c):
    i, f, o = sigma(p.both("i", x, h)), sigma(p.both("f", x, h)), sigma(p.both("o", x, h))
    candidate = tanh(p.both("c", x, h))
    c = [f[j] * c[j] + i[j] * candidate[j] for j in range(len(c))]
    return [o[j] * math.tanh(c[j]) for j in range(len(c))], c


REFERENCE = {"rnn": ("h", rnn), "gru": ("zrh", gru), "gru_after": ("rzh", gru_after), "lstm": ("ifco", lstm)}


def by_the_reference(name, cell, x, state, flipped=None):
    """One row at a time, one step at a time: hidden states (B, T, H) and last states."""
    order, update = REFERENCE[name]
    letters = Letters(cell, order, flipped)
    hidden, last = [], []
    for row, steps in enumerate(x.tolist()):
        now = tuple(s[row].tolist() for s in state)
        hidden.append([])
        for step in steps:
            now = update(letters, step, *now)
            hidden[-1].append(now[0])
        last.append(now)
    return torch.tensor(hidden, dtype=x.dtype), tuple(torch.tensor(s, dtype=x.dtype) for s in zip(*last, strict=True))


def test_every_cell_has_its_equations_written_out_here():
    assert set(REFERENCE) == set(CELLS)


@every_way
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", REFERENCE)
def test_a_cell_is_its_equations(name, bias, way):
    cell = make(name, bias=bias)
    x, state = 2 * torch.randn(2, 5, 2, dtype=torch.float64), state_of(cell, 2)
    close(run(way, cell, x, state), by_the_reference(name, cell, x, state))


@pytest.mark.parametrize(("name", "gate"), [(name, gate) for name, (order, _) in REFERENCE.items() for gate in order])
def test_the_sign_of_any_gate_matters(name, gate):
    cell = make(name)
    x, state = 2 * torch.randn(2, 5, 2, dtype=torch.float64), state_of(cell, 2)
    hidden, _ = cells.scan(cell, x, state)
    wrong, _ = by_the_reference(name, cell, x, state, flipped=gate)
    assert (hidden - wrong).abs().max() > 0.01


@every_cell
def test_one_step_is_the_first_of_the_reference(name):
    cell = make(name)
    x, state = torch.randn(3, 2, dtype=torch.float64), state_of(cell, 3)
    hidden, last = by_the_reference(name, cell, x.unsqueeze(1), state)
    close(cells.step(cell, x, state), (hidden[:, 0], last))


@every_cell
def test_weights_are_drawn_as_torch_draws_them(name):
    for parameter in make(name, 20, 25).parameters():
        assert 0.17 < parameter.abs().max() <= 0.2  # ±1/√25, and not far inside
        assert abs(parameter.mean()) < 0.1  # of both signs


@every_cell
def test_without_bias_a_cell_has_two_matrices_and_no_more(name):
    assert [key for key, _ in make(name, bias=False).named_parameters()] == ["W", "U"]


# --- running over time


@every_cell
def test_scan_is_repeated_step(name):
    cell = make(name)
    x, state = torch.randn(3, 6, 2, dtype=torch.float64), state_of(cell, 3)
    hidden, last = cells.scan(cell, x, state)
    for t in range(6):
        h, state = cells.step(cell, x[:, t], state)
        close(h, hidden[:, t])
    close(state, last)


@every_cell
def test_no_state_is_a_state_of_zeros(name):
    cell = make(name)
    x = torch.randn(2, 4, 2, dtype=torch.float64)
    zeros = tuple(torch.zeros(2, 3, dtype=torch.float64) for _ in range(cell.states))
    close(cells.start(cell, 2), zeros)
    close(cells.scan(cell, x), cells.scan(cell, x, zeros))


@every_way
@every_cell
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_row_is_itself_alone(name, way, lengths):
    cell = make(name)
    x, state = torch.randn(len(lengths), max(lengths), 2, dtype=torch.float64), state_of(cell, len(lengths))
    hidden, last = run(way, cell, x, state, torch.tensor(lengths))
    for i, length in enumerate(lengths):
        alone, end = by_the_reference(name, cell, x[i : i + 1, :length], tuple(s[i : i + 1] for s in state))
        close(hidden[i, :length], alone[0])
        assert not hidden[i, length:].any()
        close(tuple(s[i : i + 1] for s in last), end)


@every_way
@every_cell
def test_lengths_that_are_all_full_change_nothing(name, way):
    cell = make(name)
    x, state = torch.randn(3, 4, 2, dtype=torch.float64), state_of(cell, 3)
    close(run(way, cell, x, state, torch.tensor([4, 4, 4])), run(way, cell, x, state))


@pytest.mark.parametrize("junk", [7.0, 1e30, math.nan, math.inf])
@every_way
@every_cell
def test_padding_is_never_read(name, way, junk):
    cell, lengths = make(name), torch.tensor(LENGTHS)
    state = state_of(cell, 3)
    clean = torch.randn(3, 4, 2, dtype=torch.float64)
    padded = torch.arange(4) >= lengths.unsqueeze(1)
    clean[padded] = 0.0
    found = []
    for fill in (0.0, junk):
        x = clean.masked_fill(padded.unsqueeze(-1), fill).requires_grad_()
        hidden, last = run(way, cell, x, state, lengths)
        gradients = torch.autograd.grad(hidden.square().sum() + last[-1].sum(), [x, *cell.parameters()])
        assert not gradients[0][padded].any()
        found.append((hidden, last, gradients))
    close(found[1], found[0])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@pytest.mark.parametrize("bias", [True, False])
@every_way
@every_cell
def test_gradients_are_those_of_finite_differences(name, way, bias, lengths):
    cell = make(name, hidden=2, bias=bias)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    state = tuple(s.requires_grad_() for s in state_of(cell, 3))
    U = torch.randn_like(cell.U, requires_grad=True)  # not the cell's own: dropout hands over another
    others = [parameter for key, parameter in cell.named_parameters() if key != "U"]
    count = torch.tensor(lengths) if lengths else None

    def outputs(x, U, *rest):  # rest holds the state and the cell's own parameters, which are nudged in place
        hidden, last = run(way, cell, x, rest[: cell.states], count, U)
        return (hidden, *last)

    assert torch.autograd.gradcheck(outputs, (x, U, *state, *others))


@every_way
@every_cell
def test_a_replaced_recurrent_matrix_takes_the_place_of_the_cells_own(name, way):
    cell, other = make(name), make(name)
    x, state = torch.randn(3, 4, 2, dtype=torch.float64), state_of(cell, 3)
    replaced = run(way, cell, x, state, torch.tensor(LENGTHS), U=other.U)
    with torch.no_grad():
        cell.U.copy_(other.U)
    close(replaced, run("scan", cell, x, state, torch.tensor(LENGTHS)))


@st.composite
def shapes(draw):
    rows, steps = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    lengths = draw(st.none() | st.lists(st.integers(1, steps), min_size=rows, max_size=rows))
    return rows, steps, draw(st.integers(1, 5)), draw(st.sampled_from([1, 2, 7, 17])), lengths


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("device", DEVICES)
@every_cell
@given(shape=shapes(), bias=st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_kernel_is_scan_forward_and_backward(name, device, dtype, shape, bias):
    rows, steps, inputs, hidden, lengths = shape
    cell = make(name, inputs, hidden, bias, dtype).to(device)
    x = torch.randn(rows, steps, inputs, dtype=dtype, device=device, requires_grad=True)
    state = tuple(s.requires_grad_() for s in state_of(cell, rows))
    count = torch.tensor(lengths) if lengths else None  # on the CPU, whatever the device
    weights = [torch.randn(rows, steps, hidden, dtype=dtype, device=device), *(torch.randn_like(s) for s in state)]
    found = []
    for way in IMPLEMENTATIONS:
        out, last = run(way, cell, x, state, count)
        loss = sum((w * part).sum() for w, part in zip(weights, (out, *last), strict=True))
        gradients = torch.autograd.grad(loss, [x, *state, *cell.parameters()])
        with torch.no_grad():  # torch's layers take another path where nothing is to be differentiated
            found.append((out, last, gradients, run(way, cell, x, state, count)))
    close(found[1], found[0], 1e-4 if dtype == torch.float32 else 1e-10)


@every_cell
def test_a_kernel_is_scan_at_a_larger_size(name):
    cell = make(name, 40, 96, dtype=torch.float32)
    x, state = torch.randn(9, 30, 40), state_of(cell, 9)
    with torch.no_grad():
        close(run("chosen", cell, x, state), run("scan", cell, x, state), 1e-5)


@every_cell
def test_a_kernel_takes_tensors_that_do_not_lie_in_one_piece(name):
    cell = make(name, 4, 8, dtype=torch.float32)
    x, state = torch.randn(5, 3, 4).transpose(0, 1), tuple(s.T for s in torch.randn(cell.states, 8, 3))
    assert not x.is_contiguous() and not state[0].is_contiguous()
    close(run("chosen", cell, x, state), cells.scan(cell, x.contiguous(), tuple(s.contiguous() for s in state)), 1e-5)


@every_way
@every_cell
def test_in_bfloat16_a_cell_is_itself_but_for_rounding(name, way):
    cell = make(name, 4, 8, dtype=torch.float32)
    x, state, found = torch.randn(3, 5, 4, requires_grad=True), state_of(cell, 3), []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            hidden, last = run(way, cell, x, state)
            gradients = torch.autograd.grad(hidden.float().square().sum(), [x, cell.W, cell.U, cell.b])
        found.append([part.float() for part in (hidden, *last, *gradients)])
    for rounded, exact in zip(*found, strict=True):
        assert (rounded - exact).abs().max() < 0.03 * exact.abs().max()  # bfloat16 keeps 8 bits


# --- the compiled loops


@every_cell
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
def test_second_derivatives_are_right(name, lengths):
    cell = make(name, hidden=2)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    state = tuple(s.requires_grad_() for s in state_of(cell, 3))
    U, count = torch.randn_like(cell.U, requires_grad=True), torch.tensor(lengths) if lengths else None

    def outputs(x, U, *rest):
        hidden, last = run("compiled", cell, x, rest[: cell.states], count, U)
        return (hidden, *last)

    assert torch.autograd.gradgradcheck(outputs, (x, U, *state, cell.W, cell.b))


@every_cell
def test_gradients_to_be_differentiated_again_count_each_path_once(name):
    cell = make(name)
    x = torch.randn(3, 6, 2, dtype=torch.float64)
    first, state = run("compiled", cell, x[:, :3], state_of(cell, 3))  # the second half's state depends on the weights too
    second, _ = run("compiled", cell, x[:, 3:] + first.mean(), state)
    loss, weights = second.square().sum(), list(cell.parameters())
    plain = torch.autograd.grad(loss, weights, retain_graph=True)
    close(torch.autograd.grad(loss, weights, create_graph=True), plain)


@every_cell
def test_what_does_not_fit_is_refused_before_memory_is_read(name):
    cell = make(name, 4, 8, dtype=torch.float32)
    x, state = torch.randn(3, 5, 4), cells.start(cell, 3)
    for wrong in (tuple(s.double() for s in state), tuple(s[:2] for s in state), tuple(s[:, :4] for s in state)):
        with pytest.raises(UserError, match=r"`state 0` is \(.*; the input needs \(3, 8\), torch.float32 on cpu"):
            run("compiled", cell, x, wrong)
    for U in (cell.U.double(), cell.U[:, :4], cell.U[:4]):
        with pytest.raises(UserError, match="the input needs"):
            run("compiled", cell, x, state, U=U)


@every_cell
def test_running_spends_no_random_number(name):
    matrices._onednn_is_faster.cache_clear()
    cell = make(name, 4, 8, dtype=torch.float32)
    before = torch.get_rng_state()
    out, _ = run("compiled", cell, torch.ones(3, 5, 4, requires_grad=True), cells.start(cell, 3))
    out.sum().backward()
    choice.times_slower(cell, torch.device("cpu"), (3, 5))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_hooked_or_replaced_forward_is_not_passed_by():
    cell, device = make("gru"), torch.device("cpu")
    assert choice.choose(cell, device, torch.float64, (3, 4)).name == "compiled"
    handle = cell.register_forward_hook(lambda *_: None)
    assert choice.choose(cell, device, torch.float64, (3, 4)).name == "scan"
    handle.remove()
    cell.forward = lambda Wx, state: state
    assert choice.choose(cell, device, torch.float64, (3, 4)).name == "scan"
    assert choice.choose(make("gru").to("meta"), torch.device("meta"), torch.float64, (3, 4)).name == "scan"


def test_transforms_of_functions_go_through_scan():
    cell, x = make("gru"), torch.randn(3, 4, 2, dtype=torch.float64)

    def loss(x):
        return run("chosen", cell, x, cells.start(cell, 3))[0].square().sum()

    wanted = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(wanted), wanted)
    close(torch.func.grad(loss)(x), gradient)


def test_a_forked_process_does_its_shares_alone():
    done = []
    threads.in_shares(done.append, 3)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        threads.in_shares(done.append, 3)
        os.write(writer, bytes(sorted(done)))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == bytes([0, 0, 1, 1, 2, 2])


@every_cell
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_any_part_may_need_a_gradient(name, data):
    cell = make(name)
    inputs = [torch.randn(3, 4, 2, dtype=torch.float64), *state_of(cell, 3)]
    everything = [*inputs, *cell.parameters()]
    needed = data.draw(st.lists(st.sampled_from(range(len(everything))), min_size=1, unique=True))
    for i, value in enumerate(everything):
        value.requires_grad_(i in needed)
    found = []
    for way in ("scan", "compiled"):
        hidden, last = run(way, cell, inputs[0], tuple(inputs[1:]), torch.tensor(LENGTHS))
        loss = hidden.square().sum() + sum(s.sum() for s in last)
        found.append(torch.autograd.grad(loss, [everything[i] for i in needed]))
    close(found[1], found[0])


@every_cell
def test_a_second_pass_backward_gives_what_the_first_gave(name):
    cell, found = make(name, 5, 9), []
    x, state = torch.randn(3, 4, 5, dtype=torch.float64), state_of(cell, 3)
    hidden, last = run("compiled", cell, x, state, torch.tensor(LENGTHS))
    for _ in range(3):
        loss = hidden.square().sum() + last[-1].sum()
        found.append(torch.autograd.grad(loss, list(cell.parameters()), retain_graph=True))
    close(found[1], found[0])
    close(found[2], found[0])


@every_cell
def test_only_the_last_state_may_be_used(name):
    cell, found = make(name), []
    x, state = torch.randn(3, 4, 2, dtype=torch.float64), state_of(cell, 3)
    for way in ("scan", "compiled"):
        _, last = run(way, cell, x, state, torch.tensor(LENGTHS))
        found.append(torch.autograd.grad(last[-1].square().sum(), list(cell.parameters())))
    close(found[1], found[0])


@pytest.fixture
def threads_as_they_are():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@every_cell
@pytest.mark.parametrize("lengths", [None, [30, 1, 7, 22, 22, 9, 30, 2, 15, 4, 29]], ids=["full", "ragged"])
def test_a_batch_is_the_same_twice_and_at_any_number_of_threads(name, lengths, threads_as_they_are):
    cell = make(name, 40, 70, dtype=torch.float32)
    x, state = torch.randn(11, 30, 40, requires_grad=True), state_of(cell, 11)
    count, found = torch.tensor(lengths) if lengths else None, []
    for number in (1, 1, 2, 2, 3):
        torch.set_num_threads(number)
        hidden, last = run("compiled", cell, x, state, count)
        found.append((hidden, last, torch.autograd.grad(hidden.square().sum(), [x, *cell.parameters()])))
    close(found[1], found[0], 0)
    close(found[3], found[2], 0)
    close(found[2], found[0], 1e-4)
    close(found[4], found[0], 1e-4)


@every_cell
def test_nan_stays_in_its_row(name):
    cell = make(name, 4, 40, dtype=torch.float32)
    x, state = torch.randn(9, 5, 4), state_of(cell, 9)
    clean, _ = run("compiled", cell, x, state)
    x[3, 2, 0] = math.nan
    hidden, last = run("compiled", cell, x, state)
    assert hidden[3, 2:].isnan().all() and last[0][3].isnan().all()
    others = torch.ones(9, 5, dtype=torch.bool)
    others[3, 2:] = False
    close(hidden[others], clean[others], 1e-6)


@pytest.mark.parametrize("function", ["tanh", "sigmoid"])
def test_the_smooth_functions_are_near(function):
    x = np.concatenate([np.linspace(-20, 20, 100_001), np.geomspace(1e-30, 1, 1000), [0, np.inf, -np.inf]]).astype(np.float32)
    exact = {"tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a))}[function](x.astype(np.float64))
    cell = getattr(smooth, function)
    got = applied(numba.njit(lambda a: cell(a)), x)
    assert np.abs(got - exact).max() < 4e-7 and np.abs(got).max() <= 1
    assert np.isnan(applied(numba.njit(lambda a: cell(a)), np.array([np.nan], np.float32))).all()
    close(torch.from_numpy(applied(numba.njit(lambda a: cell(a)), x.astype(np.float64))), torch.from_numpy(exact))


def applied(function, x):
    return np.array([function(a) for a in x])


def test_errors_of_a_share_of_the_work_are_raised():
    def work(i):
        if i == 1:
            raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        threads.in_shares(work, 3)


@pytest.mark.parametrize("openmp", [True, False])
def test_every_share_is_done_once(openmp, monkeypatch):
    if not openmp:
        monkeypatch.setattr(threads, "openmp", lambda: None)
    done = []
    threads.in_shares(done.append, 7)
    assert sorted(done) == list(range(7))


def test_many_shares_take_no_more_threads_than_torch_does():
    who = []
    threads.in_shares(lambda i: (time.sleep(0.002), who.append(threading.get_native_id())), 200)
    assert len(who) == 200 and len(set(who)) <= torch.get_num_threads()


# --- choices kept on disk


@pytest.fixture
def choices(tmp_path, monkeypatch):
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    measured._known.cache_clear()
    yield tmp_path / "cache"
    measured._known.cache_clear()


def test_a_choice_is_measured_once_and_kept(choices):
    calls = []

    def slow():
        calls.append("slow")
        time.sleep(0.002)

    ways = {"slow": slow, "fast": lambda: calls.append("fast")}
    assert measured.faster("which", ways) == "fast"
    assert len(list(choices.iterdir())) == 1 and {"slow", "fast"} <= set(calls)
    calls.clear()
    assert measured.faster("which", ways) == "fast"
    measured._known.cache_clear()  # another process
    assert measured.faster("which", ways) == "fast" and not calls
    assert any("fast" in answer for answer in measured.answers().values())


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"which, 2 threads": "gone"}'])
def test_a_damaged_file_of_choices_is_measured_anew(choices, content):
    measured.faster("which", {"a": lambda: None, "b": lambda: time.sleep(0.001)})
    (path,) = choices.iterdir()
    path.write_text(content)
    measured._known.cache_clear()
    assert measured.faster("which", {"a": lambda: None, "b": lambda: time.sleep(0.001)}) == "a"


def test_where_nothing_can_be_kept_the_first_way_is_taken(choices):
    choices.write_text("a file where the folder would be")
    assert measured.faster("which", {"first": lambda: time.sleep(0.001), "second": lambda: None}) == "first"


# --- the same function as torch's, and the one that is not


def torchs_own(name, cell):
    """torch's layer with this cell's weights, put there by hand."""
    layer = {"rnn": nn.RNN, "gru_after": nn.GRU, "lstm": nn.LSTM}[name](2, 3, batch_first=True).double()
    with torch.no_grad():
        layer.weight_ih_l0.copy_(cell.W)
        layer.weight_hh_l0.copy_(cell.U)
        layer.bias_ih_l0.copy_(cell.b)
        layer.bias_hh_l0.zero_()
        if name == "gru_after":
            layer.bias_hh_l0[6:] = cell.d
    return layer


@every_way
@pytest.mark.parametrize("name", ["rnn", "gru_after", "lstm"])
def test_a_cell_that_torch_has_is_torchs(name, way):
    cell = make(name)
    layer = torchs_own(name, cell)
    x, state = torch.randn(3, 5, 2, dtype=torch.float64), state_of(cell, 3)
    lifted = tuple(s.unsqueeze(0) for s in state)
    hidden, last = layer(x, lifted if len(lifted) > 1 else lifted[0])
    last = last if isinstance(last, tuple) else (last,)
    close(run(way, cell, x, state), (hidden, tuple(s[0] for s in last)))


def both_grus(reset_open):
    """A lecture's GRU and a gru_after with its weights: gates in the other order, the other's z written as 1 - z."""
    before, after = make("gru"), make("gru_after")
    with torch.no_grad():
        if reset_open:  # r = 1 to within 1e-21
            before.W[3:6], before.U[3:6], before.b[3:6] = 0, 0, 50
        for mine, other in zip((before.W, before.U, before.b), (after.W, after.U, after.b), strict=True):
            z, r, h = mine.chunk(3)
            other.copy_(torch.cat([r, -z, h]))
        after.d.zero_()
    return before, after


def test_the_two_grus_part_at_the_second_step():
    before, after = both_grus(reset_open=False)
    x = 2 * torch.randn(3, 4, 2, dtype=torch.float64)
    difference = (cells.scan(before, x)[0] - cells.scan(after, x)[0]).abs()
    assert difference[:, 0].max() < 1e-15  # h_0 is zero: there is nothing to reset
    assert (difference[:, 1:].amax((0, 2)) > 1e-3).all()


def test_the_two_grus_are_one_while_nothing_is_reset():
    before, after = both_grus(reset_open=True)
    x = 2 * torch.randn(3, 4, 2, dtype=torch.float64)
    close(cells.scan(before, x), cells.scan(after, x))


# --- one step with few rows


@every_cell
@pytest.mark.parametrize("rows", [1, 2, 3, 13])  # each way a product takes its rows
@pytest.mark.parametrize(("inputs", "hidden", "bias"), [(2, 8, True), (2, 8, False), (40, 70, True)])
def test_a_compiled_step_is_the_cells(name, inputs, hidden, bias, rows):
    net = [make(name, inputs, hidden, bias, torch.float32), make(name, hidden, hidden, bias, torch.float32)]
    step = stepping.Stepper(net)
    mine, x = step.start(rows), torch.randn(20, rows, inputs)
    state = tuple(torch.zeros(rows, hidden) for _ in range(2 * net[0].states))
    for t in range(20):
        with torch.no_grad():
            below, first = cells.step(net[0], x[t], state[: net[0].states])
            wanted, second = cells.step(net[1], below, state[net[0].states :])
        state = first + second
        got = step(x[t : t + 1].numpy(), mine)
        assert got.dtype == np.float32
        close(torch.from_numpy(got[0]), wanted, 1e-5)
        close(torch.from_numpy(mine), torch.stack(state), 1e-5)


@every_cell
def test_many_compiled_steps_are_one_after_the_other(name):
    step = stepping.Stepper([make(name, 5, 9, dtype=torch.float32)])
    x, together, apart = np.random.default_rng(1).standard_normal((7, 2, 5), np.float32), step.start(2), step.start(2)
    out = step(x, together)
    assert (out == np.concatenate([step(x[t : t + 1], apart) for t in range(7)])).all()
    assert (together == apart).all()


@every_cell
def test_a_compiled_step_stands_saturated_gates(name):
    cell = make(name, 1, 2, dtype=torch.float32)
    with torch.no_grad():
        cell.W.copy_(torch.tensor([[1e5], [-1e5]]).repeat(cell.gates, 1))
        state = cells.start(cell, 2)
        for x in (1.0, -1.0, 1.0):
            _, state = cells.step(cell, torch.tensor([[x], [-x]]), state)
    step = stepping.Stepper([cell])
    mine = step.start(2)
    step(np.array([1, -1, -1, 1, 1, -1], np.float32).reshape(3, 2, 1), mine)
    close(torch.from_numpy(mine), torch.stack(state), 1e-5)


@every_cell
def test_eight_bits_are_near(name):
    net = [make(name, 16, 64, dtype=torch.float32), make(name, 64, 64, dtype=torch.float32)]
    x = np.random.default_rng(1).standard_normal((50, 1, 16), np.float32)
    whole, rounded = stepping.Stepper(net), stepping.Stepper(net, int8=True)
    difference = np.abs(whole(x, whole.start()) - rounded(x, rounded.start())).max()
    assert 0 < difference < 0.01


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize(("K", "N"), [(1, 1), (8, 40), (9, 70), (700, 33)])
def test_a_product_of_eight_bits_is_that_of_the_rounded_weights(K, N, scale):
    matrix, a = torch.randn(K, N), (scale * torch.randn(3, K)).numpy()
    panels, scales = product.pack(matrix, int8=True)
    rounded = (matrix / torch.from_numpy(scales)[:N]).round().double().numpy() * scales[:N]
    c = np.full((3, panels.shape[0] * panels.shape[2]), np.nan, np.float32)
    product_int8.product_int8(a, 2, panels, scales, c)
    wanted = a[:2].astype(np.float64) @ rounded
    assert np.abs(c[:2, :N] - wanted).max() <= 1e-4 * K * np.abs(a[:2]).max() * np.abs(rounded).max()
    assert np.isnan(c[2]).all()


def test_sums_of_eight_bits_stay_within_32():
    a, matrix = np.ones((1, 5000), np.float32), torch.ones(5000, 1)
    panels, scales = product.pack(matrix, int8=True)
    c = np.empty((1, panels.shape[0] * panels.shape[2]), np.float32)
    product_int8.product_int8(a, 1, panels, scales, c)
    assert abs(c[0, 0] - 5000) < 5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_product_of_eight_bits_does_not_hide_what_is_no_number(bad):
    panels, scales = product.pack(torch.randn(4, 3), int8=True)
    a, c = np.array([[1, bad, 0, 2], [0, 0, 0, 0]], np.float32), np.empty((2, panels.shape[2]), np.float32)
    product_int8.product_int8(a, 2, panels, scales, c)
    assert np.isnan(c[0]).all() and not c[1].any()


def test_eight_bits_reach_the_largest_weight_of_each_column():
    matrix = torch.randn(9, 40) * torch.logspace(-3, 3, 40)
    panels, scales = product.pack(matrix, int8=True)
    back = torch.from_numpy(panels * 1.0).permute(1, 3, 0, 2).reshape(10, -1)[:9] * torch.from_numpy(scales)  # 9 rows are padded
    assert panels.dtype == np.int8 and np.abs(panels).max() == 127
    assert ((back[:, :40] - matrix).abs() <= torch.from_numpy(scales)[:40] * 0.501).all()


# --- a cell of one's own


class Peephole(nn.Module):
    """An LSTM whose gates see the cell state, with the input gate tied to the forget gate: a cell no kernel knows."""

    gates, states = 3, 2

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__()
        cells.add_parameters(self, input_size, hidden_size, bias)
        self.p = nn.Parameter(torch.empty(hidden_size).uniform_(-0.5, 0.5))

    def forward(self, Wx, state):
        h, c = state
        f, candidate, o = (Wx + h @ self.U.T).chunk(3, dim=-1)
        f = torch.sigmoid(f + self.p * c)
        c = f * c + (1 - f) * torch.tanh(candidate)
        return torch.sigmoid(o + self.p * c) * torch.tanh(c), c


@pytest.fixture
def peephole(monkeypatch):
    monkeypatch.setitem(CELLS, "peephole", Peephole)


def test_a_cell_of_ones_own_runs_through_scan(peephole):
    cell = make("peephole")
    assert choice.choose(cell, torch.device("cpu"), torch.float64, (3, 4)).name == "scan"
    assert choice.choose_step(cell).run is None
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    state = tuple(s.requires_grad_() for s in state_of(cell, 3))

    def outputs(x, U, *rest):
        hidden, last = run("chosen", cell, x, rest[:2], torch.tensor(LENGTHS), U)
        return (hidden, *last)

    assert torch.autograd.gradcheck(outputs, (x, torch.randn_like(cell.U, requires_grad=True), *state, cell.p))


def test_a_subclass_with_another_equation_is_not_taken_for_its_parent():
    class Doubled(cells.LSTM):
        def forward(self, Wx, state):
            return super().forward(2 * Wx, state)

    cell = Doubled(2, 3).double()
    x, state = torch.randn(2, 3, 2, dtype=torch.float64), state_of(cell, 2)
    close(run("chosen", cell, x, state), cells.scan(cell, x, state))
    assert choice.choose_step(cell).run is None


def test_a_cell_of_ones_own_works_deep_both_ways_and_with_dropouts(peephole):
    net = Recurrent("peephole", 2, 3, num_layers=2, bidirectional=True, recurrent_dropout=0.5, weight_dropout=0.5).double()
    x, lengths = torch.randn(3, 4, 2, dtype=torch.float64), torch.tensor(LENGTHS)
    hidden, last = net.eval()(x, None, lengths)
    assert hidden.shape == (3, 4, 6) and len(last) == 8
    alone, _ = net(x[2:, :3])
    close(hidden[2:, :3], alone)
    dropped, _ = net.train()(x, None, lengths)
    assert (dropped - hidden).abs().max() > 1e-3
    dropped.sum().backward()
    assert all(cell.p.grad.abs().min() > 0 for cell in net.cells)


def test_a_cell_of_ones_own_is_named_by_doctor(peephole):
    said = dict(doctor.report())
    assert said["peephole training"].startswith("scan: ") and said["peephole stepping"].startswith("torch: ")
    assert said["lstm training"].startswith("torch: ") and said["lstm stepping"].startswith("compiled: ")


@pytest.mark.parametrize("name", [*CELLS, "peephole"])
def test_a_language_model_over_any_cell_writes_as_it_reads(name, peephole):
    config = language.Config(cell=name, hidden=8, embedding=4, layers=2, dropout=0.0, input_dropout=0.0, weight_dropout=0.0)
    codec = Codec("characters", "abcde")
    model = language.Model(config, codec).eval()
    ids = torch.randint(codec.size, (1, 6))
    batch = language.Batch(ids, ids, None, torch.ones(1, dtype=torch.bool))
    with torch.no_grad():
        read, _ = model(batch, None)
    step, state = language.stepper(model, None)
    for t in range(6):
        logits, state = step(ids[:, t].numpy(), state)
        close(torch.from_numpy(logits), read[:, t], 1e-5)


def test_that_a_cell_trains_through_scan_is_said_once(peephole, caplog):
    recurrent._tell.cache_clear()
    net = Recurrent("peephole", 2, 3)
    for _ in range(2):
        net(torch.randn(2, 4, 2))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["Peephole runs through scan(): no kernel is written for this equation; the loop over its forward runs"]
    Recurrent("gru", 2, 3)(torch.randn(2, 4, 2))
    assert len(caplog.records) == 1


def test_how_much_slower_a_cell_of_ones_own_is_is_measured_and_said(peephole):
    config = language.Config(
        cell="peephole", hidden=64, embedding=16, layers=1, batch=8, length=40, dropout=0.0, input_dropout=0.0
    )
    model = language.Model(config, Codec("characters", "abcde"))
    line = language._through(config, model)
    assert line.startswith("peephole runs through scan: no kernel is written for this equation")
    times = float(line.split("about ")[1].split(" times")[0])
    assert 1 < times < 100
    config = dataclasses.replace(config, cell="gru")
    line = language._through(config, language.Model(config, Codec("characters", "abcde")))
    assert line == "gru runs through compiled: loops over time compiled for this processor"


def test_compiled_loops_are_taken_from_disk_only_while_no_file_of_the_folder_has_changed():
    files = sorted((Path(choice.__file__).parent).glob("*.py"))
    assert len(files) > 10 and hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest() == jit.STAMP
    for function in (loops.gru_forward, stepping.run, writing._write, product.product_of_floats):
        assert function._cache._cache_file._source_stamp == jit.STAMP
