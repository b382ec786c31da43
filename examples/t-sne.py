from pathlib import Path

import unrolled
from unrolled import charts, word_map
from unrolled.tasks import language

(text,) = language.demo(Path("data"))  # 2 MB of Python
run = unrolled.train("embed", text, dimensions=64, epochs=5, out="words")
figures = word_map.make(unrolled.Vectors.open("words"), word_map.Options(words=300, perplexity=10.0, seed=1), run.folder)
print(f"trustworthiness {figures['trustworthiness']:.3f}, overlap {figures['neighbour_overlap']:.3f}")
rows = [line.split("\t") for line in Path("words/map.tsv").read_text().splitlines()[1:]]
kinds = "0 1 2 True False None if elif for while int float list tuple dict read write open close"
places = {word: (float(x), float(y)) for word, x, y, _ in rows if word in kinds.split()}
charts.dots("t-sne.svg", "t-SNE, second dimension", "first dimension", places)
