"""Residual nets (He et al. 2016) with the names that torchvision gives their weights, so that a file of these fits as it is.

    pictures (B, 3, H, W) in 0 … 1 -> places (B, P, C), row by row: H / 32 rows and W / 32 columns, rounded up

They are taken as they come: frozen, with the running means of their training. The last layer, of classes, is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .errors import UserError

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, which its nets were trained with


class Shape(NamedTuple):
    blocks: tuple[int, int, int, int]  # a stage
    wider: int  # 1: blocks of two convolutions; 4: of three, the last of four times the channels


SHAPES = {
    "resnet18": Shape((2, 2, 2, 2), 1),
    "resnet34": Shape((3, 4, 6, 3), 1),
    "resnet50": Shape((3, 4, 6, 3), 4),
    "resnet101": Shape((3, 4, 23, 3), 4),
    "resnet152": Shape((3, 8, 36, 3), 4),
}
USUAL = 224  # pixels a side that they were trained on
HEADER_LIMIT = 1 << 20  # bytes that tell names and shapes; a ResNet-152 needs a tenth
CLASSES = ("fc.weight", "fc.bias")  # of the layer left out


def width(name: str) -> int:
    """Channels of the places."""
    return 512 * SHAPES[name].wider


class ResNet(nn.Module):
    """pictures (B, 3, H, W) -> places (B, P, C); always as when it answers, and no weight of it learns."""

    def __init__(self, name: str):
        super().__init__()
        self.name, shape = name, SHAPES[name]
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for i, number in enumerate(shape.blocks):
            size, stages = 64 << i, []
            for block in range(number):
                stages.append(Block(channels, size, shape.wider, stride=2 if i and not block else 1))
                channels = size * shape.wider
            self.add_module(f"layer{i + 1}", nn.Sequential(*stages))
        self.width, self.pixels = width(name), USUAL
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(SPREAD).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> ResNet:
        return super().train(False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1((pictures - self.mean) / self.spread)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.flatten(2).transpose(1, 2)


class Block(nn.Module):
    """relu(x + convolutions(x)); x goes through a convolution of its own where its shape changes."""

    def __init__(self, before: int, size: int, wider: int, stride: int):
        super().__init__()
        after = size * wider
        self.wide = wider > 1
        if self.wide:  # 1 x 1, 3 x 3 with the stride, 1 x 1
            self.conv1, self.conv2 = nn.Conv2d(before, size, 1, bias=False), _three(size, size, stride)
            self.conv3, self.bn3 = nn.Conv2d(size, after, 1, bias=False), nn.BatchNorm2d(after)
        else:
            self.conv1, self.conv2 = _three(before, size, stride), _three(size, size, 1)
        self.bn1, self.bn2 = nn.BatchNorm2d(size), nn.BatchNorm2d(size)
        self.downsample = None
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.wide:
            y = self.bn3(self.conv3(y.relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def _three(before: int, after: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)


def read(path: str | Path) -> ResNet:
    """The net in a .safetensors file with torchvision's names; which of SHAPES it is, its names tell.

    UserError: no such file, no safetensors, or no ResNet of SHAPES, with the first name that does not fit.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > HEADER_LIMIT:
            raise UserError(f"`{path}` has a header of {length:,} bytes: it is no ResNet's", str(path))
        weights = load_file(path)
    except FileNotFoundError:
        raise UserError(f"there is no file `{path}`", fix="the path of a ResNet's weights in .safetensors") from None
    except (SafetensorError, OSError) as error:
        fix = "`safetensors.torch.save_file(torch.load(FILE, weights_only=True), …)` makes one of a .pth"
        raise UserError(f"`{path}` is no safetensors file: {error}", str(path), fix) from None
    weights = {name: value for name, value in weights.items() if name not in CLASSES}
    name = next((name for name, shape in SHAPES.items() if _fits(shape, weights)), None)
    if name is None:
        raise UserError(f"`{path}` holds the weights of no {', '.join(SHAPES)}", str(path), "names must be torchvision's")
    net = ResNet(name)
    wanted = net.state_dict()
    for key in sorted(wanted.keys() | weights.keys()):
        if key.endswith("num_batches_tracked"):
            continue
        if key not in wanted or key not in weights or wanted[key].shape != weights[key].shape:
            raise UserError(f"the weights in `{path}` do not fit a {name} at `{key}`", str(path), "a file of torchvision's names")
    net.load_state_dict(weights, strict=False)
    return net


def _fits(shape: Shape, weights: dict[str, Tensor]) -> bool:
    blocks = tuple(len({name.split(".")[1] for name in weights if name.startswith(f"layer{i + 1}.")}) for i in range(4))
    return blocks == shape.blocks and ("layer1.0.conv3.weight" in weights) == (shape.wider > 1)
