"""The video task: from clips to answers, of a clip and of each frame, whole and as the frames come."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from unrolled import api, cli, diagnosis, moving_shapes
from unrolled.config import build
from unrolled.data import frames, labelled_clips, pictures
from unrolled.data.labelled_clips import Columns, Labelled, Range
from unrolled.data.vocab import Codec
from unrolled.errors import UserError
from unrolled.tasks import video

SMALL = {"hidden": 32, "features": 64, "channels": 32, "dropout": 0.0, "shift": 0.0, "light": 0.0, "device": "cpu"}


def strip(path, shown):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pictures.png(np.concatenate(list(shown), 1)))
    return path


def lights(levels, side=16):
    """Frames of one brightness each."""
    return np.stack([np.full((side, side, 3), level, np.uint8) for level in levels])


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips that grow bright or dark: the same frames in the one order or the other."""
    folder, generator = tmp_path_factory.mktemp("clips"), np.random.default_rng(1)
    rows = ["clip\tway\tplace\tsplit"]
    for i in range(48):
        levels = np.sort(generator.integers(0, 256, generator.integers(4, 8)))
        strip(folder / "clips" / f"{i}.png", lights(levels if i % 2 else levels[::-1]))
        rows.append(
            f"{i}.png\t{'brighter' if i % 2 else 'darker'}\tplace {i % 5}\t{('train', 'train', 'val', 'test')[i // 2 % 4]}"
        )
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    data, out = [clips / "clips", clips / "labels.tsv"], tmp_path_factory.mktemp("runs") / "ways"
    return api.train("video", data, label="way", out=out, steps=60, evaluations=2, rate=0.01, quiet=True, **SMALL)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Clips that are bright in one range of frames, and a table of these ranges."""
    folder, generator = tmp_path_factory.mktemp("marked"), np.random.default_rng(2)
    rows = ["clip,first,last,label"]
    for i in range(16):
        begin, end = sorted(generator.choice(10, 2, replace=False).tolist())
        levels = np.full(12, 30)
        levels[begin : end + 1] = 220
        strip(folder / f"{i}.png", lights(levels))
        rows.append(f"{i}.png,{begin},{end},bright")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def run_of_frames(marked, tmp_path_factory):
    out, table = tmp_path_factory.mktemp("runs") / "bright", marked / "labels.csv"
    return api.train("video", table, out=out, steps=40, frames=8, evaluations=1, rate=0.01, holdout=0.3, quiet=True, **SMALL)


# --- one label a clip


def test_the_order_of_frames_is_learnt_and_the_floors_do_not_know_it(run):
    report = json.loads((run.folder / "report.json").read_text())
    assert report["dev"]["accuracy"] == 1.0 and report["dev"]["clips"] == 12
    assert report["baselines"]["mean pool"]["accuracy"] < 0.8  # a mean of lights says nothing of which came first
    assert report["baselines"]["mean pool"]["steps"] == report["baselines"]["single frame"]["steps"] == 60
    assert report["baselines"]["majority"]["accuracy"] == 0.5
    assert report["reached"][0].startswith("100.0 % right (75.8-100.0) of 12 clips; beside it majority 50.0 %")
    assert (
        report["reached"][1]
        == "every clip is resampled to 4 frames, so that its length (of 4 to 7) does not give the answer away"
    )
    assert "mean pool" in report["tables"]["measures"][0] and report["tables"]["confusion"][0]["brighter"] == 6


def test_what_is_read_and_held_out_is_said_before_training(clips, tmp_path, capsys):
    data = [clips / "clips", clips / "labels.tsv"]
    api.train("video", data, label="way", out=tmp_path / "run", steps=1, evaluations=1, **SMALL)
    said = capsys.readouterr().err
    assert (
        "read 24 clips to train on, 12 to validate on; the column `split` says what is validated on; left out: 12 of test" in said
    )
    assert "every clip is resampled to 4 frames" in said and "2 labels, of clips: brighter 50 %, darker 50 %" in said


def test_groups_are_held_out_whole(clips, tmp_path, capsys):
    data = [clips / "clips", clips / "labels.tsv"]
    found = api.train("video", data, label="way", group="place", out=tmp_path / "run", steps=1, evaluations=1, **SMALL)
    assert "groups held out whole: place" in capsys.readouterr().err
    about = json.loads((found.folder / "config.json").read_text())["data"]
    places = [{int(name.split("/")[-1].removesuffix(".png")) % 5 for name in about[part]["places"]} for part in ("train", "dev")]
    assert places[0] | places[1] == {0, 1, 2, 3, 4} and not places[0] & places[1]


@pytest.mark.parametrize(
    ("cell", "pooling"),
    [
        ("rnn", "last"),
        ("gru", "last"),
        ("gru", "mean"),
        ("gru_after", "max"),
        ("lstm", "mean"),
        ("lstm", "max"),
        ("none", "mean"),
    ],
)
@pytest.mark.parametrize("per", ["clip", "frame"])
def test_frame_by_frame_is_what_the_whole_gives(cell, pooling, per):
    settings = {**SMALL, "cell": cell, "layers": 2, "pooling": pooling, "frames": 5, "size": 16, "per": per, "steps": 1}
    torch.manual_seed(1)
    model = video.Model(build(video.Config, settings), Codec("words", (), ["a", "b", "c"])).eval()
    shown = torch.randint(0, 256, (3, 5, 16, 16, 3), dtype=torch.uint8)
    with torch.no_grad():
        state, answers = model.start(3), []
        for t in range(5):
            answer, state = model.step(shown[:, t], state)
            answers.append(answer)
        if per == "frame":
            whole = model(video.Batch(shown, None, None), None)[0]
        else:
            whole = torch.stack([model(video.Batch(shown[:, : t + 1], None, None), None)[0] for t in range(5)], 1)
    torch.testing.assert_close(torch.stack(answers, 1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("settings", [{"direction": "both"}, {"cell": "middle"}])
def test_a_net_that_needs_the_whole_clip_says_so(settings):
    config = build(video.Config, {**SMALL, **settings, "pooling": "mean", "frames": 3, "size": 16, "per": "clip", "steps": 1})
    model = video.Model(config, Codec("words", (), ["a", "b"]))
    with pytest.raises(UserError, match="this net answers to whole clips alone, not frame by frame"):
        model.start(1)
    shown = torch.randint(0, 256, (2, 3, 16, 16, 3), dtype=torch.uint8)
    assert model(video.Batch(shown, None, None), None)[0].shape == (2, 2)


def test_padding_behind_a_clip_changes_nothing():
    config = build(
        video.Config, {**SMALL, "direction": "both", "frames": 6, "size": 16, "per": "frame", "pooling": "last", "steps": 1}
    )
    model = video.Model(config, Codec("words", (), ["a", "b"])).eval()
    shown, noise = (torch.randint(0, 256, (1, n, 16, 16, 3), dtype=torch.uint8) for n in (4, 2))
    with torch.no_grad():
        alone = model(video.Batch(shown, torch.tensor([4]), None), None)[0]
        padded = model(video.Batch(torch.cat((shown, noise), 1), torch.tensor([4]), None), None)[0]
    torch.testing.assert_close(padded[:, :4], alone)
    labels = torch.tensor([[0, 1, 1, 0, video.IGNORED, video.IGNORED]])
    batch = video.Batch(torch.cat((shown, noise), 1), torch.tensor([4]), labels)
    torch.testing.assert_close(model.loss(padded, batch), model.loss(alone, video.Batch(shown, None, labels[:, :4])))


def test_batches_are_functions_of_the_step_and_go_through_all_clips(clips, tmp_path):
    config = build(
        video.Config, {"data": (str(clips / "clips"), str(clips / "labels.tsv")), "label": "way", "steps": 1, "batch": 5}
    )
    data = video.read(config, tmp_path / "tokens")
    config = video.plan(config, data)
    first, again = video.batches(config, data), video.batches(config, data)
    assert first.steps_per_epoch == 5
    for step in (0, 4, 7):
        one, other = first.batch(step), again.batch(step)
        assert (
            one.frames.shape == (5, 4, 16, 16, 3)
            and torch.equal(one.frames, other.frames)
            and torch.equal(one.labels, other.labels)
        )
    assert not torch.equal(first.batch(0).frames, first.batch(5).frames)
    seen = torch.cat([first.batch(step).labels for step in range(5)])[:24]
    assert torch.bincount(seen).tolist() == [12, 12]


def test_a_clip_is_moved_and_mirrored_as_a_whole():
    shown = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    moved = video._moved(shown, 1, -2)
    np.testing.assert_array_equal(moved[:, 1:, :2], shown[:, :3, 2:])
    np.testing.assert_array_equal(moved[:, 0], moved[:, 1])
    np.testing.assert_array_equal(moved[:, :, 2], moved[:, :, 3])


# --- answering


def test_many_clips_are_answered_and_a_bad_one_does_not_lose_the_others(run, clips, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    names = [str(clips / "clips" / "1.png"), str(tmp_path / "bad.png"), str(clips / "clips" / "2.png")]
    assert cli.run(["predict", str(run.folder), *names, "--json"]) == 2
    told = capsys.readouterr()
    answers = [json.loads(line) for line in told.out.splitlines()]
    assert [(answer["where"], answer["label"]) for answer in answers] == [(names[0], "brighter"), (names[2], "darker")]
    assert "is not a picture that can be read" in told.err
    assert cli.run(["predict", str(run.folder), f"@{clips / 'clips'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 48 and lines[9].startswith(f"{clips / 'clips' / '9.png'}\tbrighter\t")
    for i, frame in enumerate(lights([250, 150, 90, 20])):
        strip(tmp_path / "frames" / f"{i}.png", [frame])
    assert cli.run(["predict", str(run.folder), str(tmp_path / "frames")]) == 0  # a folder of frames is one clip
    assert capsys.readouterr().out.startswith("darker\t")
    (tmp_path / "list.txt").write_text(f"{names[0]}\n\n{names[2]}\n")
    assert cli.run(["predict", str(run.folder), f"@{tmp_path / 'list.txt'}"]) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == ["brighter", "darker"]


def test_each_frame_is_answered_as_it_comes(run, clips):
    clip = video.opened(run, clips / "clips" / "1.png")
    (answer,) = video.predict(run, [clip], video.Predict(each=True))
    assert [each["frame"] for each in answer.frames] == clip.numbers.tolist() and len(answer.frames) == 4
    assert answer.frames[-1]["probability"] == pytest.approx(answer.probability, abs=1e-5)
    lines = video.shown(answer, False).splitlines()
    assert lines[0].startswith("brighter\t") and lines[-1].startswith(f"frame {clip.numbers[-1]}\tbrighter\t")


def test_it_is_measured_on_a_part_of_a_table(run, clips, tmp_path, capsys):
    line = ["evaluate", str(run.folder), str(clips / "clips"), str(clips / "labels.tsv")]
    assert cli.run([*line, "--split", "test", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    measures = {row["measure"]: row for row in found["measures"]}
    assert measures["examples"]["value"] == 12 and measures["accuracy"]["value"] > 0.9
    assert cli.run([*line, "--split", "tset"]) == 2
    assert "no row has `tset` in its column `split`" in capsys.readouterr().err
    (tmp_path / "other.tsv").write_text(f"clip\tway\n{clips / 'clips' / '1.png'}\tsideways\n")
    assert cli.run(["evaluate", str(run.folder), str(tmp_path / "other.tsv")]) == 2
    error = capsys.readouterr().err
    assert "the label `sideways` is on no clip trained on; known are brighter, darker" in error and "other.tsv:2" in error


# --- labels of frames


def test_frames_are_labelled_in_ranges(run_of_frames, marked):
    report = json.loads((run_of_frames.folder / "report.json").read_text())
    assert report["dev"]["accuracy"] > 0.95 and report["dev"]["clips"] == 5 and report["dev"]["examples"] == 60
    accuracy, *others = report["tables"]["measures"]
    assert accuracy["from"] <= accuracy["value"] <= accuracy["to"] and {row["from"] for row in others} == {None}
    assert report["reached"][1] == "every frame is read; clips have 12, an example has 8 in a row"
    clip = video.opened(run_of_frames, marked / "3.png")
    (answer,) = video.predict(run_of_frames, [clip], video.Predict())
    begin, end = next(
        map(int, row.split(",")[1:3]) for row in (marked / "labels.csv").read_text().splitlines() if row.startswith("3.")
    )
    assert answer.label is None and ("bright", begin, end) in [(one["label"], one["first"], one["last"]) for one in answer.frames]
    assert answer.frames[0]["first"] == 0 and answer.frames[-1]["last"] == 11
    (each,) = video.predict(run_of_frames, [clip], video.Predict(each=True))
    assert [one["label"] for one in each.frames] == ["bright" if begin <= t <= end else "none" for t in range(12)]
    assert video.shown(answer, False).splitlines()[0].startswith("frames 0-")


def test_the_interval_of_frames_is_wider_than_that_of_as_many_trials():
    right = np.repeat([1, 0, 1, 1, 0, 1, 1, 1, 0, 1], 40).astype(bool)
    low, high = video._between(right, [40] * 10)
    assert low < 0.55 and high > 0.85
    low, high = video._between(right, [1] * 400)
    assert 0.62 < low < 0.7 < high < 0.78


# --- tables of clips


def found(tmp_path, lines, names=("clips", "labels.tsv"), per=None):
    (tmp_path / "clips").mkdir(exist_ok=True)
    (tmp_path / "labels.tsv").write_text("\n".join(lines) + "\n")
    return labelled_clips.find([str(tmp_path / name) for name in names], tmp_path / "spool", Columns(), per)


def test_paths_are_those_of_the_folder_named_or_beside_the_table(tmp_path):
    strip(tmp_path / "clips" / "a.png", lights([1]))
    strip(tmp_path / "b.png", lights([1]))
    read = found(tmp_path, ["video\tclass", "a.png\tx", "b.png\ty", "a.png\ty", "c.png\tx"])
    assert [one.path for one in read.clips] == [tmp_path / "clips" / "a.png", tmp_path / "b.png", tmp_path / "clips" / "c.png"]
    assert read.per == "clip" and read.again == [f"{tmp_path / 'labels.tsv'}:4"]
    faults = {}
    assert [one.label for one, _ in labelled_clips.readable(read.clips, frames.info, faults)] == ["x", "y"]
    assert labelled_clips.told(faults) == [
        f"1 left out that are not there ({tmp_path / 'clips' / 'c.png'}, {tmp_path / 'labels.tsv'}:5)"
    ]


def test_each_folder_may_be_a_label(tmp_path):
    for name in ("run/a.png", "run/b/1.png", "walk/c.png"):
        strip(tmp_path / name, lights([1]))
    read = labelled_clips.find([str(tmp_path)], tmp_path / "spool", Columns(), None)
    assert [(one.path.name, one.label) for one in read.clips] == [("a.png", "run"), ("b", "run"), ("c.png", "walk")]
    with pytest.raises(UserError, match="has 0 folders in it; each label is a folder of clips"):
        labelled_clips.find([str(tmp_path / "walk")], tmp_path / "spool", Columns(), None)


def test_frames_have_a_row_each_or_ranges(tmp_path):
    read = found(tmp_path, ["clip\tframe\tlabel", "a\t0\tx", "a\t2\ty", "b\t1\tx"])
    assert read.per == "frame" and [one.ranges for one in read.clips] == [
        [Range(0, 0, "x"), Range(2, 2, "y")],
        [Range(1, 1, "x")],
    ]
    assert labelled_clips.of_frames(read.clips[0], np.arange(4), 4, "rest") == ["x", "rest", "y", "rest"]
    one = Labelled(tmp_path, None, [Range(0, 5, "x"), Range(2, 3, "y")], None, None, "t.tsv:7")
    assert labelled_clips.of_frames(one, np.array([0, 2, 4]), 6, "rest") == ["x", "y", "x"]
    with pytest.raises(UserError, match="frame 5 is named of a clip that has 5: its last one is 4"):
        labelled_clips.of_frames(one, np.arange(5), 5, "rest")
    assert found(tmp_path, ["clip\tframe\tlabel", "a\t0\tx", "b\t2\ty"], per="clip").per == "clip"


@pytest.mark.parametrize(
    ("lines", "per", "message"),
    [
        (["clip\tfirst\tlast\tlabel", "a\t3\t2\tx"], None, "frames `3` to `2` are no range of whole numbers from 0"),
        (["clip\tlabel", "a\tx"], "frame", "`--per frame` needs columns of frames; there are clip, label"),
        (["clip\tx1\tx2", "a\tx\ty"], None, "which column is the label of a row is not obvious: `clip` "),
        (["clip\tlabel", "a\tx\ty"], None, "3 cells stand in this row; the first line names 2 columns"),
        (["clip\tlabel", "a\t"], None, "there is no `label` in this row"),
        (["clip\tlabel"], None, "there are no clips in the table"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path, lines, per, message):
    with pytest.raises(UserError) as error:
        found(tmp_path, lines, per=per)
    assert message in error.value.what and str(tmp_path / "labels.tsv") in error.value.where


def test_clips_are_split_by_label_or_by_group(tmp_path):
    many = [Labelled(tmp_path / str(i), "xy"[i % 2], [], None, None, "") for i in range(40)]
    train, dev, _ = labelled_clips.split(many, 0.2, 1)
    assert sorted(train + dev) == list(range(40)) and [many[i].label for i in dev].count("x") == 4 == len(dev) / 2
    with pytest.raises(UserError, match="all clips are of the group `a`: none can be held out"):
        labelled_clips.split([one._replace(group="a") for one in many], 0.2, 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["x"] * 6, "every clip to train on has the label `x`: there is nothing to tell apart"),
        (list("abcdef"), "different labels of 6 clips to train on; is `--label` the right column?"),
    ],
)
def test_labels_that_cannot_be_learnt_are_told(tmp_path, labels, message):
    rows = [f"{strip(tmp_path / f'{i}.png', lights([i, i]))}\t{label}" for i, label in enumerate(labels)]
    (tmp_path / "labels.tsv").write_text("\n".join(["clip\tlabel", *rows]) + "\n")
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        api.train("video", tmp_path / "labels.tsv", out=tmp_path / "run", steps=1, holdout=0.01, quiet=True, **SMALL)


def test_no_clip_to_train_or_validate_on_is_told(tmp_path):
    rows = [f"{strip(tmp_path / f'{i}.png', lights([i, i]))}\t{'xy'[i % 2]}" for i in range(6)]
    (tmp_path / "labels.tsv").write_text("\n".join(["clip\tlabel", *rows]) + "\n")
    with pytest.raises(UserError, match="6 clips to train on and 0 to validate on; at least one of each is needed"):
        api.train("video", tmp_path / "labels.tsv", out=tmp_path / "run", steps=1, holdout=0.01, quiet=True, **SMALL)
    (tmp_path / "labels.tsv").write_text("clip\tlabel\nnowhere.gif\tx\n")
    with pytest.raises(UserError, match="no clip can be read") as error:
        api.train("video", tmp_path / "labels.tsv", out=tmp_path / "run", steps=1, quiet=True, **SMALL)
    assert "1 left out that are not there" in error.value.fix


# --- the demonstration's clips


def test_a_way_back_shows_the_same_frames_in_the_other_order():
    for pair in range(3):
        places = moving_shapes.way(pair, 9, np.random.default_rng(pair))
        assert places.shape == (9, 2) and np.abs(places).max() <= 0.8
        drawn = moving_shapes.draw(places, "disc", "red", np.random.default_rng(5))
        back = moving_shapes.draw(places[::-1], "disc", "red", np.random.default_rng(5))
        assert drawn.shape == (9, 32, 32, 3)
        np.testing.assert_allclose(drawn[::-1].astype(int), back.astype(int), atol=60)
    right = moving_shapes.way(0, 5, np.random.default_rng(1))
    assert (np.diff(right[:, 1]) > 0).all() and np.ptp(right[:, 0]) == 0
    turn = moving_shapes.way(2, 40, np.random.default_rng(1))
    y, x = (turn - turn.mean(0)).T
    assert (x[:-1] * y[1:] - y[:-1] * x[1:] > 0).all()  # y points down: from right to below to left is clockwise


def test_ways_and_shapes_are_drawn_evenly():
    generator = np.random.default_rng(3)
    made = [moving_shapes.clip(generator)[1:] for _ in range(600)]
    for column, kinds in zip(zip(*made, strict=True), (6, 4, 4), strict=True):
        counts = np.unique(column, return_counts=True)[1]
        assert len(counts) == kinds and counts.min() > 0.6 * 600 / kinds


def test_the_demo_is_written_in_the_real_format(tmp_path):
    table = moving_shapes.write_clips(tmp_path, 6, 3, seed=1)
    read = labelled_clips.find([str(tmp_path / "clips"), str(table)], tmp_path / "spool", Columns(), None)
    assert read.label == "motion" and [one.split for one in read.clips].count("val") == 3
    about = frames.info(read.clips[0].path)
    assert about.height == about.width == 32 and moving_shapes.FEWEST <= about.frames <= moving_shapes.MOST


def test_a_run_goes_on_from_another_with_more_labels(run, clips, tmp_path):
    rows = (clips / "labels.tsv").read_text().splitlines()
    changed = [row.replace("darker", "dimmer") if i % 4 == 1 else row for i, row in enumerate(rows)]
    (tmp_path / "labels.tsv").write_text("\n".join(changed) + "\n")
    data = [clips / "clips", tmp_path / "labels.tsv"]
    found = api.train("video", data, out=tmp_path / "run", start_from=run.folder, label="way", steps=1, evaluations=1, quiet=True)
    assert found.codec.labels == ["brighter", "darker", "dimmer"] and found.config.features == 64
    assert dataclasses.replace(found.config, frames=4).hidden == 32


# --- looking


def test_what_is_believed_as_frames_come_ends_with_the_answer(run, clips):
    path = clips / "clips" / "3.png"
    found, (answer,) = video.look(run, str(path)), video.predict(run, [video.opened(run, path)], video.Predict(each=True))
    assert (found.answer, found.asked) == (answer.label, None) and found.probability == pytest.approx(answer.probability)
    assert found.shares[-1] == pytest.approx(list(answer.probabilities.values()), abs=1e-5)
    assert found.shares.max(1) == pytest.approx([each["probability"] for each in answer.frames], abs=1e-5)
    assert found.numbers.tolist() == [each["frame"] for each in answer.frames]


def test_the_frame_that_is_bright_itself_moved_its_label(run_of_frames, marked):
    found = video.look(run_of_frames, str(marked / "0.png"))
    bright = found.frames.mean((1, 2, 3)) > 100
    at = int(np.flatnonzero(bright)[0])
    asked = video.look(run_of_frames, str(marked / "0.png"), video.Look(frame=at))
    assert asked.asked == at and asked.answer == "bright" and int(asked.falls.argmax()) == at
    assert np.abs(asked.falls[at + 1 :]).max(initial=0) < 1e-5  # read forward, what comes later moves nothing
    assert found.asked == found.shares.max(1).argmin()


def test_of_a_net_that_sees_one_frame_the_others_move_nothing(clips, tmp_path):
    data = [clips / "clips", clips / "labels.tsv"]
    made = api.train("video", data, label="way", out=tmp_path / "run", steps=2, cell="middle", evaluations=1, quiet=True, **SMALL)
    found = video.look(made, str(clips / "clips" / "3.png"))
    others = np.arange(len(found.falls)) != len(found.falls) // 2
    assert np.abs(found.falls[others]).max() < 1e-6 < np.abs(found.falls[~others]).max()
    assert np.abs(found.slopes[others]).max() < 1e-6 < np.abs(found.slopes[~others]).max()


def test_a_look_at_a_clip_is_written_as_page_picture_and_arrays(run, run_of_frames, clips, marked, tmp_path, capsys):
    path = str(clips / "clips" / "3.png")
    for name, begins in (("a.html", b"<!doctype"), ("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        assert cli.run(["look", str(run.folder), path, "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(begins)
    said = capsys.readouterr()
    assert "gradient_times_input" in said.out and "correlation of gradient × input with occlusion" in said.err
    page, found = (tmp_path / "a.html").read_text(), video.look(run, path)
    assert page.count("<figure") == len(found.frames) == page.count("data:image/png") and "default-src 'none'" in page
    assert cli.run(["look", str(run_of_frames.folder), str(marked / "0.png"), "--json", "--frame", "5"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["asked"] == 5 and np.array(told["probabilities"]).shape == (12, 2) and len(told["occlusion"]) == 12
    assert told["probability"] == pytest.approx(max(told["probabilities"][5]), abs=1e-4)


def test_a_clip_that_cannot_be_looked_at_is_told(run_of_frames, marked, tmp_path):
    with pytest.raises(UserError, match="`--frame 99` is none of the frames that are read"):
        video.look(run_of_frames, str(marked / "0.png"), video.Look(frame=99))
    long = strip(tmp_path / "long.png", lights([30] * 70))
    with pytest.raises(UserError, match="` has 70 frames that are read; 64 fit on a page"):
        video.look(run_of_frames, str(long))


@pytest.mark.parametrize(("of", "steps"), [("run", 4), ("run_of_frames", 8)])
def test_it_is_diagnosed_on_its_own_clips(of, steps, request, tmp_path):
    run = request.getfixturevalue(of)
    found = diagnosis.diagnose(run, video.training_batch(run, diagnosis.own_data(run), tmp_path / "spool"))
    assert (found.layers[0].steps, found.layers[0].norms[0]) == (steps, pytest.approx(0, abs=1e-5))
    assert found.beside.measure == "accuracy"
