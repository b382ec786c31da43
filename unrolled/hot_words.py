"""Phrases that a decoder listens for: each symbol of one earns a bonus, which is taken back if the phrase breaks off.

All phrases are followed at once (Aho and Corasick 1975). Where texts have words, a phrase begins and ends with one: it is whole
only when a blank or the end follows, and its blanks earn nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Listener(NamedTuple):
    """The automaton, of S states; state 0 is where a text begins."""

    moves: np.ndarray  # (S, V) the state after each symbol
    gains: np.ndarray  # (S, V) what the symbol earns, less what breaks off by it
    last: np.ndarray  # (S,) the same where the text ends


def listen(phrases: Sequence[Sequence[int]], symbols: int, space: int | None, bonus: float) -> Listener:
    """For phrases of ids below `symbols`; space is the symbol between words, if there is one; bonus in nats a symbol."""
    tree = Tree(space)
    for phrase in map(list, phrases):
        while space is not None and phrase[:1] == [space]:
            del phrase[0]
        while space is not None and phrase[-1:] == [space]:
            del phrase[-1]
        if phrase:
            tree.add(phrase if space is None else [*phrase, space])
    S = len(tree.children)
    moves, gains = np.zeros((S, symbols), np.int64), np.zeros((S, symbols))
    tree.link(moves)
    award, pending = tree.worth()
    gains[:] = bonus * (award[moves] + pending[moves] - pending[:, None])
    whole = 0.0 if space is None else award[moves[:, space]]  # the end of a text ends a word; nothing is lent any more
    last = bonus * (whole - pending)
    return Listener(moves, gains, last)


class Tree:
    """The phrases as a tree of states. State 0: a phrase can begin; with words, state 1: inside a word that begins none."""

    def __init__(self, space: int | None):
        self.space = space
        self.children: list[dict[int, int]] = [{}] if space is None else [{}, {}]
        self.parent, self.depth, self.whole = [0] * len(self.children), [0] * len(self.children), [False] * len(self.children)
        self.fail = [0] * len(self.children)

    def add(self, phrase: list[int]) -> None:
        state = 0
        for symbol in phrase:
            if symbol not in self.children[state]:
                self.children[state][symbol] = len(self.children)
                self.children.append({})
                self.parent.append(state)
                self.depth.append(self.depth[state] + (symbol != self.space))
                self.whole.append(False)
                self.fail.append(0)
            state = self.children[state][symbol]
        self.whole[state] = True

    def link(self, moves: np.ndarray) -> None:
        """Fill moves (S, V), state by state from the root; a state fails to that of its longest end which begins a phrase."""
        outside = 0 if self.space is None else 1
        moves[:2] = outside
        if self.space is not None:
            moves[:2, self.space] = 0
        queue = [(child, outside) for child in self.children[0].values()]
        for symbol, child in self.children[0].items():
            moves[0, symbol] = child
        for state, fail in queue:
            self.fail[state] = fail
            moves[state] = moves[fail]
            for symbol, child in self.children[state].items():
                queue.append((child, int(moves[fail, symbol])))
                moves[state, symbol] = child

    def worth(self) -> tuple[np.ndarray, np.ndarray]:
        """In symbols, for each state: what is earned for good on reaching it, and what is only lent while in it."""
        award, earned = np.zeros(len(self.children)), np.zeros(len(self.children))
        for state in range(len(self.children)):  # parents come before their children
            before = earned[self.parent[state]]
            inner = self.fail[state]
            while inner and not self.whole[inner]:
                inner = self.fail[inner]
            award[state] = self.depth[state] - before if self.whole[state] else self.depth[inner] if inner else 0
            earned[state] = min(self.depth[state], before + award[state])
        return award, np.asarray(self.depth) - earned
