from pathlib import Path

import unrolled
from unrolled import run_report
from unrolled.tasks import language

(text,) = language.demo(Path("data"))  # 2 MB of Python
run = unrolled.train("embed", text, method="glove", dimensions=64, epochs=10, out="glove")
vectors = unrolled.Vectors.open(run.folder)
for word in ("True", "read", "int"):
    print(word, [f"{near.word} {near.similarity:.2f}" for near in vectors.nearest(word, 4, among=600)])
run_report.curves("glove.svg", {"GloVe": run.folder}, "train")
