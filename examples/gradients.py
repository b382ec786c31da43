import math

import torch

from unrolled import cells, charts, comparison, gradients

found = comparison.starts(comparison.Options(hidden=64, lag=100))
print(f"basic RNN: times {found[0].growth:.3f} a step, by theory {math.exp(found[0].theory.expected):.3f}")
norms = {start.cell: start.norms for start in found if start.cell == "rnn" or start.start != "fresh"}
cell = cells.RNN(16, 64).double()  # with no input and no bias its state stays 0, where tanh is a straight line
torch.nn.init.zeros_(cell.b), torch.nn.init.orthogonal_(cell.U, 1.1)  # every singular value of U is 1.1
norms["rnn, σ = 1.1"] = gradients.reached(gradients.read(cell, torch.zeros(1, 101, 16).double())).norms
tens = {name: [log / math.log(10) for log in logs] for name, logs in norms.items()}
y, x = "log10 of the norm of ∂s⟨T⟩/∂s⟨t⟩", "distance T − t, steps"
charts.lines("gradients.svg", y, x, tens, {"1/e left": -0.434})
