from pathlib import Path

import unrolled
from unrolled import charts
from unrolled.tasks import classify

run = unrolled.train("classify", classify.demo(Path("data")), hidden=32, steps=100, evaluations=5, out="stars")
text = "the food was not good , but the service was lovely"
(answer,) = classify.predict(run, [text], classify.Predict(evidence=True))
print(answer.label, answer.probabilities)
charts.grid("sentiment.svg", f"nats for {answer.label} stars", ["evidence"], answer.words, [answer.evidence])
