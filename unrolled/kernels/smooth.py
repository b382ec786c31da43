"""tanh, σ and e^x for compiled loops: float32 by functions that vectorise, float64 by the C library."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from .jit import MATH, compiled

f32 = np.float32

# tanh x = x P(x²) / Q(x²) on [-9, 9], fitted for the least relative error (2.1e-8); rounding in float32 makes it 4e-7.
P = tuple(map(f32, (9.999999794e-01, 1.338101680e-01, 3.495577555e-03, 2.060890558e-05, 1.335441311e-08)))
Q = tuple(map(f32, (1.0, 4.671433239e-01, 2.587694218e-02, 3.285617401e-04, 7.776457282e-07)))
P0, P1, P2, P3, P4 = P
Q0, Q1, Q2, Q3, Q4 = Q
EDGE, ONE, HALF = f32(9), f32(1), f32(0.5)


@compiled
def _tanh32(x):
    x = EDGE if x > EDGE else x
    x = -EDGE if x < -EDGE else x
    u = x * x
    p = (((P4 * u + P3) * u + P2) * u + P1) * u + P0
    q = (((Q4 * u + Q3) * u + Q2) * u + Q1) * u + Q0
    y = x * p / q
    y = ONE if y > ONE else y
    return -ONE if y < -ONE else y


# 2^r on [-½, ½], fitted for the least relative error (1.9e-9; rounding in float32 makes it 2e-7)
R0, R1, R2, R3, R4, R5, R6 = map(
    f32,
    (1.000000001e00, 6.931472057e-01, 2.402264689e-01, 5.550328777e-02, 9.618488959e-03, 1.339993122e-03, 1.534581158e-04),
)
LOG2E, LEAST, MOST, BIAS = f32(math.log2(math.e)), f32(-87), f32(88), f32(127.5)
LN2, REST = f32(0.693145751953125), f32(1.4286068203094173e-06)  # together ln 2; n times the first has no rounding


@intrinsic
def of_bits(typing, bits):
    """The float32 whose 32 bits are these."""
    return types.float32(types.int32), lambda context, builder, signature, values: builder.bitcast(values[0], ir.FloatType())


@intrinsic
def bits_of(typing, number):
    """The 32 bits of a float32."""
    return types.int32(types.float32), lambda context, builder, signature, values: builder.bitcast(values[0], ir.IntType(32))


@compiled
def _exp32(x):
    x = x if x > LEAST else LEAST
    x = x if x < MOST else MOST
    power = np.int32(x * LOG2E + BIAS)  # of 2, and the 127 of float32's exponents
    n = np.float32(power - np.int32(127))
    r = (x - n * LN2 - n * REST) * LOG2E
    fraction = (((((R6 * r + R5) * r + R4) * r + R3) * r + R2) * r + R1) * r + R0
    return fraction * of_bits(np.int32(power << np.int32(23)))


def exp(x: float) -> float:
    """e^x of a float32 (from e^-87 to e^88, nan as that) or float64."""
    return math.exp(x)


def tanh(x: float) -> float:
    """The hyperbolic tangent of a float32 or float64."""
    return math.tanh(x)


def sigmoid(x: float) -> float:
    """1 / (1 + e⁻ˣ) = ½ tanh(½ x) + ½, which does not overflow."""
    return 0.5 * math.tanh(0.5 * x) + 0.5


@overload(tanh, fastmath=MATH)
def _tanh(x):
    if x == types.float32:
        return lambda x: _tanh32(x)
    return lambda x: math.tanh(x)


@overload(sigmoid, fastmath=MATH)
def _sigmoid(x):
    if x == types.float32:
        return lambda x: HALF * _tanh32(HALF * x) + HALF
    return lambda x: 0.5 * math.tanh(0.5 * x) + 0.5


@overload(exp, fastmath=MATH)
def _exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)
