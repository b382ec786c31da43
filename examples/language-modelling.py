from pathlib import Path
from random import Random

import unrolled
from unrolled import run_report

draw, book = Random(1).choice, ""
for number in range(1, 3001):  # LaTeX, made up
    kind, a, b = draw(["lemma", "theorem", "remark"]), draw("ABCXYZ"), draw(["compact", "open", "finite", "smooth"])
    text = f"Let ${a}$ be a {b} scheme. Then ${a}_{draw('ijk')}$ is {b}."
    book += f"\\begin{{{kind}}}\n\\label{{{kind}-{number}}}\n{text}\n\\end{{{kind}}}\n\n"
Path("book.tex").write_text(book)
run = unrolled.train("language", "book.tex", hidden=128, layers=1, steps=150, evaluations=6, out="book")
print("\\begin{" + "".join(run.task.sample(run, run.task.Sample(prompt="\\begin{", length=400, temperature=0.5, seed=1))))
run_report.curves("language-modelling.svg", {"LSTM, 128 units": run.folder}, "bits_per_character")
