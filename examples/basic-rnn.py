import torch

import unrolled
from unrolled import charts

torch.manual_seed(1)
word, layer = "recurrent", unrolled.RNN(26, 12, batch_first=True)
x = torch.eye(26)[[ord(letter) - ord("a") for letter in word]]  # (T, 26), a one-hot row for each letter
W_xh, W_hh, b_h = layer.parameters()
h, states = torch.zeros(12), []
for x_t in x:
    h = torch.tanh(W_hh @ h + W_xh @ x_t + b_h)
    states.append(h)
print(f"largest difference from the layer: {(torch.stack(states) - layer(x[None])[0]).abs().max():.0e}")
charts.grid("basic-rnn.svg", "hidden state h after each letter", range(1, 13), word, torch.stack(states).T.detach(), "time →")
