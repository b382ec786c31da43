"""What a net that makes sound expected of one: known numbers, and what page, picture and tables say of them."""

import json

import numpy as np
import pytest
import torch

from unrolled import api, cli, foresight_page, influence, logistics, mu_law, plucked
from unrolled.data import sound
from unrolled.data.waves import Stretch
from unrolled.errors import UserError
from unrolled.tasks import wavenet

SMALL = {"cycles": 1, "layers": 5, "residual": 8, "skip": 16, "batch": 4, "length": 256, "device": "cpu"}


@pytest.fixture(scope="module", params=["mu-law", "16-bit", "gru"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    wavenet.demo(folder / "data")
    kind = {"cell": "gru", "hidden": 8, "layers": 1} if request.param == "gru" else {"head": request.param}
    return api.train("wavenet", folder / "data", out=folder / "run", steps=3, evaluations=1, quiet=True, **{**SMALL, **kind})


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A third of a second, its end the loudest."""
    path = tmp_path_factory.mktemp("played") / "a.wav"
    x = plucked.melody(0.34, plucked.RATE, seed=5)
    sound.write(path, np.concatenate((0.05 * x, x)), plucked.RATE)
    return path


def test_of_a_linear_score_each_distance_has_the_length_of_its_weights():
    weights = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])
    found = influence.by_distance(lambda x: (x * weights).sum((1, 2)), torch.randn(5, 3, 2))
    assert found.tolist() == [2, 0, 5]


def test_the_shares_of_a_mixture_add_up_to_those_of_its_samples():
    outputs = torch.randn(4, 3 * 5, dtype=torch.float64) - torch.arange(15).ge(10) * 3.0
    every = torch.arange(-32768, 32768, dtype=torch.float64) * logistics.STEP
    of_each = logistics.log_likelihood(outputs.unsqueeze(1), every).exp()  # (4, 65536)
    edges = torch.tensor([-torch.inf, -0.25, 0.0, 0.125, torch.inf], dtype=torch.float64)
    middles = edges[1:-1] - logistics.STEP / 2  # between two samples
    parts = torch.bucketize(every, middles)
    wanted = torch.zeros(4, 4, dtype=torch.float64).index_add(1, parts, of_each)
    bounds = torch.cat((edges[:1], middles, edges[-1:]))
    torch.testing.assert_close(logistics.shares(outputs, bounds), wanted, atol=1e-6, rtol=0)


def test_the_surprise_is_what_evaluating_the_sound_tells(run, played):
    found = wavenet.look(run, str(played))
    as_bits = np.round(found.samples * 32768).astype(np.int16)
    part = wavenet.in_memory([Stretch(as_bits, "", None, None)], run.codec)
    assert found.nats.mean() == pytest.approx(wavenet.evaluate(run.model, run.codec, part)["nats_per_sample"], abs=1e-3)
    assert foresight_page.surprise(found)[0] @ np.full(68, 1 / 68) == pytest.approx(found.nats.mean(), abs=0.01)


def test_the_loudest_stretch_is_shown_with_what_was_expected_there(run, played):
    found = wavenet.look(run, str(played))
    assert 0.34 * found.hertz <= found.begin and len(found.shares) == round(wavenet.STRETCH * found.hertz)
    np.testing.assert_allclose(found.shares.sum(1), 1, atol=1e-4)
    if run.config.head == "mu-law":  # the level that came was as probable as its nats say
        own = found.shares[np.arange(len(found.shares)), found.shown]
        np.testing.assert_allclose(-np.log(own), found.nats[found.begin :][: len(own)], atol=1e-3)
    early = wavenet.look(run, str(played), wavenet.Look(at=0.1))
    assert early.begin == round(0.1 * found.hertz)
    np.testing.assert_array_equal(early.shown, mu_law.levels(early.samples[early.begin :][: len(early.shares)]))


def test_a_net_listens_to_its_field_alone(run, played):
    found = wavenet.look(run, str(played))
    assert len(found.listened) == run.model.field and (found.listened >= 0).all() and found.listened[0] > 0
    assert found.dilations == ((1, 2, 4, 8, 16) if run.config.cell == "wavenet" else ())
    parts = foresight_page.octaves(found)
    assert [first for first, _, _ in parts][:4] == [1, 2, 3, 5] and parts[-1][1] == run.model.field
    assert sum(part for _, _, part in parts) == pytest.approx(1)


def test_what_is_written_says_what_was_found(run, played, tmp_path, capsys):
    for name, begins in (("a.html", b"<!doctype"), ("a.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        assert cli.run(["look", str(run.folder), str(played), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(begins)
    said = capsys.readouterr()
    assert "part of the listening" in said.out and "nats a sample; half of what it listens to" in said.err
    page = (tmp_path / "a.html").read_text()
    assert page.count("class=dilation") == len(wavenet.look(run, str(played)).dilations) and "nan" not in page
    assert cli.run(["look", str(run.folder), str(played), "--json", "--at", "0.1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert np.array(told["probabilities"]).shape == (len(told["levels"]), 256) and told["first"] == round(0.1 * told["hertz"])
    assert sum(told["listened"]) == pytest.approx(1) and len(told["surprise"]) == len(told["surprise_seconds"]) == 68


def test_what_cannot_be_looked_at_is_told(run, played, tmp_path):
    with pytest.raises(UserError, match=r"`--at 9` is behind the sound's end"):
        wavenet.look(run, str(played), wavenet.Look(at=9.0))
    sound.write(tmp_path / "long.wav", np.zeros(11 * plucked.RATE, np.float32), plucked.RATE)
    with pytest.raises(UserError, match=r"` lasts 11.0 s; 10 s of sound fit on a page"):
        wavenet.look(run, str(tmp_path / "long.wav"))
