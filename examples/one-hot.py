import numpy as np

import unrolled
from unrolled import charts

words = ["man", "woman", "king", "queen", "apple", "orange"]
vectors = unrolled.Vectors.one_hot(words)
E = np.random.default_rng(1).normal(size=(len(words), 4))  # what an embedding learns: a row for each word
print(f"king and queen: {vectors.similarity('king', 'queen'):.1f}; king and apple: {vectors.similarity('king', 'apple'):.1f}")
print(f"largest difference between o E and a row of E: {np.abs(vectors['king'] @ E - E[2]).max():.1f}")
charts.grid("one-hot.svg", "one-hot vectors", words, range(1, 7), vectors.matrix, "number of the word")
