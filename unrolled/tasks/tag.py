"""Reading a sequence and answering at every step (the lecture's many to many): names in text, any marked words.

In:  CoNLL columns (a word and its tag a line, a blank line after each sentence) in BIO, BIOES or IOB1; JSONL with spans.
Out: spans of words with a kind and a probability; of raw text with character offsets.

    word ids (B, T) -> embedding (B, T, E)      spelling (B, T, C) -> convolution, maxima (B, T, 2·S)
    side by side -> recurrent layers, forward or both ways (B, T, D·H) -> emissions (B, T, K)
    -> linear-chain conditional random field over tags in BIOES, which allows no invalid sequence
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import decision_page, fit, future_page, influence, metrics, named, spans, tables, unrolling, word_input
from .. import run as folders
from ..cells import CELLS, State
from ..config import agree, fill, option
from ..crf import CRF, NEVER, by_steps
from ..data import tagged, text, tokens
from ..data.batch import Buckets, Rows, borders, open_map, spread_rows, write
from ..data.vocab import FIRST, UNKNOWN, Codec
from ..errors import UserError
from ..export.builder import Builder, Computes
from ..layers import ONE_HOT, Embedding, OneHot, Pooling, adopt, initialise
from ..named import SCHEME, Answer, Read, spelled
from ..recurrent import Recurrent, drop

MEASURE = "span_error"
MEASURING = fit.Measuring("sentences", probe=64, few=4000, many=1_000_000, warming=0)
TRY = ("predict {run} 'He said, Teddy was a great president!'", "look {run} 'He said, Teddy bears are on sale!'")
LOOKED_AT = 100  # words of a sentence, at most


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the data, the machine's speed and the minutes."""

    data: tuple[str, ...] = option((), "files, folders, or - for standard input")
    column: str | None = option(None, "the tags' column, by number  [the last]")
    scheme: str | None = option(None, "how the tags are written  [found out]", choices=spans.SCHEMES)
    repair: bool = option(False, "read invalid tags as conlleval does, in place of an error")
    minutes: float | None = option(None, "wall time of the whole command; becomes a number of steps", minimum=0.05, maximum=1e7)
    steps: int | None = option(None, "training steps, in place of minutes", minimum=1)
    cell: str = option("lstm", "the recurrent cell", choices=CELLS)
    hidden: int | None = option(None, "units a layer and direction", minimum=1, maximum=100_000)
    layers: int = option(1, "recurrent layers", minimum=1, maximum=1000)
    direction: str = option("both", "read forward only, or both ways", choices=("both", "forward"))
    spelling: int = option(32, "units a direction of the layer that reads a word's letters; 0: none", minimum=0, maximum=10_000)
    letters: str = option("convolution", "how letters are read", choices=("convolution", "recurrent"))
    crf: bool = option(True, "choose tags together (conditional random field), not each by itself")
    lower: bool = option(True, "word vectors make no difference of capitals (spelling does)")
    vocabulary: int = option(30_000, "most words kept; rarer ones are unknown", minimum=1)
    embedding: int | None = option(None, "width of a word's vector", minimum=1, maximum=100_000)
    vectors: str | None = option(None, "begin with these word vectors (an embed run, a file), or `one-hot`: unit vectors")
    tune: bool = option(True, "go on learning the vectors given with --vectors")
    encoding: str = option("utf-8", "encoding of the files")
    dev: tuple[str, ...] = option((), "files to validate on, in place of a part of the data")
    holdout: float = option(0.1, "part of the sentences to validate on, drawn by the seed", minimum=0.001, maximum=0.5)
    dropout: float = option(0.5, "of what the output layer reads, and between layers", minimum=0, maximum=0.95)
    input_dropout: float = option(0.4, "of words' vectors and spelling", minimum=0, maximum=0.95)
    word_dropout: float = option(0.3, "of whole words, read as unknown; their spelling stays", minimum=0, maximum=0.95)
    weight_dropout: float = option(0.0, "of single recurrent weights", minimum=0, maximum=0.95)
    batch: int = option(32, "sentences a step", minimum=1)
    rate: float | None = option(None, "highest learning rate", minimum=1e-7, maximum=10)
    weight_decay: float = option(0.02, "pull of matrices towards zero", minimum=0, maximum=10)
    average: float = option(0.0, "part of the steps that the weights kept are averaged over", minimum=0, maximum=0.5)
    clip: float = option(5.0, "longest gradient", minimum=1e-6)
    evaluations: int = option(15, "how often to validate and save", minimum=1)
    patience: int | None = option(None, "stop after so many evaluations without a better one", minimum=1)
    seed: int = option(1, "of weights, data order and dropout", minimum=0, maximum=2**62)
    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option("float32", "of matrix products", choices=("auto", "float32", "bfloat16"))


@dataclasses.dataclass(frozen=True)
class Sentences:
    """Encoded sentences: words, what they are spelled like, their tags."""

    words: Rows
    spelling: Rows  # bytes + 1; row i is word i of words.ids
    tags: np.ndarray | None  # (N,) one a word

    def __len__(self) -> int:
        return len(self.words.bounds) - 1


class Data(NamedTuple):
    codec: Codec
    train: Sentences
    dev: Sentences
    accounts: dict[str, Any]


class Batch(NamedTuple):
    ids: Tensor  # (B, T)
    spelling: Tensor  # (B, T, C) bytes + 1, 0 behind them
    lengths: Tensor  # (B)
    tags: Tensor | None  # (B, T)


# --- the demo


NAMES = ("Rose", "Mark", "Will", "Frank", "Grace", "Jack", "Teddy", "Bill", "Olive", "Daisy", "Ivy", "Pat")
OPENINGS = ("He said ,", "She wrote that", "They heard", "Today", "Yesterday evening", "I think", "We know")
OF_PERSONS = ("was a great singer !", "is on her way .", "sings tonight .", "has called again .", "was a great president !")
OF_THINGS = ("bears are on sale !", "bushes are all over the place .", "notes arrived too late .", "boxes cost too much .")


def demo(folder: Path) -> list[Path]:
    """Sentences with a word that is a person or a part of a thing, as only what follows tells (the lecture's Teddy bears)."""
    folder.mkdir(parents=True, exist_ok=True)
    path, generator = folder / "names.conll", random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(3000):
            person = generator.random() < 0.5
            before, after = generator.choice(OPENINGS).split(), generator.choice(OF_PERSONS if person else OF_THINGS).split()
            words = [*before, generator.choice(NAMES), *after]
            tags = ["B-person" if person and i == len(before) else "O" for i in range(len(words))]
            file.writelines(f"{word}\t{tag}\n" for word, tag in [*zip(words, tags, strict=True), ("", "")])
    return [path]


# --- reading


def read(config: Config, folder: Path, base: Codec | None = None) -> Data:
    """Encode the user's sentences into files in `folder`; `base` is a codec to extend instead of a new one."""
    folder.mkdir(parents=True, exist_ok=True)
    train = _sentences(config, config.data, folder / "spool")
    if config.dev:
        dev = _sentences(config, config.dev, folder / "spool")
    else:
        train, dev = _split(config, train)
    kinds = sorted({tag[2:] for sentence in train for tag in sentence.tags if tag != "O"})
    _check(config, train, dev, kinds)
    codec = _codec(config, base, train, spans.names(kinds, SCHEME))
    accounts: dict[str, Any] = {"ambiguous": _ambiguous(config, train), "repeated": _repeated(train, dev)}
    for part, sentences in (("train", train), ("dev", dev)):
        accounts[part] = _keep(encode(config, codec, sentences), codec, folder / part)
    return reopen(codec, accounts, folder)


def _sentences(config: Config, names: Sequence[str], spool: Path) -> list[tagged.Sentence]:
    """The sentences of the user's files, their tags in BIOES."""
    files = text.find(names, spool)
    return list(tagged.read(files, config.column, config.encoding, scheme=config.scheme, repair=config.repair))


def _split(config: Config, sentences: list[tagged.Sentence]) -> tuple[list[tagged.Sentence], list[tagged.Sentence]]:
    """Sentences to train on and to validate on, drawn by the seed; equal ones stay together: what is trained on is no test."""
    different = list(dict.fromkeys(tuple(sentence.words) for sentence in sentences))
    order = np.random.default_rng(config.seed).permutation(len(different))
    held = {different[i] for i in order[: round(config.holdout * len(different))]}
    parts: tuple[list[tagged.Sentence], list[tagged.Sentence]] = ([], [])
    for sentence in sentences:
        parts[tuple(sentence.words) in held].append(sentence)
    return parts


def _check(config: Config, train: list[tagged.Sentence], dev: list[tagged.Sentence], kinds: list[str]) -> None:
    where = ", ".join(config.data)
    if not kinds:
        raise UserError("every word has the tag `O`: there is nothing to find", where, "name the tags' column with --column")
    if not dev:
        raise UserError(f"{len(train)} sentences leave none to validate on", where, "give more, --dev or a greater --holdout")
    known = set(kinds)
    for sentence in dev:
        for tag in sentence.tags:
            if tag != "O" and tag[2:] not in known:
                raise UserError(f"the kind `{tag[2:]}` is in no training sentence; known are {', '.join(kinds)}", sentence.where)


def _folded(config: Config, word: str) -> str:
    return word.lower() if config.lower else word


def _codec(config: Config, base: Codec | None, sentences: list[tagged.Sentence], labels: list[str]) -> Codec:
    counts = Counter(_folded(config, word) for sentence in sentences for word in sentence.words)
    words = sorted(word for word, _ in counts.most_common(config.vocabulary))
    if base is not None:
        if set(labels) - set(base.labels):
            new = ", ".join(sorted(set(labels) - set(base.labels)))
            raise UserError(f"the tags {new} are not among those of --from", fix="train without --from")
        return base.extended(words)
    codec = Codec("tokens", words, labels, records=True)
    return word_input.reaching(codec, config.vectors)


def _ambiguous(config: Config, sentences: list[tagged.Sentence]) -> list[str]:
    """Words that are part of a name in at least a tenth of their places, and no name in another tenth."""
    inside: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts[_folded(config, word)] += 1
            inside[_folded(config, word)] += tag != "O"
    return sorted(word for word, n in counts.items() if n >= 10 and 0.1 <= inside[word] / n <= 0.9)


def _repeated(train: list[tagged.Sentence], dev: list[tagged.Sentence]) -> dict[str, int]:
    """How many sentences stand more than once in training, and how many of validation stand in training too."""
    known = {tuple(sentence.words) for sentence in train}
    return {"within": len(train) - len(known), "between": sum(tuple(sentence.words) in known for sentence in dev)}


def encode(config: Config, codec: Codec, sentences: Sequence[tagged.Sentence]) -> Sentences:
    """Sentences as numbers; tags too, where all of them have some."""
    index, labels = codec.index, {name: i for i, name in enumerate(codec.labels)}
    ids = [np.array([index.get(_folded(config, word), UNKNOWN) for word in s.words], np.int32) for s in sentences]
    spelling = [spelled(word) for s in sentences for word in s.words]
    tags = None
    if all(s.tags is not None for s in sentences):
        tags = np.array([labels[tag] for s in sentences for tag in s.tags], np.int32)
    return Sentences(Rows.of(ids), Rows.of(spelling), tags)


def _keep(sentences: Sentences, codec: Codec, path: Path) -> dict[str, Any]:
    words, spelling, tags = sentences.words, sentences.spelling, sentences.tags
    arrays = {
        "words": (codec.dtype, words.ids), "bounds": (np.dtype(np.int64), words.bounds),
        "bytes": (np.dtype(np.uint16), spelling.ids), "borders": (np.dtype(np.int64), spelling.bounds),
        "tags": (np.dtype(np.int32), tags),
    }  # fmt: skip
    return {name: write(path.with_suffix(f".{name}"), dtype, [values]) for name, (dtype, values) in arrays.items()}


def reopen(codec: Codec, accounts: dict[str, Any], folder: Path) -> Data:
    """The Data that `read` wrote to `folder`."""
    parts = {}
    for part in ("train", "dev"):
        opened = {name: open_map(folder / f"{part}.{name}", account) for name, account in accounts[part].items()}
        words, spelling = Rows(opened["words"], opened["bounds"]), Rows(opened["bytes"], opened["borders"])
        parts[part] = Sentences(words, spelling, opened["tags"])
    return Data(codec, parts["train"], parts["dev"], accounts)


# --- the model


class Model(nn.Module):
    """Words' vectors and spelling, recurrent layers, emissions of the tags, a conditional random field."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        self.word_dropout, self.input_dropout, self.dropout = config.word_dropout, config.input_dropout, config.dropout
        self.embed = OneHot(codec.size)
        if config.vectors != ONE_HOT:
            self.embed = Embedding(codec.size - codec.fixed, codec.fixed, config.embedding)
        self.letters = self.speller = None
        if config.spelling:
            self.letters = nn.Embedding(257, 32, padding_idx=0)
            if config.letters == "recurrent":
                self.speller = Recurrent(config.cell, 32, config.spelling, bidirectional=True)
                self.ends = Pooling("last", 2 * config.spelling, both=True)
            else:
                self.speller = nn.Conv1d(32, 2 * config.spelling, 3, padding=1)
        width, both = config.embedding + 2 * config.spelling, config.direction == "both"
        self.recurrent = Recurrent(
            config.cell, width, config.hidden, config.layers, dropout=config.dropout, bidirectional=both, variational=True,
            weight_dropout=config.weight_dropout,
        )  # fmt: skip
        self.output = nn.Linear(config.hidden * (2 if both else 1), len(codec.labels))
        self.field = CRF(*spans.allowed(codec.labels, SCHEME))
        self.together = config.crf
        self.register_buffer("caution", torch.zeros(()))  # taken from the emission of `O` when not training; see calibrate
        self.apply(initialise)
        if self.letters is not None:
            nn.init.zeros_(self.letters.weight[:1])  # nothing stands behind a word, in a batch or alone
        if config.vectors != ONE_HOT:
            nn.init.normal_(self.embed.learned.weight, std=0.3)
            self.embed.requires_grad_(config.vectors is None or config.tune)

    def forward(self, batch: Batch, state: State | None) -> tuple[Tensor, State]:
        """Emissions (B, T, K); there is no state to carry from one sentence to another."""
        x = self.inputs(batch.ids, batch.spelling)
        x, _ = self.recurrent(x, lengths=batch.lengths)
        return self.emissions(drop(x, self.dropout, self.training, variational=True)), ()

    def emissions(self, x: Tensor) -> Tensor:
        """States (…, D·H) -> scores of the tags (…, K), the first of which is `O`."""
        scores = self.output(x)
        return scores if self.training else torch.cat((scores[..., :1] - self.caution, scores[..., 1:]), -1)

    def inputs(self, ids: Tensor, spelling: Tensor) -> Tensor:
        """Word ids (B, T) and bytes (B, T, C) -> vectors (B, T, E + 2·S)."""
        if self.training and self.word_dropout:
            ids = ids.masked_fill(torch.rand(ids.shape, device=ids.device) < self.word_dropout, UNKNOWN)
        x = self.embed(ids)
        if self.speller is not None:
            x = torch.cat((x, self.spell(spelling)), -1)
        return drop(x, self.input_dropout, self.training, variational=False)

    def spell(self, spelling: Tensor) -> Tensor:
        """Bytes (B, T, C) -> what each word's letters look like (B, T, 2·S): a convolution's maxima, or two last states."""
        flat = spelling.flatten(0, 1)
        if isinstance(self.speller, nn.Conv1d):
            h = self.speller(self.letters(flat).transpose(1, 2))
            return h.masked_fill((flat == 0).unsqueeze(1), -torch.inf).amax(-1).tanh().unflatten(0, spelling.shape[:2])
        lengths = (flat > 0).sum(1).clamp(min=1)
        h, _ = self.speller(self.letters(flat), lengths=lengths)
        return self.ends(h, lengths).unflatten(0, spelling.shape[:2])

    def loss(self, emissions: Tensor, batch: Batch) -> Tensor:
        """Mean nats a word."""
        if self.together:
            return self.field(emissions.float(), batch.tags, batch.lengths).sum() / batch.lengths.sum()
        inside = torch.arange(emissions.shape[1], device=emissions.device) < batch.lengths.unsqueeze(1)
        return F.cross_entropy(emissions[inside], batch.tags[inside])

    def start(self, batch: int) -> State:
        """The state before the first word, of a net that reads forward only."""
        return (*self.recurrent.start(batch), *self.field.start_step(batch))

    def step(self, ids: Tensor, spelling: Tensor, state: State) -> tuple[Tensor, State]:
        """One word a row: ids (B), bytes (B, C) -> log-probabilities (B, K) of its tag, given the words so far."""
        size = len(self.recurrent.start(1))
        x, after = self.recurrent.step(self.inputs(ids.unsqueeze(1), spelling.unsqueeze(1)).squeeze(1), state[:size])
        nats, field = self.field.step(self.emissions(x), state[size:])
        return nats, (*after, *field)


# --- choosing


PASSES = 50  # over the sentences at most


def plan(config: Config, data: Data) -> Config:
    """The config with every None chosen."""
    config = config if config.steps else fill(config, minutes=10.0)
    width = word_input.width(config.vectors, config.embedding, data.codec.size) or 100
    return fill(config, hidden=128, embedding=width, rate=5e-3)


def take_vectors(config: Config, codec: Codec, model: Model) -> list[str]:
    """Begin with the vectors of --vectors; says how many of the symbols they cover."""
    begin = partial(adopt, model.embed, FIRST, codec.symbols)
    return word_input.take(config.vectors, config.tune, codec, begin, config.lower)


STRUCTURE = ("cell", "hidden", "layers", "direction", "spelling", "letters", "crf", "lower", "embedding", "vectors")


def inherited(base: Config, given: dict[str, Any]) -> dict[str, Any]:
    """The settings that weights of another run decide; another value asked for is a UserError."""
    return agree(word_input.inherited(base, STRUCTURE), given) | {"rate": base.rate / 4}


def most_steps(config: Config, data: Data) -> int:
    """What --minutes may become: PASSES over the sentences."""
    return PASSES * batches(config, data).steps_per_epoch


def passes(config: Config, data: Data, steps: int) -> str:
    return f"{steps / batches(config, data).steps_per_epoch:.3g} times through the sentences"


class Batches:
    """A step's sentences, padded to the longest of them."""

    def __init__(self, sentences: Sentences, size: int, seed: int):
        self.sentences, self.buckets = sentences, Buckets(sentences.words.lengths, size, seed, most=1 << 14)
        self.steps_per_epoch = self.buckets.steps_per_epoch

    def batch(self, step: int) -> Batch:
        return gather(self.sentences, self.buckets.rows(step))


def gather(sentences: Sentences, rows: np.ndarray) -> Batch:
    """The chosen sentences as a batch."""
    words, spelling, tags = sentences.words, sentences.spelling, sentences.tags
    ids, lengths = words.padded(rows)
    places = _places(words, rows)
    letters, _ = spelling.padded(places)
    inside = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)
    spelt = letters.new_zeros(*ids.shape, letters.shape[1])
    spelt[inside] = letters
    if tags is not None:
        tags = ids.new_zeros(ids.shape).masked_scatter(inside, torch.from_numpy(tags[places].astype(np.int64)))
    return Batch(ids, spelt, lengths, tags)


def _places(words: Rows, rows: np.ndarray) -> np.ndarray:
    """Where the words of the chosen sentences stand."""
    return np.concatenate([np.arange(words.bounds[row], words.bounds[row + 1]) for row in rows])


def batches(config: Config, data: Data) -> Batches:
    return Batches(data.train, config.batch, config.seed)


def settings(config: Config, data: Data) -> fit.Settings:
    """What the loop needs; steps and the evaluations' spacing follow from config.steps."""
    work = len(data.train.words.ids) / batches(config, data).steps_per_epoch
    measure = fit.Measure(MEASURE, "span error", 1.0, "words", work, ("span_f1",))
    return fit.settings_of(config, measure, warmup=200, average=config.average)


def picture(model: Model) -> unrolling.Net:
    """The net over time, for the verb graph."""
    (word,) = unrolling.looked_up(model.embed)
    reads = model.recurrent.cells[0].input_size  # its letters are read too
    rows = ((word._replace(size=reads),), *unrolling.recurrent(model.recurrent), unrolling.dense("output", model.output))
    notes = [f"beside its vector of {word.size}, each word's letters are read: {reads - word.size}"] * (model.letters is not None)
    notes += ["the tags of a sentence are chosen together (conditional random field)"] * model.together
    return unrolling.Net(unrolling.SAME, (unrolling.Part("", "x", rows, "ŷ"),), note="; ".join(notes))


def describe(config: Config, data: Data, model: Model) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    codec, train, dev = data.codec, data.train, data.dev
    counts = Counter(span.kind for found in _gold(codec, train) for span in found)
    repeated = data.accounts["repeated"]
    lines = [
        f"read {len(train):,} sentences of {len(train.words.ids):,} words to train on, {len(dev):,} to validate on",
        "names: " + ", ".join(f"{n:,} {kind}" for kind, n in counts.most_common(20)),
    ]
    if repeated["within"] or repeated["between"]:
        lines.append(
            f"{repeated['within']:,} training sentences stand there more than once; "
            f"{repeated['between']:,} validation sentences are in training too"
        )
    weights = sum(p.numel() for p in model.parameters())
    net = f"{config.cell}, {config.layers} x {config.hidden} units, {config.direction}"
    return [*lines, f"model: {net}; {weights:,} weights, {codec.size:,} words, {len(codec.labels)} tags"]


# --- measuring


def _gold(codec: Codec, sentences: Sentences) -> list[list[spans.Span]]:
    bounds = sentences.words.bounds
    tags = [codec.labels[i] for i in sentences.tags]
    return [spans.spans(tags[begin:end], SCHEME) for begin, end in pairwise(bounds)]


def baselines(config: Config, data: Data) -> dict[str, dict[str, float]]:
    """The floor: a list of training's names, the longest that fits at each place, of the kind it most often has."""
    found, gold = _listed_names(data), _gold(data.codec, data.dev)
    kinds = {name: kind.f1 for name, kind in spans.score(gold, found).kinds.items() if kind.support}
    measures = _measures(data.codec, data.dev, found)
    return {"list of names": measures | {"f1_of": kinds | {"all": measures["span_f1"]}}}


def _listed_names(data: Data) -> list[list[spans.Span]]:
    words, bounds = data.train.words.ids, data.train.words.bounds
    kinds: dict[tuple[int, ...], Counter[str]] = {}
    for begin, found in zip(bounds[:-1], _gold(data.codec, data.train), strict=True):
        for start, end, kind in found:
            kinds.setdefault(tuple(words[begin + start : begin + end].tolist()), Counter())[kind] += 1
    known = {name: counts.most_common(1)[0][0] for name, counts in kinds.items() if UNKNOWN not in name}
    longest, answers = max(map(len, known), default=0), []
    for begin, end in pairwise(data.dev.words.bounds):
        ids, found, at = data.dev.words.ids[begin:end].tolist(), [], 0
        while at < len(ids):
            size = next((n for n in range(min(longest, len(ids) - at), 0, -1) if tuple(ids[at : at + n]) in known), 0)
            if size:
                found.append(spans.Span(at, at + size, known[tuple(ids[at : at + size])]))
            at += max(1, size)
        answers.append(found)
    return answers


def _measures(codec: Codec, part: Sentences, found: list[list[spans.Span]]) -> dict[str, float]:
    micro = spans.score(_gold(codec, part), found)
    return {
        "span_error": 1 - micro.f1, "span_f1": micro.f1, "precision": micro.precision, "recall": micro.recall,
        "spans": micro.support, "sentences": len(part),
    }  # fmt: skip


class Scored(NamedTuple):
    """Sentences of about the same length, and their tags' scores."""

    rows: np.ndarray  # (B,) which of the sentences
    lengths: Tensor  # (B)
    emissions: Tensor  # (B, T, K)


def scored(model: Model, part: Sentences) -> Iterator[Scored]:
    """The emissions of all sentences, those of about the same length together."""
    model.eval()
    device = model.output.weight.device
    order = np.argsort(part.words.lengths, kind="stable")
    for begin, end in borders(part.words.lengths[order], 128, 1 << 14):
        batch = gather(dataclasses.replace(part, tags=None), order[begin:end])
        with torch.no_grad():
            emissions, _ = model(Batch(*(None if x is None else x.to(device) for x in batch)), None)
        yield Scored(order[begin:end], batch.lengths, emissions.float().cpu())


def read_sentences(model: Model, part: Sentences, marginals: bool = False) -> list[Read]:
    """The best tags of all sentences, and with `marginals` how sure each is."""
    found: list[Read | None] = [None] * len(part)
    for rows, lengths, emissions in scored(model, part):
        tags, _ = model.field.best(emissions, lengths)
        shares = model.field.marginals(emissions, lengths) if marginals else None
        for i, row in enumerate(rows):
            found[row] = Read(tags[i, : lengths[i]].numpy(), shares[i, : lengths[i]].numpy() if marginals else None)
    return found


def _names(codec: Codec, read: Read) -> list[spans.Span]:
    return named.found(codec.labels, read)


def _spread(part: Sentences, limit: int | None) -> Sentences:
    """About `limit` sentences, every n-th."""
    if limit is None or limit >= len(part):
        return part
    words, spelling, tags = part.words, part.spelling, part.tags
    chosen = np.arange(0, len(part), -(-len(part) // limit))
    places = _places(words, chosen)
    return Sentences(words.taken(chosen), spelling.taken(places), tags[places])


CAUTIONS = np.arange(-1.0, 4.01, 0.25)


def calibrate(model: Model, codec: Codec, part: Sentences, limit: int) -> None:
    """Choose how much is taken from the scores of `O`, so that F1 on the validation sentences is highest.

    A likelihood is best served by calling rare names no names; F1 is not.
    """
    part = _spread(part, limit)
    model.caution.zero_()
    read, gold, found = list(scored(model, part)), _gold(codec, part), []
    for caution in CAUTIONS:
        answers: list[list[spans.Span]] = [[] for _ in gold]
        for rows, lengths, emissions in read:
            emissions[..., 0] -= caution
            tags, _ = model.field.best(emissions, lengths)
            emissions[..., 0] += caution
            for row, line, length in zip(rows, tags.tolist(), lengths.tolist(), strict=True):
                answers[row] = spans.spans([codec.labels[i] for i in line[:length]], SCHEME)
        found.append(spans.score(gold, answers).f1)
    smooth = np.convolve(np.pad(found, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")  # one lucky value is no reason
    model.caution.fill_(float(CAUTIONS[int(smooth.argmax())]))


def evaluate(model: Model, codec: Codec, part: Sentences, limit: int | None = None) -> dict[str, float]:
    """The measures of about `limit` sentences, or of all."""
    part = _spread(part, limit)
    return _measures(codec, part, [_names(codec, read) for read in read_sentences(model, part)])


def examine(run: Any, part: Sentences) -> dict[str, list[dict[str, Any]]]:
    """Everything that is told of a part: F1 with its 95 % interval, each kind's, unknown words', who is taken for whom."""
    gold, found = _gold(run.codec, part), [_names(run.codec, read) for read in read_sentences(run.model, part)]
    scores = spans.score(gold, found)
    words = [ids.tolist() for ids in np.split(part.words.ids, part.words.bounds[1:-1])]
    unknown = spans.score_some(gold, found, words, lambda word: word == UNKNOWN or word >= run.codec.size - run.codec.fixed)
    of_kind = [(kind, spans.score_kind(gold, found, kind)) for kind in scores.kinds]
    rows = [("all", scores), *of_kind, ("with a word not in training", unknown)]
    kinds = [*scores.kinds, "no name"]
    confusion = zip(kinds, scores.confusion.tolist(), strict=True)
    return {
        "measures": [
            {"measure": "span_f1", "value": scores.f1, "from": scores.low, "to": scores.high},
            {"measure": "macro_f1", "value": scores.macro_f1, "from": None, "to": None},
            *_of_ambiguous(run, part, gold, found),
        ],
        "kinds": [
            {"kind": name, **metrics.figures(s.right, s.predicted, s.support), "from": s.low if s.support else None,
             "to": s.high if s.support else None, "spans": s.support}
            for name, s in rows
        ],
        "confusion": [{"is": kind, **dict(zip(kinds, row, strict=True))} for kind, row in confusion],
    }  # fmt: skip


def _of_ambiguous(run: Any, part: Sentences, gold: list, found: list) -> list[dict[str, Any]]:
    """How often a word that may or may not be part of a name (as training has it) is read rightly."""
    wanted = {run.codec.index[word] for word in folders.read_config(run.folder)["data"]["ambiguous"] if word in run.codec.index}
    right = total = 0
    for begin, end, there, said in zip(part.words.bounds[:-1], part.words.bounds[1:], gold, found, strict=True):
        inside, answered = ({i for span in side for i in range(span.start, span.end)} for side in (there, said))
        places = [i for i, word in enumerate(part.words.ids[begin:end].tolist()) if word in wanted]
        total += len(places)
        right += sum((i in inside) == (i in answered) for i in places)
    if not total:
        return []
    low, high = metrics.wilson(right, total)
    return [{"measure": "ambiguous_words_right", "value": right / total, "from": low, "to": high}]


def details(run: Any, data: Data, folder: Path, limit: int) -> dict[str, Any]:
    """What the report holds beside the measures: tables of about `limit` validation sentences, with the floor beside."""
    told, floors = examine(run, _spread(data.dev, limit)), folders.read_config(run.folder)["baselines"]
    told["measures"] = tables.beside(told["measures"], "measure", floors)
    told["kinds"] = tables.beside(
        told["kinds"], "kind", {f"{name}, f1": floor.get("f1_of", {}) for name, floor in floors.items()}
    )
    return {"tables": told}


def part(run: Any, names: Sequence[str], spool: Path, options: Evaluate | None = None) -> Sentences:
    """Data to evaluate on; a tag that the run does not know is a UserError with file:line."""
    chosen = {name: value for name, value in dataclasses.asdict(options or Evaluate()).items() if value is not None}
    sentences = _sentences(dataclasses.replace(run.config, **chosen), names, spool)
    for sentence in sentences:
        for tag in sentence.tags:
            if tag not in run.codec.labels:
                known = ", ".join(sorted({label[2:] for label in run.codec.labels if label != "O"}))
                raise UserError(f"the kind `{tag[2:]}` is in no training sentence; known are {known}", sentence.where)
    return encode(run.config, run.codec, sentences)


DIAGNOSED = 32  # sentences whose gradients are looked at


def training_batch(run: Any, names: Sequence[str], spool: Path) -> Batch:
    """Sentences of these files as they are trained on, spread over them."""
    sentences = part(run, names, spool)
    return gather(sentences, spread_rows(len(sentences), DIAGNOSED))


# --- answering


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options of answering."""

    stream: bool = option(False, "answer each word before the next is read (runs trained with --direction forward)")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Options of evaluating."""

    column: str | None = option(None, "the tags' column, by number  [the one trained on]")
    scheme: str | None = option(None, "how the tags are written  [as trained, or found out]", choices=spans.SCHEMES)


def predict(run: Any, texts: Sequence[str | tagged.Given], options: Predict) -> list[Answer]:
    """The names in each text, read sentence by sentence."""
    cut = [tagged.of_text(given) if isinstance(given, str) else given for given in texts]
    sentences = [tagged.Sentence([token.text for token in words], None, "") for _, found in cut for words in found]
    if not sentences:
        return [Answer(line, [], [], [], []) for line, _ in cut]
    part = encode(run.config, run.codec, sentences)
    read = iter(_streamed(run, part) if options.stream else read_sentences(run.model, part, marginals=True))
    return [named.answer(run.codec.labels, line, [(words, next(read)) for words in found]) for line, found in cut]


def _streamed(run: Any, part: Sentences) -> list[Read]:
    """As read_sentences, a word at a time through `step`: no word knows what follows."""
    if run.config.direction == "both":
        raise UserError("`--stream` needs a net that reads forward only", fix="train with --direction forward")
    found = []
    with torch.no_grad():
        for row in range(len(part)):
            batch, state, nats = gather(part, np.array([row])), run.model.start(1), []
            for t in range(int(batch.lengths[0])):
                now, state = run.model.step(batch.ids[:, t], batch.spelling[:, t], state)
                nats.append(now[0].numpy())
            shares = np.exp(np.stack(nats))
            found.append(Read(shares.argmax(1), shares))
    return found


def graph(builder: Builder, run: Any) -> Computes:
    """ids (B, T), spelling (B, T, C), lengths (B) -> emissions (B, T, K); and the field's scores, which are constants."""
    model, K = run.model, len(run.codec.labels)
    ids, lengths = builder.ids("ids", ("batch", "time"), run.codec.size), builder.lengths()
    x = builder.embedded(model.embed, ids)
    if model.speller is not None:
        x = builder.add("Concat", [x, _spelled_graph(builder, model)], {"axis": -1})
    x, _ = builder.recurrent(model.recurrent, x, lengths)
    caution = np.zeros(K, np.float32)
    caution[0] = float(model.caution)
    emissions = builder.add("Sub", [builder.linear(model.output, x), builder.weight("caution", caution)])
    builder.output("emissions", emissions, ("batch", "time", K))
    scores = dict(zip(("start", "follows", "end"), model.field.scores(), strict=True))
    for name, values in scores.items():
        builder.output(name, builder.weight(name, values), tuple(values.shape))

    @torch.no_grad()
    def computed(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        words, spelling, ends = (torch.from_numpy(given.get(name, NOTHING)) for name in ("ids", "spelling", "lengths"))
        found, _ = model(Batch(words, spelling, ends, None), None)
        return {"emissions": found.numpy(), **{name: values.detach().numpy() for name, values in scores.items()}}

    return {"": computed}


NOTHING = np.zeros((1, 1, 1), np.int64)  # in place of a spelling that is not read


def _spelled_graph(builder: Builder, model: Model) -> str:
    """Model.spell: bytes (B, T, C) -> (B, T, 2·S)."""
    spelling = builder.ids("spelling", ("batch", "time", "letters"), 257)
    flat = builder.reshape(spelling, builder.numbers(-1), builder.size(spelling, 2))  # (B·T, C)
    letters = builder.embedded(model.letters, flat)
    written = builder.add("Greater", [flat, builder.number(0)])
    if isinstance(model.speller, nn.Conv1d):
        weights = builder.weight("W", model.speller.weight), builder.weight("b", model.speller.bias)
        h = builder.add("Conv", [builder.turned(letters, 0, 2, 1), *weights], {"kernel_shape": [3], "pads": [1, 1]})
        h = builder.masked(h, builder.add("Unsqueeze", [written, builder.numbers(1)]), -np.inf)
        h = builder.add("Tanh", [builder.add("ReduceMax", [h], {"axes": [2], "keepdims": 0})])
    else:
        number = builder.add("ReduceSum", [builder.add("Cast", [written], {"to": 7}), builder.numbers(1)], {"keepdims": 0})
        lengths = builder.add("Max", [number, builder.number(1)])
        h, _ = builder.recurrent(model.speller, letters, lengths)
        h = builder.pooled(model.ends, h, lengths, 2 * model.ends.forward_width)
    width = builder.numbers(-1)
    return builder.reshape(h, builder.size(spelling, 0), builder.size(spelling, 1), width)


def exported(run: Any) -> dict[str, Any]:
    """What a runtime needs beside graph and codec."""
    return {"lower": run.config.lower, "spelling": run.model.speller is not None, "scheme": SCHEME}


def item(run: Any, typed: str) -> str:
    """A text typed in; an empty one is a UserError."""
    if not typed.strip():
        raise UserError("the text is empty: there is nothing to read")
    return typed


def items(run: Any, name: str, options: Predict, spool: Path) -> Iterator[tuple[str, tagged.Given]]:
    """What a file or standard input holds, each after its place: sentences of columns, JSON lines or prose; of standard
    input prose a line each."""
    for path in text.find([name], spool):
        yield from tagged.items(path, run.config.encoding, a_line_each=name == "-")


COLOURS = (31, 32, 34, 35, 36, 33)  # of a terminal: red, green, blue, magenta, cyan, yellow


def shown(answer: Answer, coloured: bool) -> str:
    """An answer as a person reads it: the text with its names in colour, or words and tags in two lines, aligned."""
    if not answer.words:
        return "(empty)"
    if not coloured:
        widths = [max(len(word), len(tag)) for word, tag in zip(answer.words, answer.tags, strict=True)]
        lines = (answer.words, [tag if tag != "O" else "" for tag in answer.tags])
        return "\n".join(" ".join(cell.ljust(n) for cell, n in zip(line, widths, strict=True)).rstrip() for line in lines)
    painted, at, kinds = "", 0, sorted({name.label for name in answer.names})
    for name in answer.names:
        colour = COLOURS[kinds.index(name.label) % len(COLOURS)]
        painted += f"{answer.text[at : name.start]}\x1b[1;{colour}m{name.text}\x1b[0m\x1b[2m[{name.label}]\x1b[0m"
        at = name.end
    return painted + answer.text[at:]


def glimpse(run: Any, seed: int) -> str:
    """Nearly the lecture's two sentences."""
    texts = ("He said, Teddy was a great president!", "He said, Teddy bears are on sale!")
    return "\n".join(shown(answer, False) for answer in predict(run, texts, Predict()))


# --- looking

VIEW = future_page


@dataclasses.dataclass(frozen=True)
class Look:
    """Options of looking inside."""

    word: int | None = option(None, "the word, from 1 on, whose tag is explained  [the least certain]")


def look(run: Any, line: str, options: Look | None = None) -> future_page.Belief:
    """What the net believes of each word of a sentence after one word, after two, … after all; and read from it on."""
    word = (options or Look()).word
    words = [token.text for token in tokens.tokenise(line)]
    if not words:
        raise UserError("the text is empty: there is nothing to read")
    if len(words) > LOOKED_AT:
        raise UserError(f"the sentence has {len(words)} words; at most {LOOKED_AT} fit on a page", fix="give one sentence")
    size = len(words)
    if word is not None and not 1 <= word <= size:
        raise UserError(f"`--word {word}` is none of the sentence's {size} words", fix=f"1 to {size}: `{words[0]}` is 1")
    cut = [words[:t] for t in range(1, size + 1)] + [words[t:] for t in range(size)]
    part = encode(run.config, run.codec, [tagged.Sentence(some, None, "") for some in cut])
    kinds = sorted({label[2:] for label in run.codec.labels if label != "O"})
    of_kind = np.array([[label[2:] == kind for kind in kinds] for label in run.codec.labels], float)  # (K, kinds)
    read = read_sentences(run.model, part, marginals=True)
    found = [one.marginals @ of_kind for one in read]
    shares = np.zeros((size, size, len(kinds)))
    for t in range(size):
        shares[t, : t + 1] = found[t]
    backward = np.stack([of_words[0] for of_words in found[size:]])
    config = run.config
    way = "both ways" if config.direction == "both" else "forward only"
    note = f"{run.folder}: {config.cell}, {config.layers} x {config.hidden}, {way}"
    whole = read[size - 1]
    asked = int(whole.marginals[np.arange(size), whole.tags].argmin()) if word is None else word - 1
    return future_page.Belief(words, kinds, shares, backward, note, _decision(run, words, whole, asked, note))


def _decision(run: Any, words: list[str], read: Read, asked: int, note: str) -> decision_page.Decision:
    """What each word, its letters too, did to the tag of one; nothing is an unknown word whose letters say nothing."""
    model, tags = run.model.eval(), torch.from_numpy(read.tags.astype(np.int64))
    batch = gather(encode(run.config, run.codec, [tagged.Sentence(words, None, "")]), np.array([0]))

    def score(x: Tensor) -> Tensor:
        states, _ = model.recurrent(x, lengths=torch.full((len(x),), x.shape[1]))
        return log_odds(model.field, model.emissions(states), tags, asked)

    with torch.no_grad():
        x, unknown = model.inputs(batch.ids, batch.spelling)[0], model.embed(torch.tensor([UNKNOWN]))[0]
    nothing = F.pad(unknown, (0, x.shape[1] - len(unknown)))
    slopes = influence.gradient_times_input(score, x, nothing)
    falls = influence.occlusion(score, x, nothing, LOOKED_AT**2)
    tag, p = run.codec.labels[read.tags[asked]], float(read.marginals[asked, read.tags[asked]])
    agreement, strange = influence.agreement(slopes, falls), (batch.ids[0] == UNKNOWN).tolist()
    answer = "no name" if tag == "O" else f"{tag[2:]} ({PLACES[tag[0]]})"
    return decision_page.Decision(words, " ", slopes, falls, agreement, strange, asked, answer, p, note)


PLACES = {"B": "its first word", "I": "inside", "E": "its last word", "S": "a name of one word"}


def log_odds(field: CRF, emissions: Tensor, tags: Tensor, at: int) -> Tensor:
    """ln p / (1 - p) of each row of emissions (N, T, K), (N,), float64: p = p(y_at = tags[at]), the tags a legal path (T,).

    ln p is ln Z of the paths with that tag there, less ln Z of all.
    """
    rows, lengths = tags.expand(len(emissions), -1), torch.full((len(emissions),), len(tags))
    others = torch.zeros(emissions.shape[1:], dtype=torch.bool)
    others[at] = torch.arange(emissions.shape[2]) != tags[at]
    every, pinned = (by_steps(e, rows, lengths, *field.scores(NEVER)) for e in (emissions, emissions.masked_fill(others, NEVER)))
    log_p = (pinned - every).clamp(max=-1e-15)
    return log_p - torch.log(-torch.expm1(log_p))
