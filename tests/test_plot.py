"""Figures: where ink goes, read back from the figure itself."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the plot extra")
from matplotlib.colors import to_hex

import unrolled
from unrolled import plot


def figure(words, groups=None, names=(), spread=1.0, seed=0):
    positions = spread * np.random.default_rng(seed).normal(size=(len(words), 2))
    groups = np.zeros(len(words), int) if groups is None else groups
    return plot.word_map(positions, words, groups, list(names), "what they are", "a title", "small print"), positions


def labels(drawn):
    return {text.get_text(): text for text in drawn.texts if text.get_text() not in ("a title", "small print")}


def boxes(drawn):
    renderer = drawn.canvas.get_renderer()
    return np.array([text.get_window_extent(renderer).extents for text in labels(drawn).values()])


def overlapping(boxes):
    a, b = boxes[:, None], boxes[None]
    meet = (a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2]) & (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3])
    return int(meet.sum() - len(boxes)) // 2


@pytest.mark.parametrize("count", [30, 450])
def test_no_label_overlaps_another_and_none_leaves_the_picture(count):
    drawn, _ = figure([f"wörd_{i}" for i in range(count)])
    found = boxes(drawn)
    assert len(found) > 20 and overlapping(found) == 0
    assert found.min() >= 0 and (found[:, 2] <= 13 * plot.DOTS).all() and (found[:, 3] <= 11 * plot.DOTS).all()


def test_the_measure_of_overlap_sees_one():
    assert overlapping(np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]])) == 1


def test_the_first_words_are_labelled_first():
    words = [f"word{i}" for i in range(300)]
    drawn, _ = figure(words, spread=0.0)  # all on one spot, with room for a label on either side
    assert list(labels(drawn)) == ["word0", "word1"]


def test_a_label_stands_beside_its_dot():
    drawn, positions = figure(["one", "two", "three"])
    dots = drawn.axes[0].transData.transform(positions)
    for (left, bottom, right, top), (x, y) in zip(boxes(drawn), dots, strict=True):
        away = max(left - x, x - right, bottom - y, y - top)
        assert 0 < away < 20


def test_the_four_places_of_a_label_leave_its_dot_free():
    places = list(plot._beside(np.array([10.0, 20.0]), 30.0, 8.0, 3.0))
    assert places == [(13, 16, 43, 24), (-23, 16, 7, 24), (-5, 23, 25, 31), (-5, 9, 25, 17)]


def test_words_no_font_can_draw_keep_their_dots_without_a_label():
    words = ["king", "кошка", "\U000f1234", "😀\U000f1234", "\udc80", " ", "\u0000"]
    drawn, _ = figure(words)
    plot.png(drawn)  # a missing letter would be a warning, and warnings are errors
    assert list(labels(drawn)) == ["king", "кошка"]
    assert sum(len(dots.get_offsets()) for dots in drawn.axes[0].collections) == len(words)


def test_dollars_and_underscores_are_no_formulas():
    names = ["$\\frac$, $1$", "a_b"]  # the first would not even parse
    drawn, _ = figure(["$x_1$", "$\\frac$", "a_b"], np.array([0, 1, 1]), names)
    plot.png(drawn)
    assert set(labels(drawn)) == {"$x_1$", "$\\frac$", "a_b"}
    assert [text.get_text() for text in drawn.axes[0].get_legend().get_texts()] == names


def test_each_group_has_a_colour_or_a_shape_of_its_own():
    count = 4 * len(plot.COLOURS)
    drawn, _ = figure([f"w{i}" for i in range(count)], np.arange(count), [f"g{i}" for i in range(count)])
    dots = [c for c in drawn.axes[0].collections if len(c.get_offsets())]
    looks = {(to_hex(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in dots}
    assert len(dots) == len(looks) == count
    assert len({colour for colour, _ in looks}) == len(plot.COLOURS)


def test_a_long_name_is_cut_and_an_unreadable_one_gets_a_number():
    drawn, _ = figure(["a", "b"], np.array([0, 1]), ["x" * 50, "\U000f1234"])
    assert [text.get_text() for text in drawn.axes[0].get_legend().get_texts()] == ["x" * 31 + "…", "group 2"]


def test_the_png_is_one_of_the_size_asked_for_and_the_same_each_time():
    first, second = (plot.png(figure(["king", "queen", "man"])[0]) for _ in range(2))
    assert first == second and first[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", first[16:24]) == (13 * plot.DOTS, 11 * plot.DOTS)


def contrast(one, other):
    """WCAG 2's ratio of two colours' luminances."""

    def luminance(colour):
        channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_writing_is_legible_and_the_page_has_the_same_colours():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert min(contrast("#ffffff", plot.INK), contrast("#ffffff", plot.SOFT)) > 4.5
    page = (Path(unrolled.__file__).parent / "page" / "map.html").read_text()
    assert tuple(re.findall(r'"(#\w{6})"', re.search(r"const LIGHT = \[(.*?)\]", page)[1])) == plot.COLOURS


# --- where a net looked


def heat(weights, source=None, written=None, columns=(), rows=()):
    T, S = np.shape(weights)
    source, written = source or [f"s{i}" for i in range(S)], written or [f"t{i}" for i in range(T)]
    return plot.attention(source, written, np.asarray(weights), list(columns), list(rows), "small print")


def test_rows_are_written_from_the_top_and_columns_read_from_the_left():
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 2)
    drawn = heat(weights, columns=[1], rows=[1])
    axes = drawn.axes[0]
    mesh, down, across = axes.collections
    assert np.array_equal(mesh.get_array(), weights) and (mesh.get_clim(), axes.get_ylim()) == ((0, 1), (2, 0))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["s0", "s1", "s2"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["t0", "t1"]
    assert down.get_segments()[0].tolist() == [[1, 0], [1, 2]] and across.get_segments()[0].tolist() == [[0, 1], [3, 1]]


def test_more_weight_is_darker():
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in plot.HEAT(np.linspace(0, 1, 20))]
    assert (np.diff(light) < 0).all()


@pytest.mark.parametrize("size", [1, 5, 41, 200])
def test_labels_stay_inside_and_apart_however_long_the_sentence(size):
    weights = np.full((size, size), 1 / size)
    long = ["Donaudampfschifffahrtsgesellschaftskapitän" if i % 7 == 3 else f"wörter{i}"[: 3 + i % 6] for i in range(size)]
    drawn = heat(weights, long, long)
    renderer = drawn.canvas.get_renderer()
    drawn.canvas.draw()
    axes = drawn.axes[0]
    for texts in (axes.get_xticklabels(), axes.get_yticklabels(), drawn.texts):
        found = np.array([text.get_window_extent(renderer).extents for text in texts])
        assert found.min() >= 0 and (found.max(0)[2:] <= drawn.bbox.extents[2:]).all()
        assert overlapping(found) == 0
        assert min(text.get_fontsize() for text in texts) >= 8


def test_letters_no_font_has_are_boxes_and_dollars_are_dollars():
    drawn = heat([[0.5, 0.5]], ["$x_1$", "a\U000f1234\n"], ["\udc80"])
    plot.png(drawn)
    axes = drawn.axes[0]
    assert [text.get_text() for text in (*axes.get_xticklabels(), *axes.get_yticklabels())] == ["$x_1$", "a□□", "□"]


def test_short_symbols_stand_upright():
    letters, names = heat([[0.5, 0.5]], ["a", "b"]), heat([[0.5, 0.5]], ["a", "sentence"])
    turned = [{text.get_rotation() for text in drawn.axes[0].get_xticklabels()} for drawn in (letters, names)]
    assert turned == [{0}, {90}]


def test_the_svg_is_the_same_each_time_and_letters_are_outlines():
    first, second = (plot.svg(heat([[0.25, 0.75]])) for _ in range(2))
    assert first == second and first.startswith(b"<?xml") and b"<text" not in first


def test_norms_are_drawn_as_powers_of_ten_with_what_each_line_is():
    curves = [plot.Curve("rnn", [0, -30, -60], 0, "-"), plot.Curve("lstm", [0, -0.1, -0.2], 1, "--")]
    grid = plot.Grid("copy", ["rnn", "lstm"], ["lag 10"], np.array([[0.1], [1.0]]), [["10 %"], ["100 %"]])
    drawn = plot.reach(curves, [grid], "small print")
    left, right = drawn.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [0, -30, -60])
    assert left.get_ylim()[0] == plot.DEEPEST
    assert [text.get_text() for text in left.get_legend().get_texts()][:2] == ["rnn", "lstm"]
    drawn.canvas.draw()
    assert "$10^{-40}$" in [tick.get_text() for tick in left.get_yticklabels()]
    assert [text.get_text() for text in right.texts] == ["10 %", "100 %"]
    assert [text.get_color() for text in right.texts] == [plot.INK, "white"]  # to be read on light and on dark


def test_training_is_drawn_with_the_clip():
    panels = {name: [plot.Curve("U", [-2, -3], 0, "-")] for name in ("gradients", "changes")}
    drawn = plot.training([10, 20], [0.5, 0.25], [2.0, 1.0], 1.0, panels, "small print")
    left, middle, right = drawn.axes
    assert [axes.get_ylabel() for axes in (middle, right)] == ["gradients", "changes"]
    assert [line.get_label() for line in left.lines] == ["mean", "longest", "clipped above"]
    assert list(left.lines[2].get_ydata()) == [1.0, 1.0]
    drawn.canvas.draw()
    assert {tick.get_text() for tick in right.get_yticklabels()} >= {"0.01", "0.001"}
