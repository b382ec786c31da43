"""The compiled loop of writing against decode.py, which is its reference, and numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import cells, decode
from unrolled.kernels import writing

V, H = 23, 16


def net(cell="gru", layers=2, int8=False):
    torch.manual_seed(3)
    stack = [cells.CELLS[cell](4 if i == 0 else H, H) for i in range(layers)]
    with torch.no_grad():
        table = torch.nn.functional.linear(2 * torch.randn(V, 4), stack[0].W, stack[0].b)
        return writing.net(stack, table, 2 * torch.randn(V, layers * H), torch.randn(V), int8)


def start(of, rows):
    states = 2 if of.kind.ndim == 4 else 1
    return np.zeros((len(of.stack[3]) * states, rows, H), np.float32)


def step_by_step(of, logits, state, filters, banned, seed, length):
    """What decode.sample draws, stepping with writing.read."""

    def step(ids, state):
        after = np.stack(state)
        return writing.read(of, ids[None], after), tuple(after)

    drawn = decode.sample(step, logits.copy(), tuple(state.copy()), filters, np.random.default_rng(seed), banned)
    return np.array([ids for _, ids in zip(range(length), drawn, strict=False)])


filters = st.builds(
    decode.Sampling,
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.none() | st.integers(1, V + 3),
    st.none() | st.sampled_from([0.05, 0.5, 0.9, 1.0]),
    st.none() | st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([1.0, 1.5, 0.7]),
    st.integers(1, 5),
)


@given(settings_=filters, rows=st.sampled_from([1, 3]), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_compiled_loop_draws_what_decode_draws(settings_, rows, seed):
    of, banned = net(), [0, 5]
    state = start(of, rows)
    logits = writing.read(of, np.full((1, rows), 7), state)
    wanted = step_by_step(of, logits, state, settings_, banned, seed, 12)
    recent = np.full((rows, settings_.window if settings_.repetition_penalty != 1 else 0), -1)
    uniform = np.random.default_rng(seed).random((12, rows))
    got = writing.write(of, logits, state, recent, writing.numbers(settings_), np.array(banned), uniform)
    assert (got == wanted).all()


@given(
    logits=st.lists(st.floats(-6, 6, width=32), min_size=2, max_size=40),
    top_k=st.integers(0, 45),
    top_p=st.sampled_from([0.0, 0.01, 0.3, 0.8, 0.999]),
)
@settings(max_examples=200, deadline=None)
def test_the_likeliest_are_those_that_sorting_finds(logits, top_k, top_p):
    p = np.exp(np.array(logits))
    order = np.argsort(-p, kind="stable")
    kept = order[: top_k or None]
    share = p[kept] / p[kept].sum()
    kept = kept[(np.cumsum(share) - share) < (top_p or 2) - 1e-12]
    wanted = np.zeros_like(p)
    wanted[kept] = p[kept]
    got, total = p.copy(), p.sum()
    writing.keep_likeliest(got, total, top_k, top_p, np.empty(len(p), np.int64))
    at_the_edge = (np.abs((np.cumsum(share) - share) - top_p) < 1e-9).any()
    assert at_the_edge or (got == wanted).all()


@pytest.mark.parametrize("cell", cells.CELLS)
def test_chunks_of_any_length_write_one_text(cell):
    of = net(cell)
    found = []
    for sizes in ([30], [1] * 30, [7, 16, 7]):
        state = start(of, 2)
        logits, random = writing.read(of, np.array([[3, 4]]), state), np.random.default_rng(5)
        recent, plain = np.full((2, 4), -1), writing.numbers(decode.Sampling(repetition_penalty=1.3))
        written = [writing.write(of, logits, state, recent, plain, np.array([0]), random.random((n, 2))) for n in sizes]
        found.append(np.concatenate(written))
    assert (found[0] == found[1]).all() and (found[0] == found[2]).all()
    assert len(np.unique(found[0])) > 5 and 0 not in found[0]


def test_reading_is_stepping():
    of, ids = net("lstm"), np.array([[1, 2], [3, 4], [5, 6]])
    together, apart = start(of, 2), start(of, 2)
    logits = writing.read(of, ids, together)
    for row in ids:
        last = writing.read(of, row[None], apart)
    assert (logits == last).all() and (together == apart).all()


def test_eight_bits_say_nearly_the_same():
    ids, found = np.arange(20)[:, None] % V, []
    for int8 in (False, True):
        of = net("lstm", int8=int8)
        found.append(decode.log_softmax(writing.read(of, ids, start(of, 1))))
    assert 0 < np.abs(found[0] - found[1]).max() < 0.3


def test_nan_is_not_taken_for_a_number():
    of = net()
    of.table[2] = np.nan
    assert np.isnan(writing.read(of, np.array([[2]]), start(of, 1))).all()
