"""The graph of a net that listens: log-mel frames in, a convolution over time, recurrent layers, a linear one.

A step is one answer: it takes `stride` frames that are new, and the convolution sees some frames before them once more.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from .builder import Arrays, Builder


def listened(builder: Builder, model: Any) -> str:
    """features (B, T, stride, bands), before (B, k - stride, bands), lengths (B), the states before them -> answers (B, T, V),
    and the states after each row's last step, which are put out.

    before  the frames in front; of a sound, its first ones
    states  where the net reads forward only; one that reads both ways needs the whole sound
    """
    (k, stride, bands), norm = _sizes(model), model.normalise
    usual = float(norm.running_mean.mean()), float(norm.running_var.mean().sqrt())
    features, lengths = builder.real("features", ("batch", "time", stride, bands), *usual), builder.lengths()
    frames = builder.reshape(features, builder.numbers(0, -1, bands))
    if k > stride:
        frames = builder.add("Concat", [builder.real("before", ("batch", k - stride, bands), *usual), frames], {"axis": 1})
    filters, forward = model.convolution, model.recurrent.directions == 1
    x = builder.add("Sub", [frames, builder.weight("mean", norm.running_mean)])
    x = builder.add("Mul", [x, builder.weight("scale", (norm.running_var + norm.eps).rsqrt())])
    weights = [builder.weight("W", filters.weight), builder.weight("b", filters.bias)]
    x = builder.add("Conv", [builder.turned(x, 0, 2, 1), *weights], {"strides": [stride]})
    x = builder.turned(builder.add("Relu", [x]), 0, 2, 1)
    hidden, after = builder.recurrent(model.recurrent, x, lengths, builder.states(model.recurrent) if forward else None)
    if forward and k > stride:
        builder.output("after_before", _last(builder, frames, lengths, stride, k - stride), ("batch", k - stride, bands))
    for i, state in enumerate(after if forward else ()):
        builder.output(f"after_state_{i}", state, ("batch", model.recurrent.hidden_size))
    return builder.linear(model.output, hidden)


def _last(builder: Builder, frames: str, lengths: str, stride: int, number: int) -> str:
    """Of each row the frames in front of its next step."""
    first = builder.add("Unsqueeze", [builder.add("Mul", [lengths, builder.number(stride)]), builder.numbers(1)])
    places = builder.add("Add", [first, builder.weight("places", np.arange(number))])
    return builder.add("GatherND", [frames, builder.add("Unsqueeze", [places, builder.numbers(2)])], {"batch_dims": 1})


def _sizes(model: Any) -> tuple[int, int, int]:
    """Frames that an answer sees, frames between answers, bands."""
    return model.convolution.kernel_size[0], model.stride, model.logmel.bands


@torch.no_grad()
def computed(model: Any, given: Arrays) -> Arrays:
    """What the graph's outputs have to be; the answers are `logits`."""
    k, stride, _ = _sizes(model)
    read = {name: torch.from_numpy(value) for name, value in given.items()}
    frames = read["features"].flatten(1, 2)
    frames = torch.cat((read["before"], frames), 1) if k > stride else frames
    x = model.convolution(model.normalise(frames.transpose(1, 2))).relu().transpose(1, 2)
    state = tuple(read[name] for name in given if name.startswith("state_")) or None
    hidden, after = model.recurrent(x, state, read["lengths"])
    found = {"logits": model.output(hidden)}
    if state is not None:
        found |= {f"after_state_{i}": one for i, one in enumerate(after)}
        found |= _before(frames, read["lengths"] * stride, k - stride)
    return {name: value.numpy() for name, value in found.items()}


def _before(frames: torch.Tensor, first: torch.Tensor, number: int) -> dict[str, torch.Tensor]:
    if not number:
        return {}
    return {"after_before": torch.stack([row[begin : begin + number] for row, begin in zip(frames, first.tolist(), strict=True)])}


def settings(model: Any) -> dict[str, Any]:
    """What a runtime needs to make features of sound, and answers of features."""
    k, stride, _ = _sizes(model)
    return {"logmel": dataclasses.asdict(model.logmel), "frames": k, "stride": stride}
