"""Measures against their closed forms, and those of a classification against scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as theirs

from unrolled import UserError, metrics

few = settings(max_examples=60, deadline=None)


@given(sides=st.integers(1, 1000), symbols=st.integers(1, 10**9))
@settings(max_examples=50, deadline=None)
def test_a_die_of_n_sides_has_log_n_bits_and_perplexity_n(sides, symbols):
    found = metrics.language(symbols * math.log(sides), symbols, symbols)
    assert found["nats_per_symbol"] == pytest.approx(math.log(sides))
    assert found["bits_per_character"] == pytest.approx(math.log2(sides))
    assert found["perplexity"] == pytest.approx(sides)
    assert (found["symbols"], found["characters"]) == (symbols, symbols)


def test_bits_are_a_character_and_the_rest_a_symbol():
    words = metrics.language(nats=40 * math.log(2), symbols=5, characters=20)  # 40 bits in 5 words of 4 characters
    assert words["bits_per_character"] == pytest.approx(2)
    assert words["nats_per_symbol"] == pytest.approx(8 * math.log(2)) and words["perplexity"] == pytest.approx(256)
    letters = metrics.language(nats=40 * math.log(2), symbols=20, characters=20)
    assert letters["bits_per_character"] == words["bits_per_character"]  # so that models over different symbols compare


def test_the_interval_of_a_mean_heeds_that_neighbours_are_alike():
    rng = np.random.default_rng(1)
    means = rng.normal(2.0, 1.0, 400)  # one of each stretch: all that is known of it
    low, high = metrics.mean_interval(np.repeat(means, 50) + rng.normal(0, 0.1, 20_000), size=50)
    half = 1.96 * means.std(ddof=1) / 20
    assert (low, high) == (pytest.approx(means.mean() - half, abs=0.02), pytest.approx(means.mean() + half, abs=0.02))
    assert metrics.mean_interval(np.ones(metrics.STRETCH * metrics.FEWEST - 1)) is None


def test_a_text_the_model_knows_by_heart_has_no_surprise():
    assert metrics.language(0.0, 7, 9) == {
        "nats_per_symbol": 0.0, "bits_per_character": 0.0, "perplexity": 1.0, "symbols": 7, "characters": 9,
    }  # fmt: skip


def test_boundless_surprise_still_has_a_finite_perplexity():
    found = metrics.language(1e6, 10, 10)
    assert found["nats_per_symbol"] == 1e5 and math.isfinite(found["perplexity"]) and found["perplexity"] > 1e300


def test_a_model_that_is_no_number_is_not_given_one():
    assert math.isnan(metrics.language(math.nan, 10, 10)["nats_per_symbol"])


# --- classification


def classified(examples: int, kinds: int, seed: int, occurring: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels that have to do with each other; only the last `occurring` labels occur."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(kinds - (occurring or kinds), kinds, examples)
    logits = rng.normal(size=(examples, kinds)) + 1.5 * rng.random() * np.eye(kinds)[labels]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels


@st.composite
def classifications(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    kinds = draw(st.integers(2, 6))
    return classified(draw(st.integers(1, 40)), kinds, draw(st.integers(0, 10**6)), draw(st.integers(1, kinds)))


def answered(probabilities: np.ndarray, ordered: bool) -> np.ndarray:
    """The likeliest; of ordered labels the one with half of the probability below it."""
    if not ordered:
        return probabilities.argmax(1)
    return np.array([next(k for k in range(len(row)) if row[: k + 1].sum() >= 0.5 or k == len(row) - 1) for row in probabilities])


@few
@given(classifications(), st.booleans())
def test_a_classification_is_measured_as_by_scikit_learn(case, ordered):
    probabilities, labels = case
    answers, kinds = answered(probabilities, ordered), probabilities.shape[1]
    found = metrics.classification(probabilities, labels, ordered)
    wanted = {
        "accuracy": theirs.accuracy_score(labels, answers),
        "macro_f1": theirs.f1_score(labels, answers, average="macro"),
        "nats_per_example": theirs.log_loss(labels, probabilities, labels=range(kinds)),
        "expected_calibration_error": calibration_error(probabilities, labels, answers),
        "examples": len(labels),
    }
    if ordered:
        alone = len({*labels, *answers}) == 1  # kappa is 0 / 0
        kappa = 0.0 if alone else theirs.cohen_kappa_score(labels, answers, labels=range(kinds), weights="quadratic")
        wanted |= {
            "mean_absolute_error": theirs.mean_absolute_error(labels, answers),
            "quadratic_weighted_kappa": kappa,
        }
    assert found == pytest.approx(wanted, abs=1e-12)
    assert all(type(value) in (int, float) for value in found.values())  # what json writes


def test_where_there_is_one_label_only_it_is_always_right():
    found = metrics.classification(np.ones((3, 1)), np.zeros(3, int), True)
    assert found == {
        "accuracy": 1, "macro_f1": 1, "nats_per_example": 0, "expected_calibration_error": 0,
        "mean_absolute_error": 0, "quadratic_weighted_kappa": 0, "examples": 3,
    }  # fmt: skip
    assert metrics.confusion(np.zeros(3, int), np.zeros(3, int), 1).tolist() == [[3]]
    assert metrics.intervals(np.ones((3, 1)), np.zeros(3, int), True)["macro_f1"] == (1, 1)


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, answers: np.ndarray) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    total = 0.0
    for b in range(1, 16):
        confidence, right = probabilities[np.arange(len(labels)), answers], answers == labels
        inside = ((b - 1) / 15 < confidence) & (confidence <= b / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("confidence", [0.6, 0.8, 1.0])  # 0.6 and 0.8 are borders of bins
def test_the_calibration_error_is_the_gap_between_what_is_said_and_what_is_right(confidence):
    probabilities = np.tile([confidence, 1 - confidence], (10, 1))
    labels = np.array([0] * 7 + [1] * 3)
    found = metrics.classification(probabilities, labels, False)
    assert found["expected_calibration_error"] == pytest.approx(abs(confidence - 0.7))


def test_bins_do_not_lend_their_errors_to_each_other():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4]] * 5)
    found = metrics.classification(probabilities, np.array([1, 0] * 5), False)  # sure and wrong, unsure and right
    assert found["expected_calibration_error"] == pytest.approx((0.9 + 0.4) / 2)


def test_a_confidence_on_a_border_is_in_the_bin_below():
    probabilities = np.array([[0.6, 0.4], [0.55, 0.45]])  # 0.6 is 9 / 15
    found = metrics.classification(probabilities, np.array([1, 0]), False)
    assert found["expected_calibration_error"] == pytest.approx(abs(-0.6 + 0.45) / 2)


def test_a_probability_of_zero_surprises_finitely():
    found = metrics.classification(np.array([[1.0, 0.0]]), np.array([1]), True)
    assert found["nats_per_example"] == pytest.approx(-math.log(np.finfo(np.float32).tiny))
    assert found["mean_absolute_error"] == 1


def test_probabilities_that_are_no_numbers_are_not_given_one():
    found = metrics.classification(np.full((4, 2), np.nan), np.array([0, 1, 0, 1]), True)
    assert math.isnan(found["nats_per_example"]) and math.isnan(found["expected_calibration_error"])


def test_probabilities_in_float32_are_measured_in_float64():
    probabilities, labels = classified(5000, 3, seed=1)
    found = metrics.classification(probabilities.astype(np.float32), labels, True)
    assert found == pytest.approx(metrics.classification(probabilities, labels, True), rel=1e-6)


def test_the_likeliest_label_is_answered_and_the_median_of_ordered_ones():
    assert metrics.answers(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])).tolist() == [1, 0]
    assert metrics.answers(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]]), ordered=True).tolist() == [1, 1]


def test_without_examples_nothing_is_measured():
    for measure in (metrics.classification, metrics.intervals):
        with pytest.raises(UserError, match="there is no example to measure"):
            measure(np.zeros((0, 3)), np.zeros(0, int), False)


@few
@given(classifications())
def test_confusion_and_the_measures_of_a_class_are_scikit_learns(case):
    probabilities, labels = case
    answers, kinds = probabilities.argmax(1), probabilities.shape[1]
    wanted = theirs.confusion_matrix(labels, answers, labels=range(kinds))
    assert metrics.confusion(labels, answers, kinds).tolist() == wanted.tolist()
    found = metrics.per_class(labels, answers, kinds)
    wanted = theirs.precision_recall_fscore_support(labels, answers, labels=range(kinds), zero_division=0)
    for name, other in zip(("precision", "recall", "f1"), wanted, strict=False):
        assert [figures[name] or 0 for figures in found] == pytest.approx(other.tolist()), name


# --- intervals


@few
@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilsons_interval_is_scipys(total, share):
    successes = round(share * total)
    wanted = stats.binomtest(successes, total).proportion_ci(method="wilson")
    assert metrics.wilson(successes, total) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def resampled(probabilities: np.ndarray, labels: np.ndarray, draws: int = 400) -> dict[str, np.ndarray]:
    """The bootstrap written out: examples drawn with replacement, measured again."""
    rng = np.random.default_rng(7)
    rows = [rng.integers(len(labels), size=len(labels)) for _ in range(draws)]
    found = [metrics.classification(probabilities[r], labels[r], True) for r in rows]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def test_intervals_are_as_wide_as_drawing_the_examples_again_makes_them():
    probabilities, labels = classified(600, 4, seed=2)
    found = metrics.intervals(probabilities, labels, True)
    drawn = resampled(probabilities, labels)
    point = metrics.classification(probabilities, labels, True)
    assert found.keys() == point.keys() - {"examples"}
    for name, (low, high) in found.items():
        assert low < point[name] < high, name
        if name != "expected_calibration_error":
            assert (high - low) / 2 == pytest.approx(1.96 * drawn[name].std(), rel=0.15), name


@pytest.mark.parametrize("sharpness", [1.0, 1.6])
def test_the_interval_of_the_calibration_error_holds_the_true_one(sharpness):
    """Chance alone makes gaps: those of a net that says what is true must not rule that out."""
    rng = np.random.default_rng(5)

    def drawn(examples: int) -> tuple[np.ndarray, np.ndarray]:
        logits = rng.normal(size=(examples, 3))
        labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # a draw from softmax(logits)
        e = np.exp(sharpness * logits)
        return e / e.sum(1, keepdims=True), labels

    true = 0.0 if sharpness == 1 else metrics.classification(*drawn(400_000), False)["expected_calibration_error"]
    found = [metrics.intervals(*drawn(300), False)["expected_calibration_error"] for _ in range(40)]
    assert sum(low <= true <= high for low, high in found) >= 36
    assert np.mean([high - low for low, high in found]) < 0.2


def test_the_interval_of_a_mean_is_the_one_of_its_standard_error():
    probabilities, labels = classified(2000, 3, seed=3)
    nats = -np.log(probabilities[np.arange(2000), labels])
    low, high = metrics.intervals(probabilities, labels, False)["nats_per_example"]
    reach = 1.96 * nats.std() / math.sqrt(2000)
    assert (low, high) == pytest.approx((nats.mean() - reach, nats.mean() + reach), rel=0.01)


def test_intervals_are_the_same_each_time_and_accuracys_is_wilsons():
    probabilities, labels = classified(50, 3, seed=1)
    found = metrics.intervals(probabilities, labels, True)
    assert found == metrics.intervals(probabilities, labels, True)
    assert found["accuracy"] == metrics.wilson(int((answered(probabilities, True) == labels).sum()), 50)


@given(classifications())
@settings(max_examples=10, deadline=None)
def test_few_examples_have_intervals_too(case):
    for name, (low, high) in metrics.intervals(*case, True).items():
        assert low <= high and math.isfinite(low) and math.isfinite(high), name


def test_what_is_a_share_of_nothing_has_no_figure():
    assert metrics.figures(3, 4, 6) == {"precision": 0.75, "recall": 0.5, "f1": 0.6}
    assert metrics.figures(0, 2, 0) == {"precision": 0, "recall": None, "f1": None}
    assert metrics.figures(0, 0, 2) == {"precision": None, "recall": 0, "f1": 0}
    assert [of["f1"] for of in metrics.per_class(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)] == [2 / 3, 2 / 3, None]


def test_each_label_has_its_interval():
    rng = np.random.default_rng(2)
    labels = rng.integers(2, size=400)
    said = np.where(rng.random(400) < 0.8, labels, 1 - labels)
    first, second, absent = metrics.label_intervals(np.eye(3)[said], labels, False)
    f1 = [figures["f1"] for figures in metrics.per_class(labels, said, 3)]
    assert absent == (None, None)
    for (low, high), value in ((first, f1[0]), (second, f1[1])):
        assert low < value < high and 0.05 < high - low < 0.13  # about 2 * 1.96 * sqrt(.8 * .2 / 200), a little less
    assert metrics.label_intervals(np.eye(2)[labels], labels, False) == [(1.0, 1.0)] * 2


def test_a_share_between_two_counts_has_the_interval_of_both():
    low, high = metrics.clopper_pearson(1.25, 30)
    assert low == metrics.clopper_pearson(1, 30)[0] and high == metrics.clopper_pearson(2, 30)[1]
    assert metrics.clopper_pearson(0.5, 1)[1] == 1.0
