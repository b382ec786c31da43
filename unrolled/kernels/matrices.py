"""The large products of a layer on the CPU, those that need no state: one each for W x, and for the gradients of x, W and U.

torch's own product goes through MKL; oneDNN, which torch carries too, is faster for some shapes on some processors (MKL's
float32 kernels hold AMD's to half of what they can do). Which is used for what is measured once on each machine.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from . import measured


def forward(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """x (N, I), W (G, I), b (G) -> (N, G)."""
    if _onednn("forward", x.dtype):
        return _linear(x, W, b)
    return torch.nn.functional.linear(x, W, b)


def input_gradient(dA: Tensor, W: Tensor) -> Tensor:
    """dA (N, G), W (G, I) -> (N, I)."""
    return _linear(dA, W.t(), None) if _onednn("input", dA.dtype) else dA @ W


def weight_gradient(dA: Tensor, x: Tensor) -> Tensor:
    """dA (N, G), x (N, I) -> (G, I)."""
    return _linear(dA.t(), x.t(), None) if _onednn("weights", dA.dtype) else dA.t() @ x


def _linear(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """a (M, K), b (N, K) -> a bᵀ through oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


@cache
def _onednn(which: str, dtype: torch.dtype, threads: int | None = None) -> bool:
    if threads is None:
        return _onednn(which, dtype, torch.get_num_threads())
    if dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return False
    x, W, dA = torch.randn(1024, 256), torch.randn(1024, 256), torch.randn(1024, 1024)
    a, b = {"forward": (x, W), "input": (dA, W.t()), "weights": (dA.t(), x.t())}[which]
    with torch.no_grad():
        ways = {"torch": lambda: a @ b.t(), "onednn": lambda: _linear(a, b, None)}
        return measured.faster(f"large product, {which}", ways) == "onednn"
