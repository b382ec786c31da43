"""Training steps on a GPU: the Triton kernels beside cuDNN and the loop. Without a GPU it says so and writes nothing."""

from __future__ import annotations

from typing import Any

import torch

from unrolled import cells
from unrolled.kernels import choice, native

from .harness import beside, save
from .recurrent import flat, sizes

SHAPES = [(16, 256, 256), (64, 256, 256), (16, 1024, 512), (64, 256, 512), (16, 256, 1024), (64, 256, 1024)]  # B, T, H


def run(data: str | None) -> None:
    if not torch.cuda.is_available():
        print("skipped: no GPU that torch can use")
        return
    rows = [
        row(cell, shape, dtype)
        for dtype in (torch.bfloat16, torch.float32)
        for shape in SHAPES
        for cell in ("gru", "gru_after", "lstm")
    ]
    save("gpu", rows)


def row(cell: str, shape: tuple[int, int, int], dtype: torch.dtype) -> dict[str, Any]:
    """For `gru` cuDNN computes the other form, with weights of the same sizes."""
    from unrolled.kernels import gpu

    batch, steps, hidden = shape
    own = cells.CELLS[cell](hidden, hidden).to("cuda", dtype)
    other = cells.GRUAfter(hidden, hidden).to("cuda", dtype) if cell == "gru" else own
    x = torch.randn(batch, steps, hidden, device="cuda", dtype=dtype, requires_grad=True)

    def training(go: Any, of: torch.nn.Module) -> Any:
        def step() -> None:
            out, _ = go(of, of.U, x, cells.start(of, batch), None)
            torch.autograd.grad(out.sum(), [x, *of.parameters()])
            torch.cuda.synchronize()

        return step

    peers = {"cudnn": training(native.run, other), "scan": training(choice.scan, own)}
    found = beside(training(gpu.run, own), peers, 5)
    sound = gpu.sound(type(own), x.device, dtype)
    return sizes(cell, batch, steps, hidden) | {"dtype": str(dtype)[6:], "sound": sound} | flat(found)
