"""Training steps of recurrent layers beside torch.nn's: forward, backward, float32, same weights' shapes, same input."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import unrolled

from .harness import alternate, save

SHAPES = [(32, 64, 256), (16, 48, 320), (32, 64, 512)]  # batch, steps, hidden; input as wide as hidden


def run(data: str | None) -> None:
    kinds = [
        ("lstm", unrolled.LSTM, nn.LSTM, {}),
        ("rnn", unrolled.RNN, nn.RNN, {}),
        ("gru_after", unrolled.GRU, nn.GRU, {"reset_after": True}),
        ("gru (torch has only the other form)", unrolled.GRU, nn.GRU, {}),
    ]
    rows = []
    for batch, steps, hidden in SHAPES:
        x = torch.randn(batch, steps, hidden)
        for name, ours, peer, options in kinds:
            layer = ours(hidden, hidden, batch_first=True, **options)
            found = alternate(train_step(layer, x), train_step(peer(hidden, hidden, batch_first=True), x), rounds=7)
            rows.append(
                {
                    "cell": name, "batch": batch, "steps": steps, "hidden": hidden,
                    "ours_symbols_per_second": batch * steps / found["ours_seconds"],
                    "torch_symbols_per_second": batch * steps / found["peer_seconds"],
                    **{key: value for key, value in found.items() if key.startswith("ratio")},
                }
            )  # fmt: skip
    save("training", rows)


def train_step(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def go() -> None:
        for _ in range(3):
            out, _ = layer(x)
            out.square().mean().backward()
            layer.zero_grad()

    return go
