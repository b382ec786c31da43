"""What a language model's units do as it reads a text: a page of HTML, a picture, tables, arrays.

The text, coloured by a unit's state, and by each of its gates; by how probable the net held each symbol; and which units keep
track of something in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np

from . import picture as drawn
from .attention_page import visible
from .errors import UserError
from .template import fill
from .unit_search import LEAST, Track

LEVELS = 5  # shades of either sign
ACROSS = 100  # symbols in a row of the picture


class Units(NamedTuple):
    """A text of T symbols as a net with U hidden units reads it."""

    pieces: list[str]  # (T,) the text of each symbol
    states: np.ndarray  # (T, U) h after each symbol, layer by layer
    gates: dict[str, np.ndarray]  # by name, (T, U)
    probabilities: np.ndarray  # (T,) of each symbol before it is read
    likeliest: list[list[tuple[str, float]]]  # (T + 1) the likeliest symbols in each place, and after the text
    tracks: list[Track]
    unit: int  # that is shown
    hidden: int  # units a layer
    note: str

    def name(self, unit: int) -> str:
        return f"{unit}" if self.states.shape[1] == self.hidden else f"{unit} (layer {unit // self.hidden + 1})"


# --- the page


def page(units: Units) -> bytes:
    """The page; the text stays text, whatever it holds."""
    shown = dict.fromkeys([units.unit, *(track.unit for track in units.tracks if track.beyond_chance)])
    blocks = "".join(_block(units, f"Unit {units.name(n)}", _reason(units, n), units.states[:, n]) for n in shown)
    gates = "".join(
        _block(units, f"The {name} of unit {units.name(units.unit)}", GATES.get(name, ""), values[:, units.unit])
        for name, values in units.gates.items() if name != "tanh"
    )  # fmt: skip
    parts = {"@UNITS@": blocks, "@GATES@": gates, "@EXPECTED@": _expected(units), "@NEXT@": _next(units.likeliest[-1])}
    parts |= {"@TABLE@": _table(table(units)), "@NOTE@": escape(units.note)}
    return fill("units.html", parts)


GATES = {
    "update gate": "Dark where the unit takes on its candidate, light where it keeps what it has.",
    "reset gate": "Dark where the candidate sees all that is known, light where it sees the symbol alone.",
    "input gate": "Dark where the candidate is taken in.",
    "forget gate": "Dark where what is held is kept, light where it is forgotten.",
    "output gate": "Dark where what is held is shown.",
}


def _reason(units: Units, unit: int) -> str:
    said = [f"{track.thing} ({track.correlation:+.2f})" for track in units.tracks if track.unit == unit and track.beyond_chance]
    return f"Follows {', '.join(said)}." if said else ""


def _block(units: Units, title: str, said: str, values: np.ndarray) -> str:
    """A text coloured by values of -1 to 1, neighbours of one shade together."""
    levels = np.clip(np.rint(values * LEVELS), -LEVELS, LEVELS).astype(int)
    made, begin = [], 0
    for end in [*(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]:
        text = escape(_text("".join(units.pieces[begin:end])))
        made.append(f"<span class={_shade(int(levels[begin]))}>{text}</span>")
        begin = end
    return f"<section><h2>{escape(title)}</h2><p class=soft>{escape(said)}</p><pre>{''.join(made)}</pre></section>"


def _shade(level: int) -> str:
    return f"p{level}" if level >= 0 else f"n{-level}"


def _text(text: str) -> str:
    """With line ends that are seen."""
    return text.replace("\n", "⏎\n")


def _expected(units: Units) -> str:
    """Each symbol, the darker, the less probable; what was expected in its place in its title."""
    made = []
    for piece, p, likeliest in zip(units.pieces, units.probabilities, units.likeliest, strict=False):
        told = escape(f"{p:.3f}; expected: {_listed(likeliest)}", quote=True)
        level = int(np.clip(np.rint(-np.log10(max(float(p), 1e-9)) * LEVELS / 3), 0, LEVELS))  # darkest from one in a thousand
        made.append(f"<span class={'n' if level else 'p'}{level} title='{told}'>{escape(_text(piece))}</span>")
    return f"<pre>{''.join(made)}</pre>"


def _listed(likeliest: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{visible(name)} {p:.2f}" for name, p in likeliest[:5])


def _next(likeliest: Sequence[tuple[str, float]]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(visible(name))}</th><td>{p:.3f}</td>"
        f"<td><div class=bar style='width:{160 * p:.0f}px'></div></td></tr>"
        for name, p in likeliest
    )
    return f"<table>{rows}</table>"


def _table(rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in rows[0]) if rows else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(v))}</td>" for v in row.values()) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>" if rows else "<p>Nothing in the text that a unit might track.</p>"


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


# --- the picture

SCALE = "state from -1 (orange) to 1 (blue), gates from 0 (light) to 1 (dark)"


def picture(units: Units, kind: str) -> bytes:
    """The text coloured by the unit shown, and its gates below, as a `png` or `svg`. UserError where symbols are no letters."""
    if any(len(piece) > 1 for piece in units.pieces):
        said = "a picture has a place of one letter for each symbol; this run's symbols are longer"
        raise UserError(said, fix="--out look.html, which has room for them")
    gates = {name: values[:, units.unit] for name, values in units.gates.items() if name != "tanh"}
    title = f"unit {units.name(units.unit)}  {_reason(units, units.unit)}"
    pieces = ["⏎" if "\n" in piece else piece for piece in units.pieces]
    values = units.states[:, units.unit]
    return drawn.of(lambda plot: plot.unit(pieces, values, gates, ACROSS, title, f"{SCALE}; {units.note}"), kind)


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


# --- tables


def table(units: Units) -> list[dict[str, Any]]:
    """The unit that follows each thing best, and what chance finds."""
    return [
        {"thing": t.thing, "unit": t.unit, "correlation": round(t.correlation, 3), "by chance up to": round(t.chance, 3)}
        for t in units.tracks
    ]


def remark(units: Units) -> str:
    """What is found beyond chance, in words."""
    if len(units.pieces) < LEAST:
        return f"{len(units.pieces)} symbols; units that keep track of something are sought in {LEAST} and more"
    found = [track.thing for track in units.tracks if track.beyond_chance]
    return f"beyond chance units follow {', '.join(found)}" if found else "no unit follows anything beyond chance"


def whole(units: Units) -> list[dict[str, Any]]:
    """All that is drawn, as one record: a number a symbol of the unit shown and its gates."""
    tracks = [track._asdict() for track in units.tracks]
    return [{
        "symbols": units.pieces, "unit": units.unit, "hidden": np.round(units.states[:, units.unit].astype(float), 4).tolist(),
        "gates": {name: np.round(values[:, units.unit].astype(float), 4).tolist() for name, values in units.gates.items()},
        "probabilities": np.round(units.probabilities.astype(float), 5).tolist(),
        "likeliest": [[(name, round(p, 5)) for name, p in some[:5]] for some in units.likeliest],
        "tracks": tracks, "note": units.note,
    }]  # fmt: skip
