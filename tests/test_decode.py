"""Drawing and searching, held to brute force: filters one symbol at a time, beams against all texts there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unrolled.decode import Sampling, beam, draw, log_softmax, probabilities, sample

# eighths, all different: a tie has no one right answer, and what is drawn must not hang on rounding
LOGITS = st.lists(st.integers(-40, 40), min_size=1, max_size=8, unique=True).map(lambda eighths: [n / 8 for n in eighths])


def normal(p):
    return [a / sum(p) for a in p]


def by_brute_force(logits, s, recent):
    """The distribution of one row, in plain Python: every filter as its sentence in Sampling says it."""
    logits = list(logits)
    for i in set(recent):
        logits[i] = logits[i] / s.repetition_penalty if logits[i] > 0 else logits[i] * s.repetition_penalty
    if s.temperature == 0:
        return [float(i == logits.index(max(logits))) for i in range(len(logits))]
    p = normal([math.exp((a - max(logits)) / s.temperature) for a in logits])
    if s.top_k is not None:
        kept = sorted(range(len(p)), key=lambda i: -p[i])[: s.top_k]
        p = normal([a if i in kept else 0.0 for i, a in enumerate(p)])
    if s.top_p is not None:
        kept, together = [], 0.0
        for i in sorted(range(len(p)), key=lambda i: -p[i]):
            if together >= s.top_p:
                break
            assume(abs(together - s.top_p) > 1e-9)  # a border that rounding decides
            kept.append(i)
            together += p[i]
        p = normal([a if i in kept else 0.0 for i, a in enumerate(p)])
    if s.min_p is not None:
        assume(all(abs(a - s.min_p * max(p)) > 1e-9 for a in p if a))
        p = normal([a if a >= s.min_p * max(p) else 0.0 for a in p])
    return p


@given(
    logits=LOGITS,
    temperature=st.sampled_from([0, 0.25, 1.0, 2.0]),
    top_k=st.none() | st.integers(1, 9),
    top_p=st.none() | st.floats(0.01, 1.0),
    min_p=st.none() | st.floats(0.0, 1.0),
    penalty=st.sampled_from([1.0, 1.37, 0.71]),
    recent=st.lists(st.integers(0, 7), max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_every_filter_does_what_its_sentence_says(logits, temperature, top_k, top_p, min_p, penalty, recent):
    recent = [i % len(logits) for i in recent]
    punished = [(a / penalty if a > 0 else a * penalty) if i in recent else a for i, a in enumerate(logits)]
    assume(len({round(a, 6) for a in punished}) == len(punished))  # the penalty may make two of them equal
    s = Sampling(temperature, top_k, top_p, min_p, penalty)
    got = probabilities(np.array([logits]), s, np.array([recent], np.int64))
    np.testing.assert_allclose(got[0], by_brute_force(logits, s, recent), atol=1e-12)


@given(st.lists(LOGITS.map(lambda row: (row * 8)[:8]), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_rows_are_filtered_each_by_itself(rows):
    s = Sampling(0.7, 3, 0.8, 0.05, 1.3)
    recent = np.arange(len(rows))[:, None]
    together = probabilities(np.array(rows), s, recent)
    for i, row in enumerate(rows):
        np.testing.assert_allclose(together[i : i + 1], probabilities(np.array([row]), s, recent[i : i + 1]), atol=1e-15)


def test_probabilities_are_of_double_precision_and_leave_the_logits_alone():
    logits = np.array([[1.0, -2.0, 0.5]], np.float32)
    kept = logits.copy()
    p = probabilities(logits, Sampling(0.5, 2, 0.9, 0.1, 1.5), np.array([[0]]))
    assert p.dtype == np.float64 and p.sum() == pytest.approx(1, abs=1e-15)
    assert (logits == kept).all()


def test_without_settings_they_are_the_softmax():
    logits = np.array([[1000.0, 999.0, -1000.0], [-1e4, -1e4, -1e4]])
    np.testing.assert_allclose(probabilities(logits, Sampling()), torch.softmax(torch.tensor(logits), 1).numpy(), atol=1e-15)


def test_equals_are_kept_by_top_k_no_more_than_k_of_them():
    p = probabilities(np.zeros((1, 5)), Sampling(top_k=2))
    assert sorted(p[0]) == [0, 0, 0, 0.5, 0.5]


def test_a_banned_symbol_stays_impossible_through_every_filter():
    logits = np.array([[-np.inf, 1.0, 2.0, -np.inf]])
    for s in (Sampling(), Sampling(top_k=3), Sampling(top_p=1.0), Sampling(min_p=0.0), Sampling(repetition_penalty=1.5)):
        p = probabilities(logits, s, np.array([[0, 1]]))
        assert (p[0, [0, 3]] == 0).all() and (p[0, 1:3] > 0).all()


# --- drawing


class Dice:
    """A random generator that throws what it was told to."""

    def __init__(self, *throws):
        self.throws = np.array(throws)

    def random(self, size):
        return self.throws.reshape(size)


@given(
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any),
    throw=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=200, deadline=None)
def test_a_draw_is_the_inverse_of_the_distribution(weights, throw):
    upto = list(itertools.accumulate(weights))
    wanted = next(i for i, total in enumerate(upto) if throw * upto[-1] < total)
    assert draw(np.array([weights], np.float64), Dice(throw)) == [wanted]


@pytest.mark.parametrize("throw", [0.0, 1 - 2**-53])
def test_what_has_no_probability_is_never_drawn(throw):
    p = np.array([[0.0, 0.0, 0.1, 0.0, 0.7, 0.2, 0.0, 0.0]])
    assert p[0, draw(p, Dice(throw))[0]] > 0


def test_draws_come_as_often_as_their_probability_says():
    p, count = np.array([0.5, 0.2, 0.0, 0.05, 0.25]), 40_000
    ids = draw(np.tile(p, (count, 1)), np.random.default_rng(0))
    often = np.bincount(ids, minlength=5) / count
    assert (np.abs(often - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()


def test_rows_are_drawn_each_with_a_throw_of_its_own():
    ids = draw(np.full((1000, 2), 0.5), np.random.default_rng(0))
    assert 400 < ids.sum() < 600


# --- writing


def markov(table):
    """A step whose logits are the row of the last symbol, and that counts its calls."""

    def step(ids, state):
        step.calls += 1
        return table[ids], state

    step.calls = 0
    return step


def take(count, generator):
    return np.array(list(itertools.islice(generator, count)))


def test_greedy_writing_follows_the_likeliest_symbol():
    table = np.random.default_rng(3).normal(size=(5, 5))
    written = take(6, sample(markov(table), table[[0, 3]], (), Sampling(0), np.random.default_rng(0), []))
    for row, first in ((0, 0), (1, 3)):
        symbol = first
        for got in written[:, row]:
            symbol = int(np.argmax(table[symbol]))
            assert got == symbol


def test_writing_takes_one_state_update_a_symbol():
    step = markov(np.zeros((3, 3)))
    take(10, sample(step, np.zeros((2, 3)), (), Sampling(), np.random.default_rng(0), []))
    assert step.calls == 9  # the first symbol comes from the logits after the prompt


def test_a_banned_symbol_is_never_written_though_it_is_the_likeliest():
    table = np.zeros((4, 4))
    table[:, [1, 3]] = 20.0
    written = take(50, sample(markov(table), table[[0, 2]], (), Sampling(), np.random.default_rng(0), [1, 3]))
    assert set(written.ravel()) == {0, 2}


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_penalty_reaches_back_over_its_window_alone(window):
    logits = np.arange(5.0, 0.0, -1.0)  # symbol 0 likeliest; all positive, so that the penalty lowers them below the rest
    table = np.tile(logits, (5, 1))
    settings = Sampling(0, repetition_penalty=100.0, window=window)
    written = take(8, sample(markov(table), logits[None].copy(), (), settings, np.random.default_rng(0), []))
    assert written.ravel().tolist() == [i % (window + 1) for i in range(8)]


def test_the_same_generator_writes_the_same_text():
    table = np.random.default_rng(1).normal(size=(6, 6))
    once, again, other = (
        take(40, sample(markov(table), table[[0]], (), Sampling(), np.random.default_rng(seed), [])).tolist()
        for seed in (5, 5, 6)
    )
    assert once == again != other


def test_a_text_is_drawn_from_the_distribution_of_its_step():
    table = np.log(np.array([[0.1, 0.9], [0.6, 0.4]]))
    written = take(400, sample(markov(table), table[np.zeros(200, int)], (), Sampling(), np.random.default_rng(0), []))
    after_0, after_1 = written[1:][written[:-1] == 0], written[1:][written[:-1] == 1]
    assert abs(after_0.mean() - 0.9) < 0.01 and abs(after_1.mean() - 0.4) < 0.01


# --- beam search


def rolling(table):
    """A step that depends on the whole text so far, through a state that mixes every symbol: rows mixed up would show.

    The state is two arrays, a numpy one and a torch one, which must stay together.
    """

    def step(ids, state):
        mix, torchs = state
        assert len(mix) == len(torchs) == len(ids)
        assert (mix == torchs.numpy()).all()
        mix = (3 * mix + ids[:, None] + 1) % len(table)
        return table[mix[:, 0]], (mix, torch.from_numpy(mix))

    return step, (np.zeros((1, 1), np.int64), torch.zeros(1, 1, dtype=torch.int64))


def log_probability(table, ids):
    """Of a text under rolling(table), multiplied up symbol by symbol."""
    total, mix = 0.0, 0
    for i in ids:
        row = [math.exp(a) for a in table[mix]]
        total += math.log(row[i] / sum(row))
        mix = (3 * mix + i + 1) % len(table)
    return total


def all_texts(symbols, length, end):
    """Every text that ends at `end`, or at `length` without it."""
    others = [i for i in range(symbols) if i != end]
    for n in range(length + 1):
        for head in itertools.product(others, repeat=n):
            if n == length:
                yield list(head)
            elif end is not None:
                yield [*head, end]


@given(
    seed=st.integers(0, 2**32 - 1),
    symbols=st.integers(1, 4),
    length=st.integers(1, 4),
    ends=st.booleans(),
    power=st.sampled_from([0.0, 0.7, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_a_wide_beam_finds_what_going_through_all_texts_finds(seed, symbols, length, ends, power):
    table = 2 * np.random.default_rng(seed).normal(size=(31, symbols))
    end = symbols - 1 if ends else None
    step, state = rolling(table)
    texts = list(all_texts(symbols, length, end))
    ranked = sorted(texts, key=lambda ids: -log_probability(table, ids) / len(ids) ** power)
    found = beam(step, table[:1].copy(), state, len(texts), length, end, [], power)
    assert [h.ids for h in found] == ranked
    for h in found:
        assert h.score == pytest.approx(log_probability(table, h.ids) / len(h.ids) ** power, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 6), ends=st.booleans(), power=st.sampled_from([0.0, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_narrow_beam_tells_true_scores_of_whole_texts_best_first(seed, width, ends, power):
    table = 2 * np.random.default_rng(seed).normal(size=(31, 5))
    end = 4 if ends else None
    step, state = rolling(table)
    found = beam(step, table[:1].copy(), state, width, 6, end, [], power)
    assert len(found) == width == len({tuple(h.ids) for h in found})
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    for h in found:
        assert h.score == pytest.approx(log_probability(table, h.ids) / len(h.ids) ** power, abs=1e-9)
        assert end not in h.ids[:-1] and (len(h.ids) == 6 or h.ids[-1] == end)


def beam_by_hand(table, width, length, end, power):
    """Beam search as it is told: go on with every open text by every symbol, keep the best `width` open ones, to the end."""
    unfinished, finished = [(0.0, [])], []
    for _ in range(length):
        longer = [(log_probability(table, [*ids, i]), [*ids, i]) for _, ids in unfinished for i in range(table.shape[1])]
        longer = sorted(longer, key=lambda one: -one[0])[: 2 * width]  # at most one end a text: `width` open ones remain
        finished += [one for one in longer if one[1][-1] == end]
        unfinished = [one for one in longer if one[1][-1] != end][:width]
    ranked = sorted(((score / len(ids) ** power, ids) for score, ids in finished + unfinished), key=lambda one: -one[0])
    return [ids for _, ids in ranked[:width]]


@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 4), power=st.sampled_from([0.0, 0.7, 1.0]), likely=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_narrow_beam_is_beam_search_by_hand(seed, width, power, likely):
    table = 2 * np.random.default_rng(seed).normal(size=(31, 4))
    table[:, 3] += 2 * likely  # ends come early: the search may stop before `length`, and must lose nothing by it
    step, state = rolling(table)
    found = beam(step, table[:1].copy(), state, width, 5, 3, [], power)
    assert [h.ids for h in found] == beam_by_hand(table, width, 5, 3, power)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_beam_of_one_is_greedy(seed):
    table = np.random.default_rng(seed).normal(size=(31, 5))
    step, state = rolling(table)
    (found,) = beam(step, table[:1].copy(), state, 1, 6, None, [])
    mix = 0
    for i in found.ids:
        assert i == np.argmax(table[mix])
        mix = (3 * mix + i + 1) % 31


def test_a_beam_of_two_finds_what_greed_misses():
    likely = np.array([[0.6, 0.4], [0.5, 0.5], [0.9, 0.1]])  # the better first symbol leads to the worse second

    def step(ids, state):
        return np.log(likely[1 + ids]), state

    (best, *_) = beam(step, np.log(likely[:1]), (), 2, 2, None, [])
    assert best.ids == [1, 0] and math.exp(best.score) == pytest.approx(0.36)


def test_the_mean_a_symbol_lets_a_longer_text_win():
    def step(ids, state):
        return np.log(np.tile([0.9, 0.1], (len(ids), 1))), state

    first = np.log([[0.5, 0.5]])  # end at once: 0.5; go on: 0.5 · 0.9 · 0.9
    assert beam(step, first.copy(), (), 2, 3, 1, [], 0.0)[0].ids == [1]
    assert beam(step, first.copy(), (), 2, 3, 1, [], 1.0)[0].ids == [0, 0, 0]


def test_a_banned_symbol_is_in_no_beam():
    table = np.zeros((31, 4))
    table[:, [0, 2]] = 9.0
    step, state = rolling(table)
    found = beam(step, table[:1].copy(), state, 4, 3, None, [0, 2])
    assert len(found) == 4 and all(set(h.ids) <= {1, 3} for h in found)
    assert found[0].score == pytest.approx(3 * math.log(0.5))  # what is left shares the whole probability


def test_beam_returns_no_unfinished_text():
    def step(ids, state):
        return np.tile([-np.inf, 0.0], (len(ids), 1)), state  # after the first symbol only `end` can follow

    found = beam(step, np.array([[0.0, -3.0]]), (), 2, 3, 1, [])
    assert [h.ids for h in found] == [[0, 1], [1]]


def test_beam_returns_nothing_impossible():
    def step(ids, state):
        return np.tile([0.0, -np.inf], (len(ids), 1)), state

    found = beam(step, np.array([[0.0, -np.inf]]), (), 2, 3, 1, [])
    assert found == [([0, 0, 0], 0.0)]


# --- logarithms


@given(st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_log_softmax_is_torchs(rows):
    wanted = torch.log_softmax(torch.tensor(rows, dtype=torch.float64), 1).numpy()
    np.testing.assert_allclose(log_softmax(np.array(rows)), wanted, rtol=1e-12, atol=1e-12)


def test_log_softmax_is_of_double_precision_and_knows_the_impossible():
    got = log_softmax(np.array([[0.0, 0.0, -np.inf]], np.float32))
    assert got.dtype == np.float64
    assert got[0, :2] == pytest.approx(-math.log(2), abs=1e-15) and got[0, 2] == -np.inf
