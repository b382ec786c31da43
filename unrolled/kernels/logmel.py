"""The log-mel spectrogram one frame at a time, compiled: a microsecond a frame of 400 samples. In torch: `unrolled/logmel.py`.

The transform of 2n real samples is that of n complex ones x_2i + i x_(2i+1), taken apart afterwards. Those are transformed in two
stages (Bailey 1990): n numbers lie as 16 rows; all columns are transformed at once and rotated; then the rectangle is turned
over, rows into columns, and these are transformed. Each stage is Stockham's (Cochran et al. 1967), four parts into one at a time:
it needs no reordering and, with a row as its innermost loop, reads and writes whole vectors throughout.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled, inner
from .lanes import LANES, even, exponent, fma, load, mantissa, odd, spread, store, total, turned

f32 = np.float32
ROWS = 16
FLOOR = f32(1e-6)  # as in unrolled/logmel.py
LN2 = f32(np.log(2))
ZERO, ONE, TWO, FOUR = f32(0), f32(1), f32(2), f32(4)
THIRD, FIFTH, SEVENTH, NINTH = f32(1 / 3), f32(1 / 5), f32(1 / 7), f32(1 / 9)
PLAN = 4  # numbers in front of a plan: n, window rounded up, bands, bands rounded up


def tables(hann: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `frame` reads: a plan, int64, and numbers, float32; of a window (M,) and triangles (n + 1, bands), n = 128, 256, ….

    plan      n, M rounded up to 16, bands, bands rounded up to 8; for each band its first bin and its number of vectors
    numbers   the window, even then odd places; factors of the first stage; rotations; factors of the second stage;
              factors that take the real transform apart; the bands' weights, vector after vector
    """
    n, bands = len(bank) - 1, bank.shape[1]
    window = np.zeros(-(-len(hann) // ROWS) * ROWS)
    window[: len(hann)] = hann / 2  # the half that taking apart needs
    below = np.arange(n) // (n // ROWS) * (np.arange(n) % (n // ROWS))  # row times column
    rotations, apart = np.exp(-2j * np.pi * below / n), np.exp(-1j * np.pi * np.arange(n // 2) / n)
    numbers = [window[::2], window[1::2], _factors(4), rotations.real, rotations.imag]
    parts = n // ROWS
    while parts >= 4:
        numbers.append(_factors(parts // 4))
        parts //= 4
    numbers += [apart.real, apart.imag]
    plan = [n, len(window), bands, -(-bands // LANES) * LANES]
    for triangle in bank.T:
        inside = np.flatnonzero(triangle)
        vectors = -(-len(inside) // LANES)
        weights = np.zeros(vectors * LANES)
        weights[: len(inside)] = triangle[inside]
        plan += [inside[0], vectors]
        numbers.append(weights)
    return np.array(plan, np.int64), np.concatenate(numbers).astype(np.float32)


def _factors(m: int) -> np.ndarray:
    """e^(-2πi jp/4m) for p = 0 … m - 1 and j = 1, 2, 3: (m, 6), real and imaginary parts in turn, flat."""
    angle = -2 * np.pi * np.arange(m)[:, None] * np.arange(1, 4) / (4 * m)
    return np.stack((np.cos(angle), np.sin(angle)), 2).ravel()


@compiled
def room(plan):
    """How many float32 of work space `frame` needs. Its vectors may read behind a row's end, where zeros lie."""
    return 4 * (plan[0] + LANES) + plan[0] + 2 * LANES + plan[3]


@compiled
def frame(plan, numbers, sound, work, features):
    """features[:bands] = the log-mel features of sound[:M]; `work` (room(plan)) holds zeros or what an earlier frame left.

    `sound` is as long as M rounded up, zeros at its end.
    """
    n, window, bands, wide = plan[0], plan[1], plan[2], plan[3]
    stride = n + LANES  # from real parts to imaginary ones
    x, y, power = work[: 2 * stride], work[2 * stride : 4 * stride], work[4 * stride :]
    half = window // 2
    for i in range(0, half, LANES):
        first, second = load(sound, 2 * i), load(sound, 2 * i + LANES)
        store(x, i, even(first, second) * load(numbers, i))
        store(x, stride + i, odd(first, second) * load(numbers, half + i))
    for i in range(half, n):
        x[i] = x[stride + i] = 0
    at = window
    row = n // ROWS
    four(x, y, n, row, numbers, at)
    four(y, x, n, 4 * row, numbers, at)  # by ones: the factors of p = 0
    at += 24
    turn_over(x, y, n, numbers, at)
    at += 2 * n
    x, y = y, x
    s = n // row
    while n // s >= 4:
        four(x, y, n, s, numbers, at)
        at += 6 * (n // (4 * s))
        x, y = y, x
        s *= 4
    if n // s == 2:
        two(x, y, n)
        x, y = y, x
    take_apart(x, power, n, numbers, at)
    at += n
    bank = power[n + 2 * LANES :]
    for b in range(bands):
        first, vectors = plan[PLAN + 2 * b], plan[PLAN + 2 * b + 1]
        sums = load(power, first) * load(numbers, at)
        for v in range(1, vectors):
            sums = fma(load(power, first + v * LANES), load(numbers, at + v * LANES), sums)
        at += vectors * LANES
        bank[b] = total(sums)
    for b in range(0, wide, LANES):
        store(bank, b, logarithm(load(bank, b) + spread(FLOOR)))
    for b in range(bands):
        features[b] = bank[b]


@inner
def four(x, y, n, s, factors, at):
    """One pass of Stockham's: n = 4 s m numbers, of which four parts of m rows of s become one."""
    m, stride = n // (4 * s), n + LANES
    for p in range(m):
        f = at + 6 * p
        r1, i1 = spread(factors[f]), spread(factors[f + 1])
        r2, i2 = spread(factors[f + 2]), spread(factors[f + 3])
        r3, i3 = spread(factors[f + 4]), spread(factors[f + 5])
        for q in range(s * p, s * p + s, LANES):
            ar, br, cr, dr = load(x, q), load(x, q + s * m), load(x, q + 2 * s * m), load(x, q + 3 * s * m)
            i = q + stride
            ai, bi, ci, di = load(x, i), load(x, i + s * m), load(x, i + 2 * s * m), load(x, i + 3 * s * m)
            sum_r, sum_i, gap_r, gap_i = ar + cr, ai + ci, ar - cr, ai - ci
            other_r, other_i, far_r, far_i = br + dr, bi + di, br - dr, bi - di
            o = q + 3 * s * p
            store(y, o, sum_r + other_r)
            store(y, o + stride, sum_i + other_i)
            u, v = gap_r + far_i, gap_i - far_r  # a - c - i (b - d)
            store(y, o + s, u * r1 - v * i1)
            store(y, o + s + stride, u * i1 + v * r1)
            u, v = sum_r - other_r, sum_i - other_i
            store(y, o + 2 * s, u * r2 - v * i2)
            store(y, o + 2 * s + stride, u * i2 + v * r2)
            u, v = gap_r - far_i, gap_i + far_r  # a - c + i (b - d)
            store(y, o + 3 * s, u * r3 - v * i3)
            store(y, o + 3 * s + stride, u * i3 + v * r3)


@inner
def two(x, y, n):
    """The last pass where two parts are left."""
    for part in range(0, 2 * (n + LANES), n + LANES):
        for q in range(part, part + n // 2, LANES):
            a, b = load(x, q), load(x, q + n // 2)
            store(y, q, a + b)
            store(y, q + n // 2, a - b)


@inner
def turn_over(x, y, n, rotations, at):
    """Rotate 16 rows of n₂, and turn them into n₂ rows of 16."""
    stride, row = n + LANES, n // ROWS
    for q in range(0, n, LANES):
        real, imaginary = load(x, q), load(x, stride + q)
        r, i = load(rotations, at + q), load(rotations, at + n + q)
        store(x, q, real * r - imaginary * i)
        store(x, stride + q, real * i + imaginary * r)
    for b in range(row):
        for k in range(ROWS):
            y[ROWS * b + k] = x[row * k + b]
            y[stride + ROWS * b + k] = x[stride + row * k + b]


@inner
def take_apart(x, power, n, factors, at):
    """power[:n + 1] = |X_k|² of the real transform, from that of its even and odd places in one: X = E + e^(-πik/n) O."""
    stride = n + LANES
    x[n], x[stride + n] = x[0], x[stride]
    for k in range(0, n // 2, LANES):
        ar, ai = load(x, k), load(x, stride + k)
        br, bi = turned(load(x, n - k - LANES + 1)), turned(load(x, stride + n - k - LANES + 1))
        c, s = load(factors, at + k), load(factors, at + n // 2 + k)
        even_r, even_i, odd_r, odd_i = ar + br, ai - bi, ai + bi, br - ar
        u, v = odd_r * c - odd_i * s, odd_r * s + odd_i * c
        real, imaginary = even_r + u, even_i + v
        store(power, k, real * real + imaginary * imaginary)
        real, imaginary = even_r - u, even_i - v
        store(power, n - k - LANES + 1, turned(real * real + imaginary * imaginary))
    middle, other = x[n // 2], x[stride + n // 2]
    power[n // 2] = FOUR * (middle * middle + other * other)


@inner
def logarithm(x):
    """ln of lanes of positive numbers: ln m 2^e = e ln 2 + 2 artanh((m - 1) / (m + 1)), whose series ends at 7e-10.

    nan where x is infinite or nan, whose bits would pass for a number.
    """
    m = mantissa(x)
    t = (m - spread(ONE)) / (m + spread(ONE))
    u = t * t
    series = fma(fma(fma(fma(spread(NINTH), u, spread(SEVENTH)), u, spread(FIFTH)), u, spread(THIRD)), u, spread(ONE))
    found = fma(exponent(x), spread(LN2), spread(TWO) * t * series)
    return fma(x, spread(ZERO), found)
