"""The translation task: the contract of every task, and what is special to an answer that is written symbol by symbol."""

import calendar
import io
import json
import math
import random
import re

import numpy as np
import pytest
import torch

from unrolled import api, cli, glossary, overlap
from unrolled.data.batch import Rows
from unrolled.data.vocab import END, UNKNOWN
from unrolled.errors import UserError
from unrolled.tasks import translate
from unrolled.tasks.translate import Predict, predict

SMALL = {"hidden": 48, "embedding": 32, "rate": 0.006, "symbols": "characters", "evaluations": 2, "device": "cpu", "quiet": True}
MONTHS = list(calendar.month_name)[1:]


def train(folder, data=None, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    return api.train("translate", data or translate.demo(folder), out=folder / "run", **(SMALL | {"steps": 400} | changes))


@pytest.fixture(scope="module")
def dates(tmp_path_factory):
    return train(tmp_path_factory.mktemp("dates"))


WORDS = {"red": "rot", "blue": "blau", "dog": "Hund", "cat": "Katze", "house": "Haus", "the": "das", "a": "ein", "sees": "sieht"}


def pairs(folder, count=60, seed=1):
    """Two files of sentences, word for word."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    sentences = [generator.choices(list(WORDS), k=generator.randint(2, 6)) for _ in range(count)]
    (folder / "a.en").write_text("".join(" ".join(words) + "\n" for words in sentences))
    (folder / "a.de").write_text("".join(" ".join(WORDS[word] for word in words) + "\n" for words in sentences))
    return folder / "a.en", folder / "a.de"


def quick(folder, **changes):
    """A run of a few steps, which knows nothing."""
    sizes = {"steps": 4, "hidden": 8, "embedding": 8, "symbols": "words", "evaluations": 1}
    return train(folder, pairs(folder), **(sizes | changes))


def report(run) -> dict:
    return json.loads((run.folder / "report.json").read_text())


# --- the demo


def test_the_demo_has_its_iso_date_for_every_date(tmp_path):
    (path,) = translate.demo(tmp_path)
    head, *rows = path.read_text().splitlines()
    assert head == "source\ttarget" and len(rows) == 12_000
    for row in rows[:500]:
        text, iso = row.split("\t")
        year, month, day = map(int, iso.split("-"))
        assert re.search(rf"(?<!\d){year:04}(?!\d)", text)
        assert re.search(rf"(?<!\d)0?{day}(?:st|nd|rd|th)?(?![\d])", text)
        named = re.search(MONTHS[month - 1][:3], text, re.I)
        assert named or re.search(rf"[./]0?{month}[./]", text)


def test_the_demo_is_learnt_and_told_beside_its_floors(dates):
    found = report(dates)
    assert found["dev"]["bleu"] > 90 and found["dev"]["exact"] > 0.8
    assert found["baselines"]["copy of the source"]["bleu"] < 5
    assert found["baselines"]["word by word"]["bleu"] < 20
    assert predict(dates, ["Sunday, 9 November 2003", "3.5.1999"], Predict())[0].text == "2003-11-09"
    measures = {row["measure"]: row for row in found["tables"]["measures"]}
    assert measures["bleu"]["from"] <= measures["bleu"]["value"] <= measures["bleu"]["to"]
    assert "tok:13a" in measures["bleu"]["protocol"] and measures["bleu"]["copy of the source"] < 5
    assert sum(row["sentences"] for row in found["tables"]["lengths"]) == found["dev"]["sentences"]
    best, worst = (
        next(row for row in found["tables"]["examples"] if row["which"] == f"{which} 1") for which in ("best", "worst")
    )
    assert best["chrf"] >= worst["chrf"]
    assert "<table" in (dates.folder / "samples" / "best-1.html").read_text()


def test_it_looks_where_the_answer_stands(dates):
    source = "9 November 2003"
    found = translate.look(dates, source)
    year = [source.index("2") + i for i in range(4)]
    most = found.weights[:4].argmax(1)
    assert all(at in range(min(year) - 2, max(year) + 2) for at in most)  # an encoder's state tells of its neighbours too
    assert np.allclose(found.weights.sum(1), 1, atol=1e-5)


# --- the contract


def test_a_loaded_run_answers_as_before(dates):
    texts = ["May the 2nd, 2011", "1.1.2000"]
    again = api.load(dates.folder)
    assert predict(again, texts, Predict(best=3)) == predict(dates, texts, Predict(best=3))


def test_a_run_that_is_stopped_and_resumed_equals_an_unbroken_one(tmp_path, monkeypatch):
    settings = {"steps": 12, "evaluations": 3, "symbols": "bpe", "vocabulary": 300, "bpe_dropout": 0.2, "own": 0.5}
    whole = quick(tmp_path / "whole", **settings)

    class Stop(Exception):
        pass

    def watch(model, codec, part, limit=None):
        calls.append(1)
        if len(calls) == 3:
            raise Stop
        return real(model, codec, part, limit)

    calls, real = [], translate.watch
    monkeypatch.setattr(translate, "watch", watch)
    with pytest.raises(Stop):
        quick(tmp_path / "broken", **settings)
    monkeypatch.setattr(translate, "watch", real)
    resumed = api.resume(tmp_path / "broken" / "run", quiet=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_padding_and_batch_mates_change_nothing(dates):
    texts = [("9 May 1999", "1999-05-09"), ("Saturday, 28 September 1985", "1985-09-28"), ("1.2.2003", "2003-02-01")]
    part = translate.Sentences(*(translate.encode(dates.codec, side) for side in zip(*texts, strict=True)), texts)
    together = translate.forced(dates.model, part)
    for i, pair in enumerate(texts):
        one = translate.Sentences(*(translate.encode(dates.codec, [text]) for text in pair), [pair])
        assert translate.forced(dates.model, one)[0] == pytest.approx(together[i], abs=1e-4)
        batch = translate.batch_of(part, np.arange(3))
        with torch.no_grad():
            features, weights = dates.model.eval().read(batch)
            alone, alone_weights = dates.model.read(translate.batch_of(one, np.array([0])))
        T, S = alone.shape[1], alone_weights.shape[2]
        assert (features[i, :T] - alone[0]).abs().max() < 3e-6  # MKL adds in other orders at other sizes; the search does not
        assert (weights[i, :T, :S] - alone_weights[0]).abs().max() < 3e-6
        assert not weights[i, :T, S:].any()


def test_the_loss_is_torchs_of_all_real_symbols(dates):
    part = translate.Sentences(Rows.of([np.array([3, 4]), np.array([5])]), Rows.of([np.array([6]), np.array([7, 8, 9])]), [])
    batch = translate.batch_of(part, np.array([0, 1]))
    assert batch.target.tolist() == [[END, 6, 0, 0], [END, 7, 8, 9]]
    assert batch.following.tolist()[0][:2] == [6, END] and batch.following.tolist()[1] == [7, 8, 9, END]
    with torch.no_grad():
        features, _ = dates.model.eval()(batch, None)
        logits = dates.model.output(features)
        wanted = torch.nn.functional.cross_entropy(logits, torch.tensor([6, END, 7, 8, 9, END]))
        assert float(dates.model.loss(features, batch)) == pytest.approx(float(wanted), abs=1e-5)
        assert translate.forced(dates.model, part).sum() == pytest.approx(6 * float(wanted), abs=1e-3)


def test_own_symbols_are_read_as_often_as_asked(dates):
    part = translate.Sentences(Rows.of([np.arange(2, 9)] * 50), Rows.of([np.arange(2, 12)] * 50), [])
    batch = translate.batch_of(part, np.arange(50))
    model = dates.model.train()
    torch.manual_seed(0)
    memory, state = model.encode(batch.source, batch.source_lengths)
    with torch.no_grad():
        own = model.output(model._written(batch.target, batch, memory, state)[0]).argmax(-1)[:, :-1]
    right = batch.target[:, 1:]
    differ = own != right
    assert differ.sum() > 100
    for share in (0.0, 0.5, 1.0):
        read = model._with_own(batch.target, batch._replace(own=torch.full((50,), share)), memory, state)
        assert (read[:, 0] == END).all() and ((read[:, 1:] == own) | (read[:, 1:] == right)).all()
        assert float((read[:, 1:] == own)[differ].float().mean()) == pytest.approx(share, abs=0.15 * (share == 0.5))
    model.eval()


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "lstm", "layers": 2, "attention": "additive", "feed": True}, {"attention": "none"}, {"coverage": True},
        {"symbols": "unigram", "vocabulary": 300, "unigram_alpha": 0.3, "apart": True}, {"tied": False, "direction": "forward"},
        {"symbols": "bytes", "cell": "rnn", "attention": "general"}, {"apart": True, "cell": "gru_after"},
    ],
    ids=lambda s: "-".join(map(str, s.values())),
)  # fmt: skip
def test_every_kind_of_net_trains_and_answers(tmp_path, settings):
    run = quick(tmp_path, **settings)
    assert math.isfinite(report(run)["dev"]["nats_per_symbol"])
    again = api.load(run.folder)
    texts = ["the dog sees a cat", "dog", "zebra 🎉 unseen"]
    assert predict(again, texts, Predict(beam=2)) == predict(run, texts, Predict(beam=2))


def test_another_run_is_a_place_to_start(tmp_path):
    first = quick(tmp_path / "first")
    (tmp_path / "more").mkdir()
    more = tmp_path / "more"
    (more / "a.en").write_text("the green dog\na green cat\n" * 20)
    (more / "a.de").write_text("das grün Hund\nein grün Katze\n" * 20)
    settings = {"symbols": "words", "steps": 2, "evaluations": 1, "quiet": True, "device": "cpu"}
    second = api.train("translate", [more / "a.en", more / "a.de"], out=more / "run", start_from=first.folder, **settings)
    assert second.codec.symbols[: len(first.codec.symbols)] == first.codec.symbols and "grün" in second.codec.symbols
    assert second.config.hidden == 8
    with pytest.raises(UserError, match="hidden"):
        api.train("translate", [more / "a.en", more / "a.de"], out=more / "x", start_from=first.folder, hidden=9, **settings)


def test_vectors_begin_the_words_they_know(tmp_path):
    (tmp_path / "v.txt").write_text("2 8\ndog 1 2 3 4 5 6 7 8\nHund -1 -2 -3 -4 -5 -6 -7 -8\n")
    run = quick(tmp_path, vectors=str(tmp_path / "v.txt"), steps=1, embedding=None, rate=1e-6)
    rows = run.model.embed.weight[[run.codec.index["dog"], run.codec.index["Hund"]]].detach()
    assert torch.allclose(rows[0] / rows[0, 0], torch.arange(1.0, 9.0), atol=1e-3)
    assert torch.allclose(rows[0], -rows[1], atol=1e-3)


# --- answers


def test_what_is_required_stands_in_the_answer(tmp_path):
    run = quick(tmp_path)
    (tmp_path / "words.tsv").write_text("dog\tKatze\n\nred house\tHaus rot\n")
    texts = ["the dog sees", "a red house", "a house redder"]
    plain, bound = (
        [answer.text for answer in predict(run, texts, options)]
        for options in (Predict(), Predict(glossary=str(tmp_path / "words.tsv")))
    )
    assert "Katze" in bound[0] and "Haus rot" in bound[1] and bound[2] == plain[2]
    assert "sieht" in predict(run, texts, Predict(require=("sieht",)))[1].text
    with pytest.raises(UserError, match="`Zebra` cannot be required: the run has no symbols"):
        predict(run, texts, Predict(require=("Zebra",)))
    with pytest.raises(UserError, match="`--temperature` draws; words are required"):
        predict(run, texts, Predict(require=("sieht",), temperature=1.0))
    with pytest.raises(UserError, match="`--diversity` does not go with words that are required"):
        predict(run, texts, Predict(require=("sieht",), diversity=1.0))


@pytest.mark.parametrize("beam, threshold", [(5, 3.0), (3, 0.5)])
def test_what_is_required_of_a_neighbour_changes_no_answer(dates, beam, threshold):
    texts = [row[0] for row in some_dates(60)]
    options = Predict(beam=beam, threshold=threshold)
    alone = translate.translate(dates.model, dates.codec, encoded(dates, texts), options)
    phrase = dates.codec.encode(" 1").tolist()[1:]
    required = [[] if i % 2 else [phrase] for i in range(60)]
    beside = translate.translate(dates.model, dates.codec, encoded(dates, texts), options, required)
    assert alone[1::2] == beside[1::2]


def some_dates(number):
    generator = random.Random(5)
    return [list(translate._date(generator)) for _ in range(number)]


def encoded(run, texts):
    return translate.encode(run.codec.source, texts)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dog\tHund\tnoun\n", "a line of a glossary is a term"),
        ("dog\t\n", "a line of a glossary is a term"),
        ("dog\tHund\ndog\tKatze\n", "`dog` has two translations, `Hund` and `Katze`"),
        (None, "there is no glossary `"),
    ],
)
def test_glossaries_that_are_none_are_told(tmp_path, content, message):
    if content is not None:
        (tmp_path / "g.tsv").write_text(content)
    with pytest.raises(UserError, match=message):
        glossary.read(tmp_path / "g.tsv")


def test_drawing_refuses_settings_of_searching(dates):
    with pytest.raises(UserError, match="`--no-repeat` is of searching, and `--temperature` draws"):
        predict(dates, ["x"], Predict(no_repeat=2, temperature=1.0))
    with pytest.raises(UserError, match="`--diversity` is of searching, and `--temperature` draws"):
        predict(dates, ["x"], Predict(diversity=2.0, temperature=1.0))


def test_answers_of_a_diverse_search_begin_differently(dates):
    (alike,), (apart,) = (predict(dates, ["4 July 1976"], Predict(best=5, diversity=of)) for of in (None, 50.0))
    assert apart.text == predict(dates, ["4 July 1976"], Predict(beam=1))[0].text
    assert len({one.text for one in apart.best}) == len(apart.best) > 2
    assert len({one.text[:1] for one in apart.best}) > len({one.text[:1] for one in alike.best})


def test_answers_may_be_as_long_as_those_learnt_from(tmp_path):
    digits = ["".join(random.Random(i).choices("0123456789", k=5)) for i in range(60)]
    rows = (f"{d}\t{' '.join('number ' + c for c in d)}\n" for d in digits)
    (tmp_path / "a.tsv").write_text("source\ttarget\n" + "".join(rows))
    run = train(tmp_path, tmp_path / "a.tsv", steps=2, evaluations=1)
    longest = 5 * len("number 1 ")
    assert translate.translator.longest(encoded(run, digits[:1]), run.model.stretch)[0] > longest
    assert translate.translator.longest(encoded(run, digits[:1]), 2.0)[0] < longest


def test_blank_and_copied_pairs_are_measured_on_without_harm(dates, tmp_path):
    rows = [*some_dates(20), ["", ""], ["", "2001-01-01"]]
    (tmp_path / "a.tsv").write_text("source\ttarget\n" + "".join("\t".join(row) + "\n" for row in rows))
    part = translate.part(dates, [str(tmp_path / "a.tsv")], tmp_path)
    assert len(part) == 20 and part.blank in (1, 2)  # a row of blank cells may be no row
    (told,) = [row for row in translate.examine(dates, part)["measures"] if row["measure"] == "sentences"]
    assert (told["value"], told["protocol"]) == (20, f"{part.blank} more with an empty side are left out")
    (tmp_path / "b.tsv").write_text("source\ttarget\n" + "2001-01-01\t2001-01-01\n" * 9)
    assert len(translate.part(dates, [str(tmp_path / "b.tsv")], tmp_path)) == 9


def test_what_is_wrong_with_the_pairs_to_validate_on_is_told(tmp_path):
    source, target = pairs(tmp_path)
    (tmp_path / "d.en").write_text(source.read_text() + "\n")
    (tmp_path / "d.de").write_text(target.read_text() + "ein Haus\n")
    run = quick(tmp_path, dev=(str(tmp_path / "d.en"), str(tmp_path / "d.de")))
    said = json.loads((run.folder / "config.json").read_text())["data"]["said"]
    assert "1 pairs to validate on left out, a side empty" in said
    assert "60 pairs to validate on are trained on too: measures will be too good" in said


def test_a_column_of_lines_to_translate_is_refused(dates, tmp_path):
    (tmp_path / "a.txt").write_text("4 July 1976\n")
    with pytest.raises(UserError, match=r"`--column 7`, and `.*a\.txt` has none: each line is a sentence"):
        list(translate.items(dates, str(tmp_path / "a.txt"), Predict(column="7"), tmp_path))


def test_an_unknown_word_is_copied_from_where_the_net_looks(tmp_path):
    run = quick(tmp_path)
    source, hypothesis = "the zebra", translate.Hypothesis([UNKNOWN, run.codec.index["Hund"], END], 0.0, 0.0, True)
    weights = translate.looked(run.model, run.codec.encode(source), hypothesis.ids[:-1])
    wanted = source.split()[weights[0].argmax()]
    assert translate.written(run.model, run.codec, source, hypothesis) == f"{wanted} Hund"


def test_several_answers_are_ranked_and_drawn_ones_follow_the_seed(dates):
    (answer,) = predict(dates, ["4 July 1976"], Predict(best=4))
    scores = [one.score for one in answer.best]
    assert len(scores) == 4 and scores == sorted(scores, reverse=True) and answer.text == answer.best[0].text
    assert len({one.text for one in answer.best}) == 4
    drawn = [predict(dates, ["4 July 1976"], Predict(best=5, temperature=3.0, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(UserError, match="`--best 9` is more than `--beam 5`"):
        predict(dates, ["x"], Predict(best=9))


def test_no_run_of_symbols_stands_twice_if_it_must_not(tmp_path):
    run = quick(tmp_path)
    texts = [" ".join(list(WORDS) * 3)] * 2
    for answer in predict(run, texts, Predict(no_repeat=1, beam=3)):
        assert len(set(answer.text.split())) == len(answer.text.split())


def test_runs_vote_together_if_their_symbols_agree(tmp_path, capsys):
    first, second = quick(tmp_path / "a"), quick(tmp_path / "b", seed=1, hidden=12)
    both = translate.together(first, [second])
    nets = [predict(run, ["the dog"], Predict())[0].best[0].nats for run in (first, second, both)]
    assert min(nets[:2]) - 1 < nets[2]
    assert cli.run(["predict", str(first.folder), "the dog", "--beside", str(second.folder)]) == 0
    assert capsys.readouterr().out.strip() == predict(both, ["the dog"], Predict())[0].text
    other = quick(tmp_path / "c", symbols="characters")
    assert cli.run(["predict", str(first.folder), "the dog", "--beside", str(other.folder)]) == 2
    assert "has other symbols than" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x " * 400, "🎉", "\u0000", "א ب 漢字"])
def test_any_sentence_has_an_answer(dates, text):
    (answer,) = predict(dates, [text], Predict(beam=2))
    assert len(answer.best) == 1 and math.isfinite(answer.best[0].score)


def test_an_empty_sentence_has_an_empty_answer(dates):
    answers = predict(dates, ["", "9 May 1999", "  "], Predict())
    assert [answer.text for answer in answers] == ["", "1999-05-09", ""]
    assert predict(dates, [""], Predict())[0].best == []


# --- the command line


def test_two_files_are_trained_on_and_validated_on(tmp_path, capsys):
    source, target = pairs(tmp_path)
    sizes = [f"--{name}={value}" for name, value in {"steps": 2, "hidden": 8, "embedding": 8, "evaluations": 1}.items()]
    words = [
        "train",
        "translate",
        source,
        target,
        "--dev",
        source,
        target,
        "--out",
        tmp_path / "run",
        "--symbols",
        "words",
        *sizes,
    ]
    assert cli.run([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(tmp_path / "run") and "60 pairs to train on, 60 to validate on" in said.err
    assert api.load(tmp_path / "run").config.dev == (str(source), str(target))


def test_lines_are_answered_in_order_and_scored(dates, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"9 May 1999\n\n12 October 2003\n")))
    assert cli.run(["predict", str(dates.folder), "-"]) == 0
    assert capsys.readouterr().out.splitlines() == ["1999-05-09", "", "2003-10-12"]
    (tmp_path / "some.tsv").write_text("source\ttarget\n9 May 1999\t1999-05-09\n9 May 1999\t2003-01-01\n")
    assert cli.run(["score", str(dates.folder), str(tmp_path / "some.tsv"), "--json"]) == 0
    right, wrong, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert right["nats"] < wrong["nats"] and right["text"] == "9 May 1999\t1999-05-09"
    assert summary["nats_per_pair"] == pytest.approx((right["nats"] + wrong["nats"]) / 2) and summary["symbols"] == 22


def test_evaluate_reads_other_columns(dates, tmp_path, capsys):
    (tmp_path / "some.csv").write_text("iso,when\n1999-05-09,9 May 1999\n")
    words = ["evaluate", str(dates.folder), str(tmp_path / "some.csv"), "--source", "when", "--target", "iso", "--json"]
    assert cli.run(words) == 0
    measures = {row["measure"]: row["value"] for row in json.loads(capsys.readouterr().out)["measures"]}
    assert measures["chrf"] == pytest.approx(100)


def test_runs_are_compared_on_the_same_pairs(dates, tmp_path, capsys):
    worse = train(tmp_path, steps=20)
    (path,) = translate.demo(tmp_path / "data")
    rows = path.read_text().splitlines()[:41]
    path.write_text("\n".join(rows) + "\n")
    assert cli.run(["compare", str(dates.folder), str(worse.folder), "--data", str(path), "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    sources, references = zip(*(row.split("\t") for row in rows[1:]), strict=True)
    texts = [[answer.text for answer in predict(run, sources, Predict())] for run in (dates, worse)]
    assert [first["bleu"], second["bleu"]] == [overlap.scores(some, references).bleu for some in texts]
    assert first["p"] == 1 and second["p"] < 0.05 and second["high"] < 0
    assert cli.run(["compare", str(dates.folder), "--data", str(path)]) == 2


# --- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source\ttarget\n", "there are no rows in"),
        ("source\ttarget\na\tb\n", "1 pairs are too few to train on and"),
    ],
)
def test_too_few_pairs_are_told(tmp_path, content, message):
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(UserError, match=message):
        api.train("translate", tmp_path / "a.tsv", out=tmp_path / "run", steps=1, quiet=True)
    assert not (tmp_path / "run").exists()


def test_nothing_to_evaluate_on_is_told(dates, tmp_path):
    (tmp_path / "a.en").write_text("")
    (tmp_path / "a.de").write_text("")
    with pytest.raises(UserError, match=r"there is no pair of sentences to evaluate on"):
        translate.part(dates, [str(tmp_path / "a.en"), str(tmp_path / "a.de")], tmp_path)


def test_pairs_to_evaluate_on_with_their_sides_changed_are_told(dates, tmp_path):
    pairs = [line.split("\t") for line in translate.demo(tmp_path)[0].read_text().splitlines()[1:50]]
    for name, side in (("a.human", 0), ("a.iso", 1)):
        (tmp_path / name).write_text("".join(pair[side] + "\n" for pair in pairs))
    names = [str(tmp_path / "a.human"), str(tmp_path / "a.iso")]
    assert len(translate.part(dates, names, tmp_path)) == 49
    with pytest.raises(UserError, match="sources and translations have changed places, says the net of 49 of the first 49"):
        translate.part(dates, names[::-1], tmp_path)


def test_a_column_of_plain_lines_is_refused_but_not_their_ending(tmp_path):
    with pytest.raises(UserError, match=r"`--target german` names a column, and `.*a\.en` has none"):
        quick(tmp_path, source="en", target="german")
    assert quick(tmp_path, source="en", target="de").config.source is None


@pytest.mark.parametrize("settings", [{"bpe_dropout": 0.1}, {"unigram_alpha": 0.2}, {"coverage": True, "attention": "none"}])
def test_settings_that_would_do_nothing_are_refused_before_reading(tmp_path, settings):
    with pytest.raises(UserError, match=r"does nothing here: it needs --"):
        quick(tmp_path, **settings)
    assert not (tmp_path / "run").exists()


def test_filters_of_drawing_need_drawing(dates):
    with pytest.raises(UserError, match="`--top-p` is of drawing, and a search does not draw"):
        predict(dates, ["x"], Predict(top_p=0.5))


def test_what_is_measured_is_what_predict_writes(tmp_path):
    """Unknown words are copied in both."""
    run = quick(tmp_path, vocabulary=5)
    sides = [(tmp_path / f"a.{side}").read_text().splitlines() for side in ("en", "de")]
    texts = list(zip(*sides, strict=True))
    part = translate.Sentences(*(translate.encode(run.codec, side) for side in zip(*texts, strict=True)), texts)
    answers = [answer.text for answer in predict(run, [source for source, _ in texts], Predict())]
    found = translate.evaluate(run.model, run.codec, part)
    assert found["bleu"] == overlap.scores(answers, [target for _, target in texts]).bleu
    assert found["chrf"] == overlap.scores(answers, [target for _, target in texts]).chrf


def test_look_reads_a_sentence_from_a_file(dates, tmp_path, capsys):
    (tmp_path / "some.txt").write_text("9 May 1999\n")
    assert cli.run(["look", str(dates.folder), f"@{tmp_path / 'some.txt'}", "--json"]) == 0
    told = capsys.readouterr().out
    assert cli.run(["look", str(dates.folder), "9 May 1999", "--json"]) == 0
    assert capsys.readouterr().out == told


def test_an_evaluation_costs_what_was_reckoned(tmp_path, monkeypatch):
    """`watch` is what is measured while training, `evaluate` at the end."""
    calls = {"watch": 0, "evaluate": 0}
    for name in calls:
        real = getattr(translate, name)

        def counted(*arguments, name=name, real=real, **more):
            calls[name] += 1
            return real(*arguments, **more)

        monkeypatch.setattr(translate, name, counted)
    quick(tmp_path, steps=6, evaluations=3)
    assert calls == {"watch": 3, "evaluate": 1}


def test_the_measure_falls_as_bleu_rises(dates):
    pair = ("9 May 1999", "1999-05-09")
    some = translate.Sentences(*(translate.encode(dates.codec, [text]) for text in pair), [pair])
    found = translate.evaluate(dates.model, dates.codec, some)
    assert found[translate.MEASURE] == 100 - found["bleu"] and found["chrf"] == pytest.approx(100)


def test_what_is_watched_is_like_the_rest():
    """In some files every other sentence is long."""
    source = Rows.of([np.full(5 + 20 * (i % 2), 2) for i in range(1000)])
    part = translate.Sentences(source, source, [("a", str(i)) for i in range(1000)])
    some = translate._spread(part, 300)
    assert len(some) == 300 and 13 < some.source.lengths.mean() < 17
    assert [text[1] for text in some.texts] == [text[1] for text in translate._spread(part, 300).texts]
    assert [5 + 20 * (int(text[1]) % 2) for text in some.texts] == some.source.lengths.tolist()
    assert translate._spread(part, 1000) is part
