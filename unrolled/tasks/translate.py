"""Reading a sentence and writing it in another language (the lecture's many to many): encoder, decoder, attention.

In:  two files of sentences, line by line, or a table with a source and a target column.
Out: the translations that the net finds likeliest, and where it looked for every word.

    source ids (B, S) -> embedding -> recurrent layers, forward or both ways -> memory m (B, S, H)
    target so far (B, T) -> embedding -> recurrent layers, begun with the encoder's last state -> h (B, T, H)
    context c_t = attention over m -> tanh(W [c_t; h_t]) -> logits of the next symbol (B, T, V)
    --attention none leaves the context out: all that is known of the source is the encoder's last state
"""

from __future__ import annotations

import calendar
import dataclasses
import datetime
import json
import math
import random
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import alignment, attention, attention_page, fit, glossary, overlap, tables, translator, unrolling, word_input
from .. import run as folders
from ..attention import Attention
from ..cells import CELLS, State
from ..config import agree, fill, option
from ..data import pairs, vocab
from ..data.batch import Buckets, Rows, borders, open_map, spread_rows, write
from ..data.segments import Segments, dropout, sampling
from ..data.vocab import END, FIRST, UNKNOWN, Codec
from ..decode import Beam, Hypothesis, Sampling, groups_of
from ..errors import UserError
from ..export.builder import Builder, Computes
from ..kernels.output import cross_entropy
from ..layers import begin_with, initialise
from ..recurrent import Recurrent, drop
from ..runtime.translate import Answer, Translation
from ..translator import Translator

MEASURE = "bleu_missing"
MEASURING = fit.Measuring("sentences", probe=64, few=300, many=1_000_000, warming=0, untrained=3.0)
TRY = ("predict {run} 'Sunday, 9 November 2003'", "look {run} 'Sunday, 9 November 2003'")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "two files of sentences line by line, a table, or - for standard input")
    source: str | None = option(None, "a table's column to translate from, by name or number")
    target: str | None = option(None, "a table's column to translate to, by name or number")
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option("gru", "the recurrent cell", choices=CELLS)
    hidden: int | None = option(None, "units a layer and direction", minimum=1, maximum=100_000)
    layers: int = option(1, "recurrent layers of the encoder, and of the decoder", minimum=1, maximum=1000)
    direction: str = option("both", "the encoder reads forward only, or both ways", choices=("both", "forward"))
    attention: str = option("dot", "how the decoder looks at the source", choices=("none", *attention.KINDS))
    feed: bool = option(False, "the decoder also reads what it last made of the context (input feeding); slower")
    coverage: bool = option(False, "attention knows what it has looked at before; slower")
    symbols: str = option("bpe", "what a symbol is", choices=vocab.KINDS)
    vocabulary: int | None = option(None, "most symbols kept, of both languages together", minimum=1)
    apart: bool = option(False, "each language has symbols of its own")
    bpe_dropout: float = option(0.0, "of merges, anew in each pass: words are cut in other ways", minimum=0, maximum=0.9)
    unigram_alpha: float | None = option(None, "cuts are drawn by probabilities to this power (unigram)", minimum=0, maximum=10)
    embedding: int | None = option(None, "width of a symbol's vector", minimum=1, maximum=100_000)
    tied: bool = option(True, "source, target and output share their vectors")
    longest: int | None = option(None, "longer sentences are left out of training  [100 words, or 500 characters]", minimum=1)
    encoding: str = option("utf-8", "encoding of the text files")
    stretch: float | None = option(
        None, "symbols written at most for each one read, beyond twenty  [from the data]", minimum=0.1, maximum=1000
    )
    dev: tuple[str, ...] = option(
        (), "sentences to validate on, in place of a part of the data; given as the data are, and after them"
    )
    holdout: float = option(0.02, "part of the pairs to validate on, drawn by the seed", minimum=0.0001, maximum=0.5)
    smoothing: float = option(0.1, "of the labels: this much is spread over all symbols", minimum=0, maximum=0.9)
    dropout: float | None = option(
        None, "of vectors, and of what the output layer reads; none for few passes through the pairs", minimum=0, maximum=0.95
    )
    word_dropout: float = option(0.0, "of whole symbols, read as unknown", minimum=0, maximum=0.95)
    weight_dropout: float = option(0.0, "of single recurrent weights", minimum=0, maximum=0.95)
    batch: int | None = option(None, "pairs a step", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.0, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.02, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(1.0, "longest gradient", minimum=1e-6)
    own: float = option(0.0, "how often, in the end, the decoder reads its own symbol, not the right one", minimum=0, maximum=1)
    vectors: str | None = option(None, "begin with the vectors of this run of embed, or file")
    evaluations: int = option(10, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and dropout", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("auto", "of matrix products", choices=("auto", "float32", "bfloat16"))


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Encoded pairs; texts only of those to validate on."""

    source: Rows
    target: Rows
    texts: list[tuple[str, str]]
    blank: int = 0  # pairs with an empty side that were left out

    def __len__(self) -> int:
        return len(self.source.lengths)


class Data(NamedTuple):
    codec: Codec
    train: Sentences
    dev: Sentences
    accounts: dict[str, Any]
    folder: Path  # train.jsonl and dev.jsonl hold the texts


class Batch(NamedTuple):
    source: Tensor  # (B, S)
    source_lengths: Tensor  # (B)
    target: Tensor  # (B, T) `end`, then the symbols
    target_lengths: Tensor  # (B)
    following: Tensor  # (B, T) the symbols, then `end`
    own: Tensor | None = None  # (B) how often the decoder reads its own symbol


LATEST = 73_000  # days after 1900 began: the demo's dates


def demo(folder: Path) -> list[Path]:
    """Dates as people write them, and as ISO 8601 does: it is easy to see where the net has to look."""
    folder.mkdir(parents=True, exist_ok=True)
    path, generator = folder / "dates.tsv", random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        file.write("source\ttarget\n")
        file.writelines("\t".join(_date(generator)) + "\n" for _ in range(12_000))
    return [path]


def _date(generator: random.Random) -> tuple[str, str]:
    day = datetime.date(1900, 1, 1) + datetime.timedelta(generator.randrange(LATEST))
    month, week, d, m, y = calendar.month_name[day.month], calendar.day_name[day.weekday()], day.day, day.month, day.year
    ordinal = f"{d}{'th' if 10 < d < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(d % 10, 'th')}"
    ways = (
        f"{d} {month} {y}", f"{month} {d}, {y}", f"{week}, {d} {month} {y}", f"{d}.{m}.{y}", f"{y:04}/{m:02}/{d:02}",
        f"{d} {month[:3]} {y}", f"{month[:3]} {ordinal}, {y}", f"the {ordinal} of {month} {y}",
        f"{week}, {month} {ordinal} {y}", f"{month} the {ordinal}, {y}",
    )  # fmt: skip
    text = generator.choice(ways)
    return text.lower() if generator.random() < 0.2 else text, day.isoformat()


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Encode the user's pairs into files in `folder`; `base` is a codec to extend instead of a new one."""
    _refuse_idle(config)
    folder.mkdir(parents=True, exist_ok=True)
    found = pairs.find(config.data, folder / "spool", config.source, config.target, config.encoding)
    pairs.refuse_columns_of_lines(found, config.source, config.target)
    longest, length = (100, pairs.words) if config.symbols in ("words", *vocab.PIECES) else (500, len)
    kept = pairs.check(pairs.pairs(found), config.longest or longest, length)
    train, given = _split(config, kept.pairs, folder)
    dev = [pair for pair in given if pair.source.strip() and pair.target.strip()]
    _refuse_few(config, train, dev)
    pairs.refuse_swapped(kept.counts, dev)
    codec = _codec(config, base, train)
    shared = pairs.shared(train, dev)
    accounts: dict[str, Any] = {
        "source": found.source, "target": found.target, "shared": shared._asdict(),
        "said": [*filter(None, [found.said]), *pairs.told(kept), *_told_of_dev(len(given) - len(dev), shared)],
    }  # fmt: skip
    if base is not None and codec.size > base.size:
        accounts["said"].append(f"{codec.size - base.size:,} symbols are new; --vocabulary says how many there may be")
    for part, some in (("train", train), ("dev", dev)):
        accounts[part] = _encode(config, codec, some, folder / part)
    return reopen(codec, accounts, folder)


def _told_of_dev(blank: int, shared: pairs.Shared) -> list[str]:
    """Lines on what is wrong with the pairs to validate on."""
    lines = [f"{blank:,} pairs to validate on left out, a side empty"] if blank else []
    if shared.pairs:
        lines.append(f"{shared.pairs:,} pairs to validate on are trained on too: measures will be too good")
    return lines


def _refuse_few(config: Config, train: list[pairs.Pair], dev: list[pairs.Pair]) -> None:
    if len(train) < 2 or not dev:
        said = f"{len(train) + len(dev):,} pairs are too few to train on and to validate on"
        raise UserError(said, ", ".join(config.data), "give more pairs, or --dev")


def _refuse_idle(config: Config) -> None:
    """A UserError for settings that would do nothing."""
    idle = {
        "--bpe-dropout": (config.bpe_dropout > 0 and config.symbols != "bpe", "--symbols bpe"),
        "--unigram-alpha": (config.unigram_alpha is not None and config.symbols != "unigram", "--symbols unigram"),
        "--coverage": (config.coverage and config.attention == "none", "--attention dot, general or additive"),
    }
    for flag, (does_nothing, needed) in idle.items():
        if does_nothing:
            raise UserError(f"`{flag}` does nothing here: it needs {needed}", fix=f"{needed}, or leave {flag} out")


def _split(config: Config, found: list[pairs.Pair], folder: Path) -> tuple[list[pairs.Pair], list[pairs.Pair]]:
    """Pairs to train on and pairs to validate on: those of --dev, else a part of the sources, drawn by the seed."""
    if config.dev:
        beside = pairs.find(config.dev, folder / "spool", config.source, config.target, config.encoding)
        dev, train = list(pairs.pairs(beside)), found
    else:
        sources = list(dict.fromkeys(pair.source for pair in found))
        size = max(1, round(config.holdout * len(sources)))
        held = {sources[i] for i in np.random.default_rng(config.seed).permutation(len(sources))[:size]}
        train, dev = ([pair for pair in found if (pair.source in held) == inside] for inside in (False, True))
    return train, dev


def _codec(config: Config, base: Codec | None, train: list[pairs.Pair]) -> Codec:
    """Of both languages together; with --apart the target's, and the source's beside it."""
    sources, targets = [pair.source for pair in train], [pair.target for pair in train]
    if base is not None and base.beside is not None:
        return _extended(config, base, targets).with_beside(_extended(config, base.beside, sources))
    if base is not None:
        return _extended(config, base, sources + targets)
    learn = partial(vocab.learn, config.symbols, maximum=config.vocabulary or _vocabulary(config, len(train)), records=True)
    return learn(targets).with_beside(learn(sources)) if config.apart else learn(sources + targets)


def _extended(config: Config, base: Codec, texts: list[str]) -> Codec:
    learnt = () if base.kind in vocab.COMPLETE else vocab.learn(base.kind, texts, config.vocabulary or 30_000).symbols
    return base.extended(learnt)


def _vocabulary(config: Config, size: int) -> int:
    """More pairs bear more symbols: 29,000 pairs of image captions 4,000 pieces."""
    return 30_000 if config.symbols not in vocab.PIECES else int(np.clip(size // 7, 1_000, 16_000))


def encode(codec: Codec, texts: Sequence[str]) -> Rows:
    """Sentences as ids; one that has no symbol at all is one unknown symbol."""
    nothing = np.array([UNKNOWN], np.int32)
    ids = [codec.encode(text) for text in texts]
    return Rows.of([i if len(i) else nothing for i in ids])


def _encode(config: Config, codec: Codec, some: list[pairs.Pair], path: Path) -> dict[str, Any]:
    with open(path.with_suffix(".jsonl"), "w", encoding="utf-8", errors="surrogatepass") as file:
        file.writelines(json.dumps([pair.source, pair.target]) + "\n" for pair in some)
    accounts = {}
    for side, theirs in (("source", codec.source), ("target", codec)):
        rows = encode(theirs, [getattr(pair, side) for pair in some])
        accounts[f"{side}_ids"] = write(path.with_suffix(f".{side}_ids"), codec.dtype, [rows.ids])
        accounts[f"{side}_bounds"] = write(path.with_suffix(f".{side}_bounds"), np.dtype(np.int64), [rows.bounds])
    return accounts


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    parts = {}
    for part in ("train", "dev"):
        opened = {name: open_map(folder / f"{part}.{name}", account) for name, account in accounts[part].items()}
        sides = (Rows(opened[f"{side}_ids"], opened[f"{side}_bounds"]) for side in ("source", "target"))
        parts[part] = Sentences(*sides, texts_of(folder, part) if part == "dev" else [])
    return Data(codec, parts["train"], parts["dev"], accounts, folder)


def texts_of(folder: Path, part: str) -> list[tuple[str, str]]:
    """The pairs that `read` kept, as texts."""
    with open(folder / f"{part}.jsonl", encoding="utf-8", errors="surrogatepass") as file:
        return [tuple(json.loads(line)) for line in file]


# --- the model


class Model(nn.Module):
    """Encoder and decoder."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        V, E, H, both = codec.size, config.embedding, config.hidden, config.direction == "both"
        self.smoothing, self.word_dropout = config.smoothing, config.word_dropout
        self.dropout = config.dropout or 0.0  # None: not settled
        self.stretch = config.stretch or 2.0
        self.embed = nn.Embedding(codec.source.size, E)
        self.embed_target = self.embed if config.tied and codec.source is codec else nn.Embedding(V, E)
        recurrent = partial(
            Recurrent, config.cell, hidden_size=H, num_layers=config.layers, dropout=self.dropout,
            weight_dropout=config.weight_dropout, variational=True,
        )  # fmt: skip
        self.encoder = recurrent(input_size=E, bidirectional=both)
        self.memory = nn.Linear(2 * H if both else H, H)
        self.decoder = recurrent(input_size=E + E * config.feed)
        states = self.decoder.cells[0].states * config.layers
        self.bridge = nn.ModuleList(nn.Linear(2 * H if both else H, H) for _ in range(states))
        self.attention = None if config.attention == "none" else Attention(config.attention, H, config.coverage)
        self.combine = nn.Linear(H if self.attention is None else 2 * H, E)
        self.output = nn.Linear(E, V)
        self.apply(initialise)
        for table in (self.embed, self.embed_target):
            nn.init.normal_(table.weight, std=0.1)
        if config.tied:
            self.output.weight = self.embed_target.weight
        self.feed, self.steps_alone = config.feed, config.feed or config.coverage

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, State]:
        """ids (B, S) -> the memory (B, S, H), and the decoder's first state."""
        x = drop(self.embed(source), self.dropout, self.training, variational=False)
        hidden, last = self.encoder(x, lengths=lengths)
        return self.memory(hidden), self.first_state(last)

    def first_state(self, last: State) -> State:
        """The decoder's state before its first symbol, from the encoder's after its last one, both directions'."""
        D, S = self.encoder.directions, self.encoder.cells[0].states
        found = []
        for i, bridge in enumerate(self.bridge):
            layer, which = divmod(i, S)
            values = bridge(torch.cat(last[which::S][layer * D : layer * D + D], -1))
            found.append(values if which else values.tanh())
        return tuple(found)

    def forward(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """What the output layer sees (N, E) of all N steps, rows one after the other; nothing is carried from pair to pair."""
        features, _ = self.read(batch)
        return drop(features[inside(batch.target_lengths)], self.dropout, self.training, variational=False), ()

    def read(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """What the output layer sees at each step, (B, T, E), and the attention's weights (B, T, S)."""
        memory, state = self.encode(self._dropped(batch.source), batch.source_lengths)
        target = self._dropped(batch.target)
        if batch.own is not None and self.training:
            target = self._with_own(target, batch, memory, state)
        return self._written(target, batch, memory, state)

    def _written(self, target: Tensor, batch: Batch, memory: Tensor, state: State) -> tuple[Tensor, Tensor | None]:
        x = drop(self.embed_target(target), self.dropout, self.training, variational=False)
        keys = memory if self.attention is None else self.attention.keys(memory)
        if self.steps_alone:
            return self._step_by_step(x, state, memory, keys, batch.source_lengths)
        hidden, _ = self.decoder(x, state, lengths=batch.target_lengths)
        return self.combined(hidden, memory, keys, batch.source_lengths, None)

    @torch.no_grad()
    def _with_own(self, target: Tensor, batch: Batch, memory: Tensor, state: State) -> Tensor:
        """Symbols to read, some of them those the net itself writes after the right ones: all steps at once, not one by one
        (scheduled sampling, Bengio et al. 2015, in two passes as Mihaylova and Martins 2019)."""
        features, _ = self._written(target, batch, memory, state)
        own = self.output(features).argmax(-1)[:, :-1]
        chosen = torch.rand(own.shape, device=own.device) < batch.own.unsqueeze(1)
        return torch.cat((target[:, :1], torch.where(chosen, own, target[:, 1:])), 1)

    def combined(
        self, hidden: Tensor, memory: Tensor, keys: Tensor, lengths: Tensor, covered: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """tanh(W [c_t; h_t]) (B, T, E), and α (B, T, S)."""
        if self.attention is None:
            return self.combine(hidden).tanh(), None
        context, weights = self.attention(hidden, memory, keys, lengths, covered)
        return self.combine(torch.cat((context, hidden), -1)).tanh(), weights

    def _step_by_step(
        self, x: Tensor, state: State, memory: Tensor, keys: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Each step reads what the last one made of its context (Luong et al. 2015), or where all before it looked."""
        fed, covered = x.new_zeros(len(x), 1, self.combine.out_features), x.new_zeros(len(x), 1, memory.shape[1])
        features, weights = [], []
        for t in range(x.shape[1]):
            read = torch.cat((x[:, t], fed[:, 0].to(x.dtype)), -1) if self.feed else x[:, t]
            top, state = self.decoder.step(read, state)
            fed, alpha = self.combined(top.unsqueeze(1), memory, keys, lengths, covered)
            features.append(fed)
            if alpha is not None:
                weights.append(alpha)
                covered = covered + alpha
        return torch.cat(features, 1), torch.cat(weights, 1) if weights else None

    def _dropped(self, ids: Tensor) -> Tensor:
        if not self.training or not self.word_dropout:
            return ids
        return ids.masked_fill((torch.rand(ids.shape, device=ids.device) < self.word_dropout) & (ids != END), UNKNOWN)

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        """Mean nats a symbol, against labels of which `smoothing` is spread over all symbols (Szegedy et al. 2016)."""
        following = batch.following[inside(batch.target_lengths)]
        return output_loss(features, self.output, following, self.smoothing if self.training else 0.0)


def output_loss(features: Tensor, output: nn.Linear, targets: Tensor, smoothing: float) -> Tensor:
    """cross_entropy of output(features), by the kernel for it where there is one."""
    if features.device.type == "cpu" and output.weight.dtype == torch.float32:
        return cross_entropy(features, output.weight, output.bias, targets, smoothing)
    return F.cross_entropy(output(features).float(), targets, label_smoothing=smoothing)


def inside(lengths: Tensor) -> Tensor:
    """(B, T) True where a row has a symbol."""
    return torch.arange(int(lengths.max()), device=lengths.device) < lengths.unsqueeze(1)


# --- choosing


def plan(config: Config, data: Data) -> Config:
    """The config with sizes chosen, as measured on image captions: few passes want many small steps."""
    accounts = data.accounts
    config = dataclasses.replace(config, source=accounts["source"], target=accounts["target"])
    config = config if config.steps else fill(config, minutes=10.0)
    width = word_input.width(config.vectors, config.embedding, data.codec.size)
    through = config.minutes * 60 * PACE / (len(data.train.target.ids) + len(data.train)) if config.minutes else 0
    config = fill(config, hidden=256, batch=64 if through > 16 else 32)
    rate = _rate(config.hidden, through or config.steps * 32 / len(data.train))
    sizes = {"embedding": width or 256, "vocabulary": data.codec.size, "rate": rate, "stretch": _stretch(data.train)}
    return fill(config, **sizes)


def _rate(hidden: int, through: float) -> float:
    """High for few passes through the pairs, where every step has to teach much; lower, and steadier, for more."""
    return 8e-3 * min(1.0, 256 / hidden) * min(1.0, (1.5 / through) ** 0.65)


def _stretch(pairs: Sentences) -> float:
    """Symbols of a target beyond twenty for each of its source's, a fifth more than nearly all pairs have."""
    found = np.maximum(pairs.target.lengths - 20, 0) / pairs.source.lengths
    return round(max(2.0, 1.2 * float(np.quantile(found, 0.99))), 2)


PACE = 3000  # target symbols a second: what minutes are taken for until the speed is measured


def settle(config: Config, data: Data) -> Config:
    """The config with its dropout: pairs that are seen once or twice are not learnt by heart, and it would only slow."""
    through = config.steps * config.batch / len(data.train)
    return fill(config, dropout=round(float(np.clip(0.1 * np.log2(through / 2), 0, 0.35)), 2))


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """Begin the symbols that --vectors knows with its vectors, which are trained on."""
    both = {id(table): (table, theirs) for table, theirs in ((model.embed, codec.source), (model.embed_target, codec))}
    lines = []
    for table, theirs in both.values():
        symbols = [theirs.text(i).strip() for i in range(FIRST, theirs.size)]
        lines += word_input.take(config.vectors, True, theirs, partial(begin_with, table, FIRST, symbols))
    return lines


@torch.no_grad()
def prime(model: Model, data: Data) -> None:
    """The output's bias begins as the logarithm of how often each symbol stands in the targets: a net that knows nothing else
    says that, and of few steps none goes into learning it."""
    counts = torch.from_numpy(np.bincount(data.train.target.ids, minlength=data.codec.size)) + 0.5
    counts[END] = len(data.train)
    model.output.bias.copy_((counts / counts.sum()).log())


STRUCTURE = (
    "cell", "hidden", "layers", "direction", "attention", "feed", "coverage", "symbols", "apart", "embedding", "tied",
)  # fmt: skip


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights taken from another run decide; another value asked for is a UserError."""
    return agree({name: getattr(base, name) for name in STRUCTURE}, given) | {"rate": base.rate / 4}


PASSES = 200  # over the pairs at most


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become."""
    return PASSES * batches(config, data).steps_per_epoch


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps / batches(config, data).steps_per_epoch:.3g} times through the pairs"


class Batches:
    """A step's pairs, of about the same length."""

    def __init__(self, config: Config, data: Data):
        self.config, self.data, pairs = config, data, data.train
        self.own = config.own / config.steps if config.steps else 0.0
        lengths = pairs.source.lengths, pairs.target.lengths
        self.buckets = Buckets(lengths[1], config.batch, config.seed, most=config.batch * 50, within=lengths[0])
        self.steps_per_epoch = self.buckets.steps_per_epoch
        self.kept: tuple[int, Sentences] | None = None  # an epoch's pairs, cut in a way of its own

    def batch(self, step: int) -> Batch:
        rows = self.buckets.rows(step)
        batch = batch_of(self._pairs(step // self.steps_per_epoch), rows)
        return batch._replace(own=torch.full((len(rows),), self.own * step)) if self.own else batch

    def _pairs(self, epoch: int) -> Sentences:
        if self.config.bpe_dropout == 0 and self.config.unigram_alpha is None:
            return self.data.train
        if self.kept is None or self.kept[0] != epoch:
            self.kept = epoch, Sentences(*(side.version(epoch) for side in self._segments), [])
        return self.kept[1]

    @cached_property
    def _segments(self) -> list[Segments]:
        """Of the sources and of the targets."""
        config, codec = self.config, self.data.codec
        cut, much = (dropout, config.bpe_dropout) if config.unigram_alpha is None else (sampling, config.unigram_alpha)
        sources, targets = zip(*texts_of(self.data.folder, "train"), strict=True)
        return [cut(codec.source, sources, much, 2 * config.seed), cut(codec, targets, much, 2 * config.seed + 1)]


def batch_of(pairs: Sentences, rows: np.ndarray) -> Batch:
    """The chosen pairs, padded."""
    source, source_lengths = pairs.source.padded(rows)
    target, lengths = pairs.target.padded(rows)
    end = torch.full((len(rows), 1), END)
    following = torch.cat((target, torch.zeros_like(end)), 1)
    following[torch.arange(len(rows)), lengths] = END
    return Batch(source, source_lengths, torch.cat((end, target), 1), lengths + 1, following)


def batches(config: Config, data: Data) -> Batches:
    return Batches(config, data)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    work = (len(data.train.target.ids) + len(data.train)) / batches(config, data).steps_per_epoch
    measure = fit.Measure(MEASURE, "", 1.0, "target symbols", work, ("bleu", "nats_per_symbol"))
    return fit.settings_of(config, measure, warmup=200, average=config.average)


def picture(model: Model) -> unrolling.Net:
    """The net over time, for the verb graph."""
    reader, looks = (unrolling.looked_up(model.embed), *unrolling.recurrent(model.encoder)), None
    if model.attention is not None:
        reader = (*reader, unrolling.dense("memory", model.memory))
        looks = unrolling.attended(model.attention, model.memory.out_features)
    (word,) = unrolling.looked_up(model.embed_target)
    writer = (
        (word._replace(size=model.decoder.cells[0].input_size),), *unrolling.recurrent(model.decoder),
        unrolling.dense("combine", model.combine), unrolling.dense("softmax", model.output),
    )  # fmt: skip
    note = "beside its last symbol, the writer reads what it last combined (input feeding)" * model.feed
    first = "first state" + ", of both directions" * (model.encoder.directions == 2)
    parts = unrolling.Part("reader", "x", reader), unrolling.Part("writer", "y", writer, "ŷ", fed_back=True)
    return unrolling.Net(unrolling.OTHER, parts, first, looks, note)


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    train = data.train
    middle = " and ".join(f"{np.median(side.lengths):.0f}" for side in (train.source, train.target))
    weights = sum(p.numel() for p in model.parameters())
    looks = "no attention" if config.attention == "none" else f"{config.attention} attention"
    return [
        *data.accounts["said"],
        f"read {len(train):,} pairs to train on, {len(data.dev):,} to validate on; {middle} {data.codec.kind} in the middle one",
        f"model: {config.cell}, {config.layers} x {config.hidden} units, {config.direction}, {looks}; {weights:,} weights, "
        f"{data.codec.size:,} symbols",
    ]


# --- measuring


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """The floor: the source as it stands."""
    sources, references = zip(*data.dev.texts, strict=True)
    copied = overlap.scores(sources, references)
    return {"copy of the source": {"bleu": copied.bleu, "chrf": copied.chrf, "ter": copied.ter}}


def calibrate(model: Model, codec: Codec, part: Sentences, limit: int) -> None:
    """Nothing is fitted on validation pairs."""


def _spread(part: Sentences, limit: int | None) -> Sentences:
    """`limit` pairs, always the same ones. (Every n-th may be longer or shorter than the others.)"""
    if limit is None or limit >= len(part):
        return part
    chosen = np.sort(np.random.default_rng(0).permutation(len(part))[:limit])
    return Sentences(part.source.taken(chosen), part.target.taken(chosen), [part.texts[i] for i in chosen])


def forced(model: Model, part: Sentences) -> np.ndarray:
    """Nats (N,) of each pair's target, its end included."""
    model.eval()
    lengths = part.source.lengths + part.target.lengths
    order, found = np.argsort(lengths, kind="stable"), np.zeros(len(part))
    with torch.no_grad():
        for begin, end in borders(lengths[order], 64, 1 << 13):
            rows = order[begin:end]
            batch = _beside(model, batch_of(part, rows))
            places = inside(batch.target_lengths)
            logits = model.output(model(batch, None)[0]).float()
            nats = F.cross_entropy(logits, batch.following[places], reduction="none").double()
            found[rows] = places.new_zeros(places.shape, dtype=torch.float64).masked_scatter(places, nats).sum(1).cpu()
    return found


def _beside(model: Model, batch: Batch) -> Batch:
    """The batch where the model is."""
    return Batch(*(value if value is None else value.to(model.output.weight.device) for value in batch))


def per_symbol(model: Model, part: Sentences) -> float:
    """Nats a target symbol, ends included."""
    return float(forced(model, part).sum()) / (len(part.target.ids) + len(part))


def evaluate(model: Model, codec: Codec, part: Sentences, limit: int | None = None) -> dict[str, float]:
    """The measures of about `limit` pairs, or of all."""
    part = _spread(part, limit)
    texts = _best_texts(model, codec, part, Predict())
    references = [target for _, target in part.texts]
    found = overlap.scores(texts, references)
    return {
        "bleu": found.bleu, "chrf": found.chrf, "ter": found.ter, "brevity_penalty": found.brevity_penalty,
        "exact": overlap.exact(texts, references), "nats_per_symbol": per_symbol(model, part), "sentences": len(part),
        MEASURE: 100 - found.bleu,
    }  # fmt: skip


def watch(model: Model, codec: Codec, part: Sentences, limit: int | None = None) -> dict[str, float]:
    """BLEU of a narrow search, and nats. (Of the likeliest symbol each time it goes up and down while a net is young.)"""
    part = _spread(part, limit)
    texts = _best_texts(model, codec, part, Predict(beam=3, threshold=2.0))
    bleu = float(overlap.bleu(overlap.statistics(texts, [target for _, target in part.texts]).sum(0)))
    return {MEASURE: 100 - bleu, "bleu": bleu, "nats_per_symbol": per_symbol(model, part), "sentences": len(part)}


def _best_texts(model: Model, codec: Codec, part: Sentences, options: Predict) -> list[str]:
    answers = translate(model, codec, part.source, options)
    return [written(model, codec, text, found[0]) for (text, _), found in zip(part.texts, answers, strict=True)]


# --- answering


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    beam: int = option(5, "hypotheses kept a sentence; 1 takes the likeliest symbol each time", minimum=1, maximum=1000)
    best: int = option(1, "translations shown a sentence", minimum=1, maximum=1000)
    length_power: float = option(1.1, "0 compares whole log-probabilities, 1 their mean a symbol", minimum=0, maximum=2)
    coverage_penalty: float = option(0.0, "how much it costs to leave a part of the source unread", minimum=0, maximum=10)
    patience: float | None = option(1.0, "the search is over when so many beams have ended", minimum=0.01)
    threshold: float | None = option(3.0, "hypotheses so many nats below the likeliest are given up", minimum=0)
    no_repeat: int | None = option(None, "no run of so many symbols stands twice in an answer", minimum=1)
    diversity: float | None = option(
        None, "answers that differ: nats that a beam pays for a symbol that another has at its step", minimum=0.01, maximum=100
    )
    groups: int | None = option(None, "beams that pay each other nothing are together in one of these  [each alone]", minimum=1)
    require: tuple[str, ...] = option((), "words that every answer must hold")
    glossary: str | None = option(None, "a table of words and how they must be translated where they stand in the source")
    temperature: float | None = option(None, "draw answers with this, in place of a search", minimum=0.01, maximum=100)
    top_p: float | None = option(None, "draw among the likeliest symbols of this much probability", minimum=0.01, maximum=1)
    seed: int = option(1, "of what is drawn", minimum=0, maximum=2**62)
    beside: tuple[str, ...] = option((), "other runs with the same symbols, that vote too")
    column: str | None = option(None, "the source's column in a table given as @file  [the one trained on]")


def predict(run: Any, texts: Sequence[str], options: Predict) -> list[Answer]:
    """The best translations of each sentence; an empty one's is empty."""
    if options.best > options.beam and options.temperature is None:
        raise UserError(f"`--best {options.best}` is more than `--beam {options.beam}` keeps", fix=f"--beam {options.best}")
    if options.top_p is not None and options.temperature is None:
        raise UserError("`--top-p` is of drawing, and a search does not draw", fix="--temperature 1 with it")
    _refuse_beside_drawing(options)
    asked = bool(options.require) or options.glossary is not None
    if asked and options.temperature is not None:
        raise UserError("`--temperature` draws; words are required of a search", fix="leave out --require and --glossary")
    if asked and options.diversity is not None:
        raise UserError("`--diversity` does not go with words that are required", fix="leave out --require and --glossary")
    some = [i for i, text in enumerate(texts) if text.strip()]
    answers = [Answer("", []) for _ in texts]
    given = [texts[i] for i in some]
    required = glossary.required(run.codec, given, options.require, options.glossary) if asked else None
    found = translate(run.model, run.codec, encode(run.codec.source, given), options, required)
    for i, hypotheses in zip(some, found, strict=True):
        best = [Translation(written(run.model, run.codec, texts[i], h), h.score, h.nats) for h in hypotheses[: options.best]]
        answers[i] = Answer(best[0].text, best)
    return answers


SEARCHING = ("beam", "length_power", "coverage_penalty", "patience", "threshold", "no_repeat", "diversity", "groups")


def _refuse_beside_drawing(options: Predict) -> None:
    """A UserError for a setting of the search where answers are drawn."""
    for name in SEARCHING if options.temperature is not None else ():
        if getattr(options, name) != getattr(Predict(), name):
            flag = "--" + name.replace("_", "-")
            raise UserError(f"`{flag}` is of searching, and `--temperature` draws", fix="leave out one of them")


def translate(
    model: nn.Module, codec: Codec, source: Rows, options: Predict, required: list[list[list[int]]] | None = None
) -> list[list[Hypothesis]]:
    """The best hypotheses of each sentence."""
    models = voters(model)
    nets, banned = [Translator(one) for one in models], [] if copies(models[0], codec) else [UNKNOWN]
    if options.temperature is not None:
        sampling = Sampling(options.temperature, top_p=options.top_p)
        return translator.sample(nets, source, sampling, options.best, options.seed, banned)
    groups = groups_of(options.beam, options.groups, options.diversity)
    beam = Beam(
        options.beam, options.length_power, options.no_repeat, options.patience, options.threshold,
        groups, options.diversity or 0.0,
    )  # fmt: skip
    return translator.search(nets, source, beam, banned, required, options.coverage_penalty)


def others(options: Any) -> tuple[str, Sequence[str]]:
    """The task and the folders of the runs that options name."""
    return "translate", getattr(options, "beside", ())


def together(run: Any, others: Sequence[Any]) -> Any:
    """The run with other runs' models beside its own; a UserError where symbols differ."""
    for other in others:
        if other.codec.to_json() != run.codec.to_json():
            raise UserError(f"`{other.folder}` has other symbols than `{run.folder}`: they cannot vote on one", fix=SAME_SYMBOLS)
    return run._replace(model=nn.ModuleList([run.model, *(other.model for other in others)]))


SAME_SYMBOLS = "train runs on the same data with several --seed"


def voters(model: nn.Module) -> list[Model]:
    """A model, or those that `together` put side by side."""
    return list(model) if isinstance(model, nn.ModuleList) else [model]


def copies(model: Model, codec: Codec) -> bool:
    """Whether an unknown symbol may be written: the source's, where the net looked, then stands in its place."""
    return codec.kind in ("words", "characters") and model.attention is not None


def written(model: nn.Module, codec: Codec, text: str, hypothesis: Hypothesis) -> str:
    """A hypothesis as text, with symbols of the source in the place of unknown ones (Luong et al. 2015)."""
    ids = [i for i in hypothesis.ids if i != END]
    if UNKNOWN not in ids:
        return codec.decode(ids).strip()
    weights, pieces = looked(voters(model)[0], codec.source.encode(text), ids), codec.source.pieces(text)
    parts = [pieces[weights[t].argmax()] if i == UNKNOWN else codec.text(i) for t, i in enumerate(ids)]
    return ("" if codec.kind == "characters" else " ").join(parts).strip()


def looked(model: Model, source: np.ndarray, target: Sequence[int]) -> np.ndarray:
    """The attention's weights (T + 1, S) as the net writes `target` and its end."""
    one = Sentences(Rows.of([source]), Rows.of([np.asarray(target, np.int64)]), [])
    with torch.no_grad():
        weights = model.eval().read(_beside(model, batch_of(one, np.array([0]))))[1][0]
    return weights[: len(target) + 1].float().cpu().numpy()  # of an empty target there is a step of padding


VIEW = attention_page
LOOKED_AT = 200  # symbols of a sentence, at most


def look(run: Any, text: str) -> attention_page.Looked:
    """Where the net looks as it writes its best translation of a sentence."""
    model, codec, config = run.model, run.codec, run.config
    if model.attention is None:
        fix = "train one with --attention dot, general or additive"
        raise UserError(f"`{run.folder}` was trained with `--attention none`: it looks nowhere", fix=fix)
    text = text.rstrip("\n")  # of a file
    if not text.strip():
        raise UserError("the text is empty: there is nothing to translate")
    ids, pieces = codec.source.encode(text), codec.source.pieces(text)
    if len(ids) > LOOKED_AT:
        raise UserError(f"the sentence has {len(ids)} symbols; at most {LOOKED_AT} fit on a page", fix="give one sentence")
    best = translate(model, codec, Rows.of([ids]), Predict())[0][0]
    target = [i for i in best.ids if i != END]
    weights = looked(model, ids, target)
    parts = [pieces[weights[t].argmax()] if i == UNKNOWN else codec.text(i) for t, i in enumerate([*target, END])]
    source, parts = alignment.symbols(codec.source, pieces), alignment.symbols(codec, parts)
    words = alignment.words(codec.source, ids, source), alignment.words(codec, [*target, END], parts)
    note = f"{run.folder}: {config.cell}, {config.attention} attention; score {best.score:.3f}"
    return attention_page.Looked(source, [*parts[:-1], attention_page.END], weights, note, *words)


def graph(builder: Builder, run: Any) -> Computes:
    """Two graphs: ids (B, T), lengths (B) -> memory and keys (B, T, H), the decoder's first states; and beside it a step."""
    model, H = run.model, run.config.hidden
    ids, lengths = builder.ids("ids", ("batch", "time"), run.codec.source.size), builder.lengths()
    hidden, last = builder.recurrent(model.encoder, builder.embedded(model.embed, ids), lengths)
    memory = builder.linear(model.memory, hidden)
    if model.attention is not None:
        builder.output("memory", memory, ("batch", "time", H))
    if model.attention is not None and model.attention.key is not None:
        builder.output("keys", builder.linear(model.attention.key, memory), ("batch", "time", H))
    D, S = model.encoder.directions, model.encoder.cells[0].states
    for i, bridge in enumerate(model.bridge):
        layer, which = divmod(i, S)
        first = builder.linear(bridge, builder.add("Concat", last[which::S][layer * D : layer * D + D], {"axis": -1}))
        builder.output(f"first_state_{i}", first if which else builder.add("Tanh", [first]), ("batch", H))
    _step_graph(builder.beside("step"), model)
    return {"": partial(_encoded, model), "step": partial(_stepped, model)}


def _step_graph(builder: Builder, model: Model) -> None:
    """ids (B) and what one step takes from the last -> logits (B, V), the same for the next, where it looked (B, S)."""
    (V, E), H = model.output.weight.shape, model.decoder.hidden_size
    x, attention = builder.embedded(model.embed_target, builder.ids("ids", ("batch",), V)), model.attention
    states = builder.states(model.decoder)
    if model.feed:
        x = builder.add("Concat", [x, builder.real("fed", ("batch", E))], {"axis": -1})
    top, after = builder.recurrent(model.decoder, builder.add("Unsqueeze", [x, builder.numbers(1)]), None, states)
    features = builder.add("Squeeze", [top, builder.numbers(1)])
    if attention is not None:
        lengths, memory = builder.lengths(), builder.real("memory", ("batch", "time", H))
        keys = memory if attention.key is None else builder.real("keys", ("batch", "time", H))
        covered = None if attention.past is None else builder.real("covered", ("batch", "time"))
        context, weights = builder.attended(attention, features, memory, keys, lengths, covered)
        features = builder.add("Concat", [context, features], {"axis": -1})
        builder.output("weights", weights, ("batch", "time"))
        if covered is not None:
            builder.output("after_covered", builder.add("Add", [covered, weights]), ("batch", "time"))
    features = builder.add("Tanh", [builder.linear(model.combine, features)])
    builder.output("logits", builder.linear(model.output, features), ("batch", V))
    if model.feed:
        builder.output("after_fed", features, ("batch", E))
    for i, state in enumerate(after):
        builder.output(f"after_state_{i}", state, ("batch", H))


@torch.no_grad()
def _encoded(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the encoder's outputs have to be."""
    memory, first = model.encode(torch.from_numpy(given["ids"]), torch.from_numpy(given["lengths"]))
    found = {f"first_state_{i}": state for i, state in enumerate(first)}
    if model.attention is not None:
        found["memory"] = memory
    if model.attention is not None and model.attention.key is not None:
        found["keys"] = model.attention.keys(memory)
    return {name: value.numpy() for name, value in found.items()}


@torch.no_grad()
def _stepped(model: Model, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a step's outputs have to be."""
    read = {name: torch.from_numpy(value) for name, value in given.items()}
    x = model.embed_target(read["ids"])
    x = torch.cat((x, read["fed"]), -1) if model.feed else x
    top, after = model.decoder.step(x, tuple(read[f"state_{i}"] for i in range(len(model.bridge))))
    memory, covered = read.get("memory"), read.get("covered")
    past = None if covered is None else covered.unsqueeze(1)
    features, weights = model.combined(top.unsqueeze(1), memory, read.get("keys", memory), read.get("lengths"), past)
    found = {"logits": model.output(features[:, 0]), **{f"after_state_{i}": state for i, state in enumerate(after)}}
    found |= {"weights": weights[:, 0]} if weights is not None else {}
    found |= {"after_covered": covered + weights[:, 0]} if covered is not None else {}
    found |= {"after_fed": features[:, 0]} if model.feed else {}
    return {name: value.numpy() for name, value in found.items()}


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graph and codec."""
    return {"stretch": run.model.stretch, "copies": copies(run.model, run.codec)}


def item(run: Any, text: str) -> str:
    """A sentence typed in."""
    return text


def items(run: Any, name: str, options: Predict, spool: Path) -> Iterator[str]:
    """The sentences of a file or of standard input: lines, or a table's column."""
    rows = pairs.sources(name, spool, options.column or run.config.source, run.config.encoding, options.column is not None)
    return ((row.where, row.text) for row in rows)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""

    source: str | None = option(None, "a table's column to translate from, by name or number  [the one trained on]")
    target: str | None = option(None, "a table's column to translate to, by name or number  [the one trained on]")


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> Sentences:
    """Pairs to evaluate on."""
    options = options or Evaluate()
    columns = options.source or run.config.source, options.target or run.config.target
    read = [(pair.source, pair.target) for pair in pairs.pairs(pairs.find(names, spool, *columns, run.config.encoding))]
    texts = [pair for pair in read if pair[0].strip() and pair[1].strip()]
    if not texts:
        raise UserError("there is no pair of sentences to evaluate on", ", ".join(names))
    _refuse_swapped(run, texts, names)
    return dataclasses.replace(_sentences(run.codec, texts), blank=len(read) - len(texts))


DIAGNOSED = 32  # pairs whose gradients are looked at


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Pairs of these files as they are trained on, spread over them."""
    pairs = part(run, names, spool)
    return batch_of(pairs, spread_rows(len(pairs), DIAGNOSED))


def _sentences(codec: Codec, texts: list[tuple[str, str]]) -> Sentences:
    sides = zip((codec.source, codec), zip(*texts, strict=True), strict=True)
    return Sentences(*(encode(theirs, side) for theirs, side in sides), texts)


ASKED = 64  # pairs that show which side is the source


def _refuse_swapped(run: Any, texts: list[tuple[str, str]], names: Sequence[str]) -> None:
    """A UserError where the net finds most sources likelier as translations of their translations."""
    some = [pair for pair in texts if pair[0] != pair[1]][:ASKED]
    if not some:
        return
    orders = [_sentences(run.codec, order) for order in (some, [(target, source) for source, target in some])]
    given, swapped = (forced(run.model, part) / (part.target.lengths + 1) for part in orders)
    changed = int((swapped < given).sum())
    if changed * 4 > len(some) * 3 and changed >= 4:
        raise UserError(
            f"sources and translations have changed places, says the net of {changed} of the first {len(some)} pairs",
            ", ".join(names), "name the files in the other order; of a table, give the columns the names of those trained on",
        )  # fmt: skip


def examine(run: Any, part: Sentences) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of a part: measures with their protocol, length against score, examples."""
    sources, references = zip(*part.texts, strict=True)
    texts = [answer.text for answer in predict(run, sources, Predict())]
    found, (low, high) = overlap.scores(texts, references), overlap.interval(texts, references, run.config.seed)
    protocols = found.signatures
    rows = [
        ("bleu", found.bleu, low, high, protocols["bleu"]),
        ("chrf", found.chrf, None, None, protocols["chrf"]),
        ("ter", found.ter, None, None, protocols["ter"]),
        ("length_ratio", found.length_ratio, None, None, "words written to words of the references"),
        ("exact", overlap.exact(texts, references), None, None, "share of sentences that are the reference, letter for letter"),
        ("nats_per_symbol", per_symbol(run.model, part), None, None, "of the references, ends included"),
        ("sentences", len(part), None, None, f"{part.blank} more with an empty side are left out" if part.blank else ""),
    ]
    return {
        "measures": [dict(zip(("measure", "value", "from", "to", "protocol"), row, strict=True)) for row in rows],
        "lengths": overlap.by_length(part.source.lengths, texts, references),
        "examples": overlap.examples(sources, texts, references),
    }


@dataclasses.dataclass(frozen=True)
class Score:
    """Options of scoring."""


class Scored(NamedTuple):
    texts: list[str]  # each pair, a tab between
    nats: np.ndarray  # of each target, its end included
    measures: dict[str, float]
    protocol: str


def read_to_score(run: Any, names: list[str], spool: Path) -> tuple[Sentences]:
    """Pairs whose targets are to be scored."""
    return (part(run, names, spool),)


def score(run: Any, part: Sentences, options: Score) -> Scored:
    """How surprised the net is by translations of others."""
    nats, symbols = forced(run.model, part), len(part.target.ids) + len(part)
    measures = {"nats_per_symbol": float(nats.sum()) / symbols, "nats_per_pair": float(nats.mean()), "symbols": symbols}
    measures |= {"pairs": len(part), "perplexity": math.exp(measures["nats_per_symbol"])}
    return Scored(
        ["\t".join(pair) for pair in part.texts], nats, measures, "every target symbol once, after its source and those before it"
    )


def compared(runs: Sequence[Any], part: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Each run against the first: BLEU on the same pairs, and the paired bootstrap of the difference."""
    sources, references = zip(*part, strict=True)
    written = [[answer.text for answer in predict(run, sources, Predict())] for run in runs]
    rows = []
    for run, texts in zip(runs, written, strict=True):
        more = overlap.compare(written[0], texts, references, runs[0].config.seed)
        rows.append({"run": str(run.folder), "bleu": overlap.scores(texts, references).bleu, **more._asdict()})
    return rows


COUNTED = 2000  # training pairs that the dictionary is counted from


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures: tables, pages of where the net looked, and the floor of words put for words."""
    told, floors = examine(run, _spread(data.dev, limit)), folders.read_config(run.folder)["baselines"]
    if run.model.attention is not None:
        floors["word by word"] = _word_by_word(run, data, limit)
        for row in told["examples"]:
            if row["source"].strip() and len(run.codec.source.encode(row["source"])) <= LOOKED_AT:
                path = run.folder / "samples" / f"{row['which'].replace(' ', '-')}.html"
                folders.write_bytes(path, attention_page.page(look(run, row["source"])))
    told["measures"] = tables.beside(told["measures"], "measure", floors)
    return {"tables": told, "baselines": floors}


def _word_by_word(run: Any, data: Data, limit: int) -> dict[str, float]:
    """How far it gets to write, for each word, the one that most often stood for it where the net looked."""
    train = _spread(Sentences(data.train.source, data.train.target, texts_of(data.folder, "train")), COUNTED)
    dictionary = alignment.Dictionary.counted(_aligned(run, train))
    sources, references = zip(*_spread(data.dev, limit).texts, strict=True)
    found = overlap.scores([dictionary.translate(text) for text in sources], references)
    return {"bleu": found.bleu, "chrf": found.chrf, "ter": found.ter}


def _aligned(run: Any, part: Sentences) -> Iterator[alignment.Aligned]:
    """The words of pairs, as the net aligns them when it is made to write the right ones."""
    codec, order = run.codec, np.argsort(part.source.lengths + part.target.lengths, kind="stable")
    with torch.no_grad():
        for rows in np.array_split(order, -(-len(order) // 64)):
            weights = run.model.eval().read(_beside(run.model, batch_of(part, rows)))[1].float().cpu().numpy()
            for row, alpha in zip(rows, weights, strict=True):
                sides = []
                for theirs, side, text in zip((codec.source, codec), (part.source, part.target), part.texts[row], strict=True):
                    ids = side.ids[side.bounds[row] : side.bounds[row + 1]]
                    sides.append(alignment.words(theirs, ids, alignment.symbols(theirs, theirs.pieces(text))))
                yield alignment.align(alpha[: len(sides[1].of), : len(sides[0].of)], *sides, least=0.1)


def shown(answer: Answer, coloured: bool) -> str:
    """An answer as a person reads it: the translation; of several, each with its score."""
    if len(answer.best) < 2:
        return answer.text
    return "\n".join(f"{one.score:.3f}\t{one.text}" for one in answer.best)


def glimpse(run: Any, seed: int) -> str:
    """A validation sentence and what becomes of it."""
    if (run.folder / "tokens" / "dev.jsonl").exists():
        texts = texts_of(run.folder / "tokens", "dev")
        source = texts[seed % len(texts)][0]
    else:
        source = folders.read_json(run.folder / "report.json")["tables"]["examples"][-1]["source"]
    return f"{source} → {predict(run, [source], Predict())[0].text}"
