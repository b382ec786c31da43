"""A compiled net that listens: the numbers of torch over the whole sound, to the last bit the same however it is cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unrolled.cells import CELLS
from unrolled.dilated import WaveNet
from unrolled.errors import UserError
from unrolled.kernels import logmel as kernel
from unrolled.listener import DilatedListener, Listener
from unrolled.logmel import LogMel
from unrolled.recurrent import Recurrent

few = settings(max_examples=25, deadline=None)
LOGMEL = LogMel(bands=20, low=60.0)


class Net(nn.Module):
    """What a Listener packs, as torch computes it over a whole sound."""

    def __init__(self, cell="gru", k=0, stride=1, hidden=24, layers=2, classes=3, logmel=LOGMEL):
        super().__init__()
        torch.manual_seed(3)
        self.logmel, self.stride = logmel, stride
        self.convolution = nn.Conv1d(logmel.bands, 13, k, stride) if k else None
        self.recurrent = Recurrent(cell, 13 if k else logmel.bands, hidden, layers)
        self.linear = nn.Linear(hidden, classes)
        self.mean, self.scale = torch.randn(logmel.bands) - 5, torch.rand(logmel.bands) + 0.2

    @torch.no_grad()
    def forward(self, samples: np.ndarray) -> np.ndarray:
        x = ((self.logmel(torch.from_numpy(samples)) - self.mean) * self.scale)[None]  # (1, T, bands)
        if self.convolution is not None:
            x = self.convolution(x.mT).relu().mT
        return self.linear(self.recurrent(x)[0])[0].numpy()

    def listener(self) -> Listener:
        filters = None if self.convolution is None else (self.convolution.weight, self.convolution.bias)
        return Listener(self.logmel, self.mean, self.scale, filters, self.stride, self.recurrent.cells, self.linear)


def noise(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)


def in_pieces(listener: Listener, samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    """The answers to a sound that comes in pieces of these sizes, in turn."""
    state, at, found, turn = listener.start(), 0, [], 0
    while at < len(samples):
        found.append(listener(samples[at : at + sizes[turn % len(sizes)]], state))
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    return np.concatenate([np.empty((0, listener.classes), np.float32), *found])


# --- one frame


@pytest.mark.parametrize(
    "logmel",
    [
        LogMel(),
        LogMel(rate=8000, high=4000.0, bands=23),
        LogMel(rate=16000, window=0.01, hop=0.01, bands=9, low=100.0),
        LogMel(rate=44100, window=0.02, hop=0.01, bands=64, low=0.0),
        LogMel(rate=48000, window=0.025, hop=0.01, bands=80, high=24000.0),
    ],
    ids=lambda logmel: f"{logmel.spectrum_samples}-{logmel.window_samples}-{logmel.bands}",
)
@pytest.mark.parametrize("loudness", [1.0, 1e-2, 1e-4, 0.0])
def test_a_compiled_frame_is_torchs(logmel, loudness):
    plan, numbers = kernel.tables(logmel.hann(), logmel.bank())
    samples = noise(3 * logmel.window_samples) * np.float32(loudness)
    work, features = np.zeros(kernel.room(plan), np.float32), np.empty(logmel.bands, np.float32)
    wanted = logmel(torch.from_numpy(samples).double()).numpy()
    for t, row in enumerate(wanted):
        window = np.zeros(plan[1], np.float32)
        window[: logmel.window_samples] = samples[t * logmel.hop_samples :][: logmel.window_samples]
        kernel.frame(plan, numbers, window, work, features)
        assert np.abs(features - row).max() < 1e-5


def test_a_frame_without_a_number_says_so():
    plan, numbers = kernel.tables(LOGMEL.hann(), LOGMEL.bank())
    window, work, features = np.zeros(plan[1], np.float32), np.zeros(kernel.room(plan), np.float32), np.zeros(20, np.float32)
    window[200] = np.nan
    kernel.frame(plan, numbers, window, work, features)
    assert np.isnan(features).all()


# --- a whole net


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("k", "stride"), [(0, 1), (1, 1), (5, 2), (15, 4), (3, 3)])
def test_answers_are_torchs_in_pieces_of_any_size(cell, k, stride):
    net, samples = Net(cell, k, stride), noise(16000)
    wanted, listener = net(samples), net.listener()
    whole = listener(samples, listener.start())
    assert whole.shape == wanted.shape and len(whole) > 20
    assert np.abs(whole - wanted).max() < 1e-5
    for sizes in ([37], [160], [16000]):
        assert np.array_equal(in_pieces(listener, samples, sizes), whole)
    assert np.array_equal(in_pieces(listener, samples[:3000], [1]), whole[: len(net(samples[:3000]))])


class Gated(Net):
    """The same with dilated convolutions in place of cells."""

    def __init__(self):
        super().__init__(k=5, stride=3)
        self.gated = WaveNet(None, 3, 13, 24, (1, 2, 4, 1, 2))

    @torch.no_grad()
    def forward(self, samples: np.ndarray) -> np.ndarray:
        x = ((self.logmel(torch.from_numpy(samples)) - self.mean) * self.scale)[None]
        return self.gated(self.convolution(x.mT).relu().mT)[0].numpy()

    def listener(self) -> DilatedListener:
        filters = self.convolution.weight, self.convolution.bias
        return DilatedListener(self.logmel, self.mean, self.scale, filters, self.stride, self.gated)


def test_dilated_convolutions_answer_as_torchs_in_pieces_of_any_size():
    net, samples = Gated(), noise(16000)
    wanted, listener = net(samples), net.listener()
    whole = listener(samples, listener.start())
    assert whole.shape == wanted.shape and len(whole) > 20
    assert np.abs(whole - wanted).max() < 1e-5 < np.ptp(wanted)
    for sizes in ([37], [160, 0, 5000], [16000]):
        assert np.array_equal(in_pieces(listener, samples, sizes), whole)
    state = listener.start()
    listener(samples, state)
    assert sum(part.nbytes for part in state) == sum(part.nbytes for part in listener.start())


def test_dilated_convolutions_refuse_what_does_not_fit():
    net = Gated()
    with pytest.raises(UserError, match=r"^the state is not one of this net's `start\(\)`"):
        net.listener()(noise(1000), Net(k=5, stride=3).listener().start())
    net.gated = WaveNet(None, 3, 12, 24, (1, 2))
    with pytest.raises(UserError, match=r"^the vectors that the dilated convolutions read got 12; needed is 13"):
        net.listener()


@few
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12), st.sampled_from([(0, 1), (4, 3)]), st.integers(1, 3))
def test_how_a_sound_is_cut_changes_no_bit(sizes, filters, layers):
    net = Net("gru", *filters, hidden=9, layers=layers, classes=1)
    listener, samples = net.listener(), noise(sum(sizes))
    got = in_pieces(listener, samples, [*sizes, 1000])
    assert np.array_equal(got, listener(samples, listener.start()))
    enough = LOGMEL.frames(len(samples)) >= max(1, filters[0])
    assert np.abs(got - net(samples)).max() < 1e-5 if enough else len(got) == 0


def test_an_answer_comes_with_the_last_sample_that_it_rests_on():
    listener, samples = Net(k=3, stride=2).listener(), noise(2000)
    state, first = listener.start(), 400 + 2 * 160  # three frames
    assert len(listener(samples[: first - 1], state)) == 0
    assert len(listener(samples[first - 1 : first], state)) == 1
    assert len(listener(samples[first : first + 319], state)) == 0
    assert len(listener(samples[first + 319 : first + 320], state)) == 1


def test_streams_share_a_net_and_do_not_meet():
    listener = Net(k=5, stride=2).listener()
    sounds = [noise(5000, seed) for seed in range(3)]
    states, heard = [listener.start() for _ in sounds], [[], [], []]
    for at in range(0, 5000, 700):
        for stream, sound in enumerate(sounds):
            heard[stream].append(listener(sound[at : at + 700], states[stream]))
    for stream, sound in enumerate(sounds):
        assert np.array_equal(np.concatenate(heard[stream]), listener(sound, listener.start()))


def test_a_state_keeps_its_arrays_and_a_new_one_knows_nothing():
    listener, samples = Net(k=5, stride=2).listener(), noise(8000)
    state = listener.start()
    arrays, sizes = [id(part) for part in state], [part.nbytes for part in state]
    first = listener(samples, state)
    assert not np.array_equal(listener(samples, state), first)
    assert [id(part) for part in state] == arrays and [part.nbytes for part in state] == sizes and sum(sizes) < 10_000
    assert np.array_equal(listener(samples, listener.start()), first)


def test_a_listener_keeps_the_weights_it_was_made_of():
    net, samples = Net(), noise(2000)
    listener = net.listener()
    before = listener(samples, listener.start())
    nn.init.zeros_(net.linear.weight)
    assert np.array_equal(listener(samples, listener.start()), before)


def test_layers_without_bias_are_packed_too():
    net, samples = Net(), noise(4000)
    net.recurrent, net.linear = Recurrent("gru_after", 20, 24, 2, bias=False), nn.Linear(24, 3, bias=False)
    listener = net.listener()
    assert np.abs(listener(samples, listener.start()) - net(samples)).max() < 1e-5


# --- what is refused


def test_a_sample_that_is_no_number_leaves_the_state_as_it_was():
    listener, samples = Net().listener(), noise(4000)
    state = listener.start()
    listener(samples[:1000], state)
    broken = samples[1000:2000].copy()
    broken[7] = np.inf
    with pytest.raises(UserError, match=r"^sample 7 of this piece is inf, no finite number"):
        listener(broken, state)
    assert np.array_equal(listener(samples[1000:], state), listener(samples, listener.start())[4:])


def test_other_floats_are_taken_and_whole_numbers_refused():
    listener, samples = Net().listener(), noise(4000)
    wanted = listener(samples, listener.start())
    assert np.array_equal(listener(samples.astype(np.float64), listener.start()), wanted)
    assert np.array_equal(listener(np.repeat(samples, 2)[::2], listener.start()), wanted)
    samples.flags.writeable = False
    assert np.array_equal(listener(samples, listener.start()), wanted)
    message = r"^samples got int16 \(4000,\); needed is an array \(N,\) of floats.*\n.*divide 16-bit samples by 32768"
    with pytest.raises(UserError, match=message):
        listener((samples * 32768).astype(np.int16), listener.start())
    with pytest.raises(UserError, match=r"^samples got list"):
        listener([0.0], listener.start())


@pytest.mark.parametrize("other", [{"hidden": 25}, {"k": 5}, {"logmel": LogMel()}, {"logmel": LogMel(bands=20, window=0.02)}])
def test_the_state_of_another_net_is_refused(other):
    with pytest.raises(UserError, match=r"^the state is not one of this net's `start\(\)`"):
        Net().listener()(noise(1000), Net(**other).listener().start())


def test_parts_that_do_not_fit_are_named():
    net = Net(k=5, stride=2)
    good = [net.logmel, net.mean, net.scale, (net.convolution.weight, net.convolution.bias), 2, net.recurrent.cells, net.linear]
    mine = nn.Module()
    for place, wrong, message in [
        (0, LogMel(), r"^the convolution's bands got 20; needed is 40"),
        (1, net.mean[1:], r"^the size of `mean` got 19; needed is 20"),
        (2, net.scale[1:], r"^the size of `scale` got 19"),
        (3, None, r"^`stride` got 2; allowed are 1 to 1"),
        (3, (net.convolution.weight, net.mean), r"^the convolution's biases got 20; needed is 13"),
        (4, 6, r"^`stride` got 6; allowed are 1 to 5, the frames that a step sees"),
        (5, Net().recurrent.cells, r"^the inputs of a recurrent layer got 20; needed is 13"),
        (
            5,
            [*Net("rnn", 5).recurrent.cells, *net.recurrent.cells],
            r"^no compiled listener is written for layers of RNN, RNN, GRU",
        ),
        (5, [mine], r"^no compiled listener is written for layers of Module"),
        (6, nn.Linear(23, 1), r"^the inputs of the linear layer got 23; needed is 24"),
    ]:
        with pytest.raises(UserError, match=message):
            Listener(*good[:place], wrong, *good[place + 1 :])
