from pathlib import Path

import unrolled
from unrolled import run_report
from unrolled.tasks import wavenet

data = wavenet.demo(Path("data"))
run = unrolled.train("wavenet", data, cycles=1, layers=8, residual=16, skip=64, steps=80, evaluations=4, out="strings")
made = wavenet.compose(run, wavenet.Sample(seconds=1.0, out="new.wav"), None)
print(made)
run_report.curves("wavenet.svg", {"WaveNet": run.folder}, "nats_per_sample")
