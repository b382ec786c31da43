"""A net that listens, with the rule by which it fires: sound in, events out, for any number of streams.

A stream is its state, a tuple that start() makes anew: nothing of one stream is left for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from . import detection, listener
from .firing import Event, Rule
from .listener import Listener

State = tuple[listener.State, detection.State]


class Detector:
    """
    listener  whose one class is the logit that the word has just been said
    rule      when it fires
    rate      samples a second
    step      samples from an answer to the next
    lead      samples until the first answer
    """

    def __init__(self, listener: Listener, rule: Rule, rate: int, step: int, lead: int):
        self.listener, self.rule, self.rate, self.lead, self.hop = listener, rule, rate, lead, step / rate
        self.offset = (lead - step) / rate  # detection counts an answer's time from its step alone

    def start(self) -> State:
        """A stream before its first sample."""
        return self.listener.start(), detection.START

    def __call__(self, samples: np.ndarray, state: State) -> tuple[np.ndarray, list[Event], State]:
        """Samples (N,) of any number -> the probabilities (n,) that they complete, events among them, the state after them."""
        heard, fired = state
        probabilities = sigmoid(self.listener(samples, heard)[:, 0])
        times, after = detection.events(probabilities, self.rule, self.hop, fired)
        at = np.rint(times / self.hop).astype(int) - 1 - fired.frame
        events = [Event(float(t + self.offset), float(probabilities[i])) for t, i in zip(times, at, strict=True)]
        return probabilities, events, (heard, after)

    def probabilities(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """Of a whole stream (n,)."""
        heard = self.listener.start()
        return sigmoid(np.concatenate([np.empty(0, np.float32), *(self.listener(block, heard)[:, 0] for block in blocks)]))

    def events(self, blocks: Iterable[np.ndarray]) -> Iterator[Event]:
        """Of a whole stream, as they come."""
        state = self.start()
        for block in blocks:
            _, events, state = self(block, state)
            yield from events


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float32, without overflow."""
    return np.float32(0.5) * np.tanh(np.float32(0.5) * logits) + np.float32(0.5)
