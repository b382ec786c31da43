"""Products of small matrices at the processor's speed, for loops compiled by Numba.

BLAS libraries are called, not compiled in, and half of what the machine can do is lost at the sizes of one step in time.
Here a tile of ROWS x (2 vectors) sums stays in registers while it runs over K; the weights are packed beforehand in panels of
that width, so that they are read in the order they lie (Goto and van de Geijn 2008). One thread; callers share rows out.
"""

from __future__ import annotations

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from torch import Tensor

from .jit import compiled, pasted
from .product_int8 import product_int8
from .vectors import ROWS, VECTOR_BYTES, VECTORS


def panel_width(item_bytes: int) -> int:
    """Columns of a panel for items of so many bytes."""
    return VECTORS * VECTOR_BYTES // item_bytes


# A matrix (K, N) as product() wants it: panels (N / width, K, width), the last one filled up with zeros, in float32 or float64;
# or (N / width, K / 2, width, 2) in int8, and the scale of each column. A plain tuple: Numba takes those fastest.
Packed = tuple[np.ndarray, np.ndarray]


def pack(matrix: Tensor, int8: bool = False) -> Packed:
    """matrix (K, N) in panels. int8 rounds each column to whole numbers of 1/127 of its largest entry."""
    matrix = matrix.detach()
    K, N = matrix.shape
    width = panel_width(matrix.element_size())
    panels = -(-N // width)
    if N % width:
        matrix = torch.nn.functional.pad(matrix, (0, panels * width - N))
    if not int8:
        packed = matrix.reshape(K, panels, width).transpose(0, 1).clone(memory_format=torch.contiguous_format)
        return packed.numpy(), matrix.new_empty(0).numpy()
    scales = matrix.abs().amax(0).clamp(min=1e-30) / 127
    whole = torch.nn.functional.pad((matrix / scales).round().to(torch.int8), (0, 0, 0, K % 2))
    pairs = torch.stack((whole[0::2], whole[1::2]), -1).view(torch.int16)  # (K / 2, P·width, 1): two rows as one number
    pairs = pairs.reshape(len(pairs), panels, width).transpose(0, 1).contiguous()
    return pairs.view(torch.int8).view(panels, len(whole) // 2, width, 2).numpy(), scales.numpy()


def _tile(rows: int, side_by_side: int = 1):
    """An intrinsic: c[:rows, panel] = a[:rows] @ panel, arrays given with the offsets where they begin.

    Row r of a lies at a_at + r·K, of c at c_at + r·c_row; the panel (K, width) at panel_at. All without gaps.
    Several panels `side_by_side` keep a processor busy that would wait for few sums.
    """

    @intrinsic
    def tile(typing, a, a_at, panel, panel_at, c, c_at, c_row, K):
        signature = types.void(a, a_at, panel, panel_at, c, c_at, c_row, K)

        def generate(context, builder, signature, arguments):
            _, a_at, _, panel_at, _, c_at, c_row, K = arguments
            item = signature.args[0].dtype
            scalar, align = context.get_value_type(item), item.bitwidth // 8
            lanes = VECTOR_BYTES // align
            vector = ir.VectorType(scalar, lanes)
            index, lane = ir.IntType(64), ir.IntType(32)
            undefined = ir.Constant(vector, ir.Undefined)
            first_lane = ir.Constant(ir.VectorType(lane, lanes), None)
            name = f"llvm.fma.v{lanes}f{item.bitwidth}"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

            def data(i: int, at: ir.Value) -> ir.Value:
                return builder.gep(context.make_array(signature.args[i])(context, builder, arguments[i]).data, [at])

            def vector_at(pointer: ir.Value, at: ir.Value) -> ir.Value:
                return builder.bitcast(builder.gep(pointer, [at]), vector.as_pointer())

            def row(pointer: ir.Value, stride: ir.Value, r: int) -> ir.Value:
                return builder.gep(pointer, [builder.mul(stride, index(r))])

            a, panel, c = data(0, a_at), data(2, panel_at), data(4, c_at)
            a_rows = [row(a, K, r) for r in range(rows)]
            vectors = range(VECTORS * side_by_side)
            totals_at = [[vector_at(row(c, c_row, r), index(v * lanes)) for v in vectors] for r in range(rows)]
            before, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(index)
            k.add_incoming(index(0), before)
            sums = [[builder.phi(vector) for _ in vectors] for _ in range(rows)]
            begin = builder.mul(k, index(VECTORS * lanes))
            one_panel = builder.mul(K, index(VECTORS * lanes))
            weights = []
            for v in vectors:
                of_panel = builder.add(begin, builder.mul(one_panel, index(v // VECTORS)))
                at = builder.add(of_panel, index(v % VECTORS * lanes))
                weights.append(builder.load(vector_at(panel, at), align=align))
            totals = []
            for r in range(rows):
                one = builder.insert_element(undefined, builder.load(builder.gep(a_rows[r], [k])), lane(0))
                spread = builder.shuffle_vector(one, undefined, first_lane)
                totals.append([builder.call(fma, [spread, weights[v], sums[r][v]]) for v in vectors])
            following = builder.add(k, index(1))
            k.add_incoming(following, loop)
            for r in range(rows):
                for v in vectors:
                    sums[r][v].add_incoming(ir.Constant(vector, None), before)
                    sums[r][v].add_incoming(totals[r][v], loop)
            builder.cbranch(builder.icmp_signed("<", following, K), loop, after)
            builder.position_at_end(after)
            for r in range(rows):
                for v in vectors:
                    builder.store(totals[r][v], totals_at[r][v], align=align)
            return context.get_dummy_value()

        return signature, generate

    return tile


_tile_8, _tile_4, _tile_2, _tile_1 = map(_tile, (8, 4, 2, 1))
_wide_1 = _tile(1, side_by_side=4)


def product(a, rows, matrix, c):
    """c[:rows] = a[:rows] @ the packed matrix; a (R, K), c (R, P·width), contiguous. For compiled code."""
    raise NotImplementedError


@overload(product)
def _product(a, rows, matrix, c):
    if isinstance(matrix[0].dtype, types.Integer):
        return lambda a, rows, matrix, c: product_int8(a, rows, matrix[0], matrix[1], c)
    return lambda a, rows, matrix, c: product_of_floats(a, rows, matrix[0], c)


@compiled
def product_of_floats(a, rows, panels, c):
    """product() for panels (P, K, width) of a's kind."""
    P, K, width = panels.shape
    columns, p = P * width, 0
    while rows == 1 and p + 4 <= P:
        _wide_1(a, 0, panels, p * K * width, c, p * width, columns, K)
        p += 4
    while p < P:
        at, column, i = p * K * width, p * width, 0
        if ROWS == 8:
            while i + 8 <= rows:
                _tile_8(a, i * K, panels, at, c, i * columns + column, columns, K)
                i += 8
        while i + 4 <= rows:
            _tile_4(a, i * K, panels, at, c, i * columns + column, columns, K)
            i += 4
        if i + 2 <= rows:
            _tile_2(a, i * K, panels, at, c, i * columns + column, columns, K)
            i += 2
        if i < rows:
            _tile_1(a, i * K, panels, at, c, i * columns + column, columns, K)
        p += 1


@pasted
def columns(matrix):
    """How many columns a packed matrix has, those it was filled up with among them."""
    return matrix[0].shape[0] * matrix[0].shape[2]
