"""Batches: what a step sees, and that it is a function of seed and step alone."""

import builtins
import errno
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data.batch import Buckets, Streams, Symbols, open_map, write
from unrolled.errors import LIMIT, UserError

few = settings(max_examples=80, deadline=None)
sizes = {"count": st.integers(2, 60), "rows": st.integers(1, 7), "length": st.integers(1, 9), "seed": st.integers(0, 5)}


def streams(count, rows, length, seed=0, reset=0.0, labelled=False) -> Streams:
    ids = np.arange(count, dtype=np.uint8)  # each symbol is its own place, so that a batch tells where it was read
    return Streams(Symbols(ids, ids % 3 if labelled else None, count), rows, length, reset, seed)


@few
@given(**sizes, step=st.integers(0, 200))
def test_targets_are_the_symbols_after_the_inputs_in_a_ring(count, rows, length, seed, step):
    batch = streams(count, rows, length, seed).batch(step)
    assert batch.inputs.shape == batch.targets.shape == (rows, length)
    assert torch.equal(batch.targets, (batch.inputs + 1) % count)
    assert batch.inputs.dtype == torch.int64


@few
@given(**sizes, epoch=st.integers(0, 3))
def test_every_symbol_is_a_target_in_each_epoch(count, rows, length, seed, epoch):
    reading = streams(count, rows, length, seed)
    steps = range(epoch * reading.steps_per_epoch, (epoch + 1) * reading.steps_per_epoch)
    assert {int(i) for step in steps for i in reading.batch(step).targets.flatten()} == set(range(count))


def test_an_epoch_reads_the_text_once_but_for_less_than_a_step_a_row():
    reading = streams(60, 4, 4)
    assert reading.steps_per_epoch * 4 * 4 == 64
    assert streams(60, 1, 60).steps_per_epoch == 1


@few
@given(**sizes)
def test_a_row_goes_on_where_it_ended_until_the_epoch_is_over(count, rows, length, seed):
    reading = streams(count, rows, length, seed)
    for step in range(1, 3 * reading.steps_per_epoch):
        before, batch = reading.batch(step - 1), reading.batch(step)
        if step % reading.steps_per_epoch:
            assert torch.equal(batch.inputs[:, 0], before.targets[:, -1])
            assert not batch.fresh.any()
        else:
            assert batch.fresh.all()


def test_rows_begin_evenly_spaced():
    assert streams(60, 4, 4).batch(0).inputs[:, 0].tolist() == [0, 15, 30, 45]


def test_each_epoch_starts_at_another_place():
    reading = streams(60, 2, 6)
    starts = {int(reading.batch(epoch * reading.steps_per_epoch).inputs[0, 0]) for epoch in range(8)}
    assert len(starts) > 4


@few
@given(**sizes, asked=st.lists(st.integers(0, 50), max_size=8))
def test_a_batch_is_a_function_of_seed_and_step_alone(count, rows, length, seed, asked):
    torch.manual_seed(len(asked))
    np.random.seed(len(asked))
    used = streams(count, rows, length, seed, reset=0.5, labelled=True)
    for step in asked:  # whatever was read before, and whatever the global generators stand at
        used.batch(step)
    new = streams(count, rows, length, seed, reset=0.5, labelled=True)
    for step in (7, 3):
        assert all(torch.equal(a, b) for a, b in zip(used.batch(step), new.batch(step), strict=True))


def test_another_seed_reads_in_another_order():
    one, two = (streams(60, 2, 6, seed) for seed in (1, 2))
    later = range(one.steps_per_epoch, 8 * one.steps_per_epoch)
    assert any(not torch.equal(one.batch(step).inputs, two.batch(step).inputs) for step in later)


def test_states_are_reset_about_as_often_as_asked():
    reading = streams(200, 5, 1, reset=0.25)
    inside = [step for step in range(4000) if step % reading.steps_per_epoch]
    share = np.mean([reading.batch(step).fresh.float().mean().item() for step in inside])
    assert abs(share - 0.25) < 0.013  # four standard errors of 20,000 draws


def test_states_are_reset_at_other_places_in_each_epoch():
    reading = streams(200, 5, 1, reset=0.5)
    epochs = [[reading.batch(40 * epoch + step).fresh.tolist() for step in range(1, 40)] for epoch in range(3)]
    assert reading.steps_per_epoch == 40
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a_label_is_that_of_its_target():
    batch = streams(20, 2, 5, labelled=True).batch(3)
    assert torch.equal(batch.labels, batch.targets % 3)
    assert streams(20, 2, 5).batch(3).labels is None


@pytest.mark.parametrize("count", [0, 1])
def test_a_text_without_a_next_symbol_is_refused(count):
    with pytest.raises(UserError, match=f"the training text has {count} symbols; at least 2 are needed"):
        streams(count, 1, 1)


# --- on disk


@few
@given(st.lists(st.lists(st.integers(0, 65535), max_size=6), max_size=5), st.sampled_from(["uint16", "uint32"]))
def test_what_is_written_is_mapped_again(tmp_path_factory, parts, dtype):
    path = tmp_path_factory.mktemp("a") / "ids"
    account = write(path, np.dtype(dtype), (np.array(part, np.int32) for part in parts))
    mapped = open_map(path, account)
    assert mapped.tolist() == list(chain.from_iterable(parts))
    assert mapped.dtype == dtype
    assert account["count"] == len(mapped)


@few
@given(st.data())
def test_a_map_changed_on_disk_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("a") / "ids"
    account = write(path, np.dtype(np.uint16), [np.arange(10)])
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    with pytest.raises(UserError, match=f"`{path}` is not the file this run was started with\n.*\n.*start a new run"):
        open_map(path, account)


@pytest.mark.parametrize("change", [lambda data: data[:-2], lambda data: data + b"\0\0", lambda data: b""])
def test_a_map_of_another_length_is_refused(tmp_path, change):
    account = write(tmp_path / "ids", np.dtype(np.uint16), [np.arange(10)])
    (tmp_path / "ids").write_bytes(change((tmp_path / "ids").read_bytes()))
    with pytest.raises(UserError, match="is not the file this run was started with"):
        open_map(tmp_path / "ids", account)


def test_a_map_that_is_gone_is_named(tmp_path):
    account = write(tmp_path / "ids", np.dtype(np.uint8), [np.arange(10)])
    (tmp_path / "ids").unlink()
    with pytest.raises(UserError, match=f"cannot go on reading `{tmp_path}/ids`: no such file or directory"):
        open_map(tmp_path / "ids", account)


class Full:
    """A file on a full disk: it refuses to be written, or only when it is closed, as buffered files do."""

    def __init__(self, file, at):
        self.file, self.at = file, at

    def write(self, data):
        if self.at == "write":
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.close()

    def close(self):
        self.file.close()
        if self.at == "close":
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("at", ["write", "close"])
def test_a_full_disk_is_told_and_is_a_limit(tmp_path, monkeypatch, at):
    monkeypatch.setattr("unrolled.data.batch.open", lambda *a: Full(builtins.open(*a), at), raising=False)  # noqa: SIM115
    with pytest.raises(UserError, match=f"no room left while writing `{tmp_path}/ids`") as raised:
        write(tmp_path / "ids", np.dtype(np.uint8), [np.arange(10)])
    assert raised.value.code == LIMIT


def test_a_text_that_fails_while_it_is_written_leaves_no_open_file(tmp_path):
    def parts():
        yield np.arange(10)
        raise UserError("byte 10 is not utf-8")

    # an open file left to the garbage collector is a ResourceWarning, and warnings are errors here
    with pytest.raises(UserError, match="byte 10"):
        write(tmp_path / "ids", np.dtype(np.uint8), parts())


def test_buckets_of_two_lengths_leave_little_padding_on_either_side():
    rng = np.random.default_rng(1)
    source = rng.integers(1, 50, 3000)
    target = np.maximum(1, source + rng.integers(-8, 9, 3000))

    def padded(buckets):
        taken = [buckets.rows(step) for step in range(buckets.steps_per_epoch)]
        assert set(np.concatenate(taken).tolist()) == set(range(3000))
        return sum(len(rows) * (source[rows].max() + target[rows].max()) for rows in taken) / (source.sum() + target.sum())

    alone, beside = padded(Buckets(target, 32, 1)), padded(Buckets(target, 32, 1, within=source))
    assert beside < 1.2 and beside < alone - 0.03
    first, again = (Buckets(target, 32, 1, within=source) for _ in range(2))
    assert np.array_equal(first.rows(200), again.rows(200))
