"""A run in Hugging Face's conventions: one folder of weights, settings and a model card, to share and to load. No code in it.

    config.json  codec.json  model.safetensors  report.json (measures alone)  README.md (the card)
    manifest.json (SHA-256 and size of the weights, config and codec)

What `unrolled.load` and every verb take for a run; it cannot be resumed, but other trainings can start from it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from . import api, run_report, tables, tasks
from . import run as folders
from .errors import MISSING_EXTRA, RUN_FAILED, UserError

CARD = "README.md"
BESIDE = ("transcripts.txt",)  # what a speech run counts its n-grams from
FILES = ("config.json", "codec.json", "model.safetensors", "manifest.json", "report.json", CARD, *BESIDE)
KEPT = ("dev", "baselines", "environment", "steps", "best_step", "seconds", "rollbacks", "weights")  # of a report: no example
PIPELINES = {
    "classify": "text-classification", "tag": "token-classification", "translate": "translation", "language": "text-generation",
    "speech": "automatic-speech-recognition", "caption": "image-to-text", "video": "video-classification",
    "trigger": "audio-classification", "wavenet": "text-to-audio",
}  # fmt: skip


def save_pretrained(run: api.Run, folder: str | Path) -> Path:
    """Write a finished run to a new folder; a UserError where one is there, or the run has no report."""
    folder = Path(folder)
    path = run.folder / "report.json"
    if not path.exists():
        raise UserError(f"`{run.folder}` is not finished: it has no report", fix=f"unrolled train --resume {run.folder}")
    about, report = folders.read_config(run.folder), folders.read_json(path)
    about["config"] = {name: _without_places(value) for name, value in about["config"].items()}
    with folders.creating(folder) as staging:
        folders.write_json(staging / "config.json", about)
        for name in ("codec.json", *BESIDE):
            if (run.folder / name).exists():
                shutil.copy(run.folder / name, staging / name)
        folders.write_json(staging / "report.json", {name: report[name] for name in KEPT if name in report})
        folders.write_bytes(staging / CARD, card(about, report, folder.name).encode())
        folders.save_alone(staging, folders.load_step(run.folder, "best"))
        folders.publish(staging, folder)
    return folder


def _without_places(value: Any) -> Any:
    """Names of files without the folders that they lay in: those are nobody's business."""
    return [Path(one).name if isinstance(one, str) else one for one in value] if isinstance(value, list) else value


def from_pretrained(name: str | Path, revision: str | None = None) -> api.Run:
    """The run in a folder that `save_pretrained` wrote, or in a repository of that name on the hub, whose files are fetched and
    kept as huggingface_hub does. A UserError where there is neither, or a file is damaged."""
    if Path(name).is_dir():
        return api.load(name)
    hub = _huggingface_hub()
    try:
        return api.load(hub.snapshot_download(str(name), revision=revision, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:
        said = f"there is no folder `{name}`, and the hub gives no model of this name: {_first_line(error)}"
        raise UserError(said, fix="the folder that save_pretrained wrote, or owner/name") from None


def push_to_hub(run: api.Run, name: str, private: bool = True) -> str:
    """Put a run into the repository `owner/name` of the hub, which is made where there is none; its address. A UserError with
    what the hub says where it refuses."""
    hub = _huggingface_hub()
    with tempfile.TemporaryDirectory() as place:
        folder = save_pretrained(run, Path(place) / name.rpartition("/")[2])
        try:
            client = hub.HfApi()
            client.create_repo(name, private=private, exist_ok=True)
            return str(client.upload_folder(folder_path=folder, repo_id=name, commit_message="A run of unrolled"))
        except (OSError, ValueError) as error:
            fix = "hf auth login, with a token that may write; and a name as owner/name"
            raise UserError(f"the hub did not take `{name}`: {_first_line(error)}", fix=fix, code=RUN_FAILED) from None


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        fix = "pip install 'unrolled[hub]', or name a folder"
        raise UserError("a model of the hub needs the package `huggingface_hub`", fix=fix, code=MISSING_EXTRA) from None
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


# --- the card


def card(about: dict[str, Any], report: dict[str, Any], name: str) -> str:
    """What a model card tells (Mitchell et al. 2019), as Markdown with the hub's front matter."""
    task = about["task"]
    head = ["---", "library_name: unrolled", "tags:", "- recurrent-neural-network", f"- {task}"]
    head += [f"pipeline_tag: {PIPELINES[task]}"] * (task in PIPELINES) + ["---"]
    columns = {"this model": report["dev"], **report.get("baselines", {})}
    names = [key for key, value in report["dev"].items() if isinstance(value, (int, float))]
    rows = [[key, *(_number(measures.get(key)) for measures in columns.values())] for key in names]
    use = f'import unrolled\n\nrun = unrolled.from_pretrained("{name}")  # this folder, or owner/name on the hub'
    return "\n".join([
        *head, "", f"# {name}", "", f"A recurrent model of unrolled: {tasks.TASKS[task]}.", "",
        "## How well", "On what it was not trained on, beside what is reached without it:", "",
        _row(["measure", *columns]), _row(["---"] * (1 + len(columns))), *map(_row, rows), "",
        "## Use", "```", "pip install unrolled", f"unrolled info {name}", "```", "```python", use, "```", "",
        "## Training", "```", run_report.command(about), "```",
        f"{report['weights']:,} weights, {report['seconds']:,.0f} s. The files hold numbers and settings, no code.", "",
        "```json", json.dumps(report["environment"]), "```", "",
    ])  # fmt: skip


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _number(value: Any) -> str:
    return tables.number(value) if isinstance(value, (int, float)) else ""
