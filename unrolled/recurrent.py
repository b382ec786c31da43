"""Recurrent layers: deep, bidirectional, ragged, with carried state and dropout, over any cell of cells.py.

`Recurrent` is what the package builds on: batch first, its state a flat tuple of (B, H) tensors, layer by layer
(forward direction, then backward), each cell's states in order. `RNN`, `GRU` and `LSTM` dress it in torch.nn's shapes
and argument names; `GRU` is the lecture's (reset gate before the matrix), `GRU(…, reset_after=True)` is torch's.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from . import cells
from .cells import CELLS, State
from .errors import UserError, did_you_mean
from .kernels import choice

if TYPE_CHECKING:
    from .kernels.stepping import Stepper


class Recurrent(nn.Module):
    """A stack of recurrent layers.

    dropout            between layers; with variational=True one mask for all steps of a row (Gal and Ghahramani 2016)
    recurrent_dropout  silences a unit's outgoing recurrent connections for all steps; one mask for the whole batch, so
                       that it is a change of U and every kernel stays usable (Gal and Ghahramani draw one a row)
    weight_dropout     drops single entries of U for all steps (Merity et al. 2018)
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        variational: bool = False,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
    ):
        super().__init__()
        if cell not in CELLS:
            raise UserError(f"`cell` got `{cell}`; allowed are {', '.join(CELLS)}", fix=did_you_mean(cell, CELLS))
        if num_layers < 1 or input_size < 1 or hidden_size < 1:
            raise UserError(f"sizes got input {input_size}, hidden {hidden_size}, layers {num_layers}; each is at least 1")
        self.hidden_size, self.directions = hidden_size, 2 if bidirectional else 1
        self.dropout, self.variational = dropout, variational
        self.recurrent_dropout, self.weight_dropout = recurrent_dropout, weight_dropout
        widths = [input_size] + [hidden_size * self.directions] * (num_layers - 1)
        self.cells = nn.ModuleList(CELLS[cell](width, hidden_size, bias) for width in widths for _ in range(self.directions))

    def start(self, batch: int) -> State:
        """Zeros, (B, H) each."""
        return tuple(s for cell in self.cells for s in cells.start(cell, batch))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step in time: x (B, I) -> (B, H). A bidirectional net has no step: it needs the future."""
        if self.directions == 2:
            raise UserError("a bidirectional net cannot go step by step: its backward half starts at the end")
        check_input(x, ("batch", self.cells[0].input_size))
        after: list[Tensor] = []
        for cell, before in zip(self.cells, self._by_cell(state, x.shape[0]), strict=True):
            x, new = cells.step(cell, x, before)
            after += new
        return x, tuple(after)

    def stepper(self, int8: bool = False) -> Stepper:
        """The net as it is now, packed for streaming on the CPU: microseconds a step. int8 rounds its weights to 8 bits."""
        if self.directions == 2:
            raise UserError("a bidirectional net cannot go step by step: its backward half starts at the end")
        if choice.choose_step(self.cells[0]).run is None:
            raise UserError("no compiled step is written for this cell; `step` takes one through torch")
        from .kernels.stepping import Stepper

        return Stepper(list(self.cells), int8)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """x (B, T, I) -> hidden states (B, T, directions·H), and each row's state after its own last step."""
        check_input(x, ("batch", "steps", self.cells[0].input_size))
        check_lengths(lengths, x)
        states = self._by_cell(self.start(x.shape[0]) if state is None else state, x.shape[0])
        last: list[Tensor] = []
        for layer in range(0, len(self.cells), self.directions):
            if layer:
                x = drop(x, self.dropout, self.training, self.variational)
            outputs = []
            for direction in range(self.directions):
                out, after = self._run(layer + direction, x, states[layer + direction], lengths, direction == 1)
                outputs.append(out)
                last += after
            x = torch.cat(outputs, -1) if self.directions == 2 else outputs[0]
        return x, tuple(last)

    def _run(self, index: int, x: Tensor, state: State, lengths: Tensor | None, backward: bool) -> tuple[Tensor, State]:
        cell = self.cells[index]
        kernel = choice.choose(cell, x.device, x.dtype, x.shape[:2], lengths is not None)
        if kernel.name == "scan":
            _tell(type(cell).__name__, kernel.why)
        U = self._drop_recurrent(cell.U) if self.training else cell.U
        out, after = kernel.run(cell, U, reverse(x, lengths) if backward else x, state, lengths)
        return reverse(out, lengths) if backward else out, after

    def _drop_recurrent(self, U: Tensor) -> Tensor:
        if self.weight_dropout:
            U = nn.functional.dropout(U, self.weight_dropout)
        if self.recurrent_dropout:
            U = U * nn.functional.dropout(U.new_ones(U.shape[1]), self.recurrent_dropout)
        return U

    def _by_cell(self, state: State, batch: int) -> list[State]:
        size = self.cells[0].states
        if len(state) != size * len(self.cells):
            raise UserError(f"`state` has {len(state)} tensors; this net has {size * len(self.cells)}")
        for s in state:
            if s.shape != (batch, self.hidden_size):
                raise UserError(f"`state` has shape {tuple(s.shape)}; needed is ({batch}, {self.hidden_size})")
            if not s.is_floating_point():
                raise UserError(f"`state` is of {s.dtype}; needed are real numbers")
        return [state[i : i + size] for i in range(0, len(state), size)]


@cache
def _tell(cell: str, why: str) -> None:
    """Once a cell: that it runs the slow way is said, on the log."""
    logging.getLogger("unrolled").warning("%s runs through scan(): %s", cell, why)


def drop(x: Tensor, probability: float, training: bool, variational: bool) -> Tensor:
    """Dropout on x (B, T, C); variational: each row keeps one mask over time."""
    if not training or not probability:
        return x
    return x * mask(x.new_empty(x.shape[0], 1, x.shape[2]) if variational else x, probability)


def mask(like: Tensor, probability: float) -> Tensor:
    """Zeros with this probability (to 1/65,536), and elsewhere what keeps the mean: shape, type and device are those of `like`.

    A random number of torch's gives four entries, since drawing takes most of the time that dropout does on a CPU.
    """
    count, dropped = like.numel(), round(probability * 65_536)
    numbers = torch.empty(-(-count // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    kept = numbers.view(torch.int16)[:count] >= dropped - 32_768
    return kept.view(like.shape).to(like.dtype).mul_(65_536 / (65_536 - dropped))


def reverse(x: Tensor, lengths: Tensor | None) -> Tensor:
    """x (B, T, C) backward in time, each row within its own length; padding stays where it is."""
    if lengths is None:
        return x.flip(1)
    t = torch.arange(x.shape[1], device=x.device)
    lengths = lengths.to(x.device).unsqueeze(1)
    index = torch.where(t < lengths, lengths - 1 - t, t)  # (B, T)
    return x.gather(1, index.unsqueeze(-1).expand_as(x))


def check_input(x: Tensor, needed: tuple[str | int, ...]) -> None:
    """A UserError unless x has these sizes, a word standing for any above zero: torch's kernels read what is not there."""
    fits = x.dim() == len(needed) and all(
        n == size or (isinstance(n, str) and size) for n, size in zip(needed, x.shape, strict=True)
    )
    if not fits:
        raise UserError(f"`input` has shape {tuple(x.shape)}; needed is ({', '.join(map(str, needed))})")


def check_lengths(lengths: Tensor | None, x: Tensor) -> None:
    """A UserError unless lengths is one whole number in 1..T for each row of x (B, T, …)."""
    if lengths is None:
        return
    rows, steps = x.shape[:2]
    whole = isinstance(lengths, Tensor) and not lengths.is_floating_point() and lengths.dtype is not torch.bool
    if not whole or lengths.shape != (rows,):
        got = f"shape {tuple(lengths.shape)}, {lengths.dtype}" if isinstance(lengths, Tensor) else f"{type(lengths).__name__}"
        raise UserError(f"`lengths` got {got}; needed are {rows} whole numbers")
    bad = ((lengths < 1) | (lengths > steps)).nonzero()
    if len(bad):
        row = int(bad[0])
        raise UserError(f"`lengths` has {int(lengths[row])} at row {row}; allowed is from 1 to {steps}")


class Layer(nn.Module):
    """A Recurrent with torch.nn's shapes: state (layers·directions, B, H), a tensor, or a pair for the LSTM.

    Input is (T, B, I), or (B, T, I) with batch_first=True, or unbatched (T, I). `lengths` (B) takes the place of packed
    sequences: outputs are zero past a row's length and the state is that of its own last step.
    """

    def __init__(self, recurrent: Recurrent, batch_first: bool):
        super().__init__()
        self.recurrent, self.batch_first = recurrent, batch_first

    def forward(self, input: Tensor, hx: Tensor | tuple[Tensor, ...] | None = None, lengths: Tensor | None = None):
        if isinstance(input, PackedSequence):
            raise UserError("packed sequences are not needed here", fix="give the padded tensor, and `lengths`")
        unbatched = input.dim() == 2
        time_first = not unbatched and not self.batch_first
        x = input.unsqueeze(0) if unbatched else input.transpose(0, 1) if time_first else input  # (B, T, I)
        out, last = self.recurrent(x, self._from_torch(hx, unbatched), lengths)
        out = out.squeeze(0) if unbatched else out.transpose(0, 1) if time_first else out
        return out, self._to_torch(last, unbatched)

    def _from_torch(self, hx: Tensor | tuple[Tensor, ...] | None, unbatched: bool) -> State | None:
        if hx is None:
            return None
        stacks = (hx,) if isinstance(hx, Tensor) else hx
        for s in stacks:
            if len(s) != len(self.recurrent.cells):
                raise UserError(f"`hx` has {len(s)} layers and directions; this net has {len(self.recurrent.cells)}")
        return tuple(s[i].unsqueeze(0) if unbatched else s[i] for i in range(len(self.recurrent.cells)) for s in stacks)

    def _to_torch(self, last: State, unbatched: bool) -> Tensor | tuple[Tensor, ...]:
        size = self.recurrent.cells[0].states
        stacks = tuple(torch.stack(last[i::size]) for i in range(size))  # (layers·directions, B, H)
        stacks = tuple(s.squeeze(1) for s in stacks) if unbatched else stacks
        return stacks if size > 1 else stacks[0]

    @torch.no_grad()
    def copy_from(self, layer: nn.RNNBase) -> Layer:
        """Take the weights of a torch.nn.RNN or LSTM, or of a torch.nn.GRU into a GRU with reset_after=True."""
        if getattr(layer, "proj_size", 0) or (isinstance(layer, nn.RNN) and layer.nonlinearity != "tanh"):
            raise UserError("a torch.nn layer with `proj_size` or `relu` computes another equation; its weights do not fit")
        source = {nn.RNN: cells.RNN, nn.GRU: cells.GRUAfter, nn.LSTM: cells.LSTM}.get(type(layer))
        if source is not type(self.recurrent.cells[0]):
            hint = "torch.nn.GRU's equation is `GRU(…, reset_after=True)`" if isinstance(layer, nn.GRU) else None
            raise UserError(f"weights of a torch.nn.{type(layer).__name__} do not fit this cell", fix=hint)
        if len(layer.all_weights) != len(self.recurrent.cells):
            found, own = len(layer.all_weights), len(self.recurrent.cells)
            raise UserError(f"weights of {found} layers and directions do not fit a net of {own}")
        pairs = list(zip(self.recurrent.cells, layer.all_weights, strict=True))
        for cell, weights in pairs:
            _check_fit(cell, weights)
        for cell, weights in pairs:
            _copy_cell(cell, weights)
        return self


def _check_fit(cell: nn.Module, weights: list[Tensor]) -> None:
    W, U, *biases = weights
    if W.shape != cell.W.shape or U.shape != cell.U.shape:
        theirs, own = (tuple(W.shape), tuple(U.shape)), (tuple(cell.W.shape), tuple(cell.U.shape))
        raise UserError(f"weights of sizes {theirs} do not fit {own}")
    if bool(biases) != (cell.b is not None):
        raise UserError(f"`bias` is {cell.b is not None} here and {bool(biases)} in the other layer")


def _copy_cell(cell: nn.Module, weights: list[Tensor]) -> None:
    W, U, *biases = weights
    cell.W.copy_(W)
    cell.U.copy_(U)
    if biases and isinstance(cell, cells.GRUAfter):
        gates = 2 * cell.hidden_size
        cell.b.copy_(biases[0])
        cell.b[:gates] += biases[1][:gates]
        cell.d.copy_(biases[1][gates:])
    elif biases:
        cell.b.copy_(biases[0] + biases[1])


def RNN(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    variational: bool = False,
    recurrent_dropout: float = 0.0,
    weight_dropout: float = 0.0,
) -> Layer:
    """torch.nn.RNN (tanh) with plain `lengths`; the dropouts are Recurrent's."""
    return Layer(
        Recurrent(
            "rnn", input_size, hidden_size, num_layers, bias, dropout, bidirectional,
            variational, recurrent_dropout, weight_dropout,
        ),
        batch_first,
    )  # fmt: skip


def GRU(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    reset_after: bool = False,
    variational: bool = False,
    recurrent_dropout: float = 0.0,
    weight_dropout: float = 0.0,
) -> Layer:
    """The lecture's GRU in torch.nn.GRU's shapes; reset_after=True is torch.nn.GRU's own equation."""
    return Layer(
        Recurrent(
            "gru_after" if reset_after else "gru", input_size, hidden_size, num_layers, bias, dropout, bidirectional,
            variational, recurrent_dropout, weight_dropout,
        ),
        batch_first,
    )  # fmt: skip


def LSTM(
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    batch_first: bool = False,
    dropout: float = 0.0,
    bidirectional: bool = False,
    variational: bool = False,
    recurrent_dropout: float = 0.0,
    weight_dropout: float = 0.0,
) -> Layer:
    """torch.nn.LSTM with plain `lengths`; the dropouts are Recurrent's."""
    return Layer(
        Recurrent(
            "lstm", input_size, hidden_size, num_layers, bias, dropout, bidirectional,
            variational, recurrent_dropout, weight_dropout,
        ),
        batch_first,
    )  # fmt: skip
