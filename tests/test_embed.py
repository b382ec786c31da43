"""Word vectors from a text, as a run: what is kept, how it goes on after a stop, and what is said when it cannot be done."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from unrolled import UserError, api, hogwild, run
from unrolled.config import options
from unrolled.tasks import embed
from unrolled.vectors import Vectors

SMALL = {"dimensions": 8, "epochs": 2, "min_count": 2, "threads": 1, "quiet": True}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Sentences of two kinds, 40 words each, that share no word but `and`."""
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    kinds = [[f"{kind}{n}" for n in range(40)] for kind in ("fruit", "metal")]
    lines = [" and ".join(random.choice(kinds[i % 2], 6)) for i in range(3000)]
    path.write_text("\n".join(lines) + "\nonce\n")
    return path


def train(corpus, out, **changed):
    return api.train("embed", corpus, out=out, **(SMALL | changed))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    return train(corpus, tmp_path_factory.mktemp("runs") / "words")


def test_the_run_holds_the_words_their_counts_and_vectors(trained, corpus):
    written = corpus.read_text().split()
    words = trained.codec.symbols
    assert words[0] == "and" and "once" not in words and len(words) == 81
    assert trained.model.counts.tolist() == [written.count(word) for word in words]
    opened = Vectors.open(trained.folder)
    assert list(opened) == words
    assert np.array_equal(opened.matrix, trained.model.vectors.numpy())
    assert trained.model.vectors.shape == (81, 8)


def test_the_report_says_the_loss_on_held_out_text_beside_that_of_counting(trained):
    report = run.read_json(trained.folder / "report.json")
    assert report["dev"]["nats_per_pair"] < report["baselines"]["frequencies"]["nats_per_pair"]
    assert report["steps"] == trained.config.steps and report["words_per_second"] > 0
    epochs = [line for line in run.read_log(trained.folder) if "train" in line]
    assert [line["step"] for line in epochs] == [trained.config.steps // 2, trained.config.steps]
    assert all(np.isfinite([line["train"], line["nats_per_pair"]]).all() for line in epochs)


def test_how_often_words_stand_in_the_text_is_a_table(trained, corpus):
    head, *rows = [line.split("\t") for line in (trained.folder / "words.tsv").read_text().splitlines()]
    written = corpus.read_text().split()
    assert head == ["word", "count", "percent", "percent_so_far"]
    assert [row[0] for row in rows] == trained.codec.symbols
    assert float(rows[0][2]) == pytest.approx(100 * written.count("and") / len(written), abs=1e-3)
    assert float(rows[-1][3]) == pytest.approx(100 * (len(written) - 1) / len(written), abs=1e-2)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"architecture": "cbow"},
        {"output": "tree"},
        {"output": "softmax"},
        {"subwords": True, "buckets": 500},
        {"method": "glove"},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())) or "default",
)
def test_words_of_a_kind_are_near_each_other(corpus, tmp_path, changed):
    vectors = Vectors.open(train(corpus, tmp_path / "run", epochs=8, **changed).folder)
    fruit, metal = ([vectors[f"{kind}{n}"] for n in range(40)] for kind in ("fruit", "metal"))
    unit = np.array(fruit + metal) / np.linalg.norm(fruit + metal, axis=1, keepdims=True)
    alike = unit @ unit.T
    across = alike[:40, 40:].mean()
    assert min(alike[:40, :40].mean(), alike[40:, 40:].mean()) > across + (0.08 if "method" in changed else 0.3)


def test_one_thread_gives_the_same_vectors_again(corpus, trained, tmp_path):
    again = train(corpus, tmp_path / "again")
    other = train(corpus, tmp_path / "other", seed=2)
    assert np.array_equal(again.model.vectors, trained.model.vectors)
    assert not np.array_equal(other.model.vectors, trained.model.vectors)


def test_two_threads_learn_as_well(corpus, tmp_path):
    vectors = Vectors.open(train(corpus, tmp_path / "run", epochs=8, threads=2).folder)
    assert all(n.word.startswith("metal") for n in vectors.nearest("metal3", 10))


# --- stopping and going on


@pytest.mark.parametrize("method", ["word2vec", "glove"])
def test_a_stopped_run_goes_on_to_the_same_vectors(corpus, tmp_path, monkeypatch, method):
    epochs = {"word2vec": 2, "glove": 30}[method]  # so small a text is one tile: an epoch is one piece
    whole = train(corpus, tmp_path / "whole", method=method, epochs=epochs)
    asked = iter(range(1000))

    @contextmanager
    def stopping():
        yield lambda: next(asked) > 14

    monkeypatch.setattr(hogwild, "interruptible", stopping)
    with pytest.raises(UserError, match=r"stopped at piece \d+ of \d+; nothing is lost") as stopped:
        train(corpus, tmp_path / "cut", method=method, epochs=epochs)
    assert stopped.value.code == 130 and stopped.value.fix == f"unrolled train --resume {tmp_path / 'cut'}"
    done = run.pointer(tmp_path / "cut", "last")
    assert 0 < done < whole.config.steps
    monkeypatch.undo()
    resumed = api.resume(tmp_path / "cut", quiet=True)
    assert np.array_equal(resumed.model.vectors, whole.model.vectors)
    with pytest.raises(UserError, match="is finished"):
        api.resume(tmp_path / "cut")


def test_a_killed_run_goes_on_to_the_same_vectors(corpus, trained, tmp_path):
    given = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items() if name != "quiet"]
    program = [sys.executable, "-m", "unrolled", "train"]
    process = subprocess.Popen(
        [*program, "embed", corpus, "--out", tmp_path / "killed", *given], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    for line in process.stderr:
        if b"epoch 1/2" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    if (tmp_path / "killed" / "report.json").exists():
        pytest.skip("it was done before it was killed")
    resumed = api.resume(tmp_path / "killed", quiet=True)
    assert np.array_equal(resumed.model.vectors, trained.model.vectors)


def test_a_diverged_run_is_set_back_to_half_the_rate_and_given_up_in_the_end(corpus, tmp_path, monkeypatch):
    diverged = []
    plain = embed.word2vec.Word2vec.piece

    def piece(self, number, thread):
        done = plain(self, number, thread)
        if self.rate_scale < 0.3 or number < 3:
            return done
        diverged.append(number)
        self.x[:] = np.nan
        return done._replace(loss=float("nan"))

    monkeypatch.setattr(embed.word2vec.Word2vec, "piece", piece)
    kept = train(corpus, tmp_path / "kept")
    assert len(diverged) == 2 and kept.model.vectors.isfinite().all()
    events = [line for line in run.read_log(kept.folder) if line.get("event") == "rollback"]
    assert [line["rate_scale"] for line in events] == [0.5, 0.25]
    assert run.read_json(kept.folder / "report.json")["rollbacks"] == 2
    monkeypatch.setattr(hogwild, "ROLLBACKS", 1)
    with pytest.raises(UserError, match="training diverged 2 times, the last in piece") as given_up:
        train(corpus, tmp_path / "lost")
    assert given_up.value.code == 1 and "smaller --rate" in given_up.value.fix


def test_training_goes_on_from_vectors_and_takes_in_new_words(trained, tmp_path):
    more = tmp_path / "more.txt"
    more.write_text("fruit1 new fruit2 new\n" * 300)
    grown = train(more, tmp_path / "grown", start_from=trained.folder, rate=1e-7, dimensions=None)
    old, new = Vectors.open(trained.folder), Vectors.open(grown.folder)
    assert set(new) == {*old, "new"}
    assert new["metal7"] == pytest.approx(old["metal7"], abs=1e-6)
    assert new["fruit1"] == pytest.approx(old["fruit1"], abs=1e-3)
    assert new.counts[list(new).index("fruit1")] == old.counts[list(old).index("fruit1")] + 300
    old.save(tmp_path / "old.bin")
    from_file = train(more, tmp_path / "file", start_from=tmp_path / "old.bin", rate=1e-7)
    assert Vectors.open(from_file.folder)["metal7"] == pytest.approx(old["metal7"], abs=1e-6)
    shared = train(more, tmp_path / "shared", start_from=trained.folder, rate=1e-7, subwords=True, buckets=200)
    again = train(more, tmp_path / "again", start_from=shared.folder, rate=1e-7, subwords=True, buckets=200)
    for run_ in (shared, again):
        assert Vectors.open(run_.folder)["metal7"] == pytest.approx(old["metal7"], abs=1e-5)
    assert Vectors.open(again.folder)["metal77"] == pytest.approx(Vectors.open(shared.folder)["metal77"], abs=1e-5)
    rows = [line.split("\t") for line in (grown.folder / "words.tsv").read_text().splitlines()[1:]]
    assert float(rows[-1][3]) == pytest.approx(100, abs=0.01)
    with pytest.raises(UserError, match="the n-grams of the vectors to go on from are others") as others:
        train(more, tmp_path / "others", start_from=shared.folder, subwords=True, buckets=99)
    assert others.value.fix == "--shortest 3 --longest 6 --buckets 200"
    with pytest.raises(UserError, match=r"`--dimensions 9`, but the vectors to go on from have 8") as wrong:
        train(more, tmp_path / "wrong", start_from=trained.folder, dimensions=9)
    assert wrong.value.fix == "--dimensions 8"


def test_context_and_subwords_are_kept_where_asked_for(corpus, trained, tmp_path):
    made = train(corpus, tmp_path / "run", keep_context=True, subwords=True, buckets=300)
    opened = Vectors.open(made.folder)
    assert opened.context.shape == (81, 8) and np.abs(opened.context).max() > 0.01
    assert "fruit77" not in opened and "fruit7" in opened
    assert opened["fruit77"].shape == (8,)
    assert opened.similarity("fruit77", "fruit7") > opened.similarity("fruit77", "metal7")
    assert Vectors.open(trained.folder).context is None


# --- what is said


def test_it_says_what_was_read_and_what_is_trained(corpus, tmp_path, capsys):
    api.train("embed", corpus, out=tmp_path / "run", **(SMALL | {"quiet": False}))
    said = capsys.readouterr().err
    assert re.search(r"read 33,001 words, 82 different; 81 are kept \(100\.0 % of the text\); most frequent: and, ", said)
    assert re.search(r"word2vec: 8 dimensions, 2 epochs on 1 threads?; about \d+ MB of memory", said)
    assert re.search(r"read and counted in \d+\.\d s, trained in \d+\.\d s: [\d,]+ words/s in all", said)
    assert re.search(r"epoch 2/2 · 0 s left · [\d,]+ words/s · loss \d\.\d{4} · nats per pair \d\.\d{4}", said)


def refused(tmp_path, written: bytes, **changed) -> UserError:
    path = tmp_path / "text.txt"
    path.write_bytes(written)
    with pytest.raises(UserError) as error:
        train(path, tmp_path / "run", **changed)
    assert not (tmp_path / "run").exists()
    assert list(tmp_path.iterdir()) == [path]
    return error.value


def test_a_text_that_teaches_nothing_is_refused(tmp_path):
    assert "the text has no words in it" in refused(tmp_path, b"").what
    assert "0 of the text's 3 words" in refused(tmp_path, b"one two three\n").what
    assert refused(tmp_path, b"word " * 50).what.startswith(
        "1 of the text's 1 words is seen 2 times or more; vectors need at least 2"
    )
    assert "no two words stand in one line" in refused(tmp_path, b"one\ntwo\n" * 50).what
    assert re.search(r"byte 5 of `.*` is not utf-8", refused(tmp_path, b"word \xff\xfe\x00\x01" * 50).what)


def test_settings_that_do_not_go_together_are_refused(tmp_path):
    assert (
        "`--subwords` goes with `--method word2vec`; GloVe has no use"
        in refused(tmp_path, b"a b " * 9, method="glove", subwords=True).what
    )
    assert "`--steps 9` follows from the epochs" in refused(tmp_path, b"a b " * 9, steps=9).what
    assert "`--shortest 5` is above `--longest 3`" in refused(tmp_path, b"a b " * 9, subwords=True, shortest=5, longest=3).what


def test_a_small_text_is_read_more_often():
    plans = [embed.plan(dataclasses.replace(embed.Config()), words).epochs for words in (10_000, 1_000_000, 17_000_000, 10**9)]
    assert plans == [50, 50, 5, 5]


def test_every_setting_is_used():
    """A setting that no line reads does nothing."""
    source = Path(embed.__file__).read_text() + Path(api.__file__).read_text()
    assert [o.name for o in options(embed.Config) if source.count(f"config.{o.name}") == 0] == []


def test_the_demo_is_text_of_this_machine(tmp_path):
    (path,) = embed.demo(tmp_path)
    assert path.stat().st_size > 5_000_000
