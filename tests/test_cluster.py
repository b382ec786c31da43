"""Counting with Ray comes to what one machine counts: the same words, counts and numbers."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from unrolled import UserError
from unrolled.data import cluster, cooccurrences, corpus
from unrolled.progress import Progress

QUIET = Progress(quiet=True)
READING = corpus.Reading("utf-8", None, "words", True, 2, 10**6, 0, 100.0, 2)
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def running():
    pytest.importorskip("ray", reason="Ray is not installed")
    with cluster.ray("local"):
        yield


@pytest.fixture
def files(tmp_path) -> list[Path]:
    random = np.random.default_rng(1)
    words = np.array(["naïve", "cat", "Cat", "日本", "it's", "x", "the", "long-word", "ß", "rare1", "rare2"])
    parts = [" ".join(random.choice(words, 400)) + end for end in ("", "\n", "\nlast line")]
    paths = [tmp_path / name for name in ("a.txt", "b.txt.gz", "c.txt")]
    paths[0].write_text("\ufeff" + parts[0], encoding="utf-8")
    paths[1].write_bytes(gzip.compress(parts[1].encode()))
    paths[2].write_text(parts[2].replace(" ", "\n", 40), encoding="utf-8")
    return paths


@pytest.mark.parametrize("part", [7, 64, 1 << 20])
def test_a_cluster_counts_what_one_machine_counts(running, files, tmp_path, monkeypatch, part):
    monkeypatch.setattr(cluster, "PART", part * (20 if part == 7 else 1))
    one = corpus.number(corpus.count(files, READING, tmp_path / "one" / "words", QUIET), tmp_path / "one", READING, {})[0]
    many = corpus.number(cluster.count(files, READING, tmp_path / "many" / "words", QUIET), tmp_path / "many", READING, {})[0]
    assert many.words == one.words and (many.counts == one.counts).all()
    assert (many.ids == one.ids).all() and (many.read, many.different) == (one.read, one.different)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 1000])
def test_parts_join_to_the_file(tmp_path, monkeypatch, size):
    """Without Ray: wherever a file is cut, each word is in one part, whole."""
    monkeypatch.setattr(cluster, "PART", size)
    path = tmp_path / "text.txt"
    path.write_text("one  two\nthrée a 日本 end", encoding="utf-8")
    pieces = [b"".join(block for block, _ in cluster.blocks(part, READING)) for part in cluster.parts([path], READING)]
    assert b"".join(pieces) == path.read_bytes()
    assert all(
        piece[-1:] in b" \n" for piece in pieces[:-1] if piece and piece != pieces[-1] and not path.read_bytes().endswith(piece)
    )


def test_a_damaged_file_is_named_from_wherever_it_was_read(running, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good words \xff\xfe here")
    with pytest.raises(UserError, match=r"byte 11 of .* is not utf-8"):
        cluster.count([path], READING, tmp_path / "words", QUIET)


def test_a_cluster_that_is_not_there_is_a_message():
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(UserError, match="no Ray there") as error, cluster.ray("localhost:1"):
        pass
    assert "ray start --head" in error.value.fix


def test_without_ray_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="`--cluster` needs Ray") as error, cluster.ray("local"):
        pass
    assert error.value.code == 3 and "unrolled[cluster]" in error.value.fix


def test_a_cluster_counts_the_same_neighbours(running, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "IDS", 700)
    random = np.random.default_rng(2)
    ids = np.memmap(tmp_path / "ids", np.int32, "w+", shape=3000)
    ids[:] = random.zipf(1.4, 3000) % 50
    ids[random.random(3000) < 0.05] = -1
    given = (50, 4, tmp_path / "one", 10**8, 2, 3, QUIET)
    one = cooccurrences.count(ids, *given)
    many = cluster.count_near(ids, *given[:2], tmp_path / "many", *given[3:])
    assert many._replace(folder=None) == one._replace(folder=None)
    for name in ("rows", "columns", "X"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == sorted(p.name for p in (tmp_path / "one").iterdir())
