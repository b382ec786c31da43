"""GloVe: Σ_ij f(X_ij) (θ_iᵀ e_j + b_i + b'_j - ln X_ij)² made small by AdaGrad (Pennington et al. 2014; Duchi et al. 2011).

A word's four rows lie side by side, parameters (V, 4, size) float32:
    WORD     θ_i, b_i, 1, 0 …       so that one product of a word's row and another's context row
    CONTEXT  e_i, 1, b'_i, 0 …      is θ_iᵀ e_j + b_i + b'_j, and biases are trained as all else is
and behind each its SCALE s = 1 / √G, where G = 1 + Σ (rate · gradient)² is AdaGrad's sum, as in the authors' program. Where
a 1 or 0 stands for good, s is 0. Keeping s in place of G saves the root and the division: with u = (s · rate · gradient)²

    1 / √(G + (rate · gradient)²) = s / √(1 + u) = s (1 - u/2 + 3u²/8 - …)

and u is small: steps are held below LIMIT, where what is left out is 0.4 % of s; at a usual step of 0.01 it is 3e-13.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .jit import MATH, compiled
from .threads import in_shares

WORD, WORD_SCALE, CONTEXT, CONTEXT_SCALE = range(4)
PADDING = 16  # rows are filled up to a multiple of so many numbers: 64 bytes, a cache line and the widest vector

f32, i64 = np.float32, np.int64
LIMIT = f32(0.5)  # longest step of one number; at the usual rates none comes near it, at absurd ones the loss still shows it
HALF, THREE_EIGHTHS = f32(0.5), f32(0.375)


def start(vocabulary: int, dimension: int, seed: int) -> np.ndarray:
    """Parameters before training: vectors and biases uniform in ±0.5 / (dimension + 1), as in the authors' program."""
    size = -(-(dimension + 2) // PADDING) * PADDING
    numbers = np.zeros(vocabulary * 4 * size + PADDING, np.float32)
    first = -numbers.ctypes.data // 4 % PADDING  # rows begin with a cache line
    parameters = numbers[first : first + vocabulary * 4 * size].reshape(vocabulary, 4, size)
    random = np.random.default_rng(seed)
    for row, bias, one in ((WORD, dimension, dimension + 1), (CONTEXT, dimension + 1, dimension)):
        learned = [*range(dimension), bias]
        drawn = random.random((vocabulary, dimension + 1), dtype=np.float32)
        parameters[:, row, learned] = (drawn - f32(0.5)) / f32(dimension + 1)
        parameters[:, row, one] = 1
        parameters[:, row + 1, learned] = 1
    return parameters


def vectors(parameters: np.ndarray, dimension: int) -> np.ndarray:
    """(V, dimension): the mean of θ_i and e_i, which play the same part (the lecture's e_final)."""
    return (parameters[:, WORD, :dimension] + parameters[:, CONTEXT, :dimension]) / 2


def biases(parameters: np.ndarray, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """b and b', (V,) each."""
    return parameters[:, WORD, dimension], parameters[:, CONTEXT, dimension + 1]


def weight(X: np.ndarray, x_max: float, alpha: float) -> np.ndarray:
    """f(X) = min(1, (X / x_max)^alpha): rare pairs say little, and none says all."""
    return np.minimum(f32(1), (X / f32(x_max)) ** f32(alpha))
