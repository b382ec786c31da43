"""The run folder: a step is there whole or not at all, and what is damaged is never taken for sound."""

import builtins
import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrolled import api
from unrolled import run as folders
from unrolled.errors import LIMIT, UserError
from unrolled.run import Step, load_step, save_step


def step(number: int) -> Step:
    """A step whose every part tells its number."""
    weights, state = {"w": torch.full((2, 3), float(number))}, {"optimizer/w/step": torch.tensor(float(number))}
    return Step(number, weights, state, {"best": 1 / number})


def same(a: Step, b: Step) -> bool:
    tensors = [(a.weights, b.weights), (a.state, b.state)]
    equal = all(x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x) for x, y in tensors)
    return equal and (a.number, a.progress) == (b.number, b.progress)


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    """What fsync does shows after a power cut alone; when it is called is tested below."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def folder(tmp_path):
    """A run folder with a config and a codec, and step 1 saved as best and last."""
    path = tmp_path / "run"
    path.mkdir()
    folders.write_json(
        path / "config.json",
        {"format": folders.FORMAT, "task": "language", "config": {}, "data": {}, "baselines": {}, "evaluate": {}},
    )
    folders.write_json(path / "codec.json", {"kind": "bytes"})
    save_step(path, step(1), best=True)
    return path


def named(folder, which: str) -> int:
    """The step that `best` or `last` names, read by hand."""
    return int((folder / which).read_text().split()[0])


def steps_of(folder) -> list[str]:
    return sorted(path.name for path in (folder / "steps").iterdir())


def leftovers(folder) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".")]


# --- saving and loading


def test_a_step_comes_back_as_it_was_saved(folder):
    save_step(folder, step(2), best=False)
    assert same(load_step(folder, "last", with_state=True), step(2))
    assert same(load_step(folder, "best", with_state=True), step(1))
    assert load_step(folder, "best").state == {}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_only_the_best_and_the_last_step_are_kept(tmp_path_factory, bests):
    path = tmp_path_factory.mktemp("run")
    folders.write_json(
        path / "config.json",
        {"format": folders.FORMAT, "task": "language", "config": {}, "data": {}, "baselines": {}, "evaluate": {}},
    )
    folders.write_json(path / "codec.json", {})
    kept_best = 1
    save_step(path, step(1), best=True)
    for number, best in enumerate(bests, 2):
        save_step(path, step(number), best)
        kept_best = number if best else kept_best
        assert [named(path, which) for which in ("best", "last")] == [kept_best, number]
        assert steps_of(path) == sorted({str(kept_best), str(number)})
        assert same(load_step(path, "best", with_state=True), step(kept_best))


def test_a_step_saved_again_can_become_the_best(folder):
    save_step(folder, step(2), best=False)
    save_step(folder, step(2), best=True)
    assert named(folder, "best") == 2
    assert steps_of(folder) == ["2"]


def test_what_a_killed_save_left_is_removed_by_the_next_one(folder):
    for name in (".2.new", ".7.new", "2"):  # being written, being written at another step, renamed but not yet named by `last`
        (folder / "steps" / name).mkdir()
        (folder / "steps" / name / "model.safetensors").write_bytes(b"half")
    (folder / ".last.new").write_bytes(b"")
    save_step(folder, step(2), best=False)
    assert steps_of(folder) == ["1", "2"]
    assert leftovers(folder) == []
    assert same(load_step(folder, "last", with_state=True), step(2))


def test_the_manifest_has_size_and_sha256_of_every_file(folder):
    at = folder / "steps" / "1"
    manifest = json.loads((at / "manifest.json").read_text())
    places = {"model.safetensors": at, "state.safetensors": at, "config.json": folder, "codec.json": folder}
    assert manifest["files"].keys() == places.keys()
    for name, place in places.items():
        data = (place / name).read_bytes()
        assert manifest["files"][name] == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def test_everything_is_on_the_disk_before_it_gets_its_name(folder, monkeypatch):
    done = []

    def named(descriptor: int) -> str:
        return os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), folder)

    def moved(call):
        def move(source, target):
            done.append(f"{os.path.relpath(source, folder)} -> {os.path.relpath(target, folder)}")
            call(source, target)

        return move

    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(named(descriptor)))
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, moved(getattr(os, name)))
    save_step(folder, step(2), best=True)
    new = "steps/.2.new"
    assert done == [
        f"{new}/model.safetensors", f"{new}/state.safetensors", f"{new}/manifest.json", new, f"{new} -> steps/2", "steps",
        ".last.new", ".last.new -> last", ".", ".best.new", ".best.new -> best", ".",
    ]  # fmt: skip


# --- damage


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two kept steps whose numbers are one bit apart, so that a flipped pointer names the other one."""
    path = tmp_path_factory.mktemp("trained")
    (path / "a.txt").write_text("the cat sat on the mat\n" * 40)
    api.train(
        "language", path / "a.txt", out=path / "run", steps=2, evaluations=1, hidden=4, layers=1, embedding=4, batch=2, length=4,
        device="cpu", precision="float32", quiet=True,
    )  # fmt: skip
    run = path / "run"
    last = load_step(run, "last", with_state=True)
    save_step(run, Step(3, {k: v + 1 for k, v in last.weights.items()}, last.state, last.progress), best=False)
    assert [named(run, which) for which in ("best", "last")] == [2, 3]
    return run


def everything(run_folder):
    run = api.load(run_folder)
    weights = {name: value.clone() for name, value in folders.weights_of(run.model).items()}
    best = Step(0, weights, {}, {"config": run.config, "codec": run.codec.to_json()})
    return best, load_step(run_folder, "last", with_state=True)


FILES = ["config.json", "codec.json", "steps/1/model.safetensors", "steps/1/state.safetensors"]
HASHED = ["config.json", "codec.json"]
HASHED += [f"steps/{n}/{name}" for n in (2, 3) for name in ("manifest.json", "model.safetensors", "state.safetensors")]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_found_or_changes_nothing(trained, tmp_path_factory, data):
    name = data.draw(st.sampled_from(HASHED))
    at = data.draw(st.integers(0, (trained / name).stat().st_size - 1))
    check_flip(trained, tmp_path_factory.mktemp("damaged") / "run", name, at, data.draw(st.integers(1, 255)))


@pytest.mark.parametrize("name", ["best", "last"])
@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_of_a_pointer_never_leads_to_another_step(trained, tmp_path, name, bit):
    for at in range((trained / name).stat().st_size):
        check_flip(trained, tmp_path / str(at), name, at, 1 << bit)


@pytest.mark.parametrize("bit", [0, 4])
def test_no_byte_of_a_manifest_can_change_unseen(folder, bit):
    path = folder / "steps/1/manifest.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        found = None
        with contextlib.suppress(UserError):
            found = load_step(folder, "last", with_state=True)
        assert found is None or same(found, step(1)), f"byte {at}"


def check_flip(sound, damaged, name: str, at: int, mask: int) -> None:
    shutil.copytree(sound, damaged)
    whole = bytearray((damaged / name).read_bytes())
    whole[at] ^= mask
    (damaged / name).write_bytes(whole)
    found = None
    with contextlib.suppress(UserError):
        found = everything(damaged)
    # what is not refused is the same to the last bit: a line end may become a blank
    assert found is None or all(map(same, found, everything(sound)))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [lambda data: data + b" ", lambda data: data[:-1], lambda data: b""])
def test_a_file_of_another_length_is_refused(folder, name, change):
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    with pytest.raises(
        UserError, match=f"`{folder / name}` is damaged: it is not what its manifest says\n(.*\n)?.*copy the run folder again"
    ):
        load_step(folder, "last", with_state=True)


@pytest.mark.parametrize("name", [*FILES, "steps/1/manifest.json"])
def test_a_file_that_is_gone_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"`{folder / name}` is missing: the run is damaged") as raised:
        load_step(folder, "last", with_state=True)
    assert raised.value.code == 2


@pytest.mark.parametrize("name", [*FILES, "steps/1/manifest.json"])
def test_a_link_in_place_of_a_file_is_refused(folder, tmp_path, name):
    os.replace(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"`{folder / name}` is a link; a run folder holds plain files"):
        load_step(folder, "last", with_state=True)


@pytest.mark.parametrize("written", [b"", b"two\n", b"-1\n", b"1.0\n", b"../1\n", b"\xff\xfe", "²".encode()])
def test_a_pointer_that_names_no_step_is_damaged(folder, written):
    (folder / "last").write_bytes(written)
    with pytest.raises(UserError, match=f"`{folder}/last` is damaged: it names no step"):
        load_step(folder, "last")


@pytest.mark.parametrize("manifest", ["[]", "{}", '{"files": {}}', "null", "{"])
def test_a_manifest_that_lists_no_files_is_damaged(folder, manifest):
    path = folder / "steps/1/manifest.json"
    path.write_text(manifest)
    with pytest.raises(UserError, match=r"manifest.json` is damaged"):
        load_step(folder, "last")
    point_at(folder, path)  # as nobody but a stranger would
    with pytest.raises(UserError, match=r"` is damaged: "):
        load_step(folder, "last")


@pytest.mark.parametrize("data", [b"", b"\0" * 4, (100).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"])
def test_a_file_that_is_no_safetensors_is_refused_though_its_manifest_vouches_for_it(folder, data):
    vouch(folder, data)
    with pytest.raises(UserError, match=r"model.safetensors` is damaged"):
        load_step(folder, "last")


def test_a_huge_header_is_refused_before_it_is_parsed(folder):
    vouch(folder, (folders.HEADER_LIMIT + 1).to_bytes(8, "little") + b"{")
    with pytest.raises(UserError, match=r"model.safetensors` has a header of over 8 MB; it is none of ours"):
        load_step(folder, "last")


def vouch(folder, data: bytes) -> None:
    """Put other weights in place and a manifest that fits them."""
    (folder / "steps/1/model.safetensors").write_bytes(data)
    path = folder / "steps/1/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["model.safetensors"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    folders.write_json(path, manifest)
    point_at(folder, path)


def point_at(folder, manifest) -> None:
    (folder / "last").write_text(f"1 {hashlib.sha256(manifest.read_bytes()).hexdigest()}\n")


def test_weights_that_do_not_fit_the_model_are_named(folder):
    model = nn.Linear(3, 2)
    sound = folders.weights_of(model)
    for weights in ({"weight": sound["weight"]}, sound | {"extra": torch.zeros(1)}, sound | {"bias": torch.zeros(3)}):
        (bad,) = {"bias", "extra"} & (weights.keys() ^ sound.keys() or {"bias"})
        with pytest.raises(UserError, match=f"the weights in `{folder}` do not fit its config at `{bad}`"):
            folders.put_weights(model, weights, folder)


# --- folders that are not ours


def test_a_folder_without_a_saved_step_says_so(folder):
    (folder / "last").unlink()
    with pytest.raises(UserError, match=f"`{folder}` has no saved step\n.*\n.*train it first"):
        load_step(folder, "last")


def test_a_missing_folder_and_a_foreign_one_are_told_apart(tmp_path):
    with pytest.raises(UserError, match=f"there is no run folder `{tmp_path}/no`\n.*`unrolled train` makes one"):
        folders.read_config(tmp_path / "no")
    with pytest.raises(UserError, match=f"`{tmp_path}` is not a run folder: it has no config.json"):
        folders.read_config(tmp_path)
    for foreign in ('{"model_type": "bert"}', "[]", '{"format": "1", "task": "language"}'):
        (tmp_path / "config.json").write_text(foreign)
        with pytest.raises(UserError, match=f"`{tmp_path}` is not a run folder: its config.json was not written by unrolled"):
            folders.read_config(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\0")
    with pytest.raises(UserError, match=f"`{tmp_path}/config.json` is damaged: "):
        folders.read_config(tmp_path)


def test_an_older_format_goes_through_one_function_a_change(folder, monkeypatch):
    monkeypatch.setattr(folders, "FORMAT", 3)
    monkeypatch.setitem(folders.UPGRADES, 1, lambda config: config | {"format": 2, "task": config["task"] + "+2"})
    monkeypatch.setitem(folders.UPGRADES, 2, lambda config: config | {"format": 3, "task": config["task"] + "+3"})
    assert folders.read_config(folder)["task"] == "language+2+3"


def test_a_newer_format_asks_for_a_newer_version(folder):
    folders.write_json(folder / "config.json", {"format": 99, "task": "language"})
    with pytest.raises(
        UserError, match=f"`{folder}` has format 99; this version reads format {folders.FORMAT}\n.*\n.*update unrolled"
    ):
        folders.read_config(folder)


# --- making a folder


def test_a_new_folder_appears_whole_and_only_when_it_is_published(tmp_path):
    run = tmp_path / "deep" / "run"
    with folders.creating(run) as staging:
        (staging / "config.json").write_text("{}")
        assert not run.exists()
        folders.publish(staging, run)
    assert [path.name for path in run.iterdir()] == ["config.json"]
    assert [path.name for path in run.parent.iterdir()] == ["run"]


def test_a_folder_whose_making_fails_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="the text is empty"), folders.creating(tmp_path / "run") as staging:
        (staging / "tokens").mkdir()
        raise UserError("the text is empty")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_preparations_left_is_removed_by_the_next_one(tmp_path):
    with subprocess.Popen(["true"]) as gone:
        pass
    left = [f".run[1].new-{gone.pid}", f".run[1].new-{os.getpid()}"]  # a new container gives out the same numbers again
    others = [f".run[1].new-{os.getppid()}", ".run[1].new-mine", ".run[1].new-²", f".run1.new-{gone.pid}"]
    for name in left + others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "codec.json").write_text("{}")
    with folders.creating(tmp_path / "run[1]") as staging:
        (staging / "config.json").write_text("{}")
        folders.publish(staging, tmp_path / "run[1]")
    assert [path.name for path in (tmp_path / "run[1]").iterdir()] == ["config.json"]
    assert {path.name for path in tmp_path.iterdir()} == {*others, "run[1]"}


def test_an_empty_folder_may_be_taken(tmp_path):
    (tmp_path / "run").mkdir()
    with folders.creating(tmp_path / "run") as staging:
        (staging / "config.json").write_text("{}")
        folders.publish(staging, tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()


def test_what_is_there_already_is_left_alone(folder, tmp_path):
    with (
        pytest.raises(UserError, match=f"`{folder}` is already there\n.*unrolled train --resume {folder}, or another --out"),
        folders.creating(folder),
    ):
        pass
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(UserError, match=f"`{tmp_path}/file` is already there\n.*name another folder with --out"),
        folders.creating(tmp_path / "file"),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=f"cannot go on making the run folder `{tmp_path}/file/run`: ") as raised,
        folders.creating(tmp_path / "file" / "run"),
    ):
        pass
    assert raised.value.code == 2


# --- a disk that fails


class Faults:
    """Counts the calls that change the disk and makes the `at`-th of them fail."""

    def __init__(self, monkeypatch, number: int, at: int | None):
        self.number, self.at, self.count = number, at, 0
        for name in ("fsync", "rename", "replace", "mkdir"):
            monkeypatch.setattr(os, name, self.watched(getattr(os, name)))
        monkeypatch.setattr(folders, "open", self.open, raising=False)

    def happen(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise OSError(self.number, os.strerror(self.number))

    def watched(self, call):
        def watch(*arguments, **options):
            self.happen()
            return call(*arguments, **options)

        return watch

    def open(self, path, mode="r", **options):
        if mode == "rb":
            return builtins.open(path, mode, **options)
        self.happen()
        return Watched(builtins.open(path, mode, **options), self)


class Watched:
    """An open file whose writes may fail after half of the data."""

    def __init__(self, file, faults: Faults):
        self.file, self.faults = file, faults

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.faults.happen()
        return self.file.write(data[len(data) // 2 :])

    def flush(self):
        self.faults.happen()
        self.file.flush()

    def __getattr__(self, name):
        return getattr(self.file, name)


TOLD = {
    errno.ENOSPC: ("no room left while ", LIMIT), errno.EDQUOT: ("no room left while ", LIMIT),
    errno.EIO: ("cannot go on ", 2), errno.EACCES: ("cannot go on ", 2),
}  # fmt: skip


def calls_of_a_save(folder) -> int:
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, 0, None)
        save_step(folder, step(2), best=True)
    return faults.count


@pytest.mark.parametrize("number", TOLD, ids=errno.errorcode.get)
def test_a_save_that_fails_anywhere_leaves_a_whole_step_and_no_half_file(folder, tmp_path, number):
    shutil.copytree(folder, tmp_path / "dry")
    calls = calls_of_a_save(tmp_path / "dry")
    assert calls > 20  # four synced files at three calls or more, the folders, two pointers
    for at in range(1, calls + 1):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "copy")
        with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as raised:
            Faults(patch, number, at)
            save_step(tmp_path / "copy", step(2), best=True)
        told, code = TOLD[number]
        assert raised.value.what.startswith(told)
        assert raised.value.code == code
        assert leftovers(tmp_path / "copy") == []
        for which in ("best", "last"):
            found = load_step(tmp_path / "copy", which, with_state=True)
            assert same(found, step(found.number)) and found.number in (1, 2)
        save_step(tmp_path / "copy", step(2), best=True)  # once there is room again
        assert same(load_step(tmp_path / "copy", "best", with_state=True), step(2))


def test_a_full_disk_says_that_nothing_saved_is_lost(folder, monkeypatch):
    Faults(monkeypatch, errno.ENOSPC, 1)
    with pytest.raises(UserError) as raised:
        save_step(folder, step(2), best=False)
    assert str(raised.value) == (
        f"no room left while saving a step to `{folder}`\n  next:  free some disk space; what was saved before is intact"
    )


@pytest.mark.parametrize("number", TOLD, ids=errno.errorcode.get)
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, number):
    path = tmp_path / "a.json"
    folders.write_json(path, {"old": 1})
    for at in range(1, 7):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as raised:
            Faults(patch, number, at)
            folders.write_json(path, {"new": "é"})
        assert raised.value.what.startswith(f"{TOLD[number][0]}writing `{path}`")
        assert raised.value.code == TOLD[number][1]
        assert folders.read_json(path) in ({"old": 1}, {"new": "é"})
        assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    folders.write_json(path, {"new": "é"})
    assert folders.read_json(path) == {"new": "é"}


@pytest.mark.parametrize("number", TOLD, ids=errno.errorcode.get)
def test_publishing_that_fails_leaves_no_half_folder(tmp_path, number):
    for at in (2, 3, 4):  # the staging folder's making, the rename, the sync after it; the first is the parent, which is there
        with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as raised:
            Faults(patch, number, at)
            with folders.creating(tmp_path / "run") as staging:
                (staging / "config.json").write_text("{}")
                folders.publish(staging, tmp_path / "run")
        assert raised.value.what.startswith(f"{TOLD[number][0]}making the run folder `{tmp_path}/run`")
        assert leftovers(tmp_path) == []
        assert not (tmp_path / "run").exists() or (tmp_path / "run" / "config.json").exists()


# --- the log


def test_a_log_keeps_its_lines_in_order(folder):
    for number in range(3):
        folders.log(folder, {"step": number})
    assert folders.read_log(folder) == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_a_log_line_cut_short_by_a_kill_costs_that_line_alone(folder):
    folders.log(folder, {"step": 1})
    with open(folder / "log.jsonl", "a") as file:
        file.write('{"step": 2, "train": 1.')
    folders.log(folder, {"step": 3})
    assert folders.read_log(folder) == [{"step": 1}, {"step": 3}]


def test_a_run_without_a_log_has_an_empty_one(folder):
    assert folders.read_log(folder) == []


def test_a_log_on_a_full_disk_is_told(folder, monkeypatch):
    Faults(monkeypatch, errno.ENOSPC, 1)
    with pytest.raises(UserError, match=f"no room left while writing `{folder}/log.jsonl`") as raised:
        folders.log(folder, {})
    assert raised.value.code == LIMIT


def test_a_system_s_error_has_a_next_step_only_where_there_is_one(tmp_path):
    with pytest.raises(UserError, match=r"no such file or directory\n  next:  make its folder first$"):
        folders.write_bytes(tmp_path / "none" / "a", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"not a directory$"):
        folders.write_bytes(tmp_path / "file" / "a", b"")
