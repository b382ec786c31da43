"""A small convolutional net, trained from scratch: a picture becomes a grid of places, each with what stands there.

    pictures (B, 3, H, W) in 0 … 1, and beside each pixel where it is, x and y in -1 … 1
    -> a stage for each number of channels: a convolution that halves height and width, then, after the first,
       `blocks` of x + conv(relu(norm(x)))
    -> places (B, P, C), row by row; of n stages there are H / 2ⁿ rows and W / 2ⁿ columns, rounded up

Channels are normed in groups within one picture (Wu and He 2018): what becomes of a picture is the same in training, in any
batch, and alone. Pixels know where they are (Liu et al. 2018), since words such as "left" are of places.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CHANNELS = (32, 64, 128, 256)  # with one block a stage: 1.2 million weights
GROUP = 16  # channels normed together
MIDDLE, SPREAD = 0.45, 0.25  # of the brightness of photographs, about


class Convolutional(nn.Module):
    """pictures (B, 3, H, W) -> places (B, P, channels[-1])."""

    def __init__(self, channels: Sequence[int] = CHANNELS, blocks: int = 1):
        super().__init__()
        self.width = channels[-1]
        stages = []
        for i, (before, size) in enumerate(zip((5, *channels), channels, strict=False)):  # red, green, blue, x, y come in
            stages.append(nn.Conv2d(before, size, 3, stride=2, padding=1))
            stages += [Block(size) for _ in range(blocks if i else 0)]  # of the first, half of all time would be its block's
        self.stages = nn.Sequential(*stages)
        self.norm = norm(self.width)
        for module in self.stages:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.map(pictures).flatten(2).transpose(1, 2)

    def map(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, H, W) -> (B, C, rows, columns)."""
        x = torch.cat(((pictures - MIDDLE) / SPREAD, where(pictures)), 1).contiguous(memory_format=torch.channels_last)
        return self.norm(self.stages(x)).relu()


class Block(nn.Module):
    """x + conv(relu(norm(x))), which begins as x (He et al. 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = norm(channels)
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convolution(self.norm(x).relu())


def norm(channels: int) -> nn.GroupNorm:
    """Of groups of GROUP channels; of all together where they are fewer or do not divide."""
    return nn.GroupNorm(channels // GROUP if channels % GROUP == 0 else 1, channels)


def where(pictures: Tensor) -> Tensor:
    """x and y of each pixel (B, 2, H, W), from -1 to 1."""
    B, _, H, W = pictures.shape
    y, x = (torch.linspace(-1, 1, n, dtype=pictures.dtype, device=pictures.device) for n in (H, W))
    return torch.stack((x.expand(H, W), y.unsqueeze(1).expand(H, W))).expand(B, 2, H, W)


def grid(height: int, width: int, stages: int) -> tuple[int, int]:
    """Rows and columns of the places of a picture, after so many stages."""
    for _ in range(stages):
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width
