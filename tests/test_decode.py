"""Drawing and searching, held to brute force: filters one symbol at a time, beams against all texts there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unrolled.decode import (
    Beam,
    Sampling,
    beams,
    best,
    draw,
    groups_of,
    log_softmax,
    mean_logits,
    probabilities,
    sample,
    together,
)
from unrolled.errors import UserError
from unrolled.kernels import beams as beams_kernel

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


@given(
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any),
    throw=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=200, deadline=None)
def test_a_draw_is_the_inverse_of_the_distribution(weights, throw):
    upto = list(itertools.accumulate(weights))
    wanted = next(i for i, total in enumerate(upto) if throw * upto[-1] < total)
    assert draw(np.array([weights], np.float64), np.array([throw])) == [wanted]


@pytest.mark.parametrize("throw", [0.0, 1 - 2**-53])
def test_what_has_no_probability_is_never_drawn(throw):
    p = np.array([[0.0, 0.0, 0.1, 0.0, 0.7, 0.2, 0.0, 0.0]])
    assert p[0, draw(p, np.array([throw]))[0]] > 0


def test_draws_come_as_often_as_their_probability_says():
    p, count = np.array([0.5, 0.2, 0.0, 0.05, 0.25]), 40_000
    ids = draw(np.tile(p, (count, 1)), np.random.default_rng(0).random(count))
    often = np.bincount(ids, minlength=5) / count
    assert (np.abs(often - p) <= 5 * np.sqrt(p * (1 - p) / count)).all()


def test_rows_are_drawn_each_with_a_throw_of_its_own():
    ids = draw(np.full((1000, 2), 0.5), np.random.default_rng(0).random(1000))
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


# --- searching


def rolling(table, starts=(0,)):
    """A net whose state is one number a row, kept as an array and as a tensor: step, first logits, first state."""

    def step(ids, state):
        mix, same = state
        assert (mix == same.numpy()).all() and ids.shape == (len(mix),)
        mix = (3 * mix + ids[:, None] + 1) % len(table)
        return table[mix[:, 0]], (mix, torch.from_numpy(mix))

    mix = np.array(starts, np.int64)[:, None]
    return step, table[mix[:, 0]], (mix, torch.from_numpy(mix))


def log_probability(table, ids, start=0):
    """Of a text under rolling(table), multiplied up symbol by symbol."""
    total, mix = 0.0, start
    for i in ids:
        row = [math.exp(a) for a in table[mix].tolist()]
        total += math.log(row[i] / sum(row)) if row[i] else -math.inf
        mix = (3 * mix + i + 1) % len(table)
    return total


def all_texts(symbols, length, end):
    """Every text that ends at `end`, and every one of `length` without it."""
    others = [i for i in range(symbols) if i != end]
    for n in range(length + 1):
        for head in itertools.product(others, repeat=n):
            if n == length:
                yield list(head)
            elif end is not None:
                yield [*head, end]


def repeats(ids, n):
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(runs)) < len(runs)


def times(phrase, ids):
    """How often a phrase stands in a text without overlapping itself."""
    count, at = 0, 0
    while at + len(phrase) <= len(ids):
        here = list(ids[at : at + len(phrase)]) == list(phrase)
        count, at = count + here, at + (len(phrase) if here else 1)
    return count


def all_stand(phrases, ids):
    return all(times(phrase, ids) >= phrases.count(phrase) for phrase in phrases)


def ranked(texts, end, score):
    """Those that ended before the others, the better first."""
    return sorted(texts, key=lambda ids: (ids[-1] != end, -score(ids)))


TABLES = st.integers(0, 2**32 - 1).map(np.random.default_rng)
CHOICES = st.sampled_from([best, beams_kernel.best])


@given(
    random=TABLES,
    symbols=st.integers(1, 4),
    length=st.integers(1, 4),
    ends=st.booleans(),
    power=st.sampled_from([0.0, 0.7, 1.0]),
    no_repeat=st.none() | st.integers(1, 3),
    choose=CHOICES,
)
@settings(max_examples=120, deadline=None)
def test_a_wide_beam_finds_what_going_through_all_texts_finds(random, symbols, length, ends, power, no_repeat, choose):
    table = (2 * random.normal(size=(31, symbols))).astype(np.float32)
    end = symbols - 1 if ends else None
    step, logits, state = rolling(table)
    texts = [ids for ids in all_texts(symbols, length, end) if not no_repeat or not repeats(ids, no_repeat)]
    assume(texts)
    (found,) = beams(step, logits, state, Beam(4**5, power, no_repeat), [length], end, [], choose=choose)
    assert [h.ids for h in found] == ranked(texts, end, lambda ids: log_probability(table, ids) / len(ids) ** power)
    for h in found:
        assert h.nats == pytest.approx(log_probability(table, h.ids), abs=1e-9)
        assert h.score == pytest.approx(h.nats / len(h.ids) ** power, abs=1e-12)
        assert h.ended == (h.ids[-1] == end)


PHRASES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), max_size=2)


@given(
    random=TABLES,
    phrases=PHRASES,
    ends=st.booleans(),
    power=st.sampled_from([0.0, 1.0]),
    no_repeat=st.sampled_from([None, 1, 2]),
    choose=CHOICES,
)
@settings(max_examples=150, deadline=None)
def test_a_wide_beam_finds_all_texts_in_which_the_phrases_stand(random, phrases, ends, power, no_repeat, choose):
    table = 2 * random.normal(size=(31, 4))
    end = 3 if ends else None
    texts = [ids for ids in all_texts(4, 4, end) if not no_repeat or not repeats(ids, no_repeat)]
    texts = [ids for ids in texts if all_stand(phrases, ids)]
    step, logits, state = rolling(table)
    (found,) = beams(step, logits, state, Beam(4**5, power, no_repeat), [4], end, [], [phrases], choose=choose)
    if texts:
        assert [h.ids for h in found] == ranked(texts, end, lambda ids: log_probability(table, ids) / len(ids) ** power)
    else:
        assert found and not any(h.ended for h in found)


@given(random=TABLES, phrases=PHRASES, width=st.integers(1, 5), room=st.integers(1, 3))
@settings(max_examples=150, deadline=None)
def test_however_narrow_the_beam_the_phrases_stand(random, phrases, width, room):
    table = 4 * random.normal(size=(31, 4))
    table[:, 3] += 3  # the net would rather end
    step, logits, state = rolling(table)
    (found,) = beams(step, logits, state, Beam(width), [sum(map(len, phrases)) + room], 3, [], [phrases])
    assert found and all(all_stand(phrases, h.ids) for h in found)


def test_a_text_that_has_met_more_goes_on_by_its_own_likeliest_symbol():
    likely = np.tile([1e-6, 0.5, 0.4, 0.01, 0.01, 0.01, 0.01, 0.01], (8, 1))  # 0 is required and unlikely, 7 is the end
    likely[0, 3], likely[3, 7] = 9, 9

    def step(ids, state):
        return np.log(likely[ids]), state

    (found,) = beams(step, np.log(likely[1:2]), (), Beam(2), [4], 7, [], [[[0]]])
    assert found[0].ids == [0, 3, 7]


def by_hand(table, width, length, end, power):
    """Beam search as it is told: go on with every open text by every symbol, keep the best `width` open ones, to the end."""
    unfinished, finished = [[]], []
    for _ in range(length):
        longer = sorted(
            ([*ids, i] for ids in unfinished for i in range(table.shape[1])), key=lambda ids: -log_probability(table, ids)
        )
        finished += [ids for ids in longer[:width] if ids[-1] == end]
        unfinished = [ids for ids in longer[: 2 * width] if ids[-1] != end][:width]
    return ranked(finished + unfinished, end, lambda ids: log_probability(table, ids) / len(ids) ** power)[:width]


@given(
    random=TABLES,
    width=st.integers(1, 4),
    power=st.sampled_from([0.0, 0.7, 1.0]),
    likely=st.sampled_from([0, 2, 5]),
    choose=CHOICES,
)
@settings(max_examples=150, deadline=None)
def test_a_narrow_beam_is_beam_search_by_hand(random, width, power, likely, choose):
    table = 2 * random.normal(size=(31, 4))
    table[:, 3] += likely  # ends come early: the search may stop before `length`, and must lose nothing by it
    table = table.astype(np.float32)
    step, logits, state = rolling(table)
    (found,) = beams(step, logits, state, Beam(width, power), [6], 3, [], choose=choose)
    assert [h.ids for h in found] == by_hand(table, width, 6, 3, power)


@pytest.mark.parametrize(("options", "steps"), [(Beam(2), 1), (Beam(2, 1.0), 3), (Beam(2, 1.0, patience=1.0), 1)])
def test_a_search_stops_when_nothing_open_can_overtake(options, steps):
    calls = []

    def step(ids, state):
        calls.append(len(ids))
        return np.log(np.tile([0.05, 0.05, 0.9], (len(ids), 1))), state

    (found,) = beams(step, np.log([[0.2, 0.1, 0.7]]), (), options, [10], 2, [])
    assert len(calls) == steps and found[0].ids == [2]


def apart_by_hand(table, width, groups, diversity, length, end, power):
    """As by_hand, one group after the other at each step: what the groups before took at it makes a text less wanted."""

    def nats(ids):
        return log_probability(table, ids)

    each = width // groups
    unfinished, finished = [[[]] for _ in range(groups)], [[] for _ in range(groups)]
    for t in range(length):
        taken = []
        for g in range(groups):
            every = sorted(([*ids, i] for ids in unfinished[g] for i in range(table.shape[1])), key=lambda ids: -nats(ids))
            longer = sorted(every, key=lambda ids: diversity * (ids[-1] != end) * taken.count(ids[-1]) - nats(ids))
            finished[g] += [ids for ids in longer[:each] if ids[-1] == end]
            finished[g] = sorted(finished[g], key=lambda ids: -nats(ids) / len(ids) ** power)[:each]
            unfinished[g] = [ids for ids in longer[: 2 * each] if ids[-1] != end][:each]
            taken = taken + [ids[-1] for ids in unfinished[g]]
            hope = max((nats(ids) for ids in unfinished[g]), default=-math.inf) / length**power
            if len(finished[g]) == each and hope <= min(nats(ids) / len(ids) ** power for ids in finished[g]) and t < length - 1:
                unfinished[g] = []
    kept = [ids for g in range(groups) for ids in [*finished[g], *unfinished[g]][:each]]
    different = {tuple(ids): ids for ids in kept}.values()
    return ranked(different, end, lambda ids: nats(ids) / len(ids) ** power)


@given(
    random=TABLES,
    shape=st.sampled_from([(2, 2), (3, 3), (4, 2), (5, 5), (6, 2), (6, 3), (4, 1)]),
    diversity=st.sampled_from([0.0, 0.3, 1.0, 20.0]),
    power=st.sampled_from([0.0, 1.0]),
    likely=st.sampled_from([None, 0, 2]),
    choose=CHOICES,
)
@settings(max_examples=150, deadline=None)
def test_groups_that_pay_for_what_others_took_are_those_found_by_hand(random, shape, diversity, power, likely, choose):
    width, groups = shape
    table = 2 * random.normal(size=(31, 5))
    table[:, 4] += likely or 0
    table, end = table.astype(np.float32), None if likely is None else 4
    step, logits, state = rolling(table)
    options = Beam(width, power, groups=groups, diversity=diversity)
    (found,) = beams(step, logits, state, options, [5], end, [], choose=choose)
    assert [h.ids for h in found] == apart_by_hand(table, width, groups, diversity, 5, end, power)
    for h in found:
        assert h.nats == pytest.approx(log_probability(table, h.ids), abs=1e-4)  # nothing is paid in it
        assert h.score == pytest.approx(h.nats / len(h.ids) ** power) and h.ended == (h.ids[-1] == end)


def test_the_first_group_is_a_search_of_its_own_and_dear_symbols_make_all_first_words_differ():
    table = np.random.default_rng(2).normal(size=(31, 9)).astype(np.float32)

    def search(options):
        step, logits, state = rolling(table, (4,))
        return beams(step, logits, state, options, [6], None, [])[0]

    alone, apart = search(Beam(2)), search(Beam(6, groups=3, diversity=1000.0))
    assert [h.ids for h in alone if h in apart] == [h.ids for h in alone]
    assert all(len({h.ids[t] for h in search(Beam(6, groups=6, diversity=1000.0))}) == 6 for t in range(6))
    assert len({h.ids[0] for h in search(Beam(6))}) < 6


def test_groups_share_a_beam_alike_and_come_with_diversity():
    assert [groups_of(5, None, None), groups_of(6, None, 0.5), groups_of(6, 2, 0.5)] == [1, 6, 2]
    with pytest.raises(UserError, match="`--groups 2` is given without `--diversity`"):
        groups_of(6, 2, None)
    with pytest.raises(UserError, match="`--beam 5` cannot be shared alike by `--groups 2`") as caught:
        groups_of(5, 2, 0.5)
    assert caught.value.fix == "--beam 6"


@given(random=TABLES, power=st.sampled_from([0.0, 1.0]))
@settings(max_examples=50, deadline=None)
def test_a_beam_of_one_is_greedy(random, power):
    table = random.normal(size=(31, 5))
    step, logits, state = rolling(table)
    ((found,),) = beams(step, logits, state, Beam(1, power, patience=1.0 if power else None), [8], 4, [])
    mix, wanted = 0, []
    while len(wanted) < 8 and wanted[-1:] != [4]:
        wanted.append(int(np.argmax(table[mix])))
        mix = (3 * mix + wanted[-1] + 1) % 31
    assert found.ids == wanted and found.ended == (wanted[-1] == 4)


@given(random=TABLES, choose=CHOICES, asked=st.booleans(), no_repeat=st.sampled_from([None, 2]), groups=st.sampled_from([1, 3]))
@settings(max_examples=60, deadline=None)
def test_a_sentence_is_answered_as_if_it_were_alone(random, choose, asked, no_repeat, groups):
    table = (2 * random.normal(size=(31, 70))).astype(np.float32)
    starts, longest = random.integers(0, 31, 7), random.integers(1, 9, 7)
    required = [[[5], [7, 8]], [], [[9, 9]], [], [[5], [5]], [[1]], []] if asked and groups == 1 else None
    options = Beam(3, 0.5, no_repeat, groups=groups, diversity=0.5)

    def fall(state):
        return -0.01 * state[0][:, 0]

    def answers(which):
        step, logits, state = rolling(table, starts[which])
        phrases = None if required is None else [required[i] for i in which]
        return beams(
            step, logits, state, options, longest[which], 69, [0, 3], phrases, lambda state: -0.01 * state[0][:, 0], choose
        )

    together = answers(list(range(7)))
    assert together == [answers([i])[0] for i in range(7)]
    assert together == answers(list(range(7))[::-1])[::-1]


def test_a_sentence_of_which_nothing_is_required_is_answered_as_ever():
    table = np.random.default_rng(0).normal(size=(31, 9))
    plain = beams(*rolling(table, [3, 4]), Beam(4, 1.0), [7, 7], 8, [])
    step, logits, state = rolling(table, [3, 4])
    assert beams(step, logits, state, Beam(4, 1.0), [7, 7], 8, [], [[], [[1, 2]]])[0] == plain[0]


@given(random=TABLES, power=st.sampled_from([0.0, 1.0]))
@settings(max_examples=30, deadline=None)
def test_what_is_added_at_the_end_is_of_the_state_before_it(random, power):
    table, worth = 2 * random.normal(size=(31, 3)), -random.random(31)

    def score(ids):
        mix = 0
        for i in ids[:-1]:
            mix = (3 * mix + i + 1) % 31
        return log_probability(table, ids) / len(ids) ** power + (worth[mix] if ids[-1] == 2 else 0)

    step, logits, state = rolling(table)
    (found,) = beams(step, logits, state, Beam(99, power), [4], 2, [], adjust=lambda state: worth[state[0][:, 0]])
    assert [h.ids for h in found] == ranked(all_texts(3, 4, 2), 2, score)
    assert [h.score for h in found] == pytest.approx([score(h.ids) for h in found])


def test_equals_are_kept_in_the_order_of_their_parents_and_symbols():
    table = np.zeros((31, 3))
    (found,) = beams(*rolling(table), Beam(5), [2], None, [])
    assert [h.ids for h in found] == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]


def test_a_beam_of_two_finds_what_greed_misses():
    likely = np.array([[0.6, 0.4], [0.5, 0.5], [0.9, 0.1]])  # the better first symbol leads to the worse second

    def step(ids, state):
        return np.log(likely[1 + ids]), state

    ((found, *_),) = beams(step, np.log(likely[:1]), (), Beam(2), [2], None, [])
    assert found.ids == [1, 0] and math.exp(found.score) == pytest.approx(0.36)


def test_the_mean_a_symbol_lets_a_longer_text_win():
    def step(ids, state):
        return np.log(np.tile([0.1, 0.9], (len(ids), 1))), state

    first = np.log([[0.5, 0.5]])  # end at once: 0.5; one symbol more: 0.5 · 0.9
    assert beams(step, first.copy(), (), Beam(2, 0.0), [3], 1, [])[0][0].ids == [1]
    assert beams(step, first.copy(), (), Beam(2, 1.0), [3], 1, [])[0][0].ids == [0, 1]


@pytest.mark.parametrize("choose", [best, beams_kernel.best])
def test_a_banned_symbol_is_in_no_beam(choose):
    table = np.zeros((31, 4), np.float32)
    table[:, [0, 2]] = 9.0
    (found,) = beams(*rolling(table), Beam(4), [3], None, [0, 2], choose=choose)
    assert len(found) == 4 and all(set(h.ids) <= {1, 3} for h in found)
    assert found[0].score == pytest.approx(3 * math.log(0.5))  # what is left shares the whole probability


@pytest.mark.parametrize("phrases", [[], [[0]]])
def test_a_symbol_that_may_not_come_keeps_its_probability(phrases):
    def step(ids, state):
        return np.log(np.tile([0.1, 0.2, 0.7], (len(ids), 1))), state

    first = np.log([[0.1, 0.2, 0.7]])
    ((found, *_),) = beams(step, first, (), Beam(9, no_repeat=1), [9], 2, [], [phrases])
    assert found.ids == ([0, 2] if phrases else [2])
    assert found.nats == pytest.approx(math.log(0.07 if phrases else 0.7))


@pytest.mark.parametrize("choose", [best, beams_kernel.best])
@pytest.mark.parametrize("required", [None, [[], [[0]], []]])
@pytest.mark.parametrize("bad", [np.nan, -np.inf, np.inf])
def test_what_is_no_number_is_impossible_and_harms_nobody_else(bad, required, choose):
    def step(ids, state):
        logits = np.tile(np.float32([0.0, bad, -1.0]), (len(ids), 1))
        logits[state[0] == 2] = bad  # nothing can follow in the third sentence
        return logits, state

    logits, state = np.float32([[0, bad, bad], [bad, bad, bad], [1, bad, 0]]), (np.arange(3),)
    first, second, third = beams(step, logits, state, Beam(2), [3, 3, 3], 1, [], required, choose=choose)
    assert [h.ids for h in first] == [[0, 0, 0], [0, 0, 2]] and not first[0].ended
    assert second == [([], 0.0, 0.0, False)]
    assert [h.ids for h in third] == [[0]]


def test_what_ended_comes_before_what_is_open_at_the_longest():
    def step(ids, state):
        return np.log(np.tile([0.9, 0.1], (len(ids), 1))), state

    (found,) = beams(step, np.log([[0.9, 0.1]]), (), Beam(2), [2], 1, [])
    assert [(h.ids, h.ended) for h in found] == [([1], True), ([0, 1], True)]
    (found,) = beams(step, np.log([[1.0, 1e-9]]), (), Beam(1), [2], 1, [])
    assert [(h.ids, h.ended) for h in found] == [([0, 0], False)]


def test_what_cannot_be_written_in_time_is_said():
    step, logits, state = rolling(np.zeros((31, 4)))
    (found,) = beams(step, logits, state, Beam(3), [3], 3, [], [[[0, 1, 2, 0]]])
    assert found[0].ids == [0, 1, 2] and not any(h.ended for h in found)


def test_of_no_sentences_there_are_no_answers():
    assert beams(*rolling(np.zeros((31, 4)), []), Beam(), [], 3, []) == []


def test_nets_together_write_by_the_mean_of_their_probabilities():
    tables = [np.random.default_rng(i).normal(size=(31, 5)).astype(np.float32) for i in range(3)]
    parts = [rolling(table, [0, 9]) for table in tables]
    step = together([part[0] for part in parts], [2, 2, 2])
    logits, state = step(np.array([3, 1]), sum((part[2] for part in parts), ()))
    wanted = sum(torch.softmax(torch.tensor(table[[4, 29]]).double(), 1) for table in tables) / 3
    np.testing.assert_allclose(np.exp(logits), wanted, rtol=1e-6)
    assert len(state) == 6 and all(s[:, 0].tolist() == [4, 29] for s in state)
    sure = np.array([[0.0, -np.inf, -np.inf]])
    np.testing.assert_allclose(np.exp(mean_logits([np.log([[0.5, 0.5, 1e-300]]), sure])), [[0.75, 0.25, 0]], atol=1e-15)


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


# --- giving up


def test_hypotheses_far_below_the_likeliest_are_given_up():
    """Two ways: one twice as likely at each step. Without a threshold both stay, with one the other goes when it is too far."""
    p = np.log(np.array([[1e-9, 2 / 3, 1 / 3]]))
    rows = []

    def step(ids, state):
        rows.append(len(ids))
        return np.repeat(p, len(ids), 0), state

    for threshold, wanted in ((None, [2, 3, 3]), (1.0, [2, 3, 3]), (0.5, [1, 1, 1])):
        rows.clear()
        options = Beam(width=3, length_power=1.0, threshold=threshold)
        beams(step, p.copy(), (np.zeros((1, 1)),), options, [4], 0, [])
        assert rows == wanted
