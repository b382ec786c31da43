"""Hiding stretches of time and of bands in what a net hears, so that it leans on no single one (Park et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

WIDEST, LONGEST, PART = 0.15, 10, 0.05  # of the bands; frames; of the frames


def masked(features: Tensor, frames: Tensor, number: int, ripe: Tensor) -> Tensor:
    """Features (B, F, M), of which (B,) frames count, with `number` stretches of time and as many of bands set to their mean, 0.

    ripe (B,), 0 to 1: how much of their width they have.
    """
    B, _, M = features.shape
    bands = frames.new_full((B,), M)
    for axis, whole, most in ((1, frames, (PART * frames).clamp(max=LONGEST)), (2, bands, WIDEST * bands)):
        at = torch.arange(features.shape[axis], device=features.device)
        for _ in range(number):
            width = torch.rand(B, device=features.device) * (most * ripe + 1)
            begin = torch.rand(B, device=features.device) * (whole - width).clamp(min=0)
            hidden = (at >= begin.floor().unsqueeze(1)) & (at < (begin.floor() + width.floor()).unsqueeze(1))
            features = features.masked_fill(hidden.unsqueeze(2 if axis == 1 else 1), 0.0)
    return features
