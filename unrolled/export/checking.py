"""An exported graph beside the model it was made of: at several batch sizes and lengths, each row of its own length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import UserError
from ..runtime.opened import session
from .builder import Arrays, Builder, Input

BATCHES, STEPS = (1, 3), (1, 2, 7, 500)
CLOSE = 1e-5  # of values up to 1, and that part of greater ones
FEW = 6  # of a free size that is neither rows nor steps


def check(builder: Builder, data: bytes, wanted: Callable[[Arrays], Arrays], name: str) -> float:
    """The greatest difference between the graph's outputs and the model's; a UserError where one is above CLOSE."""
    opened, worst, random = session(data), 0.0, np.random.default_rng(1)
    for B in BATCHES:
        for T in STEPS:
            given = inputs(builder, B, T, random)
            found = dict(zip([each for each, _, _ in builder.outputs], opened.run(None, given), strict=True))
            for output, value in wanted(given).items():
                away = difference(found[output], value)
                if not away <= CLOSE:
                    raise UserError(
                        f"the graph's `{output}` is {away:.2g} away from the model's at {B} rows of up to {T} steps; "
                        f"{CLOSE:g} is allowed, so nothing is written", name, "please report it with the run's config.json",
                    )  # fmt: skip
                worst = max(worst, away)
    return worst


def inputs(builder: Builder, B: int, T: int, random: np.random.Generator) -> Arrays:
    """What a graph could be given: the first row has all T steps, the others fewer."""
    sizes = {"batch": B, "time": T}

    def made(each: Input) -> np.ndarray:
        shape = tuple(sizes.get(size, FEW) if isinstance(size, str) else size for size in each.shape)
        if each.most is None:
            return random.normal(each.middle, each.spread, shape).astype(np.float32)
        if each.most:
            return random.integers(0, each.most, shape, each.dtype)
        return np.append(T, random.integers(1, T + 1, B - 1))

    return {each.name: made(each) for each in builder.inputs}


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The greatest difference, relative to values above 1; equal infinities do not differ."""
    if found.shape != wanted.shape:
        return np.inf
    same = found == wanted
    with np.errstate(invalid="ignore"):
        away = np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))
    return float(np.where(same, 0.0, away).max(initial=0.0))
