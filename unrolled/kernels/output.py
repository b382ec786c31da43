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
        x_low, W_low = x.to(factor), W.to(factor)
        dx, dW, db = torch.empty_like(x), torch.zeros_like(W), torch.zeros_like(b)
        logits, nats = torch.empty(min(ROWS, N), V), np.empty(N, np.float64)
        for begin in range(0, N, ROWS):
            rows = slice(begin, min(begin + ROWS, N))
            part = logits[: rows.stop - begin]
            part.copy_(x_low[rows] @ W_low.t())
            part += b
            highest, means = part.amax(1).numpy(), part.mean(1).numpy()
            turn(part.numpy(), highest, means, targets[rows].numpy(), np.float32(smoothing), np.float32(1 / N), nats[rows])
            slope = part.to(factor)
            dx[rows] = slope @ W_low
            dW += slope.t() @ x_low[rows]
            db += part.sum(0)
        ctx.save_for_backward(dx, dW, db)
        return x.new_tensor(nats.mean())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d):
        dx, dW, db = ctx.saved_tensors
        return dx * d, dW * d, db * d, None, None, None


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
