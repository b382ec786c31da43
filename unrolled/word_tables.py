"""What was written beside what was said, as tables: error rates with intervals, each group's, the worst recordings.

greedy_…  of the likeliest symbol of each frame: quick, and what training watches        without: as `predict` writes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import word_errors

Row = dict[str, Any]
WORST = 5  # recordings that are shown


def rates(said: Sequence[str], meant: Sequence[str], name: str = "") -> dict[str, float]:
    """The rates of errors and the share of texts without one; `name` stands before theirs."""
    return {
        f"{name}word_error_rate": word_errors.word_error_rate(said, meant),
        f"{name}character_error_rate": word_errors.character_error_rate(said, meant),
        f"{name}exact": sum(one == other for one, other in zip(said, meant, strict=True)) / len(meant),
    }


def tables(
    said: list[str], greedy: list[str], meant: list[str], groups: list[str], places: list[str], seed: int
) -> dict[str, list[Row]]:  # fmt: skip
    """All tables, by title: of texts as written by the search and by the likeliest symbols alone."""
    told = {"measures": _measures(said, greedy, meant, seed)}
    names = sorted(set(groups))
    if len(names) > 1:
        told["groups"] = [_group(name, [i for i, one in enumerate(groups) if one == name], said, meant, seed) for name in names]
    return told | {"errors": word_errors.confusions(said, meant), "worst": _worst(said, meant, places)}


def _measures(said: list[str], greedy: list[str], meant: list[str], seed: int) -> list[Row]:
    rows, found = [], rates(said, meant)
    for unit in ("words", "characters"):
        name = f"{unit[:-1]}_error_rate"
        low, high = word_errors.interval(said, meant, unit, seed)
        protocol = f"substituted, deleted and inserted {unit} to those of {len(meant):,} transcripts"
        rows.append((name, found[name], low, high, protocol))
    rows.append(("exact", found["exact"], None, None, "share of recordings without an error"))
    quick = word_errors.word_error_rate(greedy, meant)
    rows.append(("greedy_word_error_rate", quick, None, None, "of the likeliest symbols alone, as training watches it"))
    return [dict(zip(("measure", "value", "from", "to", "protocol"), row, strict=True)) for row in rows]


def _group(name: str, rows: list[int], said: list[str], meant: list[str], seed: int) -> Row:
    one, other = [said[i] for i in rows], [meant[i] for i in rows]
    low, high = word_errors.interval(one, other, "words", seed)
    rate = word_errors.word_error_rate(one, other)
    return {"group": name, "recordings": len(rows), "word_error_rate": rate, "from": low, "to": high}


def _worst(said: list[str], meant: list[str], places: list[str]) -> list[Row]:
    """The recordings with the most errors, each as three lines under one another."""
    errors, found = word_errors.counts(said, meant)[:, 1:].sum(1), []
    for i in np.argsort(-errors, kind="stable")[:WORST]:
        if errors[i]:
            lines = word_errors.shown(word_errors.align(said[i], meant[i])).splitlines()
            heads = [(int(errors[i]), places[i]), (None, None), (None, None)]
            found += [{"errors": n, "where": place, "alignment": line} for (n, place), line in zip(heads, lines, strict=True)]
    return found
