"""Two rows of one matrix against six of another, in registers: products, and the step down the loss that follows them.

Word vectors are trained on a few rows at a time, too few for a library of matrix products: a call would cost more than the
work. Here the sums of a tile (2 x 6) stay in registers, and each row is read once for all of them. Rows are given by the
offsets where they begin; their length is a multiple of LANES, so that nothing is left over.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .smooth import EDGE, P, Q
from .vectors import VECTOR_BYTES

LANES = VECTOR_BYTES // 4
OUTPUTS = 6  # rows of y in a tile
INPUTS = 2  # rows of x in a tile
TILE = 16  # numbers kept for a tile: x's first row against the outputs, x's second row against them, 4 zeros

F32, I32, I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(F32, LANES)


def _pointer(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array).data


def _load(builder, pointer):
    return builder.load(builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def _store(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, VECTOR.as_pointer()), align=4)


def _fma(builder, a, b, c):
    name = f"llvm.fma.v{LANES}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), name), [a, b, c])


def _spread(builder, scalar):
    """A vector with the number in every lane."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    one = builder.insert_element(undefined, scalar, I32(0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(I32, LANES), None))


def _rows(builder, data, offsets, first, count):
    """Pointers to `count` rows of data, whose offsets stand in an int64 array from `first` on."""
    at = [builder.load(builder.gep(offsets, [builder.add(first, I64(i))])) for i in range(count)]
    return [builder.gep(data, [offset]) for offset in at]


def _lane_sums(builder, vectors):
    """One vector whose lane i is the sum of all lanes of vectors[i]; as many vectors as lanes, halved four times."""
    kinds, block = vectors, 1
    while len(kinds) > 1:
        low, high = [], []  # of two vectors' 2-block groups: the first blocks, the second blocks
        for lane in range(LANES):
            group, inner = lane // (2 * block), lane % block
            source = LANES * (lane // block % 2) + group * 2 * block + inner
            low.append(source)
            high.append(source + block)
        mask = [ir.Constant(ir.VectorType(I32, LANES), chosen) for chosen in (low, high)]
        kinds = [
            builder.fadd(builder.shuffle_vector(a, b, mask[0]), builder.shuffle_vector(a, b, mask[1]))
            for a, b in zip(kinds[0::2], kinds[1::2], strict=True)
        ]
        block *= 2
    return kinds[0]


def _logistic_slopes(builder, f, labels, weights, rate):
    """(label - σ(f)) · weight · rate, σ as in smooth.py."""

    def number(value):
        return ir.Constant(VECTOR, [F32(float(value))] * LANES)

    def polynomial(coefficients, u):
        total = number(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            total = _fma(builder, total, u, number(c))
        return total

    def bounded(x, bound):
        x = builder.select(builder.fcmp_ordered(">", x, number(bound)), number(bound), x)
        return builder.select(builder.fcmp_ordered("<", x, number(-bound)), number(-bound), x)

    half = bounded(builder.fmul(f, number(0.5)), EDGE)
    u = builder.fmul(half, half)
    tanh = bounded(builder.fdiv(builder.fmul(half, polynomial(P, u)), polynomial(Q, u)), 1)
    wrong = builder.fsub(builder.fsub(labels, number(0.5)), builder.fmul(tanh, number(0.5)))
    return builder.fmul(builder.fmul(wrong, weights), rate)


def _products(inputs: int, slopes: bool):
    """An intrinsic: f[at : at + TILE] = the rows of x at ins[r:] times those of y at outs[q:], one after the other; or what
    that makes of the logistic loss: how far to move, (label - σ) · weight · rate, labels and weights from `of` on."""

    @intrinsic
    def products(typing, x, ins, r, y, outs, q, f, at, size, labels, weights, of, rate):
        def generate(context, builder, signature, arguments):
            _, _, r, _, _, q, _, at, size, _, _, of, rate = arguments
            x, ins, y, outs, f, labels, weights = (
                _pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 1, 3, 4, 6, 9, 10)
            )
            x_rows, y_rows = _rows(builder, x, ins, r, inputs), _rows(builder, y, outs, q, OUTPUTS)
            pairs = [(i, o) for i in range(inputs) for o in range(OUTPUTS)]
            zero = ir.Constant(VECTOR, None)
            before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("sums")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(I64)
            sums = [builder.phi(VECTOR) for _ in pairs]
            a = [_load(builder, builder.gep(row, [k])) for row in x_rows]
            b = [_load(builder, builder.gep(row, [k])) for row in y_rows]
            totals = [_fma(builder, a[i], b[o], total) for (i, o), total in zip(pairs, sums, strict=True)]
            following = builder.add(k, I64(LANES))
            for phi, start, value in [(k, I64(0), following), *zip(sums, [zero] * len(pairs), totals, strict=True)]:
                phi.add_incoming(start, before)
                phi.add_incoming(value, loop)
            builder.cbranch(builder.icmp_signed("<", following, size), loop, after)
            builder.position_at_end(after)
            totals += [zero] * (TILE - len(totals))
            for first in range(0, TILE, LANES):
                summed = _lane_sums(builder, totals[first : first + LANES])
                if slopes:
                    place = [builder.add(of, I64(first))]
                    label, weight = (_load(builder, builder.gep(array, place)) for array in (labels, weights))
                    summed = _logistic_slopes(builder, summed, label, weight, _spread(builder, rate))
                _store(builder, summed, builder.gep(f, [builder.add(at, I64(first))]))
            return context.get_dummy_value()

        return types.void(x, ins, r, y, outs, q, f, at, size, labels, weights, of, rate), generate

    return products


def _step(inputs: int):
    """An intrinsic: x's rows += g @ y's rows, and y's rows += gᵀ @ x's rows as they were; g[at:] as products() lays it.

    All rows of a tile must be different ones.
    """

    @intrinsic
    def step(typing, x, ins, r, y, outs, q, g, at, size):
        def generate(context, builder, signature, arguments):
            _, _, r, _, _, q, _, at, size = arguments
            x, ins, y, outs, g = (_pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 1, 3, 4, 6))
            x_rows, y_rows = _rows(builder, x, ins, r, inputs), _rows(builder, y, outs, q, OUTPUTS)
            slopes = [
                [_spread(builder, builder.load(builder.gep(g, [builder.add(at, I64(i * OUTPUTS + o))]))) for o in range(OUTPUTS)]
                for i in range(inputs)
            ]
            before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(I64)
            x_at, y_at = ([builder.gep(row, [k]) for row in rows] for rows in (x_rows, y_rows))
            a, b = ([_load(builder, at) for at in places] for places in (x_at, y_at))
            for i in range(inputs):
                moved = a[i]
                for o in range(OUTPUTS):
                    moved = _fma(builder, slopes[i][o], b[o], moved)
                _store(builder, moved, x_at[i])
            for o in range(OUTPUTS):
                moved = b[o]
                for i in range(inputs):
                    moved = _fma(builder, slopes[i][o], a[i], moved)
                _store(builder, moved, y_at[o])
            following = builder.add(k, I64(LANES))
            k.add_incoming(I64(0), before)
            k.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, size), loop, after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        return types.void(x, ins, r, y, outs, q, g, at, size), generate

    return step


products_1, products_2 = _products(1, slopes=False), _products(2, slopes=False)
slopes_1, slopes_2 = _products(1, slopes=True), _products(2, slopes=True)
step_1, step_2 = _step(1), _step(2)


@intrinsic
def add_row(typing, a, a_at, b, b_at, size):
    """a[a_at:] += b[b_at:], `size` numbers; two rows of a plain loop could be one and the same, which keeps it from vectors."""

    def generate(context, builder, signature, arguments):
        _, a_at, _, b_at, size = arguments
        a, b = (_pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 2))
        before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(I64)
        place = builder.gep(a, [builder.add(a_at, k)])
        _store(builder, builder.fadd(_load(builder, place), _load(builder, builder.gep(b, [builder.add(b_at, k)]))), place)
        following = builder.add(k, I64(LANES))
        k.add_incoming(I64(0), before)
        k.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, size), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(a, types.int64, b, types.int64, types.int64), generate


@intrinsic
def fetch(typing, array, at):
    """Ask for the cache line of array[at], to be there when it is needed."""

    def generate(context, builder, signature, arguments):
        place = builder.gep(_pointer(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(ask, [builder.bitcast(place, byte), I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
