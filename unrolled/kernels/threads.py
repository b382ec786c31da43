"""Shares of work on the threads that torch already has.

A second pool beside torch's would fight it: OpenMP threads go on spinning after their last piece of work, on the very cores
that are wanted. So shares run inside torch's own OpenMP runtime where it can be found, else on Python threads.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

FORKED: list[bool] = []
FOUND: list[Callable[..., None]] = []  # openmp()'s answer
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: FORKED.append(True))
WORK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_shares(work: Callable[[int], None], shares: int) -> None:
    """Call work(0), …, work(shares - 1) side by side; work should spend its time in code that gives the GIL away."""
    if shares == 1 or FORKED:  # a forked process has none of its parent's threads, and OpenMP waits for them for ever
        for i in range(shares):
            work(i)
        return
    errors: list[BaseException] = []
    todo = list(range(shares))

    def one(_: int | None = None) -> None:
        while todo and not errors:
            try:
                work(todo.pop())
            except IndexError:  # another thread took the last
                return
            except BaseException as error:  # may not pass through OpenMP's frames
                errors.append(error)

    parallel = openmp()
    if parallel is not None:
        parallel(WORK(one), None, min(shares, most()), 0)
    else:
        list(pool().map(one, todo[:]))
    if errors:
        raise errors[0]


def openmp() -> Callable[..., None] | None:
    """GOMP_parallel of the OpenMP runtime in this process, or None: torch may bring it later."""
    if not FOUND:
        try:
            parallel = ctypes.CDLL(None).GOMP_parallel
        except (OSError, AttributeError, TypeError):  # TypeError: Windows
            return None
        parallel.argtypes, parallel.restype = [WORK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
        FOUND.append(parallel)
    return FOUND[0]


def most() -> int:
    """How many threads that runtime takes where none are asked for; GOMP_parallel starts as many as it is told."""
    return int(ctypes.CDLL(None).omp_get_max_threads())


@cache
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="unrolled")
