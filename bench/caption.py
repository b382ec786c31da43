"""Captions: photographs from scratch, the drawings of the demonstration, and the search beside a loop over pictures.

The validation pictures choose the step that is kept: figures on them are development figures.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unrolled import captioner, decode
from unrolled.config import build
from unrolled.data.vocab import END, UNKNOWN, Codec
from unrolled.decode import Beam
from unrolled.tasks import caption

from .harness import alternate, save, seconds
from .language import needed
from .reading import command

PICTURES, LONGEST, WORDS = 64, 25, 1500
MEASURES = ("cider", "bleu4", "slots", "pointing", "distinct")


def trained(words: Sequence[str], run: Path) -> dict[str, Any]:
    """What a command of training leaves in its report, and how long it took."""
    wall = seconds(lambda: command("train", "caption", *words, "--out", str(run)))
    report = json.loads((run / "report.json").read_text())
    found = {name: report["dev"][name] for name in MEASURES if report["dev"].get(name) is not None}
    floors = {f"{name.replace(' ', '_')}_cider": floor["cider"] for name, floor in report["baselines"].items()}
    return {"steps": report["steps"], "wall_seconds": wall, **found, **floors}


def run_photographs(data: str | None) -> None:
    """800 photographs with five captions each, 12 minutes from scratch, then 100 steps by what it writes; measured on 100."""
    folder = Path(needed(data)) / "captions" / "flickr8k-1k"
    given = str(folder / "images"), str(folder / "captions.tsv")
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name) / "first", Path(name) / "second"
        rows = [{"learnt_from": "captions", **trained([*given, "--minutes", "12"], first)}]
        more = "--critical", "--rate", "3e-5", "--steps", "100", "--evaluations", "5", "--average", "0.2"
        rows += [{"learnt_from": "what it writes", **trained([*given, "--from", str(first), *more], second)}]
    save("caption-photographs", rows)


def run_drawings(data: str | None) -> None:
    """The demonstration's drawings, in the time that `unrolled demo caption` takes."""
    with tempfile.TemporaryDirectory() as name:
        made = [str(path) for path in caption.demo(Path(name))]
        save("caption-drawings", [trained([*made, "--minutes", str(caption.DEMO_MINUTES)], Path(name) / "run")])


def run_beam(data: str | None) -> None:
    """Beam 5 over 64 pictures of 96 x 96 with weights drawn at random, 25 symbols each; and one picture alone."""
    torch.manual_seed(1)
    config = build(caption.Config, dict(data=("-",), size=96, stages=4, width=256, embedding=256, longest=LONGEST, hidden=256))
    model = caption.Model(config, Codec("words", [f"word{i}" for i in range(WORDS)])).eval()
    pictures, beam = torch.rand(PICTURES, 3, 96, 96), Beam(5, 1.0, None, 3.0)
    together = partial(captioner.search, [model], pictures, beam, LONGEST, [UNKNOWN])
    found = alternate(together, lambda: [plain(model, one, beam) for one in pictures.split(1)], rounds=5)
    alone = alternate(
        lambda: captioner.search([model], pictures[:1], beam, LONGEST, [UNKNOWN]),
        lambda: plain(model, pictures[:1], beam), rounds=15,
    )  # fmt: skip
    same = sum(a[0].ids == plain(model, one, beam)[0].ids for a, one in zip(together(), pictures.split(1), strict=True))
    rows = [{"pictures": PICTURES, "same_as_loop": same, **found}, {"pictures": 1, "same_as_loop": None, **alone}]
    save("caption-beam", rows)


@torch.no_grad()
def plain(model: caption.Model, picture: Tensor, beam: Beam) -> list[decode.Hypothesis]:
    """The same search of one picture (1, 3, S, S) by the model's own layers in torch, as loops over pictures do it."""
    memory, hidden = model.encode(picture)
    keys = model.attention.keys(memory)

    def step(ids: np.ndarray, state: decode.State) -> tuple[np.ndarray, decode.State]:
        top, state = model.step(torch.as_tensor(ids), state)
        features = model.combined(top[None], memory, keys)[0][0]
        return model.output(features).numpy(), state

    logits, state = step(np.array([END]), hidden)
    return decode.beams(step, logits, state, beam, [LONGEST], END, [UNKNOWN])[0]
