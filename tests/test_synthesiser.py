"""Nets that write sound in compiled code: the numbers of torch, the same bits however cut, samples of the right distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrolled import UserError, logistics
from unrolled.cells import CELLS
from unrolled.dilated import WaveNet
from unrolled.kernels import sampling
from unrolled.recurrent import Recurrent
from unrolled.synthesiser import of_layers, of_wavenet

KINDS = ("wavenet", "wavenet of three", "wavenet of reals", "gru", "lstm of reals")


class Samples(nn.Module):
    """Recurrent layers over samples in torch."""

    def __init__(self, cell="gru", levels=20, channels=0, layers=1, every=False):
        super().__init__()
        self.levels, self.every = levels, every
        self.first = nn.Embedding(levels, 6) if levels else nn.Linear(1, 6)
        self.recurrent = Recurrent(cell, 6 + channels, 10, layers)
        self.last = nn.Linear(10, levels or 6)

    def forward(self, x, condition=None):
        vectors = self.first(x) if self.levels else self.first(x.unsqueeze(-1))
        if condition is not None:
            vectors = torch.cat([vectors, condition.expand(*x.shape, -1)], -1)
        return self.last(self.recurrent(vectors)[0])


def model(kind, channels=0):
    torch.manual_seed(0)
    if kind.startswith("wavenet"):
        levels, kernel = 0 if "reals" in kind else 20, 3 if "three" in kind else 2
        return WaveNet(levels, levels or 6, 8, 12, [1, 2, 4, 8] * 2, kernel, channels)
    return Samples(kind.split()[0], 0 if "reals" in kind else 20, channels, 2 if "lstm" in kind else 1)


def synthesiser(net, precision="float32"):
    if isinstance(net, WaveNet):
        return of_wavenet(net, precision)
    return of_layers(net.first, net.recurrent.cells, net.last, precision)


def sound(net, streams=3, n=48):
    generator = np.random.default_rng(1)
    if net.levels:
        return generator.integers(net.levels, size=(streams, n))
    return generator.uniform(-1, 1, (streams, n)).astype(np.float32)


def random(net, streams, n, seed=2):
    return np.random.default_rng(seed).random((streams, n) if net.levels else (streams, n, 2))


def whole(net, x, condition=None):
    with torch.no_grad():
        return net(torch.from_numpy(x), None if condition is None else torch.from_numpy(condition)).numpy()


# --- known samples


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("conditions", [0, 1, 48])
def test_outputs_are_torchs(kind, conditions):
    net = model(kind, 5 if conditions else 0)
    x, condition = sound(net), None
    if conditions:
        condition = np.random.default_rng(3).normal(size=(3, conditions, 5)).astype(np.float32)
        condition[:, 12:33] = condition[:, :1]  # the same for some samples, as frames of a guide are
    mine = synthesiser(net)
    out = mine.force(x, mine.start(3), condition)
    assert np.abs(out - whole(net, x, condition)).max() < 1e-5 and out.std() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_8_bits_cost_little(kind):
    net, x = model(kind), sound(model(kind))
    mine = synthesiser(net, "int8")
    difference = np.abs(mine.force(x, mine.start(3)) - whole(net, x))
    assert 1e-7 < difference.max() < 0.02 * whole(net, x).std() + 0.005


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("streams", [1, 3, 4, 17, 34])  # more than are taken together, and what is left over
def test_any_number_of_streams(precision, streams):
    net = model("wavenet")
    mine, x = synthesiser(net, precision), sound(net, streams, 30)
    out = mine.force(x, mine.start(streams))
    assert np.abs(out - whole(net, x)).max() < (1e-5 if precision == "float32" else 0.02)
    alone = [mine.force(x[s : s + 1], mine.start(1))[0] for s in range(streams)]
    assert np.array_equal(out, np.stack(alone))


# --- pieces and neighbours


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=10)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5))
def test_how_samples_are_cut_into_calls_changes_no_bit(kind, precision, sizes):
    net = model(kind, 2)
    mine, x = synthesiser(net, precision), sound(net, 2, sum(sizes))
    condition = np.random.default_rng(3).normal(size=(2, sum(sizes), 2)).astype(np.float32)
    uniforms, n = random(net, 2, sum(sizes)), 0
    heard, wrote = mine.start(2), mine.start(2)
    forced, written = [], []
    for size in sizes:
        piece = slice(n, n + size)
        forced.append(mine.force(x[:, piece], heard, condition[:, piece]))
        if size:
            written.append(mine(size, wrote, uniforms[:, piece], condition=condition[:, piece]))
        n += size
    assert np.array_equal(np.concatenate(forced, 1), mine.force(x, mine.start(2), condition))
    if n:
        again = mine.start(2)
        assert np.array_equal(np.concatenate(written, 1), mine(n, again, uniforms, condition=condition))
        assert all(np.array_equal(a, b) for a, b in zip(wrote, again, strict=True))


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_does_not_depend_on_its_neighbours(kind, precision):
    net = model(kind)
    mine, uniforms, prompt = synthesiser(net, precision), random(model(kind), 19, 40), sound(net, 19, 7)
    together = mine.start(19)
    mine.force(prompt, together)
    wanted = mine(40, together, uniforms)
    for s in (0, 7, 18):
        alone = mine.start(1)
        mine.force(prompt[s : s + 1], alone)
        assert np.array_equal(mine(40, alone, uniforms[s : s + 1])[0], wanted[s])
    assert len({tuple(row) for row in wanted}) == 19


def test_streams_of_different_ages_go_together():
    net = model("wavenet")
    mine, x, uniforms = synthesiser(net), sound(net, 2, 30), random(net, 2, 20)
    old, new = mine.start(1), mine.start(1)
    mine.force(x[:1], old)
    both = tuple(np.concatenate(parts) for parts in zip(old, new, strict=True))
    wanted = np.concatenate([mine(20, old, uniforms[:1]), mine(20, new, uniforms[1:])])
    assert np.array_equal(mine(20, both, uniforms), wanted)


# --- what is written


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.0, 0.6), (0.0, 1.0)])
def test_samples_are_drawn_from_the_outputs_and_fed_back(kind, temperature, top_p):
    net = model(kind)
    mine, uniforms, prompt = synthesiser(net), random(model(kind), 2, 60), sound(net, 2, 10)
    state = mine.start(2)
    mine.force(prompt, state)
    samples = mine(60, state, uniforms, temperature, top_p)
    outputs = whole(net, np.concatenate([prompt, samples], 1))[:, 9:-1]
    if net.levels:
        wanted = drawn(outputs, uniforms, temperature, top_p)
    else:
        wanted = logistics.sample(torch.from_numpy(outputs), torch.from_numpy(uniforms), temperature, top_p).numpy()
        assert np.abs(samples).max() <= 1 and np.array_equal(samples * 32768, np.rint(samples * 32768))
    assert np.abs(samples - wanted).max() < (0.5 if net.levels else 1.5 * logistics.STEP)
    assert len(np.unique(samples)) > 1 or not temperature


def drawn(logits, uniforms, temperature, top_p):
    """In numpy: the first level whose cumulated probability exceeds the number, of the likeliest that have top_p."""
    p = np.exp(logits.astype(np.float64) / temperature) if temperature else (logits == logits.max(-1, keepdims=True)) * 1.0
    p /= p.sum(-1, keepdims=True)
    order = np.argsort(-p, -1)
    before = np.take_along_axis(p, order, -1).cumsum(-1) - np.take_along_axis(p, order, -1)
    kept = np.zeros(p.shape, bool)
    np.put_along_axis(kept, order, before < top_p, -1)
    p = np.where(kept, p, 0)
    return (p.cumsum(-1) <= uniforms[..., None] * p.sum(-1, keepdims=True)).sum(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_begins_after_silence(kind):
    net = model(kind, 2)
    mine, uniforms = synthesiser(net), random(model(kind), 1, 20)
    condition, state = np.ones((1, 1, 2), np.float32), mine.start(1)
    mine.force(np.full((1, 1), net.levels // 2), state, condition)
    assert np.array_equal(mine(20, state, uniforms, condition=condition), mine(20, mine.start(1), uniforms, condition=condition))


def test_memory_does_not_grow_and_weights_are_those_of_the_beginning():
    net = model("wavenet")
    mine, uniforms = synthesiser(net), random(net, 1, 500)
    state = mine.start(1)
    arrays, size = [id(part) for part in state], sum(part.nbytes for part in state)
    first = mine(500, state, uniforms)
    nn.init.zeros_(net.output.weight)
    assert np.array_equal(mine(500, mine.start(1), uniforms), first)
    assert [id(part) for part in state] == arrays and sum(part.nbytes for part in state) == size < 2000


def test_the_mass_that_top_p_keeps_is_the_least_that_is_enough():
    generator = np.random.default_rng(1)
    for top_p in (0.1, 0.5, 0.9, 0.999):
        p = np.exp(generator.normal(0, 3, 256)).astype(np.float32)
        p /= p.max()
        total, before = p.sum(dtype=np.float64), p.copy()
        kept_by(p, top_p)
        kept = p > 0
        assert np.array_equal(p[kept], before[kept]) and before[kept].min() > before[~kept].max()
        assert p.sum(dtype=np.float64) >= top_p * total * (1 - 1e-6)
        assert p.sum(dtype=np.float64) - p[kept].min() < top_p * total * (1 + 1e-6)


def kept_by(p, top_p):
    sampling.keep_top_of(p, top_p)


# --- a mixture of logistics


def test_the_probabilities_of_all_16_bit_values_are_one():
    torch.manual_seed(0)
    outputs = torch.tensor([[0.3, -0.2, 0.1, 0.98, -0.4, 1.4, -3.0, -9.0, -12.0], [0, 0, 0, -1, 0.2, 0.2, -11.0, 0.0, 2.0]])
    values = torch.arange(-32768, 32768).double() / 32768
    p = logistics.log_likelihood(outputs.double().unsqueeze(1), values.unsqueeze(0)).exp()
    assert torch.allclose(p.sum(1), torch.ones(2).double(), atol=1e-9)
    logits, means, scales = outputs.double().unsqueeze(1).chunk(3, -1)
    place = lambda x: torch.sigmoid((x.unsqueeze(-1) - means) / scales.exp())  # noqa: E731
    upper, lower = place(values + 2.0**-16), place(values - 2.0**-16)
    upper[:, -1], lower[:, 0] = 1, 0
    direct = (logits.softmax(-1) * (upper - lower)).sum(-1)
    assert torch.allclose(p, direct, atol=1e-10)


@pytest.mark.parametrize("log_scale", [-30.0, -5.0, 8.0])
@pytest.mark.parametrize("x", [-1.0, 0.25, 1 - 2.0**-15])
def test_gradients_of_a_mixture_are_finite(log_scale, x):
    outputs = torch.tensor([0.0, 0.1, log_scale], requires_grad=True)
    value = logistics.log_likelihood(outputs, torch.tensor(x))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(outputs.grad).all() and outputs.grad[1] != 0


def test_samples_of_a_mixture_have_its_distribution():
    outputs = torch.tensor([0.5, -0.5, -0.3, 0.4, -3.0, -2.0])
    x = logistics.sample(outputs.expand(20000, 6), torch.from_numpy(np.random.default_rng(1).random((20000, 2))))
    values = torch.arange(-32768, 32768) / 32768
    wanted = logistics.log_likelihood(outputs.double(), values.double()).exp().cumsum(0)
    found = torch.searchsorted(x.sort().values, values, right=True) / len(x)
    assert (found - wanted).abs().max() < 1.63 / 20000**0.5  # Kolmogorov and Smirnov, 1 in 100
    assert torch.equal(logistics.rounded(torch.tensor([-2.0, 2.0, 0.5 + 1e-6])), torch.tensor([-1.0, 1 - 2.0**-15, 0.5]))


# --- what is refused


def test_what_does_not_fit_is_refused():
    net = model("wavenet", 2)
    mine, x, condition = synthesiser(net), sound(net, 2), np.zeros((2, 1, 2), np.float32)
    state = mine.start(2)
    for message, call in [
        (r"^`precision` got `int4`; allowed are float32, int8", lambda: synthesiser(net, "int4")),
        (r"^a net of 20 levels needs one output each; it has 6", lambda: of_wavenet(WaveNet(20, 6, 8, 8, [1]))),
        (r"^a net of real samples has 7 outputs; needed are 3 a logistic", lambda: of_wavenet(WaveNet(0, 7, 8, 8, [1]))),
        (
            r"^the samples have shape \(2,\); the streams of the state are 2\n.*one row a stream",
            lambda: mine.force(x[0, :2], state, condition),
        ),
        (r"^the samples go from \d to 20; allowed are 0 to 19", lambda: mine.force(x + 1, state, condition)),
        (r"^`condition` has shape None; needed is \(2, 48 or 1, 2\)", lambda: mine.force(x, state)),
        (r"^`condition` has shape \(2, 1, 2\); needed is \(2, 9 or 1, 0\)", lambda: refused_condition(x)),
        (r"^`uniforms` has shape \(2, 8\); needed is \(2, 9\)", lambda: mine(9, state, random(net, 2, 8), condition=condition)),
        (r"^the state is not one of this net's `start\(\)`", lambda: mine.force(x, synthesiser(model("gru")).start(2))),
        (r"^among the samples is one that is no finite", lambda: synthesiser(model("gru")).force(x * np.nan, states("gru"))),
        (r"^no compiled synthesiser is written for layers of Linear", lambda: of_cells([Linear()])),
        (r"^the inputs of the first layer got 3; needed are 6", lambda: of_cells(Recurrent("gru", 3, 10).cells)),
    ]:
        with pytest.raises(UserError, match=message):
            call()
    assert all((part == 0).all() for part in state)


class Linear(nn.Linear):
    """A layer that has no kernel."""

    def __init__(self):
        super().__init__(6, 10)
        self.input_size = 6


def states(kind):
    return synthesiser(model(kind)).start(2)


def of_cells(cells):
    return of_layers(nn.Embedding(20, 6), cells, nn.Linear(10, 20))


def refused_condition(x):
    mine = synthesiser(model("wavenet"))
    return mine(9, mine.start(2), np.zeros((2, 9)), condition=np.zeros((2, 1, 2), np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_without_numbers_says_so(kind):
    net = model(kind)
    for parameter in net.parameters():
        nn.init.constant_(parameter, np.nan)
    mine = synthesiser(net)
    with pytest.raises(UserError, match=r"^the net's outputs are no numbers: no sample can be drawn"):
        mine(3, mine.start(2), random(net, 2, 3))


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_writes(cell):
    torch.manual_seed(0)
    net = Samples(cell, layers=2)
    mine, x = synthesiser(net), sound(net)
    assert np.abs(mine.force(x, mine.start(3)) - whole(net, x)).max() < 1e-5
