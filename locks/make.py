"""Write linux-x86_64.txt and torch.txt: SHA-256 of every wheel that the package and its extras install.

Which packages those are, the ones installed here say (`make .venv/ready` installs all); which versions, constraints.txt; what
their wheels' hashes are for each Python, pip.

    python locks/make.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64")
DEVELOPERS = ("dev", "bench")  # extras that nobody serves with
TORCH = "torch"  # apart: the builds for the CPU and for GPUs have other hashes, and need other packages
HEAD = {
    "linux-x86_64": """# pip install --require-hashes -r locks/linux-x86_64.txt  (after torch; before unrolled)
# unrolled's packages and those of its extras but dev and bench; Linux on x86-64, CPython 3.11 to 3.13.
""",
    "torch": """# pip install --no-deps --require-hashes -r locks/torch.txt
# The wheels that pip takes by itself, built for CUDA. The hash of one for the CPU is another: add it.
""",
}


def pins() -> dict[str, str]:
    """constraints.txt: version by name."""
    rows = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    return {canonicalize_name(name): version.strip() for name, version in rows}


def declared() -> list[Requirement]:
    """What pyproject.toml asks for, without developers' extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name, some in extras.items() if name not in DEVELOPERS for line in some)]
    return [Requirement(line) for line in lines]


def needed(python: str) -> set[str]:
    """The names of all packages that a Python gets, torch and what it brings left out."""
    environment = default_environment() | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": "x86_64",
    }
    found: set[str] = set()
    asked = [one for one in declared() if one.name != "triton"]
    while asked:
        one = asked.pop()
        name = canonicalize_name(one.name)
        if name == TORCH or (one.marker and not any(one.marker.evaluate(environment | {"extra": e}) for e in ("", *one.extras))):
            continue
        new = name not in found
        found.add(name)
        for line in metadata.requires(name) or () if new or one.extras else ():
            inner = Requirement(line)
            wanted = inner.marker is None or any(inner.marker.evaluate(environment | {"extra": e}) for e in ("", *one.extras))
            if wanted:
                inner.marker = None
                asked.append(inner)
    return found


def hashes(names: set[str], python: str, versions: dict[str, str]) -> dict[str, str]:
    """The SHA-256 of each package's wheel, as the index says it."""
    with tempfile.TemporaryDirectory() as folder:
        report, asked = Path(folder) / "report.json", [f"{name}=={versions[name]}" for name in sorted(names)]
        systems = [word for system in SYSTEMS for word in ("--platform", system)]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps",
                   "--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *systems,
                   "--target", str(Path(folder) / "none"), "--report", str(report), *asked]  # fmt: skip
        subprocess.run(command, check=True)
        rows = json.loads(report.read_text())["install"]
    return {canonicalize_name(row["metadata"]["name"]): row["download_info"]["archive_info"]["hashes"]["sha256"] for row in rows}


def write(name: str, packages: dict[str, set[str]], versions: dict[str, str]) -> None:
    """One lock of these packages by Python."""
    found: dict[str, dict[str, str]] = {}
    for python, names in packages.items():
        for package, digest in hashes(names, python, versions).items():
            found.setdefault(package, {})[python] = digest
    lines = [HEAD[name]]
    for package, digests in sorted(found.items()):
        some = [python for python in PYTHONS if python in digests]
        marker = "" if len(some) == len(PYTHONS) else f" ; {' or '.join(f'python_version == {python!r}' for python in some)}"
        ends = "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(set(digests.values())))
        lines.append(f"{package}=={versions[package]}{marker}{ends}\n")
    (ROOT / "locks" / f"{name}.txt").write_text("".join(lines))


if __name__ == "__main__":
    versions = pins()
    write("linux-x86_64", {python: needed(python) for python in PYTHONS}, versions)
    write("torch", {python: {TORCH} for python in PYTHONS}, versions)
