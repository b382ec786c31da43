from pathlib import Path

import unrolled
from unrolled import charts
from unrolled.tasks import speech

data = speech.demo(Path("data"))
run = unrolled.train("speech", data, symbols="words", hidden=64, layers=1, steps=120, evaluations=4, out="heard")
heard = speech.look(run, "data/clips/000.wav")
print(heard.spans)
charts.grid("speech.svg", "probability of each word over time", heard.names, [], heard.probabilities.T, "time")
