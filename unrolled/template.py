"""A page of HTML with its places filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PAGES = Path(__file__).parent / "page"


def fill(name: str, parts: Mapping[str, str]) -> bytes:
    """page/<name> with the text of each of its places (`@TABLE@`) put in wherever it stands; what is put in may name a place."""
    pieces = [(PAGES / name).read_text(encoding="utf-8")]
    for place in parts:  # split first, fill then
        pieces = [half for piece in pieces for half in _around(piece, place)]
    return "".join(parts.get(piece, piece) for piece in pieces).encode("utf-8", "replace")


def fragment(name: str) -> str:
    """page/<name>, which several pages hold."""
    return (PAGES / name).read_text(encoding="utf-8").rstrip("\n")


def _around(piece: str, place: str) -> list[str]:
    first, *others = piece.split(place)
    return [first, *(part for other in others for part in (place, other))]
