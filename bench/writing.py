"""Writing one text, symbol by symbol: an LSTM of 512 over 65 symbols, batch 1, beside a plain torch loop."""

from __future__ import annotations

import torch
from torch import nn

from unrolled.api import Run
from unrolled.data.vocab import Codec
from unrolled.tasks import language

from .harness import alternate, save

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
        found = alternate(lambda trained=trained: write(trained), peer)
        rows.append(
            {
                "cell": cell,
                "ours_characters_per_second": LENGTH / found["ours_seconds"],
                "torch_loop_characters_per_second": LENGTH / found["peer_seconds"],
                **{name: value for name, value in found.items() if name.startswith("ratio")},
            }
        )
    save("writing", rows)


def write(trained: Run) -> None:
    pieces = list(language.sample(trained, language.Sample(length=LENGTH, temperature=0.8, top_p=0.95, seed=1)))
    assert len("".join(pieces)) == LENGTH


def plain_loop(layer: type[nn.RNNBase]):
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
