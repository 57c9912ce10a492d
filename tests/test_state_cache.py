"""States of what is frozen of an encoder, kept from epoch to epoch."""

import pytest
import torch
from speechbrain.utils.epoch_loop import EpochCounter

from ser_lib.aggregators import MeanPooling
from ser_lib.model import EmotionModel
from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.training import History
from ser_lib.training.assembly import make_brain
from ser_lib.upstreams import HuggingFaceUpstream

LENGTHS = torch.tensor([8000, 5000, 3000])

WHOLE = {"frozen_layers": 0, "lr_layer_decay": 1.0, "lora": None}
WHOLE |= {
    "experiment": "toy",
    "modality_dropout": 0.0,
    "tasks": {},
    "labels": ["neu", "hap"],
}


@pytest.fixture
def upstream(tmp_path) -> HuggingFaceUpstream:
    return HuggingFaceUpstream(str(write_tiny_hubert(tmp_path)), True, layer="sum")


@pytest.fixture
def encoded(upstream, monkeypatch) -> list[int]:
    """How many utterances the encoder itself is given, batch by batch."""
    sizes, states = [], upstream._states

    def counted(wavs, n_samples, all_states):
        sizes.append(len(wavs))
        return states(wavs, n_samples, all_states)

    monkeypatch.setattr(upstream, "_states", counted)
    return sizes


def batch(rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    wavs = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0))
    n = LENGTHS[rows]
    inside = torch.arange(int(n.max())) < n[:, None]
    return wavs[rows, : int(n.max())] * inside, n / n.max()


def test_an_utterance_is_encoded_once_in_whatever_batch_it_comes(upstream, encoded):
    expected = upstream(*batch([0, 1, 2]))
    upstream.keep_states(limit_gb=1)
    del encoded[:]
    upstream(*batch([1, 2]))
    found = upstream(*batch([0, 1, 2]))
    assert encoded == [1, 1, 1]
    assert torch.equal(found.counts, expected.counts)
    inside = torch.arange(int(found.counts.max())) < found.counts[:, None]
    difference = (found.values - expected.values)[inside]
    assert difference.abs().max() < 1e-5


def test_the_layer_sum_is_trained_on_states_that_were_kept(upstream, encoded):
    upstream.keep_states(limit_gb=1)
    for _ in range(2):
        upstream.zero_grad()
        upstream(*batch([0, 1])).values.square().sum().backward()
    assert encoded == [1, 1]
    assert upstream.layer_mix.weights.grad.abs().max() > 0


def test_what_does_not_fit_is_encoded_each_time(upstream, encoded):
    # 3 states of 64 numbers of 4 bytes: 24 frames of 8000 samples do not fit, 15 do
    upstream.keep_states(limit_gb=16 * 3 * 64 * 4 / 1e9)
    for _ in range(2):
        counts = upstream(*batch([0, 1])).counts
    assert counts.tolist() == [24, 15]
    assert encoded == [1, 1, 1]


def test_an_encoder_that_is_trained_keeps_nothing(tmp_path):
    upstream = HuggingFaceUpstream(str(write_tiny_hubert(tmp_path)), False, False)
    with pytest.raises(ValueError, match="frozen encoder"):
        upstream.keep_states(1)


def trained_encoder(folder, norm: str) -> HuggingFaceUpstream:
    return HuggingFaceUpstream(str(write_tiny_hubert(folder, norm))).train()


def gradients(upstream, rows: list[int]) -> torch.Tensor:
    upstream.zero_grad()
    upstream(*batch(rows)).values.square().mean().backward()
    trained = [p for p in upstream.parameters() if p.requires_grad]
    return torch.cat([p.grad.flatten() for p in trained])


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_trained_encoder_keeps_what_its_frozen_convolutions_give(tmp_path, norm):
    upstream, convolved = trained_encoder(tmp_path, norm), []
    expected = gradients(upstream, [0, 1, 2])
    upstream.model.feature_extractor.conv_layers[0].conv.register_forward_hook(
        lambda module, inputs, output: convolved.append(len(output))
    )
    upstream.keep_states(limit_gb=1)
    gradients(upstream, [1, 2])
    found = gradients(upstream, [0, 1, 2])
    assert convolved == [1, 1, 1]
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_what_is_kept_does_not_depend_on_the_batch_it_came_in(tmp_path, norm):
    # A run that resumes meets an utterance in another batch first.
    upstream = trained_encoder(tmp_path, norm)
    found = []
    for first in ([0, 1], [2, 1], [1]):
        upstream.keep_states(limit_gb=1)
        upstream(*batch(first))
        found.append(gradients(upstream, [0, 1, 2]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_the_setting_holds_for_an_encoder_whose_transformer_is_trained(tmp_path):
    upstream = trained_encoder(tmp_path, "group")
    branch = {"upstreams": ["hubert"], "aggregator": MeanPooling}
    hparams = {
        "model": EmotionModel(["neu", "hap"], {"hubert": upstream}, [branch]),
        "frozen_cache_gb": 1,
        **WHOLE,
        "crop_s": None,
        "wav_augment": None,
        "epoch_counter": EpochCounter(1),
        "history": History(tmp_path / "history.csv", tensorboard="no"),
    }
    make_brain(hparams, {}, {"device": "cpu"}, tmp_path, [])
    convolved = []
    upstream.model.feature_extractor.conv_layers[0].conv.register_forward_hook(
        lambda module, inputs, output: convolved.append(len(output))
    )
    for _ in range(2):
        upstream(*batch([0]))
    assert convolved == [1]


@pytest.mark.parametrize("changing", ["crop_s", "wav_augment"])
def test_audio_that_changes_in_every_epoch_is_refused(changing, tmp_path):
    class Downstream(torch.nn.Linear):
        modalities = ["wav"]

        def add_heads(self, sizes):
            assert not sizes

    class Model:
        downstream = Downstream(1, 1)
        upstreams = type("", (dict,), {"without": lambda self, names: self})()

    hparams = {"model": Model(), "frozen_cache_gb": 1, **WHOLE}
    hparams |= {"crop_s": None, "wav_augment": None, changing: 1.5}
    with pytest.raises(ValueError, match="frozen_cache_gb .* crop_s or wav_augment"):
        make_brain(hparams, {}, {}, tmp_path, [])
