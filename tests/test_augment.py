"""Augmentation in training: random crops and mixup."""

import pytest
import torch

from ser_lib.augment import mix_frames, random_crop
from ser_lib.upstreams import Frames


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


def test_a_mixture_ends_with_the_shorter_of_the_two_utterances():
    values = torch.arange(12.0).reshape(2, 3, 2)
    mixed = mix_frames(
        Frames(values, torch.tensor([3, 1])), torch.tensor([1, 0]), share=0.9
    )
    assert mixed.counts.tolist() == [1, 1]
    # nine tenths of (0, 1) and one tenth of (6, 7)
    torch.testing.assert_close(mixed.values[0, 0], torch.tensor([0.6, 1.6]))
