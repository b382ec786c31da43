"""An ONNX graph, written operator by operator: what a task page's `graph` makes its model's twin of.

The recurrent operators take a whole sequence of any length, so nothing is unrolled and no length is fixed. Values are named by
strings; sizes that are free have names too: "batch", "time".

    lecture's GRU   h_t = (1 - z_t)∘h_{t-1} + z_t∘candidate, reset before the matrix       linear_before_reset = 0
    ONNX's          h_t = z_t∘h_{t-1} + (1 - z_t)∘candidate:  its z is 1 - σ(a) = σ(-a), so z's rows of W, U and b change sign
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import cells
from ..attention import Attention
from ..cells import CELLS
from ..errors import UserError
from ..layers import OneHot, Pooling
from ..recurrent import Recurrent

OPSET, IR = 17, 9  # of 2022: what every runtime of today reads
Size = int | str
Arrays = dict[str, np.ndarray]
Computes = dict[str, Callable[[Arrays], Arrays]]  # of each graph, the first one's name "": what its model makes of inputs


class Input(NamedTuple):
    name: str
    dtype: str
    shape: tuple[Size, ...]
    most: int | None  # ids are below it; None: real numbers; 0: lengths, from 1 to "time"
    middle: float = 0.0  # about which real numbers lie, and how far from it
    spread: float = 1.0


class Builder:
    """One graph. `beside(name)` begins another, for a model that takes more than one."""

    def __init__(self) -> None:
        self.inputs: list[Input] = []
        self.outputs: list[tuple[str, str, tuple[Size, ...]]] = []
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.weights: dict[str, np.ndarray] = {}
        self.parts: dict[str, Builder] = {}

    def beside(self, name: str) -> Builder:
        return self.parts.setdefault(name, Builder())

    # --- what goes in and comes out

    def ids(self, name: str, shape: Sequence[Size], most: int) -> str:
        """Whole numbers from 0 below `most`."""
        self.inputs.append(Input(name, "int64", tuple(shape), most))
        return name

    def lengths(self) -> str:
        """How many steps each row has, (batch,), from 1."""
        self.inputs.append(Input("lengths", "int64", ("batch",), 0))
        return "lengths"

    def pixels(self, name: str, shape: Sequence[Size]) -> str:
        """Whole numbers from 0 to 255."""
        self.inputs.append(Input(name, "uint8", tuple(shape), 256))
        return name

    def real(self, name: str, shape: Sequence[Size], middle: float = 0.0, spread: float = 1.0) -> str:
        self.inputs.append(Input(name, "float32", tuple(shape), None, middle, spread))
        return name

    def states(self, layer: Recurrent, prefix: str = "state") -> list[str]:
        """The state of a stack as inputs, (batch, H) each, numbered."""
        number = layer.cells[0].states * len(layer.cells)
        begin = sum(each.name.startswith(prefix) for each in self.inputs)
        return [self.real(f"{prefix}_{begin + i}", ("batch", layer.hidden_size)) for i in range(number)]

    def output(self, name: str, value: str, shape: Sequence[Size], dtype: str = "float32") -> None:
        self.nodes.append(("Identity", [value], [name], {}))
        self.outputs.append((name, dtype, tuple(shape)))

    # --- the operators

    def add(self, operator: str, inputs: Sequence[str], settings: dict[str, Any] | None = None, results: int = 1) -> Any:
        """One operator; the name of its result, or the names of several."""
        names = [f"{operator.lower()}_{len(self.nodes)}" + (f"_{i}" if i else "") for i in range(results)]
        self.nodes.append((operator, list(inputs), names, settings or {}))
        return names[0] if results == 1 else names

    def weight(self, name: str, value: Tensor | np.ndarray) -> str:
        """A constant."""
        array = value.detach().float().cpu().numpy() if isinstance(value, Tensor) else value
        name = f"{name}_{len(self.weights)}"
        self.weights[name] = np.array(array, order="C")  # a scalar stays one
        return name

    def numbers(self, *values: int) -> str:
        return self.weight("numbers", np.array(values, np.int64))

    def number(self, value: int) -> str:
        return self.weight("number", np.array(value, np.int64))

    def scalar(self, value: float) -> str:
        return self.weight("scalar", np.array(value, np.float32))

    def size(self, value: str, axis: int) -> str:
        """One size of a value, as a vector of one number."""
        return self.add("Shape", [value], {"start": axis, "end": axis + 1})

    def reshape(self, value: str, *sizes: str) -> str:
        return self.add("Reshape", [value, self.add("Concat", sizes, {"axis": 0}) if len(sizes) > 1 else sizes[0]])

    def turned(self, value: str, *order: int) -> str:
        return self.add("Transpose", [value], {"perm": list(order)})

    def part_of(self, value: str, axis: int, begin: int, end: int) -> str:
        return self.add("Slice", [value, self.numbers(begin), self.numbers(end), self.numbers(axis)])

    # --- layers

    def linear(self, layer: nn.Linear, x: str, scale: float = 1.0) -> str:
        """scale · (W x + b); MatMul and Add, which the quantiser of 8 bits knows."""
        x = self.add("MatMul", [x, self.weight("W", layer.weight.T * scale)])
        return x if layer.bias is None else self.add("Add", [x, self.weight("b", layer.bias * scale)])

    def embedded(self, layer: nn.Module, ids: str) -> str:
        """ids (…) -> vectors (…, E)."""
        if isinstance(layer, OneHot):
            ends = self.weight("values", np.array([0, 1], np.float32))
            return self.add("OneHot", [ids, self.number(layer.size), ends], {"axis": -1})
        known = layer.weight if isinstance(layer, nn.Embedding) else torch.cat((layer.learned.weight, layer.fixed))
        return self.add("Gather", [self.weight("vectors", known), ids], {"axis": 0})

    def recurrent(
        self, layer: Recurrent, x: str, lengths: str | None, states: Sequence[str] | None = None
    ) -> tuple[str, list[str]]:
        """x (B, T, I) -> hidden states (B, T, D·H), zero past a row's length, and each state after a row's own last step."""
        cell, D = layer.cells[0], layer.directions
        short = "" if lengths is None else self.add("Cast", [lengths], {"to": 6})  # int32
        x, last = self.turned(x, 1, 0, 2), []  # (T, B, I)
        for first in range(0, len(layer.cells), D):
            own = None if states is None else states[first * cell.states : (first + D) * cell.states]
            x, after = self._layer(list(layer.cells[first : first + D]), x, short, own)
            last += after
        return self.turned(x, 1, 0, 2), last

    def _layer(self, both: list[nn.Module], x: str, lengths: str, states: Sequence[str] | None) -> tuple[str, list[str]]:
        """One layer, one or both directions: x (T, B, I) -> (T, B, D·H)."""
        cell, D = both[0], len(both)
        operator, settings = operator_of(cell)
        W, R, B = (np.stack(each) for each in zip(*map(weights_of, both), strict=True))
        settings = settings | {"hidden_size": cell.hidden_size, "direction": "bidirectional" if D == 2 else "forward"}
        inputs = [x, self.weight("W", W), self.weight("R", R), self.weight("B", B), lengths]
        if states is not None:
            inputs += [self._stacked(states[i :: cell.states]) for i in range(cell.states)]
        out, *after = self.add(operator, inputs, settings, results=1 + cell.states)
        out = self.reshape(self.turned(out, 0, 2, 1, 3), self.numbers(0, 0, D * cell.hidden_size))
        return out, [self.add("Gather", [each, self.number(d)], {"axis": 0}) for d in range(D) for each in after]

    def _stacked(self, states: Sequence[str]) -> str:
        """(B, H) of each direction -> (D, B, H)."""
        whole = [self.add("Unsqueeze", [state, self.numbers(0)]) for state in states]
        return whole[0] if len(whole) == 1 else self.add("Concat", whole, {"axis": 0})

    def inside(self, x: str, lengths: str) -> str:
        """Which steps of x (B, T, …) are before a row's end, (B, T)."""
        steps = self.add("Squeeze", [self.size(x, 1), self.numbers(0)])
        places = self.add("Range", [self.number(0), steps, self.number(1)])
        return self.add("Less", [places, self.add("Unsqueeze", [lengths, self.numbers(1)])])

    def last(self, x: str, lengths: str) -> str:
        """Each row's own last step of x (B, T, …), (B, …)."""
        at = self.add("Unsqueeze", [self.add("Sub", [lengths, self.number(1)]), self.numbers(1)])
        return self.add("GatherND", [x, at], {"batch_dims": 1})

    def normed(self, norm: nn.LayerNorm, x: str) -> str:
        given = [x, self.weight("scale", norm.weight), self.weight("shift", norm.bias)]
        return self.add("LayerNormalization", given, {"axis": -1, "epsilon": norm.eps})

    def masked(self, x: str, kept: str, value: float) -> str:
        return self.add("Where", [kept, x, self.scalar(value)])

    def pooled(self, pool: Pooling, h: str, lengths: str, width: int) -> str:
        """layers.Pooling: (B, T, C) -> (B, C)."""
        if pool.kind == "last":
            forward = self.part_of(self.last(h, lengths), 1, 0, pool.forward_width)
            if pool.forward_width == width:
                return forward
            first = self.add("Gather", [h, self.number(0)], {"axis": 1})
            return self.add("Concat", [forward, self.part_of(first, 1, pool.forward_width, width)], {"axis": 1})
        inside = self.inside(h, lengths)
        column = self.add("Unsqueeze", [inside, self.numbers(2)])
        if pool.kind == "max":
            return self.add("ReduceMax", [self.masked(h, column, -np.inf)], {"axes": [1], "keepdims": 0})
        if pool.kind == "mean":
            many = self.add("Cast", [self.add("Unsqueeze", [lengths, self.numbers(1)])], {"to": 1})  # float32
            total = self.add("ReduceSum", [self.masked(h, column, 0.0), self.numbers(1)], {"keepdims": 0})
            return self.add("Div", [total, many])
        scores = self.add("Squeeze", [self.linear(pool.query, self.add("Tanh", [h])), self.numbers(2)])
        weights = self.add("Softmax", [self.masked(scores, inside, -np.inf)], {"axis": -1})
        weighted = self.add("Mul", [self.add("Unsqueeze", [weights, self.numbers(2)]), self.masked(h, column, 0.0)])
        return self.add("ReduceSum", [weighted, self.numbers(1)], {"keepdims": 0})

    def attended(
        self, attention: Attention, query: str, memory: str, keys: str, lengths: str | None, covered: str | None
    ) -> tuple[str, str]:
        """One query a row, (B, H), at a memory (B, S, H), lengths None: all of it -> the context (B, H), the weights (B, S)."""
        if attention.query is None:
            scores = self.add("MatMul", [keys, self.add("Unsqueeze", [query, self.numbers(2)])])
        else:
            own = self.add("Unsqueeze", [self.linear(attention.query, query), self.numbers(1)])
            scores = self.linear(attention.v, self.add("Tanh", [self.add("Add", [keys, own])]))
        scores = self.add("Squeeze", [scores, self.numbers(2)])
        if attention.past is not None:
            scores = self.add("Add", [scores, self.add("Mul", [covered, self.weight("past", attention.past)])])
        if lengths is not None:
            scores = self.masked(scores, self.inside(memory, lengths), -np.inf)
        weights = self.add("Softmax", [scores], {"axis": -1})
        row = self.add("Unsqueeze", [weights, self.numbers(1)])
        return self.add("Squeeze", [self.add("MatMul", [row, memory]), self.numbers(1)]), weights

    # --- the file

    def model(self, metadata: dict[str, str]) -> Any:
        """The graph as an onnx.ModelProto, checked by onnx."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        types = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "uint8": TensorProto.UINT8,
                 "float32": TensorProto.FLOAT}  # fmt: skip

        def declared(name: str, dtype: str, shape: tuple[Size, ...]) -> Any:
            return helper.make_tensor_value_info(name, types[dtype], shape)

        graph = helper.make_graph(
            [helper.make_node(operator, given, made, **settings) for operator, given, made, settings in self.nodes],
            "unrolled",
            [declared(*each[:3]) for each in self.inputs],
            [declared(*each) for each in self.outputs],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        model = helper.make_model(graph, producer_name="unrolled", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model


# --- cells


def operator_of(cell: nn.Module) -> tuple[str, dict[str, int]]:
    """The operator that computes a cell and its settings; a UserError for a cell that has none."""
    known = {cells.RNN: ("RNN", {}), cells.LSTM: ("LSTM", {}), cells.GRU: ("GRU", {"linear_before_reset": 0}),
             cells.GRUAfter: ("GRU", {"linear_before_reset": 1})}  # fmt: skip
    if type(cell) not in known:
        names = {kind: name for name, kind in CELLS.items()}
        own = [names[kind] for kind in known if kind in names]
        raise UserError(
            f"the cell `{names.get(type(cell), type(cell).__name__)}` has no operator in ONNX; exported are {', '.join(own)}",
            fix="train with one of these, or run it in Python: unrolled.load(RUN)",
        )
    return known[type(cell)]


# In which order ONNX stacks a cell's gates, by their places in ours.
ORDER = {cells.RNN: (0,), cells.GRU: (0, 1, 2), cells.GRUAfter: (1, 0, 2), cells.LSTM: (0, 3, 1, 2)}


def weights_of(cell: nn.Module) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A cell's W (G·H, I), R (G·H, H) and B (2·G·H) as ONNX has them."""
    H = cell.hidden_size
    b = np.zeros(cell.gates * H, np.float32) if cell.b is None else _array(cell.b)
    W, R, b = (_stacked_as_onnx(cell, value) for value in (_array(cell.W), _array(cell.U), b))
    recurrent = np.zeros_like(b)
    if isinstance(cell, cells.GRUAfter) and cell.d is not None:
        recurrent[2 * H :] = _array(cell.d)
    return W, R, np.concatenate((b, recurrent))


def _stacked_as_onnx(cell: nn.Module, value: np.ndarray) -> np.ndarray:
    gates = np.split(value, cell.gates)
    if isinstance(cell, cells.GRU):
        gates[0] = -gates[0]  # its z keeps what ours writes anew
    return np.concatenate([gates[i] for i in ORDER[type(cell)]])


def _array(value: Tensor) -> np.ndarray:
    return value.detach().float().cpu().numpy()
