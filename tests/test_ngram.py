"""The counting baseline, held to the same formula over plain dictionaries, and to being a distribution at all."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import ngram

SYMBOLS = 5
texts = st.lists(st.integers(0, SYMBOLS - 1), min_size=1, max_size=40)
orders = st.integers(1, 5)


class Slow:
    """Interpolated Kneser-Ney over dictionaries of tuples; a text's start counts as a symbol of its own, None."""

    def __init__(self, train, symbols, order, discount=0.75):
        self.symbols, self.order, self.discount = symbols, order, discount
        padded = [None] * order + list(train)
        longer = Counter(tuple(padded[at - order + 1 : at + 1]) for at in range(order, len(padded)))
        self.after = {}  # length of the context -> context -> symbol -> count
        for length in reversed(range(order)):
            self.after[length] = defaultdict(Counter)
            for gram, count in longer.items():
                self.after[length][gram[:-1]][gram[-1]] = count
            # a shorter gram counts the different symbols that stand to its left, not how often it occurs
            longer = Counter(gram[1:] for gram in longer)

    def probability(self, context, symbol):
        """context: the order - 1 symbols before."""
        p = 1 / self.symbols
        for length in range(self.order):
            seen = self.after[length].get(tuple(context[len(context) - length :]))
            if seen:
                kept = max(seen[symbol] - self.discount, 0)
                p = (kept + self.discount * len(seen) * p) / sum(seen.values())
        return p

    def nats(self, text):
        padded = [None] * self.order + list(text)
        places = range(self.order, len(padded))
        return [-math.log(self.probability(padded[at - self.order + 1 : at], padded[at])) for at in places]


def nats(train, text, symbols, order):
    return ngram.nats(np.array(train, np.int64), np.array(text, np.int64), symbols, order)


@given(train=texts, text=texts, order=orders)
@settings(max_examples=150, deadline=None)
def test_it_is_kneser_ney_over_dictionaries(train, text, order):
    np.testing.assert_allclose(nats(train, text, SYMBOLS, order), Slow(train, SYMBOLS, order).nats(text), rtol=1e-12)


@given(train=texts, context=st.lists(st.integers(0, SYMBOLS - 1), max_size=6), order=orders)
@settings(max_examples=150, deadline=None)
def test_after_every_context_the_probabilities_sum_to_one(train, context, order):
    p = [math.exp(-nats(train, [*context, symbol], SYMBOLS, order)[-1]) for symbol in range(SYMBOLS)]
    assert sum(p) == pytest.approx(1, abs=1e-12)
    assert min(p) > 0  # nothing is impossible, so no text is infinitely surprising


@pytest.mark.parametrize("order", [2, 4])
def test_thousands_of_different_symbols_are_kept_apart(order):
    random = np.random.default_rng(0)  # Zipf's law, as words follow it, up to large ids
    train, text = np.minimum(random.zipf(1.3, (2, 3000)), 60_000) - 1
    found = ngram.nats(train.astype(np.uint16), text.astype(np.uint16), 60_000, order)  # as ids lie in their files
    np.testing.assert_allclose(found, Slow(train.tolist(), 60_000, order).nats(text.tolist()), rtol=1e-12)


def test_order_one_knows_how_often_symbols_come_and_nothing_else():
    # counts 3, 1, 0 of 4: each count loses 0.75, and the 1.5 so gained are spread evenly over the 3 symbols
    p = {0: (2.25 + 0.5) / 4, 1: (0.25 + 0.5) / 4, 2: 0.5 / 4}
    for text in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        np.testing.assert_allclose(np.exp(-nats([0, 0, 1, 0], text, 3, 1)), [p[symbol] for symbol in text], rtol=1e-12)


def test_the_longest_contexts_count_occurrences_and_shorter_ones_neighbours():
    # 1 comes often, but after 0 alone; 2 comes after three different symbols
    train = [0, 1] * 20 + [2, 0, 3, 2, 0, 4, 2]
    after_unseen = nats(train, [5, 1], 6, 2)[1] > nats(train, [5, 2], 6, 2)[1]
    after_seen = nats(train, [0, 1], 6, 2)[1] < nats(train, [0, 2], 6, 2)[1]
    assert after_unseen and after_seen


def test_a_longer_context_tells_what_a_shorter_one_cannot():
    train = [0, 0, 1, 1] * 100  # what follows depends on the last two symbols, not on the last one
    short, long = nats(train, train[4:80], 2, 2).mean(), nats(train, train[4:80], 2, 3).mean()
    assert short == pytest.approx(math.log(2), abs=0.01) and long < 0.02
