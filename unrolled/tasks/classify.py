"""Reading a sequence to its end and answering with a label (the lecture's many to one): reviews to stars, texts to topics.

In:  a table (CSV, TSV, JSONL, Parquet) with a text and a label a row, or a folder of texts for each label.
     Labels are unordered, or ordered (stars): then a near miss is less wrong than a far one.
Out: a probability for every label, and what each word did to the answer.

    ids (B, T) -> embedding (B, T, E) -> recurrent layers, forward or both ways (B, T, D·H)
    last state, mean, maximum or attention over time (B, D·H) -> logits (B, K)
    --cell none leaves the recurrent layers out: the mean of the words' vectors, the lecture's simple sentiment model
"""

from __future__ import annotations

import csv
import dataclasses
import json
import random
from collections import ChainMap
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import audit, calibration, decision_page, fit, floors, influence, label_tables, metrics, tables, unrolling, word_input
from .. import run as folders
from ..cells import CELLS, State
from ..config import agree, fill, option
from ..data import table, vocab
from ..data.batch import Buckets, Rows, borders, open_map, spread_rows, write
from ..data.vocab import FIRST, UNKNOWN, Codec
from ..errors import UserError
from ..export.builder import Builder, Computes
from ..layers import ONE_HOT, Embedding, OneHot, Pooling, adopt, initialise
from ..recurrent import Recurrent, drop

MEASURE = "nats_per_example"
MEASURING = fit.Measuring("examples", probe=64, few=2000, many=1_000_000, warming=0)
TRY = ("predict {run} 'The soup was cold and nobody cared.'", "look {run} 'The soup was cold and nobody cared.'")
POOLINGS = ("last", "mean", "max", "attention")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "tables, a folder of folders, or - for standard input")
    text: str | None = option(None, "the text's column, by name or number")
    label: str | None = option(None, "the label's column, by name or number")
    ordered: bool | None = option(None, "labels have an order (stars), or not")
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option(
        "lstm", "the recurrent cell; none: the mean of the words' vectors", choices=ChainMap({"none": None}, CELLS)
    )
    hidden: int | None = option(None, "units a layer and direction", minimum=1, maximum=100_000)
    layers: int = option(1, "recurrent layers", minimum=1, maximum=1000)
    direction: str = option("both", "read forward only, or both ways", choices=("both", "forward"))
    pooling: str | None = option(None, "how the states of all steps become one", choices=POOLINGS)
    symbols: str = option("tokens", "what a symbol is", choices=("tokens", *vocab.KINDS))
    lower: bool = option(True, "small and capital letters are the same")
    vocabulary: int = option(30_000, "most symbols kept; rarer ones are unknown", minimum=1)
    embedding: int | None = option(None, "width of a symbol's vector", minimum=1, maximum=100_000)
    vectors: str | None = option(None, "begin with these word vectors (an embed run, a file), or `one-hot`: unit vectors")
    tune: bool = option(True, "go on learning the vectors given with --vectors")
    balanced: bool = option(False, "rare labels count as much as frequent ones")
    encoding: str = option("utf-8", "encoding of the text files")
    dev: tuple[str, ...] = option((), "tables to validate on, in place of a part of the data")
    dev_text: str | None = option(None, "the text's column in --dev  [the same]")
    dev_label: str | None = option(None, "the label's column in --dev  [the same]")
    holdout: float = option(0.1, "part of each label's rows to validate on, drawn by the seed", minimum=0.001, maximum=0.5)
    dropout: float = option(0.5, "of what the output layer reads", minimum=0, maximum=0.95)
    input_dropout: float = option(0.3, "of the symbols' vectors", minimum=0, maximum=0.95)
    word_dropout: float = option(0.1, "of whole symbols, read as unknown", minimum=0, maximum=0.95)
    weight_dropout: float = option(0.0, "of single recurrent weights", minimum=0, maximum=0.95)
    batch: int = option(64, "texts a step", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.02, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.05, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    evaluations: int = option(10, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and dropout", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("float32", "of matrix products", choices=("auto", "float32", "bfloat16"))


@dataclasses.dataclass(frozen=True)
class Texts:
    """Encoded texts and their labels."""

    rows: Rows
    labels: np.ndarray  # (N,)

    def __len__(self) -> int:
        return len(self.labels)


MINUTES = 10.0  # where neither minutes nor steps are given
THINGS = ("the soup", "the pizza", "our waiter", "the terrace", "the music", "the wine", "the dessert")
GOOD = ("wonderful", "fresh", "friendly", "quick", "a delight", "perfect", "worth the trip", "warm")
NOT = ("anything but ", "by no means ", "not what we call ", "never once in these three years ")
BAD = ("cold", "slow", "rude", "bland", "overpriced", "a disappointment", "stale", "loud")


def demo(folder: Path) -> list[Path]:
    """Reviews made up from a few words, with stars: negations and `but` turn them round, so that word counts do not do."""
    folder.mkdir(parents=True, exist_ok=True)
    path, generator = folder / "reviews.csv", random.Random(1)
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("review", "stars"))
        for _ in range(3000):
            rows.writerow(_review(generator))
    return [path]


def _review(generator: random.Random) -> tuple[str, int]:
    """One to three opinions; the mean of what they say, in stars. After `but` an opinion counts twice."""
    said, total, weights = [], 0, 0
    for i in range(generator.randint(1, 3)):
        good, negated, weight = generator.random() < 0.5, generator.random() < 0.4, 1
        joined = ""
        if i:
            joined = generator.choice((", and ", ", but "))
            weight = 2 if "but" in joined else 1
        word = generator.choice(GOOD if good != negated else BAD)
        said.append(f"{joined}{generator.choice(THINGS)} was {generator.choice(NOT) if negated else ''}{word}")
        total, weights = total + weight * (1 if good else -1), weights + weight
    return "".join(said).capitalize() + ".", 3 + round(2 * total / weights)


class Data(NamedTuple):
    codec: Codec
    train: Texts
    dev: Texts
    accounts: dict[str, Any]


class Batch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    labels: Tensor | None  # (B)
    weights: Tensor | None  # (B) what each counts in the loss, 1 on average; None: all the same


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Encode the user's texts into files in `folder`; `base` is a codec to extend instead of a new one."""
    if config.vectors not in (None, ONE_HOT) and config.symbols not in vocab.WORDS:
        raise UserError(
            f"`--vectors {config.vectors}` are of words", fix="--symbols tokens, or --vectors one-hot for any symbols"
        )
    folder.mkdir(parents=True, exist_ok=True)
    found = table.find(config.data, folder / "spool", config.text, config.label, config.encoding)
    train, dev = _split(config, found, folder)
    labels = _in_order({row.label for row in train})
    _check(config, train, dev, labels)
    codec = _codec(config, base, (_folded(config, row.text) for row in train), labels)
    ordered = config.ordered if config.ordered is not None else _look_ordered(labels)
    repeated = audit.duplicates(train, dev)
    accounts = {
        "text": found.text, "label": found.label, "said": found.said, "ordered": ordered, "duplicates": repeated._asdict(),
    }  # fmt: skip
    for part, rows in (("train", train), ("dev", dev)):
        accounts[part] = _encode(config, codec, rows, folder / part)
    with open(folder / "dev.jsonl", "w", encoding="utf-8", errors="surrogatepass") as file:
        file.writelines(json.dumps([row.text, row.where]) + "\n" for row in dev)
    data = reopen(codec, accounts, folder)
    accounts["suspects"] = _doubted_in_training(config, data, train)  # now, so that --minutes counts it
    return data


def _split(config: Config, found: table.Table, folder: Path) -> tuple[list[table.Row], list[table.Row]]:
    """Rows to train on and rows to validate on: those of --dev, else the same part of each label's, drawn by the seed."""
    rows = list(table.rows(found))
    if config.dev:
        columns = config.dev_text or found.text, config.dev_label or found.label
        beside = table.find(config.dev, folder / "spool", *columns, config.encoding)
        return rows, list(table.rows(beside))
    texts: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        texts.setdefault(audit.folded(row.text), []).append(i)  # equal ones stay together: what is trained on is no test
    alike = list(texts.values())
    of_label: dict[str, list[list[int]]] = {}
    for i in np.random.default_rng(config.seed).permutation(len(alike)):
        of_label.setdefault(rows[alike[i][0]].label, []).append(alike[i])
    held = {i for each in of_label.values() for equal in each[: round(config.holdout * len(each))] for i in equal}
    known = {row.label for i, row in enumerate(rows) if i not in held}
    held = {i for i in held if rows[i].label in known}
    return [row for i, row in enumerate(rows) if i not in held], [rows[i] for i in sorted(held)]


def _check(config: Config, train: list[table.Row], dev: list[table.Row], labels: list[str]) -> None:
    where = ", ".join(config.data)
    if len(labels) < 2:
        raise UserError(f"every text has the label `{labels[0]}`: there is nothing to tell apart", where)
    if len(labels) > len(train) / 2:
        raise UserError(
            f"{len(labels):,} different labels in {len(train):,} rows; is `--label` the right column?", where,
            "name the columns with --text and --label",
        )  # fmt: skip
    if not dev:
        raise UserError(f"{len(train)} rows leave none to validate on", where, "give more rows, --dev or a greater --holdout")
    for row in dev:
        if row.label not in labels:
            raise UserError(f"the label `{row.label}` is in no training row; known are {_listed(labels)}", row.where)


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:20]) + (", …" if len(labels) > 20 else "")


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None


def _in_order(labels: set[str]) -> list[str]:
    """Labels sorted, as numbers if all are."""
    numbers = {label: _number(label) for label in labels}
    return sorted(labels, key=str if None in numbers.values() else lambda label: (numbers[label], label))


def _look_ordered(labels: list[str]) -> bool:
    return len(labels) > 2 and all(_number(label) is not None for label in labels)


def _folded(config: Config, text: str) -> str:
    return text.lower() if config.lower else text


def _codec(config: Config, base: Codec | None, texts: Iterator[str], labels: list[str]) -> Codec:
    if base is None:
        codec = vocab.learn(config.symbols, texts, config.vocabulary, labels, records=True)
        return word_input.reaching(codec, config.vectors)
    learnt = () if base.kind in vocab.COMPLETE else vocab.learn(base.kind, texts, config.vocabulary).symbols
    return base.extended(learnt, labels)


def encode(config: Config, codec: Codec, texts: Sequence[str]) -> Rows:
    """Texts as ids; one that has no symbol at all is one unknown symbol."""
    nothing = np.array([UNKNOWN], np.int32)
    ids = [codec.encode(_folded(config, text)) for text in texts]
    return Rows.of([i if len(i) else nothing for i in ids])


SEARCHED = 600_000  # words times labels that are searched for them, for each minute there is


def _doubted_in_training(config: Config, data: Data, rows: list[table.Row]) -> list[dict[str, Any]]:
    """Training rows whose label is likely wrong, by bags of words that have not seen them; of many words every n-th row."""
    labels = data.codec.labels
    minutes = config.minutes or (None if config.steps else MINUTES)
    every = 1 if minutes is None else 1 + int(len(data.train.rows.ids) * len(labels) / (minutes * SEARCHED))
    every = min(every, len(rows) // 2)  # two rows at least
    part = _every(data.train, every)
    guessed = audit.out_of_sample(part.rows.ids, part.rows.bounds, part.labels, len(labels), config.seed)
    return label_tables.doubted([(row.text, row.where) for row in rows[::every]], part.labels, guessed, labels)


def _encode(config: Config, codec: Codec, rows: list[table.Row], path: Path) -> dict[str, Any]:
    texts = encode(config, codec, [row.text for row in rows])
    labels = np.array([codec.label(row.label) for row in rows])
    arrays = {
        "ids": (codec.dtype, texts.ids),
        "bounds": (np.dtype(np.int64), texts.bounds),
        "labels": (np.dtype(np.int32), labels),
    }
    return {name: write(path.with_suffix(f".{name}"), dtype, [values]) for name, (dtype, values) in arrays.items()}


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    parts = {}
    for part in ("train", "dev"):
        ids, bounds, labels = (open_map(folder / f"{part}.{name}", accounts[part][name]) for name in ("ids", "bounds", "labels"))
        parts[part] = Texts(Rows(ids, bounds), labels)
    return Data(codec, parts["train"], parts["dev"], accounts)


# --- the model


class Model(nn.Module):
    """Symbols' vectors, recurrent layers, one vector from all steps, logits of the labels."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        self.ordered = config.ordered
        self.word_dropout, self.input_dropout, self.dropout = config.word_dropout, config.input_dropout, config.dropout
        self.embed = OneHot(codec.size)
        if config.vectors != ONE_HOT:
            self.embed = Embedding(codec.size - codec.fixed, codec.fixed, config.embedding)
        width, both = config.embedding, config.direction == "both"
        self.recurrent = None
        if config.cell != "none":
            self.recurrent = Recurrent(
                config.cell, width, config.hidden, config.layers, dropout=config.dropout, bidirectional=both, variational=True,
                weight_dropout=config.weight_dropout,
            )  # fmt: skip
            width = config.hidden * (2 if both else 1)
        self.pool = Pooling(config.pooling, width, both)
        self.output = nn.Linear(width, len(codec.labels))
        self.register_buffer("sharpness", torch.ones(()))  # of the logits when not training; see calibrate
        self.apply(initialise)
        if config.vectors != ONE_HOT:
            nn.init.normal_(self.embed.learned.weight, std=0.1)
            self.embed.requires_grad_(config.vectors is None or config.tune)

    def forward(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """Logits (B, K); there is no state to carry from one text to another."""
        ids = batch.ids
        if self.training and self.word_dropout:
            ids = ids.masked_fill(torch.rand(ids.shape, device=ids.device) < self.word_dropout, UNKNOWN)
        return self.read(self.embed(ids), batch.lengths), ()

    def read(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Vectors (B, T, E) -> logits (B, K)."""
        x = drop(x, self.input_dropout, self.training, variational=False)
        if self.recurrent is not None:
            x, _ = self.recurrent(x, lengths=lengths)
        logits = self.output(F.dropout(self.pool(x, lengths), self.dropout, self.training))
        return logits if self.training else logits * self.sharpness

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean nats a text, with the gradient of more: of ordered labels the ranked probability score is added,
        Σ_k (P(y<=k) - [label<=k])² (Epstein 1969), and of balanced ones each text has its weight.
        """
        nats = F.cross_entropy(logits, batch.labels, reduction="none")
        wanted = nats
        if self.ordered:
            reached = F.one_hot(batch.labels, logits.shape[1]).cumsum(1)
            wanted = wanted + (logits.softmax(1).cumsum(1) - reached).square().sum(1)
        if batch.weights is not None:
            wanted = wanted * batch.weights
        gradient = wanted.mean()
        return nats.mean().detach() + (gradient - gradient.detach())  # what is logged compares with validation


# --- choosing


PASSES = 12  # over the texts at most: beyond, they are only learnt by heart


def plan(config: Config, data: Data) -> Config:
    """The config with every None chosen, as measured on reviews: see docs."""
    accounts = data.accounts
    config = dataclasses.replace(config, text=accounts["text"], label=accounts["label"], ordered=accounts["ordered"])
    config = config if config.steps else fill(config, minutes=MINUTES)
    width = word_input.width(config.vectors, config.embedding, data.codec.size) or (200 if config.symbols in vocab.WORDS else 64)
    pooling = "mean" if config.cell == "none" else "max"
    return fill(config, hidden=128, embedding=width, pooling=pooling, rate=2e-3)


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """Begin with the vectors of --vectors; says how many of the symbols they cover."""
    begin = partial(adopt, model.embed, FIRST, codec.symbols)
    return word_input.take(config.vectors, config.tune, codec, begin, config.lower)


STRUCTURE = ("ordered", "cell", "hidden", "layers", "direction", "pooling", "symbols", "lower", "embedding", "vectors")


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    return agree(word_input.inherited(base, STRUCTURE), given) | {"rate": base.rate / 4}


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become: PASSES over the texts."""
    return PASSES * batches(config, data).steps_per_epoch


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps / batches(config, data).steps_per_epoch:.3g} times through the texts"


class Batches:
    """A step's texts, padded to the longest of them."""

    def __init__(self, texts: Texts, size: int, balanced: bool, seed: int):
        self.texts, self.buckets = texts, Buckets(texts.rows.lengths, size, seed)
        self.steps_per_epoch = self.buckets.steps_per_epoch
        counts = np.bincount(texts.labels)
        self.weights = len(texts) / (np.count_nonzero(counts) * np.maximum(1, counts)) if balanced else None

    def batch(self, step: int) -> Batch:
        rows = self.buckets.rows(step)
        ids, lengths = self.texts.rows.padded(rows)
        labels = self.texts.labels[rows]
        weights = None if self.weights is None else torch.from_numpy(self.weights[labels].astype(np.float32))
        return Batch(ids, lengths, torch.from_numpy(labels.astype(np.int64)), weights)


def batches(config: Config, data: Data) -> Batches:
    return Batches(data.train, config.batch, config.balanced, config.seed)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    work = len(data.train) / batches(config, data).steps_per_epoch
    measure = fit.Measure(MEASURE, "nats/text", 1.0, "texts", work, ("accuracy", "mean_absolute_error"))
    return fit.settings_of(config, measure, warmup=200, average=config.average)


def picture(model: Model) -> unrolling.Net:
    """The net over time, for the verb graph."""
    layers = () if model.recurrent is None else unrolling.recurrent(model.recurrent)
    rows = (unrolling.looked_up(model.embed), *layers, unrolling.dense("output", model.output))
    both = model.recurrent is not None and model.recurrent.directions == 2
    name, ends = unrolling.pooling(model.pool, both)
    return unrolling.Net(unrolling.ONE, (unrolling.Part("", "x", rows, "ŷ", name, ends),))


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    accounts, codec = data.accounts, data.codec
    counts = np.bincount(data.train.labels, minlength=len(codec.labels))
    shares = ", ".join(f"{name} {100 * n / counts.sum():.0f} %" for name, n in zip(codec.labels[:12], counts, strict=False))
    lengths = data.train.rows.lengths
    lines = [accounts["said"]] if accounts["said"] else []
    lines += [
        f"read {len(data.train):,} texts to train on, {len(data.dev):,} to validate on; "
        f"{np.median(lengths):.0f} {codec.kind} in the middle one, {lengths.max():,} in the longest",
        f"{len(codec.labels)} {'ordered ' if config.ordered else ''}labels: {shares}{', …' if len(codec.labels) > 12 else ''}",
        *(["of ordered labels the answer is the median, the one least far off on average"] if config.ordered else ()),
        *audit.told(accounts["duplicates"]),
    ]
    weights = sum(p.numel() for p in model.parameters())
    net = f"{config.cell}, {config.layers} x {config.hidden} units, {config.direction}" if config.cell != "none" else "no cell"
    return [*lines, f"model: {net}, {config.pooling} over time; {weights:,} weights, {codec.size:,} symbols"]


# --- measuring


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """The floors: always the most frequent label; a bag of words and pairs, logistic regression; averaged vectors."""
    train, dev, labels = data.train, data.dev, len(data.codec.labels)
    constant = np.tile(floors.majority(train.labels, labels), (len(dev), 1))
    bag = floors.fit(train.rows.ids, train.rows.bounds, train.labels, labels, config.seed)
    found = {"majority": constant, "bag of words": bag.probabilities(dev.rows.ids, dev.rows.bounds)}
    if config.cell != "none":
        found["averaged vectors"] = _averaged(config, data)
    return {name: label_tables.floor(values, dev.labels, data.codec.labels, config.ordered) for name, values in found.items()}


def _averaged(config: Config, data: Data) -> np.ndarray:
    """Probabilities of the lecture's simple model softmax(W mean(e) + b), trained for at most a tenth of the minutes."""
    simple = dataclasses.replace(config, cell="none", pooling="mean", word_dropout=0.0, rate=1e-2)
    simple = dataclasses.replace(simple, steps=min(1500, 8 * batches(simple, data).steps_per_epoch))
    torch.manual_seed(config.seed)
    model, how, reader = Model(simple, data.codec), settings(simple, data), batches(simple, data)
    if config.minutes and not config.steps:
        most = int(6 * config.minutes / fit.seconds_per_step(model, reader, how, budget=0.5))
        simple = dataclasses.replace(simple, steps=min(simple.steps, max(10, most)))
        how = settings(simple, data)
        torch.manual_seed(config.seed)
    optimizer = fit.adamw(model, how)
    for step in range(simple.steps):
        for group in optimizer.param_groups:
            group["lr"] = simple.rate * fit.schedule(step, how)
        fit.update(model, model, reader.batch(step), None, optimizer, how)
    return label_tables.probabilities(logits(model, data.dev.rows))


def logits(model: Model, rows: Rows) -> np.ndarray:
    """The logits (N, K) of all rows, texts of about the same length read together."""
    model.eval()
    device = model.output.weight.device
    found = np.zeros((len(rows.lengths), model.output.out_features), np.float32)
    order = np.argsort(rows.lengths, kind="stable")
    with torch.no_grad():
        for begin, end in borders(rows.lengths[order], 128, 1 << 16):
            ids, lengths = rows.padded(order[begin:end])
            batch = Batch(ids.to(device), lengths.to(device), None, None)
            found[order[begin:end]] = model(batch, None)[0].float().cpu().numpy()
    return found


def _spread(part: Texts, limit: int | None) -> Texts:
    """About `limit` texts, every n-th."""
    return part if limit is None or limit >= len(part) else _every(part, -(-len(part) // limit))


def _every(part: Texts, n: int) -> Texts:
    return part if n == 1 else Texts(part.rows.taken(np.arange(0, len(part), n)), part.labels[::n])


def calibrate(model: Model, codec: Codec, part: Texts, limit: int) -> None:
    """Fit the logits' sharpness on the validation texts."""
    part = _spread(part, limit)
    model.sharpness *= calibration.temperature(logits(model, part.rows), part.labels)


def evaluate(model: Model, codec: Codec, part: Texts, limit: int | None = None) -> dict[str, float]:
    """The measures of about `limit` texts, or of all."""
    part = _spread(part, limit)
    return metrics.classification(label_tables.probabilities(logits(model, part.rows)), part.labels, model.ordered)


def examine(run: Any, part: Texts) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of a part: measures and each label's F1 with 95 % intervals, who is taken for whom."""
    return label_tables.tables(
        label_tables.probabilities(logits(run.model, part.rows)), part.labels, run.codec.labels, run.model.ordered, "texts"
    )


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures: tables of about `limit` validation texts with the floors beside, and labels
    that look wrong."""
    part, names, floors = _spread(data.dev, limit), run.codec.labels, folders.read_config(run.folder)["baselines"]
    found = label_tables.probabilities(logits(run.model, part.rows))
    told = label_tables.tables(found, part.labels, names, run.model.ordered, "texts")
    told["measures"] = tables.beside(told["measures"], "measure", floors)
    told["labels"] = tables.beside(
        told["labels"], "label", {f"{name}, f1": floor.get("f1_of", {}) for name, floor in floors.items()}
    )
    with open(folder / "dev.jsonl", encoding="utf-8", errors="surrogatepass") as file:
        rows = [json.loads(line) for line in file][:: -(-len(data.dev) // len(part))]
    return {"tables": told, "suspects": data.accounts.get("suspects", []) + label_tables.doubted(rows, part.labels, found, names)}


# --- answering


class Answer(NamedTuple):
    """What is answered to a text; to a blank one nothing."""

    text: str
    label: str | None = None  # the likeliest; of ordered labels the median, which is least far off on average
    probability: float | None = None
    likeliest: str | None = None
    probabilities: dict[str, float] | None = None
    words: list[str] | None = None  # with `evidence`
    evidence: list[float] | None = None  # nats that each word adds to the answer's log-probability
    unknown: list[bool] | None = None  # which words no training text has: they say nothing


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    evidence: bool = option(False, "tell what each word did to the answer")
    column: str | None = option(None, "the text's column in a table given as @file  [the one trained on]")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""

    text: str | None = option(None, "the text's column, by name or number  [the one trained on]")
    label: str | None = option(None, "the label's column, by name or number  [the one trained on]")


def predict(run: Any, texts: Sequence[str], options: Predict) -> list[Answer]:
    """An answer to each text."""
    told = iter(_answers(run, [text for text in texts if text.strip()], options))
    return [next(told) if text.strip() else Answer(text) for text in texts]


def _answers(run: Any, texts: list[str], options: Predict) -> Iterator[Answer]:
    if not texts:
        return
    rows = encode(run.config, run.codec, texts)
    found = label_tables.probabilities(logits(run.model, rows))
    chosen, names = metrics.answers(found, run.model.ordered), run.codec.labels
    for i, (text, probabilities, label) in enumerate(zip(texts, found, chosen, strict=True)):
        by_name = dict(zip(names, probabilities.tolist(), strict=True))
        answer = Answer(text, names[label], float(probabilities[label]), names[probabilities.argmax()], by_name)
        yield _explained(run, answer, rows.ids[rows.bounds[i] : rows.bounds[i + 1]]) if options.evidence else answer


def _explained(run: Any, answer: Answer, ids: np.ndarray) -> Answer:
    evidence = attribution(run.model, ids, run.codec.label(answer.label)).tolist()
    words = run.codec.pieces(_folded(run.config, answer.text))
    return answer._replace(words=words, evidence=evidence, unknown=(ids == UNKNOWN).tolist())


POINTS = (7, 21, 63)  # of the path: the midpoints of so many pieces, those of fewer among those of more
CLOSE = 0.01  # nats within which the evidence is to add up
READ = 1 << 17  # symbols read for that at most, the fewest points apart


def attribution(model: Model, ids: np.ndarray, label: int) -> np.ndarray:
    """What each symbol adds to log p(label), in nats: integrated gradients (Sundararajan, Taly and Yan 2017).

    The path leads from a text of unknown symbols to this one, so that the sum is what the text changes. As many points of it
    are read as the sum needs to come CLOSE to that, or as a long text allows.
    """
    with torch.no_grad():
        vectors = model.embed(torch.from_numpy(ids.astype(np.int64)))  # (T, E)
        nothing = model.embed(torch.full((len(ids),), UNKNOWN))
        ends = model.read(torch.stack((nothing, vectors)), torch.full((2,), len(ids))).log_softmax(-1)[:, label]
    total, read = torch.zeros(len(ids)), set()
    for points in POINTS:
        fresh = [i for i in range(1, 2 * points, 2) if i * (POINTS[-1] // points) not in read]
        read |= {i * (POINTS[-1] // points) for i in fresh}
        total += _slopes(model, nothing, vectors, torch.tensor(fresh) / (2 * points), label)
        found = total / points
        if abs(found.sum() - (ends[1] - ends[0])) <= CLOSE or 3 * points * len(ids) > READ:
            break
    return found.numpy()


def _slopes(model: Model, nothing: Tensor, vectors: Tensor, shares: Tensor, label: int) -> Tensor:
    """How steeply log p(label) rises along the path (T), each symbol's part, summed over the points at these shares of it."""
    total, way = torch.zeros(len(vectors)), vectors - nothing
    for some in shares.split(max(1, 8192 // len(vectors))):
        x = (nothing + some.view(-1, 1, 1) * way).requires_grad_()
        nats = model.read(x, torch.full((len(some),), len(vectors))).log_softmax(-1)[:, label]
        (slope,) = torch.autograd.grad(nats.sum(), x)
        total += (slope * way).sum((0, 2))
    return total


def graph(builder: Builder, run: Any) -> Computes:
    """ids (B, T) and lengths (B) -> logits (B, K)."""
    model, ids, lengths = run.model, builder.ids("ids", ("batch", "time"), run.codec.size), builder.lengths()
    x = builder.embedded(model.embed, ids)
    if model.recurrent is not None:
        x, _ = builder.recurrent(model.recurrent, x, lengths)
    x = builder.pooled(model.pool, x, lengths, model.output.in_features)
    builder.output("logits", builder.linear(model.output, x, float(model.sharpness)), ("batch", len(run.codec.labels)))

    @torch.no_grad()
    def computed(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        batch = Batch(torch.from_numpy(given["ids"]), torch.from_numpy(given["lengths"]), None, None)
        return {"logits": model(batch, None)[0].numpy()}

    return {"": computed}


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graph and codec."""
    return {"lower": run.config.lower, "ordered": run.model.ordered}


def item(run: Any, text: str) -> str:
    """A text typed in; an empty one is a UserError."""
    if not text.strip():
        raise UserError("the text is empty: there is nothing to read")
    return text


def items(run: Any, name: str, options: Predict, spool: Path) -> Iterator[tuple[str, str]]:
    """The texts of a file or of standard input, each after its place: a table's column, or lines, blank ones too."""
    found = table.find([name], spool, options.column or run.config.text, None, run.config.encoding, labelled=False)
    return ((row.where, row.text) for row in table.rows(found, empty="keep"))


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> Texts:
    """Data to evaluate on; a label that the run does not know is a UserError with file:line."""
    options = options or Evaluate()
    columns = options.text or run.config.text, options.label or run.config.label
    found = table.find(names, spool, *columns, run.config.encoding)
    rows = list(table.rows(found))
    return Texts(encode(run.config, run.codec, [row.text for row in rows]), np.array([_label(run.codec, row) for row in rows]))


DIAGNOSED = 32  # texts whose gradients are looked at


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Texts of these files as they are trained on, spread over them."""
    texts = part(run, names, spool)
    rows = spread_rows(len(texts), DIAGNOSED)
    return Batch(*texts.rows.padded(rows), torch.from_numpy(texts.labels[rows].astype(np.int64)), None)


def _label(codec: Codec, row: table.Row) -> int:
    try:
        return codec.label(row.label)
    except UserError as error:
        raise UserError(error.what, row.where, error.fix) from None


def shown(answer: Answer, coloured: bool) -> str:
    """An answer as a person reads it: the label, its probability, then the words that spoke for and against it."""
    if answer.label is None:
        return "(empty)"
    line = f"{answer.label}\t{answer.probability:.3f}"
    if answer.label != answer.likeliest:
        line += f"\tthe median; the likeliest is {answer.likeliest}, {answer.probabilities[answer.likeliest]:.3f}"
    if answer.evidence is None:
        return line
    each = list(zip(answer.words, answer.evidence, answer.unknown, strict=True))
    if coloured:
        return line + "\n  " + " ".join(_painted(*word) for word in each)
    strongest = sorted(each, key=lambda word: -abs(word[1]))[:STRONGEST]
    lines = [f"{nats:+.2f}  {word}{' (unknown)' if unknown else ''}" for word, nats, unknown in strongest]
    if len(each) > STRONGEST:
        strangers = f", {sum(answer.unknown)} of them unknown" if any(answer.unknown) else ""
        lines.append(f"the strongest {STRONGEST} of {len(each):,} words{strangers}; --json has all")
    return "\n  ".join([line, *lines])


STRONGEST = 12  # words listed where there is no colour


def _painted(word: str, nats: float, unknown: bool) -> str:
    """Green speaks for the answer, red against it; the stronger the more. An unknown word is dim and in brackets."""
    if unknown:
        return f"\x1b[2m[{word}]\x1b[0m"
    if abs(nats) < 0.05:
        return word
    shade = min(1.0, abs(nats) / 1.5)
    colour = f"{int(200 * (1 - shade))};160;{int(200 * (1 - shade))}" if nats > 0 else f"200;{int(160 * (1 - shade))};60"
    return f"\x1b[38;2;{colour}m{word}\x1b[0m"


def glimpse(run: Any, seed: int) -> str:
    """What the net makes of two sentences it has surely not seen."""
    texts = ("Completely lacking in good taste, good service, and good ambience.", "A lovely evening, we will come back.")
    return "\n".join(
        f"{shown(answer, False)}\t{text}" for answer, text in zip(predict(run, texts, Predict()), texts, strict=True)
    )


# --- looking

VIEW = decision_page
LOOKED_AT = 5_000  # symbols that fit on a page


def look(run: Any, text: str) -> decision_page.Decision:
    """What each word did to the answer, by its gradient and by hiding it; to say nothing is to be an unknown word."""
    text, model = _folded(run.config, item(run, text)), run.model.eval()
    ids, words = run.codec.encode(text), run.codec.pieces(text)
    if not 1 <= len(ids) <= LOOKED_AT:
        said = f"the text has {len(ids):,} {run.codec.kind}; 1 to {LOOKED_AT:,} can be looked at"
        raise UserError(said, fix="give one text, or a piece of it")
    (answer,) = predict(run, [text], Predict())
    label = run.codec.label(answer.label)

    def score(x: Tensor) -> Tensor:
        return influence.log_odds(model.read(x, torch.full((len(x),), x.shape[1])), label)

    with torch.no_grad():
        x, nothing = model.embed(torch.from_numpy(ids.astype(np.int64))), model.embed(torch.tensor([UNKNOWN]))[0]
    slopes, falls = influence.gradient_times_input(score, x, nothing), influence.occlusion(score, x, nothing, READ)
    agreement, between = influence.agreement(slopes, falls), " " if run.codec.kind in vocab.WORDS else ""
    net = f"{run.config.cell}, {run.config.layers} x {run.config.hidden}, {run.config.direction}, {run.config.pooling} over time"
    return decision_page.Decision(
        words, between, slopes, falls, agreement, (ids == UNKNOWN).tolist(), None, answer.label, answer.probability,
        f"{run.folder}: {net}",
    )  # fmt: skip
