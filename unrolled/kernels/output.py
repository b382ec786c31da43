"""The output layer over a large vocabulary and its loss in one: cross entropy of logits that are never kept.

The logits of all symbols of a batch take more memory than all else, and are read and written six times by separate functions.
Here a few hundred rows at a time are multiplied, turned into the loss and its gradient where they lie, and multiplied back.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .jit import MATH, compiled
from .smooth import exp
from .threads import in_shares

ROWS = 256  # of logits at a time: they stay in the processor's cache


def cross_entropy(features: Tensor, W: Tensor, b: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean nats of targets (N) under softmax(W x + b), x (N, E), W (V, E), b (V).

    `smoothing` of the labels is spread over all symbols. Equal to torch's cross_entropy of those logits; first derivatives only.
    On the CPU, in float32; the products in bfloat16 under autocast.
    """
    low = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    with torch.autocast("cpu", enabled=False):
        return _CrossEntropy.apply(features.float(), W, b, targets, smoothing, low)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, W, b, targets, smoothing, low):
        N, V = len(x), len(W)
        factor = torch.bfloat16 if low else torch.float32
        x_low, W_low, b_low = x.to(factor), W.to(factor), b.to(factor)
        dx, dW, db = torch.empty_like(x_low), torch.zeros_like(W_low), torch.zeros_like(b)
        logits, nats = torch.empty(min(ROWS, N), V), np.empty(N, np.float64)
        means = (x @ W.mean(0) + b.mean()).numpy()  # of each row's logits
        for begin in range(0, N, ROWS):
            rows = slice(begin, min(begin + ROWS, N))
            part = logits[: rows.stop - begin]
            if low:
                part.copy_(torch.addmm(b_low, x_low[rows], W_low.t()))
            else:
                torch.addmm(b, x[rows], W.t(), out=part)
            _turn(part.numpy(), part.amax(1).numpy(), means[rows], targets[rows].numpy(), smoothing, 1 / N, nats[rows])
            slope = part.to(factor)
            torch.mm(slope, W_low, out=dx[rows])
            dW.addmm_(slope.t(), x_low[rows])
            db += part.sum(0)
        ctx.save_for_backward(dx.float(), dW.float(), db)
        return x.new_tensor(nats.mean())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d):
        dx, dW, db = ctx.saved_tensors
        return dx * d, dW * d, db * d, None, None, None


def _turn(logits, highest, means, targets, smoothing, scale, nats):
    """turn() on all threads."""
    edges = np.linspace(0, len(logits), torch.get_num_threads() + 1).astype(np.int64)
    numbers = np.float32(smoothing), np.float32(scale)

    def share(i: int) -> None:
        rows = slice(edges[i], edges[i + 1])
        turn(logits[rows], highest[rows], means[rows], targets[rows], *numbers, nats[rows])

    in_shares(share, len(edges) - 1)


def turn(logits, highest, means, targets, smoothing, scale, nats):
    """Logits (N, V) become the loss's gradient times `scale`; nats (N) receives each row's loss."""
    V = logits.shape[1]
    spread = scale * smoothing / np.float32(V)
    for i in range(len(logits)):
        row, top = logits[i], highest[i]
        target, total = row[targets[i]] - top, np.float32(0)
        for j in range(V):
            row[j] = exp(row[j] - top)
            total += row[j]
        nats[i] = math.log(total) - (1 - smoothing) * target - smoothing * (means[i] - top)
        factor = scale / total
        for j in range(V):
            row[j] = row[j] * factor - spread
        row[targets[i]] -= scale * (np.float32(1) - smoothing)


turn = compiled(turn, MATH | {"reassoc"})  # so that several terms of a sum are taken at once
