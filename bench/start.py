"""How long `unrolled --help` takes, beside `python -c pass`, each as a fresh process."""

from __future__ import annotations

import subprocess
import sys

from .harness import alternate, save


def run(data: str | None) -> None:
    def process(*arguments: str):
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    found = alternate(process("-m", "unrolled", "--help"), process("-c", "pass"))
    save("start", [{"help_seconds": found["ours_seconds"], "bare_python_seconds": found["peer_seconds"]}])
