"""The graph of a net that makes sound: dilated convolutions with what each has still to look back at, or recurrent layers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..dilated import WaveNet
from .builder import Builder

END = 2**62


def waved(builder: Builder, net: WaveNet, x: str, condition: str | None) -> str:
    """x (B, T, R), condition (B, T, C) -> outputs (B, T, Q). state_0 (B, Σ (kernel - 1)·d, R) holds the last inputs of each
    layer, the oldest first, one layer behind the other; it comes out as after_state_0."""
    sizes, R = [(net.kernel - 1) * d for d in net.dilations], net.residual
    state = builder.real("state_0", ("batch", sum(sizes), R))
    before = builder.add("Split", [state, builder.numbers(*sizes)], {"axis": 1}, results=len(sizes))
    before, after, total = [before] if len(sizes) == 1 else before, [], None
    for layer, (d, size) in enumerate(zip(net.dilations, sizes, strict=True)):
        whole = builder.add("Concat", [before[layer], x], {"axis": 1})
        after.append(builder.part_of(whole, 1, -size, END))
        seen = [builder.part_of(whole, 1, k * d, END if k == net.kernel - 1 else k * d - size) for k in range(net.kernel)]
        gates = builder.linear(net.gates[layer], builder.add("Concat", seen, {"axis": -1}))
        if condition is not None:
            gates = builder.add("Add", [gates, builder.linear(net.conditions[layer], condition)])
        filtered, opened = builder.add("Split", [gates, builder.numbers(R, R)], {"axis": -1}, results=2)
        z = builder.add("Mul", [builder.add("Tanh", [filtered]), builder.add("Sigmoid", [opened])])
        x = builder.add("Add", [x, builder.linear(net.residuals[layer], z)])
        skipped = builder.linear(net.skips[layer], z)
        total = skipped if total is None else builder.add("Add", [total, skipped])
    builder.output("after_state_0", builder.add("Concat", after, {"axis": 1}), ("batch", sum(sizes), R))
    hidden = builder.add("Relu", [builder.linear(net.hidden, builder.add("Relu", [total]))])
    return builder.linear(net.output, hidden)


@torch.no_grad()
def read(net: WaveNet, x: Tensor, condition: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
    """What the graph has to make: outputs, and the state."""
    sizes = [(net.kernel - 1) * d for d in net.dilations]
    out, after = net._read(net.vectors(x), condition, state.split(sizes, 1))
    return out, torch.cat(after, 1)
