"""A map of words as one page of HTML that needs nothing else: page/map.html with the data put in."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

TEMPLATE = Path(__file__).parent / "page" / "map.html"
PLACE = "@DATA@"


class Map(NamedTuple):
    """Words in a plane, the most frequent first; N of them, D dimensions, G groups, k nearest."""

    title: str
    words: list[str]
    unit: np.ndarray  # (N, D), of length 1
    positions: np.ndarray  # (N, 2)
    groups: np.ndarray  # (N,)
    names: list[str]  # (G,), or none
    key: str  # what the groups are
    near: np.ndarray  # (N, k), the nearest words by cosine
    similarity: np.ndarray  # (N, k), their cosines
    figures: list[tuple[str, str, str]]  # name, value, what it means


def page(shown: Map) -> bytes:
    """The page; words and names are data in it, whatever they hold."""
    data = {
        "title": shown.title,
        "words": shown.words,
        "names": shown.names,
        "key": shown.key,
        "figures": shown.figures,
        "width": shown.unit.shape[1],
        "nearest": shown.near.shape[1],
        "vectors": _base64(_rounded(shown.unit), "i1"),
        "positions": _base64(_placed(shown.positions), "<u2"),
        "groups": _base64(shown.groups, "<u2"),
        "near": _base64(shown.near, "<u4"),
        "similarity": _base64(np.round(np.clip(shown.similarity, -1, 1) * 32767), "<i2"),
    }
    before, after = TEMPLATE.read_text(encoding="utf-8").split(PLACE)
    return (before + script_json(data) + after).encode("utf-8")


def script_json(data: object) -> str:
    """JSON that may stand inside <script>: no letter in it can end the element, or begin a comment."""
    text = json.dumps(data, separators=(",", ":"))  # all but ASCII is escaped, lone surrogates too
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _rounded(unit: np.ndarray) -> np.ndarray:
    """Rows in whole numbers of 1/127 of their largest entry. The page needs no scales: it makes rows of length 1 again."""
    return np.round(unit * (127 / np.abs(unit).max(1, keepdims=True)))


def _placed(positions: np.ndarray) -> np.ndarray:
    """Positions in a square of 65535, y downwards, the middle of the map in its middle."""
    low, high = positions.min(0), positions.max(0)
    centred = (positions - (low + high) / 2) / max(float((high - low).max()), 1e-12)
    return np.round((centred * (1, -1) + 0.5) * 65535)


def _base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(values.astype(kind).tobytes()).decode("ascii")
