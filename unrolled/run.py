"""The run folder: everything a trained model is, in files that hold no code.

    config.json   format, task, settings, data         codec.json   symbols and labels
    steps/N/      model.safetensors, state.safetensors, manifest.json (SHA-256 and size of each, and of config and codec)
    best, last    a step's number, its manifest's SHA  log.jsonl    one line an evaluation
    report.json   the final measures and baselines     samples/     what it wrote while it learned
    tokens/       the encoded text, while training is unfinished

A step appears at once and whole: written beside, synced, manifest last, renamed. `best` and `last` are replaced
atomically after it. A process killed at any moment leaves the previous step readable.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from torch import Tensor, nn

from .errors import UserError, of_system

FORMAT = 1
UPGRADES: dict[int, Callable[[dict], dict]] = {}  # from format N to N + 1, one function a change
HEADER_LIMIT = 8 << 20  # bytes of a safetensors header: a larger one is not ours


class Pointer(NamedTuple):
    number: int
    manifest: str  # SHA-256 of that step's manifest.json


class Step(NamedTuple):
    number: int
    weights: dict[str, Tensor]
    state: dict[str, Tensor]
    progress: dict[str, Any]


@contextlib.contextmanager
def creating(folder: Path) -> Iterator[Path]:
    """A staging folder beside `folder`; it takes `folder`'s name through `publish`, or is removed on the way out."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        unfinished = (folder / "config.json").exists() and not (folder / "report.json").exists()
        fix = f"unrolled train --resume {folder}, or another --out" if unfinished else "name another folder with --out"
        raise UserError(f"`{folder}` is already there", fix=fix)
    staging = folder.parent / f".{folder.name}.new-{os.getpid()}"
    missing = [parent for parent in folder.parents if not parent.exists()]
    _remove_left_behind(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    except OSError as error:
        raise of_system(error, "making the run folder", str(folder)) from None
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):  # the run is in there
            for parent in missing:
                parent.rmdir()


def _remove_left_behind(folder: Path) -> None:
    """Staging folders of processes that were killed."""
    for path in folder.parent.iterdir() if folder.parent.is_dir() else ():
        prefix, _, pid = path.name.rpartition("-")
        if prefix == f".{folder.name}.new" and pid.isdecimal() and _is_gone(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _is_gone(pid: int) -> bool:
    return pid == os.getpid() or not psutil.pid_exists(pid)  # our own number: a container hands it out again


def publish(staging: Path, folder: Path) -> None:
    """Give a staged run its name."""
    try:
        if folder.exists():
            folder.rmdir()  # empty, or creating() would have refused
        os.rename(staging, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise of_system(error, "making the run folder", str(folder)) from None


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file at once and durably."""
    write_bytes(path, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass"))


def write_bytes(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # what stands there may be no folder
            beside.unlink()
        raise of_system(error, "writing", str(path)) from None


def sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folder, and its rename is durable by journal
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"`{path}` is damaged: {error}", str(path)) from None


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a run, brought to this format; a UserError when the folder is none of ours."""
    if not folder.is_dir():
        raise UserError(f"there is no run folder `{folder}`", fix="`unrolled train` makes one")
    if not (folder / "config.json").is_file():
        raise UserError(f"`{folder}` is not a run folder: it has no config.json", str(folder))
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("format"), int) or "task" not in config:
        raise UserError(f"`{folder}` is not a run folder: its config.json was not written by unrolled", str(folder))
    while config["format"] in UPGRADES:
        config = UPGRADES[config["format"]](config)
    if config["format"] != FORMAT:
        raise UserError(
            f"`{folder}` has format {config['format']}; this version reads format {FORMAT}", str(folder), "update unrolled"
        )
    if not isinstance(config.get("config"), dict) or not {"data", "baselines", "evaluate"} <= config.keys():
        raise UserError(f"`{folder}` is not a run folder: its config.json was not written by unrolled", str(folder))
    return config


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """A model's tensors by name, each once: a shared one under its first name."""
    return {name: value.detach() for name, value in [*model.named_parameters(), *model.named_buffers()]}


def put_weights(model: nn.Module, weights: dict[str, Tensor], folder: Path) -> None:
    """Copy saved tensors into a model; a UserError names the first that does not fit."""
    own = weights_of(model)
    for name in sorted(own.keys() | weights.keys()):
        if name not in own or name not in weights or own[name].shape != weights[name].shape:
            raise UserError(f"the weights in `{folder}` do not fit its config at `{name}`", str(folder))
        own[name].copy_(weights[name])


def save_step(folder: Path, step: Step, best: bool) -> None:
    """Write a step, point `last` (and `best`) at it, and remove the steps that nothing points at."""
    last = _read_pointer(folder, "last")
    if last is None or last.number != step.number:  # else it is there already: a step is a function of its number
        last = _publish_step(folder, step)
        _point(folder, "last", last)
    if best:
        _point(folder, "best", last)
    _prune(folder)


def mark_best(folder: Path) -> None:
    """Point `best` at the last step."""
    last = _read_pointer(folder, "last")
    if last is not None and last != _read_pointer(folder, "best"):
        _point(folder, "best", last)


def _publish_step(folder: Path, step: Step) -> Pointer:
    final, staging = folder / "steps" / str(step.number), folder / "steps" / f".{step.number}.new"
    try:
        for leftover in (staging, final):  # of a process killed before `last` named it
            shutil.rmtree(leftover, ignore_errors=True)
        staging.mkdir(parents=True)
        digest = _write_step(folder, staging, step)
        os.rename(staging, final)
        sync_folder(final.parent)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise of_system(error, "saving a step to", str(folder)) from None
    return Pointer(step.number, digest)


def save_alone(folder: Path, step: Step) -> None:
    """Write a step's weights and their manifest into the folder of its config and codec, to be read and not gone on with."""
    try:
        _write_step(folder, folder, step, with_state=False)
    except OSError as error:
        raise of_system(error, "saving weights to", str(folder)) from None


def _write_step(folder: Path, staging: Path, step: Step, with_state: bool = True) -> str:
    """Write a step's files; returns the SHA-256 of its manifest, which is written last."""
    from safetensors.torch import save

    files = {}
    for name, tensors in (("model.safetensors", step.weights), ("state.safetensors", step.state))[: 1 + with_state]:
        data = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
        _write_synced(staging / name, data)
        files[name] = _account(data)
    for name in ("config.json", "codec.json"):
        files[name] = _account((folder / name).read_bytes())
    manifest = {"format": FORMAT, "step": step.number, "files": files, "progress": step.progress}
    data = json.dumps(manifest, indent=1).encode()
    _write_synced(staging / "manifest.json", data)
    sync_folder(staging)
    return hashlib.sha256(data).hexdigest()


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _account(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _prune(folder: Path) -> None:
    kept = {str(pointer(folder, name)) for name in ("best", "last")}
    for path in (folder / "steps").iterdir():
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _point(folder: Path, name: str, to: Pointer) -> None:
    write_bytes(folder / name, f"{to.number} {to.manifest}\n".encode())


def pointer(folder: Path, name: str) -> int | None:
    """The number of the step that `best` or `last` names; None before the first one is saved."""
    found = _read_pointer(folder, name)
    return None if found is None else found.number


def _read_pointer(folder: Path, name: str) -> Pointer | None:
    path = folder / name
    if not path.exists():
        return None
    found = re.fullmatch(rb"([0-9]{1,18}) ([0-9a-f]{64})\n", _plain_bytes(path))
    if found is None:
        raise UserError(f"`{path}` is damaged: it names no step", str(path))
    return Pointer(int(found[1]), found[2].decode())


def load_step(folder: Path, which: str, with_state: bool = False) -> Step:
    """The step that `which` (best or last) names, every byte checked: pointer to manifest, manifest to files. Of a folder of
    weights alone (`save_alone`) the one that it holds."""
    found = _read_pointer(folder, which)
    if found is None and not (folder / "model.safetensors").is_file():
        raise UserError(f"`{folder}` has no saved step", str(folder), "train it first")
    if found is None and with_state:
        fix = f"start another training from it: --from {folder}"
        raise UserError(f"`{folder}` holds weights alone, and no training to go on with", str(folder), fix)
    step = folder if found is None else folder / "steps" / str(found.number)
    data = _plain_bytes(step / "manifest.json")
    if found is not None and hashlib.sha256(data).hexdigest() != found.manifest:
        raise _damaged(step / "manifest.json", f"what `{which}` says")
    manifest = read_json(step / "manifest.json")
    if not isinstance(manifest, dict) or not {"step", "files", "progress"} <= manifest.keys():
        raise UserError(f"`{step / 'manifest.json'}` is damaged: it lists no files", str(step))
    for name in ("config.json", "codec.json"):
        _checked(folder / name, manifest["files"].get(name))
    weights = _tensors(step / "model.safetensors", manifest["files"].get("model.safetensors"))
    state = {}
    if with_state:
        state = _tensors(step / "state.safetensors", manifest["files"].get("state.safetensors"))
    return Step(manifest["step"], weights, state, manifest["progress"])


def _checked(path: Path, account: dict[str, Any] | None) -> bytes:
    data = _plain_bytes(path)
    if account is None or _account(data) != account:
        raise _damaged(path, "what its manifest says")
    return data


def _plain_bytes(path: Path) -> bytes:
    if path.is_symlink():
        raise UserError(f"`{path}` is a link; a run folder holds plain files", str(path))
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"`{path}` is missing: the run is damaged", str(path), "copy the run folder again, or train again"
        ) from None
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None


def _damaged(path: Path, expected: str) -> UserError:
    return UserError(f"`{path}` is damaged: it is not {expected}", str(path), "copy the run folder again, or train again")


def _tensors(path: Path, account: dict[str, Any] | None) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = _checked(path, account)
    if int.from_bytes(data[:8], "little") > HEADER_LIMIT:
        raise UserError(f"`{path}` has a header of over {HEADER_LIMIT >> 20} MB; it is none of ours", str(path))
    try:
        return load(data)
    except SafetensorError:
        raise UserError(f"`{path}` is damaged: it is no safetensors file", str(path)) from None


def environment() -> dict[str, Any]:
    """What the numbers of a run depend on beside its config."""
    import platform

    import torch

    from . import __version__

    return {
        "unrolled": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "machine": platform.machine(), "system": platform.system(), "threads": torch.get_num_threads(),
    }  # fmt: skip


def log(folder: Path, entry: dict[str, Any]) -> None:
    """Add a line to log.jsonl; a line cut short by a kill is ended first, and skipped by read_log."""
    path = folder / "log.jsonl"
    try:
        with open(path, "ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                file.write(b"" if file.read(1) == b"\n" else b"\n")
            file.write(json.dumps(entry).encode() + b"\n")
    except OSError as error:
        raise of_system(error, "writing", str(path)) from None


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of log.jsonl."""
    path = folder / "log.jsonl"
    entries = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            entries.append(json.loads(line))
    return entries
