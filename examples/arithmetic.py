from random import Random

from unrolled import Vectors, charts, train

pairs = [("man", "woman"), ("king", "queen"), ("uncle", "aunt")]
about, draw = ["walks works talks", "rules reigns throne", "visits cousin family"], Random(1).choice
with open("corpus.txt", "w") as file:
    for _ in range(15000):
        kind, woman = draw(range(3)), draw((0, 1))
        file.write(f"{draw([('his', 'him'), ('her', 'she')][woman])} {pairs[kind][woman]} {draw(about[kind].split())}\n")
vectors = Vectors.open(train("embed", "corpus.txt", dimensions=16, epochs=5, sample=0.0, out="words").folder)
print("man is to woman as king is to {} ({:.2f})".format(*vectors.analogy("man", "woman", "king", 1)[0]))
she, royal = vectors["woman"] - vectors["man"], vectors["king"] - vectors["man"]
places = {word: (float(vectors[word] @ royal), float(vectors[word] @ she)) for pair in pairs for word in pair}
charts.dots("arithmetic.svg", "along woman - man", "along king - man", places)
