"""The output layer and its loss in one against torch's two, forward and backward."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unrolled.kernels.jit import compiled
from unrolled.kernels.output import ROWS, cross_entropy
from unrolled.kernels.smooth import exp


def inputs(rows: int, symbols: int, scale: float = 1.0):
    torch.manual_seed(rows)
    x, W, b = torch.randn(rows, 12) * scale, torch.randn(symbols, 12), torch.randn(symbols)
    return [value.requires_grad_() for value in (x, W, b)], torch.randint(symbols, (rows,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize(("rows", "symbols"), [(1, 1), (1, 7), (5, 33), (ROWS, 50), (2 * ROWS + 3, 129)])
def test_loss_and_gradients_are_torchs(rows, symbols, smoothing):
    found = []
    for fused in (True, False):
        values, targets = inputs(rows, symbols)
        if fused:
            loss = cross_entropy(*values, targets, smoothing)
        else:
            loss = F.cross_entropy(F.linear(*values), targets, label_smoothing=smoothing)
        (3 * loss).backward()
        found.append([loss.detach(), *(value.grad for value in values)])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=2e-6)


def test_large_logits_overflow_nothing():
    values, targets = inputs(20, 40, scale=300.0)
    loss = cross_entropy(*values, targets)
    loss.backward()
    assert loss.item() == pytest.approx(F.cross_entropy(F.linear(*values), targets).item(), rel=1e-5)
    assert all(value.grad.isfinite().all() for value in values)


def test_a_net_that_diverged_says_so():
    (x, W, b), targets = inputs(3, 5)
    with torch.no_grad():
        x[1, 2] = math.nan
    assert math.isnan(cross_entropy(x, W, b, targets).item())


def test_bfloat16_is_as_near_as_torchs():
    values, targets = inputs(300, 500)
    exact = F.cross_entropy(F.linear(*values), targets).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = cross_entropy(*values, targets)
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=2e-2) and loss.item() != exact
    assert loss.dtype == torch.float32 and all(value.grad.dtype == torch.float32 for value in values)


def test_exp_is_that_of_the_c_library_to_float32():
    @compiled
    def of(x, y):
        for i in range(len(x)):
            y[i] = exp(x[i])

    x = np.concatenate((np.linspace(-86.9, 87.9, 100_001), [0, -0.0, 1])).astype(np.float32)
    y = np.empty_like(x)
    of(x, y)
    wanted = np.exp(x.astype(np.float64))
    assert (np.abs(y - wanted) / wanted).max() < 3e-7
    assert y[-3] == y[-2] == 1
    edge = np.array([-1000, 1000, np.nan], np.float32)
    of(edge, y[:3])
    assert 0 < y[0] < 1e-37 and 1e38 < y[1] < np.inf
    wide = np.array([0.3, -700.0])
    out = np.empty(2)
    of(wide, out)
    assert out.tolist() == pytest.approx(np.exp(wide).tolist(), rel=1e-15)
