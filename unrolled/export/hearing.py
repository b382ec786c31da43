"""The graph of a net that listens: log-mel frames in, a convolution over time, recurrent layers or dilated convolutions.

A step is one answer: it takes `stride` frames that are new, and the convolution sees some frames before them once more.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import making
from .builder import Arrays, Builder


def listened(builder: Builder, model: Any) -> str:
    """features (B, T, stride, bands), before (B, k - stride, bands), lengths (B), the states before them -> answers (B, T, V),
    and the states after each row's last step, which are put out.

    before  the frames in front; of a sound, its first ones
    states  where the net reads forward only; one that reads both ways needs the whole sound
    """
    (k, stride, bands), forward = _sizes(model), model.recurrent.directions == 1
    frames, lengths = _frames(builder, model), builder.lengths()
    states = builder.states(model.recurrent) if forward else None
    hidden, after = builder.recurrent(model.recurrent, _steps(builder, model, frames), lengths, states)
    if forward and k > stride:
        builder.output("after_before", _last(builder, frames, lengths, stride, k - stride), ("batch", k - stride, bands))
    for i, state in enumerate(after if forward else ()):
        builder.output(f"after_state_{i}", state, ("batch", model.recurrent.hidden_size))
    return builder.linear(model.output, hidden)


def listened_dilated(builder: Builder, model: Any) -> str:
    """The same with dilated convolutions over the steps, of rows that are all as long: there are no lengths."""
    k, stride, bands = _sizes(model)
    frames = _frames(builder, model)
    answers = making.waved(builder, model.gated, _steps(builder, model, frames), None)
    if k > stride:
        builder.output("after_before", builder.part_of(frames, 1, stride - k, making.END), ("batch", k - stride, bands))
    return answers


def _frames(builder: Builder, model: Any) -> str:
    """The frames (B, k - stride + T · stride, bands) that go in."""
    (k, stride, bands), norm = _sizes(model), model.normalise
    usual = float(norm.running_mean.mean()), float(norm.running_var.mean().sqrt())
    frames = builder.real("features", ("batch", "time", stride, bands), *usual)
    frames = builder.reshape(frames, builder.numbers(0, -1, bands))
    if k == stride:
        return frames
    return builder.add("Concat", [builder.real("before", ("batch", k - stride, bands), *usual), frames], {"axis": 1})


def _steps(builder: Builder, model: Any, frames: str) -> str:
    """What the convolution makes of frames (B, T, C)."""
    norm, filters = model.normalise, model.convolution
    x = builder.add("Sub", [frames, builder.weight("mean", norm.running_mean)])
    x = builder.add("Mul", [x, builder.weight("scale", (norm.running_var + norm.eps).rsqrt())])
    weights = [builder.weight("W", filters.weight), builder.weight("b", filters.bias)]
    x = builder.add("Conv", [builder.turned(x, 0, 2, 1), *weights], {"strides": [model.stride]})
    return builder.turned(builder.add("Relu", [x]), 0, 2, 1)


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
    read, (frames, x) = _read(model, given)
    state = tuple(read[name] for name in given if name.startswith("state_")) or None
    hidden, after = model.recurrent(x, state, read["lengths"])
    found = {"logits": model.output(hidden)}
    if state is not None:
        found |= {f"after_state_{i}": one for i, one in enumerate(after)}
        found |= _before(model, frames, read["lengths"].tolist())
    return {name: value.numpy() for name, value in found.items()}


@torch.no_grad()
def computed_dilated(model: Any, given: Arrays) -> Arrays:
    """The same of dilated convolutions."""
    read, (frames, x) = _read(model, given)
    logits, after = making.read(model.gated, x, None, read["state_0"])
    found = {"logits": logits, "after_state_0": after} | _before(model, frames, [x.shape[1]] * len(x))
    return {name: value.numpy() for name, value in found.items()}


def _read(model: Any, given: Arrays) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
    """What goes in, and of it the frames, and what the convolution makes of them."""
    read = {name: torch.from_numpy(value) for name, value in given.items()}
    frames = read["features"].flatten(1, 2)
    frames = torch.cat((read["before"], frames), 1) if "before" in read else frames
    return read, (frames, model.convolution(model.normalise(frames.transpose(1, 2))).relu().transpose(1, 2))


def _before(model: Any, frames: Tensor, lengths: list[int]) -> dict[str, Tensor]:
    """The frames in front of each row's next step."""
    k, stride, _ = _sizes(model)
    if k == stride:
        return {}
    rows = zip(frames, lengths, strict=True)
    return {"after_before": torch.stack([row[steps * stride : steps * stride + k - stride] for row, steps in rows])}


def settings(model: Any) -> dict[str, Any]:
    """What a runtime needs to make features of sound, and answers of features."""
    k, stride, _ = _sizes(model)
    return {"logmel": dataclasses.asdict(model.logmel), "frames": k, "stride": stride}
