"""One streaming step of a net of 2 x 128 over 40 inputs, called from Python, one thread: ours beside onnxruntime and torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import unrolled
from unrolled.recurrent import Recurrent

from .harness import beside, save

INPUTS, HIDDEN, CALLS = 40, 128, 500


def run(data: str | None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = [row(cell) for cell in ("gru", "gru_after", "lstm")]
    torch.set_num_threads(before)
    save("stepping", rows)


def row(cell: str) -> dict[str, object]:
    net = Recurrent(cell, INPUTS, HIDDEN, 2)
    x = np.random.default_rng(1).standard_normal((1, 1, INPUTS), np.float32)
    float32, int8 = (ours(net.stepper(int8), x) for int8 in (False, True))
    peers = {"int8": int8, "torch_cells": torch_cells(cell, x), "torch_layer": torch_layer(cell, x)}
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        peers["onnxruntime"] = onnxruntime(net, cell, x)
    found = beside(float32, peers)
    micro = {name: 1e6 * value["seconds"] / CALLS for name, value in found.items()}
    onnx = found.get("onnxruntime")
    times = f"{onnx['ratio']:.2f} ({onnx['ratio_min']:.2f}-{onnx['ratio_max']:.2f})" if onnx else ""
    return {"cell": cell, **{f"{name}_us": value for name, value in micro.items()}, "times_onnxruntime": times}


def repeated(step: Callable[[], object]) -> Callable[[], None]:
    def go() -> None:
        for _ in range(CALLS):
            step()

    return go


def ours(step: unrolled.kernels.stepping.Stepper, x: np.ndarray) -> Callable[[], None]:
    state = step.start()
    return repeated(lambda: step(x, state))


def torch_cells(cell: str, x: np.ndarray) -> Callable[[], None]:
    kind = nn.LSTMCell if cell == "lstm" else nn.GRUCell
    first, second, there = kind(INPUTS, HIDDEN), kind(HIDDEN, HIDDEN), torch.from_numpy(x[0])
    state = torch.zeros(1, HIDDEN)
    state = (state, state) if cell == "lstm" else state

    @torch.inference_mode()
    def step() -> None:
        below = first(there, state)
        second(below[0] if cell == "lstm" else below, state)

    return repeated(step)


def torch_layer(cell: str, x: np.ndarray) -> Callable[[], None]:
    layer, there = (nn.LSTM if cell == "lstm" else nn.GRU)(INPUTS, HIDDEN, 2), torch.from_numpy(x)

    @torch.inference_mode()
    def step() -> None:
        layer(there)

    return repeated(step)


def onnxruntime(net: Recurrent, cell: str, x: np.ndarray) -> Callable[[], None]:
    """The same weights as ONNX nodes, one thread; checked to give the same numbers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(as_onnx(net, cell).SerializeToString(), options)
    feed = {"x": x} | {i.name: np.zeros((1, 1, HIDDEN), np.float32) for i in session.get_inputs()[1:]}
    step = net.stepper()
    assert np.abs(session.run(None, feed)[0].ravel() - step(x, step.start()).ravel()).max() < 1e-5
    return repeated(lambda: session.run(None, feed))


ORDER = {"gru": (0, 1, 2), "gru_after": (1, 0, 2), "lstm": (0, 3, 1, 2)}  # of our gates in ONNX's: zrh, zrh, iofc


def as_onnx(net: Recurrent, cell: str):
    from onnx import TensorProto, helper

    nodes, constants, inputs, outputs = [], [], [], []

    def tensor(name: str, value: np.ndarray) -> str:
        kind = TensorProto.INT64 if value.dtype == np.int64 else TensorProto.FLOAT
        constants.append(helper.make_tensor(name, kind, value.shape, value.ravel()))
        return name

    def info(name: str, *shape: int):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    below = "x"
    for layer, own in enumerate(net.cells):
        W, U, b = (turned(p.detach().numpy(), cell) for p in (own.W, own.U, own.b))
        d = np.zeros_like(b)
        if cell == "gru_after":
            d[-HIDDEN:] = own.d.detach().numpy()
        states = [f"{kind}{layer}" for kind in ("h", "c")[: own.states]]
        named = [tensor(f"W{layer}", W[None]), tensor(f"U{layer}", U[None]), tensor(f"b{layer}", np.concatenate([b, d])[None])]
        made = [f"out{layer}", *(f"last_{name}" for name in states)]
        options = {"hidden_size": HIDDEN} | ({} if cell == "lstm" else {"linear_before_reset": int(cell == "gru_after")})
        nodes.append(helper.make_node("LSTM" if cell == "lstm" else "GRU", [below, *named, "", *states], made, **options))
        inputs += [info(name, 1, 1, HIDDEN) for name in states]
        outputs += [info(name, 1, 1, HIDDEN) for name in made[1:]]
        nodes.append(helper.make_node("Squeeze", [made[0], tensor(f"axis{layer}", np.array([1]))], [f"flat{layer}"]))
        below = f"flat{layer}"
    graph = helper.make_graph(nodes, "net", [info("x", 1, 1, INPUTS), *inputs], [info(below, 1, 1, HIDDEN), *outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def turned(weights: np.ndarray, cell: str) -> np.ndarray:
    """Gates in ONNX's order; its z keeps the old state, so that of the lecture's GRU changes sign."""
    gates = np.split(weights, len(weights) // HIDDEN)
    if cell == "gru":
        gates[0] = -gates[0]
    return np.concatenate([gates[i] for i in ORDER[cell]])
