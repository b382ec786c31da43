"""How far a gradient reaches back in time: the norm of d s_T / d s_t against the distance T - t (Hochreiter 1991, Bengio et
al. 1994, Pascanu et al. 2013).

s_t is all that a cell carries from step to step: h_t, and of an LSTM h_t and c_t. The derivative over k steps is the product
of k Jacobians of the cell's own forward in cells.py, at the states that the given inputs lead to. Its norm is kept as a
logarithm, since after some hundred steps it is smaller than any float.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vjp, vmap
from torch.nn import functional as F

from . import cells
from .recurrent import Recurrent, reverse

EXACT = 256  # numbers in a state up to which every direction is followed; of larger ones DIRECTIONS random ones
DIRECTIONS = 32


class Read(NamedTuple):
    """A cell that has read B rows of T steps."""

    cell: nn.Module
    Wx: Tensor  # (B, T, G·H) W x_t + b
    states: list[cells.State]  # T + 1 of them, the first before any step; of no meaning past a row's length
    lengths: Tensor  # (B)


@torch.no_grad()
def read(cell: nn.Module, x: Tensor, lengths: Tensor | None = None) -> Read:
    """Let a cell read x (B, T, I) from zeros and keep every state."""
    Wx = F.linear(x, cell.W, cell.b)
    states = [tuple(s.to(x.dtype) for s in cells.start(cell, len(x)))]
    for part in Wx.unbind(1):
        states.append(cell(part, states[-1]))
    return Read(cell, Wx, states, torch.full((len(x),), x.shape[1]) if lengths is None else lengths)


class Reached(NamedTuple):
    """Natural logarithms of the norms of d s_T / d s_t at distances 0, 1, …, of rows that are long enough."""

    norms: np.ndarray  # (K) root mean square over all directions, Frobenius / sqrt(S): 0 at distance 0
    largest: np.ndarray | None  # (K) of the direction that keeps most, the largest singular value; None if not asked for


def reached(found: Read, most: int | None = None, largest: bool = False, seed: int = 0) -> Reached:
    """The norms at distances below `most`, from each row's own last step; means over rows are of logarithms.

    Exact where a state has at most EXACT numbers; else an unbiased estimate of the squared norm from DIRECTIONS orthogonal
    ones, and no largest. `largest` also finds the largest singular values, which takes longer.
    """
    rows, steps, sizes = len(found.Wx), found.Wx.shape[1], [s.shape[1] for s in found.states[0]]
    size, most = sum(sizes), min(steps, most or steps)
    largest = largest and size <= EXACT
    pulled = _directions(size, seed).to(found.Wx).unsqueeze(1).repeat(1, rows, 1)  # (D, B, S), of norm 1 for each row
    logs = torch.zeros(rows, dtype=torch.float64)
    norms, longest = torch.full((2, rows, most), torch.nan, dtype=torch.float64)
    for t in range(steps, 0, -1):
        distance = found.lengths - t
        for row in ((distance >= 0) & (distance < most)).nonzero().flatten().tolist():
            norms[row, distance[row]] = logs[row]
            if largest:
                longest[row, distance[row]] = logs[row] + _largest(pulled[:, row], size)
        before = _pull(found, t, pulled)
        pulled = torch.where((distance >= 0).view(-1, 1), before, pulled)
        scale = pulled.norm(dim=(0, 2)).clamp(min=1e-300 if pulled.dtype == torch.float64 else 1e-37)
        pulled, logs = pulled / scale.view(-1, 1), logs + scale.double().log()
    means = [torch.nanmean(each[:, : int(found.lengths.max())], 0).numpy() for each in (norms, longest)]
    return Reached(means[0], means[1] if largest else None)


def _directions(size: int, seed: int) -> Tensor:
    """Rows that together have norm 1: all of a state's directions, or some orthogonal ones drawn at random."""
    if size <= EXACT:
        return torch.eye(size, dtype=torch.float64) / math.sqrt(size)
    drawn = torch.randn(size, DIRECTIONS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(drawn)[0].T / math.sqrt(DIRECTIONS)


def _pull(found: Read, t: int, directions: Tensor) -> Tensor:
    """Directions (D, B, S) times the Jacobian of step t, which leads from state t - 1 to state t."""
    sizes = [s.shape[1] for s in found.states[0]]
    _, back = vjp(lambda state: found.cell(found.Wx[:, t - 1], state), found.states[t - 1])
    with torch.no_grad():
        (pulled,) = vmap(back)(tuple(directions.split(sizes, -1)))
    return torch.cat(pulled, -1)


def _largest(product: Tensor, size: int) -> Tensor:
    """The logarithm of the largest singular value of a product (S, S) that was scaled by 1 / sqrt(S)."""
    return (torch.linalg.matrix_norm(product.double(), 2) * math.sqrt(size)).log()


def slope(logs: np.ndarray) -> float:
    """What the logarithm gains a step (below 0: the gradient vanishes), by least squares over all but the nearest quarter."""
    first = len(logs) // 4
    distances = np.arange(first, len(logs))
    fit = np.isfinite(logs[first:])
    if fit.sum() < 2:
        return float("nan")
    return float(np.polyfit(distances[fit], logs[first:][fit], 1)[0])


def memory(logs: np.ndarray) -> int | None:
    """Effective memory length: the first distance at which the norm is below 1/e of that at distance 0; None: at none seen."""
    below = np.flatnonzero(logs < logs[0] - 1)
    return int(below[0]) if len(below) else None


class Theory(NamedTuple):
    """What the basic RNN's recurrent matrix tells of the slope. Its Jacobian is diag(1 - h_t²) U."""

    largest: float  # singular value of U
    radius: float  # spectral radius of U: the slope of a linear net goes to its logarithm (Gelfand), and is it for normal U
    bound: float  # slope at most, ln σ_max(U) + mean ln max(1 - h²) (Pascanu et al. 2013)
    expected: float  # slope where U and the states have no preferred direction: ln (rms of U's σ · rms of 1 - h²)


def theory(found: Read) -> Theory:
    """Of a basic RNN and the rows it has read."""
    U = found.cell.U.detach().double()
    sigma, radius = torch.linalg.svdvals(U), float(torch.linalg.eigvals(U).abs().max())
    inside = [t for t in range(1, len(found.states)) if bool((t <= found.lengths).all())]
    slopes = torch.stack([1 - found.states[t][0].double() ** 2 for t in inside])  # (T, B, H)
    bound = float(sigma.max().log() + slopes.amax(-1).log().mean())
    expected = float((sigma**2).mean().sqrt().log() + (slopes**2).mean(-1).sqrt().log().mean())
    return Theory(float(sigma.max()), radius, bound, expected)


class Part(NamedTuple):
    """One cell of a stack, and what it reads."""

    name: str
    cell: nn.Module
    x: Tensor  # (B, T, I), backward in time for a backward direction


@torch.no_grad()
def parts(stack: Recurrent, x: Tensor, lengths: Tensor | None = None) -> Iterator[Part]:
    """Each cell of a stack with the inputs that it has inside it, layer by layer."""
    for layer in range(0, len(stack.cells), stack.directions):
        outputs = []
        for direction, cell in enumerate(stack.cells[layer : layer + stack.directions]):
            ways = ["forward", "backward"] if stack.directions == 2 else [""]
            own = reverse(x, lengths) if direction else x
            yield Part(f"layer {1 + layer // stack.directions} {ways[direction]}".strip(), cell, own)
            out, _ = cells.scan(cell, own, None, lengths)
            outputs.append(reverse(out, lengths) if direction else out)
        x = torch.cat(outputs, -1)
