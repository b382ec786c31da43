"""Runs as one page that answers by itself: no server, no network, opened from disk or put on any host of files.

The page is the server's (views.js), the answers come from own JavaScript: the lecture's cells (cells.js), the models behind them
(nets.js), symbols (symbols.js), drawing and searching (decode.js). Each run stands in it as two blocks of data:

    <script type="application/json" data-run="NAME">     task, codec, settings, an example, the weights' names and shapes
    <script type="text/plain" data-weights="NAME">       the weights, float32, little-endian, one after the other, in base64
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import cells, runs_page, word_map
from .. import run as folders
from ..data import tokens
from ..errors import LIMIT, UserError, of_system
from ..progress import Progress
from ..recurrent import Recurrent
from ..template import fragment
from ..vectors import Vectors

SCRIPTS = ("cells.js", "symbols.js", "decode.js", "nets.js", "answers.js")  # which know of no page
WORDS, POINTS = 20_000, 1000  # of word vectors the most frequent, and those on the map
LARGEST = 256_000_000  # bytes of a run's weights: a browser's longest text is about twice the base64 of them
KINDS = {cells.RNN: "rnn", cells.GRU: "gru", cells.GRUAfter: "gru_after", cells.LSTM: "lstm"}
EVIDENCE = "How far the answer's log-odds fall when a word is read as an unknown one."
WHY_NOT = {
    "caption": "the page has no convolutions to see with",
    "video": "the page has no convolutions to see with",
    "trigger": "the page has no layers to hear with",
    "speech": "the page has no layers to hear with",
    "wavenet": "the page has no dilated convolutions, and a browser would take longer to make sound than to play it",
}


class Written(NamedTuple):
    """A page that was written."""

    path: str
    bytes: int
    runs: list[str]


def write(runs: Sequence[Any], folder: Path) -> Written:
    """Write runs as `folder`/index.html; a UserError where one cannot stand in a page, and then nothing is written."""
    named = {run.folder.resolve().name: run for run in runs}
    if len(named) < len(runs):
        names = [run.folder.resolve().name for run in runs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"two runs are called `{twice}`; each has a tab of its name", fix="rename one of the folders")
    data = "\n".join(block for name, run in named.items() for block in blocks(name, run))
    page = runs_page.page(f"{script()}\n{fragment('alone.js')}", f"{data}\n", closed=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise of_system(error, "making", str(folder)) from None
    path = folder / "index.html"
    folders.write_bytes(path, page)
    return Written(str(path), len(page), list(named))


def script() -> str:
    """The JavaScript that answers for runs: `answersOf(about, weights)`."""
    return "\n".join(map(fragment, SCRIPTS)).replace("@TOKEN@", json.dumps(in_javascript(tokens.WORD)))


def blocks(name: str, run: Any) -> list[str]:
    """The two blocks of data of a run."""
    about, weights = described(name, run)
    called = html.escape(name)
    return [
        f'<script type="application/json" data-run="{called}">{inert(about)}</script>',
        f'<script type="text/plain" data-weights="{called}">{weights}</script>',
    ]


def inert(data: Any) -> str:
    """JSON in which no `<` stands, so that nothing in it ends the block."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


# --- a run as data


def described(name: str, run: Any) -> tuple[dict[str, Any], str]:
    """What a run is, and its weights in base64; a UserError where the page could not run it."""
    task = run.task.__name__.rpartition(".")[2]
    if task in WHY_NOT:
        raise UserError(
            f"a run of `{task}` has no tab in such a page: {WHY_NOT[task]}",
            str(run.folder),
            f"unrolled serve {run.folder}",
        )
    arrays, told = words_of(run) if task == "embed" else net_of(task, run)
    size = 4 * sum(array.size for array in arrays.values())
    if size > LARGEST:
        raise UserError(
            f"`{name}` has {size:,} bytes of weights; a page takes {LARGEST:,}", str(run.folder), "train a smaller net", LIMIT
        )
    weights = [[key, list(array.shape)] for key, array in arrays.items()]
    data = b"".join(array.tobytes() for array in arrays.values())
    return {"name": name, "task": task, "weights": weights} | told, base64.b64encode(data).decode()


def net_of(task: str, run: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights of a net, and what is told of it."""
    arrays, same = weights_of(run.model)
    return arrays, {
        "labels": run.codec.labels, "symbols": run.codec.kind, "verbs": verbs(task, run), "examples": example(task, run),
        "codec": run.codec.to_json(), "settings": settings(task, run) | {"same": same},
    } | ({"evidence": EVIDENCE} if task == "classify" else {})  # fmt: skip


def words_of(run: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Word vectors of length 1, the most frequent words' of many, and where words stand on the map."""
    opened = Vectors.open(run.folder)
    shown = word_map.choose(opened, word_map.Options(words=WORDS), Progress(quiet=True))
    at = word_map.places(opened, run.folder, POINTS)
    some = f"; of {len(opened):,} words this page has the {WORDS:,} most frequent" if len(opened) > WORDS else ""
    a, b, c = shown.words[:3]
    return {"unit": shown.unit.astype("<f4")}, {
        "labels": [], "symbols": None, "verbs": ["nearest", "analogy", "map"],
        "examples": {"nearest": {"word": a}, "analogy": {"a": a, "b": b, "c": c}},
        "settings": {"same": {}, "words": shown.words, "points": at["points"], "by": at["by"] + some},
    }  # fmt: skip


def weights_of(model: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All parameters and buffers as float32, and of those that are another one by a second name, that one's."""
    arrays: dict[str, np.ndarray] = {}
    first: dict[int, str] = {}
    same: dict[str, str] = {}
    everything = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, value in everything:
        if id(value) in first:
            same[name] = first[id(value)]
        else:
            first[id(value)] = name
            arrays[name] = value.detach().float().cpu().numpy().astype("<f4")
    return arrays, same


def settings(task: str, run: Any) -> dict[str, Any]:
    """What answering takes beside codec and weights."""
    layers = [layer for layer in run.model.modules() if isinstance(layer, Recurrent)]
    kept = {name: getattr(run.config, name) for name in KEPT[task]}
    directions = 2 if "direction" in kept and kept.pop("direction") == "both" else 1
    return run.task.exported(run) | kept | {"cell": cell_of(layers), "directions": directions}


KEPT = {"language": (), "classify": ("direction", "pooling"), "tag": ("direction",), "translate": ("direction", "attention")}


def cell_of(layers: Iterable[Recurrent]) -> str | None:
    """The kind of all cells of a net; None where there are none, a UserError for one that is not the lecture's."""
    kinds = {type(cell) for layer in layers for cell in layer.cells}
    unknown = kinds - KINDS.keys()
    if unknown:
        raise UserError(f"a page has no cell `{unknown.pop().__name__}`; it knows {', '.join(KINDS.values())}")
    return KINDS[kinds.pop()] if kinds else None


def verbs(task: str, run: Any) -> list[str]:
    if task == "language":
        return ["score"]
    return ["predict", "look"] if task == "translate" and run.model.attention is not None else ["predict"]


def example(task: str, run: Any) -> dict[str, Any]:
    """What the fields of a tab begin with."""
    if task == "language":
        label = {"label": run.codec.labels[0]} if run.codec.labels else {}
        return {"score": {"text": "".join(run.task.sample(run, run.task.Sample(length=12, temperature=0.5, seed=1, **label)))}}
    return {"predict": {"texts": [TEXTS[task]]}}


TEXTS = {
    "classify": "The soup was cold and nobody cared.",
    "tag": "He said, Teddy was a great president!",
    "translate": "Sunday, 9 November 2003",
}


# --- Python's regular expressions as JavaScript's

BLANK = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
LETTER = r"\p{L}\p{N}_"
INSIDE = {r"\s": BLANK, r"\w": LETTER, r"\d": r"\p{Nd}"}  # of a class
ALONE = {r"\s": f"[{BLANK}]", r"\S": f"[^{BLANK}]", r"\w": f"[{LETTER}]", r"\d": r"\p{Nd}"}
PIECE = re.compile(r"\[\^\\W\\d_\]|\[|\]|\(\?i:[^)]*\)|\\U[0-9a-f]{8}|\\.|[+*}]\+|.", re.S)


def in_javascript(pattern: str) -> str:
    """A pattern with the meaning that Python gives it: \\w and \\s of all of Unicode, no case where it says so.

    JavaScript knows no possessive `++`. Where such a one only saves time, `+` is the same; tests compare what both cut.
    """
    made, within = [], False
    for piece in PIECE.findall(pattern):
        if piece == r"[^\W\d_]":
            made.append(r"[\p{L}\p{Nl}\p{No}]")
        elif piece.startswith("(?i:"):
            made.append("(?:" + re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", piece[4:]))
        elif piece.startswith(r"\U"):
            made.append(f"\\u{{{int(piece[2:], 16):x}}}")
        elif len(piece) == 2 and piece[1] == "+" and not within:
            made.append(piece[0])
        elif piece.startswith("\\"):
            made.append((INSIDE if within else ALONE).get(piece, piece))
        else:
            within = piece == "[" if not within else piece != "]"
            made.append(piece)
    return "".join(made)
