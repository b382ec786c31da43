"""Spans and tags: read and scored as seqeval does (conlleval among its modes), written so that nothing is lost."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import sequence_labeling, v1
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, IOBES, Tokens

from unrolled import spans
from unrolled.spans import Span

few = settings(max_examples=200, deadline=None)
KINDS = ["a", "b", "creative-work"]
THEIRS = {"bio": IOB2, "bioes": IOBES}


def tags_of(letters: str) -> st.SearchStrategy[list[str]]:
    """Any sequence at all, most of them invalid."""
    return st.lists(st.sampled_from(["O", *(f"{letter}-{kind}" for letter in letters for kind in KINDS)]), max_size=9)


@st.composite
def sentences(draw, kinds=tuple(KINDS)) -> tuple[list[Span], int]:
    """Spans that do not overlap, and how many words there are."""
    found, at = [], 0
    for gap, size, kind in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(kinds)), max_size=5)):
        found.append(Span(at + gap, at + gap + size, kind))
        at += gap + size
    return found, at + draw(st.integers(0, 2))


def every_sentence(length: int, kinds: list[str], at: int = 0) -> list[list[Span]]:
    """All ways to name the words from `at` on."""
    if at == length:
        return [[]]
    found = every_sentence(length, kinds, at + 1)
    for end, kind in product(range(at + 1, length + 1), kinds):
        found = found + [[Span(at, end, kind), *rest] for rest in every_sentence(length, kinds, end)]
    return found


def as_spans(entities) -> list[Span]:
    return sorted(Span(*entity[1:3], entity[0]) for entity in entities)


# --- tags


def test_the_table_of_the_module_is_what_it_does():
    line = [Span(0, 1, "p"), Span(3, 6, "l"), Span(6, 7, "p"), Span(7, 8, "p")]
    rows = {row.split()[0]: row.split()[1:9] for row in spans.__doc__.splitlines() if row.startswith("    ")}
    for scheme in spans.SCHEMES:
        assert spans.tags(line, 8, scheme) == rows[scheme]
        assert spans.spans(rows[scheme], scheme) == line


@pytest.mark.parametrize("scheme", spans.SCHEMES)
@few
@given(sentence=sentences())
def test_what_is_written_is_read(scheme, sentence):
    line, length = sentence
    tags = spans.tags(reversed(line), length, scheme)
    assert len(tags) == length
    assert spans.problem(tags, scheme) is None
    assert spans.spans(tags, scheme) == spans.spans(tags, scheme, repaired=True) == line
    assert spans.scheme([tags]) == (scheme if line else "bio")
    assert set(tags) <= set(spans.names(KINDS, scheme))


@pytest.mark.parametrize("scheme", THEIRS)
@few
@given(data=st.data())
def test_strictly_read_are_the_spans_of_seqevals_strict_mode(scheme, data):
    tags = data.draw(tags_of(spans.LETTERS[scheme]))
    theirs = [(entity.tag, entity.start, entity.end) for entity in Tokens(tags, THEIRS[scheme]).entities] if tags else []
    assert spans.spans(tags, scheme) == as_spans(theirs)


@few
@given(tags_of("BIES"), st.sampled_from(spans.SCHEMES))
def test_repaired_are_the_spans_of_conlleval(tags, scheme):
    assert spans.spans(tags, scheme, repaired=True) == as_spans((kind, start, end + 1) for kind, start, end in get_entities(tags))


@few
@given(tags_of("BI"))
def test_iob1_is_read_as_conlleval_reads_it(tags):
    assert spans.spans(tags, "iob1") == spans.spans(tags, "iob1", repaired=True)
    assert spans.problem(tags, "iob1") is None


@pytest.mark.parametrize("scheme", THEIRS)
@few
@given(data=st.data())
def test_a_problem_is_what_the_scheme_would_not_have_written(scheme, data):
    tags = data.draw(tags_of(spans.LETTERS[scheme]))
    again = spans.tags(spans.spans(tags, scheme, repaired=True), len(tags), scheme)
    assert (spans.problem(tags, scheme) is None) == (again == tags)


@pytest.mark.parametrize(
    ("tags", "scheme", "wanted"),
    [
        ("I-person", "bio", (0, "`I-person` begins a sentence")),
        ("B-a I-a O I-person", "bio", (3, "`I-person` follows `O`")),
        ("O B-a I-b", "bio", (2, "`I-b` follows `B-a`")),
        ("B-a E-a", "bio", (1, "`E-a` is used")),
        ("S-a E-a", "bioes", (1, "`E-a` follows `S-a`")),
        ("B-a B-a E-a", "bioes", (1, "`B-a` follows `B-a`")),
        ("B-a O", "bioes", (1, "`O` follows `B-a`")),
        ("O B-a I-a", "bioes", (2, "the sentence ends after `I-a`")),
        ("U-a B-a M-a L-a W-a", "bioes", None),
        ("I-a B-a I-b", "iob1", None),
        ("S-a", "iob1", (0, "`S-a` is used")),
        ("", "bioes", None),
    ],
)
def test_problems_are_named(tags, scheme, wanted):
    assert spans.problem(tags.split(), scheme) == wanted


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["O O"], "bio"),
        (["B-a I-a O B-b"], "bio"),
        (["B-a O B-a", "O I-a"], "bio"),  # a mistake among right ones
        (["B-a B-b B-a", "O I-a O I-a"], "bio"),  # a B beside another kind is one that iob1 would not write
        (["I-a O I-a", "O B-a"], "iob1"),
        (["I-a B-a I-a"], "iob1"),
        (["O O", "B-a O", "S-b"], "bioes"),
        (["B-a L-a U-b"], "bioes"),
        (["B M I E"], "bioes"),
        (["B I O B"], "bio"),
    ],
)
def test_a_scheme_shows_in_all_tags_of_a_file(lines, wanted):
    assert spans.scheme(line.split() for line in lines) == wanted


def test_tags_without_a_kind_are_spans_too():
    assert spans.spans(["B", "I", "O", "B"], "bio") == [Span(0, 2, ""), Span(3, 4, "")]
    assert spans.tags([Span(0, 2, "")], 3, "bioes") == ["B", "E", "O"]
    assert spans.tags([Span(0, 2, ""), Span(2, 3, "")], 3, "iob1") == ["I", "I", "B"]


@pytest.mark.parametrize("tag", ["O", "B-a", "I", "L-x", "U-x", "M-x", "S-creative-work"])
def test_a_tag(tag):
    assert spans.is_tag(tag)


@pytest.mark.parametrize("tag", ["", "0", "NN", "b-a", "O-a", "BI-a", "-a", "B_a", "OB"])
def test_no_tag(tag):
    assert not spans.is_tag(tag)


def test_names_of_the_tags():
    assert spans.names(["x", "y"], "bioes") == ["O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y"]
    assert spans.names(["x"], "bio") == spans.names(["x"], "iob1") == ["O", "B-x", "I-x"]


@pytest.mark.parametrize("scheme", THEIRS)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_allowed_are_the_sequences_that_the_scheme_writes_and_no_other(scheme, length):
    names = spans.names(["x", "y"], scheme)
    start, follows, end = spans.allowed(names, scheme)
    assert start.dtype == follows.dtype == end.dtype == bool and follows.shape == (len(names), len(names))
    legal = {
        tuple(names[i] for i in path)
        for path in product(range(len(names)), repeat=length)
        if start[path[0]] and end[path[-1]] and all(follows[a, b] for a, b in pairwise(path))
    }
    assert legal == {tuple(spans.tags(line, length, scheme)) for line in every_sentence(length, ["x", "y"])}


# --- scores


def theirs(gold: list[list[str]], predicted: list[list[str]], mode: dict) -> dict[str, list[float]]:
    """seqeval's precision, recall, F1 and support: {'micro': …, 'macro': …, kind: …}."""
    ask = v1.precision_recall_fscore_support if mode else sequence_labeling.precision_recall_fscore_support
    averages = ("micro", "macro", None)
    micro, macro, each = (ask(gold, predicted, average=name, zero_division=0, **mode) for name in averages)
    kinds = sorted({span.kind for line in [*gold, *predicted] for span in mine(line, mode)})
    return {"micro": list(micro), "macro": list(macro)} | dict(zip(kinds, np.array(each).T.tolist(), strict=True))


def mine(tags: list[str], mode: dict) -> list[Span]:
    return spans.spans(tags, "bio" if mode.get("scheme") is IOB2 else "bioes", repaired=not mode)


@pytest.mark.parametrize("mode", [{}, {"scheme": IOB2}, {"scheme": IOBES}], ids=["conlleval", "bio", "bioes"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_scores_equal_seqevals(mode, data):
    letters = "BI" if mode.get("scheme") is IOB2 else "BIES"
    pairs = data.draw(st.lists(st.tuples(tags_of(letters), tags_of(letters)), min_size=1, max_size=5))
    pairs = [(a[: len(b)], b[: len(a)]) for a, b in pairs if a and b] or [(["O"], ["O"])]
    gold, predicted = ([list(line) for line in side] for side in zip(*pairs, strict=True))
    sides = [[mine(line, mode) for line in side] for side in (gold, predicted)]
    got = spans.score(*sides)
    if not got.kinds:
        assert got[:6] == (0, 0, 0, 0, 0, 0) and got.macro_f1 == 0
        return
    wanted = theirs(gold, predicted, mode)
    assert [got.precision, got.recall, got.f1, got.support] == pytest.approx(wanted.pop("micro"))
    assert got.macro_f1 == pytest.approx(wanted.pop("macro")[2])
    for kind, values in wanted.items():
        ours = got.kinds[kind]
        assert [ours.precision, ours.recall, ours.f1, ours.support] == pytest.approx(values)
    assert set(got.kinds) == set(wanted)


def test_confusion_tells_wrong_kinds_missed_and_invented():
    gold = [[Span(0, 1, "a"), Span(2, 4, "b")], [Span(0, 2, "a")], [Span(5, 6, "b")]]
    found = [[Span(0, 1, "a"), Span(2, 4, "a")], [Span(0, 1, "a")], []]
    scores = spans.score(gold, found)
    assert list(scores.kinds) == ["a", "b"]
    # right · missed (0, 2) | as a · missed | invented (0, 1)
    assert scores.confusion.tolist() == [[1, 0, 1], [1, 0, 1], [1, 0, 0]]
    assert (scores.right, scores.predicted, scores.support) == (1, 3, 4)
    assert scores.kinds["a"][:3] == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert scores.f1 == pytest.approx(2 / 7) and scores.macro_f1 == pytest.approx(1 / 5)


def test_nothing_there_and_nothing_found_is_no_interval():
    scores = spans.score([[], []], [[], []])
    assert (scores.f1, scores.macro_f1, scores.low, scores.high, scores.kinds) == (0, 0, None, None, {})
    assert spans.score([], []).confusion.tolist() == [[0]]


def test_all_right_is_certain():
    scores = spans.score([[Span(0, 1, "a")]] * 3, [[Span(0, 1, "a")]] * 3)
    assert (scores.f1, scores.low, scores.high) == (1, 1, 1)


def test_the_interval_is_that_of_sentences_drawn_anew():
    generator = np.random.default_rng(3)
    gold = [[Span(i, i + 1, "a") for i in range(n)] for n in generator.integers(0, 5, 150)]
    found = [
        [span for span in line if generator.random() < 0.7] + [Span(9, 10, "a")] * (i % 3 == 0) for i, line in enumerate(gold)
    ]
    scores = spans.score(gold, found)
    counts = [(len({*line} & {*other}), len(line) + len(other)) for line, other in zip(gold, found, strict=True)]
    drawn = generator.integers(0, len(gold), (4000, len(gold)))
    right, of = np.array(counts)[drawn].sum(1).T
    assert (scores.low, scores.high) == pytest.approx(np.quantile(2 * right / of, [0.025, 0.975]), abs=0.006)
    assert scores.high - scores.low > 0.03 and scores.low < scores.f1 < scores.high
    assert spans.score(gold, found)[6:8] == scores[6:8] != spans.score(gold, found, seed=1)[6:8]


def test_sentences_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        spans.score([[]], [])


def test_the_score_of_spans_with_words_never_seen():
    words = [["New", "York", "calls", "Zork"], ["Zork", "Inc"]]
    gold = [[Span(0, 2, "l"), Span(3, 4, "p")], [Span(0, 2, "o")]]
    found = [[Span(0, 2, "l"), Span(2, 4, "p")], [Span(0, 2, "o"), Span(1, 2, "o")]]
    # with Zork: (3, 4, p) and (0, 2, o) are there, (2, 4, p) and (0, 2, o) are found
    assert spans.score_some(gold, found, words, "Zork".__eq__)[:6] == (0.5, 0.5, 0.5, 1, 2, 2)
    assert spans.score_some(gold, found, words, lambda word: True)[:8] == spans.score(gold, found)[:8]
    assert spans.score_some(gold, found, words, lambda word: False)[:8] == (0, 0, 0, 0, 0, 0, None, None)


def test_a_kind_has_its_own_score_and_interval():
    gold = [[Span(0, 1, "a")], [Span(0, 1, "b")], [Span(0, 1, "a")]] * 20
    found = [[Span(0, 1, "a")], [Span(0, 1, "a")], []] * 20
    both, a, b = spans.score(gold, found), spans.score_kind(gold, found, "a"), spans.score_kind(gold, found, "b")
    assert a[:6] == both.kinds["a"] == (0.5, 0.5, 0.5, 20, 40, 40) and a.low < 0.5 < a.high
    assert b[:6] == both.kinds["b"] and (b.low, b.high) == (0, 0)
