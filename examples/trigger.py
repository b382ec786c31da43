from pathlib import Path

import numpy as np

from unrolled import charts, train
from unrolled.data import sound
from unrolled.tasks import trigger

(data,) = trigger.demo(Path("data"))
run = train("trigger", data, hidden=32, layers=1, example=3.0, batch=8, rate=0.01, dropout=0, budget=60, steps=60, evaluations=1)
clips = [min((data / kind).glob("*.wav")) for kind in ("negative", "positive", "negative")]  # the word stands in the middle
sound.write(Path("three.wav"), np.concatenate([np.pad(sound.read(clip, 16000), (0, 12000)) for clip in clips]), 16000)
heard = trigger.look(run, "three.wav")
line = {"kamito": charts.Line(heard.times, heard.probabilities[:, 0])}
charts.lines("trigger.svg", "probability that the word has just been said", "seconds", line, {"threshold": heard.threshold})
