"""Which words moved a decision, as one page of HTML, as a picture, as a table.

A word is blue with a line below where it speaks for the answer, orange with a dotted line where it speaks against it; the
stronger, the more. The colour is by gradient × input; beside it stands what hiding the word does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np

from . import picture as drawn
from .attention_page import visible
from .template import fill, fragment

LEVELS = 5  # shades of either sign
FAINT = 0.05  # of the strongest word: below half a shade nothing is underlined
DRAWN = 40  # words in the picture, the strongest


class Decision(NamedTuple):
    """What T words did to an answer; in nats of its log-odds ln p / (1 - p)."""

    words: list[str]  # (T,)
    between: str  # what stands between two of them in a text
    slopes: np.ndarray  # (T,) gradient × input: above 0 for the answer, below against it
    falls: np.ndarray  # (T,) how much hiding the word takes from it; nan where the word was not hidden
    agreement: float | None  # the correlation of both
    unknown: list[bool]  # (T,) whether training has not the word
    asked: int | None  # the word that is decided about; None: the whole text
    answer: str
    probability: float
    note: str


# --- the page


def page(decision: Decision) -> bytes:
    """The page; words are text in it, whatever they hold."""
    parts = {"@STYLE@": fragment("decision.css"), "@DECISION@": section(decision), "@NOTE@": escape(decision.note)}
    return fill("decision.html", parts)


def section(decision: Decision) -> str:
    """The text coloured, and its table, to stand in a page that has decision.css."""
    text = escape(decision.between).join(_word(decision, t) for t in range(len(decision.words)))
    rows = "".join(_row(decision, t) for t in strongest(decision))
    head = "<tr><th scope=col>word</th><th scope=col>gradient × input</th><th></th><th scope=col>hidden</th><th></th></tr>"
    return (
        f"<p class=answer>{escape(headline(decision))}</p><p class=text>{text}</p><p class=soft>{escape(agreed(decision))}</p>"
        f"<div class=wide><table class=moved>{head}{rows}</table></div>"
    )


def headline(decision: Decision) -> str:
    """What was decided, in a line."""
    about = "answer: " if decision.asked is None else f"“{decision.words[decision.asked]}”: "
    return f"{about}{decision.answer}, probability {decision.probability:.3f}"


def agreed(decision: Decision) -> str:
    """How far both ways of asking agree, in a line."""
    hidden = int((~np.isnan(decision.falls)).sum())
    of = f"{hidden:,} words" if hidden == len(decision.words) else f"{hidden:,} of {len(decision.words):,} words, evenly spread"
    if decision.agreement is None:
        return f"gradient × input and occlusion cannot be compared: too few of the {of} change anything"
    said = f"correlation of gradient × input with occlusion: {decision.agreement:.2f} over {of}"
    return said if decision.agreement >= TRUSTED else f"{said}; so low, trust what hiding a word does more than its gradient"


TRUSTED = 0.7  # correlation


def remark(decision: Decision) -> str:
    """What was decided, and how far both ways of asking about it agree."""
    return f"{headline(decision)}; {agreed(decision)}"


def strongest(decision: Decision) -> list[int]:
    """The places of all words, those that moved the answer most first, by the greater of the two numbers."""
    size = np.fmax(np.abs(decision.slopes), np.abs(decision.falls))
    return np.argsort(-size, kind="stable").tolist()


def _word(decision: Decision, t: int) -> str:
    most = max(float(np.abs(decision.slopes).max()), 1e-9)
    share = float(decision.slopes[t]) / most
    level = int(np.rint(abs(share) * LEVELS)) or int(abs(share) >= FAINT)
    names = [f"{'p' if share > 0 else 'n'}{level}"] if level else []
    names += ["asked"] * (t == decision.asked) + ["unknown"] * decision.unknown[t]
    told = f"{decision.slopes[t]:+.3f} by gradient × input"
    told += "" if np.isnan(decision.falls[t]) else f", {decision.falls[t]:+.3f} by hiding it"
    told += "; not in training" if decision.unknown[t] else ""
    return f"<span class='{' '.join(names)}' title='{told} (nats)'>{escape(decision.words[t])}</span>"


def _row(decision: Decision, t: int) -> str:
    most = max(float(np.abs(decision.slopes).max()), float(np.nanmax(np.abs(decision.falls))), 1e-9)
    word = escape(visible(decision.words[t])) + (" <span class=soft>(unknown)</span>" if decision.unknown[t] else "")
    numbers = "".join(_number(float(values[t]), most) for values in (decision.slopes, decision.falls))
    return f"<tr><th scope=row><bdi>{word}</bdi></th>{numbers}</tr>"


def _number(nats: float, most: float) -> str:
    if np.isnan(nats):
        return "<td></td><td></td>"
    side = "for" if nats > 0 else "against"
    return f"<td>{nats:+.3f}</td><td class=bars><div class='bar {side}' style='width:{50 * abs(nats) / most:.1f}%'></div></td>"


# --- the picture


def picture(decision: Decision, kind: str) -> bytes:
    """The strongest words in the text's order, a bar for each of the two numbers, as a `png` or `svg` file."""
    places = sorted(strongest(decision)[:DRAWN])
    words = [visible(decision.words[t]) for t in places]
    small = f"{agreed(decision)}; {decision.note}"
    if len(places) < len(decision.words):
        small = f"the strongest {len(places)} of {len(decision.words):,} words; {small}"
    numbers = {"gradient × input": decision.slopes[places], "occlusion": decision.falls[places]}
    return drawn.of(lambda plot: plot.moved(words, numbers, headline(decision), small), kind)


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


# --- tables


def table(decision: Decision) -> list[dict[str, Any]]:
    """A word a line, in the text's order."""
    each = zip(decision.words, numbers(decision.slopes), numbers(decision.falls), strict=True)
    return [{"word": visible(word), "gradient_times_input": slope, "occlusion": fall} for word, slope, fall in each]


def numbers(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """As JSON has them: None for what was not computed."""
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def whole(decision: Decision) -> list[dict[str, Any]]:
    """All that is drawn, as one record."""
    return [{
        "answer": decision.answer, "probability": decision.probability, "asked": decision.asked, "words": decision.words,
        "unknown": decision.unknown, "gradient_times_input": numbers(decision.slopes), "occlusion": numbers(decision.falls),
        "correlation": decision.agreement, "note": decision.note,
    }]  # fmt: skip
