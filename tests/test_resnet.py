"""Residual nets: the function of their names' net, from a file; what a caption run makes of one."""

import json

import pytest
import torch
from safetensors.torch import save_file
from test_caption import draw, picture, train
from torch.nn import functional as F

from unrolled import api, resnet
from unrolled.errors import UserError
from unrolled.tasks.caption import Predict, predict

PLAIN = {"width": None, "stages": None}  # the file says


def drawn(name, seed=1):
    """A net with weights and running means drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    net = resnet.ResNet(name)
    for key, value in net.state_dict().items():
        if key.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * (0.05 if value.ndim > 1 else 0.3))
    return net


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("resnet") / "resnet18.safetensors"
    save_file(drawn("resnet18").state_dict() | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, path)
    return path


def normed(x, weights, name):
    parts = (weights[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, training=False)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_net_is_the_one_that_its_names_say(name):
    """By the paper's table and torchvision's convention: the stride is in the 3 x 3 convolution."""
    net = drawn(name)
    w, pictures = net.state_dict(), torch.rand(2, 3, 64, 64)
    x = (pictures - torch.tensor(resnet.MEAN).view(3, 1, 1)) / torch.tensor(resnet.SPREAD).view(3, 1, 1)
    x = F.max_pool2d(normed(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), w, "bn1").relu(), 3, 2, 1)
    for stage, blocks in enumerate(resnet.SHAPES[name].blocks, 1):
        for block in range(blocks):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            kinds = (("1", stride, 1), ("2", 1, 1)) if name == "resnet18" else (("1", 1, 0), ("2", stride, 1), ("3", 1, 0))
            y = x
            for number, by, padding in kinds:
                y = normed(F.conv2d(y, w[f"{at}.conv{number}.weight"], stride=by, padding=padding), w, f"{at}.bn{number}")
                y = y.relu() if number != kinds[-1][0] else y
            if f"{at}.downsample.0.weight" in w:
                x = normed(F.conv2d(x, w[f"{at}.downsample.0.weight"], stride=stride), w, f"{at}.downsample.1")
            x = (x + y).relu()
    torch.testing.assert_close(net.train()(pictures), x.flatten(2).transpose(1, 2))
    assert x.shape[1] == resnet.width(name)


def test_a_net_has_as_many_weights_as_published():
    """torchvision's documentation: 11,689,512 and 25,557,032 with the layer of 1,000 classes."""
    for name, number in (("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)):
        count = sum(p.numel() for p in resnet.ResNet(name).parameters())
        assert count + 1000 * (resnet.width(name) + 1) == number


def test_a_run_sees_through_the_file_which_does_not_learn_and_is_not_needed_again(file, tmp_path):
    before = resnet.read(file).state_dict()
    run = train(draw(tmp_path / "data", 24, captions=2), tmp_path / "run", steps=6, size=64, weights=str(file), **PLAIN)
    assert run.config.encoder == "resnet18" and run.model.grid == (2, 2)
    loaded = api.load(run.folder)
    for key, value in before.items():
        assert torch.equal(loaded.model.encoder.state_dict()[key], value), key
    path = picture(tmp_path / "red.png", "red")
    assert predict(loaded, [path], Predict()) == predict(run, [path], Predict())
    report = json.loads((run.folder / "report.json").read_text())
    assert report["dev"]["pictures"] == 4


def test_what_is_kept_of_pictures_is_what_the_net_sees_of_them(file, tmp_path):
    from unrolled.config import build
    from unrolled.tasks import caption

    data = tuple(map(str, draw(tmp_path / "data", 12)))
    config = build(caption.Config, {"data": data, "size": 64, "weights": str(file)})
    found = caption.read(config, tmp_path / "read")
    model = caption.Model(caption.plan(config, found), found.codec)
    caption.take_vectors(caption.plan(config, found), found.codec, model)
    rows = torch.arange(3).numpy()
    seen = model.eval().encode(caption.augment.plain(found.train.album.taken(rows)))[0]
    torch.testing.assert_close(model.encode(found.train.seen(rows))[0], seen, atol=2e-2, rtol=1e-2)  # kept in 16 bits


def test_files_that_are_no_such_nets_are_refused(file, tmp_path):
    with pytest.raises(UserError, match=r"there is no file `.*none"):
        resnet.read(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_bytes(bytes(20))
    with pytest.raises(UserError, match="is no safetensors file"):
        resnet.read(tmp_path / "text.safetensors")
    (tmp_path / "claims.safetensors").write_bytes((1 << 30).to_bytes(8, "little"))
    with pytest.raises(UserError, match="has a header of 1,073,741,824 bytes: it is no ResNet's"):
        resnet.read(tmp_path / "claims.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="holds the weights of no resnet18"):
        resnet.read(tmp_path / "other.safetensors")
    weights = drawn("resnet18").state_dict()
    del weights["layer2.0.bn1.bias"]
    save_file(weights, tmp_path / "less.safetensors")
    with pytest.raises(UserError, match=r"do not fit a resnet18 at `layer2\.0\.bn1\.bias`"):
        resnet.read(tmp_path / "less.safetensors")


def test_an_encoder_needs_its_weights_and_the_right_ones(file, tmp_path):
    data = draw(tmp_path / "data", 12)
    with pytest.raises(UserError, match="`--encoder resnet50` is given without its weights"):
        train(data, tmp_path / "a", encoder="resnet50", **PLAIN)
    with pytest.raises(UserError, match="is a resnet18, `--encoder` says resnet50"):
        train(data, tmp_path / "b", encoder="resnet50", weights=str(file), **PLAIN)
