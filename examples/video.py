from pathlib import Path

import unrolled
from unrolled import run_report
from unrolled.tasks import video

data = video.demo(Path("data"))
run = unrolled.train("video", data, frames=6, size=24, hidden=64, steps=80, evaluations=4, out="moves")
run_report.curves("video.svg", {"a GRU over frames": run.folder}, "accuracy")
