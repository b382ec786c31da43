"""Translation models packed for the CPU: read sentences, and write translations by beam search or by drawing.

What comes out for a sentence does not depend on what else is translated with it, to the last bit: sentences of one length
are read together, every row of every product is summed in one order, and what is drawn is drawn from a sentence's own numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from . import decode
from .data.batch import Rows
from .data.vocab import END
from .decode import Beam, Hypothesis, Sampling
from .kernels.beams import best
from .kernels.stepping import Stepper
from .kernels.threads import in_shares
from .kernels.translating import Memory
from .packed_decoder import ARRAYS, COVERED, SENTENCES, Linear, packed, writing

AT_ONCE = 32  # sentences that one thread searches together
LEAST = 1e-6  # of a look at a step of the source that the coverage penalty tells apart


class Translator:
    """Of a translate model's weights as they are now."""

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)
    def __init__(self, model: nn.Module):
        if model.combine.weight.device.type != "cpu":
            model = copy.deepcopy(model).cpu()
        self.stretch = model.stretch
        self.embed = model.embed.weight.float().numpy()
        self.directions, self.states = model.encoder.directions, model.decoder.cells[0].states
        self.steppers = [Stepper([cell]) for cell in model.encoder.cells]
        self.memory, self.bridge = Linear.of(model.memory), [Linear.of(layer) for layer in model.bridge]
        attention = model.attention
        self.keys = None if attention is None or attention.key is None else Linear.of(attention.key)
        self.decoder = packed(
            list(model.decoder.cells), model.embed_target.weight, attention, model.combine, model.output, feed=model.feed
        )

    def open(self, source: Rows) -> tuple[decode.Step, decode.State]:
        """The step that writes translations of these sentences, and the state before the first symbol."""
        memory, states = self.read(source)
        return writing(self.decoder, memory, states)

    def read(self, source: Rows) -> tuple[Memory, np.ndarray]:
        """The memory of sentences, and the decoder's first states (N, L·S, H)."""
        lengths, H = source.lengths, self.memory.width
        values = np.empty((len(source.ids), H), np.float32)
        states = np.empty((len(lengths), len(self.bridge), H), np.float32)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            at = source.bounds[rows] + np.arange(length)[:, None]  # (T, R)
            hidden, last = self._encode(self.embed[source.ids[at]])
            values[at.ravel()] = self.memory(hidden.reshape(at.size, -1))
            for i, layer in enumerate(self.bridge):
                states[rows, i] = np.tanh(layer(last[i])) if i % self.states == 0 else layer(last[i])
        return Memory(values, values if self.keys is None else self.keys(values), source.bounds), states

    def _encode(self, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """x (T, R, E) -> the last layer's states (T, R, D·H), and what each of the bridge's layers reads, (R, D·H)."""
        last = []
        for layer in range(0, len(self.steppers), self.directions):
            outs, ends = [], []
            for direction, stepper in enumerate(self.steppers[layer : layer + self.directions]):
                state = stepper.start(x.shape[1])
                turned = np.ascontiguousarray(x[::-1]) if direction else x
                out = stepper(turned, state)
                outs.append(out[::-1] if direction else out)
                ends.append(state)
            x = np.ascontiguousarray(np.concatenate(outs, -1))
            last += [np.concatenate([end[i] for end in ends], -1) for i in range(self.states)]
        return x, last


# --- several nets together, on all threads


def search(
    nets: Sequence[Translator], source: Rows, options: Beam, banned: list[int],
    required: list[list[list[int]]] | None = None, coverage: float = 0.0,
) -> list[list[Hypothesis]]:  # fmt: skip
    """The best translations of each sentence, best first, by the mean of the nets' probabilities.

    banned    symbols that are never written
    required  phrases that must stand in each sentence's translation; where they are longer than the beam, it is wider
    coverage  β: scores hold β Σ_s ln min(1, Σ_t α_ts) (Wu et al. 2016)
    """
    phrases = required or [[] for _ in source.lengths]
    widths = np.array([max(options.width, 1 + sum(map(len, some))) for some in phrases], np.int64)

    def work(rows: np.ndarray) -> list[list[Hypothesis]]:
        some = source.taken(rows)
        advance, state = _together(nets, some)
        logits, state = advance(np.full(len(rows), END), state)
        theirs, beam = [phrases[row] for row in rows], options._replace(width=int(widths[rows[0]]))
        adjust = _uncovered(len(nets), some.lengths, coverage) if coverage else None
        theirs, most = theirs if any(theirs) else None, longest(some, nets[0].stretch)
        return decode.beams(advance, logits, state, beam, most, END, banned, theirs, adjust, best)

    return _in_parts(work, source, widths)


def sample(
    nets: Sequence[Translator], source: Rows, options: Sampling, number: int, seed: int, banned: list[int]
) -> list[list[Hypothesis]]:
    """`number` translations of each sentence, drawn symbol by symbol; the likelier ones first."""

    def work(rows: np.ndarray) -> list[list[Hypothesis]]:
        some = source.taken(rows)
        advance, state = _together(nets, some)
        most, each = longest(some, nets[0].stretch), np.repeat(np.arange(len(rows)), number)
        uniform = np.zeros((len(each), most.max()))
        for i, m in enumerate(most):  # a sentence's own numbers, whatever is beside it
            own = np.random.default_rng([seed, *some.ids[some.bounds[i] : some.bounds[i + 1]]])
            uniform[i * number : (i + 1) * number, :m] = own.random((number, m))
        drawn = _drawn(advance, tuple(s[each] for s in state), options, uniform, most[each], banned)
        parts = (drawn[i : i + number] for i in range(0, len(drawn), number))
        return [sorted(part, key=lambda one: -one.score) for part in parts]

    return _in_parts(work, source, np.zeros(len(source.lengths)))


def longest(source: Rows, stretch: float) -> np.ndarray:
    """The most symbols that a translation of each sentence may have: `stretch` for each one read, and twenty."""
    return np.ceil(stretch * source.lengths).astype(np.int64) + 20


def _in_parts(work: Callable, source: Rows, kinds: np.ndarray) -> list[list[Hypothesis]]:
    """What work(rows) finds for all rows, a few at a time: those of one kind, of about the same length."""
    order = np.lexsort((-source.lengths, kinds))
    alike = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)
    parts = [some[begin : begin + AT_ONCE] for some in alike for begin in range(0, len(some), AT_ONCE)]
    found: list[list[Hypothesis]] = [[] for _ in order]

    def share(i: int) -> None:
        for row, hypotheses in zip(parts[i], work(parts[i]), strict=True):
            found[row] = hypotheses

    in_shares(share, len(parts))
    return found


def _together(nets: Sequence[Translator], source: Rows) -> tuple[decode.Step, decode.State]:
    opened = [net.open(source) for net in nets]
    if len(opened) == 1:
        return opened[0]
    return decode.together([advance for advance, _ in opened], [ARRAYS] * len(nets)), sum((state for _, state in opened), ())


def _uncovered(nets: int, lengths: np.ndarray, weight: float) -> Callable[[decode.State], np.ndarray]:
    """What is taken from a score for steps of the source that no symbol looked at."""

    def adjust(state: decode.State) -> np.ndarray:
        total: Any = 0
        for net in range(nets):
            covered, sentences = state[net * ARRAYS + COVERED], state[net * ARRAYS + SENTENCES]
            inside = np.arange(covered.shape[1]) < lengths[sentences][:, None]
            short = np.where(inside, np.log(np.clip(covered.astype(np.float64), LEAST, 1)), 0)
            total = total + short.cumsum(1)[:, -1]  # summed one by one: padding then changes no bit
        return weight * total / nets

    return adjust


def _drawn(
    advance: decode.Step, state: decode.State, options: Sampling, uniform: np.ndarray, most: np.ndarray, banned: list[int]
) -> list[Hypothesis]:
    """One text a row, drawn with the numbers uniform (R, t) until it ends or has `most` (R,) symbols."""
    written: list[list[int]] = [[] for _ in most]
    nats, opened, ids, t = np.zeros(len(most)), np.arange(len(most)), np.full(len(most), END), 0
    while len(opened):
        logits, state = advance(ids, state)
        logits[:, banned] = -np.inf
        ids = decode.draw(decode.probabilities(logits, options), uniform[opened, t])
        nats[opened] += decode.log_softmax(logits)[np.arange(len(ids)), ids]
        for row, i in zip(opened, ids, strict=True):
            written[row].append(int(i))
        t += 1
        goes_on = (ids != END) & (t < most[opened])
        opened, ids, state = opened[goes_on], ids[goes_on], tuple(s[goes_on] for s in state)
    return [
        Hypothesis(one, float(total / len(one)), float(total), one[-1] == END) for one, total in zip(written, nats, strict=True)
    ]
