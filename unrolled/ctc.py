"""From the log-probabilities of a net trained by connectionist temporal classification (Graves et al. 2006) to text.

A frame's log-probabilities are of V symbols, one of them the blank. A text is read by frames that, with equal neighbours taken
for one and blanks left out, spell it; its probability is the sum over all such ways.

    log_probabilities (T, V), natural logarithms        a text: ids without blanks        frames: numbers from 0 to T - 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .backoff import Model
from .decode import State as NetState
from .decode import Step, log_softmax
from .errors import UserError
from .hot_words import listen
from .kernels import backoff
from .kernels import ctc as kernel
from .kernels.ctc import State
from .kernels.threads import in_shares
from .spelled import Found, checked


class Net(NamedTuple):
    """A net that reads texts symbol by symbol, as a search asks it. N symbols of its own."""

    step: Step  # as decode.py has them
    state: NetState  # of one row, before the first symbol
    first: int  # the symbol that it reads before a text
    end: int | None  # the one that ends a text; None: none does
    numbers: np.ndarray  # (V,) its number of each symbol of the frames


def align(log_probabilities: np.ndarray, ids: Sequence[int] | np.ndarray, blank: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The frames of each symbol of a text on the likeliest way (Viterbi 1967): begins, and one past the ends; (N,) each.

    UserError where the frames cannot be read as this text.
    """
    frames, ids = checked(log_probabilities), np.asarray(ids, np.int64)
    begins, ends = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    if not kernel.align(frames, ids, blank, begins, ends) > -np.inf:
        needed = len(ids) + int((ids[1:] == ids[:-1]).sum())
        raise UserError(f"{len(frames):,} frames cannot be read as this text of {len(ids):,} symbols: it takes {needed:,}")
    return begins, ends


class Search:
    """Prefix beam search (Hannun et al. 2014): of the texts that it keeps in sight, those with the highest

        ln p(text | frames) + weight · ln p(text | model) + insertion · units + bonus · symbols of hot phrases

    symbols    V, the blank among them                    blank    its id
    space      the symbol between words; None: there is none
    width      prefixes that go on after each frame
    least      symbols less likely than so many nats in a frame do not extend a prefix there, but for the likeliest; None: all do
    threshold  prefixes so many nats below the best are given up; None: none is
    model      a backoff.Model of symbols, applied at each symbol, or of words, applied as each word ends; a Net, applied at each
               symbol; None: none
    spelling   of a model of words: the ids of each of its words; words that are None cannot be written
    weight     of the model, at least 0
    insertion  what each symbol earns, with a model of words each word
    unknown    what each word earns that the model does not know
    hot        phrases as ids; each of their symbols earns `bonus`, for as long as the phrase goes on
    """

    def __init__(
        self, symbols: int, blank: int = 0, space: int | None = None, width: int = 32, least: float | None = -9.0,
        threshold: float | None = None, model: Model | Net | None = None, spelling: Sequence[Sequence[int] | None] = (),
        weight: float = 0.5, insertion: float = 0.0, unknown: float = -10.0, hot: Sequence[Sequence[int]] = (),
        bonus: float = 1.0,
    ):  # fmt: skip
        self.symbols, self.width = symbols, width
        self.least, self.threshold = -np.inf if least is None else least, np.inf if threshold is None else threshold
        self.net = model if isinstance(model, Net) else None
        kind = _kind(model)
        if kind == kernel.OF_WORDS and space is None:
            raise UserError("a model of words needs to know which symbol stands between words", fix="give `space`")
        if width < 1:
            raise UserError(f"`width` got {width}; a beam holds at least 1 prefix")
        if weight < 0:
            raise UserError(f"`weight` got {weight:g}; a language model has a weight of at least 0")
        hot_phrases = listen(hot, symbols, space, bonus)
        automaton, start, end, unknown_word = backoff.NOTHING, 0, symbols, -1
        if isinstance(model, Model):
            automaton, start, end, unknown_word = model.automaton, model.start, model.end, model.unknown
        earned = max(insertion, 0.0, insertion + unknown) + weight * _most(automaton) + float(hot_phrases.gains.max())
        self.rules = kernel.Rules(
            automaton, start, *_lexicon(spelling), *hot_phrases,
            np.array([kind, blank, -1 if space is None else space, end, unknown_word]),
            np.array([weight, insertion, unknown, earned]),
        )  # fmt: skip

    def start(self) -> State:
        """Before the first frame."""
        if self.net is None:
            return kernel.begin(self.rules, self.width)
        state = kernel.begin(self.rules, self.width, tuple(np.asarray(part) for part in self.net.state))
        self._read(state, np.zeros(1, np.int64), np.array([self.net.first]), self.net.state)
        return state

    def push(self, state: State, log_probabilities: np.ndarray) -> State:
        """After frames (T, V) more; the state that was given is spent. The same however the frames are cut into pushes."""
        frames = checked(log_probabilities)
        if frames.shape[1] != self.symbols:
            raise UserError(f"frames of {frames.shape[1]:,} symbols were given to a search over {self.symbols:,}")
        if self.net is None:
            return kernel.push(self.rules, state, frames, self.least, self.threshold)
        for t in range(len(frames)):  # the net reads the beam's new prefixes side by side, before the next frame
            state = kernel.push(self.rules, state, frames[t : t + 1], self.least, self.threshold)
            if len(nodes := kernel.unread(state)):
                parents, symbols = state.tree[nodes, kernel.PARENT], state.tree[nodes, kernel.SYMBOL]
                self._read(state, nodes, self.net.numbers[symbols], tuple(part[parents] for part in state.net))
        return state

    def _read(self, state: State, nodes: np.ndarray, ids: np.ndarray, before: NetState) -> None:
        """Let the net read the last symbols of prefixes: their own ids (R,), and its states before them."""
        net = self.net
        logits, after = net.step(ids, before)
        nats = log_softmax(logits.astype(np.float64))
        state.ahead[nodes, :-1] = nats[:, net.numbers]
        state.ahead[nodes, -1] = 0.0 if net.end is None else nats[:, net.end]
        for kept, part in zip(state.net, after, strict=True):
            kept[nodes] = part
        state.tree[nodes, kernel.MODEL] = nodes

    def best(self, state: State, number: int = 1, ended: bool = True) -> list[Found]:
        """The best texts so far, best first, at most `number`. ended False: more is to come, so a model's end does not count."""
        size = int(state.counts[kernel.OPEN])
        earned = np.empty(size)
        kernel.finish(tuple(self.rules), ended, state.tree, state.slots, size, state.ahead, earned)
        nats = np.logaddexp(state.ends[:size, 0], state.ends[:size, 1])
        scores = nats + state.bonus[state.slots[:size]] + earned
        order = np.argsort(-scores, kind="stable")[:number]
        return [Found(kernel.spelled(state.tree, state.slots[i]), float(scores[i]), float(nats[i])) for i in order]

    def read(self, log_probabilities: np.ndarray, number: int = 1) -> list[Found]:
        """The best texts of frames (T, V) that are all there."""
        return self.best(self.push(self.start(), log_probabilities), number)

    def read_each(self, batch: Sequence[np.ndarray], number: int = 1) -> list[list[Found]]:
        """`read` of many, on the threads that torch has; each is found as if it were alone."""
        found: list[list[Found]] = [[] for _ in batch]

        def work(i: int) -> None:
            found[i] = self.read(batch[i], number)

        in_shares(work, len(batch))
        return found


def rescore(
    found: Sequence[Found], step: Step, state: NetState, first: int, end: int | None, weight: float, insertion: float = 0.0,
    numbers: np.ndarray | None = None,
) -> list[Found]:  # fmt: skip
    """The texts in the order of score + weight · ln p(text | net) + insertion · symbols, best first.

    step, state    as decode.py has them: the state (of one row) before the symbol `first`, which is read first
    end            the symbol that ends a text, or None
    numbers        (V,) the net's number of each symbol of the frames; None: the same
    """
    spelled = [one.ids if numbers is None else numbers[one.ids] for one in found]
    texts = [np.append(ids, [] if end is None else end).astype(np.int64) for ids in spelled]
    lengths, nats = np.array([len(text) for text in texts]), np.zeros(len(texts))
    longest = int(lengths.max(initial=0))
    padded = np.array([np.pad(text, (0, longest - len(text)), constant_values=first) for text in texts])
    ids, state = np.full(len(texts), first), tuple(np.repeat(np.asarray(part), len(texts), 0) for part in state)
    for t in range(longest):  # all texts side by side
        logits, state = step(ids, state)
        ids = padded[:, t]
        nats += np.where(t < lengths, log_softmax(logits)[np.arange(len(texts)), ids], 0.0)
    scores = [one.score + weight * more + insertion * len(one.ids) for one, more in zip(found, nats.tolist(), strict=True)]
    order = sorted(range(len(found)), key=lambda i: -scores[i])
    return [found[i]._replace(score=scores[i]) for i in order]


def _kind(model: Model | Net | None) -> int:
    if model is None:
        return kernel.NO_MODEL
    if isinstance(model, Net):
        return kernel.OF_NET
    return kernel.OF_SYMBOLS if model.words is None else kernel.OF_WORDS


def _lexicon(spelling: Sequence[Sequence[int] | None]) -> tuple[np.ndarray, np.ndarray]:
    """The hashes of words, ascending, and which word each is."""
    numbers = np.array([i for i, ids in enumerate(spelling) if ids is not None and len(ids)], np.int64)
    borders = np.cumsum([0, *(len(spelling[i]) for i in numbers)])
    symbols, found = np.array([x for i in numbers for x in spelling[i]], np.int64), np.empty(len(numbers), np.int64)
    kernel.hashes(symbols, borders, found)
    order = np.argsort(found)
    return found[order], numbers[order]


def _most(automaton: backoff.Automaton) -> float:
    """The most that one symbol can earn: 0 in a model of probabilities; prices above 0 (pruned models) may add to it."""
    _, _, nats, _, prices, shorter = automaton
    most, depth, states = max(0.0, float(prices.max())), 0, np.arange(len(shorter))
    while states.any():
        depth, states = depth + 1, shorter[states]
    return max(0.0, float(nats.max(initial=0.0))) + most * (depth + 1)
