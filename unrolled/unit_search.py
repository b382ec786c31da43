"""Which hidden units keep track of something in a text: quotes, brackets, the place in a line (Karpathy et al. 2015).

A unit is chosen by its correlation on one half of the text and told by that on the other, since among hundreds of units one is
always a little like anything. Beside it stands what the same search finds by chance, of the same thing moved to another place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BLOCKS = 10  # pieces of the text, every second one to choose on
LEAST = 50  # symbols of a text that is searched
SHIFTS = 20  # places that things are moved to, for what chance finds
OPENING, CLOSING = "([{", ")]}"
QUOTES = {"“": 1, "”": 0, "«": 1, "»": 0, "„": 1}


class Track(NamedTuple):
    """The unit that follows a thing best."""

    thing: str
    unit: int
    correlation: float  # on the half of the text that it was not chosen on
    chosen_at: float  # on the half that it was chosen on
    chance: float  # the size below which 95 % of what is found by chance lies, on the half not chosen on

    @property
    def beyond_chance(self) -> bool:
        return abs(self.correlation) > self.chance


def things(pieces: Sequence[str]) -> dict[str, np.ndarray]:
    """What may be tracked, a number after each of a text's symbols (T,); those that never change are left out.

    inside quotes      1 between quotation marks, of which straight ones open and close in turn; a blank line closes them
    inside brackets    how many are open
    place in the line  characters since its begin
    indentation        blanks before a line's first other character, so far
    place in the word  letters and digits since its begin
    """
    quoted, straight, open_, place, blanks, word = False, False, 0, 0, 0, 0
    rows, line = [], ""
    for piece in pieces:
        for c in piece:
            if c == "\n":
                if not line.strip():
                    quoted, straight = False, False
                line, place, blanks, word = "", 0, 0, 0
                continue
            line, place = line + c, place + 1
            blanks += c in " \t" and not line.strip()
            word = word + 1 if c.isalnum() else 0
            open_ = max(0, open_ + (c in OPENING) - (c in CLOSING))
            straight ^= c == '"'
            quoted = bool(QUOTES.get(c, quoted))
        rows.append((quoted or straight, open_, place, blanks, word))
    names = ("inside quotes", "inside brackets", "place in the line", "indentation", "place in the word")
    found = np.array(rows, float).reshape(-1, len(names)).T
    return {name: values for name, values in zip(names, found, strict=True) if len(values) and np.ptp(values) > 0}


def search(states: np.ndarray, wanted: dict[str, np.ndarray], seed: int = 0) -> list[Track]:
    """The best unit of states (T, U) for each thing, the best followed first; of fewer than LEAST symbols nothing is told."""
    if len(states) < LEAST:
        return []
    first = (np.arange(len(states)) * BLOCKS // max(1, len(states))) % 2 == 0
    here, there = standard(states[first]), standard(states[~first])
    chance = np.random.default_rng(seed)
    tracks = []
    for thing, values in wanted.items():
        shifts = chance.integers(len(values) // 4, max(len(values) // 4 + 1, len(values) * 3 // 4), SHIFTS)
        moved = np.stack([values, *(np.roll(values, shift) for shift in shifts)], 1)  # (T, 1 + SHIFTS)
        found = standard(moved[first]).T @ here  # correlations (1 + SHIFTS, U)
        units = np.abs(found).argmax(1)
        apart = (standard(moved[~first]) * there[:, units]).sum(0)
        by_chance = float(np.quantile(np.abs(apart[1:]), 0.95))
        tracks.append(Track(thing, int(units[0]), float(apart[0]), float(found[0, units[0]]), by_chance))
    return sorted(tracks, key=lambda track: -abs(track.correlation))


def standard(values: np.ndarray) -> np.ndarray:
    """Columns (T, N) with mean 0 and length 1, whose products are correlations; 0 where one never changes."""
    if not len(values):
        return values.astype(float)
    centred = values - values.mean(0, dtype=float)
    size = np.sqrt((centred**2).sum(0))
    return np.divide(centred, size, out=np.zeros_like(centred), where=size > 1e-9)
