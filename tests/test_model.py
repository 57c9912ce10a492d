"""The model: branches, early and late fusion, order of the labels."""

import pytest
import torch
from torch import nn

from ser_lib.aggregators import MeanPooling
from ser_lib.model import Downstream, EmotionModel
from ser_lib.upstreams import Frames


class Constant(nn.Module):
    """An upstream that gives the same frame at every step."""

    reads, frozen, hop_samples = "wav", True, 1

    def __init__(self, value: float, dim: int, hop_samples: int = 1) -> None:
        super().__init__()
        self.value, self.dim, self.hop_samples = value, dim, hop_samples

    def forward(self, wavs, wav_lens):
        n_steps = wavs.shape[1] // self.hop_samples
        values = torch.full((len(wavs), n_steps, self.dim), self.value)
        return Frames(values, torch.round(wav_lens * n_steps).long())


def embedding(branches: list[list[str]]) -> list[float]:
    upstreams = {"a": Constant(1.0, 2), "b": Constant(2.0, 3)}
    branches = [{"upstreams": names, "aggregator": MeanPooling} for names in branches]
    model = EmotionModel(["x", "y"], upstreams, branches)
    frames = model.upstreams(torch.zeros(1, 4), torch.ones(1))
    return model.downstream.embed(frames)[0].tolist()


def test_early_fusion_joins_the_frames_of_one_branch():
    assert embedding([["a", "b"]]) == [1.0, 1.0, 2.0, 2.0, 2.0]


def test_late_fusion_joins_the_embeddings_of_the_branches():
    assert embedding([["b"], ["a"]]) == [2.0, 2.0, 2.0, 1.0, 1.0]


def test_early_fusion_of_a_fast_and_a_slow_stream_runs_at_the_pace_of_the_slow_one():
    upstreams = {"a": Constant(1.0, 2), "slow": Constant(2.0, 3, hop_samples=2)}
    seen = []

    class Watching(MeanPooling):
        def forward(self, frames):
            seen.append(frames)
            return super().forward(frames)

    branch = {"upstreams": ["a", "slow"], "aggregator": Watching}
    model = EmotionModel(["x", "y"], upstreams, [branch])
    model(torch.zeros(1, 8), torch.ones(1))
    assert seen[0].counts.tolist() == [4]
    assert seen[0].values.tolist() == [[[1.0, 1.0, 2.0, 2.0, 2.0]] * 4]


def test_a_branch_that_asks_for_an_unknown_upstream_is_refused():
    branch = {"upstreams": ["hubert"], "aggregator": MeanPooling}
    with pytest.raises(ValueError, match=r"\['hubert'\]; the model has \['a'\]"):
        EmotionModel(["x"], {"a": Constant(1.0, 2)}, [branch])


def test_dropout_acts_in_training_only():
    upstreams = {"a": Constant(1.0, 64)}
    branch = {"upstreams": ["a"], "aggregator": MeanPooling}
    model = EmotionModel(["x", "y"], upstreams, [branch], dropout=0.5)
    wavs, wav_lens = torch.zeros(1, 4), torch.ones(1)
    assert isinstance(model.downstream, Downstream)
    assert not torch.equal(model(wavs, wav_lens), model(wavs, wav_lens))
    model.eval()
    assert torch.equal(model(wavs, wav_lens), model(wavs, wav_lens))
