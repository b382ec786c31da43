"""The caption task: the contract of every task, and what is special to an answer that rests on places of a picture."""

import copy
import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from unrolled import api, captioner, cli, coloured_shapes, diagnosis, gaze_page, pointing
from unrolled.caption_scores import Texts, cider
from unrolled.critic import Critic
from unrolled.data import augment, pictures
from unrolled.data.vocab import END, UNKNOWN
from unrolled.decode import Beam
from unrolled.errors import UserError
from unrolled.packed_decoder import writing
from unrolled.tasks import caption
from unrolled.tasks.caption import Predict, predict

SMALL = {
    "hidden": 32,
    "width": 16,
    "embedding": 32,
    "size": 32,
    "stages": 2,
    "evaluations": 2,
    "batch": 16,
    "device": "cpu",
    "quiet": True,
}


def train(data, out, **changes):
    return api.train("caption", data, out=out, **(SMALL | {"steps": 4, "rate": 0.004} | changes))


def draw(folder, number=90, captions=1, split=True):
    """Pictures of one colour, said in one word of four; every sixth is to validate on."""
    folder.mkdir(parents=True, exist_ok=True)
    random, rows = np.random.default_rng(1), []
    for i in range(number):
        name, colour = list(coloured_shapes.COLOURS.items())[i % 4]
        pixels = np.clip(np.array(colour) + random.normal(0, 12, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        texts = [f"a {name} thing", f"all is {name}", f"this is {name}"][:captions]
        part = {"split": "val" if i % 6 == 0 else "train"} if split else {}
        rows.append({"picture": f"{i}.png", "captions": texts, "regions": {name: [0, 0, 1, 1]}, **part})
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [folder, folder / "captions.jsonl"]


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A run that has learnt four colours."""
    folder = tmp_path_factory.mktemp("colours")
    return train(draw(folder / "data", captions=3), folder / "run", steps=80, average=0)


@pytest.fixture(scope="module")
def young(tmp_path_factory):
    """A run of a few steps, which knows nothing."""
    folder = tmp_path_factory.mktemp("young")
    return train(draw(folder / "data", 24), folder / "run")


def report(run) -> dict:
    return json.loads((run.folder / "report.json").read_text())


def picture(path, colour):
    Image.new("RGB", (50, 40), coloured_shapes.COLOURS[colour]).save(path)
    return path


# --- what is learnt


def test_it_learns_to_say_the_colour_and_reports_it_beside_the_floors(colours, tmp_path):
    answers = predict(colours, [picture(tmp_path / f"{name}.png", name) for name in ("red", "blue")], Predict())
    assert ["red" in answers[0].text, "blue" in answers[1].text, "red" in answers[1].text] == [True, True, False]
    rows = {row["measure"]: row for row in report(colours)["tables"]["measures"]}
    assert rows["cider"]["value"] > rows["cider"]["one caption for all"] and rows["cider"]["people"] is not None
    assert rows["pointing"]["value"] == 1.0 and "slots" not in rows  # every look is somewhere in the picture
    assert report(colours)["dev"]["cider"] == pytest.approx(rows["cider"]["value"])
    assert any("one caption for all" in line and "CIDEr" in line for line in report(colours)["reached"])


def test_the_run_says_the_same_after_it_is_loaded_and_whatever_is_beside(colours, tmp_path):
    paths = [picture(tmp_path / f"{name}.png", name) for name in coloured_shapes.COLOURS]
    again = api.load(colours.folder)
    together = predict(again, paths, Predict(best=3))
    for path, answer in zip(paths, together, strict=True):
        (alone,) = predict(colours, [path], Predict(best=3))
        assert [one.text for one in alone.best] == [one.text for one in answer.best]
        assert [one.nats for one in alone.best] == pytest.approx([one.nats for one in answer.best], abs=1e-4)
    assert predict(again, [], Predict()) == []


def test_a_resumed_run_equals_an_unbroken_one(tmp_path, monkeypatch):
    data = draw(tmp_path / "data", 24)
    settings = {"steps": 6, "own": 0.5, "augment": 1.0, "dropout": 0.2, "everywhere": 0.1}
    whole = train(data, tmp_path / "whole", **settings)

    class Stop(Exception):
        pass

    calls, real = [], caption.evaluate

    def stop(model, codec, part, limit=None):
        calls.append(1)
        if len(calls) == 2:
            raise Stop
        return real(model, codec, part, limit)

    monkeypatch.setattr(caption, "evaluate", stop)
    with pytest.raises(Stop):
        train(data, tmp_path / "cut", **settings)
    monkeypatch.setattr(caption, "evaluate", real)
    resumed = api.resume(tmp_path / "cut", quiet=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


# --- the net


def batch(model, texts=((5, 6), (7,)), pictures=2):
    ids = torch.tensor([[[END, *text, *[0] * (3 - len(text))] for text in texts]] * pictures)
    following = torch.tensor([[[*text, END, *[0] * (3 - len(text))] for text in texts]] * pictures)
    lengths = torch.tensor([[len(text) + 1 for text in texts]] * pictures)
    return caption.Batch(torch.rand(pictures, 3, 32, 32), ids, following, lengths)


def test_the_step_of_the_search_says_what_training_sees(young):
    model = young.model.eval()
    given = batch(model)
    with torch.no_grad():
        (features, *_), _ = model(given, None)
        step, state = writing(captioner.decoder(model), *captioner.read(model, given.pictures))
        for t in range(3):
            logits, state = step(given.target[:, 0, t].numpy(), state)
            logits = logits[:, : model.output.out_features]
            np.testing.assert_allclose(logits, model.output(features[:, 0, t]).numpy(), atol=1e-5)


def test_padding_changes_no_loss_and_every_weight_has_a_gradient(young):
    model = young.model.train()
    given = batch(model)
    loss = model.loss(model(given, None)[0], given)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in model.named_parameters() if "norm" not in n)
    model.zero_grad()
    other = given._replace(
        target=given.target.clone().index_fill_(2, torch.tensor(3), 3),
        following=given.following.index_fill(2, torch.tensor(3), 3),
    )
    torch.testing.assert_close(model.loss(model(other, None)[0], other), loss)


def test_the_term_of_places_unseen_is_none_for_even_looks_and_large_for_one_place(young):
    model, given = young.model.train(), batch(young.model)
    model.everywhere = 2.0
    features, places = torch.zeros(2, 2, 4, 32), 64
    even = torch.full((2, 2, 4, places), 1 / places)
    single = torch.zeros(2, 2, 4, places).index_fill_(3, torch.tensor(5), 1.0)
    apart = model.loss((features, single, None), given) - model.loss((features, even, None), given)
    model.everywhere = 0.0
    torch.testing.assert_close(apart, torch.tensor(2.0 * (63**2 + 63) / 64))
    torch.testing.assert_close(model.loss((features, single, None), given), model.loss((features, even, None), given))


# --- learning from what it writes


def test_the_critic_measures_as_the_scores_do():
    random = np.random.default_rng(2)
    references = [[list(random.integers(3, 9, random.integers(1, 7))) for _ in range(random.integers(1, 4))] for _ in range(12)]
    captions = [list(random.integers(3, 11, size)) for size in (0, 1, 2, 3, 4, 5, 6, 7, 3, 3, 4, 2)]
    said = [[str(i) for i in ids] for ids in captions]
    texts = Texts.of(said, [[[str(i) for i in ids] for ids in some] for some in references])
    judge = Critic(references)
    got = [float(judge([own], some)[0]) for own, some in zip(captions, references, strict=True)]
    np.testing.assert_allclose(got, cider(texts), atol=1e-9)
    assert max(got) > 0.5


def test_captions_that_earn_more_become_likelier(young):
    model = copy.deepcopy(young.model).eval()
    given = batch(model, pictures=1)
    following = torch.tensor([[[5, 6, END], [7, END, END]]])
    tried = caption.Tried(torch.tensor([[[END, 5, 6], [END, 7, END]]]), following, torch.tensor([[2.0, 0.5]]))

    def nats() -> torch.Tensor:
        features = model.read(tried.target, *model.encode(given.pictures))[0]
        each = torch.nn.functional.cross_entropy(model.output(features)[0].mT, following[0], reduction="none")
        return torch.stack((each[0].sum(), each[1, :2].sum())), features

    before, features = nats()
    loss = model._criticised(features, tried)
    assert float(loss.detach()) == pytest.approx(10 - 1.25)
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.001 * (torch.zeros(()) if p.grad is None else p.grad)
        better, worse = (nats()[0] - before).tolist()
    assert better < 0 < worse


def test_what_is_tried_ends_is_scored_and_has_no_unknown_word(colours):
    model = copy.deepcopy(colours.model).train()
    model.critic = Critic([[[5, 6, END]], [[7, END]]])
    tried = model._tried(given := batch(model, pictures=3), *model.encode(given.pictures))
    assert tried.following.shape[:2] == tried.earned.shape == (3, caption.TRIES)
    assert not (tried.following == UNKNOWN).any() and torch.equal(tried.target[:, :, 1:], tried.following[:, :, :-1])
    for own, earned in zip(tried.following.flatten(0, 1).tolist(), tried.earned.flatten().tolist(), strict=True):
        said = own[: (*own, END).index(END) + 1]
        assert set(own[len(said) :]) <= {END}
        assert earned == pytest.approx(float(model.critic([said], [[5, 6, END], [7, END]])[0]), abs=1e-5)


def test_a_run_goes_on_by_what_it_writes_and_a_weak_one_is_refused(colours, young, tmp_path):
    data = draw(tmp_path / "data", captions=3)
    found = train(data, tmp_path / "run", start_from=colours.folder, critical=True, steps=6)
    assert report(found)["dev"]["cider"] >= 0.9 * report(colours)["dev"]["cider"] > 0
    logged = [json.loads(line) for line in (found.folder / "log.jsonl").read_text().splitlines()]
    assert all(0 < row["train"] < 10 for row in logged if "train" in row)
    for weak in ({"start_from": young.folder}, {}):
        with pytest.raises(UserError, match="the net is too weak to learn from what it writes"):
            train(draw(tmp_path / "other", 24), tmp_path / "weak", critical=True, **weak)
        assert not (tmp_path / "weak").exists()


def test_a_closed_gate_leaves_the_picture_out(young):
    model, given = young.model.eval(), batch(young.model)
    memory, _ = model.encode(given.pictures)
    hidden = torch.rand(2, 4, 32)
    before = model.gate.bias.data.clone()
    with torch.no_grad():
        model.gate.bias.fill_(-1e9)
        closed = model.combined(hidden, memory, model.attention.keys(memory))[0]
        torch.testing.assert_close(closed, model.combined(hidden, memory * 3, model.attention.keys(memory))[0])
        model.gate.bias.copy_(before)
        assert (model.combined(hidden, memory, model.attention.keys(memory))[0] - closed).abs().max() > 1e-3


# --- decoding


def test_a_search_of_a_net_that_never_ends_gives_its_best_unfinished_caption(young):
    model = young.model.eval()
    before = model.output.bias.data.clone()
    with torch.no_grad():
        model.output.bias[END] = -1e9
        found = captioner.search([model], torch.rand(3, 3, 32, 32), Beam(3), 4, [UNKNOWN])
        model.output.bias.copy_(before)
    assert [len(one) for one in found] == [3, 3, 3]
    assert all(len(h.ids) == 4 and not h.ended and UNKNOWN not in h.ids for one in found for h in one)


def test_a_wider_search_is_never_less_likely_than_the_likeliest_symbol_each_time(young):
    seen = torch.rand(70, 3, 32, 32)  # more than are searched at once
    greedy, wide = (captioner.search([young.model], seen, Beam(width), 8, [UNKNOWN]) for width in (1, 6))
    assert len(wide) == 70
    assert all(w[0].nats >= g[0].nats - 1e-5 for g, w in zip(greedy, wide, strict=True))


def test_captions_of_a_diverse_search_hold_more_words_and_are_all_different(colours, tmp_path, capsys):
    paths = [picture(tmp_path / f"{name}.png", name) for name in coloured_shapes.COLOURS]

    def texts(**options):
        answers = predict(colours, paths, Predict(best=4, beam=4, **options))
        return [[one.text for one in answer.best] for answer in answers]

    alike, apart = texts(), texts(diversity=20.0)
    for some, others in zip(apart, alike, strict=True):
        first = {text.split()[0] for text in some if text}
        assert len(set(some)) == len(some) == 4 and len(first) > len({text.split()[0] for text in others if text})
    assert texts(diversity=0.5, groups=2) != texts(diversity=0.5, groups=4)
    with pytest.raises(UserError, match="cannot be shared alike"):
        texts(diversity=0.5, groups=3)
    assert cli.run(["predict", str(colours.folder), str(paths[0]), "--best", "2", "--groups", "5"]) == 2
    assert "`--groups 5` is given without `--diversity`" in capsys.readouterr().err
    assert cli.run(["predict", str(colours.folder), str(paths[0]), "--best", "2", "--diversity", "0.5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_runs_vote_and_one_with_other_symbols_does_not(colours, young, tmp_path):
    path = picture(tmp_path / "a.png", "green")
    twice = caption.together(colours, [colours])
    assert predict(twice, [path], Predict())[0].probability == pytest.approx(predict(colours, [path], Predict())[0].probability)
    with pytest.raises(UserError, match="has other symbols or another --size than"):
        caption.together(colours, [young])
    with pytest.raises(UserError, match="`--best 6` is more than `--beam 5` keeps"):
        predict(colours, [path], Predict(best=6))


# --- reading


def test_without_a_split_a_part_is_held_out_by_the_seed(tmp_path):
    data = draw(tmp_path / "data", 24, split=False)
    first, again, other = (
        caption.read(caption.Config(data=tuple(map(str, data)), size=32, holdout=0.25, seed=seed), tmp_path / str(i))
        for i, seed in enumerate((1, 1, 2))
    )
    assert (len(first.train), len(first.dev)) == (18, 6)
    assert first.dev.album.places == again.dev.album.places != other.dev.album.places
    assert not set(first.dev.album.places) & set(first.train.album.places)


def test_a_test_part_is_left_for_evaluate_which_leaves_out_what_was_trained_on(young, tmp_path, capsys):
    data = draw(tmp_path / "data", 24)
    rows = [json.loads(line) for line in data[1].read_text().splitlines()]
    for row in rows[:3]:
        row["split"] = "test"
    data[1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = caption.read(caption.Config(data=tuple(map(str, data)), size=32), tmp_path / "read")
    assert "3 pictures of the part `test` are not read in training" in found.accounts["said"]
    part = caption.part(young, [str(path) for path in data], tmp_path)
    assert len(part) == 3 + len(found.dev)
    for row in rows:
        row["split"] = "train"
    data[1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="all pictures are marked as trained on"):
        caption.part(young, [str(path) for path in data], tmp_path)


def test_too_few_pictures_are_refused(tmp_path):
    data = draw(tmp_path / "data", 1, split=False)
    with pytest.raises(UserError, match="too few pictures to train on and to validate on"):
        train(data, tmp_path / "run")


def test_rare_words_are_unknown_and_never_written(tmp_path):
    data = draw(tmp_path / "data", 24)
    data[1].write_text(data[1].read_text().replace('a red thing"', 'a red zebra"', 1))
    found = caption.read(caption.Config(data=tuple(map(str, data)), size=32, least=2), tmp_path / "read")
    assert "zebra" not in found.codec.symbols and "thing" in found.codec.symbols


def test_captions_that_tell_left_from_right_keep_pictures_as_they_are(tmp_path):
    data = draw(tmp_path / "data", 24)
    config = caption.Config(data=tuple(map(str, data)), size=32, batch=4, steps=4)
    found = caption.read(config, tmp_path / "read")
    assert caption.batches(config, found).flips
    assert not caption.batches(dataclasses.replace(config, flip="no"), found).flips
    found.train.album.captions[0][0] = "the left one"
    assert not caption.batches(config, found).flips


def test_a_batch_holds_each_caption_with_its_end(tmp_path):
    found = caption.read(
        caption.Config(data=tuple(map(str, draw(tmp_path / "data", 12, captions=3))), size=32), tmp_path / "read"
    )
    given = caption.batch_of(found.train, np.array([0, 2]), torch.zeros(2, 3, 32, 32), None)
    assert given.target.shape == (2, 3, 4) and (given.lengths == 4).all() and (given.following[:, :, 3] == END).all()
    assert found.codec.decode(given.following[1, 1, :3].tolist()) == caption.plain(found.train.album.captions[2][1])
    assert torch.equal(given.target[:, :, 1:], given.following[:, :, :-1]) and (given.target[:, :, 0] == END).all()


# --- augmentation


def test_no_strength_leaves_pictures_as_they_are_and_a_flip_turns_them():
    seen = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    same = augment.augmented(seen, np.random.default_rng(1), 0.0, flip=False)
    torch.testing.assert_close(same, augment.plain(seen))
    turned = augment.augmented(seen, np.random.default_rng(1), 0.0, flip=True)
    mirrored = [bool(torch.allclose(a, b.flip(2), atol=1e-5)) for a, b in zip(turned, augment.plain(seen), strict=True)]
    kept = [bool(torch.allclose(a, b, atol=1e-5)) for a, b in zip(turned, augment.plain(seen), strict=True)]
    assert sum(mirrored) + sum(kept) == 40 and 8 < sum(mirrored) < 32


def test_full_strength_changes_every_picture_within_its_bounds():
    seen = np.random.default_rng(0).integers(0, 255, (20, 16, 16, 3), np.uint8)
    found = augment.augmented(seen, np.random.default_rng(1), 1.0, flip=False)
    assert found.min() >= 0 and found.max() <= 1
    assert ((found - augment.plain(seen)).abs().mean((1, 2, 3)) > 0.02).all()


# --- the demo, look, the command line


def test_what_is_drawn_stands_where_it_is_said_to_and_has_the_colour_said():
    random = np.random.default_rng(3)
    for _ in range(60):
        drawn = coloured_shapes.draw(random)
        words = drawn.caption.split()
        boxes = list(drawn.regions.values())
        if len(boxes) == 2:
            (l0, t0, r0, b0), (l1, t1, r1, b1) = boxes
            assert (l0 + r0 < l1 + r1) if "left" in words else (t0 + b0 < t1 + b1)
        for phrase, (left, top, right, bottom) in drawn.regions.items():
            colour, shape = phrase.split()
            inside = drawn.pixels[round(top * 64) : round(bottom * 64), round(left * 64) : round(right * 64)].astype(int)
            near = np.abs(inside - coloured_shapes.COLOURS[colour]).max(2) < 30
            assert near.mean() > 0.25 and phrase in drawn.caption
            assert near[near.shape[0] // 2, near.shape[1] // 2] == (shape != "ring")
        assert len(pointing.named(words, drawn.regions)) == 2 * len(boxes)


def test_the_demo_writes_data_that_the_task_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(caption, "DEMO_PICTURES", 30)
    found = caption.read(caption.Config(data=tuple(map(str, caption.demo(tmp_path / "demo")))), tmp_path / "read")
    assert (len(found.train), len(found.dev), found.accounts["size"]) == (28, 2, 64)
    assert all(found.train.album.regions)


def test_look_shows_every_word_with_its_place(colours, tmp_path, capsys):
    path, out = picture(tmp_path / "a.png", "blue"), tmp_path / "look.html"
    assert cli.run(["look", str(colours.folder), str(path), "--out", str(out), "--json"]) == 0
    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = caption.look(colours, str(path))
    assert told["words"] == found.words and "blue" in found.words and found.words[-1] == gaze_page.END
    assert found.weights.shape == (len(found.words), 8, 8)
    np.testing.assert_allclose(found.weights.sum((1, 2)), 1, atol=1e-5)
    assert found.picture.shape == (40, 50, 3)
    html = out.read_text()
    assert html.count("<figure") == len(found.words) and html.count("<i ") == 64 * len(found.words)
    image = pictures.png(found.picture)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image))), found.picture)
    assert gaze_page.ENDINGS[".png"](found).startswith(b"\x89PNG")


def test_predict_names_pictures_and_goes_on_after_one_that_is_damaged(colours, tmp_path, capsys):
    good, bad = picture(tmp_path / "a.png", "red"), tmp_path / "b.png"
    bad.write_bytes(good.read_bytes()[:50])
    assert cli.run(["predict", str(colours.folder), str(good), str(bad), str(good)]) == 2
    told = capsys.readouterr()
    assert "b.png` is damaged or cut off" in told.err
    assert [line.split("\t")[0] for line in told.out.splitlines()] == [str(good)] * 2
    assert all("red" in line for line in told.out.splitlines())


def test_evaluate_prints_measures_beside_the_floors(colours, tmp_path, capsys):
    data = draw(tmp_path / "data", 24, captions=3)
    assert cli.run(["evaluate", str(colours.folder), *map(str, data)]) == 0
    told = capsys.readouterr().out
    assert "one caption for all" in told and "nearest picture" in told and "people" in told and "pointing" in told


def test_weights_of_another_run_decide_the_net(colours, tmp_path):
    data = draw(tmp_path / "data", 24)
    run = train(
        data, tmp_path / "run", start_from=colours.folder, hidden=None, width=None, embedding=None, size=None, stages=None
    )
    assert (run.config.hidden == 32 and run.config.rate == colours.config.rate / 4) or run.config.rate == 0.004
    with pytest.raises(UserError, match="hidden"):
        train(data, tmp_path / "other", start_from=colours.folder, hidden=48)


def test_it_is_diagnosed_on_its_own_pictures(colours, tmp_path):
    found = diagnosis.diagnose(colours, caption.training_batch(colours, diagnosis.own_data(colours), tmp_path))
    assert found.layers[0].norms[0] == pytest.approx(0, abs=1e-5) and found.layers[0].steps > 2
    assert found.beside.measure == "cider" and found.beside.baseline != "people"
    assert all(np.isfinite(p.gradient) for p in found.parameters)
