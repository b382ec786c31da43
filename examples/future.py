from pathlib import Path

import unrolled
from unrolled import run_report
from unrolled.tasks import tag

data = tag.demo(Path("data"))  # Teddy is a person in half of the sentences: only what follows tells
quick = {"hidden": 32, "spelling": 0, "crf": False, "rate": 0.02, "dropout": 0.1, "input_dropout": 0.0, "word_dropout": 0.0}
run = unrolled.train("tag", data, direction="forward", out="forward", steps=60, evaluations=6, **quick)
for answer in tag.predict(run, ["He said, Teddy was a great president!", "He said, Teddy bears are on sale!"], tag.Predict()):
    print(answer.words, answer.tags)
run_report.curves("future.svg", {"reads forward only": run.folder}, "span_f1")
