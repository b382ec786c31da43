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

from .jit import compiled
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


def _tile(side_by_side: int):
    """An intrinsic: c[panels] = a @ panels for one row; a int16 (2·pairs), panels int8 (…, pairs, width, 2), c int32."""

    @intrinsic
    def tile(typing, a, panel, panel_at, c, c_at, pairs):
        signature = types.void(a, panel, panel_at, c, c_at, pairs)

        def generate(context, builder, signature, arguments):
            _, _, panel_at, _, c_at, pairs = arguments
            index, lane, byte = ir.IntType(64), ir.IntType(32), ir.IntType(8)
            sums_kind, halves = ir.VectorType(lane, LANES), ir.VectorType(ir.IntType(16), 2 * LANES)
            small, zero = ir.VectorType(byte, 2 * LANES), ir.Constant(sums_kind, None)

            def data(i: int) -> ir.Value:
                return context.make_array(signature.args[i])(context, builder, arguments[i]).data

            a = builder.bitcast(data(0), lane.as_pointer())  # two steps as one number
            panel, c = builder.gep(data(1), [panel_at]), builder.gep(data(3), [c_at])
            vectors = range(VECTORS * side_by_side)
            before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(index)
            sums = [builder.phi(sums_kind) for _ in vectors]
            one = builder.insert_element(
                ir.Constant(sums_kind, ir.Undefined), builder.load(builder.gep(a, [k]), align=2), lane(0)
            )
            spread = builder.shuffle_vector(one, ir.Constant(sums_kind, ir.Undefined), zero)
            spread = builder.bitcast(spread, halves)
            step = index(VECTORS * 2 * LANES)
            totals = []
            for v in vectors:
                row = builder.add(builder.mul(pairs, index(v // VECTORS)), k)
                at = builder.add(builder.mul(row, step), index(v % VECTORS * 2 * LANES))
                weights = builder.load(builder.bitcast(builder.gep(panel, [at]), small.as_pointer()), align=1)
                totals.append(builder.add(sums[v], _pairs(builder, builder.sext(weights, halves), spread)))
            following = builder.add(k, index(1))
            k.add_incoming(index(0), before)
            k.add_incoming(following, loop)
            for v in vectors:
                sums[v].add_incoming(zero, before)
                sums[v].add_incoming(totals[v], loop)
            builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
            builder.position_at_end(after)
            for v in vectors:
                place = builder.bitcast(builder.gep(c, [index(v * LANES)]), sums_kind.as_pointer())
                builder.store(totals[v], place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return tile


_four, _one = _tile(4), _tile(1)


@compiled
def product_int8(a, rows, panels, scales, c):
    """c[:rows] = a[:rows] @ the packed matrix; a (R, K), panels (P, pairs, width, 2), scales (P·width), c (R, P·width)."""
    P, pairs, width, _ = panels.shape
    K = a.shape[1]
    whole, sums = np.zeros(2 * pairs, np.int16), np.empty(P * width, np.int32)
    most = min(32767.0, 2.0**31 / (128.0 * K))  # so that no sum leaves 32 bits
    for i in range(rows):
        largest, finite = np.float32(0), True
        for k in range(K):
            size = abs(a[i, k])
            finite = finite and size < np.inf  # false for nan too
            largest = size if size > largest else largest
        unit = largest / np.float32(most) if finite and largest > 0 else np.float32(1)
        for k in range(K):
            whole[k] = np.int16(np.rint(a[i, k] / unit)) if finite else np.int16(0)
        p = 0
        while p + 4 <= P:
            _four(whole, panels, p * pairs * width * 2, sums, p * width, pairs)
            p += 4
        while p < P:
            _one(whole, panels, p * pairs * width * 2, sums, p * width, pairs)
            p += 1
        for j in range(P * width):
            c[i, j] = sums[j] * (unit * scales[j]) if finite else np.nan
