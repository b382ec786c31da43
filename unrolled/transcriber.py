"""Sound in, text out, while it is spoken: a packed net and a beam search, for any number of streams.

A stream is its state, which start() makes anew. Where nothing is said for a while, what was said is finished, and net and search
begin again. What is found does not depend on how the sound is cut into pieces: it is taken a step of the net at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import listener
from .ctc import Search
from .decode import log_softmax
from .kernels import ctc as kernel
from .listener import Listener
from .spelled import Found


class State(NamedTuple):
    """A stream between two pieces of sound; spent by the next."""

    held: np.ndarray  # samples that do not fill a step yet
    net: listener.State
    search: kernel.State
    heard: int  # samples since the stream began
    quiet: int | None  # answers since a symbol was last heard; None: none was since the last text


class Said(NamedTuple):
    """A finished text, and how many samples of the stream had been heard then."""

    found: Found
    heard: int


class Transcriber:
    """
    listener  whose classes are the symbols that the search is over
    search    the search
    step      samples from one answer of the net to the next
    pause     answers without a symbol after which a text is finished; None: only the stream's end finishes it
    tail      samples of silence that follow the end of a stream, as the net learnt
    """

    def __init__(self, listener: Listener, search: Search, step: int, pause: int | None, tail: int, blank: int = 0):
        self.listener, self.search, self.step, self.pause, self.tail, self.blank = listener, search, step, pause, tail, blank

    def start(self) -> State:
        """A stream before its first sample."""
        return State(np.empty(0, np.float32), self.listener.start(), self.search.start(), 0, None)

    def __call__(self, samples: np.ndarray, state: State) -> tuple[list[Said], State]:
        """Samples (N,) of any number -> the texts that are finished by them, and the state after them."""
        samples, said = np.concatenate((state.held, samples)), []
        whole = len(samples) // self.step * self.step
        for begin in range(0, whole, self.step):
            state = self._step(samples[begin : begin + self.step], state)
            if self.pause is not None and state.quiet is not None and state.quiet >= self.pause:
                said.append(Said(self.search.best(state.search)[0], state.heard))
                state = self.start()._replace(heard=state.heard)
        return said, state._replace(held=samples[whole:].copy())

    def _step(self, samples: np.ndarray, state: State) -> State:
        frames = log_softmax(self.listener(samples, state.net).astype(np.float64))
        quiet = state.quiet
        for best in frames.argmax(1):
            quiet = 0 if best != self.blank else quiet if quiet is None else quiet + 1
        search = self.search.push(state.search, frames) if len(frames) else state.search
        return state._replace(search=search, heard=state.heard + len(samples), quiet=quiet)

    def so_far(self, state: State) -> Found:
        """The best text of what was heard since the last finished one."""
        return self.search.best(state.search, ended=False)[0]

    def end(self, state: State) -> list[Said]:
        """The texts of a stream that ends here which are not finished yet."""
        heard = state.heard + len(state.held)
        whole = np.concatenate((state.held, np.zeros(self.tail, np.float32)))
        answers = log_softmax(self.listener(whole, state.net).astype(np.float64))
        found = self.search.best(self.search.push(state.search, answers))[0]
        return [Said(found, heard)] if len(found.ids) else []
