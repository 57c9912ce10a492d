"""Augmentation in training: random crops and band gains."""

import pytest
import torch

from ser_lib.dataio import BandGains, random_crop


def test_crops_lie_within_their_utterance():
    wavs = torch.zeros(64, 100)
    wavs[:, :60] = torch.arange(1.0, 61.0)
    crops, lens = random_crop(wavs, torch.full((64,), 0.6), 20)
    assert crops.shape == (64, 20)
    assert torch.equal(lens, torch.ones(64))
    assert (crops > 0).all()
    assert (crops.diff(dim=1) == 1).all()
    starts = crops[:, 0]
    assert starts.min() < 10 and starts.max() > 31  # of 1 to 41


def test_an_utterance_shorter_than_the_crop_is_kept_whole():
    wavs = torch.tensor([[1.0, 2, 3, 4], [5, 6, 0, 0]])
    crops, lens = random_crop(wavs, torch.tensor([1.0, 0.5]), 3)
    assert crops[1].tolist() == [5.0, 6.0, 0.0]
    assert lens.tolist() == pytest.approx([1.0, 2 / 3])


def test_band_gains_are_straight_lines_between_knots_and_the_same_at_all_times():
    torch.manual_seed(0)
    gains = BandGains(max_db=6, min_knots=3, max_knots=3)(torch.zeros(50, 4, 81))
    assert torch.equal(gains, gains[:, :1].expand_as(gains))
    curves = gains[:, 0]
    assert 5.5 < curves.abs().max() <= 6
    assert not torch.equal(curves[0], curves[1])  # each utterance has its own
    middle, ends = curves[:, 40], (curves[:, 0], curves[:, 80])
    for i in (10, 20, 30):  # knots are at 0, 40 and 80
        line = ends[0] + (middle - ends[0]) * i / 40
        torch.testing.assert_close(curves[:, i], line, rtol=0, atol=1e-5)
        line = middle + (ends[1] - middle) * i / 40
        torch.testing.assert_close(curves[:, 40 + i], line, rtol=0, atol=1e-5)
