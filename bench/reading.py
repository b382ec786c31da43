"""Reading a sequence: classify and tag on real data, whole commands, three seeds; and a tagger's speed beside plain torch.

The development files are never looked at in training: a run holds its own part out, and `evaluate` reads them once.
"""

from __future__ import annotations

import json
import lzma
import re
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled import api, fit, floors
from unrolled.config import build
from unrolled.tasks import classify, tag

from .harness import alternate, save, seconds
from .language import needed

SEEDS = (1, 2, 3)


def command(*words: str) -> str:
    """A command's standard output."""
    return subprocess.run([sys.executable, "-m", "unrolled", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def measured(task: str, train: list[str], dev: str, out: Path, options: list[str]) -> dict[str, float]:
    """One training command, then `evaluate` on data it has not seen; the wall time of the first."""
    wall = seconds(lambda: command("train", task, *train, "--out", str(out), *options))
    tables = json.loads(command("evaluate", str(out), dev, "--json"))
    return {"wall_seconds": wall, **{row["measure"]: row["value"] for row in tables["measures"]}}


def averaged(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of every measure, and the least and greatest of the first one."""
    first = "accuracy" if "accuracy" in rows[0] else "span_f1"
    values = [row[first] for row in rows]
    return {name: statistics.mean(row[name] for row in rows) for name in rows[0]} | {
        f"{first}_range": f"{min(values):.4f}-{max(values):.4f}"
    }


# --- sentiment


def treebank(data: Path, folder: Path, fine: bool) -> tuple[list[str], str]:
    """Stanford's treebank as files: sentences and labelled phrases to train on, every tenth sentence to validate on.

    Phrases of held-out sentences are left out of training. Coarse: two labels, none for neutral phrases.
    """
    rows = tsv((data / "sentiment" / ("sst5" if fine else "sst2") / "train.tsv").read_text(encoding="utf-8"))
    with lzma.open(data / "sentiment" / "sst5" / "train_phrases.tsv.xz", "rt", encoding="utf-8") as file:
        phrases = tsv(file.read())
    if not fine:
        phrases = [(text.replace("-", " "), str(int(label > "2"))) for text, label in phrases if label != "2"]
    held = rows[9::10]
    inside = {part for text, _ in held for part in parts(letters(text))}
    train = [row for i, row in enumerate(rows) if i % 10 != 9]
    train += [row for row in phrases if " ".join(letters(row[0])) not in inside]
    for name, kept in (("train", train), ("dev", held)):
        (folder / f"{name}.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in kept), encoding="utf-8")
    return [str(folder / "train.tsv")], str(folder / "dev.tsv")


def tsv(text: str) -> list[tuple[str, str]]:
    return [tuple(line.rsplit("\t", 1)) for line in text.splitlines()]


def letters(text: str) -> list[str]:
    """A text's words without signs: the two files of sentences differ in them."""
    return re.findall(r"\w+", text.lower())


def parts(words: list[str]) -> list[str]:
    """Every run of words inside a sentence."""
    return [" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]


def on_treebank(data: str | None, what: str, fine: bool, minutes: int, vectors: bool = False) -> None:
    """A row of Stanford's treebank, begun with vectors that `train embed` has learned from the Wikipedia text, or with none."""
    root = Path(needed(data))
    with tempfile.TemporaryDirectory() as name:
        train, dev = treebank(root, Path(name), fine)
        options = ["--dev", dev, "--minutes", str(minutes)]
        if vectors:
            options += ["--vectors", str(Path(name) / "vectors")]
            command("train", "embed", str(root / "embeddings" / "wikipedia-words.txt.xz"), "--out", options[-1])
        test = str(root / "sentiment" / ("sst5" if fine else "sst2") / "dev.tsv")
        save(what, [one(what, Path(name), train, test, options)])


run_sst2 = partial(on_treebank, what="sst2", fine=False, minutes=2)
run_sst2_vectors = partial(on_treebank, what="sst2-vectors", fine=False, minutes=2, vectors=True)
run_sst5 = partial(on_treebank, what="sst5", fine=True, minutes=5)


def run_restaurant(data: str | None) -> None:
    """Reviews to stars."""
    tables = Path(needed(data)) / "sentiment" / "restaurant"
    with tempfile.TemporaryDirectory() as name:
        rows = [one("restaurant", Path(name), [str(tables / "train.tsv")], str(tables / "dev.tsv"), ["--minutes", "2"])]
        save("restaurant", rows)


def one(what: str, folder: Path, train: list[str], test: str, options: list[str]) -> dict[str, Any]:
    """A row: three seeds, and a bag of words on the same data."""
    found = [
        measured("classify", train, test, folder / f"{what}-{seed}", [*options, "--seed", str(seed)]) for seed in SEEDS
    ]  # fmt: skip
    return {"data": what, **averaged(found), "bag_of_words": bag_of_words(folder / f"{what}-{SEEDS[0]}", train, test, folder)}


def bag_of_words(run: Path, train: list[str], test: str, folder: Path) -> float:
    """The accuracy of logistic regression on words and pairs, fitted to the same texts, on the same test."""
    opened = api.load(run)
    known, asked = (classify.part(opened, names, folder) for names in (train, [test]))
    bag = floors.fit(known.rows.ids, known.rows.bounds, known.labels, len(opened.codec.labels), 1)
    return float((bag.probabilities(asked.rows.ids, asked.rows.bounds).argmax(1) == asked.labels).mean())


# --- names


def run_names(data: str | None) -> None:
    """WNUT-17: trained on its training file, a tenth of it held out, read once on its development file."""
    root = Path(needed(data)) / "tagging" / "wnut17"
    with tempfile.TemporaryDirectory() as folder:
        found = [
            measured(
                "tag", [str(root / "train.conll")], str(root / "dev.conll"), Path(folder) / str(seed),
                ["--minutes", "3", "--seed", str(seed)],
            )
            for seed in SEEDS
        ]  # fmt: skip
    save("names", [{"data": "wnut17", **averaged(found)}])


# --- a tagger's speed


class Plain(nn.Module):
    """The same tagger as people write it: torch.nn.LSTM over packed sequences, and a field that loops over time in Python."""

    def __init__(self, config: tag.Config, words: int, tags: int):
        super().__init__()
        self.embed, self.letters = nn.Embedding(words, config.embedding), nn.Embedding(257, 32)
        self.speller = nn.LSTM(32, config.spelling, batch_first=True, bidirectional=True)
        self.recurrent = nn.LSTM(config.embedding + 2 * config.spelling, config.hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * config.hidden, tags)
        self.start, self.follows, self.end = (nn.Parameter(torch.zeros(size)) for size in ((tags,), (tags, tags), (tags,)))

    def forward(self, batch: tag.Batch) -> Tensor:
        flat = batch.spelling.flatten(0, 1)
        lengths = (flat > 0).sum(1).clamp(min=1)
        _, (h, _) = self.speller(pack_padded_sequence(self.letters(flat), lengths, batch_first=True, enforce_sorted=False))
        spelt = torch.cat((h[0], h[1]), -1).unflatten(0, batch.ids.shape)
        x = torch.cat((self.embed(batch.ids), spelt), -1)
        packed, _ = self.recurrent(pack_padded_sequence(x, batch.lengths, batch_first=True, enforce_sorted=False))
        return self.output(pad_packed_sequence(packed, batch_first=True)[0])

    def loss(self, e: Tensor, batch: tag.Batch) -> Tensor:
        y, rows = batch.tags, torch.arange(len(e))
        alpha, score = self.start + e[:, 0], self.start[y[:, 0]] + e[rows, 0, y[:, 0]]
        for t in range(1, e.shape[1]):
            on = t < batch.lengths
            now = torch.logsumexp(alpha.unsqueeze(2) + self.follows, 1) + e[:, t]
            alpha = torch.where(on.unsqueeze(1), now, alpha)
            score = score + torch.where(on, self.follows[y[:, t - 1], y[:, t]] + e[rows, t, y[:, t]], 0.0)
        last = y[rows, batch.lengths - 1]
        return (torch.logsumexp(alpha + self.end, 1) - score - self.end[last]).sum() / batch.lengths.sum()


def run_tagger(data: str | None) -> None:
    """Sentences trained on a second, ours beside the plain one; words tagged a second, from raw text to names."""
    root = Path(needed(data)) / "tagging" / "wnut17"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = api.train("tag", str(root / "train.conll"), out=folder / "run", steps=20, evaluations=1, quiet=True)
        kept = tag.read(build(tag.Config, {"data": (str(root / "train.conll"),)}), folder / "tokens")
        reader, settings = tag.batches(run.config, kept), tag.settings(run.config, kept)
        batches = [reader.batch(step) for step in range(40)]
        ours, plain = tag.Model(run.config, kept.codec), Plain(run.config, kept.codec.size, len(kept.codec.labels))
        ways = [training(model, fit.adamw(model, settings), batches, settings.clip) for model in (ours, plain)]
        found = alternate(*ways, rounds=7)
        texts = [" ".join(sentence.split("\n")) for sentence in words(root / "train.conll")]
        count = sum(len(text.split()) for text in texts)
        answering = statistics.median(seconds(lambda: tag.predict(run, texts, tag.Predict())) for _ in range(5))
    sentences = sum(len(batch.lengths) for batch in batches)
    row = {"sentences_per_second": sentences / found["ours_seconds"], "plain_torch": sentences / found["peer_seconds"]}
    times = f"{found['ratio']:.2f} ({found['ratio_min']:.2f}-{found['ratio_max']:.2f})"
    save("tagger", [row | {"times": times, "words_tagged_per_second": count / answering}])


def words(path: Path) -> list[str]:
    """The words of each sentence, a line each."""
    lines = [line.split("\t")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [part.strip("\n") for part in "\n".join(lines).split("\n\n") if part.strip()]


def training(model: nn.Module, optimizer: torch.optim.Optimizer, batches: list[tag.Batch], clip: float) -> Any:
    """A function that takes a step on each batch."""
    model.train()

    def steps() -> None:
        for batch in batches:
            outputs = model(batch, None)[0] if isinstance(model, tag.Model) else model(batch)
            model.loss(outputs, batch).backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return steps
