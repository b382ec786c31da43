"""Prefix beam search on one thread: ours beside the same in plain Python, and beside pyctcdecode where that is installed.

pip install --no-deps pyctcdecode "pygtrie<3"        (its numpy < 2 is not needed; without kenlm it has no language model)
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from unrolled import backoff, ctc

from .harness import beside, save

LETTERS = "\0 abcdefghijklmnopqrstuvwxyz'-"  # the blank first: V = 30
A_SECOND = 33  # frames
SECONDS, SHORT = 30, 3  # of speech that ours reads, and plain Python
TALK = "the of and to in that was his he it with is for as had you not be her on at by which have or from this him but all"
WORDS = TALK.split()


def run(data: str | None) -> None:
    """Frames as a trained net gives them (most are blanks, a symbol has one or two, some are in doubt), and flat ones."""
    symbols = {"model": backoff.of_texts([encode(sentence(seed)) for seed in range(1000)], len(LETTERS), 6)}
    settings = {"no model": {}, "6-gram": symbols, "6-gram, all symbols": symbols | {"least": None}, "words, 3-gram": words()}
    kinds = {"speech": speech(SECONDS), "flat": flat(SECONDS)}
    save("ctc", [row(kind, name, kinds[kind], settings[name]) for kind in kinds for name in settings])


def words() -> dict[str, Any]:
    """A model of 20,000 words, from 20,000 sentences; those that are spoken are among them."""
    rng = np.random.default_rng(0)
    made = ["".join(rng.choice(list(LETTERS[2:]), rng.integers(3, 9))) for _ in range(20_000)]
    known = tuple(dict.fromkeys([*WORDS, *made]))
    texts = np.minimum(rng.zipf(1.3, (20_000, 10)), len(known)) - 1
    return {"model": backoff.of_texts(texts, len(known), 3)._replace(words=known), "spelling": [encode(word) for word in known]}


def row(kind: str, name: str, frames: np.ndarray, settings: dict[str, Any]) -> dict[str, Any]:
    """Seconds on a core are those that the thread had one; ratios are of the clock."""
    short, search = frames[: SHORT * A_SECOND], ctc.Search(len(LETTERS), space=1, width=32, **settings)
    seconds = statistics.median(on_a_core(lambda: search.read(frames)) for _ in range(9))
    figures = {"frames": kind, "model": name, "times_real_time": SECONDS / seconds, "us_a_frame": 1e6 * seconds / len(frames)}
    found = beside(lambda: search.read(frames), peers(frames), 5) if name == "no model" else {}
    if "spelling" not in settings:
        found |= beside(lambda: search.read(short), {"python": lambda: plain(short, 32, **settings)}, 3)
        same = search.read(short)[0].ids.tolist() == list(plain(short, 32, **settings))
        figures["equal_to_python"] = "yes" if same else "no"
    for peer in ("python", "pyctcdecode"):
        if peer in found:
            figures[f"times_{peer}"] = "{ratio:.0f} ({ratio_min:.0f}-{ratio_max:.0f})".format(**found[peer])
    return figures


def on_a_core(work: Callable[[], Any]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def peers(frames: np.ndarray) -> dict[str, Callable[[], Any]]:
    if not importlib.util.find_spec("pyctcdecode"):
        return {}
    import pyctcdecode

    decoder = pyctcdecode.build_ctcdecoder(["", *LETTERS[1:]])
    return {
        "pyctcdecode": lambda: decoder.decode(frames.astype(np.float32), beam_width=32, token_min_logp=-9.0, beam_prune_logp=-1e9)
    }


def sentence(seed: int) -> str:
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice(WORDS, 10))


def encode(text: str) -> np.ndarray:
    return np.array([LETTERS.index(letter) for letter in text])


def speech(seconds: int) -> np.ndarray:
    """About 14 symbols a second: a frame or two of each, then blanks; a tenth of the frames are noise."""
    rng, path = np.random.default_rng(0), []
    while len(path) < seconds * A_SECOND:
        for symbol in encode(sentence(len(path)) + " "):
            path += [symbol] * rng.integers(1, 3) + [0] * rng.integers(0, 3)
    path = path[: seconds * A_SECOND]
    logits = rng.normal(size=(len(path), len(LETTERS)))
    logits[np.arange(len(path)), path] += np.where(rng.random(len(path)) < 0.1, 0.0, 9.0)
    return log_softmax(logits)


def flat(seconds: int) -> np.ndarray:
    return log_softmax(np.random.default_rng(0).normal(size=(seconds * A_SECOND, len(LETTERS))))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


# --- the same search in plain Python


def plain(
    frames: np.ndarray, width: int, model: backoff.Model | None = None, weight: float = 0.5, least: float | None = -9.0
) -> tuple[int, ...]:
    """The best text; what a prefix earns and the model's state after it are kept by prefix."""
    begin, symbol, nats, to, backoffs, shorter = (each.tolist() for each in (model or NOTHING).automaton)
    arcs = [{symbol[i]: (nats[i], to[i]) for i in range(a, b)} for a, b in pairwise(begin)]
    earned: dict[tuple[int, ...], tuple[float, int]] = {(): (0.0, model.start if model else 0)}

    def look(state: int, x: int) -> tuple[float, int]:
        price = 0.0
        while x not in arcs[state]:
            price += backoffs[state]
            if state == 0:
                return price, 0
            state = shorter[state]
        more, after = arcs[state][x]
        return price + more, after

    def score(item: tuple[tuple[int, ...], list[float]]) -> float:
        text, ends = item
        if text not in earned:
            before, state = earned[text[:-1]]
            more, state = look(state, text[-1])
            earned[text] = before + weight * more, state
        return add(*ends) + earned[text][0]

    beam = {(): [0.0, -math.inf]}
    for frame in frames.tolist():
        best = max(range(len(frame)), key=frame.__getitem__)
        chosen = [x for x in range(1, len(frame)) if least is None or frame[x] >= least or x == best]
        after: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        for text, (with_blank, without) in beam.items():
            total = add(with_blank, without)
            after[text][0] = add(after[text][0], total + frame[0])
            if text:
                after[text][1] = add(after[text][1], without + frame[text[-1]])
            for x in {*chosen, *(other[-1] for other in beam if other[:-1] == text and other)}:
                longer = (*text, x)
                after[longer][1] = add(after[longer][1], (with_blank if text and text[-1] == x else total) + frame[x])
        beam = dict(sorted(after.items(), key=score, reverse=True)[:width])
    return max(beam, key=lambda text: score((text, beam[text])) + (weight * look(earned[text][1], model.end)[0] if model else 0))


NOTHING = backoff.Model(backoff.backoff.NOTHING, 0, 0)


def add(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
