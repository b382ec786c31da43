"""Writing down what is said (the lecture's many to many, of two lengths): sound in, text out.

In:  recordings with their transcripts: a table of paths and texts, or a folder with a .txt beside each sound file.
Out: the text of other recordings, its words with their times, also while it is spoken.

    samples (B, N) -> log-mel (B, F, M) -> convolution over time, relu (B, T, C) -> recurrent layers, forward or both ways
    -> logits of symbols, the blank among them (B, T, V); learnt by connectionist temporal classification
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import backoff, ctc, fit, formants, listener, logmel, sound_page, spelled, tables, unrolling, word_tables
from .. import run as folders
from ..cells import CELLS
from ..config import agree, fill, option
from ..data import arpa, mixing, recordings, sound, vocab
from ..data.batch import Buckets, Rows, borders, open_rows, spread_rows, write_rows
from ..data.recordings import Columns, Recording
from ..data.samples import in_16_bits
from ..data.transcribed import SAMPLES, Clips, keep, open_clips
from ..data.vocab import END, UNKNOWN, Codec
from ..decode import log_softmax
from ..errors import BAD_INPUT, UserError
from ..export import hearing
from ..export.builder import Builder, Computes
from ..kernels.stepping import KINDS
from ..layers import initialise
from ..masks import masked
from ..recurrent import Recurrent, drop
from ..runtime.speech import Answer, Guess, Word
from ..transcriber import Said, Transcriber

MEASURE = "greedy_character_error_rate"
MEASURING = fit.Measuring("recordings", probe=16, few=64, many=1_000_000, warming=0, untrained=2.0)
TRY = ("predict {run} {data}/clips/000.wav", "look {run} {data}/clips/000.wav", "listen {run} mic")
TAKES = "sound"
BLANK = 0  # the id of `unknown`, which no transcript has
HERTZ = 16_000
TAIL = 0.2  # seconds of silence that follow every recording, so that the net can end what it heard last


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "a table of sound files and texts, a folder with a .txt beside each sound file")
    audio: str | None = option(None, "a table's column of sound files, by name or number")
    text: str | None = option(None, "a table's column of transcripts, by name or number")
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option("gru", "the recurrent cell", choices=CELLS)
    hidden: int = option(192, "units a layer and direction", minimum=1, maximum=100_000)
    layers: int = option(2, "recurrent layers", minimum=1, maximum=100)
    direction: str = option("both", "read both ways, or forward only, as `listen` needs", choices=("both", "forward"))
    symbols: str = option("characters", "what a symbol is", choices=("characters", "words"))
    channels: int = option(128, "of the convolution", minimum=1, maximum=100_000)
    frames: int = option(5, "that the convolution sees", minimum=1, maximum=1000)
    stride: int = option(3, "frames from one answer to the next", minimum=1, maximum=1000)
    hertz: int | None = option(
        None, "samples a second; other sound is resampled  [the data's, at most 16000]", minimum=4_000, maximum=192_000
    )
    bands: int = option(40, "of the log-mel spectrogram", minimum=4, maximum=512)
    window: float = option(0.025, "seconds that a frame sees", minimum=0.002, maximum=1)
    hop: float = option(0.010, "seconds from one frame to the next", minimum=0.001, maximum=1)
    longest: float = option(30.0, "seconds; longer recordings are left out of training", minimum=0.1, maximum=3600)
    encoding: str = option("utf-8", "encoding of the text files")
    dev: tuple[str, ...] = option((), "recordings to validate on, in place of a part of the data; given as the data are")
    holdout: float = option(0.05, "part of the recordings to validate on, drawn by the seed", minimum=0.0001, maximum=0.5)
    background: tuple[str, ...] = option((), "recordings of rooms, noise, music to lay under examples, beside made-up noise")
    augment: float = option(0.6, "share of examples at another speed, from a room, over noise", minimum=0, maximum=1)
    join: float = option(4.0, "seconds up to which short recordings follow one another in an example", minimum=0, maximum=600)
    masks: int = option(1, "stretches of time, and of bands, that are hidden in each example", minimum=0, maximum=100)
    dropout: float = option(0.1, "of what the layers and the output read", minimum=0, maximum=0.95)
    batch: int | None = option(None, "examples a step", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.01, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.05, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    evaluations: int = option(10, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and dropout", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("float32", "of matrix products", choices=("auto", "float32", "bfloat16"))


class Data(NamedTuple):
    codec: Codec
    train: Clips
    dev: Clips
    accounts: dict[str, Any]
    folder: Path  # train.jsonl holds the texts


class Batch(NamedTuple):
    samples: Tensor  # (B, N)
    sizes: Tensor  # (B) samples of each, its tail included
    targets: Tensor  # (B, S)
    target_lengths: Tensor  # (B)
    ripe: Tensor  # (B) how much of the masks there are, 0 to 1


DEMO_WORDS = ("kamito", "solu", "nari", "tefo", "pimu", "hasen", "roka", "lim", "mosa", "fitu")


def demo(folder: Path) -> list[Path]:
    """Sentences of ten made-up words, spoken by a formant synthesiser in many voices."""
    rng = np.random.default_rng(1)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    lines = ["audio\ttext\n"]
    for i in range(240):
        words = rng.choice(DEMO_WORDS, rng.integers(1, 5)).tolist()
        speaker, pause = formants.voice(rng), np.zeros(round(0.08 * formants.RATE), np.float32)
        parts = [part for word in words for part in (formants.say(word, speaker, rng), pause)]
        samples = np.concatenate([pause, *parts])
        samples += rng.normal(0, 0.003, len(samples)).astype(np.float32)
        sound.write(folder / "clips" / f"{i:03d}.wav", samples, formants.RATE)
        lines.append(f"clips/{i:03d}.wav\t{' '.join(words)}\n")
    (folder / "clips.tsv").write_text("".join(lines), encoding="utf-8")
    return [folder / "clips.tsv"]


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Decode the user's recordings into files in `folder`; those that can be used are split, unless --dev names others."""
    _check_frames(config)
    folder.mkdir(parents=True, exist_ok=True)
    columns, spool = Columns(config.audio, config.text), folder / "spool"
    spool.mkdir(exist_ok=True)
    found = recordings.find(config.data, spool, columns, config.encoding)
    config = fill(config, hertz=int(np.clip(recordings.rate(found, 100) or HERTZ, 8000, HERTZ)))
    logmel.of(config)
    usable, told = _decode(config, found, spool / "found")
    if config.dev:
        others = recordings.find(config.dev, spool, columns, config.encoding)
        dev, more = _decode(config, others, spool / "others")
        told += [f"to validate on: {line}" for line in more]
        if again := len({one.path for one in found} & {one.path for one in others}):
            told.append(f"{again:,} of the recordings to validate on are trained on too")
        parts = {"train": (usable, range(len(usable))), "dev": (dev, range(len(dev)))}
    else:
        kept, held = _held_out(config, len(usable))
        parts = {"train": (usable, kept), "dev": (usable, held)}
    codec = _codec(config, base, (usable.texts[i] for i in parts["train"][1]))
    backgrounds = [sound.read(path, config.hertz) for name in config.background for path in sound.files(Path(name))]
    accounts = {name: keep(folder / name, *part) for name, part in parts.items()}
    accounts["backgrounds"] = write_rows(folder / "backgrounds", SAMPLES, map(in_16_bits, backgrounds))
    return reopen(codec, accounts | {"hertz": config.hertz, "said": told}, folder)


def _check_frames(config: Config) -> None:
    """An answer may rest on no more than the silence after a recording: then even the shortest one has some."""
    most = max(1, math.floor((TAIL - config.window) / config.hop) + 1)
    if config.frames > most:
        seconds = config.window + (config.frames - 1) * config.hop
        raise UserError(
            f"`--frames {config.frames}` sees {seconds:.3g} s at once; allowed are 1 to {most} frames of {config.hop:g} s",
            fix=f"--frames {min(most, 5)}",
        )
    listener.check_stride(config.frames, config.stride)


def _held_out(config: Config, number: int) -> tuple[list[int], list[int]]:
    """Which recordings are trained on, and which validated on."""
    if number < 2:
        raise UserError(
            "of the recordings only one can be used: one to train on and another to validate on are needed",
            fix="record more, or name others with --dev",
        )
    held = np.random.default_rng(config.seed).permutation(number)[: max(1, round(config.holdout * number))].tolist()
    return sorted(set(range(number)) - set(held)), sorted(held)


def _codec(config: Config, base: Codec | None, texts: Iterable[str]) -> Codec:
    """The symbols of texts, a blank among them, since recordings of single words may be joined."""
    learnt = vocab.learn(base.kind if base else config.symbols, itertools.chain([" "], texts), maximum=1_000_000)
    return base.extended(learnt.symbols) if base else learnt


def _decode(config: Config, found: list[Recording], path: Path) -> tuple[Clips, list[str]]:
    """What can be used of recordings, written beside `path`, and what is told of the others; UserError where nothing can."""
    faults: dict[str, recordings.Fault] = {}
    kept: list[Recording] = []

    def needed(text: str) -> float:
        symbols = text.split() if config.symbols == "words" else text
        steps = len(symbols) + sum(a == b for a, b in itertools.pairwise(symbols))  # a blank between equal ones
        return mixing.Mixture.speed[1] * steps * config.stride * config.hop

    def rows() -> Iterator[np.ndarray]:
        for one, samples in recordings.sounding(found, config.hertz, config.longest, needed, faults):
            kept.append(one)
            yield in_16_bits(samples)

    account = write_rows(path, SAMPLES, rows())
    told = recordings.told(faults, config.longest)
    if not kept:
        raise UserError(f"none of the {len(found):,} recordings can be used: {'; '.join(told)}", None, "look at the places named")
    return _clips(open_rows(path, account), kept), told


def _clips(sounds: Rows, found: list[Recording]) -> Clips:
    return Clips(sounds, *([getattr(one, name) for one in found] for name in ("text", "group", "where")))


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    return Data(codec, *(open_clips(folder / part, accounts[part]) for part in ("train", "dev")), accounts, folder)


# --- the model


class Model(nn.Module):
    """What hears: logits of every symbol, step by step."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        self.logmel, self.stride, self.dropout, self.masks = logmel.of(config), config.stride, config.dropout, config.masks
        both = config.direction == "both"
        self.normalise = nn.BatchNorm1d(config.bands, affine=False)  # once trained, a fixed shift and scale of each band
        self.convolution = nn.Conv1d(config.bands, config.channels, config.frames, config.stride)
        self.recurrent = Recurrent(
            config.cell, config.channels, config.hidden, config.layers, dropout=config.dropout, bidirectional=both
        )
        self.output = nn.Linear(config.hidden * self.recurrent.directions, codec.size)
        nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")  # smaller ones learn slowly at first
        for part in (self.recurrent, self.output):
            part.apply(initialise)

    @property
    def step(self) -> int:
        """Samples from one answer to the next."""
        return self.stride * self.logmel.hop_samples

    @property
    def tail(self) -> int:
        """Samples of silence after a recording."""
        return round(TAIL * self.logmel.rate)

    @property
    def streams(self) -> bool:
        """Whether it answers while the sound goes on."""
        return self.recurrent.directions == 1 and type(self.recurrent.cells[0]) in KINDS

    def frames(self, sizes: Tensor) -> Tensor:
        """How many frames so many samples have."""
        return torch.div(sizes - self.logmel.window_samples, self.logmel.hop_samples, rounding_mode="floor") + 1

    def steps(self, sizes: Tensor) -> Tensor:
        """How many answers so many samples have."""
        return torch.div(self.frames(sizes) - self.convolution.kernel_size[0], self.stride, rounding_mode="floor") + 1

    def forward(self, batch: Batch, state: Any) -> tuple[Tensor, tuple]:
        """Logits (B, T, V); every recording begins anew."""
        with torch.autocast(batch.samples.device.type, enabled=False):
            heard = self.logmel(batch.samples)  # (B, F, M)
            frames = self.frames(batch.sizes)
            inside = torch.arange(heard.shape[1], device=heard.device) < frames.unsqueeze(1)
            features = torch.zeros_like(heard).masked_scatter(inside.unsqueeze(2), self.normalise(heard[inside]))
            if self.training:
                features = masked(features, frames, self.masks, batch.ripe)
        x = self.convolution(features.transpose(1, 2)).relu().transpose(1, 2)  # (B, T, C)
        x = drop(x, self.dropout, self.training, variational=False)
        hidden, _ = self.recurrent(x, lengths=self.steps(batch.sizes))
        return self.output(drop(hidden, self.dropout, self.training, variational=False)).float(), ()

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean over recordings of the nats a symbol (Graves et al. 2006)."""
        sizes = self.steps(batch.sizes), batch.target_lengths
        nats = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), batch.targets, *sizes, blank=BLANK, reduction="none")
        return (nats / batch.target_lengths).mean()


# --- choosing


def plan(config: Config, data: Data) -> Config:
    """The config with sizes chosen."""
    config = config if config.steps else fill(config, minutes=10.0)
    return fill(config, batch=16, rate=4e-3, hertz=data.accounts["hertz"])


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """There are none of sounds."""
    return []


STRUCTURE = (
    "cell", "hidden", "layers", "direction", "symbols", "channels", "frames", "stride", "hertz", "bands", "window", "hop",
)  # fmt: skip


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    return agree({name: getattr(base, name) for name in STRUCTURE}, given) | {"rate": base.rate / 4}


PASSES = 300  # over the recordings at most


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become."""
    return PASSES * batches(config, data).steps_per_epoch


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps / batches(config, data).steps_per_epoch:.3g} times through the recordings"


class Batches:
    """Examples made for a step; the next step's are made while this one's are learnt."""

    def __init__(self, config: Config, data: Data):
        self.config, self.data = config, data
        lengths = data.train.sounds.lengths
        self.most = round(max(config.join, 1.0) * config.hertz)
        self.buckets = Buckets(lengths, config.batch, config.seed, most=max(config.batch * self.most, int(lengths.max())))
        self.steps_per_epoch = self.buckets.steps_per_epoch
        drawn = {"snr": (10.0, 40.0), "background": (-70.0, -40.0), "recorded": 0.5, "in_room": 0.3, "filtered": 0.3}
        self.mixture = mixing.Mixture(config.hertz, **drawn)
        self.ahead: tuple[int, Future] | None = None
        self.pool = ThreadPoolExecutor(1)

    @cached_property
    def sources(self) -> mixing.Sources:
        behind = open_rows(self.data.folder / "backgrounds", self.data.accounts["backgrounds"])
        parts = [behind.ids[a:b] for a, b in itertools.pairwise(behind.bounds)]
        return mixing.Sources([], [], parts, mixing.rooms(self.config.hertz, mixing.ROOMS, self.config.seed))

    def batch(self, step: int) -> Batch:
        found = self.ahead[1].result() if self.ahead is not None and self.ahead[0] == step else self._made(step)
        self.ahead = step + 1, self.pool.submit(self._made, step + 1)
        return found

    def _made(self, step: int) -> Batch:
        rows = self.buckets.rows(step)
        ripe = min(1.0, step / (RIPE * self.config.steps)) if self.config.steps else 1 - RIPE / 2  # their mean, to time a step
        config, rng = self.config, np.random.default_rng((self.config.seed, step))
        wanted = rng.uniform(0, ripe * config.join * config.hertz) if rng.random() < JOINED else 0.0  # of all: padding costs
        each = (np.random.default_rng((config.seed, step, i)) for i in range(len(rows)))
        made = [self._example(int(row), wanted, ripe, rng) for row, rng in zip(rows, each, strict=True)]
        return batch_of(self.data.codec, *zip(*made, strict=True), round(TAIL * self.config.hertz), ripe)

    def _example(self, row: int, wanted: float, ripe: float, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """A recording, and others after it up to so many samples: samples and text."""
        config, clips = self.config, self.data.train
        rows = [row]
        while (size := sum(clips.sounds.lengths[rows])) < wanted:
            another = int(rng.integers(len(clips)))
            if size + clips.sounds.lengths[another] > self.most:
                break
            rows.append(another)
        text, parts = " ".join(clips.texts[i] for i in rows), [clips[i] for i in rows]
        least = 3 * config.stride * config.hop  # the blank and the space between two have room there
        pauses = rng.uniform([0.0] + [least] * (len(rows) - 1) + [0.0], least + 0.25)
        if rng.random() < ripe * config.augment:
            return mixing.passage(parts, pauses, self.sources, self.mixture, rng), text
        silences = [np.zeros(round(pause * config.hertz), np.float32) for pause in pauses[1:-1]]
        return np.concatenate([parts[0], *(part for pair in zip(silences, parts[1:], strict=True) for part in pair)]), text


JOINED = 0.5  # the share of steps in whose examples others may follow
RIPE = 0.7  # the part of the steps after which examples are as hard as they get; at first each is a recording as it is


def batch_of(codec: Codec, sounds: Sequence[np.ndarray], texts: Sequence[str], tail: int, ripe: float = 0.0) -> Batch:
    """Sounds with their tails, padded, and their texts."""
    targets, target_lengths = Rows.of([codec.encode(text) for text in texts]).padded(np.arange(len(texts)))
    sizes = np.array([len(samples) + tail for samples in sounds])
    samples = np.zeros((len(sounds), sizes.max()), np.float32)
    for row, part in zip(samples, sounds, strict=True):
        row[: len(part)] = part
    return Batch(torch.from_numpy(samples), torch.from_numpy(sizes), targets, target_lengths, torch.full((len(sounds),), ripe))


def batches(config: Config, data: Data) -> Batches:
    return Batches(config, data)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    work = len(data.train.sounds.ids) / config.hertz / batches(config, data).steps_per_epoch
    measure = fit.Measure(MEASURE, "", 1.0, "seconds of recordings", work, ("greedy_word_error_rate", MEASURE))
    return fit.settings_of(config, measure, warmup=200, average=config.average)


def picture(model: Model) -> unrolling.Net:
    """The net over time, for the verb graph."""
    rows = (
        unrolling.dense("convolution", model.convolution), *unrolling.recurrent(model.recurrent),
        unrolling.dense("softmax", model.output),
    )  # fmt: skip
    note = f"a step is {1000 * model.step / model.logmel.rate:g} ms; symbols that repeat are one, blanks are left out (CTC)"
    return unrolling.Net(unrolling.SAME, (unrolling.Part("", "x", rows, "ŷ"),), note=note)


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    hours = [len(part.sounds.ids) / config.hertz / 3600 for part in (data.train, data.dev)]
    weights = sum(p.numel() for p in model.parameters())
    words = sum(len(text.split()) for text in data.train.texts)
    return [
        *data.accounts["said"],
        f"read {len(data.train):,} recordings to train on ({hours[0]:.2f} hours, {words:,} words), {len(data.dev):,} to validate "
        f"on ({hours[1]:.2f} hours); {config.hertz:,} hertz",
        f"model: {config.cell}, {config.layers} x {config.hidden} units, {config.direction}, an answer every "
        f"{model.step / config.hertz * 1000:.0f} ms; {weights:,} weights, {data.codec.size - 2:,} {config.symbols} and a blank",
    ]


# --- measuring


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """The floor: the commonest transcript, whatever is heard."""
    commonest = Counter(data.train.texts).most_common(1)[0][0]
    said, meant = [commonest] * len(data.dev), data.dev.texts
    return {"the commonest transcript": word_tables.rates(said, meant) | word_tables.rates(said, meant, "greedy_")}


def calibrate(model: Model, codec: Codec, part: Clips, limit: int) -> None:
    """Nothing is fitted on validation recordings."""


def evaluate(model: Model, codec: Codec, part: Clips, limit: int | None = None) -> dict[str, float]:
    """The measures of the likeliest symbol of each frame, of about `limit` recordings or of all."""
    part = part.spread(limit)
    return word_tables.rates(_greedy(model, codec, part), part.texts, "greedy_") | {"recordings": len(part)}


def _greedy(model: Model, codec: Codec, part: Clips) -> list[str]:
    return [_written(codec, spelled.greedy(frames)[0]) for frames in heard(model, [part[i] for i in range(len(part))])]


@torch.no_grad()
def heard(model: Model, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Log-probabilities (T, V) of each sound, its tail included; sounds of like lengths together."""
    model.eval()
    sizes, tail, found = np.array([len(samples) + model.tail for samples in sounds]), model.tail, [np.empty(0)] * len(sounds)
    order = np.argsort(sizes, kind="stable")
    for begin, end in borders(sizes[order], 32, 64 * model.logmel.rate):
        rows = order[begin:end]
        batch = Batch(*(part.to(model.output.weight.device) for part in _padded([sounds[i] for i in rows], tail)))
        logits = model(batch, None)[0].cpu().numpy()
        for row, one, steps in zip(rows, logits, model.steps(batch.sizes).tolist(), strict=True):
            found[row] = log_softmax(one[: max(0, steps)].astype(np.float64))
    return found


def _padded(sounds: Sequence[np.ndarray], tail: int) -> Batch:
    return batch_of(Codec("characters"), sounds, [""] * len(sounds), tail)


def _written(codec: Codec, ids: np.ndarray) -> str:
    return recordings.spaced(codec.decode(ids.tolist()))


# --- answering


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    beam: int = option(32, "hypotheses that go on after each frame", minimum=1, maximum=10_000)
    best: int = option(1, "texts shown a recording", minimum=1, maximum=1000)
    lm: str | None = option(
        None, "language model: a run of `language`, an .arpa file, or `none`  [n-grams of the transcripts trained on]"
    )
    weight: float = option(0.6, "of the language model", minimum=0, maximum=10)
    insertion: float = option(0.0, "nats that every symbol earns; with a model of words every word", minimum=-100, maximum=100)
    hot: tuple[str, ...] = option((), "phrases to listen for")
    bonus: float = option(1.0, "nats that every symbol of such a phrase earns", minimum=0, maximum=100)


def predict(run: Any, sounds: Sequence[Path | np.ndarray], options: Predict) -> list[Answer]:
    """What is said in each sound file, or in samples that `opened` gave; in one that is too short for anything, nothing."""
    return transcribe(run, [one if isinstance(one, np.ndarray) else opened(run, one) for one in sounds], options)


def opened(run: Any, path: Path) -> np.ndarray:
    """The samples (N,) of a sound file, at the run's rate; a UserError where it cannot be read."""
    return sound.read(path, run.model.logmel.rate)


def transcribe(run: Any, sounds: Sequence[np.ndarray], options: Predict) -> list[Answer]:
    """What is said in sounds (N,) of the run's own rate."""
    if options.best > options.beam:
        raise UserError(f"`--best {options.best}` is more than `--beam {options.beam}` keeps", fix=f"--beam {options.best}")
    search, frames = searcher(run, options), answers(run.model, sounds)
    found = search.read_each(frames, options.best)
    return [_answer(run, best, one) for best, one in zip(found, frames, strict=True)]


def answers(model: Model, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Log-probabilities (T, V) of each sound; by a net that streams, to the last bit those of its stream."""
    if not model.streams:
        return heard(model, sounds)
    net, tail, found = listener.packed(model), np.zeros(model.tail, np.float32), []
    for samples in sounds:
        logits = net(np.concatenate((samples, tail)), net.start())
        found.append(log_softmax(logits.astype(np.float64)))
    return found


def _answer(run: Any, best: list[spelled.Found], frames: np.ndarray) -> Answer:
    guesses = [Guess(_written(run.codec, one.ids), round(one.score, 4), round(one.nats, 4)) for one in best]
    return Answer(guesses[0].text, round(math.exp(best[0].nats), 4), guesses, _words(run, best[0].ids, frames))


def _words(run: Any, ids: np.ndarray, frames: np.ndarray) -> list[Word]:
    """The words of a text, each from the middle of what its first answer sees to that of its last."""
    if not len(ids):
        return []
    begins, ends = ctc.align(frames, ids)
    model = run.model
    found = spelled.words(ids, begins, ends, _space(run.codec))
    step, middle = model.step / model.logmel.rate, _middle(model)
    seconds = [[round(float(answer * step + middle), 3) for answer in (word.begin, word.end - 1)] for word in found]
    return [Word(_written(run.codec, word.ids), *times) for word, times in zip(found, seconds, strict=True)]


def _middle(model: Model) -> float:
    """Seconds from a sound's begin to the middle of what the first answer sees."""
    return ((model.convolution.kernel_size[0] - 1) * model.logmel.hop + model.logmel.window) / 2


def _space(codec: Codec) -> int | None:
    """The symbol between words, if there is one."""
    return int(codec.encode(" ")[0]) if codec.kind == "characters" else None


# --- the search


def searcher(run: Any, options: Any) -> ctc.Search:
    """The search that the options of predict, evaluate or listen ask for."""
    codec = run.codec
    model, spelling = language(run, options.lm)
    return ctc.Search(
        codec.size, BLANK, _space(codec), options.beam, model=model, spelling=spelling, weight=options.weight,
        insertion=options.insertion, hot=[_hot(codec, phrase) for phrase in options.hot], bonus=options.bonus,
    )  # fmt: skip


def language(run: Any, name: str | None) -> tuple[backoff.Model | ctc.Net | None, list[np.ndarray | None]]:
    """The language model that is asked for, and how its words are spelled."""
    if name is None:
        return _of_transcripts(run), []
    if name == "none":
        return None, []
    if Path(name).is_dir():
        if run.beside is None:
            raise UserError(f"`lm` got the folder `{name}`; a run comes in by `speech.together(run, [unrolled.load({name!r})])`")
        return _net(run.codec, run.beside), []
    if not Path(name).is_file():
        raise UserError(f"`--lm {name}` is not there; allowed are a run of `language`, an .arpa file and `none`")
    if run.codec.kind == "words":
        fix = "--lm none, or leave it out"
        raise UserError(f"`--lm {name}` is of words that characters spell; symbols of `{run.folder}` are words", fix=fix)
    model = arpa.read(Path(name))
    spelling = [run.codec.encode(word) for word in model.words]
    return model, [None if (ids == BLANK).any() else ids for ids in spelling]


def others(options: Any) -> tuple[str, list[str]]:
    """The task and the folders of the runs that options name: a language model."""
    return "language", [options.lm] if options.lm is not None and Path(options.lm).is_dir() else []


def together(run: Any, others: Sequence[Any]) -> Any:
    """The run with a language run that it writes with; a UserError where that one does not know its symbols."""
    (other,) = others
    theirs, ours = other.codec, run.codec
    if theirs.kind != ours.kind:
        said = f"symbols of `{other.folder}` are {theirs.kind}; those of `{run.folder}` are {ours.kind}"
        raise UserError(said, fix=f"train one with --symbols {ours.kind}")
    if theirs.labels:
        raise UserError(f"`{other.folder}` writes for a label (--condition); a language model for speech has none")
    if lacking := [symbol for symbol in ours.symbols if symbol not in theirs.index]:
        shown = " ".join(f"`{symbol}`" for symbol in lacking[:10]) + " …" * (len(lacking) > 10)
        fix = f"train it on texts that have them: unrolled train language TEXT {run.folder / TRANSCRIPTS}"
        raise UserError(f"`{other.folder}` does not know {shown}, which `{run.folder}` writes", fix=fix)
    return run._replace(beside=other)


def _net(codec: Codec, other: Any) -> ctc.Net:
    """A language run as the search asks it: texts are its records, or lines."""
    step, state = other.task.stepper(other.model, None)
    theirs = other.codec
    end = theirs.start if theirs.records or theirs.start != END else None
    numbers = np.array([UNKNOWN, UNKNOWN, *(theirs.index[symbol] for symbol in codec.symbols)])
    return ctc.Net(step, state, theirs.start, end, numbers)


ORDER = {"characters": 6, "words": 2}
TRANSCRIPTS, COUNTED = "transcripts.txt", 2_000_000  # characters of them that n-grams are counted from


def _of_transcripts(run: Any) -> backoff.Model:
    """N-grams of the transcripts, alone and, where recordings were joined in training, one after another."""
    texts = _transcripts(run)
    if run.config.join:
        order = np.random.default_rng(run.config.seed).permutation(len(texts))
        texts = [*texts, *(f"{texts[i]} {texts[j]}" for i, j in itertools.pairwise(order))]
    return backoff.of_texts([run.codec.encode(text) for text in texts], run.codec.size, ORDER[run.codec.kind])


def _transcripts(run: Any) -> list[str]:
    """Those trained on: kept in the run, while it trains among its tokens."""
    path = run.folder / TRANSCRIPTS
    if not path.exists():
        return _texts(run.folder / "tokens" / "train.jsonl")
    return path.read_text("utf-8", "surrogatepass").splitlines()


def _texts(path: Path) -> list[str]:
    """As many as n-grams are counted from."""
    with open(path, encoding="utf-8", errors="surrogatepass") as file:
        texts = [json.loads(line)[0] for line in file]
    ends = np.cumsum([len(text) for text in texts])
    return texts[: max(1, int(np.searchsorted(ends, COUNTED)))]


def _hot(codec: Codec, phrase: str) -> np.ndarray:
    ids = codec.encode(recordings.spaced(phrase))
    if not len(ids):
        raise UserError("`--hot` got an empty phrase")
    if (ids == BLANK).any():
        unknown = codec.pieces(recordings.spaced(phrase))[int((ids == BLANK).argmax())]
        raise UserError(f"`--hot {phrase}` has `{unknown}` in it, which no transcript had that was trained on")
    return ids


# --- exporting


def graph(builder: Builder, run: Any) -> Computes:
    """Two graphs: log-mel features (B, T, stride, bands), lengths (B) -> logits (B, T, V), and the states of a net that reads
    forward; and beside it the n-grams of the transcripts, as arrays."""
    builder.output("logits", hearing.listened(builder, run.model), ("batch", "time", run.codec.size))
    model = _of_transcripts(run)
    counted = dict(zip(AUTOMATON, (*model.automaton, np.array(model.start)), strict=True))
    arrays = {name: part.astype(np.float32 if part.dtype.kind == "f" else np.int32) for name, part in counted.items()}
    ngrams = builder.beside("ngrams")
    for name, part in arrays.items():
        ngrams.output(name, ngrams.weight(name, part), part.shape, str(part.dtype))
    return {"": partial(hearing.computed, run.model), "ngrams": lambda given: arrays}


AUTOMATON = ("begin", "symbol", "nats", "to", "price", "shorter", "start")  # of backoff.Model


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graphs and codec."""
    return hearing.settings(run.model) | {"tail": run.model.tail}


# --- files, streams


def item(run: Any, text: str) -> Path:
    """A sound file's path."""
    return Path(text)


def items(run: Any, name: str, options: Predict, spool: Path) -> Iterator[tuple[str, Path]]:
    """The sound files of a folder, a table or a list."""
    return iter(recordings.paths(name, spool, Columns(run.config.audio), run.config.encoding))


def shown(answer: Answer, coloured: bool) -> str:
    """An answer as a person reads it: the text; of several, each with its score."""
    if len(answer.best) < 2:
        return answer.text
    return "\n".join(f"{one.score:.3f}\t{one.text}" for one in answer.best)


@dataclasses.dataclass(frozen=True)
class Listen:
    """Options of listening."""

    hertz: int | None = option(
        None, "of raw sound (16 bits, mono) through standard input  [16000]", minimum=1_000, maximum=768_000
    )
    pause: float = option(1.0, "seconds without a symbol after which what was said is finished", minimum=0.1, maximum=3600)
    beam: int = option(32, "hypotheses that go on after each frame", minimum=1, maximum=10_000)
    lm: str | None = option(
        None, "language model: a run of `language`, an .arpa file, or `none`  [n-grams of the transcripts trained on]"
    )
    weight: float = option(0.6, "of the language model", minimum=0, maximum=10)
    insertion: float = option(0.0, "nats that every symbol earns; with a model of words every word", minimum=-100, maximum=100)
    hot: tuple[str, ...] = option((), "phrases to listen for")
    bonus: float = option(1.0, "nats that every symbol of such a phrase earns", minimum=0, maximum=100)


def transcriber(run: Any, options: Any, pause: float | None) -> Transcriber:
    """The run, packed for streams; a UserError where its net needs the end first. pause in seconds; None: only the end ends."""
    model = run.model
    if not model.streams:
        fix = "train one with --direction forward; `unrolled predict` reads files"
        raise UserError(f"`{run.folder}` reads both ways: it cannot answer before a sound has ended", fix=fix)
    steps = None if pause is None else max(1, round(pause * model.logmel.rate / model.step))
    return Transcriber(listener.packed(model), searcher(run, options), model.step, steps, model.tail, BLANK)


EVERY = 0.1  # seconds of a file between two looks at what has been said so far


def listen(run: Any, source: str, options: Listen) -> Iterator[dict[str, Any]]:
    """What has been said so far, as it changes: in a sound file, raw sound on standard input (`-`), at the microphone (`mic`)."""
    hear = Following(run, transcriber(run, options, options.pause))
    for block in sound.heard(source, run.model.logmel.rate, options.hertz, EVERY):
        yield from hear(block)
    yield from hear(None)


class Following:
    """One stream: samples (N,) of any number, or None at its end -> what has been said so far, where that has changed."""

    def __init__(self, run: Any, net: Transcriber):
        self.run, self.net, self.state, self.before = run, net, net.start(), ""

    def __call__(self, samples: np.ndarray | None) -> list[dict[str, Any]]:
        if samples is None:
            return [_event(self.run, one, final=True) for one in self.net.end(self.state)]
        said, self.state = self.net(samples, self.state)
        events = [_event(self.run, one, final=True) for one in said]
        self.before = "" if said else self.before
        found = self.net.so_far(self.state)
        if (text := _written(self.run.codec, found.ids)) != self.before:
            events.append(_event(self.run, Said(found, self.state.heard + len(self.state.held)), final=False))
            self.before = text
        return events


def _event(run: Any, said: Said, final: bool) -> dict[str, Any]:
    seconds = round(said.heard / run.model.logmel.rate, 3)
    return {"seconds": seconds, "text": _written(run.codec, said.found.ids), "final": final}


def told(event: dict[str, Any]) -> str:
    """What has been heard as a person reads it; what may still change ends in dots."""
    return f"{event['seconds']:7.2f} s  {event['text']}" + ("" if event["final"] else " …")


# --- looking

VIEW = sound_page
LOOKED_AT = 30.0  # seconds that fit on a page
SHOWN, MOST = 0.05, 40  # symbols are shown that are as probable somewhere, at most so many


def look(run: Any, name: str) -> sound_page.Heard:
    """What the net hears in a sound file over time, and the words it makes of it."""
    samples = opened(run, Path(name))
    seconds = len(samples) / run.model.logmel.rate
    if seconds > LOOKED_AT:
        raise UserError(f"`{name}` lasts {seconds:.1f} s; {LOOKED_AT:g} s of speech fit on a page", name, "cut a piece out of it")
    ((frames,), net) = answers(run.model, [samples]), run.model
    (best,) = searcher(run, Predict()).read(frames)
    probabilities = np.exp(frames)
    likeliest = np.argsort(-probabilities[:, BLANK + 1 :].max(0, initial=0), kind="stable")[:MOST] + BLANK + 1
    rows = sorted(int(i) for i in likeliest if probabilities[:, i].max(initial=0) >= SHOWN)
    sure = _sureness(run, best.ids, frames) if len(best.ids) else []
    spans = [sound_page.Span(*word, p) for word, p in zip(_words(run, best.ids, frames), sure, strict=True)]
    with torch.no_grad():
        features = net.logmel(torch.from_numpy(samples)).numpy()
    config, names = run.config, [run.codec.text(i) for i in rows]
    note = f"{run.folder}: {config.cell}, {config.layers} x {config.hidden}, {config.direction}; {Path(name).name}"
    times = np.arange(len(frames)) * net.step / net.logmel.rate + _middle(net)
    return sound_page.Heard(seconds, net.logmel, features, times, names, probabilities[:, rows], None, spans, note)


def _sureness(run: Any, ids: np.ndarray, frames: np.ndarray) -> list[float]:
    """Of each word the probability of its least sure symbol, where that is surest."""
    begins, ends = ctc.align(frames, ids)
    each = [float(np.exp(frames[a:b, x].max())) for x, a, b in zip(ids, begins, ends, strict=True)]
    space = _space(run.codec)
    if space is None:
        return [round(p, 4) for p in each]
    groups = itertools.groupby(zip(ids.tolist(), each, strict=True), lambda one: one[0] == space)
    return [round(min(p for _, p in group), 4) for between, group in groups if not between]


# --- evaluating


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""

    audio: str | None = option(None, "a table's column of sound files, by name or number  [the one trained on]")
    text: str | None = option(None, "a table's column of transcripts, or texts, by name or number  [the one trained on]")
    group: str | None = option(None, "a table's column that says whose errors are counted apart  [speaker, else the folder]")
    beam: int = option(32, "hypotheses that go on after each frame", minimum=1, maximum=10_000)
    lm: str | None = option(
        None, "language model: a run of `language`, an .arpa file, or `none`  [n-grams of the transcripts trained on]"
    )
    weight: float = option(0.6, "of the language model", minimum=0, maximum=10)
    insertion: float = option(0.0, "nats that every symbol earns; with a model of words every word", minimum=-100, maximum=100)


class Part(NamedTuple):
    clips: Clips
    search: Predict
    left_out: Sequence[dict[str, str]] = ()  # recordings that cannot be read: where, why


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> Part:
    """Recordings to evaluate on, and those that cannot be read; a UserError where none can."""
    options, config = options or Evaluate(), run.config
    columns = Columns(options.audio or config.audio, options.text or config.text, options.group)
    found = recordings.find(names, spool, columns, config.encoding)
    kept, sounds, left_out = [], [], []
    for one in found:
        try:
            sounds.append(in_16_bits(sound.read(one.path, config.hertz)))
            kept.append(one)
        except UserError as error:
            if error.code != BAD_INPUT:
                raise
            left_out.append({"where": one.where, "why": error.what})
    if not kept:
        raise UserError(f"none of the {len(found):,} recordings can be read: {left_out[0]['why']}", left_out[0]["where"])
    search = Predict(beam=options.beam, lm=options.lm, weight=options.weight, insertion=options.insertion)
    return Part(_clips(Rows.of(sounds), kept), search, left_out)


DIAGNOSED = 16  # recordings whose gradients are looked at


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Recordings of these files as they are trained on, spread over them, nothing laid over them."""
    clips = part(run, names, spool).clips
    rows = spread_rows(len(clips), DIAGNOSED)
    return batch_of(run.codec, [clips[i] for i in rows], [clips.texts[i] for i in rows], run.model.tail)


def examine(run: Any, part: Part) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of a part: error rates with intervals, of each group, common errors, worst recordings."""
    clips = part.clips
    said = [answer.text for answer in transcribe(run, [clips[i] for i in range(len(clips))], part.search)]
    greedy = _greedy(run.model, run.codec, clips)
    found = word_tables.tables(said, greedy, clips.texts, clips.groups, clips.places, run.config.seed)
    if part.left_out:
        row = ("recordings_left_out", len(part.left_out), None, None, "cannot be read: `left_out` names them")
        found["measures"].append(dict(zip(("measure", "value", "from", "to", "protocol"), row, strict=True)))
        found["left_out"] = list(part.left_out)
    return found


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures; keeps the transcripts that n-grams are counted from."""
    texts = _texts(folder / "train.jsonl")
    folders.write_bytes(run.folder / TRANSCRIPTS, "".join(f"{text}\n" for text in texts).encode("utf-8", "surrogatepass"))
    told = examine(run, Part(data.dev.spread(limit), Predict()))
    reached = {row["measure"]: row["value"] for row in told["measures"]}
    floors = folders.read_config(run.folder)["baselines"]
    told["measures"] = tables.beside(told["measures"], "measure", floors)
    return {"dev": reached, "tables": told, "baselines": floors}


def glimpse(run: Any, seed: int) -> str:
    """A validation recording: what is said in it, and what is heard."""
    path = run.folder / "tokens" / "dev.jsonl"
    if not path.exists():
        return f"word error rate {folders.read_json(run.folder / 'report.json')['dev']['word_error_rate']:.3f}"
    clips = open_clips(path.with_suffix(""), folders.read_config(run.folder)["data"]["dev"])
    i = seed % len(clips)
    return f"{clips.texts[i]} → {_written(run.codec, spelled.greedy(heard(run.model, [clips[i]])[0])[0])}"
