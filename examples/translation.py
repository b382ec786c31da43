from pathlib import Path
from random import Random

from unrolled import run_report, train
from unrolled.tasks import translate

colours, nouns = "red/rouge black/noir white/blanc grey/gris", "cat/chat dog/chien horse/cheval duck/canard wolf/loup"
kinds, table, draw = [colours, nouns, "sees/voit follows/suit likes/aime", colours, nouns], "source\ttarget\n", Random(1).choice
for _ in range(4000):  # the colour stands behind in French
    (a, A), (b, B), (c, C), (d, D), (e, E) = (draw(kind.split()).split("/") for kind in kinds)
    table += f"the {a} {b} {c} a {d} {e}\tle {B} {A} {C} un {E} {D}\n"
Path("french.tsv").write_text(table)
run = train("translate", "french.tsv", symbols="words", hidden=64, attention="none", steps=150, evaluations=5, out="french")
print(translate.predict(run, ["the black wolf sees a white cat"], translate.Predict())[0].text)
run_report.curves("translation.svg", {"one vector between": run.folder}, "bleu")
