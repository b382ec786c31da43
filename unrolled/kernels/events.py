"""Loops over a detector's probabilities: when it fires, and which word each event belongs to."""

from __future__ import annotations

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
def match(times, begins, latest, taken, word):
    """Which word each event is a hit of, into word (events,): -1 for none.

    An event at `times[i]` can be a hit of word w if begins[w] <= times[i] <= latest[w] and no event before is. Of several it
    takes the one whose time is up first, which leaves the most to the events that follow. begins ascend; taken (words,) is 0.
    """
    first = 0
    for i in range(times.shape[0]):
        while first < begins.shape[0] and latest[first] < times[i]:
            first += 1
        best = -1
        w = first
        while w < begins.shape[0] and begins[w] <= times[i]:
            if taken[w] == 0 and latest[w] >= times[i] and (best < 0 or latest[w] < latest[best]):
                best = w
            w += 1
        word[i] = best
        if best >= 0:
            taken[best] = 1
