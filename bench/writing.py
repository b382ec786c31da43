"""Writing one text, symbol by symbol: 512 units over 65 symbols, batch 1, beside a plain torch loop; and what 8 bits lose."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from unrolled import api, decode
from unrolled.api import Run
from unrolled.data.vocab import Codec
from unrolled.kernels import writing
from unrolled.tasks import language

from .harness import beside, save

SYMBOLS, HIDDEN, LENGTH = 63, 512, 1000  # with `unknown` and `end` the model has 65 outputs


def run(data: str | None) -> None:
    codec = Codec("characters", [chr(ord("0") + i) for i in range(SYMBOLS)])
    rows = []
    for cell in ("lstm", "gru", "gru_after", "rnn"):
        config = language.Config(
            cell=cell, hidden=HIDDEN, layers=1, embedding=64, dropout=0.0, input_dropout=0.0, weight_dropout=0.0
        )
        trained = Run(None, config, codec, language.Model(config, codec).eval(), language)
        peer = plain_loop({"lstm": nn.LSTM, "rnn": nn.RNN}.get(cell, nn.GRU))
        peers = {"int8": lambda trained=trained: write(trained, int8=True), "torch_loop": peer}
        found = beside(lambda trained=trained: write(trained), peers)
        loop, int8 = found["torch_loop"], found["int8"]
        rows.append(
            {
                "cell": cell,
                "float32_a_second": LENGTH / found["ours"]["seconds"],
                "int8_a_second": LENGTH / int8["seconds"],
                "torch_loop_a_second": LENGTH / loop["seconds"],
                "float32_times": f"{loop['ratio']:.2f} ({loop['ratio_min']:.2f}-{loop['ratio_max']:.2f})",
                "int8_times": f"{loop['seconds'] / int8['seconds']:.2f}",
            }
        )
    save("writing", rows)


def write(trained: Run, int8: bool = False) -> None:
    options = language.Sample(length=LENGTH, temperature=0.8, top_p=0.95, seed=1, int8=int8)
    assert len("".join(language.sample(trained, options))) == LENGTH


def plain_loop(layer: type[nn.RNNBase]) -> Callable[[], list[int]]:
    """What people write by hand: embedding, torch.nn layer, linear, softmax, multinomial."""
    embedding, recurrent = nn.Embedding(SYMBOLS + 2, 64), layer(64, HIDDEN, batch_first=True)
    output = nn.Linear(HIDDEN, SYMBOLS + 2)

    @torch.inference_mode()
    def go() -> list[int]:
        ids, state, written = torch.zeros(1, 1, dtype=torch.long), None, []
        for _ in range(LENGTH):
            hidden, state = recurrent(embedding(ids), state)
            ids = torch.multinomial(torch.softmax(output(hidden[:, -1]) / 0.8, -1), 1)
            written.append(int(ids))
        return written

    return go


def run_int8(data: str | None) -> None:
    """Train on Python's own library for two minutes; the validation text in float32 and in 8 bits, the same symbols."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        (text,) = language.demo(Path(folder) / "demo")
        for cell in ("lstm", "gru"):
            out = Path(folder) / cell
            trained = api.train("language", text, cell=cell, hidden=512, layers=1, minutes=2, out=out, quiet=True)
            held_out = text.read_text()[-100_000:]
            ids = trained.codec.encode(held_out)
            nats = {name: surprise(trained, ids, int8) for name, int8 in (("float32", False), ("int8", True))}
            bits = {f"{name}_bits_per_character": value / np.log(2) for name, value in nats.items()}
            rows.append({"cell": cell, "symbols": len(ids), **bits, "lost": (nats["int8"] - nats["float32"]) / np.log(2)})
    save("int8", rows)


def surprise(trained: Run, ids: np.ndarray, int8: bool, lanes: int = 50) -> float:
    """Nats a symbol of a text read in lanes, step by step as in writing."""
    net = language.packed(trained.model, None, int8)
    lanes_of = ids[: len(ids) // lanes * lanes].reshape(lanes, -1)
    state = np.stack([s.numpy() for s in trained.model.start(lanes)])
    total = 0.0
    for t in range(lanes_of.shape[1] - 1):
        logits = writing.read(net, lanes_of[None, :, t], state)
        total -= float(decode.log_softmax(logits)[np.arange(lanes), lanes_of[:, t + 1]].sum())
    return total / (lanes * (lanes_of.shape[1] - 1))
