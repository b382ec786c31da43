"""Sound in, answers out, one compiled call for a piece of any length: log-mel frames, a convolution over time, a recurrent net.

Every number of a frame or step is a sum in one order, whatever is computed with it, so that the answers do not depend, to the
last bit, on how the sound is cut into pieces. All weights lie in one array and all sizes in another, since a call of compiled
code takes a tenth of a microsecond for each array handed to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from . import logmel, loops
from .jit import compiled, inner
from .loops import copy
from .product import columns, pack, panel_width, product
from .stepping import KINDS, one, stack

WIDTH = panel_width(4)
LINE = 16  # float32 of a cache line, on which every matrix begins
AT_ONCE = 16  # frames taken together, where so many have come
SIZES = 12  # of a net, before those of logmel's plan
UNEQUAL, NO_NUMBER = -1, -2  # what `listen` says instead of a count

State = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # the cell's kind, sizes, weights


def packed(
    hop: int,
    hann: np.ndarray,
    bank: np.ndarray,
    mean: Tensor,
    scale: Tensor,
    convolution: tuple[Tensor, Tensor] | None,
    stride: int,
    cells: Sequence[nn.Module],
    linear: nn.Linear,
) -> Arrays:
    """A net for `listen`: its kind, all sizes (int64), all weights (float32).

    sizes    hop, window (samples), frames of the convolution, its stride, its channels (0: there is none), layers, G·H, H,
             rows of U that are packed apart from V's, classes, logmel.tables' numbers, states of all layers;
             then the plan of logmel.tables
    weights  each from a multiple of LINE on: logmel.tables' numbers; mean, scale; convolution, its bias; the first layer's W;
             stack()'s W, U, V, b, d; the linear layer, its bias
    """
    (W, _), (U, _), (V, _), b, d = stack(cells)
    (layers, G), H = b.shape, cells[0].hidden_size
    split = G if not V.size else 2 * H
    last = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
    net = layers, G, H, split, linear.out_features
    arrays = [pack(cells[0].W.float().t())[0], W, U, V, b, d, pack(linear.weight.float().t())[0], last.numpy()]
    sizes, weights = _with_ear(hop, hann, bank, mean, scale, convolution, stride, net, len(cells) * cells[0].states, arrays)
    return KINDS[type(cells[0])], sizes, weights


def packed_ear(
    hop: int, hann: np.ndarray, bank: np.ndarray, mean: Tensor, scale: Tensor, convolution: tuple[Tensor, Tensor], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """A net for `hear_steps`: packed()'s sizes and weights, of no cells; its classes are the convolution's channels."""
    channels = len(convolution[1])
    return _with_ear(hop, hann, bank, mean, scale, convolution, stride, (0, 0, 0, 0, channels), 0, [])


def _with_ear(
    hop: int, hann: np.ndarray, bank: np.ndarray, mean: Tensor, scale: Tensor, convolution: tuple[Tensor, Tensor] | None,
    stride: int, net: tuple[int, ...], states: int, arrays: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Sizes and weights: what comes before the cells, and the `arrays` of a net of such sizes."""
    plan, numbers = logmel.tables(hann, bank)
    frames, channels, filters = 1, 0, []
    if convolution is not None:
        weight, bias = (part.detach().float() for part in convolution)
        channels, _, frames = weight.shape
        filters = [pack(weight.permute(2, 1, 0).reshape(-1, channels))[0], bias.numpy()]
    sizes = [hop, len(hann), frames, stride, channels, *net, numbers.size, states, *plan]
    before = [numbers, mean.detach().float().numpy(), scale.detach().float().numpy(), *filters]
    return np.array(sizes, np.int64), _joined([*before, *arrays])


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    """One array after another, each from a multiple of LINE on; the first one on a cache line."""
    begins = np.cumsum([0, *(-(-array.size // LINE) * LINE for array in arrays)])
    room = np.zeros(begins[-1] + LINE, np.float32)
    joined = room[-(room.ctypes.data // 4) % LINE :][: begins[-1]]
    for array, begin in zip(arrays, begins, strict=False):
        joined[begin : begin + array.size] = array.ravel()
    return joined


def start(sizes: np.ndarray) -> State:
    """The state of a stream before its first sample.

    The samples of the frame that is not full yet; the frames that further steps look at; the recurrent state (states, 1, H);
    and how many samples and frames those are.
    """
    window, bands = sizes[SIZES + 1], sizes[SIZES + 2]
    frames = np.zeros((sizes[2] - 1 + AT_ONCE, bands), np.float32)
    return np.zeros(window, np.float32), frames, np.zeros((sizes[11], 1, sizes[7]), np.float32), np.zeros(2, np.int64)


@inner
def vector(weights, at, size):
    """The next `size` weights, and where what follows begins."""
    return weights[at : at + size], at + (size + LINE - 1) // LINE * LINE


@inner
def matrices(weights, at, count, rows, width, scales):
    """The next `count` packed matrices (rows, width), and where what follows begins; `scales` are empty, as of floats."""
    panels = (width + WIDTH - 1) // WIDTH
    size = count * panels * rows * WIDTH
    found = weights[at : at + size].reshape((count, panels, rows, WIDTH))
    return (found, scales), at + (size + LINE - 1) // LINE * LINE


@inner
def ear(sizes, weights):
    """Of the packed net what comes before its cells, as compiled code uses it (logmel's part, the convolution), and its end."""
    k, channels, count, bands = sizes[2], sizes[4], sizes[10], sizes[SIZES + 2]
    numbers, at = vector(weights, 0, count)
    mean, at = vector(weights, at, bands)
    scale, at = vector(weights, at, bands)
    filters, at = matrices(weights, at, min(1, channels), k * bands, channels, np.empty((1, 0), weights.dtype))
    bias, at = vector(weights, at, channels)
    return (numbers, mean, scale), (filters, bias), at


@inner
def unpacked(sizes, weights, at):
    """Of the packed net what begins at `at`: the first layer's W, a Stack, the last layer."""
    channels, L, G, H, split, classes = sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9]
    bands, scales = sizes[SIZES + 2], np.empty((max(L, 1), 0), weights.dtype)
    first, at = matrices(weights, at, 1, channels if channels else bands, G, scales)
    W, at = matrices(weights, at, L - 1, H, G, scales)
    U, at = matrices(weights, at, L, H, split, scales)
    V, at = matrices(weights, at, L, H, G - split, scales)
    b, at = vector(weights, at, L * G)
    d, at = vector(weights, at, L * H)
    last, at = matrices(weights, at, 1, H, classes, scales)
    last_bias, at = vector(weights, at, classes)
    net = W, U, V, b.reshape((L, G)), d.reshape((L, H))
    return first, net, (last, last_bias)


@inner
def fits(sizes, samples, out, sound, frames, state, counts):
    """Whether these arrays are of this net."""
    held = sound.size == sizes[SIZES + 1] and frames.shape == (sizes[2] - 1 + AT_ONCE, sizes[SIZES + 2])
    recurrent = state.shape == (sizes[11], 1, sizes[7])
    counted = counts.size == 2 and 0 <= counts[0] < sizes[1] and 0 <= counts[1] < sizes[2] - 1 + AT_ONCE
    return held and recurrent and counted and out.shape[1] == sizes[9] and out.shape[0] > samples.size // sizes[0]


@inner
def hear(sizes, numbers, mean, scale, samples, taken, sound, frames, counts, work):
    """Take samples from `taken` on until `frames` is full or none is left; how many have been taken then."""
    hop, window, held = sizes[0], sizes[1], counts[0]
    while counts[1] < frames.shape[0]:
        more = min(window - held, samples.size - taken)
        copy(sound[held : held + more], samples[taken : taken + more])
        held, taken = held + more, taken + more
        if held < window:
            break
        features = frames[counts[1]]
        logmel.frame(sizes[SIZES:], numbers, sound, work, features)
        for j in range(features.size):
            features[j] = (features[j] - mean[j]) * scale[j]
        counts[1] += 1
        held = window - hop
        for i in range(held):
            sound[i] = sound[i + hop]
    counts[0] = held
    return taken


@inner
def filtered(frames, steps, k, stride, filters, bias):
    """relu(filters · the k frames from each stride-th on + bias) (steps, C)."""
    inputs, found = np.empty((steps, k * frames.shape[1]), frames.dtype), np.empty((steps, bias.size), frames.dtype)
    wide = np.empty((steps, columns(filters)), frames.dtype)
    for t in range(steps):
        copy(inputs[t], frames[t * stride : t * stride + k].reshape(k * frames.shape[1]))
    product(inputs, steps, filters, wide)
    for t in range(steps):
        for j in range(bias.size):
            found[t, j] = max(wide[t, j] + bias[j], frames.dtype.type(0))
    return found


@inner
def add_bias(target, wide, bias):
    """target (T, N) = the first N columns of wide + bias."""
    for t in range(target.shape[0]):
        for j in range(bias.size):
            target[t, j] = wide[t, j] + bias[j]


@inner
def upward(kind, net, A, state, hidden):
    """All steps of one layer, then of the next: A (T, G·H) the first one's W x + b (spent); hidden (1, T, H) receives the last
    one's h. As stepping.advance for one step; here a layer's W is read once for all steps.
    """
    dimensions = kind.ndim
    W, U, V, b, d = net
    (L, _), (T, _), states = b.shape, A.shape, state.shape[0] // b.shape[0]
    rows, length = np.zeros(1, np.int64), np.full(1, T)
    nothing, wide = np.empty((0, state.shape[2]), A.dtype), np.empty((T, W[0].shape[1] * WIDTH), A.dtype)
    for layer in range(L):
        if layer:
            product(hidden[0], T, one(W, layer - 1), wide)
            add_bias(A, wide, b[layer])
        h, c = state[layer * states], state[layer * states + states - 1]
        if dimensions == 1:
            loops.rnn_forward(rows, rows, length, A, one(U, layer), h, hidden, h, nothing)
        elif dimensions == 2:
            loops.gru_forward(rows, rows, length, A, one(U, layer), one(V, layer), h, hidden, h, nothing, nothing)
        elif dimensions == 3:
            loops.gru_after_forward(rows, rows, length, A, one(U, layer), d[layer], h, hidden, h, nothing, nothing)
        else:
            loops.lstm_forward(rows, rows, length, A, one(U, layer), h, c, hidden, h, c, nothing, nothing)


@inner
def answer(kind, x, steps, first, net, end, state, out):
    """Steps of the net: x (steps or more, I), out (steps or more, classes)."""
    last, last_bias = end
    A, hidden = np.empty((steps, net[3].shape[1]), x.dtype), np.empty((1, steps, state.shape[2]), x.dtype)
    wide, logits = np.empty((steps, columns(first)), x.dtype), np.empty((steps, columns(last)), x.dtype)
    product(x, steps, first, wide)
    add_bias(A, wide, net[3][0])
    upward(kind, net, A, state, hidden)
    product(hidden[0], steps, last, logits)
    add_bias(out[:steps], logits, last_bias)


@inner
def step_inputs(sizes, ears, convolution, samples, taken, sound, frames, counts, work):
    """x (steps, C) of the steps that samples from `taken` on complete, as many as there is room for; how many samples have been
    taken then; whether more may be complete.
    """
    k, stride, (filters, bias) = sizes[2], sizes[3], convolution
    taken = hear(sizes, ears[0], ears[1], ears[2], samples, taken, sound, frames, counts, work)
    heard = counts[1]
    steps = (heard - k) // stride + 1 if heard >= k else 0
    x = filtered(frames, steps, k, stride, one(filters, 0), bias) if bias.size else frames[:steps].copy()
    for i in range(heard - steps * stride if steps else 0):
        copy(frames[i], frames[i + steps * stride])
    counts[1] = heard - steps * stride
    return x, taken, taken < samples.size or heard == frames.shape[0]


@inner
def number(samples):
    """Whether all are finite."""
    silence = samples.dtype.type(0)
    for i in range(samples.size):
        silence += samples[i] * 0
    return silence == 0


@compiled
def listen(kind, sizes, weights, samples, out, sound, frames, state, counts):
    """Write the answers that these samples complete into out (samples // hop + 1 or more, classes); say how many they are, or
    that nothing was done, since the state is UNEQUAL to the net's or NO_NUMBER among the samples. The state becomes the next one.
    """
    if not fits(sizes, samples, out, sound, frames, state, counts):
        return UNEQUAL
    if not number(samples):
        return NO_NUMBER
    ears, convolution, at = ear(sizes, weights)
    first, net, end = unpacked(sizes, weights, at)
    work = np.zeros(logmel.room(sizes[SIZES:]), weights.dtype)
    taken = made = counts[0] * 0  # int64: Numba would compile `hear` once more for a literal
    more = True
    while more:
        x, taken, more = step_inputs(sizes, ears, convolution, samples, taken, sound, frames, counts, work)
        if len(x):
            answer(kind, x, len(x), one(first, 0), net, (one(end[0], 0), end[1]), state, out[made:])
            made += len(x)
    return made


@compiled
def hear_steps(sizes, weights, samples, out, sound, frames, state, counts):
    """As `listen`, of a net that ends with its convolution: its channels are the answers."""
    if not fits(sizes, samples, out, sound, frames, state, counts):
        return UNEQUAL
    if not number(samples):
        return NO_NUMBER
    ears, convolution, _ = ear(sizes, weights)
    work = np.zeros(logmel.room(sizes[SIZES:]), weights.dtype)
    taken = made = counts[0] * 0
    more = True
    while more:
        x, taken, more = step_inputs(sizes, ears, convolution, samples, taken, sound, frames, counts, work)
        for t in range(len(x)):
            copy(out[made + t], x[t])
        made += len(x)
    return made
