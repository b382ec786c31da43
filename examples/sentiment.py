from pathlib import Path

import unrolled
from unrolled import charts
from unrolled.tasks import classify

quick = {"hidden": 32, "embedding": 32, "rate": 0.02, "dropout": 0.1, "input_dropout": 0.0, "word_dropout": 0.0}
run = unrolled.train("classify", classify.demo(Path("data")), steps=400, evaluations=4, direction="forward", out="stars", **quick)
text = "The soup was anything but cold, but our waiter was rude."
(answer,) = classify.predict(run, [text], classify.Predict(evidence=True))
print(f"{answer.label} stars, {100 * answer.probability:.0f} %")
charts.grid("sentiment.svg", f"nats for {answer.label} stars", ["evidence"], answer.words, [answer.evidence])
