"""Training steps of recurrent layers, forward and backward in float32: ours beside every peer that is installed.

Each row is a layer as wide as its input, which needs a gradient too, so that there are as many products as inside a deep net.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unrolled
from unrolled import cells
from unrolled.kernels import choice

from .harness import beside, save, seconds

SHAPES = [(32, 128, 128), (16, 256, 128), (16, 128, 256), (64, 64, 256), (16, 64, 512), (32, 128, 512)]  # B, T, H
TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "gru_after": nn.GRU, "lstm": nn.LSTM}
OURS = {"rnn": unrolled.RNN, "gru": unrolled.GRU, "gru_after": unrolled.GRU, "lstm": unrolled.LSTM}


def run(data: str | None) -> None:
    """All cells at all shapes, rows of one length."""
    limit = peak()
    rows = [row(cell, shape, limit) for shape in SHAPES for cell in TORCH]
    save("recurrent", rows)


def run_ragged(data: str | None) -> None:
    """Lengths from a quarter of T to T: ours with `lengths`, torch.nn's with packed sequences, padded again."""
    rows = []
    for batch, steps, hidden in SHAPES:
        lengths = torch.linspace(steps // 4, steps, batch).long()[torch.randperm(batch)]
        for cell in TORCH:
            x = torch.randn(batch, steps, hidden, requires_grad=True)
            layer, peer = layer_of(cell, hidden), TORCH[cell](hidden, hidden, batch_first=True)
            ours = training(lambda x, layer=layer, lengths=lengths: layer(x, lengths=lengths)[0], layer, x)
            found = beside(ours, {"torch": training(packed(peer, lengths), peer, x)}, 7)
            rows.append(sizes(cell, batch, steps, hidden) | flat(found))
    save("ragged", rows)


def row(cell: str, shape: tuple[int, int, int], limit: float) -> dict[str, Any]:
    batch, steps, hidden = shape
    x = torch.randn(batch, steps, hidden, requires_grad=True)
    layer = layer_of(cell, hidden)
    own = layer.recurrent.cells[0]
    peer = TORCH[cell](hidden, hidden, batch_first=True)
    scan = training(lambda x: choice.scan(own, own.U, x, cells.start(own, batch), None)[0], layer, x)
    peers = {
        "torch": training(lambda x: peer(x)[0], peer, x),
        "torch_switch": switched(training(lambda x: peer(x)[0], peer, x)),
        "scan": scan,
        "loop": training(lambda x: by_hand(own, x), layer, x),
    }
    if cell == "gru" and importlib.util.find_spec("keras") and importlib.util.find_spec("jax"):
        peers["keras_jax"] = keras_on_jax(x)
    found = beside(training(lambda x: layer(x)[0], layer, x), peers, 7)
    work = 12 * batch * steps * hidden * hidden * own.gates  # six products of 2·B·T·H·G·H
    reached = work / found["ours"]["seconds"] / 1e9
    return sizes(cell, batch, steps, hidden) | flat(found) | {"gflops": reached, "of_peak": reached / limit}


def by_hand(cell: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The loop that people write: everything of a step inside it. (`scan` takes W x of all steps out first.)"""
    state, hidden = cells.start(cell, x.shape[0]), []
    for t in range(x.shape[1]):
        h, state = cells.step(cell, x[:, t], state)
        hidden.append(h)
    return torch.stack(hidden, 1)


def layer_of(cell: str, hidden: int) -> nn.Module:
    return OURS[cell](hidden, hidden, batch_first=True, **({"reset_after": True} if cell == "gru_after" else {}))


def training(forward: Callable, layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Forward, backward, and every gradient thrown away."""

    def go() -> None:
        forward(x).square().mean().backward()
        layer.zero_grad()
        x.grad = None

    return go


def switched(go: Callable[[], None]) -> Callable[[], None]:
    """With torch's switch that sends float32 products through oneDNN (on some processors in bfloat16)."""

    def switched_on() -> None:
        with onednn_products():
            go()

    return switched_on


@contextmanager
def onednn_products():
    matmul = torch.backends.mkldnn.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def packed(peer: nn.Module, lengths: torch.Tensor) -> Callable:
    def forward(x: torch.Tensor) -> torch.Tensor:
        out, _ = peer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])[0]

    return forward


def keras_on_jax(x: torch.Tensor) -> Callable[[], None]:
    """Keras's GRU with reset_after=False, the lecture's, compiled by XLA as a whole."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras

    width = x.shape[2]
    layer = keras.layers.GRU(width, return_sequences=True, reset_after=False)
    layer.build(x.shape)
    weights, there = [v.value for v in layer.trainable_variables], jax.numpy.asarray(x.detach().numpy())

    @jax.jit
    def gradients(weights, x):
        def loss(weights, x):
            return (layer.stateless_call(weights, [v.value for v in layer.non_trainable_variables], x)[0] ** 2).mean()

        return jax.grad(loss, argnums=(0, 1))(weights, x)

    return lambda: jax.block_until_ready(gradients(weights, there))


def peak() -> float:
    """GFLOP/s of the fastest large float32 product here, torch's or oneDNN's: the most that a layer could reach."""
    a, b = torch.randn(2048, 1024), torch.randn(1024, 1024)
    with torch.no_grad():
        ways = [lambda: a @ b, lambda: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")]
        best = min(seconds(way) for way in ways * 8)
    return 2 * 2048 * 1024 * 1024 / best / 1e9


def sizes(cell: str, batch: int, steps: int, hidden: int) -> dict[str, Any]:
    return {"cell": cell, "batch": batch, "steps": steps, "hidden": hidden}


def flat(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """One row: our milliseconds, and how many times as long each peer took (median and range)."""
    times = {
        name: f"{peer['ratio']:.2f} ({peer['ratio_min']:.2f}-{peer['ratio_max']:.2f})"
        for name, peer in found.items()
        if name != "ours"
    }
    return {"ours_ms": 1000 * found["ours"]["seconds"], **times}
