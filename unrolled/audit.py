"""What is wrong with labelled texts before a net reads them: texts that stand twice, and labels that are hard to believe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from . import floors
from .data.batch import Rows
from .errors import UserError

EXAMPLES = 5  # shown of each kind of repeat


class Repeats(NamedTuple):
    count: int
    examples: list[tuple[str, str]]  # where a text stands first, and where again


class Duplicates(NamedTuple):
    """Texts that are equal but for capitals and white space."""

    within: Repeats  # training rows that repeat an earlier one
    between: Repeats  # validation rows that also stand in the training part
    conflicting: Repeats  # texts with more than one label, in either part


def folded(text: str) -> str:
    """A text without its capitals and the kinds of its white space."""
    return " ".join(text.casefold().split())


def duplicates(train: Iterable[tuple[str, str | None, str]], dev: Iterable[tuple[str, str | None, str]]) -> Duplicates:
    """Equal texts among rows (text, label, where), read once as they come: a text's hash is kept, not the text."""
    first: dict[int, tuple[int, str | None, str]] = {}  # part (0 is train), label and place of a text's first row
    disputed: set[int] = set()
    pairs: tuple[list, list, list] = [], [], []  # within, between, conflicting
    counts = [0, 0, 0]
    for part, rows in enumerate((train, dev)):
        for text, label, where in rows:
            key = hash(folded(text))
            this = (part, label, where)
            earlier = first.setdefault(key, this)
            if earlier is this:
                continue
            kinds = [part] if earlier[0] == 0 else []
            if label != earlier[1] and key not in disputed:
                disputed.add(key)
                kinds.append(2)
            for kind in kinds:
                counts[kind] += 1
                if len(pairs[kind]) < EXAMPLES:
                    pairs[kind].append((earlier[2], where))
    return Duplicates(*map(Repeats, counts, pairs))


TOLD = {
    "within": "training texts that repeat an earlier one",
    "between": "validation texts that also stand in the training part, which flatters its measures",
    "conflicting": "texts that have more than one label",
}


def told(found: Mapping[str, tuple[int, list[tuple[str, str]]]]) -> list[str]:
    """Duplicates, as a dict, in sentences; nothing of what there is none of."""
    return [
        f"{TOLD[name]}: {count:,}, as {examples[0][0]} and {examples[0][1]}" for name, (count, examples) in found.items() if count
    ]


def label_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which of the labels (N,) are likely wrong, the worst first: indices (M,). Confident learning (Northcutt et al. 2021).

    A label is doubted where another is the likeliest and at least as probable as it is, on average, where it is right. The
    worst are those where the one lies furthest below the other. The probabilities (N, K) are of models that have not seen
    the example (see `out_of_sample`), and the list is as good as they are: by weak ones its end is full of right labels.
    """
    kinds, each = probabilities.shape[1], np.arange(len(labels))
    own, likeliest = probabilities[each, labels], probabilities.argmax(1)
    counts = np.bincount(labels, minlength=kinds)
    usual = np.bincount(labels, own, kinds) / np.maximum(counts, 1)  # (K,) self-confidence
    highest = probabilities[each, likeliest]
    doubted = np.flatnonzero((likeliest != labels) & (highest >= usual[likeliest]) & (counts[likeliest] > 0))
    return doubted[np.argsort((own - highest)[doubted], kind="stable")]


def out_of_sample(ids: np.ndarray, bounds: np.ndarray, labels: np.ndarray, kinds: int, seed: int, folds: int = 4) -> np.ndarray:
    """Each row's probabilities (N, K) by a bag of words that was fitted to the other folds. UserError below 2 rows."""
    if len(labels) < 2:
        raise UserError(f"labels are judged by those of other rows; got {len(labels)}, at least 2 are needed")
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    found, rows = np.empty((len(labels), kinds)), Rows(ids, bounds)
    for number in range(min(folds, len(labels))):
        inside, others = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        model = floors.fit(*rows.taken(others), labels[others], kinds, seed)
        found[inside] = model.probabilities(*rows.taken(inside))
    return found
