"""Pictures of nets unrolled over time: what a reader of one relies on."""

import runpy
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from unrolled import api, cli, tasks, unrolling
from unrolled.data.vocab import Codec

SYMBOLS = Codec("characters", ("a", "b"))
SIZES = {"hidden": 16, "layers": 2, "data": ("x",)}
BOTH = {"cell": "lstm", "embedding": 8, "direction": "both", **SIZES}
NETS = {
    "language": ({"cell": "gru", "embedding": 8, **SIZES}, SYMBOLS),
    "classify": ({"pooling": "last", **BOTH}, Codec("words", ("a", "b"), ("bad", "good"))),
    "tag": ({"spelling": 4, **BOTH}, Codec("words", ("a", "b"), ("O", "B-x", "I-x"))),
    "translate": ({"attention": "additive", "feed": False, **BOTH}, Codec("characters", ("a", "b"), beside=SYMBOLS)),
    "speech": ({"hertz": 8000, **SIZES}, SYMBOLS),
    "trigger": (SIZES, Codec("words", ("hey",))),
    "caption": ({"size": 32, "stages": 2, "width": 16, "embedding": 8, "cell": "lstm", **SIZES}, SYMBOLS),
    "video": ({"per": "clip", "pooling": "last", "frames": 4, "size": 32, **SIZES}, Codec("words", (), ("up", "down"))),
    "wavenet": ({"cell": "rnn", "hertz": 8000, **SIZES}, Codec("sounds")),
}


def of(task, steps=4, **other):
    """The picture's elements, each a tag without its name space."""
    page, (settings, codec) = tasks.load(task), NETS[task]
    picture = page.picture(page.Model(page.Config(**{**settings, **other}), codec))
    root = ET.fromstring(unrolling.svg(picture, steps))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return picture, root


def texts(root):
    return [element.text for element in root.iter("text") if element.text]


@pytest.mark.parametrize("task", NETS)
@pytest.mark.parametrize("steps", [2, 5])
def test_a_row_has_a_box_a_step_and_one_colour(task, steps):
    picture, root = of(task, steps)
    boxes = Counter(box.get("style") for box in root.iter("rect") if box.get("class") == "box")
    rows = [row for part in picture.parts for layer in part.layers for row in layer]
    alone = sum(bool(part.pool) for part in picture.parts)  # the row above a pooling has one box, the pooling another
    rows += [picture.attention] * bool(picture.attention)
    once = sum(len(layer) for part in picture.parts for layer in part.layers if part.once)
    bars = alone + bool(picture.attention)
    assert sum(boxes.values()) == steps * (len(rows) - once - bars) + once + bars + alone
    assert len(boxes) == min(len(rows), len(unrolling.COLOURS)) + alone
    names = Counter(text for text in texts(root) if text in {row.name for row in rows})
    for name, number in Counter(row.name for row in rows).items():
        assert names[name] >= number  # in boxes, and in the key


@pytest.mark.parametrize("task", NETS)
def test_nothing_lies_outside_the_page(task):
    _, root = of(task)
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter("text"):
        assert 0 < float(element.get("x")) < width and 0 < float(element.get("y")) < height
    for box in root.iter("rect"):
        assert float(box.get("x")) >= 0 and float(box.get("x")) + float(box.get("width")) <= width


@pytest.mark.parametrize(
    ("task", "kind", "shown"),
    [
        ("language", unrolling.SAME, ["E 4 × 8", "W 48 × 8", "U 48 × 16", "h: 16", "W 4 × 32"]),
        ("classify", unrolling.ONE, ["each direction's last state", "h, c: 16", "LSTM, backward", "ŷ", "W 2 × 32"]),
        ("tag", unrolling.SAME, ["W 64 × 16", "W 3 × 32"]),
        (
            "translate",
            unrolling.OTHER,
            ["attention, additive", "v 1 × 16", "first state, of both directions", "writer", "combine"],
        ),
        ("speech", unrolling.SAME, ["convolution", "W 4 × 32"]),
        ("trigger", unrolling.SAME, ["σ", "a step is 30 ms of the log-mel spectrogram"]),
        (
            "caption",
            unrolling.MANY,
            ["picture", "convolutions", "at each word it looks at 8 x 8 places of the picture"],
        ),
        ("video", unrolling.ONE, ["features", "the last state", "convolutions"]),
        ("wavenet", "many to many, each output the next input", ["RNN", "E 256 × 64", "W 256 × 16"]),
    ],
)
def test_the_type_and_the_shapes_are_written(task, kind, shown):
    picture, root = of(task)
    assert picture.kind.startswith(kind) and picture.kind in texts(root)
    for text in shown:
        assert text in texts(root)


def test_the_key_says_whose_a_layer_is_where_both_parts_have_such():
    _, root = of("translate")
    key = [element.text for element in root.iter("text") if element.get("class") == "label"]
    assert {"reader's LSTM", "reader's LSTM, backward", "writer's LSTM", "memory", "combine"} <= set(key)
    assert not {"LSTM", "writer's combine"} & set(key)


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_pooling_keeps_the_width_of_both_directions(pooling):
    _, root = of("classify", pooling=pooling)
    bar = next(float(box.get("y")) for box in root.iter("rect") if box.get("style") == f"fill:{unrolling.NEUTRAL}")
    sizes = [(text.text, float(text.get("y")) - bar) for text in root.iter("text") if (text.text or "").isdigit()]
    assert [size for size, below in sizes if -50 < below < 0] == ["32"]
    assert [size for size, below in sizes if 34 < below < 84] == (["16", "16"] if pooling == "last" else ["32"])


@pytest.mark.parametrize(("layers", "lines"), [(1, 0), (2, 8), (3, 12)])
def test_what_reads_the_states_of_all_layers_has_a_line_from_each(layers, lines):
    picture, root = of("language", layers=layers)
    wanted = picture.parts[0].layers[-1][0].weights[0].rpartition(" × ")[2]
    assert wanted == str(16 * layers) and wanted in texts(root)
    assert sum(path.get("class") == "edge" and path.get("marker-end") is None for path in root.iter("path")) == lines


@pytest.mark.parametrize("task", NETS)
def test_what_is_written_on_edges_lies_outside_the_boxes(task):
    _, root = of(task)
    boxes = [[float(box.get(name)) for name in ("x", "y", "width", "height")] for box in root.iter("rect") if box.get("class")]
    for text in root.iter("text"):
        if text.get("class") == "small" and text.text:
            x, y, width = float(text.get("x")), float(text.get("y")), 6 * len(text.text)
            left = x - width * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
            assert not [
                box for box in boxes if left < box[0] + box[2] and box[0] < left + width and box[1] < y < box[1] + box[3] + 9
            ]


def test_attention_sees_the_states_of_reader_and_writer():
    _, root = of("translate", steps=3)
    colour = f"fill:{unrolling.COLOURS[11]}"
    (bar,) = (box for box in root.iter("rect") if box.get("style") == colour and box.get("class") == "box")
    low = float(bar.get("y")) + float(bar.get("height"))
    into = [path for path in root.iter("path") if path.get("d").endswith(f"V{low:g}")]
    writing = [path for path in into if path.get("style") == f"stroke:{unrolling.COLOURS[10]}"]  # to the softmax beside it
    assert len(writing) == 3 and len(into) - len(writing) == 3 + 1 and "h: 16" in texts(root)


def test_the_last_output_of_dilated_convolutions_rests_on_the_whole_field():
    page = tasks.load("wavenet")
    model = page.Model(page.Config(data=("x",), hertz=8000, layers=3, cycles=1, residual=4, skip=6), Codec("sounds"))
    root = ET.fromstring(unrolling.svg(page.picture(model)))
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    bold = [circle for circle in circles if "opacity" not in circle.get("style")]
    assert len(circles) == 4 * 8  # 1 + 2 + 4 apart: eight samples, and three layers over them
    assert len(bold) == 1 + 2 + 4 + 8
    assert "many to many, each output the next input; 8 samples in view" in [element.text for element in root.iter()]


@pytest.mark.parametrize("task", ["tag", "video"])
def test_an_edge_tells_how_many_numbers_the_box_above_reads(task):
    picture, root = of(task)
    below, above = picture.parts[0].layers[:2]
    wanted = above[0].weights[0].rpartition(" × ")[2]  # W: outputs × inputs
    assert str(below[0].size) == wanted and wanted in texts(root)


def test_of_many_dilated_layers_the_lowest_are_drawn_and_the_rest_told():
    page = tasks.load("wavenet")
    model = page.Model(page.Config(data=("x",), hertz=8000, layers=8, cycles=2, residual=4, skip=6), Codec("sounds"))
    for steps, drawn in ((2, 2), (5, 5), (12, unrolling.MOST_LAYERS)):
        shown = [element.text or "" for element in ET.fromstring(unrolling.svg(page.picture(model), steps)).iter()]
        assert f"the lowest {drawn} of 16 layers; the dilations of all: 1 to 128, 2 times" in shown
        assert [text for text in shown if text.endswith("apart")] == [f"{2**k} apart" for k in reversed(range(drawn))]
        assert "to the layers above" in shown and "next sample" not in shown


def test_the_pictures_of_the_page_of_types_are_what_is_drawn_today():
    docs = Path(__file__).parents[1] / "docs"
    drawn = runpy.run_path(str(docs / "unrolled_nets.py"))["drawn"]()
    assert drawn == {path.name: path.read_text(encoding="utf-8") for path in (docs / "types").glob("*.svg")}


def test_the_verb_writes_a_picture(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("one two three. " * 40)
    run = api.train("language", [tmp_path / "a.txt"], out=tmp_path / "run", steps=1, hidden=8, layers=1, quiet=True)
    assert cli.run(["graph", str(run.folder), "--steps", "3"]) == 0
    assert capsys.readouterr().out.strip() == str(run.folder / "graph.svg")
    assert (run.folder / "graph.svg").read_text().count("ŷ⟨T⟩") == 1
    assert cli.run(["graph", str(run.folder), "--out", str(tmp_path / "a.png")]) == 2
    assert "does not say what to write; a graph may end in .svg" in capsys.readouterr().err
    assert cli.run(["graph", str(run.folder), "--steps", "1"]) == 2
