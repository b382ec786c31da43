"""Recurrent sequence models, from the lecture's equations to a running product.

The names below load when first used, so that `import unrolled` and `unrolled --help` stay instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.11.0"

if TYPE_CHECKING:
    from .api import load, train
    from .cells import CELLS
    from .errors import UserError
    from .hub import from_pretrained, push_to_hub, save_pretrained
    from .recurrent import GRU, LSTM, RNN
    from .vectors import Vectors

_HOMES = {
    "train": "api",
    "load": "api",
    "save_pretrained": "hub",
    "from_pretrained": "hub",
    "push_to_hub": "hub",
    "RNN": "recurrent",
    "GRU": "recurrent",
    "LSTM": "recurrent",
    "CELLS": "cells",
    "UserError": "errors",
    "Vectors": "vectors",
}
__all__ = [
    "CELLS", "GRU", "LSTM", "RNN", "UserError", "Vectors", "from_pretrained", "load", "push_to_hub", "save_pretrained", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `unrolled` has no attribute `{name}`")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
