"""Attention: which steps of a read sequence (the memory) a decoder's state looks at, and what it sees there.

    e_ts = score(q_t, m_s)      α_t = softmax(e_t) over the memory's steps      c_t = Σ_s α_ts m_s

dot       e_ts = q_tᵀ m_s                     (Luong et al. 2015; both of one width)
general   e_ts = q_tᵀ W m_s                   (Luong et al. 2015)
additive  e_ts = vᵀ tanh(W q_t + U m_s)       (Bahdanau et al. 2014)

coverage adds p · Σ_{t' < t} α_t's, with p learned: what was looked at is looked at less, or more (after Tu et al. 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KINDS = ("dot", "general", "additive")


class Attention(nn.Module):
    """Queries q (B, T, H) look at a memory m (B, S, H)."""

    def __init__(self, kind: str, width: int, coverage: bool = False):
        super().__init__()
        self.kind = kind
        self.query = nn.Linear(width, width, bias=False) if kind == "additive" else None
        self.key = nn.Linear(width, width, bias=False) if kind != "dot" else None
        self.v = nn.Linear(width, 1, bias=False) if kind == "additive" else None
        self.past = nn.Parameter(torch.zeros(1)) if coverage else None

    def keys(self, memory: Tensor) -> Tensor:
        """What of the score depends on the memory alone, (B, S, H): reckoned once for a sequence."""
        return memory if self.key is None else self.key(memory)

    def forward(
        self, queries: Tensor, memory: Tensor, keys: Tensor, lengths: Tensor, covered: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts (B, T, H) and weights α (B, T, S), which are zero past a row's length.

        covered (B, 1, S) is the sum of the weights of all steps before; with coverage, one step at a time.
        """
        outside = torch.arange(memory.shape[1], device=memory.device) >= lengths.unsqueeze(1)  # (B, S)
        scores = self.scores(queries, keys)
        if self.past is not None:
            scores = scores + self.past * covered
        weights = scores.masked_fill(outside.unsqueeze(1), -torch.inf).softmax(-1)
        return weights @ memory.to(weights.dtype), weights

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """e (B, T, S)."""
        if self.query is None:
            return queries @ keys.transpose(1, 2)
        both = self.query(queries).unsqueeze(2) + keys.unsqueeze(1)  # (B, T, S, H)
        return self.v(both.tanh()).squeeze(-1)
