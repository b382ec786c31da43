"""Scoring: every symbol once, each after all before it; weights that follow the text; the cache.

Two toy models make the exact answers known: Bigram, whose logits are a table's row of the symbol before, and Clock,
whose logits tell how many symbols its state has seen.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrolled import surprise
from unrolled.data.batch import Symbols
from unrolled.data.vocab import Codec
from unrolled.surprise import Cache, Dynamic
from unrolled.tasks import language


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Bigram(nn.Module):
    def __init__(self, symbols=5, labels=1, vocabulary=None):
        super().__init__()
        self.table = nn.Parameter(2 * torch.randn(labels, symbols, symbols))
        self.vocabulary, self.device = vocabulary or symbols, torch.device("cpu")

    def forward(self, batch, state):
        labels = torch.zeros_like(batch.inputs) if batch.labels is None else batch.labels
        return self.table[labels, batch.inputs], (batch.inputs[:, -1:].float(),)

    def nats(self, text):
        """Of symbols 1 … N-1, by looking each up; labels go with the symbol they say something about."""
        p, found = torch.softmax(self.table.double(), -1).tolist(), []
        for at in range(1, len(text)):
            label = 0 if text.labels is None else text.labels[at]
            found.append(-math.log(p[label][text.ids[at - 1]][text.ids[at]]))
        return np.array(found)


class Clock(nn.Module):
    """Two symbols; ln odds of the second are a hundredth of the number of symbols that the state has seen."""

    vocabulary, device = 2, torch.device("cpu")

    def forward(self, batch, state):
        (seen,) = (torch.zeros(len(batch.inputs), 1),) if state is None else state
        seen = seen.masked_fill(batch.fresh.unsqueeze(1), 0.0)
        seen = seen + torch.arange(1, batch.inputs.shape[1] + 1)  # (B, T)
        return torch.stack([torch.zeros_like(seen), seen / 100], -1), (seen[:, -1:],)

    @staticmethod
    def seen(nats):
        """How many symbols had been seen when a 1 was predicted with this surprise."""
        return [round(-100 * math.log(math.expm1(n))) for n in nats]


def symbols_of(ids, labels=None):
    ids = np.array(ids, np.uint8)
    return Symbols(ids, None if labels is None else np.array(labels, np.uint16), len(ids))


def random_text(count, symbols=5, seed=0):
    return symbols_of(np.random.default_rng(seed).integers(0, symbols, count))


def small_model(cell="lstm", tied=False, labels=()):
    config = language.Config(
        cell=cell, hidden=8, embedding=4, layers=2, tied=tied, dropout=0.0, input_dropout=0.0, weight_dropout=0.0
    )
    model = language.Model(config, Codec("characters", "abc", labels)).eval()
    with torch.no_grad():
        for layer in model.layers:
            layer.cells[0].b.normal_()  # a state that forgets: after a hundred steps nothing is left of where it began
    return model


def one_pass(model, text):
    """Nats of symbols 1 … N-1 from one call of the model."""
    ids = torch.from_numpy(text.ids.astype(np.int64))[None]
    with torch.no_grad():
        logits, _ = model(language.Batch(ids[:, :-1], ids[:, 1:], None, torch.ones(1, dtype=torch.bool)), None)
        return -torch.log_softmax(logits.double(), -1)[0].gather(1, ids[0, 1:, None])[:, 0].numpy()


# --- read straight


@given(
    count=st.integers(2, 400),
    lanes=st.integers(1, 40),
    warm=st.integers(1, 9),
    vocabulary=st.sampled_from([5, 10**4, 10**6]),  # a large one is read in short stretches
    labelled=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_every_symbol_is_counted_once_in_order(count, lanes, warm, vocabulary, labelled):
    random = np.random.default_rng(count)
    text = symbols_of(random.integers(0, 5, count), random.integers(0, 3, count) if labelled else None)
    model = Bigram(labels=3, vocabulary=vocabulary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surprise, "WARM", warm)
        found = surprise.static(model, text, lanes)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, model.nats(text), rtol=1e-5, atol=1e-6)


@given(count=st.integers(2, 300), lanes=st.integers(1, 20), warm=st.integers(1, 9), limit=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_limit_takes_the_first_symbols_of_each_lane(count, lanes, warm, limit):
    text, model = random_text(count), Bigram()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surprise, "WARM", warm)
        found = surprise.static(model, text, lanes, limit)
    predicted = count - 1
    lanes = lanes if predicted >= lanes * warm else 1
    own = -(-predicted // lanes)
    wanted = [nats for at, nats in enumerate(model.nats(text)) if at % own < -(-limit // lanes)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stretch", [2, 10**6])
def test_a_lane_has_read_the_symbols_before_it_and_the_first_begins_at_zero(monkeypatch, stretch):
    monkeypatch.setattr(surprise, "WARM", 12)
    monkeypatch.setattr(Clock, "vocabulary", stretch)  # read 128 symbols at a time, or 8
    seen = Clock.seen(surprise.static(Clock(), symbols_of([1] * 61), lanes=3))
    assert seen == [*range(1, 21), *range(13, 33), *range(13, 33)]


def test_a_short_text_is_read_in_one_stream(monkeypatch):
    monkeypatch.setattr(surprise, "WARM", 21)  # three lanes of 20 would not have enough before them
    assert Clock.seen(surprise.static(Clock(), symbols_of([1] * 61), lanes=3)) == list(range(1, 61))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_short_text_has_the_surprise_of_one_pass(cell):
    model, text = small_model(cell), random_text(301)
    np.testing.assert_allclose(surprise.static(model, text), one_pass(model, text), atol=1e-5)


def test_lanes_differ_from_one_stream_by_a_trace(monkeypatch):
    model, text = small_model(), random_text(32 * surprise.WARM + 77)
    stream = surprise.static(model, text, lanes=1)
    assert np.abs(surprise.static(model, text) - stream).max() < 1e-4
    monkeypatch.setattr(surprise, "WARM", 1)
    assert np.abs(surprise.static(model, text) - stream).max() > 1e-2  # what the warm symbols are for


def test_reading_leaves_no_gradients_behind():
    model = small_model()
    surprise.static(model, random_text(50))
    assert all(p.grad is None for p in model.parameters())


def test_surprise_is_taken_in_single_precision():
    logits = torch.tensor([[[8.0, 0.0], [0.0, 8.0]]], dtype=torch.bfloat16)
    nats = surprise.cross_entropy(logits, torch.tensor([[0, 0]]))
    assert nats.dtype == torch.float32 and nats.shape == (1, 2)
    torch.testing.assert_close(nats, torch.log1p(torch.exp(torch.tensor([[-8.0, 8.0]]))))


# --- sharpness


def markov_text(table, count):
    """A text that the table's chances wrote."""
    random, p, ids = np.random.default_rng(1), torch.softmax(table.detach().double(), -1).numpy(), [0]
    for _ in range(count):
        ids.append(random.choice(len(p), p=p[ids[-1]] / p[ids[-1]].sum()))
    return symbols_of(ids)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.15, 1.5])
def test_logits_too_sharp_by_a_factor_are_found_to_be(factor):
    model = Bigram()
    text = markov_text(model.table[0], 4000)
    with torch.no_grad():
        model.table *= factor
    before, after, table = text.ids[:-1].astype(int), text.ids[1:].astype(int), model.table[0].detach()
    tried = {f: float(-(f * table).log_softmax(-1)[before, after].sum()) for f in np.arange(0.6, 1.2, 0.005)}
    found = surprise.sharpness(model, text)
    assert found == pytest.approx(min(tried, key=tried.get), abs=0.01)  # the best of a fine grid
    assert found == pytest.approx(1 / factor, abs=0.05)  # and what was done to it


@pytest.mark.parametrize(("factor", "limit"), [(20.0, surprise.FACTORS[0]), (0.05, surprise.FACTORS[-1])])
def test_sharpness_stays_in_its_bounds(factor, limit):
    model = Bigram()
    text = markov_text(model.table[0], 500)
    with torch.no_grad():
        model.table *= factor
    assert surprise.sharpness(model, text) == limit


@pytest.mark.parametrize("count", [34, 60, 101])
def test_sharpness_counts_what_static_counts(monkeypatch, count):
    monkeypatch.setattr(surprise, "WARM", 1)
    model = Bigram()
    text = markov_text(model.table[0], count - 1)  # lanes of two, two and four symbols: the last ones lie past the end
    many, one = surprise.sharpness(model, text, lanes=32), surprise.sharpness(model, text, lanes=1)
    assert many == pytest.approx(one, abs=1e-3)
    assert surprise.FACTORS[0] < one < surprise.FACTORS[-1]


# --- weights that follow the text


def followed(model, text, s):
    """Dynamic evaluation by torch's own optimiser: RMSprop with its mean corrected is Adam without momentum."""
    model = copy.deepcopy(model)
    home = [p.detach().clone() for p in model.parameters()]
    optimiser = torch.optim.Adam(model.parameters(), s.rate, (0.0, s.memory), 1e-8)
    ids, state, found = torch.from_numpy(text.ids.astype(np.int64))[None], None, []
    for at in range(0, len(text) - 1, s.length):
        part = ids[:, at : at + s.length + 1]
        logits, state = model(language.Batch(part[:, :-1], part[:, 1:], None, torch.zeros(1, dtype=torch.bool)), state)
        nats = -logits.log_softmax(-1)[0].gather(1, part[0, 1:, None])[:, 0]
        optimiser.zero_grad()
        nats.mean().backward()
        optimiser.step()
        with torch.no_grad():
            for p, value in zip(model.parameters(), home, strict=True):
                p += s.decay * (value - p)
        state = tuple(part.detach() for part in state)
        found += nats.tolist()
    return found


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("count", [2, 8, 9, 10, 75])
def test_dynamic_evaluation_is_adam_without_momentum_and_a_pull_home(count, tied):
    model, text = small_model(tied=tied), random_text(count)
    s = Dynamic(length=8, rate=1e-2, decay=0.1, memory=0.9)
    np.testing.assert_allclose(surprise.dynamic(model, text, s), followed(model, text, s), atol=1e-4)


def test_dynamic_evaluation_leaves_the_model_as_it_was():
    model, text = small_model(), random_text(200)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    surprise.dynamic(model, text, Dynamic(rate=0.1))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_dynamic_evaluation_that_is_interrupted_leaves_the_model_as_it_was():
    model, calls = small_model(), []
    before = [p.detach().clone() for p in model.parameters()]

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 4:
            assert any(not torch.equal(p, value) for p, value in zip(model.parameters(), before, strict=True))
            raise KeyboardInterrupt

    model.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        surprise.dynamic(model, random_text(300), Dynamic(length=20))
    assert all(torch.equal(p, value) for p, value in zip(model.parameters(), before, strict=True))


def test_a_rate_of_zero_is_reading_straight():
    model, text = small_model(), random_text(130)
    np.testing.assert_allclose(surprise.dynamic(model, text, Dynamic(rate=0.0)), one_pass(model, text), atol=1e-5)


def test_no_symbol_is_predicted_by_weights_that_have_seen_it():
    model, text = small_model(), random_text(100)
    s = Dynamic(length=10, rate=0.05)
    other = symbols_of([*text.ids[:70], *(4 - text.ids[70:])])
    found, changed = surprise.dynamic(model, text, s), surprise.dynamic(model, other, s)
    np.testing.assert_array_equal(found[:69], changed[:69])
    assert np.abs(found - changed).max() > 0.1


def test_dynamic_evaluation_helps_where_a_text_repeats_itself():
    model, text = small_model(), symbols_of([2, 3, 4, 4] * 200)
    plain = surprise.static(model, text).mean()
    assert surprise.dynamic(model, text, Dynamic()).mean() < plain - 0.01  # 16 small steps
    assert surprise.dynamic(model, text, Dynamic(length=8, rate=1e-2)).mean() < plain / 2


# --- the cache


def by_brute_force(model, text, s):
    """The mixture, one symbol at a time, every past state compared with this one in plain Python."""
    ids = torch.from_numpy(text.ids.astype(np.int64))[None]
    with torch.no_grad():
        features, _ = model.features(language.Batch(ids[:, :-1], ids[:, 1:], None, torch.ones(1, dtype=torch.bool)), None)
        p_model = model.head(features)[0].double().softmax(-1).tolist()
    states, found = features[0].double().tolist(), []
    lengths = [math.sqrt(sum(a * a for a in h)) for h in states]
    for now, p in enumerate(p_model):
        past = range(max(0, now - s.size), now)
        dots = [sum(a * b for a, b in zip(states[now], states[then], strict=True)) for then in past]
        cosines = [dot / lengths[now] / lengths[then] for dot, then in zip(dots, past, strict=True)]
        weights = [math.exp(s.flatness * len(states[now]) * c) for c in cosines]
        right = [w for w, then in zip(weights, past, strict=True) if text.ids[then + 1] == text.ids[now + 1]]
        mixed = p[text.ids[now + 1]]
        if weights:
            mixed = (1 - s.share) * mixed + s.share * sum(right) / sum(weights)
        found.append(-math.log(mixed))
    return found


@pytest.mark.parametrize("count", [2, 3, 129, 130, 300])
@pytest.mark.parametrize("size", [1, 5, 130, 2000])
def test_the_cache_is_the_mixture_of_its_formula(size, count):
    model, text = small_model(), random_text(count)
    s = Cache(size=size, flatness=0.4, share=0.3)
    np.testing.assert_allclose(surprise.cached(model, text, s), by_brute_force(model, text, s), atol=2e-5)


@pytest.mark.parametrize("place", [1, 2, 60, 128, 129, 140])
def test_with_a_cache_the_probabilities_of_all_symbols_sum_to_one(place):
    model, text = small_model(), random_text(place)
    texts = [symbols_of([*text.ids, symbol]) for symbol in range(model.vocabulary)]
    p = [math.exp(-surprise.cached(model, t, Cache(size=50, share=0.5))[-1]) for t in texts]
    assert sum(p) == pytest.approx(1, abs=1e-5)
    assert len({round(x, 6) for x in p}) > 1


def test_a_share_of_nothing_is_the_model_alone():
    model, text = small_model(), random_text(200)
    np.testing.assert_allclose(surprise.cached(model, text, Cache(share=0.0)), one_pass(model, text), atol=1e-5)


def test_a_cache_helps_where_a_text_repeats_itself():
    model, text = small_model(), symbols_of([2, 3, 4, 4] * 100)
    assert surprise.cached(model, text, Cache()).mean() < surprise.static(model, text).mean() - 0.05
