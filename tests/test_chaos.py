"""Killed or failed at any moment, a run has its last saved step whole, goes on from it, and ends as the one that never was."""

import contextlib
import errno
import io
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time

import pytest
import torch

from unrolled import api, cli
from unrolled import run as folders
from unrolled.run import Step, load_step, save_step
from unrolled.tasks import language

# A clean process that has imported what children need forks each of them: no interpreter starts for a kill, and no
# process is forked that holds threads.
processes = multiprocessing.get_context("forkserver")
LATE = ["accelerate", "safetensors.torch", "torch._dynamo", "torch.distributed.tensor"]  # what training imports on the way
processes.set_forkserver_preload(["unrolled.api", "unrolled.tasks.language", *LATE])

KILLS = [pytest.param(20, id="20"), pytest.param(200, id="200", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a kill takes nothing from a file that was written


def start(work, *arguments):
    child = processes.Process(target=at_work, args=(work, *arguments), daemon=True)
    child.start()
    return child


def at_work(work, *arguments) -> None:
    os.fsync = lambda descriptor: None
    work(*arguments)


def ended(child) -> int:
    """The child's exit code: 0, or minus the signal that killed it."""
    child.join(120)
    code = child.exitcode
    child.close()
    return code


def kill(child) -> None:
    child.kill()
    assert ended(child) == -signal.SIGKILL  # it was at work until now


def wait_for_step(child, folder, number: int) -> None:
    """Until `last` names that step or a later one."""
    until = time.monotonic() + 120
    while folders.pointer(folder, "last") < number:
        assert child.is_alive() and time.monotonic() < until
        time.sleep(0.0005)


def leftovers(folder) -> list[str]:
    return [str(path) for path in folder.rglob(".*")]


# --- training


def resume(folder) -> None:
    """In a child: go on with a run. It writes no samples, which would be most of its time, and most kills would fall there."""
    language.glimpse = lambda run, seed: ""
    api.resume(folder, quiet=True)


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """A function that makes a run of so many steps, each followed by a save, and not yet begun."""
    monkeypatch.setattr(api, "resume", lambda folder, quiet: folder)
    (tmp_path / "a.txt").write_text("the cat sat on the mat, and the rat sat on the cat\n" * 10)

    def make(steps: int):
        return api.train(
            "language", tmp_path / "a.txt", out=tmp_path / "killed", steps=steps, evaluations=steps, hidden=8, layers=1,
            embedding=4, batch=2, length=8, dropout=0.2, device="cpu", precision="float32", quiet=True,
        )  # fmt: skip

    return make


def facts(folder) -> list:
    """All that a finished run holds but the time it took."""
    found = []
    for which in ("best", "last"):
        step = load_step(folder, which, with_state=True)
        tensors = {name: value.tolist() for name, value in (step.weights | step.state).items()}
        found.append((step.number, tensors, step.progress | {"seconds": 0}))
    return [*found, json.loads((folder / "report.json").read_text()) | {"seconds": 0}]


@pytest.mark.parametrize("kills", KILLS)
def test_a_training_killed_again_and_again_ends_as_the_unbroken_one_bit_for_bit(prepare, tmp_path, kills):
    steps, moments = 10 * kills, random.Random(kills)
    folder = prepare(steps)
    unbroken = shutil.copytree(folder, tmp_path / "unbroken")
    assert ended(start(resume, unbroken)) == 0
    pace = json.loads((unbroken / "report.json").read_text())["seconds"] / steps
    for _ in range(kills):
        child, before = start(resume, folder), folders.pointer(folder, "last")
        reached = before + moments.randrange(4)  # 0: it is still starting, or in its first steps
        wait_for_step(child, folder, reached)
        time.sleep(moments.uniform(0, 2 * pace if reached > before else 0.1))
        kill(child)
        assert load_step(folder, "last", with_state=True).number >= reached
        api.load(folder)  # the best one
    assert ended(start(resume, folder)) == 0
    assert facts(folder) == facts(unbroken)
    assert leftovers(folder) == []


# --- a disk that is full or broken, a machine without memory


FAULTS = {
    "a full disk": (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 4, "no room left while "),
    "a broken disk": (OSError(errno.EIO, os.strerror(errno.EIO)), 2, "cannot go on "),
    "no memory": (MemoryError(), 4, "out of memory"),
}
POINTS = [pytest.param(6, id="6"), pytest.param(50, id="50", marks=pytest.mark.slow)]
WRITING = os.O_WRONLY | os.O_RDWR


def fail_at(point: int, folder, error: Exception) -> None:
    """Let the `point`-th try from now to write in a folder fail, and if it is a disk that fails, all after it."""
    points = itertools.count(1)

    def watch(event: str, arguments: tuple) -> None:
        changes = event in ("os.mkdir", "os.rename") or (event == "open" and arguments[2] & WRITING)
        if changes and str(arguments[0]).startswith(str(folder)):
            at = next(points)
            if at == point or (at > point and isinstance(error, OSError)):
                raise error

    sys.addaudithook(watch)


def resume_and_fail(folder, point: int, fault: str, told) -> None:
    """In a child: the command line goes on with a run, and something fails it on the way."""
    language.glimpse = lambda run, seed: "a sample"
    with open(told, "w") as file, contextlib.redirect_stderr(file), contextlib.redirect_stdout(io.StringIO()):
        fail_at(point, folder, FAULTS[fault][0])
        code = cli.run(["train", "--resume", str(folder)])
    sys.exit(code)


@pytest.mark.parametrize("points", POINTS)
def test_a_training_that_cannot_write_says_so_once_and_goes_on_when_it_can(prepare, tmp_path, points):
    """ENOSPC, EIO and out of memory where a training opens, makes or renames a file: log, weights, pointers, samples, reports."""
    folder, chance, failed = prepare(5 * points), random.Random(points), 0
    unbroken = shutil.copytree(folder, tmp_path / "unbroken")
    assert ended(start(resume, unbroken)) == 0
    for number in range(points):
        fault = list(FAULTS)[number % len(FAULTS)]
        _, code, said = FAULTS[fault]
        before = folders.pointer(folder, "last")
        found = ended(start(resume_and_fail, folder, 1 + chance.randrange(40), fault, tmp_path / "told"))
        told = (tmp_path / "told").read_text()
        assert found == code, told
        assert f"error: {said}" in told and told.count("error: ") == 1 and "Traceback" not in told, told
        assert load_step(folder, "last", with_state=True).number >= before
        api.load(folder)  # the best one
        failed += 1
    assert ended(start(resume, folder)) == 0
    assert facts(folder) == facts(unbroken)
    assert leftovers(folder) == []
    print(f"{failed} failures to write, of {', '.join(FAULTS)}: each one message, the step before whole, the end as unbroken")


# --- saving


def step(number: int) -> Step:
    """A step whose every part tells its number, large enough that a kill may fall into the middle of a file."""
    return Step(
        number, {"w": torch.full((1 << 18,), float(number))}, {"optimizer/w/step": torch.tensor(float(number))}, {"best": number}
    )


def whole(found: Step) -> bool:
    """Is every part of the same step?"""
    wanted = step(found.number)
    tensors = [(found.weights, wanted.weights), (found.state, wanted.state)]
    return found.progress == wanted.progress and all(torch.equal(x[k], y[k]) for x, y in tensors for k in x.keys() | y.keys())


def is_best(number: int) -> bool:
    return number % 3 == 1


def new_run(folder):
    folder.mkdir()
    folders.write_json(folder / "config.json", {"format": folders.FORMAT, "task": "language"})
    folders.write_json(folder / "codec.json", {"kind": "bytes"})
    save_step(folder, step(1), best=True)
    return folder


def save_for_ever(folder) -> None:
    for number in itertools.count(folders.pointer(folder, "last") + 1):
        save_step(folder, step(number), is_best(number))


@pytest.mark.parametrize("kills", KILLS)
def test_a_save_killed_at_any_moment_leaves_whole_steps(tmp_path, kills):
    folder, moments, best_before = new_run(tmp_path / "run"), random.Random(kills), 1
    for _ in range(kills):
        child, reached = start(save_for_ever, folder), folders.pointer(folder, "last") + 1
        wait_for_step(child, folder, reached)
        time.sleep(moments.uniform(0, 0.03))  # a save takes a few milliseconds
        kill(child)
        last, best = (load_step(folder, which, with_state=True) for which in ("last", "best"))
        assert last.number >= reached and whole(last)
        assert whole(best)
        # `last` is named first: a kill between the two leaves the best one before, until training goes on and marks it
        assert is_best(best.number)
        assert best_before <= best.number <= last.number
        best_before = best.number
    save_step(folder, step(reached + 10**6), best=True)
    assert [path.name for path in (folder / "steps").iterdir()] == [str(reached + 10**6)]
    assert leftovers(folder) == []


TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def die_at(touch: int) -> None:
    """Kill this process before it touches the disk for the `touch`-th time from now."""
    touches = itertools.count(1)

    def watch(event: str, arguments: tuple) -> None:
        if event in TOUCHES and next(touches) == touch:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def save_and_die(folder, touch: int) -> None:
    two = step(2)
    die_at(touch)
    save_step(folder, two, best=True)


def test_a_save_killed_at_each_of_its_touches_of_the_disk_leaves_whole_steps(tmp_path):
    for touch in itertools.count(1):
        folder = new_run(tmp_path / str(touch))
        if ended(start(save_and_die, folder, touch)) == 0:
            break
        for which in ("last", "best"):
            assert whole(load_step(folder, which, with_state=True))
        save_step(folder, step(2), best=True)
        assert [path.name for path in (folder / "steps").iterdir()] == ["2"]
        assert leftovers(folder) == []
        assert whole(load_step(folder, "best", with_state=True))
    assert touch > 20  # or there was nothing to see: a save makes a folder, three files and two pointers


def prepare_and_die(folder, touch: int) -> None:
    one = step(1)
    die_at(touch)
    prepare_as_api_does(folder, one)


def prepare_as_api_does(folder, first: Step) -> None:
    with folders.creating(folder) as staging:
        folders.write_json(staging / "config.json", {"format": folders.FORMAT, "task": "language"})
        folders.write_json(staging / "codec.json", {"kind": "bytes"})
        save_step(staging, first, best=True)
        folders.publish(staging, folder)


def test_a_preparation_killed_at_each_of_its_touches_of_the_disk_leaves_a_whole_run_or_none(tmp_path):
    seen = set()
    for touch in itertools.count(1):
        folder = tmp_path / str(touch) / "run"
        if ended(start(prepare_and_die, folder, touch)) == 0:
            break
        seen.add(folder.exists())
        if not folder.exists():
            prepare_as_api_does(folder, step(1))
        assert whole(load_step(folder, "last", with_state=True))
        assert [path.name for path in folder.parent.iterdir()] == ["run"]
    assert seen == {True, False}
