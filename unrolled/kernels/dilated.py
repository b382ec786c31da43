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

from .jit import compiled, inner, pasted
from .loops import copy
from .product import Packed, columns, pack, product
from .sampling import sample
from .smooth import sigmoid, tanh
from .stepping import one

VECTORS = -1
ROWS = 16  # taken through a layer together, at most
ZERO = np.float32(0)

State = tuple[np.ndarray, np.ndarray, np.ndarray]


class Net(NamedTuple):
    """A WaveNet packed: L layers, R residual and S skip channels, Q outputs, C channels of condition."""

    levels: int  # 0 of a net of real samples, VECTORS of one that reads vectors
    kernel: int
    dilations: np.ndarray  # (L)
    table: np.ndarray  # (levels, R), or (2, R): the vector that a real sample is multiplied with, and the one added; or (0, R)
    gates: Packed  # L matrices (kernel·R, 2R): the oldest sample first; filter and gate side by side
    gate_biases: np.ndarray  # (L·2R)
    condition: Packed  # (C, L·2R), float32 always
    residuals: Packed  # L matrices (R, R)
    residual_biases: np.ndarray  # (L, R)
    skips: Packed  # (L·R, S): the sum over layers as one product
    skip_bias: np.ndarray  # (S)
    hidden: Packed  # (S, S)
    hidden_bias: np.ndarray
    output: Packed  # (S, Q)
    output_bias: np.ndarray


@torch.no_grad()
def packed(model: nn.Module, int8: bool) -> Net:
    """A dilated.WaveNet's weights as they are now."""
    width, levels = 2 * model.residual, VECTORS if model.levels is None else model.levels
    gates = [layer.weight.t() for layer in model.gates]
    condition = [layer.weight for layer in model.conditions] or [torch.zeros(len(gates) * width, 0)]
    return Net(
        levels,
        model.kernel,
        np.array(model.dilations, np.int64),
        _numbers(_entrance(model)),
        _together(gates, int8),
        _numbers(torch.cat([layer.bias for layer in model.gates])),
        pack(torch.cat(condition).float().t()),
        _together([layer.weight.t() for layer in model.residuals], int8),
        _numbers(torch.stack([layer.bias for layer in model.residuals])),
        pack(torch.cat([layer.weight for layer in model.skips], dim=1).float().t(), int8),
        _numbers(torch.stack([layer.bias for layer in model.skips]).sum(0)),
        pack(model.hidden.weight.float().t(), int8),
        _numbers(model.hidden.bias),
        pack(model.output.weight.float().t(), int8),
        _numbers(model.output.bias),
    )


def _entrance(model: nn.Module) -> Tensor:
    if model.levels is None:
        return torch.zeros(0, model.residual)
    return model.input.weight if model.levels else torch.stack([model.input.weight[:, 0], model.input.bias])


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


@compiled
def run(net, given, uniforms, temperature, top_p, samples, out, rings, outputs, heard):
    """Steps with samples (streams, n): known ones whose outputs go to out (streams, n, Q), or, where there are uniforms
    (streams, n, 1 or 2), drawn here. given (streams, n or 1, C) the condition, of a net that reads vectors those (streams, n, R),
    its samples no more than a shape; rings, outputs and heard become the next ones.
    False where the outputs are no numbers.

    A row of what is computed together is one sample of one stream, stream by stream.
    """
    (streams, n), R, S = samples.shape, net.table.shape[1], net.skip_bias.size
    drawing, together = uniforms.shape[1] > 0, min(streams, ROWS)
    most = 1 if drawing else max(1, min(n, ROWS // together))
    rows = together * most
    h, seen, z, every = room(rows, R), room(rows, net.kernel * R), room(rows, R), room(rows, net.dilations.size * R)
    gates, moved, total = room(rows, width(net.gates)), room(rows, width(net.residuals)), room(rows, S)
    skipped, hidden, last = room(rows, columns(net.skips)), room(rows, columns(net.hidden)), room(rows, columns(net.output))
    bias, latest = room(rows, columns(net.condition)), room(together, columns(net.condition))
    channels = net.condition[0].shape[1]
    before, p = room(together, channels), np.empty_like(net.output_bias)
    for first in range(0, streams, together):
        group, at = min(together, streams - first), 0
        before[:] = np.nan  # equal to no condition
        while at < n:
            steps, begin = min(most, n - at), 0
            rows = group * steps
            for s in range(first, first + group):
                if drawing:
                    samples[s, at] = sample(net.levels, outputs[s], temperature, top_p, uniforms[s, at], p)
                    if np.isnan(samples[s, at]):
                        return False
            enter(net.levels, net.table, samples, given, first, at, steps, h[:rows])
            conditioned(net.condition, net.gate_biases, given, first, at, steps, before[:group], latest, bias)
            for layer in range(net.dilations.size):
                begin = remembered(rings, heard, first, begin, net.kernel, net.dilations[layer], steps, h[:rows], seen)
                product(seen, rows, one(net.gates, layer), gates)
                open_gates(gates, bias, channels > 0, layer, z[:rows], every)
                product(z, rows, one(net.residuals, layer), moved)
                onward(moved, net.residual_biases[layer], h[:rows])
            product(every, rows, net.skips, skipped)
            positive(skipped, net.skip_bias, total[:rows])
            product(total, rows, net.hidden, hidden)
            positive(hidden, net.hidden_bias, total[:rows])
            product(total, rows, net.output, last)
            leave(last[:rows], net.output_bias, first, at, steps, outputs, out, heard)
            at += steps
    return True


@pasted
def room(rows, width):
    return np.empty((rows, width), np.float32)


@pasted
def width(matrices):
    """The columns of each of some matrices, those they were filled up with among them."""
    return matrices[0].shape[1] * matrices[0].shape[3]


@inner
def enter(levels, table, samples, given, first, at, steps, h):
    """h (rows, R) = the input layer's vectors, or those given."""
    for i in range(len(h)):
        x, vector = samples[first + i // steps, at + i % steps], h[i]
        if levels == VECTORS:
            copy(vector, given[first + i // steps, at + i % steps])
        elif levels:
            copy(vector, table[int(x)])
        else:
            scale, offset = table[0], table[1]
            for j in range(vector.size):
                vector[j] = scale[j] * x + offset[j]


@inner
def conditioned(matrix, biases, given, first, at, steps, before, latest, bias):
    """bias (rows, L·2R) = V c + b, all layers side by side; b alone, in one row, where there is no c.

    Computed where c differs from `before`, that of the sample before, whose result is `latest`: what is known of a sound seldom
    changes as fast as it.
    """
    if not before.shape[1]:
        copy(bias[0, : biases.size], biases)
        return
    for s in range(len(before)):
        known, sums = before[s], latest[s]
        for t in range(steps):
            c, same = given[first + s, min(at + t, given.shape[1] - 1)], True
            for j in range(c.size):
                same = same and c[j] == known[j]
            if not same:
                copy(known, c)
                product(before[s : s + 1], 1, matrix, latest[s : s + 1])
                for j in range(biases.size):
                    sums[j] += biases[j]
            copy(bias[s * steps + t], sums)


@inner
def remembered(rings, heard, first, begin, kernel, dilation, steps, h, seen):
    """seen (rows, kernel·R) = the inputs that a layer's convolution meets, the oldest first: from its ring, which begins at
    `begin`, and h (rows, R), which goes into the ring. Returns where the next ring begins.
    """
    R, size = h.shape[1], (kernel - 1) * dilation
    for s in range(len(h) // steps):
        ring = rings[first + s, begin : begin + size]
        place = heard[first + s] % size
        for t in range(steps):
            met, now, tap = seen[s * steps + t], h[s * steps + t], place
            for k in range(kernel - 1):
                copy(met[k * R : (k + 1) * R], ring[tap])
                tap = tap + dilation if tap + dilation < size else tap + dilation - size
            copy(met[(kernel - 1) * R :], now)
            copy(ring[place], now)
            place = place + 1 if place + 1 < size else 0
    return begin + size


@inner
def open_gates(gates, bias, each, layer, z, every):
    """z (rows, R) = tanh(filter) ⊙ σ(gate), kept in `every` layer's (rows, L·R); bias of `each` row or one for all."""
    R = z.shape[1]
    for i in range(len(z)):
        row, filtered, opened, out = bias[i if each else 0], gates[i, :R], gates[i, R : 2 * R], z[i]
        b_filtered, b_opened = row[2 * layer * R : (2 * layer + 1) * R], row[(2 * layer + 1) * R : (2 * layer + 2) * R]
        for j in range(R):
            out[j] = tanh(filtered[j] + b_filtered[j]) * sigmoid(opened[j] + b_opened[j])
        copy(every[i, layer * R : (layer + 1) * R], out)


@inner
def onward(moved, bias, h):
    """h (rows, R) += moved + bias."""
    for i in range(len(h)):
        x, more = h[i], moved[i]
        for j in range(x.size):
            x[j] += more[j] + bias[j]


@inner
def positive(source, bias, target):
    """target (rows, S) = relu(source + bias); nan stays nan."""
    for i in range(len(target)):
        out, given = target[i], source[i]
        for j in range(out.size):
            above = given[j] + bias[j]
            out[j] = ZERO if above < ZERO else above


@inner
def leave(last, bias, first, at, steps, outputs, out, heard):
    """The outputs: each stream's newest ones, and all into `out`, where it is not empty."""
    group = len(last) // steps
    for s in range(group):
        heard[first + s] += steps
        for t in range(steps):
            now, found = outputs[first + s], last[s * steps + t]
            for j in range(bias.size):
                now[j] = found[j] + bias[j]
            if out.size:
                copy(out[first + s, at + t], now)
