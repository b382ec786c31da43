"""GloVe: Σ_ij f(X_ij) (θ_iᵀ e_j + b_i + b'_j - ln X_ij)² made small by AdaGrad (Pennington et al. 2014; Duchi et al. 2011).

Four rows of a word lie side by side, parameters (V, 4, size) float32:

    WORD     θ_i, b_i, 1, 0 …    one product of a word's row with a context's row
    CONTEXT  e_i, 1, b'_i, 0 …   is θ_iᵀ e_j + b_i + b'_j, so biases are numbers like all others

and behind each its SCALE s = 1 / √G, where G = 1 + Σ (rate · slope)² is AdaGrad's sum of a number as the authors' program has
it. Where a 1 or 0 stands for good, s is 0. Keeping s in place of G saves a root and a division: for a step d = s · rate · slope

    1 / √(G + (rate · slope)²) = s / √(1 + d²) = s (1 - d²/2 + 3d⁴/8 - …)

Steps are held within ±LIMIT, where what is left out is 0.5 % of s; at a step of 0.01 it is 3e-13.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import compiled
from .threads import in_shares
from .vectors import VECTOR_BYTES

WORD, WORD_SCALE, CONTEXT, CONTEXT_SCALE = range(4)
PADDING = 16  # numbers a row is filled up to a multiple of: a cache line, and the widest vector
LIMIT = 0.5  # at usual rates no step comes near it; the authors' program limits slopes to 100 for the same reason

f32, i64 = np.float32, np.int64
Tile = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, columns (N,) int32, X (N,) float32

F32, I64 = ir.FloatType(), ir.IntType(64)
LANES = VECTOR_BYTES // 4
VECTOR = ir.VectorType(F32, LANES)
FUSED = ("contract",)  # a product and a sum may become one instruction


def start(vocabulary: int, dimension: int, seed: int) -> np.ndarray:
    """Parameters (V, 4, size) before training: vectors and biases uniform in ±0.5 / (dimension + 1), as the authors' program."""
    size = -(-(dimension + 2) // PADDING) * PADDING
    numbers = np.zeros(vocabulary * 4 * size + PADDING, np.float32)
    first = -numbers.ctypes.data // 4 % PADDING  # rows begin where a cache line does
    parameters = numbers[first : first + vocabulary * 4 * size].reshape(vocabulary, 4, size)
    random = np.random.default_rng(seed)
    for row, bias, one in ((WORD, dimension, dimension + 1), (CONTEXT, dimension + 1, dimension)):
        learned = [*range(dimension), bias]
        drawn = random.random((vocabulary, dimension + 1), dtype=np.float32)
        parameters[:, row, learned] = (drawn - f32(0.5)) / f32(dimension + 1)
        parameters[:, row + 1, learned] = 1
        parameters[:, row, one] = 1
    return parameters


def vectors(parameters: np.ndarray, dimension: int) -> np.ndarray:
    """(V, dimension) float32: the mean of θ_i and e_i, which play the same part as X is symmetric (the lecture's e_final)."""
    return (parameters[:, WORD, :dimension] + parameters[:, CONTEXT, :dimension]) / f32(2)


def biases(parameters: np.ndarray, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """b and b', views of (V,) each."""
    return parameters[:, WORD, dimension], parameters[:, CONTEXT, dimension + 1]


def weight(X: np.ndarray, x_max: float, alpha: float = 0.75) -> np.ndarray:
    """f(X) = min(1, (X / x_max)^alpha), float32: a rare pair says little, a frequent one not all."""
    return np.minimum(f32(1), (X / f32(x_max)) ** f32(alpha))


def train(parameters: np.ndarray, tiles: list[Tile], rate: float, x_max: float, alpha: float = 0.75, threads: int = 1) -> float:
    """One pass over tiles that have no word in common. Returns the loss's sum over them, each term as it was met.

    An entry (i, j, X) stands for X_ij and X_ji. Each tile is one thread's work from end to end, and no two tiles touch the
    same parameters, so the result is the same for any number of threads. A training that has diverged returns nan or
    infinity: it is for the caller to stop there, with the parameters of before.
    """
    losses = [0.0] * len(tiles)
    todo = iter(sorted(range(len(tiles)), key=lambda n: -len(tiles[n][0])))  # each thread takes the largest that is left

    def work(_: int) -> None:
        for n in todo:
            rows, columns, X = tiles[n]
            losses[n] = descend(parameters, rows, columns, np.log(X), weight(X, x_max, alpha), f32(rate))

    in_shares(work, max(1, min(threads, len(tiles))))
    return sum(losses)


@intrinsic
def product(typing, numbers, a, b, size):
    """The product of the rows of `size` numbers that begin at a and at b."""

    def generate(context, builder, signature, arguments):
        numbers, a, b, size = arguments
        rows = _rows(context, builder, signature.args[0], numbers, (a, b))
        before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("sum")
        builder.branch(loop)
        builder.position_at_end(loop)
        k, total = builder.phi(I64), builder.phi(VECTOR)
        x, y = (builder.load(_vector_at(builder, row, k), align=4) for row in rows)
        following = builder.fadd(total, builder.fmul(x, y, flags=FUSED), flags=FUSED)
        total.add_incoming(ir.Constant(VECTOR, None), before)
        total.add_incoming(following, loop)
        _again(builder, k, size, before, loop, after)
        kind = ir.FunctionType(F32, [F32, VECTOR])
        add_lanes = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")
        return builder.call(add_lanes, [F32(0.0), following], fastmath=("reassoc",))

    return types.float32(numbers, a, b, size), generate


@intrinsic
def step(typing, numbers, a, b, size, slope):
    """Rows a and b, their scales behind them, one step down: a by slope · b · its scale, b by slope · a · its scale."""

    def generate(context, builder, signature, arguments):
        numbers, a, b, size, slope = arguments
        scales = (builder.add(a, size), builder.add(b, size))
        rows = _rows(context, builder, signature.args[0], numbers, (a, b, *scales))
        one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), slope, ir.IntType(32)(0))
        every_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
        slope = builder.shuffle_vector(one, ir.Constant(VECTOR, ir.Undefined), every_lane)
        before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(I64)
        at = [_vector_at(builder, row, k) for row in rows]
        x, y, x_scale, y_scale = (builder.load(place, align=4) for place in at)
        for this, other, scale, place, scale_at in ((x, y, x_scale, at[0], at[2]), (y, x, y_scale, at[1], at[3])):
            moved, shrunk = _adagrad(builder, this, builder.fmul(slope, other), scale)
            builder.store(moved, place, align=4)
            builder.store(shrunk, scale_at, align=4)
        _again(builder, k, size, before, loop, after)
        return context.get_dummy_value()

    return types.void(numbers, a, b, size, slope), generate


def _adagrad(builder: ir.IRBuilder, x: ir.Value, slope: ir.Value, scale: ir.Value) -> tuple[ir.Value, ir.Value]:
    """x - d and scale (1 - d²/2 + 3d⁴/8) for d = slope · scale within ±LIMIT; nan stays nan."""

    def constant(value: float) -> ir.Constant:
        return ir.Constant(VECTOR, [value] * LANES)

    d = builder.fmul(slope, scale)
    d = builder.select(builder.fcmp_ordered(">", d, constant(LIMIT)), constant(LIMIT), d)
    d = builder.select(builder.fcmp_ordered("<", d, constant(-LIMIT)), constant(-LIMIT), d)
    square = builder.fmul(d, d)
    less = builder.fsub(builder.fmul(square, constant(0.375), flags=FUSED), constant(0.5), flags=FUSED)
    shrunk = builder.fadd(builder.fmul(builder.fmul(scale, square), less, flags=FUSED), scale, flags=FUSED)
    return builder.fsub(x, d), shrunk


def _rows(context, builder, kind, array, offsets):
    data = context.make_array(kind)(context, builder, array).data
    return [builder.gep(data, [offset]) for offset in offsets]


def _vector_at(builder, row, k):
    return builder.bitcast(builder.gep(row, [k]), VECTOR.as_pointer())


def _again(builder, k, size, before, loop, after):
    """Close a loop over k = 0, LANES, … while k < size, and go on behind it."""
    following = builder.add(k, I64(LANES))
    k.add_incoming(I64(0), before)
    k.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, size), loop, after)
    builder.position_at_end(after)


@compiled
def descend(parameters, rows, columns, logs, weights, rate):
    """Entry after entry: X_ij, then X_ji. The slope of f (product - ln X)² is 2 f (product - ln X); the 2 is in the rate."""
    V, _, size = parameters.shape
    numbers = parameters.reshape(V * 4 * size)
    loss = 0.0
    for n in range(rows.shape[0]):
        i, j = i64(rows[n]) * 4 * size, i64(columns[n]) * 4 * size
        there = product(numbers, i, j + CONTEXT * size, size) - logs[n]
        back = product(numbers, j, i + CONTEXT * size, size) - logs[n]
        step(numbers, i, j + CONTEXT * size, size, rate * weights[n] * there)
        loss += weights[n] * there * there
        if i != j:
            step(numbers, j, i + CONTEXT * size, size, rate * weights[n] * back)
            loss += weights[n] * back * back
    return loss
