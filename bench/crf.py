"""The conditional random field: ours beside the loop over time that people write with torch, and what its first use costs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unrolled.crf import CRF

from .harness import beside, save

SHAPES = [(32, 40, 9), (32, 40, 25), (32, 40, 75), (32, 200, 25)]  # B, T, K


def run(data: str | None) -> None:
    """Training (forward and backward) and the best path, with torch's threads as they are; rows from a half of T to T long."""
    rows = [row(what, shape) for what in (training, answering) for shape in SHAPES]
    save("crf", [*rows, first_use("training"), first_use("answering")])


def row(what: Callable, shape: tuple[int, int, int]) -> dict[str, Any]:
    B, T, K = shape
    lengths = torch.linspace(T // 2, T, B).long()
    ours, peer = what(CRF(tags=K), torch.randn(shape), torch.randint(K, (B, T)), lengths)
    found = beside(ours, {"torch_loop": peer}, 7)
    seconds, loop = found["ours"]["seconds"], found["torch_loop"]
    times = f"{loop['ratio']:.1f} ({loop['ratio_min']:.1f}-{loop['ratio_max']:.1f})"
    figures = {"words_per_second": int(lengths.sum()) / seconds, "ours_ms": 1000 * seconds, "torch_loop": times}
    return {"what": what.__name__, "batch": B, "steps": T, "tags": K, **figures}


def training(crf: CRF, e: Tensor, tags: Tensor, lengths: Tensor) -> tuple[Callable[[], None], Callable[[], None]]:
    """One step's loss and all gradients, ours and the loop's."""
    e.requires_grad_()

    def go(nats: Callable[..., Tensor]) -> None:
        nats(e, tags, lengths).mean().backward()
        crf.zero_grad()
        e.grad = None

    return lambda: go(crf), lambda: go(lambda *batch: loop_nats(crf, *batch))


def answering(crf: CRF, e: Tensor, tags: Tensor, lengths: Tensor) -> tuple[Callable[[], None], Callable[[], None]]:
    """The best path of each row, ours on one thread and the loop's on all."""

    def alone() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        crf.best(e, lengths)
        torch.set_num_threads(before)

    return alone, lambda: loop_best(crf, e, lengths)


def loop_nats(crf: CRF, e: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """ln Z - score in float32, all rows of the batch a step at a time."""
    rows, on = torch.arange(len(e)), torch.arange(e.shape[1]) < lengths[:, None]
    alpha, score = crf.start + e[:, 0], crf.start[tags[:, 0]] + e[rows, 0, tags[:, 0]]
    for t in range(1, e.shape[1]):
        reached = torch.logsumexp(alpha[:, :, None] + crf.follows + e[:, t, None], 1)
        alpha = torch.where(on[:, t, None], reached, alpha)
        score = score + (crf.follows[tags[:, t - 1], tags[:, t]] + e[rows, t, tags[:, t]]) * on[:, t]
    return torch.logsumexp(alpha + crf.end, 1) - score - crf.end[tags[rows, lengths - 1]]


@torch.no_grad()
def loop_best(crf: CRF, e: Tensor, lengths: Tensor) -> list[list[int]]:
    """Viterbi with torch, the way back in Python, as the usual packages have it."""
    on, v, came = torch.arange(e.shape[1]) < lengths[:, None], crf.start + e[:, 0], []
    for t in range(1, e.shape[1]):
        scores, by = (v[:, :, None] + crf.follows).max(1)
        v = torch.where(on[:, t, None], scores + e[:, t], v)
        came.append(by)
    paths = []
    for row, length in enumerate(lengths.tolist()):
        path = [int((v[row] + crf.end).argmax())]
        for by in reversed(came[: length - 1]):
            path.append(int(by[row, path[-1]]))
        paths.append(path[::-1])
    return paths


FIRST = """
import sys, time
import torch
from unrolled.crf import CRF
from unrolled.kernels import crf as _
crf, e, tags = CRF(tags=25), torch.randn(8, 9, 25, requires_grad=True), torch.zeros(8, 9, dtype=torch.long)
began = time.perf_counter()
if sys.argv[1] == "training":
    crf(e, tags).sum().backward()
else:
    crf.best(e)
print(time.perf_counter() - began)
"""


def first_use(what: str) -> dict[str, Any]:
    """Seconds of the first call where nothing is compiled yet, and in the next process."""
    with tempfile.TemporaryDirectory() as folder:
        environment, command = {**os.environ, "NUMBA_CACHE_DIR": folder}, [sys.executable, "-c", FIRST, what]
        first, second = (
            float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout) for _ in range(2)
        )
    return {"what": f"first use, {what}", "first_seconds": first, "next_process_seconds": second}
