"""Units that keep track of something are found, and those that only seem to are told apart from chance; the page about them."""

import json
import re

import numpy as np
import pytest
import torch

from unrolled import api, cli, unit_page, writer
from unrolled.errors import UserError
from unrolled.tasks import language
from unrolled.unit_search import search, standard, things

TEXT = 'he said "go on", and (she (too)) went.\n\n    indented "again\n\nnot quoted\n'


def test_what_may_be_tracked_is_counted_after_each_symbol():
    found = things(list(TEXT))
    inside = "".join(c for c, quoted in zip(TEXT, found["inside quotes"], strict=True) if quoted)
    assert inside == '"go on' + '"again\n'  # a closing one is outside again
    assert found["inside brackets"][TEXT.index("too")] == 2 and found["inside brackets"].max() == 2
    assert found["place in the line"][: TEXT.index("\n")].tolist() == list(range(1, TEXT.index("\n") + 1))
    assert found["place in the line"][TEXT.index("\n")] == 0
    assert found["indentation"][TEXT.index("indented") + 3] == 4 and found["indentation"].max() == 4
    assert found["place in the word"][TEXT.index("said") + 3] == 4
    assert things(["a", "b"]).keys() == {"place in the line", "place in the word"}
    assert things([]) == {}


def test_a_unit_that_counts_quotes_is_found_and_random_ones_are_within_chance():
    random = np.random.default_rng(1)
    text = "".join(random.choice(list('ab "'), 3000, p=[0.5, 0.3, 0.15, 0.05]))
    wanted = things(list(text))
    states = random.normal(size=(len(text), 50))
    for track in search(states, wanted):
        assert abs(track.correlation) < 0.1 and track.chance < 0.15
    states[:, 17] = -0.9 * wanted["inside quotes"] + 0.3 * random.normal(size=len(text))
    best = search(states, wanted)[0]
    assert (best.thing, best.unit) == ("inside quotes", 17)
    assert best.correlation == pytest.approx(np.corrcoef(states[:, 17], wanted["inside quotes"])[0, 1], abs=0.03)
    assert best.correlation < -0.8 and best.beyond_chance


def test_correlations_are_those_of_numpy_and_none_of_what_never_changes():
    random = np.random.default_rng(2)
    states, values = random.normal(size=(40, 3)), random.normal(size=40)
    states[:, 1] = 5
    found = standard(states).T @ standard(values[:, None])[:, 0]
    assert found[0] == pytest.approx(np.corrcoef(states[:, 0], values)[0, 1]) and found[1] == 0


# --- a run


@pytest.fixture(scope="module", params=["gru", "lstm", "rnn"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "a.txt").write_text(TEXT * 40)
    small = {"hidden": 12, "layers": 2, "embedding": 6, "batch": 4, "length": 16, "device": "cpu", "precision": "float32"}
    return api.train(
        "language", folder / "a.txt", out=folder / "run", cell=request.param, steps=3, evaluations=1, quiet=True, **small
    )


@torch.no_grad()
def test_states_gates_and_probabilities_are_those_of_the_steps(run):
    found, model = language.look(run, TEXT), run.model
    state, before, size = model.start(1), run.codec.start, model.layers[0].cells[0].states
    for t, i in enumerate(run.codec.encode(TEXT).tolist()):
        logits, state = model.step(torch.tensor([before]), state)
        logits[:, writer.banned(run.codec)] = -torch.inf
        assert found.probabilities[t] == pytest.approx(float(logits.softmax(-1)[0, i]), abs=1e-5)
        assert found.likeliest[t][0][1] == pytest.approx(float(logits.softmax(-1).max()), abs=1e-5)
        if t:
            hidden = torch.cat(state[::size], -1)[0].detach().numpy()
            np.testing.assert_allclose(found.states[t - 1], hidden, atol=1e-5)
        before = i
    gates = {"gru": {"update gate", "reset gate"}, "lstm": {"input gate", "forget gate", "output gate"}, "rnn": set()}
    assert found.gates.keys() == gates[run.config.cell] | {"tanh"}
    if run.config.cell == "gru":  # h = (1 - z) h + z candidate, of both layers
        z, candidate = found.gates["update gate"], found.gates["tanh"]
        np.testing.assert_allclose(found.states[1:], (1 - z[1:]) * found.states[:-1] + z[1:] * candidate[1:], atol=1e-5)


def test_the_command_writes_the_page_and_tells_arrays(run, tmp_path, capsys):
    (tmp_path / "a.txt").write_text(TEXT)
    assert cli.run(["look", str(run.folder), f"@{tmp_path / 'a.txt'}", "--unit", "13", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["unit"] == 13 and "".join(told["symbols"]) == TEXT and len(told["hidden"]) == len(TEXT)
    assert len(told["likeliest"]) == len(TEXT) + 1
    page = (run.folder / "look.html").read_text()
    assert "Unit 13 (layer 2)" in page and "default-src 'none'" in page
    for name in ("a.png", "a.svg"):
        assert cli.run(["look", str(run.folder), '<b>"a" & (b)\n' * 5, "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 1000
    assert "thing" in capsys.readouterr().out
    assert cli.run(["look", str(run.folder), "<script>", "--out", str(tmp_path / "a.html")]) == 0
    assert "<script>" not in (tmp_path / "a.html").read_text()


def test_of_a_short_text_nothing_is_said_to_be_tracked(run, tmp_path, capsys):
    for text in ("h", "hello", "x" * 49):
        assert cli.run(["look", str(run.folder), text, "--out", str(tmp_path / "a.html"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["tracks"] == []
    assert (
        unit_page.remark(language.look(run, "hello")) == "5 symbols; units that keep track of something are sought in 50 and more"
    )
    assert search(np.zeros((49, 3)), {"place": np.arange(49.0)}) == []


def test_a_file_that_is_not_there_is_no_text(run, capsys):
    assert cli.run(["look", str(run.folder), "@missing.txt"]) == 2
    assert "`@missing.txt` names no file\n  next:  a text that begins with an @ has to" in capsys.readouterr().err


def test_what_cannot_be_looked_at_is_told(run, capsys):
    with pytest.raises(UserError, match="the text has 0 symbols; 1 to 20,000"):
        language.look(run, "")
    with pytest.raises(UserError, match="`--unit 24` is none of the 24 units"):
        language.look(run, "abc", language.Look(unit=24))


def test_a_unit_that_follows_nothing_beyond_chance_is_not_said_to(run):
    found = language.look(run, TEXT)
    tracks = [track._replace(chance=2.0) for track in found.tracks]
    assert "Follows" not in unit_page.page(found._replace(tracks=tracks)).decode()
    assert unit_page.remark(found._replace(tracks=tracks)) == "no unit follows anything beyond chance"
    tracks = [track._replace(correlation=0.9, chance=0.1) for track in found.tracks]
    assert "Follows" in unit_page.page(found._replace(tracks=tracks)).decode()


def test_words_stand_apart_and_are_refused_a_picture(tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat\non the mat\n" * 60)
    small = {"steps": 1, "evaluations": 1, "hidden": 8, "layers": 1, "batch": 2, "length": 16, "device": "cpu"}
    run = api.train("language", tmp_path / "a.txt", out=tmp_path / "run", symbols="words", quiet=True, **small)
    found = language.look(run, "the cat sat\non the mat")
    assert "".join(found.pieces) == "the cat sat\non the mat"
    assert things(found.pieces)["place in the line"].tolist()[:3] == [3, 7, 11]
    assert b"the cat sat" in re.sub(b"<[^>]*>", b"", unit_page.page(found))
    with pytest.raises(UserError, match="a picture has a place of one letter for each symbol"):
        unit_page.picture(found, "png")
