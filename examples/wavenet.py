from pathlib import Path

import unrolled
from unrolled import run_report
from unrolled.progress import Progress
from unrolled.tasks import wavenet

small = {"cycles": 1, "layers": 8, "residual": 16, "skip": 64, "batch": 2, "length": 2000, "rate": 5e-3}
run = unrolled.train("wavenet", wavenet.demo(Path("data")), steps=100, evaluations=4, out="strings", **small)
(made,) = wavenet.compose(run, wavenet.Sample(seconds=1.0, out="new.wav"), Progress(True))
print(f"{made.path}: {made.times_real_time:.1f} times real time")
run_report.curves("wavenet.svg", {"WaveNet": run.folder}, "nats_per_sample")
