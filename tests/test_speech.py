"""Writing down what is said: the contract of every task, the same text in pieces of any size, what bad recordings are told."""

import io
import json
import math

import numpy as np
import pytest
import soundfile
import torch

from unrolled import api, backoff, cli, ctc, formants, masks
from unrolled.data import mixing, recordings, sound
from unrolled.data.recordings import Columns
from unrolled.errors import UserError
from unrolled.tasks import speech
from unrolled.tasks.speech import Evaluate, Listen, Predict, predict

SMALL = {"hidden": 64, "channels": 32, "rate": 0.006, "batch": 16, "evaluations": 2, "device": "cpu", "quiet": True}
PLAIN = {"augment": 0.0, "join": 0.0, "masks": 0, "dropout": 0.0}
WORDS = ("kamito", "solu", "nari")


def clips(folder, count=48, seed=1):
    """A table of single words, spoken by two voices each."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    rng, lines = np.random.default_rng(seed), ["audio\ttext\tspeaker\n"]
    for i in range(count):
        word = WORDS[i % 3]
        sound.write(folder / "clips" / f"{i:02d}.wav", formants.say(word, formants.voice(rng), rng), formants.RATE)
        lines.append(f"clips/{i:02d}.wav\t{word}\t{'ab'[i % 2]}\n")
    (folder / "clips.tsv").write_text("".join(lines))
    return folder / "clips.tsv"


def train(folder, data=None, **changes):
    return api.train("speech", data or clips(folder), out=folder / "run", **(SMALL | {"steps": 4, "evaluations": 1} | changes))


@pytest.fixture(scope="module")
def forward(tmp_path_factory):
    """A net that reads forward and knows its three words."""
    folder = tmp_path_factory.mktemp("forward")
    return train(folder, steps=160, evaluations=4, direction="forward", holdout=0.2, **PLAIN)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A net of a few steps that reads both ways."""
    return train(tmp_path_factory.mktemp("both"))


def said(run, name="clips/00.wav"):
    return run.folder.parent / name


def report(run) -> dict:
    return json.loads((run.folder / "report.json").read_text())


# --- the demo and what is learnt


def test_the_demo_holds_what_its_table_says(tmp_path):
    (path,) = speech.demo(tmp_path)
    found = recordings.find([str(path)], tmp_path)
    assert len(found) == 240 and {word for one in found for word in one.text.split()} == set(speech.DEMO_WORDS)
    assert sound.info(found[7].path).seconds > 0.2 * len(found[7].text.split())


def test_words_are_learnt_and_told_beside_a_floor(forward):
    found = report(forward)
    assert (
        found["dev"]["greedy_character_error_rate"] < 0.2 < found["baselines"]["the commonest transcript"]["character_error_rate"]
    )
    measures = {row["measure"]: row for row in found["tables"]["measures"]}
    assert measures["word_error_rate"]["from"] <= measures["word_error_rate"]["value"] <= measures["word_error_rate"]["to"]
    assert found["dev"]["word_error_rate"] == measures["word_error_rate"]["value"]
    assert found["dev"]["greedy_word_error_rate"] == measures["greedy_word_error_rate"]["value"]
    answers = predict(forward, [said(forward, f"clips/{i:02d}.wav") for i in range(12)], Predict())
    right = [answer.text == WORDS[i % 3] for i, answer in enumerate(answers)]
    assert sum(right) >= 10
    assert all(0 < answer.probability <= 1 for answer in answers)
    for i in np.flatnonzero(right):
        (word,) = answers[i].words
        assert (
            word.word == answers[i].text
            and 0 <= word.begin < word.end < sound.info(said(forward, f"clips/{i:02d}.wav")).seconds + 0.2
        )


# --- the contract


def test_a_loaded_run_answers_as_before(forward, both):
    for run in (forward, both):
        again = api.load(run.folder)
        assert predict(again, [said(run)], Predict(best=3)) == predict(run, [said(run)], Predict(best=3))


def test_a_run_that_is_stopped_and_resumed_equals_an_unbroken_one(tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def stopping(*given, **named):
        calls.append(1)
        if len(calls) == 2:
            raise Stop
        return real(*given, **named)

    table, settings, calls, real = clips(tmp_path), {"steps": 9, "evaluations": 3}, [], speech.evaluate
    whole = api.train("speech", table, out=tmp_path / "whole", **(SMALL | settings))
    monkeypatch.setattr(speech, "evaluate", stopping)
    with pytest.raises(Stop):
        api.train("speech", table, out=tmp_path / "broken", **(SMALL | settings))
    monkeypatch.setattr(speech, "evaluate", real)
    resumed = api.resume(tmp_path / "broken", quiet=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_stream_in_pieces_of_any_size_says_what_the_whole_file_says(forward):
    samples, rng = (
        np.concatenate([sound.read(said(forward, f"clips/0{i}.wav"), 16_000) for i in range(3)]),
        np.random.default_rng(0),
    )
    wanted = speech.transcribe(forward, [samples], Predict())[0]
    assert wanted.text
    net = speech.transcriber(forward, Predict(), None)
    for _ in range(3):
        cuts, state = np.sort(rng.integers(0, len(samples), 40)), net.start()
        for piece in np.split(samples, cuts):
            finished, state = net(piece, state)
            assert finished == []
        (end,) = net.end(state)
        assert forward.codec.decode(end.found.ids.tolist()) == wanted.text
        assert round(end.found.nats, 4) == wanted.best[0].nats and end.heard == len(samples)


def test_what_is_heard_of_a_sound_does_not_depend_on_its_neighbours(forward):
    sounds = [sound.read(said(forward, f"clips/0{i}.wav"), 16_000) for i in range(4)]
    for model in (forward.model,):
        for one, packed in zip(speech.heard(model, sounds), speech.answers(model, sounds), strict=True):
            assert one.shape == packed.shape and np.abs(np.exp(one) - np.exp(packed)).max() < 1e-4
    alone = speech.heard(forward.model, sounds[:1])[0]
    assert np.abs(np.exp(alone) - np.exp(speech.heard(forward.model, sounds)[0])).max() < 1e-5


def test_listening_tells_what_changes_and_finishes_at_a_pause(forward):
    parts = [sound.read(said(forward, f"clips/0{i}.wav"), 16_000) for i in range(2)]
    silence = np.zeros(16_000, np.float32)
    path = forward.folder.parent / "stream.wav"
    sound.write(path, np.concatenate([parts[0], silence, parts[1]]), 16_000)
    events = list(speech.listen(forward, str(path), Listen(pause=0.4)))
    finals = [event["text"] for event in events if event["final"]]
    assert len(finals) == 2 and finals[0] == predict(forward, [said(forward)], Predict())[0].text
    assert any(not event["final"] for event in events)
    assert [event["seconds"] for event in events] == sorted(event["seconds"] for event in events)


def test_raw_sound_is_listened_to_through_standard_input(forward, monkeypatch, capsys):
    whole = (sound.read(said(forward), 16_000) * 32767).astype("<i2")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(whole.tobytes())))
    assert cli.run(["listen", str(forward.folder), "-", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["final"] and last["text"] == predict(forward, [said(forward)], Predict())[0].text


def test_the_loss_is_that_of_all_ways_to_read_the_text(forward):
    """Against the probability that a wide search sums up."""
    clip = sound.read(said(forward), forward.config.hertz)
    (frames,) = speech.heard(forward.model, [clip])
    best = ctc.Search(forward.codec.size, width=400, least=None).read(frames)[0]
    batch = speech.batch_of(forward.codec, [clip], [forward.codec.decode(best.ids.tolist())], forward.model.tail)
    with torch.no_grad():
        loss = forward.model.eval().loss(forward.model(batch, None)[0], batch)
    assert float(loss) * int(batch.target_lengths) == pytest.approx(-best.nats, rel=1e-3)


def test_masks_hide_a_part_alone(both):
    torch.manual_seed(1)
    features = torch.ones(4, 60, 40)
    frames = torch.tensor([60, 60, 30, 30])
    hidden = masks.masked(features, frames, 2, torch.ones(4))
    assert 0.4 < float(hidden.mean()) < 1
    assert torch.equal(masks.masked(features, frames, 0, torch.ones(4)), features)


def test_an_example_ripens(both, tmp_path):
    data = speech.read(both.config, tmp_path)
    reader = speech.Batches(both.config, data)
    first, text = reader._example(0, 0.0, 0.0, np.random.default_rng(1))
    assert text == data.train.texts[0] and np.array_equal(first, data.train[0])
    made = [reader._example(0, 2.0 * both.config.hertz, 1.0, np.random.default_rng(i)) for i in range(40)]
    texts = [text for _, text in made]
    assert min(len(text.split()) for text in texts) > 1 and min(len(one) for one, _ in made) > 1.7 * both.config.hertz
    assert all(speech.BLANK not in data.codec.encode(text) for text in texts)
    again = speech.Batches(both.config, data)
    one, other = reader.batch(3), again.batch(3)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for step in range(4, 24):  # of like lengths
        sizes = reader.batch(step).sizes
        assert sizes.min() > 0.3 * sizes.max()


def test_weights_of_another_run_take_new_symbols(both, tmp_path):
    table = clips(tmp_path)
    table.write_text(table.read_text().replace("solu", "zolu"))
    run = api.train(
        "speech", table, out=tmp_path / "run", start_from=both.folder, **{"steps": 2, "evaluations": 1, "quiet": True}
    )
    assert run.codec.symbols == [*both.codec.symbols, "z"] and both.codec.symbols[0] == " "
    with pytest.raises(UserError, match="does not fit the weights"):
        api.train("speech", table, out=tmp_path / "more", start_from=both.folder, steps=2, hidden=8, quiet=True)


# --- the search


def test_words_are_symbols_too(tmp_path):
    run = train(tmp_path, symbols="words", steps=20, **PLAIN)
    assert run.codec.kind == "words"
    answer = predict(run, [said(run)], Predict(lm="none", insertion=5.0))[0]
    assert answer.text and [word.word for word in answer.words] == answer.text.split()
    with pytest.raises(UserError, match="is of words that characters spell; symbols of"):
        predict(run, [said(run)], Predict(lm=str(run.folder / "config.json")))


def test_a_language_model_and_hot_phrases_change_what_is_written(both, tmp_path):
    frames = speech.answers(both.model, [sound.read(said(both), both.config.hertz)])[0]
    texts = {}
    for name, options in {
        "none": Predict(lm="none"),
        "own": Predict(weight=3.0),
        "hot": Predict(lm="none", hot=("nari",), bonus=20.0),
    }.items():
        texts[name] = both.codec.decode(speech.searcher(both, options).read(frames)[0].ids.tolist())
    assert "nari" in texts["hot"] and "nari" not in texts["none"]
    model = speech.language(both, None)[0]
    assert model.nats(both.codec.encode("nari")).sum() > model.nats(both.codec.encode("inra")).sum()
    assert texts["own"] != texts["hot"]


def test_an_arpa_file_rules_the_words(tmp_path):
    rng, table = np.random.default_rng(1), clips(tmp_path)
    table.write_text(table.read_text() + "clips/00.wav\tkamito solu\ta\n")
    run = train(tmp_path, table, **PLAIN)
    path = tmp_path / "words.arpa"
    path.write_text("\\data\\\nngram 1=4\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 solu\n-9 nari\n\n\\end\\\n")
    model, spelling = speech.language(run, str(path))
    assert model.words == ("<s>", "</s>", "solu", "nari")
    assert [run.codec.decode(ids.tolist()) for ids in spelling if ids is not None] == ["solu", "nari"]
    assert isinstance(predict(run, [said(run)], Predict(lm=str(path), weight=1.0))[0].text, str) and rng is not None


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A language run over the three words, a line each."""
    return lines_learnt(tmp_path_factory.mktemp("writer"), "solu\nsolu nari\nkamito\n" * 200, steps=60)


def lines_learnt(folder, text, steps=2, **changes):
    settings = {"hidden": 24, "layers": 1, "embedding": 8, "batch": 4, "length": 16, "rate": 0.02, "evaluations": 1}
    (folder / "text.txt").write_text(text)
    where = {"out": folder / "run", "device": "cpu", "precision": "float32", "quiet": True}
    return api.train("language", folder / "text.txt", steps=steps, **where, **(settings | changes))


def test_a_language_run_writes_with_a_speech_run(both, writer):
    """Each text's score holds what the language net says of it as a line, symbol by symbol."""
    name, frames = str(writer.folder), speech.answers(both.model, [sound.read(said(both), both.config.hertz)])[0]
    helped = speech.together(both, [writer])
    texts = speech.searcher(helped, Predict(lm=name, weight=0.7, insertion=0.2)).read(frames, 5)
    for one in texts:
        line = writer.codec.encode(both.codec.decode(one.ids.tolist()) + "\n")
        nats = -writer.task.score(writer, line, len(line), writer.task.Score()).nats.sum()
        assert one.score == pytest.approx(one.nats + 0.7 * nats + 0.2 * len(one.ids), rel=1e-4)
    assert len({one.ids.tobytes() for one in texts}) == 5
    before, after = (predict(run, [said(both)], Predict(lm=lm, weight=9.0))[0] for run, lm in ((both, "none"), (helped, name)))
    assert before.text != after.text


def test_a_language_run_is_named_on_the_command_line(forward, writer, capsys):
    run, name = str(forward.folder), str(writer.folder)
    assert cli.run(["predict", run, str(said(forward)), "--lm", name, "--weight", "0.5"]) == 0
    (text,) = capsys.readouterr().out.splitlines()
    assert cli.run(["listen", run, str(said(forward)), "--lm", name, "--weight", "0.5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"s  {text}")
    assert cli.run(["evaluate", run, str(forward.folder.parent / "clips.tsv"), "--lm", name, "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)["measures"]
    assert next(row["value"] for row in measures if row["measure"] == "word_error_rate") < 0.3


def test_a_language_run_that_does_not_fit_is_refused(both, writer, tmp_path, capsys):
    with pytest.raises(UserError, match=r"`lm` got the folder `.*`; a run comes in by `speech\.together"):
        predict(both, [said(both)], Predict(lm=str(writer.folder)))
    for name, text, changes, message in (
        ("words", "solu nari\n" * 200, {"symbols": "words"}, r"symbols of `.*` are words; those of `.*` are characters"),
        ("few", "solu nari\n" * 200, {}, r"does not know `k` `m` `t`, which"),
    ):
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match=message):
            speech.together(both, [lines_learnt(tmp_path / name, text, **changes)])
    rows = "text\tlabel\n" + "".join(f"{word} solu\t{word}\n" for word in WORDS) * 200
    (tmp_path / "text.tsv").write_text(rows)
    settings = {"steps": 2, "hidden": 8, "embedding": 4, "batch": 4, "length": 16, "device": "cpu", "quiet": True}
    labelled = api.train(
        "language", tmp_path / "text.tsv", out=tmp_path / "labelled", column="text", condition="label", **settings
    )
    with pytest.raises(UserError, match="writes for a label \\(--condition\\); a language model for speech has none"):
        speech.together(both, [labelled])
    assert cli.run(["predict", str(both.folder), str(said(both)), "--lm", str(both.folder)]) == 2
    assert "is a run of `speech`; a run of `language` is needed" in capsys.readouterr().err


# --- evaluating


def test_recordings_that_cannot_be_read_are_named_and_the_others_scored(forward, tmp_path, capsys):
    table = tmp_path / "test.tsv"
    (tmp_path / "bad.wav").write_text("no sound")
    rows = [f"{said(forward, f'clips/{i:02d}.wav')}\t{WORDS[i % 3]}" for i in range(6)]
    table.write_text("audio\ttext\n" + "\n".join([*rows[:2], "bad.wav\tsolu", *rows[2:], "gone.wav\tnari"]) + "\n")
    assert cli.run(["evaluate", str(forward.folder), str(table), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    measures = {row["measure"]: row for row in found["measures"]}
    assert measures["recordings_left_out"]["value"] == 2 and "of 6 transcripts" in measures["word_error_rate"]["protocol"]
    assert [row["where"] for row in found["left_out"]] == [f"{table}:4", f"{table}:9"]
    assert "is not read as sound" in found["left_out"][0]["why"] and "does not exist" in found["left_out"][1]["why"]
    table.write_text("audio\ttext\nbad.wav\tsolu\n")
    with pytest.raises(UserError, match=r"none of the 1 recordings can be read: .*bad\.wav` is not read as sound") as error:
        speech.part(forward, [str(table)], tmp_path)
    assert error.value.where == f"{table}:2"


def test_other_verbs_say_what_a_run_takes(forward, both, capsys):
    for words in (["score", str(forward.folder), "a.txt"], ["sample", str(forward.folder)]):
        assert cli.run(words) == 2
        assert "a run of `speech` takes predict, evaluate, look, listen, info, compare" in capsys.readouterr().err
    assert cli.run(["compare", str(forward.folder), str(both.folder)]) == 0
    lines = {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert {"word_error_rate", "direction", "hidden"} & lines.keys() == {"word_error_rate", "direction"}
    assert cli.run(["compare", str(forward.folder), str(both.folder), "--data", "x.tsv"]) == 2
    assert "a run of `speech` takes" in capsys.readouterr().err


# --- looking


def test_what_is_looked_at_is_what_is_predicted(forward, tmp_path, capsys):
    (answer,) = predict(forward, [said(forward)], Predict())
    heard = speech.look(forward, str(said(forward)))
    assert [(span.text, span.begin, span.end) for span in heard.spans] == [tuple(word) for word in answer.words]
    frames = speech.answers(forward.model, [sound.read(said(forward), forward.config.hertz)])[0]
    for name, probability in zip(heard.names, heard.probabilities.T, strict=True):
        np.testing.assert_array_equal(probability, np.exp(frames[:, forward.codec.index[name]]))
        assert probability.max() >= speech.SHOWN
    (span,) = heard.spans
    each = {name: heard.probabilities[:, heard.names.index(name)].max() for name in set(span.text)}
    assert 0 < span.probability <= min(each.values()) + 1e-4
    assert heard.times[1] - heard.times[0] == pytest.approx(forward.model.step / forward.config.hertz)
    assert cli.run(["look", str(forward.folder), str(said(forward)), "--json", "--out", str(tmp_path / "a.html")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["word"] for row in found["words"]] == answer.text.split()
    assert answer.text.encode() in (tmp_path / "a.html").read_bytes()


def test_silence_and_very_short_sounds_are_looked_at_too(both, tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(40), 16_000)
    heard = speech.look(both, str(tmp_path / "a.wav"))
    assert len(heard.features) == 0 and speech.VIEW.page(heard).startswith(b"<!doctype html>")


def test_too_long_a_sound_is_not_drawn(both, tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(31 * 16_000), 16_000)
    with pytest.raises(UserError, match=r"lasts 31.0 s; 30 s of speech fit on a page"):
        speech.look(both, str(tmp_path / "a.wav"))


def test_evaluation_tells_rates_groups_errors_and_the_worst(forward, tmp_path, capsys):
    table = forward.folder.parent / "clips.tsv"
    found = speech.examine(forward, speech.part(forward, [str(table)], tmp_path))
    assert [row["group"] for row in found["groups"]] == ["a", "b"]
    assert sum(row["recordings"] for row in found["groups"]) == 48
    wrong = forward.folder.parent / "wrong.tsv"
    wrong.write_text(table.read_text().replace("\tsolu\t", "\tsola\t"))
    found = speech.examine(forward, speech.part(forward, [str(wrong)], tmp_path, Evaluate(beam=8)))
    assert found["errors"][0] | {"times": 0} == {"reference": "sola", "hypothesis": "solu", "times": 0}
    assert [row["alignment"][:3] for row in found["worst"][:3]] == ["REF", "HYP", "   "]
    assert found["worst"][0]["where"].startswith(f"{wrong}:")
    assert cli.run(["evaluate", str(forward.folder), str(table), "--group", "speaker"]) == 0
    assert "word_error_rate" in capsys.readouterr().out


def test_files_are_answered_from_a_folder_and_a_list(forward, tmp_path, capsys):
    folder = forward.folder.parent
    listed = folder / "list.txt"
    listed.write_text("clips/00.wav\nclips/01.wav\n")
    assert cli.run(["predict", str(forward.folder), f"@{listed}", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["where"] for row in rows] == [f"{listed}:1", f"{listed}:2"]
    assert len(speech.items(forward, str(folder / "clips"), Predict(), tmp_path).__reduce__()) and rows[0]["words"][0].keys() == {
        "word",
        "begin",
        "end",
    }
    assert cli.run(["predict", str(forward.folder), str(said(forward)), "--best", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_each_of_several_answers_names_its_file_and_a_bad_one_loses_no_other(forward, tmp_path, capsys):
    first, second, other = (str(path) for path in (said(forward), said(forward, "clips/01.wav"), tmp_path / "bad.wav"))
    (tmp_path / "bad.wav").write_text("no sound")
    texts = [one.text for one in predict(forward, [first, second], Predict())]
    assert cli.run(["predict", str(forward.folder), first, other, second]) == 2
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"{first}\t{texts[0]}", f"{second}\t{texts[1]}"]
    assert f"`{other}` is not read as sound" in shown.err and "Traceback" not in shown.err
    listed = tmp_path / "list.txt"
    listed.write_text(f"{tmp_path / 'gone.wav'}\n{first}\n{other}\n")
    assert cli.run(["predict", str(forward.folder), f"@{listed}", "--json"]) == 2
    shown = capsys.readouterr()
    assert [json.loads(line)["where"] for line in shown.out.splitlines()] == [f"{listed}:2"]
    assert shown.err.count("error:") == 2
    assert cli.run(["predict", str(forward.folder), first, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["where"] == first and row["probability"] == round(row["probability"], 4)
    assert cli.run(["predict", str(forward.folder), first]) == 0
    assert capsys.readouterr().out == f"{texts[0]}\n"


def test_what_is_listened_to_is_printed_for_a_person(forward, capsys):
    assert cli.run(["listen", str(forward.folder), str(said(forward))]) == 0
    *partial, final = capsys.readouterr().out.splitlines()
    assert partial and all(line.endswith(" …") for line in partial)
    assert final.split(" s  ")[1] == predict(forward, [said(forward)], Predict())[0].text


def test_listening_in_blocks_of_any_size_ends_with_what_the_file_says(forward, monkeypatch):
    wanted = predict(forward, [said(forward)], Predict())[0].text
    for seconds in (0.007, 0.05, 0.9):
        monkeypatch.setattr(speech, "EVERY", seconds)
        events = list(speech.listen(forward, str(said(forward)), Listen(pause=9.0)))
        assert [event["text"] for event in events if event["final"]] == [wanted]


@pytest.mark.parametrize(("name", "rate"), [("a.ogg", 16_000), ("a.mp3", 16_000), ("a.flac", 44_100), ("a.wav", 8_000)])
def test_files_of_any_kind_rate_and_number_of_channels_are_heard(forward, tmp_path, name, rate):
    samples = sound.read(said(forward), rate)
    soundfile.write(tmp_path / name, np.stack([samples, samples], 1), rate)
    heard, whole = speech.opened(forward, tmp_path / name), sound.read(said(forward), forward.config.hertz)
    assert abs(len(heard) - len(whole)) < 0.1 * forward.config.hertz
    if rate >= 16_000:
        assert predict(forward, [heard], Predict())[0].text == predict(forward, [whole], Predict())[0].text


# --- recordings


def test_tables_with_and_without_a_header_and_json_are_read(tmp_path):
    (tmp_path / "a.csv").write_text('x.wav,hello  there\ny.wav,"so, yes"\n')
    (tmp_path / "b.tsv").write_text("words\tid\tfile\nhello\t1\tx.wav\n")
    (tmp_path / "c.jsonl").write_text('{"audio": "x.wav", "text": "hi", "speaker": "ann"}\n')
    first = recordings.find([str(tmp_path / "a.csv")], tmp_path)
    assert [(one.path.name, one.text, one.where) for one in first] == [
        ("x.wav", "hello there", f"{tmp_path / 'a.csv'}:1"), ("y.wav", "so, yes", f"{tmp_path / 'a.csv'}:2"),
    ]  # fmt: skip
    (second,) = recordings.find([str(tmp_path / "b.tsv")], tmp_path)
    assert (second.path, second.text, second.group) == (tmp_path / "x.wav", "hello", tmp_path.name)
    (third,) = recordings.find([str(tmp_path / "c.jsonl")], tmp_path)
    assert third.group == "ann"
    (chosen,) = recordings.find([str(tmp_path / "b.tsv")], tmp_path, Columns("3", "id", "words"))
    assert (chosen.text, chosen.group) == ("1", "hello")


def test_a_folder_holds_texts_beside_sounds(tmp_path):
    sound.write(tmp_path / "a.wav", np.ones(1600) * 0.1, 16_000)
    sound.write(tmp_path / "b.wav", np.ones(1600) * 0.1, 16_000)
    with pytest.raises(UserError, match=r"has its text beside it: of a\.wav it would be a\.txt"):
        recordings.find([str(tmp_path)], tmp_path)
    (tmp_path / "a.txt").write_text("hello\n")
    assert [one.text for one in recordings.find([str(tmp_path)], tmp_path)] == ["hello", ""]


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        ("audio\ttext\n", Columns(), "there are no recordings"),
        ("a.wav\tb.wav\tx\n", Columns(), "audio is not obvious; there are `1` (a.wav), `2`"),
        ("audio\tone\ttwo\na.wav\tx\ty\n", Columns(), "text is not obvious; there are `audio` (a.wav), `one`"),
        ("audio\ttext\na.wav\tx\n", Columns(text="txet"), "there is no column `txet` for the text; there are audio, text"),
        ("audio\ttext\na.wav\tx\nb.wav\n", Columns(), "this row has 1 cells; the first has 2"),
        ("audio\ttext\n\tx\n", Columns(), "names no sound file here"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(tmp_path, table, columns, said):
    path = tmp_path / "t.tsv"
    path.write_text(table)
    with pytest.raises(UserError) as error:
        recordings.find([str(path)], tmp_path, columns)
    assert said in str(error.value)


def test_a_json_row_that_lacks_a_column_is_refused(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"audio": "a.wav", "text": "x"}\n{"audio": "b.wav"}\n')
    with pytest.raises(UserError, match="this row has no `text`; it has audio") as error:
        recordings.find([str(path)], tmp_path)
    assert error.value.where == f"{path}:2"


def test_what_cannot_be_trained_on_is_counted_and_named(tmp_path):
    table = clips(tmp_path, 6)
    sound.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    sound.write(tmp_path / "brief.wav", np.ones(400) * 0.1, 16_000)
    sound.write(tmp_path / "long.wav", np.ones(16_000 * 3) * 0.1, 16_000)
    (tmp_path / "text.wav").write_text("no sound")
    rows = ["silent.wav\tx", "brief.wav\thello hello", "long.wav\tx", "text.wav\tx", "gone.wav\tx", "clips/00.wav\t "]
    table.write_text(table.read_text() + "".join(f"{row}\ta\n" for row in rows))
    config = speech.Config(data=(str(table),), dev=(str(clips(tmp_path / "dev", 3)),), longest=2.0)
    told = speech.read(config, tmp_path / "tokens").accounts["said"]
    kinds = ("not there", "read as sound", "silent", "without text", "too short", "longer than 2 s")
    lines = (12, 11, 8, 13, 9, 10)
    assert [line.split("(")[1] for line in told] == [f"{table}:{n})" for n in lines]
    assert all(kind in line for kind, line in zip(kinds, told, strict=True))


def test_recordings_that_are_all_bad_are_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("a.wav\tx\nb.wav\ty\n")
    with pytest.raises(UserError, match=r"none of the 2 recordings can be used: 2 left out whose sound file is not there"):
        speech.read(speech.Config(data=(str(tmp_path / "t.tsv"),)), tmp_path / "tokens")


def test_what_is_held_out_is_drawn_from_what_can_be_used(tmp_path):
    """Missing files never stand in for the held-out part, whichever rows they have."""
    table = clips(tmp_path, 6)
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows, *(f"gone/{i}.wav\tsolu\ta" for i in range(60))]))
    for seed in range(3):
        data = speech.read(speech.Config(data=(str(table),), holdout=0.34, seed=seed), tmp_path / f"tokens{seed}")
        assert (len(data.train), len(data.dev)) == (4, 2) and not set(data.train.places) & set(data.dev.places)
        assert [line[:12] for line in data.accounts["said"]] == ["60 left out "]
        first = int(data.dev.places[0].split(":")[1]) - 2
        wanted = sound.read(tmp_path / "clips" / f"{first:02d}.wav", data.accounts["hertz"])
        assert np.abs(data.dev[0] - wanted).max() < 1e-3
    table.write_text("\n".join([*rows[:2], "gone.wav\tx\ta"]))
    with pytest.raises(UserError, match="of the recordings only one can be used: one to train on"):
        speech.read(speech.Config(data=(str(table),)), tmp_path / "one")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"frames": 60}, "`--frames 60` sees 0.615 s at once; allowed are 1 to 18 frames of 0.01 s"),
        ({"frames": 10, "hop": 0.05}, "`--frames 10` sees 0.475 s at once; allowed are 1 to 4 frames of 0.05 s"),
        ({"stride": 6}, "`stride` got 6; allowed are 1 to 5, the frames that a step sees"),
    ],
)
def test_frames_that_are_too_many_are_refused_before_anything_is_read(tmp_path, settings, said):
    with pytest.raises(UserError) as error:
        speech.read(speech.Config(data=("nowhere",), **settings), tmp_path)
    assert said in str(error.value)


def test_recordings_that_are_validated_on_too_are_told(tmp_path):
    table = str(clips(tmp_path, 4))
    told = speech.read(speech.Config(data=(table,), dev=(table,)), tmp_path / "tokens").accounts["said"]
    assert told == ["4 of the recordings to validate on are trained on too"]


def test_a_passage_is_clips_one_after_another(tmp_path):
    mixture = mixing.Mixture(
        16_000, speed=(1.0, 1.0), in_room=0.0, filtered=0.0, snr=(60.0, 60.0), clipped=0.0, background=(-70.0, -70.0)
    )
    given = mixing.Sources([], [], [], mixing.rooms(16_000, 2, 1))
    rng = np.random.default_rng(1)
    clips = [rng.normal(0, 0.1, size).astype(np.float32) for size in (4000, 6000)]
    made = mixing.passage(clips, [0.1, 0.2, 0.3], given, mixture, rng)
    assert abs(len(made) - (1600 + 4000 + 3200 + 6000 + 4800)) < 600
    loud = np.abs(made) > 0.1 * np.abs(made).max()
    assert (
        loud[1700:5500].mean() > 0.3 and loud[5800:8600].mean() < 0.01 and loud[:1500].mean() < 0.01 and math.isfinite(made.sum())
    )


# --- what is refused


def test_what_cannot_be_done_is_said(both, forward):
    with pytest.raises(UserError, match="reads both ways: it cannot answer before a sound has ended"):
        next(speech.listen(both, "mic", Listen()))
    with pytest.raises(UserError, match="`--best 9` is more than `--beam 4` keeps"):
        predict(both, [said(both)], Predict(best=9, beam=4))
    with pytest.raises(UserError, match="`--hot` got an empty phrase"):
        predict(both, [said(both)], Predict(hot=(" ",)))
    with pytest.raises(UserError, match="has `q` in it, which no transcript had that was trained on"):
        predict(both, [said(both)], Predict(hot=("quo",)))
    with pytest.raises(UserError, match="`--lm nowhere` is not there; allowed are a run of"):
        predict(both, [said(both)], Predict(lm="nowhere"))
    with pytest.raises(UserError, match="does not exist"):
        predict(both, [said(both, "nothing.wav")], Predict())


def test_the_model_kept_of_transcripts_is_that_of_the_transcripts(both):
    texts = (both.folder / speech.TRANSCRIPTS).read_text().splitlines()
    assert len(texts) == 46 and set(texts) == set(WORDS)
    assert isinstance(speech.language(both, None)[0], backoff.Model)
