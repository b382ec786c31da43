from pathlib import Path

import unrolled
from unrolled import charts
from unrolled.charts import Line
from unrolled.tasks import trigger

(data,) = trigger.demo(Path("data"))
run = unrolled.train("trigger", data, hidden=32, layers=1, example=3.0, batch=16, steps=60, evaluations=2, out="word")
heard = trigger.look(run, next(str(path) for path in sorted(data.glob("positive/*.wav"))))
lines = {"the word": Line(heard.times, heard.probabilities[:, 0])}
charts.lines("trigger.svg", "probability that the word has just been said", "seconds", lines, {"threshold": heard.threshold})
