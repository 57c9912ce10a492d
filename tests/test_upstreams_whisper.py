"""Whisper's encoder: equal to transformers' class, on the utterance's own frames.

``test_superb.py``, ``test_two_stages.py``, ``test_export_upstreams.py`` and others test
it with all other upstreams.
"""

import json

import numpy as np
import pytest
import torch
from model_folders import of_upstream, write_folder
from safetensors.torch import load_file, save_file
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from ser_lib.export.onnx_modules import unpadded
from ser_lib.inference import EmotionRecognizer
from ser_lib.upstreams import FbankUpstream, WhisperUpstream, align_frames, frame_ratios
from ser_lib.upstreams.whisper import LogMel, WhisperNetwork

SIZE = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
}
DECODER = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole Whisper, with a decoder, as the hub has it."""
    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    config = WhisperConfig(**SIZE, **DECODER, vocab_size=60, pad_token_id=0)
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    return folder


def transformers_states(network: WhisperNetwork, wav: torch.Tensor, n_mels: int = 80):
    """The states of transformers' own forward pass, on 30 s."""
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    features = extractor(wav.numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        output = network.encoder(features.input_features, output_hidden_states=True)
    return output.hidden_states


def of_thirty_seconds(wav: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(wav, (0, 480_000 - len(wav)))[None]


@pytest.mark.parametrize("n_mels", [80, 128])
def test_thirty_seconds_give_the_states_of_transformers(n_mels):
    network = WhisperNetwork(**SIZE, num_mel_bins=n_mels).eval()
    wav = torch.randn(100_000)
    expected = transformers_states(network, wav, n_mels)
    with torch.no_grad():
        states, counts = network(of_thirty_seconds(wav), torch.tensor([480_000]))
    assert counts.tolist() == [1500] and len(states) == len(expected) == 3
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["whisper-tiny.en-encoder", "whisper-base-encoder"])
def test_real_weights_give_the_states_of_transformers(shared_data, name):
    folder = shared_data.parent / "models" / name
    upstream = WhisperUpstream(str(folder), freeze=True)
    wav = 0.1 * torch.randn(50_000)
    expected = transformers_states(upstream.network, wav)
    states, _ = upstream.hidden_states(of_thirty_seconds(wav), torch.ones(1))
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_log_mels_are_those_of_the_feature_extractor_without_its_padding():
    wav = torch.randn(20_000)
    extractor = WhisperFeatureExtractor()
    theirs = extractor(wav.numpy(), sampling_rate=16000, padding=False)
    ours = LogMel(80)(wav).T.numpy()
    assert ours.shape == (80, 20_000 // 160)
    np.testing.assert_allclose(ours, theirs.input_features[0], atol=1e-4)


def test_an_utterance_has_a_frame_per_20_ms_and_the_same_alone_and_padded(folder):
    upstream = WhisperUpstream(str(folder)).eval()
    wavs = torch.randn(3, 16_159)  # 100 mel frames
    wav_lens = torch.tensor([1.0, 8_000 / 16_159, 400 / 16_159])
    with torch.no_grad():
        padded = upstream(wavs, wav_lens)
        assert padded.counts.tolist() == [50, 25, 1]
        for i, n in enumerate((16_159, 8_000, 400)):
            alone = upstream(wavs[i : i + 1, :n], torch.ones(1)).values[0]
            ours = padded.values[i, : len(alone)]
            torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-5)


def test_more_than_thirty_seconds_are_encoded_in_equal_pieces(folder):
    upstream = WhisperUpstream(str(folder)).eval()
    wav = torch.randn(1, 70 * 16_000)
    with torch.no_grad():
        states, counts = upstream.hidden_states(wav, torch.ones(1))
        piece = -(-70 * 16_000 // (3 * 320)) * 320  # whole frames
        pieces = [upstream.hidden_states(x, torch.ones(1)) for x in wav.split(piece, 1)]
    assert counts.tolist() == [3500]
    for n, state in enumerate(states):
        expected = torch.cat([found[n] for found, _ in pieces], dim=1)
        torch.testing.assert_close(state, expected, atol=1e-5, rtol=1e-5)


def test_the_decoder_is_not_loaded_and_half_precision_becomes_single(folder, tmp_path):
    weights = load_file(folder / "model.safetensors")
    kept = {k: v.half() for k, v in weights.items() if "decoder" not in k}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    small, whole = WhisperUpstream(str(tmp_path)), WhisperUpstream(str(folder))
    for ours, theirs in zip(small.parameters(), whole.parameters(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def changed_copy(folder, target, **settings):
    config = json.loads((folder / "config.json").read_text()) | settings
    (target / "config.json").write_text(json.dumps(config))
    return load_file(folder / "model.safetensors")


def test_a_folder_with_other_mels_names_the_weight(folder, tmp_path):
    save_file(
        changed_copy(folder, tmp_path, num_mel_bins=128), tmp_path / "model.safetensors"
    )
    expected = r"conv1.weight \(16, 80, 3\) instead of \(16, 128, 3\)"
    with pytest.raises(ValueError, match=expected):
        WhisperUpstream(str(tmp_path))


def test_a_folder_without_an_encoder_names_what_is_missing(folder, tmp_path):
    weights = changed_copy(folder, tmp_path)
    decoder = {k: v for k, v in weights.items() if ".decoder." in k}
    save_file(decoder, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=f"{tmp_path} .*missing .*conv1"):
        WhisperUpstream(str(tmp_path))


def test_a_truncated_file_is_named(folder, tmp_path):
    changed_copy(folder, tmp_path)
    content = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors .* cannot be read"):
        WhisperUpstream(str(tmp_path))


def test_another_kind_of_model_is_named(folder, tmp_path):
    save_file(
        changed_copy(folder, tmp_path, model_type="hubert"),
        tmp_path / "model.safetensors",
    )
    with pytest.raises(ValueError, match="'hubert'; expected 'whisper'"):
        WhisperUpstream(str(tmp_path))


def test_audio_below_one_window_is_refused_with_the_number_of_samples(folder):
    upstream = WhisperUpstream(str(folder))
    with pytest.raises(ValueError, match="at least 400 samples.* has 399"):
        upstream(torch.randn(1, 399), torch.ones(1))


def test_its_frames_can_be_fused_with_those_of_another_rate(folder):
    upstreams = {"whisper": WhisperUpstream(str(folder)), "fbank": FbankUpstream()}
    ratios = frame_ratios({name: u.hop_samples for name, u in upstreams.items()})
    wavs = torch.randn(1, 16_000)
    frames = {name: u(wavs, torch.ones(1)) for name, u in upstreams.items()}
    assert align_frames(frames, ratios).values.shape == (1, 50, 16 + 80)


def test_the_positions_are_not_trained(folder):
    upstream = WhisperUpstream(str(folder))
    frozen = [n for n, p in upstream.named_parameters() if not p.requires_grad]
    assert frozen == ["network.encoder.embed_positions.weight"]


@pytest.mark.parametrize("layer", [0, 1, [0, 1]])
def test_layers_above_the_highest_number_and_the_norm_are_dropped(folder, layer):
    whole, lower = WhisperUpstream(str(folder), layer="all"), highest(layer)
    upstream = WhisperUpstream(str(folder), freeze=True, layer=layer)
    names = [name for name in upstream.state_dict() if ".layer" in name]
    assert {name.split(".")[3] for name in names} == {str(n) for n in range(lower)}
    assert not any(module.training for module in upstream.modules())
    assert_lowest_states(upstream, whole, lower)
    description = upstream.without_weights()
    assert description["encoder_layers"] == lower and not description["final_norm"]
    again = WhisperUpstream(description, layer=layer)
    again.load_state_dict(upstream.state_dict())
    assert_lowest_states(again, whole, lower)


@pytest.mark.parametrize("layer", ["last", "sum", "all", 2, [2, 0]])
def test_a_network_whose_last_state_is_read_is_kept_whole(folder, layer):
    upstream = WhisperUpstream(str(folder), freeze=True, layer=layer)
    assert len(upstream.layer_stack) == SIZE["encoder_layers"]
    assert "network.encoder.layer_norm.weight" in upstream.state_dict()
    assert "final_norm" not in upstream.without_weights()


def highest(layer: int | list[int]) -> int:
    return layer if isinstance(layer, int) else max(layer)


def assert_lowest_states(upstream: WhisperUpstream, whole: WhisperUpstream, n: int):
    wavs, wav_lens = torch.randn(2, 8000), torch.tensor([1.0, 0.6])
    with torch.no_grad():
        found, counts = upstream.eval().hidden_states(wavs, wav_lens)
        expected, expected_counts = whole.eval().hidden_states(wavs, wav_lens)
    assert counts.tolist() == expected_counts.tolist()
    assert len(found) == n + 1 == len(expected) - (2 - n)
    for ours, theirs in zip(found, expected, strict=False):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_an_older_description_of_a_whole_network_keeps_its_layers(folder):
    whole = WhisperUpstream(str(folder), layer="all")
    upstream = WhisperUpstream(whole.without_weights(), layer=[0, 1])
    upstream.load_state_dict(whole.state_dict())  # strict
    wavs = torch.randn(1, 8000)
    with torch.no_grad():
        found = upstream.eval()(wavs, torch.ones(1)).values
        expected = whole.eval()(wavs, torch.ones(1)).values
    torch.testing.assert_close(found, expected[..., : 2 * 16], atol=1e-6, rtol=0)


def test_a_checkpoint_of_the_whole_encoder_is_loaded_and_a_foreign_weight_not(folder):
    upstream = WhisperUpstream(str(folder), freeze=True, layer=1)
    state = WhisperUpstream(str(folder)).state_dict()
    state["network.encoder.conv1.bias"] += 1
    upstream.load_state_dict(state)
    found = upstream.state_dict()["network.encoder.conv1.bias"]
    assert torch.equal(found, state["network.encoder.conv1.bias"])
    with pytest.raises(RuntimeError, match="Unexpected.*other"):
        upstream.load_state_dict({**state, "network.other": torch.ones(1)})


def test_a_missing_weight_of_a_layer_that_is_not_used_is_named(folder, tmp_path):
    weights = changed_copy(folder, tmp_path)
    lost = "model.encoder.layers.1.fc1.bias"
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"missing layers\.1\.fc1\.bias"):
        WhisperUpstream(str(tmp_path), freeze=True, layer=1)


def test_a_state_that_the_encoder_lacks_is_refused_by_its_number(folder):
    with pytest.raises(ValueError, match="layer is 3, .* 3 hidden states"):
        WhisperUpstream(str(folder), freeze=True, layer=3)


def test_the_weights_by_depth_are_those_that_are_left(folder):
    n_below = len(WhisperUpstream(str(folder)).weights_by_depth()[0])
    for layer, expected in ((1, [n_below, 15]), (0, [n_below])):
        upstream = WhisperUpstream(str(folder), freeze=True, layer=layer)
        assert [len(depth) for depth in upstream.weights_by_depth()] == expected


def test_an_encoder_that_is_trained_keeps_its_layers_and_their_learning_rates(folder):
    upstream = WhisperUpstream(str(folder), layer=1)
    depths, whole = upstream.weights_by_depth(), WhisperUpstream(str(folder))
    assert list(map(len, depths)) == list(map(len, whole.weights_by_depth()))
    assert "final_norm" not in upstream.without_weights()


def test_a_model_folder_and_its_onnx_form_have_only_the_layers_used(folder, tmp_path):
    trained = WhisperUpstream(str(folder), freeze=True, layer=[0, 1])
    source = trained.without_weights()
    network = of_upstream("WhisperUpstream", source=source, layer=[0, 1])
    path = write_folder(tmp_path / "model", network)
    weights = load_file(path / "fold_1.safetensors")
    assert not any("layers.1." in key or "encoder.layer_norm" in key for key in weights)
    recognizer = EmotionRecognizer.from_hparams(path, run_opts={"device": "cpu"})
    upstream = recognizer.mods["fold_1"].upstreams["upstream"]
    upstream.load_state_dict(trained.state_dict())
    wavs = 0.1 * torch.randn(2, 16000)
    with torch.no_grad():
        expected = trained(wavs, torch.ones(2)).values
        found = upstream(wavs, torch.ones(2)).values
        without_padding = unpadded(upstream)(wavs)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(without_padding, expected, atol=1e-4, rtol=0)
