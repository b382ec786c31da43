"""Words as vectors: word2vec (skip-gram, cbow) and GloVe, learned from your text.

In:  text files, folders, standard input, compressed or not; or one column of a JSONL, CSV or TSV table. A line is a sentence.
Out: a vector for every word that is frequent enough: `unrolled vectors` finds neighbours, solves analogies, draws the map.

    word2vec  p(t|c) = softmax(θ_tᵀ e_c): a word predicts those around it; by negatives, along a tree, or exact
    glove     Σ_ij f(X_ij) (θ_iᵀ e_j + b_i + b'_j - ln X_ij)², X_ij how often j stands near i
"""

from __future__ import annotations

import dataclasses
import shutil
import sysconfig
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import config as options
from .. import glove, hogwild, word2vec
from .. import run as folders
from ..config import option
from ..data import cluster, cooccurrences, corpus, text
from ..data.batch import open_map
from ..data.vocab import Codec
from ..errors import UserError
from ..progress import Progress
from ..vectors import Vectors

MEASURE = "nats_per_pair"
TRY = ("vectors nearest {run} import", "vectors map {run}")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the task; None is chosen from the method and the text."""

    data: tuple[str, ...] = option((), "files, folders, or - for standard input")
    dimensions: int | None = option(None, "numbers a vector has, 128 or those of --from: the one dial", minimum=1, maximum=10_000)
    method: str = option("word2vec", "how vectors are learned", choices=("word2vec", "glove"))
    epochs: int | None = option(None, "passes over the text (over the co-occurrences)", minimum=1, maximum=10_000)
    min_count: int = option(5, "words seen fewer times are left out", minimum=1)
    vocabulary: int = option(1_000_000, "most words kept, the most frequent", minimum=2)
    window: int | None = option(None, "words to each side that count as near", minimum=1, maximum=1000)
    architecture: str = option("skip-gram", "word2vec: each near word predicts, or their mean", choices=("skip-gram", "cbow"))
    output: str = option("negatives", "word2vec: how the softmax is computed", choices=tuple(word2vec.OUTPUTS))
    negatives: int = option(5, "word2vec: wrong words a right one is told from", minimum=1, maximum=1000)
    sample: float = option(1e-3, "word2vec: words with more of the text than this are thinned; 0 reads all", minimum=0, maximum=1)
    rate: float | None = option(None, "learning rate at the start", minimum=1e-7, maximum=10)
    lower: bool = option(False, "read capitals as small letters")
    split: str = option("words", "words: letters, digits, ' or - inside; blanks: what stands between", choices=corpus.SPLITS)
    phrases: int = option(0, "passes that join words into phrases (new_york)", minimum=0, maximum=10)
    phrase_score: float = option(100.0, "how much more often than by chance a phrase's words stand together", minimum=0)
    subwords: bool = option(False, "word2vec: words share the vectors of their n-grams, and words never seen get vectors")
    shortest: int = option(3, "characters of the shortest n-gram", minimum=1, maximum=100)
    longest: int = option(6, "characters of the longest n-gram", minimum=1, maximum=100)
    buckets: int = option(200_000, "rows that n-grams share", minimum=1)
    x_max: float = option(10.0, "glove: co-occurrences above this all weigh 1", minimum=1e-6)
    power: float = option(0.75, "glove: weight (X / x-max) to this power below", minimum=0, maximum=10)
    memory: float = option(0.25, "glove: gigabytes for counting; what is more goes to disk", minimum=0.01)
    keep_context: bool = option(False, "keep θ beside e")
    cluster: str | None = option(None, "count with Ray: `local`, or the address of a cluster that sees the files")
    column: str | None = option(None, "the text column of a JSONL, CSV or TSV table")
    encoding: str = option("utf-8", "encoding of the text files")
    threads: int | None = option(None, "threads; with 1 the same seed gives the same vectors", minimum=1, maximum=1024)
    seed: int = option(1, "of first vectors, negatives and order", minimum=0, maximum=2**62)
    steps: int | None = option(None, "pieces of work altogether; follows from the epochs", minimum=1)


def demo(folder: Path) -> list[Path]:
    """Text that is on every machine with Python: up to 30 MB of its standard library, names and English side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python.txt"
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for module in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
            if file.tell() > 30_000_000:
                break
            if "site-packages" not in module.parts:
                file.write(module.read_text(encoding="utf-8", errors="replace") + "\n")
    return [path]


# --- reading


def read(config: Config, folder: Path, known: dict[str, int], progress: Progress) -> tuple[corpus.Corpus, dict]:
    """The user's text as numbers in `folder`; `known` are words of a run to go on from."""
    files = text.find(config.data, folder / "spool")
    reading = corpus.Reading(
        config.encoding, config.column, config.split, config.lower, config.min_count, config.vocabulary, config.phrases,
        config.phrase_score, config.threads,
    )  # fmt: skip
    count = corpus.count if config.cluster is None else cluster.count
    found, account = corpus.number(count(files, reading, folder / "words", progress), folder, reading, known)
    _check_size(config, found)
    return found, {"ids": account, "read": found.read, "different": found.different}


def _check_size(config: Config, found: corpus.Corpus) -> None:
    where = ", ".join(config.data)
    if len(found.words) < 2:
        raise UserError(
            f"{len(found.words)} of the text's {found.different:,} words is seen {config.min_count} times or more; "
            "vectors need at least 2", where, "give more text, or lower --min-count",
        )  # fmt: skip
    if not ((found.ids[:-1] >= 0) & (found.ids[1:] >= 0)).any():
        raise UserError("no two words stand in one line: nothing is near anything", where, "put sentences on lines, not words")


def report_words(path: Path, found: corpus.Corpus, total: int) -> None:
    """How often each word stands in the text, of so many words: word, count, its share and that of all down to it."""
    shares = found.counts / total
    rows = zip(found.words, found.counts, 100 * shares, 100 * np.cumsum(shares), strict=True)
    lines = [f"{word}\t{count}\t{share:.4f}\t{sum_:.3f}\n" for word, count, share, sum_ in rows]
    folders.write_bytes(path, ("word\tcount\tpercent\tpercent_so_far\n" + "".join(lines)).encode())


# --- the model


class Model(nn.Module):
    """What training leaves: the words' vectors (V, D), their counts, θ and the n-grams' rows where they are kept."""

    def __init__(self, config: Config, codec: Codec):
        super().__init__()
        shape = (len(codec.symbols), config.dimensions)
        self.register_buffer("vectors", torch.zeros(shape))
        self.register_buffer("counts", torch.zeros(shape[0], dtype=torch.int64))
        if config.keep_context:
            self.register_buffer("context", torch.zeros(shape))
        if config.subwords:
            self.register_buffer("ngrams", torch.zeros(config.buckets, config.dimensions))


def plan(config: Config, words: int) -> Config:
    """The config with every None chosen, for a text of so many words.

    Measured on 17 M words of Wikipedia, 5 epochs: a rate of 0.05 gives 41 % of the analogies, 0.025 (word2vec.c) 39 %.
    """
    glove = config.method == "glove"
    epochs = 15 if glove else max(5, min(50, round(50e6 / max(1, words))))
    chosen = {"epochs": epochs, "rate": 0.05, "window": 10 if glove else 5, "threads": torch.get_num_threads()}
    return dataclasses.replace(config, **{name: value for name, value in chosen.items() if getattr(config, name) is None})


def describe(config: Config, found: corpus.Corpus, work: hogwild.Work) -> list[str]:
    """What was read and what will be trained, for the user before the wait."""
    kept = int((found.ids >= 0).sum())
    lines = [
        f"read {found.read:,} words, {found.different:,} different; {len(found.words):,} are kept "
        f"({100 * min(1, kept / found.read):.1f} % of the text); most frequent: {', '.join(found.words[:8])}"
    ]
    if config.phrases:
        phrases = [word for word in found.words if "_" in word]
        lines.append(f"{len(phrases):,} phrases: {', '.join(phrases[:8])}")
    numbers = sum(array.size for array in work.state().values())
    lines.append(
        f"{config.method}: {config.dimensions} dimensions, {config.epochs} epochs on {config.threads} threads; "
        f"about {12 * numbers / 1e6:,.0f} MB of memory"
    )
    return lines


def make(config: Config, words: list[str], counts: np.ndarray, folder: Path, account: dict) -> word2vec.Word2vec | glove.Glove:
    """The method with what it trains on, as `read` and `near` left it in `folder`."""
    if config.method == "glove":
        settings = glove.Settings(
            config.dimensions, config.rate, config.x_max, config.power, config.epochs, config.seed, config.threads,
            config.keep_context,
        )  # fmt: skip
        return glove.Glove(counts, cooccurrences.reopen(folder / "near"), settings)
    settings = word2vec.Settings(
        config.dimensions, config.architecture == "cbow", config.output, config.window, config.negatives,
        config.sample or None, config.rate, config.epochs, config.seed, config.threads,
        config.shortest if config.subwords else None, config.longest, config.buckets, config.keep_context,
    )  # fmt: skip
    return word2vec.Word2vec(words, counts, open_map(folder / "ids", account), settings)


def near(config: Config, found: corpus.Corpus, folder: Path, progress: Progress) -> None:
    """Count which words stand near which, for GloVe, which needs the text no more."""
    count = cooccurrences.count if config.cluster is None else cluster.count_near
    memory = int(config.memory * 1e9)
    count(found.ids, len(found.words), config.window, folder / "near", memory, config.threads, config.seed, progress)
    (folder / "ids").unlink()


def baselines(config: Config, work: word2vec.Word2vec | glove.Glove) -> dict[str, dict[str, float]]:
    """The loss of knowing nothing but how often words stand in the text."""
    if config.method == "glove":
        return {"frequencies": {"training_weighted_squares": glove.of_counts_alone(work.counts, work.x, work.settings)}}
    return {"frequencies": {"nats_per_pair": word2vec.of_counts_alone(work.counts, work.held_out, work.settings)}}


# --- training, by a loop of its own


def begin(config: Config, folder: Path, start_from: str | None, progress: Progress) -> None:
    """Read the text and leave a run at step 0 in `folder`, with the vectors of `start_from` for the words they have."""
    _check(config)
    began = time.monotonic()
    base = None if start_from is None else Vectors.open(start_from)
    dimensions = config.dimensions or (128 if base is None else base.matrix.shape[1])
    config = dataclasses.replace(config, dimensions=dimensions, threads=config.threads or torch.get_num_threads())
    known = _known(base, config)
    with nullcontext() if config.cluster is None else cluster.ray(config.cluster):
        found, accounts = read(config, folder / "tokens", known, progress)
        config = plan(config, found.read)
        if config.method == "glove":
            near(config, found, folder / "tokens", progress)
    accounts["seconds"] = round(time.monotonic() - began, 2)
    work = make(config, found.words, found.counts, folder / "tokens", accounts["ids"])
    config = dataclasses.replace(config, steps=work.pieces * config.epochs)
    work.start()
    if base is not None:
        progress.say(_take(work, found.words, base))
    for line in describe(config, found, work):
        progress.say(line)
    floors = baselines(config, work)
    folders.write_json(folder / "codec.json", Codec("words", found.words).to_json())
    about = {
        "format": folders.FORMAT, "task": "embed", "config": options.to_json(config), "data": accounts,
        "baselines": floors, "evaluate": {}, "from": start_from,
    }  # fmt: skip
    folders.write_json(folder / "config.json", about)
    report_words(folder / "words.tsv", found, found.read + sum(known.values()))
    shutil.rmtree(folder / "tokens" / "spool", ignore_errors=True)
    hogwild.save(folder, work, 0, hogwild.Standing())


def _check(config: Config) -> None:
    for o in options.options(Config) if config.method == "glove" else ():
        if o.help.startswith("word2vec:") and getattr(config, o.name) != o.default:
            raise UserError(f"`{o.flag}` goes with `--method word2vec`; GloVe has no use for it")
    if config.subwords and config.shortest > config.longest:
        raise UserError(f"`--shortest {config.shortest}` is above `--longest {config.longest}`")
    if config.steps is not None:
        raise UserError(f"`--steps {config.steps}` follows from the epochs", fix="--epochs")


def _known(base: Vectors | None, config: Config) -> dict[str, int]:
    """The words of vectors to go on from, with the counts they come with."""
    if base is None:
        return {}
    if base.matrix.shape[1] != config.dimensions:
        raise UserError(
            f"`--dimensions {config.dimensions}`, but the vectors to go on from have {base.matrix.shape[1]}",
            fix=f"--dimensions {base.matrix.shape[1]}",
        )
    theirs = base.subwords and (base.subwords.shortest, base.subwords.longest, len(base.subwords.rows))
    if config.subwords and theirs and theirs != (config.shortest, config.longest, config.buckets):
        raise UserError(
            "the n-grams of the vectors to go on from are others",
            fix="--shortest {} --longest {} --buckets {}".format(*theirs),
        )
    counts = np.ones(len(base), np.int64) if base.counts is None else base.counts
    return {word: int(count) for word, count in zip(base.words, counts, strict=True)}


def _take(work: word2vec.Word2vec | glove.Glove, words: list[str], base: Vectors) -> str:
    place = {word: i for i, word in enumerate(base.words)}
    here = [i for i, word in enumerate(words) if word in place]
    there = [place[words[i]] for i in here]
    context = None if base.context is None else base.context[there]
    work.take(np.array(here), base.matrix[there], context, None if base.subwords is None else base.subwords.rows)
    return f"{len(here):,} words go on from their vectors, {len(words) - len(here):,} are new"


def go_on(folder: Path, config: Config, codec: Codec, progress: Progress) -> None:
    """Train from the last saved step to the end and write the report."""
    about = folders.read_config(folder)
    counts = folders.load_step(folder, "last").weights["counts"].numpy()
    work = make(config, codec.symbols, counts, folder / "tokens", about["data"]["ids"])
    alone = config.method == "glove"  # its threads are inside a piece
    standing = hogwild.train(folder, work, 1 if alone else config.threads, not alone, progress)
    report = {
        "task": "embed", "dev": work.measures(), "baselines": about["baselines"], "steps": config.steps,
        "best_step": config.steps, "seconds": round(standing.seconds, 1), "rollbacks": standing.rollbacks,
        f"{work.unit.replace('-', '_')}_per_second": round(standing.work / max(standing.seconds, 1e-9)),
        "weights": sum(array.size for name, array in work.weights().items() if name != "counts"),
        "environment": folders.environment(),
    }  # fmt: skip
    reading = about["data"]["seconds"]
    total = about["data"]["read"] * config.epochs / max(standing.seconds + reading, 1e-9)
    report |= {"reading_seconds": reading, "words_per_second_with_reading": round(total)}
    folders.write_json(folder / "report.json", report)
    progress.say(f"read and counted in {reading:.1f} s, trained in {standing.seconds:.1f} s: {total:,.0f} words/s in all")
    shutil.rmtree(folder / "tokens", ignore_errors=True)


def glimpse(run: Any, seed: int) -> str:
    """Neighbours of a few frequent words, as text."""
    vectors = Vectors(run.codec.symbols, run.model.vectors.numpy(), run.model.counts.numpy())
    middle = [word for word in run.codec.symbols[50:5000] if len(word) > 4]
    chosen = np.random.default_rng(seed).permutation(len(middle))[:5]
    rows = [(middle[i], [n.word for n in vectors.nearest(middle[i], 6)]) for i in sorted(chosen)]
    return "\n".join(f"{word:>14}  {', '.join(near)}" for word, near in rows)
