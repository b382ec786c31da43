"""Weights rounded to 8 bits by onnxruntime's quantiser, and what it made of them: it knows some operators and leaves others.

Measured with onnxruntime 1.32: LSTM, MatMul, Conv and Gather become smaller, GRU and RNN stay as they are, without a word.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..runtime.opened import session
from .builder import Builder
from .checking import inputs

ROWS, STEPS = 3, 60  # of the inputs that the cost is measured on


class Smaller(NamedTuple):
    """What rounding did to a file."""

    before: int  # bytes
    after: int
    rounded: dict[str, int]  # operators that now have weights of 8 bits, and how many of each
    left: dict[str, int]  # recurrent and linear ones that the quantiser did not touch
    difference: float  # the greatest of an output, on inputs drawn at random
    same: float | None  # part of the rows whose likeliest answer stays, where there are logits


WEIGHTY = ("LSTM", "GRU", "RNN", "MatMul", "Gather", "Conv")


def smaller(builder: Builder, data: bytes) -> tuple[bytes, Smaller]:
    """The file with weights of 8 bits, and what that came to."""
    less = quantised(data)
    before, after = weighty(data), weighty(less)
    rounded = {kind: number - after.get(kind, 0) for kind, number in before.items() if number > after.get(kind, 0)}
    away, same = cost(builder, data, less)
    return less, Smaller(len(data), len(less), rounded, after, away, same)


READY = "onnx.quant.pre_process", "onnxruntime.quant"  # what the quantiser looks for, and says to the log where it is not


def quantised(data: bytes) -> bytes:
    """What onnxruntime's dynamic quantiser makes of a file: weights of 8 bits, a scale a column."""
    import onnx
    from onnx import helper
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load_from_string(data)
    told = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, told | dict([READY]))
    with tempfile.TemporaryDirectory() as folder:  # it takes files
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        before.write_bytes(model.SerializeToString())
        quantize_dynamic(before, after, per_channel=True, weight_type=QuantType.QInt8)
        less = onnx.load_from_string(after.read_bytes())
    helper.set_model_props(less, told)
    return less.SerializeToString()


def weighty(data: bytes) -> dict[str, int]:
    """How many operators of each of WEIGHTY read weights of 32 bits that are matrices."""
    import onnx

    graph = onnx.load_from_string(data).graph
    matrices = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT and len(each.dims) > 1}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type in WEIGHTY and matrices & set(node.input):
            found[node.op_type] = found.get(node.op_type, 0) + 1
    return found


def cost(builder: Builder, data: bytes, less: bytes) -> tuple[float, float | None]:
    """The greatest difference that rounding makes to an output, and how often the greatest logit stays the greatest."""
    given = inputs(builder, ROWS, STEPS, np.random.default_rng(2))
    names = [name for name, _, _ in builder.outputs]
    before, after = (dict(zip(names, session(each).run(None, given), strict=True)) for each in (data, less))
    finite = {name: np.isfinite(before[name]) for name in names}
    away = max(float(np.abs(before[name] - after[name])[finite[name]].max(initial=0.0)) for name in names)
    if "logits" not in names:
        return away, None
    return away, float((before["logits"].argmax(-1) == after["logits"].argmax(-1)).mean())


def told(found: Smaller) -> list[str]:
    """What a person reads of it."""
    lines = [f"{found.before:,} bytes became {found.after:,}, {100 * found.after / found.before:.0f} %"]
    lines.append(f"8 bits: {listed(found.rounded) or 'nothing'}")
    if found.left:
        lines.append(f"32 bits as before: {listed(found.left)}, which onnxruntime's quantiser leaves alone")
    stays = "" if found.same is None else f"; the likeliest answer stays in {100 * found.same:.1f} % of places"
    lines.append(f"cost, on inputs drawn at random: outputs differ by up to {found.difference:.2g}{stays}")
    return lines


def listed(kinds: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in kinds.items())
