"""The trigger task: from clips to a detector, and what it does in files and streams."""

import io
import json
import re
import sys

import numpy as np
import pytest
import torch

from unrolled import api, capture, cli, diagnosis, formants, metrics, rehearsal, voices
from unrolled.data import sound
from unrolled.data.clips import Clips
from unrolled.data.vocab import Codec
from unrolled.errors import UserError
from unrolled.tasks import trigger

SMALL = {"hidden": 64, "layers": 1, "channels": 48, "stride": 5, "example": 4.0, "batch": 8, "rate": 0.01, "device": "cpu"}
RATE = formants.RATE


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    trigger.demo(folder)
    return folder


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "kamito"
    return api.train("trigger", clips, out=out, steps=700, evaluations=2, quiet=True, **SMALL)


def spoken(words, seed=1, pause=1.0):
    """Words after one another, with quiet between them, and where each ends."""
    rng = np.random.default_rng(seed)
    parts, ends, size = [np.zeros(RATE, np.float32)], [], RATE
    for word in words:
        clip = formants.say(word, formants.voice(rng), rng)
        parts += [clip, np.zeros(round(pause * RATE), np.float32)]
        ends.append((size + len(clip)) / RATE)
        size += len(clip) + round(pause * RATE)
    samples = np.concatenate(parts)
    return samples + 1e-4 * rng.standard_normal(len(samples)).astype(np.float32), ends


def test_the_demo_is_learnt_in_few_steps(run):
    report = json.loads((run.folder / "report.json").read_text())
    assert report["dev"]["miss_rate"] < 0.2
    assert report["baselines"]["never fires"]["miss_rate"] == 1
    assert {row["of"] for row in report["tables"]["levels"]} == {"clean", "20 dB", "10 dB", "5 dB"}
    (words,) = {row["words"] for row in report["tables"]["levels"]}
    assert words == 30
    assert [row["of"] for row in report["tables"]["levels"]] == ["clean", "20 dB", "10 dB", "5 dB"]
    assert any(row["sound"].endswith("negative") for row in report["tables"]["sounds"])


def test_dilated_convolutions_learn_the_demo_too_and_answer_in_streams_as_torch_does(clips, tmp_path):
    options = SMALL | {"cell": "wavenet", "steps": 250, "evaluations": 1}
    found = api.train("trigger", clips, out=tmp_path / "run", quiet=True, **options)
    assert run_report(found)["dev"]["miss_rate"] < 0.5
    samples, _ = spoken(["kamito"] * 2)
    with torch.no_grad():
        wanted = torch.sigmoid(found.model.eval()(trigger.Batch(torch.from_numpy(samples)[None], None), ())[0])[0].numpy()
    pieces = [samples[at : at + 700] for at in range(0, len(samples), 700)]
    assert np.abs(trigger.detector(found.model).probabilities(pieces) - wanted).max() < 1e-5
    assert cli.run(["graph", str(found.folder), "--out", str(tmp_path / "graph.svg")]) == 0
    assert "steps so far" in (tmp_path / "graph.svg").read_text()
    assert cli.run(["export", str(found.folder), "--to", str(tmp_path / "a.onnx")]) == 0


def test_the_threshold_kept_is_chosen_on_all_that_is_held_out(clips, tmp_path):
    found = api.train("trigger", clips, out=tmp_path / "run", steps=30, evaluations=1, quiet=True, **SMALL)
    about = json.loads((found.folder / "config.json").read_text())
    data_seconds = json.loads((found.folder / "report.json").read_text())["dev"]["seconds_of_sound"]
    assert about["evaluate"]["at_the_end"] == int(data_seconds)
    assert found.folder.joinpath("best").read_bytes() == found.folder.joinpath("last").read_bytes()
    assert (found.folder / "steps" / "31").is_dir()


def test_the_end_of_training_and_info_tell_intervals(run, capsys):
    report = json.loads((run.folder / "report.json").read_text())
    assert re.match(
        r"\d+\.\d % missed \(\d+\.\d-\d+\.\d\), \d+ false accepts in [\d.]+ h \(.*/h at 95 %\)$", report["reached"][0]
    )
    assert "hours are too few to show 0.5 false accepts an hour" in report["reached"][1]
    assert cli.run(["info", str(run.folder)]) == 0
    assert f"reached: {report['reached'][0]}" in capsys.readouterr().out


def test_one_recording_at_four_levels_is_one_trial(run):
    row = next(row for row in run_report(run)["tables"]["measures"] if row["measure"] == "miss_rate")
    assert "120 words of 30 recordings" in row["protocol"]
    misses = row["value"] * 120
    assert (row["from"], row["to"]) == pytest.approx(metrics.clopper_pearson(misses * 30 / 120, 30), abs=1e-6)


def run_report(run):
    return json.loads((run.folder / "report.json").read_text())


def test_it_fires_at_the_word_and_not_at_others(run, tmp_path):
    samples, ends = spoken(["sulo", "kamito", "rahi", "kamito", "tenu"])
    sound.write(tmp_path / "a.wav", samples, RATE)
    (answer,) = trigger.predict(run, [tmp_path / "a.wav"], trigger.Predict())
    times = [event["time"] for event in answer.events]
    assert len(times) == 2
    assert all(-0.3 < time - ends[i] < 0.6 for time, i in zip(times, (1, 3), strict=True))
    assert trigger.shown(answer, False).startswith(f"{times[0]:.2f} s (")
    quiet = trigger.predict(run, [tmp_path / "a.wav"], trigger.Predict(threshold=1.0))[0]
    assert quiet.events == [] and trigger.shown(quiet, False).startswith("not heard (highest probability ")


@pytest.mark.parametrize("size", [37, 160, 4000])
def test_a_stream_in_pieces_is_what_torch_says_of_the_whole(run, size):
    samples, _ = spoken(["kamito", "sulo"])
    net = trigger.detector(run.model)
    state, found, events = net.start(), [], []
    for begin in range(0, len(samples), size):
        probabilities, some, state = net(samples[begin : begin + size], state)
        found.append(probabilities)
        events += some
    with torch.no_grad():
        batch = trigger.Batch(torch.from_numpy(samples)[None], None)
        whole = run.model.eval()(batch, ())[0][0].sigmoid().numpy()
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-5)
    assert events == list(net.events([samples]))
    assert len(events) == 1
    for event in events:
        at = round((event.time * RATE - net.lead) / (net.hop * RATE))
        assert event.probability == pytest.approx(whole[at], abs=1e-5) and event.probability >= net.rule.threshold


def test_a_stream_begun_anew_remembers_nothing(run):
    samples, _ = spoken(["kamito"])
    net = trigger.detector(run.model)
    first = net(samples, net.start())
    again = net(samples, net.start())
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1] == again[1]


def test_events_are_kept_and_programs_started(run, tmp_path, monkeypatch):
    samples, ends = spoken(["kamito", "sulo", "kamito"])
    raw = (samples * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": io.BytesIO(raw)}))
    script = tmp_path / "note.py"
    script.write_text("import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')")
    options = trigger.Listen(
        capture=str(tmp_path / "kept"), exec=f"{sys.executable} {script} {tmp_path / 'said'} {{time}}", hertz=RATE
    )
    events = list(trigger.listen(run, "-", options))
    assert len(events) == 2
    for event, end in zip(events, (ends[0], ends[2]), strict=True):
        kept = sound.read(tmp_path / "kept" / event["sound"].rpartition("/")[2], RATE)
        assert len(kept) == pytest.approx((min(capture.BEFORE, event["time"]) + capture.AFTER) * RATE, abs=0.4 * RATE)
        begin = round((event["time"] - min(capture.BEFORE, event["time"])) * RATE)
        np.testing.assert_allclose(kept[: RATE // 2], samples[begin : begin + RATE // 2], atol=2e-4)
        assert abs(event["time"] - end) < 0.6


def test_what_fired_is_kept_when_the_listener_goes(run, tmp_path):
    samples, _ = spoken(["kamito"])
    net = trigger.detector(run.model)
    events = capture.kept(net, [samples], tmp_path)
    _, path = next(events)
    assert not path.exists()
    events.close()
    assert len(sound.read(path, RATE)) > RATE


def test_a_stride_that_skips_frames_is_refused_before_reading(tmp_path):
    for task in ("trigger", "speech"):
        with pytest.raises(UserError, match="`stride` got 6; allowed are 1 to 5"):
            api.train(task, tmp_path / "nowhere", out=tmp_path / "run", steps=1, stride=6, quiet=True)


def test_no_phrase_is_taught_as_what_sounds_like_another(monkeypatch):
    asked = []
    monkeypatch.setattr(trigger.voices, "say", lambda texts, *_, **__: asked.append(list(texts)) or [])
    monkeypatch.setattr(trigger.voices, "talk", lambda *_, **__: iter(()))
    config = trigger.Config(say=("hey computer", "computer"), voice="any {wav}", spoken=10)
    trigger._speak(config, {part: {kind: [] for kind in trigger.KINDS} for part in ("train", "dev")})
    near = asked[2]
    assert "hey" in near and not any(trigger.voices.says(text, phrase) for text in near for phrase in config.say)


def test_what_is_no_program_is_told(run, tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(RATE, np.float32), RATE)
    for line, message in (("no-such-program {time}", "names no program that is there"), ("a 'b", "is not read as a command")):
        with pytest.raises(UserError, match=f"`--exec {line}` {message}"):
            list(trigger.listen(run, str(tmp_path / "a.wav"), trigger.Listen(exec=line)))


def test_it_is_measured_on_words_streams_and_other_sound(run, clips, tmp_path):
    samples, ends = spoken(["sulo", "kamito"])
    sound.write(tmp_path / "a.wav", samples, RATE)
    (tmp_path / "a.tsv").write_text(f"{ends[1] - 0.5:.3f}\t{ends[1]:.3f}\tkamito\n")
    options = trigger.Evaluate(
        stream=(str(tmp_path / "a.wav"),), events=(str(tmp_path / "a.tsv"),), negative=(str(clips / "background"),)
    )
    told = trigger.examine(run, trigger.part(run, [str(clips / "positive")], tmp_path, options))
    assert {row["of"]: row["words"] for row in told["levels"]} == {"10 dB": 150, "stream": 1}
    measures = {row["measure"]: row for row in told["measures"]}
    assert measures["words"]["value"] == 151
    assert measures["miss_rate"]["from"] <= measures["miss_rate"]["value"] <= measures["miss_rate"]["to"]
    rooms = [row for row in told["sounds"] if row["sound"] == str(clips / "background")]
    assert sum(row["hours"] for row in rooms) == pytest.approx(120 / 3600, rel=0.01)
    assert told["curve"][-1]["miss_rate"] <= told["curve"][0]["miss_rate"]


def test_words_stand_in_their_streams_at_the_level_asked_for():
    rng = np.random.default_rng(1)
    clip = rng.standard_normal(RATE // 2).astype(np.float32)
    (stream,) = rehearsal.with_words([(clip, "here")] * 5, [], 10.0, RATE, 1)
    assert stream.kind == "10 dB" and [mark.label for mark in stream.marks] == ["here"] * 5
    for mark in stream.marks:
        inside = stream.sound[round(mark.begin * RATE) : round(mark.end * RATE)]
        before = stream.sound[round(mark.begin * RATE) - RATE // 2 : round(mark.begin * RATE)]
        assert 10 * np.log10(np.mean(inside**2) / np.mean(before**2)) == pytest.approx(10.4, abs=1.5)  # with what is behind it


def test_programs_that_cannot_start_are_told_once_and_what_they_print_is_no_result(run, tmp_path, capfd):
    samples, _ = spoken(["kamito", "sulo", "kamito"])
    sound.write(tmp_path / "a.wav", samples, RATE)
    broken = tmp_path / "broken"
    broken.write_bytes(b"\0")
    broken.chmod(0o755)
    assert cli.run(["listen", str(run.folder), str(tmp_path / "a.wav"), "--exec", str(broken), "--json"]) == 0
    said = capfd.readouterr()
    assert len(said.out.splitlines()) == 2 and said.err.count("cannot be started") == 1
    words = ["listen", str(run.folder), str(tmp_path / "a.wav"), "--exec", "echo {time} {sound}", "--json"]
    assert cli.run([*words, "--capture", str(tmp_path / "kept")]) == 0
    said = capfd.readouterr()
    events = [json.loads(line) for line in said.out.splitlines()]
    assert [event["time"] for event in events] == [round(event["time"], 3) for event in events]
    assert all(event["sound"] in said.err for event in events)
    assert cli.run(words) == 2
    assert "has `{sound}`; filled in are {time}, {probability}" in capfd.readouterr().err


def test_nothing_heard_leaves_no_folder(run, tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(RATE, np.float32), RATE)
    assert list(trigger.listen(run, str(tmp_path / "a.wav"), trigger.Listen(capture=str(tmp_path / "kept")))) == []
    assert not (tmp_path / "kept").exists()


def test_a_stream_without_the_word_has_a_curve_of_false_accepts(run, clips):
    told = trigger.examine(run, trigger.part(run, [], clips, trigger.Evaluate(negative=(str(clips / "negative"),))))
    assert told["levels"] == [] and {row["miss_rate"] for row in told["curve"]} == {None}
    counts = [row["false_accepts_per_hour"] for row in told["curve"]]
    assert len(counts) > 1 and counts == sorted(counts)


# --- what is refused


def test_a_single_recording_is_refused_before_training(clips, tmp_path):
    one = sound.files(clips / "positive")[0]
    with pytest.raises(UserError, match="one recording of the word leaves none to validate on"):
        train(tmp_path, positive=(str(one),))


def test_marks_after_the_end_and_rates_of_files_are_told(run, tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(RATE, np.float32), RATE)
    (tmp_path / "a.tsv").write_text("0.1\t0.5\n\n3\t4\tkamito\n\n")
    options = trigger.Evaluate(stream=(str(tmp_path / "a.wav"),), events=(str(tmp_path / "a.tsv"),))
    with pytest.raises(UserError, match=r"a.wav` lasts 1.00 s, and 1 of 2 marks end later, the first at 4.00 s"):
        trigger.part(run, [], tmp_path, options)
    with pytest.raises(UserError, match="`--hertz` is of raw sound through standard input"):
        list(trigger.listen(run, str(tmp_path / "a.wav"), trigger.Listen(hertz=8000)))


@pytest.mark.parametrize("takes", ["0", "-1"])
def test_no_takes_are_refused_and_no_folder_is_left(tmp_path, capsys, takes):
    assert cli.run(["record", str(tmp_path / "new"), "--raw", "--takes", takes]) == 2
    assert "--takes" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_a_threshold_of_nothing_is_refused_by_its_range(run, capsys):
    assert cli.run(["listen", str(run.folder), "a.wav", "--threshold", "0"]) == 2
    assert "1e-06 to 1" in capsys.readouterr().err


def train(folder, **settings):
    return api.train("trigger", settings.pop("data", ()), out=folder / "run", steps=1, quiet=True, **settings)


def test_nothing_to_learn_is_told(tmp_path):
    with pytest.raises(UserError, match="there is no recording of the word, and no phrase"):
        train(tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_positive_is_told(tmp_path):
    (tmp_path / "clips").mkdir()
    with pytest.raises(UserError, match=r"the folder `.*clips` has no folder `positive` in it"):
        train(tmp_path, data=tmp_path / "clips")


def test_silent_and_overlong_words_are_told(tmp_path):
    for name, samples, message in (
        ("silent", np.zeros(RATE, np.float32), "is silent: it should hold the word"),
        ("long", np.random.default_rng(1).uniform(-0.5, 0.5, 6 * RATE).astype(np.float32), r"lasts 6.0 s; at most 3.2 are mixed"),
    ):
        (tmp_path / name).mkdir()
        sound.write(tmp_path / name / "a.wav", samples, RATE)
        with pytest.raises(UserError, match=message):
            train(tmp_path, positive=(str(tmp_path / name),))


def test_nothing_to_evaluate_on_and_tables_without_streams_are_told(run, tmp_path):
    with pytest.raises(UserError, match="there is nothing to listen to"):
        trigger.part(run, [], tmp_path)
    with pytest.raises(UserError, match="`--events` names 1 tables, `--stream` 0 recordings"):
        trigger.part(run, [], tmp_path, trigger.Evaluate(events=("a.tsv",)))


@pytest.mark.skipif(not voices.shutil.which(voices.ESPEAK), reason="espeak-ng is not installed")
def test_a_phrase_alone_is_spoken_and_learnt_from(tmp_path):
    settings = SMALL | {"say": ("hey robin",), "spoken": 12, "talk": 0.01}
    found = api.train("trigger", (), out=tmp_path / "run", steps=2, evaluations=1, quiet=True, **settings)
    about = json.loads((found.folder / "config.json").read_text())
    assert any(line.startswith("spoken: 12 times `hey robin`") for line in about["data"]["said"])
    assert json.loads((found.folder / "report.json").read_text())["dev"]["words"] == 400


def test_takes_are_recorded_from_a_pipe_and_learnt_from(tmp_path, monkeypatch, capsys):
    samples, _ = spoken(["kamito"] * 3)
    raw = (np.concatenate((samples[:RATE], samples)) * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": io.BytesIO(raw)}))
    assert cli.run(["record", str(tmp_path / "takes"), "--raw"]) == 0
    said = capsys.readouterr()
    assert said.out == "3\n" and "the room has" in said.err
    assert [path.name for path in sound.files(tmp_path / "takes")] == [f"take-000{i}.wav" for i in (1, 2, 3)]


def test_the_report_has_a_picture_of_misses_against_false_accepts(run):
    assert (run.folder / "samples" / "curve.png").read_bytes().startswith(b"\x89PNG")


# --- many files, a look inside


def test_each_of_several_files_is_named_and_a_bad_one_loses_no_other(run, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "sounds"
    folder.mkdir()
    for i, word in enumerate(("kamito", "sulo", "kamito")):
        sound.write(folder / f"{i}.wav", spoken([word], seed=i + 1)[0], RATE)
    paths = [folder / f"{i}.wav" for i in range(3)]
    texts = [trigger.shown(answer, False) for answer in trigger.predict(run, paths, trigger.Predict())]
    (tmp_path / "bad.wav").write_text("no sound")
    whole = paths[0].read_bytes()
    (tmp_path / "short.wav").write_bytes(whole[: len(whole) // 2])

    def answers(*words, code=0):
        assert cli.run(["predict", str(run.folder), *map(str, words)]) == code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return shown.out.splitlines(), shown.err

    lines = [f"{path}\t{text}" for path, text in zip(paths, texts, strict=True)]
    assert answers(paths[0])[0] == texts[:1]
    assert answers(*paths)[0] == lines and answers(folder)[0] == lines and answers(f"@{folder}")[0] == lines
    out, err = answers(tmp_path / "bad.wav", paths[0], tmp_path / "short.wav", tmp_path / "gone.wav", paths[2], code=2)
    assert out == [lines[0], lines[2]] and err.count("error:") == 3
    assert all(said in err for said in ("is not read as sound", "is damaged or ends early", "gone.wav` does not exist"))
    listed = tmp_path / "list.txt"
    listed.write_text("sounds/0.wav\nbad.wav\nsounds/1.wav\n")
    out, _ = answers(f"@{listed}", code=2)
    assert out == [f"{listed}:1\t{texts[0]}", f"{listed}:3\t{texts[1]}"]
    table = tmp_path / "table.csv"
    table.write_text("path,speaker\nsounds/2.wav,a\nsounds/1.wav,b\n")
    assert answers(f"@{table}")[0] == [f"{table}:2\t{texts[2]}", f"{table}:3\t{texts[1]}"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{paths[0]}\n{paths[1]}\n".encode())))
    out, _ = answers("-")
    assert [line.split("\t")[1] for line in out] == texts[:2]


def test_what_is_looked_at_is_when_it_fires(run, tmp_path, capsys):
    samples, _ = spoken(["sulo", "kamito"])
    path = tmp_path / "a.wav"
    sound.write(path, samples, RATE)
    (answer,) = trigger.predict(run, [path], trigger.Predict())
    assert cli.run(["look", str(run.folder), str(path), "--json", "--out", str(tmp_path / "a.html")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [{name: row[name] for name in ("time", "probability")} for row in found["events"]] == answer.events != []
    probabilities, times = np.array(found["probabilities"])[:, 0], np.array(found["answer_seconds"])
    at = [int(np.abs(times - event["time"]).argmin()) for event in answer.events]
    assert [round(probabilities[i], 4) for i in at] == [event["probability"] for event in answer.events]
    assert found["threshold"] == pytest.approx(float(run.model.threshold), abs=1e-4)
    assert len(found["spectrogram"]) == run.model.logmel.frames(len(samples))
    assert (tmp_path / "a.html").read_bytes().count(b"class=event") == len(answer.events)


def test_too_long_a_sound_is_not_drawn(run, tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(121 * 8000), 8000)
    with pytest.raises(UserError, match=r"lasts 121.0 s; 120 s of sound fit on a page"):
        trigger.look(run, str(tmp_path / "a.wav"))


def test_other_verbs_say_what_a_run_takes(run, capsys):
    for words in (["score", str(run.folder), "a.txt"], ["sample", str(run.folder)]):
        assert cli.run(words) == 2
        assert "a run of `trigger` takes predict, evaluate, look, listen, info, compare" in capsys.readouterr().err
    assert cli.run(["compare", str(run.folder), str(run.folder)]) == 0
    assert "miss_rate" in capsys.readouterr().out


def test_tones_are_coloured_and_stretches_hidden_in_training_alone_and_only_where_no_recording_is_given():
    samples = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (2, 16_000)).astype(np.float32))
    given = trigger.Batch(samples, None)
    torch.manual_seed(1)
    model = trigger.Model(trigger.Config(tone=8.0, dropout=0.0), Codec("words", ("a",)))
    curves = model._coloured(500, 40)
    assert float(curves[:, 0].std()) == pytest.approx(8.0 * np.log(10) / 10, rel=0.1)
    assert float((curves[:, 1:] - curves[:, :-1]).abs().mean()) < 0.3  # neighbours are coloured alike
    once, again = (model.train()(given, None)[0] for _ in range(2))
    assert (once - again).abs().max() > 1e-3
    model.eval()
    torch.testing.assert_close(model(given, None)[0], model(given, None)[0], rtol=0, atol=0)
    model = trigger.Model(trigger.Config(masks=2), Codec("words", ("a",)))
    hidden = model._hidden(torch.ones(3, 40, 200)) == 0
    assert 0 < hidden.float().mean() < 0.4  # two stretches of bands, and two of frames, each at most a sixth
    bands, frames = hidden.all(2), hidden.all(1)
    assert torch.equal(hidden, bands.unsqueeze(2) | frames.unsqueeze(1))
    for origins, tone, masks in ((["spoken"], 8.0, 2), (["spoken", "clips/alexa"], 0.0, 0)):
        data = trigger.Data(None, {"words": Clips(None, origins)}, None, {})
        found = trigger.plan(trigger.Config(steps=1), data)
        assert (found.tone, found.masks) == (tone, masks)
        assert trigger.plan(trigger.Config(steps=1, tone=3.0), data).tone == 3.0


def test_it_is_diagnosed_on_its_own_words_or_others(run, clips, tmp_path):
    own = trigger.training_batch(run, diagnosis.own_data(run), tmp_path / "own")
    alone = trigger.training_batch(run, [str(clips / "positive")], tmp_path / "alone")
    assert own.samples.shape == alone.samples.shape and not torch.equal(own.samples, alone.samples)
    found = diagnosis.diagnose(run, own)
    assert found.layers[0].steps == own.labels.shape[1]
    assert found.beside.measure == "miss_rate"
