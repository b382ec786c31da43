"""The next sample of a sound, drawn from a net's outputs by compiled code: a level, or 16 bits of a mixture of logistics."""

from __future__ import annotations

import math

import numpy as np

from .jit import MATH, compiled, inner
from .smooth import exp, of_bits
from .writing import draw

ZERO = np.float32(0)
STEPS = 2**15  # of a 16-bit sample on either side of 0


def _zeros(numbers):
    total = ZERO
    for j in range(numbers.size):
        total += numbers[j] * 0
    return total


def _mass(p, least):
    total = ZERO
    for j in range(p.size):
        total += p[j] if p[j] >= least else ZERO
    return total


zeros = compiled(_zeros, MATH | {"reassoc"})  # nan where a number is not finite
mass = compiled(_mass, MATH | {"reassoc"})  # of the numbers that are at least so large


@inner
def sample(levels, outputs, temperature, top_p, uniforms, p):
    """The next sample: a level where there are `levels`; nan where the outputs are no numbers. p (Q) to work in."""
    if zeros(outputs) != 0:
        return np.float32(np.nan)
    if levels:
        return level(outputs, temperature, top_p, uniforms[0], p)
    return of_mixture(outputs, temperature, top_p, uniforms[0], uniforms[1], p)


@inner
def softmax(logits, temperature, p):
    """p = e^((logit - the largest) / temperature), 1 and 0 at temperature 0."""
    largest = logits[0]
    for j in range(p.size):
        largest = max(largest, logits[j])
    sharpness = np.float32(1 / temperature if temperature > 0 else 0)
    for j in range(p.size):
        p[j] = exp((logits[j] - largest) * sharpness)
    if temperature == 0:
        for j in range(p.size):
            p[j] = np.float32(logits[j] == largest)


@inner
def keep_top(p, top_p):
    """Set to zero all but the likeliest that together have top_p of the sum.

    The least of them is found by halving what it can be, as positive numbers are ordered as their bits are.
    """
    wanted = mass(p, ZERO) * np.float32(top_p)
    low, high = np.int32(0), np.int32(0x3F800001)  # the numbers whose mass is enough, and is not
    while high - low > 1:
        middle = np.int32((low + high) // 2)
        if mass(p, of_bits(middle)) >= wanted:
            low = middle
        else:
            high = middle
    for j in range(p.size):
        p[j] = p[j] if p[j] >= of_bits(low) else ZERO


@inner
def level(logits, temperature, top_p, uniform, p):
    """A level drawn from the softmax."""
    softmax(logits, temperature, p)
    if top_p < 1:
        keep_top(p, top_p)
    return np.float32(draw(p, uniform))


@inner
def of_mixture(outputs, temperature, top_p, uniform, other, p):
    """A 16-bit sample drawn from a mixture of logistics; see logistics.sample."""
    M = outputs.size // 3
    softmax(outputs[:M], temperature, p[:M])
    component = draw(p[:M], uniform)
    mean, scale = outputs[M + component], math.exp(np.float64(outputs[2 * M + component]))
    place = 0.5 + (other - 0.5) * top_p
    spread = math.log(place) - math.log1p(-place) if place > 0 else -np.inf
    x = mean + scale * temperature * spread if temperature > 0 else np.float64(mean)
    return np.float32(min(max(np.rint(x * STEPS), -STEPS), STEPS - 1) / STEPS)


@compiled
def keep_top_of(p, top_p):
    """keep_top() for Python."""
    keep_top(p, top_p)
