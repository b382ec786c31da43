"""A figure of plot.py as a file, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import MISSING_EXTRA, UserError


def of(draw: Callable[[Any], Any], kind: str) -> bytes:
    """What draw(plot) draws as a `png` or `svg` file; a UserError where matplotlib is missing."""
    try:
        from . import plot
    except ImportError as error:
        fix = "pip install 'unrolled[plot]', or --out look.html"
        raise UserError(f"a picture needs the package `{error.name}`", fix=fix, code=MISSING_EXTRA) from None
    return {"png": plot.png, "svg": plot.svg}[kind](draw(plot))
