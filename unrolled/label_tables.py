"""Tables of a classifier's answers: measures and each label's with intervals, who is taken for whom, labels that look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import audit, metrics

SUSPECTS = 20  # labels listed that look wrong, of each part


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of logits (N, K), in float64."""
    e = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def tables(
    found: np.ndarray, labels: np.ndarray, names: Sequence[str], ordered: bool, counted: str
) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of probabilities (N, K) beside the true labels (N,); `counted` is what there are N of."""
    measures, between = metrics.classification(found, labels, ordered), metrics.intervals(found, labels, ordered)
    chosen, of_f1 = metrics.answers(found, ordered), metrics.label_intervals(found, labels, ordered)
    each, taken = metrics.per_class(labels, chosen, len(names)), metrics.confusion(labels, chosen, len(names))
    return {
        "measures": [
            {"measure": name, "value": value, **dict(zip(("from", "to"), between.get(name, (None, None)), strict=True))}
            for name, value in measures.items()
        ],
        "labels": [
            {"label": name, **each[i], "from": of_f1[i][0], "to": of_f1[i][1], counted: int(taken[i].sum())}
            for i, name in enumerate(names)
        ],
        "confusion": [
            {"is": name, **dict(zip(names, row.tolist(), strict=True))} for name, row in zip(names, taken, strict=True)
        ],
    }


def floor(found: np.ndarray, labels: np.ndarray, names: Sequence[str], ordered: bool) -> dict[str, Any]:
    """What a baseline is told by: the measures, and each label's F1 under `f1_of`."""
    each = metrics.per_class(labels, metrics.answers(found, ordered), len(names))
    f1_of = {name: figures["f1"] for name, figures in zip(names, each, strict=True)}
    return metrics.classification(found, labels, ordered) | {"f1_of": f1_of}


def doubted(
    rows: Sequence[tuple[str, str]], given: np.ndarray, guessed: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows (text, where) whose given label (N,) is likely wrong by guessed probabilities (N, K), the worst first."""
    return [
        {"where": rows[i][1], "label": names[given[i]], "rather": names[guessed[i].argmax()], "text": rows[i][0][:200]}
        for i in audit.label_errors(guessed, given)[:SUSPECTS]
    ]
