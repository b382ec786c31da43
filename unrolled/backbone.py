"""Nets of the package `transformers` that look at pictures: frozen, and built again from what a run keeps, no file needed.

    pictures (B, 3, S, S) in 0 … 1 -> places (B, P, C), row by row: patches (ViT, DINOv2, CLIP), or the last map (ConvNeXt, Swin)

What stands before the patches, such as the class's token, is left out. Nothing that comes with a net is run: its settings are
data, its kind is one that `transformers` itself has, its weights are safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .errors import MISSING_EXTRA, UserError, first_line

FILES = ("config.json", "preprocessor_config.json", "processor_config.json", "model*.safetensors", "model*.index.json")
# Settings that name code, files or numbers of fewer bits; and names of classes, which may be a thousand.
LEFT_OUT = (
    "auto_map", "attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation",
    "transformers_weights", "quantization_config", "dtype", "torch_dtype", "_name_or_path", "transformers_version",
    "id2label", "label2id",
)  # fmt: skip
TOKENS = 16  # before the patches, at most: a class's and a few registers
USUAL = 224  # pixels a side, where no file says


class Backbone(nn.Module):
    """pictures (B, 3, S, S) -> places (B, side · side, width); always as when it answers, and no weight of it learns.

    about  JSON text, of which rebuilt() makes the same net with other weights
    """

    def __init__(self, net: nn.Module, side: int, width: int, ready: Ready | None = None):
        super().__init__()
        self.name, self.kind, self.net, self.side, self.width = "transformers", net.config.model_type, net, side, width
        self.pixels = ready.pixels if ready else None
        self.about = json.dumps({"side": side, "width": width, "net": _kept(net.config.to_dict())})
        mean, spread = (ready.mean, ready.spread) if ready else (3 * [0.0], 3 * [1.0])
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("spread", torch.tensor(spread).view(3, 1, 1))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Backbone:
        return super().train(False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        seen = self.net(pixel_values=(pictures - self.mean) / self.spread).last_hidden_state
        seen = seen.flatten(2).transpose(1, 2) if seen.ndim == 4 else seen
        return seen[:, -self.side * self.side :]


def rebuilt(about: str) -> Backbone:
    """The net that a Backbone's `about` tells of, its weights still to be put in.

    UserError: no `transformers`, or one that does not know such a net.
    """
    found = json.loads(about)
    library = _transformers()
    with _quiet(library), _told("the net that the run looks through"):
        net = library.AutoModel.from_config(_config(library, found["net"]))
    return Backbone(net, found["side"], found["width"])


def read(name: str, size: int | None = None) -> Backbone:
    """The net in a folder that `save_pretrained` wrote, or that the hub has under this name; for pictures of `size`, or its own.

    UserError: no `transformers`; no such folder or name; no weights in .safetensors or not all; a net that does not look at
    pictures, or not at ones of this size.
    """
    library = _transformers()
    folder = _folder(name)
    with _quiet(library):
        about = _json(folder / "config.json", name)
        with _told(name):
            config = _config(library, about)
            kind = library.MODEL_MAPPING[type(config)]
        if kind.main_input_name != "pixel_values" or config.is_encoder_decoder:
            raise UserError(f"`{name}` is a net `{config.model_type}`, which does not look at pictures alone", name, "a ViT")
        ready = _ready(folder, name, size or getattr(config, "image_size", None))
        ready = ready._replace(pixels=size or ready.pixels)
        net = _with_weights(kind, config, folder, name)
        return Backbone(net, *_places(net, name, ready.pixels), ready)


# --- files


def _folder(name: str) -> Path:
    """Where the files are; those of a net of the hub are fetched, or were before."""
    import huggingface_hub

    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:
        said = f"there is no folder `{name}`, and the hub gives no net of this name: {first_line(error)}"
        raise UserError(said, fix="the folder that save_pretrained wrote; without a network, only such a one") from None


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"`{name}` has no {path.name}", name, "the net's and its image processor's save_pretrained") from None
    except (OSError, ValueError) as error:
        raise UserError(f"`{path}` cannot be read: {error}", str(path)) from None
    if not isinstance(found, dict):
        raise UserError(f"`{path}` cannot be read: it holds no settings", str(path))
    return found


class Ready(NamedTuple):
    """How pictures in 0 … 1 are made ready: (pictures - mean) / spread, three colours each."""

    mean: list[float]
    spread: list[float]
    pixels: int  # a side


def _ready(folder: Path, name: str, otherwise: Any) -> Ready:
    """What the file of an image processor says; that a net was taught pixels of 0 to 255 comes to stand in mean and spread."""
    path = folder / "preprocessor_config.json"
    if path.exists():
        about = _json(path, name)
    elif (folder / "processor_config.json").exists():  # of nets that read, too
        about = _json(folder / "processor_config.json", name).get("image_processor", {})
    else:
        about = _json(path, name)
    mean, spread = (about.get(key) for key in ("image_mean", "image_std"))
    if not about.get("do_normalize", mean is not None):
        mean, spread = 3 * [0.0], 3 * [1.0]
    numbers = [n for some in (mean, spread) if isinstance(some, list) and len(some) == 3 for n in some]
    known = len(numbers) == 6 and all(isinstance(n, int | float) for n in numbers) and min(spread) > 0
    if not known or about.get("do_flip_channel_order"):
        said = "makes pictures ready in a way that is not known here: needed are image_mean and image_std of red, green and blue"
        raise UserError(f"`{name}` {said}", str(path))
    most = 255 * about.get("rescale_factor", 1 / 255) if about.get("do_rescale", True) else 255
    given = (about.get("crop_size") if about.get("do_center_crop") else None) or about.get("size") or otherwise
    if isinstance(given, dict):
        given = given.get("height") or given.get("shortest_edge")
    return Ready([m / most for m in mean], [s / most for s in spread], given if isinstance(given, int) else USUAL)


# --- nets


def _kept(about: dict[str, Any]) -> dict[str, Any]:
    """Settings without what must not, or need not, come from a file."""
    return {key: _kept(value) if isinstance(value, dict) else value for key, value in about.items() if key not in LEFT_OUT}


def _config(library: Any, about: dict[str, Any]) -> Any:
    """The settings as `transformers` holds them; of a net that also reads (CLIP), those of the part that sees."""
    about = _kept(about)
    config = library.AutoConfig.for_model(about.pop("model_type"), **about)
    return getattr(config, "vision_config", config)


def _with_weights(kind: Any, config: Any, folder: Path, name: str) -> nn.Module:
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"`{name}` holds no weights in .safetensors", name, "the net's save_pretrained writes them")
    with _told(name):
        net, told = kind.from_pretrained(
            folder, config=config, use_safetensors=True, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(key for key in told["missing_keys"] if "pooler" not in key)  # which nothing here reads
    if missing:
        raise UserError(f"the weights of `{name}` lack {len(missing)} of the net's, the first `{missing[0]}`", name)
    return net


@torch.no_grad()
def _places(net: nn.Module, name: str, size: int) -> tuple[int, int]:
    """Rows (as many as columns) and channels of what the net sees of a picture of `size`."""
    with _told(name):
        seen = net.eval()(pixel_values=torch.zeros(1, 3, size, size)).last_hidden_state
    if seen.ndim == 4 and seen.shape[2] == seen.shape[3]:
        return seen.shape[2], seen.shape[1]
    number, patch = seen.shape[1], getattr(net.config, "patch_size", None)
    side = size // patch if isinstance(patch, int) and (size // patch) ** 2 <= number else math.isqrt(number)
    if seen.ndim != 3 or not 0 <= number - side * side <= TOKENS:
        raise UserError(f"what `{name}` sees of a picture is no square of places: {tuple(seen.shape)}", name, "a ViT, a ConvNeXt")
    return side, seen.shape[2]


# --- the package


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        fix = 'pip install "unrolled[backbones]"'
        raise UserError("looking through a net of `transformers` needs that package", fix=fix, code=MISSING_EXTRA) from None
    return transformers


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the package's bars and tables, which the user of a run has no use for."""
    said = library.utils.logging
    level, bars = said.get_verbosity(), said.is_progress_bar_enabled()
    said.set_verbosity_error()
    said.disable_progress_bar()
    try:
        yield
    finally:
        said.set_verbosity(level)
        if bars:
            said.enable_progress_bar()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What the package makes of settings and weights that do not fit has no class in common."""
    try:
        yield
    except Exception as error:
        raise UserError(f"`transformers` cannot use `{name}`: {first_line(error)}", name) from None
