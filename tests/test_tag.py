"""The tag task: the contract of every task, and what is special to an answer for every word."""

import io
import json

import numpy as np
import pytest
import torch

from unrolled import api, cli, decision_page, future_page, named
from unrolled.data import tagged
from unrolled.data.batch import Buckets, Rows, borders
from unrolled.errors import UserError
from unrolled.tasks import tag
from unrolled.tasks.tag import Batch, Predict, encode, gather, predict, read_sentences, spelled
from unrolled.vectors import Vectors

SMALL = {
    "steps": 250, "hidden": 24, "embedding": 24, "spelling": 8, "rate": 0.02, "evaluations": 2, "device": "cpu", "quiet": True,
    "word_dropout": 0.0, "input_dropout": 0.1,
}  # fmt: skip


def train(folder, data=None, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    return api.train("tag", data or tag.demo(folder), out=folder / "run", **(SMALL | changes))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return train(tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def forward(tmp_path_factory):
    return train(tmp_path_factory.mktemp("forward"), direction="forward")


def report(run) -> dict:
    return json.loads((run.folder / "report.json").read_text())


def ambiguous(run) -> float:
    (row,) = [row for row in report(run)["tables"]["measures"] if row["measure"] == "ambiguous_words_right"]
    return row["value"]


def conll(path, *sentences: str) -> str:
    """A file of sentences written as `word/TAG word …`."""
    lines = ["\n".join("\t".join(pair.rsplit("/", 1)) for pair in sentence.split()) for sentence in sentences]
    path.write_text("\n\n".join(lines) + "\n")
    return str(path)


# --- the lecture's point


def test_only_a_net_that_reads_both_ways_knows_the_future(both, forward):
    assert ambiguous(both) >= 0.995
    assert 0.4 < ambiguous(forward) < 0.6  # the opening says nothing: chance
    assert report(both)["baselines"]["list of names"]["span_f1"] < 0.8


def test_what_the_future_adds_is_shown(both, capsys):
    assert cli.run(["look", str(both.folder), "He said", "--unit", "1"]) == 2
    assert "`--unit` is for runs of `language`; " in capsys.readouterr().err
    assert cli.run(["look", str(both.folder), "He said, Teddy bears are on sale!", "--json"]) == 0
    teddy = [json.loads(line) for line in capsys.readouterr().out.splitlines()][3]
    assert teddy["word"] == "Teddy" and teddy["forward_only"] > 5 * teddy["one_word_later"] > 0 and teddy["both_ways"] < 0.05
    assert teddy["backward_only"] < teddy["forward_only"]  # what follows it is there
    page = (both.folder / "look.html").read_text()
    assert page.count("<th scope=row>") == 9 + 3 + 9 and "Teddy" in page and "@TABLE@" not in page and "@WAYS@" not in page
    assert page.index("forward only<") < page.index("backward only<") < page.index("both ways<")


def test_a_belief_has_both_directions_side_by_side(both):
    belief = tag.look(both, "Rose is on her way .")
    alone = tag.look(both, "her way .")
    assert belief.ways["backward only"][3] == pytest.approx(alone.shares[-1, 0], abs=1e-5)
    assert np.array_equal(belief.ways["forward only"][3], belief.shares[3, 3])
    assert belief.ways["backward only"][0] == pytest.approx(belief.ways["both ways"][0], abs=1e-5)


def test_a_kind_that_ends_like_another_is_not_the_other(tmp_path):
    data = conll(tmp_path / "t.conll", *[f"Paris/B-geo-loc is/O Home/B-loc {i}/O" for i in range(20)])
    belief = tag.look(train(tmp_path, data, steps=30), "Paris is Home .")
    assert belief.kinds == ["geo-loc", "loc"] and belief.shares.sum(-1).max() <= 1 + 1e-6


def test_words_in_the_page_are_text_in_it(tmp_path):
    words, moved = ["<b>", "@TABLE@", "'"], np.full(3, 0.5, np.float32)
    decision = decision_page.Decision(words, " ", moved, moved, None, [False] * 3, 1, "k&", 0.4, "a note")
    belief = future_page.Belief(words, ["k&"], np.full((3, 3, 1), 0.4), np.full((3, 1), 0.4), "a note", decision)
    page = future_page.page(belief).decode()
    assert "<b>" not in page and "&lt;b&gt;" in page and "k&amp;" in page and page.count("@TABLE@") == 6


# --- the contract


def test_the_demo_is_learnt(both):
    assert report(both)["dev"]["span_f1"] > 0.99
    kinds = {row["kind"]: row for row in report(both)["tables"]["kinds"]}
    assert kinds["person"]["f1"] == kinds["all"]["f1"] == report(both)["dev"]["span_f1"]
    assert kinds["person"]["from"] <= kinds["person"]["f1"] <= kinds["person"]["to"] == 1.0
    floor = report(both)["baselines"]["list of names"]["span_f1"]
    assert kinds["person"]["list of names, f1"] == kinds["all"]["list of names, f1"] == floor
    unknown = kinds["with a word not in training"]
    assert unknown["spans"] == 0 and unknown["precision"] is unknown["recall"] is unknown["f1"] is unknown["from"] is None


def test_a_loaded_run_answers_as_before(both):
    texts = ["He said, Rose was a great singer!", "Today Rose bushes cost too much.", "Rose"]
    before = predict(both, texts, Predict())
    assert before == predict(api.load(both.folder), texts, Predict())
    (name,) = before[0].names
    assert (name.text, name.label, name.start, name.end) == ("Rose", "person", 9, 13) and name.probability > 0.9
    assert before[1].names == [] and before[0].tags[3] == "B-person"


def test_padding_and_batch_mates_change_nothing(both):
    sentences = [tagged.Sentence(words.split(), None, "") for words in ("Rose", "He said , Teddy bears are on sale !", "a b")]
    together = read_sentences(both.model, encode(both.config, both.codec, sentences), marginals=True)
    for sentence, read in zip(sentences, together, strict=True):
        (alone,) = read_sentences(both.model, encode(both.config, both.codec, [sentence]), marginals=True)
        assert np.array_equal(alone.tags, read.tags) and alone.marginals == pytest.approx(read.marginals, abs=1e-5)
    batch = gather(encode(both.config, both.codec, sentences), np.arange(3))
    outside = torch.arange(batch.ids.shape[1]) >= batch.lengths.unsqueeze(1)
    junk = batch._replace(ids=batch.ids.masked_fill(outside, 5), spelling=batch.spelling.masked_fill(outside.unsqueeze(-1), 9))
    with torch.no_grad():
        clean, dirty = (both.model(x, None)[0][~outside] for x in (batch, junk))
    assert torch.equal(clean, dirty)


def test_streaming_is_the_forward_net_word_by_word(forward):
    texts = ["He said, Mark sings tonight.", "Today Will has called again."]
    part = encode(forward.config, forward.codec, [tagged.Sentence(text.split(), None, "") for text in texts])
    batch = gather(part, np.arange(2))
    with torch.no_grad():
        emissions, _ = forward.model(batch, None)
        state, nats = forward.model.start(2), []
        for t in range(batch.ids.shape[1]):
            now, state = forward.model.step(batch.ids[:, t], batch.spelling[:, t], state)
            nats.append(now)
    for t in range(
        1, batch.ids.shape[1] + 1
    ):  # what step says of word t is the last marginal of the first t words without an end
        field = forward.model.field
        free = type(field)(~field.no_start, ~field.no_follows, torch.ones(len(field.start), dtype=torch.bool))
        free.load_state_dict(field.state_dict() | {"end": torch.zeros(len(field.start))})
        wanted = free.marginals(emissions[:, :t])[:, -1]
        assert torch.allclose(nats[t - 1].exp(), wanted, atol=1e-5)
    streamed = predict(forward, texts, Predict(stream=True))
    assert [len(answer.words) for answer in streamed] == [7, 6]


def test_streaming_needs_a_net_that_reads_forward(both):
    with pytest.raises(UserError, match="`--stream` needs a net that reads forward only"):
        predict(both, ["Rose"], Predict(stream=True))


def test_no_answer_breaks_the_scheme(both):
    torch.manual_seed(1)
    model = tag.Model(both.config, both.codec)
    torch.nn.init.normal_(model.output.weight, std=20)
    sentences = [tagged.Sentence([f"w{i}" for i in range(n)], None, "") for n in range(1, 30)]
    for read in read_sentences(model, encode(both.config, both.codec, sentences)):
        assert tag.spans.problem([both.codec.labels[i] for i in read.tags], tag.SCHEME) is None


def test_tags_can_be_chosen_each_by_itself(tmp_path):
    run = train(tmp_path, crf=False)
    assert torch.equal(run.model.field.follows, torch.zeros_like(run.model.field.follows))
    assert report(run)["dev"]["span_f1"] > 0.9


def test_another_run_is_a_place_to_start(both, tmp_path):
    data = conll(tmp_path / "more.conll", *[f"He/O saw/O Zoe/B-person today/O {i}/O" for i in range(40)])
    changes = {"hidden": None, "embedding": None, "spelling": None, "rate": None, "steps": 60}
    run = api.train("tag", data, out=tmp_path / "run", start_from=both.folder, **{**SMALL, **changes})
    assert run.config.hidden == both.config.hidden and "zoe" in run.codec.index
    with pytest.raises(UserError, match="`--letters recurrent` does not fit the weights of --from"):
        api.train("tag", data, out=tmp_path / "c", start_from=both.folder, **{**SMALL, **changes, "letters": "recurrent"})
    other = conll(tmp_path / "other.conll", *[f"He/O saw/O Zoe/B-thing today/O {i}/O" for i in range(20)])
    with pytest.raises(UserError, match="are not among those of --from"):
        api.train("tag", other, out=tmp_path / "b", start_from=both.folder, **{**SMALL, **changes})


def test_vectors_begin_the_words_and_reach_unseen_ones(tmp_path):
    Vectors(["rose", "zebra", "mark"], np.eye(3, 6, dtype=np.float32)).save(tmp_path / "words.bin")
    run = train(tmp_path, vectors=str(tmp_path / "words.bin"), embedding=None, steps=2)
    assert run.codec.fixed == 1 and run.config.embedding == 6
    Vectors(["zebra"], np.ones((1, 4), np.float32)).save(tmp_path / "zebra.bin")
    with pytest.raises(UserError, match=r"has a vector for none of the text's \d+ words"):
        train(tmp_path / "b", vectors=str(tmp_path / "zebra.bin"), embedding=None)


@pytest.mark.parametrize(
    ("text", "vectors", "lower", "fix"),
    [
        ("rose", "zebra", True, None),  # another word altogether: letters are not what differs
        ("ROSE", "zebra", False, None),
        ("Rose", "ROSE", True, "the vectors are of words with capitals: add --no-lower"),
        ("rose", "ROSE", False, "the vectors are of words with capitals: give them such a text"),
        ("ROSE", "rose", False, "the vectors are of small letters: leave --no-lower out"),
    ],
)
def test_capitals_are_blamed_only_where_they_are_what_differs(tmp_path, text, vectors, lower, fix):
    Vectors([vectors, "lion"], np.ones((2, 4), np.float32)).save(tmp_path / "words.bin")
    data = conll(tmp_path / "t.conll", *[f"{text}/B-person {i}/O" for i in range(20)])
    with pytest.raises(UserError, match="has a vector for none of the text's") as caught:
        train(tmp_path, data, vectors=str(tmp_path / "words.bin"), embedding=None, lower=lower)
    assert caught.value.fix == fix


# --- numbers for words


def test_a_word_is_spelled_in_bytes():
    assert spelled("aé").tolist() == [98, 0xC3 + 1, 0xA9 + 1]
    long = spelled("a" * 50 + "b" * 50)
    assert len(long) == named.SPELLED and set(long[:12]) == {98} and set(long[12:]) == {99}


def test_a_batch_holds_words_spelling_and_tags_where_they_belong(both):
    sentences = [tagged.Sentence(["Rose", "x"], ["S-person", "O"], ""), tagged.Sentence(["is"], ["O"], "")]
    batch = gather(encode(both.config, both.codec, sentences), np.array([1, 0]))
    assert batch.lengths.tolist() == [1, 2] and batch.ids[0, 1] == 0
    assert (
        batch.spelling[0, 0, :2].tolist() == spelled("is").tolist() and batch.spelling[1, 0].tolist() == spelled("Rose").tolist()
    )
    labels = both.codec.labels
    assert [labels[i] for i in batch.tags[1]] == ["S-person", "O"] and isinstance(batch, Batch)


def test_buckets_give_each_row_once_an_epoch_and_little_padding():
    lengths = np.random.default_rng(1).integers(1, 60, 1000)
    buckets = Buckets(lengths, 32, seed=1)
    for epoch in range(2):
        steps = range(epoch * buckets.steps_per_epoch, (epoch + 1) * buckets.steps_per_epoch)
        taken = [buckets.rows(step) for step in steps]
        assert set(np.concatenate(taken).tolist()) == set(range(1000)) and {len(rows) for rows in taken} == {32}
        padded = sum(len(rows) * lengths[rows].max() for rows in taken)
        assert padded < 1.25 * lengths.sum()
    again = Buckets(lengths, 32, seed=1)
    assert np.array_equal(again.rows(40), buckets.rows(40)) and not np.array_equal(
        again.rows(40), Buckets(lengths, 32, 2).rows(40)
    )


def test_long_rows_come_in_small_batches():
    cut = borders(np.sort([10] * 64 + [5000] * 8), 32, 1 << 14)
    assert max((end - begin) * (10 if end <= 64 else 5000) for begin, end in cut) <= 1 << 14
    assert cut[0] == (0, 32) and cut[-1][1] == 72


def test_rows_are_padded_behind():
    ids, lengths = Rows.of([np.array([1, 2, 3]), np.array([4])]).padded(np.array([1, 0]))
    assert ids.tolist() == [[4, 0, 0], [1, 2, 3]] and lengths.tolist() == [1, 3]


# --- mistakes


def test_a_text_without_names_has_nothing_to_find(tmp_path):
    with pytest.raises(UserError, match="every word has the tag `O`: there is nothing to find"):
        train(tmp_path, conll(tmp_path / "t.conll", *["a/O b/O"] * 20))


def test_no_sentence_that_is_trained_on_is_held_out(tmp_path):
    data = conll(tmp_path / "t.conll", *[f"Rose/B-person sings/O {i % 50}/O" for i in range(200)])
    run = train(tmp_path, data, steps=1)
    told = json.loads((run.folder / "config.json").read_text())["data"]
    assert told["repeated"] == {"within": 135, "between": 0} and report(run)["dev"]["sentences"] == 20


def test_too_few_sentences_leave_none_to_validate_on(tmp_path):
    with pytest.raises(UserError, match="3 sentences leave none to validate on"):
        train(tmp_path, conll(tmp_path / "t.conll", *["Rose/B-person b/O"] * 3))


def test_a_kind_of_dev_that_training_has_not_is_named(tmp_path):
    dev = conll(tmp_path / "dev.conll", "Rose/B-person b/O", "Rose/B-plant b/O")
    with pytest.raises(UserError, match="the kind `plant` is in no training sentence; known are person") as caught:
        train(tmp_path, dev=[dev])
    assert caught.value.where == f"{dev}:4"


def test_invalid_tags_are_named_by_line_and_can_be_repaired(tmp_path):
    data = conll(tmp_path / "t.conll", *[f"Rose/B-person {i}/O" for i in range(20)], "a/O Ann/I-person")
    with pytest.raises(UserError, match="`I-person` follows `O`") as caught:
        train(tmp_path, data)
    assert caught.value.where == f"{data}:62"
    assert train(tmp_path, data, repair=True, steps=2).codec.labels[0] == "O"


def test_an_empty_text_has_no_names(both):
    with pytest.raises(UserError, match="the text is empty: there is nothing to read"):
        tag.item(both, " ")
    empty, one = predict(both, [" ", "Rose is on her way ."], Predict())
    assert empty == (" ", [], [], [], []) and tag.shown(empty, False) == "(empty)" and len(one.words) == 6
    assert predict(both, [" "], Predict()) == [empty]
    with pytest.raises(UserError, match="the text is empty: there is nothing to read"):
        tag.look(both, "")
    with pytest.raises(UserError, match="the sentence has 101 words; at most 100 fit on a page"):
        tag.look(both, "a " * 101)


def test_minutes_and_steps_exclude_each_other(tmp_path):
    with pytest.raises(UserError, match="`--minutes` and `--steps` were both given"):
        train(tmp_path, minutes=1.0)


# --- the command line


def test_predict_reads_prose_and_evaluate_reads_columns(both, tmp_path, capsys):
    (tmp_path / "prose.txt").write_text("He said, Rose was a great singer! Today Ivy has called again.\n\nWe know Teddy bears.\n")
    assert cli.run(["predict", str(both.folder), f"@{tmp_path}/prose.txt", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 3 and answers[0]["names"][0] | {"probability": 1} == {
        "text": "Rose",
        "label": "person",
        "start": 9,
        "end": 13,
        "probability": 1,
    }
    data = conll(
        tmp_path / "test.conll", "Today/O Ivy/B-person sings/O tonight/O ./O", "Today/O Ivy/O bushes/O cost/O too/O much/O ./O"
    )
    assert cli.run(["evaluate", str(both.folder), data]) == 0
    told = capsys.readouterr().out
    assert "span_f1" in told and "1.0000" in told and "with a word not in training" in told
    bad = conll(tmp_path / "bad.conll", "Ivy/B-plant")
    assert cli.run(["evaluate", str(both.folder), bad]) == 2
    assert "the kind `plant` is in no training sentence" in capsys.readouterr().err


def test_predict_reads_the_sentences_of_annotated_files(both, tmp_path, capsys):
    data = conll(tmp_path / "test.conll", "Today/O Ivy/B-person sings/O tonight/O ./O", "We/O know/O Ivy/O bushes/O ./O")
    (tmp_path / "test.jsonl").write_text(
        '{"text": "Today  Ivy sings.", "spans": []}\n{"words": ["We", "know"], "tags": ["O", "O"]}\n'
    )
    assert cli.run(["predict", str(both.folder), f"@{data}", f"@{tmp_path}/test.jsonl", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["where"], answer["text"]) for answer in answers] == [
        (f"{data}:1", "Today Ivy sings tonight ."), (f"{data}:7", "We know Ivy bushes ."),
        (f"{tmp_path}/test.jsonl:1", "Today  Ivy sings."), (f"{tmp_path}/test.jsonl:2", "We know"),
    ]  # fmt: skip
    assert answers[0]["words"][1] == "Ivy" and answers[2]["offsets"][1] == [7, 10]
    for answer in answers:
        assert [answer["text"][start:end] for start, end in answer["offsets"]] == answer["words"]
        assert all(answer["text"][name["start"] : name["end"]] == name["text"] for name in answer["names"])


def test_a_text_in_json_is_one_sentence_as_evaluate_has_it(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "Rose is here. Ivy sings.", "spans": []}\n{"text": ""}\n')
    (where, given), (_, blank) = tagged.items(tmp_path / "a.jsonl", "utf-8")
    assert where == f"{tmp_path}/a.jsonl:1" and [len(words) for words in given.sentences] == [7] and blank == ("", [])
    assert [len(words) for words in tagged.of_text(given.text).sentences] == [4, 3]


def test_a_line_of_standard_input_is_one_answer(both, monkeypatch, capsys):
    given = b"He said, Rose was a great singer! Today Ivy has called again.\n\nRose\nIvy\nMark\nWill\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert cli.run(["predict", str(both.folder), "-", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["where"] for answer in answers] == [f"stdin:{i + 1}" for i in range(6)]
    assert [name["text"] for name in answers[0]["names"]] == ["Rose", "Ivy"] and answers[1]["words"] == []
    assert answers[0]["text"][slice(*answers[0]["offsets"][10])] == "Ivy"


def test_evaluate_reads_tags_in_another_column(both, tmp_path, capsys):
    (tmp_path / "test.conll").write_text("Today\tO\tX\nIvy\tI-person\tX\nsings\tO\tX\n" * 3)
    assert cli.run(["evaluate", str(both.folder), f"{tmp_path}/test.conll"]) == 2
    assert "`X` is not a tag" in capsys.readouterr().err
    assert cli.run(["evaluate", str(both.folder), f"{tmp_path}/test.conll", "--column", "2", "--scheme", "iob1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kinds"][0]["spans"] == 3


def test_names_are_shown_in_colour_or_under_their_words(both):
    (answer,) = predict(both, ["He said, Rose was a great singer!"], Predict())
    words, tags = tag.shown(answer, False).splitlines()
    assert tags.index("B-person") == words.index("Rose")
    assert "\x1b[1;31mRose\x1b[0m" in tag.shown(answer, True)
