"""What captions have to be better than: one for all pictures, and that of the picture most alike; and what people reach."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import caption_scores
from .caption_scores import Scores
from .data.captioned import Album

TILES = 8  # of a side: of a picture, only the mean colours of so many squared are compared
TRIED = 40  # captions that are tried as the one for all
MOST = 20_000  # pictures that are compared with


class Known(NamedTuple):
    """Pictures that were trained on: their mean colours, and of each its most typical caption."""

    tiles: np.ndarray  # (N, TILES · TILES · 3) of uint8
    captions: list[str]


def known(album: Album) -> Known:
    album = album.chosen(album.spread(MOST))
    return Known(tiles(album), [caption_scores.typical(some) for some in album.captions])


def tiles(album: Album) -> np.ndarray:
    """Mean colours of TILES x TILES parts of each picture, (N, TILES · TILES · 3) of uint8."""
    size = album.size // TILES * TILES
    parts = [
        album.taken(rows)[:, :size, :size].reshape(len(rows), TILES, size // TILES, TILES, size // TILES, 3).mean((2, 4))
        for rows in np.array_split(np.arange(len(album)), max(1, len(album) // 256))
    ]
    return np.concatenate(parts).reshape(len(album), -1).round().astype(np.uint8)


def nearest(known: Known, album: Album) -> list[str]:
    """For each picture, the caption of the known picture whose colours are nearest."""
    theirs = known.tiles.astype(np.float32)
    norms = (theirs**2).sum(1)
    own = tiles(album).astype(np.float32)
    return [known.captions[int((norms - 2 * theirs @ one).argmin())] for one in own]


def floors(known: Known, album: Album) -> dict[str, dict[str, float]]:
    """Measures of the floors on an album, and of people where its pictures have several captions."""
    texts = list(dict.fromkeys(known.captions))
    tried = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:TRIED]]
    _, same = caption_scores.constant(tried, album.captions)
    found = {"one caption for all": same} | {"nearest picture": caption_scores.scores(nearest(known, album), album.captions)}
    people: Scores | None = caption_scores.human(album.captions)
    return {name: scores._asdict() for name, scores in (found | ({"people": people} if people else {})).items()}


def write(known: Known) -> bytes:
    """Lines of JSON: what `read` reads."""
    pairs = zip(known.tiles, known.captions, strict=True)
    return "".join(json.dumps([one.tobytes().hex(), caption]) + "\n" for one, caption in pairs).encode()


def read(path: Path) -> Known:
    lines: Sequence[Any] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Known(np.array([np.frombuffer(bytes.fromhex(one), np.uint8) for one, _ in lines]), [text for _, text in lines])
