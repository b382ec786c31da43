from pathlib import Path

import unrolled
from unrolled import charts
from unrolled.tasks import translate

small = {"symbols": "characters", "hidden": 64, "embedding": 32, "smoothing": 0.0}
data = translate.demo(Path("data"))
run = unrolled.train("translate", data, attention="additive", steps=150, evaluations=5, out="looking", **small)
seen = translate.look(run, "Sunday, 9 November 2003")
charts.grid("attention.svg", "α: where the writer looks", seen.written, seen.source, seen.weights, "read")
