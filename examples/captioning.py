from pathlib import Path

import numpy as np

from unrolled import charts, coloured_shapes, train
from unrolled.data import pictures
from unrolled.tasks import caption

for number in range(600):
    drawn = coloured_shapes.draw(np.random.default_rng(number))
    Path(f"{number}.png").write_bytes(pictures.png(drawn.pixels))
    Path(f"{number}.txt").write_text(drawn.caption + "\n")
seen = caption.look(train("caption", ".", steps=60, evaluations=3, size=48, out="captions"), "0.png")
words = [word if place == seen.weights.shape[2] // 2 else "" for word in seen.words for place in range(seen.weights.shape[2])]
charts.grid("captioning.svg", "α: where it looks at each word", [], words, np.concatenate(list(seen.weights), 1))
