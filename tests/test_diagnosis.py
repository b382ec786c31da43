"""The verdict, each on a run that was built to have the fault; and what it rests on."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unrolled import api, cli, comparison, diagnosis, diagnosis_page, fit, formants
from unrolled import run as folders
from unrolled.comparison import Options, compare, gradient_table, starts, task_table
from unrolled.data import sound
from unrolled.diagnosis import diagnose
from unrolled.errors import UserError
from unrolled.progress import Progress

TEXT = "the cat sat on the mat, and the dog ran after the red ball.\n"
SMALL = {
    "steps": 40,
    "hidden": 24,
    "layers": 1,
    "length": 48,
    "batch": 8,
    "evaluations": 4,
    "device": "cpu",
    "precision": "float32",
}


def trained(folder, text=TEXT * 60, **settings):
    folder.mkdir(exist_ok=True)
    (folder / "song.txt").write_text(text)
    return api.train("language", folder / "song.txt", out=folder / "run", quiet=True, **SMALL | settings)


def diagnosed(run):
    return diagnose(run, run.task.training_batch(run, [str(run.folder.parent / "song.txt")], run.folder / "spool"))


def faults(found):
    return {verdict.fault: verdict for verdict in found.verdicts}


def drawn_letters(number, shares=(0.3, 0.25, 0.2, 0.1, 0.05, 0.05, 0.03, 0.02)):
    """A text in which nothing can be learnt but how often each letter comes."""
    generator = torch.Generator().manual_seed(1)
    return "".join("abcdefgh"[i] for i in torch.multinomial(torch.tensor(shares), number, True, generator=generator))


@pytest.fixture(scope="module")
def faultless(tmp_path_factory):
    """A run without a fault."""
    return trained(tmp_path_factory.mktemp("faultless"), drawn_letters(3600), cell="lstm")


def test_a_sound_run_has_no_fault(faultless):
    found = diagnosed(faultless)
    assert found.verdicts == []
    (layer,) = found.layers
    assert (layer.cell, layer.units, layer.steps) == ("lstm", 24, 200)
    assert layer.norms[0] == pytest.approx(0, abs=1e-6)
    assert layer.expected is None
    assert {gate.name for gate in layer.gates} == {"input gate", "forget gate", "output gate", "tanh"}


def test_a_basic_rnns_gradients_vanish(tmp_path):
    found = diagnosed(trained(tmp_path, cell="rnn"))
    verdict = faults(found)["gradients vanish"]
    (layer,) = found.layers
    assert verdict.next == "--cell lstm or --cell gru"
    assert f"after {layer.memory} steps" in verdict.evidence
    assert layer.growth == pytest.approx(layer.expected, rel=0.2)
    assert layer.growth < 1


def test_a_large_recurrent_matrix_explodes(tmp_path):
    run = trained(tmp_path, drawn_letters(3600), cell="rnn")
    torch.manual_seed(1)
    torch.nn.init.orthogonal_(run.model.layers[0].cells[0].U, 3.0)
    verdict = faults(diagnosed(run))["gradients explode"]
    assert verdict.next.startswith("--clip 1 or less")
    assert "times a step" in verdict.evidence


def test_a_rate_that_makes_it_diverge_is_too_high(tmp_path, monkeypatch):
    losses = iter([*[1.0] * 20, 1e9, *[1.0] * 100])
    step = fit.Loop.train_step
    monkeypatch.setattr(fit.Loop, "train_step", lambda loop: step(loop) * 0 + next(losses))
    run = trained(tmp_path, rate=0.008)
    verdict = faults(diagnosed(run))["the rate is too high"]
    assert verdict.evidence == "training diverged and was set back once"
    assert verdict.next == "--rate 0.004, where it went on"


def test_steps_that_change_much_of_a_matrix_are_too_long(tmp_path):
    verdict = faults(diagnosed(trained(tmp_path, rate=0.5, clip=1e6)))["the rate is too high"]
    assert verdict.evidence.startswith("a step at the highest rate changed the middle matrix by as much as")
    assert verdict.next == "--rate 0.05"


def test_steps_that_change_nothing_are_too_short(tmp_path):
    verdict = faults(diagnosed(trained(tmp_path, rate=1e-7)))["the rate is too low"]
    assert verdict.next.startswith("ten times the --rate")


def test_a_clip_that_always_clips_is_named(tmp_path):
    found = diagnosed(trained(tmp_path, clip=1e-3))
    verdict = faults(found)["nearly every gradient is clipped"]
    assert found.training.clipped == 1
    assert verdict.evidence.startswith("100 % of the steps were clipped to 0.001")
    assert verdict.next == f"--clip {2 * found.training.gradient_norm:.2g}"


def test_a_single_long_gradient_that_passes_is_named(tmp_path, monkeypatch):
    update, done = fit.update, []

    def once_steep(*given, **named):
        loss, state, norm = update(*given, **named)
        done.append(norm)
        return loss, state, 1000.0 * norm if len(done) == 25 else norm

    monkeypatch.setattr(fit, "update", once_steep)
    found = diagnosed(trained(tmp_path, clip=1e6))
    verdict = faults(found)["single gradients throw it off"]
    assert found.training.highest_gradient_norm == pytest.approx(1000 * done[24])
    assert verdict.next == f"--clip {2 * found.training.gradient_norm:.2g}"


def test_saturated_units_are_named(faultless):
    run = api.load(faultless.folder)
    with torch.no_grad():
        run.model.layers[0].cells[0].W.mul_(100)
    verdict = faults(diagnosed(run))["units are saturated"]
    assert "beyond ±0.9" in verdict.evidence


def test_dead_units_are_named(faultless):
    run = api.load(faultless.folder)
    with torch.no_grad():
        (cell,) = run.model.layers[0].cells
        for rows in (cell.W, cell.U, cell.b):
            rows.view(4, 24, -1)[3, :12] = -100.0 if rows is cell.b else 0.0  # output gates of half the units
    verdict = faults(diagnosed(run))["units are dead"]
    assert "50 % of 24 units" in verdict.evidence
    assert verdict.next.startswith("--hidden 12")


def test_a_text_learnt_by_heart_is_named(tmp_path):
    letters = drawn_letters(600, (0.125,) * 8)
    found = diagnosed(trained(tmp_path, letters, steps=100, hidden=48, evaluations=2, rate=0.03, dropout=0.0, input_dropout=0.0))
    verdict = faults(found)["it learnt its data by heart"]
    assert verdict.evidence == (
        f"nats_per_symbol on validation data is {found.training.last:.4g}, and {found.training.train:.4g} on those it trains on"
    )
    entries = folders.read_log(tmp_path / "run")
    entries[-1]["nats_per_symbol"] = 9.0
    (tmp_path / "run" / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    found = diagnosed(api.load(tmp_path / "run"))
    assert f"and 9 at step {found.training.last_step}" in faults(found)["it learnt its data by heart"].evidence


def test_a_run_that_does_worse_than_counting_is_told_so(tmp_path):
    found = diagnosed(trained(tmp_path))  # one line over and over: a 6-gram knows it by heart at once
    verdict = faults(found)["a simpler baseline does better"]
    assert found.beside.measure == "bits_per_character" and found.beside.baseline == "6-gram"
    report = folders.read_json(tmp_path / "run" / "report.json")
    own, counted = (report[part]["bits_per_character"] for part in ("dev",)), report["baselines"]["6-gram"]["bits_per_character"]
    assert (found.beside.run, found.beside.of_baseline) == (*own, counted)
    assert verdict.evidence == f"bits_per_character is {found.beside.run:.4g}, and {counted:.4g} of the baseline `6-gram`"


@pytest.mark.parametrize(
    ("dev", "baselines", "beaten"),
    [
        ({"accuracy": 0.5}, {"majority": {"accuracy": 0.4}, "bag of words": {"accuracy": 0.6}}, "bag of words"),
        ({"accuracy": 0.7}, {"majority": {"accuracy": 0.4}, "bag of words": {"accuracy": 0.6}}, None),
        ({"cider": 0.2}, {"people": {"cider": 0.7}, "nearest picture": {"cider": 0.1}}, None),
        ({"miss_rate": 1.0}, {"never fires": {"miss_rate": 1.0}}, None),
        ({"nats_per_sample": 4.5}, {"histogram": {"nats_per_sample": 5.0}, "linear prediction": {"nats_per_sample": 3.2}},
         "linear prediction"),
    ],
)  # fmt: skip
def test_the_best_baseline_is_the_one_to_beat(tmp_path, dev, baselines, beaten):
    (tmp_path / "report.json").write_text(json.dumps({"dev": dev, "baselines": baselines}))
    verdict = diagnosis._beaten(diagnosis.beside_baselines(SimpleNamespace(folder=tmp_path)))
    assert (verdict is None) == (beaten is None)
    assert beaten is None or verdict.evidence.endswith(f"of the baseline `{beaten}`")


# --- what is logged and told


def test_the_log_tells_gradients_norms_and_relative_changes(faultless):
    log = folders.read_log(faultless.folder)
    assert [entry["step"] for entry in log] == [10, 20, 30, 40]
    for entry in log:
        assert 0 < entry["gradient_norm"] <= entry["highest_gradient_norm"]
        for of_each in (entry["weights"], entry["gradients"], entry["changes"]):
            assert set(of_each) == {name for name, _ in faultless.model.named_parameters()}
            assert all(value > 0 for value in of_each.values())
    found = diagnosed(faultless)
    assert found.training.gradient_norm == pytest.approx(sum(entry["gradient_norm"] for entry in log) / 4)
    assert [entry["step"] for entry in found.log] == [10, 20, 30, 40]


def test_counting_holds_over_a_resume_and_begins_anew_after_an_evaluation():
    standing = fit.Standing()
    for norm in (0.5, 2.0, math.inf, math.nan):
        standing.count(norm, clip=1.0)
    assert standing.counts() == {"gradient_norm": 0.625, "highest_gradient_norm": 2.0, "clipped": 0.75}
    assert standing == fit.Standing()
    assert standing.counts()["clipped"] == 0


def test_a_change_is_what_adamw_does_next():
    torch.manual_seed(1)
    net = torch.nn.Linear(4, 3)
    settings = fit.Settings(10, 0.1, 0, 0.0, 1.0, 1, None, 1, "", "cpu", False, "", 1.0, "", 1.0)
    optimizer = fit.adamw(net, settings)
    for _ in range(3):
        net(torch.randn(5, 4)).square().sum().backward()
        before = net.weight.detach().clone()
        optimizer.step()
        optimizer.zero_grad()
    moved = (net.weight - before).norm() / net.weight.norm()
    told = fit.of_parameters(net, optimizer, 0.1)
    assert told["changes"]["weight"] == pytest.approx(float(moved.detach()), rel=1e-2)  # three digits are kept
    assert told["weights"]["weight"] == pytest.approx(float(net.weight.detach().norm()), rel=1e-2)


def test_a_parameters_gradient_is_what_it_was_when_all_were_alike():
    net = torch.nn.Linear(4, 3)
    optimizer = fit.adamw(net, fit.Settings(10, 0.1, 0, 0.0, 1.0, 1, None, 1, "", "cpu", False, "", 1.0, "", 1.0))
    given = torch.randn(3, 4)
    for _ in range(3):
        net.weight.grad, net.bias.grad = given.clone(), torch.ones(3)
        optimizer.step()
    told = fit.of_parameters(net, optimizer, 0.1)["gradients"]
    assert told["weight"] == pytest.approx(float(given.norm()), rel=1e-2)
    assert told["bias"] == pytest.approx(3**0.5, rel=1e-2)


def test_parameters_stand_beside_their_gradients(faultless):
    batch = faultless.task.training_batch(faultless, [str(faultless.folder.parent / "song.txt")], faultless.folder / "spool")
    outputs, _ = faultless.model(batch, None)
    loss = faultless.model.loss(outputs, batch)
    (wanted,) = torch.autograd.grad(loss, faultless.model.output.weight)
    told = {p.name: p for p in diagnosed(faultless).parameters}["output.weight"]
    assert told.gradient == pytest.approx(float(wanted.square().mean().sqrt()), rel=1e-5)
    assert told.weights == pytest.approx(float(faultless.model.output.weight.detach().square().mean().sqrt()), rel=1e-5)
    assert faultless.model.output.weight.grad is None


def test_a_run_without_a_log_of_gradients_is_diagnosed_all_the_same(tmp_path):
    run = trained(tmp_path, drawn_letters(3600))
    entries = [
        {k: v for k, v in e.items() if k not in ("clipped", "weights", "gradients", "changes", "gradient_norm")}
        for e in folders.read_log(run.folder)
    ]
    (run.folder / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    found = diagnosed(run)
    assert found.training.clipped is None
    assert found.log == []
    assert all(p.change is None for p in found.parameters)
    assert diagnosis_page.of_run(found)["verdict"][0]["fault"] == "none found"


# --- cells side by side


def test_starts_are_those_of_fresh_nets_and_of_nets_told_the_lag():
    found = starts(Options(cells="rnn,gru", hidden=16, lag=40))
    assert [(s.cell, s.start, len(s.norms)) for s in found] == [
        ("rnn", "fresh", 41),
        ("gru", "fresh", 41),
        ("gru", "told the lag", 41),
    ]
    assert found[0].theory.largest == pytest.approx(1, abs=1e-5)
    assert found[1].theory is None
    assert found[2].left > 100 * found[0].left
    assert found[2].memory > found[1].memory


def test_tables_have_chance_and_steps_beside_the_accuracy():
    found = compare(Options(cells="rnn, gru", hidden=8, lag=80, steps=25), Progress(quiet=True))
    rows = task_table(found)
    assert [(row["task"], row["lag"]) for row in rows[:3]] == [("copy", 4), ("copy", 20), ("copy", 80)]
    assert rows[0]["chance"] == "12 %"
    assert rows[2]["rnn"].endswith("%, not in 25")
    assert [row["cell"] for row in gradient_table(found)] == ["rnn", "gru", "gru"]
    assert gradient_table(found)[0]["theory"] == pytest.approx(gradient_table(found)[0]["growth_a_step"], rel=0.2)


def test_layers_are_told_apart():
    rows = gradient_table(compare(Options(cells="lstm", hidden=4, lag=4, layers=2, steps=1), Progress(quiet=True)))
    assert {row["layer"] for row in rows} == {"layer 1", "layer 2"}


# --- other tasks, and the command line


@pytest.mark.parametrize("task", ["classify", "tag", "translate"])
def test_other_tasks_are_diagnosed_on_their_own_data(task, tmp_path):
    files = {
        "classify": {
            "a.csv": "review,stars\n"
            + "".join(f"it was {w} no {i},{s}\n" for i in range(30) for w, s in (("bad", 1), ("good", 5)))
        },
        "tag": {"a.conll": "He\tO\nsaid\tO\nTeddy\tB-person\nsings\tO\n\nTeddy\tO\nbears\tO\n\n" * 60},
        "translate": {
            "a.en": "".join(f"the {i} cats sleep\n" for i in range(60)),
            "a.de": "".join(f"die {i} Katzen\n" for i in range(60)),
        },
    }[task]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    names = [str(tmp_path / name) for name in files]
    more = {"dev": names} if task == "tag" else {}
    sizes = {"steps": 4, "hidden": 8, "device": "cpu", "precision": "float32", "evaluations": 1}
    run = api.train(task, names, out=tmp_path / "run", quiet=True, **sizes, **more)
    found = diagnose(run, run.task.training_batch(run, diagnosis.own_data(run), tmp_path / "spool"))
    assert {"classify": 2, "tag": 2, "translate": 3}[task] <= len(found.layers)
    assert all(layer.norms[0] == pytest.approx(0, abs=1e-5) for layer in found.layers)
    assert all(math.isfinite(p.gradient) for p in found.parameters)


def test_speech_is_diagnosed_on_its_recordings(tmp_path):
    generator, rows = np.random.default_rng(1), []
    for i, word in enumerate(["sulo", "rahi"] * 4):
        sound.write(tmp_path / f"{i}.wav", formants.say(word, formants.voice(generator), generator), formants.RATE)
        rows.append(f"{i}.wav\t{word}\n")
    (tmp_path / "clips.tsv").write_text("".join(rows))
    sizes = {"steps": 2, "hidden": 8, "channels": 8, "device": "cpu", "precision": "float32", "evaluations": 1, "augment": 0.0}
    run = api.train("speech", tmp_path / "clips.tsv", out=tmp_path / "run", quiet=True, holdout=0.25, **sizes)
    found = diagnose(run, run.task.training_batch(run, diagnosis.own_data(run), tmp_path / "spool"))
    assert 10 < found.layers[0].steps < 400
    assert all(math.isfinite(p.gradient) for p in found.parameters)


def said(capsys, *words):
    code = cli.run(["diagnose", *map(str, words)])
    return code, *capsys.readouterr()


def test_the_verb_on_a_run(faultless, tmp_path, capsys):
    code, told, notes = said(capsys, faultless.folder, "--out", tmp_path / "seen")
    assert code == 0
    assert [line for line in told.splitlines() if not line.startswith(" ")] == [
        "gradients through time", "saturated gates", "parameters", "training", "verdict"
    ]  # fmt: skip
    assert notes == f"note: see {tmp_path / 'seen' / 'diagnosis.html'}\n"
    files = {"diagnosis.png", "diagnosis.svg", "training.png", "training.svg", "diagnosis.html"}
    assert {path.name for path in (tmp_path / "seen").iterdir()} == files
    page = (tmp_path / "seen" / "diagnosis.html").read_text()
    assert "nothing in these figures holds it back" in page
    assert page.count("<svg") == 2
    assert not any(asked in page for asked in ("<script", "<link", "src=", 'href="http', "url(http", "@import"))


def test_the_verb_on_another_file_as_json(faultless, tmp_path, capsys):
    (tmp_path / "other.txt").write_text(TEXT * 3)
    code, told, notes = said(capsys, faultless.folder, tmp_path / "other.txt", "--json")
    found = json.loads(told)
    assert (code, notes) == (0, "")
    assert found["layers"][0]["steps"] == 3 * len(TEXT) - 1
    assert len(found["layers"][0]["norms"]) == 3 * len(TEXT) - 1
    assert found["verdicts"] == []


def test_the_verb_without_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, told, _ = said(capsys, "--cells", "rnn,gru", "--hidden", 8, "--lag", 20, "--steps", 5)
    assert code == 0
    assert told.splitlines()[0] == "gradients before training"
    assert {path.name for path in Path("diagnosis").iterdir()} == {"diagnosis.png", "diagnosis.svg", "diagnosis.html"}
    assert "tasks that need a memory, gates told the lag" in told
    assert "gates fresh" in said(capsys, "--cells", "gru", "--hidden", 4, "--lag", 4, "--steps", 1, "--no-tell")[1]
    code, told, _ = said(capsys, "--cells", "rnn", "--hidden", 8, "--lag", 20, "--steps", 5, "--json")
    assert len(json.loads(told)["trials"]) == 9


@pytest.mark.parametrize(
    ("tell", "solid", "dotted"),
    [(True, "as begun for the tasks", "afresh"), (False, "told the lag", "afresh, as begun for the tasks")],
)
def test_the_picture_says_how_the_nets_of_the_tasks_began(tell, solid, dotted):
    found = comparison.Comparison([], [], tell)
    written = SimpleNamespace(Grid=lambda *parts: parts, reach=lambda curves, grids, note: note)
    note = diagnosis_page.pictures_of_cells(found)(written)["diagnosis"]
    of_solid, of_dotted, _ = note.split("; ")
    assert solid in of_solid and dotted in of_dotted
    assert ("as begun for the tasks" in of_solid, "as begun for the tasks" in of_dotted) == (tell, not tell)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cells", "rnn,lsmt"], "`--cells` got `lsmt`; allowed are rnn, gru, gru_after, lstm"),
        (["--lag", "2"], "`--lag`"),
        (["RUN", "--cells", "rnn"], "`--cells` compares cells before any data"),
        (["nowhere"], "there is no run folder `nowhere`"),
    ],
)
def test_a_wrong_command_is_refused(words, message, faultless, capsys):
    code, told, notes = said(capsys, *[faultless.folder if word == "RUN" else word for word in words])
    assert (code, told) == (2, "")
    assert message in notes


def test_data_that_are_gone_are_asked_for(faultless, tmp_path, capsys):
    moved = faultless.folder.parent / "song.txt"
    text = moved.read_text()
    moved.unlink()
    code, _, notes = said(capsys, faultless.folder)
    moved.write_text(text)
    assert code == 2
    assert f"the data of `{faultless.folder}` are no more at `{moved}`" in notes


def test_a_text_of_one_symbol_is_too_short(faultless, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UserError, match="the text has 1 symbols; gradients need at least 2"):
        faultless.task.training_batch(faultless, [str(tmp_path / "a.txt")], tmp_path)


def test_a_net_without_recurrent_layers_has_nothing_to_follow(tmp_path):
    (tmp_path / "a.csv").write_text(
        "review,stars\n" + "".join(f"it was {w} no {i},{s}\n" for i in range(30) for w, s in (("bad", 1), ("good", 5)))
    )
    run = api.train("classify", tmp_path / "a.csv", out=tmp_path / "run", quiet=True, steps=4, cell="none", device="cpu")
    with pytest.raises(UserError, match=r"has no recurrent layers: there is no gradient through time"):
        diagnose(run, run.task.training_batch(run, [str(tmp_path / "a.csv")], tmp_path))


def test_without_matplotlib_the_numbers_are_offered(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "unrolled.plot", None)
    monkeypatch.delattr("unrolled.plot", raising=False)
    with pytest.raises(UserError, match="a diagnosis draws with the package") as raised:
        diagnosis_page.write(tmp_path / "a", "", "", {}, lambda plot: {})
    assert raised.value.code == 3
