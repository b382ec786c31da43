"""Loops over a detector's probabilities: when it fires, and which word each event belongs to."""

from __future__ import annotations

import numpy as np

from .jit import compiled


@compiled
def fire(probabilities, frames, threshold, low, refractory, state, found):
    """Frames (n,) at which a detector fires, into `found`; returns n.

    state  (2,): whether it has fallen below `low` since it last fired; the first frame at which it may fire again
    """
    n = 0
    for i in range(probabilities.shape[0]):
        p = probabilities[i]
        if p < low:
            state[0] = 1
        elif p >= threshold and state[0] == 1 and frames[i] >= state[1]:
            found[n] = frames[i]
            n += 1
            state[0] = 0
            state[1] = frames[i] + refractory
    return n


@compiled
def match(times, fired, begins, latest, marked, word):
    """Which word each event is a hit of, into word (events,): -1 for none.

    Recording r has the events fired[r] … fired[r + 1] - 1, whose times ascend, and the words marked[r] … marked[r + 1] - 1, whose
    begins ascend. An event can be a hit of word w if begins[w] <= its time <= latest[w] and no event before it is. Of several it
    takes the one whose time is up first, which leaves the most to the events that follow.
    """
    taken = np.zeros(begins.shape[0], np.bool_)
    for r in range(fired.shape[0] - 1):
        first, last = marked[r], marked[r + 1]
        for i in range(fired[r], fired[r + 1]):
            while first < last and latest[first] < times[i]:
                first += 1
            best = -1
            w = first
            while w < last and begins[w] <= times[i]:
                if not taken[w] and latest[w] >= times[i] and (best < 0 or latest[w] < latest[best]):
                    best = w
                w += 1
            word[i] = best
            if best >= 0:
                taken[best] = True
