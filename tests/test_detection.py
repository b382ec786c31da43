"""Events against a loop in plain Python, curves against one threshold at a time, intervals against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unrolled import UserError, metrics
from unrolled.data import marks
from unrolled.data.marks import Mark
from unrolled.detection import (
    START,
    Outcome,
    Point,
    Recording,
    Rule,
    by_label,
    choose,
    curve,
    events,
    hours_without_words,
    intervals,
    matched,
    measures,
    outcomes,
    total,
)

HOP = 0.01
few = settings(max_examples=80, deadline=None)
heights = st.sampled_from([0.0, 0.05, 0.2, 0.26, 0.5, 0.6, 0.75, 0.9, 1.0, math.nan])
streams = st.lists(heights, max_size=60).map(lambda values: np.array(values, np.float32))
rules = st.builds(
    Rule, st.sampled_from([0.1, 0.5, 0.75, 1.0]), st.sampled_from([0.5, 0.9, 1.0]), st.sampled_from([0.0, 0.03, 0.2])
)


def slowly(probabilities: np.ndarray, rule: Rule) -> list[float]:
    """Times of events by the words of the rule."""
    found, was_low, last = [], True, -(10**9)
    for frame, p in enumerate(probabilities.tolist()):
        if was_low and p >= rule.threshold and frame - last >= round(rule.refractory / HOP):
            found.append((frame + 1) * HOP)
            was_low, last = False, frame
        was_low = was_low or p < np.float32(rule.release) * np.float32(rule.threshold)
    return found


# --- events


@few
@given(streams, rules)
def test_events_are_those_of_the_rule(probabilities, rule):
    assert events(probabilities, rule, HOP)[0].tolist() == slowly(probabilities, rule)


@few
@given(streams, rules, st.lists(st.integers(0, 60), max_size=5))
def test_a_stream_has_the_same_events_however_it_is_cut(probabilities, rule, cuts):
    state, found = START, []
    for piece in np.split(probabilities, sorted(cuts)):
        times, state = events(piece, rule, HOP, state)
        found += times.tolist()
    assert (np.array(found), state) == (pytest.approx(events(probabilities, rule, HOP)[0]), events(probabilities, rule, HOP)[1])


def test_one_word_fires_once_and_the_next_again():
    one = np.array([0.1, 0.9, 0.7, 0.9, 0.6, 0.9, 0.2], np.float32)  # never below half of 0.8 before its end
    assert events(np.tile(one, 2), Rule(0.8, 0.5, 0.02), HOP)[0] == pytest.approx([0.02, 0.09])
    assert events(np.tile(one, 2), Rule(0.8, 0.5, 0.1), HOP)[0] == pytest.approx([0.02, 0.13])  # the time is up in the second
    assert events(np.tile(one, 2), Rule(0.8, 1.0, 0.0), HOP)[0] == pytest.approx([0.02, 0.04, 0.06, 0.09, 0.11, 0.13])


def test_a_new_start_knows_nothing_of_what_was_heard():
    loud, rule = np.ones(5, np.float32), Rule(0.5, 0.5, 10.0)
    first, state = events(loud, rule, HOP)
    assert events(loud, rule, HOP, state)[0].tolist() == []
    assert events(loud, rule, HOP, START)[0].tolist() == first.tolist() == [0.01]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(0.0), "the threshold of a detector is above 0, got 0"),
        (Rule(math.nan), "the threshold of a detector is above 0, got nan"),
        (Rule(0.5, 1.5), "`release` is a part of the threshold, above 0 and up to 1, got 1.5"),
        (Rule(0.5, 0.5, -1), "`refractory` is a time in seconds from 0 on, got -1"),
    ],
)
def test_a_rule_that_is_none_is_refused(rule, message):
    with pytest.raises(UserError, match=message):
        events(np.ones(3), rule, HOP)


# --- words


def test_a_hit_overlaps_its_word():
    word = Mark(1.0, 1.5, "hey")
    for time, hit in ((0.99, -1), (1.0, 0), (1.5, 0), (2.0, 0), (2.01, -1)):
        assert matched(np.array([time]), [word], 0.5).words.tolist() == [hit]


def test_a_second_event_in_one_word_is_a_false_accept():
    assert matched(np.array([1.1, 1.4]), [Mark(1.0, 1.5, "")], 0.5).words.tolist() == [0, -1]


spans = st.tuples(st.integers(0, 30), st.integers(0, 12)).map(lambda pair: Mark(pair[0] / 4, (pair[0] + pair[1]) / 4, ""))


def most_hits(times: list[float], words: list[Mark], tolerance: float) -> int:
    """The most words that can be given an event each, by augmenting paths."""
    owner: dict[int, int] = {}

    def place(event: int, tried: set[int]) -> bool:
        for w, word in enumerate(words):
            if w not in tried and word.begin <= times[event] <= word.end + tolerance:
                tried.add(w)
                if w not in owner or place(owner[w], tried):
                    owner[w] = event
                    return True
        return False

    return sum(place(event, set()) for event in range(len(times)))


@few
@given(st.lists(spans, max_size=6), st.lists(st.integers(0, 50).map(lambda t: t / 4), max_size=6, unique=True))
def test_as_many_words_are_hit_as_can_be(words, times):
    times = sorted(times)
    found = matched(np.array(times), words, 0.5)
    hit = found.words[found.words >= 0].tolist()
    assert len(hit) == len(set(hit)) == most_hits(times, words, 0.5)
    ordered = sorted(words)
    assert all(ordered[w].begin <= times[i] <= ordered[w].end + 0.5 for i, w in enumerate(found.words) if w >= 0)


def test_hours_leave_out_the_words_once():
    seconds = np.zeros(1000, np.float32)  # 10 s
    words = [Mark(1.0, 1.5, ""), Mark(1.8, 2.5, ""), Mark(5.0, 5.5, ""), Mark(9.8, 12.0, "")]
    assert hours_without_words([Recording(seconds, words)], HOP, 0.5) * 3600 == pytest.approx(10 - 2.0 - 1.0 - 0.2)
    assert hours_without_words([Recording(seconds, [])] * 2, HOP, 0.5) * 3600 == pytest.approx(20)
    nested = [Mark(1.0, 4.0, ""), Mark(2.0, 2.1, ""), Mark(3.0, 3.2, "")]
    assert hours_without_words([Recording(seconds, nested)], HOP, 0.5) * 3600 == pytest.approx(10 - 3.5)


def test_each_label_has_its_own_misses():
    first = Recording(np.zeros(9), [Mark(3, 4, "far"), Mark(1, 2, "near"), Mark(5, 6, "far")])
    second = Recording(np.zeros(9), [Mark(1, 2, "far")])
    found = [Outcome(np.array([1.5, 4.5, 5.5]), np.array([0, -1, 2])), Outcome(np.empty(0), np.empty(0, int))]
    assert by_label([first, second], found) == {"far": (1, 3), "near": (1, 1)}


# --- curves


@few
@given(st.lists(st.tuples(streams, st.lists(spans, max_size=2)), min_size=1, max_size=3), rules)
def test_each_point_of_a_curve_is_what_its_threshold_does(parts, rule):
    recordings = [Recording(*part) for part in parts]
    if not any(len(each.probabilities) for each in recordings):
        with pytest.raises(UserError, match="there is no sound to measure a detector on"):
            curve(recordings, rule, HOP)
        return
    points = curve(recordings, rule, HOP)
    hours = hours_without_words(recordings, HOP)
    for point in points:
        at = rule._replace(threshold=point.threshold)
        wanted = total(point.threshold, recordings, outcomes(recordings, at, HOP), hours)
        assert point[:5] == wanted[:5] and point.delays.tolist() == wanted.delays.tolist()
    assert [point.threshold for point in points] == sorted({point.threshold for point in points})
    assert points[-1].hits == points[-1].false_accepts == 0


def test_a_curve_has_every_high_peak_and_fewer_low_ones():
    rng = np.random.default_rng(1)
    noise = rng.random(50_000).astype(np.float32) * 0.5
    points = curve([Recording(noise, [])], Rule(0.5, 0.5, 0.0), HOP, most=100)
    assert len(points) <= 101 and points[0].threshold < 0.3
    top = np.sort(noise)[::-1]
    assert [point.threshold for point in points[-6:-1]] == pytest.approx(top[:5][::-1], abs=0)
    assert [point.false_accepts for point in points[-6:]] == [5, 4, 3, 2, 1, 0]


def test_the_threshold_has_the_least_misses_within_the_budget():
    def point(threshold: float, hits: int, false_accepts: int) -> Point:
        return Point(threshold, hits, 100, false_accepts, 10.0, np.zeros(hits))

    points = [point(0.1, 99, 50), point(0.2, 97, 5), point(0.3, 97, 4), point(0.4, 97, 4), point(0.5, 97, 4), point(0.9, 60, 0)]
    assert choose(points, 0.5).threshold == 0.4
    assert choose(points, 0.1).threshold == 0.9
    assert choose(points, 5.0).threshold == 0.1
    with pytest.raises(UserError, match=r"no threshold has at most 0\.1 false accepts an hour"):
        choose(points[:3], 0.1)


def test_a_detector_that_hears_every_word_is_measured_so():
    probabilities = np.zeros(360_000, np.float32)  # an hour
    words = [Mark(at, at + 0.5, "hey") for at in (10.0, 20.0, 30.0, 40.0)]
    probabilities[[1060, 2055, 3080]] = 0.9  # frames end at 10.61, 20.56, 30.81 s
    probabilities[[50_000, 70_000]] = 0.8
    points = curve([Recording(probabilities, words)], Rule(0.5), HOP)
    best = choose(points, 0.0)
    assert (best.threshold, best.hits, best.false_accepts) == (pytest.approx(0.9), 3, 0)
    found, reach = measures(best), intervals(best)
    assert found["miss_rate"] == 0.25 and found["false_accepts_per_hour"] == 0 and found["words"] == 4
    assert (found["delay_median"], found["delay_longest"]) == (pytest.approx(0.11), pytest.approx(0.31))
    assert reach["false_accepts_per_hour"] == (0, pytest.approx(2.9957 / best.hours, rel=1e-4))
    assert reach["miss_rate"] == pytest.approx(tuple(stats.binomtest(1, 4).proportion_ci(0.95, "exact")))
    lower = points[0]
    assert (lower.threshold, measures(lower)["false_accepts_per_hour"]) == (pytest.approx(0.8), 2 / lower.hours)


def test_what_cannot_be_divided_is_none():
    nothing = Point(0.5, 0, 0, 0, 0.0, np.empty(0))
    assert {name for name, value in measures(nothing).items() if value is None} == {
        "miss_rate", "false_accepts_per_hour", "delay_median", "delay_90_percent", "delay_longest",
    }  # fmt: skip
    assert intervals(nothing) == {"miss_rate": None, "false_accepts_per_hour": None}


def test_outcomes_name_the_word_of_each_event():
    probabilities = np.zeros(500, np.float32)
    probabilities[[120, 300]] = 1.0
    (found,) = outcomes([Recording(probabilities, [Mark(1.0, 1.2, "b"), Mark(0.1, 0.2, "a")])], Rule(0.5), HOP)
    assert isinstance(found, Outcome) and found.words.tolist() == [1, -1] and found.times == pytest.approx([1.21, 3.01])


# --- intervals


@few
@given(st.integers(1, 3000), st.data())
def test_the_interval_of_a_share_is_scipys(number, data):
    count = data.draw(st.integers(0, number))
    wanted = stats.binomtest(count, number).proportion_ci(0.95, "exact")
    assert metrics.clopper_pearson(count, number) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@few
@given(st.integers(1, 5000))
def test_the_interval_of_a_count_is_garwoods(events):
    wanted = stats.chi2.ppf(0.025, 2 * events) / 2, stats.chi2.ppf(0.975, 2 * events + 2) / 2
    assert metrics.poisson(events) == pytest.approx(wanted, rel=1e-7)


def test_of_no_event_three_are_still_to_be_feared():
    assert metrics.poisson(0) == (0.0, pytest.approx(stats.chi2.ppf(0.95, 2) / 2))


# --- tables of marks


def test_marks_come_back_as_they_were_written(tmp_path):
    words = [Mark(0.25, 1.5, "hey you"), Mark(2.0, 2.0, ""), Mark(3600.125, 3601.0, "ü")]
    marks.write(tmp_path / "a.tsv", words)
    assert marks.read(tmp_path / "a.tsv") == words


def test_what_audacity_exports_is_read(tmp_path):
    (tmp_path / "labels.txt").write_text("3.5\t4\tsecond\n\\\t100.0\t8000.0\n\n1,25\t1,5\tfirst\n0.5\t0.75\n")
    assert marks.read(tmp_path / "labels.txt") == [Mark(0.5, 0.75, ""), Mark(1.25, 1.5, "first"), Mark(3.5, 4.0, "second")]
    (tmp_path / "named.tsv").write_text("begin\tend\tlabel\n1\t2\they\n")
    assert marks.read(tmp_path / "named.tsv") == [Mark(1.0, 2.0, "hey")]
    (tmp_path / "empty.tsv").write_text("")
    assert marks.read(tmp_path / "empty.tsv") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.0", "a mark has three cells, here are 1"),
        ("1\t2\tthree\tfour", "a mark has three cells, here are 4"),
        ("1\tx\they", "not a time in seconds from 0 on: `x`"),
        ("-1\t2\they", "not a time in seconds from 0 on: `-1`"),
        ("1\tnan\they", "not a time in seconds from 0 on: `nan`"),
        ("3\t2\they", "a mark ends before it begins: 3 to 2 s"),
    ],
)
def test_a_line_that_is_no_mark_is_named(tmp_path, line, message):
    (tmp_path / "a.tsv").write_text(f"0\t1\they\n{line}\n")
    with pytest.raises(UserError, match=message) as raised:
        marks.read(tmp_path / "a.tsv")
    assert raised.value.where == f"{tmp_path / 'a.tsv'}:2"
