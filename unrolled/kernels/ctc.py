"""Connectionist temporal classification read backwards: the likeliest texts by prefix beam search, and the frames of one text.

What has been written is a tree; a beam holds the `width` prefixes that go on, each with the log-probability of all frames so far
being read as it, once with a blank at the end and once with its last symbol (Hannun et al. 2014). A prefix extended by a symbol
can be in the beam already; then its parent is too, and both ways to it are summed. No other two prefixes become one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .backoff import Automaton, look
from .jit import compiled, inner

NO_MODEL, OF_SYMBOLS, OF_WORDS, OF_NET = range(4)
UNREAD = -1  # the model's state of a prefix that the net has not read yet
PARENT, SYMBOL, FIRST, NEXT, SLOT, MODEL, WORD, HOT = range(8)  # columns of a tree: links, place in the beam or -1, states
USED, OPEN, READ = range(3)  # nodes, those in the beam, frames
SPREAD = -0x61C8864680B583EB  # 2^64 / golden ratio, as a signed number: a multiplier that spreads neighbouring keys


class Rules(NamedTuple):
    """What the score of a prefix holds beside the frames."""

    automaton: Automaton
    start: int
    words: np.ndarray  # hashes of the words known, ascending
    numbers: np.ndarray  # those of the words, by that order
    moves: np.ndarray  # (S, V) how hot phrases go on with each symbol
    gains: np.ndarray  # (S, V) what that earns, or takes back
    last: np.ndarray  # (S,) the same where a text ends
    kinds: np.ndarray  # kind of model, blank, space (-1: none), end of a text, the unknown word's number
    prices: np.ndarray  # weight of the model, insertion of a unit, an unknown word, the most that one symbol can earn


class State(NamedTuple):
    """A search between two frames; spent by the next push."""

    tree: np.ndarray  # (nodes, 8)
    bonus: np.ndarray  # (nodes,) what model, insertions and hot phrases add to each prefix
    slots: np.ndarray  # (width,) the nodes in the beam, best first
    ends: np.ndarray  # (width, 2) log-probability with a blank at the end, and without
    counts: np.ndarray  # USED, OPEN, READ
    ahead: np.ndarray  # (nodes, V + 1) of a net: log-probabilities of each symbol, and of the end, after each prefix; else (0, 0)
    net: tuple[np.ndarray, ...]  # its state after each prefix, (nodes, …) each


def begin(rules: Rules, width: int, net: tuple[np.ndarray, ...] = ()) -> State:
    """Before any frame: the empty prefix, which the net is about to read; net has the shapes of its state of one row."""
    nodes = 64 * width
    state = State(
        np.empty((nodes, 8), np.int64), np.zeros(nodes), np.zeros(width, np.int64), np.full((width, 2), -np.inf),
        np.array([1, 1, 0]), np.empty((nodes, rules.kinds[3] + 1) if net else (0, 0)),
        tuple(np.empty((nodes, *part.shape[1:]), part.dtype) for part in net),
    )  # fmt: skip
    state.tree[0] = (-1, -1, -1, -1, 0, UNREAD if net else rules.start, 0, 0)
    state.ends[0, 0] = 0.0
    return state


def push(rules: Rules, state: State, frames: np.ndarray, least: float, threshold: float) -> State:
    """Read frames (T, V), float64 log-probabilities; no sum depends on how they are cut into pushes."""
    width = len(state.slots)
    at_once = max(1, len(state.tree) // (4 * width))
    for first in range(0, len(frames), at_once):
        part = frames[first : first + at_once]
        state = _with_room(state, len(part) * width)
        _push(part, tuple(rules), least, threshold, *state[:6])
    return state


def unread(state: State) -> np.ndarray:
    """The nodes of the beam that the net has still to read."""
    nodes = state.slots[: state.counts[OPEN]]
    return nodes[state.tree[nodes, MODEL] == UNREAD]


def _with_room(state: State, more: int) -> State:
    """The state with space for so many nodes more: what no open prefix begins with is forgotten first."""
    if state.counts[USED] + more <= len(state.tree):
        return state
    forget(state)
    room = len(state.tree)
    while state.counts[USED] + more > room // 2:  # half of it free: sweeping costs little
        room *= 2
    if room == len(state.tree):
        return state
    ahead = _longer(state.ahead, room) if state.net else state.ahead
    net = tuple(_longer(part, room) for part in state.net)
    return state._replace(tree=_longer(state.tree, room), bonus=_longer(state.bonus, room), ahead=ahead, net=net)


def forget(state: State) -> None:
    """Keep the nodes that lead to the beam, with what a net has read of them."""
    compact(*state[:5])
    if state.net:
        old = state.tree[: state.counts[USED], MODEL].copy()  # the nodes that they were
        for rows in (state.ahead, *state.net):
            rows[: len(old)] = rows[old]
        state.tree[: len(old), MODEL] = np.arange(len(old))


def _longer(rows: np.ndarray, room: int) -> np.ndarray:
    found = np.zeros((room, *rows.shape[1:]), rows.dtype)
    found[: len(rows)] = rows
    return found


@compiled
def compact(tree, bonus, slots, ends, counts):
    """Keep the nodes that lead to the beam; a parent stands before its children, here and afterwards."""
    used = counts[USED]
    place = np.full(used, -1, np.int64)
    for i in range(counts[OPEN]):
        node = slots[i]
        while node >= 0 and place[node] < 0:
            place[node] = 0
            node = tree[node, PARENT]
    size = 0
    for node in range(used):
        if place[node] == 0:
            place[node] = size
            tree[size] = tree[node]
            bonus[size] = bonus[node]
            tree[size, FIRST] = tree[size, NEXT] = -1
            if size > 0:
                parent = place[tree[size, PARENT]]
                tree[size, PARENT], tree[size, NEXT] = parent, tree[parent, FIRST]
                tree[parent, FIRST] = size
            size += 1
    for i in range(counts[OPEN]):
        slots[i] = place[slots[i]]
    counts[USED] = size


@inner
def add(a, b):
    """ln(e^a + e^b)."""
    high, low = (a, b) if a > b else (b, a)
    if low - high < -40.0 or low == -np.inf:
        return high
    return high + math.log1p(math.exp(low - high))


@inner
def mixed(word, x):
    """The hash of a word that goes on with symbol x; 0 is the empty word's alone."""
    word = (word ^ (x + 1)) * SPREAD
    word ^= word >> 29
    return word if word != 0 else 1


@compiled
def hashes(symbols, borders, found):
    """found (W): the hash of each word, whose symbols stand from borders[i] to borders[i + 1]."""
    for i in range(len(found)):
        found[i] = 0
        for x in symbols[borders[i] : borders[i + 1]]:
            found[i] = mixed(found[i], x)


@inner
def word_ended(rules, model, word):
    """What a word earns as it ends, and the model's state after it; an empty one earns nothing."""
    automaton, _, words, numbers, _, _, _, kinds, prices = rules
    if word == 0:
        return 0.0, model
    at, earned, number = np.searchsorted(words, word), prices[1], kinds[4]
    if at < len(words) and words[at] == word:
        number = numbers[at]
    else:
        earned += prices[2]
    nats, model = look(automaton, model, number)
    return earned + prices[0] * nats, model


@inner
def grown(rules, ahead, model, word, hot, x):
    """What symbol x earns after a prefix with these states, and the states after it."""
    automaton, _, _, _, moves, gains, _, kinds, prices = rules
    earned = gains[hot, x]
    hot = moves[hot, x]
    if kinds[0] != OF_WORDS:
        earned += prices[1]
        if kinds[0] == OF_SYMBOLS:
            nats, model = look(automaton, model, x)
            earned += prices[0] * nats
        elif kinds[0] == OF_NET:
            earned, model = earned + prices[0] * ahead[model, x], UNREAD
    elif x == kinds[2]:
        more, model = word_ended(rules, model, word)
        earned, word = earned + more, 0
    else:
        word = mixed(word, x)
    return earned, model, word, hot


@compiled
def finish(rules, ended, tree, slots, open_ones, ahead, earned):
    """earned (width): what the last word, a hot phrase and the end of the text add to each prefix of the beam."""
    automaton, last, kinds, prices = rules[0], rules[6], rules[7], rules[8]
    for i in range(open_ones):
        node = slots[i]
        model, earned[i] = tree[node, MODEL], last[tree[node, HOT]]
        if kinds[0] == OF_WORDS:
            more, model = word_ended(rules, model, tree[node, WORD])
            earned[i] += more
        if ended and kinds[0] == OF_NET:
            earned[i] += prices[0] * ahead[model, kinds[3]]
        elif ended and kinds[0] != NO_MODEL:
            nats, model = look(automaton, model, kinds[3])
            earned[i] += prices[0] * nats


@inner
def child(rules, ahead, tree, bonus, counts, parent, x):
    """The node of a prefix and one symbol more, made if there is none."""
    node = tree[parent, FIRST]
    while node >= 0:
        if tree[node, SYMBOL] == x:
            return node
        node = tree[node, NEXT]
    node = counts[USED]
    counts[USED] += 1
    earned, model, word, hot = grown(rules, ahead, tree[parent, MODEL], tree[parent, WORD], tree[parent, HOT], x)
    tree[node, PARENT], tree[node, SYMBOL], tree[node, FIRST], tree[node, NEXT] = parent, x, -1, tree[parent, FIRST]
    tree[node, SLOT], tree[node, MODEL], tree[node, WORD], tree[node, HOT] = -1, model, word, hot
    tree[parent, FIRST] = node
    bonus[node] = bonus[parent] + earned
    return node


@inner
def offer(scores, places, kept, score, slot, x):
    """Put a candidate among the best; of equals the one that came first stays before. Returns how many are kept."""
    at = kept if kept < len(scores) else kept - 1
    if at == kept - 1 and score <= scores[at]:
        return kept
    while at > 0 and scores[at - 1] < score:
        scores[at] = scores[at - 1]
        places[at] = places[at - 1]
        at -= 1
    scores[at] = score
    places[at, 0], places[at, 1] = slot, x
    return min(kept + 1, len(scores))


@inner
def likely(frame, blank, least, chosen):
    """The symbols that are at least so likely, and the likeliest anyway; returns how many."""
    number, best = 0, 0
    for x in range(len(frame)):
        best = x if frame[x] > frame[best] else best
    for x in range(len(frame)):
        if x != blank and frame[x] > -np.inf and (frame[x] >= least or x == best):
            chosen[number] = x
            number += 1
    return number


@inner
def stay(frame, blank, tree, slots, ends, open_ones, total, stays, seen, stamp):
    """stays (width, 2): the beam's prefixes after one frame more, those that their parents reach too among them.

    seen[i, x] = stamp: prefix i extended by x stands in the beam.
    """
    for i in range(open_ones):
        total[i] = add(ends[i, 0], ends[i, 1])
    for i in range(open_ones):
        node = slots[i]
        x, parent = tree[node, SYMBOL], tree[node, PARENT]
        stays[i, 0], stays[i, 1] = total[i] + frame[blank], -np.inf
        if parent < 0:
            continue
        stays[i, 1] = ends[i, 1] + frame[x]
        p = tree[parent, SLOT]
        if p >= 0:
            seen[p, x] = stamp
            reached = ends[p, 0] if tree[parent, SYMBOL] == x else total[p]
            stays[i, 1] = add(stays[i, 1], reached + frame[x])


@compiled
def _push(frames, rules, least, threshold, tree, bonus, slots, ends, counts, ahead):
    width, V, blank, most = len(slots), frames.shape[1], rules[7][1], rules[8][3]
    total, stays, after = np.empty(width), np.empty((width, 2)), np.empty((width, 2))
    scores, places, nodes = np.empty(width), np.empty((width, 2), np.int64), np.empty(width, np.int64)
    chosen, seen = np.empty(V, np.int64), np.zeros((width, V), np.int64)
    for t in range(len(frames)):
        frame, open_ones, kept = frames[t], counts[OPEN], 0
        stay(frame, blank, tree, slots, ends, open_ones, total, stays, seen, t + 1)
        for i in range(open_ones):
            score = add(stays[i, 0], stays[i, 1]) + bonus[slots[i]]
            if score > -np.inf:
                kept = offer(scores, places, kept, score, i, -1)
        number = likely(frame, blank, least, chosen)
        for i in range(open_ones):
            node = slots[i]
            for k in range(number):
                x = chosen[k]
                score = bonus[node] + frame[x] + (ends[i, 0] if tree[node, SYMBOL] == x else total[i])
                floor = scores[width - 1] if kept == width else scores[0] - threshold if kept > 0 else -np.inf
                if seen[i, x] == t + 1 or not score + most > floor:
                    continue
                score += grown(rules, ahead, tree[node, MODEL], tree[node, WORD], tree[node, HOT], x)[0]
                kept = offer(scores, places, kept, score, i, x)
        counts[READ] += 1
        if kept == 0:  # nothing is possible: the frame is passed over
            continue
        for i in range(open_ones):
            tree[slots[i], SLOT] = -1
        while scores[kept - 1] < scores[0] - threshold:
            kept -= 1
        for r in range(kept):
            i, x = places[r]
            if x < 0:
                nodes[r], after[r, 0], after[r, 1] = slots[i], stays[i, 0], stays[i, 1]
            else:
                nodes[r], after[r, 0] = child(rules, ahead, tree, bonus, counts, slots[i], x), -np.inf
                after[r, 1] = frame[x] + (ends[i, 0] if tree[slots[i], SYMBOL] == x else total[i])
        for r in range(kept):
            slots[r], ends[r, 0], ends[r, 1] = nodes[r], after[r, 0], after[r, 1]
            tree[nodes[r], SLOT] = r
        counts[OPEN] = kept


@compiled
def spelled(tree, node):
    """The symbols of a prefix."""
    size, at = 0, node
    while tree[at, PARENT] >= 0:
        size, at = size + 1, tree[at, PARENT]
    ids = np.empty(size, np.int64)
    for k in range(size - 1, -1, -1):
        ids[k], node = tree[node, SYMBOL], tree[node, PARENT]
    return ids


# --- the frames of a text


@compiled
def align(frames, ids, blank, begins, ends):
    """begins, ends (N), 0 so far: from which frame up to which each of ids (N) is read on the likeliest way; returns its nats.

    Places on the way: blank, ids[0], blank, ids[1], … blank; from one to the same or the next, past a blank where the symbols
    on both sides of it differ (Graves et al. 2006).
    """
    T, places = len(frames), 2 * len(ids) + 1
    came, now, before = np.empty((T, places), np.int8), np.full(places, -np.inf), np.full(places, -np.inf)
    before[0] = 0.0
    for t in range(T):
        for j in range(places):
            best, by = before[j], 0
            if j > 0 and before[j - 1] > best:
                best, by = before[j - 1], 1
            if j > 1 and j % 2 == 1 and ids[j // 2] != ids[j // 2 - 1] and before[j - 2] > best:
                best, by = before[j - 2], 2
            now[j], came[t, j] = best + frames[t, ids[j // 2] if j % 2 == 1 else blank], by
        now, before = before, now
    j = places - 1
    if places > 1 and before[places - 2] > before[places - 1]:
        j = places - 2
    nats = before[j]
    for t in range(T - 1, -1, -1):
        if j % 2 == 1:
            begins[j // 2] = t
            ends[j // 2] = max(ends[j // 2], t + 1)
        j -= came[t, j]
    return nats
