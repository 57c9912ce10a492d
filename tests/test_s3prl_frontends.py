"""The front ends of Mockingjay, TERA and APC, computed again in float64."""

import numpy as np
import pytest
import torch
from s3prl_files import KALDI
from scipy.signal import get_window

from ser_lib.upstreams.apc import Apc
from ser_lib.upstreams.apc import published_config as apc_config
from ser_lib.upstreams.mockingjay_network import front_end, published_config
from ser_lib.upstreams.s3prl_frontends import (
    KaldiFbank,
    LoudnessScaledMel,
    add_deltas,
)

N_SAMPLES = 8123


def waveform() -> torch.Tensor:
    """Noise that swells, with a tone and an offset."""
    t = torch.arange(N_SAMPLES) / 16000
    return 0.05 * torch.randn(N_SAMPLES) * (1 + t) + 0.1 * torch.sin(2000 * t) + 0.01


def ours(module, wav: torch.Tensor) -> np.ndarray:
    frames = module(wav[None], torch.tensor([len(wav)]))
    assert frames.counts.item() == frames.values.shape[1]
    return frames.values[0].numpy()


def normalised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / (x.std(0, ddof=1) + 1e-10)


def htk_triangles() -> np.ndarray:
    """80 triangles of height 1 over the 201 bins of 40 Hz."""
    top = 2595 * np.log10(1 + 8000 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, 82) / 2595) - 1)
    hz = np.arange(201)[:, None] * 40.0
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def test_the_mel_spectrogram_is_that_of_the_documentation():
    wav = waveform()
    x = wav.double().numpy()
    x = x * 10 ** (-25 / 20) / np.sqrt(np.mean(x**2))
    x = np.pad(x, 200, mode="reflect")
    starts = 160 * np.arange(1 + N_SAMPLES // 160)
    window = get_window("hann", 400, fftbins=True)
    spectrum = np.fft.rfft(x[starts[:, None] + np.arange(400)] * window)
    expected = normalised(np.log(np.abs(spectrum) ** 2 @ htk_triangles() + 1e-10))
    found = ours(front_end(published_config()["audio"]), wav)
    assert found.shape == (51, 80)
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def kaldi_fbank(wav: torch.Tensor, window: np.ndarray) -> np.ndarray:
    """Kaldi's log filter bank: 25 ms every 10 ms, 80 bands from 20 to 8000 Hz."""
    x = wav.double().numpy()
    starts = 160 * np.arange(1 + (len(x) - 400) // 160)
    frames = x[starts[:, None] + np.arange(400)]
    frames = frames - frames.mean(1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft((frames - 0.97 * before) * window, 512)) ** 2

    def mel(hz):
        return 1127 * np.log(1 + hz / 700)

    edges = np.linspace(mel(20), mel(8000), 82)
    bins = mel(np.arange(256)[:, None] * 16000 / 512)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    return np.log(np.maximum(power[:, :256] @ bands, np.finfo(np.float32).eps))


def deltas(x: np.ndarray) -> np.ndarray:
    """Slope over five frames, the ends repeated."""
    p = np.pad(x, ((2, 2), (0, 0)), mode="edge")
    return (p[3:-1] - p[1:-3] + 2 * (p[4:] - p[:-4])) / 10


def test_kaldis_filter_bank_has_a_povey_window_and_deltas_of_order_two():
    wav = waveform()
    n = np.arange(400)
    povey = (0.5 - 0.5 * np.cos(2 * np.pi * n / 399)) ** 0.85
    fbank = kaldi_fbank(wav, povey)
    first = deltas(fbank)
    expected = normalised(np.concatenate([fbank, first, deltas(first)], axis=1))
    found = ours(front_end(KALDI), wav)
    assert found.shape == (1 + (N_SAMPLES - 400) // 160, 240)
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_the_filter_bank_of_apc_has_a_hamming_window():
    wav = waveform()
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    found = ours(Apc(apc_config(hidden_size=4)).front_end, wav)
    expected = normalised(kaldi_fbank(wav, hamming))
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_the_mel_spectrogram_ignores_the_loudness_of_a_recording():
    wav = waveform()
    module = front_end(published_config()["audio"])
    np.testing.assert_allclose(ours(module, wav), ours(module, 0.01 * wav), atol=1e-4)


def test_the_options_of_the_mel_spectrogram_are_honoured():
    wanted = {"feat_type": "mel", "log": False, "delta": 1, "cmvn": False}
    audio = {"target_level": -20, "n_mels": 20, "win_ms": 20, "input": wanted}
    found = ours(LoudnessScaledMel({**audio, "hop_ms": 20}), waveform())
    assert found.shape == (1 + N_SAMPLES // 320, 40)
    assert found[:, :20].min() >= 0  # power, not its logarithm
    np.testing.assert_allclose(deltas(found[:, :20]), found[:, 20:], atol=1e-3)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_delta_of_a_slope_is_its_rise_in_one_frame(order):
    slope = 3.0 * torch.arange(20.0)[:, None]
    found = add_deltas(slope, order)
    inner = found[5:-5]
    expected = [slope[5:-5], torch.full((10, 1), 3.0), torch.zeros(10, 1)][: order + 1]
    torch.testing.assert_close(inner, torch.cat(expected, dim=1))


def test_digital_silence_is_zero_after_normalisation_and_not_a_rounding_error():
    wavs = torch.zeros(2, 16000)
    wavs[1] = 0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0))
    frames = KaldiFbank({"num_mel_bins": 80}, cmvn=True)(
        wavs, torch.tensor([16000, 16000])
    )
    assert torch.equal(frames.values[0], torch.zeros_like(frames.values[0]))
    assert 3 < frames.values[1].abs().max() < 20  # in deviations
