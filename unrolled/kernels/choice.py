"""Fast ways to run a cell over time, and the one place that picks among them.

A kernel is run(cell, U, x, state, lengths) -> (hidden states, last state), the same function as cells.scan; U is
handed over apart because recurrent dropout replaces it. Every kernel is tested forward and backward against scan().
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import cells
from . import again, native


class Kernel(NamedTuple):
    name: str
    run: Callable[..., tuple[Tensor, cells.State]] | None
    why: str


def scan(cell: nn.Module, U: Tensor, x: Tensor, state: cells.State, lengths: Tensor | None):
    """cells.scan with another U in the cell's place."""
    if U is cell.U:
        return cells.scan(cell, x, state, lengths)
    return again.scan(cell, {"U": U}, x, state, lengths)


def choose(cell: nn.Module, device: torch.device, dtype: torch.dtype, shape: tuple[int, int], ragged: bool = False) -> Kernel:
    """The kernel for this cell; shape is (batch, steps), ragged where rows differ in length.

    The answer's `why` is what `unrolled doctor` prints.
    """
    kind = type(cell)
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        dtype = cell.W.dtype if device.type == "cpu" else torch.get_autocast_dtype(device.type)
    if kind not in KNOWN:
        return Kernel("scan", scan, "no kernel is written for this equation; the loop over its forward runs")
    if cell._forward_hooks or cell._forward_pre_hooks or "forward" in vars(cell):
        return Kernel("scan", scan, "its forward is hooked or replaced, which a kernel would not see; the loop over it runs")
    if torch._C._are_functorch_transforms_active():
        return Kernel("scan", scan, "torch.func transforms go through the loop over cells.py")
    if device.type == "cpu" and dtype in (torch.float32, torch.float64):
        return _on_cpu(kind, dtype, ragged)
    if device.type == "cuda":
        return _on_gpu(cell, device, dtype, shape, ragged)
    if kind in native.LAYERS:
        return Kernel("torch", native.run, "torch's own layer computes the same equation")
    return Kernel("scan", scan, f"no kernel for {dtype} on {device.type}; the loop over cells.py runs")


KNOWN = (cells.RNN, cells.GRU, cells.GRUAfter, cells.LSTM)


def _on_cpu(kind: type[nn.Module], dtype: torch.dtype, ragged: bool) -> Kernel:
    onednn = dtype == torch.float32 and torch.backends.mkldnn.is_available()
    if kind is cells.LSTM and onednn and not ragged:
        return Kernel("torch", native.run, "oneDNN's LSTM computes the same equation, at the processor's speed too")
    from . import compiled  # imports numba, which takes 0.2 s

    if kind is cells.LSTM and onednn:
        return Kernel("compiled", compiled.run, "loops compiled for this processor skip padding; oneDNN's LSTM cannot")
    return Kernel("compiled", compiled.run, "loops over time compiled for this processor")


def _on_gpu(cell: nn.Module, device: torch.device, dtype: torch.dtype, shape: tuple[int, int], ragged: bool) -> Kernel:
    kind, has_cudnn = type(cell), type(cell) in native.LAYERS
    cudnn = Kernel("torch", native.run, "cuDNN computes the same equation")
    if dtype not in (torch.float32, torch.bfloat16, torch.float16) or kind is cells.RNN:
        return cudnn if has_cudnn else Kernel("scan", scan, f"no kernel for {dtype}; the loop over cells.py runs")
    if importlib.util.find_spec("triton") is None or torch.cuda.get_device_capability(device) < (8, 0):
        why = "triton is not installed" if importlib.util.find_spec("triton") is None else "the GPU is older than sm_80"
        return cudnn if has_cudnn else Kernel("scan", scan, f"{why}; the loop over cells.py runs")
    from . import gpu

    if not gpu.sound(kind, device, dtype):
        why = "the Triton kernels failed their check against scan() on this GPU"
        return cudnn._replace(why=f"cuDNN; {why}") if has_cudnn else Kernel("scan", scan, f"{why}; the loop runs")
    if has_cudnn and not gpu.beats_cudnn(cell, device, dtype, shape, ragged):
        return cudnn._replace(why="cuDNN computes the same equation, and measured faster here than the Triton kernels")
    return Kernel("triton", gpu.run, "all steps in one launch, checked against scan() on this GPU")


def times_slower(cell: nn.Module, device: torch.device, shape: tuple[int, int]) -> float:
    """How many times as long forward and backward of this cell take through scan() as those of the lecture's GRU through its
    kernel, at these sizes; measured now. Two gates less or more are a third of the work, so it is a rough guide."""
    batch, steps = shape
    with torch.random.fork_rng(devices=[]):
        gru = cells.GRU(cell.W.shape[1], cell.hidden_size).to(device, cell.W.dtype)
    x = torch.zeros(batch, steps, cell.W.shape[1], device=device, dtype=cell.W.dtype)
    fast = choose(gru, device, cell.W.dtype, shape).run
    return _seconds(scan, cell, x) / _seconds(fast, gru, x)


def _seconds(run: Callable, cell: nn.Module, x: Tensor) -> float:
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        out, _ = run(cell, cell.U, x, cells.start(cell, len(x)), None)
        float(torch.autograd.grad(out.sum(), cell.U)[0].sum())  # waits for a GPU too
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def choose_step(cell: nn.Module) -> Kernel:
    """How a net of this cell takes single steps with few rows on the CPU; `run` packs its layers, None where torch steps."""
    if type(cell) not in KNOWN:
        return Kernel("torch", None, "no kernel is written for this equation; cells.step runs")
    from . import stepping

    return Kernel("compiled", stepping.stack, "one compiled call a step, or one for a whole text")
