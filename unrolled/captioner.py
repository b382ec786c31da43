"""Captions of pictures by beam search: many pictures at once, each found as if it were alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from . import decode
from .data.vocab import END
from .decode import Beam, Hypothesis
from .kernels.beams import best
from .kernels.threads import in_shares
from .kernels.translating import Decoder, Memory
from .packed_decoder import ARRAYS, packed, writing

AT_ONCE = 64  # pictures that are read together
SEARCHED = 16  # pictures that one thread searches together


def search(
    models: Sequence[nn.Module], pictures: Tensor, options: Beam, longest: int, banned: Sequence[int]
) -> list[list[Hypothesis]]:  # fmt: skip
    """The best captions of each of pictures (N, 3, S, S), best first, by the mean of the nets' probabilities.

    There is always one: where none ended within `longest` symbols, the best of those that did not.
    """
    decoders = [decoder(model) for model in models]
    found: list[list[Hypothesis]] = []
    for some in pictures.split(AT_ONCE):
        nets = [(net, *read(model, some)) for net, model in zip(decoders, models, strict=True)]
        found += _searched(nets, len(some), options, longest, banned)
    return found


def decoder(model: nn.Module) -> Decoder:
    """The part of a caption model that writes, of its weights as they are now."""
    if model.output.weight.device.type != "cpu":
        model = copy.deepcopy(model).cpu()
    return packed(list(model.decoder.cells), model.embed.weight, model.attention, model.combine, model.output, gate=model.gate)


@torch.no_grad()
def read(model: nn.Module, pictures: Tensor) -> tuple[Memory, np.ndarray]:
    """What is seen of pictures (N, 3, S, S), each one's places behind the other's, and the decoder's first states (N, L·S, H)."""
    places, states = model.eval().encode(pictures.to(model.output.weight.device))
    keys = model.attention.keys(places)
    values, keys = (one.flatten(0, 1).float().cpu().contiguous().numpy() for one in (places, keys))
    bounds = np.arange(len(pictures) + 1) * places.shape[1]
    return Memory(values, keys, bounds), torch.stack(states, 1).float().cpu().numpy()


def _searched(
    nets: Sequence[tuple[Decoder, Memory, np.ndarray]], number: int, options: Beam, longest: int, banned: Sequence[int]
) -> list[list[Hypothesis]]:  # fmt: skip
    parts = np.array_split(np.arange(number), -(-number // SEARCHED))
    written: list[list[list[Hypothesis]]] = [[] for _ in parts]

    def share(i: int) -> None:
        opened = [writing(*net) for net in nets]
        step = opened[0][0]
        if len(opened) > 1:
            step = decode.together([one for one, _ in opened], [ARRAYS] * len(opened))
        state = tuple(array[parts[i]] for _, state in opened for array in state)
        logits, state = step(np.full(len(parts[i]), END), state)
        written[i] = decode.beams(step, logits, state, options, [longest] * len(parts[i]), END, banned, choose=best)

    in_shares(share, len(parts))
    return list(chain.from_iterable(written))
