"""Where a translator looks, as one page of HTML, as a picture, as a table.

A row is a symbol that was written, the last one the sentence's end. A column is a symbol of the source. A cell is dark where
the net looked when it wrote the row's symbol; a row's cells add up to 1.
"""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np

from . import alignment
from . import picture as drawn
from .alignment import Words
from .template import fill

END = "⏎"
STRONG = 0.75  # from this weight on, white letters are easier to read
NAMES = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}  # symbols that leave no mark


class Looked(NamedTuple):
    """Where a net looked: S symbols of the source, T written, the last of which is the end."""

    source: list[str]  # (S,) as they stand in the text, with their blanks
    written: list[str]  # (T,)
    weights: np.ndarray  # (T, S), rows add up to 1
    note: str  # how the net looks, and the score
    source_words: Words  # of S symbols
    written_words: Words  # of T symbols


def visible(symbol: str) -> str:
    """A symbol without the blanks at its edges; of blanks alone, something that can be seen."""
    return symbol.strip() or "".join(NAMES.get(letter, "␣") for letter in symbol) or "∅"


def _begin(looked: Looked) -> tuple[np.ndarray, np.ndarray]:
    """(S,) and (T,) whether a symbol is the first of a word, other than the first word; or the end."""
    columns, rows = (np.zeros(len(words.of), bool) for words in (looked.source_words, looked.written_words))
    for begins, words in ((columns, looked.source_words), (rows, looked.written_words)):
        begins[np.unique(words.of, return_index=True)[1]] = True
        begins &= words.of > 0
    rows[-1] = True
    return columns, rows


# --- the page


def page(looked: Looked) -> bytes:
    """The page; symbols are text in it, whatever they hold."""
    columns, rows = _begin(looked)
    flat = " class=flat" * all(len(visible(symbol)) <= 2 for symbol in looked.source)
    head = "".join(_name("col", symbol, columns[s]) for s, symbol in enumerate(looked.source))
    body = "".join(_row(looked, t, rows[t], columns) for t in range(len(looked.written)))
    parts = {
        "@SOURCE@": _sentence(looked.source, "s"), "@WRITTEN@": _sentence(looked.written, "t"),
        "@TABLE@": f"<thead{flat}><tr><td></td>{head}</tr></thead><tbody>{body}</tbody>", "@NOTE@": escape(looked.note),
    }  # fmt: skip
    return fill("attention.html", parts)


def _class(begins: bool, strong: bool = False) -> str:
    names = "begins " * bool(begins) + "strong" * strong
    return f" class='{names.strip()}'" if names else ""


def _sentence(symbols: list[str], side: str) -> str:
    return "".join(f"<span data-{side}={i}>{escape(symbol)}</span>" for i, symbol in enumerate(symbols))


def _name(scope: str, symbol: str, begins: bool) -> str:
    return f"<th scope={scope}{_class(begins)}><bdi>{escape(visible(symbol))}</bdi></th>"


def _row(looked: Looked, t: int, begins: bool, columns: np.ndarray) -> str:
    cells = "".join(_cell(looked, t, s, columns[s]) for s in range(len(looked.source)))
    return f"<tr{_class(begins)} data-t={t}>{_name('row', looked.written[t], False)}{cells}</tr>"


def _cell(looked: Looked, t: int, s: int, begins: bool) -> str:
    weight = float(looked.weights[t, s])
    told = escape(f"{visible(looked.written[t])} ← {visible(looked.source[s])}: {weight:.3f}")
    shown = f"{100 * weight:.0f}" if weight >= 0.005 else ""
    return f"<td{_class(begins, weight > STRONG)} style='--w:{weight:.3f}' title='{told}'>{shown}</td>"


# --- the picture


def picture(looked: Looked, kind: str) -> bytes:
    """The heat map as a `png` or `svg` file."""
    source, written = ([visible(symbol) for symbol in symbols] for symbols in (looked.source, looked.written))
    borders = (np.flatnonzero(begins) for begins in _begin(looked))
    note = f"{looked.note}; the stronger the colour, the more it looked there"
    return drawn.of(lambda plot: plot.attention(source, written, looked.weights, *borders, note), kind)


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


# --- tables


def table(looked: Looked) -> list[dict[str, Any]]:
    """Of each symbol written, the two of the source that the net looked at most."""
    rows = []
    for symbol, weights in zip(looked.written, looked.weights, strict=True):
        first, second = [*np.argsort(-weights, kind="stable")[:2].tolist(), None][:2]
        rows.append({
            "written": visible(symbol), "looked_at": visible(looked.source[first]), "weight": float(weights[first]),
            "then_at": None if second is None else visible(looked.source[second]),
            "its_weight": None if second is None else float(weights[second]),
        })  # fmt: skip
    return rows


def whole(looked: Looked) -> list[dict[str, Any]]:
    """All that is known, as one record: symbols with their blanks, weights, words and which stand for which."""
    found = alignment.align(looked.weights, looked.source_words, looked.written_words)
    return [{
        "source": looked.source, "written": looked.written, "weights": looked.weights.tolist(), "note": looked.note,
        "source_words": found.source, "written_words": found.target, "alignment": alignment.pharaoh(found.pairs),
    }]  # fmt: skip
