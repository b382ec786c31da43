"""How surprised a language model is by a text: nats a symbol, read straight, with weights that learn on the way
(dynamic evaluation), or with a memory of what was just read (continuous cache).

The model is any with forward(batch, state) -> logits (B, T, V), state; the cache also wants its features(batch, state).
The first symbol of a text is given, every other one is predicted once from all before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .data.batch import Batch, Symbols

WARM = 256  # symbols read before a lane's own, so that its state is that of one long reading but for a trace


def static(model: nn.Module, text: Symbols, lanes: int = 32, limit: int | None = None) -> np.ndarray:
    """Nats of symbols 1 … N-1, in order, (N - 1,).

    A long text is read in `lanes` pieces side by side, each after the WARM symbols before it; a short one in one.
    limit predicts about so many symbols only, the first of each lane: a sample spread over the text, in the lanes' order.
    """
    starts, mine = lanes_of(text, lanes, limit)
    nats = np.zeros((len(starts), mine))
    for begin, logits, targets in readings(model, text, starts, mine):
        nats[:, begin : begin + targets.shape[1]] = cross_entropy(logits, targets).cpu().numpy()
    return nats[starts[:, None] + np.arange(mine) < len(text) - 1]  # the last lane may be short


FACTORS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)


def sharpness(model: nn.Module, text: Symbols, lanes: int = 32, limit: int | None = None) -> float:
    """The factor on the logits that makes a text least surprising (temperature scaling, Guo et al. 2017).

    A net that has read its training text many times is too sure of itself on another; one number, fitted on held-out
    text, mends most of that. Found among FACTORS and by the parabola through the best and its neighbours.
    """
    totals = np.zeros(len(FACTORS))
    starts, mine = lanes_of(text, lanes, limit)
    for begin, logits, targets in readings(model, text, starts, mine):
        counted = starts[:, None] + np.arange(begin, begin + targets.shape[1]) < len(text) - 1
        for i, factor in enumerate(FACTORS):
            totals[i] += cross_entropy(logits.float() * factor, targets).cpu().numpy()[counted].sum()
    best = int(np.clip(totals.argmin(), 1, len(FACTORS) - 2))
    a, b, c = totals[best - 1 : best + 2]
    if a == b == c:
        return 1.0
    shift = 0.5 * (a - c) / (a - 2 * b + c) if a + c > 2 * b else 0.0
    return float(np.clip(FACTORS[best] + shift * (FACTORS[1] - FACTORS[0]), FACTORS[0], FACTORS[-1]))


def lanes_of(text: Symbols, lanes: int, limit: int | None) -> tuple[np.ndarray, int]:
    """Where each lane starts, and how many symbols each predicts; one lane for a text too short for more."""
    count = len(text) - 1
    if count < lanes * WARM:
        lanes = 1
    own = math.ceil(count / lanes)
    return np.arange(lanes) * own, own if limit is None else min(own, math.ceil(limit / lanes))


def readings(model: nn.Module, text: Symbols, starts: np.ndarray, mine: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Stretch by stretch: its begin in every lane, logits (lanes, T, V) and targets (lanes, T)."""
    lanes = len(starts)
    length = max(8, min(128, (1 << 23) // (lanes * model.vocabulary)))  # keeps logits under 32 MB
    state = None
    with torch.no_grad():
        for begin, end in [*_stretches(-WARM if lanes > 1 else 0, 0, length), *_stretches(0, mine, length)]:
            batch = _columns(text, starts + begin, end - begin, model.device)
            if begin == 0:
                batch = batch._replace(fresh=torch.arange(lanes, device=model.device) == 0)  # the text's own start
            logits, state = model(batch, state)
            if begin >= 0:
                yield begin, logits, batch.targets


def _stretches(begin: int, end: int, length: int) -> list[tuple[int, int]]:
    return [(at, min(at + length, end)) for at in range(begin, end, length)]


def _columns(text: Symbols, starts: np.ndarray, length: int, device: torch.device) -> Batch:
    index = np.clip(starts[:, None] + np.arange(length + 1), 0, len(text) - 1)
    ids = torch.from_numpy(text.ids[index].astype(np.int64)).to(device)
    labels = None
    if text.labels is not None:
        labels = torch.from_numpy(text.labels[index[:, 1:]].astype(np.int64)).to(device)
    return Batch(ids[:, :-1], ids[:, 1:], labels, torch.zeros(len(starts), dtype=torch.bool, device=device))


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """(B, T, V), (B, T) -> nats (B, T), in float32."""
    nats = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    return nats.view(targets.shape)


class Dynamic(NamedTuple):
    """Dynamic evaluation (Krause et al. 2018): after each segment, one step down its loss and a pull to the trained weights.

    The step is divided by the root of the gradients' running mean square (Adam without momentum).
    """

    length: int = 50
    rate: float = 7e-4
    decay: float = 5e-3
    memory: float = 0.999


def dynamic(model: nn.Module, text: Symbols, settings: Dynamic) -> np.ndarray:
    """Nats of symbols 1 … N-1, read in one stream while the weights follow the text; the model is left as it was."""
    trained = [p.detach().clone() for p in model.parameters()]
    squares = [torch.zeros_like(p) for p in model.parameters()]
    parts, state = [], None
    try:
        for number, at in enumerate(range(0, len(text) - 1, settings.length), 1):
            batch = _columns(text, np.array([at]), min(settings.length, len(text) - 1 - at), model.device)
            logits, state = model(batch, state)
            nats = cross_entropy(logits, batch.targets)
            gradients = torch.autograd.grad(nats.mean(), list(model.parameters()))
            parts.append(nats.detach().cpu().numpy()[0])
            state = tuple(s.detach() for s in state)
            _follow(model, trained, squares, gradients, settings, number)
    finally:
        with torch.no_grad():
            for p, value in zip(model.parameters(), trained, strict=True):
                p.copy_(value)
    return np.concatenate(parts)


@torch.no_grad()
def _follow(
    model: nn.Module, trained: list[Tensor], squares: list[Tensor], gradients: tuple[Tensor, ...], settings: Dynamic, n: int
) -> None:
    correction = 1 - settings.memory**n  # the running mean starts at zero (Kingma and Ba 2015)
    for p, home, square, gradient in zip(model.parameters(), trained, squares, gradients, strict=True):
        square.lerp_(gradient.square(), 1 - settings.memory)
        p.sub_(settings.rate * gradient / ((square / correction).sqrt() + 1e-8))
        p.lerp_(home, settings.decay)


class Cache(NamedTuple):
    """Continuous cache (Grave et al. 2017): symbols that followed states like this one, among the last `size`."""

    size: int = 2000
    flatness: float = 0.3  # θ: multiplies the dot product of two states of unit length times √H
    share: float = 0.1  # λ: the cache's part of the mixture


def cached(model: nn.Module, text: Symbols, settings: Cache) -> np.ndarray:
    """Nats of symbols 1 … N-1 under (1 - λ) p_model + λ p_cache, read in one stream."""
    parts, state = [], None
    keys = torch.zeros(0, model.features_size, device=model.device)
    values = torch.zeros(0, dtype=torch.long, device=model.device)
    with torch.no_grad():
        for at in range(0, len(text) - 1, 128):
            batch = _columns(text, np.array([at]), min(128, len(text) - 1 - at), model.device)
            features, state = model.features(batch, state)  # (1, T, F)
            p_model = torch.exp(-cross_entropy(model.head(features), batch.targets))[0]
            new = F.normalize(features[0].float(), dim=-1) * math.sqrt(features.shape[-1])
            keys, values = torch.cat([keys, new]), torch.cat([values, batch.targets[0]])
            p_cache = _recall(keys, values, len(new), settings)
            mixed = (1 - settings.share) * p_model + settings.share * p_cache
            if at == 0:
                mixed[0] = p_model[0]  # nothing to remember yet
            parts.append(-mixed.clamp_min(1e-30).log().cpu().numpy())
            keys, values = keys[-settings.size :], values[-settings.size :]
    return np.concatenate(parts)


def _recall(keys: Tensor, values: Tensor, count: int, settings: Cache) -> Tensor:
    """p_cache of the last `count` values, each from the keys before it (and within `size`): (count,)."""
    total = len(keys)
    now = torch.arange(total - count, total, device=keys.device).unsqueeze(1)  # (count, 1)
    then = torch.arange(total, device=keys.device)
    scores = settings.flatness * keys[-count:] @ keys.T  # (count, total)
    allowed = (then < now) & (then >= now - settings.size)
    weights = torch.softmax(scores.masked_fill(~allowed, -1e30), dim=1) * allowed
    return (weights * (values == values[-count:].unsqueeze(1))).sum(1)
