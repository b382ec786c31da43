"""BLEU, chrF and TER against sacrebleu called directly; the bootstrap against closed forms and sacrebleu's own."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from unrolled import overlap
from unrolled.errors import UserError

WORDS = ["the", "a", "man", "woman", "dog", "runs", "sits", "red", "blue", "in", "on", "park", ",", ".", "street", "two"]


def corpus(seed: int, size: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(3, 15))).capitalize() for _ in range(size)]


def spoilt(texts: list[str], share: float, seed: int) -> list[str]:
    """Each word lost or changed with a probability."""
    rng, found = random.Random(seed), []
    for text in texts:
        words = [rng.choice(WORDS) if rng.random() < share else word for word in text.split() if rng.random() > share / 3]
        found.append(" ".join(words))
    return found


REFERENCES = corpus(1, 200)
GOOD, BAD = spoilt(REFERENCES, 0.2, 2), spoilt(REFERENCES, 0.4, 3)
texts = st.text(st.sampled_from("ab ,.é🎉\n"), max_size=20)
few = settings(max_examples=40, deadline=None)


# --- scores


@few
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_scores_are_those_of_sacrebleu_with_empty_lines_too(pairs):
    hypotheses, references = map(list, zip(*pairs, strict=True))
    found = overlap.scores(hypotheses, references)
    bleu = BLEU(force=True).corpus_score(hypotheses, [references])
    assert found.bleu == pytest.approx(bleu.score, abs=1e-9)
    assert found.chrf == pytest.approx(CHRF().corpus_score(hypotheses, [references]).score, abs=1e-9)
    assert found.ter == pytest.approx(TER().corpus_score(hypotheses, [references]).score, abs=1e-9)
    assert (found.brevity_penalty, found.length_ratio) == (bleu.bp, bleu.ratio)


@few
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_bleu_of_summed_statistics_is_that_of_sacrebleu(pairs):
    hypotheses, references = map(list, zip(*pairs, strict=True))
    sums = overlap.statistics(hypotheses, references).sum(0)
    wanted = BLEU(force=True).corpus_score(hypotheses, [references]).score
    assert float(overlap.bleu(sums)) == pytest.approx(wanted, abs=1e-9)


def test_bleu_follows_its_equation():
    # "a b c d e" against "a b c d f g": 4/5, 3/4, 2/3, 1/2 of the n-grams are right, and 5 words stand for 6
    wanted = 100 * math.exp(1 - 6 / 5) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert overlap.scores(["a b c d e"], ["a b c d f g"]).bleu == pytest.approx(wanted, abs=1e-9)


def test_equal_texts_are_perfect_and_signatures_say_how_it_was_counted():
    found = overlap.scores(REFERENCES, REFERENCES)
    assert found == pytest.approx((100, 100, 0, 1, 1))
    assert found.signatures["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert found.signatures["chrf"].startswith("nrefs:1|case:mixed|") and "nc:6|nw:0" in found.signatures["chrf"]
    assert "tok:tercom" in found.signatures["ter"]


def test_nothing_is_said_of_each_sentence(caplog):
    overlap.scores(["a b . ."] * 200, ["a b . ."] * 200)
    overlap.interval(GOOD, REFERENCES, 1)
    assert caplog.records == []


def test_each_is_the_chrf_of_a_sentence():
    found = overlap.each(GOOD[:20], REFERENCES[:20])
    assert found == pytest.approx([CHRF().sentence_score(h, [r]).score for h, r in zip(GOOD[:20], REFERENCES[:20], strict=True)])


@pytest.mark.parametrize("ask", [overlap.scores, overlap.each, lambda h, r: overlap.interval(h, r, 1),
                                 lambda h, r: overlap.compare(h, h, r, 1)])  # fmt: skip
def test_nothing_to_measure_and_sides_of_unequal_length_are_said(ask):
    with pytest.raises(UserError, match="there is no sentence to measure"):
        ask([], [])
    with pytest.raises(UserError, match=r"there are 1 translations and 2 references"):
        ask(["a"], ["a", "b"])


# --- how sure


def test_the_interval_is_that_of_sacrebleus_bootstrap():
    low, high = overlap.interval(GOOD, REFERENCES, 1)
    wanted = BLEU().corpus_score(GOOD, [REFERENCES], n_bootstrap=1000)
    assert (low + high) / 2 == pytest.approx(wanted._mean, abs=0.3)
    assert (high - low) / 2 == pytest.approx(wanted._ci, rel=0.15)
    assert low < overlap.scores(GOOD, REFERENCES).bleu < high


def test_an_interval_is_the_same_for_the_same_seed_alone():
    assert overlap.interval(GOOD, REFERENCES, 1) == overlap.interval(GOOD, REFERENCES, 1) != overlap.interval(GOOD, REFERENCES, 2)


def test_equal_sentences_leave_nothing_to_chance():
    low, high = overlap.interval(["a b c d e"] * 50, ["a b c d f"] * 50, 1)
    assert low == pytest.approx(high) == pytest.approx(overlap.scores(["a b c d e"], ["a b c d f"]).bleu)


def test_the_paired_bootstrap_tells_a_worse_system_with_sacrebleus_certainty():
    found = overlap.compare(GOOD, BAD, REFERENCES, 1)
    named = [("good", GOOD), ("bad", BAD)]
    _, told = PairedTest(named, {"BLEU": BLEU(references=[REFERENCES])}, None, test_type="bs", n_samples=1000)()
    first, second = told["BLEU"]
    assert found.difference == pytest.approx(second.score - first.score, abs=1e-9)
    assert found.low < found.difference < found.high < 0
    assert found.p == pytest.approx(second.p_value) == pytest.approx(1 / 1001)
    back = overlap.compare(BAD, GOOD, REFERENCES, 1)
    assert back == pytest.approx((-found.difference, -found.high, -found.low, found.p))


def test_two_equal_systems_are_told_apart_by_nothing():
    assert overlap.compare(GOOD, GOOD, REFERENCES, 1) == (0, 0, 0, 1)


def test_systems_equally_good_are_rarely_told_apart():
    """Two systems that only chance distinguishes: p below 0.05 in about a twentieth of the cases."""
    p = [overlap.compare(spoilt(REFERENCES[:60], 0.3, 10 + i), spoilt(REFERENCES[:60], 0.3, 50 + i), REFERENCES[:60], i).p
         for i in range(30)]  # fmt: skip
    assert sum(value < 0.05 for value in p) <= 5
    assert 0.3 < np.mean(p) < 0.7
