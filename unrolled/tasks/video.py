"""Seeing what happens (the lecture's video frames): a label for a clip (many to one), or for each of its frames (many to many).

In:  clips (folders of frames, GIF, strips, MP4) and a table of their labels; or a folder of clips for each label.
Out: a probability for every label, of the clip or of each frame, as the frames come where the net reads forward only.

    frames (B, T, S, S, 3) -> convolutions, the same for every frame (B, T, P·C) -> features (B, T, E), normed
    -> recurrent layers (B, T, D·H) -> the last state, or the mean or maximum over time (B, D·H) -> logits (B, K)
    of labels of frames: -> logits (B, T, K)
    --cell none leaves the recurrent layers out: the mean of the frames' features; --cell middle: one frame alone
"""

from __future__ import annotations

import dataclasses
from collections import ChainMap
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import calibration, fit, frame_page, influence, label_tables, metrics, moving_shapes, overlap, tables, unrolling
from .. import run as folders
from ..cells import CELLS, State
from ..config import agree, fill, option
from ..convolutional import Convolutional, grid
from ..data import frames as of_frames
from ..data import labelled_clips, text
from ..data.batch import Rows, open_map, open_rows, write, write_rows
from ..data.frames import Clip
from ..data.labelled_clips import Columns, Labelled
from ..data.vocab import Codec
from ..errors import UserError
from ..export import seeing
from ..export.builder import Builder, Computes
from ..layers import Pooling, initialise
from ..recurrent import Recurrent
from ..runtime.video import Answer

MEASURE = "nats_per_example"
MEASURING = fit.Measuring("clips", probe=16, few=500, many=100_000, warming=0)
TRY = ("predict {run} {data}/clips/0001.png --each", "evaluate {run} {data}/clips {data}/labels.tsv")
TAKES = "clip"
POOLINGS = ("last", "mean", "max")
WITHOUT = ("none", "middle")  # nets without recurrent layers, which every report has beside the net
IGNORED = -1  # the label of padding


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "a folder of clips and a table of labels; or a folder of clips for each label")
    path: str | None = option(None, "the column that names the clip, by name or number")
    label: str | None = option(None, "the label's column, by name or number")
    group: str | None = option(None, "validate on values of this column that are not trained on: people, places, cameras")
    per: str | None = option(None, "what has a label  [frame, where the table has columns of frames]", choices=("clip", "frame"))
    rest: str = option("none", "per frame: the label of frames in no range")
    frames: int | None = option(None, "that every clip is resampled to; per frame: that an example has", minimum=1, maximum=1000)
    every: int = option(1, "per frame: each n-th frame is read", minimum=1, maximum=1000)
    size: int | None = option(None, "pixels that a frame is high and wide", minimum=8, maximum=512)
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option(
        "gru", "the recurrent cell; none: the mean of the frames; middle: one frame",
        choices=ChainMap(dict.fromkeys(WITHOUT), CELLS),
    )  # fmt: skip
    hidden: int = option(128, "units a layer and direction", minimum=1, maximum=100_000)
    layers: int = option(1, "recurrent layers", minimum=1, maximum=100)
    direction: str = option("forward", "read forward only, as frames come, or both ways", choices=("both", "forward"))
    pooling: str | None = option(None, "how the states of all frames become one  [last]", choices=POOLINGS)
    channels: int = option(64, "of the last convolution; each one before has half as many", minimum=8, maximum=4096)
    features: int = option(128, "that a frame becomes", minimum=1, maximum=100_000)
    shift: float = option(0.1, "part of its side that a clip is moved by at random", minimum=0, maximum=0.5)
    light: float = option(0.2, "part by which a clip's light and contrast are changed at random", minimum=0, maximum=0.9)
    mirror: bool = option(False, "half the clips are mirrored at random; not where left and right mean something")
    encoding: str = option("utf-8", "encoding of the table")
    holdout: float = option(0.15, "part of the clips to validate on, without a column `split`", minimum=0.01, maximum=0.5)
    dropout: float = option(0.3, "of what the layers and the output read", minimum=0, maximum=0.95)
    batch: int = option(16, "clips a step", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.02, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.05, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    evaluations: int = option(6, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order, what is drawn", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("float32", "of matrix products", choices=("auto", "float32", "bfloat16"))


@dataclasses.dataclass(frozen=True)
class Clips:
    """Clips as they are kept: frames one after the other, and labels of clips or of frames."""

    pixels: Rows  # uint8, (T·S·S·3) each
    labels: np.ndarray | Rows  # (N,), or Rows of (T,)
    places: list[str]
    size: int

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> np.ndarray:
        """Frames (T, S, S, 3)."""
        begin, end = self.pixels.bounds[i : i + 2]
        return self.pixels.ids[begin:end].reshape(-1, self.size, self.size, 3)

    def labelled(self, i: int) -> np.ndarray:
        """The labels of clip i's frames (T,)."""
        return self.labels.ids[self.labels.bounds[i] : self.labels.bounds[i + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Frames kept of each."""
        return self.pixels.lengths // (self.size * self.size * 3)


class Data(NamedTuple):
    codec: Codec
    train: Clips
    dev: Clips
    accounts: dict[str, Any]


class Batch(NamedTuple):
    frames: Tensor  # (B, T, S, S, 3) uint8
    lengths: Tensor | None  # (B); None: all T
    labels: Tensor | None  # (B), or (B, T)


def demo(folder: Path) -> list[Path]:
    """Shapes that move in six ways, three pairs of which one is the other backwards: the order of frames alone tells."""
    return [folder / "clips", moving_shapes.write_clips(folder, 480, 160, seed=1)]


# --- reading


SPARE = 3  # times as many frames are kept of a clip as an example has, to draw from
FEWEST, MOST = 2, 16  # frames that clips are resampled to, where nothing is said
LARGEST = 64  # pixels of a frame's side, where nothing is said


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Decode all clips into files in `folder`; `base` is a codec to extend instead of a new one."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = Columns(config.path, config.label, config.group)
    found = labelled_clips.find(config.data, folder / "spool", columns, config.per, config.encoding)
    faults: dict[str, labelled_clips.Fault] = {}
    looked = list(labelled_clips.readable(found.clips, of_frames.info, faults))
    if not looked:
        raise UserError("no clip can be read", ", ".join(config.data), "; ".join(labelled_clips.told(faults)))
    number, size = _sizes(config, [about for _, about in looked])
    choose = of_frames.each(config.every) if found.per == "frame" else of_frames.at_most(SPARE * number)
    train, dev, said = labelled_clips.split([one for one, _ in looked], config.holdout, config.seed)
    accounts: dict[str, Any] = {"per": found.per, "label": found.label, "frames": number, "size": size, "split": said}
    accounts["lengths"] = [min(about.frames for _, about in looked), max(about.frames for _, about in looked)]
    accounts["again"] = found.again[: labelled_clips.PLACES], len(found.again)
    names = _labels(config, [looked[i][0] for i in train], found.per)
    codec = Codec("words", (), names) if base is None else base.extended((), names)
    for part, rows in (("train", train), ("dev", dev)):
        decoded = labelled_clips.readable((looked[i][0] for i in rows), partial(of_frames.read, size=size, choose=choose), faults)
        accounts[part] = _keep(config, codec, decoded, found.per, folder / part)
    accounts["faults"] = labelled_clips.told(faults)
    data = reopen(codec, accounts, folder)
    if not len(data.train) or not len(data.dev):
        said = f"{len(data.train)} clips to train on and {len(data.dev)} to validate on"
        raise UserError(f"{said}; at least one of each is needed", ", ".join(config.data), "more clips, or a greater --holdout")
    return data


def _sizes(config: Config, found: Sequence[of_frames.Info]) -> tuple[int, int]:
    """Frames of an example, such that nearly every clip has as many, and pixels of a frame's side."""
    few = int(np.quantile([about.frames for about in found], 0.05))
    side = int(np.median([min(about.height, about.width) for about in found]))
    return config.frames or min(max(few, FEWEST), MOST), config.size or min(max(side, 16), LARGEST)


def _labels(config: Config, train: Sequence[Labelled], per: str) -> list[str]:
    names = {each.label for one in train for each in one.ranges} | {one.label for one in train if one.label is not None}
    names |= {config.rest} if per == "frame" else set()
    if len(names) < 2:
        said = f"every clip to train on has the label `{min(names, default='')}`: there is nothing to tell apart"
        raise UserError(said, ", ".join(config.data), "--label COLUMN, if it is another column")
    if per == "clip" and len(names) > len(train) / 2:
        said = f"{len(names):,} different labels of {len(train):,} clips to train on; is `--label` the right column?"
        raise UserError(said, ", ".join(config.data), "name the column with --label")
    return sorted(names)


def _numbered(codec: Codec, names: Sequence[str], where: str) -> np.ndarray:
    for name in set(names) - set(codec.labels):
        shown = ", ".join(codec.labels[:20]) + (", …" if len(codec.labels) > 20 else "")
        raise UserError(f"the label `{name}` is on no clip trained on; known are {shown}", where)
    return np.array([codec.labels.index(name) for name in names], np.int32)


def _keep(config: Config, codec: Codec, clips: Iterator[tuple[Labelled, Clip]], per: str, path: Path) -> dict[str, Any]:
    """Write clips beside `path` as they come; what reopen needs."""
    places: list[str] = []
    labels: list[np.ndarray] = []

    def flat() -> Iterator[np.ndarray]:
        for one, clip in clips:
            names = labelled_clips.of_frames(one, clip.numbers, clip.count, config.rest) if per == "frame" else [one.label]
            labels.append(_numbered(codec, names, one.where))
            places.append(str(one.path))
            yield clip.frames.reshape(-1)

    pixels = write_rows(path.with_suffix(".pixels"), np.dtype(np.uint8), flat())
    kept = (
        write_rows(path.with_suffix(".labels"), np.dtype(np.int32), labels)
        if per == "frame"
        else write(path.with_suffix(".labels"), np.dtype(np.int32), labels)
    )
    return {"pixels": pixels, "labels": kept, "places": places}


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    parts = (_opened(accounts[part], accounts["per"], accounts["size"], folder / part) for part in ("train", "dev"))
    return Data(codec, *parts, accounts)


def _opened(account: dict[str, Any], per: str, size: int, path: Path) -> Clips:
    pixels = open_rows(path.with_suffix(".pixels"), account["pixels"])
    labels = (open_rows if per == "frame" else open_map)(path.with_suffix(".labels"), account["labels"])
    return Clips(pixels, labels, account["places"], size)


# --- the model


SMALLEST = 4  # rows and columns of the grid that convolutions leave of a frame, about


class Model(nn.Module):
    """Convolutions, recurrent layers, one vector from all frames or one a frame, logits of the labels."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        self.per_frame, self.cell, self.pooling, self.dropout = config.per == "frame", config.cell, config.pooling, config.dropout
        self.frames, self.light, self.both = config.frames, config.light, config.direction == "both"
        stages = max(1, round(np.log2(config.size / SMALLEST)))
        widths = [max(8, config.channels >> (stages - 1 - i)) for i in range(stages)]
        self.convolution = Convolutional(widths)
        rows, columns = grid(config.size, config.size, stages)
        self.place = nn.Linear(rows * columns * widths[-1], config.features)
        self.norm = nn.LayerNorm(config.features)  # without it nets of frames that are much alike learn hardly anything
        self.recurrent, width = None, config.features * (2 if self.per_frame and config.cell == "none" else 1)
        if config.cell not in WITHOUT:
            self.recurrent = Recurrent(
                config.cell, config.features, config.hidden, config.layers, dropout=config.dropout, bidirectional=self.both
            )
            width = config.hidden * (2 if self.both else 1)
        self.pool = Pooling(config.pooling, width, self.both)
        self.hidden = None
        if self.recurrent is None:  # a mean of frames needs a layer behind it to tell what stood together (Iyyer et al. 2015)
            self.hidden, width = nn.Sequential(nn.Linear(width, config.hidden), nn.LayerNorm(config.hidden)), config.hidden
        self.output = nn.Linear(width, len(codec.labels))
        self.register_buffer("sharpness", torch.ones(()))  # of the logits when not training; see calibrate
        for part in (self.place, self.recurrent, self.hidden, self.output):
            if part is not None:
                part.apply(initialise)

    def see(self, frames: Tensor) -> Tensor:
        """Frames (N, S, S, 3) -> features (N, E), each from its frame alone."""
        return self.norm(self.place(self.convolution(frames.permute(0, 3, 1, 2) / 255).flatten(1))).relu()

    def forward(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """Logits (B, K), or of labels of frames (B, T, K); there is no state to carry from one clip to another."""
        frames = batch.frames
        if self.cell == "middle" and not self.per_frame:
            frames = frames[:, frames.shape[1] // 2].unsqueeze(1)
        if self.training and self.light:
            frames = self._lit(frames)
        x = self.see(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])  # (B, T, E)
        return self.over(x, batch.lengths), ()

    def over(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Features (B, T, E) -> logits (B, K), or (B, T, K)."""
        lengths = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths
        h = self._over_time(F.dropout(x, self.dropout, self.training), lengths)
        if not self.per_frame:
            h = h.squeeze(1) if self.cell == "middle" else self.pool(h, lengths)
        return self._answer(h)

    def _lit(self, frames: Tensor) -> Tensor:
        """Each clip in another light and with another contrast."""
        light, contrast = self.light * (2 * torch.rand(2, len(frames), 1, 1, 1, 1, device=frames.device) - 1)
        return (((frames.float() - 127.5) * (1 + contrast)) + 127.5 * (1 + light)).clamp(0, 255)

    def _over_time(self, x: Tensor, lengths: Tensor) -> Tensor:
        if self.recurrent is not None:
            return self.recurrent(x, lengths=lengths)[0]
        if not self.per_frame or self.cell == "middle":
            return x
        if self.both:
            mean = self.pool(x, lengths).unsqueeze(1).expand_as(x)
        else:
            mean = x.cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device).unsqueeze(-1)
        return torch.cat((x, mean), -1)  # each frame beside the mean of those so far, which knows no order

    def _answer(self, h: Tensor) -> Tensor:
        h = h if self.hidden is None else self.hidden(h).relu()
        logits = self.output(F.dropout(h, self.dropout, self.training))
        return logits if self.training else logits * self.sharpness

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean nats a clip, or a frame."""
        return F.cross_entropy(logits.flatten(0, -2), batch.labels.flatten(), ignore_index=IGNORED)

    # --- as the frames come

    def start(self, batch: int) -> State:
        """What is known before the first frame: the layers' states, what is pooled so far (B, C), how many frames (B, 1)."""
        self._check_forward()
        inner = () if self.recurrent is None else self.recurrent.start(batch)
        width = self.place.out_features if self.recurrent is None else self.recurrent.hidden_size
        like = self.output.weight
        return (*inner, like.new_zeros(batch, width), like.new_zeros(batch, 1))

    def step(self, frames: Tensor, state: State) -> tuple[Tensor, State]:
        """One more frame of each clip (B, S, S, 3): logits (B, K) of what was shown so far, or of that frame; the state."""
        self._check_forward()
        *inner, held, count = state
        h, count = self.see(frames), count + 1
        if self.recurrent is not None:
            h, inner = self.recurrent.step(h, tuple(inner))
        pooled = h if self.pooling == "last" else held + (h - held) / count
        if self.pooling == "max":
            pooled = torch.where(count == 1, h, torch.maximum(held, h))
        out = pooled
        if self.per_frame:
            out = torch.cat((h, pooled), -1) if self.cell == "none" else h
        return self._answer(out), (*inner, pooled, count)

    def _check_forward(self) -> None:
        if (self.recurrent is not None and self.both) or (self.cell == "middle" and not self.per_frame):
            raise UserError("this net answers to whole clips alone, not frame by frame", fix="train with --direction forward")


# --- choosing


PASSES = 20  # over the clips at most: beyond, they are only learnt by heart
MINUTES = 10.0  # where neither minutes nor steps are given


def plan(config: Config, data: Data) -> Config:
    """The config with every None chosen."""
    accounts = data.accounts
    chosen = {name: accounts[name] for name in ("per", "label", "frames", "size")}
    config = dataclasses.replace(config, **chosen)
    config = config if config.steps else fill(config, minutes=MINUTES)
    pooling = "mean" if config.cell in WITHOUT else config.pooling
    return fill(dataclasses.replace(config, pooling=pooling), pooling="last", rate=3e-3)


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """There are none of frames."""
    return []


STRUCTURE = ("per", "frames", "size", "cell", "hidden", "layers", "direction", "pooling", "channels", "features")


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    return agree({name: getattr(base, name) for name in STRUCTURE}, given) | {"rate": base.rate / 4}


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become: PASSES over the clips."""
    return PASSES * batches(config, data).steps_per_epoch


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps / batches(config, data).steps_per_epoch:.3g} times through the clips"


class Batches:
    """A step's clips. Of clips with one label a frame is drawn from each of `frames` equal parts, anew each time; of labels of
    frames an example is a piece of `frames` frames in a row."""

    def __init__(self, config: Config, clips: Clips):
        self.config, self.clips, self.per_frame = config, clips, config.per == "frame"
        pieces = -(-clips.lengths // config.frames) if self.per_frame else np.ones(len(clips), np.int64)
        self.rows = np.repeat(np.arange(len(clips)), pieces)
        self.steps_per_epoch = -(-len(self.rows) // config.batch)

    def batch(self, step: int) -> Batch:
        config, (epoch, within) = self.config, divmod(step, self.steps_per_epoch)
        order = self.rows[np.random.default_rng((config.seed, epoch)).permutation(len(self.rows))]
        rows = np.resize(np.roll(order, -within * config.batch), config.batch)  # the last batch is filled up
        generator = np.random.default_rng((config.seed, epoch, within))
        return _batch([self._example(row, generator) for row in rows.tolist()])

    def _example(self, row: int, generator: np.random.Generator) -> tuple[np.ndarray, Any]:
        config, frames = self.config, self.clips[row]
        if self.per_frame:
            begin = int(generator.integers(max(1, len(frames) - config.frames + 1)))
            piece = slice(begin, begin + config.frames)
            shown, labels = frames[piece], self.clips.labelled(row)[piece]
        else:
            shown, labels = frames[of_frames.drawn(len(frames), config.frames, generator)], int(self.clips.labels[row])
        if config.mirror and generator.random() < 0.5:
            shown = shown[:, :, ::-1]
        most = round(config.shift * config.size)
        return _moved(shown, *generator.integers(-most, most + 1, 2).tolist()), labels


def _moved(frames: np.ndarray, down: int, right: int) -> np.ndarray:
    """Frames (T, S, S, 3) moved by some pixels; what comes in from outside is what stands at the edge."""
    at = np.arange(frames.shape[1])
    rows, columns = (at - down).clip(0, at[-1]), (at - right).clip(0, at[-1])
    return frames[:, rows][:, :, columns]


def _batch(examples: Sequence[tuple[np.ndarray, Any]]) -> Batch:
    """Clips and their labels side by side, zeros behind the shorter ones."""
    lengths = [len(shown) for shown, _ in examples]
    frames = np.zeros((len(examples), max(lengths), *examples[0][0].shape[1:]), np.uint8)
    per_frame = isinstance(examples[0][1], np.ndarray)
    labels = np.full(frames.shape[:2] if per_frame else len(examples), IGNORED, np.int64)
    for i, (shown, label) in enumerate(examples):
        frames[i, : len(shown)] = shown
        if per_frame:
            labels[i, : len(shown)] = label
        else:
            labels[i] = label
    return Batch(torch.from_numpy(frames), torch.tensor(lengths), torch.from_numpy(labels))


def batches(config: Config, data: Data) -> Batches:
    return Batches(config, data.train)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    unit = "nats/frame" if config.per == "frame" else "nats/clip"
    measure = fit.Measure(MEASURE, unit, 1.0, "frames", config.batch * config.frames, ("accuracy",))
    return fit.settings_of(config, measure, warmup=200, average=config.average)


def picture(model: Model) -> unrolling.Net:
    """The net over time, for the verb graph."""
    layers = () if model.recurrent is None else unrolling.recurrent(model.recurrent)
    hidden = () if model.hidden is None else (unrolling.dense("hidden", model.hidden[0]),)
    (seen,) = unrolling.seen(model.convolution)
    places = seen._replace(size=model.place.in_features)  # all places of a frame, one after the other
    rows = ((places,), unrolling.dense("features", model.place), *layers, *hidden)
    rows = (*rows, unrolling.dense("output", model.output))
    if model.per_frame:
        return unrolling.Net(unrolling.SAME, (unrolling.Part("", "x", rows, "ŷ"),))
    name, ends = unrolling.pooling(model.pool, model.both and model.recurrent is not None)
    return unrolling.Net(unrolling.ONE, (unrolling.Part("", "x", rows, "ŷ", name, ends),))


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    accounts, names = data.accounts, data.codec.labels
    counts = np.bincount(data.train.labels.ids if config.per == "frame" else data.train.labels, minlength=len(names))
    shares = ", ".join(f"{name} {100 * n / counts.sum():.0f} %" for name, n in zip(names[:12], counts, strict=False))
    places, again = accounts["again"]
    twice = [f"{again:,} rows name a clip again and are left out ({', '.join(places)})"] if again else []
    net = f"{config.cell}, {config.layers} x {config.hidden} units, {config.direction}"
    net = {"none": "no cell, the mean of the frames", "middle": "no cell, one frame"}.get(config.cell, net)
    over = "an answer a frame" if config.per == "frame" else f"{config.pooling} over time"
    weights = sum(p.numel() for p in model.parameters())
    return [
        f"read {len(data.train):,} clips to train on, {len(data.dev):,} to validate on; {accounts['split']}",
        *accounts["faults"], *twice, _resampled(config, accounts),
        f"{len(names)} labels, of {'frames' if config.per == 'frame' else 'clips'}: {shares}{', …' if len(names) > 12 else ''}",
        f"model: {net}, {over}; frames of {config.size} x {config.size} pixels, {weights:,} weights",
    ]  # fmt: skip


def _resampled(config: Config, accounts: dict[str, Any]) -> str:
    fewest, most = accounts["lengths"]
    had = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    if config.per == "frame":
        which = "every frame is" if config.every == 1 else f"one frame of {config.every} is"
        return f"{which} read; clips have {had}, an example has {config.frames} in a row"
    return f"every clip is resampled to {config.frames} frames, so that its length (of {had}) does not give the answer away"


# --- measuring


SHARES = {"mean pool": ("none", 1 / 3), "single frame": ("middle", 1 / 8)}  # of the minutes, at most


def baselines(config: Config, data: Data) -> dict[str, dict[str, Any]]:
    """The floors: always the most frequent label; the same net without recurrent layers, of all frames' mean and of one frame.

    They are trained like the net, for its number of steps; where minutes are short, for a part of these. `steps` says how many.
    """
    names, truth = data.codec.labels, _truth(data.dev)
    counts = np.bincount(_truth(data.train), minlength=len(names)) + 1e-9
    constant = np.tile(counts / counts.sum(), (len(truth), 1))
    found = {"majority": label_tables.floor(constant, truth, names, False)}
    for name, (cell, share) in SHARES.items():
        if cell != config.cell and config.cell != "middle":
            model, steps = _trained(dataclasses.replace(config, cell=cell, pooling="mean"), data, share)
            measures = label_tables.floor(_probabilities(model, data.dev), truth, names, False)
            found[name] = measures | {"steps": steps}
    return found


def _trained(config: Config, data: Data, share: float) -> tuple[Model, int]:
    """A net trained for config.steps, or for at most a share of the minutes; and its steps."""
    torch.manual_seed(config.seed)
    model, reader = Model(config, data.codec), batches(config, data)
    steps = config.steps or most_steps(config, data)
    if not config.steps:
        taken = fit.seconds_per_step(model, reader, settings(config, data), budget=0.5)
        steps = max(1, min(steps, int(share * 60 * config.minutes / taken)))
        torch.manual_seed(config.seed)
    config = dataclasses.replace(config, steps=steps)
    how = settings(config, data)
    device = fit.accelerator(config.device).device
    optimizer = fit.adamw(model.to(device), how)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate * fit.schedule(step, how)
        batch = Batch(*(part.to(device) for part in reader.batch(step)))
        fit.update(model, model, batch, None, optimizer, how)
    return model.eval(), steps


TOGETHER = 32  # clips seen together
PIECE = 256  # frames of a long clip seen together


def _truth(clips: Clips, chosen: Sequence[int] | None = None) -> np.ndarray:
    """The labels of clips, or of all their frames, clip after clip."""
    chosen = range(len(clips)) if chosen is None else chosen
    if isinstance(clips.labels, Rows):
        return np.concatenate([clips.labelled(i) for i in chosen])
    return np.array([clips.labels[i] for i in chosen])


def _probabilities(model: Model, clips: Clips, chosen: Sequence[int] | None = None) -> np.ndarray:
    """What the net says beside `_truth`, (N, K)."""
    return label_tables.probabilities(logits(model, clips, chosen))


def logits(model: Model, clips: Clips, chosen: Sequence[int] | None = None) -> np.ndarray:
    """The logits (N, K) of clips, resampled; or of all their frames, clip after clip."""
    shown = (clips[i] for i in (range(len(clips)) if chosen is None else chosen))
    if model.per_frame:
        return np.concatenate([of_each_frame(model, frames) for frames in shown])
    return of_clips(model, [frames[of_frames.middles(len(frames), model.frames)] for frames in shown])


@torch.no_grad()
def of_clips(model: Model, clips: Sequence[np.ndarray]) -> np.ndarray:
    """The logits (N, K) of clips (T, S, S, 3) of as many frames each."""
    model.eval()
    device, found = model.output.weight.device, []
    for begin in range(0, len(clips), TOGETHER):
        frames = torch.from_numpy(np.stack(clips[begin : begin + TOGETHER])).to(device)
        found.append(model(Batch(frames, None, None), None)[0].float().cpu().numpy())
    return np.concatenate(found)


@torch.no_grad()
def of_each_frame(model: Model, frames: np.ndarray) -> np.ndarray:
    """The logits (T, K) of a clip's frames (T, S, S, 3)."""
    model.eval()
    device = model.output.weight.device
    pieces = torch.from_numpy(np.array(frames)).split(PIECE)
    x = torch.cat([model.see(piece.to(device)) for piece in pieces])
    return model.over(x.unsqueeze(0))[0].float().cpu().numpy()


def _spread(part: Clips, limit: int | None) -> range:
    """About `limit` clips, every n-th."""
    return range(0, len(part), 1 if limit is None else -(-len(part) // limit))


def calibrate(model: Model, codec: Codec, part: Clips, limit: int) -> None:
    """Fit the logits' sharpness on the validation clips."""
    chosen = _spread(part, limit)
    model.sharpness *= calibration.temperature(logits(model, part, chosen), _truth(part, chosen))


def evaluate(model: Model, codec: Codec, part: Clips, limit: int | None = None) -> dict[str, float]:
    """The measures of about `limit` clips, or of all."""
    chosen = _spread(part, limit)
    measures = metrics.classification(_probabilities(model, part, chosen), _truth(part, chosen), ordered=False)
    return measures | {"clips": len(chosen)}


def examine(run: Any, part: Clips) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of a part: measures and each label's F1 with 95 % intervals, who is taken for whom."""
    return _tables(run, part, range(len(part)), _probabilities(run.model, part))


def _tables(run: Any, part: Clips, chosen: range, found: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    per_frame, truth = run.model.per_frame, _truth(part, chosen)
    told = label_tables.tables(found, truth, run.codec.labels, False, "frames" if per_frame else "clips")
    if not per_frame:
        return told
    lengths = [len(part.labelled(i)) for i in chosen]
    for row in (*told["measures"], *told["labels"]):
        row["from"] = row["to"] = None  # the frames of a clip are much alike: each is no trial of its own
    told["measures"][0]["from"], told["measures"][0]["to"] = _between(found.argmax(1) == truth, lengths)
    return told


def _between(right: np.ndarray, lengths: Sequence[int]) -> tuple[float, float]:
    """The 95 % interval of the share of frames that are right, by the bootstrap over clips."""
    sums = np.add.reduceat(right.astype(float), np.cumsum([0, *lengths[:-1]]))
    drawn = overlap.draws(np.stack((sums, lengths), 1), seed=1)
    return overlap.middle(drawn[:, 0] / drawn[:, 1])


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures: tables of about `limit` validation clips with the floors beside, labels that
    look wrong, and what was reached in words."""
    chosen, names, floors = _spread(data.dev, limit), run.codec.labels, folders.read_config(run.folder)["baselines"]
    found = _probabilities(run.model, data.dev, chosen)
    told = _tables(run, data.dev, chosen, found)
    reached = [_reached(told["measures"][0], floors, len(chosen)), _resampled(run.config, data.accounts)]
    told["measures"] = tables.beside(told["measures"], "measure", floors)
    told["labels"] = tables.beside(
        told["labels"], "label", {f"{name}, f1": floor.get("f1_of", {}) for name, floor in floors.items()}
    )
    suspects = []
    if not run.model.per_frame:
        rows = [(Path(data.dev.places[i]).name, data.dev.places[i]) for i in chosen]
        suspects = label_tables.doubted(rows, _truth(data.dev, chosen), found, names)
    return {"reached": reached, "tables": told, "suspects": suspects}


def _reached(accuracy: dict[str, Any], floors: dict[str, dict[str, Any]], clips: int) -> str:
    beside = ", ".join(f"{name} {100 * measures['accuracy']:.1f} %" for name, measures in floors.items())
    low, high = 100 * accuracy["from"], 100 * accuracy["to"]
    return f"{100 * accuracy['value']:.1f} % right ({low:.1f}-{high:.1f}) of {clips:,} clips; beside it {beside}"


# --- answering


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    each: bool = option(False, "tell what is answered after each frame, as they come")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""

    path: str | None = option(None, "the column that names the clip  [the one trained on]")
    label: str | None = option(None, "the label's column, by name or number  [the one trained on]")
    split: str | None = option(None, "only rows that have this in the column `split`")


def predict(run: Any, clips: Sequence[Clip], options: Predict) -> list[Answer]:
    """An answer to each clip."""
    names, model = run.codec.labels, run.model
    if model.per_frame:
        return [Answer(None, None, None, _frames_told(run, clip, options)) for clip in clips]
    whole = label_tables.probabilities(of_clips(model, [clip.frames for clip in clips]))
    answers = []
    for clip, found in zip(clips, whole, strict=True):
        told = [_one(n, row, names) for n, row in _as_they_come(model, clip)] if options.each else None
        by_name = dict(zip(names, found.tolist(), strict=True))
        answers.append(Answer(names[found.argmax()], float(found.max()), by_name, told))
    return answers


def _one(number: int, found: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    return {"frame": number, "label": names[found.argmax()], "probability": float(found.max())}


@torch.no_grad()
def _as_they_come(model: Model, clip: Clip) -> Iterator[tuple[int, np.ndarray]]:
    """Each frame's number and the probabilities (K,) after it."""
    state = model.start(1)
    for number, frame in zip(clip.numbers.tolist(), clip.frames, strict=True):
        found, state = model.step(torch.from_numpy(frame).unsqueeze(0), state)
        yield number, label_tables.probabilities(found.numpy())[0]


def _frames_told(run: Any, clip: Clip, options: Predict) -> list[dict[str, Any]]:
    names = run.codec.labels
    if options.each:
        return [_one(number, row, names) for number, row in _as_they_come(run.model, clip)]
    found = label_tables.probabilities(of_each_frame(run.model, clip.frames))
    labels = found.argmax(1)
    borders = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    ends = [*clip.numbers[borders[1:-1]].tolist(), clip.count]
    return [
        {
            "first": int(clip.numbers[begin]), "last": after - 1, "label": names[labels[begin]],
            "probability": float(found[begin:end, labels[begin]].mean()),
        }
        for begin, end, after in zip(borders[:-1], borders[1:], ends, strict=True)
    ]  # fmt: skip


VIEW = frame_page
LOOKED_AT = 64  # frames that fit on a page
READ = 1 << 14  # frames that are read at most to hide each


@dataclasses.dataclass(frozen=True)
class Look:
    """Options of looking inside."""

    frame: int | None = option(None, "of labels of frames: the frame whose label is explained  [the least certain]", minimum=0)


def look(run: Any, name: str, options: Look | None = None) -> frame_page.Frames:
    """What the net believed as a clip's frames came, and which of them moved its answer; to say nothing is to be their mean."""
    model, names, clip = run.model.eval(), run.codec.labels, opened(run, Path(name))
    if len(clip.frames) > LOOKED_AT:
        raise UserError(
            f"`{name}` has {len(clip.frames)} frames that are read; {LOOKED_AT} fit on a page", name, "cut a piece out"
        )
    with torch.no_grad():
        x = model.see(torch.from_numpy(clip.frames))  # (T, E)
        shares = label_tables.probabilities(_as_shown(model, x).numpy())
    asked = _asked(clip, shares, (options or Look()).frame) if model.per_frame else None
    row = shares[-1 if asked is None else asked]
    label = int(row.argmax())

    def score(x: Tensor) -> Tensor:
        logits = _logits(model, x)
        return influence.log_odds(logits if asked is None else logits[:, asked], label)

    slopes = influence.gradient_times_input(score, x, x.mean(0))
    falls = influence.occlusion(score, x, x.mean(0), READ)
    net = f"{run.config.cell}, {run.config.layers} x {run.config.hidden}, {run.config.direction}"
    return frame_page.Frames(
        clip.frames, clip.numbers, names, shares, slopes, falls, influence.agreement(slopes, falls), asked, names[label],
        float(row[label]), f"{run.folder}: {net}; {Path(name).name}",
    )  # fmt: skip


def _logits(model: Model, x: Tensor) -> Tensor:
    """Features (B, T, E) -> logits (B, K), or (B, T, K); of one frame, where the net reads but one."""
    middle = x.shape[1] // 2
    return model.over(x[:, middle : middle + 1] if model.cell == "middle" and not model.per_frame else x)


def _as_shown(model: Model, x: Tensor) -> Tensor:
    """Logits (T, K) of each frame of features (T, E); of a label of the clip, of the frames so far."""
    if model.per_frame:
        return _logits(model, x.unsqueeze(0))[0]
    return torch.cat([_logits(model, x[None, :t]) for t in range(1, len(x) + 1)])


def _asked(clip: Clip, shares: np.ndarray, number: int | None) -> int:
    """The place of the frame whose label is explained."""
    if number is None:
        return int(shares.max(1).argmin())
    if number not in clip.numbers:
        raise UserError(
            f"`--frame {number}` is none of the frames that are read", fix=f"one of {', '.join(map(str, clip.numbers))}"
        )
    return int(np.flatnonzero(clip.numbers == number)[0])


# --- exporting


def graph(builder: Builder, run: Any) -> Computes:
    """Two graphs: pixels (B, S, S, 3) of uint8 -> features (B, E), each frame by itself; and beside it what goes over time."""
    model, S, E = run.model, run.config.size, run.config.features
    x = seeing.places(builder, model.convolution, seeing.upright(builder, builder.pixels("pixels", ("batch", S, S, 3))), S)
    x = builder.linear(model.place, builder.reshape(x, builder.numbers(0, -1)))
    builder.output("features", builder.add("Relu", [builder.normed(model.norm, x)]), ("batch", E))
    _time_graph(builder.beside("time"), model, len(run.codec.labels))
    return {"": partial(_looked, model), "time": partial(_timed, model)}


def _carries(model: Model) -> bool:
    """Whether what is pooled is carried from frame to frame, beside the states."""
    if model.per_frame:
        return model.cell == "none" and not model.both
    return model.cell != "middle" and model.pooling != "last" and (model.recurrent is None or not model.both)


def _time_graph(builder: Builder, model: Model, labels: int) -> None:
    """features (B, T, E), lengths (B), what frames before left -> logits (B, K), or of frames (B, T, K), and what is left."""
    x, lengths = builder.real("features", ("batch", "time", model.place.out_features)), builder.lengths()
    h, width = x, model.place.out_features
    if model.recurrent is not None:
        h, after = builder.recurrent(model.recurrent, x, lengths, None if model.both else builder.states(model.recurrent))
        for i, state in enumerate(() if model.both else after):
            builder.output(f"after_state_{i}", state, ("batch", model.recurrent.hidden_size))
        width = model.recurrent.hidden_size * model.recurrent.directions
    if not model.per_frame:
        h = builder.last(h, lengths) if model.cell == "middle" else builder.pooled(model.pool, h, lengths, width)
    if _carries(model):
        h = _carried(builder, model, h, lengths, width)
    elif model.per_frame and model.cell == "none":
        mean = builder.add("Unsqueeze", [builder.pooled(model.pool, x, lengths, width), builder.numbers(1)])
        h = builder.add("Concat", [x, builder.add("Expand", [mean, builder.add("Shape", [x])])], {"axis": -1})
    if model.hidden is not None:
        h = builder.add("Relu", [builder.normed(model.hidden[1], builder.linear(model.hidden[0], h))])
    shape = ("batch", "time", labels) if model.per_frame else ("batch", labels)
    builder.output("logits", builder.linear(model.output, h, float(model.sharpness)), shape)


def _carried(builder: Builder, model: Model, h: str, lengths: str, width: int) -> str:
    """What was pooled of frames before, `held` (B, C) of `count` (B), and of these: pooled h (B, C), or features (B, T, C)."""
    held, count = builder.real("held", ("batch", width)), builder.ids("count", ("batch",), 1000)
    total, column = builder.add("Add", [count, lengths]), builder.numbers(1)
    builder.output("after_count", total, ("batch",), "int64")
    before, now, both = (builder.add("Unsqueeze", [builder.add("Cast", [n], {"to": 1}), column]) for n in (count, lengths, total))
    if model.per_frame:  # each frame beside the mean of those so far
        sums = builder.add("Add", [builder.add("CumSum", [h, builder.number(1)]),
                                   builder.add("Unsqueeze", [builder.add("Mul", [held, before]), column])])  # fmt: skip
        steps = builder.add("Squeeze", [builder.size(h, 1), builder.numbers(0)])
        places = builder.add("Range", [builder.number(1), builder.add("Add", [steps, builder.number(1)]), builder.number(1)])
        numbers = builder.add("Add", [before, builder.add("Cast", [places], {"to": 1})])
        means = builder.add("Div", [sums, builder.add("Unsqueeze", [numbers, builder.numbers(2)])])
        builder.output("after_held", builder.last(means, lengths), ("batch", width))
        return builder.add("Concat", [h, means], {"axis": -1})
    if model.pooling == "mean":
        part = builder.add("Mul", [builder.add("Sub", [h, held]), builder.add("Div", [now, both])])
        h = builder.add("Add", [held, part])
    else:
        first = builder.add("Equal", [before, builder.scalar(0.0)])
        h = builder.add("Where", [first, h, builder.add("Max", [h, held])])
    builder.output("after_held", h, ("batch", width))
    return h


@torch.no_grad()
def _looked(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is seen of frames, each by itself."""
    return {"features": model.see(torch.from_numpy(given["pixels"])).numpy()}


@torch.no_grad()
def _timed(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the outputs over time have to be: with states those of `step`, frame by frame."""
    read = {name: torch.from_numpy(value) for name, value in given.items()}
    x, lengths, found = read["features"], read["lengths"], {}
    h, state = x, tuple(value for name, value in read.items() if name.startswith("state_"))
    if model.recurrent is not None:
        h, after = model.recurrent(x, state or None, lengths)
        found = {f"after_state_{i}": one for i, one in enumerate(after if state else ())}
    if not model.per_frame:
        h = h[torch.arange(len(h)), lengths - 1] if model.cell == "middle" else model.pool(h, lengths)
    if _carries(model):
        held, before, now = read["held"], read["count"].unsqueeze(1), lengths.unsqueeze(1)
        if model.per_frame:
            sums, numbers = x.cumsum(1) + (held * before).unsqueeze(1), before + torch.arange(1, x.shape[1] + 1)
            means = sums / numbers.unsqueeze(2)
            h, held = torch.cat((x, means), -1), means[torch.arange(len(x)), lengths - 1]
        elif model.pooling == "mean":
            h = held = held + (h - held) * (now / (before + now))
        else:
            h = held = torch.where(before == 0, h, torch.maximum(h, held))
        found |= {"after_held": held, "after_count": read["count"] + lengths}
    elif model.per_frame and model.cell == "none":
        h = torch.cat((x, model.pool(x, lengths).unsqueeze(1).expand_as(x)), -1)
    return {name: value.numpy() for name, value in (found | {"logits": model._answer(h)}).items()}


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graphs and codec."""
    model, config = run.model, run.config
    whole = model.both and (model.recurrent is not None or (model.per_frame and model.cell == "none"))
    middle = model.cell == "middle" and not model.per_frame
    return {
        "size": config.size, "frames": config.frames, "every": config.every, "per_frame": model.per_frame, "middle": middle,
        "streams": not (whole or middle),
    }  # fmt: skip


def item(run: Any, text: str) -> Path:
    """A clip's path."""
    return Path(text)


def items(run: Any, name: str, options: Predict, spool: Path) -> Iterator[tuple[str, Path]]:
    """The clips of a folder, or of a list with a path a line."""
    if Path(name).is_dir():
        return ((str(path), path) for path in of_frames.clips(Path(name)))
    (path,) = text.find([name], spool)
    base = Path() if name == "-" else path.parent
    lines = ((number, line.strip()) for number, line in enumerate(text.lines(path, run.config.encoding), 1))
    return ((f"{path}:{number}", base / line) for number, line in lines if line)


def opened(run: Any, path: Path) -> Clip:
    """A clip's frames as the net reads them."""
    config = run.config
    choose = of_frames.each(config.every) if run.model.per_frame else partial(of_frames.middles, number=config.frames)
    return of_frames.read(path, config.size, choose)


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> Clips:
    """Clips to evaluate on; a label that the run does not know is a UserError with file:line, as is a clip not to be read."""
    options, config = options or Evaluate(), run.config
    columns = Columns(options.path or config.path, options.label or config.label)
    found = labelled_clips.find(names, spool, columns, config.per, config.encoding).clips
    if options.split is not None:
        found = [one for one in found if one.split == options.split.lower()]
        if not found:
            raise UserError(f"no row has `{options.split}` in its column `split`", ", ".join(names))
    choose = of_frames.each(config.every) if run.model.per_frame else of_frames.at_most(SPARE * config.frames)
    decoded = ((one, of_frames.read(one.path, config.size, choose)) for one in found)
    spool.mkdir(parents=True, exist_ok=True)
    account = _keep(config, run.codec, decoded, config.per, spool / "part")
    return _opened(account, config.per, config.size, spool / "part")


DIAGNOSED = 16  # clips whose gradients are looked at


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Clips of these as they are trained on, neither moved nor mirrored."""
    still = dataclasses.replace(run.config, batch=DIAGNOSED, mirror=False, shift=0.0)
    return Batches(still, part(run, names, spool)).batch(0)


def shown(answer: Answer, coloured: bool) -> str:
    """An answer as a person reads it."""
    lines = [] if answer.label is None else [f"{answer.label}\t{answer.probability:.3f}"]
    for each in answer.frames or ():
        at = f"frame {each['frame']}" if "frame" in each else f"frames {each['first']}-{each['last']}"
        lines.append(f"{at}\t{each['label']}\t{each['probability']:.3f}")
    return "\n".join(lines)


def glimpse(run: Any, seed: int) -> str:
    """Nothing can be shown of clips in a line; how wide the answers are spread tells little."""
    return f"answers {len(run.codec.labels)} labels: {', '.join(run.codec.labels[:12])}"
