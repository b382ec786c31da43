"""Products of a large float16 matrix with one vector, at the speed the memory gives the matrix.

NumPy turns float16 into float32 number by number and in memory; here that happens in registers, so that half the bytes take half
the time. One row after another, in the order they lie: processors fetch ahead for that (four rows at once took twice as long).
In float32 NumPy's own product is at the memory's speed, and needs no compiling.
"""

from __future__ import annotations

import os
import platform

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import compiled
from .threads import in_shares
from .vectors import FEATURES, VECTOR_BYTES

LANES = VECTOR_BYTES // 4
CONVERTS = bool(FEATURES.get("f16c")) or platform.machine().lower() in ("arm64", "aarch64")  # float16 in registers
ALONE = 1 << 22  # bytes that one thread has read before others have woken up


def fits(matrix: np.ndarray) -> bool:
    """Whether `dots` can take this matrix (V, D) on this processor."""
    return CONVERTS and matrix.shape[1] >= LANES and matrix.flags.c_contiguous


def dots(matrix: np.ndarray, vector: np.ndarray | None) -> np.ndarray:
    """The product of every row of `matrix` (V, D), float16, with `vector` (D,), or with itself for None; (V,) float32."""
    out, D = np.empty(len(matrix), np.float32), matrix.shape[1]
    numbers = matrix.reshape(-1).view(np.uint16)  # Numba knows no float16 on the CPU
    numbers.flags.writeable = False  # as in a memory map: one compiled version serves both
    other = np.zeros(D, np.float32) if vector is None else np.ascontiguousarray(vector, np.float32)
    mask = (np.arange(LANES) >= LANES - D % LANES).astype(np.float32)
    shares = processors() if matrix.nbytes > ALONE else 1
    borders = np.linspace(0, len(matrix), shares + 1).astype(int).tolist()
    in_shares(lambda i: _dots(numbers, other, mask, vector is None, borders[i], borders[i + 1], out), shares)
    return out


def processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _dot(itself: bool):
    """An intrinsic: Σ x·y over the D float16 x that begin at numbers[at]; y is x itself, or vector (D,).

    The last LANES numbers are read as a whole: mask (LANES,) is 1 for those that the other steps leave over.
    """

    @intrinsic
    def dot(typing, numbers, at, vector, mask):
        signature = types.float32(numbers, at, vector, mask)

        def generate(context, builder, signature, arguments):
            index, single = ir.IntType(64), ir.FloatType()
            floats, halves = ir.VectorType(single, LANES), ir.VectorType(ir.HalfType(), LANES)
            called = builder.module, ir.FunctionType(floats, [floats] * 3), f"llvm.fma.v{LANES}f32"
            fma = cgutils.get_or_insert_function(*called)
            called = builder.module, ir.FunctionType(single, [single, floats]), f"llvm.vector.reduce.fadd.v{LANES}f32"
            total = cgutils.get_or_insert_function(*called)
            arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 2, 3)]
            numbers, vector, mask = (array.data for array in arrays)
            at, D = arguments[1], builder.extract_value(arrays[1].shape, 0)

            def load(pointer: ir.Value, place: ir.Value, kind: ir.VectorType, bytes: int) -> ir.Value:
                return builder.load(builder.bitcast(builder.gep(pointer, [place]), kind.as_pointer()), align=bytes)

            def step(place: ir.Value, sums: ir.Value, masked: bool = False) -> ir.Value:
                x = builder.fpext(load(numbers, builder.add(at, place), halves, 2), floats)
                if masked:
                    x = builder.fmul(x, load(mask, index(0), floats, 4))
                return builder.call(fma, [x, x if itself else load(vector, place, floats, 4), sums])

            rest = step(builder.sub(D, index(LANES)), ir.Constant(floats, None), masked=True)
            whole = builder.and_(D, index(-LANES))
            before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            k, sums = builder.phi(index), builder.phi(floats)
            following, added = builder.add(k, index(LANES)), step(k, sums)
            for phi, first, then in ((k, index(0), following), (sums, rest, added)):
                phi.add_incoming(first, before)
                phi.add_incoming(then, loop)
            builder.cbranch(builder.icmp_signed("<", following, whole), loop, after)
            builder.position_at_end(after)
            return builder.call(total, [ir.Constant(single, 0.0), added], fastmath=("reassoc",))

        return signature, generate

    return dot


_with_vector, _with_itself = map(_dot, (False, True))


@compiled
def _dots(numbers, vector, mask, itself, first, last, out):
    D = len(vector)
    for i in range(first, last):
        out[i] = _with_itself(numbers, i * D, vector, mask) if itself else _with_vector(numbers, i * D, vector, mask)
