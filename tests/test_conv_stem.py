"""The stem: shifts of frequency, padding, sizes."""

import pytest
import torch

from ser_lib.aggregators import EcapaTdnn
from ser_lib.aggregators.conv_stem import ConvStem
from ser_lib.upstreams import Frames

SMALL = {"channels": [16] * 4 + [48], "attention_channels": 8}


def stem_of(bands: int, channels: int = 3) -> ConvStem:
    torch.manual_seed(0)
    stem = ConvStem(bands, channels).eval()
    for norm in stem.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):  # as after some training
            torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return stem


def test_a_voice_four_bands_higher_looks_the_same_one_step_higher():
    stem = stem_of(bands=64)
    voice = torch.zeros(1, 9, 64)
    voice[:, :, 24:32] = torch.randn(9, 8)
    count = torch.tensor([9])
    low = stem(Frames(voice, count)).values.view(1, 9, 3, 16)
    high = stem(Frames(voice.roll(4, dims=2), count)).values.view(1, 9, 3, 16)
    # The rims see the zeros beyond the lowest and highest band.
    torch.testing.assert_close(high[..., 3:14], low[..., 2:13], atol=1e-6, rtol=0)
    assert (high - low).abs().max() > 0.1


def test_four_convolutions_without_hidden_ones():
    # 3 x 3 weights and a bias, and two numbers of a batch norm, for each channel.
    n_first, n_other = 5 * (9 + 1 + 2), 5 * (5 * 9 + 1 + 2)
    n_weights = sum(p.numel() for p in ConvStem(80, 5).parameters())
    assert n_weights == n_first + 3 * n_other


@pytest.mark.parametrize("padding", [0.0, 1000.0, float("nan")])
@pytest.mark.parametrize("n_frames", [1, 2, 5, 19])
def test_an_utterance_gives_the_same_frames_alone_and_padded(n_frames, padding):
    stem = stem_of(bands=10)
    values = torch.randn(2, 20, 10)
    values[1, n_frames:] = padding
    counts = torch.tensor([20, n_frames])
    alone = stem(Frames(values[1:, :n_frames], counts[1:])).values
    together = stem(Frames(values, counts)).values[1:, :n_frames]
    assert alone.shape == (1, n_frames, 3 * 3)  # 10 bands, 5, 3
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("n_frames", [1, 5, 23, 79])
def test_padding_does_not_move_an_embedding_behind_the_stem(n_frames):
    torch.manual_seed(0)
    ecapa = EcapaTdnn(20, 12, "batch", stem_channels=4, **SMALL).eval()
    batch, counts = torch.randn(2, 80, 20), torch.tensor([80, n_frames])
    alone = ecapa(Frames(batch[1:, :n_frames], counts[1:]))
    torch.testing.assert_close(
        ecapa(Frames(batch, counts))[1:], alone, atol=1e-5, rtol=1e-5
    )


def test_frames_of_three_bands_are_refused():
    with pytest.raises(ValueError, match="stem_channels is 8, for frames of 3 bands"):
        EcapaTdnn(3, stem_channels=8, **SMALL)
