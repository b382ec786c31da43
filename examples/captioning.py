from pathlib import Path

import numpy as np

from unrolled import charts, coloured_shapes, train
from unrolled.data import pictures
from unrolled.tasks import caption

for number, drawn in enumerate(map(coloured_shapes.draw, [np.random.default_rng(1)] * 600)):
    Path(f"{number}.png").write_bytes(pictures.png(drawn.pixels))
    Path(f"{number}.txt").write_text(drawn.caption + "\n")
run = train("caption", ".", steps=80, evaluations=2, size=48, width=48, hidden=64, embedding=32, out="captions")
seen = caption.look(run, "0.png")
words = [word if place == seen.weights.shape[2] // 2 else "" for word in seen.words for place in range(seen.weights.shape[2])]
charts.grid("captioning.svg", "α: where it looks at each word", [], words, np.concatenate(list(seen.weights), 1))
