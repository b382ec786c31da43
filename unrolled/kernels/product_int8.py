"""A product with weights of 8 bits: a quarter of the bytes to read, and twice as many multiplications an instruction.

The other factor is rounded to 16 bits a row, so that nearly all of the error is the weights'. Two steps of K at a time: 16-bit
numbers are multiplied and added in pairs to 32 bits, which x86 does in one instruction.
"""

from __future__ import annotations

import platform

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import compiled, pasted
from .smooth import bits_of, of_bits
from .vectors import FEATURES, VECTOR_BYTES, VECTORS

LANES = VECTOR_BYTES // 4
PAIRS = {64: "llvm.x86.avx512.pmaddw.d.512", 32: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.sse2.pmadd.wd"}
NEEDED = {64: "avx512bw", 32: "avx2", 16: "sse2"}
ON_X86 = platform.machine().lower() in ("x86_64", "amd64") and bool(FEATURES.get(NEEDED[VECTOR_BYTES]))


def _pairs(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """(2·LANES) of int16 each -> a[2i] b[2i] + a[2i+1] b[2i+1], LANES of int32."""
    whole = ir.VectorType(ir.IntType(32), LANES)
    if ON_X86:
        kind = ir.FunctionType(whole, [a.type, b.type])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, PAIRS[VECTOR_BYTES]), [a, b])
    wide = ir.VectorType(ir.IntType(32), 2 * LANES)
    products = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    even, odd = (
        ir.Constant(ir.VectorType(ir.IntType(32), LANES), [ir.IntType(32)(2 * i + first) for i in range(LANES)])
        for first in (0, 1)
    )
    return builder.add(builder.shuffle_vector(products, products, even), builder.shuffle_vector(products, products, odd))


def _tile(rows: int, side_by_side: int):
    """An intrinsic: c[:rows, panels] = a[:rows] @ panels; a int16 (rows, 2·pairs), panels int8 (…, pairs, width, 2), c: int32.

    Row r of a lies at a_at + r·2·pairs, of c at c_at + r·c_row.
    """

    @intrinsic
    def tile(typing, a, a_at, panel, panel_at, c, c_at, c_row, pairs):
        signature = types.void(a, a_at, panel, panel_at, c, c_at, c_row, pairs)

        def generate(context, builder, signature, arguments):
            _, a_at, _, panel_at, _, c_at, c_row, pairs = arguments
            index, lane, byte = ir.IntType(64), ir.IntType(32), ir.IntType(8)
            sums_kind, halves = ir.VectorType(lane, LANES), ir.VectorType(ir.IntType(16), 2 * LANES)
            small, zero = ir.VectorType(byte, 2 * LANES), ir.Constant(sums_kind, None)

            def data(i: int, at: ir.Value) -> ir.Value:
                return builder.gep(context.make_array(signature.args[i])(context, builder, arguments[i]).data, [at])

            def row(pointer: ir.Value, stride: ir.Value, r: int) -> ir.Value:
                return builder.gep(pointer, [builder.mul(stride, index(r))])

            a = builder.bitcast(data(0, a_at), lane.as_pointer())  # two steps as one number
            panel, c = data(2, panel_at), data(4, c_at)
            a_rows, c_rows = [row(a, pairs, r) for r in range(rows)], [row(c, c_row, r) for r in range(rows)]
            vectors = range(VECTORS * side_by_side)
            before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(index)
            sums = [[builder.phi(sums_kind) for _ in vectors] for _ in range(rows)]
            step, weights, totals = index(VECTORS * 2 * LANES), [], []
            for v in vectors:
                line = builder.add(builder.mul(pairs, index(v // VECTORS)), k)
                at = builder.add(builder.mul(line, step), index(v % VECTORS * 2 * LANES))
                loaded = builder.load(builder.bitcast(builder.gep(panel, [at]), small.as_pointer()), align=1)
                weights.append(builder.sext(loaded, halves))
            for r in range(rows):
                number = builder.load(builder.gep(a_rows[r], [k]), align=2)
                one = builder.insert_element(ir.Constant(sums_kind, ir.Undefined), number, lane(0))
                spread = builder.bitcast(builder.shuffle_vector(one, ir.Constant(sums_kind, ir.Undefined), zero), halves)
                totals.append([builder.add(sums[r][v], _pairs(builder, weights[v], spread)) for v in vectors])
            following = builder.add(k, index(1))
            k.add_incoming(index(0), before)
            k.add_incoming(following, loop)
            for r in range(rows):
                for v in vectors:
                    sums[r][v].add_incoming(zero, before)
                    sums[r][v].add_incoming(totals[r][v], loop)
            builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
            builder.position_at_end(after)
            for r in range(rows):
                for v in vectors:
                    place = builder.bitcast(builder.gep(c_rows[r], [index(v * LANES)]), sums_kind.as_pointer())
                    builder.store(totals[r][v], place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return tile


_four_rows, _wide, _one = _tile(4, 1), _tile(1, 4), _tile(1, 1)


@intrinsic
def _rounded(typing, number):
    """The nearest whole number, half to even."""

    def generate(context, builder, signature, arguments):
        name = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.FloatType(), [ir.FloatType()]), "llvm.nearbyint.f32"
        )
        return builder.call(name, arguments)

    return types.float32(types.float32), generate


@pasted
def _whole(row, most, whole):
    """row (K) rounded to whole numbers (K or more, int16) of the unit that is returned: nan where a number is not finite."""
    bits, largest = row.view(np.int32), np.int32(0)
    for k in range(row.size):  # sizes are ordered as their bits are, whose maximum is found many at a time
        largest = max(largest, np.int32(bits[k] & np.int32(0x7FFFFFFF)))
    finite = largest < np.int32(0x7F800000)
    unit = of_bits(largest) / most if finite and largest > 0 else np.float32(1)
    for k in range(row.size):
        whole[k] = np.int16(_rounded(row[k] / unit)) if finite else np.int16(0)
    return unit if finite else np.float32(np.nan)


@compiled
def product_int8(a, rows, panels, scales, c):
    """c[:rows] = a[:rows] @ the packed matrix; a (R, K), panels (P, pairs, width, 2), scales (P·width), c (R, P·width)."""
    P, pairs, width, _ = panels.shape
    K, columns = a.shape[1], P * width
    most = np.float32(min(32767.0, 2.0**31 / (128.0 * K)))  # so that no sum leaves 32 bits
    whole, units = np.zeros((rows, 2 * pairs), np.int16), np.empty(rows, np.float32)
    for i in range(rows):
        units[i] = _whole(a[i], most, whole[i])
    p = 0
    while rows == 1 and p + 4 <= P:
        _wide(whole, 0, panels, p * pairs * width * 2, c, p * width, columns, pairs)
        p += 4
    while p < P:
        at, i = p * pairs * width * 2, 0
        while i + 4 <= rows:
            _four_rows(whole, i * 2 * pairs, panels, at, c, i * columns + p * width, columns, pairs)
            i += 4
        while i < rows:
            _one(whole, i * 2 * pairs, panels, at, c, i * columns + p * width, columns, pairs)
            i += 1
        p += 1
    for i in range(rows):
        target, unit = c[i], units[i]
        for j in range(columns):
            target[j] = np.float32(bits_of(target[j])) * (unit * scales[j])
