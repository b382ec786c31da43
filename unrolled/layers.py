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

from . import cells
from .cells import CELLS

ONE_HOT = "one-hot"


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


class Embedding(nn.Module):
    """ids (…) -> vectors (…, width): learned for the first symbols, fixed for those that only came with word vectors."""

    def __init__(self, learned: int, fixed: int, width: int):
        super().__init__()
        self.learned = nn.Embedding(learned, width)
        self.register_buffer("fixed", torch.zeros(fixed, width))

    def forward(self, ids: Tensor) -> Tensor:
        if not len(self.fixed):
            return self.learned(ids)
        border = self.learned.num_embeddings
        rest = F.embedding((ids - border).clamp(min=0), self.fixed)
        return torch.where((ids < border).unsqueeze(-1), self.learned(ids.clamp(max=border - 1)), rest)


class Pooling(nn.Module):
    """The states of all steps (B, T, C) become one vector (B, C).

    last       the last state; of two directions, each one's own last: the backward half stands at step 1
    mean, max  over time
    attention  a weighted mean, weights softmax(qᵀ tanh(h_t)) (Yang et al. 2016, with their matrix left out)
    """

    def __init__(self, kind: str, width: int, both: bool):
        super().__init__()
        self.kind, self.forward_width = kind, width // 2 if both else width
        self.query = nn.Linear(width, 1, bias=False) if kind == "attention" else None

    def forward(self, h: Tensor, lengths: Tensor) -> Tensor:
        inside = torch.arange(h.shape[1], device=h.device) < lengths.unsqueeze(1)  # (B, T)
        if self.kind == "last":
            last = h[torch.arange(len(h), device=h.device), lengths - 1]
            return torch.cat((last[:, : self.forward_width], h[:, 0, self.forward_width :]), -1)
        if self.kind == "max":
            return h.masked_fill(~inside.unsqueeze(-1), -torch.inf).amax(1)
        if self.kind == "mean":
            weights = inside / lengths.unsqueeze(1)
        else:
            weights = self.query(h.tanh()).squeeze(-1).masked_fill(~inside, -torch.inf).softmax(-1)
        return (weights.unsqueeze(-1) * h.masked_fill(~inside.unsqueeze(-1), 0.0)).sum(1)


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


@torch.no_grad()
def adopt(embedding: Embedding, first: int, symbols: Sequence[str], vectors: Mapping[str, np.ndarray]) -> Coverage:
    """begin_with for an Embedding: of its learned symbols those that have a vector, and all its fixed ones, scaled alike."""
    learned = symbols[: len(symbols) - len(embedding.fixed)]
    before = embedding.learned.weight.std()
    covered = begin_with(embedding.learned, first, learned, vectors)
    if len(embedding.fixed):
        rows = torch.from_numpy(np.stack([np.asarray(vectors[symbol], np.float32) for symbol in symbols[len(learned) :]]))
        embedding.fixed.copy_(rows * (before / rows.std()))
    return covered


def initialise(module: nn.Module) -> None:
    """Orthogonal recurrent gates (Saxe et al. 2014), an LSTM that remembers at first (forget bias 1, Jozefowicz 2015)."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.5)
    elif isinstance(module, nn.Linear):
        nn.init.uniform_(module.weight, -(module.in_features**-0.5), module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif type(module) in CELLS.values():
        nn.init.normal_(module.W, std=module.input_size**-0.5)
        for gate in module.U.data.chunk(module.gates):
            nn.init.orthogonal_(gate)
        nn.init.zeros_(module.b)
        if isinstance(module, cells.LSTM):
            module.b.data.chunk(4)[1].fill_(1.0)


@torch.no_grad()
def grow(model: nn.Module, old: nn.Module) -> None:
    """Take another run's weights; symbols and labels it did not know start as the mean of those it knew."""
    parameters, buffers = dict(old.named_parameters()), dict(old.named_buffers())
    for name, value in model.named_buffers():
        value.copy_(buffers[name])
    for name, value in model.named_parameters():
        known = parameters[name]
        if known.shape[1:] != value.shape[1:]:  # one-hot: a new symbol is a new column of W
            known = torch.cat((known, known.mean(1, keepdim=True).expand(-1, value.shape[1] - known.shape[1])), 1)
        value[: len(known)] = known
        value[len(known) :] = known.mean(0)
