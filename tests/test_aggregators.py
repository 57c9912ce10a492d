"""Aggregators: hand-worked means, masked ends, lengths that fit."""

import pytest
import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

from ser_lib.aggregators import (
    AttentivePooling,
    EcapaTdnn,
    MeanPooling,
    StatisticsPooling,
)
from ser_lib.upstreams import Frames

SMALL = {"channels": [16] * 4 + [48], "attention_channels": 8}


def test_the_mean_leaves_out_the_padding():
    values = torch.tensor([[[1.0, 10.0], [3.0, 20.0]], [[5.0, 7.0], [99.0, 99.0]]])
    pooled = MeanPooling(2)(Frames(values, torch.tensor([2, 1])))
    assert pooled.tolist() == [[2.0, 15.0], [5.0, 7.0]]


def test_nan_in_the_padding_does_not_reach_the_mean():
    values = torch.tensor([[[1.0], [float("nan")]]])
    assert MeanPooling(1)(Frames(values, torch.tensor([1]))).item() == 1.0


def test_without_padding_it_is_speechbrains_network():
    torch.manual_seed(0)
    ours = EcapaTdnn(20, 12, **SMALL).eval()
    stock = ECAPA_TDNN(20, lin_neurons=12, **SMALL).eval()
    stock.load_state_dict(ours.ecapa.state_dict())
    frames = torch.randn(3, 40, 20)
    torch.testing.assert_close(
        ours(Frames(frames, torch.full((3,), 40))), stock(frames).squeeze(1)
    )


def test_speechbrains_network_alone_depends_on_the_padding():
    # The reason for EcapaTdnn: should this fail, SpeechBrain has mended it.
    torch.manual_seed(0)
    stock = ECAPA_TDNN(20, lin_neurons=12, **SMALL).eval()
    frames = torch.randn(1, 40, 20)
    padded = torch.cat([frames, torch.zeros(1, 40, 20)], dim=1)
    difference = stock(padded, torch.tensor([0.5])) - stock(frames)
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("n_frames", [5, 6, 23, 79])
def test_padding_does_not_move_an_embedding(n_frames):
    torch.manual_seed(0)
    ours = EcapaTdnn(20, 12, **SMALL).eval()
    batch = torch.randn(2, 80, 20)
    counts = torch.tensor([80, n_frames])
    alone = ours(Frames(batch[1:, :n_frames], counts[1:]))
    torch.testing.assert_close(
        ours(Frames(batch, counts))[1:], alone, atol=1e-5, rtol=1e-5
    )


def test_one_word_is_enough_for_ecapa_alone_and_in_a_batch():
    """Three tokens are fewer than its mirrored ends need: they are repeated."""
    torch.manual_seed(0)
    sizes = {"channels": [16] * 4 + [32], "attention_channels": 8}
    ecapa = EcapaTdnn(4, 8, **sizes).eval()
    values = torch.randn(2, 12, 4)
    together = ecapa(Frames(values, torch.tensor([12, 3])))
    alone = ecapa(Frames(values[1:, :3], torch.tensor([3])))
    by_hand = torch.cat([values[1:, :3], values[1:, :2]], dim=1)
    expected = ecapa(Frames(by_hand, torch.tensor([5])))
    torch.testing.assert_close(alone, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(together[1:], expected, atol=1e-4, rtol=0)


def test_the_batch_norm_of_the_input_does_not_see_the_padding():
    ours = EcapaTdnn(2, 12, input_norm="batch", **SMALL).train()
    values = torch.zeros(2, 10, 2)
    values[0] = 3.0
    values[1, :5], values[1, 5:] = 6.0, 1000.0
    ours(Frames(values, torch.tensor([10, 5])))
    # running mean = 0.1 * (10 * 3 + 5 * 6) / 15
    torch.testing.assert_close(ours.batch_norm.running_mean, torch.full((2,), 0.4))


def test_an_unknown_input_norm_is_refused():
    with pytest.raises(ValueError, match="'global'; expected none, batch or sentence"):
        EcapaTdnn(20, input_norm="global")


def test_statistics_pooling_is_the_mean_and_standard_deviation_of_each_utterance():
    pooling = StatisticsPooling(3)
    values, counts = torch.randn(2, 9, 3), torch.tensor([9, 4])
    found = pooling(Frames(values, counts))
    for i, n in enumerate(counts):
        own = values[i, :n]
        expected = torch.cat([own.mean(0), own.std(0, correction=0)])
        torch.testing.assert_close(found[i], expected, atol=1e-4, rtol=1e-4)


def test_statistics_pooling_standardises_over_the_training_part():
    pooling, counts = StatisticsPooling(3), torch.full((32,), 9)
    batches = [Frames(5 * torch.randn(32, 9, 3) + shift, counts) for shift in (0, 9)]
    pooling.fit(torch.cat([pooling.pool(batch) for batch in batches]))
    found = torch.cat([pooling(batch) for batch in batches])
    torch.testing.assert_close(found.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    deviation = found.std(0, correction=0)
    torch.testing.assert_close(deviation, torch.ones(6), atol=1e-4, rtol=0)
    assert not list(pooling.parameters())
    # The same in training mode: one utterance does not move with its batch.
    alone = Frames(batches[0].values[:1], counts[:1])
    torch.testing.assert_close(pooling.train()(alone)[0], found[0])


def test_attentive_pooling_with_equal_weights_is_the_mean_and_standard_deviation():
    pooling = AttentivePooling(3, attention_channels=4).eval()
    torch.nn.init.zeros_(pooling.asp.conv.conv.weight)
    torch.nn.init.zeros_(pooling.asp.conv.conv.bias)
    values, counts = torch.randn(2, 9, 3), torch.tensor([9, 4])
    found = pooling(Frames(values, counts))
    for i, n in enumerate(counts):
        own = values[i, :n]
        expected = torch.cat([own.mean(0), own.std(0, correction=0)])
        torch.testing.assert_close(found[i], expected, atol=1e-5, rtol=0)


def test_attentive_pooling_follows_the_attention():
    pooling = AttentivePooling(1, attention_channels=1).eval()
    pooling.asp.tdnn.conv.conv.weight.data.fill_(0.1)  # scores rise with the frames
    pooling.asp.conv.conv.weight.data.fill_(1e4)  # and one takes all the weight
    values = torch.tensor([[[1.0], [5.0], [2.0]]])
    mean, deviation = pooling(Frames(values, torch.tensor([3])))[0].tolist()
    assert mean == pytest.approx(5.0, abs=1e-6)
    assert deviation == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("n_frames", [1, 6, 79])
def test_padding_does_not_move_attentive_pooling(n_frames):
    torch.manual_seed(0)
    pooling = AttentivePooling(20).eval()
    batch, counts = torch.randn(2, 80, 20), torch.tensor([80, n_frames])
    alone = pooling(Frames(batch[1:, :n_frames], counts[1:]))
    together = pooling(Frames(batch, counts))[1:]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
