"""What this machine offers and what the package uses of it, and why: `unrolled doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil

import numba
import torch

from . import __version__
from .cells import CELLS
from .kernels import choice

PACKAGES = ("numpy", "safetensors", "tokenizers", "accelerate", "click")


def report() -> list[tuple[str, str]]:
    """Pairs of a thing and what there is to say of it."""
    return [*_versions(), *_devices(), *_kernels(), *_loops(), ("disk", f"{shutil.disk_usage('.').free / 1e9:.0f} GB free here")]


def _versions() -> list[tuple[str, str]]:
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return [
        ("unrolled", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("torch", torch.__version__),
        ("packages", packages),
    ]


def _devices() -> list[tuple[str, str]]:
    capability = torch.backends.cpu.get_cpu_capability()
    fast = "yes (AMX): --precision auto uses it" if torch.cpu._is_amx_tile_supported() else "no: --precision auto is float32"
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [
        ("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {capability}"),
        ("bfloat16 on the cpu", fast),
        ("cuda", ", ".join(gpus) or ("none found" if torch.version.cuda else "this torch is built without it")),
        ("mps", "found" if torch.backends.mps.is_available() else "none found"),
    ]


def _kernels() -> list[tuple[str, str]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = []
    for name, make in CELLS.items():
        cell = make(128, 128).to(device)
        training = choice.choose(cell, device, torch.float32, (32, 64))
        ragged = choice.choose(cell, device, torch.float32, (32, 64), ragged=True)
        stepping = choice.choose_step(cell)
        found.append((f"{name} training", f"{training.name}: {training.why}"))
        if ragged != training:
            found.append((f"{name} training, ragged", f"{ragged.name}: {ragged.why}"))
        found.append((f"{name} stepping", f"{stepping.name}: {stepping.why}"))
    return found


def _loops() -> list[tuple[str, str]]:
    from .kernels import measured, threads, vectors

    openmp = "torch's own OpenMP threads" if threads.openmp() else "Python threads: torch's OpenMP was not found"
    return [
        ("compiled loops", f"numba {numba.__version__}, {8 * vectors.VECTOR_BYTES} bit vectors, on {openmp}"),
        *((f"measured: {question}", answer) for question, answer in measured.answers().items()),
    ]
