"""Listening for a word (the lecture's many to many): a probability for every step of a sound, and an event when the word is said.

In:  recordings of the word, of other speech, of rooms and noise (folders of WAV, FLAC, OGG, MP3); or a phrase, to be spoken by a
     program.
Out: when it was said, from files, from streams, from the microphone.

    samples (B, N) -> log-mel (B, F, M) -> convolution over time, relu (B, T, C) -> recurrent layers, forward only (B, T, H)
       or gated dilated convolutions
    -> logit of "the word ended within the last half second" (B, T)
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import (
    capture,
    detection,
    detection_tables,
    fit,
    formants,
    listener,
    logmel,
    rehearsal,
    sound_alikes,
    sound_page,
    unrolling,
    voices,
)
from .. import run as folders
from ..cells import CELLS
from ..config import agree, fill, option
from ..data import clips, marks, mixing, recordings, sound
from ..data import samples as of_samples
from ..data.clips import Clip, Clips
from ..data.vocab import Codec
from ..detection import Point, Rule
from ..detector import Detector, Event
from ..dilated import WaveNet
from ..errors import UserError
from ..export import hearing
from ..export.builder import Builder, Computes
from ..layers import initialise
from ..masks import masked
from ..recurrent import Recurrent, drop
from ..rehearsal import Heard, Stream

WAVENET, DILATIONS = "wavenet", (1, 2, 4, 8, 16, 32)  # of a cycle: 64 steps, two seconds
TONE, MASKS = 8.0, 2  # decibels by which a tone is coloured, and stretches hidden, where the word is spoken by programs alone
TONE_KNOTS = 6  # points of the tone's curve
RARE = -2.5  # the logit of one step in thirteen
MEASURE = "missing"
MEASURING = fit.Measuring("seconds_of_sound", probe=120, few=7200, many=1_000_000, warming=0)
TRY = ("predict {run} {data}/positive", "listen {run} {data}/background/room-1.wav", "listen {run} mic")
NEEDS_DATA = False  # recordings come with --positive, or are spoken
TAKES = "sound"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "a folder with folders named positive, negative, background")
    positive: tuple[str, ...] = option((), "recordings of the word: folders or files")
    negative: tuple[str, ...] = option((), "recordings of other speech, or of what fired it by mistake")
    background: tuple[str, ...] = option((), "recordings of rooms, noise, music")
    say: tuple[str, ...] = option((), "the word or phrase, to be spoken by a program; more than one: other ways to write it")
    voice: str | None = option(None, "the program that speaks: a command with {text} and {wav}  [espeak-ng, flite too]")
    language: str = option("en", "of espeak-ng's voices")
    spoken: int | None = option(None, "clips that are spoken, and as many of what sounds like it", minimum=10, maximum=100_000)
    talk: float = option(1.0, "hours of made-up talk to validate on, where a phrase is spoken", minimum=0, maximum=1000)
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option("gru", "the recurrent cell, or gated dilated convolutions", choices=(*CELLS, WAVENET))
    hidden: int = option(
        128, "units a layer; of wavenet the skip channels, the residual ones are half", minimum=2, maximum=100_000
    )
    layers: int = option(2, "recurrent layers; of wavenet cycles of dilations 1 to 32", minimum=1, maximum=100)
    channels: int = option(96, "of the convolution; of wavenet its residual channels", minimum=1, maximum=100_000)
    frames: int = option(5, "that the convolution sees", minimum=1, maximum=1000)
    stride: int = option(3, "frames from one answer to the next", minimum=1, maximum=1000)
    hertz: int = option(16_000, "samples a second; other sound is resampled", minimum=4_000, maximum=192_000)
    bands: int = option(40, "of the log-mel spectrogram", minimum=4, maximum=512)
    window: float = option(0.025, "seconds that a frame sees", minimum=0.002, maximum=1)
    hop: float = option(0.010, "seconds from one frame to the next", minimum=0.001, maximum=1)
    example: float = option(8.0, "seconds of sound that are mixed for an example", minimum=2, maximum=120)
    after: float = option(0.5, "seconds after the word's end in which it is to be found", minimum=0.05, maximum=10)
    holdout: float = option(0.2, "part of the recordings to validate on, drawn by the seed", minimum=0.01, maximum=0.5)
    budget: float = option(0.5, "false accepts an hour that the threshold is chosen for", minimum=0)
    release: float = option(0.5, "it fires again after it was below this part of the threshold", minimum=0.01, maximum=1)
    refractory: float = option(1.0, "seconds in which it does not fire a second time", minimum=0, maximum=3600)
    tone: float | None = option(None, "decibels by which examples' tone is coloured  [8 without recordings of the word, else 0]",
                                minimum=0, maximum=40)  # fmt: skip
    masks: int | None = option(None, "stretches of time, and of bands, hidden in each example  [2 without recordings, else 0]",
                               minimum=0, maximum=100)  # fmt: skip
    dropout: float = option(0.2, "of what the layers and the output read", minimum=0, maximum=0.95)
    batch: int | None = option(None, "examples a step", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.01, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.05, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    evaluations: int = option(6, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and dropout", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("float32", "of matrix products", choices=("auto", "float32", "bfloat16"))


KINDS = ("words", "others", "backgrounds")


class Data(NamedTuple):
    codec: Codec
    train: dict[str, Clips]  # of KINDS
    dev: Heard
    accounts: dict[str, Any]


class Batch(NamedTuple):
    samples: Tensor  # (B, N)
    labels: Tensor  # (B, T) 1, 0, or mixing.MASKED


def demo(folder: Path) -> list[Path]:
    """A word of a language that a formant synthesiser makes up, other words of it, and a room."""
    formants.write_words(folder, seed=1)
    return [folder]


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Decode, cut and speak all clips into files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    logmel.of(config)
    listener.check_stride(config.frames, config.stride)
    found = _recorded(config)
    if not found["words"] and not config.say:
        raise UserError(
            "there is no recording of the word, and no phrase to be spoken", fix="--positive FOLDER, or --say 'hey you'"
        )
    parts, cut = _split(config, found)
    if not parts["dev"]["words"] and not config.say:
        fix = "record more of it (unrolled record FOLDER), or have it spoken too: --say 'the word'"
        raise UserError("one recording of the word leaves none to validate on", fix=fix)
    said = [_told(found), *cut]
    if config.say:
        said.append(_speak(config, parts))
    if not parts["train"]["others"]:
        said.append("no other speech was given: it may fire at any; give some with --negative, or --say the phrase")
    accounts: dict[str, Any] = {"said": said}
    for part, kinds in parts.items():
        for kind in KINDS:
            accounts[f"{part}_{kind}"] = clips.keep(folder / f"{part}.{kind}", kinds[kind])
    codec = base or Codec("words", config.say)
    return reopen(codec, accounts | {"config": dataclasses.asdict(config)}, folder)


Found = list[Clip]


def _recorded(config: Config) -> dict[str, Found]:
    """The user's recordings, decoded: words, and whole files of other sound."""
    given = {"words": list(config.positive), "others": list(config.negative), "backgrounds": list(config.background)}
    for name in config.data:
        inside = {kind: Path(name) / word for kind, word in zip(KINDS, ("positive", "negative", "background"), strict=True)}
        if not inside["words"].is_dir():
            fix = f"--positive {name}, if these are recordings of the word"
            raise UserError(f"the folder `{name}` has no folder `positive` in it", name, fix)
        for kind, path in inside.items():
            given[kind] += [str(path)] if path.is_dir() else []
    words = clips.words(given.pop("words"), config.hertz, _longest(config))
    return {"words": words} | {kind: clips.others(names, config.hertz) for kind, names in given.items()}


def _longest(config: Config) -> float:
    """Seconds of a word."""
    return config.example / 2.5


NAMES = {"words": "the word", "others": "other speech", "backgrounds": "rooms and noise"}
PIECE = {"others": 5.0, "backgrounds": 50.0}  # seconds


def _split(config: Config, found: dict[str, Found]) -> tuple[dict[str, dict[str, Found]], list[str]]:
    """What to train on and what to validate on, by file, and lines for the user where one was cut."""
    parts: dict[str, dict[str, Found]] = {"train": {}, "dev": {}}
    said = []
    for kind, files in found.items():
        rng = np.random.default_rng((config.seed, KINDS.index(kind)))
        if kind == "words":
            parts["train"][kind], parts["dev"][kind] = clips.draw(files, config.holdout, rng)
            continue
        stay, held, cut = clips.split(files, config.holdout, rng)
        if cut:
            said.append(
                f"of {NAMES[kind]} the end of a file is validated on, what is before it is trained on; more files tell more"
            )
        size = round(PIECE[kind] * config.hertz)
        parts["train"][kind], parts["dev"][kind] = list(clips.pieces(stay, size)), list(clips.pieces(held, size))
    return parts, said


FEW = 10  # recordings of the word to validate on; where there are fewer, spoken ones are added
TALK = 4.0  # seconds of talk to train on for each clip that is spoken


SPOKEN = ("spoken", "spoken, alike", "spoken talk")


def _speak(config: Config, parts: dict[str, dict[str, Found]]) -> str:
    """Add what a program speaks; a line for the user."""
    size = config.spoken or int(np.clip(300 * (config.minutes or 10), 200, 3000))
    options = {"rate": config.hertz, "language": config.language, "command": config.voice}
    alike = (text for phrase in config.say for text in sound_alikes.near(phrase, config.language, config.voice is None))
    near = [text for text in alike if not any(voices.says(text, phrase) for phrase in config.say)]
    dev = max(0, 100 - len(parts["dev"]["words"])) if len(parts["dev"]["words"]) < FEW else 0
    told, seed, longest = partial(voices.say, **options), config.seed, round(PIECE["others"] * config.hertz)
    talk = partial(voices.talk, avoid=config.say, **options)
    said = {
        ("train", "words", "spoken"): told(config.say, size, seed),
        ("dev", "words", "spoken"): told(config.say, dev, seed + 1),
        ("train", "others", "spoken, alike"): told(near, size, seed + 2),
        ("train", "others", "spoken talk"): [
            piece for passage in talk(size * TALK, seed + 3) for piece in clips.cut(passage, longest)
        ],
        ("dev", "others", "spoken, alike"): told(near, len(near), seed + 4),
        ("dev", "others", "spoken talk"): list(talk(config.talk * 3600, seed + 5)),
    }
    for (part, kind, origin), made in said.items():
        parts[part][kind] = parts[part][kind] + [Clip(samples, origin) for samples in made]
    hours = sum(map(len, said["dev", "others", "spoken talk"])) / config.hertz / 3600
    english = f"; this talk is English, read by voices of `{config.language}`: recorded talk (--negative) is better"
    return (
        f"spoken: {size:,} times {' or '.join(f'`{phrase}`' for phrase in config.say)}, {size:,} times what sounds like it; "
        f"to validate on {hours:.2f} hours of made-up talk"
        + (f", and {dev} clips of the word" if dev else "")
        + ("" if config.language.startswith("en") else english)
    )


def _told(found: dict[str, Found]) -> str:
    parts = [f"{len(found[kind]):,} recordings of {name}" for kind, name in NAMES.items() if found[kind]]
    return "read " + (", ".join(parts) or "no recording")


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    train, dev = (
        {kind: clips.opened(folder / f"{part}.{kind}", accounts[f"{part}_{kind}"]) for kind in KINDS} for part in ("train", "dev")
    )
    rate, seed = accounts["config"]["hertz"], accounts["config"]["seed"]
    words, behind = (dev[kind].whole() for kind in ("words", "backgrounds"))
    streams = rehearsal.at_levels(words, [clip.samples for clip in behind], rate, seed)
    streams += [stream for kind in ("others", "backgrounds") for stream in rehearsal.without_words(dev[kind].whole(), rate)]
    return Data(codec, train, Heard(streams, rate), accounts)


# --- the model


class Model(nn.Module):
    """What listens, and the threshold at which it fires."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        self.logmel, self.stride, self.dropout = logmel.of(config), config.stride, config.dropout
        self.tone, self.masks = config.tone or 0.0, config.masks or 0  # in training
        self.rule = Rule(0.5, config.release, config.refractory)
        self.budget = config.budget
        self.normalise = nn.BatchNorm1d(config.bands, affine=False)  # once trained, a fixed shift and scale of each band
        self.gated = self.recurrent = None
        channels = config.hidden // 2 if config.cell == WAVENET else config.channels
        self.convolution = nn.Conv1d(config.bands, channels, config.frames, config.stride)
        if config.cell == WAVENET:
            self.gated = WaveNet(None, 1, channels, config.hidden, DILATIONS * config.layers)
        else:
            self.recurrent = Recurrent(config.cell, channels, config.hidden, config.layers, dropout=config.dropout)
            self.output = nn.Linear(config.hidden, 1)
            for part in (self.recurrent, self.output):
                part.apply(initialise)
        self.register_buffer("threshold", torch.tensor(0.5))

    @property
    def step(self) -> int:
        """Samples from one answer to the next."""
        return self.stride * self.logmel.hop_samples

    @property
    def lead(self) -> int:
        """Samples until the first answer."""
        return (self.convolution.kernel_size[0] - 1) * self.logmel.hop_samples + self.logmel.window_samples

    def forward(self, batch: Batch, state: Any) -> tuple[Tensor, tuple]:
        """Logits (B, T); every example begins anew."""
        with torch.autocast(batch.samples.device.type, enabled=False):
            features = self.logmel(batch.samples).transpose(1, 2)  # (B, M, F)
            if self.training and self.tone:
                features = features + self._coloured(len(features), features.shape[1]).to(features)
            features = self.normalise(features)
            if self.training:
                features = self._hidden(features)
        x = self.convolution(features).relu().transpose(1, 2)  # (B, T, C)
        if self.gated is not None:
            return self.gated(drop(x, self.dropout, self.training, variational=True)).squeeze(-1).float(), ()
        hidden, _ = self.recurrent(drop(x, self.dropout, self.training, variational=True))
        return self.output(drop(hidden, self.dropout, self.training, variational=True)).squeeze(-1).float(), ()

    def _coloured(self, examples: int, bands: int) -> Tensor:
        """Another colour of tone for each example (B, M, 1), in natural logarithms of power: a smooth curve over the bands."""
        knots = torch.randn(examples, 1, TONE_KNOTS) * (self.tone * math.log(10) / 10)
        return F.interpolate(knots, size=bands, mode="linear", align_corners=True).transpose(1, 2)

    def _hidden(self, features: Tensor) -> Tensor:
        """Features (B, M, F) with stretches of time and of bands set to their mean."""
        frames, whole = (features.new_full(features.shape[:1], value) for value in (features.shape[2], 1.0))
        return masked(features.transpose(1, 2), frames, self.masks, whole).transpose(1, 2)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean nats of the steps that are not masked."""
        counted = batch.labels != mixing.MASKED
        return F.binary_cross_entropy_with_logits(logits[counted], batch.labels[counted].float())


@torch.no_grad()
def detector(model: Model) -> Detector:
    """The model as it is now, packed for streams."""
    rule = model.rule._replace(threshold=float(model.threshold))
    net = listener.packed(model) if model.gated is None else listener.packed_dilated(model)
    return Detector(net, rule, model.logmel.rate, model.step, model.lead)


# --- choosing


def plan(config: Config, data: Data) -> Config:
    """The config with sizes chosen."""
    config = config if config.steps else fill(config, minutes=10.0)
    spoken = set(data.train["words"].origins) <= set(SPOKEN)
    return fill(config, batch=16, rate=2e-3, tone=TONE if spoken else 0.0, masks=MASKS if spoken else 0)


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """There are none of sounds."""
    return []


@torch.no_grad()
def prime(model: Model, data: Data) -> None:
    """The net begins with the answer that the word is hardly ever said."""
    last = model.output if model.gated is None else model.gated.output
    last.bias.fill_(RARE)


STRUCTURE = ("cell", "hidden", "layers", "channels", "frames", "stride", "hertz", "bands", "window", "hop")


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    return agree({name: getattr(base, name) for name in STRUCTURE}, given) | {"rate": base.rate / 4}


MOST_STEPS = 1_000_000  # examples are mixed without end


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become."""
    return MOST_STEPS


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps * config.batch * config.example / 3600:.1f} hours of mixed sound"


SNR = 0.0, 45.0  # decibels of a clip above what is behind it: someone may speak close by in a quiet room
BACKGROUND = -75.0, -30.0  # decibels of full scale


class Batches:
    """Examples mixed for a step; the next step's are mixed while this one's are learnt."""

    def __init__(self, config: Config, data: Data):
        self.config = config
        hop, behind = logmel.of(config).hop_samples, {"snr": SNR, "background": BACKGROUND, "recorded": 0.5}
        self.mixture = mixing.Mixture(config.hertz, hop, config.example, after=config.after, **behind)
        self.clips = data.train
        self.ahead: tuple[int, Future] | None = None
        self.pool = ThreadPoolExecutor(1)

    @cached_property
    def sources(self) -> mixing.Sources:
        """What is mixed. Where there are recordings and spoken clips, as much is drawn of the ones as of the others."""
        words, others = (_by_origin(self.clips[kind]) for kind in ("words", "others"))
        recorded = words.get(RECORDED, [])
        groups = [*others.values(), [part for clip in recorded for part in _broken(clip)]]
        backgrounds = [clip.samples for clip in self.clips["backgrounds"].whole()]
        return mixing.sources(_evenly(words.values()), _evenly(groups), backgrounds, self.mixture, self.config.seed)

    @cached_property
    def steps(self) -> np.ndarray:
        """Which label (T,) goes with each answer: that of the frame which ends with the last sample that it sees."""
        heard, config = logmel.of(self.config), self.config
        frames = heard.frames(round(config.example * config.hertz))
        number = (frames - config.frames) // config.stride + 1
        last = (config.frames - 1 + np.arange(number) * config.stride) * heard.hop_samples + heard.window_samples
        return last // heard.hop_samples - 1

    def batch(self, step: int) -> Batch:
        found = self.ahead[1].result() if self.ahead is not None and self.ahead[0] == step else self._mixed(step)
        self.ahead = step + 1, self.pool.submit(self._mixed, step + 1)
        samples, labels = found
        return Batch(torch.from_numpy(samples), torch.from_numpy(labels[:, self.steps]))

    def _mixed(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return mixing.batch(self.sources, self.mixture, self.config.batch, self.config.seed, step)


RECORDED = "recorded"


def _by_origin(given: Clips) -> dict[str, list[np.ndarray]]:
    """Clips of each thing that was spoken, and those that were recorded."""
    groups: dict[str, list[np.ndarray]] = {}
    for samples, origin in given.whole():
        groups.setdefault(origin if origin in SPOKEN else RECORDED, []).append(of_samples.as_floats(samples))
    return groups


def _broken(word: np.ndarray) -> list[np.ndarray]:
    """What is no longer the word, in the same voice: else a net may learn that whoever speaks like a recording says it."""
    size = len(word)
    return [
        word[: size * 11 // 20],
        word[size * 9 // 20 :],
        np.concatenate((word[size // 2 :], word[: size // 2])),
        word[::-1].copy(),
    ]


def _evenly(groups: Iterable[list[np.ndarray]]) -> list[np.ndarray]:
    """All clips, those of smaller groups so often that each group has about as many."""
    groups = [group for group in groups if group]
    most = max((len(group) for group in groups), default=0)
    return [clip for group in groups for clip in group * round(most / len(group))]


def batches(config: Config, data: Data) -> Batches:
    return Batches(config, data)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    measure = fit.Measure(
        MEASURE, "", 1.0, "seconds of sound", config.batch * config.example, ("miss_rate", "false_accepts_per_hour", "hours")
    )
    return fit.settings_of(config, measure, warmup=200, average=config.average)


def picture(model: Model) -> unrolling.Net | unrolling.Dilations:
    """The net over time, for the verb graph."""
    first = unrolling.dense("convolution", model.convolution)
    if model.gated is not None:
        return unrolling.gated(f"{unrolling.SAME}; {model.gated.field:,} steps in view", first, model.gated, "steps so far", "σ")
    rows = (first, *unrolling.recurrent(model.recurrent), unrolling.dense("σ", model.output))
    note = f"a step is {1000 * model.step / model.logmel.rate:g} ms of the log-mel spectrogram"
    return unrolling.Net(unrolling.SAME, (unrolling.Part("", "x", rows, "ŷ"),), note=note)


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    count = Counter({kind: len(clips) for kind, clips in data.train.items()})
    words = sum(len(stream.marks) for stream in data.dev.streams) // len(rehearsal.LEVELS)
    hours = len(data.dev) / 3600
    weights = sum(p.numel() for p in model.parameters())
    made = f"{count['words']:,} clips of the word, {count['others']:,} of other speech, {count['backgrounds']:,} of rooms"
    every = f"an answer every {model.step / config.hertz * 1000:.0f} ms"
    what = f"{config.layers} x {config.hidden} units"
    if model.gated is not None:
        seconds = model.gated.field * model.step / config.hertz
        what = (
            f"{config.layers} x dilations 1 to {DILATIONS[-1]}, {config.hidden // 2} residual and {config.hidden} skip channels, "
        )
        what += f"{seconds:.1f} s in view"
    return [
        *data.accounts["said"],
        f"to train on {made}; to validate on {words:,} of the word, {hours:.2f} hours in all",
        f"model: {config.cell}, {what}, {every}; {weights:,} weights",
    ]


# --- measuring


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """The floor: never to fire."""
    return {"never fires": {"miss_rate": 1.0, "false_accepts_per_hour": 0.0}}


def calibrate(model: Model, codec: Codec, part: Heard, limit: int) -> None:
    """Nothing is done here: `watch` chooses the threshold from the probabilities that it needs anyway."""


BUDGETS = (
    0.0,
    1.0,
    2.0,
    4.0,
    8.0,
    16.0,
    32.0,
    64.0,
)  # times the budget; misses at all of these choose between steps that are alike at one


def watch(model: Model, codec: Codec, part: Heard, limit: int | None = None) -> dict[str, float]:
    """Choose the model's threshold on the streams, and measure them at it."""
    net, streams = detector(model), part.some(limit)
    points = detection.curve(rehearsal.heard(net, streams), net.rule, net.hop)
    chosen = detection.choose(points, model.budget)
    model.threshold.fill_(chosen.threshold)
    misses = [1 - detection.choose(points, model.budget * times).hits / max(1, chosen.words) for times in BUDGETS]
    return _told_of(chosen, streams, part.rate) | {MEASURE: float(np.mean(misses))}


def conclude(model: Model, codec: Codec, part: Heard, limit: int) -> None:
    """The threshold is chosen once more, on all that is held out."""
    watch(model, codec, part, limit)


def _told_of(point: Point, streams: list[Stream], rate: int) -> dict[str, float]:
    found = {name: value for name, value in detection.measures(point).items() if value is not None}
    return found | {"seconds_of_sound": sum(len(stream.sound) for stream in streams) / rate}


def evaluate(model: Model, codec: Codec, part: Heard, limit: int | None = None) -> dict[str, float]:
    """The measures at the model's threshold."""
    net, streams = detector(model), part.some(limit)
    point = detection_tables.point(net, rehearsal.heard(net, streams))
    return _told_of(point, streams, part.rate) | {MEASURE: 1 - point.hits / max(1, point.words)}


def examine(run: Any, part: list[Stream]) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of streams: measures with intervals, the curve, misses by level and origin, what fires it."""
    net = detector(run.model)
    return detection_tables.tables(net, part, rehearsal.heard(net, part))


# --- answering


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    threshold: float | None = option(None, "probability from which on it fires  [the run's own]", minimum=1e-6, maximum=1)


class Answer(NamedTuple):
    probability: float  # the highest
    events: list[dict[str, float]]  # time, probability


def predict(run: Any, paths: Sequence[Path], options: Predict) -> list[Answer]:
    """When the word is said in each sound file."""
    net = at_threshold(detector(run.model), options.threshold)
    return [detected(net, sound.blocks(path, net.rate)) for path in paths]


def detected(net: Detector, blocks: Iterable[np.ndarray]) -> Answer:
    """When the word is said in a sound, given in blocks of samples (N,)."""
    state, highest, events = net.start(), 0.0, []
    for block in blocks:
        probabilities, found, state = net(block, state)
        highest = max(highest, float(probabilities.max(initial=0)))
        events += [told_of(event) for event in found]
    return Answer(round(highest, 4), events)


def told_of(event: Event) -> dict[str, float]:
    """An event as data, to the millisecond; the net does not know its probabilities to more than four digits."""
    return {"time": round(event.time, 3), "probability": round(event.probability, 4)}


def at_threshold(net: Detector, threshold: float | None) -> Detector:
    """The detector, firing from another probability on."""
    if threshold is not None:
        net.rule = net.rule._replace(threshold=threshold)
    return net


def item(run: Any, text: str) -> Path:
    """A sound file's path."""
    return Path(text)


def items(run: Any, name: str, options: Predict, spool: Path) -> Iterator[tuple[str, Path]]:
    """The sound files of a folder, a table or a list."""
    return iter(recordings.paths(name, spool))


AT_ONCE = 1  # a file may be of any length: its answer does not wait for others


def shown(answer: Answer, coloured: bool) -> str:
    """An answer as a person reads it."""
    times = ", ".join(f"{event['time']:.2f} s ({event['probability']:.3f})" for event in answer.events)
    return times or f"not heard (highest probability {answer.probability:.3f})"


VIEW = sound_page
LOOKED_AT = 120.0  # seconds that fit on a page


def look(run: Any, name: str) -> sound_page.Heard:
    """The probability of the word over a sound file, and when it fires."""
    net, heard = detector(run.model), run.model.logmel
    if (seconds := sound.info(Path(name)).seconds) > LOOKED_AT:
        raise UserError(f"`{name}` lasts {seconds:.1f} s; {LOOKED_AT:g} s of sound fit on a page", name, "cut a piece out of it")
    samples = sound.read(Path(name), net.rate)
    probabilities, events, _ = net(samples, net.start())
    times = net.offset + net.hop * np.arange(1, len(probabilities) + 1)
    spans = [sound_page.Span("", *(round(event.time, 3),) * 2, round(event.probability, 4)) for event in events]
    with torch.no_grad():
        features = heard(torch.from_numpy(samples)).numpy()
    config, word = run.config, " or ".join(run.config.say) or "the word"
    threshold = round(net.rule.threshold, 4)
    note = f"{run.folder}: {config.cell}, {config.layers} x {config.hidden}; fires from {threshold:.3f} on; {Path(name).name}"
    return sound_page.Heard(
        len(samples) / net.rate, heard, features, times, [word], probabilities[:, None], threshold, spans, note
    )


@dataclasses.dataclass(frozen=True)
class Listen:
    """Options of listening."""

    threshold: float | None = option(None, "probability from which on it fires  [the run's own]", minimum=1e-6, maximum=1)
    exec: str | None = option(None, "a command to start at each event, with {time}, {probability} and, where it is kept, {sound}")
    capture: str | None = option(None, "keep the sound around each event in this folder, to train on: --negative FOLDER")
    hertz: int | None = option(
        None, "of raw sound (16 bits, mono) through standard input  [16000]", minimum=1_000, maximum=768_000
    )


def listen(run: Any, source: str, options: Listen) -> Iterator[dict[str, Any]]:
    """Events as they come, from a sound file, raw sound through standard input (`-`) or the microphone (`mic`)."""
    net = at_threshold(detector(run.model), options.threshold)
    folder = None if options.capture is None else Path(options.capture)
    places = ("time", "probability") if folder is None else ("time", "probability", "sound")
    start = capture.Runner(capture.command(options.exec, places)) if options.exec is not None else None
    written = (start,) if start is not None and start.waits else ()
    for event, path in capture.kept(net, sound.heard(source, net.rate, options.hertz), folder, *written):
        if start is not None and not start.waits:
            start(event)
        yield told_of(event) | ({} if path is None else {"sound": str(path)})
    if start is not None:
        start.wait()


def graph(builder: Builder, run: Any) -> Computes:
    """log-mel features (B, T, stride, bands), lengths (B), what a step leaves to the next -> logit (B, T), what is left."""
    recurrent = run.model.gated is None
    answers = (hearing.listened if recurrent else hearing.listened_dilated)(builder, run.model)
    builder.output("logit", builder.add("Squeeze", [answers, builder.numbers(2)]), ("batch", "time"))
    return {"": partial(_computed, run.model)}


def _computed(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = (hearing.computed if model.gated is None else hearing.computed_dilated)(model, given)
    return found | {"logit": found.pop("logits")[:, :, 0]}


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graph and codec."""
    rule = run.model.rule
    return hearing.settings(run.model) | rule._replace(threshold=float(run.model.threshold))._asdict()


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""

    stream: tuple[str, ...] = option((), "recordings of any length, heard as they are")
    events: tuple[str, ...] = option((), "where the word is in each: a table of begin, end and label, in seconds; `-`: nowhere")
    negative: tuple[str, ...] = option((), "sound without the word: folders or files")
    background: tuple[str, ...] = option((), "what recordings of the word are laid over  [noise]")
    snr: float = option(10.0, "decibels of those recordings above it", minimum=-40, maximum=100)
    talk: float = option(0.0, "hours of made-up talk beside them, spoken as in training", minimum=0, maximum=1000)


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> list[Stream]:
    """Streams to evaluate on: recordings of the word laid over a background, and streams as they are."""
    options, config = options or Evaluate(), run.config
    found = _marked(options)
    words = clips.words(names, config.hertz, _longest(config))
    behind = [clip.samples for clip in clips.others(options.background, config.hertz)]
    if words:
        found += rehearsal.with_words(words, behind, options.snr, config.hertz, config.seed)
    found += [
        Stream(str(path), name, path, []) for name in options.negative for path in sound.files(Path(name))
    ]  # fmt: skip
    if options.talk:
        where = config.hertz, config.language, config.voice
        passages = voices.talk(options.talk * 3600, config.seed + 99, *where, avoid=config.say)
        found += [Stream("made-up talk", "made-up talk", of_samples.in_16_bits(passage), []) for passage in passages]
    if not found:
        raise UserError("there is nothing to listen to", fix="name recordings of the word, --stream and --events, or --negative")
    return found


DIAGNOSED = 16  # examples whose gradients are looked at


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Examples mixed of recordings of the word: of these, else of the run's own; of none, the word is spoken."""
    config = dataclasses.replace(run.config, batch=DIAGNOSED)
    if list(names) != list(config.data):
        config = dataclasses.replace(config, data=(), positive=tuple(names), negative=(), background=())
    found = _recorded(config)
    if not found["words"]:
        said = voices.say(config.say, DIAGNOSED, config.seed, config.hertz, config.language, config.voice)
        found["words"] = [Clip(samples, SPOKEN[0]) for samples in said]
    spool.mkdir(parents=True, exist_ok=True)
    kept = {kind: clips.opened(spool / kind, clips.keep(spool / kind, found[kind])) for kind in KINDS}
    return Batches(config, Data(run.codec, kept, Heard([], config.hertz), {})).batch(0)


def _marked(options: Evaluate) -> list[Stream]:
    if len(options.events) not in (0, len(options.stream)):
        said = f"`--events` names {len(options.events)} tables, `--stream` {len(options.stream)} recordings"
        raise UserError(said, fix="one for each, in the same order; `-` for a recording without the word")
    tables = options.events or ("-",) * len(options.stream)
    return [
        Stream(
            name, "stream", Path(name), [] if table == "-" else marks.within(Path(table), sound.info(Path(name)).seconds, name)
        )
        for name, table in zip(options.stream, tables, strict=True)
    ]


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures: tables, and the curve as a picture where it can be drawn."""
    net, streams = detector(run.model), data.dev.some(limit)
    recordings = rehearsal.heard(net, streams)
    if find_spec("matplotlib") is not None:
        (run.folder / "samples").mkdir(exist_ok=True)
        folders.write_bytes(run.folder / "samples" / "curve.png", detection_tables.picture(net, streams, recordings))
    reached = detection_tables.reached(net, streams, recordings, run.config.budget)
    return {"reached": reached, "tables": detection_tables.tables(net, streams, recordings)}


def glimpse(run: Any, seed: int) -> str:
    """At which probability it fires."""
    return f"fires at {float(run.model.threshold):.3f}"
