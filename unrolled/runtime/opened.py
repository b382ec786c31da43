"""An exported file opened: its graph in onnxruntime, and what its metadata tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data.vocab import Codec
from ..errors import MISSING_EXTRA, UserError

FORMAT = 1  # of the metadata
KEY = "unrolled"


class Graph(NamedTuple):
    """A graph that takes and gives arrays by their names."""

    session: Any
    outputs: tuple[str, ...]

    def __call__(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs, self.session.run(None, given), strict=True))

    def start(self, rows: int) -> tuple[np.ndarray, ...]:
        """The states before any symbol: zeros."""
        widths = [each.shape[1] for each in self.session.get_inputs() if each.name.startswith("state_")]
        return tuple(np.zeros((rows, width), np.float32) for width in widths)


class Opened(NamedTuple):
    path: Path
    task: str
    codec: Codec
    settings: dict[str, Any]
    graph: Graph
    parts: dict[str, Graph]  # the other files of the model, by name


def open_file(path: str | Path) -> Opened:
    """A file that `unrolled export` wrote, and those beside it; a UserError for any other."""
    path = Path(path)
    graph, about = _graph(path)
    if "task" not in about:
        raise UserError(f"`{path}` is a part of `{about.get('part of')}`", fix="open that file; it finds its parts beside it")
    parts = {}
    for name in about.get("parts", ()):
        parts[name], own = _graph(path.with_suffix(f".{name}.onnx"))
        if own.get("part of") != path.name or own.get("made") != about.get("made"):
            raise UserError(f"`{path.with_suffix(f'.{name}.onnx')}` was not written with `{path}`", fix="export the run again")
    try:
        return Opened(path, about["task"], Codec.from_json(about["codec"]), about["settings"], graph, parts)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def _graph(path: Path) -> tuple[Graph, dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"there is no exported file `{path}`", fix=f"unrolled export RUN --to {path}")
    opened = session(str(path))
    about = opened.get_modelmeta().custom_metadata_map.get(KEY)
    if about is None:
        raise UserError(f"`{path}` was not written by `unrolled export`: its metadata have no `{KEY}`")
    try:
        about = dict(json.loads(about))
        newer = about["format"] > FORMAT
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    if newer:
        raise UserError(f"`{path}` has format {about['format']}; this version reads {FORMAT}", fix="pip install -U unrolled")
    outputs = tuple(each.name for each in opened.get_outputs())
    return Graph(opened, outputs), about


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"the metadata of `{path}` are damaged: {error}", str(path), "export the run again")


def session(data: bytes | str) -> Any:
    """A file by its path, or its content, opened by onnxruntime on the CPU; it logs errors alone."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "`onnxruntime` is not installed; exported files need it", fix="pip install onnxruntime", code=MISSING_EXTRA
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Threads that share a step out wait for each other: of a GRU of 256 units 91 µs of processor time became 250, and 15,000
    # where they sleep meanwhile (two cores, busy). Whoever has many questions may ask them from threads of their own.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's kinds have no common name of its own
        what = data if isinstance(data, str) else "the graph"
        raise UserError(f"onnxruntime cannot open `{what}`: {str(error).splitlines()[0]}") from None


def padded(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of different lengths side by side (B, T), 0 behind them, and their lengths (B,)."""
    lengths = np.array([len(row) for row in rows])
    filled = np.zeros((len(rows), lengths.max()), np.int64)
    for i, row in enumerate(rows):
        filled[i, : len(row)] = row
    return filled, lengths


def alike(lengths: np.ndarray, most: int = 64) -> list[np.ndarray]:
    """Numbers of rows that are read together: those of about the same length, at most so many."""
    order = np.argsort(lengths, kind="stable")
    return [order[i : i + most] for i in range(0, len(order), most)]
