"""Nets of transformers: the places that they see, what a run keeps of one, what is refused."""

import builtins
import json

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError
from test_caption import draw, picture, train

from unrolled import api, backbone, export
from unrolled.errors import MISSING_EXTRA, UserError
from unrolled.tasks import caption
from unrolled.tasks.caption import Predict, predict

PLAIN = {"width": None, "stages": None, "size": None}  # the folder says
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
NETS = {
    "vit": transformers.ViTConfig(**SMALL, image_size=32, patch_size=8),
    "convnext": transformers.ConvNextConfig(hidden_sizes=[8, 8, 16, 24], depths=[1, 1, 1, 1]),
    "swin": transformers.SwinConfig(image_size=64, patch_size=4, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4),
    "resnet": transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]),
    "dinov2_with_registers": transformers.Dinov2WithRegistersConfig(**SMALL, image_size=28, patch_size=7, num_register_tokens=4),
    "clip": transformers.CLIPConfig(
        text_config=SMALL | {"vocab_size": 99}, vision_config=SMALL | {"image_size": 32, "patch_size": 8}
    ),
}
PIXELS = {"vit": 32, "convnext": 64, "swin": 64, "resnet": 32, "dinov2_with_registers": 28, "clip": 32}
PLACES = {
    "vit": (4, 16), "convnext": (2, 24), "swin": (8, 24), "resnet": (4, 16), "dinov2_with_registers": (4, 16), "clip": (4, 16),
}  # fmt: skip


def save(folder, kind, **ready):
    """A net of random weights with what its image processor says."""
    torch.manual_seed(1)
    net = transformers.AutoModel.from_config(NETS[kind]).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape))
    with backbone._quiet(transformers):
        net.save_pretrained(folder)
    pixels = PIXELS[kind]
    about = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4], "size": {"height": pixels, "width": pixels}} | ready
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return net


def change(folder, name, **changes):
    about = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({key: value for key, value in (about | changes).items() if value is not None}))


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vit")
    save(folder, "vit")
    return folder


@pytest.fixture(scope="module")
def run(vit, tmp_path_factory):
    """A run that looks through the ViT."""
    folder = tmp_path_factory.mktemp("run")
    return train(draw(folder / "data", 24, captions=2), folder / "run", steps=6, weights=str(vit), **PLAIN)


@pytest.mark.parametrize("kind", NETS)
def test_places_are_what_the_net_makes_of_each_part_of_a_picture(kind, tmp_path):
    net, given = save(tmp_path, kind), torch.rand(2, 3, PIXELS[kind], PIXELS[kind])
    ready = (given - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    found = backbone.read(str(tmp_path))
    seen = getattr(net, "vision_model", net)(pixel_values=ready).last_hidden_state.detach()
    side, width = PLACES[kind]
    assert (found.side, found.width, found.pixels) == (side, width, PIXELS[kind])
    before = {"vit": 1, "dinov2_with_registers": 5, "clip": 1}.get(kind, 0)
    seen = seen.flatten(2).transpose(1, 2) if seen.ndim == 4 else seen[:, before:]
    assert seen.shape == (2, side * side, width)
    torch.testing.assert_close(found.train()(given), seen)
    again = backbone.rebuilt(found.about)
    again.load_state_dict(found.state_dict())
    assert torch.equal(again(given), found(given)) and again.about == found.about


@pytest.mark.parametrize("kind", ["vit", "convnext"])
def test_a_place_is_where_the_picture_changed(kind, tmp_path):
    """Row by row: of a net whose places see little beyond themselves, what changes most is the place that was changed."""
    save(tmp_path, kind)
    found, side = backbone.read(str(tmp_path), 32 if kind == "vit" else 256), 4 if kind == "vit" else 8
    given = torch.full((1, 3, found.pixels, found.pixels), 0.5)
    other, each = given.clone(), found.pixels // side
    other[:, :, each : 2 * each, 2 * each : 3 * each] = torch.rand(3, each, each)
    change = (found(other) - found(given)).norm(dim=2)[0]
    assert change.argmax() == side + 2


def test_pictures_are_made_ready_as_the_image_processor_says(tmp_path):
    net = save(tmp_path, "vit", image_mean=[51.0, 0, 0], image_std=[255, 255, 255], do_rescale=False)
    given = torch.rand(1, 3, 32, 32)
    shifted = given - torch.tensor([0.2, 0, 0]).view(3, 1, 1)
    seen = net(pixel_values=shifted).last_hidden_state[:, 1:].detach()
    torch.testing.assert_close(backbone.read(str(tmp_path))(given), seen, atol=1e-5, rtol=1e-5)
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"do_normalize": False, "size": 32}}))
    (tmp_path / "preprocessor_config.json").unlink()
    seen = net(pixel_values=given).last_hidden_state[:, 1:].detach()
    torch.testing.assert_close(backbone.read(str(tmp_path))(given), seen)


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ({"shortest_edge": 48}, 48),
        (96, 96),
        ({"height": 40, "width": 40}, 40),
        ({"longest_edge": 500}, backbone.USUAL),
    ],
)
def test_pictures_have_the_size_that_the_image_processor_says(size, pixels, tmp_path):
    save(tmp_path, "resnet", size=size)
    assert backbone.read(str(tmp_path)).pixels == pixels
    change(tmp_path, "preprocessor_config.json", do_center_crop=True, crop_size={"height": 32, "width": 32})
    assert backbone.read(str(tmp_path)).pixels == 32
    assert backbone.read(str(tmp_path), 80).pixels == 80


# --- runs


def test_a_run_answers_from_its_folder_alone(run, vit, tmp_path, monkeypatch):
    before = backbone.read(str(vit))
    assert (run.config.encoder, run.config.size, run.model.grid) == ("transformers", 32, (4, 4))
    path = picture(tmp_path / "red.png", "red")
    hidden = vit.rename(tmp_path / "hidden")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    loaded = api.load(run.folder)
    hidden.rename(vit)
    for key, value in before.state_dict().items():
        assert torch.equal(loaded.model.encoder.state_dict()[key], value), key
    assert not any(p.requires_grad for p in loaded.model.encoder.parameters())
    given = torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded.model.encoder(given), before(given))
    assert predict(loaded, [path], Predict()) == predict(run, [path], Predict())
    gaze = caption.look(loaded, str(path))
    assert gaze.weights.shape[1:] == (4, 4)
    assert "--weights" in (page := (run.folder / "report.html").read_text()) and "--backbone" not in page
    assert "vit" in page


def test_what_is_kept_of_pictures_is_what_the_net_sees_of_them(tmp_path):
    from unrolled.config import build

    save(tmp_path, "convnext")
    data = tuple(map(str, draw(tmp_path / "data", 12)))
    config = build(caption.Config, {"data": data, "weights": str(tmp_path), "encoder": "transformers"})
    found = caption.read(config, tmp_path / "read")
    config = caption.plan(config, found)
    assert (config.size, config.width) == (64, 24)
    model = caption.Model(config, found.codec)
    caption.take_vectors(config, found.codec, model)
    rows = np.arange(3)
    seen = model.eval().encode(caption.augment.plain(found.train.album.taken(rows)))[0]
    torch.testing.assert_close(model.encode(found.train.seen(rows))[0], seen, atol=2e-2, rtol=1e-2)  # kept in 16 bits
    assert not torch.allclose(seen[0], seen[1], atol=0.1)


def test_weights_of_a_run_are_trained_on_with_the_same_net_alone(run, vit, tmp_path):
    data = draw(tmp_path / "data", 24, captions=2)
    again = train(data, tmp_path / "again", start_from=run.folder, weights=str(vit), **PLAIN, hidden=None, embedding=None)
    for key, value in run.model.encoder.state_dict().items():
        assert torch.equal(again.model.encoder.state_dict()[key], value), key
    save(tmp_path / "other", "vit")
    change(tmp_path / "other", "config.json", layer_norm_eps=0.1)
    with pytest.raises(UserError, match="is not the net that the run of --from looks through"):
        train(data, tmp_path / "b", start_from=run.folder, weights=str(tmp_path / "other"), **PLAIN, hidden=None, embedding=None)


def test_such_a_run_is_not_exported(run, tmp_path):
    with pytest.raises(UserError, match=r"\(vit\) that looks at pictures cannot be exported yet"):
        export.export(run, tmp_path / "out.onnx")


# --- names


def test_a_name_is_fetched_from_the_hub_once(vit, monkeypatch):
    asked = []

    def fetch(name, allow_patterns):
        asked.append((name, allow_patterns))
        return str(vit)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    found = backbone.read("owner/vit")
    assert found.width == 16 and asked == [("owner/vit", list(backbone.FILES))]
    assert not any(pattern.endswith((".py", ".bin")) or pattern == "*" for pattern in backbone.FILES)


def test_what_is_neither_a_folder_nor_on_the_hub_is_refused(monkeypatch):
    def fetch(name, allow_patterns):
        raise LocalEntryNotFoundError("no network\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(
        UserError, match=r"there is no folder `runs/none`, and the hub gives no net of this name: no network\n  next"
    ):
        backbone.read("runs/none")


def test_a_missing_package_is_named_with_its_command(vit, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="looking through a net of `transformers` needs that package") as caught:
        backbone.read(str(vit))
    assert caught.value.code == MISSING_EXTRA and 'pip install "unrolled[backbones]"' in caught.value.fix


# --- what is refused


def test_nets_that_do_not_look_at_pictures_alone_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(UserError, match="is a net `bert`, which does not look at pictures alone"):
        backbone.read(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such"}))
    with pytest.raises(UserError, match=r"`transformers` cannot use `.*`: .*no such"):
        backbone.read(str(tmp_path))


def test_folders_that_lack_something_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"has no config\.json"):
        backbone.read(str(tmp_path))
    save(tmp_path, "vit")
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"has no preprocessor_config\.json"):
        backbone.read(str(tmp_path))
    for text, said in (("{", r"cannot be read: "), ("[]", "cannot be read: it holds no settings")):
        (tmp_path / "preprocessor_config.json").write_text(text)
        with pytest.raises(UserError, match=said):
            backbone.read(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_bytes(kept["preprocessor_config.json"])
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"holds no weights in \.safetensors"):
        backbone.read(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(kept["model.safetensors"][:-40])
    with pytest.raises(UserError, match="`transformers` cannot use"):
        backbone.read(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(kept["model.safetensors"])
    change(tmp_path, "config.json", num_hidden_layers=3)
    with pytest.raises(UserError, match=r"the weights of `.*` lack 1[0-9] of the net's, the first `"):
        backbone.read(str(tmp_path))


@pytest.mark.parametrize(
    "about",
    [{"image_mean": [1.0]}, {"image_std": [0, 1, 1]}, {"image_std": None}, {"do_flip_channel_order": True}, {"image_mean": "a"}],
)
def test_pictures_that_are_made_ready_in_another_way_are_refused(about, tmp_path):
    save(tmp_path, "resnet")
    change(tmp_path, "preprocessor_config.json", **about)
    with pytest.raises(UserError, match="makes pictures ready in a way that is not known here"):
        backbone.read(str(tmp_path))


def test_a_size_that_the_net_does_not_take_is_refused(vit):
    with pytest.raises(UserError, match=r"`transformers` cannot use `.*`: .*64"):
        backbone.read(str(vit), 64)


def test_what_is_no_square_of_places_is_refused(tmp_path):
    """YOLOS puts what it found behind the patches."""
    torch.manual_seed(1)
    config = transformers.YolosConfig(**SMALL, image_size=[32, 32], patch_size=8, num_detection_tokens=40)
    with backbone._quiet(transformers):
        transformers.YolosModel(config).save_pretrained(tmp_path)
    about = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="sees of a picture is no square of places"):
        backbone.read(str(tmp_path))


def test_settings_that_name_code_or_files_are_left_out(tmp_path):
    save(tmp_path, "vit")
    named = {
        "auto_map": {"AutoModel": "stranger--code.Net"},
        "attn_implementation": "stranger/kernel",
        "transformers_weights": "x.bin",
    }
    change(tmp_path, "config.json", **named)
    found = backbone.read(str(tmp_path))
    assert type(found.net) is transformers.ViTModel and not named.keys() & json.loads(found.about)["net"].keys()
