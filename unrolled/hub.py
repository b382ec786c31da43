"""A run in Hugging Face's conventions: one folder of weights, settings and a model card, to share and to load. No code in it.

    config.json  codec.json  model.safetensors  report.json (measures alone)  README.md (the card)
    manifest.json (SHA-256 and size of the weights, config and codec)

What `unrolled.load` and every verb take for a run; it cannot be resumed, but other trainings can start from it.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from . import api, run_report, tables, tasks
from . import run as folders
from .errors import MISSING_EXTRA, RUN_FAILED, UserError, first_line

CARD = "README.md"
BESIDE = ("transcripts.txt",)  # what a speech run counts its n-grams from
FILES = ("config.json", "codec.json", "model.safetensors", "manifest.json", "report.json", CARD, *BESIDE)
DATA = ("floors", "ambiguous")  # of what a config tells of its data: what pages answer with
KEPT = ("dev", "baselines", "environment", "steps", "best_step", "seconds", "rollbacks", "weights")  # of a report: no example
PIPELINES = {
    "classify": "text-classification", "tag": "token-classification", "translate": "translation", "language": "text-generation",
    "speech": "automatic-speech-recognition", "caption": "image-to-text", "video": "video-classification",
    "trigger": "audio-classification", "wavenet": "text-to-audio",
}  # fmt: skip


def save_pretrained(run: api.Run, folder: str | Path, name: str | None = None) -> Path:
    """Write a finished run to a new folder; a UserError where one is there, or the run has no report.

    name  by which the card says it is loaded, where that is not the folder's
    """
    folder = Path(folder)
    path = run.folder / "report.json"
    if not path.exists():
        raise UserError(f"`{run.folder}` is not finished: it has no report", fix=f"unrolled train --resume {run.folder}")
    about, report = folders.read_config(run.folder), folders.read_json(path)
    about = about | {
        "config": {key: value if key == "say" else _without_places(value) for key, value in about["config"].items()},
        "data": {key: about["data"][key] for key in DATA if key in about["data"]}, "from": _without_places(about.get("from")),
    }  # fmt: skip
    with folders.creating(folder) as staging:
        folders.write_json(staging / "config.json", about)
        for file in ("codec.json", *BESIDE):
            if (run.folder / file).exists():
                shutil.copy(run.folder / file, staging / file)
        folders.write_json(staging / "report.json", {key: report[key] for key in KEPT if key in report})
        folders.write_bytes(staging / CARD, card(about, report, name or folder.name).encode())
        folders.save_alone(staging, folders.load_step(run.folder, "best"))
        folders.publish(staging, folder)
    return folder


def _without_places(value: Any) -> Any:
    """Names of files, also in commands, without the folders that they lay in: those are nobody's business."""
    if isinstance(value, list):
        return [_without_places(one) for one in value]
    return re.sub(r"\S*[/\\](?=\S)", "", value.rstrip("/\\")) if isinstance(value, str) else value


def from_pretrained(name: str | Path, revision: str | None = None) -> api.Run:
    """The run in a folder that `save_pretrained` wrote, or in a repository of that name on the hub, whose files are fetched and
    kept beside those of huggingface_hub. A UserError where there is neither, or a file is damaged."""
    if Path(name).is_dir():
        return api.load(name)
    hub = _huggingface_hub()
    place = Path(hub.constants.HF_HOME) / "unrolled" / str(name) / (revision or "main")  # files, where its cache has links
    try:
        hub.snapshot_download(str(name), revision=revision, allow_patterns=list(FILES), local_dir=place)
    except (OSError, ValueError) as error:
        said = f"there is no folder `{name}`, and the hub gives no model of this name: {first_line(error)}"
        raise UserError(said, fix="the folder that save_pretrained wrote, or owner/name") from None
    return api.load(place)


def push_to_hub(run: api.Run, name: str, private: bool = True) -> str:
    """Put a run into the repository `owner/name` of the hub, which is made where there is none; its address. A UserError with
    what the hub says where it refuses."""
    hub = _huggingface_hub()
    with tempfile.TemporaryDirectory() as place:
        folder = save_pretrained(run, Path(place) / name.rpartition("/")[2], name)
        try:
            client = hub.HfApi()
            client.create_repo(name, private=private, exist_ok=True)
            return str(client.upload_folder(folder_path=folder, repo_id=name, commit_message="A run of unrolled"))
        except (OSError, ValueError, hub.errors.HTTPError) as error:
            fix = "hf auth login, with a token that may write; and a name as owner/name"
            raise UserError(f"the hub did not take `{name}`: {first_line(error)}", fix=fix, code=RUN_FAILED) from None


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        fix = "pip install 'unrolled[hub]', or name a folder"
        raise UserError("a model of the hub needs the package `huggingface_hub`", fix=fix, code=MISSING_EXTRA) from None
    return huggingface_hub


# --- the card


def card(about: dict[str, Any], report: dict[str, Any], name: str) -> str:
    """What a model card tells (Mitchell et al. 2019), as Markdown with the hub's front matter."""
    task = about["task"]
    head = ["---", "library_name: unrolled", "tags:", "- recurrent-neural-network", f"- {task}"]
    head += [f"pipeline_tag: {PIPELINES[task]}"] * (task in PIPELINES) + ["---"]
    columns = {"this model": report["dev"], **report.get("baselines", {})}
    names = [key for key, value in report["dev"].items() if isinstance(value, (int, float))]
    rows = [[key, *(tables.number(measures.get(key)) for measures in columns.values())] for key in names]
    use = f'import unrolled\n\nrun = unrolled.from_pretrained("{name}")'
    on_hub = f"pip install 'unrolled[hub]'\nhf download {name} --local-dir model\nunrolled info model"
    shell = on_hub if "/" in name else f"pip install unrolled\nunrolled info {name}"
    return "\n".join([
        *head, "", f"# {name}", "", f"A recurrent model of unrolled: {tasks.TASKS[task]}.", "",
        "## How well", "On what it was not trained on, beside what is reached without it:", "",
        _row(["measure", *columns]), _row(["---"] * (1 + len(columns))), *map(_row, rows), "",
        "## Use", "```", shell, "```", "```python", use, "```", "",
        "## Training", "```", run_report.command(about), "```",
        f"{report['weights']:,} weights, {report['seconds']:,.0f} s. The files hold numbers and settings, no code.", "",
        "```json", json.dumps(report["environment"]), "```", "",
    ])  # fmt: skip


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
