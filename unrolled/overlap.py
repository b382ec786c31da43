"""How like their references translations are: BLEU, chrF and TER as sacrebleu counts them, and how sure BLEU is.

BLEU (Papineni et al. 2002) is made of sums over sentences, so that a bootstrap (Koehn 2004) draws rows of numbers, never texts:

    BLEU = BP · exp(1/4 Σ_n log(correct_n / total_n)), n = 1 … 4     BP = min(1, exp(1 - reference words / translation's words))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .errors import UserError

ORDERS = 4  # longest n-grams of BLEU
DRAWS = 1000


class Scores(NamedTuple):
    """Of a whole set of sentences; bleu and chrf from 0 to 100, more is better; ter from 0, less is better."""

    bleu: float
    chrf: float
    ter: float
    brevity_penalty: float
    length_ratio: float  # words of the translations to a word of the references

    @property
    def signatures(self) -> dict[str, str]:
        """What sacrebleu calls each of bleu, chrf and ter, to be printed beside the number."""
        metrics = _metrics()
        for metric in metrics.values():
            metric.corpus_score(["a"], [["a"]])  # only then does it know how many references a sentence has
        return {name: str(metric.get_signature()) for name, metric in metrics.items()}


class Comparison(NamedTuple):
    """BLEU of a second system less that of a first."""

    difference: float
    low: float  # of its 95 % interval
    high: float
    p: float  # how often two equally good systems lie as far apart


def scores(hypotheses: Sequence[str], references: Sequence[str]) -> Scores:
    """The overlap of translations with one reference each: cased, words cut as mteval-v13a does (TER: as tercom, not cased).

    A UserError where there is no sentence, or not one reference for each.
    """
    _check(hypotheses, references)
    bleu, chrf, ter = (metric.corpus_score(hypotheses, [references]) for metric in _metrics().values())
    return Scores(bleu.score, chrf.score, ter.score, bleu.bp, bleu.ratio)


def each(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """The chrF of every sentence alone (N,): to put them in order."""
    _check(hypotheses, references)
    score = _metrics()["chrf"].sentence_score
    return np.array([score(text, [reference]).score for text, reference in zip(hypotheses, references, strict=True)])


def exact(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """The share of translations that are their references, letter for letter."""
    _check(hypotheses, references)
    return sum(text == reference.strip() for text, reference in zip(hypotheses, references, strict=True)) / len(references)


def by_length(lengths: np.ndarray, hypotheses: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """BLEU of sentences whose sources have about the same length (N,) in symbols, in fifths."""
    rows = []
    for some in np.array_split(np.argsort(lengths, kind="stable"), min(5, len(lengths))):
        found = scores([hypotheses[i] for i in some], [references[i] for i in some])
        between = f"{lengths[some].min()}–{lengths[some].max()}"
        rows.append({"source_symbols": between, "sentences": len(some), "bleu": found.bleu, "length_ratio": found.length_ratio})
    return rows


def examples(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """The three best sentences by chrF, three in the middle, the three worst."""
    chrf = each(hypotheses, references)
    order, some = np.argsort(-chrf, kind="stable"), min(3, -(-len(chrf) // 3))
    middle = (len(order) - some) // 2
    chosen = {"best": order[:some], "middle": order[middle : middle + some], "worst": order[-some:]}
    return [
        {
            "which": f"{which} {number}",
            "chrf": float(chrf[i]),
            "source": sources[i],
            "written": hypotheses[i],
            "reference": references[i],
        }
        for which, rows in chosen.items()
        for number, i in enumerate(rows, 1)
    ]


def interval(hypotheses: Sequence[str], references: Sequence[str], seed: int) -> tuple[float, float]:
    """The 95 % interval of BLEU, by the bootstrap over sentences."""
    _check(hypotheses, references)
    return middle(bleu(draws(statistics(hypotheses, references), seed)))


def compare(first: Sequence[str], second: Sequence[str], references: Sequence[str], seed: int) -> Comparison:
    """The paired bootstrap: both systems are measured on the same drawn sentences.

    p is the share of draws whose difference strays from the draws' mean by as much as the one measured, counted from 1 in
    DRAWS + 1 (Riezler and Maxwell 2005), either way round. Two equal systems have p = 1.
    """
    _check(first, references)
    _check(second, references)
    rows = np.concatenate((statistics(first, references), statistics(second, references)), 1)

    def difference(sums: np.ndarray) -> np.ndarray:
        one, other = np.split(sums, 2, axis=-1)
        return bleu(other) - bleu(one)

    measured, drawn = float(difference(rows.sum(0))), difference(draws(rows, seed))
    far = np.abs(drawn - drawn.mean()) >= abs(measured)
    return Comparison(measured, *middle(drawn), (int(far.sum()) + 1) / (DRAWS + 1))


# --- BLEU from sums


def statistics(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """What BLEU sums over sentences (N, 10): words of the translation and of the reference, then the n-grams that are
    right and all n-grams, n = 1 … 4."""
    from sacrebleu.metrics import BLEU

    score = BLEU(effective_order=True).sentence_score  # what it counts is the same either way; else it warns at each sentence
    found = np.empty((len(hypotheses), 2 + 2 * ORDERS))
    for row, hypothesis, reference in zip(found, hypotheses, references, strict=True):
        one = score(hypothesis, [reference])
        row[:] = (one.sys_len, one.ref_len, *one.counts, *one.totals)
    return found


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU of sums (…, 10) as `statistics` has them.

    The k-th order of which nothing is right counts as 1 / 2ᵏ of an n-gram; sacrebleu calls that smoothing exp.
    """
    words, reference = sums[..., 0], sums[..., 1]
    right, total = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    halved = 0.5 ** np.cumsum(right == 0, -1)
    precision = np.where(right > 0, right, halved) / np.maximum(total, 1)
    penalty = np.exp(np.minimum(0, 1 - reference / np.maximum(words, 1)))
    measured = right.any(-1) & total.all(-1)  # without any n-gram of an order it is 0
    return np.where(measured, 100 * penalty * np.exp(np.log(precision).mean(-1)), 0.0)


def draws(rows: np.ndarray, seed: int) -> np.ndarray:
    """Sums of N rows drawn with replacement, DRAWS times: (DRAWS, M)."""
    rng, count = np.random.default_rng(seed), len(rows)
    return np.stack([np.bincount(rng.integers(count, size=count), minlength=count) @ rows for _ in range(DRAWS)])


def middle(drawn: np.ndarray) -> tuple[float, float]:
    """Where the middle 95 % of the draws lie."""
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


# --- sacrebleu, imported here since that takes a tenth of a second


def _metrics() -> dict[str, Any]:
    """bleu, chrf and ter with sacrebleu's own settings; `force` is silent where texts look as if they were cut into words."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    return {"bleu": BLEU(force=True), "chrf": CHRF(), "ter": TER()}


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if not len(references):
        raise UserError("there is no sentence to measure", fix="give it translations and their references")
    if len(hypotheses) != len(references):
        raise UserError(f"there are {len(hypotheses):,} translations and {len(references):,} references", fix="give one for each")
