"""N-gram models to decode with: what stands in them, and how one is counted from transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import ngram
from .kernels import backoff
from .kernels.backoff import Automaton


class Model(NamedTuple):
    """A model of symbols (words None), or of words."""

    automaton: Automaton
    start: int  # the state before a text
    end: int  # the symbol that ends a text
    words: tuple[str, ...] | None = None  # word i has number i
    unknown: int = -1  # the number of words that it does not know; -1: none has one

    def nats(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Log-probabilities of a text's symbols and of its end (N + 1,)."""
        ids = np.append(np.asarray(ids, np.int64), self.end)
        found = np.empty(len(ids))
        backoff.read(self.automaton, self.start, ids, found)
        return found


def of_texts(texts: Sequence[Sequence[int] | np.ndarray], symbols: int, order: int = 6) -> Model:
    """Interpolated Kneser-Ney (ngram.py) over texts of ids below `symbols`; `symbols` itself is what ends a text.

    Each text stands after order - 1 ends of its own, so that no context reaches into another text. The probabilities of a
    context's symbols and its price for others are those of ngram.nats:

        p(x | context) = (count - D) / total + price · p(x | shorter),   price = D kinds / total
    """
    pad = np.full(order - 1, symbols)
    ids = np.concatenate([np.concatenate((pad, np.asarray(text, np.int64), [symbols])) for text in texts])
    lengths = np.array([len(text) + order for text in texts])
    inside = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths) >= order - 1  # not of the padding
    seen = ngram.contexts(np.append(ids, 0), order)  # one place more: the context after the last symbol
    events, levels = np.flatnonzero(inside), []
    for k in reversed(range(order)):
        counts, first = ngram.count(seen[k][events], ids[events])
        events = events[first]
        levels.append((counts, events))
    return _automaton(levels[::-1], seen, ids, symbols)


def _automaton(levels: list[tuple[ngram.Counts, np.ndarray]], seen: list[np.ndarray], ids: np.ndarray, symbols: int) -> Model:
    """levels[k]: the counts after contexts of k symbols, and a place at which each of its pairs stands."""
    firsts = np.cumsum([0, *(len(counts.contexts) for counts, _ in levels)])  # the first state of each level

    def states(places: np.ndarray, longest: int) -> np.ndarray:
        """The state of the longest context known before each place, of at most `longest` symbols."""
        found = np.zeros(len(places), np.int64)
        for k in range(1, longest + 1):
            contexts = levels[k][0].contexts
            at = np.minimum(np.searchsorted(contexts, seen[k][places]), len(contexts) - 1)
            found = np.where(contexts[at] == seen[k][places], firsts[k] + at, found)
        return found

    froms, symbol, p, to, price, shorter = [], [], [], [], [], []
    for k, (counts, places) in enumerate(levels):
        at = np.searchsorted(counts.contexts, seen[k][places])
        lower = np.full(len(places), 1 / (symbols + 1)) if k == 0 else _shared(levels[k - 1], p[-1], seen[k - 1], places, ids)
        paid = ngram.DISCOUNT * counts.kinds / counts.totals
        p.append((counts.pair_counts - ngram.DISCOUNT) / counts.totals[at] + paid[at] * lower)
        froms.append(firsts[k] + at)
        symbol.append(ids[places])
        to.append(states(places + 1, min(k + 1, len(levels) - 1)))
        price.append(np.log(paid) - (np.log(symbols + 1) if k == 0 else 0))
        each = np.empty(len(counts.contexts), np.int64)
        each[at] = states(places, k - 1)
        shorter.append(each)
    froms, symbol, to, p = (np.concatenate(each) for each in (froms, symbol, to, p))
    order = np.lexsort((symbol, froms))
    begin = np.searchsorted(froms[order], np.arange(firsts[-1] + 1))
    arcs = symbol[order], np.log(p[order]), to[order]
    start = int(states(np.array([len(levels) - 1]), len(levels) - 1)[0])
    return Model((begin, *arcs, np.concatenate(price), np.concatenate(shorter)), start, symbols)


def _shared(
    level: tuple[ngram.Counts, np.ndarray], p: np.ndarray, seen: np.ndarray, places: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """The probabilities, of a level, of the pairs that stand at these places: each is in it, since a longer one is."""
    pairs, asked = level[0].pairs, ngram.pair(seen[places], ids[places])
    return p[np.searchsorted(pairs, asked)]
