import numpy as np

from unrolled import charts, coloured_shapes, train
from unrolled.data import pictures

drawn = map(coloured_shapes.draw, [np.random.default_rng(1)] * 3000)
for number, one in enumerate(one for one in drawn if len(one.regions) == 1):
    np.frombuffer(pictures.png(one.pixels), np.uint8).tofile(f"{number}.png")
    np.savetxt(f"{number}.txt", [one.caption], fmt="%s")
small = {"size": 32, "width": 48, "hidden": 64, "embedding": 32, "rate": 0.005, "dropout": 0.0}
run = train("caption", ".", steps=250, evaluations=2, out="captions", **small)
seen = run.task.look(run, "0.png")
maps = np.pad(seen.weights, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)  # an empty column after each
words = [word if place == maps.shape[2] // 2 else "" for word in seen.words for place in range(maps.shape[2])]
charts.grid("captioning.svg", "α: where it looks at each word", [], words, np.concatenate(list(maps), 1))
