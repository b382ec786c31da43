"""Eight float32 side by side, as a value of compiled code: what the processor computes with, written as equations.

LLVM finds such vectors in plain loops by itself, but only where it can prove that the arrays of a loop do not overlap; a Fourier
transform reads and writes sixteen rows of two arrays at once, which is more than it tries. On a processor with shorter vectors
LLVM cuts each in two.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models, register_default
from numba.extending import intrinsic, overload

LANES = 8
VECTOR, WHOLE, I32 = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES), ir.IntType(32)


class Lanes(types.Type):
    """Numba's name for the type (its interface asks for classes)."""


@register_default(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


lanes = Lanes("lanes")


def _place(context, builder, signature, arguments):
    """The pointer to numbers array[at], … as a vector."""
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), VECTOR.as_pointer())


@intrinsic
def load(typing, array, at):
    """array[at : at + 8] of a contiguous float32 array."""

    def generate(context, builder, signature, arguments):
        return builder.load(_place(context, builder, signature, arguments), align=4)

    return lanes(array, types.intp), generate


@intrinsic
def store(typing, array, at, value):
    """array[at : at + 8] = value."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _place(context, builder, signature, arguments), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def spread(typing, number):
    """One float32 in every lane."""

    def generate(context, builder, signature, arguments):
        one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[0], I32(0))
        return builder.shuffle_vector(one, one, ir.Constant(WHOLE, None))

    return lanes(types.float32), generate


@intrinsic
def total(typing, value):
    """The sum of the lanes, always in the same order."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), VECTOR])
        add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{LANES}f32")
        return builder.call(add, [ir.Constant(ir.FloatType(), -0.0), arguments[0]], fastmath=("reassoc",))

    return types.float32(value), generate


@intrinsic
def fma(typing, a, b, c):
    """a b + c, rounded once."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), arguments)

    return lanes(a, b, c), generate


def _shuffled(first, second=None):
    """An intrinsic that picks lanes, numbered through, from one value or two."""
    order = list(first)
    mask = ir.Constant(WHOLE, [I32(i) for i in order])
    if second is None:

        @intrinsic
        def of_one(typing, a):
            return lanes(a), lambda context, builder, signature, values: builder.shuffle_vector(values[0], values[0], mask)

        return of_one

    @intrinsic
    def of_two(typing, a, b):
        return lanes(a, b), lambda context, builder, signature, values: builder.shuffle_vector(values[0], values[1], mask)

    return of_two


turned = _shuffled(range(LANES - 1, -1, -1))  # the last lane first
even, odd = _shuffled(range(0, 2 * LANES, 2), True), _shuffled(range(1, 2 * LANES, 2), True)  # of two values, one after the other
zipped = [i for pair in zip(range(LANES), range(LANES, 2 * LANES), strict=True) for i in pair]
zipped_low, zipped_high = _shuffled(zipped[:LANES], True), _shuffled(zipped[LANES:], True)  # a0 b0 a1 b1 …


def _arithmetic(operation, instruction: str) -> None:
    """+, - or * between lanes."""

    @intrinsic
    def compute(typing, a, b):
        def generate(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments, flags=("contract", "nsz"))

        return lanes(a, b), generate

    @overload(operation)
    def _compute(a, b):
        if isinstance(a, Lanes) and isinstance(b, Lanes):
            return lambda a, b: compute(a, b)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@intrinsic
def exponent(typing, value):
    """e of value = m 2^e with m in [√½, √2), for positive normal numbers."""

    def generate(context, builder, signature, arguments):
        return builder.sitofp(_power(builder, builder.bitcast(arguments[0], WHOLE)), VECTOR)

    return lanes(value), generate


@intrinsic
def mantissa(typing, value):
    """m of value = m 2^e."""

    def generate(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], WHOLE)
        return builder.bitcast(builder.sub(bits, builder.shl(_power(builder, bits), _each(23))), VECTOR)

    return lanes(value), generate


def _power(builder, bits):
    return builder.ashr(builder.sub(bits, _each(0x3F3504F3)), _each(23))  # √½ as bits: below it the exponent is one less


def _each(number: int) -> ir.Constant:
    return ir.Constant(WHOLE, [I32(number)] * LANES)
