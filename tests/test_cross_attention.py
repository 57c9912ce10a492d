"""Attentive fusion: weights by hand, padding that does not count, absent streams."""

import math

import pytest
import torch
from torch import nn

from ser_lib.aggregators import CrossAttention
from ser_lib.upstreams import Frames


def plain_fusion(size: int = 2) -> CrossAttention:
    """Queries, keys and values are what they are computed from."""
    fusion = CrossAttention({"speech": size, "text": size}, attention_size=size)
    for name in ("speech", "text"):
        for layer in (fusion.queries[name], fusion.keys[name], fusion.values[name]):
            nn.init.eye_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return fusion.eval()


def random_frames() -> dict[str, Frames]:
    torch.manual_seed(0)
    return {
        "speech": Frames(torch.randn(2, 9, 4), torch.tensor([9, 5])),
        "text": Frames(torch.randn(2, 6, 3), torch.tensor([2, 6])),
    }


def random_fusion() -> CrossAttention:
    torch.manual_seed(1)
    return CrossAttention({"speech": 4, "text": 3}, attention_size=5).eval()


def test_the_weights_are_the_softmax_of_what_a_person_computes():
    frames = {
        "speech": Frames(torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([2])),
        "text": Frames(torch.tensor([[[4.0, 0.0], [0.0, 2.0]]]), torch.tensor([2])),
    }
    found = plain_fusion()(frames)[0]
    # The mean of the text is (2, 1): scores 2 / sqrt(2) and 1 / sqrt(2).
    first = 1 / (1 + math.exp(-1 / math.sqrt(2)))
    assert first == pytest.approx(0.669761, abs=1e-6)
    # The mean of the speech is (0.5, 0.5): scores 2 / sqrt(2) and 1 / sqrt(2), too.
    expected = [first, 1 - first, 4 * first, 2 * (1 - first)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


def test_one_large_frame_takes_all_the_attention():
    frames = {
        "speech": Frames(torch.tensor([[[1e3], [1.0], [3.0]]]), torch.tensor([3])),
        "text": Frames(torch.tensor([[[1.0]]]), torch.tensor([1])),
    }
    assert plain_fusion(size=1)(frames)[0].tolist() == [1e3, 1.0]


@pytest.mark.parametrize("padding", [0.0, 1e6, float("nan")])
def test_padding_does_not_change_the_embedding(padding):
    fusion, frames = random_fusion(), random_frames()
    together = fusion(frames)
    for k in range(2):
        alone, padded = {}, {}
        for name, (values, counts) in frames.items():
            own = values[k : k + 1, : counts[k]]
            alone[name] = Frames(own, counts[k : k + 1])
            more = torch.full((1, 3, own.shape[2]), padding)
            padded[name] = Frames(torch.cat([own, more], 1), counts[k : k + 1])
        torch.testing.assert_close(fusion(alone)[0], together[k], atol=1e-6, rtol=0)
        torch.testing.assert_close(fusion(padded)[0], together[k], atol=1e-6, rtol=0)


def test_without_text_the_query_to_the_speech_is_a_bias_and_the_text_is_zero():
    fusion, frames = random_fusion(), random_frames()
    both = fusion(frames)
    found = fusion(frames, {"text": torch.tensor([False, True])})
    assert torch.equal(found[1], both[1])
    assert found[0, 5:].tolist() == [0.0] * 5
    values = frames["speech"].values[0]
    scores = fusion.keys["speech"](values) @ fusion.queries["speech"].bias
    expected = (scores / math.sqrt(5)).softmax(0) @ fusion.values["speech"](values)
    torch.testing.assert_close(found[0, :5], expected, atol=1e-6, rtol=0)


def test_three_streams_are_refused_by_name():
    with pytest.raises(ValueError, match=r"two upstreams; found \['a', 'b', 'c'\]"):
        CrossAttention({"a": 1, "b": 1, "c": 1})
