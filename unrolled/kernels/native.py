"""torch's own recurrent layers, where they compute the same equation as cells.py: RNN, gru_after and LSTM."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .. import cells

LAYERS = {cells.RNN: torch._VF.rnn_tanh, cells.GRUAfter: torch._VF.gru, cells.LSTM: torch._VF.lstm}


def run(cell: nn.Module, U: Tensor, x: Tensor, state: cells.State, lengths: Tensor | None):
    """x (B, T, I), state (B, H) each; see kernels/__init__ for the contract."""
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        with torch.autocast("cpu", enabled=False):  # oneDNN's LSTM refuses bfloat16 where the processor has no such unit
            return run(cell, U.float(), x.float(), tuple(s.float() for s in state), lengths)
    layer, weights = LAYERS[type(cell)], flat_weights(cell, U)
    options = (cell.b is not None, 1, 0.0, torch.is_grad_enabled(), False)  # biases, layers, dropout, train, directions
    if lengths is None:
        out, *last = layer(x, _to_layer(state), weights, *options, True)
        return out, tuple(s.squeeze(0) for s in last)
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    sorted_state = tuple(s[packed.sorted_indices] for s in state)
    out, *last = layer(packed.data, packed.batch_sizes, _to_layer(sorted_state), weights, *options)
    out = PackedSequence(out, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
    padded, _ = pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
    return padded, tuple(s.squeeze(0)[packed.unsorted_indices] for s in last)


KERNELS = dict.fromkeys(LAYERS, run)


def flat_weights(cell: nn.Module, U: Tensor) -> list[Tensor]:
    """torch's order: input matrix, recurrent matrix, and its two biases where ours is one (its second is then zero)."""
    if cell.b is None:
        return [cell.W, U]
    second = torch.zeros_like(cell.b)
    if isinstance(cell, cells.GRUAfter):
        second = torch.cat([second[: 2 * cell.hidden_size], cell.d])
    return [cell.W, U, cell.b, second]


def _to_layer(state: cells.State) -> Tensor | cells.State:
    """(B, H) each -> (1, B, H) each; a bare tensor where the layer has one state, as torch wants it."""
    lifted = tuple(s.unsqueeze(0).contiguous() for s in state)
    return lifted if len(lifted) > 1 else lifted[0]
