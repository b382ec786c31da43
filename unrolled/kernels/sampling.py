"""The next sample of a sound, drawn from a net's outputs by compiled code: a level, or 16 bits of a mixture of logistics."""

from __future__ import annotations

import math

import numpy as np

from .jit import inner
from .smooth import exp
from .writing import draw, keep_likeliest

ZERO = np.float32(0)
STEPS = 2**15  # of a 16-bit sample on either side of 0


@inner
def sample(levels, outputs, temperature, top_p, uniforms, p, heap):
    """The next sample: a level where there are `levels`; nan where the outputs are no numbers. p, heap (Q) to work in."""
    if levels:
        return level(outputs, temperature, top_p, uniforms[0], p, heap)
    return of_mixture(outputs, temperature, top_p, uniforms[0], uniforms[1], p)


@inner
def softmax(logits, temperature, p):
    """p = e^((logit - the largest) / temperature), 1 and 0 at temperature 0; returns their sum."""
    largest = logits[0]
    for j in range(p.size):
        largest = max(largest, logits[j])
    total = ZERO
    for j in range(p.size):
        over = logits[j] - largest
        p[j] = exp(over / temperature) if temperature > 0 else np.float32(over == 0)
        total += p[j]
    return total


@inner
def level(logits, temperature, top_p, uniform, p, heap):
    """A level drawn from the softmax."""
    total = softmax(logits, temperature, p)
    if top_p < 1:
        keep_likeliest(p, total, 0, top_p, heap)
    found = draw(p, uniform)
    return np.float32(found if found >= 0 else np.nan)


@inner
def of_mixture(outputs, temperature, top_p, uniform, other, p):
    """A 16-bit sample drawn from a mixture of logistics; see logistics.sample."""
    M = outputs.size // 3
    softmax(outputs[:M], temperature, p[:M])
    component = draw(p[:M], uniform)
    if component < 0:
        return np.float32(np.nan)
    mean, scale = outputs[M + component], math.exp(np.float64(outputs[2 * M + component]))
    place = 0.5 + (other - 0.5) * top_p
    spread = math.log(place) - math.log1p(-place) if place > 0 else -np.inf
    x = mean + scale * temperature * spread if temperature > 0 else np.float64(mean)
    return np.float32(min(max(np.rint(x * STEPS), -STEPS), STEPS - 1) / STEPS)
