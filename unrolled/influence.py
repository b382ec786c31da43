"""Which inputs moved a score: gradient times input, and hiding each input as the check beside it.

    gradient × input   Σ_e (∂s/∂x_t)_e (x_t - x_0)_e     what a line through x foretells (Shrikumar et al. 2016)
    occlusion          s(x) - s(x with x_0 at step t)    what hiding step t does (Zeiler and Fergus 2014; Li et al. 2016)

s is a score, such as the log-odds ln p / (1 - p), which do not flatten where a net is sure; x_0 stands for an input that says
nothing. Of an s that is linear in x both are the same number; where they disagree, the gradient's line is no good guess of what
the net does. A step whose x is x_0 has moved nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]  # inputs (N, T, E) -> a score of each row (N,); a row's score rests on that row alone
AT_ONCE = 1 << 14  # inputs read together


def log_odds(logits: Tensor, label: int) -> Tensor:
    """ln p / (1 - p) of a label (N,), of logits (N, K)."""
    others = logits.masked_fill(torch.arange(logits.shape[1], device=logits.device) == label, -torch.inf)
    return logits[:, label] - others.logsumexp(-1)


def gradient_times_input(score: Score, x: Tensor, nothing: Tensor) -> np.ndarray:
    """Each step's part (T,) in the score of x (T, E), by its slope there; nothing (T, E) or (E,) says nothing."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(score(x.unsqueeze(0)).sum(), x)
    return (slope * (x - nothing).detach()).sum(-1).cpu().numpy()


def by_distance(score: Score, x: Tensor) -> np.ndarray:
    """How strongly scores listen to each step: the mean length of their slopes at x (N, T, E), the last step first (T,)."""
    x = x.detach()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(score(x.requires_grad_()).sum(), x)
    return slope.norm(dim=-1).mean(0).flip(0).cpu().numpy()


@torch.no_grad()
def occlusion(score: Score, x: Tensor, nothing: Tensor, most: int) -> np.ndarray:
    """How much the score of x (T, E) falls when a step says nothing (T,).

    At most about `most` inputs are read for it, two steps at least: of a longer x only every n-th step is hidden, the others
    are nan.
    """
    T, nothing = len(x), nothing.expand_as(x)
    places = torch.arange(0, T, max(1, -(-T * T // most)) if T > 1 else 1)
    places = places if len(places) > 1 or T == 1 else torch.tensor([0, T - 1])
    whole, fall = score(x.unsqueeze(0)), np.full(T, np.nan, np.float32)
    for some in places.split(max(1, AT_ONCE // T)):
        rows = x.repeat(len(some), 1, 1)
        rows[torch.arange(len(some)), some] = nothing[some]
        fall[some.numpy()] = (whole - score(rows)).cpu().numpy()
    return fall


def agreement(slopes: np.ndarray, falls: np.ndarray) -> float | None:
    """Pearson's correlation of both over the steps that were hidden; None of fewer than three, or where one never changes."""
    both = np.stack((slopes, falls)).astype(np.float64)[:, ~np.isnan(falls)]
    if both.shape[1] < 3 or (np.ptp(both, axis=1) <= 1e-12).any():
        return None
    return float(np.corrcoef(both)[0, 1])
