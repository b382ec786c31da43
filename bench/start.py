"""How long a command takes to answer, and what the first use of the compiled loops costs; each in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from .harness import alternate, save


def run(data: str | None) -> None:
    def process(*arguments: str):
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    found = alternate(process("-m", "unrolled", "--help"), process("-c", "pass"))
    save("start", [{"help_seconds": found["ours_seconds"], "bare_python_seconds": found["peer_seconds"]}])


FIRST = """
import sys, time
import numpy as np, torch
from unrolled.recurrent import Recurrent
from unrolled.kernels import writing, stepping
cell, what = sys.argv[1:]
net = Recurrent(cell, 64, 128)
began = time.perf_counter()
if what == "training":
    lengths = torch.tensor([16, 9, 4, 12, 16, 3, 8, 1])
    net(torch.randn(8, 16, 64), None, lengths)[0].sum().backward()
elif what == "stepping":
    step = net.stepper()
    step(np.zeros((1, 1, 64), np.float32), step.start())
else:
    of = writing.net(list(net.cells), torch.randn(65, len(net.cells[0].U)), torch.randn(65, 128), torch.randn(65))
    writing.read(of, np.zeros((1, 1), np.int64), np.zeros((net.cells[0].states, 1, 128), np.float32))
print(time.perf_counter() - began)
"""


def run_first_use(data: str | None) -> None:
    """Seconds of the first call where nothing is compiled yet, and in the next process."""
    rows = []
    for cell in ("rnn", "gru", "gru_after", "lstm"):
        for what in ("training", "stepping", "writing"):
            with tempfile.TemporaryDirectory() as folder:
                environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
                command = [sys.executable, "-c", FIRST, cell, what]
                first, second = (
                    float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
                    for _ in range(2)
                )
            rows.append({"cell": cell, "what": what, "first_seconds": first, "next_process_seconds": second})
    save("first-use", rows)
