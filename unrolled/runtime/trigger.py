"""A net that listens for a word: when it was said, as `unrolled predict` and `unrolled listen` answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .. import firing
from ..data import sound
from ..firing import Event, Rule
from . import hearing
from .hearing import Ears, Sound
from .opened import Opened


class Answer(NamedTuple):
    """What is heard in a sound."""

    probability: float  # the highest
    events: list[Event]


class State(NamedTuple):
    """A stream between two pieces of sound."""

    heard: hearing.State
    fired: firing.State


class Trigger:
    """`rule` says when it fires; `rate` is what samples have to have."""

    def __init__(self, opened: Opened):
        self.ears, settings = Ears(opened, "logit"), opened.settings
        self.rule = Rule(settings["threshold"], settings["release"], settings["refractory"])
        self.rate, self.hop = self.ears.rate, self.ears.step / self.ears.rate
        self.offset = (self.ears.lead - self.ears.step) / self.rate
        firing.check(self.rule)

    def predict(self, sounds: Sequence[Sound], threshold: float | None = None) -> list[Answer]:
        """When the word is said in each sound: a file's path, or samples (N,), full scale 1, and their rate."""
        return [self._answer(each, self._rule(threshold)) for each in sounds]

    def listen(self, source: str, threshold: float | None = None, hertz: int | None = None) -> Iterator[Event]:
        """Events as they come: from a file, from the microphone (`mic`), or raw sound of 16 bits through standard input (`-`)."""
        stream = self.stream(threshold)
        for block in sound.heard(source, self.rate, hertz):
            yield from stream.push(block)

    def stream(self, threshold: float | None = None) -> Stream:
        """A stream before its first sample; there may be any number of them."""
        return Stream(self, self._rule(threshold))

    def start(self) -> State:
        return State(self.ears.start(), firing.START)

    def __call__(self, samples: np.ndarray, state: State, rule: Rule | None = None) -> tuple[np.ndarray, list[Event], State]:
        """Samples (N,) of any number -> the probabilities (n,) that they complete, events among them, the state after them."""
        logits, heard = self.ears(samples, state.heard)
        probabilities = np.float32(0.5) * np.tanh(np.float32(0.5) * logits) + np.float32(0.5)
        at, fired = fire(probabilities, rule or self.rule, self.hop, state.fired)
        return probabilities, [self._event(i, state.fired.frame, probabilities) for i in at], State(heard, fired)

    def _rule(self, threshold: float | None) -> Rule:
        rule = self.rule if threshold is None else self.rule._replace(threshold=threshold)
        firing.check(rule)
        return rule

    def _event(self, i: int, before: int, probabilities: np.ndarray) -> Event:
        return Event(round((before + i + 1) * self.hop + self.offset, 3), round(float(probabilities[i]), 4))

    def _answer(self, heard: Sound, rule: Rule) -> Answer:
        state, highest, events = self.start(), 0.0, []
        for block in self.ears.blocks(heard):
            probabilities, found, state = self(block, state, rule)
            highest = max(highest, float(probabilities.max(initial=0)))
            events += found
        return Answer(round(highest, 4), events)


class Stream:
    """One stream, which remembers what it has heard."""

    def __init__(self, net: Trigger, rule: Rule):
        self.net, self.rule, self.state = net, rule, net.start()

    def push(self, samples: np.ndarray) -> list[Event]:
        """The events that samples (N,) of any number complete; the same however a sound is cut into pieces."""
        _, events, self.state = self.net(samples, self.state, self.rule)
        return events

    def reset(self) -> None:
        """As before its first sample."""
        self.state = self.net.start()


def fire(probabilities: np.ndarray, rule: Rule, hop: float, state: firing.State) -> tuple[list[int], firing.State]:
    """At which of probabilities (T,), one every `hop` seconds, a detector fires, and its state after them (detection.events)."""
    threshold = np.float32(rule.threshold)
    low, wait = np.float32(rule.release) * threshold, round(rule.refractory / hop)
    found, (frame, ready, again) = [], state
    for i, p in enumerate(probabilities):
        if p < low:
            ready = True
        elif p >= threshold and ready and frame + i >= again:
            found.append(i)
            ready, again = False, frame + i + wait
    return found, firing.State(frame + len(probabilities), ready, again)
