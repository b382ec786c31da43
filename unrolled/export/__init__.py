"""A run as ONNX files: graphs written by its page, checked against the model, with all that answering needs in them.

    NAME.onnx         the sequence model, batch and time free; with the codec, labels and settings as JSON in its metadata
    NAME.step.onnx    where one graph is not enough: the decoder's step, of a model that reads first and writes then
    NAME.time.onnx    what goes over the frames of a clip, which NAME.onnx looks at one by one
    NAME.ngrams.onnx  what a speech run counted in its transcripts, as arrays

A net that reads forward only takes its states in and gives them out: with one symbol a row it is its own step model.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from .. import run as folders
from ..errors import LIMIT, UserError
from ..runtime.opened import FORMAT, KEY
from .builder import Builder
from .checking import check
from .int8 import Smaller, smaller, told

LARGEST = 2_000_000_000  # bytes that a protocol buffer may have


class Exported(NamedTuple):
    """A file that was written."""

    path: str
    bytes: int
    difference: float  # the greatest between it and the model, before any rounding to 8 bits
    int8: Smaller | None


def check_asked(runs: int, asked: dict[str, str | None], int8: bool) -> None:
    """A UserError unless it is clear what is to be written: one of the options `asked`."""
    given = {name: value for name, value in asked.items() if value is not None}
    if len(given) != 1:
        said = "export writes one thing: give `--to`, `--page`, `--pretrained` or `--push`"
        raise UserError(said, fix="--to model.onnx, --page folder, --pretrained folder, or --push owner/name")
    ((name, value),) = given.items()
    if name != "to" and int8:
        raise UserError("`--int8` is of ONNX; all else has weights of 32 bits", fix="leave out --int8")
    if name != "page" and runs > 1:
        raise UserError(f"`--{name} {value}` takes one run, not {runs}", fix="export each by itself, or all with --page")


def export(run: Any, path: Path, int8: bool = False) -> list[Exported]:
    """Write a run to `path`, and what stands beside it.

    A UserError where the task or cell has no such form, onnx or onnxruntime is missing, or a file would not do what the model
    does; nothing is written then.
    """
    if path.suffix != ".onnx":
        raise UserError(f"`--to {path}` does not say what to write; a file of ONNX ends in .onnx", fix="--to model.onnx")
    if not path.absolute().parent.is_dir():
        raise UserError(f"there is no folder `{path.parent}` to write `{path.name}` to")
    task = run.task.__name__.rpartition(".")[2]
    if not hasattr(run.task, "graph"):
        raise UserError(
            f"a run of `{task}` cannot be exported: {WHY_NOT[task]}",
            fix=f"run it in Python: unrolled.load('{run.folder}')",
        )
    need("onnx", "onnxruntime")
    builder = Builder()
    compute = run.task.graph(builder, run)
    made = [(path, builder, compute[""]), *((beside(path, name), part, compute[name]) for name, part in builder.parts.items())]
    told_of = about(run, task, builder)
    files, rows = [], []
    for place, part, wanted in made:
        of_part = {"format": FORMAT, "part of": path.name, "made": told_of["made"]}
        data = part.model({KEY: json.dumps(told_of if part is builder else of_part)})
        if data.ByteSize() > LARGEST:
            raise UserError(f"`{place}` would have {data.ByteSize():,} bytes; ONNX takes {LARGEST:,} in a file", code=LIMIT)
        data = data.SerializeToString()
        difference = check(part, data, wanted, str(place))
        less = smaller(part, data) if int8 else None
        files.append((place, data if less is None else less[0]))
        rows.append(Exported(str(place), len(files[-1][1]), difference, None if less is None else less[1]))
    for place, data in reversed(files):  # the one that names the others last
        folders.write_bytes(place, data)
    return rows


WHY_NOT = {
    "embed": "word vectors are a table, no net, which `unrolled vectors convert` writes in word2vec's, GloVe's or numpy's form",
}


def beside(path: Path, name: str) -> Path:
    """The place of a model's other graph: book.onnx -> book.step.onnx."""
    return path.with_suffix(f".{name}.onnx")


def about(run: Any, task: str, builder: Builder) -> dict[str, Any]:
    """What a file tells beside its graph: enough to answer without the run."""
    from .. import __version__

    made = uuid.uuid4().hex  # the same in all files of a model
    return {
        "format": FORMAT, "task": task, "version": __version__, "made": made, "parts": list(builder.parts),
        "codec": run.codec.to_json(),
        "settings": run.task.exported(run),
    }  # fmt: skip


def need(*names: str) -> None:
    """A UserError naming the pip command unless these packages are there."""
    import importlib.util

    from ..errors import MISSING_EXTRA

    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"`{missing[0]}` is not installed; exporting needs it", fix="pip install 'unrolled[export]'", code=MISSING_EXTRA
        )


__all__ = ["Exported", "beside", "check_asked", "export", "page", "told"]
