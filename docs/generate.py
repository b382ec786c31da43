"""Writes the pages that come from the program: docs/command-line.md from `--help`, docs/measurements.md and the tables of
some other pages from bench/results, the scripts in the pages of the course from examples/."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from bench.harness import table  # noqa: E402
from unrolled.cli import VECTOR_VERBS, VERBS, cli  # noqa: E402
from unrolled.tasks import TASKS  # noqa: E402

PROTOCOL = """Quality: every symbol of the held-out text is predicted once (`symbols` says how many), with the sharpness of the logits
fitted on a part of the same text, one number (docs/language.md). Sizes, rates and dropout of the default settings were chosen
on tiny-shakespeare's held-out part too, so its figures are those of a development text. Seeds differ by about 0.015 nats.
A run times itself from a speed measured at its start, on shared machines: `wall_seconds` says what it took.

Not reached: 1.40 nats in ten minutes on tiny-shakespeare (1.416). The net learns its million characters by heart before that: 384 units
with dropout 0.5, for 15 passes or for 22, end alike (1.43, calibrated 1.41); weaker dropout is worse, and so are dropped
recurrent weights and strong weight decay. Dynamic evaluation goes well below. On CPUs without bfloat16 units (AMX) a net of one
layer is chosen and trains about half as fast in float32; no figure of such a machine is here."""
PAGES = [[], ["train"], *(["train", task] for task in TASKS), *([verb] for verb in VERBS if verb != "train")]
PAGES += [["vectors", verb] for verb in VECTOR_VERBS]
WHAT = {
    "start": "Time to `unrolled --help`.",
    "shakespeare-81-seconds": "tiny-shakespeare, first 90 % to train on, the whole last 10 % validated, 81 seconds from the "
    "command's start, default settings. For scale: nanoGPT's CPU recipe in the same time on such a machine 1.898 nats, its "
    "published GPU run 1.4697. `dynamic` is the same run under dynamic evaluation.",
    "shakespeare-10-minutes": "The same, ten minutes.",
    "latex-30-minutes": "The Stacks Project's LaTeX source, first 90 % to train on, 30 minutes, default settings.",
    "demo": "`make demo`: two minutes on the standard library's own source.",
}


def command_line() -> str:
    """Every verb's help, as the terminal shows it."""
    codes = "0 done, 1 the run failed, 2 bad input or usage, 3 a missing extra, 4 a limit, 130 interrupted"
    parts = [f"# Command line\n\nExit codes: {codes}.\n"]
    for words in PAGES:
        shown = CliRunner().invoke(cli, [*words, "--help"], prog_name="unrolled", terminal_width=110).output
        parts.append(f"## {' '.join(['unrolled', *words])}\n```\n{shown.rstrip()}\n```\n")
    return "\n".join(parts)


def measurements() -> str:
    """Every result that bench/results holds, with its command, machine and date."""
    parts = [
        f"# Measurements\n\n{PROTOCOL}\n\nEach table comes from the command above it; `make docs` writes the page from what they stored.\n"
    ]
    for name, what in WHAT.items():
        path = HERE.parent / "bench" / "results" / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            parts.append(
                f"## {name}\n{what}\n\n`{result['command']}`, {where(result['environment'])}\n\n{table(result['rows'])}\n"
            )
    return "\n".join(parts)


WITH_TABLES = (
    "performance.md",
    "embed.md",
    "classify.md",
    "tag.md",
    "translate.md",
    "speech.md",
    "trigger.md",
    "wavenet.md",
    "video.md",
)
MARK = re.compile(r"(<!-- table ([\w-]+) -->\n).*?(<!-- end -->)", re.S)


def with_tables(page: str) -> str:
    """The page with its tables, and the command and machine of each, put between their marks."""

    def filled(mark: re.Match) -> str:
        path = HERE.parent / "bench" / "results" / f"{mark[2]}.json"
        if not path.exists():
            return mark[0]
        result = json.loads(path.read_text())
        return f"{mark[1]}`{result['command']}`, {where(result['environment'])}\n\n{table(result['rows'])}\n{mark[3]}"

    return MARK.sub(filled, page)


SCRIPT = re.compile(r"(<!-- script (\S+) -->\n).*?(<!-- end -->)", re.S)
LANGUAGES = {".py": "python", ".sh": "sh"}


def with_script(page: str) -> str:
    """A page of the course with its script, as examples/ has it, put between its marks."""

    def filled(mark: re.Match) -> str:
        path = HERE.parent / "examples" / mark[2]
        return f"{mark[1]}```{LANGUAGES[path.suffix]}\n{path.read_text()}```\n{mark[3]}"

    return SCRIPT.sub(filled, page)


def where(environment: dict[str, Any]) -> str:
    amx = ", AMX" if environment["amx"] else ""
    return (
        f"{environment['threads']} thread{'s' * (environment['threads'] > 1)} of {environment['processor']}{amx}, torch {environment['torch']}, "
        f"Python {environment['python']}, commit {environment['commit']}, {environment['date']}"
    )


if __name__ == "__main__":
    (HERE / "command-line.md").write_text(command_line())
    (HERE / "measurements.md").write_text(measurements())
    for name in WITH_TABLES:
        page = HERE / name
        page.write_text(with_tables(page.read_text()))
    for page in (HERE / "course").glob("*.md"):
        page.write_text(with_script(page.read_text()))
    names = ", ".join(WITH_TABLES)
    click.echo(f"wrote docs/command-line.md, docs/measurements.md, the tables of {names}, the scripts of the course", err=True)
