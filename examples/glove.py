from pathlib import Path

import unrolled
from unrolled import run_report
from unrolled.tasks import language

(text,) = language.demo(Path("data"))  # 2 MB of Python
run = unrolled.train("embed", text, method="glove", dimensions=64, epochs=10, out="glove")
vectors = unrolled.Vectors.open(run.folder)
for word in ("read", "int", "first"):
    print(word, [near.word for near in vectors.nearest(word, 4)])
run_report.curves("glove.svg", {"GloVe": run.folder}, "training_weighted_squares")
