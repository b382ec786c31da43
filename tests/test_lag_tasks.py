"""The three tasks that need a memory: what they ask, what chance is, and that a cell learns them at a short lag."""

import math

import pytest
import torch

from unrolled import cells, lag_tasks
from unrolled.lag_tasks import CLOSE, COPIED, SYMBOLS, TASKS, Learner
from unrolled.progress import Progress


def drawn(task, lag=40, rows=2000):
    return TASKS[task].make(rows, lag, torch.Generator().manual_seed(1))


def test_copy_asks_for_the_first_symbols_after_the_lag():
    x, answers = drawn("copy")
    ids = x.argmax(-1)
    assert x.shape == (2000, 40 + COPIED, SYMBOLS + 2)
    assert torch.equal(ids[:, :COPIED], answers)
    assert set(ids[:, COPIED:40].flatten().tolist()) == {SYMBOLS}
    assert (ids[:, 40] == SYMBOLS + 1).all()
    assert ids.shape[1] - COPIED == 40  # the first answer is asked 40 steps after its symbol


def test_adding_asks_for_the_sum_of_the_two_marked():
    x, answers = drawn("adding")
    assert (x[..., 1].sum(1) == 2).all()
    for row in range(5):
        assert answers[row].item() == pytest.approx(float(x[row, x[row, :, 1] == 1, 0].sum()))
    first, second = x[..., 1].nonzero()[::2, 1], x[..., 1].nonzero()[1::2, 1]
    assert (first.max(), second.min(), second.max()) == (3, 20, 23)


def test_order_asks_for_the_order_of_the_two_marked():
    x, answers = drawn("order")
    ids = x.argmax(-1)
    marked = [ids[row][ids[row] < 2].tolist() for row in range(2000)]
    assert all(len(pair) == 2 for pair in marked)
    assert answers.flatten().tolist() == [2 * first + second for first, second in marked]
    assert set(answers.flatten().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("task", TASKS)
def test_chance_is_what_the_best_constant_answer_reaches(task):
    _, answers = drawn(task, rows=20_000)
    if task == "adding":
        right = ((answers - 1).abs() < CLOSE).double().mean()
    else:
        right = max((answers == symbol).double().mean() for symbol in answers.unique())
    assert float(right) == pytest.approx(TASKS[task].chance, abs=0.012)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_and_step_give_the_same_examples(task):
    again = drawn(task)
    assert all(torch.equal(a, b) for a, b in zip(drawn(task), again, strict=True))
    other = TASKS[task].make(2000, 40, torch.Generator().manual_seed(2))
    assert not torch.equal(other.x, again.x)


@pytest.mark.parametrize(("cell", "gate", "sign"), [("lstm", 1, 1), ("lstm", 0, -1), ("gru", 0, -1), ("gru_after", 1, 1)])
def test_gates_begin_with_memories_up_to_the_lag(cell, gate, sign):
    torch.manual_seed(1)
    net = cells.CELLS[cell](3, 500)
    lag_tasks.remember(net, 100)
    spread = sign * net.b.detach().chunk(net.gates)[gate]
    assert 0 <= spread.min() < 0.1
    assert math.log(100) - 0.1 < spread.max() < math.log(100)
    assert spread.mean() == pytest.approx(math.log(100) / 2, abs=0.2)


def test_a_basic_rnn_has_no_gate_to_begin_with():
    net = cells.RNN(3, 20)
    before = net.b.clone()
    lag_tasks.remember(net, 100)
    assert torch.equal(net.b, before)


def test_gates_begin_fresh_where_they_are_not_told():
    told, fresh = (Learner("lstm", "copy", 200, 8, 1, 1, tell).net.recurrent.cells[0].b for tell in (True, False))
    assert fresh.detach().chunk(4)[1].tolist() == [1.0] * 8
    assert float(told.detach().chunk(4)[1].max()) > 2


def test_a_gated_cell_bridges_a_lag_that_the_basic_rnn_does_not():
    gated, basic = (Learner(cell, "order", 60, 32, 1, seed=1) for cell in ("gru", "rnn"))
    gated.learn(400)
    assert gated.trial.solved_after is not None
    basic.learn(gated.steps)
    assert basic.trial.solved_after is None
    assert basic.trial.accuracy < 0.6


@pytest.mark.parametrize("task", TASKS)
def test_the_basic_rnn_solves_each_task_at_the_shortest_lag(task):
    learner = Learner("rnn", task, lag_tasks.LEAST, 32, 1, seed=1)
    learner.learn(600)
    told = learner.trial
    assert told.solved_after == told.steps < 600
    assert told.accuracy >= lag_tasks.SOLVED > told.chance


def test_trials_stop_after_so_many_steps_and_all_had_the_same():
    told = list(lag_tasks.trials(["rnn", "gru"], 80, 8, 1, 1, True, 10, 1e9, Progress(quiet=True)))
    assert [(t.lag, t.task, t.cell) for t in told[:3]] == [(4, "copy", "rnn"), (4, "copy", "gru"), (4, "adding", "rnn")]
    assert len(told) == 18
    assert {t.steps for t in told if t.solved_after is None} == {10}


def test_what_is_unsolved_gets_the_time_that_is_left():
    learners = [Learner(cell, "copy", 300, 4, 1, seed=1) for cell in ("rnn", "gru")]
    allowed = []
    for most in lag_tasks._affordable(learners, 1.5):
        allowed.append(most)
        for learner in learners:
            learner.learn(most)
    assert allowed[0] == lag_tasks.LOOK
    assert sum(learner.seconds for learner in learners) < 20  # a busy machine may take longer than it was asked to
    solved = Learner("rnn", "order", 4, 8, 1, seed=1)
    solved.accuracy = 1.0
    assert list(lag_tasks._affordable([solved], 100)) == [lag_tasks.LOOK]


@pytest.mark.parametrize(("longest", "wanted"), [(200, [10, 50, 200]), (4, [4]), (60, [4, 15, 60])])
def test_lags_grow_to_the_longest(longest, wanted):
    assert lag_tasks.lags(longest) == wanted
