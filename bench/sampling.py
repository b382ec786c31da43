"""Writing sound with WaveNet, one thread: 30 layers (3 x 1..512), 64 residual, 256 skip channels, 256 levels; beside torch that
keeps each layer's past inputs and takes a step a call. Weights are random; the sound is not what is measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from unrolled.dilated import WaveNet
from unrolled.synthesiser import Synthesiser

from .harness import beside, save

LEVELS, RESIDUAL, SKIP = 256, 64, 256
DILATIONS = [2**layer for layer in range(10)] * 3
SAMPLES = {1: 1000, 64: 40}  # a stream, of each turn


def run(data: str | None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = WaveNet(LEVELS, LEVELS, RESIDUAL, SKIP, DILATIONS)
    rows = [row(model, streams) for streams in SAMPLES]
    torch.set_num_threads(before)
    save("sampling", rows)


def row(model: WaveNet, streams: int) -> dict[str, object]:
    n = SAMPLES[streams]
    found = beside(
        ours(model, "int8", streams), {"float32": ours(model, "float32", streams), "torch": Queues(model, streams).write}
    )
    rate = {name: streams * n / value["seconds"] for name, value in found.items()}
    slower = found["torch"]["ratio"] * np.array([1, found["ours"]["seconds"] / found["float32"]["seconds"]])
    return {
        "streams": streams,
        "torch_samples_per_second": rate["torch"],
        "float32_samples_per_second": rate["float32"],
        "int8_samples_per_second": rate["ours"],
        "float32_times_torch": float(slower[1]),
        "int8_times_torch": f"{slower[0]:.2f} ({found['torch']['ratio_min']:.2f}-{found['torch']['ratio_max']:.2f})",
    }


def ours(model: WaveNet, precision: str, streams: int) -> Callable[[], np.ndarray]:
    synthesiser = Synthesiser(model, precision)
    state, uniforms = synthesiser.start(streams), np.random.default_rng(1).random((streams, SAMPLES[streams]))
    return lambda: synthesiser(SAMPLES[streams], state, uniforms)


class Queues:
    """WaveNet a step at a time as one writes it in torch: what a layer looks back at is kept in a ring, its matrices are laid out
    as products want them, residual and skip are one matrix.
    """

    @torch.no_grad()
    def __init__(self, model: WaveNet, streams: int):
        self.model, self.streams, self.time = model, streams, 0
        self.gates = [(g.bias, g.weight.t().contiguous()) for g in model.gates]
        pairs = list(zip(model.residuals, model.skips, strict=True))
        self.moves = [(torch.cat([r.bias, s.bias]), torch.cat([r.weight, s.weight]).t().contiguous()) for r, s in pairs]
        self.ends = [(end.bias, end.weight.t().contiguous()) for end in (model.hidden, model.output)]
        self.rings = [torch.zeros(d, streams, model.residual) for d in model.dilations]
        self.x = torch.full((streams,), model.levels // 2)

    def step(self, x: torch.Tensor) -> torch.Tensor:
        h, total, R = self.model.input.weight[x], 0, self.model.residual
        for ring, gates, moves in zip(self.rings, self.gates, self.moves, strict=True):
            place = self.time % len(ring)
            filtered, opened = torch.addmm(gates[0], torch.cat([ring[place], h], 1), gates[1]).split(R, 1)
            ring[place] = h
            moved = torch.addmm(moves[0], filtered.tanh() * opened.sigmoid(), moves[1])
            h, total = h + moved[:, :R], total + moved[:, R:]
        self.time += 1
        hidden = torch.addmm(self.ends[0][0], F.relu(total), self.ends[0][1])
        return torch.addmm(self.ends[1][0], F.relu(hidden), self.ends[1][1])

    @torch.inference_mode()
    def write(self) -> None:
        for _ in range(SAMPLES[self.streams]):
            self.x = torch.multinomial(F.softmax(self.step(self.x), 1), 1)[:, 0]
