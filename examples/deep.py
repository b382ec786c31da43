from pathlib import Path
from random import Random

from unrolled import run_report, train, unrolling

draw, text, runs = Random(1).choice, "", {}
for _ in range(3000):  # sentences in which verb and noun agree over a few words
    noun, verb = draw([("dog", "barks"), ("dogs", "bark"), ("bird", "sings"), ("birds", "sing")])
    text += f"the {draw(['old', 'small', 'grey'])} {noun} in the {draw(['garden', 'house', 'street'])} {verb} .\n"
Path("garden.txt").write_text(text)
for layers in (1, 3):
    run = train("language", "garden.txt", hidden=64, layers=layers, steps=60, evaluations=6, out=f"{layers}-layers")
    runs[f"{layers} x 64 units"] = run.folder
run_report.curves("deep.svg", runs, "bits_per_character")
Path("deep-graph.svg").write_text(unrolling.svg(run.task.picture(run.model)))
