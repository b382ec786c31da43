"""From probabilities to symbols: greedy, sampling and beam search over any step function. numpy alone.

A step is step(ids (B,), state) -> (logits (B, V) as numpy, state), state a tuple of arrays or tensors with rows first.
What several rows share (a sentence's encoder outputs) a step reaches by numbers of its own: an array (B,) in the state.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import numpy as np

from .errors import UserError
from .required import Met, Phrases, advance, begin, missing, prepare, share_out, with_required

State = tuple[Any, ...]
Step = Callable[[np.ndarray, State], tuple[np.ndarray, State]]
Choose = Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]  # best() below says what it takes and gives


class Sampling(NamedTuple):
    """How the next symbol is drawn. Filters apply in the order of the fields; None is off.

    temperature         divides the logits; 0 takes the likeliest symbol
    top_k               keep the k likeliest
    top_p               keep the fewest symbols that together have probability p (Holtzman et al. 2020)
    min_p               keep symbols at least this fraction as likely as the likeliest (Nguyen et al. 2024)
    repetition_penalty  divides positive, multiplies negative logits of symbols in the last `window` (Keskar et al. 2019)
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    window: int = 64


def probabilities(logits: np.ndarray, settings: Sampling, recent: np.ndarray | None = None) -> np.ndarray:
    """The distribution the next symbol is drawn from; logits (B, V), recent (B, n) ids -> (B, V), rows sum to 1."""
    logits = logits.astype(np.float64)
    if settings.repetition_penalty != 1.0 and recent is not None and recent.shape[1]:
        seen = np.take_along_axis(logits, recent, 1)
        penalty = settings.repetition_penalty
        np.put_along_axis(logits, recent, np.where(seen > 0, seen / penalty, seen * penalty), 1)
    if settings.temperature == 0:
        return (np.arange(logits.shape[1]) == logits.argmax(1)[:, None]).astype(np.float64)
    p = np.exp((logits - logits.max(1, keepdims=True)) / settings.temperature)
    if settings.top_k is not None and settings.top_k < p.shape[1]:
        others = np.argpartition(p, -settings.top_k, 1)[:, : -settings.top_k]
        np.put_along_axis(p, others, 0.0, 1)
    if settings.top_p is not None:
        p = _nucleus(p / p.sum(1, keepdims=True), settings.top_p)
    if settings.min_p is not None:
        p[p < settings.min_p * p.max(1, keepdims=True)] = 0
    return p / p.sum(1, keepdims=True)


def _nucleus(p: np.ndarray, top_p: float) -> np.ndarray:
    order = np.argsort(-p, 1, kind="stable")
    ordered = np.take_along_axis(p, order, 1)
    before = np.cumsum(ordered, 1) - ordered  # probability of all likelier symbols
    ordered[before >= top_p] = 0  # the likeliest has 0 before it and always stays
    np.put_along_axis(p, order, ordered, 1)
    return p


def draw(p: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One id a row by inverse transform; p (B, V), uniform (B,) in [0, 1) -> (B,)."""
    upto = np.cumsum(p, 1)
    return (upto <= uniform[:, None] * upto[:, -1:]).sum(1)  # uniform < 1: never past the last with p > 0


def sample(
    step: Step, logits: np.ndarray, state: State, settings: Sampling, random: np.random.Generator, banned: list[int]
) -> Iterator[np.ndarray]:
    """Ids (B,) for ever, one state update each; logits (B, V) and state are those after the prompt."""
    recent = np.zeros((len(logits), 0), np.int64)
    while True:
        logits[:, banned] = -np.inf
        ids = draw(probabilities(logits, settings, recent), random.random(len(logits)))
        yield ids
        if settings.repetition_penalty != 1.0:
            recent = np.concatenate([recent, ids[:, None]], 1)[:, -settings.window :]
        logits, state = step(ids, state)


class Beam(NamedTuple):
    """How beams() searches. None is off.

    width         open hypotheses a sentence, and the most that are returned
    length_power  a log-probability is divided by length ** length_power: 0 compares whole texts, 1 the mean a symbol, which
                  has a unit; for long texts Wu et al. 2016's ((5 + length) / 6) ** power puts them in the same order
    no_repeat     no run of so many symbols stands twice in a text (Paulus et al. 2018)
    patience      a search is over when patience · width hypotheses have ended (Kasai et al. 2022); None goes on until no open
                  hypothesis can overtake the worst of `width` that ended, which takes long where length_power is large
    threshold     open hypotheses so many nats below the likeliest one are given up (Freitag and Al-Onaizan 2017)
    groups        the width is shared by so many searches, each of which pays for what those before it write at the same step
    diversity     nats that it pays for a symbol, each time that it was taken: when texts are chosen to go on, not in their
                  scores; `end` costs nothing (Vijayakumar et al. 2016)
    """

    width: int = 5
    length_power: float = 0.0
    no_repeat: int | None = None
    patience: float | None = None
    threshold: float | None = None
    groups: int = 1  # divides the width
    diversity: float = 0.0


class Hypothesis(NamedTuple):
    ids: list[int]  # the last one is `end` if it ended
    score: float  # nats / length ** length_power, and what `adjust` adds
    nats: float  # log-probability
    ended: bool


class Open(NamedTuple):
    """The hypotheses that go on, those of a sentence one after the other, and the likelier first."""

    sentences: np.ndarray  # (G,) numbers of the sentences that go on; of several groups, those of a sentence are neighbours
    borders: np.ndarray  # (G + 1,) where the rows of each begin
    nats: np.ndarray  # (R,) log-probabilities
    ids: np.ndarray  # (R, t) what is written
    met: Met | None  # how much of what is required


class Candidates(NamedTuple):
    """What may be written next, in the order in which it is kept; (G, count) each."""

    rows: np.ndarray
    ids: np.ndarray
    nats: np.ndarray  # of the whole text; -inf: there are no more
    missing: np.ndarray  # symbols of the phrases required that are still to be written


def beams(
    step: Step, logits: np.ndarray, state: State, options: Beam, longest: Sequence[int] | np.ndarray, end: int | None,
    banned: Sequence[int], required: Sequence[Sequence[Sequence[int]]] | None = None,
    adjust: Callable[[State], np.ndarray] | None = None, choose: Choose | None = None,
) -> list[list[Hypothesis]]:  # fmt: skip
    """The best continuations of N sentences at once, each found as if it were alone.

    logits (N, V) and state are those after the prompts, a row a sentence; logits are spent, here and after each step.
    longest (N,) is the most symbols each may have, `end` among them, at least 1. Symbols `banned` do not exist: the others
    share their probability. required holds the phrases that must stand in each text (see required.py). adjust(state) -> (R,)
    is added to the scores of hypotheses as they end, and at most 0. Logits that are no numbers count as impossible.

    A list a sentence, best first: at most `width` that ended, filled up with those still open at `longest`. One of the first
    `width` candidates of a step has to be `end` for a hypothesis to end. Equals are told apart by the place of the hypothesis
    they continue, then by the symbol. A sentence always has one: where all is impossible, the text before that.
    Groups take no required phrases; what several of them wrote stands once.
    """
    longest, end, choose = np.asarray(longest), -1 if end is None else end, choose or best
    if options.groups > 1:
        each = np.repeat(np.arange(len(logits)), options.groups)  # a group searches as if it were a sentence
        logits, state, longest = logits[each], tuple(s[each] for s in state), longest[each]
        one = options._replace(width=options.width // options.groups)
        return _merged(_search(step, logits, state, one, longest, end, banned, None, adjust, choose), options)
    return _search(step, logits, state, options, longest, end, banned, required, adjust, choose)


def _search(
    step: Step, logits: np.ndarray, state: State, options: Beam, longest: np.ndarray, end: int, banned: Sequence[int],
    required: Sequence[Sequence[Sequence[int]]] | None, adjust: Callable[[State], np.ndarray] | None, choose: Choose,
) -> list[list[Hypothesis]]:  # fmt: skip
    """beams() of sentences, or of their groups; options.width is a group's."""
    N, V = logits.shape
    phrases = None if required is None else prepare(required, V)
    met = None if phrases is None else begin(phrases)
    asked = np.array([bool(some) for some in required or [()] * N])  # one that has met more may be far less likely
    opened = Open(np.arange(N), np.arange(N + 1), np.zeros(N), np.zeros((N, 0), np.int64), met)
    found = Found(options, [[] for _ in range(N)], np.full(N, -np.inf), np.zeros(N, np.int64))
    while len(opened.sentences):
        logits[:, list(banned)] = -np.inf
        candidates = _candidates(logits, opened, options, end, phrases, choose)
        goes_on = _open(candidates.ids, candidates.nats, end, options.width)
        ends = np.isfinite(candidates.nats) & (candidates.ids == end) & (np.arange(goes_on.shape[1]) < options.width)
        if ends.any():
            _end(found, opened, candidates, ends, state, adjust)
        over = _over(found, opened, candidates, goes_on, longest)
        for g in np.flatnonzero(over):
            _leave(found, opened, candidates, goes_on, g, longest)
        goes_on &= ~over[:, None]
        if options.threshold is not None:
            least = candidates.nats.max(1, keepdims=True, where=goes_on, initial=-np.inf) - options.threshold
            goes_on &= (candidates.nats >= least) | asked[opened.sentences][:, None]
        rows, ids = candidates.rows[goes_on], candidates.ids[goes_on]
        opened = _write(opened, phrases, rows, ids, candidates.nats[goes_on], goes_on)
        if len(rows):
            logits, state = step(ids, tuple(s[rows] for s in state))
    return found.hypotheses


class Found(NamedTuple):
    """What ended, a list a sentence, best first; of equals the one that ended first."""

    options: Beam
    hypotheses: list[list[Hypothesis]]
    worst: np.ndarray  # (N,) score that one has to be better than to be kept
    number: np.ndarray  # (N,) how many have ended, those not kept among them


def _candidates(
    logits: np.ndarray, opened: Open, options: Beam, end: int, phrases: Phrases | None, choose: Choose
) -> Candidates:  # fmt: skip
    """Twice the width: no hypothesis ends twice, so that `width` remain open."""
    count, never = 2 * options.width, repeats(opened.ids, options.no_repeat)
    if options.groups > 1:
        return _apart(logits, opened, options, end, never, choose)
    if phrases is None:
        rows, ids, nats, _ = choose(logits, opened.nats, opened.borders, count, never)
        return Candidates(rows, ids, nats, np.zeros(rows.shape, np.int64))
    unmet = np.flatnonzero(missing(phrases, opened.met)) if end >= 0 else np.zeros(0, np.int64)
    never = np.append(never[0], unmet), np.append(never[1], np.full(len(unmet), end))
    each = np.arange(len(logits) + 1)  # of every hypothesis so many: one that has met more may be far less likely
    rows, ids, _, base = choose(logits, opened.nats, each, count, never)
    rows, ids = with_required(phrases, opened.met, rows.ravel(), ids.ravel())
    logits[never] = -np.inf
    nats = base[rows] + logits[rows, ids]
    possible = np.isfinite(nats)
    rows, ids, nats = rows[possible], ids[possible], nats[possible]
    short = missing(phrases, advance(phrases, opened.met.of(rows), ids))
    groups = np.searchsorted(opened.borders, rows, "right") - 1
    chosen = share_out(groups, nats, short, len(opened.sentences), count)  # -1: no more
    nats = np.where(chosen < 0, -np.inf, np.append(nats, -np.inf)[chosen])
    return Candidates(np.append(rows, 0)[chosen], np.append(ids, 0)[chosen], nats, np.append(short, 0)[chosen])


def _open(ids: np.ndarray, nats: np.ndarray, end: int, width: int) -> np.ndarray:
    """Which candidates (G, count) may go on: the first `width` that are possible and do not end."""
    goes_on = np.isfinite(nats) & (ids != end)
    return goes_on & (goes_on.cumsum(1) <= width)


def _apart(
    logits: np.ndarray, opened: Open, options: Beam, end: int, never: tuple[np.ndarray, np.ndarray], choose: Choose
) -> Candidates:  # fmt: skip
    """As _candidates, each group's in the order of what is left of them after they have paid for what groups before them took.

    What is taken, W - w symbols at most, is paid for in w rows: with so many candidates more, all that are kept are among them.
    """
    width, (sentences, groups) = options.width, np.divmod(opened.sentences, options.groups)
    count, more = 2 * width, (options.groups - 1) * width * width
    rows, ids, nats, _ = choose(logits, opened.nats, opened.borders, count + more, never)
    _, sentences = np.unique(sentences, return_inverse=True)
    taken = np.full((len(rows), options.groups * count), -1)  # (sentences, …) symbols
    order = np.empty((len(rows), count), np.int64)
    for group in range(options.groups):
        mine = np.flatnonzero(groups == group)
        times = (ids[mine, :, None] == taken[sentences[mine], None, : group * count]).sum(2)
        order[mine] = np.argsort(options.diversity * times - nats[mine], 1, kind="stable")[:, :count]
        at = mine[:, None], order[mine]
        taken[sentences[mine], group * count : (group + 1) * count] = np.where(_open(ids[at], nats[at], end, width), ids[at], -1)
    at = np.arange(len(order))[:, None], order
    return Candidates(rows[at], ids[at], nats[at], np.zeros(order.shape, np.int64))


def _merged(found: list[list[Hypothesis]], options: Beam) -> list[list[Hypothesis]]:
    """Each sentence's hypotheses of all its groups, different ones: those that ended first, the better before the others."""
    parts = (chain.from_iterable(found[i : i + options.groups]) for i in range(0, len(found), options.groups))
    different = ({tuple(h.ids): h for h in part}.values() for part in parts)
    return [sorted(some, key=lambda h: (not h.ended, -h.score)) for some in different]


def groups_of(width: int, groups: int | None, diversity: float | None) -> int:
    """How many groups a beam of `width` has: one where nothing is to be diverse, else `groups`, or as many as hypotheses.

    UserError: groups without diversity, or of different widths.
    """
    if diversity is None:
        if groups is not None:
            raise UserError(f"`--groups {groups}` is given without `--diversity`", fix="--diversity 0.5")
        return 1
    if width % (groups or width):
        said = f"`--beam {width}` cannot be shared alike by `--groups {groups}`"
        raise UserError(said, fix=f"--beam {-(-width // groups) * groups}")
    return groups or width


def repeats(ids: np.ndarray, n: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows and symbols that would write n symbols of ids (R, t) a second time; n None: none."""
    t = ids.shape[1]
    if n is None or t < n:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    runs = np.lib.stride_tricks.sliding_window_view(ids, n, 1)  # (R, t - n + 1, n)
    rows, at = np.nonzero((runs[:, :, :-1] == ids[:, None, t - n + 1 :]).all(2))
    return rows, ids[rows, at + n - 1]


def _end(
    found: Found, opened: Open, candidates: Candidates, ends: np.ndarray, state: State, adjust: Callable | None
) -> None:  # fmt: skip
    """Put the candidates that are `end` among those found."""
    width, power = found.options.width, found.options.length_power
    groups, rows = np.nonzero(ends)[0], candidates.rows[ends]
    nats, ids = candidates.nats[ends], np.column_stack([opened.ids[rows], candidates.ids[ends]])
    scores = nats / ids.shape[1] ** power
    if adjust is not None:
        scores = scores + np.asarray(adjust(tuple(s[rows] for s in state)))
    sentences = opened.sentences[groups]
    np.add.at(found.number, sentences, 1)
    for i in np.flatnonzero(scores > found.worst[sentences]):
        s = sentences[i]
        kept = found.hypotheses[s]
        insort(kept, Hypothesis(ids[i].tolist(), float(scores[i]), float(nats[i]), True), key=lambda h: -h.score)
        del kept[width:]
        found.worst[s] = kept[-1].score if len(kept) == width else -np.inf


def _over(
    found: Found, opened: Open, candidates: Candidates, goes_on: np.ndarray, longest: np.ndarray
) -> np.ndarray:  # fmt: skip
    """Which sentences (G,) are done with: log-probabilities only fall, and a text can grow to `longest` at most."""
    options, s = found.options, opened.sentences
    likeliest = np.where(goes_on, candidates.nats, -np.inf).max(1)
    over = (likeliest / longest[s] ** options.length_power <= found.worst[s]) | (opened.ids.shape[1] + 1 >= longest[s])
    return over if options.patience is None else over | (found.number[s] >= options.patience * options.width)


def _leave(
    found: Found, opened: Open, candidates: Candidates, goes_on: np.ndarray, g: int, longest: np.ndarray
) -> None:  # fmt: skip
    """Fill up what ended in group g with what is still open, as far as it has met what is required."""
    s, power = opened.sentences[g], found.options.length_power
    kept, open_ones = found.hypotheses[s], np.flatnonzero(goes_on[g])
    if len(open_ones) and (opened.ids.shape[1] + 1 >= longest[s] or not kept):
        short = candidates.missing[g, open_ones]
        for place in open_ones[short == (0 if kept else short.min())][: found.options.width - len(kept)]:
            ids = [*opened.ids[candidates.rows[g, place]].tolist(), int(candidates.ids[g, place])]
            nats = float(candidates.nats[g, place])
            kept.append(Hypothesis(ids, nats / len(ids) ** power, nats, False))
    if not kept:  # nothing can follow any of them
        row = opened.borders[g]
        ids, nats = opened.ids[row].tolist(), float(opened.nats[row])
        kept.append(Hypothesis(ids, nats / max(1, len(ids)) ** power, nats, False))


def _write(
    opened: Open, phrases: Phrases | None, rows: np.ndarray, ids: np.ndarray, nats: np.ndarray, goes_on: np.ndarray
) -> Open:  # fmt: skip
    """The hypotheses after symbols ids (R,) were written behind those in `rows`."""
    number = goes_on.sum(1)
    borders = np.append(0, number[number > 0].cumsum())
    met = None if phrases is None else advance(phrases, opened.met.of(rows), ids)
    return Open(opened.sentences[number > 0], borders, nats, np.column_stack([opened.ids[rows], ids]), met)


def best(
    logits: np.ndarray, nats: np.ndarray, borders: np.ndarray, count: int, never: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The likeliest continuations of each group of hypotheses: a Choose that kernels.beams.best is tested against.

    logits (R, V), spent; nats (R,) of the hypotheses; those of group g stand in rows borders[g] to borders[g + 1]. Symbols
    never[1] are not chosen in rows never[0]; they keep their part of the probability.
    Returns rows, ids, log-probabilities (G, count), likeliest first, of equals the one in the first row, in it the first
    symbol; -inf where no more are possible. And base (R,): a continuation's log-probability is base + logit.
    """
    logits[~(logits < np.inf)] = -np.inf
    base = nats - _log_total(logits)
    logits[never] = -np.inf
    V, shape = logits.shape[1], (len(borders) - 1, count)
    rows, ids, found = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, -np.inf)
    for g, (first, last) in enumerate(pairwise(borders)):
        values = (base[first:last, None] + logits[first:last]).ravel()
        least = np.partition(values, -count)[-count] if count < len(values) else -np.inf
        at = np.flatnonzero((values >= least) & (values > -np.inf))
        at = at[np.argsort(-values[at], kind="stable")[:count]]
        rows[g, : len(at)], ids[g, : len(at)], found[g, : len(at)] = first + at // V, at % V, values[at]
    return rows, ids, found, base


def _log_total(logits: np.ndarray) -> np.ndarray:
    """ln Σ exp of each row of logits (R, V) below inf, in float64; 0 where all are impossible."""
    top = logits.max(1).astype(np.float64)
    top[top == -np.inf] = 0
    total = np.exp(logits - top[:, None]).sum(1)
    return top + np.log(total, where=total > 0, out=np.zeros(len(total)))


def together(steps: Sequence[Step], sizes: Sequence[int]) -> Step:
    """A step of several nets that have their symbols in common: the mean of their probabilities.

    Its state is the states of all nets one after the other; sizes: how many arrays each of them has.
    """
    borders = [0, *accumulate(sizes)]

    def step(ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        parts = [one(ids, state[first:last]) for one, (first, last) in zip(steps, pairwise(borders), strict=True)]
        logits = mean_logits([logits for logits, _ in parts]).astype(np.float32)  # as of one net
        return logits, tuple(s for _, after in parts for s in after)

    return step


def mean_logits(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Logarithms (B, V) of the mean of the probabilities that each net's logits (B, V) stand for; float64."""
    mean = sum(np.exp(log_softmax(one)) for one in logits) / len(logits)
    return np.log(mean, where=mean > 0, out=np.full(mean.shape, -np.inf))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """(B, V) -> natural logarithms of probabilities, float64."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
