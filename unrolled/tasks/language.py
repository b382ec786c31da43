"""Language modelling and generation: given the symbols so far, the next one (the lecture's many to many, read
step by step; with `condition`, its one to many: a label in, a text out).

In:  text files, folders, standard input, compressed or not; or one column of a JSONL, CSV or TSV table, each row a text
     that ends with an `end` symbol. Symbols are characters, bytes, words or bpe pieces.
Out: a probability for every symbol at every step; text written symbol by symbol; the surprise of any text.

    ids (B, T) -> embedding (B, T, E) -> layer 1 (B, T, H) -> … -> layer L (B, T, H)
    all layers' hidden states side by side (B, T, L·H) -> logits (B, T, V)        (Graves 2013, its skip connections)
"""

from __future__ import annotations

import bz2
import dataclasses
import math
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import decode, fit, metrics, ngram, saturation, surprise, tables, unit_page, unit_search, unrolling, word_input, writer
from .. import run as folders
from ..cells import CELLS, State
from ..config import agree, fill, option
from ..data import text, vocab
from ..data.batch import Batch, Streams, Symbols, open_map, write
from ..data.table import Row, records
from ..data.vocab import END, FIRST, UNKNOWN, Codec
from ..errors import UserError
from ..export.builder import Builder, Computes
from ..kernels import choice
from ..layers import ONE_HOT, OneHot, begin_with, initialise
from ..recurrent import Recurrent, drop
from ..writer import Sample

MEASURE = "nats_per_symbol"
MEASURING = fit.Measuring("symbols", probe=2048, few=16_384, many=5_000_000, warming=8192)
TRY = ("sample {run}",)
EXAMPLES = 2_000_000  # most symbols that the n-gram counts; a quarter of that are those it is measured on


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "files, folders, or - for standard input")
    hidden: int | None = option(None, "units a layer: the one dial for a bigger model", minimum=1, maximum=100_000)
    minutes: float | None = option(
        None, "wall time of the whole command; becomes a number of steps once", minimum=0.05, maximum=1e7
    )
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option("lstm", "the recurrent cell", choices=CELLS)
    layers: int | None = option(None, "recurrent layers", minimum=1, maximum=1000)
    embedding: int | None = option(None, "width of a symbol's vector", minimum=1, maximum=100_000)
    tied: bool = option(False, "the output layer uses the symbols' vectors")
    vectors: str | None = option(None, "begin with these word vectors (an embed run, a file), or `one-hot`: unit vectors")
    tune: bool = option(True, "go on learning the vectors given with --vectors")
    symbols: str = option("characters", "what a symbol is", choices=vocab.KINDS)
    vocabulary: int = option(8192, "most symbols kept; rarer ones are unknown", minimum=1)
    column: str | None = option(None, "the text column of a JSONL, CSV or TSV table")
    condition: str | None = option(None, "a label column that the text is written for")
    encoding: str = option("utf-8", "encoding of the text files")
    dev: tuple[str, ...] = option((), "text to validate on, in place of a part of the data")
    holdout: float = option(0.1, "part of the data to validate on: its end, or every n-th record", minimum=0.001, maximum=0.5)
    dropout: float | None = option(None, "of each layer's output, one mask through time", minimum=0, maximum=0.95)
    input_dropout: float | None = option(None, "of the symbols' vectors, one mask through time", minimum=0, maximum=0.95)
    weight_dropout: float | None = option(None, "of single recurrent weights, one mask through time", minimum=0, maximum=0.95)
    recurrent_dropout: float = option(0.0, "of units' outgoing recurrent connections", minimum=0, maximum=0.95)
    batch: int | None = option(None, "readers side by side", minimum=1)
    length: int | None = option(None, "symbols a step: how far gradients flow back", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.01, "pull of matrices towards zero", minimum=0, maximum=10)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    reset: float = option(0.02, "chance a step that a reader's state starts afresh", minimum=0, maximum=1)
    evaluations: int = option(10, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and dropout", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("auto", "of matrix products", choices=("auto", "float32", "bfloat16"))


class Data(NamedTuple):
    codec: Codec
    train: Symbols
    dev: Symbols
    accounts: dict[str, Any]  # what `reopen` needs to find the encoded files again
    files: int


def demo(folder: Path) -> list[Path]:
    """Real text that is on every machine with Python: 2 MB of its standard library's modules (licence: PSF)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python.txt"
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for module in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
            if file.tell() > 2_000_000:
                break
            file.write(module.read_text(encoding="utf-8", errors="replace") + "\n")
    return [path]


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Encode the user's text into memory-mapped files in `folder`; `base` is a codec to extend instead of a new one."""
    _check_vectors(config)
    if config.condition is not None and config.column is None:
        raise UserError("`--condition` needs `--column`: a table with the text in one column and the label in another")
    folder.mkdir(parents=True, exist_ok=True)
    files = text.find(config.data, folder / "spool")
    dev_files = text.find(config.dev, folder / "spool") if config.dev else []
    encode = _encode_records if config.column else _encode_text
    codec, accounts = encode(config, files, dev_files, folder, base)
    data = reopen(codec, accounts, folder)._replace(files=len(files) + len(dev_files))
    _check_size(config, data)
    return data


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    parts = {}
    for part in ("train", "dev"):
        account = accounts[part]
        labels = open_map(folder / f"{part}-labels", account["labels"]) if account["labels"] else None
        parts[part] = Symbols(open_map(folder / part, account["ids"]), labels, account["characters"])
    return Data(codec, parts["train"], parts["dev"], accounts, 0)


def _check_size(config: Config, data: Data) -> None:
    if len(data.train) + len(data.dev) == 0:
        raise UserError("the text is empty", ", ".join(config.data), "give it something to read")
    needed = (config.batch or 1) * (config.length or 48)
    if len(data.train) < needed or len(data.dev) < 2:
        raise UserError(
            f"the text has {len(data.train)} symbols to train on and {len(data.dev)} to validate on; "
            f"one step takes {needed}, validation 2",
            ", ".join(config.data), "give more text, or lower --batch and --length",
        )  # fmt: skip
    if len(data.train) < 1 << 20 and len(np.unique(data.train.ids)) < 2:
        raise UserError("the text is one symbol again and again: there is nothing to learn", ", ".join(config.data))


def _encode_text(
    config: Config, files: list[Path], dev_files: list[Path], folder: Path, base: Codec | None
) -> tuple[Codec, dict[str, Any]]:
    """Three streamed passes: count, learn the codec from the training part, encode."""
    kind = base.kind if base else config.symbols
    border = None
    if not dev_files:
        border = int(sum(map(len, _read(kind, files, config.encoding))) * (1 - config.holdout))

    def pieces(part: str) -> Iterator[Any]:
        if dev_files:
            return _read(kind, files if part == "train" else dev_files, config.encoding)
        return _part(_read(kind, files, config.encoding), border, part, kind)

    codec = _codec(config, base, pieces("train"))
    accounts = {}
    for part in ("train", "dev"):
        counted = _Counted(pieces(part))
        ids = write(folder / part, codec.dtype, map(codec.encode, counted))
        accounts[part] = {"ids": ids, "labels": None, "characters": counted.characters}
    return codec, accounts


def _read(kind: str, files: list[Path], encoding: str) -> Iterator[Any]:
    return chain.from_iterable(map(text.blocks, files)) if kind == "bytes" else text.chunks(files, encoding)


def _part(chunks: Iterator[Any], border: int, part: str, kind: str) -> Iterator[Any]:
    """What lies before (train) or after (dev) the border; words and pieces are not cut: the border moves to a blank."""
    at = 0
    for chunk in chunks:
        here = min(max(border - at, 0), len(chunk))
        if kind in ("words", *vocab.PIECES) and 0 < here < len(chunk):
            here = min((i for i in (chunk.find(" ", here), chunk.find("\n", here)) if i >= 0), default=len(chunk))
        yield chunk[:here] if part == "train" else chunk[here:]
        at += len(chunk)


class _Counted:
    """Passes chunks on and counts their characters (of bytes: those that begin a UTF-8 character)."""

    def __init__(self, chunks: Iterator[Any]):
        self.chunks, self.characters = chunks, 0

    def __iter__(self) -> Iterator[Any]:
        for chunk in self.chunks:
            self.characters += count_characters(chunk)
            yield chunk


def count_characters(chunk: str | bytes) -> int:
    if isinstance(chunk, str):
        return len(chunk)
    return int(((np.frombuffer(chunk, np.uint8) & 0xC0) != 0x80).sum())


def _codec(config: Config, base: Codec | None, chunks: Iterator[str], labels: Sequence[str] = ()) -> Codec:
    """The codec of the training text; with a base, that one and what is new in the text."""
    if base is None:
        return vocab.learn(config.symbols, chunks, config.vocabulary, labels, config.column is not None)
    learnt = () if base.kind in vocab.COMPLETE else vocab.learn(base.kind, chunks, config.vocabulary).symbols
    return base.extended(learnt, labels)


def _encode_records(
    config: Config, files: list[Path], dev_files: list[Path], folder: Path, base: Codec | None
) -> tuple[Codec, dict[str, Any]]:
    """Rows of a table. Training rows are shuffled once by the seed; every n-th row is held out for validation."""

    def rows(paths: list[Path]) -> Iterator[Row]:
        return records(paths, config.column, config.condition, config.encoding)

    every = None if dev_files else round(1 / config.holdout)
    train = [row for i, row in enumerate(rows(files)) if every is None or i % every != every - 1]
    dev = list(rows(dev_files)) if dev_files else [row for i, row in enumerate(rows(files)) if i % every == every - 1]
    known = {row.label for row in train}
    if not dev_files:  # a label that is in held-out rows alone is trained on
        train += [row for row in dev if row.label not in known]
        dev = [row for row in dev if row.label in known]
    labels = sorted({row.label for row in train if row.label is not None})
    codec = _codec(config, base, (row.text for row in train), labels)
    order = np.random.default_rng(config.seed).permutation(len(train))
    accounts = {}
    for part, chosen in (("train", [train[i] for i in order]), ("dev", dev)):
        encoded = [np.append(codec.encode(row.text), END) for row in chosen]
        ids = write(folder / part, codec.dtype, encoded)
        labelled = None
        if config.condition is not None:
            numbers = [np.full(len(e), _label(codec, row)) for e, row in zip(encoded, chosen, strict=True)]
            labelled = write(folder / f"{part}-labels", np.dtype(np.uint16), numbers)
        characters = sum(len(row.text) + 1 for row in chosen)
        accounts[part] = {"ids": ids, "labels": labelled, "characters": characters}
    return codec, accounts


def _label(codec: Codec, row: Row) -> int:
    try:
        return codec.label(row.label)
    except UserError as error:
        raise UserError(error.what, row.where, error.fix) from None


# --- the model


class Model(nn.Module):
    """Symbols' vectors, a stack of recurrent layers, and an output layer that sees them all."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        self.vocabulary, width = codec.size, config.embedding
        self.input_dropout, self.dropout = config.input_dropout, config.dropout
        self.embed = OneHot(codec.size) if config.vectors == ONE_HOT else nn.Embedding(codec.size, width)
        self.label = nn.Embedding(len(codec.labels), width) if codec.labels else None
        self.layers = nn.ModuleList(
            Recurrent(
                config.cell, config.hidden if i else width, config.hidden,
                recurrent_dropout=config.recurrent_dropout, weight_dropout=config.weight_dropout,
            )
            for i in range(config.layers)
        )  # fmt: skip
        self.features_size = config.hidden * config.layers
        self.narrow = nn.Linear(self.features_size, width) if config.tied else nn.Identity()
        self.output = nn.Linear(width if config.tied else self.features_size, codec.size)
        if config.tied:
            self.output.weight = self.embed.weight
        self.register_buffer("sharpness", torch.ones(()))  # of the logits when not training; see calibrate
        self.apply(initialise)
        if config.vectors is not None and not config.tune:
            self.embed.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.output.weight.device

    def start(self, batch: int) -> State:
        """Zeros, (B, H) each, layer by layer."""
        return tuple(s for layer in self.layers for s in layer.start(batch))

    def forward(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """Logits (B, T, V) of the symbol after each input, and the state to carry on."""
        features, state = self.features(batch, state)
        return self.head(features), state

    def features(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """All layers' hidden states (B, T, L·H); rows of batch.fresh start from zeros."""
        if state is None:
            state = self.start(len(batch.inputs))
        state = tuple(s.masked_fill(batch.fresh.unsqueeze(1), 0.0) for s in state)
        x = self.vectors(batch.inputs, batch.labels)
        x = drop(x, self.input_dropout, self.training, variational=True)
        hidden, after, size = [], [], len(state) // len(self.layers)
        for i, layer in enumerate(self.layers):
            x, last = layer(x, state[i * size : (i + 1) * size])
            x = drop(x, self.dropout, self.training, variational=True)
            hidden.append(x)
            after += last
        return torch.cat(hidden, -1), tuple(after)

    def head(self, features: Tensor) -> Tensor:
        logits = self.output(self.narrow(features))
        return logits if self.training else logits * self.sharpness

    def vectors(self, ids: Tensor, labels: Tensor | None) -> Tensor:
        x = self.embed(ids)
        return x if labels is None or self.label is None else x + self.label(labels)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean nats a symbol."""
        return surprise.cross_entropy(logits, batch.targets).mean()

    def step(self, ids: Tensor, state: State, labels: Tensor | None = None) -> tuple[Tensor, State]:
        """One symbol a row: ids (B,) -> logits (B, V) of the next, and the state after it."""
        x, hidden, after = self.vectors(ids, labels), [], []
        size = len(state) // len(self.layers)
        for i, layer in enumerate(self.layers):
            x, last = layer.step(x, state[i * size : (i + 1) * size])
            hidden.append(x)
            after += last
        return self.head(torch.cat(hidden, -1)), tuple(after)


# --- choosing, measuring


PASSES = 60  # over the text at most: beyond, a small text is only learnt by heart


def plan(config: Config, data: Data) -> Config:
    """The config with every None chosen. Minutes become steps later; here they tell how much there is to gain from size.

    Measured on tiny-shakespeare, the Stacks Project and a text of 20 kB: two layers of 256 are best for 72 seconds of
    training on two cores with AMX, 384 for ten minutes; one wider layer where fewer steps fit; no dropout below six passes
    over the text, much above fourteen; more readers where there is time for many steps, since they cost less together.
    """
    config = config if config.steps else fill(config, minutes=10.0)
    width = _width(config, data)
    config = fill(config, length=48) if width is None else fill(config, embedding=width, length=48)
    steps = config.steps or _steps_of_256(config, data)
    layers = config.layers or (2 if steps >= 4500 else 1)
    hidden = config.hidden or 64 * max(1, round((4 if layers > 1 else 5) * (steps / 5500) ** 0.2))
    batch = config.batch or _batch(data, 32 if steps >= 60000 else 16)
    if config.steps is None:  # a wider net takes fewer, and so do more readers
        steps *= (256 / hidden) ** 1.8 * 2 / layers * (16 / batch) ** 0.5
    passes = min(PASSES, steps * batch * config.length / len(data.train))
    drop = round(min(1.0, max(0.0, (passes - 6) / 8)), 2)
    rate = 4e-3 * min(1.0, (256 / hidden) ** 0.5 * (batch / 16) ** 0.25)
    config = fill(config, layers=layers, hidden=hidden, batch=batch, rate=rate)
    config = fill(config, dropout=0.5 * drop, input_dropout=0.2 * drop, weight_dropout=0.0)
    return fill(config, embedding=hidden)  # the tied one


def _width(config: Config, data: Data) -> int | None:
    """Numbers in a symbol's vector; None where the hidden units decide."""
    if config.vectors is not None:
        return word_input.width(config.vectors, config.embedding, data.codec.size)
    if config.tied:
        return None
    return 64 if data.codec.size <= 512 else 256


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """Begin with the vectors of --vectors; says how many of the symbols they cover."""
    return word_input.take(config.vectors, config.tune, codec, partial(begin_with, model.embed, FIRST, codec.symbols))


def _check_vectors(config: Config) -> None:
    if config.vectors == ONE_HOT and config.tied:
        raise UserError("`--tied` has no vectors to share with `--vectors one-hot`")
    if config.vectors not in (None, ONE_HOT) and config.symbols != "words":
        raise UserError(f"`--vectors {config.vectors}` are of words", fix="--symbols words, or --vectors one-hot for any symbols")


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become: PASSES over the text."""
    return PASSES * len(data.train) // (config.batch * config.length) + 1


def _batch(data: Data, wanted: int) -> int:
    return max(1, min(wanted, len(data.train) // 200))


def _steps_of_256(config: Config, data: Data) -> float:
    """Steps of two layers of 256, 16 readers, that the minutes have room for, from a second of training them."""
    trial = dataclasses.replace(config, hidden=256, layers=2, batch=_batch(data, 16), rate=4e-3)
    trial = fill(trial, dropout=0.0, input_dropout=0.0, weight_dropout=0.0)
    trial = fill(trial, embedding=256)
    budget = min(1.0, 0.6 * config.minutes)
    pace = fit.seconds_per_step(Model(trial, data.codec), batches(trial, data), settings(trial, data), budget)
    return 0.9 * config.minutes * 60 / pace


def picture(model: Model) -> unrolling.Net:
    """The net over time, for the verb graph."""
    layers = [row for layer in model.layers for row in unrolling.recurrent(layer)]
    below = unrolling.dense("narrow", model.narrow) if isinstance(model.narrow, nn.Linear) else ()
    rows = (unrolling.looked_up(model.embed), *layers, *([below] if below else []), unrolling.dense("softmax", model.output))
    note = "the output reads the states of all layers" if len(layers) > 1 else ""
    part = unrolling.Part("", "x", rows, "ŷ", fed_back=True, gathered=True)
    return unrolling.Net(f"{unrolling.SAME}; it writes by reading its own", (part,), note=note)


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    codec, dev = data.codec, data.dev
    unit = "pieces" if codec.kind in vocab.PIECES else codec.kind
    lines = [
        f"read {data.files} file{'s' if data.files != 1 else ''}: {data.train.characters + dev.characters:,} characters, "
        f"{codec.size - FIRST:,} different {unit}; {len(data.train):,} {unit} to train on, {len(dev):,} to validate on"
    ]
    lost = data.accounts["train"]["ids"]["unknown"]
    if lost:
        lines.append(f"{lost:,} {unit} to train on are too rare for --vocabulary {config.vocabulary} and read as unknown")
    weights = sum(p.numel() for p in model.parameters())
    lines.append(
        f"model: {config.cell}, {config.layers} x {config.hidden} units, {weights:,} weights; "
        f"about {megabytes(config, codec, weights):,.0f} MB of memory"
    )
    return [*lines, _through(config, model)]


def _through(config: Config, model: Model) -> str:
    """What the recurrent layers run through, and what it costs where no kernel is written for the cell."""
    cell, shape = model.layers[-1].cells[0], (config.batch, config.length)
    device = torch.device("cuda" if config.device in ("auto", "cuda") and torch.cuda.is_available() else "cpu")
    bfloat16 = device.type == "cuda" and fit.wants_bfloat16(config.device, config.precision)
    kernel = choice.choose(cell, device, torch.bfloat16 if bfloat16 else cell.W.dtype, shape)
    line = f"{config.cell} runs through {kernel.name}: {kernel.why}"
    if kernel.name != "scan":
        return line
    return f"{line}; a step takes about {choice.times_slower(cell, cell.W.device, shape):.1f} times as long as the gru's kernel"


def megabytes(config: Config, codec: Codec, weights: int) -> float:
    """A training step's memory: weights, gradients and two moments; each layer's gates and states; logits three times."""
    per_symbol = config.layers * config.hidden * 14 + 3 * codec.size
    return 300 + 4e-6 * (4 * weights + config.batch * config.length * per_symbol)


def batches(config: Config, data: Data) -> Streams:
    return Streams(data.train, config.batch, config.length, config.reset, config.seed)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    per_symbol = data.train.characters / len(data.train)
    work = config.batch * config.length * per_symbol
    measure = fit.Measure(MEASURE, "bits/character", 1 / math.log(2) / per_symbol, "characters", work)
    return fit.settings_of(config, measure, warmup=100)


STRUCTURE = ("cell", "hidden", "layers", "embedding", "tied", "symbols", "column", "condition", "vectors")


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    return agree(word_input.inherited(base, STRUCTURE), given) | {"rate": base.rate / 4}


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps * config.batch * config.length / len(data.train):.3g} times through the text"


def glimpse(run: Any, seed: int) -> str:
    """A little of what the model writes now."""
    label = run.codec.labels[0] if run.codec.labels else None
    return "".join(sample(run, Sample(length=300, temperature=0.8, seed=seed, label=label)))


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """What counting alone reaches on the same validation text: an n-gram, and bzip2's compression of it."""
    order = 6 if data.codec.kind in ("characters", "bytes") else 3
    train, dev = data.train.ids[-EXAMPLES:], data.dev.ids[: EXAMPLES // 4]
    characters = data.dev.characters * len(dev) // len(data.dev)
    after = np.append(np.asarray([data.codec.start], dev.dtype), dev)
    nats = ngram.nats(np.asarray(train), after, data.codec.size, order)[1:]
    written = data.codec.decode(dev).encode("utf-8", "surrogatepass")
    return {
        f"{order}-gram": metrics.language(float(nats.sum()), len(nats), characters),
        "bzip2": {"bits_per_character": 8 * len(bz2.compress(written)) / characters},
    }


def calibrate(model: Model, codec: Codec, part: Symbols, limit: int) -> None:
    """Fit the logits' sharpness on about `limit` symbols of the validation text, spread over it."""
    model.sharpness *= surprise.sharpness(model, after_start(codec, part), limit=limit)


def evaluate(model: Model, codec: Codec, part: Symbols, limit: int | None = None) -> dict[str, float]:
    """The measures of a text, each symbol predicted once; limit takes about so many, spread over it."""
    nats = surprise.static(model, after_start(codec, part), limit=limit)
    return metrics.language(float(nats.sum()), len(nats), round(part.characters * len(nats) / len(part)))


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures: bits a character with their 95 % interval, the baselines beside them."""
    nats = surprise.static(run.model, after_start(run.codec, data.dev), limit=limit)
    bits = len(data.dev) / data.dev.characters / math.log(2)  # a character, of a nat a symbol
    row: tables.Record = {"measure": "bits_per_character", "value": float(nats.mean()) * bits}
    if between := metrics.mean_interval(nats):
        row |= {"from": between[0] * bits, "to": between[1] * bits}
    return {"tables": {"measures": tables.beside([row], "measure", folders.read_config(run.folder)["baselines"])}}


def after_start(codec: Codec, part: Symbols) -> Symbols:
    """The text with the start symbol before it, so that its first symbol is predicted as well."""
    ids = np.append(np.asarray([codec.start], part.ids.dtype), part.ids)
    labels = None if part.labels is None else np.append(part.labels[:1], part.labels)
    return Symbols(ids, labels, part.characters)


# --- writing


def sample(run: Any, options: Sample) -> Iterator[str]:
    """Write one text, piece by piece as symbols are drawn; the prompt is not repeated."""
    return writer.stream(_writer(run), options)


def samples(run: Any, options: Sample) -> list[str]:
    """Write `number` texts at once; with `beam`, the best so many, best first."""
    return writer.texts(_writer(run), options)


def _writer(run: Any) -> writer.Writer:
    return writer.Writer(run.codec, partial(_draw, run), partial(_after, run))


AT_ONCE = 16  # symbols written between two looks at them


class Expected(NamedTuple):
    """A symbol of a text, and what the net expected in its place."""

    text: str  # what it adds to the text; "" where none stands yet
    probability: float | None
    likeliest: list[tuple[str, float]]  # symbols and probabilities, the likeliest first


SHOWN = 8  # symbols that are told of what was expected
BLOCK = 256  # symbols whose logits are held at a time


class Watched:
    """A text while it is written and looked at, and all it has of its own; write_on() takes its steps, and others' with them.

    net   what packed() makes of the options' label and rounding; texts of one net are multiplied together
    left  symbols to come; 0 when it is over
    """

    def __init__(self, run: Any, options: Sample, net: Any | None):
        self.net, self.left, self.piece = net, options.length, run.codec.decoder(after=options.prompt)
        self.filters, self.random = writer.sampling(options), np.random.default_rng(options.seed)
        if net is None:
            self.seen: list[np.ndarray] = []
            self.ids = _by_torch(run, options, 1, self.filters, self.random, self.seen.append)
        else:
            self.logits, self.state = _begun(net, run, writer.prompted(run.codec, options))
            self.recent = np.full((1, self.filters.window), -1)

    def told(self, codec: Codec, ids: list[int], expected: list[Expected]) -> tuple[list[Expected], bool]:
        """What symbols add to the text, and whether it is over."""
        found = []
        for i, one in zip(ids, expected, strict=True):
            if self.left and i == END:
                self.left = 0
            if self.left:
                self.left -= 1
                found.append(one._replace(text=self.piece(i)))
        rest = "" if self.left else self.piece(None)
        return found + [Expected(rest, None, [])] * bool(rest), not self.left


Told = tuple[list[Expected], bool]


def write_on(run: Any, texts: Sequence[Watched], number: int) -> list[Told | UserError]:
    """Write up to `number` symbols more of each text, as `sample` would with its options, but that `stop` is not obeyed: what
    each adds, with what the net expected there; whether that is the end. An error stands in the place of its text alone.
    """
    groups: dict[int, list[int]] = {}
    for at, one in enumerate(texts):
        groups.setdefault(at if one.net is None else id(one.net), []).append(at)
    found: list[Told | UserError] = [None] * len(texts)
    for places in groups.values():
        some = [texts[at] for at in places]
        written = _one_by_torch(some[0], number) if some[0].net is None else _together(run, some, number)
        for at, one, ids, logits in zip(places, some, *written, strict=True):
            broken = (ids < 0).any()
            found[at] = _no_numbers() if broken else one.told(run.codec, ids.tolist(), _expected(run.codec, logits, ids))
    return found


def _together(run: Any, texts: list[Watched], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps of texts of one net: ids (R, T), and the logits (R, T, V) that each was drawn by."""
    from ..kernels import writing

    logits = np.concatenate([one.logits for one in texts])
    state = np.concatenate([one.state for one in texts], 1)
    recent = np.concatenate([one.recent for one in texts])
    filters = np.stack([writing.numbers(one.filters) for one in texts])
    random = np.stack([one.random.random(number) for one in texts], 1)  # (T, R)
    never, ids, seen = np.array(writer.banned(run.codec)), [], []
    for uniform in random:
        seen.append(logits.copy())
        ids.append(writing.write(texts[0].net, logits, state, recent, filters, never, uniform[None])[0])
    for i, one in enumerate(texts):
        one.logits, one.state, one.recent = logits[i : i + 1].copy(), state[:, i : i + 1].copy(), recent[i : i + 1].copy()
    return np.stack(ids, 1), np.stack(seen, 1)


def _one_by_torch(text: Watched, number: int) -> tuple[np.ndarray, np.ndarray]:
    """_together for a text alone, of a cell that no kernel is written for."""
    ids = np.concatenate(list(islice(text.ids, number)))
    seen = [text.seen.pop(0) for _ in ids]
    return ids[None], np.stack(seen)[None]


def expected(run: Any, written: str, label: str | None = None) -> list[Expected]:
    """What the net expected in the place of each symbol of a text, and last what it expects after it."""
    step, state = stepper(run.model, writer.label_asked(run.codec, label))
    ids, spelt, piece = run.codec.encode(written).tolist(), run.codec.pieces(written), run.codec.decoder()
    before, after, found = [run.codec.start, *ids], [*ids, END], []
    for begin in range(0, len(before), BLOCK):
        rows = []
        for i in before[begin : begin + BLOCK]:
            logits, state = step(np.array([i]), state)
            rows.append(logits[0])
        found += _expected(run.codec, np.stack(rows), np.array(after[begin : begin + BLOCK]))
    texts = [piece(i) if i != UNKNOWN else spelt[at] for at, i in enumerate(ids)]
    said = [one._replace(text=text) for one, text in zip(found, texts, strict=False)]
    return [*said, found[-1]._replace(probability=None)]


def _expected(codec: Codec, logits: np.ndarray, ids: np.ndarray) -> list[Expected]:
    """Of each row of logits (R, V) and the symbol (R,) in its place, with no text yet."""
    shares = np.exp(decode.log_softmax(logits))
    own = np.take_along_axis(shares, ids[:, None], 1)[:, 0].tolist()
    likely = shares.copy()
    likely[:, writer.banned(codec)] = -1
    most = min(SHOWN, likely.shape[1] - len(writer.banned(codec)))
    shown = np.sort(np.argpartition(-likely, most - 1, 1)[:, :most], 1)
    shown = np.take_along_axis(shown, np.argsort(-np.take_along_axis(likely, shown, 1), 1, kind="stable"), 1)
    likeliest = np.take_along_axis(shares, shown, 1).tolist()
    names = [[codec.text(n) for n in row] for row in shown.tolist()]
    return [Expected("", p, list(zip(*row, strict=True))) for p, *row in zip(own, names, likeliest, strict=True)]


VIEW = unit_page
LOOKED_AT = 20_000  # symbols that fit on a page


@dataclasses.dataclass(frozen=True)
class Look:
    """Options of looking inside."""

    unit: int | None = option(None, "the unit shown, counted from 0 through all layers  [the one that follows something best]")


@torch.no_grad()
def look(run: Any, written: str, options: Look | None = None) -> unit_page.Units:
    """What the hidden units, their gates and the output do as the net reads a text."""
    codec, model, unit = run.codec, run.model.eval(), (options or Look()).unit
    ids, pieces = codec.encode(written).tolist(), codec.pieces(written)
    if not ids or len(ids) > LOOKED_AT:
        said = f"the text has {len(ids):,} symbols; 1 to {LOOKED_AT:,} can be looked at"
        raise UserError(said, fix="give some text, or a piece of it")
    size = model.features_size
    if unit is not None and not 0 <= unit < size:
        raise UserError(f"`--unit {unit}` is none of the {size:,} units of `{run.folder}`", fix=f"0 to {size - 1}")
    inputs = torch.tensor([[codec.start, *ids]], device=model.device)
    batch = Batch(inputs, inputs, None, torch.ones(1, dtype=torch.bool, device=model.device))
    features, _ = model.features(batch, None)  # (1, T + 1, U), from the state after the start on
    shares = model.head(features)[0].float()
    shares[:, writer.banned(codec)] = -torch.inf
    shares = shares.softmax(-1).cpu()
    top = shares.topk(min(5, shares.shape[1]))
    ranked = zip(top[1].tolist(), top[0].tolist(), strict=True)
    likeliest = [[(codec.text(n), p) for n, p in zip(*row, strict=True)] for row in ranked]
    states = features[0, 1:].float().cpu().numpy()
    tracks = unit_search.search(states, unit_search.things(pieces))
    chosen = unit if unit is not None else tracks[0].unit if tracks else int(states.std(0).argmax())
    note = f"{run.folder}: {run.config.cell}, {run.config.layers} x {run.config.hidden}; {len(ids):,} {codec.kind}"
    own = shares[torch.arange(len(ids)), torch.tensor(ids)].numpy()
    gates = {name: value.cpu().numpy() for name, value in _gates(model, inputs, features).items()}
    return unit_page.Units(pieces, states, gates, own, likeliest, tracks, chosen, run.config.hidden, note)


def _gates(model: Model, inputs: Tensor, features: Tensor) -> dict[str, Tensor]:
    """Each gate (T, L·H) by name, by the cells' own equations, as the symbols behind the start are read."""
    x, parts = model.vectors(inputs, None), features.chunk(len(model.layers), -1)
    found: dict[str, list[Tensor]] = {}
    for layer, h in zip(model.layers, parts, strict=True):
        (cell,) = layer.cells
        Wx = F.linear(x[0, 1:], cell.W, cell.b)
        for name, value in saturation.values(cell, Wx, (h[0, :-1],)).items():
            found.setdefault(name, []).append(value.float())
        x = h
    return {name: torch.cat(values, -1) for name, values in found.items()}


def _draw(run: Any, options: Sample, rows: int, filters: decode.Sampling, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Ids (rows,) of each step, for ever."""
    net = packed(run.model, writer.label_asked(run.codec, options.label), options.int8)
    if net is not None:
        return _compiled(net, run, writer.prompted(run.codec, options), rows, filters, random)
    return _by_torch(run, options, rows, filters, random)


def _compiled(
    net: Any, run: Any, prompt: list[int], rows: int, filters: decode.Sampling, random: np.random.Generator
) -> Iterator[np.ndarray]:
    from ..kernels import writing

    logits, state = _begun(net, run, prompt)
    state, logits = state.repeat(rows, 1), logits.repeat(rows, 0)
    recent = np.full((rows, 0 if filters.repetition_penalty == 1.0 else filters.window), -1)
    never = np.array(writer.banned(run.codec))
    while True:
        uniform = random.random((AT_ONCE, rows))
        ids = writing.write(net, logits, state, recent, writing.numbers(filters), never, uniform)
        if (ids < 0).any():
            raise _no_numbers()
        yield from ids


def _begun(net: Any, run: Any, prompt: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Logits (1, V) and state (L·S, 1, H) after a prompt."""
    from ..kernels import writing

    state = np.stack([s.numpy() for s in run.model.start(1)])
    return writing.read(net, np.array(prompt)[:, None], state), state


def _no_numbers() -> UserError:
    return UserError("the model's probabilities are no numbers: its weights are damaged, or its training diverged")


def _by_torch(
    run: Any, options: Sample, rows: int, filters: decode.Sampling, random: np.random.Generator,
    seen: Callable[[np.ndarray], None] | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """seen is told the logits (V,) that the first row's next symbol is drawn by, one symbol ahead at most."""
    step, logits, state = _after(run, options)
    logits, state = np.repeat(logits, rows, 0), tuple(s.repeat(rows, 0) for s in state)
    if seen is None:
        return decode.sample(step, logits, state, filters, random, writer.banned(run.codec))

    def told(ids: np.ndarray, before: decode.State) -> tuple[np.ndarray, decode.State]:
        after, now = step(ids, before)
        seen(after[0].copy())
        return after, now

    seen(logits[0].copy())
    return decode.sample(told, logits, state, filters, random, writer.banned(run.codec))


def _after(run: Any, options: Sample) -> tuple[decode.Step, np.ndarray, decode.State]:
    """The step function, and logits (1, V) and state after the prompt."""
    step, state = stepper(run.model, writer.label_asked(run.codec, options.label))
    for i in writer.prompted(run.codec, options):
        logits, state = step(np.array([i]), state)
    return step, logits, state


def unseen(codec: Codec, written: str) -> list[str]:
    """The symbols of a text that the model has no name for, each once; they are read as `unknown`."""
    if codec.kind == "characters":
        return sorted({c for c in written if c not in codec.index})
    return sorted({w for w in vocab.WORD.findall(written) if w not in codec.index}) if codec.kind == "words" else []


def packed(model: Model, label: int | None, int8: bool = False) -> Any | None:
    """The model as compiled code takes it (kernels.writing.Net), or None for a cell that no kernel is written for.

    The first layer's W x + b becomes a table: it has one value a symbol. int8 rounds all other matrices to 8 bits.
    """
    layers = [layer.cells[0] for layer in model.layers]
    pack_layers = choice.choose_step(layers[0]).run
    if pack_layers is None:
        return None
    from ..kernels import writing

    vectors = model.embed.weight if label is None else model.embed.weight + model.label.weight[label]
    with torch.no_grad():
        table = F.linear(vectors, layers[0].W, layers[0].b)  # (V, G·H)
        head = model.output.weight @ model.narrow.weight if isinstance(model.narrow, nn.Linear) else model.output.weight
        bias = model.head(torch.zeros(1, model.features_size))[0]
        return writing.net(layers, table, head * model.sharpness, bias, int8)


def stepper(model: Model, label: int | None) -> tuple[decode.Step, decode.State]:
    """A step function for few rows on the CPU, and the state of one row before any symbol."""
    net = packed(model, label)
    state = tuple(s.detach().numpy() for s in model.start(1))
    if net is None:
        return _torch_stepper(model, label), state
    from ..kernels import writing

    def step(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
        after = np.stack(state)
        return writing.read(net, ids[None], after), tuple(after)

    return step, state


def _torch_stepper(model: Model, label: int | None) -> decode.Step:
    @torch.no_grad()
    def step(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
        labels = None if label is None else torch.full((len(ids),), label)
        logits, after = model.step(torch.from_numpy(ids), tuple(map(torch.as_tensor, state)), labels)
        return logits.numpy(), tuple(s.numpy() for s in after)

    return step


# --- exporting


def graph(builder: Builder, run: Any) -> Computes:
    """ids (B, T), lengths (B), the states before them -> logits (B, T, V) and the states after each row's last symbol."""
    model, V = run.model, run.codec.size
    ids, lengths = builder.ids("ids", ("batch", "time"), V), builder.lengths()
    x, hidden = builder.embedded(model.embed, ids), []
    if model.label is not None:
        label = builder.embedded(model.label, builder.ids("labels", ("batch",), len(run.codec.labels)))
        x = builder.add("Add", [x, builder.add("Unsqueeze", [label, builder.numbers(1)])])
    after: list[str] = []
    for layer in model.layers:
        x, last = builder.recurrent(layer, x, lengths, builder.states(layer))
        hidden.append(x)
        after += last
    x = builder.add("Concat", hidden, {"axis": -1})
    x = builder.linear(model.narrow, x) if isinstance(model.narrow, nn.Linear) else x
    logits = builder.linear(model.output, x, float(model.sharpness))
    builder.output("logits", logits, ("batch", "time", V))
    for i, state in enumerate(after):
        builder.output(f"after_state_{i}", state, ("batch", run.config.hidden))
    return {"": partial(_computed, model)}


@torch.no_grad()
def _computed(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the graph's outputs have to be: where a row has ended its logits say nothing, and are those of no state."""
    ids, lengths = torch.from_numpy(given["ids"]), torch.from_numpy(given["lengths"])
    labels = None if model.label is None else torch.from_numpy(given["labels"])[:, None].expand(ids.shape)
    state = [torch.from_numpy(given[f"state_{i}"]) for i in range(len(model.start(1)))]
    x, hidden, after, size = model.vectors(ids, labels), [], [], len(state) // len(model.layers)
    for i, layer in enumerate(model.layers):
        x, last = layer(x, tuple(state[i * size : (i + 1) * size]), lengths)
        hidden.append(x)
        after += last
    found = {"logits": model.head(torch.cat(hidden, -1)), **{f"after_state_{i}": one for i, one in enumerate(after)}}
    return {name: value.numpy() for name, value in found.items()}


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graph and codec."""
    return {"hidden": run.config.hidden}


# --- scoring


class Scored(NamedTuple):
    texts: list[str]  # of each symbol
    nats: np.ndarray  # one a symbol
    measures: dict[str, float]
    protocol: str


@dataclasses.dataclass(frozen=True)
class Score:
    """Options of scoring."""

    dynamic: bool = option(False, "let the weights follow the text (dynamic evaluation)")
    cache: bool = option(False, "remember what followed states like this one (continuous cache)")
    label: str | None = option(None, "the label to score under (runs trained with --condition)")


def score(run: Any, ids: np.ndarray, characters: int, options: Score) -> Scored:
    """How surprised the model is by a text, symbol by symbol, the first one after the start symbol."""
    if options.dynamic and options.cache:
        raise UserError("`--dynamic` and `--cache` were both given; score with one of them")
    if not len(ids):
        raise UserError("the text to score is empty")
    label = None if options.label is None else run.codec.label(options.label)
    if run.codec.labels and label is None:
        raise UserError("this run was trained with labels", fix="name one with --label")
    labels = None if label is None else np.full(len(ids), label)
    part = after_start(run.codec, Symbols(ids, labels, characters))
    nats, protocol = _surprise(run.model.eval(), part, options)
    measures = metrics.language(float(nats.sum()), len(nats), characters)
    measures["unknown"] = int((ids == UNKNOWN).sum())
    return Scored([run.codec.text(int(i)) for i in ids], nats, measures, protocol)


def _surprise(model: Model, part: Symbols, options: Score) -> tuple[np.ndarray, str]:
    """Nats a symbol and how they were got."""
    if options.dynamic:
        settings = surprise.Dynamic()
        how = f"one stream; after every {settings.length} symbols the weights follow the text (RMSprop {settings.rate:g})"
        return surprise.dynamic(model, part, settings), how
    if options.cache:
        settings = surprise.Cache()
        how = f"one stream; a cache of {settings.size} states has part {settings.share:g} of each prediction"
        return surprise.cached(model, part, settings), how
    nats = surprise.static(model, part)
    lanes = "one stream" if len(nats) < 32 * surprise.WARM else f"32 lanes, each after the {surprise.WARM} symbols before it"
    return nats, f"every symbol once, {lanes}"


def read_to_score(run: Any, names: list[str], spool: Path) -> tuple[np.ndarray, int]:
    """The ids and the number of characters of a text to score. For a run over records: a table's column, or lines."""
    files, codec, encoding = text.find(names, spool), run.codec, run.config.encoding
    if codec.records:
        tables = all(any(suffix in text.TABLES for suffix in path.suffixes) for path in files)
        lines = (line for chunk in text.chunks(files, encoding) for line in chunk.splitlines())
        rows = (row.text for row in records(files, run.config.column, None, encoding)) if tables else lines
        counted = _Counted(row + "\n" for row in rows)
        parts = [np.append(codec.encode(row[:-1]), END) for row in counted]
    else:
        counted = _Counted(_read(codec.kind, files, encoding))
        parts = [codec.encode(chunk) for chunk in counted]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32), counted.characters


DIAGNOSED = 16, 200  # places of a text whose gradients are looked at, and symbols from each, at least


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Stretches of these texts as they are trained on, spread over them, from fresh states; without labels, if it has any."""
    ids, _ = read_to_score(run, list(names), spool)
    rows, least = DIAGNOSED
    length = min(max(run.config.length, least), len(ids) - 1)
    if length < 1:
        raise UserError(f"the text has {len(ids)} symbols; gradients need at least 2", ", ".join(names))
    starts = np.linspace(0, len(ids) - 1 - length, rows).astype(np.int64)
    read = torch.from_numpy(ids[starts[:, None] + np.arange(length + 1)].astype(np.int64))
    return Batch(read[:, :-1], read[:, 1:], None, torch.ones(rows, dtype=torch.bool))
