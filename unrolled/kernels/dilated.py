"""WaveNet's loop of writing, compiled: layers with a ring of past inputs each, the output layers, the next sample, and again.

A sample costs every weight once and no more memory than the rings. Streams go through a layer together, so that it is read once
for all of them; a known sound goes through it many samples at a time, since a layer needs nothing of those above. A row's sums
have one order whatever is computed with it, so neither changes a bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .jit import compiled, inner
from .loops import copy
from .product import Packed, columns, pack, product
from .sampling import sample
from .smooth import sigmoid, tanh
from .stepping import one

ROWS = 16  # taken through a layer together, at most
ZERO = np.float32(0)

State = tuple[np.ndarray, np.ndarray, np.ndarray]


class Net(NamedTuple):
    """A WaveNet packed: L layers, R residual and S skip channels, Q outputs, C channels of condition."""

    levels: int  # 0 of a net of real samples
    kernel: int
    dilations: np.ndarray  # (L)
    table: np.ndarray  # (levels, R), or (2, R): the vector that a real sample is multiplied with, and the one added
    gates: Packed  # L matrices (kernel·R, 2R): the oldest sample first; filter and gate side by side
    gate_biases: np.ndarray  # (L·2R)
    condition: Packed  # (C, L·2R), float32 always
    moves: Packed  # L matrices (R, R + S): to the next layer and to the output
    move_biases: np.ndarray  # (L, R)
    skip_bias: np.ndarray  # (S), of all layers together
    hidden: Packed  # (S, S)
    hidden_bias: np.ndarray
    output: Packed  # (S, Q)
    output_bias: np.ndarray


@torch.no_grad()
def packed(model: nn.Module, int8: bool) -> Net:
    """A dilated.WaveNet's weights as they are now."""
    width = 2 * model.residual
    gates = [layer.weight.permute(2, 1, 0).reshape(-1, width) for layer in model.gates]
    moves = [torch.cat([r.weight, s.weight])[:, :, 0].t() for r, s in zip(model.residuals, model.skips, strict=True)]
    condition = [layer.weight for layer in model.conditions] or [torch.zeros(len(gates) * width, 0)]
    return Net(
        model.levels,
        model.kernel,
        np.array(model.dilations, np.int64),
        _numbers(model.input.weight if model.levels else torch.stack([model.input.weight[:, 0], model.input.bias])),
        _together(gates, int8),
        _numbers(torch.cat([layer.bias for layer in model.gates])),
        pack(torch.cat(condition).float().t()),
        _together(moves, int8),
        _numbers(torch.stack([layer.bias for layer in model.residuals])),
        _numbers(torch.stack([layer.bias for layer in model.skips]).sum(0)),
        pack(model.hidden.weight[:, :, 0].float().t(), int8),
        _numbers(model.hidden.bias),
        pack(model.output.weight[:, :, 0].float().t(), int8),
        _numbers(model.output.bias),
    )


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.float().clone(memory_format=torch.contiguous_format).numpy()


def _together(matrices: Sequence[Tensor], int8: bool) -> Packed:
    each = [pack(matrix.float(), int8) for matrix in matrices]
    return np.stack([panels for panels, _ in each]), np.stack([scales for _, scales in each])


def start(net: Net, streams: int) -> State:
    """What streams remember before their first sample: rings (streams, (kernel - 1)·Σ dilations, R), layer after layer; the
    outputs (streams, Q) that the next sample is drawn from; how many samples have been (streams).
    """
    rows, R = (net.kernel - 1) * int(net.dilations.sum()), net.table.shape[1]
    rings, outputs = np.zeros((streams, rows, R), np.float32), np.zeros((streams, len(net.output_bias)), np.float32)
    return rings, outputs, np.zeros(streams, np.int64)


@inner
def rooms(net, rows, streams):
    """Arrays to work in: h, a layer's input, its gates, z, its output, the sum of skips, hidden layer, outputs, conditions."""
    R, S = net.table.shape[1], net.skip_bias.size
    f32 = net.table.dtype
    before = np.full((streams, net.condition[0].shape[1]), np.nan, f32)  # equal to no condition
    return (
        np.empty((rows, R), f32),
        np.empty((rows, net.kernel * R), f32),
        np.empty((rows, net.gates[0].shape[1] * net.gates[0].shape[3]), f32),
        np.empty((rows, R), f32),
        np.empty((rows, net.moves[0].shape[1] * net.moves[0].shape[3]), f32),
        np.empty((rows, S), f32),
        np.empty((rows, columns(net.hidden)), f32),
        np.empty((rows, columns(net.output)), f32),
        np.empty((rows, columns(net.condition)), f32),
        before,
    )


@inner
def conditioned(net, condition, first, at, streams, steps, room):
    """V c + b of each row, all layers side by side. Computed where c differs from the sample's before."""
    wanted, before = room[8], room[9]
    biases, C = net.gate_biases, before.shape[1]
    if not C:
        for j in range(biases.size):
            wanted[0, j] = biases[j]
        return
    for s in range(streams):
        for t in range(steps):
            row = s * steps + t
            c = condition[first + s, min(at + t, condition.shape[1] - 1)]
            same = True
            for j in range(C):
                same = same and c[j] == before[s, j]
            if not same:
                copy(before[s], c)
                product(before[s : s + 1], 1, net.condition, wanted[row : row + 1])
                for j in range(biases.size):
                    wanted[row, j] += biases[j]
            elif t:
                copy(wanted[row], wanted[row - 1])
            elif steps > 1:
                copy(wanted[row], wanted[row + steps - 1])  # of the last piece's last sample


@inner
def remembered(net, layer, streams, steps, first, begin, rings, heard, h, seen):
    """seen (rows, kernel·R) = the layer's inputs that its convolution meets at each sample; h becomes part of its ring."""
    R, size = h.shape[1], (net.kernel - 1) * net.dilations[layer]
    for s in range(streams):
        ring = rings[first + s, begin : begin + size]
        place = heard[first + s] % size
        for t in range(steps):
            row, tap = s * steps + t, place
            for k in range(net.kernel - 1):
                copy(seen[row, k * R : (k + 1) * R], ring[tap])
                tap += net.dilations[layer]
                if tap >= size:
                    tap -= size
            copy(seen[row, (net.kernel - 1) * R :], h[row])
            copy(ring[place], h[row])
            place = place + 1 if place + 1 < size else 0
    return begin + size


@inner
def advance(net, samples, condition, first, at, streams, steps, rings, heard, room):
    """Samples [first, first + streams) x [at, at + steps) through the net, a row each, stream by stream; room[7] has the
    outputs then.
    """
    h, seen, gates, z, moved, total, hidden, outputs, wanted, _ = room
    rows, R, S = streams * steps, h.shape[1], total.shape[1]
    conditioned(net, condition, first, at, streams, steps, room)
    for i in range(rows):
        x, vector = samples[first + i // steps, at + i % steps], h[i]
        if net.levels:
            copy(vector, net.table[int(x)])
        else:
            for j in range(R):
                vector[j] = net.table[0, j] * x + net.table[1, j]
        copy(total[i], net.skip_bias)
    begin = 0
    for layer in range(net.dilations.size):
        begin = remembered(net, layer, streams, steps, first, begin, rings, heard, h, seen)
        product(seen, rows, one(net.gates, layer), gates)
        for i in range(rows):
            c, out = wanted[i if room[9].size else 0, layer * 2 * R : (layer + 1) * 2 * R], z[i]
            filtered, opened, c_filtered, c_opened = gates[i, :R], gates[i, R : 2 * R], c[:R], c[R:]
            for j in range(R):
                out[j] = tanh(filtered[j] + c_filtered[j]) * sigmoid(opened[j] + c_opened[j])
        product(z, rows, one(net.moves, layer), moved)
        bias = net.move_biases[layer]
        for i in range(rows):
            vector, sums, onward, aside = h[i], total[i], moved[i, :R], moved[i, R : R + S]
            for j in range(R):
                vector[j] += onward[j] + bias[j]
            for j in range(S):
                sums[j] += aside[j]
    for i in range(rows):
        sums = total[i]
        for j in range(S):
            sums[j] = ZERO if sums[j] < ZERO else sums[j]  # nan stays what it is
    product(total, rows, net.hidden, hidden)
    for i in range(rows):
        sums, wide = total[i], hidden[i]
        for j in range(S):
            above = wide[j] + net.hidden_bias[j]
            sums[j] = ZERO if above < ZERO else above
    product(total, rows, net.output, outputs)
    for i in range(rows):
        out = outputs[i]
        for j in range(net.output_bias.size):
            out[j] += net.output_bias[j]
    for s in range(streams):
        heard[first + s] += steps


@compiled
def force(net, samples, condition, out, rings, outputs, heard):
    """Known samples (streams, n) through the net; out (streams, n, Q)."""
    (streams, n), Q = samples.shape, outputs.shape[1]
    together = min(streams, ROWS)
    most = max(1, ROWS // together)
    room = rooms(net, together * most, together)
    for first in range(0, streams, together):
        group, at = min(together, streams - first), 0
        room[9][:] = np.nan
        while at < n:
            steps = min(most, n - at)
            advance(net, samples, condition, first, at, group, steps, rings, heard, room)
            for i in range(group * steps):
                copy(out[first + i // steps, at + i % steps], room[7][i, :Q])
            at += steps
        for s in range(group):
            copy(outputs[first + s], out[first + s, n - 1])


@compiled
def generate(net, uniforms, condition, temperature, top_p, samples, rings, outputs, heard):
    """Draw samples (streams, n) and step after each; uniforms (streams, n, 1 or 2). False where outputs are no numbers."""
    (streams, n), Q = samples.shape, outputs.shape[1]
    together = min(streams, ROWS)
    room = rooms(net, together, together)
    p = np.empty(Q, samples.dtype)
    for first in range(0, streams, together):
        group = min(together, streams - first)
        room[9][:] = np.nan
        for at in range(n):
            for s in range(first, first + group):
                samples[s, at] = sample(net.levels, outputs[s], temperature, top_p, uniforms[s, at], p)
                if np.isnan(samples[s, at]):
                    return False
            advance(net, samples, condition, first, at, group, 1, rings, heard, room)
            for s in range(group):
                copy(outputs[first + s], room[7][s, :Q])
    return True
