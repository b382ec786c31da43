"""A net that makes sound, sample by sample, as `unrolled sample` does. It is slow: docs/export.md has figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import decode, guides, mu_law
from ..config import check, option
from ..data import sound
from ..decode import Sampling
from ..errors import UserError
from .hearing import Sound, pieces
from .opened import Opened

AT_ONCE = 4000  # known samples that are heard together
STEPS = 2**15  # of a 16-bit sample on either side of 0
State = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Options of making sound."""

    seconds: float = option(5.0, "of sound to make", minimum=0.001, maximum=3600)
    seed: int | None = option(None, "the same seed makes the same sound", minimum=0)
    temperature: float = option(1.0, "below 1 safer, above 1 wilder, 0 always the likeliest", minimum=0, maximum=100)
    top_p: float | None = option(None, "draw from the likeliest levels that have probability p", minimum=1e-6, maximum=1)
    streams: int = option(1, "sounds to make, side by side", minimum=1, maximum=1024)
    label: str | None = option(None, "the label to make sound for (runs trained with --labels)")
    guide: str | None = option(None, "what leads it: a sound file, or a table of notes (runs trained with --guide-by)")

    def __post_init__(self) -> None:
        check(self)


class Wavenet:
    """`rate` is in samples a second."""

    def __init__(self, opened: Opened):
        self.codec, self.graph = opened.codec, opened.graph
        self.levels, self.rate, self.field, self.hop, self.guide_by = (
            opened.settings[name] for name in ("levels", "hertz", "field", "hop", "guide_by")
        )
        self.states = {each.name: each.shape[1:] for each in self.graph.session.get_inputs() if each.name.startswith("state_")}

    def sample(self, options: Sample | None = None, prompt: Sound | None = None) -> np.ndarray:
        """Sounds (streams, N), full scale 1: what comes first, and what is made after it."""
        options, first = options or Sample(), self._prompt(prompt)
        made = list(self._made(options, first))
        return np.concatenate((np.repeat(first[None], options.streams, 0), np.stack(made, 1)), 1)

    def stream(self, options: Sample | None = None, prompt: Sound | None = None) -> Iterator[np.ndarray]:
        """What `sample` makes, sample by sample: (streams,) each."""
        return self._made(options or Sample(), self._prompt(prompt))

    def read(self, samples: np.ndarray, state: State, led: State) -> tuple[np.ndarray, State]:
        """Samples (streams, n), levels or real, and what leads them -> the outputs after the last (streams, Q), and the state."""
        made = self.graph({"samples": samples} | state | led)
        return made["outputs"][:, -1], {name: made[f"after_{name}"] for name in state}

    def _prompt(self, prompt: Sound | None) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.float32), *(pieces(prompt, self.rate) if prompt is not None else ())])

    def _made(self, options: Sample, prompt: np.ndarray) -> Iterator[np.ndarray]:
        size, streams = max(1, round(options.seconds * self.rate)), options.streams
        led, random = Led(self, options, len(prompt) + size), np.random.default_rng(options.seed)
        outputs, state = self._heard(np.concatenate((np.zeros(self.field, np.float32), prompt)), led)
        outputs, state = outputs.repeat(streams, 0), {name: one.repeat(streams, 0) for name, one in state.items()}
        for at in range(len(prompt), len(prompt) + size):
            uniforms = random.random(streams if self.levels else (streams, 2))
            drawn = (draw_level if self.levels else draw_mixture)(outputs, uniforms, options)
            yield mu_law.samples(drawn) if self.levels else drawn
            outputs, state = self.read(drawn[:, None], state, led(at, 1, streams))

    def _heard(self, samples: np.ndarray, led: Led) -> tuple[np.ndarray, State]:
        """The outputs after known samples (N,), the first of which lie `field` before the sound, and the state."""
        known = mu_law.levels(samples).astype(np.int64) if self.levels else samples
        state, outputs = {name: np.zeros((1, *shape), np.float32) for name, shape in self.states.items()}, None
        for begin in range(0, len(known), AT_ONCE):
            piece = known[None, begin : begin + AT_ONCE]
            outputs, state = self.read(piece, state, led(begin - self.field, piece.shape[1], 1))
        return outputs, state


class Led:
    """What leads a sound: the label, and the guide's frames, each for its hundredth of a second."""

    def __init__(self, net: Wavenet, options: Sample, size: int):
        if net.codec.labels and options.label is None:
            raise UserError(f"this run makes sound for a label; `--label` is one of {', '.join(net.codec.labels[:20])}")
        if (net.guide_by is None) != (options.guide is None):
            need = "was trained without a guide" if net.guide_by is None else f"is led by {net.guide_by}"
            raise UserError(f"this run {need}; `--guide` got `{options.guide}`", fix="`unrolled info RUN` shows --guide-by")
        self.label = None if options.label is None else net.codec.label(options.label)
        self.guide, self.hop = None, net.hop
        if options.guide is not None:
            kind = "notes" if net.guide_by == "notes" else "sound"
            self.guide = guides.read(kind, Path(options.guide), net.rate, guides.frames(size / net.rate))

    def __call__(self, begin: int, number: int, streams: int) -> dict[str, Any]:
        """Of `number` samples from a place on."""
        led = {} if self.label is None else {"labels": np.full(streams, self.label)}
        if self.guide is not None:
            at = np.clip((begin + np.arange(number)) // self.hop, 0, len(self.guide) - 1)
            led["guide"] = np.repeat(self.guide[None, at], streams, 0)
        return led


def draw_level(logits: np.ndarray, uniforms: np.ndarray, options: Sample) -> np.ndarray:
    """Levels (B,) drawn from the softmax of logits (B, 256)."""
    return decode.draw(decode.probabilities(logits, Sampling(options.temperature, top_p=options.top_p)), uniforms)


def draw_mixture(outputs: np.ndarray, uniforms: np.ndarray, options: Sample) -> np.ndarray:
    """Samples of 16 bits (B,) drawn from a mixture of logistics (logistics.sample has the equations)."""
    logits, means, log_scales = np.split(outputs, 3, 1)
    chosen = decode.draw(decode.probabilities(logits, Sampling(options.temperature)), uniforms[:, 0])[:, None]
    mean, scale = (np.take_along_axis(each, chosen, 1)[:, 0].astype(np.float64) for each in (means, log_scales))
    place = np.maximum(0.5 + (uniforms[:, 1] - 0.5) * (options.top_p or 1.0), 1e-300)
    x = mean + np.exp(scale) * options.temperature * (np.log(place) - np.log1p(-place))
    return (np.clip(np.rint(x * STEPS), -STEPS, STEPS - 1) / STEPS).astype(np.float32)


def write(path: str | Path, samples: np.ndarray, rate: int) -> None:
    """A sound (N,) as a WAV or FLAC file; takes soundfile."""
    sound.write(Path(path), samples, rate)
