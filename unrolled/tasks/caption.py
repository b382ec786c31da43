"""Saying what a picture shows (the lecture's one to many): convolutional encoder, attention, recurrent decoder.

In:  pictures with sentences that describe them: tables, JSON of COCO's or Karpathy's form, Flickr8k's token file, a folder.
Out: a sentence for another picture, and where the net looked for every word.

    pictures (B, 3, S, S) -> convolutional net -> places m (B, P, H), and their mean -> the decoder's first state
    words so far (B, T) -> embedding -> recurrent layers -> h (B, T, H)
    context c_t = σ(w h_t) · Σ_p α_tp m_p, α by attention of h_t over the places -> tanh(W [c_t; h_t]) -> the next word (B, T, V)

A word rests on its own look alone, since no state keeps what was seen at words before: so where the net looked can be checked
(after Lu et al. 2017; the gate is Xu et al.'s 2015).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import (
    attention,
    backbone,
    caption_floors,
    caption_scores,
    captioner,
    coloured_shapes,
    fit,
    gaze_page,
    pointing,
    resnet,
    tables,
    unrolling,
    word_input,
)
from .. import run as folders
from ..attention import Attention
from ..backbone import Backbone
from ..caption_scores import words
from ..cells import CELLS, State
from ..config import agree, fill, option
from ..convolutional import Convolutional, grid
from ..critic import Critic
from ..data import augment, captioned, pictures, vocab
from ..data.batch import Rows, open_rows, spread_rows, write_rows
from ..data.captioned import Album, Captioned, Columns
from ..data.vocab import END, FIRST, UNKNOWN, Codec
from ..decode import Beam, Hypothesis, groups_of
from ..errors import UserError
from ..export import seeing
from ..export.builder import Builder, Computes
from ..kernels.output import cross_entropy
from ..layers import begin_with, initialise
from ..recurrent import Recurrent, drop
from ..resnet import ResNet
from ..runtime.caption import Answer, Caption

MEASURE = "cider_missing"
MEASURING = fit.Measuring("pictures", probe=16, few=200, many=1_000_000, warming=0, untrained=2.0)
TRY = ("predict {run} {data}/shapes/0001.png", "look {run} {data}/shapes/0001.png --out look.png")
TAKES = "picture"
SCRATCH, TRANSFORMERS = "scratch", "transformers"
ENCODERS = (SCRATCH, *resnet.SHAPES, TRANSFORMERS)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "folders of pictures and files of captions, or folders with captions beside the pictures")
    picture: str | None = option(None, "a table's column of pictures, by name or number")
    caption: str | None = option(None, "a table's column of captions, by name or number")
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option("gru", "the recurrent cell", choices=CELLS)
    hidden: int | None = option(None, "units a layer  [128 of small pictures, else 256]", minimum=1, maximum=100_000)
    layers: int = option(1, "recurrent layers", minimum=1, maximum=100)
    attention: str = option("additive", "how the decoder looks at the places", choices=attention.KINDS)
    weights: str | None = option(
        None, "the encoder, frozen: a .safetensors file of a ResNet with torchvision's names, or a folder or name of transformers"
    )
    encoder: str | None = option(None, "what looks at pictures  [scratch, or what --weights holds]", choices=ENCODERS)
    backbone: str | None = option(None, "of a net of transformers, what it is built again from", typed=False)
    size: int | None = option(
        None, "pixels a side that pictures are stretched to  [64 or 96; what --weights takes]", minimum=8, maximum=1024
    )
    stages: int | None = option(
        None, "of the convolutional net, each halves the sides  [to 8 places a side]", minimum=1, maximum=8
    )
    width: int | None = option(None, "channels of its last stage  [96 of small pictures, else 256]", minimum=8, maximum=8192)
    symbols: str = option("words", "what a symbol is", choices=("words", "bpe"))
    vocabulary: int | None = option(None, "most symbols kept", minimum=1)
    least: int = option(2, "words that stand less often in the captions are left unknown", minimum=1)
    embedding: int | None = option(None, "width of a symbol's vector", minimum=1, maximum=100_000)
    vectors: str | None = option(None, "begin with the vectors of this run of embed, or file")
    longest: int | None = option(None, "symbols of a caption written, at most  [from the data]", minimum=1, maximum=10_000)
    encoding: str = option("utf-8", "encoding of the text files")
    dev: tuple[str, ...] = option((), "captions to validate on, in place of a part of the data; given as the data are")
    holdout: float = option(0.05, "part of the pictures to validate on, where no `split` says", minimum=0.0001, maximum=0.5)
    augment: float | None = option(
        None, "how much pictures are cut and coloured, 0 to 1; none for few passes through them", minimum=0, maximum=1
    )
    flip: str = option("auto", "left and right change places in half of them; auto: unless captions tell them apart",
                       choices=("auto", "yes", "no"))  # fmt: skip
    smoothing: float = option(0.1, "of the labels: this much is spread over all symbols", minimum=0, maximum=0.9)
    dropout: float | None = option(
        None, "of places, vectors, and what the output reads; less for few passes", minimum=0, maximum=0.95
    )
    everywhere: float = option(0.0, "how much it costs not to look at all places of a picture alike", minimum=0, maximum=100)
    critical: bool = option(False, "learn from the CIDEr-D of what it writes, after it has learnt to write: with --from RUN")
    own: float = option(0.0, "how often, in the end, the decoder reads its own symbol, not the right one", minimum=0, maximum=1)
    batch: int | None = option(None, "pictures a step, each with up to five of its captions", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.05, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.05, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    evaluations: int = option(10, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and dropout", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("float32", "of matrix products", choices=("auto", "float32", "bfloat16"))


@dataclasses.dataclass(frozen=True)
class Part:
    """Pictures and their captions as ids: those of picture i are rows bounds[i] to bounds[i + 1]."""

    album: Album
    ids: Rows
    bounds: np.ndarray
    places: Rows | None = None  # what a frozen net sees of each, P · C

    def __len__(self) -> int:
        return len(self.album)

    def seen(self, rows: np.ndarray) -> Tensor:
        """Pictures (B, 3, S, S), or what a frozen net sees of them (B, P · C)."""
        if self.places is None:
            return augment.plain(self.album.taken(rows))
        return torch.from_numpy(self.places.taken(rows).ids.reshape(len(rows), -1)).float()

    def spread(self, codec: Codec, limit: int | None) -> Part:
        """`limit` of the pictures, always the same ones; all where there are no more."""
        rows = self.album.spread(limit)
        places = None if self.places is None else self.places.taken(rows)
        return dataclasses.replace(encode(codec, self.album.chosen(rows)), places=places)


class Data(NamedTuple):
    codec: Codec
    train: Part
    dev: Part
    accounts: dict[str, Any]


class Batch(NamedTuple):
    pictures: Tensor  # (B, 3, S, S) 0 to 1; or (B, P · C), what a frozen net sees of them
    target: Tensor  # (B, K, T) `end`, then the symbols
    following: Tensor  # (B, K, T) the symbols, then `end`
    lengths: Tensor  # (B, K) symbols, `end` among them; 0: no caption
    own: Tensor | None = None  # (B) how often the decoder reads its own symbol


class Tried(NamedTuple):
    """Captions that the net wrote while it learnt, K of each picture."""

    target: Tensor  # (B, K, T) `end`, then the symbols
    following: Tensor  # (B, K, T) the symbols, then `end`s
    earned: Tensor  # (B, K) CIDEr-D


CAPTIONS = 5  # of a picture that one step reads at most
TRIES = 5  # captions that are tried of a picture


def demo(folder: Path) -> list[Path]:
    """Coloured shapes and where they stand: every word can be checked, and so can where the net looks as it writes it."""
    from PIL import Image

    (folder / "shapes").mkdir(parents=True, exist_ok=True)
    random, lines = np.random.default_rng(1), []
    for i in range(DEMO_PICTURES):
        drawn, name = coloured_shapes.draw(random), f"{i:04d}.png"
        Image.fromarray(drawn.pixels).save(folder / "shapes" / name, compress_level=1)
        split = "val" if i >= DEMO_PICTURES * 14 // 15 else "train"
        lines.append({"picture": name, "caption": drawn.caption, "split": split, "regions": drawn.regions})
    (folder / "shapes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return [folder / "shapes", folder / "shapes.jsonl"]


DEMO_PICTURES, DEMO_MINUTES = 6_000, 4.0


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Decode the user's pictures into files in `folder`; parts are those of a column `split`, of --dev, or drawn by the seed."""
    spool = folder / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    columns = Columns(config.picture, config.caption)
    found = captioned.find(config.data, spool, columns, config.encoding)
    seer = _seer(config)
    size = config.size or (seer.pixels if seer else 64 if captioned.sizes(found.pictures) <= 96 else 96)
    album, kept, told = captioned.decode(found.pictures, size, spool / "found")
    said = [*found.said, *told]
    train, held = _split(config, kept)
    parts = {"train": (album, train), "dev": (album, held)}
    if config.dev:
        others = captioned.find(config.dev, spool, columns, config.encoding)
        theirs, _, more = captioned.decode(others.pictures, size, spool / "others")
        said += [f"to validate on: {line}" for line in (*others.said, *more)]
        parts = {"train": (album, sorted((*train, *held))), "dev": (theirs, range(len(theirs)))}
    elif tested := len(kept) - len(train) - len(held):
        said.append(f"{tested:,} pictures of the part `test` are not read in training")
    if len(parts["train"][1]) < 2 or not len(parts["dev"][1]):
        raise UserError("too few pictures to train on and to validate on", ", ".join(config.data), "give more, or --dev")
    codec = _codec(config, base, [text for i in parts["train"][1] for text in album.captions[i]])
    accounts = {name: captioned.keep(folder / name, *part) for name, part in parts.items()}
    if seer is not None:
        for name, account in accounts.items():
            account["places"] = _keep_places(seer, captioned.open_album(folder / name, account), folder / name)
    looks = {"encoder": seer.name if seer else SCRATCH, "width": seer.width if seer else None}
    looks["backbone"] = seer.about if isinstance(seer, Backbone) else None
    return reopen(codec, accounts | {"size": size, "said": said} | looks, folder)


def _seer(config: Config) -> ResNet | Backbone | None:
    """The frozen net of --weights."""
    if config.weights is None:
        if config.encoder not in (None, SCRATCH):
            raise UserError(f"`--encoder {config.encoder}` is given without its weights", fix="--weights, a file or folder")
        return None
    found = _weights(config)
    if config.encoder not in (None, found.name):
        raise UserError(f"`{config.weights}` is a {found.name}, `--encoder` says {config.encoder}", config.weights)
    return found


def _weights(config: Config) -> ResNet | Backbone:
    """What --weights holds."""
    if config.encoder == TRANSFORMERS or (config.encoder is None and Path(config.weights).is_dir()):
        found = backbone.read(config.weights, config.size)
        if config.backbone not in (None, found.about):
            raise UserError(f"`{config.weights}` is not the net that the run of --from looks through", config.weights)
        return found
    return resnet.read(config.weights)


def _keep_places(seer: ResNet | Backbone, album: Album, path: Path) -> dict[str, Any]:
    """Write what a frozen net sees of each picture beside `path`: places, P · C numbers of 16 bits a row."""
    parts = np.array_split(np.arange(len(album)), -(-len(album) // 16))
    seen = (row for rows in parts for row in seer(augment.plain(album.taken(rows))).half().flatten(1).numpy())
    return write_rows(path.with_suffix(".places"), np.dtype(np.float16), seen)


def _split(config: Config, kept: Sequence[Captioned]) -> tuple[list[int], list[int]]:
    """Which pictures are trained on, and which validated on."""
    usable = [i for i, one in enumerate(kept) if one.split != "test"]
    held = [i for i in usable if kept[i].split == "dev"]
    if not held and len(usable) > 1:
        number = max(1, round(config.holdout * len(usable)))
        held = sorted(np.random.default_rng(config.seed).permutation(usable)[:number].tolist())
    out = set(held)
    return [i for i in usable if i not in out], held


def plain(text: str) -> str:
    """A caption as it is learnt and written: small letters, no punctuation, one blank between words."""
    return " ".join(words(text))


def _codec(config: Config, base: Codec | None, texts: list[str]) -> Codec:
    texts = [plain(text) for text in texts]
    most = config.vocabulary or 30_000
    if config.symbols == "words":
        counts = Counter(word for text in texts for word in text.split())
        most = min(most, max(1, sum(count >= config.least for count in counts.values())))
    else:
        most = config.vocabulary or int(np.clip(len(texts) // 5, 600, 8_000))
    if base is None:
        return vocab.learn(config.symbols, texts, most, records=True)
    return base.extended(() if base.kind == "bpe" else vocab.learn(base.kind, texts, most).symbols)


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    return Data(codec, *(_opened(codec, accounts[name], folder / name) for name in ("train", "dev")), accounts)


def _opened(codec: Codec, account: dict[str, Any], path: Path) -> Part:
    part = encode(codec, captioned.open_album(path, account))
    if account.get("places") is None:
        return part
    return dataclasses.replace(part, places=open_rows(path.with_suffix(".places"), account["places"]))


def encode(codec: Codec, album: Album) -> Part:
    ids = [codec.encode(plain(text)) for some in album.captions for text in some]
    return Part(album, Rows.of(ids), np.cumsum([0, *map(len, album.captions)]))


# --- the model


class Model(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        E, H = config.embedding, config.hidden
        self.smoothing, self.everywhere, self.dropout = config.smoothing, config.everywhere, config.dropout or 0.0
        self.longest = config.longest
        self.critic: Critic | None = None  # of a run that learns from what it writes
        self.encoder, self.grid = _encoder(config)
        self.memory = nn.Linear(self.encoder.width, H)
        self.embed = nn.Embedding(codec.size, E)
        self.decoder = Recurrent(config.cell, E, H, config.layers, dropout=self.dropout, variational=True)
        self.bridge = nn.ModuleList(nn.Linear(H, H) for _ in range(self.decoder.cells[0].states * config.layers))
        self.attention, self.gate = Attention(config.attention, H), nn.Linear(H, 1)
        self.combine = nn.Linear(2 * H, E)
        self.output = nn.Linear(E, codec.size)
        for part in (self.memory, self.embed, self.decoder, self.bridge, self.attention, self.gate, self.combine, self.output):
            part.apply(initialise)
        nn.init.normal_(self.embed.weight, std=0.1)
        self.output.weight = self.embed.weight

    def encode(self, pictures: Tensor) -> tuple[Tensor, State]:
        """pictures (B, 3, S, S), or what a frozen net sees of them (B, P · C) -> places (B, P, H), the decoder's first state."""
        seen = self.encoder(pictures) if pictures.ndim > 2 else pictures.unflatten(1, (-1, self.encoder.width))
        places = drop(seen, self.dropout, self.training, variational=False)
        memory = self.memory(places)
        middle, states = memory.mean(1), self.decoder.cells[0].states
        return memory, tuple(layer(middle) if i % states else layer(middle).tanh() for i, layer in enumerate(self.bridge))

    def forward(self, batch: Batch, state: State | None) -> tuple[tuple[Tensor, Tensor, Tried | None], State]:
        """What the output layer sees (B, K, T, E), where it was looked (B, K, T, P), and the captions that it tried, where it
        learns from these and not from the batch's; nothing is carried on.
        """
        memory, first = self.encode(batch.pictures)
        target, tried = batch.target, None
        if self.training and self.critic is not None:
            tried = self._tried(batch, memory.detach(), first)
            target = tried.target
        elif self.training and batch.own is not None:
            target = self._with_own(batch, memory, first)
        features, weights, _ = self.read(target, memory, first)
        return (drop(features, self.dropout, self.training, variational=False), weights, tried), ()

    def read(self, target: Tensor, memory: Tensor, first: State) -> tuple[Tensor, Tensor, Tensor]:
        """Symbols (B, K, T) of K captions a picture -> features (B, K, T, E), α (B, K, T, P), gates (B, K, T)."""
        B, K, T = target.shape
        x = drop(self.embed(target.flatten(0, 1)), self.dropout, self.training, variational=False)
        hidden, _ = self.decoder(x, tuple(s.repeat_interleave(K, 0) for s in first))
        features, weights, gates = self.combined(hidden.reshape(B, K * T, -1), memory, self.attention.keys(memory))
        return features.reshape(B, K, T, -1), weights.reshape(B, K, T, -1), gates.reshape(B, K, T)

    def combined(self, hidden: Tensor, memory: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """tanh(W [σ(w h_t) c_t; h_t]) (B, T, E), α (B, T, P), and the gate (B, T)."""
        everywhere = torch.full((len(memory),), memory.shape[1], device=memory.device)
        context, weights = self.attention(hidden, memory, keys, everywhere)
        gate = self.gate(hidden).sigmoid()
        return self.combine(torch.cat((gate * context, hidden), -1)).tanh(), weights, gate.squeeze(-1)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """One symbol (B,) -> hidden states (B, H) that look."""
        return self.decoder.step(self.embed(ids), state)

    @torch.no_grad()
    def _with_own(self, batch: Batch, memory: Tensor, first: State) -> Tensor:
        """Symbols to read, some of them those the net itself writes after the right ones: all steps at once, not one by one
        (scheduled sampling, Bengio et al. 2015, in two passes as Mihaylova and Martins 2019)."""
        own = self.output(self.read(batch.target, memory, first)[0]).argmax(-1)[:, :, :-1]
        chosen = torch.rand(own.shape, device=own.device) < batch.own[:, None, None]
        return torch.cat((batch.target[:, :, :1], torch.where(chosen, own, batch.target[:, :, 1:])), 2)

    @torch.no_grad()
    def _tried(self, batch: Batch, memory: Tensor, first: State) -> Tried:
        """TRIES captions of each picture, drawn from the net's probabilities, and what each earns."""
        B, ids, keys = len(memory), [], self.attention.keys(memory)
        state, last = tuple(s.repeat_interleave(TRIES, 0) for s in first), torch.full((B * TRIES,), END, device=memory.device)
        unfinished = torch.ones(B * TRIES, dtype=torch.bool, device=memory.device)
        for _ in range(self.longest):
            hidden, state = self.step(last, state)
            logits = self.output(self.combined(hidden.reshape(B, TRIES, -1), memory, keys)[0]).flatten(0, 1).float()
            logits[:, UNKNOWN] = -torch.inf
            last = torch.where(unfinished, torch.multinomial(logits.softmax(-1), 1).squeeze(1), END)
            ids.append(last)
            unfinished = unfinished & (last != END)
            if not unfinished.any():
                break
        following = torch.stack(ids, 1).reshape(B, TRIES, -1)
        earned = torch.tensor(np.stack(list(self._earned(batch, following))), dtype=torch.float32, device=memory.device)
        return Tried(torch.cat((torch.full_like(following[:, :, :1], END), following[:, :, :-1]), 2), following, earned)

    def _earned(self, batch: Batch, following: Tensor) -> Iterator[np.ndarray]:
        """CIDEr-D of each picture's tries (TRIES,). The end counts as a symbol: else nets learn to stop at `with a`."""
        for own, right, lengths in zip(following.tolist(), batch.following.tolist(), batch.lengths.tolist(), strict=True):
            references = [some[:length] for some, length in zip(right, lengths, strict=True) if length]
            yield self.critic([some[: (*some, END).index(END) + 1] for some in own], references)

    def _criticised(self, features: Tensor, tried: Tried) -> Tensor:
        """Ten less the mean CIDEr-D of what was tried. Its gradient is the policy's (Rennie et al. 2017): a caption becomes the
        likelier, the more it earns above the mean of the picture's others (Luo 2020).
        """
        ends = tried.following == END
        counted = ends.cumsum(-1) - ends.long() == 0  # up to the first end
        nats = F.cross_entropy(self.output(features[counted]).float(), tried.following[counted], reduction="none")
        tries = tried.earned.shape[1]
        above = (tried.earned - tried.earned.mean(1, keepdim=True)) * tries / (tries - 1)
        policy = (above.unsqueeze(-1).expand_as(counted)[counted] * nats).mean()
        return 10 - tried.earned.mean() + policy - policy.detach()

    def loss(self, outputs: tuple[Tensor, Tensor, Tried | None], batch: Batch) -> Tensor:
        """Mean nats a symbol, with `smoothing`, and what it costs to leave places unseen (Xu et al. 2015, doubly stochastic)."""
        features, weights, tried = outputs
        if tried is not None:
            return self._criticised(features, tried)
        places = inside(batch)
        loss = output_loss(features[places], self.output, batch.following[places], self.smoothing if self.training else 0.0)
        if self.everywhere and self.training:
            seen = (weights * places.unsqueeze(-1)).sum(2) * weights.shape[-1]  # (B, K, P)
            steps = batch.lengths.unsqueeze(-1)
            loss = loss + self.everywhere * (seen / steps.clamp(min=1) - 1).square()[batch.lengths > 0].mean()
        return loss


def _encoder(config: Config) -> tuple[nn.Module, tuple[int, int]]:
    """What looks at pictures, and the rows and columns of the places that it sees."""
    if config.encoder == TRANSFORMERS:
        found = backbone.rebuilt(config.backbone)
        return found, (found.side, found.side)
    places = grid(config.size, config.size, config.stages)
    if config.encoder in resnet.SHAPES:
        return ResNet(config.encoder), places
    return Convolutional([max(8, config.width >> i) for i in reversed(range(config.stages))]), places


def output_loss(features: Tensor, output: nn.Linear, targets: Tensor, smoothing: float) -> Tensor:
    """cross_entropy of output(features), by the kernel for it where there is one."""
    if features.device.type == "cpu" and features.dtype == torch.float32:
        return cross_entropy(features, output.weight, output.bias, targets, smoothing)
    return F.cross_entropy(output(features).float(), targets, label_smoothing=smoothing)


def inside(batch: Batch) -> Tensor:
    """(B, K, T) True where a caption has a symbol."""
    return torch.arange(batch.target.shape[2], device=batch.target.device) < batch.lengths.unsqueeze(-1)


# --- choosing


def plan(config: Config, data: Data) -> Config:
    """The config with sizes chosen."""
    config = config if config.steps else fill(config, minutes=10.0)
    size = data.accounts["size"]
    config = dataclasses.replace(config, encoder=data.accounts["encoder"], backbone=data.accounts["backbone"])
    scratch = config.encoder == SCRATCH
    stages = max(1, math.ceil(math.log2(size / 8))) if scratch else 5
    width = word_input.width(config.vectors, config.embedding, data.codec.size)
    longest = int(np.ceil(1.2 * np.quantile(data.train.ids.lengths, 0.99))) + 2
    units, channels = (128, 96) if size <= 64 else (256, 256)
    config = fill(
        config, hidden=units, width=data.accounts["width"] or channels, stages=stages, embedding=width or units, longest=longest
    )
    return fill(config, size=size, batch=32, rate=2e-3, vocabulary=data.codec.size)


def settle(config: Config, data: Data) -> Config:
    """The config with what keeps a net from learning pictures by heart: the more, the oftener each is seen."""
    through = config.steps * config.batch / len(data.train)
    dropout = round(float(np.clip(0.1 * np.log2(through / 16), 0, 0.4)), 2)
    changed = 0.0 if config.encoder != SCRATCH else round(float(np.clip((through - 15) / 30, 0, 1)), 2)
    return fill(config, dropout=dropout, augment=changed)


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """Begin the symbols that --vectors knows with its vectors, which are trained on."""
    if config.weights is not None:
        model.encoder = _weights(config)
    symbols = [codec.text(i).strip() for i in range(FIRST, codec.size)]
    return word_input.take(config.vectors, True, codec, lambda known: begin_with(model.embed, FIRST, symbols, known))


@torch.no_grad()
def prime(model: Model, data: Data) -> None:
    """The output's bias begins as the logarithm of how often each symbol stands in the captions."""
    counts = torch.from_numpy(np.bincount(data.train.ids.ids, minlength=data.codec.size)) + 0.5
    counts[END] = len(data.train.ids.lengths)
    model.output.bias.copy_((counts / counts.sum()).log())


STRONG = 1.5  # times the CIDEr-D of one caption for all: nets below that collapse when they learn from what they write
PROBED = 200  # pictures that show it


def equip(config: Config, data: Data, model: Model, begins: bool) -> None:
    """Of a run with --critical, what its captions are judged by. A UserError where a run begins too weak for it."""
    if not config.critical:
        return
    ids, bounds = data.train.ids, data.train.bounds
    rows = [[*ids.ids[a:b].tolist(), END] for a, b in itertools.pairwise(ids.bounds)]
    model.critic = Critic(rows[a:b] for a, b in itertools.pairwise(bounds))
    if begins:
        reached = evaluate(model, data.codec, data.dev, PROBED)["cider"]
        floor = baselines(config, data)["one caption for all"]["cider"]
        if reached < STRONG * floor:
            raise UserError(
                f"the net is too weak to learn from what it writes: {reached:.3f} CIDEr-D, one caption for all pictures "
                f"{floor:.3f}; needed are {STRONG:g} times that",
                fix="train without --critical first, then: --from RUN --critical",
            )


STRUCTURE = (
    "cell", "hidden", "layers", "attention", "size", "stages", "width", "encoder", "backbone", "symbols", "embedding",
)  # fmt: skip


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    slower = 20 if given.get("critical") else 4
    return agree({name: getattr(base, name) for name in STRUCTURE}, given) | {"rate": base.rate / slower}


PASSES = 40  # over the pictures at most: beyond, captions are learnt by heart (measured on 800 photographs)


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become."""
    return PASSES * batches(config, data).steps_per_epoch


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps * config.batch / len(data.train):.3g} times through the pictures"


class Batches:
    """A step's pictures, each as it is seen this time, with some of its captions."""

    def __init__(self, config: Config, data: Data):
        self.config, self.part = config, data.train
        self.own = config.own / config.steps if config.steps else 0.0
        self.rows = min(config.batch, len(self.part))
        self.steps_per_epoch = max(1, len(self.part) // self.rows)
        self.kept: tuple[int, np.ndarray] | None = None  # an epoch's order

    def batch(self, step: int) -> Batch:
        epoch, within = divmod(step, self.steps_per_epoch)
        if self.kept is None or self.kept[0] != epoch:
            self.kept = epoch, np.random.default_rng((self.config.seed, epoch)).permutation(len(self.part))
        rows = np.sort(self.kept[1][within * self.rows : (within + 1) * self.rows])
        random = np.random.default_rng((self.config.seed, epoch, within))
        if self.part.places is not None:
            seen = self.part.seen(rows)
        else:
            seen = augment.augmented(self.part.album.taken(rows), random, self.config.augment or 0.0, self.flips)
        batch = batch_of(self.part, rows, seen, random)
        return batch._replace(own=torch.full((len(rows),), self.own * step)) if self.own else batch

    @cached_property
    def flips(self) -> bool:
        """Whether left and right may change places."""
        if self.config.flip != "auto":
            return self.config.flip == "yes"
        texts = [text for some in self.part.album.captions for text in some]
        return sum(not {"left", "right"}.isdisjoint(text.lower().split()) for text in texts) * 100 < len(texts)


def batch_of(part: Part, rows: np.ndarray, seen: Tensor, random: np.random.Generator | None) -> Batch:
    """Pictures (B, 3, S, S), the part's `rows`, with all captions; with at most CAPTIONS, drawn, where `random` is given."""
    chosen = [np.arange(part.bounds[row], part.bounds[row + 1]) for row in rows]
    if random is not None:
        chosen = [random.permutation(some)[:CAPTIONS] for some in chosen]
    K = max(map(len, chosen))
    ids, lengths = part.ids.padded(np.concatenate(chosen))
    T, places = int(lengths.max()) + 1, torch.tensor([k < len(some) for some in chosen for k in range(K)]).reshape(-1, K)
    target, following = torch.zeros(2, len(rows), K, T, dtype=torch.int64)
    target[:, :, 0] = END
    target[places, 1:] = ids[:, : T - 1]
    ended = torch.cat((ids[:, : T - 1], torch.zeros(len(ids), 1, dtype=torch.int64)), 1)
    ended[torch.arange(len(ids)), lengths] = END
    following[places] = ended
    return Batch(seen, target, following, torch.zeros(places.shape, dtype=torch.int64).masked_scatter(places, lengths + 1))


def batches(config: Config, data: Data) -> Batches:
    return Batches(config, data)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    work = min(config.batch, len(data.train))
    measure = fit.Measure(MEASURE, "", 1.0, "pictures", work, ("cider", "bleu4", "distinct", "slots", "pointing"))
    return fit.settings_of(config, measure, warmup=200, average=config.average)


def picture(model: Model) -> unrolling.Net:
    """The net over time, for the verb graph."""
    places = f"{model.grid[0]} x {model.grid[1]} places"
    reader = (unrolling.seen(model.encoder), unrolling.dense("places", model.memory))
    writer = (
        unrolling.looked_up(model.embed), *unrolling.recurrent(model.decoder),
        unrolling.dense("combine", model.combine), unrolling.dense("softmax", model.output),
    )  # fmt: skip
    parts = unrolling.Part("picture", "x", reader, once=True), unrolling.Part("writer", "y", writer, "ŷ", fed_back=True)
    looks = unrolling.attended(model.attention, model.memory.out_features)
    looks = looks._replace(weights=(*looks.weights, f"gate 1 × {model.gate.in_features}, b 1"))
    return unrolling.Net(unrolling.MANY, parts, "first state", looks, f"at each word it looks at {places} of the picture")


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    train = data.train
    unknown = float((train.ids.ids == UNKNOWN).mean())
    flips = "left and right change places" if batches(config, data).flips else "left and right keep their places"
    weights = sum(p.numel() for p in model.parameters())
    return [
        *data.accounts["said"],
        f"read {len(train):,} pictures to train on with {train.bounds[-1]:,} captions, {len(data.dev):,} to validate on; "
        f"{config.size} x {config.size} pixels; {flips}",
        f"model: {model.grid[0]} x {model.grid[1]} places, {config.attention} attention, {config.cell} of {config.layers} x "
        f"{config.hidden} units; {weights:,} weights, {data.codec.size:,} {data.codec.kind}, {unknown:.1%} of the text unknown",
    ]


# --- measuring


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """The floors: one caption for all, that of the nearest picture; and people, where pictures have several captions."""
    return caption_floors.floors(caption_floors.known(data.train.album), data.dev.album)


def calibrate(model: Model, codec: Codec, part: Part, limit: int) -> None:
    """Nothing is fitted on validation pictures."""


def evaluate(model: Model, codec: Codec, part: Part, limit: int | None = None) -> dict[str, float]:
    """The measures of about `limit` pictures, or of all; of captions that the net wrote by itself."""
    found, extra = measured(model, codec, part.spread(codec, limit))[1:]
    return found._asdict() | extra | {MEASURE: 10 - found.cider}


def measured(model: Model, codec: Codec, part: Part) -> tuple[list[str], caption_scores.Scores, dict[str, Any]]:
    """What is written of a part, its measures, and those that are this task's own."""
    album, ids, looks = part.album, [], []
    for rows in np.array_split(np.arange(len(album)), -(-len(album) // captioner.AT_ONCE)):
        seen = part.seen(rows)
        some = [symbols(hypotheses[0]) for hypotheses in search(model, seen, Predict())]
        ids += some
        looks += [weights for weights, _ in looked_at(model, seen, some)] if any(album.regions) else []
    texts = [codec.decode(some).strip() for some in ids]
    captions, references = [text.split() for text in texts], [[words(t) for t in some] for some in album.captions]
    points = bool(looks) and codec.kind == "words"
    extra = {
        "distinct": caption_scores.distinct(texts),
        "exact": sum(c in some for c, some in zip(captions, references, strict=True)) / len(part),
        "slots": pointing.slots(captions, references) if part.bounds[-1] == len(part) else None,
        "pointing": pointing.pointing(captions, looks, album.regions) if points else None,
        "nats_per_symbol": per_symbol(model, part), "pictures": len(part),
    }  # fmt: skip
    return texts, caption_scores.measured(captions, references), {k: v for k, v in extra.items() if v is not None}


def search(model: nn.Module, seen: Tensor, options: Predict) -> list[list[Hypothesis]]:
    """The best captions of pictures (N, 3, S, S)."""
    groups = groups_of(options.beam, options.groups, options.diversity)
    beam = Beam(
        options.beam, options.length_power, options.no_repeat, options.patience,
        groups=groups, diversity=options.diversity or 0.0,
    )  # fmt: skip
    models = list(model) if isinstance(model, nn.ModuleList) else [model]
    return captioner.search(models, seen, beam, models[0].longest, [UNKNOWN])


def symbols(hypothesis: Hypothesis) -> list[int]:
    """Its ids without the end."""
    return [i for i in hypothesis.ids if i != END]


@torch.no_grad()
def looked_at(model: Model, seen: Tensor, ids: Sequence[Sequence[int]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """α (T + 1, rows, columns) and the gate (T + 1,) as the net writes T `ids` and their end of each of pictures (N, 3, S, S)."""
    device, longest = model.output.weight.device, max(map(len, ids))
    target = torch.full((len(ids), 1, longest + 1), END)
    for row, some in zip(target, ids, strict=True):
        row[0, 1 : len(some) + 1] = torch.tensor(some, dtype=torch.int64)
    _, weights, gates = model.read(target.to(device), *model.eval().encode(seen.to(device)))
    weights, gates = (values[:, 0].float().cpu().numpy() for values in (weights, gates))
    return [
        (alpha[: len(some) + 1].reshape(-1, *model.grid), gate[: len(some) + 1])
        for alpha, gate, some in zip(weights, gates, ids, strict=True)
    ]


@torch.no_grad()
def per_symbol(model: Model, part: Part) -> float:
    """Nats a symbol of all captions, ends included."""
    model.eval()
    device, total = model.output.weight.device, 0.0
    for rows in np.array_split(np.arange(len(part)), -(-len(part) // 64)):
        batch = batch_of(part, rows, part.seen(rows), None)
        batch = Batch(*(value if value is None else value.to(device) for value in batch))
        (features, *_), _ = model(batch, None)
        places = inside(batch)
        total += float(F.cross_entropy(model.output(features[places]).float(), batch.following[places], reduction="sum"))
    return total / (len(part.ids.ids) + len(part.ids.lengths))


# --- answering


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    beam: int = option(5, "hypotheses kept a picture; 1 takes the likeliest symbol each time", minimum=1, maximum=1000)
    best: int = option(1, "captions shown a picture", minimum=1, maximum=1000)
    length_power: float = option(1.0, "0 compares whole log-probabilities, 1 their mean a symbol", minimum=0, maximum=2)
    patience: float | None = option(3.0, "the search is over when so many beams have ended", minimum=0.01)
    no_repeat: int | None = option(None, "no run of so many symbols stands twice in a caption", minimum=1)
    diversity: float | None = option(
        None, "captions that differ: nats that a beam pays for a symbol that another has at its step", minimum=0.01, maximum=100
    )
    groups: int | None = option(None, "beams that pay each other nothing are together in one of these  [each alone]", minimum=1)
    beside: tuple[str, ...] = option((), "other runs with the same symbols, that vote too")


def item(run: Any, text: str) -> Path:
    """A picture's path."""
    return Path(text)


def items(run: Any, name: str, options: Predict, spool: Path) -> Iterator[tuple[str, Path]]:
    """The pictures of a folder, a table or a list with one a line."""
    return captioned.paths(name, spool, Columns(run.config.picture, run.config.caption), run.config.encoding)


def opened(run: Any, path: Path) -> np.ndarray:
    """A picture (S, S, 3) of uint8; a UserError where it cannot be read."""
    return pictures.read(path, run.config.size, run.config.size)


def predict(run: Any, found: Sequence[Path | np.ndarray], options: Predict) -> list[Answer]:
    """The best captions of each picture, given as a file or as `opened` gave it."""
    if options.best > options.beam:
        raise UserError(f"`--best {options.best}` is more than `--beam {options.beam}` keeps", fix=f"--beam {options.best}")
    if not found:
        return []
    pixels = np.stack([one if isinstance(one, np.ndarray) else opened(run, one) for one in found])
    answers = []
    for hypotheses in search(run.model, augment.plain(pixels), options):
        best = [Caption(run.codec.decode(symbols(h)).strip(), h.score, h.nats) for h in hypotheses[: options.best]]
        answers.append(Answer(best[0].text, math.exp(best[0].nats), best))
    return answers


def together(run: Any, others: Sequence[Any]) -> Any:
    """The run with other runs' models beside its own; a UserError where symbols or the pictures' size differ."""
    for other in others:
        if other.codec.to_json() != run.codec.to_json() or other.config.size != run.config.size:
            said = f"`{other.folder}` has other symbols or another --size than `{run.folder}`: they cannot vote"
            raise UserError(said, fix="train runs on the same data with several --seed")
    return run._replace(model=nn.ModuleList([run.model, *(other.model for other in others)]))


def shown(answer: Answer, coloured: bool) -> str:
    """An answer as a person reads it: the caption; of several, each with its score."""
    if len(answer.best) < 2:
        return answer.text
    return "\n".join(f"{one.score:.3f}\t{one.text}" for one in answer.best)


VIEW = gaze_page


def look(run: Any, text: str) -> gaze_page.Gaze:
    """Where the net looks as it writes its best caption of a picture."""
    pixels = opened(run, Path(text))
    seen = augment.plain(pixels[None])
    best = search(run.model, seen, Predict())[0][0]
    ids = symbols(best)
    ((weights, gates),) = looked_at(run.model, seen, [ids])
    written = [run.codec.text(i).strip() for i in ids]
    note = f"{run.folder}: {run.config.cell}, {run.config.attention} attention; score {best.score:.3f}"
    return gaze_page.Gaze(pictures.whole(Path(text), gaze_page.SIDE), [*written, gaze_page.END], weights, gates, note)


# --- exporting


def graph(builder: Builder, run: Any) -> Computes:
    """Two graphs: pixels (B, S, S, 3) of uint8 -> memory and keys (B, P, H), the decoder's first states; and beside it a step."""
    model, (S, H) = run.model, (run.config.size, run.config.hidden)
    P = math.prod(model.grid)
    seen = seeing.places(builder, model.encoder, seeing.upright(builder, builder.pixels("pixels", ("batch", S, S, 3))), S)
    memory = builder.linear(model.memory, seen)
    builder.output("memory", memory, ("batch", P, H))
    if model.attention.key is not None:
        builder.output("keys", builder.linear(model.attention.key, memory), ("batch", P, H))
    middle = builder.add("ReduceMean", [memory], {"axes": [1], "keepdims": 0})
    for i, bridge in enumerate(model.bridge):
        first = builder.linear(bridge, middle)
        first = first if i % model.decoder.cells[0].states else builder.add("Tanh", [first])
        builder.output(f"first_state_{i}", first, ("batch", H))
    _step_graph(builder.beside("step"), model, P)
    return {"": partial(_seen, model), "step": partial(_stepped, model)}


def _step_graph(builder: Builder, model: Model, places: int) -> None:
    """ids (B), memory and keys (B, P, H), states -> logits (B, V), where it looked (B, P), the states after it."""
    V, H = len(model.output.weight), model.decoder.hidden_size
    x, states = builder.embedded(model.embed, builder.ids("ids", ("batch",), V)), builder.states(model.decoder)
    top, after = builder.recurrent(model.decoder, builder.add("Unsqueeze", [x, builder.numbers(1)]), None, states)
    hidden, memory = builder.add("Squeeze", [top, builder.numbers(1)]), builder.real("memory", ("batch", places, H))
    keys = memory if model.attention.key is None else builder.real("keys", ("batch", places, H))
    context, weights = builder.attended(model.attention, hidden, memory, keys, None, None)
    gate = builder.add("Sigmoid", [builder.linear(model.gate, hidden)])
    features = builder.add("Concat", [builder.add("Mul", [gate, context]), hidden], {"axis": -1})
    features = builder.add("Tanh", [builder.linear(model.combine, features)])
    builder.output("logits", builder.linear(model.output, features), ("batch", V))
    builder.output("weights", weights, ("batch", places))
    for i, state in enumerate(after):
        builder.output(f"after_state_{i}", state, ("batch", H))


@torch.no_grad()
def _seen(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the encoder's outputs have to be."""
    memory, first = model.encode(augment.plain(given["pixels"]))
    found = {"memory": memory} | {f"first_state_{i}": state for i, state in enumerate(first)}
    if model.attention.key is not None:
        found["keys"] = model.attention.keys(memory)
    return {name: value.numpy() for name, value in found.items()}


@torch.no_grad()
def _stepped(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a step's outputs have to be."""
    read = {name: torch.from_numpy(value) for name, value in given.items()}
    hidden, after = model.step(read["ids"], tuple(read[f"state_{i}"] for i in range(len(model.bridge))))
    features, weights, _ = model.combined(hidden.unsqueeze(1), read["memory"], read.get("keys", read["memory"]))
    found = {"logits": model.output(features.squeeze(1)), "weights": weights.squeeze(1)}
    found |= {f"after_state_{i}": state for i, state in enumerate(after)}
    return {name: value.numpy() for name, value in found.items()}


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graphs and codec."""
    return {"size": run.config.size, "longest": run.model.longest}


# --- evaluating


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""

    picture: str | None = option(None, "a table's column of pictures, by name or number  [the one trained on]")
    caption: str | None = option(None, "a table's column of captions, by name or number  [the one trained on]")


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> Part:
    """Pictures to evaluate on: of data with a column `split`, those that are not marked as trained on."""
    options, config = options or Evaluate(), run.config
    columns = Columns(options.picture or config.picture, options.caption or config.caption)
    found = captioned.find(names, spool, columns, config.encoding).pictures
    marked = any(one.split for one in found)
    chosen = [one for one in found if not marked or one.split in ("dev", "test")]
    if not chosen:
        raise UserError("all pictures are marked as trained on: there is none to evaluate on", ", ".join(names))
    return encode(run.codec, captioned.decode(chosen, config.size, spool / "evaluated")[0])


DIAGNOSED = 16  # pictures whose gradients are looked at


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Pictures of these, spread over them, with all captions; of data with a column `split`, those that are not trained on."""
    found = part(run, names, spool)
    rows = spread_rows(len(found), DIAGNOSED)
    return batch_of(found, rows, found.seen(rows), None)


NEIGHBOURS = "neighbours.jsonl"


def examine(run: Any, part: Part) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of a part: measures beside the floors', and examples."""
    texts, found, extra = measured(run.model, run.codec, part)
    known = run.folder / NEIGHBOURS
    floors = caption_floors.floors(caption_floors.read(known), part.album) if known.exists() else {}
    rows = tables.beside(caption_scores.table(found, extra), "measure", floors)
    return {"measures": rows, "examples": _examples(texts, part.album)}


def _examples(texts: list[str], album: Album) -> list[dict[str, Any]]:
    """The best, the middle and the worst captions, by ROUGE-L."""
    reached = [
        caption_scores.rouge_l(words(text), [words(t) for t in some]) for text, some in zip(texts, album.captions, strict=True)
    ]
    order = np.argsort(reached, kind="stable")[::-1]
    third = min(3, len(order))
    middle = len(order) // 2
    places = {"best": order[:third], "middle": order[middle : middle + third], "worst": order[-third:]}
    return [
        {"which": which, "written": texts[i], "said by people": album.captions[i][0], "picture": album.places[i]}
        for which, some in places.items() for i in some
    ]  # fmt: skip


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures; keeps what the nearest picture's floor needs."""
    known = caption_floors.known(data.train.album)
    folders.write_bytes(run.folder / NEIGHBOURS, caption_floors.write(known))
    told = examine(run, data.dev.spread(run.codec, limit))
    return {"tables": told, "reached": _reached(told["measures"])}


def _reached(rows: list[dict[str, Any]]) -> list[str]:
    """The measures in words, with a warning where the net says the same of most pictures."""
    row = {one["measure"]: one for one in rows}
    said = {"one caption for all": "one caption for all", "nearest picture": "the nearest picture's", "people": "people"}
    lines = []
    for name, title in (("cider", "CIDEr-D"), ("bleu4", "BLEU-4")):
        floors = ", ".join(f"{row[name][key]:.3f} {text}" for key, text in said.items() if row[name].get(key) is not None)
        lines.append(f"{row[name]['value']:.3f} {title} ({floors})")
    lines.append(f"{row['distinct']['value']:.1%} of captions are said of no other picture before")
    if "slots" in row:
        lines.append(f"{row['slots']['value']:.1%} of the words that tell something are right and in their place")
    if "pointing" in row:
        lines.append(f"{row['pointing']['value']:.1%} of words naming a thing were written looking at it")
    if row["distinct"]["value"] < 0.1:
        lines.append("it says the same of most pictures: train longer, or with more pictures")
    return lines


def glimpse(run: Any, seed: int) -> str:
    """A validation picture: what is said of it, and what the net says."""
    path = run.folder / "tokens" / "dev.jsonl"
    if not path.exists():
        row = folders.read_json(run.folder / "report.json")["tables"]["examples"][seed % 3]
        return f"{row['said by people']} → {row['written']}"
    album = captioned.open_album(path.with_suffix(""), folders.read_config(run.folder)["data"]["dev"])
    i = seed % len(album)
    return f"{album.captions[i][0]} → {predict(run, list(album.taken(np.array([i]))), Predict())[0].text}"
