"""A run as a folder to share: what stands in it, what of the user does not, that it answers alike, and that damage is found."""

import json
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch

import unrolled
from unrolled import api, cli, hub, tasks
from unrolled import run as folders
from unrolled.errors import UserError
from unrolled.tasks import language

SMALL = {"steps": 20, "hidden": 8, "layers": 1, "batch": 4, "length": 32, "evaluations": 1, "device": "cpu", "quiet": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secret place")
    (folder / "song.txt").write_text("the cat sat on the mat, and the dog ran.\n" * 40)
    return api.train("language", folder / "song.txt", out=folder / "run", **SMALL)


@pytest.fixture
def shared(run, tmp_path):
    return hub.save_pretrained(run, tmp_path / "cats")


def text_of(run):
    return "".join(language.sample(run, language.Sample(length=60, seed=3)))


def test_it_holds_the_conventional_files_and_nothing_of_where_it_was_made(run, shared):
    assert {path.name for path in shared.iterdir()} == set(hub.FILES) - set(hub.BESIDE)
    for path in shared.iterdir():
        assert b"secret place" not in path.read_bytes(), path.name
    card = (shared / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: unrolled\n") and "pipeline_tag: text-generation" in card
    bits = folders.read_json(run.folder / "report.json")["dev"]["bits_per_character"]
    assert f"| bits_per_character | {bits:.4f} |" in card and "6-gram" in card
    assert "tables" not in json.loads((shared / "report.json").read_text())  # examples of the data stay at home


MADE = {  # of these a config tells most of their data
    "classify": {"embedding": 8}, "translate": {}, "trigger": {"example": 4.0, "channels": 8},
    "wavenet": {"cell": "gru", "length": 256},
}  # fmt: skip


@pytest.mark.parametrize("task", MADE)
def test_of_every_task_nothing_of_where_and_of_what_it_was_made_goes_out(task, tmp_path):
    place = tmp_path / "secret place"
    page = tasks.load(task)
    data = page.demo(place / "data")
    small = {"steps": 1, "evaluations": 1, "hidden": 8, "layers": 1, "batch": 2, "device": "cpu", "quiet": True}
    run = api.train(task, data, out=place / "run", **small, **MADE[task])
    shared = hub.save_pretrained(run, tmp_path / "shared")
    for path in shared.iterdir():
        assert b"secret place" not in path.read_bytes(), path.name
    about = json.loads((shared / "config.json").read_text())
    assert set(about["data"]) <= {"floors", "ambiguous"}
    assert [name for name in about["config"]["data"] if "/" in name] == []
    again = unrolled.from_pretrained(shared)
    assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in again.model.state_dict().items())


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("/home/ann/vectors.txt", "vectors.txt"),
        (["/home/ann/clips/", "b.tsv"], ["clips", "b.tsv"]),
        ("piper -m /home/ann/voice.onnx -f {wav}", "piper -m voice.onnx -f {wav}"),
        (3, 3),
        (None, None),
    ],
)
def test_of_names_the_folders_go(value, kept):
    assert hub._without_places(value) == kept


def test_it_answers_as_the_run_does_by_every_way_in(run, shared, capsys):
    for found in (unrolled.from_pretrained(shared), unrolled.load(shared)):
        assert all(torch.equal(value, run.model.state_dict()[name]) for name, value in found.model.state_dict().items())
        assert text_of(found) == text_of(run)
    assert cli.run(["sample", str(shared), "--length", "60", "--seed", "3"]) == 0
    assert capsys.readouterr().out.strip() == text_of(run).strip()
    assert cli.run(["info", str(shared)]) == 0
    assert "finished, 20 steps" in capsys.readouterr().out
    again = api.train("language", run.config.data[0], out=shared.parent / "again", start_from=shared, **SMALL | {"steps": 2})
    assert again.config.hidden == 8


def test_it_cannot_be_gone_on_with(shared, capsys):
    with pytest.raises(UserError, match="holds weights alone, and no training to go on with"):
        folders.load_step(shared, "last", with_state=True)
    assert cli.run(["train", "language", "--resume", str(shared)]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "codec.json", "config.json"])
def test_a_changed_byte_is_found(shared, name):
    data = bytearray((shared / name).read_bytes())
    data[len(data) // 2] ^= 1
    (shared / name).write_bytes(data)
    with pytest.raises(UserError, match=r"is damaged|not a run folder"):
        unrolled.from_pretrained(shared)


def test_a_folder_that_is_there_and_a_run_without_a_report_are_refused(run, shared, tmp_path):
    with pytest.raises(UserError, match="is already there"):
        hub.save_pretrained(run, shared)
    with pytest.raises(UserError, match="is not finished: it has no report"):
        hub.save_pretrained(run._replace(folder=tmp_path), tmp_path / "b")


@pytest.fixture
def repositories(monkeypatch, tmp_path):
    """A hub in memory: what was made of which name."""
    made = {}

    class Client:
        def create_repo(self, name, private, exist_ok):
            made[name] = {"private": private}

        def upload_folder(self, folder_path, repo_id, commit_message):
            made[repo_id]["files"] = {path.name: path.read_bytes() for path in folder_path.iterdir()}
            return f"https://hub/{repo_id}"

    def snapshot_download(name, revision, allow_patterns, local_dir):
        if name not in made:
            raise OSError("no network\nmore about it")
        local_dir.mkdir(parents=True)
        for file, data in made[name]["files"].items():
            assert file in allow_patterns
            (local_dir / file).write_bytes(data)

    errors, constants = SimpleNamespace(HTTPError=ConnectionLost), SimpleNamespace(HF_HOME=str(tmp_path / "home"))
    hub = SimpleNamespace(HfApi=Client, snapshot_download=snapshot_download, errors=errors, constants=constants)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return made


class ConnectionLost(Exception):
    """As the hub's own, which is no OSError."""


def test_it_goes_to_the_hub_under_its_name(run, repositories, capsys):
    assert hub.push_to_hub(run, "ann/cats") == "https://hub/ann/cats"
    assert repositories["ann/cats"]["private"] and set(repositories["ann/cats"]["files"]) == set(hub.FILES) - set(hub.BESIDE)
    card = repositories["ann/cats"]["files"]["README.md"].decode()
    assert "# ann/cats\n" in card and 'from_pretrained("ann/cats")' in card and "hf download ann/cats --local-dir" in card
    assert text_of(unrolled.from_pretrained("ann/cats")) == text_of(run)
    assert cli.run(["export", str(run.folder), "--push", "ann/dogs", "--public"]) == 0
    assert capsys.readouterr().out == "https://hub/ann/dogs\n" and not repositories["ann/dogs"]["private"]


def test_a_hub_that_refuses_or_is_not_there_is_told_in_a_line(run, repositories, monkeypatch):
    with pytest.raises(UserError, match=r"the hub gives no model of this name: no network\n"):
        unrolled.from_pretrained("ann/none")
    for error, said in ((OSError("401 Client Error"), "401"), (ConnectionLost("refused\nmore"), "refused")):
        monkeypatch.setattr(sys.modules["huggingface_hub"].HfApi, "create_repo", partial(_refuse, error))
        with pytest.raises(UserError, match=f"the hub did not take `ann/cats`: {said}"):
            hub.push_to_hub(run, "ann/cats")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="a model of the hub needs the package `huggingface_hub`"):
        unrolled.from_pretrained("ann/none")


def _refuse(error, *_, **__):
    raise error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "export writes one thing: give"),
        (["--to", "a.onnx", "--pretrained", "b"], "export writes one thing: give"),
        (["--pretrained", "b", "--int8"], "is of ONNX"),
    ],
)
def test_what_is_to_be_written_must_be_clear(run, words, message, capsys):
    assert cli.run(["export", str(run.folder), *words]) == 2
    assert message in capsys.readouterr().err
