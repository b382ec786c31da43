"""Counting which words stand near which, against a double loop over the text; and the order of training."""

import errno
import json
from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.data import cooccurrences
from unrolled.data.cooccurrences import add, count, count_part, open_part, reopen, rounds, unit
from unrolled.errors import LIMIT, UserError
from unrolled.progress import Progress

QUIET = Progress(quiet=True)
PLENTY = 2**22
WORDS = 10
texts = st.lists(st.integers(-1, WORDS - 1), max_size=120)


def direct(ids, window):
    """{(i, j): X_ij} of both halves, exact."""
    X = defaultdict(Fraction)
    for here, i in enumerate(ids):
        for there in range(here + 1, min(len(ids), here + window + 1)):
            if min(ids[here : there + 1]) < 0:
                break
            X[i, ids[there]] += Fraction(1, there - here)
            X[ids[there], i] += Fraction(1, there - here)
    return dict(X)


def of_part(part):
    """The same of a Partial; each entry must be the only one of its pair."""
    columns, sums = part.read(0, part.vocabulary)
    rows = np.repeat(np.arange(part.vocabulary), np.diff(part.starts))
    X = {}
    for i, j, value in zip(rows.tolist(), columns.tolist(), sums.tolist(), strict=True):
        assert j <= i and (i, j) not in X
        X[i, j] = X[j, i] = Fraction(value, unit(part.window)) * (2 if i == j else 1)
    return X


def of_tiles(x):
    """The same of Cooccurrences, as float32; each entry must lie in the tile of its words' bands."""
    X, band = {}, np.repeat(np.arange(len(x.bands) - 1), np.diff(x.bands))
    assert x.bands[0] == 0 and x.bands[-1] == x.vocabulary and len(x.starts) == band[-1] * (band[-1] + 3) // 2 + 2
    for n in range(len(x.starts) - 1):
        rows, columns, values = x.tile(n)
        assert (rows.dtype, columns.dtype, values.dtype) == (np.int32, np.int32, np.float32)
        for i, j, value in zip(rows.tolist(), columns.tolist(), values, strict=True):
            assert j <= i and (i, j) not in X and band[i] * (band[i] + 1) // 2 + band[j] == n
            X[i, j] = X[j, i] = value
    assert len(X) == x.nonzeros
    return X


def as_ids(text):
    return np.array(text, np.int32)


def random_text(length, words, seed=0):
    """Few frequent words and many rare ones, sentences of some twenty words."""
    random = np.random.default_rng(seed)
    ids = np.minimum(random.geometric(min(1, 4 / words), length) - 1, words - 1).astype(np.int32)
    ids[random.random(length) < 0.05] = -1
    return ids


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(cooccurrences, "TILE", 40)


# --- counting


@settings(max_examples=60, deadline=None)
@given(text=texts, window=st.integers(1, 12), threads=st.integers(1, 3), at_once=st.integers(1, 150), room=st.integers(WORDS, 60))
def test_counts_are_those_of_a_double_loop_for_any_memory_and_threads(tmp_path_factory, text, window, threads, at_once, room):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrences, "_plan", lambda *_: (at_once, room))
        part = count_part(as_ids(text), WORDS, window, tmp_path_factory.mktemp("part"), 0, threads, QUIET)
    assert of_part(part) == direct(text, window)


@pytest.mark.parametrize("words", [1, 63, 64, 65, 128])
def test_any_number_of_words_is_counted(tmp_path, words):
    ids = random_text(600, words)
    part = count_part(ids, words, 4, tmp_path, PLENTY, 2, QUIET)
    assert of_part(part) == direct(ids.tolist(), 4)


def test_a_wide_window_is_exact_to_a_part_in_two_to_the_32(tmp_path):
    ids = random_text(300, 12)
    found, wanted = of_part(count_part(ids, 12, 40, tmp_path, PLENTY, 1, QUIET)), direct(ids.tolist(), 40)
    assert found.keys() == wanted.keys()
    assert max(abs(found[pair] / wanted[pair] - 1) for pair in wanted) < 40 / 2**32


@pytest.mark.parametrize("window", [1, 10, 22])
def test_every_share_is_a_whole_number_of_units(window):
    assert {unit(window) % distance for distance in range(1, window + 1)} == {0}


def test_one_word_again_and_again(tmp_path):
    x = count(as_ids([0, 0, 0]), 1, 2, tmp_path, PLENTY, 1, 0, QUIET)
    assert of_tiles(x) == {(0, 0): 2 * (1 + 1 + 1 / 2)}


def test_neither_memory_nor_threads_change_a_byte(tmp_path, small_tiles, monkeypatch):
    ids, added = random_text(6000, 80), []

    def counted_in(parts, *rest):
        added.append(len(parts))
        return add(parts, *rest)

    monkeypatch.setattr(cooccurrences, "add", counted_in)
    folders = []
    for memory, threads in ((PLENTY, 1), (PLENTY, 3), (20_000, 1), (40_000, 3)):
        folders.append(tmp_path / f"{memory} {threads}")
        count(ids, 80, 5, folders[-1], memory, threads, 7, QUIET)
    assert len(added) == 2 and min(added) > 1
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert sorted(contents[0]) == ["X", "columns", "finished.json", "rows"]
    assert contents[1:] == contents[:1] * 3


def test_parts_of_a_text_add_up_to_the_whole(tmp_path):
    ids = random_text(5000, 50)
    cut = int(np.flatnonzero(ids[2000:] < 0)[0]) + 2000
    pieces = [ids[:cut], ids[cut:], ids[:0]]
    parts = [count_part(piece, 50, 6, tmp_path / str(n), PLENTY, 1, QUIET) for n, piece in enumerate(pieces)]
    whole = count_part(ids, 50, 6, tmp_path / "whole", PLENTY, 1, QUIET)
    both = add([open_part(part.folder) for part in parts], tmp_path / "both", PLENTY, 2, QUIET)
    assert [a.tolist() for a in both.read(0, 50)] == [a.tolist() for a in whole.read(0, 50)]
    assert both.starts.tolist() == whole.starts.tolist()


def test_parts_of_different_kinds_do_not_add_up(tmp_path):
    parts = [count_part(as_ids([0, 1]), 2, window, tmp_path / str(window), PLENTY, 1, QUIET) for window in (1, 2)]
    with pytest.raises(UserError, match=r"counts of different kinds do not add up: \[\(2, 1\), \(2, 2\)\]"):
        add(parts, tmp_path / "sum", PLENTY, 1, QUIET)


# --- the order of training


@settings(max_examples=25, deadline=None)
@given(text=texts.filter(lambda text: len(text) > 20), window=st.integers(1, 5), tile=st.integers(1, 30), seed=st.integers(0, 3))
def test_every_nonzero_lies_once_in_the_tiles(tmp_path_factory, text, window, tile, seed):
    text, wanted = [*text, 0, 1], direct([*text, 0, 1], window)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cooccurrences, "TILE", tile)
        x = count(as_ids(text), WORDS, window, tmp_path_factory.mktemp("x"), PLENTY, 2, seed, QUIET)
    assert of_tiles(x) == {pair: np.float32(float(value)) for pair, value in wanted.items()}


def test_bands_have_about_as_many_entries(tmp_path, small_tiles):
    x = count(random_text(20_000, 300), 300, 5, tmp_path, PLENTY, 1, 0, QUIET)
    ends = [np.concatenate(pair) for pair in zip(*(x.tile(n)[:2] for n in range(len(x.starts) - 1)), strict=True)]
    each = np.histogram(np.concatenate(ends), x.bands)[0]
    assert len(each) > 10 and each.max() < 2 * each.mean() and each.min() > each.mean() / 2


def test_words_and_entries_are_shuffled_and_a_word_is_never_left_and_met_again(tmp_path, monkeypatch):
    monkeypatch.setattr(cooccurrences, "TILE", 3000)
    ids = random_text(20_000, 120)
    orders = []
    for seed in (1, 2):
        x = count(ids, 120, 5, tmp_path / str(seed), PLENTY, 1, seed, QUIET)
        rows, columns, _ = x.tile(len(x.starts) - 2)
        changes = np.flatnonzero(np.diff(rows)) + 1
        words, others = rows[np.concatenate([[0], changes])], np.split(columns, changes)
        assert len(set(words)) == len(words) > 20
        assert abs(np.corrcoef(np.arange(len(words)), words)[0, 1]) < 0.6
        assert sum((np.diff(other) > 0).mean() for other in others if len(other) > 5) / sum(len(o) > 5 for o in others) < 0.7
        orders.append((rows.tolist(), columns.tolist()))
    assert orders[0] != orders[1] and sorted(zip(*orders[0], strict=True)) == sorted(zip(*orders[1], strict=True))


@pytest.mark.parametrize("bands", range(1, 10))
def test_rounds_hold_every_tile_once_and_no_band_twice_at_a_time(bands):
    x = cooccurrences.Cooccurrences(None, bands, 1, 0, list(range(bands + 1)), [])
    pairs = [(a, b) for a in range(bands) for b in range(a + 1)]
    for epoch in range(3):
        found = rounds(x, 5, epoch)
        assert sorted(n for tiles in found for n in tiles) == list(range(len(pairs)))
        for tiles in found:
            met = [band for n in tiles for band in set(pairs[n])]
            assert len(met) == len(set(met)) and tiles


def test_the_order_of_rounds_is_a_function_of_seed_and_epoch():
    x = cooccurrences.Cooccurrences(None, 8, 1, 0, list(range(9)), [])
    orders = {str(rounds(x, seed, epoch)) for seed in (1, 2) for epoch in (0, 1) for _ in range(2)}
    assert len(orders) == 4


# --- what goes wrong


@pytest.mark.parametrize("text", [[], [0], [-1, -1], [0, -1, 1, -1, -1, 0]])
def test_a_text_without_pairs_is_refused(tmp_path, text):
    with pytest.raises(UserError, match="stand within 5 words of each other: there is nothing to learn from"):
        count(as_ids(text), 2, 5, tmp_path, PLENTY, 1, 0, QUIET)


@pytest.mark.parametrize(("text", "place"), [([0, 1, 2], 2), ([0, -2], 1)])
def test_a_number_that_is_no_word_is_refused(tmp_path, text, place):
    with pytest.raises(UserError, match=f"the number {text[place]} at place {place} is no word's; allowed are -1 to 1"):
        count(as_ids(text), 2, 5, tmp_path, PLENTY, 1, 0, QUIET)


def test_too_little_memory_is_refused_with_the_least(tmp_path):
    with pytest.raises(
        UserError, match=r"0.5 MB of memory are not enough to count the pairs of 10000 words on 2 threads"
    ) as caught:
        count(random_text(100, 9), 10_000, 5, tmp_path, 2**19, 2, 0, QUIET)
    assert caught.value.code == LIMIT
    least = float(str(caught.value).split("threads; ")[1].split()[0])
    assert count(random_text(100, 9), 10_000, 5, tmp_path, int(least * 2**20), 2, 0, QUIET).nonzeros


@pytest.mark.parametrize("name", ["columns", "sums", "starts", "finished.json", "rows later", "X later"])
def test_a_full_disk_is_said_so(tmp_path, monkeypatch, name):
    class Full:
        """A file on a disk without room."""

        def __init__(self, *_):
            self.seek = lambda _: None

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, mode):
        return Full() if (path.name, mode) in ((name, "wb"), (name.removesuffix(" later"), "r+b")) else open(path, mode)

    monkeypatch.setattr(cooccurrences, "open", opened, raising=False)
    with pytest.raises(UserError, match="no room left while writing co-occurrences to") as caught:
        count(random_text(500, 20), 20, 5, tmp_path, PLENTY, 1, 0, QUIET)
    assert caught.value.code == LIMIT


def test_a_file_that_is_gone_is_said_so(tmp_path):
    x = count(random_text(500, 20), 20, 5, tmp_path, PLENTY, 1, 0, QUIET)
    (tmp_path / "X").unlink()
    with pytest.raises(UserError, match=r"cannot go on reading `.*X`: no such file"):
        x.tile(0)


def test_what_was_counted_can_be_opened_again(tmp_path):
    x = count(random_text(500, 20), 20, 5, tmp_path, PLENTY, 1, 0, QUIET)
    assert reopen(tmp_path) == x


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows", b"\xff\xff\xff\xff"), ("columns", (20).to_bytes(4, "little")), ("X", b""), ("rows", b"")],
)
def test_damaged_files_are_refused(tmp_path, name, content):
    count(random_text(500, 20), 20, 5, tmp_path, PLENTY, 1, 0, QUIET)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content + data[4:])
    with pytest.raises(UserError, match=rf"`.*{name}` is damaged"):
        reopen(tmp_path)


@pytest.mark.parametrize("facts", [None, "{", json.dumps({})])
def test_a_count_that_was_not_finished_is_refused(tmp_path, facts):
    if facts is not None:
        (tmp_path / "finished.json").write_text(facts)
    with pytest.raises(UserError, match="holds no finished count of co-occurrences"):
        reopen(tmp_path)


def test_a_count_begun_anew_is_not_taken_for_finished(tmp_path, monkeypatch):
    count(random_text(500, 20), 20, 5, tmp_path, PLENTY, 1, 0, QUIET)
    monkeypatch.setattr(cooccurrences, "_lay_band", lambda *_: [][0])
    with pytest.raises(IndexError):
        count(random_text(500, 20), 20, 5, tmp_path, PLENTY, 1, 1, QUIET)
    with pytest.raises(UserError, match="holds no finished count"):
        reopen(tmp_path)


def test_progress_is_shown(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(Progress, "now", lambda self, text: said.append(text))
    count(random_text(500, 20), 20, 5, tmp_path, PLENTY, 1, 0, QUIET)
    assert "counting which words stand near which: 100 % of the words" in said
