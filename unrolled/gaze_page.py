"""Where a net looks in a picture as it writes a caption: one page of HTML, a picture, a table."""

from __future__ import annotations

import base64
from functools import partial
from html import escape
from typing import Any, NamedTuple

import numpy as np

from . import picture as drawn
from .data import pictures
from .template import fill

END = "⏎"
SIDE = 480  # pixels of the longer side that is shown


class Gaze(NamedTuple):
    """T words of a caption, the last one its end, and where the net looked for each."""

    picture: np.ndarray  # (H, W, 3) of uint8
    words: list[str]  # (T,)
    weights: np.ndarray  # (T, rows, columns), each word's add up to 1
    gates: np.ndarray  # (T,) how much what was seen counted, 0 to 1
    note: str  # how the net looks, and the score


def page(gaze: Gaze) -> bytes:
    """The picture with a veil of cells over it, for each word one: pointing at a word lifts the veil where it was looked."""
    source = base64.b64encode(pictures.png(gaze.picture)).decode()
    spans = " ".join(
        f"<span tabindex=0 data-t={t} title='the picture counted {gate:.2f}'>{escape(word)}</span>"
        for t, (word, gate) in enumerate(zip(gaze.words, gaze.gates, strict=True))
    )
    small = "".join(_veiled(gaze, source, t) for t in range(len(gaze.words)))
    return fill("gaze.html", {"@WORDS@": spans, "@SMALL@": small, "@NOTE@": escape(gaze.note)})


def _veiled(gaze: Gaze, source: str, t: int) -> str:
    """One word's picture under its veil."""
    _, rows, columns = gaze.weights.shape
    dark = 0.75 * (1 - gaze.weights[t] / max(float(gaze.weights[t].max()), 1e-9))
    cells = "".join(
        f"<i style='--d:{value:.2f}' title='{100 * weight:.0f} %'></i>"
        for value, weight in zip(dark.ravel(), gaze.weights[t].ravel(), strict=True)
    )
    veil = f"<div style='grid-template: repeat({rows}, 1fr) / repeat({columns}, 1fr)'>{cells}</div>"
    image = f"<img alt='' src='data:image/png;base64,{source}'>"
    return f"<figure data-t={t}><span>{image}{veil}</span><figcaption>{escape(gaze.words[t])}</figcaption></figure>"


def picture(gaze: Gaze, kind: str) -> bytes:
    """The picture once for each word, as a `png` or `svg` file."""
    small = f"{gaze.note}; light: there it looked"
    return drawn.of(lambda plot: plot.gaze(gaze.picture, gaze.words, gaze.weights, gaze.gates, small), kind)


ENDINGS = {".html": page, ".png": partial(picture, kind="png"), ".svg": partial(picture, kind="svg")}


def table(gaze: Gaze) -> list[dict[str, Any]]:
    """Of each word, the place that weighed most, in parts of the picture's width and height, and how much the picture counted."""
    _, rows, columns = gaze.weights.shape
    found = []
    for word, weights, gate in zip(gaze.words, gaze.weights, gaze.gates, strict=True):
        row, column = divmod(int(weights.argmax()), columns)
        place = {"x": round((column + 0.5) / columns, 3), "y": round((row + 0.5) / rows, 3), "weight": float(weights.max())}
        found.append({"word": word, **place, "counted": float(gate)})
    return found


def whole(gaze: Gaze) -> list[dict[str, Any]]:
    """All that is known, as one record."""
    return [{"words": gaze.words, "weights": gaze.weights.tolist(), "counted": gaze.gates.tolist(), "note": gaze.note}]
