"""Making sound, sample by sample (van den Oord et al. 2016, the lecture's last system): given the samples so far, the next one.

In:  sound files and folders of any rate, a few seconds to hours; optionally what leads it: a label (the folder's name), another
     sound, a list of notes.
Out: new sound of the same kind, as WAV or FLAC.

    samples (B, T), as mu-law levels or of 16 bits -> a stack of causal dilated convolutions (dilated.py), or recurrent layers,
    beside them the label's vector and the guide's features, each hundredth of a second's repeated for its samples (B, T, C)
    -> logits of the next level (B, T, 256), or a mixture of logistics (B, T, 3·M)
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import fit, foresight_page, guides, influence, linear_prediction, logistics, mu_law, plucked, synthesiser, unrolling
from .. import run as folders
from ..cells import CELLS, State
from ..config import agree, fill, option
from ..data import marks, sound, waves
from ..data.batch import open_map, write
from ..data.samples import EVERY, as_floats, level
from ..data.vocab import Codec
from ..dilated import WaveNet, field
from ..errors import UserError
from ..export import making
from ..export.builder import Builder, Computes
from ..layers import initialise
from ..progress import Progress
from ..recurrent import Recurrent
from ..surprise import cross_entropy

MEASURE = "nats_per_sample"
MEASURING = fit.Measuring("samples", probe=16_000, few=64_000, many=50_000_000, warming=0)
TRY = ("sample {run} --seconds 3 --out new.wav",)
TAKES = "sound"  # what look takes
LOGISTICS = 10  # of a mixture
CONTEXT = 512  # samples that recurrent layers hear before those that count
LABEL = 16  # numbers of a label's vector


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "sound files, or folders of them")
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option("wavenet", "dilated convolutions, or a recurrent cell over samples", choices=("wavenet", *CELLS))
    head: str = option("mu-law", "what a sample is: one of 256 levels, or 16 bits by a mixture", choices=("mu-law", "16-bit"))
    hertz: int | None = option(
        None, "samples a second; other sound is resampled  [its own, at most 16000]", minimum=2_000, maximum=192_000
    )
    cycles: int = option(2, "how often the dilations 1, 2, 4, … begin anew (the paper: 3)", minimum=1, maximum=20)
    layers: int | None = option(
        None, "layers of a cycle (10: 1 to 512), or recurrent ones  [10, recurrent 1]", minimum=1, maximum=16
    )
    kernel: int = option(2, "samples that a convolution looks at", minimum=2, maximum=16)
    residual: int = option(32, "channels from layer to layer (64 in large nets)", minimum=1, maximum=4096)
    skip: int = option(128, "channels from the layers to the output (256 in large nets)", minimum=1, maximum=8192)
    hidden: int = option(256, "units of a recurrent layer", minimum=1, maximum=100_000)
    labels: bool = option(False, "learn which folder a sound is from, so that `sample --label NAME` makes its kind")
    guide_by: str | None = option(None, "what leads: the sound's own spectrogram, other sounds, notes", choices=guides.KINDS)
    guides: str | None = option(None, "a folder with a guide for each sound file, of the same name (sound, or TSV of notes)")
    silence: float = option(-60.0, "decibels below full scale that are silence, which is left out", minimum=-200, maximum=0)
    dev: tuple[str, ...] = option((), "sound to measure on, in place of a part of the data")
    holdout: float = option(0.1, "part of the sound to measure on", minimum=0.01, maximum=0.5)
    batch: int | None = option(None, "stretches of sound a step", minimum=1)
    length: int | None = option(None, "samples that are learnt of each, behind what they rest on", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.0, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.05, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    evaluations: int = option(8, "how often to measure, save, and make a sound", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and what is held out", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("auto", "of matrix products", choices=("auto", "float32", "bfloat16"))


@dataclasses.dataclass(frozen=True)
class Sound:
    """Stretches of sound after one another."""

    samples: np.ndarray  # (N,) int16
    bounds: np.ndarray  # (stretches + 1,) where each begins
    labels: np.ndarray  # (stretches,) numbers of labels
    guide: np.ndarray | None  # (frames, C) float32
    frames: np.ndarray  # (stretches + 1,) where the guide of each begins

    def __len__(self) -> int:
        return len(self.samples)

    def stretch(self, i: int) -> np.ndarray:
        """Its samples, full scale 1."""
        return as_floats(np.asarray(self.samples[self.bounds[i] : self.bounds[i + 1]]))


class Data(NamedTuple):
    codec: Codec
    train: Sound
    dev: Sound
    accounts: dict[str, Any]


class Batch(NamedTuple):
    inputs: Tensor  # (B, context + T) levels, or samples; the last `T - 1` of them are targets before
    targets: Tensor  # (B, T)
    labels: Tensor  # (B,)
    guides: Tensor | None  # (B, frames, C)
    offsets: Tensor  # (B,) samples of the first frame that lie before the first input


def demo(folder: Path) -> list[Path]:
    """Fifteen seconds of plucked strings, made by Karplus and Strong's method."""
    plucked.write_sounds(folder, seed=1)
    return [folder]


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Decode, cut at silence, and keep as files in `folder`; the baselines are fitted on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    config = fill(config, hertz=waves.rate(config.data))
    guide = _guide(config)
    files, dev = (waves.read(names, config.hertz, config.silence, config.labels, guide) for names in (config.data, config.dev))
    found = waves.split(files, dev, config.holdout, config.hertz, config.seed, config.silence)
    labels = sorted({s.label for s in found.train if s.label is not None})
    codec = base.extended((), labels) if base is not None else Codec("words", (), labels)
    accounts: dict[str, Any] = {"said": found.said, "hertz": config.hertz}
    for part, stretches in (("train", found.train), ("dev", found.dev)):
        accounts[part] = _keep(folder / part, stretches, codec)
    data = reopen(codec, accounts, folder)
    accounts["floors"] = _fitted(data.train, config.head)
    return data


def _guide(config: Config) -> waves.Guide | None:
    if config.guides is not None and config.guide_by not in ("sound", "notes"):
        raise UserError(f"`--guides {config.guides}` needs `--guide-by sound` or `--guide-by notes`: what these files are")
    if config.guide_by in ("sound", "notes") and config.guides is None:
        raise UserError(f"`--guide-by {config.guide_by}` needs `--guides FOLDER`: a file for each sound, of the same name")
    if config.guide_by is None:
        return None
    if config.guide_by == "logmel":
        return lambda path, samples: guides.logmel(samples, config.hertz)

    def beside(path: Path, samples: np.ndarray) -> np.ndarray:
        other = guides.beside(config.guide_by, Path(config.guides), path)
        return guides.read(config.guide_by, other, config.hertz, guides.frames(len(samples) / config.hertz))

    return beside


def _keep(path: Path, stretches: Sequence[waves.Stretch], codec: Codec) -> dict[str, Any]:
    guided = [s.guide for s in stretches if s.guide is not None]
    account = {
        "samples": write(path, np.dtype(np.int16), [s.samples for s in stretches]),
        "bounds": np.cumsum([0, *(len(s.samples) for s in stretches)]).tolist(),
        "labels": [0 if s.label is None else codec.label(s.label) for s in stretches],
        "frames": np.cumsum([0, *map(len, guided)]).tolist(),
        "guide": write(path.with_suffix(".guide"), np.dtype(np.float32), [g.ravel() for g in guided]) if guided else None,
    }
    return account | {"channels": guided[0].shape[1] if guided else 0}


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    return Data(codec, *(_reopened(accounts[part], folder / part) for part in ("train", "dev")), accounts)


def _reopened(account: dict[str, Any], path: Path) -> Sound:
    guide = account["guide"] and open_map(path.with_suffix(".guide"), account["guide"]).reshape(-1, account["channels"])
    whole = (np.array(account[name], np.int64) for name in ("bounds", "labels"))
    return Sound(open_map(path, account["samples"]), *whole, guide, np.array(account["frames"], np.int64))


def in_memory(stretches: Sequence[waves.Stretch], codec: Codec) -> Sound:
    guided = [s.guide for s in stretches if s.guide is not None]
    return Sound(
        np.concatenate([s.samples for s in stretches]), np.cumsum([0, *(len(s.samples) for s in stretches)]),
        np.array([0 if s.label is None else codec.label(s.label) for s in stretches]),
        np.concatenate(guided) if guided else None, np.cumsum([0, *map(len, guided)]),
    )  # fmt: skip


# --- the model


class Layers(nn.Module):
    """Recurrent layers over samples, with WaveNet's interface (SampleRNN, Mehri et al. 2017, with one tier)."""

    field = CONTEXT + 1  # samples before what is learnt, and the newest

    def __init__(self, levels: int, outputs: int, cell: str, hidden: int, layers: int, condition: int):
        super().__init__()
        self.levels = levels
        self.input = nn.Embedding(levels, 64) if levels else nn.Linear(1, 64)
        self.layers = Recurrent(cell, 64 + condition, hidden, layers)
        self.output = nn.Linear(hidden, outputs)
        self.apply(initialise)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(self.layers(self._led(self.vectors(x), condition))[0])

    def vectors(self, x: Tensor) -> Tensor:
        """Of each sample (B, T) -> (B, T, 64)."""
        return self.input(x) if self.levels else self.input(x.unsqueeze(-1))

    def whole(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The outputs after the context."""
        return self.after(self.vectors(x), condition)

    def after(self, vectors: Tensor, condition: Tensor | None = None) -> Tensor:
        """whole()'s outputs, of samples' vectors (B, T, 64)."""
        return self.output(self.layers(self._led(vectors, condition))[0][:, self.field - 1 :])

    def start(self, batch: int) -> State:
        return self.layers.start(batch)

    def step(self, x: Tensor, state: State, condition: Tensor | None = None) -> tuple[Tensor, State]:
        seen = self._led(self.vectors(x.unsqueeze(1)), None if condition is None else condition.unsqueeze(1)).squeeze(1)
        out, state = self.layers.step(seen, state)
        return self.output(out), state

    def _led(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return x if condition is None else torch.cat((x, condition.expand(-1, x.shape[1], -1)), -1)


class Model(nn.Module):
    """The net over samples, and the vectors of labels beside it."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        self.head, self.hop, self.hertz = config.head, round(config.hertz * EVERY), config.hertz
        levels, outputs = (mu_law.LEVELS, mu_law.LEVELS) if config.head == "mu-law" else (0, 3 * LOGISTICS)
        self.label = nn.Embedding(len(codec.labels), LABEL) if codec.labels else None
        channels = LABEL * bool(codec.labels) + guides.CHANNELS[config.guide_by]
        if config.cell == "wavenet":
            self.net: WaveNet | Layers = WaveNet(
                levels, outputs, config.residual, config.skip, _dilations(config), config.kernel, channels
            )
        else:
            self.net = Layers(levels, outputs, config.cell, config.hidden, config.layers or 1, channels)
        _begin(self.net, levels)

    @property
    def field(self) -> int:
        """Samples that an output rests on, of recurrent layers those that they hear before what counts."""
        return self.net.field

    def forward(self, batch: Batch, state: Any) -> tuple[Tensor, tuple]:
        """The net's outputs (B, T, …) for each target; every example begins after its own context."""
        condition = self.condition(batch.labels, batch.guides, batch.offsets, batch.inputs.shape[1])
        return self.net.whole(batch.inputs, condition).float(), ()

    def condition(self, labels: Tensor, guides: Tensor | None, offsets: Tensor, length: int) -> Tensor | None:
        """What leads each of `length` samples (B, length, C): a frame stands for its hundredth of a second."""
        parts = [] if self.label is None else [self.label(labels).unsqueeze(1).expand(-1, length, -1)]
        if guides is not None:
            at = (offsets.unsqueeze(1) + torch.arange(length, device=offsets.device)) // self.hop
            parts.append(guides.gather(1, at.unsqueeze(-1).expand(-1, -1, guides.shape[2])))
        return torch.cat(parts, -1) if parts else None

    def nats(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-ln P of each target (B, T)."""
        if self.head == "mu-law":
            return cross_entropy(outputs, targets)
        return -logistics.log_likelihood(outputs, targets)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean nats a sample."""
        return self.nats(outputs, batch.targets).mean()


def _dilations(config: Config) -> list[int]:
    return [2**i for i in range(config.layers or 10)] * config.cycles


@torch.no_grad()
def _begin(net: nn.Module, levels: int) -> None:
    """Levels side by side begin with vectors that are close, outputs almost even, a mixture spread over the middle."""
    if levels:
        place = torch.linspace(-1, 1, levels).unsqueeze(1)
        waves_of = torch.cos(torch.pi * torch.arange(1, 9) * (place + 1) / 2) / torch.arange(1, 9)
        width = net.input.weight.shape[1]
        net.input.weight.copy_(waves_of @ torch.randn(8, width) + 0.02 * torch.randn(levels, width))
    net.output.weight.mul_(0.1)
    if not levels:
        logits, means, scales = net.output.bias.chunk(3)
        logits.zero_(), means.copy_(torch.linspace(-0.3, 0.3, LOGISTICS)), scales.fill_(-4.0)


def synthesiser_of(model: Model, precision: str = "float32") -> synthesiser.Synthesiser:
    """The net as it is now, compiled and packed for streams on the CPU."""
    net = model.net
    if isinstance(net, WaveNet):
        return synthesiser.of_wavenet(net, precision)
    return synthesiser.of_layers(net.input, list(net.layers.cells), net.output, precision)


# --- choosing


def plan(config: Config, data: Data) -> Config:
    """The config with sizes chosen.

    Measured on six minutes of music, four minutes of training on two cores: one example a step reaches 3.35 nats, two 3.42;
    a rate of 6e-3 reaches in two thirds of the steps what 3e-3 does. Half an hour was measured with 3e-3.
    """
    config = config if config.steps else fill(config, minutes=10.0)
    config = fill(config, hertz=data.accounts["hertz"])
    if config.cell == "wavenet":
        rate = 5e-3 if (config.minutes or 0) < 10 else 3e-3
        return fill(config, layers=10, batch=1, length=4096, rate=rate)
    return fill(config, layers=1, batch=16, length=1024, rate=2e-3)


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """There are none of sounds."""
    return []


STRUCTURE = ("cell", "head", "hertz", "cycles", "layers", "kernel", "residual", "skip", "hidden", "labels", "guide_by")


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    return agree({name: getattr(base, name) for name in STRUCTURE}, given) | {"rate": base.rate / 4}


MOST_STEPS = 10_000_000


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become."""
    return MOST_STEPS


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps * config.batch * config.length / len(data.train):.3g} times through the sound"


class Crops:
    """Stretches of sound cut at random: which ones, is a function of (seed, step)."""

    def __init__(self, config: Config, data: Data):
        self.config, self.sound = config, data.train
        self.cut = Cutter(data.train, _field(config), config.hertz, config.head)

    def batch(self, step: int) -> Batch:
        random = np.random.default_rng((self.config.seed, step))
        at = random.integers(0, len(self.sound), self.config.batch)
        return self.cut(at, self.config.length)


def _field(config: Config) -> int:
    return field(_dilations(config), config.kernel) if config.cell == "wavenet" else Layers.field


class Cutter:
    """Cuts examples out of a Sound. Before a stretch, and behind it, lies silence."""

    def __init__(self, sound: Sound, before: int, hertz: int, head: str):
        self.sound, self.field, self.hop, self.mu_law = sound, before, round(hertz * EVERY), head == "mu-law"

    def __call__(self, at: np.ndarray, length: int) -> Batch:
        """Examples that are learnt from the places `at` on, moved back where less than `length` is left of a stretch."""
        stretches = np.searchsorted(self.sound.bounds, at, "right") - 1
        sizes = np.diff(self.sound.bounds)[stretches]
        begins = np.minimum(at - self.sound.bounds[stretches], np.maximum(0, sizes - length))
        rows = [self._row(i, b, length) for i, b in zip(stretches.tolist(), begins.tolist(), strict=True)]
        inputs = torch.from_numpy(np.stack([row[:-1] for row in rows]))
        targets = torch.from_numpy(np.stack([row[self.field :] for row in rows]))
        labels = torch.from_numpy(self.sound.labels[stretches])
        firsts = begins - self.field  # where the first input lies in its stretch
        if self.sound.guide is None:
            return Batch(inputs, targets, labels, None, torch.from_numpy(firsts))
        frames = firsts // self.hop
        number = -(-(self.field + length) // self.hop) + 1
        guide = np.stack([self._frames(i, f, number) for i, f in zip(stretches.tolist(), frames.tolist(), strict=True)])
        return Batch(inputs, targets, labels, torch.from_numpy(guide), torch.from_numpy(firsts - frames * self.hop))

    def _row(self, stretch: int, begin: int, length: int) -> np.ndarray:
        """Samples from `field` before the first target on (field + length,)."""
        first, last = self.sound.bounds[stretch], self.sound.bounds[stretch + 1]
        row = np.zeros(self.field + length, np.float32)
        low = max(0, self.field - begin)
        taken = self.sound.samples[first + begin - self.field + low : min(last, first + begin + length)]
        row[low : low + len(taken)] = as_floats(np.asarray(taken))
        return mu_law.levels(row).astype(np.int64) if self.mu_law else row

    def _frames(self, stretch: int, frame: int, number: int) -> np.ndarray:
        begin, end = self.sound.frames[stretch], self.sound.frames[stretch + 1]
        at = np.clip(begin + frame + np.arange(number), begin, end - 1)
        return self.sound.guide[at]


def batches(config: Config, data: Data) -> Crops:
    return Crops(config, data)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    measure = fit.Measure(MEASURE, "nats/sample", 1.0, "samples", config.batch * config.length)
    return fit.settings_of(config, measure, warmup=100, average=config.average)


def picture(model: Model) -> unrolling.Net | unrolling.Dilations:
    """The net over time, for the verb graph."""
    net = model.net
    first = unrolling.looked_up(net.input) if net.levels else unrolling.dense("input", net.input)
    kind = "many to many, each output the next input"
    if isinstance(net, Layers):
        first = (first[0]._replace(size=net.layers.cells[0].input_size),)  # what leads it is read too
        rows = (first, *unrolling.recurrent(net.layers), unrolling.dense("softmax", net.output))
        return unrolling.Net(kind, (unrolling.Part("", "x", rows, "ŷ", fed_back=True),))
    return unrolling.gated(f"{kind}; {net.field:,} samples in view", first, net, "samples so far", "next sample")


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    weights = sum(p.numel() for p in model.parameters())
    what = f"{config.layers} x {config.hidden} units"
    if config.cell == "wavenet":
        what = (
            f"{config.cycles} x dilations 1 to {2 ** (config.layers - 1)}, {config.residual} residual and {config.skip} skip "
            f"channels, a receptive field of {model.field:,} samples ({1000 * model.field / config.hertz:.0f} ms)"
        )
    led = [f"the label, one of {len(data.codec.labels)}"] * bool(data.codec.labels) + [f"{config.guide_by}"] * bool(
        config.guide_by
    )
    return [
        *data.accounts["said"],
        f"model: {config.cell}, {what}, {config.head}; {weights:,} weights" + (f"; led by {' and '.join(led)}" if led else ""),
    ]


# --- measuring


def _pieces(sound: Sound, head: str, most: int | None = None) -> Iterator[linear_prediction.Piece]:
    edges = mu_law.edges()
    for i in range(len(sound.bounds) - 1):
        true = sound.stretch(i)[:most].astype(np.float64)
        if head == "mu-law":
            found = mu_law.levels(true)
            yield linear_prediction.Piece(mu_law.samples(found).astype(np.float64), true, edges[:-1][found], edges[1:][found])
        else:
            half = logistics.STEP / 2
            low = np.where(true <= logistics.LOWEST, -np.inf, true - half)
            yield linear_prediction.Piece(true, true, low, np.where(true >= logistics.HIGHEST, np.inf, true + half))


FITTED = 200  # seconds that the baselines are fitted on, at most


def _values(sound: Sound, head: str) -> np.ndarray:
    """How often each value occurs."""
    if head == "mu-law":
        return np.bincount(mu_law.levels(as_floats(np.asarray(sound.samples))), minlength=mu_law.LEVELS)
    return np.bincount(np.asarray(sound.samples).astype(np.int64) + 32768, minlength=65_536)


def _fitted(train: Sound, head: str) -> dict[str, Any]:
    """The baselines as plain numbers. Of 16 bits the histogram is that of the levels, even within each."""
    pieces = list(_pieces(train, head, most=16_000 * FITTED))
    found = {name: linear_prediction.fit(pieces, follow)._asdict() for name, follow in PREDICTORS.items()}
    return found | {"counts": _values(train, "mu-law").tolist()}


PREDICTORS = {"linear prediction": True, "linear prediction, fixed spread": False}


def floors(fitted: dict[str, Any], sound: Sound, head: str) -> dict[str, dict[str, float]]:
    """What each baseline reaches on a sound."""
    values = mu_law.LEVELS if head == "mu-law" else 65_536
    counts, levels_found = np.array(fitted["counts"]), _values(sound, "mu-law")
    even = 0.0
    if head != "mu-law":  # each level's probability is shared by its values
        shares = np.bincount(mu_law.levels(np.arange(-32768, 32768) / 32768), minlength=mu_law.LEVELS)
        even = float((levels_found * np.log(np.maximum(1, shares))).sum() / max(1, levels_found.sum()))
    found = {"histogram": _told(linear_prediction.histogram_nats(counts, levels_found) + even)}
    for name in PREDICTORS:
        predictor = linear_prediction.Predictor(**fitted[name])
        total = sum(float(linear_prediction.nats(predictor, piece, values).sum()) for piece in _pieces(sound, head))
        found[name] = _told(total / len(sound))
    return found


def _told(nats: float, samples: int | None = None) -> dict[str, float]:
    told = {MEASURE: nats, "bits_per_sample": nats / math.log(2)}
    return told if samples is None else told | {"samples": samples}


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """How often each value occurs, and linear prediction, on the sound held out."""
    return floors(data.accounts["floors"], data.dev, config.head)


def calibrate(model: Model, codec: Codec, part: Sound, limit: int) -> None:
    """There is nothing to be fitted on the sound held out."""


BLOCK, SHORT = 16_000, 2_000  # samples measured together, of all and of a part of a sound


@torch.no_grad()
def evaluate(model: Model, codec: Codec, part: Sound, limit: int | None = None) -> dict[str, float]:
    """Nats and bits of every sample, each after all that the net looks back at; limit: of about so many, spread over it."""
    model.eval()
    total, count = 0.0, 0
    for batch in _blocks(model, part, limit):
        outputs, _ = model(batch, ())
        nats = model.nats(outputs, batch.targets)
        total, count = total + float(nats.sum()), count + nats.numel()
    return _told(total / count, count)


def _blocks(model: Model, part: Sound, limit: int | None) -> Iterator[Batch]:
    """The sound once, or short blocks spread over it, on the model's device."""
    cut = Cutter(part, model.field, model.hertz, model.head)
    size = BLOCK if limit is None or limit >= len(part) else SHORT
    places = [
        (begin, min(size, int(end) - begin))
        for first, end in itertools.pairwise(part.bounds)
        for begin in range(int(first), int(end), size)
    ]
    if size == SHORT:
        chosen = np.linspace(0, len(places) - 1, min(len(places), max(1, limit // size))).round().astype(int)
        places = [places[i] for i in chosen]
    device = next(model.parameters()).device
    for begin, length in places:
        batch = cut(np.array([begin]), length)
        yield Batch(*(tensor if tensor is None else tensor.to(device) for tensor in batch))


STUCK, FALLEN = 0.05, 0.02  # nats


def remark(config: Config, measures: dict[str, float], floors: dict[str, dict[str, float]]) -> str:
    """What an evaluation means, beside the baselines."""
    values = mu_law.LEVELS if config.head == "mu-law" else 65_536
    nats, even = measures[MEASURE], math.log(values)
    beside = ", ".join(f"{name} {value[MEASURE]:.3f}" for name, value in floors.items())
    if abs(nats - even) < STUCK:
        return f"nothing is learnt yet: {nats:.3f} nats is ln {values}, all levels alike ({beside}); if it stays, lower --rate"
    if nats < FALLEN:
        return f"{nats:.3f} nats: the net sees what it should predict, or the sound is one value again and again ({beside})"
    below = [name for name, value in floors.items() if nats < value[MEASURE]]
    return (
        f"{nats / math.log(2):.3f} bits/sample; " + (f"below {', '.join(below)}; " if below else "below no baseline; ") + beside
    )


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> Sound:
    """Sound to evaluate on."""
    config = run.config
    files = waves.read(names, config.hertz, config.silence, config.labels, _guide(config))
    stretches = [s for file in files for s in file.stretches]
    if not stretches:
        raise UserError("there is nothing but silence to evaluate on", ", ".join(names), "other sound")
    return in_memory(stretches, run.codec)


DIAGNOSED = 16, 600  # places of a sound whose gradients are looked at, and samples from each


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Stretches of these sounds as they are trained on, spread over them."""
    config, found = run.config, part(run, names, spool)
    at = np.linspace(0, len(found) - 1, DIAGNOSED[0]).astype(np.int64)
    return Cutter(found, _field(config), config.hertz, config.head)(at, DIAGNOSED[1])


MOST = 200_000  # samples that 8 bits are compared on


def examine(run: Any, part: Sound) -> dict[str, list[dict[str, Any]]]:
    """Nats and bits of the net, of its weights in 8 bits, and of the baselines."""
    measured = evaluate(run.model, run.codec, part)
    fitted = folders.read_config(run.folder)["data"]["floors"]
    rows = [{"what": "the net"} | measured]
    rows += [{"what": f"the net, {name}"} | _told(*found) for name, found in precisions(run.model, part).items()]
    rows += [{"what": name} | told | {"samples": len(part)} for name, told in floors(fitted, part, run.config.head).items()]
    return {"measures": rows}


def precisions(model: Model, part: Sound, most: int = MOST) -> dict[str, tuple[float, int]]:
    """Nats a sample, and of how many, as it is generated: in float32 and in 8 bits, on the same samples."""
    return {name: _forced(model, synthesiser_of(model, name), part, most) for name in synthesiser.PRECISIONS}


def _forced(model: Model, net: synthesiser.Synthesiser, part: Sound, most: int) -> tuple[float, int]:
    total, count = 0.0, 0
    for batch in _blocks(model, part, most):
        condition = _as_array(model, batch)
        outputs = net.force(batch.inputs.numpy(), net.start(1), condition)[:, model.field - 1 :]
        nats = model.nats(torch.from_numpy(outputs), batch.targets)
        total, count = total + float(nats.sum()), count + nats.numel()
    return total / count, count


@torch.no_grad()
def _as_array(model: Model, batch: Batch) -> np.ndarray | None:
    condition = model.condition(batch.labels, batch.guides, batch.offsets, batch.inputs.shape[1])
    return None if condition is None else condition.numpy()


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What 8 bits cost, for the report."""
    found = precisions(run.model, data.dev, min(limit, MOST))
    return {"tables": {"precisions": [{"precision": name} | _told(*each) for name, each in found.items()]}}


# --- making sound


@dataclasses.dataclass(frozen=True)
class Sample:
    """Options of making sound."""

    seconds: float | None = option(None, "of sound to make  [as long as the guide, else 5]", minimum=0.01, maximum=3600)
    out: str = option("new.wav", "the file to write, .wav or .flac; of several streams new-1.wav, …")
    prompt: str = option("", "a sound file to go on from")
    seed: int | None = option(None, "the same seed makes the same sound", minimum=0)
    temperature: float = option(1.0, "below 1 safer, above 1 wilder, 0 always the likeliest", minimum=0, maximum=100)
    top_p: float | None = option(None, "draw from the likeliest levels that have probability p", minimum=1e-6, maximum=1)
    streams: int = option(1, "sounds to make, side by side", minimum=1, maximum=1024)
    precision: str = option("float32", "of weights", choices=synthesiser.PRECISIONS)
    label: str | None = option(None, "the label to make sound for (runs trained with --labels)")
    guide: str | None = option(None, "what leads it: a sound file, or a table of notes (runs trained with --guide-by)")


class Made(NamedTuple):
    """A sound that was made."""

    path: str
    seconds: float
    times_real_time: float


def compose(run: Any, options: Sample, progress: Progress) -> list[Made]:
    """Make sounds and write them; how fast is shown."""
    if Path(options.out).suffix.lower() not in (".wav", ".flac"):
        raise UserError(f"`--out {options.out}` does not say what to write; it may end in .wav or .flac", fix="--out new.wav")
    if not Path(options.out).absolute().parent.is_dir():  # before the wait
        raise UserError(f"there is no folder `{Path(options.out).parent}` to write `{Path(options.out).name}` to")
    prompt = sound.read(Path(options.prompt), run.config.hertz) if options.prompt else np.zeros(0, np.float32)
    options = dataclasses.replace(options, seconds=_seconds(run, options))
    began = time.monotonic()

    def shown(done: int, of: int) -> None:
        pace = done / run.config.hertz / max(1e-9, time.monotonic() - began)
        progress.now(f"{done / run.config.hertz:.1f} of {of / run.config.hertz:.1f} s, {pace:.2f} times real time")

    made = generate(run, options, prompt, shown)
    speed = options.seconds / (time.monotonic() - began)
    out = Path(options.out)
    paths = [out] if len(made) == 1 else [out.with_stem(f"{out.stem}-{i + 1}") for i in range(len(made))]
    for path, samples in zip(paths, made, strict=True):
        sound.write(path, samples, run.config.hertz)
    return [Made(str(path), len(samples) / run.config.hertz, speed) for path, samples in zip(paths, made, strict=True)]


AT_ONCE = 4000  # samples between two looks at the clock


def generate(
    run: Any, options: Sample, prompt: np.ndarray, shown: Callable[[int, int], None] = lambda done, of: None
) -> np.ndarray:
    """Sounds (streams, prompt and what was made), full scale 1."""
    size, done, parts = round(_seconds(run, options) * run.config.hertz), 0, [np.repeat(prompt[None], options.streams, 0)]
    for part in pieces(run, options, prompt):
        parts.append(part)
        done += part.shape[1]
        shown(done, size)
    return np.concatenate(parts, 1)


def _seconds(run: Any, options: Sample) -> float:
    """Of sound to make."""
    if options.seconds is not None:
        return options.seconds
    if options.guide is None or run.config.guide_by is None:
        return 5.0
    path = Path(options.guide)
    if run.config.guide_by != "notes":
        return sound.info(path).seconds
    notes = marks.read(path)
    if not notes:
        raise UserError("there is no note to lead the sound", str(path), "lines of begin, end and note; or --seconds")
    return max(note.end for note in notes)


def pieces(run: Any, options: Sample, prompt: np.ndarray) -> Iterator[np.ndarray]:
    """What `generate` makes after the prompt, as it comes: (streams, N)."""
    model, config, streams = run.model, run.config, options.streams
    size = max(1, round(_seconds(run, options) * config.hertz))
    net, random = synthesiser_of(model, options.precision), np.random.default_rng(options.seed)
    leads = _leading(run, options, len(prompt) + size)
    heard = np.concatenate((np.zeros(model.field, np.float32), prompt))
    if config.cell == "wavenet":  # no sample rests on more
        heard = heard[-model.field :]
    inputs = mu_law.levels(heard).astype(np.int64) if config.head == "mu-law" else heard
    state, first = net.start(1), len(prompt) - len(inputs)
    for begin in range(0, len(inputs), AT_ONCE):
        part = inputs[None, begin : begin + AT_ONCE]
        net.force(part, state, leads(first + begin, part.shape[1]))
    state = tuple(np.repeat(array, streams, 0) for array in state)
    for begin in range(0, size, AT_ONCE):
        number = min(AT_ONCE, size - begin)
        uniforms = random.random((number, streams) if config.head == "mu-law" else (number, streams, 2)).swapaxes(0, 1)
        condition = leads(len(prompt) + begin, number)
        condition = None if condition is None else np.repeat(condition, streams, 0)
        made = net(number, state, uniforms, options.temperature, options.top_p or 1.0, condition)
        yield mu_law.samples(made) if config.head == "mu-law" else made


def _leading(run: Any, options: Sample, size: int) -> Callable[[int, int], np.ndarray | None]:
    """What leads `number` samples from a place on, as (1, number, C)."""
    model, config = run.model, run.config
    if run.codec.labels and options.label is None:
        raise UserError(f"this run makes sound for a label; `--label` is one of {', '.join(run.codec.labels[:20])}")
    label = torch.tensor([0 if options.label is None else run.codec.label(options.label)])
    if (config.guide_by is None) != (options.guide is None):
        need = "was trained without a guide" if config.guide_by is None else f"is led by {config.guide_by}"
        raise UserError(f"this run {need}; `--guide` got `{options.guide}`", fix="`unrolled info RUN` shows --guide-by")
    guide = None
    if options.guide is not None:
        kind = "notes" if config.guide_by == "notes" else "sound"
        guide = guides.read(kind, Path(options.guide), config.hertz, guides.frames(size / config.hertz))

    @torch.no_grad()
    def leads(begin: int, number: int) -> np.ndarray | None:
        rows, first = None, begin // model.hop
        if guide is not None:
            at = np.clip(first + np.arange(number // model.hop + 2), 0, len(guide) - 1)
            rows = torch.from_numpy(guide[at])[None]
        found = model.condition(label, rows, torch.tensor([begin - first * model.hop]), number)
        return None if found is None else found.numpy()

    return leads


# --- exporting


def graph(builder: Builder, run: Any) -> Computes:
    """samples (B, T), levels or real, what leads them, and what those before have left -> outputs (B, T, Q), and what is left."""
    model, config, net = run.model, run.config, run.model.net
    if net.levels:
        x = builder.embedded(net.input, builder.ids("samples", ("batch", "time"), net.levels))
    else:
        x = builder.linear(net.input, builder.add("Unsqueeze", [builder.real("samples", ("batch", "time")), builder.numbers(2)]))
    condition = _led(builder, model, guides.CHANNELS[config.guide_by], x)
    if isinstance(net, WaveNet):
        outputs = making.waved(builder, net, x, condition)
    else:
        x = x if condition is None else builder.add("Concat", [x, condition], {"axis": -1})
        hidden, after = builder.recurrent(net.layers, x, None, builder.states(net.layers))
        for i, state in enumerate(after):
            builder.output(f"after_state_{i}", state, ("batch", config.hidden))
        outputs = builder.linear(net.output, hidden)
    builder.output("outputs", outputs, ("batch", "time", net.output.out_features))
    return {"": partial(_computed, model)}


def _led(builder: Builder, model: Model, channels: int, x: str) -> str | None:
    """The label's vector and the guide at each sample (B, T, C)."""
    parts = []
    if model.label is not None:
        vector = builder.embedded(model.label, builder.ids("labels", ("batch",), model.label.num_embeddings))
        size = [builder.add("Shape", [x], {"start": 0, "end": 2}), builder.numbers(LABEL)]
        vector = builder.add("Unsqueeze", [vector, builder.numbers(1)])
        parts.append(builder.add("Expand", [vector, builder.add("Concat", size, {"axis": 0})]))
    parts += [builder.real("guide", ("batch", "time", channels))] if channels else []
    return builder.add("Concat", parts, {"axis": -1}) if parts else None


@torch.no_grad()
def _computed(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the graph's outputs have to be."""
    read, net = {name: torch.from_numpy(value) for name, value in given.items()}, model.net
    x, label = read["samples"], read.get("labels")
    parts = [] if label is None else [model.label(label).unsqueeze(1).expand(-1, x.shape[1], -1)]
    parts += [read["guide"]] if "guide" in read else []
    condition = torch.cat(parts, -1) if parts else None
    if isinstance(net, WaveNet):
        outputs, *after = making.read(net, x, condition, read["state_0"])
    else:
        states = tuple(value for name, value in read.items() if name.startswith("state_"))
        hidden, after = net.layers(net._led(net.vectors(x), condition), states)
        outputs = net.output(hidden)
    found = {"outputs": outputs} | {f"after_state_{i}": one for i, one in enumerate(after)}
    return {name: value.numpy() for name, value in found.items()}


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graph and codec."""
    model, config = run.model, run.config
    return {
        "levels": model.net.levels, "hertz": config.hertz, "field": model.field, "hop": model.hop, "guide_by": config.guide_by,
    }  # fmt: skip


# --- looking inside

VIEW = foresight_page
LOOKED_AT = 10.0  # seconds that fit on a page
STRETCH, PLACES = 0.025, 24  # seconds whose expected samples are shown; samples of it of which it is asked what they rest on


@dataclasses.dataclass(frozen=True)
class Look:
    """Options of looking inside."""

    at: float | None = option(None, "the second from which the samples expected are shown  [the loudest]", minimum=0)
    label: str | None = option(None, "the label that the sound has (runs trained with --labels)")
    guide: str | None = option(None, "what leads it: a sound file, or a table of notes (runs trained with --guide-by)")


@torch.no_grad()
def look(run: Any, name: str, options: Look | None = None) -> foresight_page.Foresight:
    """What the net expected of each sample of a sound file, and which samples before it that rests on."""
    options, model, hertz = options or Look(), run.model.eval(), run.config.hertz
    samples = sound.read(Path(name), hertz)
    size, short = len(samples), min(len(samples), round(STRETCH * hertz))
    if not 0 < size <= LOOKED_AT * hertz:
        raise UserError(f"`{name}` lasts {size / hertz:.1f} s; {LOOKED_AT:g} s of sound fit on a page", name, "cut a piece out")
    if options.at is not None and options.at * hertz > size - short:
        raise UserError(f"`--at {options.at:g}` is behind the sound's end", name, f"at most {(size - short) / hertz:g}")
    heard = np.concatenate((np.zeros(model.field, np.float32), samples))
    inputs = torch.from_numpy(mu_law.levels(heard).astype(np.int64) if run.config.head == "mu-law" else heard)
    targets, expects = inputs[model.field :], _expecting(run, inputs, _leading(run, options, size))
    blocks = [range(begin, min(begin + BLOCK, size)) for begin in range(0, size, BLOCK)]
    nats = torch.cat([model.nats(expects(b.start, len(b)), targets[None, b.start : b.stop])[0] for b in blocks])
    begin = _loudest(samples, short) if options.at is None else round(options.at * hertz)
    shares = _level_shares(model, expects(begin, short)[0])
    features, listened = guides.logmel(samples, hertz), _listened(run, inputs, options, size, range(begin, begin + short))
    dilations = model.net.dilations if isinstance(model.net, WaveNet) else ()
    layers = f"{len(dilations)} dilated layers" if dilations else f"{run.config.layers or 1} x {run.config.hidden}"
    note = f"{run.folder}: {run.config.cell}, {layers}, {run.config.head}; {Path(name).name}"
    return foresight_page.Foresight(
        hertz, samples, nats.numpy(), features, guides.ears(hertz), begin, shares, listened, tuple(dict.fromkeys(dilations)), note
    )


def _expecting(run: Any, inputs: Tensor, leads: Callable[[int, int], np.ndarray | None]) -> Callable[[int, int], Tensor]:
    """What the net puts out for `number` samples from a place on (1, number, …)."""
    before = run.model.field

    def expects(begin: int, number: int) -> Tensor:
        x = inputs[None, begin : begin + before - 1 + number]
        lead = leads(begin - before, x.shape[1])
        return run.model.net.whole(x, None if lead is None else torch.from_numpy(lead)).float()

    return expects


def _loudest(samples: np.ndarray, size: int) -> int:
    energy = np.cumsum(np.append(0.0, samples.astype(float) ** 2))
    return int((energy[size:] - energy[:-size]).argmax())


def _level_shares(model: Model, outputs: Tensor) -> np.ndarray:
    """How probable each of the 256 mu-law levels is (T, 256)."""
    if model.head == "mu-law":
        return outputs.softmax(-1).numpy()
    return logistics.shares(outputs, torch.from_numpy(mu_law.edges())).numpy()


def _listened(run: Any, inputs: Tensor, options: Look, size: int, stretch: range) -> np.ndarray:
    """How strongly ln P of samples of a stretch listens to each sample before it, the last one first (field,)."""
    model, leads = run.model, _leading(run, options, size)
    at = np.unique(np.linspace(stretch.start, stretch.stop - 1, PLACES).round().astype(int)).tolist()
    windows = torch.stack([inputs[t : t + model.field] for t in at])
    led = [leads(t - model.field, model.field) for t in at]
    condition = None if led[0] is None else torch.from_numpy(np.concatenate(led))
    targets = inputs[model.field + torch.tensor(at)].unsqueeze(1)

    def score(vectors: Tensor) -> Tensor:
        return -model.nats(model.net.after(vectors, condition).float(), targets)[:, 0]

    return influence.by_distance(score, model.net.vectors(windows))


GLIMPSE = 2.0  # seconds


def glimpse(run: Any, seed: int) -> str:
    """A little of what it makes now, kept in samples/ with its spectrogram; led by nothing where it is made to be led."""
    if run.config.guide_by is not None:
        return "no sound of its own: it is led by a guide"
    label = run.codec.labels[seed % len(run.codec.labels)] if run.codec.labels else None
    run = run._replace(model=copy.deepcopy(run.model).cpu())  # it makes sound there
    (made,) = generate(run, Sample(seconds=GLIMPSE, seed=seed, label=label), np.zeros(0, np.float32))
    folder = run.folder / "samples"
    folder.mkdir(exist_ok=True)
    sound.write(folder / f"{seed}.wav", made, run.config.hertz)
    if find_spec("matplotlib") is not None:
        from .. import plot

        figure = plot.spectrogram(guides.logmel(made, run.config.hertz), len(made) / run.config.hertz, f"{seed}.wav")
        folders.write_bytes(folder / f"{seed}.png", plot.png(figure))
    return f"{folder / f'{seed}.wav'}: {GLIMPSE:g} s, {level(made):.0f} dB" + (f", {label}" if label else "")
