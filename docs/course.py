"""python docs/course.py [TOPIC …]: runs the scripts of the course, each in an empty folder, and keeps what they draw."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"


def run(script: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        program = sys.executable if script.suffix == ".py" else "bash"
        subprocess.run(
            [program, script], cwd=folder, check=True, env={**os.environ, "PATH": path, "PYTHONPATH": str(HERE.parent)}
        )
        for picture in Path(folder).glob(f"{script.stem}*.svg"):
            shutil.copy(picture, HERE / "course" / picture.name)
        print(f"{time.monotonic() - began:.1f} s  {script.name}", file=sys.stderr)


if __name__ == "__main__":
    for script in sorted(EXAMPLES.iterdir()):
        if len(sys.argv) == 1 or script.stem in sys.argv[1:]:
            run(script)
