"""The log-mel spectrogram: librosa's numbers, a closed form, and nothing of the future."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.errors import UserError
from unrolled.logmel import LogMel

few = settings(max_examples=60, deadline=None)
OTHERS = [
    LogMel(),
    LogMel(rate=8000, high=4000.0),
    LogMel(rate=16000, window=0.032, hop=0.016, bands=64, low=60.0, high=8000.0),
    LogMel(rate=44100, window=0.02, hop=0.02, bands=30, low=0.0),
]


def noise(count: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32))


@pytest.mark.parametrize("logmel", OTHERS)
def test_it_is_librosas(logmel):
    librosa = pytest.importorskip("librosa", reason="the peer librosa is not installed")
    samples = noise(logmel.rate // 2).double()
    size, window = logmel.spectrum_samples, logmel.window_samples
    before = (size - window) // 2  # librosa puts the window into the middle of what it transforms
    power = librosa.feature.melspectrogram(
        y=np.pad(samples.numpy(), (before, size - window - before)), sr=logmel.rate, n_fft=size, win_length=window,
        hop_length=logmel.hop_samples, window="hann", center=False, power=2.0, n_mels=logmel.bands,
        fmin=logmel.low, fmax=logmel.high, htk=True, norm=None, dtype=np.float64,
    )  # fmt: skip
    wanted = np.log(power.T + 1e-6)
    assert logmel(samples).shape == (logmel.frames(len(samples)), logmel.bands)
    assert np.abs(logmel(samples).numpy() - wanted).max() < 1e-5
    assert np.abs(logmel(samples.float()).numpy() - wanted).max() < 1e-5


@pytest.mark.parametrize("logmel", OTHERS)
def test_numpys_is_torchs_however_many_frames(logmel, monkeypatch):
    samples = noise(logmel.rate // 2)
    found = logmel.of_array(samples.numpy())
    assert found.dtype == np.float32 and np.abs(found - logmel(samples.double()).numpy()).max() < 1e-6
    monkeypatch.setattr("unrolled.logmel.AT_ONCE", 7)
    assert np.abs(logmel.of_array(samples.numpy()) - found).max() < 2e-6
    assert logmel.of_array(samples.numpy()[: logmel.window_samples - 1]).shape == (0, logmel.bands)


def test_silence_is_the_floor_and_a_tone_has_the_sums_written_out():
    logmel = LogMel(low=0.0, bands=20)
    assert torch.allclose(logmel(torch.zeros(800)), torch.tensor(1e-6).log())
    # 25 whole periods in the window: at its own frequency the sum is half that of the window
    tone = torch.cos(2 * torch.pi * 32 / 512 * torch.arange(400, dtype=torch.float64))
    at = logmel.bank()[32]
    spectrum = (tone.numpy() * logmel.hann()) @ np.exp(-2j * np.pi * np.outer(np.arange(400), np.arange(257)) / 512)
    assert abs(abs(spectrum[32]) - 100) < 1e-9
    wanted = np.log(logmel.bank().T @ np.abs(spectrum) ** 2 + 1e-6)
    assert np.abs(logmel(tone)[0].numpy() - wanted).max() < 1e-9
    assert at.sum() == pytest.approx(1) and logmel(tone)[0].argmax() == at.argmax()


def test_neighbouring_triangles_add_up_to_one():
    bank = LogMel(bands=20).bank()
    hertz = np.arange(257) * 16000 / 512
    corners = 700 * (10 ** (np.linspace(*2595 * np.log10(1 + np.array([20, 7600]) / 700), 22) / 2595) - 1)
    inside = (hertz >= corners[1]) & (hertz <= corners[-2])
    assert np.abs(bank[inside].sum(1) - 1).max() < 1e-12 and (bank[(hertz <= 20) | (hertz >= 7600)] == 0).all()


@few
@given(st.integers(0, 3000), st.sampled_from(OTHERS), st.data())
def test_a_frame_sees_its_window_and_nothing_else(count, logmel, data):
    samples = noise(count)
    frames = logmel(samples)
    assert frames.shape == (logmel.frames(count), logmel.bands)
    M, hop = logmel.window_samples, logmel.hop_samples
    assert len(frames) == sum(begin + M <= count for begin in range(0, count + 1, hop))
    if len(frames):
        t = data.draw(st.integers(0, len(frames) - 1))
        alone = samples.new_full((count,), 9.0)
        alone[hop * t : hop * t + M] = samples[hop * t : hop * t + M]
        assert torch.allclose(logmel(alone)[t], frames[t], atol=1e-5)


def test_rows_do_not_meet():
    logmel, samples = LogMel(), noise(6 * 1600).reshape(2, 3, 1600)
    together = logmel(samples)
    assert together.shape == (2, 3, 8, 40)
    assert torch.allclose(together[1, 2], logmel(samples[1, 2]), atol=1e-6)


def test_its_gradient_is_right():
    logmel = LogMel(rate=1000, window=0.016, hop=0.008, bands=3, low=50.0, high=500.0)
    samples = noise(40).double().requires_grad_()
    assert torch.autograd.gradcheck(logmel, (samples,))


def test_it_comes_back_from_json():
    logmel = LogMel(rate=8000, high=3800.0, bands=30)
    assert LogMel(**json.loads(json.dumps(dataclasses.asdict(logmel)))) == logmel


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"rate": 8000}, r"^bands from `low` 20.0 to `high` 7600.0 hertz; at `rate` 8000 allowed is 0 <= low < high <= 4000"),
        ({"low": 7600.0}, r"^bands from `low` 7600.0"),
        ({"hop": 0.03}, r"^`window` 0.025 and `hop` 0.03 seconds are 400 and 480 samples; allowed is 1 <= hop <= window"),
        ({"hop": 0.0}, r"seconds are 400 and 0 samples"),
        ({"window": 0.0001, "hop": 0.0001}, r"seconds are 2 and 2 samples; .* at least 8"),
        ({"bands": 0}, r"^`bands` got 0; needed is at least 1"),
        ({"bands": 200}, r"^`bands` got 200: too narrow, since \d+ of them lie between two frequencies"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(numbers, message):
    with pytest.raises(UserError, match=message):
        LogMel(**numbers)
