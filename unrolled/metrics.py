"""Measures, each a plain function of counts and arrays."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .errors import UserError

Z = 1.959963984540054  # of a 95 % interval
BINS = 15  # of the expected calibration error, as Guo et al. (2017) have it
DRAWS, TOGETHER = 1000, 500  # of the bootstrap; examples weighted together
LEAST = float(np.finfo(np.float32).tiny)  # a probability of 0 is taken for this one: 87 nats, not infinitely many


def language(nats: float, symbols: int, characters: int) -> dict[str, float]:
    """A language model's measures from the total surprise of a text, in nats.

    nats_per_symbol and perplexity are of the model's own symbols (characters, words, pieces); bits_per_character
    divides by Unicode characters whatever the symbols are, so that models over different symbols compare.
    """
    per_symbol = nats / symbols
    return {
        "nats_per_symbol": per_symbol,
        "bits_per_character": nats / math.log(2) / characters,
        "perplexity": math.exp(min(per_symbol, 700.0)),
        "symbols": symbols,
        "characters": characters,
    }


STRETCH, FEWEST = 500, 10  # symbols that a bootstrap draws together; stretches that it needs


def mean_interval(values: np.ndarray, size: int = STRETCH) -> tuple[float, float] | None:
    """The 95 % interval of the mean of values (N,) of a text, which are alike where they are near one another: by the bootstrap
    over stretches of `size` (Künsch 1989); None where these are fewer than FEWEST."""
    number = len(values) // size
    if number < FEWEST:
        return None
    means = values[: number * size].reshape(number, size).mean(1)
    drawn = means[np.random.default_rng(1).integers(number, size=(DRAWS, number))].mean(1)
    return tuple(np.quantile(drawn, (0.025, 0.975)).tolist())


# --- classification


def classification(probabilities: np.ndarray, labels: np.ndarray, ordered: bool) -> dict[str, float]:
    """A classifier's measures from its probabilities (N, K) and the true labels (N,), numbers below K.

    macro_f1 is the mean over the labels that occur or are answered. expected_calibration_error is how far the answer's
    probability lies from the share of right answers, in BINS bins of that probability (Guo et al. 2017, equation 3).
    Of ordered labels also how many places an answer is off, and Cohen's kappa with quadratic weights (Cohen 1968), 0 where
    all labels and answers are one. UserError if N is 0.
    """
    totals = _totals(probabilities, labels, ordered, lambda count: np.ones((1, count)))
    found = {name: float(value[0]) for name, value in _measures(totals, ordered).items()}
    return found | {"examples": len(labels)}


def answers(probabilities: np.ndarray, ordered: bool = False) -> np.ndarray:
    """The label that is answered (N,): the likeliest, the first among equals. Of ordered labels the median, the first label
    with half the probability up to it: it lies the fewest places off on average."""
    probabilities = np.asarray(probabilities, float)
    if not ordered:
        return probabilities.argmax(1)
    return np.minimum((probabilities.cumsum(1) < 0.5).sum(1), probabilities.shape[1] - 1)


def intervals(probabilities: np.ndarray, labels: np.ndarray, ordered: bool) -> dict[str, tuple[float, float]]:
    """95 % intervals of `classification`'s measures: Wilson's for accuracy, by the bootstrap for the others.

    An example's weight in each draw is from Poisson(1) (Hanley and MacGibbon 2006): as if N were drawn with replacement,
    but for N itself varying a little, and nothing has to be kept. A calibration error is made of true gaps and of chance's,
    which also a faultless net has; its interval begins at what is left, since |a + b| <= |a| + |b|, when as much is taken
    off as 95 % of the draws' gaps differ from those measured: at 0 where chance may have made them all.
    """
    drawn = _drawn(probabilities, labels, ordered)
    found = {name: tuple(np.quantile(values, (0.025, 0.975)).tolist()) for name, values in _measures(drawn, ordered).items()}
    gaps = _gaps(_totals(probabilities, labels, ordered, lambda count: np.ones((1, count))))
    chance = np.quantile(np.abs(_gaps(drawn) - gaps).sum(1), 0.95)
    found["expected_calibration_error"] = (
        max(0.0, float(np.abs(gaps).sum() - chance)),
        found["expected_calibration_error"][1],
    )
    right = int((answers(probabilities, ordered) == labels).sum())
    return found | {"accuracy": wilson(right, len(labels))}


def label_intervals(probabilities: np.ndarray, labels: np.ndarray, ordered: bool) -> list[tuple[float | None, float | None]]:
    """95 % intervals of each label's F1, by the same bootstrap; None for a label that no example has."""
    right, truth, said = np.split(_drawn(probabilities, labels, ordered)[:, 4 + BINS :], 3, axis=1)  # (D, K)
    found: list[tuple[float | None, float | None]] = []
    for label in range(truth.shape[1]):
        there = truth[:, label] > 0  # a draw without the label says nothing of it
        f1 = 2 * right[there, label] / (truth + said)[there, label]
        found.append(tuple(np.quantile(f1, (0.025, 0.975)).tolist()) if len(f1) else (None, None))
    return found


def _drawn(probabilities: np.ndarray, labels: np.ndarray, ordered: bool) -> np.ndarray:
    """The sums of DRAWS draws (D, M), those without any example left out."""
    rng, table = np.random.default_rng(1), _poisson()
    drawn = _totals(
        probabilities, labels, ordered, lambda count: table[rng.integers(len(table), size=(DRAWS, count), dtype=np.uint16)]
    )
    return drawn[drawn[:, 0] > 0]


def _poisson() -> np.ndarray:
    """2¹⁶ numbers, each as often as Poisson(1) has it: to look draws up in takes a seventh of the time of making them."""
    reached = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(9)])
    return np.searchsorted(reached, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(float)


def _totals(probabilities: np.ndarray, labels: np.ndarray, ordered: bool, weights: Callable[[int], np.ndarray]) -> np.ndarray:
    """Sums of the examples' columns (D, M) under D weightings; weights(n) gives those (D, n) of the next n examples."""
    if not len(labels):
        raise UserError("there is no example to measure", fix="give it rows that have a label")
    parts = (slice(at, at + TOGETHER) for at in range(0, len(labels), TOGETHER))
    columns = (_columns(np.asarray(probabilities[part], float), np.asarray(labels[part]), ordered) for part in parts)
    return sum(weights(len(rows)) @ rows for rows in columns)


def _columns(probabilities: np.ndarray, labels: np.ndarray, ordered: bool) -> np.ndarray:
    """What all measures are made of when summed over examples: one row each (n, 4 + BINS + 3 K)."""
    each, kinds = np.arange(len(labels)), np.eye(probabilities.shape[1])
    answer = answers(probabilities, ordered)
    confidence = probabilities[each, answer]
    bins = np.searchsorted(np.arange(1, BINS) / BINS, confidence)  # bin b: b / BINS < confidence <= (b + 1) / BINS
    gaps = np.eye(BINS)[bins] * ((answer == labels) - confidence)[:, None]
    nats, distance = -np.log(np.maximum(probabilities[each, labels], LEAST)), np.abs(answer - labels)
    truth, said = kinds[labels], kinds[answer]
    singles = np.stack((np.ones(len(labels)), nats, distance, distance**2), 1)
    return np.concatenate((singles, gaps, truth * said, truth, said), 1)


def _measures(totals: np.ndarray, ordered: bool) -> dict[str, np.ndarray]:
    """The measures (D,) of D rows of sums."""
    count, nats, distance, square = totals[:, :4].T
    right, truth, said = np.split(totals[:, 4 + BINS :], 3, axis=1)  # (D, K)
    occurs = truth + said
    found = {
        "accuracy": right.sum(1) / count,
        "macro_f1": (2 * right / np.maximum(occurs, 1)).sum(1) / (occurs > 0).sum(1),
        "nats_per_example": nats / count,
        "expected_calibration_error": np.abs(_gaps(totals)).sum(1),
    }
    if ordered:
        places = np.arange(truth.shape[1])
        by_chance = (truth @ (places[:, None] - places) ** 2 * said).sum(1) / count
        found["mean_absolute_error"] = distance / count
        found["quadratic_weighted_kappa"] = np.where(by_chance > 0, 1 - square / np.where(by_chance > 0, by_chance, 1), 0.0)
    return found


def _gaps(totals: np.ndarray) -> np.ndarray:
    """How far right answers fall short of what was said of them, in each bin (D, BINS), as shares of all examples."""
    return totals[:, 4 : 4 + BINS] / totals[:, :1]


def confusion(labels: np.ndarray, answers: np.ndarray, kinds: int) -> np.ndarray:
    """How often each true label (rows) was answered by each label (columns): counts (K, K)."""
    cells = np.asarray(labels, np.int64) * kinds + np.asarray(answers, np.int64)
    return np.bincount(cells, minlength=kinds * kinds).reshape(kinds, kinds)


def per_class(labels: np.ndarray, answers: np.ndarray, kinds: int) -> list[dict[str, float | None]]:
    """The figures of each label."""
    counts = confusion(labels, answers, kinds)
    sums = (counts.diagonal().tolist(), counts.sum(0).tolist(), counts.sum(1).tolist())
    return [figures(*of_label) for of_label in zip(*sums, strict=True)]


def figures(right: int, said: int, there: int) -> dict[str, float | None]:
    """Precision, recall and F1 of one label or kind; None where there is nothing that they could be shares of."""
    return {
        "precision": right / said if said else None,
        "recall": right / there if there else None,
        "f1": 2 * right / (said + there) if there else None,
    }


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927)."""
    share, weight = successes / total, Z * Z / total
    middle = (share + weight / 2) / (1 + weight)
    reach = Z * math.sqrt(share * (1 - share) / total + weight / total / 4) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def clopper_pearson(successes: float, total: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper and Pearson 1934): shares under which as many, or as few, have 2.5 %.
    Of successes between two whole numbers it is the wider one, from the lower end of the fewer to the upper end of the more."""
    fewer, more = math.floor(successes), math.ceil(successes)
    counts = np.arange(total + 1)
    ways = _log_factorial(total)[-1] - _log_factorial(total) - _log_factorial(total)[::-1]

    def up_to(most: int, share: float) -> float:
        logs = ways + counts * math.log(share) + (total - counts) * math.log1p(-share)
        return float(np.exp(logs[: most + 1]).sum())

    low = 0.0 if fewer == 0 else _root(lambda share: 0.975 - up_to(fewer - 1, share), 0.0, 1.0)
    high = 1.0 if more == total else _root(lambda share: 0.025 - up_to(more, share), 0.0, 1.0)
    return low, high


def poisson(events: int) -> tuple[float, float]:
    """The exact 95 % interval of the number to expect where `events` were counted (Garwood 1936). Of none the upper end has
    5 %, not 2.5, since there is no lower: 3.0, the rule of three."""
    counts = np.arange(events + 1)
    factorials = _log_factorial(events)

    def up_to(most: int, expected: float) -> float:
        return float(np.exp(counts[: most + 1] * math.log(expected) - expected - factorials[: most + 1]).sum())

    if events == 0:
        return 0.0, -math.log(0.05)
    most = events + 10 * math.sqrt(events) + 10
    low = _root(lambda expected: 0.975 - up_to(events - 1, expected), 0.0, most)
    return low, _root(lambda expected: 0.025 - up_to(events, expected), 0.0, most)


def _log_factorial(most: int) -> np.ndarray:
    """log n! of 0 … most."""
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, most + 1)))))


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is 0, by halving."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
