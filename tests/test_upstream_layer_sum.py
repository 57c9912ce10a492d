"""The learnable sum over the layers of a Hugging Face encoder."""

import json
import re
from pathlib import Path

import pytest
import torch

from ser_lib.synthetic.encoders import write_tiny_hubert
from ser_lib.upstreams import HuggingFaceUpstream

N_LAYERS = 2


@pytest.fixture(scope="module", params=["group", "layer"])
def hubert_folder(request, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp(request.param)
    return str(write_tiny_hubert(folder, feat_extract_norm=request.param))


def test_the_hidden_states_are_those_of_transformers(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True)
    wav = 0.1 * torch.randn(1, 16000)
    extractor = upstream.feature_extractor
    inputs = extractor(wav[0].numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        plain = upstream.model(inputs.input_values, output_hidden_states=True)
    states, counts = upstream.hidden_states(wav, torch.ones(1))
    assert len(states) == N_LAYERS + 1
    assert counts.tolist() == [states[0].shape[1]]
    for found, expected in zip(states, plain.hidden_states, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_sum_starts_as_the_mean_of_all_hidden_states(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True, layer="sum")
    wavs, wav_lens = torch.randn(2, 9000), torch.tensor([1.0, 0.5])
    states, counts = upstream.hidden_states(wavs, wav_lens)
    frames = upstream(wavs, wav_lens)
    torch.testing.assert_close(frames.values, torch.stack(states).mean(0))
    assert frames.counts.equal(counts)
    assert frames.values.shape[-1] == upstream.dim


def test_an_utterance_alone_and_in_a_padded_batch_gives_equal_sums(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True, layer="sum")
    wavs = 0.1 * torch.randn(2, 16000)
    wavs[1, 9000:] = 0
    values, counts = upstream(wavs, torch.tensor([1.0, 9000 / 16000]))
    alone, _ = upstream(wavs[1:, :9000], torch.ones(1))
    torch.testing.assert_close(values[1:, : counts[1]], alone, atol=1e-4, rtol=0)


def test_a_frozen_encoder_still_learns_the_weights_of_its_layers(hubert_folder):
    upstream = HuggingFaceUpstream(hubert_folder, freeze=True, layer="sum")
    upstream.model.encoder.dropout.p = 0.5
    upstream.train()
    first, second = (upstream(torch.ones(1, 8000), torch.ones(1)) for _ in range(2))
    assert torch.equal(first.values, second.values)  # no dropout
    first.values.square().sum().backward()
    trained = [name for name, p in upstream.named_parameters() if p.grad is not None]
    assert trained == ["layer_mix.weights"]
    # Frames that change in training cannot be stored.
    assert not upstream.frozen
    assert HuggingFaceUpstream(hubert_folder, freeze=True).frozen


def test_layer_drop_does_not_take_states_out_of_the_sum(tmp_path):
    folder = write_tiny_hubert(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layerdrop": 0.5}))
    upstream = HuggingFaceUpstream(str(folder), layer="sum").train()
    wav = torch.randn(1, 1000)
    numbers = {len(upstream.hidden_states(wav, torch.ones(1))[0]) for _ in range(20)}
    assert numbers == {N_LAYERS + 1}  # with layer drop, a chance of 4 ** -20


@pytest.mark.parametrize("layer", ["first", -1, True, 1.0, [], [1, 1], [0, "last"]])
def test_an_unknown_choice_of_layers_is_refused(layer):
    with pytest.raises(ValueError, match=rf"is {re.escape(repr(layer))}; expected"):
        HuggingFaceUpstream(str(Path("nowhere")), layer=layer)


@pytest.mark.parametrize(("layer", "numbers"), [("all", [0, 1, 2]), ([2, 0], [2, 0])])
def test_states_are_concatenated_and_a_frozen_encoder_has_nothing_to_train(
    tmp_path, layer, numbers
):
    folder = str(write_tiny_hubert(tmp_path))
    upstream = HuggingFaceUpstream(folder, freeze=True, layer=layer)
    wavs, wav_lens = torch.randn(2, 8000), torch.tensor([1.0, 0.6])
    frames = upstream(wavs, wav_lens)
    states, counts = upstream.hidden_states(wavs, wav_lens)
    assert upstream.dim == len(numbers) * 64 == frames.values.shape[2]
    chosen = [states[k] for k in numbers]
    assert torch.equal(frames.values, torch.cat(chosen, dim=-1))
    assert torch.equal(frames.counts, counts)
    assert upstream.frozen and not any(p.requires_grad for p in upstream.parameters())
