"""When a net that listens fires: the rule, what is remembered between two pieces of a stream, and an event."""

from __future__ import annotations

from typing import NamedTuple

from .errors import UserError


class Rule(NamedTuple):
    """When a detector fires."""

    threshold: float  # probability from which on it fires
    release: float = 0.5  # it fires again after it was below this part of the threshold …
    refractory: float = 1.0  # … and this many seconds after it last fired


class State(NamedTuple):
    """What a detector remembers between two pieces of a stream."""

    frame: int  # frames seen
    ready: bool  # whether the probability was below the lower threshold since it last fired
    again: int  # the first frame at which it may fire


START = State(0, True, 0)


class Event(NamedTuple):
    time: float  # seconds from the stream's beginning to the last sample that it rests on
    probability: float


def check(rule: Rule) -> None:
    """A UserError for a rule that is none."""
    if not rule.threshold > 0:
        raise UserError(f"the threshold of a detector is above 0, got {rule.threshold:g}")
    if not 0 < rule.release <= 1:
        raise UserError(f"`release` is a part of the threshold, above 0 and up to 1, got {rule.release:g}")
    if not rule.refractory >= 0:
        raise UserError(f"`refractory` is a time in seconds from 0 on, got {rule.refractory:g}")
