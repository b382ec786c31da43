"""The vectors of a run of `embed`, opened without being read: a memory map of its best step's weights.

Sizes are checked against the step's manifest, its SHA-256 is not: that would read every byte of what is opened in no time.
`unrolled info RUN` checks it.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .data.subwords import Subwords
from .errors import UserError, of_system

KINDS = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8")}
HEADER_LIMIT = 8 << 20  # bytes of a safetensors header: a larger one is not ours


class Stored(NamedTuple):
    """What an `embed` run holds."""

    words: list[str]
    matrix: np.ndarray  # (V, D), the vectors e
    counts: np.ndarray  # (V,)
    context: np.ndarray | None  # (V, D), the vectors θ
    subwords: Subwords | None


def open_run(folder: Path) -> Stored:
    """The words and vectors of a run folder's best step."""
    config = _json(folder / "config.json", f"`{folder}` is not a run folder: it has no config.json")
    if not isinstance(config, dict) or config.get("task") != "embed":
        task = config.get("task") if isinstance(config, dict) else None
        raise UserError(f"`{folder}` is a run of `{task}`; vectors are in runs of `embed`", str(folder))
    codec = _json(folder / "codec.json", f"`{folder / 'codec.json'}` is missing: the run is damaged")
    tensors = _best_step(folder)
    words = codec.get("symbols") if isinstance(codec, dict) else None
    if not isinstance(words, list) or "vectors" not in tensors or "counts" not in tensors:
        raise UserError(f"`{folder}` is damaged: it has no words, or no vectors", str(folder))
    if len(words) != len(tensors["vectors"]):
        raise UserError(f"`{folder}` is damaged: {len(words):,} words, {len(tensors['vectors']):,} vectors", str(folder))
    subwords = None
    if "ngrams" in tensors:
        settings = config.get("config", {})
        subwords = Subwords(tensors["ngrams"], settings.get("shortest") or 3, settings.get("longest") or 6)
    return Stored(words, tensors["vectors"], tensors["counts"], tensors.get("context"), subwords)


def _best_step(folder: Path) -> dict[str, np.ndarray]:
    try:
        found = re.match(r"\d{1,18} ", (folder / "best").read_text("ascii", "replace"))
    except OSError:
        raise UserError(f"`{folder}` has no saved step", str(folder), "train it first") from None
    if found is None:
        raise UserError(f"`{folder / 'best'}` is damaged: it names no step", str(folder / "best"))
    step = folder / "steps" / found[0].strip()
    manifest = _json(step / "manifest.json", f"`{step / 'manifest.json'}` is missing: the run is damaged")
    try:
        size = manifest["files"]["model.safetensors"]["size"]
    except (KeyError, TypeError):
        raise UserError(f"`{step / 'manifest.json'}` is damaged: it lists no files", str(step)) from None
    return mapped(step / "model.safetensors", size)


def mapped(path: Path, size: int) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file of `size` bytes, as memory maps.

    (8 bytes: the header's length; the header, JSON; the tensors. github.com/huggingface/safetensors)
    """
    damaged = UserError(f"`{path}` is damaged: it is not what its manifest says", str(path), "copy the run folder again")
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if path.stat().st_size != size or length > min(size, HEADER_LIMIT):
                raise damaged
            header = json.loads(file.read(length))
        about = {name: header[name] for name in header if name != "__metadata__"}
        return {name: _tensor(path, 8 + length, size, **tensor) for name, tensor in about.items()}
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise damaged from None


def _tensor(path: Path, begin: int, size: int, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    kind, (first, last) = KINDS[dtype], data_offsets
    if last - first != math.prod(shape) * kind.itemsize or not 0 <= first <= last <= size - begin:
        raise ValueError
    return np.asarray(np.memmap(path, kind, "r", begin + first, tuple(shape)))


def _json(path: Path, missing: str) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except FileNotFoundError:
        raise UserError(missing, str(path.parent)) from None
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"`{path}` is damaged: {error}", str(path)) from None
