"""Small pictures: what is drawn where, and that each file stands by itself."""

import itertools
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from unrolled import charts, run_report
from unrolled.charts import Line
from unrolled.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"


def read(path):
    """The root of a file, which has all that a browser needs to show it."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg" and float(root.get("width")) > 0 and float(root.get("height")) > 0
    assert "http" not in path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
    return root


def cells(root):
    """{(row, column): colour} of all that is shaded."""
    found = {}
    for path in root.iter(f"{SVG}path"):
        for column, row, run in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.get("d")):
            found |= {(int(row), int(column) + i): path.get("stroke") for i in range(int(run))}
    return found


def test_a_grid_is_blue_above_zero_vermilion_below_and_white_at_zero(tmp_path):
    values = np.array([[1.0, 1.0, 0.0], [-1.0, 0.5, 0.0]])
    charts.grid(tmp_path / "a.svg", "a < b", ["x", "y"], "abc", values, "time")
    root = read(tmp_path / "a.svg")
    shaded = cells(root)
    assert set(shaded) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert shaded[0, 0] == shaded[0, 1] == "#0072b2" and shaded[1, 0] == "#d55e00"
    assert shaded[1, 1] == "#80b8d8"  # half way from white
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts == ["a < b", "x", "y", "a", "b", "c", "1.00", "1.00", "0.00", "-1.00", "0.50", "0.00", "time"]


def test_a_large_grid_has_every_cell_and_no_numbers(tmp_path):
    values = np.random.default_rng(1).uniform(0.1, 1, (20, 60))
    charts.grid(tmp_path / "a.svg", "many", [], [], values)
    root = read(tmp_path / "a.svg")
    assert set(cells(root)) == set(np.ndindex(20, 60))
    assert [text.text or "" for text in root.iter(f"{SVG}text")] == ["many", ""]
    assert (tmp_path / "a.svg").stat().st_size < 20_000


def test_a_grid_of_zeros_has_no_shade(tmp_path):
    charts.grid(tmp_path / "a.svg", "none", [], [], np.zeros((2, 3)))
    assert cells(read(tmp_path / "a.svg")) == {}


def test_lines_begin_at_zero_or_have_places_of_their_own(tmp_path):
    charts.lines(tmp_path / "a.svg", "loss", "steps", {"a": [3.0, 2.0, 1.0], "b": Line([0, 2], [1.0, 3.0])}, {"floor": 2.0})
    a, b = (
        [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        for line in read(tmp_path / "a.svg").iter(f"{SVG}polyline")
    )
    assert [x for x, _ in b] == [a[0][0], a[2][0]]
    assert [y for _, y in b] == [a[2][1], a[0][1]]


def test_a_line_without_points_is_left_out(tmp_path):
    lines = {"empty": [], "unknown": [float("nan"), None], "known": [2.0, float("nan"), 1.0]}
    charts.lines(tmp_path / "a.svg", "loss", "steps", lines, {})
    root = read(tmp_path / "a.svg")
    (line,) = root.iter(f"{SVG}polyline")
    assert len(line.get("points").split()) == 2
    shown = {text.text for text in root.iter(f"{SVG}text")}
    assert "known" in shown and not shown & {"empty", "unknown"}


def test_dots_stand_where_their_numbers_are(tmp_path):
    charts.dots(tmp_path / "a.svg", "up", "right", {"a": (0, 0), "b & c": (1, 2), "d": (2, 1)})
    root = read(tmp_path / "a.svg")
    b, d, a = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter(f"{SVG}circle")]
    assert b[0] - a[0] == pytest.approx(d[0] - b[0], abs=0.2) and b[0] > a[0]
    assert a[1] - d[1] == pytest.approx(d[1] - b[1], abs=0.2) and a[1] > d[1]  # what is more lies higher, where y is smaller
    assert {"a", "b & c", "d", "up", "right"} <= {text.text for text in root.iter(f"{SVG}text")}
    heights = {text.text: float(text.get("y")) for text in root.iter(f"{SVG}text")}
    assert [heights[name] for name in ("a", "b & c", "d")] == pytest.approx([a[1] + 4, b[1] + 4, d[1] + 4])  # beside its dot


def test_names_of_dots_do_not_lie_over_one_another(tmp_path):
    charts.dots(
        tmp_path / "a.svg", "up", "right", {"aaaa": (0, 1), "bbbb": (0, 1), "cccc": (0.01, 1.01), "d": (5, 0), "e": (5, 9)}
    )
    names = [text for text in read(tmp_path / "a.svg").iter(f"{SVG}text") if text.text in ("aaaa", "bbbb", "cccc")]
    heights = sorted(float(text.get("y")) for text in names)
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 12


def test_names_of_dots_side_by_side_have_room_between_them(tmp_path):
    charts.dots(tmp_path / "a.svg", "up", "right", {"left": (0, 0), "2": (90, 0.1), "0": (96, 0), "right": (300, 9)})
    root = read(tmp_path / "a.svg")
    (x2, y2), (x0, y0) = (
        next(
            (float(text.get("x")), float(text.get("y")))
            for text in root.iter(f"{SVG}text")
            if text.text == name and not text.get("class")
        )
        for name in "20"
    )
    assert abs(y2 - y0) >= 12 or abs(x2 - x0) >= 6.6 + 3


def test_names_of_dots_stay_within_the_axes(tmp_path):
    places = {"a name at the right end": (9, 0), "another": (9, 0), "third": (0, 0), "fourth": (0, 0), "top": (4, 1)}
    charts.dots(tmp_path / "a.svg", "up", "right", places)
    root = read(tmp_path / "a.svg")
    left, top, ground, right = map(float, re.findall(r"[\d.]+", root.find(f"{SVG}path").get("d")))
    assert right > 0.8 * float(root.get("width"))
    for text in root.iter(f"{SVG}text"):
        if text.text in places:
            x, wide = float(text.get("x")), 6.6 * len(text.text)
            begin = x - wide * (text.get("text-anchor") == "end")
            assert left <= begin and begin + wide <= right and top < float(text.get("y")) < ground


def test_names_of_columns_are_all_turned_or_none(tmp_path):
    for names, turned in ((["a", "bb"], 0), (["a", "a long name"], 2)):
        charts.grid(tmp_path / "a.svg", "turned", [], names, np.ones((2, 2)))
        shown = [text for text in read(tmp_path / "a.svg").iter(f"{SVG}text") if text.text in names]
        assert sum("rotate" in text.get("transform", "") for text in shown) == turned and len(shown) == 2


def test_what_is_no_number_is_drawn_as_nothing(tmp_path):
    charts.grid(tmp_path / "a.svg", "none", [], [], np.array([[1.0, np.nan, -0.5]]))
    root = read(tmp_path / "a.svg")
    assert set(cells(root)) == {(0, 0), (0, 2)}
    assert sum(path.get("class") == "frame" for path in root.iter(f"{SVG}path")) == 2  # the parts on both sides
    assert [text.text for text in root.iter(f"{SVG}text") if text.text] == ["none", "1.00", "-0.50"]


def run_of(folder, name, values):
    folder.mkdir()
    lines = [json.dumps({"step": 10 * step, name: value}) for step, value in enumerate(values, 1)]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "report.json").write_text(json.dumps({"baselines": {"6-gram": {name: 2.0}, "bzip2": {"other": 1.0}}}))
    return folder


def test_curves_of_runs_have_the_baselines_of_the_first(tmp_path):
    runs = {name: run_of(tmp_path / name, "bits", values) for name, values in {"one": [3.0, 1.0], "two": [4.0, 2.5]}.items()}
    run_report.curves(tmp_path / "a.svg", runs, "bits")
    root = read(tmp_path / "a.svg")
    assert len(list(root.iter(f"{SVG}polyline"))) == 2
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"bits", "training steps", "one", "two", "6-gram"} <= texts and "bzip2" not in texts


def test_a_measure_that_a_log_does_not_have_is_named(tmp_path):
    run = run_of(tmp_path / "one", "bits", [3.0, 1.0])
    with pytest.raises(UserError, match=r"the log of `.*one` has no measure `bites`"):
        run_report.curves(tmp_path / "a.svg", {"one": run}, "bites")
