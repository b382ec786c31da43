"""The classify task: the contract of every task, and what is special to texts with a label."""

import csv
import io
import json
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unrolled import api, cli, summary
from unrolled.errors import INTERRUPTED, UserError
from unrolled.fit import Loop
from unrolled.layers import Pooling
from unrolled.tasks import classify
from unrolled.tasks.classify import Batch, Predict, attribution, encode, evaluate, logits, predict
from unrolled.vectors import Vectors

SMALL = {"steps": 60, "hidden": 16, "embedding": 12, "rate": 0.02, "evaluations": 2, "device": "cpu", "quiet": True}
SAID = {"good": ["lovely", "warm", "fresh"], "bad": ["cold", "rude", "stale"], "unclear": ["odd", "new", "big"]}


def review(i: int, label: str) -> str:
    """A different text for each number; its one telling word stands in the middle."""
    return f"Visit {i}: the soup was {SAID[label][i % 3]}, with bread {i * 7}."


def table(path, count=120, labels=("good", "bad"), header=("text", "label")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerows([header] if header else [])
        rows.writerows((review(i // len(labels), labels[i % len(labels)]), labels[i % len(labels)]) for i in range(count))
    return path


def train(folder, data=None, **changes):
    return api.train("classify", data or table(folder / "reviews.csv"), out=folder / "run", **(SMALL | changes))


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    return train(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="module")
def stars(tmp_path_factory):
    """Ordered labels: as many stars as the text says `yes`."""
    folder = tmp_path_factory.mktemp("stars")
    rows = [(" ".join([f"w{i}"] + ["yes"] * (i % 4) + ["no"] * (3 - i % 4)), str(i % 4 + 1)) for i in range(160)]
    (folder / "stars.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    return train(folder, folder / "stars.tsv")


def report(run) -> dict:
    return json.loads((run.folder / "report.json").read_text())


# --- the contract


def test_a_small_table_is_learnt_and_told_beside_its_floors(reviews):
    told = report(reviews)
    assert told["dev"]["accuracy"] == 1.0
    assert told["baselines"]["majority"]["accuracy"] == pytest.approx(0.5, abs=0.1)
    assert {"bag of words", "averaged vectors"} < set(told["baselines"])
    confusion = {row["is"]: row for row in told["tables"]["confusion"]}
    assert confusion["good"]["good"] == 6 and confusion["good"]["bad"] == 0
    (accuracy,) = [row for row in told["tables"]["measures"] if row["measure"] == "accuracy"]
    assert accuracy["from"] < accuracy["value"] == accuracy["to"] == 1.0


def test_each_label_is_told_with_its_interval_and_the_floors_beside(reviews):
    for row in report(reviews)["tables"]["labels"]:
        assert row["from"] == row["f1"] == row["to"] == 1.0 and row["bag of words, f1"] <= 1 and row["majority, f1"] < 1
    assert report(reviews)["tables"]["measures"][0]["majority"] == report(reviews)["baselines"]["majority"]["accuracy"]


def test_what_matters_of_the_tables_is_shown_after_training_and_by_info(tmp_path, capsys):
    path = tmp_path / "reviews.tsv"
    rows = [(review(i, ("good", "bad")[i % 2]), ("good", "bad")[(i % 2) ^ (i % 40 == 7)]) for i in range(400)]
    path.write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    run = train(tmp_path, path, quiet=False)
    trained = capsys.readouterr().err
    assert cli.run(["info", str(run.folder)]) == 0
    shown = capsys.readouterr().out
    first = next(line for line in shown.splitlines() if line.startswith("  good "))
    assert first in trained and first.split()[1:4] == [
        f"{report(run)['tables']['labels'][1][x]:.4f}" for x in ("precision", "recall", "f1")
    ]
    suspect = report(run)["suspects"][0]
    for told in (trained, shown):
        assert f"  {suspect['where']} " in told and "\nsuspects" in told and "label  precision  recall  f1 " in told


def test_tables_are_told_in_brief():
    rows = [{"label": str(i), "f1": 0.5} for i in range(14)]
    confusion = [{"is": "a", "a": 9, "b": 2, "c": 0}, {"is": "b", "a": 5, "b": 1, "c": 0}, {"is": "c", "a": 0, "b": 0, "c": 3}]
    told = summary.brief({"tables": {"labels": rows, "confusion": confusion}, "suspects": [{"text": "x  y" * 50}] * 6})
    assert told["labels, 12 of 14"] == rows[:12]
    assert told["mistakes"] == [{"is": "b", "taken_for": "a", "times": 5}, {"is": "a", "taken_for": "b", "times": 2}]
    assert len(told["suspects, 5 of 6"]) == 5 and told["suspects, 5 of 6"][0]["text"].startswith("x yx y")
    assert summary.brief({"dev": {}}) == {}


def test_the_demo_is_a_table_that_word_counts_do_not_solve(tmp_path):
    (path,) = classify.demo(tmp_path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["stars"] for row in rows} == set("12345")
    run = api.train(
        "classify",
        path,
        out=tmp_path / "run",
        **SMALL | {"steps": 400, "hidden": 64, "rate": 0.01, "embedding": 32, "word_dropout": 0.0},
    )
    told = report(run)
    assert told["dev"]["accuracy"] > told["baselines"]["bag of words"]["accuracy"] + 0.1
    assert run.config.ordered


def test_a_loaded_run_answers_as_before(reviews):
    texts = [review(i, label) for i in range(500, 540) for label in ("good", "bad")]
    before = predict(reviews, texts, Predict())
    assert before == predict(api.load(reviews.folder), texts, Predict())
    assert [answer.label for answer in before] == ["good", "bad"] * 40
    assert before[0].probabilities["good"] == before[0].probability > 0.5
    assert sum(before[0].probabilities.values()) == pytest.approx(1)


def test_a_run_that_is_stopped_and_resumed_equals_an_unbroken_one(reviews, tmp_path, monkeypatch):
    step = Loop.train_step

    def stop(loop):
        if loop.step == 30:
            signal.raise_signal(signal.SIGTERM)
        return step(loop)

    monkeypatch.setattr(Loop, "train_step", stop)
    with pytest.raises(UserError, match="stopped at step 31 of 60") as caught:
        train(tmp_path)
    assert caught.value.code == INTERRUPTED
    monkeypatch.setattr(Loop, "train_step", step)
    resumed = api.resume(tmp_path / "run", quiet=True)
    for name, value in reviews.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize("pooling", classify.POOLINGS)
@pytest.mark.parametrize("direction", ["both", "forward"])
def test_padding_and_batch_mates_change_nothing(reviews, pooling, direction):
    config = classify.dataclasses.replace(reviews.config, pooling=pooling, direction=direction)
    torch.manual_seed(1)
    model = classify.Model(config, reviews.codec).eval()
    texts = ["short", review(1, "good"), "the soup was " * 30, "a b c"]
    together = logits(model, encode(config, reviews.codec, texts))
    alone = np.concatenate([logits(model, encode(config, reviews.codec, [text])) for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)
    ids, lengths = encode(config, reviews.codec, texts[:2]).padded(np.array([0, 1]))
    junk = ids.masked_fill(torch.arange(ids.shape[1]) >= lengths.unsqueeze(1), 5)
    with torch.no_grad():
        clean, dirty = (model(Batch(x, lengths, None, None), None)[0] for x in (ids, junk))
    assert torch.equal(clean, dirty)


def test_ten_thousand_words_are_read_and_explained(reviews):
    (answer,) = predict(reviews, ["nothing here " * 5000 + "the soup was rude"], Predict(evidence=True))
    assert len(answer.words) == len(answer.evidence) == 10_004
    assert answer.probability >= 0.5


def test_evidence_reads_no_more_than_it_needs(reviews, monkeypatch):
    """As many points as the sum needs to be close; of a long text few, whatever is left."""
    read, counted = reviews.model.read, []
    monkeypatch.setattr(type(reviews.model), "read", lambda model, x, n: counted.append(len(x)) or read(x, n))

    def points(words: int) -> int:
        counted.clear()
        attribution(reviews.model, np.arange(words) % 9 + 2, 0)
        return sum(counted) - 2  # the path's two ends

    assert points(9) in classify.POINTS
    monkeypatch.setattr(classify, "CLOSE", 0.0)
    assert [points(words) for words in (9, 3000, 10_000)] == [63, 21, 7]
    monkeypatch.setattr(classify, "CLOSE", 100.0)
    assert points(9) == 7


# --- answers


def test_evidence_adds_up_to_what_the_text_changes(reviews):
    ids = encode(reviews.config, reviews.codec, [review(3, "bad")]).ids
    label = reviews.codec.label("bad")
    nothing = np.zeros_like(ids)
    rows = [logits(reviews.model, classify.Rows.of([x]))[0] for x in (ids, nothing)]
    wanted = np.subtract(*(torch.tensor(row).log_softmax(0)[label].item() for row in rows))
    assert attribution(reviews.model, ids, label).sum() == pytest.approx(wanted, rel=0.05, abs=0.01)


def test_evidence_finds_the_word_that_decides(reviews):
    for label in ("good", "bad"):
        (answer,) = predict(reviews, [review(7, label)], Predict(evidence=True))
        assert answer.words[int(np.argmax(answer.evidence))] == SAID[label][7 % 3]


def test_evidence_is_shown_in_colour_or_as_a_list(reviews):
    answers = predict(reviews, [review(7, label) for label in ("good", "bad")], Predict(evidence=True))
    answer = max(answers, key=lambda one: max(one.evidence))  # a text of unknown words may be one of them already
    plain, painted = classify.shown(answer, False), classify.shown(answer, True)
    first, second = plain.splitlines()[:2]
    assert first == f"{answer.label}\t{answer.probability:.3f}" and SAID[answer.label][7 % 3] in second
    assert "\x1b[" in painted and "\x1b[" not in plain


def test_unknown_words_are_marked_and_what_is_left_out_is_said(reviews):
    (answer,) = predict(reviews, ["the soup was zzz rude , " + "with bread 7 " * 4], Predict(evidence=True))
    assert [word for word, unknown in zip(answer.words, answer.unknown, strict=True) if unknown] == ["zzz"]
    listed = classify.shown(answer, False).splitlines()
    assert len(listed) == 14 and listed[-1] == "  the strongest 12 of 18 words, 1 of them unknown; --json has all"
    assert "\x1b[2m[zzz]\x1b[0m" in classify.shown(answer, True)
    (short,) = predict(reviews, ["zzz rude"], Predict(evidence=True))
    assert "+0.00  zzz (unknown)" in classify.shown(short, False) and "strongest" not in classify.shown(short, False)


def test_an_answer_that_is_not_the_likeliest_says_why(stars):
    answer = classify.Answer("x", "2", 0.1, "1", {"1": 0.45, "2": 0.1, "3": 0.25, "4": 0.2})
    assert classify.shown(answer, False) == "2\t0.100\tthe median; the likeliest is 1, 0.450"
    (sure,) = predict(stars, ["w1 yes yes yes"], Predict())
    assert classify.shown(sure, False) == f"4\t{sure.probability:.3f}" and sure.likeliest == "4"
    read = classify.Data(stars.codec, *[classify.Texts(encode(stars.config, stars.codec, ["yes no"]), np.array([1]))] * 2, {})
    accounts = {"said": None, "duplicates": {name: (0, []) for name in ("within", "between", "conflicting")}}
    told = classify.describe(stars.config, read._replace(accounts=accounts), stars.model)
    assert "of ordered labels the answer is the median, the one least far off on average" in told


def test_ordered_labels_are_measured_by_their_distance_too(stars):
    assert stars.config.ordered and stars.codec.labels == ["1", "2", "3", "4"]
    assert report(stars)["dev"]["mean_absolute_error"] < 0.2
    assert predict(stars, ["w1 yes yes yes"], Predict())[0].label == "4"


def test_labels_that_are_numbers_can_be_told_not_to_have_an_order(stars, tmp_path):
    run = train(tmp_path, stars.config.data[0], ordered=False, steps=2)
    assert not run.config.ordered and "mean_absolute_error" not in report(run)["dev"]


def test_wrong_labels_are_listed(tmp_path):
    path, wrong = tmp_path / "reviews.tsv", range(20, 400, 50)
    labels = [("good", "bad")[(i % 2) ^ (i in wrong)] for i in range(400)]
    path.write_text("".join(f"{review(i, ('good', 'bad')[i % 2])}\t{label}\n" for i, label in enumerate(labels)))
    listed = [suspect["where"] for suspect in report(train(tmp_path, path))["suspects"]]
    found = {f"{path}:{i + 1}" for i in wrong} & set(listed)
    assert len(found) >= len(wrong) / 2 and len(found) >= len(listed) / 2


def test_wrong_labels_are_searched_for_before_the_steps_are_planned(tmp_path, monkeypatch):
    """So that --minutes counts the time; and with few minutes not all rows are."""
    done, search, plan = [], classify.audit.out_of_sample, api._schedule
    monkeypatch.setattr(classify.audit, "out_of_sample", lambda *rest: done.append(len(rest[2])) or search(*rest))
    monkeypatch.setattr(api, "_schedule", lambda *rest: done.append("plan") or plan(*rest))
    train(tmp_path, steps=1)
    assert done == [108, "plan"]
    monkeypatch.setattr(classify, "SEARCHED", 2 * 108 * 14 / 2.5)
    config = classify.Config(data=(str(tmp_path / "reviews.csv"),), minutes=1.0)
    read = classify.read(config, tmp_path / "read")
    assert done[-1] == 36 and {len(row) for row in read.accounts["suspects"]} <= {4}


def test_the_simple_floor_takes_no_more_than_its_part_of_the_minutes(reviews, monkeypatch, tmp_path):
    data = classify.read(classify.Config(data=(str(table(tmp_path / "reviews.csv")),), steps=1), tmp_path / "read")
    config = classify.plan(classify.Config(steps=1, hidden=8, embedding=8), data)
    taken, update = [], api.fit.update
    monkeypatch.setattr(api.fit, "update", lambda *rest: taken.append(1) or update(*rest))
    monkeypatch.setattr(api.fit, "seconds_per_step", lambda *_, **__: 0.5)
    for minutes, steps, wanted in ((None, 1, 16), (1.0, None, 12), (100.0, None, 16)):  # 108 texts: 2 steps a pass
        taken.clear()
        classify.baselines(classify.dataclasses.replace(config, minutes=minutes, steps=steps), data)
        assert len(taken) == wanted


def test_what_a_report_reads_once_more_is_left_time_for(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(api.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(api.fit, "seconds_per_step", lambda *_, **__: 0.01)

    def evaluate(*_, **__):
        clock[0] += 0.02
        return {"examples": 1}

    names = {"MEASURING": api.fit.Measuring("examples", 1, 1, 100, 0), "most_steps": lambda *_: 10**9, "passes": lambda *_: ""}
    names |= {"settings": lambda *_: None, "batches": lambda *_: None, "evaluate": evaluate}
    data, config = SimpleNamespace(dev=[0] * 100, codec=None), classify.Config(minutes=1.0)

    def steps(**more) -> int:
        clock[0] = 0.0
        return api._schedule(SimpleNamespace(**names, **more), config, data, None, 0.0, api.Progress(quiet=True))[0].steps

    assert steps() - steps(details=None) == 200  # 100 texts of 0.02 s


def test_no_text_that_is_trained_on_is_held_out(tmp_path):
    path = tmp_path / "reviews.tsv"
    rows = [(review(i % 60, label), label) for i in range(120) for label in ("good", "bad")]  # each stands there twice
    path.write_text("".join(f"{text}\t{label}\n" for text, label in rows))
    run = train(tmp_path, path, steps=2)
    accounts = json.loads((run.folder / "config.json").read_text())["data"]["duplicates"]
    assert accounts["between"][0] == 0 and accounts["within"][0] > 90
    assert report(run)["dev"]["examples"] == 24


# --- the net's parts


@pytest.mark.parametrize("symbols", ["tokens", "words", "characters", "bytes", "bpe", "unigram"])
def test_any_symbol_can_be_read(tmp_path, symbols):
    run = train(tmp_path, symbols=symbols, steps=20, vocabulary=300)
    assert run.codec.kind == symbols
    (answer,) = predict(run, ["Ein süßes BROT in İstanbul 🎉"], Predict(evidence=True))
    assert len(answer.words) == len(answer.evidence) > 3


def test_without_a_cell_the_mean_of_the_vectors_decides(tmp_path):
    run = train(tmp_path, cell="none")
    a, b = (logits(run.model, encode(run.config, run.codec, [text])) for text in ("the soup was cold", "cold was soup the"))
    assert a == pytest.approx(b, abs=1e-5)
    assert "averaged vectors" not in report(run)["baselines"]


def test_pooling_is_what_its_name_says():
    h, lengths = torch.randn(2, 4, 6), torch.tensor([4, 2])
    last = Pooling("last", 6, both=True)(h, lengths)
    assert torch.equal(last[1], torch.cat((h[1, 1, :3], h[1, 0, 3:])))
    assert torch.equal(Pooling("last", 6, both=False)(h, lengths)[1], h[1, 1])
    assert torch.equal(Pooling("max", 6, both=True)(h, lengths)[1], h[1, :2].amax(0))
    assert torch.allclose(Pooling("mean", 6, both=True)(h, lengths)[1], h[1, :2].mean(0))
    attention = Pooling("attention", 6, both=True)
    weights = (h[1, :2].tanh() @ attention.query.weight[0]).softmax(0)
    assert torch.allclose(attention(h, lengths)[1], weights @ h[1, :2], atol=1e-6)


def test_balanced_labels_count_alike(tmp_path):
    data = table(tmp_path / "reviews.csv", labels=("good", "good", "good", "bad"))
    run = train(tmp_path, data, steps=1, balanced=True)
    texts = classify.Texts(encode(run.config, run.codec, ["a"] * 8), np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    batch = classify.Batches(texts, 8, True, 1).batch(0)
    sums = [float(batch.weights[batch.labels == label].sum()) for label in (0, 1)]
    assert sums == pytest.approx([4.0, 4.0])


def test_the_training_loss_told_is_nats_and_its_gradient_is_of_all_that_is_wanted(stars):
    batch = classify.Batches(classify.Texts(encode(stars.config, stars.codec, ["a"] * 4), np.arange(4)), 4, True, 1).batch(0)
    batch = batch._replace(weights=torch.tensor([0.5, 1.0, 1.5, 1.0]))
    values = torch.randn(4, 4, generator=torch.manual_seed(1), requires_grad=True)
    (slope,) = torch.autograd.grad(stars.model.loss(values, batch), values)
    nats = torch.nn.functional.cross_entropy(values, batch.labels, reduction="none")
    apart = (values.softmax(1).cumsum(1) - (torch.arange(4) >= batch.labels[:, None]).float()).square().sum(1)
    (wanted,) = torch.autograd.grad(((nats + apart) * batch.weights).mean(), values)
    assert stars.model.loss(values, batch).item() == pytest.approx(nats.mean().item())
    assert torch.allclose(slope, wanted, atol=1e-6)


def test_vectors_reach_words_that_training_has_not(tmp_path):
    words = ["lovely", "warm", "fresh", "cold", "rude", "stale", "delicious", "awful"]
    good = np.array([1, 1, 1, -1, -1, -1, 1, -1.0])
    made = Vectors(words, np.outer(good, np.ones(5)).astype(np.float32) + 0.01 * np.random.default_rng(1).normal(size=(8, 5)))
    made.save(tmp_path / "words.bin")
    run = train(tmp_path, vectors=str(tmp_path / "words.bin"), embedding=None, tune=False, steps=150, word_dropout=0.0)
    assert run.codec.fixed == 2
    model = classify.Model(run.config, run.codec)
    classify.take_vectors(run.config, run.codec, model)
    assert not model.embed.fixed.requires_grad and float(model.embed.fixed[0] @ model.embed.fixed[1]) < 0
    answers = predict(run, ["the soup was delicious", "the soup was awful"], Predict())
    assert [answer.label for answer in answers] == ["good", "bad"]
    (again,) = predict(api.load(run.folder), ["the soup was awful"], Predict())
    assert again.probability == pytest.approx(answers[1].probability)


def test_another_run_is_a_place_to_start(reviews, tmp_path):
    data = table(tmp_path / "more.csv", labels=("good", "bad", "unclear"))
    run = train(tmp_path, data, start_from=reviews.folder, hidden=None, embedding=None, rate=None)
    assert run.codec.labels == ["bad", "good", "unclear"] and run.config.hidden == reviews.config.hidden
    assert [answer.label for answer in predict(run, [review(9, label) for label in SAID], Predict())] == list(SAID)
    other = table(tmp_path / "other.csv", header=("review", "mood"))
    assert train(tmp_path / "c", other, start_from=reviews.folder, steps=1, text="review", label="mood").config.label == "mood"
    with pytest.raises(UserError, match="`--hidden 99` does not fit the weights of --from, which have hidden 16"):
        train(tmp_path / "b", data, start_from=reviews.folder, hidden=99)


# --- mistakes


def test_one_label_is_nothing_to_tell_apart(tmp_path):
    with pytest.raises(UserError, match="every text has the label `good`: there is nothing to tell apart"):
        train(tmp_path, table(tmp_path / "reviews.csv", labels=("good",)))


def test_as_many_labels_as_texts_are_the_wrong_column(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "".join(f"word {i},id{i}\n" for i in range(40)))
    with pytest.raises(UserError, match="40 different labels in 40 rows; is `--label` the right column"):
        train(tmp_path, tmp_path / "t.csv", text="text", label="label", holdout=0.1)


def test_too_few_rows_leave_none_to_validate_on(tmp_path):
    with pytest.raises(UserError, match="4 rows leave none to validate on"):
        train(tmp_path, table(tmp_path / "reviews.csv", 4))


def test_a_label_of_dev_that_training_has_not_is_named(tmp_path):
    dev = table(tmp_path / "dev.csv", 3, labels=("good", "unclear"))
    with pytest.raises(UserError, match="the label `unclear` is in no training row; known are bad, good") as caught:
        train(tmp_path, dev=[str(dev)])
    assert caught.value.where == f"{dev}:3"


def test_minutes_and_steps_exclude_each_other(tmp_path):
    with pytest.raises(UserError, match="`--minutes` and `--steps` were both given"):
        train(tmp_path, minutes=1.0)


def test_vectors_need_words(tmp_path):
    with pytest.raises(UserError, match=r"`--vectors words\.bin` are of words"):
        train(tmp_path, vectors="words.bin", symbols="characters")


def test_vectors_of_other_words_or_another_width_are_refused(tmp_path):
    Vectors(["zebra"], np.ones((1, 4), np.float32)).save(tmp_path / "zebra.bin")
    with pytest.raises(UserError, match=r"has a vector for none of the text's \d+ words"):
        train(tmp_path, vectors=str(tmp_path / "zebra.bin"), embedding=None)
    with pytest.raises(UserError, match="`--embedding 12`, but the vectors of `--vectors` have 4 numbers each"):
        train(tmp_path, vectors=str(tmp_path / "zebra.bin"))


def test_an_empty_text_has_no_answer(reviews):
    with pytest.raises(UserError, match="the text is empty: there is nothing to read"):
        classify.item(reviews, "  \n")
    fine, empty = predict(reviews, ["fine", "  \n"], Predict(evidence=True))
    assert fine.words == ["fine"] and empty == classify.Answer("  \n") and classify.shown(empty, True) == "(empty)"


# --- the command line


def test_predict_reads_texts_files_and_tables(reviews, tmp_path, capsys):
    (tmp_path / "lines.txt").write_text(review(1, "good") + "\n" + review(2, "bad") + "\n")
    data = table(tmp_path / "more.csv", 300)
    assert cli.run(["predict", str(reviews.folder), review(5, "bad"), f"@{tmp_path}/lines.txt", f"@{data}"]) == 0
    labels = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert labels == ["bad", "good", "bad"] + ["good", "bad"] * 150


def test_a_blank_line_has_its_place_among_the_answers(reviews, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"\n{review(1, 'good')}\n\n{review(2, 'bad')}\n".encode())))
    assert cli.run(["predict", str(reviews.folder), "-"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["(empty)", "good", "(empty)", "bad"]


def test_json_says_which_text_was_answered_and_where_it_stands(reviews, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\n\nthree\n")))
    data = table(tmp_path / "more.csv", 2)
    assert cli.run(["predict", str(reviews.folder), "typed", f"@{data}", "-", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["where"], answer["text"]) for answer in answers] == [
        (None, "typed"), (f"{data}:2", review(0, "good")), (f"{data}:3", review(0, "bad")),
        ("stdin:1", "one"), ("stdin:2", ""), ("stdin:3", "three"),
    ]  # fmt: skip
    assert answers[4]["label"] is None


def test_a_file_given_as_a_text_is_pointed_at(reviews, tmp_path, capsys):
    data = table(tmp_path / "more.csv", 2)
    assert cli.run(["predict", str(reviews.folder), str(data)]) == 0
    assert f"note: `{data}` is answered as a text; `@{data}` reads the file" in capsys.readouterr().err
    assert cli.run(["predict", str(reviews.folder), "cold soup", "x" * 5000]) == 0
    assert "note" not in capsys.readouterr().err


def test_columns_of_other_names_are_told_apart(reviews, tmp_path, capsys):
    data = tmp_path / "other.csv"
    data.write_text(
        "words,mood,number\n" + "".join(f'"{review(i, label)}",{label},{i}\n' for i in range(9) for label in ("good", "bad"))
    )
    assert cli.run(["evaluate", str(reviews.folder), str(data), "--json"]) == 2
    assert "no column `text`" in capsys.readouterr().err
    assert cli.run(["evaluate", str(reviews.folder), str(data), "--text", "words", "--label", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["measures"][0]["value"] == 1.0
    run = train(tmp_path, dev=[str(data)], dev_text="words", dev_label="mood", steps=1)
    assert report(run)["dev"]["examples"] == 18 and run.config.text == "text"


def test_flags_of_another_task_are_named(reviews, capsys):
    assert cli.run(["predict", str(reviews.folder), "cold soup", "--stream"]) == 2
    assert f"`--stream` is for runs of `tag`; `{reviews.folder}` is a run of `classify`" in capsys.readouterr().err
    assert cli.run(["evaluate", str(reviews.folder), "a.csv", "--scheme", "bio"]) == 2
    assert "`--scheme` is for runs of `tag`" in capsys.readouterr().err


def test_predict_gives_json(reviews, capsys):
    assert cli.run(["predict", str(reviews.folder), review(5, "bad"), "--json", "--evidence"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["label"] == "bad" and len(answer["words"]) == len(answer["evidence"])


def test_evaluate_tells_measures_with_intervals(reviews, tmp_path, capsys):
    data = table(tmp_path / "test.csv", 50)
    assert cli.run(["evaluate", str(reviews.folder), str(data)]) == 0
    told = capsys.readouterr().out
    assert "accuracy" in told and "precision" in told and "good" in told
    assert cli.run(["evaluate", str(reviews.folder), str(data), "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert {"measures", "labels", "confusion"} == set(tables)
    part = classify.part(reviews, [str(data)], tmp_path)
    assert evaluate(reviews.model, reviews.codec, part)["accuracy"] == tables["measures"][0]["value"] == 1.0


def test_evaluating_on_nothing_is_told(reviews, capsys):
    assert cli.run(["evaluate", str(reviews.folder)]) == 2
    assert "there is no data to evaluate on" in capsys.readouterr().err


def test_evaluate_names_a_label_it_does_not_know(reviews, tmp_path, capsys):
    data = table(tmp_path / "test.csv", 5, labels=("good", "unclear"))
    assert cli.run(["evaluate", str(reviews.folder), str(data)]) == 2
    error = capsys.readouterr().err
    assert "`unclear` is not a label" in error and f"{data}:3" in error


def test_predict_and_evaluate_need_a_run_that_answers(tmp_path, capsys):
    (tmp_path / "b.txt").write_text("the cat sat on the mat " * 200)
    sizes = {"steps": 2, "hidden": 8, "layers": 1, "device": "cpu", "quiet": True}
    api.train("language", tmp_path / "b.txt", out=tmp_path / "b", **sizes)
    for verb, needed in (("predict", "needed is one of"), ("evaluate", "needed is one of")):
        assert cli.run([verb, str(tmp_path / "b"), "x"]) == 2
        assert f"is a run of `language`; {needed}" in capsys.readouterr().err
