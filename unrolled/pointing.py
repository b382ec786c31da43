"""Whether a net looks where it should: words that name a thing must rest on the place where the thing is.

Where things are, the data say (`regions`): {"red circle": [left, top, right, bottom]} in parts of the picture's sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Box = tuple[float, float, float, float]


def named(words: Sequence[str], regions: Mapping[str, Box]) -> list[tuple[int, Box]]:
    """The places in a caption of the words that name something, each with where that is."""
    found = []
    for phrase, box in regions.items():
        parts = phrase.split()
        for i in range(len(words) - len(parts) + 1):
            if list(words[i : i + len(parts)]) == parts:
                found += [(i + j, box) for j in range(len(parts))]
    return sorted(found)


def hits(weights: np.ndarray, box: Box) -> bool:
    """Whether the place that weighs most, of weights (rows, columns), touches the box."""
    rows, columns = weights.shape
    row, column = divmod(int(weights.argmax()), columns)
    left, top, right, bottom = box
    return left < (column + 1) / columns and right > column / columns and top < (row + 1) / rows and bottom > row / rows


def pointing(
    captions: Sequence[Sequence[str]], weights: Sequence[np.ndarray], regions: Sequence[Mapping[str, Box]]
) -> float | None:
    """The share of words naming something whose strongest look lands on it; weights are (T, rows, columns) a caption.

    None where no caption names a thing whose place is known.
    """
    looks = [
        hits(alpha[place], box)
        for words, alpha, theirs in zip(captions, weights, regions, strict=True)
        for place, box in named(words, theirs)
    ]
    return sum(looks) / len(looks) if looks else None


def slots(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], common: float = 0.9) -> float | None:
    """The share of the references' words that stand in their place, of each picture the reference that has most.

    Words that more than `common` of all references hold ("a") tell nothing and are left out. None where no word is left.
    """
    held = [set(text) for some in references for text in some]
    counts = {word: sum(word in text for text in held) / len(held) for word in set().union(*held)}
    right = total = 0
    for words, some in zip(captions, references, strict=True):
        places = [[i for i, word in enumerate(text) if counts[word] <= common] for text in some]
        found = [
            (sum(i < len(words) and words[i] == text[i] for i in theirs), len(theirs))
            for text, theirs in zip(some, places, strict=True)
        ]
        best = max(found, key=lambda one: one[0] / max(1, one[1]))
        right, total = right + best[0], total + best[1]
    return right / total if total else None
