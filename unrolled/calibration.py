"""How sure a classifier should say it is: one factor on its logits, fitted on held-out examples (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np

LOWEST, HIGHEST = 0.05, 20.0
LOWEST_LOGIT = -1e6  # below the row's highest; what is masked by -inf becomes this


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The sharpness s in LOWEST … HIGHEST by which logits (N, K) are multiplied so that the labels (N,) surprise least.

    s is one over the temperature of Guo et al. The sum of nats gets s - ln s added, which is least at 1 and weighs as much
    as about one example: a handful that are all right does not send s to infinity, thousands hardly feel it, and none at
    all give 1, as do logits that are no numbers. The sum is convex in s, so its slope has one root: Newton's steps find it,
    and bisection where they would leave what still holds it.
    """
    z = np.asarray(logits, np.float64)
    z = np.maximum(z - z.max(1, keepdims=True), LOWEST_LOGIT)  # (N, K)
    true = z[np.arange(len(z)), labels].sum()
    if not np.isfinite(true):
        return 1.0
    low, high, s = LOWEST, HIGHEST, 1.0
    for _ in range(100):
        slope, curve = _slope(z, true, s)
        low, high = (s, high) if slope < 0 else (low, s)
        after = s - slope / curve
        if not low <= after <= high:
            after = (low + high) / 2
        if abs(after - s) < 1e-9:
            break
        s = after
    return float(s)


def _slope(z: np.ndarray, true: float, s: float) -> tuple[float, float]:
    """d/ds and d²/ds² of Σ (ln Σ exp(s z) - s z_true) + s - ln s: means and variances of z under the probabilities."""
    weights = np.exp(s * z)
    p = weights / weights.sum(1, keepdims=True)
    means = (p * z).sum(1)
    variances = (p * (z - means[:, None]) ** 2).sum(1)
    return means.sum() - true + 1 - 1 / s, variances.sum() + 1 / s**2
