"""Lines of a word and its numbers, read ten times as fast as Python reads them.

A number of up to 2⁵³ times a power of ten up to 10²² is two exact float64 and one rounding (Clinger 1990), so the result is the
bits of np.float32(float(text)). Lines with any other number are left to Python.
"""

from __future__ import annotations

import numpy as np

from .jit import compiled, pasted
from .nearest import ALONE, processors
from .threads import in_shares

POWERS = np.array([10.0**i for i in range(23)])
BLANK, TAB, PLUS, MINUS, POINT, NINE, ZERO, SMALL_E, LARGE_E = map(ord, " \t+-.90eE")
MOST = 2**53


def read(text: bytes, ends: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Fill `rows` (n, D) from the n lines of `text` that end before `ends`.

    Returns where each word ends (n,): 0 for a line that is not a word and D plain numbers between single or several blanks.
    """
    after, numbers = np.zeros(len(ends), np.int64), np.frombuffer(text, np.uint8)
    shares = processors() if len(text) > ALONE else 1
    borders = np.linspace(0, len(ends), shares + 1).astype(int).tolist()
    in_shares(lambda i: _read(numbers, ends, borders[i], borders[i + 1], rows, after, POWERS), shares)
    return after


@compiled
def _read(text, ends, first, last, rows, after, powers):
    begin = ends[first - 1] + 1 if first > 0 else 0
    for i in range(first, last):
        end = ends[i]
        at = begin
        while at < end and text[at] != BLANK and text[at] != TAB:
            at += 1
        word = at
        for j in range(rows.shape[1]):
            at, rows[i, j] = _number(text, at, end, powers)
            if at < 0:
                break
        if at >= 0:
            while at < end and (text[at] == BLANK or text[at] == TAB or text[at] == 13):
                at += 1
            after[i] = word if at == end and word > begin else 0
        begin = end + 1


@compiled
def _number(text, at, end, powers):
    """The number after the blanks at `at`, and where it ends; -1 where Python is to look."""
    start = at
    while at < end and (text[at] == BLANK or text[at] == TAB):
        at += 1
    if not start < at < end:
        return -1, 0.0
    negative = text[at] == MINUS
    if negative or text[at] == PLUS:
        at += 1
    whole, digits, exponent, pointed = 0, 0, 0, False
    while at < end and (ZERO <= text[at] <= NINE or (text[at] == POINT and not pointed)):
        if text[at] == POINT:
            pointed = True
        else:
            whole = whole * 10 + (text[at] - ZERO)
            digits += 1
            exponent -= pointed
            if whole > MOST:
                return -1, 0.0
        at += 1
    if digits == 0:
        return -1, 0.0
    if at < end and (text[at] == SMALL_E or text[at] == LARGE_E):
        at, power = _exponent(text, at + 1, end)
        exponent += power
    if at < 0 or exponent < -22 or exponent > 22:
        return -1, 0.0
    size = whole / powers[-exponent] if exponent < 0 else whole * powers[exponent]
    return at, -size if negative else size


@pasted
def _exponent(text, at, end):
    negative = at < end and text[at] == MINUS
    if negative or (at < end and text[at] == PLUS):
        at += 1
    power, first = 0, at
    while at < end and ZERO <= text[at] <= NINE and power < 1000:
        power = power * 10 + (text[at] - ZERO)
        at += 1
    return (-1 if at == first else at), (-power if negative else power)
