"""Pictures as training sees them: cut a little, turned round, brighter or paler, otherwise each time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

CUT = 0.45  # of a picture's area that a cut may leave out at most
SHAPE = 0.15  # how much wider or higher than it is a part is cut
LIGHT, CONTRAST, SATURATION = 0.2, 0.3, 0.4


def plain(pictures: np.ndarray) -> Tensor:
    """(B, H, W, 3) of uint8 -> (B, 3, H, W) of 0 to 1, channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def augmented(pictures: np.ndarray, random: np.random.Generator, strength: float, flip: bool) -> Tensor:
    """plain() of parts of the pictures, of other colours. strength 0 leaves all as it is, 1 changes most.

    flip   whether left and right change places in half of them
    """
    found, number = plain(pictures), len(pictures)
    if flip or strength:
        sides = np.sqrt(1 - CUT * strength * random.random(number))[:, None]
        wider = np.exp(SHAPE * strength * random.uniform(-1, 1, number))[:, None]
        scale = np.minimum(1, np.concatenate((sides * wider, sides / wider), 1))  # (B, 2) of width and of height
        middle = (1 - scale) * random.uniform(-1, 1, (number, 2))
        turned = np.where(flip & (random.random(number) < 0.5), -1.0, 1.0)
        found = _cut(found, scale * np.stack((turned, np.ones(number)), 1), middle)
    return _coloured(found, random, strength) if strength else found


def _cut(pictures: Tensor, scale: np.ndarray, middle: np.ndarray) -> Tensor:
    theta = np.zeros((len(scale), 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], middle
    grid = F.affine_grid(torch.from_numpy(theta), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def _coloured(pictures: Tensor, random: np.random.Generator, strength: float) -> Tensor:
    more = torch.from_numpy(strength * random.uniform(-1, 1, (3, len(pictures), 1, 1, 1)).astype(np.float32))
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * (1 + SATURATION * more[0])
    middle = pictures.mean((1, 2, 3), keepdim=True)
    return (middle + (pictures - middle) * (1 + CONTRAST * more[1]) + LIGHT * more[2]).clamp(0, 1)
