"""What a net hears, as page, picture, table and arrays: everything stands at its second, nothing is cut, letters stay text."""

import base64
import io
import itertools
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from unrolled import sound_page
from unrolled.errors import MISSING_EXTRA, UserError
from unrolled.logmel import LogMel
from unrolled.sound_page import ENDINGS, Heard, Span, bands, edges, page, table, ticks, whole

LOGMEL = LogMel(16_000, bands=8)


def heard(threshold=None, spans=(), names=("a", " "), seconds=1.0, answers=33) -> Heard:
    rng, names = np.random.default_rng(1), list(names)
    features = rng.normal(size=(LOGMEL.frames(round(seconds * 16_000)), 8)).astype(np.float32)
    times = 0.03 + 0.03 * np.arange(answers)
    return Heard(seconds, LOGMEL, features, times, names, rng.random((answers, len(names))), threshold, list(spans), "a <note>")


class Elements(HTMLParser):
    """Each element's name, attributes and text."""

    def __init__(self, text: bytes):
        super().__init__()
        self.found = []
        self.feed(text.decode())

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data

    def of(self, name, kind):
        return [each for each in self.found if each[0] == name and each[1].get("class") == kind]


def test_a_band_is_strongest_at_the_hertz_that_is_written_beside_it():
    bank = LOGMEL.bank()
    for hertz, band in zip(bands(LOGMEL), bank.T, strict=True):
        assert abs(band.argmax() * 16_000 / LOGMEL.spectrum_samples - hertz) < 16_000 / LOGMEL.spectrum_samples
    for at, hertz in ticks(LOGMEL):
        middle = np.interp(at, np.arange(8) + 0.5, bands(LOGMEL))
        assert middle == pytest.approx(hertz)
    assert [hertz for _, hertz in ticks(LOGMEL)] == [250, 500, 1000, 2000, 4000]


def test_frames_stand_at_the_middle_of_what_they_see():
    one = heard()
    begin, end = edges(one)
    assert begin + LOGMEL.hop / 2 == pytest.approx(LOGMEL.window / 2)
    assert end <= one.seconds and end > one.seconds - LOGMEL.window
    assert whole(one)[0]["spectrogram_seconds"][:2] == [0.0125, 0.0225]


def test_the_spectrogram_of_a_page_is_the_features():
    from matplotlib.image import imread

    one = heard()
    found = re.search(rb"base64,([^']+)'", page(one))[1]
    image = imread(io.BytesIO(base64.b64decode(found)))  # (M, F), 0 black
    assert image.shape == one.features.T.shape
    wanted = (one.features.max() - one.features.T[::-1]) / np.ptp(one.features)
    np.testing.assert_allclose(image, wanted, atol=0.003)


def test_a_page_draws_each_symbol_in_its_row_at_its_second():
    one = heard(names=("a", " "), answers=3)._replace(probabilities=np.array([[0.9, 0.0], [0.0, 0.5], [0.0, 0.004]]))
    found = Elements(page(one))
    cells = found.of("rect", "cell")
    assert [each[1]["style"] for each in cells] == ["--p:0.90", "--p:0.50"]
    assert [float(each[1]["y"]) for each in cells] == [0, sound_page.ROW]
    middles = [float(each[1]["x"]) + float(each[1]["width"]) / 2 for each in cells]
    assert middles == pytest.approx([sound_page.LEFT + sound_page.PIXELS * t for t in (0.03, 0.06)], abs=0.11)
    assert [each[2] for each in found.of("text", "left")][-2:] == ["a", "␣"]


def test_a_page_of_a_detector_draws_the_curve_its_threshold_and_its_events():
    one = heard(0.75, [Span("", 0.5, 0.5, 0.9)], ["the word"])
    found = Elements(page(one))
    (line,), (event,), (curve,) = (found.of(*kind) for kind in (("line", "threshold"), ("line", "event"), ("polyline", "curve")))
    assert float(line[1]["y1"]) == float(line[1]["y2"]) == pytest.approx(sound_page.HIGH * 0.25)
    assert float(event[1]["x1"]) == float(event[1]["x2"]) == sound_page.LEFT + sound_page.PIXELS * 0.5
    points = np.array([point.split(",") for point in curve[1]["points"].split()], float)
    np.testing.assert_allclose((points[:, 0] - sound_page.LEFT) / sound_page.PIXELS, one.times, atol=0.001)
    np.testing.assert_allclose(1 - points[:, 1] / sound_page.HIGH, one.probabilities[:, 0], atol=0.001)
    assert [each[2] for each in found.of("text", "word")] == ["0.50 s"]


def test_words_are_text_whatever_they_hold():
    word = "<script>alert('&')</script>"
    made = page(heard(None, [Span(word, 0.1, 0.3, 0.8)], ["<b>"]))
    assert b"<script" not in made and b"a &lt;note&gt;" in made and b"<b>" not in made
    assert word in {each[2] for each in Elements(made).of("text", "word")}
    assert b"@" not in re.sub(rb"@media", b"", made)


def test_names_that_meet_stand_on_different_lines():
    one = heard(None, [Span("abcdefgh", t, t + 0.1, 0.8) for t in (0.1, 0.25, 0.4)])
    rows = [float(each[1]["y"]) for each in Elements(page(one)).of("text", "word")]
    assert len(set(rows)) == 3


def test_a_table_has_words_or_events_or_what_came_closest():
    spans = [Span("one", 0.1, 0.3, 0.8), Span("two", 0.4, 0.6, 0.7)]
    assert [row["word"] for row in table(heard(None, spans))] == ["one", "two"]
    assert table(heard(0.5, [Span("", 0.2, 0.2, 0.9)], ["w"])) == [{"time": 0.2, "probability": 0.9, "fires": True}]
    one = heard(1.0, names=["w"])
    best = int(one.probabilities.argmax())
    (row,) = table(one)
    assert row == {"time": round(one.times[best], 3), "probability": round(one.probabilities[best, 0], 4), "fires": False}
    assert table(heard(1.0, names=["w"], answers=0)) == []


def test_programs_get_every_array():
    one = heard(0.5, [Span("", 0.2, 0.2, 0.9)], ["w"])
    (found,) = whole(one)
    np.testing.assert_allclose(found["spectrogram"], one.features, atol=6e-4)
    np.testing.assert_allclose(found["probabilities"], one.probabilities, atol=6e-5)
    np.testing.assert_allclose(found["answer_seconds"], one.times, atol=6e-5)
    assert found["threshold"] == 0.5 and found["events"] == table(one) and "words" not in found
    assert len(found["spectrogram_hertz"]) == 8


WORDS = [Span(word, t, t + 0.2, 0.9) for word, t in (("one", 0.0), ("twenty-seven", 0.25), ("three", 0.5), ("four", 0.78))]


@pytest.mark.parametrize(
    "one",
    [
        heard(None, WORDS, [*"abcdefg", "a long word that is a symbol", " "]),
        heard(0.96, [Span("", 0.99, 0.99, 0.97)], ["w"]),
        heard(0.02, [], ["w"], seconds=9.0),
        heard(None, [], [], answers=0),
        heard(None, [], ["a"], answers=1)._replace(note="a long path/" * 20),
    ],
)
def test_no_label_of_a_picture_is_cut(one, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    from unrolled import plot

    figures = []
    monkeypatch.setattr(plot, "png", lambda figure: figures.append(figure) or b"")
    ENDINGS[".png"](one)
    figure = figures[0]
    renderer, (width, height) = figure.canvas.get_renderer(), figure.canvas.get_width_height()
    figure.draw(renderer)
    texts = [text for text in figure.findobj(lambda each: hasattr(each, "get_text")) if text.get_visible() and text.get_text()]
    said = {text.get_text() for text in texts}
    assert {"hertz", "seconds", one.note} <= said
    assert {span.text or f"{span.end:.2f} s" for span in one.spans} <= said
    for left, bottom, right, top in (text.get_window_extent(renderer).extents for text in texts):
        assert left >= 0 and bottom >= 0 and right <= width and top <= height


def test_words_of_a_picture_do_not_meet(monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    from unrolled import plot

    figures = []
    monkeypatch.setattr(plot, "png", lambda figure: figures.append(figure) or b"")
    ENDINGS[".png"](heard(None, WORDS))
    renderer, texts = figures[0].canvas.get_renderer(), {span.text for span in WORDS}
    boxes = [text.get_window_extent(renderer) for text in figures[0].axes[0].texts if text.get_text() in texts]
    assert len(boxes) == len(WORDS) and not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(("ending", "begin"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".html", b"<!doctype html>")])
def test_the_same_sound_gives_the_same_bytes(ending, begin):
    one = heard(0.5, [Span("", 0.2, 0.2, 0.9)], ["w"])
    made = ENDINGS[ending](one)
    assert made.startswith(begin) and made == ENDINGS[ending](one)


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "unrolled.plot", raising=False)
    monkeypatch.delattr(sys.modules["unrolled"], "plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="a picture needs the package `matplotlib") as error:
        ENDINGS[".png"](heard())
    assert error.value.code == MISSING_EXTRA
