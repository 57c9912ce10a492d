"""Upstreams: exact frame lengths, and no influence of the batch on an utterance."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import HubertModel

from ser_lib.aggregators import EcapaTdnn, MeanPooling
from ser_lib.model import EmotionModel
from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.upstreams import FbankUpstream, HuggingFaceUpstream, sample_counts
from ser_lib.upstreams.huggingface import local_encoder
from ser_lib.upstreams.padding import PaddedWaveforms

SAMPLES = [32000, 20001, 9000, 3000]


@pytest.fixture(scope="module", params=["group", "layer"])
def hubert_folder(request, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp(request.param)
    return str(write_tiny_hubert(folder, feat_extract_norm=request.param))


def padded_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    wavs = torch.zeros(len(SAMPLES), max(SAMPLES))
    for wav, n in zip(wavs, SAMPLES, strict=True):
        wav[:n] = 0.1 * torch.randn(n, generator=generator) + 0.02
    return wavs, torch.tensor(SAMPLES) / max(SAMPLES)


def ecapa(input_size: int) -> EcapaTdnn:
    return EcapaTdnn(input_size, 16, channels=[32] * 4 + [96], attention_channels=8)


def assert_alone_equals_padded(model: EmotionModel) -> None:
    """Logits, in the range of 1, agree to 1e-4 for every utterance of the batch."""
    model.eval()
    wavs, wav_lens = padded_batch()
    with torch.no_grad():
        together = model(wavs, wav_lens)
        for wav, n, logits in zip(wavs, SAMPLES, together, strict=True):
            alone = model(wav[None, :n], torch.ones(1))[0]
            torch.testing.assert_close(logits, alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("aggregator", [MeanPooling, ecapa])
def test_an_utterance_alone_and_in_a_padded_batch_gives_equal_logits(
    hubert_folder, aggregator
):
    assert_alone_equals_padded(
        EmotionModel(
            labels=["neu", "hap", "ang", "sad"],
            upstreams={"hubert": HuggingFaceUpstream(hubert_folder)},
            branches=[{"upstreams": ["hubert"], "aggregator": aggregator}],
        )
    )


@pytest.mark.parametrize("input_norm", ["none", "batch", "sentence"])
def test_the_filter_bank_gives_equal_logits_alone_and_padded(input_norm):
    def aggregator(input_size):
        return EcapaTdnn(
            input_size, 16, input_norm, channels=[32] * 4 + [96], attention_channels=8
        )

    branch = {"upstreams": ["fbank"], "aggregator": aggregator}
    upstreams = {"fbank": FbankUpstream()}
    assert_alone_equals_padded(EmotionModel(["a", "b"], upstreams, [branch]))


def test_what_stands_in_the_padding_does_not_matter(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True)
    wavs, wav_lens = padded_batch()
    noisy = wavs.clone()
    noisy[1, SAMPLES[1] :] = 1.0
    clean_frames, counts = upstream(wavs, wav_lens)
    noisy_frames, _ = upstream(noisy, wav_lens)
    n = counts[1]
    torch.testing.assert_close(clean_frames[1, :n], noisy_frames[1, :n])


def test_frame_counts_are_those_of_the_unpadded_utterance(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True)
    _, counts = upstream(*padded_batch())
    alone = [
        upstream(torch.randn(1, n), torch.ones(1)).values.shape[1] for n in SAMPLES
    ]
    assert counts.tolist() == alone
    assert upstream.hop_samples == 320


def test_the_wrapper_equals_plain_transformers_on_one_utterance(hubert_folder):
    # Without padding, nothing of ours may change the published model's output.
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True)
    wav = padded_batch()[0][:1]
    extractor = upstream.feature_extractor
    inputs = extractor(wav[0].numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        plain = upstream.model(inputs.input_values).last_hidden_state
    ours = upstream(wav, torch.ones(1)).values
    torch.testing.assert_close(ours, plain, atol=1e-4, rtol=1e-4)


def test_a_frozen_encoder_is_deterministic_while_its_parent_trains(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True)
    upstream.model.encoder.dropout.p = 0.5
    parent = torch.nn.ModuleDict({"upstream": upstream}).train()
    first, second = (parent["upstream"](*padded_batch()).values for _ in range(2))
    assert torch.equal(first, second)
    assert not any(p.requires_grad for p in upstream.parameters())


def test_an_encoder_that_is_not_frozen_has_dropout_in_training(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder).train()
    upstream.model.encoder.dropout.p = 0.5
    first, second = (upstream(*padded_batch()).values for _ in range(2))
    assert not torch.equal(first, second)


def test_the_names_of_weights_are_those_of_transformers(hubert_folder):
    # And one more, which models that were exported have.
    plain = HubertModel.from_pretrained(hubert_folder).state_dict()
    expected = {f"model.{name}" for name in plain}
    if "feature_extractor.conv_layers.1.layer_norm.weight" not in plain:
        expected |= {"_group_norm.weight", "_group_norm.bias"}
    assert set(HuggingFaceUpstream(hubert_folder).state_dict()) == expected


def gradients(upstream: HuggingFaceUpstream, wavs: torch.Tensor) -> dict:
    upstream.zero_grad()
    values, counts = upstream(wavs, padded_batch()[1])
    spoken = pad_sequence([v[:n] for v, n in zip(values, counts, strict=True)])
    towards = torch.randn(spoken.shape, generator=torch.Generator().manual_seed(0))
    (spoken * towards).sum().backward()
    named = upstream.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def test_training_does_not_go_backward_through_frozen_convolutions(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze_feature_extractor=True)
    upstream.train()
    seen = []
    upstream.model.feature_extractor.register_forward_hook(
        lambda module, inputs, frames: seen.append(frames.requires_grad)
    )
    wavs, _ = padded_batch()
    ours = gradients(upstream, wavs)
    through = gradients(upstream, wavs.requires_grad_())  # all the way to the waveform
    assert seen == [False, True]
    trained = [n for n, p in upstream.named_parameters() if p.requires_grad]
    assert sorted(ours) == sorted(through) == sorted(trained)
    assert any("feature_projection" in name for name in trained)
    for name in trained:  # one utterance at a time, and in a batch
        distance = (ours[name] - through[name]).norm()
        assert distance <= 1e-4 * through[name].norm() + 1e-6, name


def test_frozen_convolutions_give_an_utterance_the_same_digits_in_a_batch(
    hubert_folder,
):
    upstream = HuggingFaceUpstream(hubert_folder).train()
    convolve = upstream.model.feature_extractor
    wavs, n_samples = padded_batch()[0], torch.tensor(SAMPLES)
    together = convolve(PaddedWaveforms(wavs, n_samples))
    assert not together.requires_grad
    for i, n in enumerate(SAMPLES):
        alone = convolve(wavs[i : i + 1, :n])[0]
        assert torch.equal(together[i, :, : alone.shape[1]], alone)


def test_convolutions_that_are_trained_get_a_gradient(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze_feature_extractor=False)
    found = gradients(upstream.train(), padded_batch()[0])
    convolutions = upstream.model.feature_extractor.conv_layers
    assert all(layer.conv.weight.grad.abs().sum() > 0 for layer in convolutions)
    assert len(found) == sum(p.requires_grad for p in upstream.parameters())


def test_gradient_checkpointing_gives_the_same_gradients(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze_feature_extractor=False)
    plain = gradients(upstream.train(), padded_batch()[0])
    upstream.model.gradient_checkpointing_enable()
    again = gradients(upstream, padded_batch()[0])
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, msg=name)


def test_audio_too_short_for_one_frame_is_refused_with_both_lengths(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True)
    n = upstream.min_samples
    assert n == 10 + 5 * 7 + 20 * 3 + 80 * 3  # kernels 10, 8, 4, 4, strides 5, 4, 4
    with pytest.raises(ValueError, match=f"at least {n} samples.*has {n - 1}"):
        upstream(torch.zeros(1, n - 1), torch.ones(1))
    assert upstream(torch.randn(1, n), torch.ones(1)).values.shape[1] == 1


def test_relative_lengths_of_long_recordings_give_exact_samples():
    longest = 10_000_019
    wanted = torch.tensor([longest, 9_999_991, 123_457])
    lens = wanted.double() / longest
    assert sample_counts(torch.empty(1, longest), lens).equal(wanted)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_an_encoder_folder_without_a_file_is_named_with_the_file(tmp_path, name):
    folder = write_tiny_hubert(tmp_path / "encoder")
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{folder} has no {name}"):
        local_encoder(str(folder))


def test_an_encoder_folder_without_weights_is_refused(tmp_path):
    folder = write_tiny_hubert(tmp_path / "encoder")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="has no model.safetensors or pytorch_"):
        local_encoder(str(folder))


def test_a_missing_encoder_folder_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no encoder folder"):
        local_encoder(str(tmp_path / "nowhere"))


def test_an_unreachable_hub_fails_at_once_and_says_what_to_do(monkeypatch, tmp_path):
    # Port 9 of this machine: refused at once, as by a firewall.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="hf download someone/encoder --local"):
        local_encoder("someone/encoder")
