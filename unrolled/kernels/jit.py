"""How the loops are compiled: by Numba at their first use, without the GIL, kept on disk between runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numba

# Not `fastmath=True`: that would let nan pass for a number, and a net that has diverged must say so.
MATH = {"contract", "nsz", "arcp"}


def compiled(function: Callable, math: set[str] = MATH) -> Callable:
    """Compile at first use; `math` is what LLVM may do with sums and products.

    A cached result is taken only if none of this folder's files has changed since.
    (Numba itself looks at the file of the function alone, not at those of the functions it calls.)
    """
    return _stamped(numba.njit(function, nogil=True, fastmath=math, error_model="numpy", cache=True))


def inner(function: Callable) -> Callable:
    """compiled() for what compiled code alone calls: without a way in from Python, which takes a tenth of a second to compile."""
    ways_in = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _stamped(numba.njit(function, nogil=True, fastmath=MATH, error_model="numpy", cache=True, **ways_in))


def _stamped(dispatcher: Callable) -> Callable:
    dispatcher._cache._cache_file._source_stamp = STAMP
    return dispatcher


def pasted(function: Callable) -> Callable:
    """For small functions: put into those that call them before these are compiled, which takes less time than a call would."""
    return numba.njit(function, inline="always", error_model="numpy")


STAMP = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
