"""The page in every run folder, and the lines drawn on it."""

import itertools
import json
import re
import shlex
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from unrolled import api, cli, line_chart, run_report, template
from unrolled.line_chart import Line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of two evaluations, of a text with what HTML takes for its own."""
    base = tmp_path_factory.mktemp("report")
    (base / "a <b> & c.txt").write_text("if a < b & b > c: <script>x()</script> " * 60)
    sizes = {"hidden": 16, "layers": 1, "steps": 20, "evaluations": 2}
    return api.train("language", [base / "a <b> & c.txt"], out=base / "run <1>", quiet=True, **sizes).folder


class Reader(HTMLParser):
    """Tags that were opened, and what they hold."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "img", "path", "rect", "circle", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_tells_the_run_and_asks_nothing_of_a_network(folder):
    text = (folder / "report.html").read_text()
    page, report = Reader(text), json.loads((folder / "report.json").read_text())
    assert page.open == [] and "script" not in page.tags
    assert f"language: {folder.name}" in page.words
    assert f"{report['dev']['nats_per_symbol']:,.4f}" in page.words
    for floor in report["baselines"]:
        assert floor in page.words
    assert not any(re.match("(https?:)?//", value or "") for name, value in page.attributes if name in ("src", "href"))
    assert "default-src 'none'" in dict(page.attributes)["content"] or "default-src 'none'" in text
    assert "@" not in re.sub(r"@media[^{]*", "", text)  # no place was left empty
    assert page.tags.count("polyline") == 2  # the loss, and the measure
    assert any("trained on " in word and "a <b> & c.txt" in word for word in page.words)
    assert ("In detail" in page.words) == bool(report.get("tables") or report.get("suspects"))


def test_its_command_does_the_same_again(folder, tmp_path):
    line = run_report.command(json.loads((folder / "config.json").read_text()))
    assert line in "".join(Reader((folder / "report.html").read_text()).words)
    words = shlex.split(line)
    assert words[:3] == ["unrolled", "train", "language"]
    assert cli.run([*words[1:], "--out", str(tmp_path / "again"), "--quiet"]) == 0
    ours, theirs = (json.loads((run / "report.json").read_text())["dev"] for run in (folder, tmp_path / "again"))
    assert ours == theirs


def test_sound_and_pictures_are_inside(tmp_path):
    for name, data in (("5.txt", b"old"), ("12.txt", b"new <b>"), ("12.wav", b"RIFF"), ("curve.png", b"PNG"), ("12.npz", b"x")):
        (tmp_path / name).write_bytes(data)
    found = run_report._samples(tmp_path)
    assert "after 12 steps" in found and "old" not in found and "new &lt;b&gt;" in found
    assert 'audio controls src="data:audio/wav;base64,UklGRg=="' in found and "<h2>Pictures</h2>" in found and "npz" not in found
    assert run_report._samples(tmp_path / "none") == ""


def test_a_place_is_filled_wherever_it_stands(monkeypatch, tmp_path):
    (tmp_path / "a.html").write_text("<title>@A@</title><h1>@A@</h1>@B@@A@")
    monkeypatch.setattr(template, "PAGES", tmp_path)
    assert template.fill("a.html", {"@A@": "x @B@", "@B@": "y @A@"}) == b"<title>x @B@</title><h1>x @B@</h1>y @A@x @B@"


def test_a_baseline_that_has_a_measure_of_each_label_is_told_in_single_ones():
    found = run_report._measures({"dev": {"accuracy": 0.5}, "baselines": {"majority": {"accuracy": 0.25, "f1_of": {"a": 0.1}}}})
    assert "<td>accuracy</td>" in found and "0.2500" in found and "f1_of" not in found and "{" not in found


# --- lines


def of(svg):
    return ET.fromstring(svg)


def test_a_line_is_where_its_numbers_are():
    root = of(line_chart.svg("loss", "steps", {"run": Line([0, 50, 100], [3.0, 2.0, 1.0])}, {"floor": 2.0}))
    (line,) = root.iter("polyline")
    (x1, y1), (x2, y2), (x3, y3) = (map(float, point.split(",")) for point in line.get("points").split())
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2) and y2 - y1 == pytest.approx(y3 - y2, abs=0.2)
    assert x1 < x2 and y1 < y2  # lower values lie lower, where an SVG's y is larger
    (level,) = (path for path in root.iter("path") if path.get("class") == "level")
    assert float(re.search(r" ([\d.]+)H", level.get("d"))[1]) == pytest.approx(y2, abs=0.2)
    ticks = [text.text for text in root.iter("text") if text.get("class").startswith("tick")]
    assert {"0", "50", "100", "1", "1.5", "2", "2.5", "3", "steps", "run", "floor"} == set(ticks)


def test_names_do_not_lie_over_one_another():
    root = of(line_chart.svg("a", "b", {"run": Line([1, 2], [1.0, 1.0])}, {"x": 1.0, "y": 1.001, "z" * 50: 1.0005}))
    names = [text for text in root.iter("text") if float(text.get("x")) > line_chart.WIDTH - line_chart.RIGHT]
    places = sorted(float(text.get("y")) for text in names)
    assert len(places) == 4 and min(b - a for a, b in itertools.pairwise(places)) >= 14
    assert max(len(text.text) for text in names) == line_chart.LONGEST


def test_what_is_no_number_is_left_out():
    root = of(line_chart.svg("a", "b", {"run": Line([1, 2, 3], [1.0, float("nan"), 2.0])}, {"x": float("inf")}))
    assert len(next(root.iter("polyline")).get("points").split()) == 2
    assert line_chart.svg("a", "b", {"run": Line([1], [float("nan")])}, {}) == ""
