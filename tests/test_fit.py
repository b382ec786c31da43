"""The training loop: a run that is stopped and resumed is the run that was never stopped."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import NamedTuple

import accelerate
import pytest
import torch
from torch import Tensor, nn

from unrolled import api, fit
from unrolled import run as folders
from unrolled.errors import INTERRUPTED, RUN_FAILED, UserError
from unrolled.fit import Loop, Settings, Standing, schedule
from unrolled.progress import Progress

STEPS = 12
QUIET = Progress(quiet=True)


class Batch(NamedTuple):
    x: Tensor  # (B, I)
    y: Tensor  # (B, 1)
    absent: None


class Toy(nn.Module):
    """A net with a carried state, dropout (so that random numbers matter), a matrix and a vector."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.W, self.b = nn.Parameter(torch.randn(3, 4) / 2), nn.Parameter(torch.zeros(3))

    def forward(self, batch: Batch, state):
        h = torch.zeros(len(batch.x), 3) if state is None else state[0]
        h = torch.tanh(nn.functional.dropout(batch.x, 0.25, self.training) @ self.W.T + self.b + h / 2)
        return h.sum(1, keepdim=True), (h,)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return (outputs - batch.y).square().mean()


class Data:
    """Batches by step; `at` is called first with the step, to make something happen there."""

    def __init__(self, at=lambda step: None):
        self.at = at

    def batch(self, step: int) -> Batch:
        self.at(step)
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(6, 4, generator=generator)
        return Batch(x, x.sum(1, keepdim=True).tanh(), None)


def settings(**changes) -> Settings:
    usual = dict(
        steps=STEPS, learning_rate=0.01, warmup=2, weight_decay=0.01, clip=1.0, evaluate_every=5, patience=None, seed=3,
        measure="error", device="cpu", bfloat16=False, unit="bits", unit_scale=2.0, work="rows", work_per_step=6.0,
    )  # fmt: skip
    return Settings(**(usual | changes))


def dev_error(model: nn.Module) -> dict[str, float]:
    batch = Data().batch(1000)
    with torch.no_grad():
        return {"error": float(model.loss(model(batch, None)[0], batch))}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def new_run(tmp_path):
    """A function that makes a run folder at step 0."""

    def make(name: str = "run", model: nn.Module | None = None, **standing):
        folder = tmp_path / name
        folder.mkdir()
        folders.write_json(folder / "config.json", {})
        folders.write_json(folder / "codec.json", {})
        first = folders.Step(0, folders.weights_of(model or Toy()), {}, dataclasses.asdict(Standing(**standing)))
        folders.save_step(folder, first, best=True)
        return folder

    return make


def train(folder, at=lambda step: None, evaluate=dev_error, model=None, **changes) -> Standing:
    return fit.fit(folder, model or Toy(), Data(at), evaluate, settings(**changes), QUIET)


def number(folder, which: str) -> int:
    """The step that `best` or `last` names, read by hand."""
    return int((folder / which).read_text().split()[0])


def facts(folder) -> tuple:
    """All of the last step but the time it took."""
    last = folders.load_step(folder, "last", with_state=True)
    tensors = {name: value.tolist() for name, value in (last.weights | last.state).items()}
    return last.number, number(folder, "best"), tensors, last.progress | {"seconds": 0}


def signal_at(step: int, number: int = signal.SIGINT):
    return lambda now: os.kill(os.getpid(), number) if now == step else None


# --- averaged weights


def test_the_weights_kept_are_the_mean_of_the_last_steps(new_run):
    averaged, trail = new_run(), []  # of W before each step
    seen = {}

    def keep(model: nn.Module) -> dict[str, float]:
        seen["W"] = model.W.detach().clone()
        return dev_error(model)

    class Watching(Toy):
        def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
            if self.training:
                trail.append(self.W.detach().clone())
            return super().loss(outputs, batch)

    train(averaged, evaluate=keep, model=Watching(), averaged=4)
    last = folders.load_step(averaged, "last", with_state=True)
    trail.append(last.state["latest/W"])
    mean = trail[0]
    for step, W in enumerate(trail[1:], 1):
        mean = mean + max(1 / 4, 1 / (1 + step / 10)) * (W - mean)
    assert torch.allclose(last.weights["W"], mean, atol=1e-6)
    assert torch.equal(seen["W"], last.weights["W"])  # what is measured is what is kept
    assert not torch.allclose(last.weights["W"], last.state["latest/W"], atol=1e-4)


def test_averaging_changes_nothing_of_the_way(new_run):
    plain, averaged = new_run("plain"), new_run("averaged")
    train(plain)
    train(averaged, averaged=4)
    latest = folders.load_step(averaged, "last", with_state=True).state
    assert torch.equal(latest["latest/W"], folders.load_step(plain, "last").weights["W"])


def test_an_averaged_run_interrupted_ends_as_the_unbroken_one_bit_for_bit(new_run):
    whole = new_run("whole")
    train(whole, averaged=4)
    for cut in (1, 5, 8):
        folder = new_run(str(cut))
        with pytest.raises(UserError, match="nothing is lost"):
            train(folder, signal_at(cut), averaged=4)
        train(folder, averaged=4)
        assert facts(folder) == facts(whole)


# --- stopping and going on


@pytest.fixture
def unbroken(new_run):
    folder = new_run("unbroken")
    train(folder)
    return facts(folder)


def test_a_run_interrupted_at_any_step_ends_as_the_unbroken_one_bit_for_bit(new_run, unbroken):
    for cut in range(STEPS - 1):
        folder = new_run(str(cut))
        with pytest.raises(UserError) as raised:
            train(folder, signal_at(cut))
        assert raised.value.what == f"stopped at step {cut + 1} of {STEPS}; nothing is lost"
        assert raised.value.fix == f"unrolled train --resume {folder}"
        assert raised.value.code == INTERRUPTED
        assert number(folder, "last") == cut + 1
        train(folder)
        assert facts(folder) == unbroken


def test_a_run_that_died_without_saving_ends_as_the_unbroken_one_bit_for_bit(new_run, unbroken):
    def die(step: int) -> None:
        if step == cut:
            raise InterruptedError

    for cut in range(STEPS):
        folder = new_run(str(cut))
        with pytest.raises(InterruptedError):
            train(folder, die)
        assert number(folder, "last") == cut // 5 * 5
        train(folder)
        assert facts(folder) == unbroken


def test_a_run_interrupted_again_and_again_ends_as_the_unbroken_one(new_run, unbroken):
    folder = new_run()
    for cut in (2, 4, 5, 9):
        with pytest.raises(UserError, match="nothing is lost"):
            train(folder, signal_at(cut))
    train(folder)
    assert facts(folder) == unbroken


def test_what_the_caller_did_with_random_numbers_changes_nothing(new_run, unbroken):
    folder = new_run()
    train(folder, evaluate=lambda model: torch.manual_seed(99) and dev_error(model))
    assert facts(folder) == unbroken


def test_another_seed_ends_elsewhere(new_run, unbroken):
    folder = new_run()
    train(folder, seed=4)
    assert facts(folder)[2]["W"] != unbroken[2]["W"]


def test_a_finished_run_stays_as_it_is(new_run, unbroken):
    folder = new_run()
    train(folder)
    train(folder, lambda step: pytest.fail("a finished run took another step"))
    assert facts(folder) == unbroken


def test_an_interrupt_in_the_last_step_lets_the_run_finish(new_run, unbroken):
    folder = new_run()
    train(folder, signal_at(STEPS - 1))
    assert facts(folder) == unbroken


def test_a_request_to_terminate_saves_as_well(new_run):
    folder = new_run()
    with pytest.raises(UserError, match=f"stopped at step 4 of {STEPS}; nothing is lost"):
        train(folder, signal_at(3, signal.SIGTERM))
    assert number(folder, "last") == 4


def test_a_second_interrupt_stops_at_once_and_the_handlers_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), fit.interruptible() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# --- what a step is


def test_the_schedule_is_torchs_cosine_with_a_linear_rise():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    for step in range(100):
        rise = (step + 1) / 10 if step < 9 else 1
        assert schedule(step, settings(steps=100, warmup=10)) == pytest.approx(cosine.get_last_lr()[0] * rise, abs=1e-9)
        assert schedule(step, settings(steps=100, warmup=0)) == pytest.approx(cosine.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        cosine.step()
    assert schedule(100, settings(steps=100)) == 0


def test_each_step_takes_the_schedules_rate_times_the_scale(new_run):
    loop = Loop(new_run(), Toy(), Data(), settings(), QUIET)
    loop.standing.rate_scale = 0.5
    for step in range(4):
        loop.train_step()
        wanted = 0.01 * 0.5 * schedule(step, settings())
        assert [group["lr"] for group in loop.optimizer.param_groups] == [pytest.approx(wanted)] * 2


def test_matrices_decay_and_vectors_do_not():
    model = Toy()
    optimizer = fit.adamw(model, settings(learning_rate=0.1, weight_decay=0.5))
    with torch.no_grad():
        model.b.fill_(1.0)
    before = model.W.detach().clone()
    model.W.grad, model.b.grad = torch.zeros_like(model.W), torch.zeros_like(model.b)
    optimizer.step()
    torch.testing.assert_close(model.W, before * (1 - 0.1 * 0.5))
    assert model.b.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("clip", [1e-3, 1e9])
def test_a_gradient_is_no_longer_than_clip(clip):
    model, batch = Toy().eval(), Data().batch(0)
    before = [p.detach().clone() for p in model.parameters()]
    model.train = lambda: model  # without dropout, so that the gradient below is that of the step
    gradients = torch.autograd.grad(model.loss(model(batch, None)[0], batch), list(model.parameters()))
    length = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    fit.update(model, model, batch, None, torch.optim.SGD(model.parameters(), lr=1.0), settings(clip=clip))
    for p, old, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(old - p, gradient * min(1.0, clip / length), rtol=1e-3, atol=1e-7)


def test_the_state_is_carried_from_step_to_step_and_gradients_are_not(new_run):
    loop, seen = Loop(new_run(), Toy(), Data(), settings(), QUIET), []
    loop.model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[1]))
    states = []
    for _ in range(3):
        loop.train_step()
        states.append(loop.state[0])
    assert seen[0] is None
    assert [state[0].data_ptr() for state in seen[1:]] == [state.data_ptr() for state in states[:2]]
    assert not any(state.requires_grad for state in states)


def test_the_model_is_measured_without_dropout_and_trained_with_it(new_run):
    measured, trained, model = [], [], Toy()
    model.register_forward_hook(lambda module, *rest: trained.append(module.training))
    fit.fit(
        new_run(), model, Data(), lambda m: measured.append(m.training) or {"error": 0.0}, settings(), QUIET,
        lambda m, step: measured.append((m.training, step)),
    )  # fmt: skip
    assert measured == [False, (False, 5), False, (False, 10), False, (False, 12)]
    assert trained == [True] * STEPS


def test_the_processes_share_a_batch_without_overlap_or_gap(new_run):
    loop, batch = Loop(new_run(), Toy(), Data(), settings(), QUIET), Data().batch(0)
    parts = []
    for rank in range(3):
        loop.accelerator = SimpleNamespace(num_processes=3, process_index=rank, device=torch.device("cpu"))
        parts.append(loop.share(batch))
    assert torch.equal(torch.cat([part.x for part in parts]), batch.x)
    assert torch.equal(torch.cat([part.y for part in parts]), batch.y)
    assert parts[0].absent is None
    loop.accelerator.num_processes = 4
    with pytest.raises(UserError, match="`--batch` is 6; it must divide by the 4 processes"):
        loop.share(batch)


def test_measuring_the_speed_leaves_the_model_alone():
    model = Toy()
    before = [p.tolist() for p in model.parameters()]
    assert fit.seconds_per_step(model, Data(), settings(), budget=0.01) > 0
    assert [p.tolist() for p in model.parameters()] == before


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"`--device cuda`: this machine has no such device, or its torch .*\n.*unrolled doctor"):
        fit.accelerator("cuda")


# --- measuring, best, patience


def measured(values):
    left = list(values)
    return lambda model: {"error": left.pop(0), "other": 7}


def test_the_best_step_is_the_one_of_the_smallest_measure(new_run):
    folder = new_run()
    standing = train(folder, evaluate=measured([3.0, 1.0, 2.0]), evaluate_every=4)
    assert (standing.best, standing.best_step, standing.stale) == (1.0, 8, 1)
    assert (number(folder, "best"), number(folder, "last")) == (8, 12)
    assert [(e["step"], e["error"], e["other"]) for e in folders.read_log(folder)] == [(4, 3.0, 7), (8, 1.0, 7), (12, 2.0, 7)]


def test_a_best_step_saved_but_not_yet_marked_by_a_run_that_was_killed_is_marked_by_the_next(new_run, monkeypatch):
    folder, replace = new_run(), os.replace

    def die(source, target) -> None:
        if target.name == "best" and number(folder, "last") == 8:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", die)
        train(folder, evaluate=measured([3.0, 1.0]), evaluate_every=4)
    assert (number(folder, "best"), number(folder, "last")) == (4, 8)
    standing = train(folder, evaluate=measured([2.0]), evaluate_every=4)  # no better than step 8
    assert standing.best_step == number(folder, "best") == 8


def test_patience_ends_a_run_that_gets_no_better(new_run, capsys):
    folder, values = new_run(), [3.0, 1.0, 2.0, 1.0, 1.5]
    standing = fit.fit(folder, Toy(), Data(), measured(values), settings(evaluate_every=1, patience=3), Progress())
    assert (standing.best_step, standing.stale, number(folder, "last")) == (2, 3, 5)
    assert "no better for 3 evaluations; stopped at step 5" in capsys.readouterr().err
    train(folder, lambda step: pytest.fail("it was out of patience"), patience=3)


def test_an_evaluation_is_told_in_the_units_people_read(new_run, capsys):
    fit.fit(new_run(), Toy(), Data(), measured([3.0, 1.0, 2.0]), settings(evaluate_every=4), Progress())
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" · ")[0] for line in lines] == ["step 4/12", "step 8/12", "step 12/12"]
    assert [line.partition(" · dev ")[2] for line in lines] == ["6.000 bits", "2.000 bits", "4.000 bits (best 2.000 at step 8)"]


def test_a_measure_without_a_unit_is_told_by_the_others(new_run, capsys):
    values = iter([3.0, 1.0, 2.0])

    def evaluate(model):
        value = next(values)
        return {"error": value, "score": 10 - value}

    fit.fit(new_run(), Toy(), Data(), evaluate, settings(evaluate_every=4, unit="", shown=("score",)), Progress())
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" · dev ")[2] for line in lines] == ["7.000 score", "9.000 score", "8.000 score (best at step 8)"]


# --- going astray


class Falls(Toy):
    """Its loss is NaN, or a sound loss with a NaN gradient, where `bad` says so."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind, self.bad = kind, False

    def loss(self, outputs, batch):
        zero = self.b.sum() * 0
        harm = {"loss": zero * math.nan, "gradient": zero.sqrt(), "large": zero + 1e6}[self.kind]
        return super().loss(outputs, batch) + (harm if self.bad and self.training else 0)


ASTRAY = [(kind, step) for kind in ("loss", "gradient") for step in (0, 3, 4, 7, 9)]  # after 4 and 9 it is measured and saved
ASTRAY += [("large", step) for step in (3, 4, 7, 9)]  # what is large, the first loss tells


@pytest.mark.parametrize(("kind", "astray"), ASTRAY)
def test_a_run_that_goes_astray_once_is_set_back_and_finishes(new_run, kind, astray):
    folder, model, visits = new_run(), Falls(kind), []

    def at(step: int) -> None:
        visits.append(step)
        model.bad = step == astray and visits.count(step) == 1

    standing = train(folder, at, model=model)
    assert standing.rollbacks == 1
    assert standing.rate_scale == 0.5
    last = folders.load_step(folder, "last")
    assert last.number == STEPS
    assert all(value.isfinite().all() for value in last.weights.values())
    (event,) = [entry for entry in folders.read_log(folder) if entry.get("event") == "rollback"]
    assert event["to"] == astray // 5 * 5
    assert event["rate_scale"] == 0.5


def test_a_run_set_back_is_one_that_began_there_at_half_the_rate(new_run):
    folder, model, visits = new_run("back"), Falls("loss"), []

    def at(step: int) -> None:
        visits.append(step)
        model.bad = step == 3 and visits.count(3) == 1

    train(folder, at, model=model)
    slow = new_run("slow", rate_scale=0.5, rollbacks=1)
    train(slow)
    assert facts(folder) == facts(slow)


def test_a_rollback_is_told(new_run, capsys):
    model = Falls("loss")
    visits = []

    def at(step: int) -> None:
        visits.append(step)
        model.bad = visits.count(6) == 1 and step == 6

    fit.fit(new_run(), model, Data(at), dev_error, settings(), Progress())
    assert "diverged at step 7 (loss nan); back to step 5 at half the learning rate" in capsys.readouterr().err


def test_a_run_that_always_goes_astray_ends_with_advice_and_keeps_its_best_step(new_run):
    folder, model = new_run(), Falls("loss")

    def at(step: int) -> None:
        model.bad = step == 7

    with pytest.raises(UserError) as raised:
        train(folder, at, model=model)
    assert raised.value.code == RUN_FAILED
    assert raised.value.what == "training diverged 6 times, the last at step 8"
    assert raised.value.fix == "train again with --rate below 0.0002"  # 0.01 halved six times
    assert number(folder, "last") == 5
    assert all(value.isfinite().all() for value in folders.load_step(folder, "best").weights.values())


class Bowl(nn.Module):
    """One number to be brought to 1: a rate that is too large throws it out."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, 1))

    def forward(self, batch, state):
        return self.w, ()

    def loss(self, outputs, batch):
        return (self.w - 1).square().sum()


def test_a_rate_far_too_high_is_halved_until_the_run_recovers(new_run):
    folder = new_run(model=Bowl())
    settings = {"learning_rate": 10.0, "warmup": 0, "steps": 60, "evaluate_every": 60}
    standing = train(folder, model=Bowl(), evaluate=lambda m: {"error": 0.0}, **settings)
    assert 1 <= standing.rollbacks <= fit.ROLLBACKS
    assert standing.rate_scale == 0.5**standing.rollbacks
    assert float((folders.load_step(folder, "last").weights["w"] - 1).abs()) < 1


def test_a_rollback_that_is_interrupted_ends_as_the_one_that_was_not(new_run):
    ends = []
    for name, cut in (("unbroken", None), ("cut", 8)):
        folder, visits = new_run(name), []

        def at(step: int, model, visits=visits, cut=cut) -> None:
            visits.append(step)
            model.bad = step == 6 and visits.count(6) == 1
            if step == cut:
                os.kill(os.getpid(), signal.SIGINT)

        model = Falls("loss")
        if cut is not None:
            with pytest.raises(UserError, match="stopped at step 9"):
                train(folder, lambda step, model=model, at=at: at(step, model), model=model)
        model = Falls("loss")
        visits += [6] * (cut is not None)
        train(folder, lambda step, model=model, at=at: at(step, model), model=model)
        ends.append(facts(folder))
    assert ends[0] == ends[1]


# --- many processes

SMALL = {"steps": 6, "hidden": 8, "layers": 1, "embedding": 4, "batch": 4, "length": 8, "dropout": 0, "evaluations": 2}


def test_two_processes_train_the_weights_of_one(tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat, and the rat sat on the cat\n" * 20)
    options = SMALL | {"device": "cpu", "precision": "float32", "dropout": 0.0}
    one = api.train("language", tmp_path / "a.txt", out=tmp_path / "one", quiet=True, **options)
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m", "unrolled"]
    done = subprocess.run(
        [*launch, "train", "language", "a.txt", "--out", "two", "--quiet", *flags],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = api.load(tmp_path / "two")
    for (name, a), b in zip(one.model.state_dict().items(), two.model.state_dict().values(), strict=True):
        # Adam's first steps divide rounding by itself; without the other's gradient the two are apart by over 1e-3
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "two")]
    assert reports[0]["dev"]["nats_per_symbol"] == pytest.approx(reports[1]["dev"]["nats_per_symbol"], abs=2e-5)
    assert done.stdout.splitlines() == ["two"]  # one process speaks for both


def test_a_run_for_the_cpu_is_resumed_on_the_cpu_whatever_else_the_machine_has(tmp_path, monkeypatch):
    # accelerate decides on a device once a process, where it is asked first; asked without cpu it takes a GPU that is there
    asked, real = [], accelerate.PartialState
    monkeypatch.setattr(accelerate, "PartialState", lambda cpu=False: asked.append(cpu) or real(cpu=cpu))
    (tmp_path / "a.txt").write_text("the cat sat on the mat, and the rat sat on the cat\n" * 20)
    api.train("language", tmp_path / "a.txt", out=tmp_path / "run", quiet=True, device="cpu", precision="float32", **SMALL)
    with pytest.raises(UserError, match="is finished"):
        api.resume(tmp_path / "run", quiet=True)
    assert asked
    assert all(asked)
