"""Exported files: the same numbers as the model at every size, refusals by name, and nothing written where they differ."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from unrolled import api, cells, cli, convolutional, export, layers, resnet
from unrolled import run as folders
from unrolled.cells import CELLS
from unrolled.config import build
from unrolled.data.vocab import Codec
from unrolled.errors import UserError
from unrolled.export import builder as building
from unrolled.export import checking
from unrolled.export.builder import Builder
from unrolled.recurrent import Recurrent
from unrolled.tasks import caption, classify, language, speech, tag, translate, trigger, video, wavenet

LETTERS = "abcdefghijklmnop \n"


def run_of(page, codec: Codec, **settings) -> api.Run:
    """A run with fresh weights, as it would come from a folder."""
    torch.manual_seed(1)
    config = build(page.Config, settings)
    return api.Run(Path("runs/fresh"), config, codec, page.Model(config, codec).eval(), page)


def writer(**settings) -> api.Run:
    sizes = {"hidden": 12, "embedding": 6, "layers": 2, "dropout": 0.0, "input_dropout": 0.0, "weight_dropout": 0.0}
    return run_of(language, Codec("characters", sorted(LETTERS)), **(sizes | settings))


def reader(**settings) -> api.Run:
    codec = Codec("tokens", ["cold", "rude", "warm"], ["bad", "fair", "good"], records=True, fixed=1)
    return run_of(classify, codec, **({"hidden": 6, "embedding": 5, "layers": 2, "pooling": "max", "ordered": False} | settings))


def tagger(**settings) -> api.Run:
    labels = ["O", *(f"{letter}-person" for letter in "BIES")]
    return run_of(
        tag, Codec("tokens", ["he", "said", "sings"], labels, records=True), **({"hidden": 6, "embedding": 5} | settings)
    )


def translator(**settings) -> api.Run:
    settings = {"hidden": 8, "embedding": 6, "cell": "gru", "attention": "dot", "stretch": 1.0} | settings
    return run_of(translate, Codec("characters", sorted(LETTERS), records=True), **settings)


def hearer(**settings) -> api.Run:
    """A net that listens for a word, and hears noise now and then."""
    sizes = {"hidden": 8, "layers": 2, "channels": 6, "hertz": 8000, "refractory": 0.1, "release": 1.0}
    run = run_of(trigger, Codec("words", ["hey you"]), **(sizes | settings))
    run.model.normalise.running_mean.fill_(-8).add_(torch.arange(40) / 10)
    run.model.normalise.running_var.fill_(4.0)
    torch.nn.init.normal_(run.model.output.weight, std=3)
    return run


def talker(folder: Path, **settings) -> api.Run:
    """A net that hears all symbols in noise; its folder has transcripts."""
    (folder / speech.TRANSCRIPTS).write_text("a mad log\nmad a\ngo a mad lad\n")
    symbols = ["a", "go", "mad"] if settings.get("symbols") == "words" else sorted(" adglmo")
    sizes = {"hidden": 8, "layers": 1, "channels": 6, "hertz": 8000}
    run = run_of(speech, Codec(settings.get("symbols", "characters"), symbols), **(sizes | settings))._replace(folder=folder)
    run.model.normalise.running_mean.fill_(-8).add_(torch.arange(40) / 10)
    torch.nn.init.normal_(run.model.output.weight, std=2)
    return run


def captioner(**settings) -> api.Run:
    """A net that says something else of each picture."""
    sizes = {"size": 20, "stages": 2, "width": 32, "hidden": 8, "embedding": 6, "longest": 9, "encoder": "scratch"}
    run = run_of(caption, Codec("words", ["a", "circle", "red", "square"], records=True), **(sizes | settings))
    for part in (run.model.memory, run.model.embed, run.model.combine):
        torch.nn.init.normal_(part.weight, std=1.0)
    return run


def watcher(**settings) -> api.Run:
    """A net that sees something else in each clip."""
    sizes = {"size": 16, "channels": 16, "features": 7, "hidden": 8, "frames": 5, "per": "clip", "pooling": "last"}
    run = run_of(video, Codec("words", [], ["falls", "jumps", "rests"]), **(sizes | settings))
    run.model.sharpness.fill_(1.5)
    for layer in (run.model.place, run.model.output):
        torch.nn.init.normal_(layer.weight, std=0.7)
    return run


def maker(**settings) -> api.Run:
    """A net that makes sound of its own."""
    sizes = {"hertz": 4000, "cycles": 2, "layers": 4, "residual": 6, "skip": 10, "hidden": 8}
    labels = ["flute", "harp"] if settings.get("labels") else []
    run = run_of(wavenet, Codec("words", (), labels), **(sizes | settings))
    run.model.net.output.weight.data.mul_(30)
    return run


MAKERS = [
    {},
    {"head": "16-bit", "kernel": 3},
    {"labels": True, "guide_by": "notes", "layers": 1, "cycles": 1},
    {"cell": "gru", "layers": 2, "labels": True},
    {"cell": "lstm", "head": "16-bit", "guide_by": "notes", "layers": 1},
]
WATCHERS = [
    {},
    {"cell": "lstm", "pooling": "mean", "layers": 2},
    {"pooling": "max", "size": 32},
    {"direction": "both", "cell": "rnn"},
    {"cell": "none", "pooling": "mean"},
    {"cell": "middle", "pooling": "mean"},
    {"per": "frame", "cell": "gru_after", "every": 2},
    {"per": "frame", "direction": "both", "cell": "lstm"},
    {"per": "frame", "cell": "none", "pooling": "mean"},
    {"per": "frame", "cell": "none", "pooling": "mean", "direction": "both"},
    {"per": "frame", "cell": "middle", "pooling": "mean"},
]
CAPTIONERS = [
    {},
    {"cell": "lstm", "attention": "general", "layers": 2, "size": 19},
    {"cell": "rnn", "attention": "dot", "stages": 3},
]
TRANSLATORS = [
    {},
    {"cell": "lstm", "attention": "general", "feed": True, "layers": 2},
    {"cell": "rnn", "attention": "additive", "coverage": True, "direction": "forward"},
    {"attention": "none", "tied": False},
    {"attention": "general", "coverage": True, "feed": True},
]


def compiled(graph: Builder) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph.model({}).SerializeToString(), providers=["CPUExecutionProvider"])


# --- the builder


@pytest.mark.parametrize("both", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_is_the_same_as_scan_whatever_the_lengths(cell, both):
    torch.manual_seed(2)
    net, graph = Recurrent(cell, 3, 5, 2, bidirectional=both), Builder()
    x, lengths = graph.real("x", ("batch", "time", 3)), graph.lengths()
    out, last = graph.recurrent(net, x, lengths, graph.states(net))
    for i, value in enumerate([out, *last]):
        graph.output(f"out_{i}", value, ("batch", "time", 5 * net.directions) if i == 0 else ("batch", 5))
    opened = compiled(graph)
    for steps in (1, 4, 9):
        given = checking.inputs(graph, 3, steps, np.random.default_rng(3))
        found = opened.run(None, given)
        wanted = by_scan(net, {name: torch.from_numpy(value) for name, value in given.items()})
        assert max(np.abs(a - b).max() for a, b in zip(found, wanted, strict=True)) < 2e-6


def by_scan(net: Recurrent, given: dict[str, torch.Tensor]) -> list[np.ndarray]:
    """Row by row, each as long as it is, by the equations themselves."""
    size, rows = net.cells[0].states, []
    for row, length in enumerate(given["lengths"].tolist()):
        x, last = given["x"][row : row + 1, :length], []
        for first in range(0, len(net.cells), net.directions):
            outs = []
            for i in range(first, first + net.directions):
                state = tuple(given[f"state_{i * size + s}"][row : row + 1] for s in range(size))
                turned = x.flip(1) if i > first else x
                out, after = cells.scan(net.cells[i], turned, state)
                outs.append(out.flip(1) if i > first else out)
                last += after
            x = torch.cat(outs, -1)
        padding = torch.zeros(1, given["x"].shape[1] - length, x.shape[2])
        rows.append([torch.cat((x, padding), 1), *last])
    return [torch.cat(parts).detach().numpy() for parts in zip(*rows, strict=True)]


def test_the_two_grus_differ_in_one_setting_and_the_sign_of_z():
    assert building.operator_of(cells.GRU(2, 3)) == ("GRU", {"linear_before_reset": 0})
    assert building.operator_of(cells.GRUAfter(2, 3)) == ("GRU", {"linear_before_reset": 1})
    cell = cells.GRU(2, 3)
    W, R, B = building.weights_of(cell)
    assert (W[:3] == -cell.W[:3].detach().numpy()).all() and (W[3:] == cell.W[3:].detach().numpy()).all()
    assert (R[:3] == -cell.U[:3].detach().numpy()).all() and (B[9:] == 0).all()


@pytest.mark.parametrize("kind", ["last", "max", "mean", "attention"])
def test_pooling_looks_at_no_step_behind_the_end(kind):
    torch.manual_seed(1)
    pool, graph = layers.Pooling(kind, 6, both=True), Builder()
    h, lengths = graph.real("h", ("batch", "time", 6)), graph.lengths()
    graph.output("out", graph.pooled(pool, h, lengths, 6), ("batch", 6))
    given = checking.inputs(graph, 3, 7, np.random.default_rng(1))
    (found,) = compiled(graph).run(None, given)
    wanted = pool(*map(torch.from_numpy, given.values())).detach().numpy()
    assert np.abs(found - wanted).max() < 1e-6


class Minimal(torch.nn.Module):
    gates, states = 1, 1

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__()
        cells.add_parameters(self, input_size, hidden_size, bias)

    def forward(self, Wx, state):
        return (Wx + state[0],)


def test_a_cell_of_ones_own_is_refused_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setitem(CELLS, "minimal", Minimal)
    with pytest.raises(UserError, match=r"the cell `minimal` has no operator in ONNX; exported are rnn, lstm, gru, gru_after"):
        export.export(writer(cell="minimal"), tmp_path / "mine.onnx")
    assert list(tmp_path.iterdir()) == []


# --- files


@pytest.mark.parametrize(
    "run",
    [
        *(writer(cell=cell) for cell in CELLS),
        writer(tied=True, layers=1),
        writer(vectors="one-hot", embedding=20),
        *(reader(pooling=kind) for kind in ("last", "mean", "attention")),
        reader(direction="forward", cell="gru", symbols="tokens"),
        reader(cell="none", pooling="mean"),
        tagger(),
        tagger(letters="recurrent", cell="gru"),
        tagger(spelling=0, direction="forward"),
        *(hearer(cell=cell) for cell in CELLS),
        hearer(frames=3, stride=3),
        hearer(frames=4, stride=1, layers=1),
    ],
    ids=lambda run: f"{run.task.__name__[15:]}-{run.config.cell}",
)
def test_a_file_is_written_that_differs_by_rounding_alone(run, tmp_path):
    (file,) = export.export(run, tmp_path / "made.onnx")
    assert file.difference < 1e-5 and file.int8 is None
    assert [path.name for path in tmp_path.iterdir()] == ["made.onnx"]
    assert (tmp_path / "made.onnx").stat().st_size == file.bytes


@pytest.mark.parametrize("settings", TRANSLATORS, ids=str)
def test_a_translator_becomes_a_reader_and_a_step(settings, tmp_path):
    files = export.export(translator(**settings), tmp_path / "made.onnx")
    assert [Path(file.path).name for file in files] == ["made.onnx", "made.step.onnx"]
    assert all(file.difference < 1e-5 for file in files)


@pytest.mark.parametrize("settings", CAPTIONERS, ids=str)
def test_a_captioner_becomes_what_looks_and_a_step(settings, tmp_path):
    run = captioner(**settings)
    for norm in (part for part in run.model.encoder.modules() if isinstance(part, torch.nn.GroupNorm)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    for block in (part for part in run.model.encoder.modules() if isinstance(part, convolutional.Block)):
        torch.nn.init.normal_(block.convolution.weight, std=0.1)  # which begins as nothing
    files = export.export(run, tmp_path / "made.onnx")
    assert [Path(file.path).name for file in files] == ["made.onnx", "made.step.onnx"]
    assert all(file.difference < 1e-5 for file in files)


@pytest.mark.parametrize("settings", WATCHERS, ids=str)
def test_a_net_that_watches_becomes_what_looks_and_what_goes_over_time(settings, tmp_path):
    files = export.export(watcher(**settings), tmp_path / "made.onnx")
    assert [Path(file.path).name for file in files] == ["made.onnx", "made.time.onnx"]
    assert all(file.difference < 1e-5 for file in files)


@pytest.mark.parametrize("settings", MAKERS, ids=str)
def test_a_net_that_makes_sound_is_one_file_with_what_it_looks_back_at(settings, tmp_path):
    (file,) = export.export(maker(**settings), tmp_path / "made.onnx")
    assert file.difference < 1e-5


@pytest.mark.parametrize("wider", [1, 4])
def test_a_residual_net_looks_the_same(wider, monkeypatch, tmp_path):
    monkeypatch.setitem(resnet.SHAPES, "resnet18", resnet.Shape((1, 2, 1, 1), wider))
    run = captioner(encoder="resnet18", size=40, stages=5)
    for norm in (part for part in run.model.encoder.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.running_mean, -0.2, 0.2)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    files = export.export(run, tmp_path / "made.onnx")
    assert all(file.difference < 1e-5 for file in files)


@pytest.mark.parametrize("settings", [{}, {"direction": "forward", "cell": "lstm"}, {"symbols": "words", "stride": 5}], ids=str)
def test_a_net_that_writes_down_has_its_ngrams_beside_it(settings, tmp_path):
    run = talker(tmp_path, **settings)
    files = export.export(run, tmp_path / "made.onnx", int8=True)
    assert [Path(file.path).name for file in files] == ["made.onnx", "made.ngrams.onnx"]
    assert files[0].difference < 1e-5 and files[1].difference < 1e-6 and files[1].int8.rounded == {}


def test_the_file_tells_all_that_answering_needs(tmp_path):
    run = reader(ordered=True)
    export.export(run, tmp_path / "made.onnx")
    (entry,) = onnx.load(tmp_path / "made.onnx").metadata_props
    about = json.loads(entry.value)
    assert entry.key == "unrolled" and about["format"] == 1 and about["task"] == "classify"
    assert about["codec"] == run.codec.to_json() and about["settings"] == {"lower": True, "ordered": True}


def test_batch_and_time_are_free(tmp_path):
    export.export(writer(), tmp_path / "made.onnx")
    opened = onnxruntime.InferenceSession(tmp_path / "made.onnx", providers=["CPUExecutionProvider"])
    shapes = {each.name: each.shape for each in opened.get_inputs()}
    assert shapes["ids"] == ["batch", "time"] and shapes["state_0"] == ["batch", 12]


def test_a_graph_that_differs_is_refused_and_nothing_written(monkeypatch, tmp_path):
    monkeypatch.setitem(building.ORDER, cells.LSTM, (0, 1, 3, 2))  # gates in a wrong order
    with pytest.raises(UserError, match=r"the graph's `logits` is .* away from the model's at 1 rows of up to 1 steps") as told:
        export.export(reader(), tmp_path / "made.onnx")
    assert "is allowed, so nothing is written" in told.value.what
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 7)])
def test_differences_are_seen_at_once(size):
    values = np.zeros(size)
    assert checking.difference(values, values + 2e-5) == pytest.approx(2e-5)
    assert checking.difference(values + 1000, values + 1000.001) < 2e-6
    assert checking.difference(values - np.inf, values - np.inf) == 0
    assert not checking.difference(values, values * np.nan) <= 1


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("made.pt", r"`--to .*made.pt` does not say what to write"),
        ("none/made.onnx", r"there is no folder `.*none` to write"),
    ],
)
def test_where_to_write_is_checked_first(name, what, tmp_path):
    with pytest.raises(UserError, match=what):
        export.export(writer(), tmp_path / name)


def test_neither_file_is_written_where_one_differs(monkeypatch, tmp_path):
    wrong = translator(attention="general")
    right = translate._stepped
    monkeypatch.setattr(translate, "_stepped", lambda model, given: right(model, given) | {"logits": np.zeros((1, 1))})
    with pytest.raises(UserError, match="the graph's `logits` is inf away"):
        export.export(wrong, tmp_path / "made.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_task_without_a_graph_is_refused_with_the_reason(tmp_path):
    run = writer()._replace(task=api.tasks.load("embed"))
    with pytest.raises(UserError, match="a run of `embed` cannot be exported: word vectors are a table"):
        export.export(run, tmp_path / "made.onnx")


def test_every_task_is_exported_or_has_a_reason():
    assert {name for name in api.tasks.TASKS if not hasattr(api.tasks.load(name), "graph")} == set(export.WHY_NOT)


def test_a_file_too_great_for_the_format_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "LARGEST", 1000)
    with pytest.raises(UserError, match=r"`.*made.onnx` would have [\d,]+ bytes; ONNX takes 1,000 in a file") as caught:
        export.export(writer(), tmp_path / "made.onnx")
    assert caught.value.code == 4


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="`onnx` is not installed; exporting needs it") as caught:
        export.export(writer(), tmp_path / "made.onnx")
    assert caught.value.code == 3 and "pip install 'unrolled[export]'" in str(caught.value)


# --- 8 bits


def test_the_quantiser_leaves_grus_alone_and_that_is_said(tmp_path):
    (file,) = export.export(writer(cell="gru", hidden=32), tmp_path / "made.onnx", int8=True)
    assert file.int8.left == {"GRU": 2} and file.int8.rounded["MatMul"] == 1
    assert any("32 bits as before: 2 GRU" in line for line in export.told(file.int8))


def test_an_lstm_becomes_smaller_and_answers_nearly_the_same(tmp_path):
    (file,) = export.export(writer(hidden=64), tmp_path / "made.onnx", int8=True)
    assert file.int8.left == {} and file.int8.rounded["LSTM"] == 2
    assert file.bytes == file.int8.after < 0.4 * file.int8.before
    assert 0 < file.int8.difference < 1 and file.int8.same > 0.5  # of fresh weights: the likeliest is hardly likelier
    about = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "made.onnx").metadata_props}
    assert about.keys() == {"unrolled"} and about["unrolled"]["task"] == "language"


def test_convolutions_become_smaller_and_norms_are_no_weights(tmp_path):
    looks, steps = export.export(captioner(), tmp_path / "made.onnx", int8=True)
    assert looks.int8.rounded == {"Conv": 3, "MatMul": 3} and looks.int8.left == {}
    assert steps.int8.left == {"GRU": 1}


# --- the command line


def test_the_verb_says_what_was_written(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(api, "load", lambda folder: writer())
    assert cli.run(["export", "runs/book", "--to", str(tmp_path / "book.onnx"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(tmp_path / "book.onnx") and told["difference"] < 1e-5
    assert cli.run(["export", "runs/book", "--to", str(tmp_path / "book.onnx"), "--int8"]) == 0
    assert "8 bits: 1 Gather, 2 LSTM, 1 MatMul" in capsys.readouterr().out


def test_a_file_that_is_there_is_replaced_at_once(tmp_path):
    path = tmp_path / "made.onnx"
    path.write_bytes(b"old")
    export.export(writer(), path)
    assert folders.FORMAT and onnx.load(path).producer_name == "unrolled"
