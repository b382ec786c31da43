"""The gradient of t-SNE, exactly: every point pushes every other, and is pulled by those it has an affinity to.

    dC/dy_i = 4 Σ_j (p_ij - q_ij) w_ij (y_i - y_j),   w_ij = 1 / (1 + |y_i - y_j|²),   q_ij = w_ij / Σ_kl w_kl
    (van der Maaten and Hinton, JMLR 9, 2008, equation 5)

Libraries approximate the sum over all pairs, by a tree or on a grid, which pays for a million points. Up to tens of thousands
the plain sum takes less time, since a processor does sixteen pairs at once, and it is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import MATH, compiled
from .nearest import processors
from .threads import in_shares

EXACT = 50_000  # points up to which this is faster than a grid on two cores
ALONE = 4000  # points below which other threads cost more than they bring


def gradient(embedding: np.ndarray, P: Any, should_eval_error: bool = False, **_: Any) -> tuple[float, np.ndarray]:
    """What openTSNE asks of a `negative_gradient_method`: the divergence of Q from P (nan if not asked for), a gradient (N, 2).

    P is a sparse matrix by rows, (N, N). openTSNE leaves the 4 to the learning rate. It names other settings; none matters here.
    """
    points = np.asarray(embedding)
    x, y = points[:, 0].astype(np.float32), points[:, 1].astype(np.float32)
    pushes, pulls = np.empty((3, len(x)), np.float32), np.empty((3, len(x)))
    shares = processors() if len(x) > ALONE else 1
    borders = np.linspace(0, len(x), shares + 1).astype(int).tolist()

    def share(i: int) -> None:
        push(x, y, borders[i], borders[i + 1], pushes)
        pull(P.indptr, P.indices, P.data, x, y, borders[i], borders[i + 1], should_eval_error, pulls)

    in_shares(share, shares)
    total = float(pushes[2].sum(dtype=float))
    divergence = float(pulls[2].sum() + P.sum() * np.log(total)) if should_eval_error else np.nan
    return divergence, np.ascontiguousarray((pulls[:2] - pushes[:2] / total).T)


def _push(x, y, begin, end, out):
    """Σ_j w² (y_i - y_j) and Σ_j w, out (3, N), of rows begin to end. Sums in any order: else one pair would wait for another."""
    one = np.float32(1)
    for i in range(begin, end):
        push_x = push_y = weight = np.float32(0)
        for j in range(len(x)):
            dx, dy = x[i] - x[j], y[i] - y[j]
            w = one / (one + dx * dx + dy * dy)
            weight += w
            w = w * w
            push_x += w * dx
            push_y += w * dy
        out[0, i] = push_x
        out[1, i] = push_y
        out[2, i] = weight - one  # its own


push = compiled(_push, MATH | {"reassoc"})


@compiled
def pull(indptr, indices, p, x, y, begin, end, told, out):
    """Σ_j p w (y_i - y_j), and Σ_j p ln(p / w) if told, out (3, N)."""
    for i in range(begin, end):
        pull_x = pull_y = cost = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            dx, dy = x[i] - x[indices[e]], y[i] - y[indices[e]]
            w = 1 / (1 + dx * dx + dy * dy)
            pull_x += p[e] * w * dx
            pull_y += p[e] * w * dy
            if told and p[e] > 0:
                cost += p[e] * np.log(p[e] / w)
        out[0, i] = pull_x
        out[1, i] = pull_y
        out[2, i] = cost
