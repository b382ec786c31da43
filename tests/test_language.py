"""The language task: the contract of every task, and what is special to text: symbols, writing, scoring."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled import api, run, writer
from unrolled.cells import CELLS
from unrolled.data.batch import Batch, Symbols
from unrolled.data.vocab import COMPLETE, END, FIRST, KINDS, UNKNOWN, Codec
from unrolled.decode import log_softmax
from unrolled.errors import UserError
from unrolled.tasks import language
from unrolled.tasks.language import Config, Model, Sample, Score, sample, samples, score

SONG = "the cat sat on the mat – é🎉日.\nthe rat ate the cat's hat!\n"
SMALL = {
    "steps": 200, "hidden": 40, "layers": 1, "embedding": 12, "batch": 8, "length": 16, "rate": 0.02, "evaluations": 2,
    "device": "cpu", "precision": "float32", "quiet": True,
}  # fmt: skip


def train(folder, text=SONG * 12, **changes):
    (folder / "song.txt").write_text(text)
    return api.train("language", folder / "song.txt", out=folder / "run", **(SMALL | changes))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A function that trains a run of each kind of symbol, once."""
    made = {}

    def of(kind: str):
        if kind not in made:
            made[kind] = train(tmp_path_factory.mktemp(kind), symbols=kind, vocabulary=300)
        return made[kind]

    return of


@pytest.fixture(scope="module")
def song(runs):
    """A run over characters."""
    return runs("characters")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A run conditioned on a label, whose texts show it: French names end in `e`, German ones in `r`."""
    folder = tmp_path_factory.mktemp("names")
    rows = [(f"{first}{end}", lang) for first in ("an", "bo", "li", "ma") for end, lang in (("lle", "fr"), ("ber", "de"))]
    (folder / "names.jsonl").write_text("".join(json.dumps({"name": name, "lang": lang}) + "\n" for name, lang in rows * 12))
    return api.train("language", folder / "names.jsonl", out=folder / "run", **(SMALL | {"column": "name", "condition": "lang"}))


def text_of(run, **options) -> str:
    return "".join(sample(run, Sample(**options)))


def scored(run, text: str, **options):
    return score(run, run.codec.encode(text), len(text), Score(**options))


# --- the contract


def test_a_small_text_is_learnt_by_heart_in_seconds(song):
    report = json.loads((song.folder / "report.json").read_text())
    assert report["dev"]["nats_per_symbol"] < 0.5  # an even guess is 3.3
    assert text_of(song, prompt="the cat", length=8, temperature=0) == " sat on "
    assert text_of(song, prompt="the rat", length=8, temperature=0) == " ate the"


def test_the_demo_data_are_real_text_in_the_real_format(tmp_path):
    paths = language.demo(tmp_path / "demo")
    written = "".join(path.read_text(encoding="utf-8") for path in paths)
    assert len(written) > 1_000_000
    assert "def __init__(self" in written


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_run_answers_as_the_trained_one(runs, kind):
    trained = runs(kind)
    loaded = api.load(trained.folder)
    assert text_of(loaded, seed=5, length=40) == text_of(trained, seed=5, length=40)
    assert scored(loaded, SONG).nats.tolist() == scored(trained, SONG).nats.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_symbol_learns_and_writes_unicode(runs, kind):
    made = runs(kind)
    floor = math.log2(len(set(SONG)))  # bits a character of an even guess among the text's characters
    measures = scored(made, SONG).measures
    assert measures["bits_per_character"] < floor / 2
    assert measures["characters"] == len(SONG)
    assert measures["unknown"] == 0
    written = text_of(made, seed=2, length=200)
    assert set(written) - {"\ufffd"} <= set(SONG)
    rare = scored(made, "the cat sat on the mat – é🎉日.").nats[-2:]
    assert rare.max() < math.log(made.codec.size) / 2


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns_and_writes(tmp_path, cell):
    made = train(tmp_path, cell=cell, steps=40)
    assert json.loads((made.folder / "report.json").read_text())["dev"]["nats_per_symbol"] < 2
    assert len(text_of(made, length=30, seed=1)) == 30


def test_every_option_of_the_model_learns(tmp_path):
    made = train(
        tmp_path, layers=2, tied=True, embedding=None, dropout=0.1, input_dropout=0.1, weight_dropout=0.1, recurrent_dropout=0.1
    )
    assert made.model.output.weight is made.model.embed.weight
    assert scored(made, SONG).measures["nats_per_symbol"] < 2


def test_a_run_reports_its_baselines(song):
    floors = json.loads((song.folder / "report.json").read_text())["baselines"]
    assert floors.keys() == {"6-gram", "bzip2"}
    assert 0 < floors["6-gram"]["bits_per_character"] < math.log2(len(set(SONG)))


def test_a_long_text_is_reported_with_an_interval_beside_the_baselines(song, tmp_path):
    (short,) = json.loads((song.folder / "report.json").read_text())["tables"]["measures"]
    assert set(short) == {"measure", "value", "6-gram", "bzip2"}  # too short to tell
    (tmp_path / "a.txt").write_text(SONG * 9)
    (tmp_path / "b.txt").write_text((SONG * 200)[:7000])
    run = api.train("language", tmp_path / "a.txt", dev=[tmp_path / "b.txt"], out=tmp_path / "run", **SMALL | {"steps": 4})
    report = json.loads((run.folder / "report.json").read_text())
    (row,) = report["tables"]["measures"]
    assert row["from"] < row["value"] < row["to"] < row["from"] + 1
    assert row["value"] == pytest.approx(report["dev"]["bits_per_character"], rel=1e-6)


def test_a_finished_run_keeps_no_copy_of_the_text(song):
    kept = {path.name for path in song.folder.iterdir()}
    assert kept == {"config.json", "codec.json", "steps", "best", "last", "log.jsonl", "report.json", "report.html", "samples"}


def test_a_finished_run_cannot_be_resumed_and_says_what_can_be_done(song):
    with pytest.raises(UserError, match=r"is finished: it took all its 200 steps\n.*unrolled train language DATA --from "):
        api.resume(song.folder)


# --- reading


def read(folder, **changes) -> language.Data:
    return language.read(Config(**changes), folder / "tokens")


@pytest.mark.parametrize("kind", KINDS)
def test_train_and_dev_are_the_text_cut_once(tmp_path, kind):
    (tmp_path / "a.txt").write_text(SONG * 20)
    data = read(tmp_path, data=(str(tmp_path / "a.txt"),), symbols=kind, holdout=0.25, vocabulary=300)
    assert data.codec.decode([*data.train.ids, *data.dev.ids]) == SONG * 20
    assert data.train.characters + data.dev.characters == len(SONG * 20)
    assert data.dev.characters / len(SONG * 20) == pytest.approx(0.25, abs=0.01)


def test_the_codec_is_learnt_from_the_training_part_alone(tmp_path):
    (tmp_path / "a.txt").write_text("ab" * 100 + "z" * 10)
    data = read(tmp_path, data=(str(tmp_path / "a.txt"),), holdout=0.04)  # 8 of 210 characters
    assert data.codec.symbols == ["a", "b", "z"]  # two of them lie before the border
    data = read(tmp_path, data=(str(tmp_path / "a.txt"),), holdout=0.06)
    assert data.codec.symbols == ["a", "b"]
    assert data.dev.ids.tolist()[-10:] == [UNKNOWN] * 10


def test_text_to_validate_on_can_be_named(tmp_path):
    for name, text in (("a", "abab" * 40), ("b", "baab")):
        (tmp_path / name).write_text(text)
    data = read(tmp_path, data=(str(tmp_path / "a"),), dev=(str(tmp_path / "b"),))
    assert data.codec.decode(data.train.ids) == "abab" * 40
    assert data.codec.decode(data.dev.ids) == "baab"


def test_records_end_with_end_and_every_nth_is_held_out(tmp_path):
    rows = [f"row{i}" for i in range(40)]
    (tmp_path / "a.csv").write_text("text\n" + "\n".join(rows) + "\n")
    data = read(tmp_path, data=(str(tmp_path / "a.csv"),), column="text", holdout=0.25)
    train, dev = (
        "".join("|" if i == END else data.codec.text(i) for i in part.ids).split("|")[:-1] for part in (data.train, data.dev)
    )
    assert dev == rows[3::4]
    assert data.train.characters + data.dev.characters == sum(len(row) + 1 for row in rows)  # `end` counts as a line end would
    assert sorted(train) == sorted(set(rows) - set(dev))
    assert train != [row for row in rows if row not in dev]  # shuffled, since tables are often sorted


def test_each_symbol_of_a_record_has_its_label(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"t": "xxxx", "l": "b"}\n{"t": "yyyy", "l": "a"}\n' * 20)
    data = read(tmp_path, data=(str(tmp_path / "a.jsonl"),), column="t", condition="l")
    assert data.codec.labels == ["a", "b"]
    letter, ends = data.codec.index, np.flatnonzero(data.train.ids == END)
    assert len(ends) > 30
    assert all(data.train.labels[data.train.ids == letter["x"]] == 1)
    assert all(data.train.labels[data.train.ids == letter["y"]] == 0)
    assert all(data.train.labels[ends] == data.train.labels[ends - 1])


def test_a_label_to_validate_on_that_training_lacks_is_named_by_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"t": "xyxy", "l": "one"}\n' * 40)
    (tmp_path / "b.jsonl").write_text('{"t": "xy", "l": "one"}\n{"t": "xy", "l": "on"}\n')
    with pytest.raises(UserError, match=r"`on` is not a label; known are one\n.*b.jsonl:2\n.*did you mean `one`"):
        read(tmp_path, data=(str(tmp_path / "a.jsonl"),), dev=(str(tmp_path / "b.jsonl"),), column="t", condition="l")


def test_a_condition_needs_a_column(tmp_path):
    with pytest.raises(UserError, match="`--condition` needs `--column`"):
        read(tmp_path, data=("a",), condition="l")


# --- starting from another run


def test_starting_from_a_run_keeps_its_symbols_and_weights_and_adds_new_ones(song, tmp_path):
    (tmp_path / "more.txt").write_text("zebra quiz\n" * 40)
    tuned = api.train(
        "language", tmp_path / "more.txt", out=tmp_path / "tuned", start_from=song.folder,
        **({k: v for k, v in SMALL.items() if k not in ("hidden", "layers", "embedding")} | {"steps": 1, "rate": 1e-7}),
    )  # fmt: skip
    old, new = song.codec, tuned.codec
    assert new.symbols[: len(old.symbols)] == old.symbols
    assert set(new.symbols) == set(old.symbols) | set("zebra quiz\n")
    first = run.load_step(tuned.folder, "best").weights
    for name, value in song.model.named_parameters():
        torch.testing.assert_close(first[name][: len(value)], value.data, rtol=0, atol=1e-5)
    rows = song.model.embed.weight.data
    torch.testing.assert_close(
        first["embed.weight"][len(rows) :], rows.mean(0).expand(new.size - len(rows), -1), rtol=0, atol=1e-5
    )


def test_another_size_than_the_weights_have_is_refused(song, tmp_path):
    (tmp_path / "a.txt").write_text(SONG * 10)
    with pytest.raises(
        UserError, match=r"`--hidden 99` does not fit the weights of --from, which have hidden 40\n.*leave `--hidden` out"
    ):
        api.train("language", tmp_path / "a.txt", out=tmp_path / "no", start_from=song.folder, hidden=99, steps=1, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


# --- one step, three ways


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_compiled_stepper_is_model_step_is_forward(cell, layers, tied, labels):
    torch.manual_seed(1)
    codec = Codec("characters", list("abcdef"), labels)
    sizes = {
        "hidden": 5,
        "embedding": 5 if tied else 3,
        "layers": layers,
        "dropout": 0.0,
        "input_dropout": 0.0,
        "weight_dropout": 0.0,
    }
    model = Model(Config(cell=cell, tied=tied, **sizes), codec).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.5)  # biases too, so that a forgotten one shows
    model.sharpness.fill_(1.3)
    label = 1 if labels else None
    ids = torch.randint(FIRST, codec.size, (3, 7))
    given = torch.full((3, 7), 1) if labels else None
    with torch.no_grad():
        wanted, last = model(Batch(ids, ids, given, torch.ones(3, dtype=torch.bool)), None)
        state, (quick, quick_state) = model.start(3), language.stepper(model, label)
        quick_state = tuple(s.repeat(3, 0) for s in quick_state)
        for t in range(7):
            logits, state = model.step(ids[:, t], state, None if given is None else given[:, t])
            quick_logits, quick_state = quick(ids[:, t].numpy(), quick_state)
            torch.testing.assert_close(logits, wanted[:, t], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(quick_logits, wanted[:, t].numpy(), rtol=1e-4, atol=1e-5)
    for a, b, c in zip(last, state, quick_state, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(c, a.numpy(), rtol=1e-4, atol=1e-5)


def test_a_cell_without_a_kernel_steps_through_torch(song, monkeypatch):
    quick = text_of(song, seed=4, length=60)
    monkeypatch.setattr("unrolled.kernels.choice.KNOWN", ())
    assert text_of(song, seed=4, length=60) == quick


def test_a_fresh_row_starts_from_zeros_whatever_was_carried(song):
    ids = torch.randint(FIRST, song.codec.size, (2, 5))
    carried = tuple(torch.randn(2, 40) for _ in range(2))
    with torch.no_grad():
        mixed, _ = song.model(Batch(ids, ids, None, torch.tensor([True, False])), carried)
        new, _ = song.model(Batch(ids, ids, None, torch.tensor([True, True])), None)
    torch.testing.assert_close(mixed[0], new[0])
    assert not torch.allclose(mixed[1], new[1], atol=1e-3)


# --- writing


def test_the_same_seed_writes_the_same_and_another_another(song):
    assert text_of(song, seed=7, temperature=2.0) == text_of(song, seed=7, temperature=2.0)
    assert text_of(song, seed=7, temperature=2.0) != text_of(song, seed=8, temperature=2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_as_they_come_are_the_text_as_a_whole(runs, kind):
    options = {"seed": 3, "length": 60, "temperature": 1.5}
    assert text_of(runs(kind), **options) == samples(runs(kind), Sample(**options))[0]


def test_so_many_symbols_are_written_as_asked(song):
    assert [len(text_of(song, length=n, seed=1)) for n in (1, 2, 17)] == [1, 2, 17]


def test_several_texts_are_as_many_and_differ(song):
    texts = samples(song, Sample(number=5, seed=1, length=30, temperature=2.0))
    assert [len(text) for text in texts] == [30] * 5
    assert len(set(texts)) == 5


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ab\n", max_size=4), max_size=8), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3))
def test_a_stop_string_is_never_written_however_the_pieces_fall(pieces, stops):
    whole = "".join(pieces)
    ends = [(whole.find(stop) + len(stop), whole.find(stop)) for stop in stops if stop in whole]
    _, at = min(ends, default=(0, len(whole)))  # the one complete first, read symbol by symbol
    assert "".join(writer.until(iter(pieces), tuple(stops))) == whole[:at]


def test_text_that_cannot_become_a_stop_string_is_not_held_back():
    found = writer.until(iter(["one ", "two ", "st"]), ("stop",))
    assert next(found) == "o"  # three symbols may yet begin the stop string
    assert next(found) == "ne t"


def test_writing_ends_before_the_stop_string(song):
    whole = text_of(song, seed=3, length=200)
    assert " mat" in whole
    assert text_of(song, seed=3, length=200, stop=("never there", " mat")) == whole[: whole.index(" mat")]
    assert samples(song, Sample(seed=3, length=200, stop=(" mat",))) == [whole[: whole.index(" mat")]]


def test_an_empty_stop_string_is_refused(song):
    with pytest.raises(UserError, match="`--stop`"):
        text_of(song, length=5, stop=("",))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prompt", ["Ж ∑ the", "🎉", "\0\udcff", " ", "\n\n"])
def test_a_prompt_of_symbols_never_seen_is_no_crash(runs, kind, prompt):
    assert "\ufffd" not in text_of(runs(kind), prompt=prompt, length=8, temperature=0) or kind in COMPLETE


def test_symbols_never_seen_are_told_once_each(runs):
    assert language.unseen(runs("characters").codec, "cat ЖЖ∑") == ["Ж", "∑"]
    assert language.unseen(runs("words").codec, "the dog dog mat") == ["dog"]
    assert [language.unseen(runs(kind).codec, "Ж") for kind in COMPLETE] == [[]] * len(COMPLETE)


def test_unknown_is_never_written(tmp_path):
    made = train(tmp_path, text="abcdefgh" * 60, vocabulary=2, steps=20)  # most of the training text is unknown
    assert set(text_of(made, length=300, seed=1)) <= set(made.codec.symbols)


def test_beam_search_writes_at_least_as_likely_a_text_as_greedy(song):
    def likelihood(text):
        ids = song.codec.encode("the " + text)
        return -score(song, ids, len(ids), Score()).nats[4:].sum()

    greedy = text_of(song, prompt="the ", length=12, temperature=0)
    texts = samples(song, Sample(prompt="the ", length=12, beam=8, number=3))
    assert len(set(texts)) == 3
    assert likelihood(texts[0]) >= likelihood(greedy) - 1e-4
    assert likelihood(texts[0]) >= likelihood(texts[1]) >= likelihood(texts[2])
    assert text_of(song, prompt="the ", length=12, beam=8) == texts[0]


def test_a_beam_of_one_is_greedy(song):
    assert text_of(song, prompt="the r", length=20, beam=1) == text_of(song, prompt="the r", length=20, temperature=0)


# --- labels


def test_a_label_decides_what_is_written_and_the_text_ends_by_itself(names):
    for label, end in (("fr", "lle"), ("de", "ber")):
        texts = samples(names, Sample(label=label, number=20, seed=1, length=40, temperature=0.7))
        assert sum(text.endswith(end) and len(text) == 5 for text in texts) >= 18
        assert text_of(names, label=label, temperature=0, length=40).endswith(end)


def test_a_labelled_run_asks_for_a_label_it_knows(names):
    with pytest.raises(UserError, match="this run writes for a label; `--label` is one of de, fr"):
        text_of(names)
    with pytest.raises(UserError, match="`fa` is not a label; known are de, fr"):
        text_of(names, label="fa")
    with pytest.raises(UserError, match=r"this run was trained with labels\n.*name one with --label"):
        scored(names, "anlle")


def test_a_label_for_a_run_without_any_is_refused(song):
    with pytest.raises(UserError, match="`fr` is not a label; this model was trained without labels"):
        text_of(song, label="fr")


def test_a_text_scores_better_under_its_own_label(names):
    assert (
        scored(names, "anlle", label="fr").measures["nats_per_symbol"]
        < scored(names, "anlle", label="de").measures["nats_per_symbol"] - 0.5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_labels_begin_and_end_as_rows_do(tmp_path, kind):
    # lines within the rows, so that what follows a line end is not what a row begins with
    (tmp_path / "a.jsonl").write_text((json.dumps({"t": "begin mid\nthen last"}) + "\n") * 40)
    made = api.train(
        "language",
        tmp_path / "a.jsonl",
        out=tmp_path / "run",
        column="t",
        symbols=kind,
        vocabulary=270,
        **(SMALL | {"steps": 300, "seed": 2}),
    )
    assert text_of(made, temperature=0, length=60) == "begin mid\nthen last"


# --- scoring


@pytest.mark.parametrize("kind", KINDS)
def test_scores_total_is_evaluates_on_the_same_text(runs, kind):
    made = runs(kind)
    ids = made.codec.encode(SONG)
    part = Symbols(ids, None, len(SONG))
    measured = language.evaluate(made.model, made.codec, part)
    assert measured["nats_per_symbol"] == pytest.approx(scored(made, SONG).measures["nats_per_symbol"], rel=1e-6)
    assert measured["bits_per_character"] == pytest.approx(scored(made, SONG).measures["bits_per_character"], rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_symbols_surprise_is_minus_log_of_the_steppers_probability(runs, kind):
    made = runs(kind)
    found = scored(made, SONG)
    step, state = language.stepper(made.model, None)
    at, wanted = made.codec.encode("\n")[0], []  # a text begins as if after a line end
    for i in made.codec.encode(SONG):
        logits, state = step(np.array([at]), state)
        wanted.append(-log_softmax(logits)[0, i])
        at = i
    np.testing.assert_allclose(found.nats, wanted, rtol=1e-3, atol=1e-4)
    total = sum(wanted)
    assert found.measures["bits_per_character"] == pytest.approx(total / math.log(2) / len(SONG), rel=1e-4)
    assert found.measures["perplexity"] == pytest.approx(math.exp(total / len(wanted)), rel=1e-4)
    assert "every symbol once, one stream" in found.protocol
    assert len(found.texts) == len(wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_a_character_of_a_model_that_knows_nothing_are_those_of_an_even_guess(runs, kind):
    made = runs(kind)
    blank = made._replace(model=Model(made.config, made.codec).eval())
    torch.nn.init.zeros_(blank.model.output.weight)
    torch.nn.init.zeros_(blank.model.output.bias)
    ids = made.codec.encode(SONG)
    measures = scored(blank, SONG).measures
    assert measures["nats_per_symbol"] == pytest.approx(math.log(made.codec.size), rel=1e-5)
    assert measures["bits_per_character"] == pytest.approx(len(ids) * math.log2(made.codec.size) / len(SONG), rel=1e-5)


def test_a_file_is_scored_in_characters_whatever_the_symbols(runs, tmp_path):
    (tmp_path / "a.txt").write_text(SONG)
    counted = {kind: language.read_to_score(runs(kind), [str(tmp_path / "a.txt")], tmp_path)[1] for kind in KINDS}
    assert set(counted.values()) == {len(SONG)}


def test_a_long_text_in_lanes_scores_as_in_one_stream(song):
    text = SONG * 200
    ids = song.codec.encode(text)
    assert len(ids) > 32 * 256
    lanes = score(song, ids, len(text), Score())
    assert "32 lanes, each after the 256 symbols before it" in lanes.protocol
    assert len(lanes.nats) == len(ids)
    one = language.surprise.static(song.model, language.after_start(song.codec, Symbols(ids, None, len(text))), lanes=1)
    np.testing.assert_allclose(lanes.nats, one, atol=0.02)


def test_dynamic_and_cache_adapt_to_a_text_and_leave_the_model_alone(song):
    strange = "tat tat ethos tat tat ethos\n" * 30
    before = [p.clone() for p in song.model.parameters()]
    static = scored(song, strange).measures["nats_per_symbol"]
    assert scored(song, strange, dynamic=True).measures["nats_per_symbol"] < static
    assert scored(song, strange, cache=True).measures["nats_per_symbol"] < static
    assert all(torch.equal(a, b) for a, b in zip(before, song.model.parameters(), strict=True))


def test_dynamic_and_cache_together_are_refused(song):
    with pytest.raises(UserError, match="`--dynamic` and `--cache` were both given; score with one of them"):
        scored(song, SONG, dynamic=True, cache=True)


def test_an_empty_text_has_no_score(song):
    with pytest.raises(UserError, match="the text to score is empty"):
        scored(song, "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_one_character_has_a_score(runs, kind):
    assert scored(runs(kind), "t").measures["bits_per_character"] > 0


def test_symbols_never_seen_are_counted_in_a_score(song):
    assert scored(song, "the Ж∑ cat").measures["unknown"] == 2


# --- sizes


def test_sizes_given_stay_and_those_left_open_are_chosen(tmp_path):
    (tmp_path / "a.txt").write_text(SONG * 20)
    data = read(tmp_path, data=(str(tmp_path / "a.txt"),))
    planned = language.plan(Config(hidden=7, batch=3), data)
    assert (planned.hidden, planned.batch, planned.minutes) == (7, 3, 10.0)
    assert None not in (planned.layers, planned.embedding, planned.dropout, planned.length, planned.rate)
    assert language.plan(Config(steps=5), data).minutes is None


def test_words_go_on_from_a_prompt_after_a_blank(tmp_path):
    (tmp_path / "a.txt").write_text("the king sat on the wall\n" * 60)
    made = api.train("language", tmp_path / "a.txt", out=tmp_path / "run", symbols="words", **SMALL)
    assert text_of(made, prompt="the king", temperature=0, length=2) == " sat on"
    assert text_of(made, prompt="the king ", temperature=0, length=2) == "sat on"


def test_a_label_of_held_out_rows_alone_is_trained_on(tmp_path):
    rows = [("X", "aa")] * 30
    rows[9] = ("Rare", "bb")  # every tenth row is held out
    (tmp_path / "a.csv").write_text("label,t\n" + "".join(f"{label},{t}\n" for label, t in rows))
    config = language.Config(data=(str(tmp_path / "a.csv"),), column="t", condition="label")
    data = language.read(config, tmp_path / "tokens")
    assert data.codec.labels == ["Rare", "X"]
    assert (len(data.train), len(data.dev)) == (28 * 3, 2 * 3)


def test_a_table_or_lines_are_scored_as_records(tmp_path):
    (tmp_path / "a.csv").write_text("label,t\n" + "X,ab\n" * 90)
    made = api.train("language", tmp_path / "a.csv", out=tmp_path / "run", column="t", **SMALL)
    (tmp_path / "lines.txt").write_text("ab\nab\n")
    (tmp_path / "b.csv").write_text("label,t\n" + "X,ab\n" * 2)
    of_lines = language.read_to_score(made, [str(tmp_path / "lines.txt")], tmp_path / "spool")
    of_table = language.read_to_score(made, [str(tmp_path / "b.csv")], tmp_path / "spool")
    assert of_lines[0].tolist() == of_table[0].tolist() == [2, 3, 1, 2, 3, 1]
    assert of_lines[1] == of_table[1] == 6


def test_options_of_writing_are_checked_in_python_too():
    with pytest.raises(UserError, match="`--top-k` got `0`; allowed is at least 1"):
        language.Sample(top_k=0)


def texts_of(run, options, net, number):
    """Texts that are written together, each to its end."""
    going, found = [language.Watched(run, one, net) for one in options], [[] for _ in options]
    left = list(range(len(going)))
    while left:
        turns = language.write_on(run, [going[i] for i in left], number)
        for i, (symbols, _) in zip(left, turns, strict=True):
            found[i] += symbols
        left = [i for i, (_, over) in zip(left, turns, strict=True) if not over]
    return found


OPTIONS = [
    Sample(prompt="the ", length=30, seed=1, temperature=0.8, repetition_penalty=1.3),
    Sample(prompt="the rat", length=11, seed=2, top_k=3),
    Sample(length=40, seed=3, temperature=0),
    Sample(prompt="a", length=23, seed=4, top_p=0.7, min_p=0.05),
]


def test_texts_written_together_are_those_written_alone_to_the_last_bit(song):
    net = language.packed(song.model, None)
    together = texts_of(song, OPTIONS, net, 8)
    assert together == [texts_of(song, [one], net, 5)[0] for one in OPTIONS]
    assert ["".join(one.text for one in symbols) for symbols in together] == [text_of(song, **vars(one)) for one in OPTIONS]
    by_torch = texts_of(song, OPTIONS, None, 8)  # as of a cell of one's own
    assert [[one.text for one in symbols] for symbols in by_torch] == [[one.text for one in symbols] for symbols in together]


def test_a_text_whose_numbers_are_broken_takes_no_other_with_it(song):
    net = language.packed(song.model, None)
    good, bad = (language.Watched(song, one, net) for one in OPTIONS[:2])
    bad.state[:] = np.nan
    bad.logits[:] = np.nan
    (symbols, over), error = language.write_on(song, [good, bad], 8)
    assert [one.text for one in symbols] == list(text_of(song, **vars(OPTIONS[0]))[:8]) and not over
    assert "the model's probabilities are no numbers" in error.what


def test_a_model_of_no_numbers_does_not_write(song):
    broken = copy.deepcopy(song.model)
    with torch.no_grad():
        broken.embed.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="the model's probabilities are no numbers: its weights are damaged"):
        text_of(song._replace(model=broken), seed=1)
