"""What stands between a symbol's number and the recurrent layers: one-hot, a learned vector, or one learned elsewhere.

one-hot      x_t is the unit vector of symbol t; the first layer's W holds what there is to learn
learned      x_t = E[t], E learned with the rest
pretrained   x_t = E[t], E begun with word vectors, and tuned or frozen
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class OneHot(nn.Module):
    """ids (…) -> unit vectors (…, size)."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    @property
    def weight(self) -> Tensor:
        """The vectors as a matrix (size, size), as nn.Embedding has it."""
        return torch.eye(self.size)

    def forward(self, ids: Tensor) -> Tensor:
        return F.one_hot(ids, self.size).to(torch.get_default_dtype())


class Coverage(NamedTuple):
    """How many of a vocabulary's symbols have a pretrained vector."""

    found: int
    of: int

    def __str__(self) -> str:
        return f"{self.found:,} of {self.of:,} symbols ({100 * self.found / max(1, self.of):.1f} %)"


def begin_with(embedding: nn.Embedding, first: int, symbols: Sequence[str], vectors: Mapping[str, np.ndarray]) -> Coverage:
    """Give the rows of known symbols their vectors; the others stay as they are.

    first   the row of symbols[0]
    The vectors are scaled as a whole to the spread of the fresh rows, which the layers behind are made for.
    """
    known = [i for i, symbol in enumerate(symbols) if symbol in vectors]
    if known:
        rows = torch.from_numpy(np.stack([np.asarray(vectors[symbols[i]], np.float32) for i in known]))
        with torch.no_grad():
            spread = embedding.weight.std() / rows.std().clamp(min=1e-12)
            embedding.weight[[first + i for i in known]] = (rows * spread).to(embedding.weight)
    return Coverage(len(known), len(symbols))
