"""Writing sound, one thread, and training on it: WaveNet of 30 layers (3 x 1..512), 64 residual, 256 skip channels, 256 levels,
and a GRU of 512; beside torch that keeps each layer's past inputs and takes a step a call, and beside convolutions with pads.
Weights are random; the sound is not what is measured.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.cells import GRUAfter
from unrolled.dilated import WaveNet
from unrolled.synthesiser import Synthesiser, of_layers, of_wavenet

from .harness import alternate, beside, save

LEVELS, RESIDUAL, SKIP = 256, 64, 256
DILATIONS = [2**layer for layer in range(10)] * 3
HIDDEN = 512
SAMPLES = {1: 1000, 64: 40}  # a stream, of each turn
BATCH, LEARNT = 4, 4096  # sounds of a step, samples of each that are learnt, behind a whole field

Writer = Callable[[], object]  # writes SAMPLES a stream


def run(data: str | None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model, recurrent = WaveNet(LEVELS, LEVELS, RESIDUAL, SKIP, DILATIONS), Recurrent()
    rows = [row("wavenet", model, of_wavenet, Queues, streams) for streams in SAMPLES]
    rows += [row("gru", recurrent, Recurrent.synthesiser, Steps, streams) for streams in SAMPLES]
    torch.set_num_threads(before)
    save("sampling", rows)


def row(name: str, model: nn.Module, packed: Callable, peer: Callable, streams: int) -> dict[str, object]:
    ways = {precision: ours(packed(model, precision), streams) for precision in ("float32", "int8")}
    torchs = written(peer(model, streams), streams)
    found = beside(ways["int8"], {"float32": ways["float32"], "torch": torchs}), beside(ways["float32"], {"torch": torchs})
    rate = {name: streams * SAMPLES[streams] / value["seconds"] for name, value in found[0].items()}
    times = [f"{way['ratio']:.2f} ({way['ratio_min']:.2f}-{way['ratio_max']:.2f})" for way in (f["torch"] for f in found)]
    return {
        "net": name,
        "streams": streams,
        "torch_samples_per_second": rate["torch"],
        "float32_samples_per_second": rate["float32"],
        "int8_samples_per_second": rate["ours"],
        "float32_times_torch": times[1],
        "int8_times_torch": times[0],
    }


def ours(synthesiser: Synthesiser, streams: int) -> Writer:
    state, uniforms = synthesiser.start(streams), np.random.default_rng(1).random((streams, SAMPLES[streams]))
    return lambda: synthesiser(SAMPLES[streams], state, uniforms)


def written(step: Callable[[Tensor], Tensor], streams: int) -> Writer:
    """A step a call from Python, the next level drawn by torch."""
    x = [torch.full((streams,), LEVELS // 2)]

    @torch.inference_mode()
    def go() -> None:
        for _ in range(SAMPLES[streams]):
            x[0] = torch.multinomial(F.softmax(step(x[0]), 1), 1)[:, 0]

    return go


class Queues:
    """WaveNet a step at a time as one writes it in torch: what a layer looks back at is kept in a ring, its matrices are laid out
    as products want them, residual and skip are one matrix.
    """

    @torch.no_grad()
    def __init__(self, model: WaveNet, streams: int):
        self.model, self.time = model, 0
        self.gates = [(g.bias, g.weight.t().contiguous()) for g in model.gates]
        pairs = list(zip(model.residuals, model.skips, strict=True))
        self.moves = [(torch.cat([r.bias, s.bias]), torch.cat([r.weight, s.weight]).t().contiguous()) for r, s in pairs]
        self.ends = [(end.bias, end.weight.t().contiguous()) for end in (model.hidden, model.output)]
        self.rings = [torch.zeros(d, streams, model.residual) for d in model.dilations]

    def __call__(self, x: Tensor) -> Tensor:
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


class Recurrent(nn.Module):
    """One layer over levels, of the kind that torch has a cell for."""

    def __init__(self):
        super().__init__()
        self.first, self.cell, self.last = nn.Embedding(LEVELS, RESIDUAL), GRUAfter(RESIDUAL, HIDDEN), nn.Linear(HIDDEN, LEVELS)

    def synthesiser(self, precision: str) -> Synthesiser:
        return of_layers(self.first, [self.cell], self.last, precision)


class Steps:
    """A torch.nn.GRUCell of the same sizes."""

    def __init__(self, model: Recurrent, streams: int):
        self.model, self.cell, self.state = model, nn.GRUCell(RESIDUAL, HIDDEN), torch.zeros(streams, HIDDEN)

    def __call__(self, x: Tensor) -> Tensor:
        self.state = self.cell(self.model.first(x), self.state)
        return self.model.last(self.state)


# --- training


def run_training(data: str | None) -> None:
    torch.manual_seed(1)
    model = WaveNet(LEVELS, LEVELS, RESIDUAL, SKIP, DILATIONS)
    x = torch.randint(LEVELS, (BATCH, model.field + LEARNT))
    plain, first = Padded(model), model.field - 1
    assert torch.allclose(plain(x)[:, first:], model.whole(x), atol=1e-5)
    found = alternate(learnt(model, model.whole, x), learnt(plain, lambda x: plain(x)[:, first:], x), rounds=5)
    rate = {f"{who}_samples_per_second": BATCH * LEARNT / found[f"{who}_seconds"] for who in ("ours", "peer")}
    times = f"{found['ratio']:.2f} ({found['ratio_min']:.2f}-{found['ratio_max']:.2f})"
    save("wavenet-training", [{"threads": torch.get_num_threads(), **rate, "times_peer": times}])


def learnt(model: nn.Module, outputs: Callable[[Tensor], Tensor], x: Tensor) -> Writer:
    """Forward and backward; both sides learn the same samples, those that rest on a whole field."""

    def go() -> None:
        model.zero_grad()
        F.cross_entropy(outputs(x[:, :-1]).flatten(0, 1), x[:, -LEARNT:].flatten()).backward()

    return go


class Padded(nn.Module):
    """The same net as one writes it in torch: convolutions, each with a pad on its left."""

    @torch.no_grad()
    def __init__(self, model: WaveNet):
        super().__init__()
        R = model.residual
        self.first = nn.Embedding.from_pretrained(model.input.weight.clone(), freeze=False)
        self.gates = nn.ModuleList(nn.Conv1d(R, 2 * R, 2, dilation=d) for d in model.dilations)
        for mine, its in zip(self.gates, model.gates, strict=True):
            mine.weight.copy_(its.weight.view(2 * R, 2, R).transpose(1, 2))
            mine.bias.copy_(its.bias)
        self.residuals, self.skips, self.ends = (
            nn.ModuleList(map(pointwise, layers)) for layers in (model.residuals, model.skips, (model.hidden, model.output))
        )

    def forward(self, x: Tensor) -> Tensor:
        x, total = self.first(x).transpose(1, 2), 0
        for gates, residual, skip in zip(self.gates, self.residuals, self.skips, strict=True):
            filtered, opened = gates(F.pad(x, (gates.dilation[0], 0))).chunk(2, 1)
            z = filtered.tanh() * opened.sigmoid()
            x, total = x + residual(z), total + skip(z)
        return self.ends[1](F.relu(self.ends[0](F.relu(total)))).transpose(1, 2)


def pointwise(layer: nn.Linear) -> nn.Conv1d:
    convolution = nn.Conv1d(layer.in_features, layer.out_features, 1)
    convolution.weight.copy_(layer.weight.unsqueeze(-1))
    convolution.bias.copy_(layer.bias)
    return convolution
