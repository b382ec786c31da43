"""Phrases that must stand in a text that is written symbol by symbol: how far each has got, and who keeps a place in the beam.

Each phrase is followed by its own automaton (Knuth, Morris and Pratt 1977), so that one that is broken off falls back to what
of it still stands. A phrase listed n times must stand n times without overlapping itself; different phrases may share symbols.

The beam is shared out between hypotheses that have met more and such that have met less (Post and Vilar 2018, dynamic beam
allocation), by sorting (Hu et al. 2019): first the best of each kind, those that have met most before the others, then the
second best, … So the furthest always stays, and can always write one symbol more of what it has begun: with a width above the
number of symbols required all kinds have a place, and phrases come where they are likeliest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Phrases(NamedTuple):
    """The automata of N sentences' phrases. A state is how much of one phrase stands; state 0 belongs to no phrase."""

    first: np.ndarray  # (N, P) state of each of a sentence's phrases before anything stands
    times: np.ndarray  # (N, P) how often it must stand; 0 fills up
    symbol: np.ndarray  # (S,) the symbol that leads on from a state
    depth: np.ndarray  # (S,) symbols of the phrase that stand
    length: np.ndarray  # (S,) symbols of the whole phrase
    keys: np.ndarray  # (M,) state · V + symbol, for all moves but those back to where nothing stands; ascending
    after: np.ndarray  # (M,) the state that a move leads to
    whole: np.ndarray  # (M,) whether the phrase then stands
    symbols: int  # V


class Met(NamedTuple):
    """How far R texts have got."""

    states: np.ndarray  # (R, P)
    left: np.ndarray  # (R, P) how often each phrase has still to stand

    def of(self, rows: np.ndarray) -> Met:
        return Met(self.states[rows], self.left[rows])


def prepare(required: Sequence[Sequence[Sequence[int]]], symbols: int) -> Phrases:
    """The automata of each sentence's phrases of ids below `symbols`; empty phrases ask for nothing."""
    counted = [Counter(tuple(map(int, phrase)) for phrase in phrases if len(phrase)) for phrases in required]
    P = max(map(len, counted), default=0)
    first, times = np.zeros((len(counted), P), np.int64), np.zeros((len(counted), P), np.int64)
    symbol, depth, length, moves = [-1], [0], [0], [(-1, 0, False)]
    for i, phrases in enumerate(counted):
        for j, (phrase, number) in enumerate(phrases.items()):
            root = len(symbol)
            first[i, j], times[i, j] = root, number
            for at, goes in enumerate(_automaton(phrase)):
                ends = {to: to % len(phrase) for to in goes.values()}  # a whole phrase begins afresh
                moves += [((root + at) * symbols + one, root + ends[to], to == len(phrase)) for one, to in goes.items()]
            symbol += phrase
            depth += range(len(phrase))
            length += [len(phrase)] * len(phrase)
    keys, after, whole = map(np.array, zip(*sorted(moves), strict=True))
    return Phrases(first, times, np.array(symbol), np.array(depth), np.array(length), keys, after, whole, symbols)


def _automaton(phrase: tuple[int, ...]) -> list[dict[int, int]]:
    """For each number of symbols that stand: where each symbol leads; one that is not named leads to 0."""
    moves: list[dict[int, int]] = [{phrase[0]: 1}]
    shorter = 0  # what stands if the phrase's first symbol is taken away
    for at, symbol in enumerate(phrase[1:], 1):
        moves.append({**moves[shorter], symbol: at + 1})
        shorter = moves[shorter].get(symbol, 0)
    return moves


def begin(phrases: Phrases) -> Met:
    """Of N empty texts."""
    return Met(phrases.first, phrases.times)


def advance(phrases: Phrases, met: Met, ids: np.ndarray) -> Met:
    """After one more symbol, ids (R,)."""
    keys = met.states * phrases.symbols + ids[:, None]
    at = np.minimum(np.searchsorted(phrases.keys, keys), len(phrases.keys) - 1)
    moves = phrases.keys[at] == keys
    states = np.where(moves, phrases.after[at], met.states - phrases.depth[met.states])
    return Met(states, met.left - (moves & phrases.whole[at] & (met.left > 0)))


def missing(phrases: Phrases, met: Met) -> np.ndarray:
    """Symbols (R,) still to be written: all of the phrases left, less what stands of the one that is furthest.

    Of the furthest alone: to go on with it is then always a gain, though what stands of another may be lost by it.
    """
    begun = np.where(met.left > 0, phrases.depth[met.states], 0)
    return (met.left * phrases.length[met.states]).sum(1) - begun.max(1, initial=0)


def with_required(phrases: Phrases, met: Met, rows: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (rows, ids) and those that lead on in a phrase, each once, by row and symbol."""
    leads, phrase = np.nonzero(met.left > 0)
    symbols = phrases.symbol[met.states[leads, phrase]]
    keys = np.unique(np.append(rows * phrases.symbols + ids, leads * phrases.symbols + symbols))
    return keys // phrases.symbols, keys % phrases.symbols


def share_out(groups: np.ndarray, nats: np.ndarray, missing: np.ndarray, number: int, count: int) -> np.ndarray:
    """Which candidates (number, count) of each of `number` groups are kept, in this order; -1 where there are no more.

    Of equals the one that is named first is kept first.
    """
    order = np.lexsort((-nats, missing, groups))
    place = _places(groups[order], missing[order])  # among those of a group that miss as much
    order = order[np.lexsort((missing[order], place, groups[order]))]
    place = _places(groups[order])
    chosen = np.full((number, count), -1)
    kept = place < count
    chosen[groups[order][kept], place[kept]] = order[kept]
    return chosen


def _places(*columns: np.ndarray) -> np.ndarray:
    """0, 1, 2, … within each run of equal rows."""
    numbers = np.arange(len(columns[0]))
    new = np.any([np.diff(column, prepend=column[:1] - 1) != 0 for column in columns], 0)
    return numbers - np.maximum.accumulate(np.where(new, numbers, 0))
