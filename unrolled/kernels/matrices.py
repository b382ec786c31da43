"""The large products of a layer, those that need no state: one each for W x, and for the gradients of x, W and U.

torch's own product goes through MKL; oneDNN, which torch carries too, is faster for the first two on some processors (MKL's
float32 kernels hold some of AMD's to half of what they can do). Which is used is measured once on each machine.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from . import measured


def forward(x: Tensor, W: Tensor, b: Tensor | None, low: bool) -> Tensor:
    """x (N, I), W (G, I), b (G) -> (N, G); with `low` in bfloat16, the sum with b in float32."""
    if low:
        product = _rounded(x, W.t())
        return product if b is None else product.add_(b)
    if _onednn("forward", x):
        return _linear(x, W, b)
    return torch.nn.functional.linear(x, W, b)


def input_gradient(dA: Tensor, W: Tensor, low: bool) -> Tensor:
    """dA (N, G), W (G, I) -> (N, I)."""
    if low:
        return _rounded(dA, W)
    return _linear(dA, W.t(), None) if _onednn("input", dA) else dA @ W


def weight_gradient(dA: Tensor, x: Tensor, low: bool) -> Tensor:
    """dA (N, G), x (N, I) -> (G, I)."""
    return _rounded(dA.t(), x) if low else dA.t() @ x  # oneDNN: no faster, and 50 times slower on a slice of dA's columns


def _rounded(a: Tensor, b: Tensor) -> Tensor:
    """a b from bfloat16 factors, summed in float32, rounded to bfloat16 once more (torch has no other output on the CPU)."""
    return (a.bfloat16() @ b.bfloat16()).to(a.dtype)


def _linear(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """a (M, K), b (N, K) -> a bᵀ through oneDNN, which has slow ways for factors that do not lie in one piece."""
    return torch.ops.mkldnn._linear_pointwise(a.contiguous(), b, bias, "none", [], "")


def _onednn(which: str, like: Tensor) -> bool:
    if like.device.type != "cpu" or like.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return False
    return _onednn_is_faster(which, torch.get_num_threads())


@cache
def _onednn_is_faster(which: str, threads: int) -> bool:
    x, W, dA = torch.ones(1024, 256), torch.ones(1024, 256), torch.ones(1024, 1024)  # no random number is spent
    ways = {
        "forward": {"torch": lambda: x @ W.t(), "onednn": lambda: _linear(x, W, None)},
        "input": {"torch": lambda: dA @ W, "onednn": lambda: _linear(dA, W.t(), None)},
    }[which]
    with torch.no_grad():
        return measured.faster(f"product for {which}", ways) == "onednn"
