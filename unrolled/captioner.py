"""Captions of pictures by beam search: many pictures at once, each found as if it were alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from . import decode
from .data.vocab import END
from .decode import Beam, Hypothesis
from .kernels.beams import best

AT_ONCE = 64  # pictures that are searched together


@torch.no_grad()
def search(
    models: Sequence[nn.Module], pictures: Tensor, options: Beam, longest: int, banned: Sequence[int]
) -> list[list[Hypothesis]]:  # fmt: skip
    """The best captions of each of pictures (N, 3, S, S), best first, by the mean of the nets' probabilities.

    There is always one: where none ended within `longest` symbols, the best of those that did not.
    """
    found = []
    for some in pictures.split(AT_ONCE):
        opened = [open_(model, some) for model in models]
        state = sum((state for _, state in opened), ())
        step = opened[0][0]
        if len(opened) > 1:
            step = decode.together([step for step, _ in opened], [len(state) for _, state in opened])
        logits, state = step(np.full(len(some), END), state)
        found += decode.beams(step, logits, state, options, [longest] * len(some), END, banned, choose=best)
    return found


def open_(model: nn.Module, pictures: Tensor) -> tuple[decode.Step, decode.State]:
    """The step that writes captions of these pictures, and the state before the first symbol: hidden states, picture."""
    device = model.output.weight.device
    memory, hidden = model.eval().encode(pictures.to(device))
    keys = model.attention.keys(memory)

    @torch.no_grad()
    def step(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
        *hidden, which = state
        top, hidden = model.step(torch.as_tensor(ids, device=device), tuple(hidden))
        theirs, group = np.unique(which, return_inverse=True)  # hypotheses of a picture look at it together
        place = np.arange(len(which)) - np.searchsorted(which, which)  # which is in order
        queries = top.new_zeros(len(theirs), place.max() + 1, top.shape[1])
        queries[group, place] = top
        looked = (memory, keys) if len(theirs) == len(memory) else (memory[theirs], keys[theirs])
        features = model.combined(queries, *looked)[0][group, place]
        return model.output(features).float().cpu().numpy(), (*hidden, which)

    return step, (*hidden, np.arange(len(pictures)))
