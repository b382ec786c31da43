from pathlib import Path

import unrolled
from unrolled import charts
from unrolled.tasks import speech

data = speech.demo(Path("data"))
small = {"symbols": "words", "hidden": 64, "layers": 1, "join": 1.0, "augment": 0.0, "masks": 0, "rate": 1e-2, "hertz": 8000}
run = unrolled.train("speech", data, steps=350, evaluations=3, out="heard", **small)
heard = speech.look(run, "data/clips/000.wav")
print(heard.spans)
lines = {name: charts.Line(heard.times, heard.probabilities[:, k]) for k, name in enumerate(heard.names)}
charts.lines("speech.svg", "probability of each word", "seconds", lines, {})
