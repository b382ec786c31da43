import torch

from unrolled import GRU, charts

layer, x = GRU(1, 1, batch_first=True).requires_grad_(False), torch.zeros(1, 60, 1)
x[0, 5] = 1.0  # one pulse in a row of zeros
W, U, b = layer.parameters()  # rows for z, r and the candidate
W[:], U[:], b[:] = torch.tensor([[6.0], [0.0], [3.0]]), 0.0, 0.0
states = {}
for bias in (-1.0, -3.0, -5.0):
    b[0] = bias  # b_z: how far the update gate is open where nothing comes in
    z, h = torch.sigmoid(b[0]).item(), layer(x)[0][0, :, 0]
    print(f"z = {z:.3f} at rest: after the pulse each step keeps {h[7] / h[6]:.3f}")
    states[f"z = {z:.3f} at rest"] = h.tolist()
charts.lines("gru.svg", "state h of a GRU of one unit", "step t, a pulse at 5", states, {})
