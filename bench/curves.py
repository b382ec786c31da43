"""The same training through the kernels and through scan(), step by step: how far the losses part."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from unrolled import fit
from unrolled.kernels import choice, compiled
from unrolled.tasks import language

from .harness import save

STEPS = 500


def run(data: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (text,) = language.demo(Path(folder) / "demo")
        rows = [row(cell, text, Path(folder)) for cell in ("gru", "gru_after", "lstm", "rnn")]
    save("curves", rows)


def row(cell: str, text: Path, folder: Path) -> dict[str, object]:
    config = language.Config(
        data=(str(text),), cell=cell, hidden=128, layers=2, embedding=64, batch=16, length=48, rate=4e-3, steps=STEPS,
        dropout=0.0, input_dropout=0.0, weight_dropout=0.0, device="cpu", precision="float32",
    )  # fmt: skip
    read = language.read(config, folder / cell)
    by_kernel, by_scan = losses(config, read), losses(config, read, through_scan=True)
    apart = [abs(a - b) for a, b in zip(by_kernel, by_scan, strict=True)]
    return {
        "cell": cell, "steps": STEPS, "first_loss": by_kernel[0], "last_loss": by_kernel[-1],
        "largest_difference": max(apart), "mean_difference_of_last_100": sum(apart[-100:]) / 100,
    }  # fmt: skip


def losses(config: language.Config, data: language.Data, through_scan: bool = False) -> list[float]:
    """Nats a symbol of each step. LSTM and all others go through our compiled loops, or through scan()."""
    torch.manual_seed(1)
    model = language.Model(config, data.codec)
    settings, batches = language.settings(config, data), language.batches(config, data)
    optimizer, state, found = fit.adamw(model, settings), None, []
    original = choice.choose
    choice.choose = lambda *_, **__: choice.Kernel("forced", choice.scan if through_scan else compiled.run, "")
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * fit.schedule(step, settings)
        loss, state = fit.update(model, model, batches.batch(step), state, optimizer, settings)
        found.append(float(loss))
    choice.choose = original
    return found
