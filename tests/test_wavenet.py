"""The wavenet task: from sound files to sound files, what is told of them, and what floors are worth."""

import itertools
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from unrolled import api, cli, diagnosis, guides, linear_prediction, mu_law, plucked
from unrolled.data import sound, waves
from unrolled.errors import UserError
from unrolled.progress import Progress
from unrolled.tasks import wavenet

RATE = plucked.RATE
SMALL = {"cycles": 1, "layers": 7, "residual": 16, "skip": 32, "batch": 4, "length": 1024, "rate": 0.01, "device": "cpu"}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    wavenet.demo(folder)
    return folder


@pytest.fixture(scope="module")
def run(sounds, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "plucked"
    return api.train("wavenet", sounds, out=out, steps=120, evaluations=1, quiet=True, **SMALL)


def small(sounds, out, **settings):
    return api.train("wavenet", sounds, out=out, steps=2, evaluations=1, quiet=True, **{**SMALL, "length": 256, **settings})


# --- mu-law and the floors


def test_mu_law_is_its_formula_and_its_own_inverse():
    levels = np.arange(256)
    assert (mu_law.levels(mu_law.samples(levels)) == levels).all()
    assert mu_law.levels(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).tolist() == [0, 0, mu_law.SILENCE, 255, 255]
    assert mu_law.levels(np.array([0.1])) == round(255 * (math.log(1 + 25.5) / math.log(256) + 1) / 2)
    edges = mu_law.edges()
    inside = np.random.default_rng(0).uniform(-1, 1, 1000)
    found = mu_law.levels(inside).astype(int)
    assert ((edges[found] <= inside) & (inside < edges[found + 1])).all()


def pieces(x):
    levels, edges = mu_law.levels(x), mu_law.edges()
    return linear_prediction.Piece(mu_law.samples(levels).astype(float), x, edges[:-1][levels], edges[1:][levels])


@pytest.fixture(scope="module")
def predicted():
    x = plucked.melody(2.0, RATE, seed=5).astype(float)
    return x, linear_prediction.fit([pieces(x[:8000])])


def test_the_probabilities_of_all_levels_sum_to_1(predicted):
    x, predictor = predicted
    edges, heard = mu_law.edges(), pieces(x[:600]).heard
    every = [
        linear_prediction.nats(predictor, linear_prediction.Piece(heard, x[:600], np.full(600, low), np.full(600, high)), 256)
        for low, high in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(np.exp(-np.array(every)).sum(0), 1, atol=1e-6)


def test_a_prediction_rests_on_earlier_samples_alone(predicted):
    x, predictor = predicted
    other = x.copy()
    other[300:] = 0.0
    nats = [linear_prediction.nats(predictor, pieces(each), 256) for each in (x[:600], other[:600])]
    assert (nats[0][:300] == nats[1][:300]).all() and (nats[0][301:] != nats[1][301:]).any()


def test_the_coefficients_are_those_of_least_squares(predicted):
    x, predictor = predicted
    heard = np.concatenate((np.zeros(32), pieces(x[:8000]).heard))
    past = np.stack([heard[32 - k : 8032 - k] for k in range(1, 33)], 1)
    expected = np.linalg.lstsq(past, x[:8000], rcond=None)[0]
    np.testing.assert_allclose(past @ predictor.coefficients, past @ expected, atol=1e-3)


def test_clipped_sound_is_predicted_too():
    x = np.clip(3 * plucked.melody(2.0, RATE, seed=5).astype(float), -1, 1)
    assert (np.abs(x) == 1).sum() > 100
    predictor = linear_prediction.fit([pieces(x)])
    nats = linear_prediction.nats(predictor, pieces(x), 256)
    counts = np.bincount(mu_law.levels(x), minlength=256)
    assert nats.mean() < linear_prediction.histogram_nats(counts, counts)


def test_a_histogram_of_its_own_sound_is_its_entropy():
    counts = np.array([5000, 3000, 2000])
    shares = counts / counts.sum()
    assert linear_prediction.histogram_nats(counts, counts) == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-6)


# --- reading


def test_silence_is_left_out_and_told(tmp_path):
    tone = (0.3 * np.sin(np.arange(2 * RATE) / 3)).astype(np.float32)
    sound.write(tmp_path / "a.wav", np.concatenate((tone, np.zeros(2 * RATE, np.float32), tone)), RATE)
    sound.write(tmp_path / "b.wav", np.zeros(RATE, np.float32), RATE)
    files = waves.read([tmp_path], RATE, -60.0)
    found = waves.split(files, [], 0.1, RATE, 1, -60.0)
    assert [len(s.samples) for s in files[0].stretches] == [2.1 * RATE, 2.1 * RATE]
    assert "2.8 s left out as silence" in found.said[1] and found.said[2].startswith("`b.wav`: left out whole")
    assert found.said[-1] == "3.8 s to learn from, 0.4 s to measure on"


def test_what_is_odd_about_a_file_is_told(tmp_path):
    loud = np.clip(2 * np.sin(np.arange(3 * RATE) / 5), -1, 1)
    soundfile.write(tmp_path / "stereo.wav", np.stack([loud, loud], 1), RATE)
    soundfile.write(tmp_path / "three.wav", np.stack([loud, loud, loud], 1), 2 * RATE)
    soundfile.write(tmp_path / "eight.wav", loud / 2, RATE, subtype="PCM_U8")
    said = "\n".join(waves.told(waves.read([tmp_path], RATE, -60.0), RATE, -60.0))
    assert "`stereo.wav`, `three.wav`: clipped" in said and "`stereo.wav`, `three.wav`: of several channels" in said
    assert "`eight.wav`: of 8 bits" in said and "8,000, 16,000 hertz" in said


def test_of_many_files_whole_ones_are_held_out(tmp_path):
    for i in range(20):
        sound.write(tmp_path / f"{i:02}.wav", plucked.melody(0.5, RATE, i), RATE)
    found = waves.split(waves.read([tmp_path], RATE, -60.0), [], 0.1, RATE, 1, -60.0)
    held, learnt = ({s.origin for s in part} for part in (found.dev, found.train))
    assert len(held) == 2 and not held & learnt and len(held | learnt) == 20


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(3 * RATE, np.float32), "there is only silence: nothing is louder than `--silence -60` decibels"),
        (plucked.melody(1.0, RATE, 1), r"there are 1\.00 seconds of sound; needed are at least 2"),
    ],
    ids=["silence", "short"],
)
def test_what_cannot_be_learnt_is_an_error(tmp_path, samples, message):
    sound.write(tmp_path / "a.wav", samples, RATE)
    with pytest.raises(UserError, match=message):
        small(tmp_path, tmp_path / "run")


def test_a_damaged_header_is_an_error(tmp_path):
    sound.write(tmp_path / "a.wav", plucked.melody(3.0, RATE, 1), RATE)
    data = (tmp_path / "a.wav").read_bytes()
    for name, damaged in {
        "rate": data[:24] + bytes(4) + data[28:],
        "cut": data[: len(data) // 2],
        "head": b"X" + data[1:],
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").write_bytes(damaged)
        with pytest.raises(UserError, match=r"a rate of 0 hertz|is damaged|is not read as sound"):
            small(tmp_path / name, tmp_path / "run")


# --- the net


@torch.no_grad()
def test_an_output_rests_on_earlier_samples_alone(run):
    cut = wavenet.Cutter(wavenet.part(run, [run.config.data[0]], None), run.model.field, run.config.hertz, run.config.head)
    batch = cut(np.array([5000]), 200)
    outputs = run.model(batch, ())[0]
    assert torch.equal(batch.inputs[0, run.model.field :], batch.targets[0, :-1])
    changed = batch.inputs.clone()
    changed[0, run.model.field + 99] = 255 - changed[0, run.model.field + 99]  # the target of step 99
    other = run.model(batch._replace(inputs=changed), ())[0]
    assert torch.equal(outputs[0, :100], other[0, :100]) and not torch.equal(outputs[0, 100], other[0, 100])


@pytest.mark.parametrize(
    "settings", [{}, {"head": "16-bit"}, {"cell": "gru", "layers": 1}, {"cell": "gru", "head": "16-bit", "layers": 1}]
)
def test_generating_gives_the_outputs_of_training(sounds, tmp_path, settings):
    run = small(sounds, tmp_path / "run", hidden=32, **settings)
    part = wavenet.part(run, [str(sounds)], None)
    batch = wavenet.Cutter(part, run.model.field, run.config.hertz, run.config.head)(np.array([9000]), 300)
    with torch.no_grad():
        expected = run.model(batch, ())[0]
    net = wavenet.synthesiser_of(run.model)
    found = net.force(batch.inputs.numpy(), net.start(1))[:, run.model.field - 1 :]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, rtol=1e-5)


def test_the_demo_is_learnt_in_few_steps(run):
    report = json.loads((run.folder / "report.json").read_text())
    assert report["dev"]["nats_per_sample"] < report["baselines"]["histogram"]["nats_per_sample"] - 1
    assert report["dev"]["bits_per_sample"] == pytest.approx(report["dev"]["nats_per_sample"] / math.log(2))
    assert report["baselines"]["linear prediction"]["nats_per_sample"] < 3.5
    exact, rounded = (row["nats_per_sample"] for row in report["tables"]["precisions"])
    assert exact == pytest.approx(report["dev"]["nats_per_sample"], abs=1e-4) and abs(rounded - exact) < 0.01
    made = sound.read(run.folder / "samples" / "120.wav", RATE)
    assert len(made) == 2 * RATE and made.std() > 0.01
    assert (run.folder / "samples" / "120.png").read_bytes().startswith(b"\x89PNG")


def test_every_sample_is_measured_once(run, sounds):
    part = wavenet.part(run, [str(sounds)], None)
    whole = wavenet.evaluate(run.model, run.codec, part)
    assert whole["samples"] == len(part) == 15 * RATE
    (table,) = wavenet.examine(run, part).values()
    assert [row["what"] for row in table][3:] == ["histogram", "linear prediction", "linear prediction, fixed spread"]
    assert table[0]["nats_per_sample"] == pytest.approx(whole["nats_per_sample"])


def test_batches_are_functions_of_seed_and_step(run, tmp_path, sounds):
    data = wavenet.read(run.config, tmp_path / "tokens")
    first, again = (wavenet.batches(run.config, data) for _ in range(2))
    assert all(torch.equal(first.batch(7)[i], again.batch(7)[i]) for i in range(3))
    assert not torch.equal(first.batch(7).inputs, first.batch(8).inputs)


LEVELS, REAL = (wavenet.Config(data=("x",), head=head) for head in ("mu-law", "16-bit"))


def test_remarks_name_what_is_wrong():
    floors = {"histogram": {"nats_per_sample": 5.0}, "linear prediction": {"nats_per_sample": 3.0}}
    assert "ln 256" in wavenet.remark(LEVELS, {"nats_per_sample": 5.55}, floors)
    assert "sees what it should predict" in wavenet.remark(LEVELS, {"nats_per_sample": 0.001}, floors)
    assert "below histogram; " in wavenet.remark(LEVELS, {"nats_per_sample": 4.0}, floors)
    assert "below histogram; " in wavenet.remark(REAL, {"nats_per_sample": 5.55}, {"histogram": {"nats_per_sample": 9.0}})
    assert "nothing is learnt yet: 11.090 nats is ln 65536" in wavenet.remark(REAL, {"nats_per_sample": 11.09}, floors)


# --- making sound


def make(run, tmp_path, name="new.wav", **options):
    made = wavenet.compose(run, wavenet.Sample(out=str(tmp_path / name), **options), api.Progress(True))
    return [sound.read(each.path, RATE) for each in made]


def test_the_same_seed_makes_the_same_sound_in_any_number_of_streams(run, tmp_path):
    one, again, other = (make(run, tmp_path, seconds=0.6, seed=seed)[0] for seed in (1, 1, 2))
    assert len(one) == round(0.6 * RATE)
    assert (one == again).all() and (one != other).any()
    several = make(run, tmp_path, "some.flac", seconds=0.2, seed=1, streams=3)
    assert len(several) == 3 and (several[0] != several[1]).any()


def test_a_prompt_stands_at_the_beginning(run, sounds, tmp_path):
    prompt = sound.read(sounds / "plucked-1.wav", RATE)
    (made,) = make(run, tmp_path, seconds=0.5, seed=1, prompt=str(sounds / "plucked-1.wav"))
    np.testing.assert_allclose(made[: len(prompt)], prompt, atol=1e-4)
    assert len(made) == len(prompt) + RATE // 2


def test_the_command_line_makes_sound(run, tmp_path, capsys):
    code = cli.run(["sample", str(run.folder), "--seconds", "0.1", "--out", str(tmp_path / "a.wav"), "--json"])
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(tmp_path / "a.wav") and told["times_real_time"] > 0
    assert cli.run(["sample", str(run.folder), "--out", "a.mp3"]) == 2
    assert "`--out a.mp3` does not say what to write; it may end in .wav or .flac" in capsys.readouterr().err
    assert cli.run(["sample", str(run.folder), "--top-k", "3"]) == 2
    assert "`--top-k` is for runs of `language`" in capsys.readouterr().err


# --- what leads it


def test_a_label_leads(sounds, tmp_path):
    for i, name in enumerate(("low", "high")):
        (tmp_path / "data" / name).mkdir(parents=True)
        samples = (0.3 * np.sin(np.arange(3 * RATE) * (0.1, 1.5)[i])).astype(np.float32)
        sound.write(tmp_path / "data" / name / "a.wav", samples, RATE)
    settings = {**SMALL, "steps": 60, "evaluations": 1, "labels": True, "quiet": True}
    run = api.train("wavenet", tmp_path / "data", out=tmp_path / "run", **settings)
    assert run.codec.labels == ["high", "low"]
    part = wavenet.part(run, [str(tmp_path / "data")], None)
    swapped = wavenet.dataclasses.replace(part, labels=1 - part.labels)
    right, wrong = (wavenet.evaluate(run.model, run.codec, each)["nats_per_sample"] for each in (part, swapped))
    assert right < wrong - 0.05
    made = [make(run, tmp_path, seconds=0.1, seed=1, label=name)[0] for name in run.codec.labels]
    assert (made[0] != made[1]).any()
    with pytest.raises(UserError, match="this run makes sound for a label; `--label` is one of high, low"):
        make(run, tmp_path, seconds=0.1)


@pytest.mark.parametrize("kind", ["logmel", "sound", "notes"])
def test_a_guide_leads(sounds, tmp_path, kind):
    (tmp_path / "guides").mkdir()
    for i in (1, 2, 3):
        (tmp_path / "guides" / f"plucked-{i}.tsv").write_text("0\t0.5\t60\n0.5\t5\t64\n")
        sound.write(tmp_path / "guides" / f"plucked-{i}.wav", plucked.melody(5.0, RATE, 9 + i), RATE)
    given = {} if kind == "logmel" else {"guides": str(tmp_path / "guides")}
    run = small(sounds, tmp_path / "run", guide_by=kind, **given)
    guide = tmp_path / "guides" / f"plucked-1.{'tsv' if kind == 'notes' else 'wav'}"
    (led,) = make(run, tmp_path, seconds=0.2, seed=1, guide=str(guide))
    assert len(led) == round(0.2 * RATE)
    with pytest.raises(UserError, match=f"this run is led by {kind}; `--guide` got `None`"):
        make(run, tmp_path, seconds=0.1)
    part = wavenet.part(run, [str(sounds)], None)
    batch = wavenet.Cutter(part, run.model.field, run.config.hertz, run.config.head)(np.array([9000]), 300)
    with torch.no_grad():
        expected = run.model(batch, ())[0]
    net = wavenet.synthesiser_of(run.model)
    found = net.force(batch.inputs.numpy(), net.start(1), wavenet._as_array(run.model, batch))[:, run.model.field - 1 :]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, rtol=1e-5)


def test_a_frame_stands_for_its_hundredth_of_a_second(sounds, tmp_path):
    run = small(sounds, tmp_path / "run", guide_by="logmel")
    part = wavenet.part(run, [str(sounds)], None)
    part = wavenet.dataclasses.replace(part, guide=np.arange(len(part.guide), dtype=np.float32)[:, None].repeat(40, 1))
    batch = wavenet.Cutter(part, run.model.field, run.config.hertz, run.config.head)(np.array([3217]), 400)
    seen = run.model.condition(batch.labels, batch.guides, batch.offsets, batch.inputs.shape[1])[0, :, 0].numpy()
    places = 3217 - run.model.field + np.arange(len(seen))
    np.testing.assert_array_equal(seen, places // 80)


def test_guides_that_do_not_fit_are_errors(sounds, tmp_path):
    with pytest.raises(UserError, match="needs `--guide-by sound` or `--guide-by notes`"):
        small(sounds, tmp_path / "run", guides=str(tmp_path))
    with pytest.raises(UserError, match=r"needs `--guides FOLDER`: a file for each sound"):
        small(sounds, tmp_path / "run", guide_by="notes")
    with pytest.raises(UserError, match=r"has no guide for `plucked-1\.wav`"):
        small(sounds, tmp_path / "run", guide_by="notes", guides=str(tmp_path))
    with pytest.raises(UserError, match="is not a folder"):
        small(sounds, tmp_path / "run", guide_by="notes", guides=str(tmp_path / "nowhere"))
    (tmp_path / "a.tsv").write_text("0\t1\tC4\n")
    with pytest.raises(UserError, match=r"`C4` is not a note; allowed are MIDI's numbers 0 to 127"):
        guides.notes(tmp_path / "a.tsv", 10)


def test_a_run_without_a_guide_takes_none(run, tmp_path):
    with pytest.raises(UserError, match=r"this run was trained without a guide; `--guide` got `a\.wav`"):
        make(run, tmp_path, seconds=0.1, guide="a.wav")


def test_silence_is_not_evaluated(run, tmp_path):
    sound.write(tmp_path / "a.wav", np.zeros(RATE, np.float32), RATE)
    with pytest.raises(UserError, match="there is nothing but silence to evaluate on"):
        wavenet.part(run, [str(tmp_path)], None)


def test_the_plucked_string_has_its_pitch():
    samples = plucked.pluck(200.0, 1.0, RATE, np.random.default_rng(1))[2000:]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()]
    assert abs(hertz / 200 - round(hertz / 200)) < 0.03


def test_its_recurrent_cell_is_diagnosed_and_convolutions_have_none(run, sounds, tmp_path):
    gru = small(sounds, tmp_path / "gru", cell="gru", layers=1, hidden=8)
    batch = wavenet.training_batch(gru, diagnosis.own_data(gru), tmp_path / "spool")
    assert torch.isfinite(gru.model.loss(gru.model(batch, None)[0], batch))
    found = diagnosis.diagnose(gru, batch)
    assert found.layers[0].steps == 600
    assert (
        found.beside.baseline == "linear prediction" and [v.fault for v in found.verdicts][-1] == "a simpler baseline does better"
    )
    with pytest.raises(UserError, match="has no recurrent layers"):
        diagnosis.diagnose(run, wavenet.training_batch(run, diagnosis.own_data(run), tmp_path / "spool"))


@pytest.mark.parametrize("cell", ["wavenet", "gru"])
def test_a_long_prompt_is_heard_piece_by_piece_and_no_further_back_than_it_counts(run, sounds, tmp_path, monkeypatch, cell):
    of = run if cell == "wavenet" else small(sounds, tmp_path / "gru", cell="gru", layers=1, hidden=8)
    prompt, asked = plucked.melody(0.7, RATE, seed=3), wavenet.Sample(seconds=0.05, seed=1)
    whole = wavenet.generate(of, asked, prompt)
    monkeypatch.setattr(wavenet, "AT_ONCE", 1000)
    np.testing.assert_array_equal(wavenet.generate(of, asked, prompt)[:, : len(prompt) + 400], whole)
    if cell == "wavenet":
        last = wavenet.generate(of, asked, prompt[-of.model.field :])
        np.testing.assert_array_equal(last[:, of.model.field :], whole[:, len(prompt) :])


def test_sound_lasts_as_long_as_its_guide(tmp_path):
    (tmp_path / "a.tsv").write_text("0\t0.5\t60\n1\t2.5\t64\n")
    led = SimpleNamespace(config=wavenet.Config(data=("x",), guide_by="notes"))
    assert wavenet._seconds(led, wavenet.Sample(guide=str(tmp_path / "a.tsv"))) == 2.5
    assert wavenet._seconds(led, wavenet.Sample(guide=str(tmp_path / "a.tsv"), seconds=1.0)) == 1.0
    assert wavenet._seconds(SimpleNamespace(config=wavenet.Config(data=("x",))), wavenet.Sample()) == 5.0
    (tmp_path / "none.tsv").write_text("begin\tend\tnote\n")
    with pytest.raises(UserError, match="there is no note to lead the sound"):
        wavenet._seconds(led, wavenet.Sample(guide=str(tmp_path / "none.tsv")))


def test_the_verb_needs_no_seconds(run, tmp_path, capsys):
    assert cli.run(["sample", str(run.folder), "--out", str(tmp_path / "new.wav"), "--seed", "1"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'new.wav'}\n" and "5 s each, " in told.err
    assert sound.info(tmp_path / "new.wav").seconds == 5.0


def test_of_guides_of_one_name_that_in_a_folder_named_alike_leads(tmp_path):
    for name in ("low", "high"):
        (tmp_path / "guides" / name).mkdir(parents=True)
        (tmp_path / "guides" / name / "a.tsv").write_text("0\t1\t60\n")
    for name in ("low", "high"):
        assert guides.beside("notes", tmp_path / "guides", tmp_path / "data" / name / "a.wav").parent.name == name
    with pytest.raises(UserError, match=r"has 2 guides for `a\.wav`"):
        guides.beside("notes", tmp_path / "guides", tmp_path / "data" / "a.wav")


def test_a_silent_dev_is_named(sounds, tmp_path):
    sound.write(tmp_path / "still.wav", np.zeros(3 * RATE, np.float32), RATE)
    with pytest.raises(UserError, match=r"there is only silence to validate on\n.*still\.wav"):
        small(sounds, tmp_path / "run", dev=(tmp_path / "still.wav",))


def test_a_folder_that_is_not_there_is_told_before_the_wait(run, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        wavenet.compose(run, wavenet.Sample(seconds=3600, out=str(tmp_path / "none" / "new.wav")), Progress(True))


def test_what_it_makes_while_it_trains_is_made_on_the_cpu(run, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(wavenet, "generate", lambda of, *_: asked.append(of.model) or np.zeros((1, 100), np.float32))
    wavenet.glimpse(run._replace(folder=tmp_path), 1)
    assert asked[0] is not run.model and next(asked[0].parameters()).device.type == "cpu"
