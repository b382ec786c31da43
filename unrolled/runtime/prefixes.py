"""The likeliest texts of a net trained by connectionist temporal classification, as ctc.py finds them, in plain Python.

A beam holds prefixes, each with the log-probability of all answers so far being read as it, once with a blank at the end and once
with its last symbol (Hannun et al. 2014). A prefix extended by a symbol can be in the beam already; then both ways are summed.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from ..hot_words import Listener
from ..spelled import Found

LEAST = -9.0  # nats; symbols less likely in an answer do not extend a prefix there, but for the likeliest
NEVER = -math.inf


class Ngrams(NamedTuple):
    """An n-gram model as an automaton (kernels/backoff.py): what follows each context, and what another symbol costs there."""

    begin: np.ndarray  # (S + 1,) the arcs of context s are begin[s] to begin[s + 1], in the order of their symbols
    symbol: np.ndarray  # (A,)
    nats: np.ndarray  # (A,)
    to: np.ndarray  # (A,) the context after it
    price: np.ndarray  # (S,)
    shorter: np.ndarray  # (S,)
    start: np.ndarray  # () the context before a text

    def look(self, context: int, x: int) -> tuple[float, int]:
        """The log-probability of symbol x in a context, and the context after it."""
        price = 0.0
        while True:
            end = int(self.begin[context + 1])
            at = bisect_left(self.symbol, x, int(self.begin[context]), end)
            if at < end and self.symbol[at] == x:
                return price + float(self.nats[at]), int(self.to[at])
            price += float(self.price[context])
            if context == 0:
                return price, 0
            context = int(self.shorter[context])


class Rules(NamedTuple):
    """What the score of a prefix holds beside the answers."""

    blank: int
    ngrams: Ngrams | None
    weight: float  # of the n-grams
    insertion: float  # what each symbol earns
    hot: Listener
    end: int  # the symbol that ends a text, to the n-grams


class Prefix:
    """A text that is written on; `bonus` is what the rules add to it."""

    __slots__ = ("__weakref__", "bonus", "context", "hot", "parent", "place", "symbol")

    def __init__(self, parent: Prefix | None, symbol: int, bonus: float, context: int, hot: int):
        self.parent, self.symbol, self.bonus, self.context, self.hot = parent, symbol, bonus, context, hot
        self.place: int | None = None  # in the beam

    def ids(self) -> list[int]:
        found, at = [], self
        while at.parent is not None:
            found.append(at.symbol)
            at = at.parent
        return found[::-1]


Held = tuple[Prefix, float, float]  # log-probability with a blank at the end, and without


def search(log_probabilities: np.ndarray, rules: Rules, width: int, number: int = 1) -> list[Found]:
    """The best `number` texts of answers (T, V), best first; `width` prefixes go on after each."""
    root = Prefix(None, -1, 0.0, int(rules.ngrams.start) if rules.ngrams else 0, 0)
    root.place = 0
    beam: list[Held] = [(root, 0.0, NEVER)]
    known: WeakValueDictionary[tuple[int, int], Prefix] = WeakValueDictionary()  # by parent and symbol, while one needs it
    for answer in log_probabilities:
        chosen = likely(answer, rules.blank)
        beam = after(beam, answer.tolist(), chosen, rules, width, known)
    found = []
    for prefix, blank, other in beam:
        nats = add(blank, other)
        found.append(Found(np.array(prefix.ids(), np.int64), nats + prefix.bonus + ended(prefix, rules), nats))
    return sorted(found, key=lambda one: -one.score)[:number]


def after(
    beam: list[Held], answer: list[float], chosen: list[int], rules: Rules, width: int, known: WeakValueDictionary
) -> list[Held]:
    """The beam after one answer more."""
    totals = [add(blank, other) for _, blank, other in beam]
    stays, inside = staying(beam, totals, answer, rules.blank)
    best: list[tuple[float, int, int, int]] = []  # score, negative; order of coming; place in the beam; symbol, -1: none
    for i, (prefix, _, _) in enumerate(beam):
        if (score := add(*stays[i]) + prefix.bonus) > NEVER:
            insort(best, (-score, len(best), i, -1))
    come, most = len(best), max(0.0, rules.insertion) + float(rules.hot.gains.max())
    for i, (prefix, blank, _) in enumerate(beam):
        for x in chosen:
            score = prefix.bonus + answer[x] + (blank if prefix.symbol == x else totals[i])
            floor = -best[width - 1][0] if len(best) >= width else NEVER
            if (i, x) in inside or not score + most > floor:
                continue
            come += 1
            insort(best, (-(score + earned(prefix, rules, x)[0]), come, i, x))
            del best[width:]
    if not best:  # nothing is possible: the answer is passed over
        return beam
    for prefix, _, _ in beam:
        prefix.place = None
    now: list[Held] = []
    for _, _, i, x in best:
        prefix, blank, _ = beam[i]
        if x < 0:
            now.append((prefix, *stays[i]))
        else:
            other = answer[x] + (blank if prefix.symbol == x else totals[i])
            now.append((child(prefix, x, rules, known), NEVER, other))
    for place, (prefix, _, _) in enumerate(now):
        prefix.place = place
    return now


def staying(
    beam: list[Held], totals: list[float], answer: list[float], blank: int
) -> tuple[list[tuple[float, float]], set[tuple[int, int]]]:
    """What each prefix of the beam has if it stays as it is, and which extensions stand in the beam: place and symbol."""
    stays, inside = [], set()
    for i, (prefix, _, other) in enumerate(beam):
        x, stayed = prefix.symbol, NEVER
        if prefix.parent is not None:
            stayed = other + answer[x]
            if (place := prefix.parent.place) is not None:
                inside.add((place, x))
                reached = beam[place][1] if prefix.parent.symbol == x else totals[place]
                stayed = add(stayed, reached + answer[x])
        stays.append((totals[i] + answer[blank], stayed))
    return stays, inside


def likely(answer: np.ndarray, blank: int) -> list[int]:
    """The symbols that are at least as likely as LEAST, and the likeliest anyway."""
    kept = answer >= LEAST
    kept[answer.argmax()] = True
    kept[blank] = False
    return np.flatnonzero(kept & (answer > NEVER)).tolist()


def earned(prefix: Prefix, rules: Rules, x: int) -> tuple[float, int, int]:
    """What symbol x earns after a prefix, the context after it, and how far hot phrases have come."""
    gain, context, hot = float(rules.hot.gains[prefix.hot, x]) + rules.insertion, 0, int(rules.hot.moves[prefix.hot, x])
    if rules.ngrams is not None:
        nats, context = rules.ngrams.look(prefix.context, x)
        gain += rules.weight * nats
    return gain, context, hot


def child(prefix: Prefix, x: int, rules: Rules, known: WeakValueDictionary) -> Prefix:
    """A prefix and one symbol more: the same one for as long as something in the beam rests on it."""
    found = known.get((id(prefix), x))
    if found is None:
        gain, context, hot = earned(prefix, rules, x)
        found = known[id(prefix), x] = Prefix(prefix, x, prefix.bonus + gain, context, hot)
    return found


def ended(prefix: Prefix, rules: Rules) -> float:
    """What the end of the text adds."""
    end = 0.0 if rules.ngrams is None else rules.weight * rules.ngrams.look(prefix.context, rules.end)[0]
    return float(rules.hot.last[prefix.hot]) + end


def add(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == NEVER else high + math.log1p(math.exp(low - high))


def align(log_probabilities: np.ndarray, ids: np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    """The answers of each symbol of a text on the likeliest way (Viterbi 1967): begins, and one past the ends.

    Places on the way: blank, ids[0], blank, ids[1], … blank; from one to the same or the next, past a blank where the symbols
    on both sides of it differ.
    """
    symbols = np.full(2 * len(ids) + 1, blank)
    symbols[1::2] = ids
    past = np.zeros(len(symbols), bool)
    past[3::2] = ids[1:] != ids[:-1]
    before, came = np.where(np.arange(len(symbols)) == 0, 0.0, NEVER), []
    for answer in log_probabilities:
        ways = np.full((3, len(symbols)), NEVER)
        ways[0], ways[1, 1:], ways[2, 2:] = before, before[:-1], np.where(past[2:], before[:-2], NEVER)
        came.append(ways.argmax(0))
        before = ways.max(0) + answer[symbols]
    at = len(symbols) - 1 - int(len(ids) > 0 and before[-2] > before[-1])
    begins, ends = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    for t in reversed(range(len(came))):
        if at % 2:
            begins[at // 2] = t
            ends[at // 2] = max(ends[at // 2], t + 1)
        at -= int(came[t][at])
    return begins, ends
