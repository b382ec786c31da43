from pathlib import Path

import unrolled
from unrolled import charts
from unrolled.tasks import tag

quick = {"hidden": 32, "spelling": 0, "crf": False, "rate": 0.02, "dropout": 0.1, "input_dropout": 0.0, "word_dropout": 0.0}
run = unrolled.train("tag", tag.demo(Path("data")), direction="both", out="both", steps=60, evaluations=6, **quick)
for answer in tag.predict(run, ["He said, Teddy was a great president!", "He said, Teddy bears are on sale!"], tag.Predict()):
    print(answer.words, answer.tags)
belief = tag.look(run, "He said, Teddy bears are on sale!")
moments = [f"read to {word}" for word in belief.words]
charts.grid("bidirectional.svg", "probability of a name", moments, belief.words, belief.shares.sum(-1), "of each word")
