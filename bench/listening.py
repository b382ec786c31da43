"""A stream of sound, 10 ms a call, one thread: log-mel and a net of 2 x 128, beside numpy with onnxruntime, and torch."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from unrolled.data import sound
from unrolled.listener import Listener
from unrolled.logmel import LogMel
from unrolled.recurrent import Recurrent

from .harness import beside, save, seconds
from .stepping import as_onnx

HIDDEN, CALLS = 128, 300
MINUTES, HOURS = 20, 10  # of sound that is read from a file; for which its time is told


def run(data: str | None) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = [row(cell) for cell in ("gru", "gru_after", "lstm")]
    torch.set_num_threads(before)
    save("listening", rows)


class Net(nn.Module):
    def __init__(self, cell: str):
        super().__init__()
        torch.manual_seed(1)
        self.logmel = LogMel()
        self.recurrent, self.linear = Recurrent(cell, self.logmel.bands, HIDDEN, 2), nn.Linear(HIDDEN, 1)
        self.mean, self.scale = torch.full((self.logmel.bands,), -5.0), torch.full((self.logmel.bands,), 0.3)

    def listener(self) -> Listener:
        return Listener(self.logmel, self.mean, self.scale, None, 1, self.recurrent.cells, self.linear)


def row(cell: str) -> dict[str, object]:
    net = Net(cell)
    samples = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    ways = {"torch": in_torch(net), "log_mel_alone": log_mel_alone()}
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        ways["onnxruntime"] = with_onnxruntime(net, cell)
        check(ours(net), ways["onnxruntime"], samples)
    check(ours(net), ways["torch"], samples)
    found = beside(repeated(ours(net), samples), {name: repeated(way, samples) for name, way in ways.items()})
    micro = {f"{name}_us": 1e6 * value["seconds"] / CALLS for name, value in found.items()}
    onnx = found.get("onnxruntime")
    times = f"{onnx['ratio']:.2f} ({onnx['ratio_min']:.2f}-{onnx['ratio_max']:.2f})" if onnx else ""
    return {"cell": cell, **micro, "times_onnxruntime": times, f"seconds_for_{HOURS}_hours": long_file(net)}


Frame = Callable[[np.ndarray, np.ndarray], np.ndarray]  # the window (400,) and its last 160 samples -> logit (1, 1)


def repeated(frame: Frame, samples: np.ndarray) -> Callable[[], None]:
    windows = [(samples[at : at + 400].copy(), samples[at + 240 : at + 400].copy()) for at in range(0, 15000, 160)]

    def go() -> None:
        for call in range(CALLS):
            frame(*windows[call % len(windows)])

    return go


def check(mine: Frame, peer: Frame, samples: np.ndarray) -> None:
    """Both hear the same sound, frame by frame, and must answer the same."""
    mine(samples[:400], samples[:240])  # what stands before the first 160 samples
    for at in range(0, 15000, 160):
        window = samples[at : at + 400]
        assert np.abs(mine(window, window[240:]).ravel() - peer(window, window[240:]).ravel()).max() < 1e-4


def ours(net: Net) -> Frame:
    listener = net.listener()
    state = listener.start()
    return lambda window, new: listener(new, state)


def log_mel_alone() -> Frame:
    """A listener with next to nothing behind its log-mel."""
    logmel = LogMel()
    ones = torch.ones(logmel.bands)
    listener = Listener(logmel, ones, ones, None, 1, Recurrent("rnn", logmel.bands, 1).cells, nn.Linear(1, 1))
    state = listener.start()
    return lambda window, new: listener(new, state)


def in_numpy(net: Net) -> Callable[[np.ndarray], np.ndarray]:
    """The log-mel of one window as one writes it in numpy."""
    hann, bank = (part.astype(np.float32) for part in (net.logmel.hann(), net.logmel.bank()))
    size, mean, scale = net.logmel.spectrum_samples, net.mean.numpy(), net.scale.numpy()

    def features(window: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(window * hann, size)
        power = spectrum.real**2 + spectrum.imag**2
        return (np.log(power @ bank + np.float32(1e-6)) - mean) * scale

    return features


def with_onnxruntime(net: Net, cell: str) -> Frame:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(as_onnx(net.recurrent, cell).SerializeToString(), options)
    names = [i.name for i in session.get_inputs()]
    state = [np.zeros((1, 1, HIDDEN), np.float32) for _ in names[1:]]
    features, weight, bias = in_numpy(net), net.linear.weight.detach().numpy().T, net.linear.bias.detach().numpy()

    def frame(window: np.ndarray, new: np.ndarray) -> np.ndarray:
        out, *state[:] = session.run(None, dict(zip(names, [features(window)[None, None], *state], strict=True)))
        return out[0] @ weight + bias

    return frame


def in_torch(net: Net) -> Frame:
    state = [net.recurrent.start(1)]

    @torch.inference_mode()
    def frame(window: np.ndarray, new: np.ndarray) -> np.ndarray:
        features = (net.logmel(torch.from_numpy(window)) - net.mean) * net.scale
        out, state[0] = net.recurrent.step(features, state[0])
        return net.linear(out).numpy()

    return frame


def long_file(net: Net) -> float:
    """Seconds for HOURS of sound from a FLAC file at 16 kHz, measured on MINUTES of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.flac"
        sound.write(path, np.random.default_rng(1).normal(0, 0.1, MINUTES * 60 * 16000), 16000)
        listener = net.listener()

        def listen() -> None:
            state = listener.start()
            for block in sound.blocks(path, 16000):
                listener(block, state)

        listen()
        return seconds(listen) * HOURS * 60 / MINUTES
