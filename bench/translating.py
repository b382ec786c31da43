"""Translation: whole commands on real pairs, and the speed of a step and of the search beside the same net in plain torch.

The validation pairs of the data choose the step that is kept, as in papers on this data; figures on them are development figures.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled import fit
from unrolled.config import build
from unrolled.data.vocab import END, UNKNOWN
from unrolled.tasks import translate

from .harness import alternate, save, seconds
from .language import needed
from .reading import command

BATCH_SIZES = (1, 7, 64, 1000)


def files(data: str | None, part: str, target: str) -> list[str]:
    folder = Path(needed(data)) / "translation" / "multi30k"
    return [str(folder / f"{part}.{side}") for side in ("en", target)]


def on_multi30k(data: str | None, name: str, minutes: int, targets: tuple[str, ...], options: tuple[str, ...] = ()) -> None:
    """29,000 pairs, default settings; measured on the 1,014 validation pairs."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            train, dev, run = files(data, "train", target), files(data, "val", target), str(Path(folder) / target)
            words = ["--dev", *dev, "--minutes", str(minutes), "--out", run, *options]
            wall = seconds(partial(command, "train", "translate", *train, *words))
            tables = json.loads(command("evaluate", run, *dev, "--json"))
            measures = {row["measure"]: row["value"] for row in tables["measures"]}
            bleu = tables["measures"][0]
            report = json.loads((Path(run) / "report.json").read_text())
            rows.append({
                "pair": f"en-{target}", "minutes": minutes, "wall_seconds": wall, "steps": report["steps"],
                **{key: measures[key] for key in ("bleu", "chrf", "ter", "length_ratio", "nats_per_symbol")},
                "interval": f"{bleu['from']:.1f}-{bleu['to']:.1f}", "word_by_word": report["baselines"]["word by word"]["bleu"],
            })  # fmt: skip
    save(name, rows)


run_3 = partial(on_multi30k, name="translation-3", minutes=3, targets=("de",))
run_10 = partial(on_multi30k, name="translation-10", minutes=10, targets=("de",))
run_60 = partial(on_multi30k, name="translation-60", minutes=60, targets=("de",))
run_others = partial(on_multi30k, name="translation-others", minutes=10, targets=("fr", "cs"))


def run_speed(data: str | None) -> None:
    """Target symbols trained on a second and sentences translated a second, each beside plain torch with the same sizes."""
    train, dev = files(data, "train", "de"), files(data, "val", "de")
    with tempfile.TemporaryDirectory() as name:
        config = build(translate.Config, {"data": tuple(train), "dev": tuple(dev), "steps": 100})
        kept = translate.read(config, Path(name))
        config = translate.plan(config, kept)
        reader, settings = translate.batches(config, kept), translate.settings(config, kept)
        batches = [reader.batch(step) for step in range(12)]
        torch.manual_seed(1)
        ours, plain = translate.Model(config, kept.codec), Plain(kept.codec.size, config.hidden)
        found = alternate(*(training(model, fit.adamw(model, settings), batches) for model in (ours, plain)), rounds=7)
        symbols = sum(int(batch.target_lengths.sum()) for batch in batches)
        rows = [row("training, target symbols", symbols, found)]
        # a search of nets that know nothing never ends; both learn the same for a while first
        for model in (ours, plain):
            steps = training(model, fit.adamw(model, settings), [reader.batch(step) for step in range(12, 212)])
            steps()
        source = kept.dev.source
        for beam in (5, 1):
            options = translate.Predict(beam=beam)
            search = partial(translate.translate, ours.eval(), kept.codec, source, options)
            found = alternate(search, partial(plain.eval().search, source, beam), rounds=3)
            rows.append(row(f"beam {beam}, sentences", len(source.lengths), found))
        rows[1]["equal_for_batches"] = equal_for_batches(ours, kept)
    save("translator", rows)


def row(what: str, count: int, found: dict[str, float]) -> dict[str, Any]:
    times = f"{found['ratio']:.2f} ({found['ratio_min']:.2f}-{found['ratio_max']:.2f})"
    return {"what": what, "a_second": count / found["ours_seconds"], "plain_torch": count / found["peer_seconds"], "times": times}


def equal_for_batches(model: nn.Module, kept: translate.Data) -> str:
    """The batch sizes with which all validation sentences come out the same, symbol by symbol and bit by bit."""
    source, options = kept.dev.source, translate.Predict()
    wanted = translate.translate(model, kept.codec, source, options)
    alike = []
    for size in BATCH_SIZES:
        parts = (np.arange(begin, min(begin + size, len(wanted))) for begin in range(0, len(wanted), size))
        found = [one for rows in parts for one in translate.translate(model, kept.codec, source.taken(rows), options)]
        alike += [str(size)] * (found == wanted)
    return " ".join(alike)


def training(model: nn.Module, optimizer: torch.optim.Optimizer, batches: list[translate.Batch]) -> Any:
    """A function that takes a step on each batch."""

    def steps() -> None:
        model.train()
        for batch in batches:
            outputs = model(batch, None)[0] if isinstance(model, translate.Model) else model(batch)
            model.loss(outputs, batch).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return steps


class Plain(nn.Module):
    """The same net of torch's own layers: packed GRU both ways, GRU, dot attention, tied vectors."""

    def __init__(self, V: int, H: int, dropout: float = 0.2):
        super().__init__()
        self.embed, self.bias, self.drop = nn.Embedding(V, H), nn.Parameter(torch.zeros(V)), nn.Dropout(dropout)
        self.encoder, self.decoder = nn.GRU(H, H, bidirectional=True, batch_first=True), nn.GRU(H, H, batch_first=True)
        self.memory, self.bridge, self.combine = nn.Linear(2 * H, H), nn.Linear(2 * H, H), nn.Linear(2 * H, H)

    def read(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed = pack_padded_sequence(self.drop(self.embed(source)), lengths, batch_first=True, enforce_sorted=False)
        hidden, last = self.encoder(packed)
        memory = self.memory(self.drop(pad_packed_sequence(hidden, batch_first=True)[0]))
        outside = torch.arange(memory.shape[1]) >= lengths.unsqueeze(1)
        return memory, outside, self.bridge(torch.cat((last[0], last[1]), -1)).tanh().unsqueeze(0)

    def write(self, ids: Tensor, state: Tensor, memory: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
        hidden, state = self.decoder(self.drop(self.embed(ids)), state)
        scores = (hidden @ memory.transpose(1, 2)).masked_fill(outside.unsqueeze(1), -torch.inf)
        return self.drop(self.combine(torch.cat((scores.softmax(-1) @ memory, self.drop(hidden)), -1)).tanh()), state

    def forward(self, batch: translate.Batch) -> Tensor:
        memory, outside, state = self.read(batch.source, batch.source_lengths)
        features, _ = self.write(batch.target, state, memory, outside)
        return F.linear(features[translate.inside(batch.target_lengths)], self.embed.weight, self.bias)

    def loss(self, logits: Tensor, batch: translate.Batch) -> Tensor:
        following = batch.following[translate.inside(batch.target_lengths)]
        return F.cross_entropy(logits, following, label_smoothing=0.1)

    @torch.no_grad()
    def search(self, source: Any, width: int, together: int = 64) -> list[list[int]]:
        """Beam search, sentences of about the same length together; over when as many as the beam is wide have ended."""
        order, found = np.argsort(source.lengths, kind="stable"), [[] for _ in source.lengths]
        for rows in np.array_split(order, -(-len(order) // together)):
            ids, lengths = source.padded(rows)
            for row, best in zip(rows, self._beam(ids, lengths, width), strict=True):
                found[row] = best
        return found

    def _beam(self, source: Tensor, lengths: Tensor, width: int) -> list[list[int]]:
        N, V = len(source), len(self.bias)
        memory, outside, state = (
            value.repeat_interleave(width, 1 if i == 2 else 0) for i, value in enumerate(self.read(source, lengths))
        )
        nats = torch.full((N, width), -torch.inf).index_fill(1, torch.tensor([0]), 0.0)
        written, best = torch.full((N * width, 1), END), [(-torch.inf, [])] * N
        ended, first = torch.zeros(N, dtype=torch.long), torch.arange(N).unsqueeze(1) * width
        for step in range(1, int(2 * lengths.max()) + 20):
            features, state = self.write(written[:, -1:], state, memory, outside)
            logs = F.linear(features[:, 0], self.embed.weight, self.bias).index_fill(1, torch.tensor([UNKNOWN]), -torch.inf)
            total = (nats.view(-1, 1) + logs.log_softmax(-1)).view(N, width * V)
            nats, places = total.topk(width, 1)
            rows, symbols = (first + places // V).view(-1), (places % V).view(-1, 1)
            written, state = torch.cat((written[rows], symbols), 1), state[:, rows]
            ends = (symbols.view(N, width) == END) & nats.isfinite()
            for n, k in ends.nonzero().tolist():
                best[n] = max(best[n], (float(nats[n, k]) / step, written[n * width + k].tolist()))
            ended += ends.sum(1)
            nats = nats.masked_fill(ends, -torch.inf)
            if bool((ended >= width).all()):
                break
        return [ids for _, ids in best]
