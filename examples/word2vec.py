from pathlib import Path
from random import Random

from unrolled import Vectors, charts, train

draw, text = Random(1).choice, ""
kinds = {"drink": ["juice", "tea", "milk"], "eat": ["bread", "rice", "soup"], "read": ["books", "poems", "news"]}
for _ in range(6000):
    verb, objects = draw(list(kinds.items()))
    text += f"{draw(['we', 'they', 'you'])} {verb} {draw(['fresh', 'good', 'more'])} {draw(objects)} {draw(['today', 'now'])}\n"
Path("corpus.txt").write_text(text)
train("embed", "corpus.txt", dimensions=16, epochs=5, output="softmax", sample=0.0, out="words")
vectors, words = Vectors.open("words"), [word for kind in kinds.values() for word in kind]
print(f"tea and milk: {vectors.similarity('tea', 'milk'):.2f}; tea and books: {vectors.similarity('tea', 'books'):.2f}")
charts.grid("word2vec.svg", "cosine", words, words, [[vectors.similarity(a, b) for a in words] for b in words])
