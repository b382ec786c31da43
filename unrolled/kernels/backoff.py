"""An n-gram model as an automaton: a state is the longest context known, and one symbol leads to the next.

What does not stand in a state is looked for in that of the next shorter context, at a price (Katz 1987).
"""

from __future__ import annotations

import numpy as np

from .jit import compiled, inner

# Of S states and A arcs, all natural logarithms:
#   begin (S + 1)  the arcs of state s are begin[s] to begin[s + 1], in the order of their symbols
#   symbol (A), nats (A), to (A)  an arc's symbol, its log-probability, the state it leads to
#   backoff (S)  what a symbol costs that has no arc here; state 0 is the empty context: all that such a symbol has there
#   shorter (S)  the state of the next shorter context
Automaton = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# What stands in place of a model where there is none.
NOTHING: Automaton = (
    np.zeros(2, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(1), np.zeros(1, np.int64),
)  # fmt: skip


@inner
def look(automaton, state, x):
    """The log-probability of symbol x after a state, and the state it leads to."""
    begin, symbol, nats, to, backoff, shorter = automaton
    price = 0.0
    while True:
        low, high = begin[state], begin[state + 1]
        while low < high:
            middle = (low + high) >> 1
            if symbol[middle] < x:
                low = middle + 1
            else:
                high = middle
        if low < begin[state + 1] and symbol[low] == x:
            return price + nats[low], to[low]
        price += backoff[state]
        if state == 0:
            return price, state
        state = shorter[state]


@compiled
def read(automaton, state, ids, nats):
    """nats (N): the log-probability of each of ids (N) after those before it; returns the state after the last."""
    for i in range(len(ids)):
        nats[i], state = look(automaton, state, ids[i])
    return state
