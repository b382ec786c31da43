"""The graph of what looks at pictures: nets of convolutional.py and resnet.py; those of backbone.py are refused."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .. import convolutional, resnet
from ..backbone import Backbone
from ..convolutional import MIDDLE, SPREAD, Convolutional
from ..errors import UserError
from ..resnet import ResNet
from .builder import Builder


def upright(builder: Builder, pixels: str) -> str:
    """Pixels (N, S, S, 3) of 0 to 255 -> pictures (N, 3, S, S) of 0 to 1."""
    x = builder.add("Cast", [pixels], {"to": 1})  # float32
    return builder.turned(builder.add("Div", [x, builder.scalar(255.0)]), 0, 3, 1, 2)


def places(builder: Builder, net: Convolutional | ResNet | Backbone, pictures: str, size: int) -> str:
    """Pictures (N, 3, S, S) -> what stands at each place (N, P, C)."""
    if isinstance(net, Backbone):
        said = f"a net of `transformers` ({net.kind}) that looks at pictures cannot be exported yet"
        raise UserError(said, fix="train without --weights, or with those of a ResNet")
    x = _residual(builder, net, pictures) if isinstance(net, ResNet) else _convolutional(builder, net, pictures, size)
    return builder.turned(builder.reshape(x, builder.numbers(0, net.width, -1)), 0, 2, 1)


# --- from scratch


def _convolutional(builder: Builder, net: Convolutional, pictures: str, size: int) -> str:
    first, *rest = net.stages
    x = builder.add("Div", [builder.add("Sub", [pictures, builder.scalar(MIDDLE)]), builder.scalar(SPREAD)])
    x = builder.add("Add", [_conv(builder, first, first.weight[:, :3], x), builder.weight("where", _where(first, size))])
    side = (size + 1) // 2
    for part in rest:
        if isinstance(part, nn.Conv2d):
            x, side = _conv(builder, part, part.weight, x), (side + 1) // 2
        else:
            inner = builder.add("Relu", [_normed(builder, part.norm, x, side)])
            x = builder.add("Add", [x, _conv(builder, part.convolution, part.convolution.weight, inner)])
    return builder.add("Relu", [_normed(builder, net.norm, x, side)])


@torch.no_grad()
def _where(first: nn.Conv2d, size: int) -> np.ndarray:
    """What the first convolution makes of the pixels' places, which are the same in all pictures: (1, C, S / 2, S / 2)."""
    x = convolutional.where(torch.zeros(1, 3, size, size))
    return nn.functional.conv2d(x, first.weight[:, 3:].float().cpu(), None, first.stride, first.padding).numpy()


def _conv(builder: Builder, layer: nn.Conv2d, weight: torch.Tensor, x: str) -> str:
    given = [x, builder.weight("W", weight)] + ([] if layer.bias is None else [builder.weight("b", layer.bias)])
    return builder.add("Conv", given, {"strides": list(layer.stride), "pads": [*layer.padding, *layer.padding]})


def _normed(builder: Builder, norm: nn.GroupNorm, x: str, side: int) -> str:
    """ONNX has a norm of single channels: each group as one long channel."""
    groups, channels = norm.num_groups, norm.num_channels
    x = builder.reshape(x, builder.numbers(0, groups, -1))
    given = [x, builder.weight("ones", np.ones(groups, np.float32)), builder.weight("zeros", np.zeros(groups, np.float32))]
    x = builder.reshape(
        builder.add("InstanceNormalization", given, {"epsilon": norm.eps}), builder.numbers(0, channels, side, side)
    )
    x = builder.add("Mul", [x, builder.weight("scale", norm.weight.view(-1, 1, 1))])
    return builder.add("Add", [x, builder.weight("shift", norm.bias.view(-1, 1, 1))])


# --- residual


def _residual(builder: Builder, net: ResNet, pictures: str) -> str:
    x = builder.add("Sub", [pictures, builder.weight("mean", net.mean)])
    x = builder.add("Div", [x, builder.weight("spread", net.spread)])
    x = builder.add("Relu", [_kept(builder, net.conv1, net.bn1, x)])
    pool = net.maxpool
    settings = {"kernel_shape": [pool.kernel_size] * 2, "strides": [pool.stride] * 2, "pads": [pool.padding] * 4}
    x = builder.add("MaxPool", [x], settings)
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in stage:
            x = _block(builder, block, x)
    return x


def _block(builder: Builder, block: resnet.Block, x: str) -> str:
    y = builder.add("Relu", [_kept(builder, block.conv1, block.bn1, x)])
    y = _kept(builder, block.conv2, block.bn2, y)
    if block.wide:
        y = _kept(builder, block.conv3, block.bn3, builder.add("Relu", [y]))
    x = x if block.downsample is None else _kept(builder, *block.downsample, x)
    return builder.add("Relu", [builder.add("Add", [y, x])])


@torch.no_grad()
def _kept(builder: Builder, layer: nn.Conv2d, norm: nn.BatchNorm2d, x: str) -> str:
    """A convolution and the norm behind it, whose shift and scale are fixed: one convolution."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    x = _conv(builder, layer, layer.weight * scale.view(-1, 1, 1, 1), x)
    return builder.add("Add", [x, builder.weight("shift", (norm.bias - norm.running_mean * scale).view(-1, 1, 1))])
