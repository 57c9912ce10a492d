"""Mockingjay, TERA and APC as upstreams: padding, gradients, and the networks."""

import itertools
import math

import pytest
import torch
from s3prl_files import (
    SAMPLES,
    apc_checkpoint,
    mockingjay_checkpoint,
    padded_batch,
    small_config,
)
from torch import nn

from ser_lib.upstreams.apc import Apc, ApcUpstream
from ser_lib.upstreams.apc import published_config as apc_config
from ser_lib.upstreams.frames import Frames
from ser_lib.upstreams.mockingjay import MockingjayUpstream, save_mockingjay
from ser_lib.upstreams.mockingjay_network import Mockingjay

PROJECTIONS = ("query", "key", "value")


@pytest.fixture(params=["mel", "mel in pieces", "kaldi", "apc"])
def upstream(request, tmp_path):
    """One upstream of each kind, trainable and without dropout."""
    path = tmp_path / "states.ckpt"
    if request.param == "apc":
        torch.save(apc_checkpoint(), path)
        return ApcUpstream(str(path)).eval()
    kaldi, pieces = request.param == "kaldi", request.param == "mel in pieces"
    config = small_config(sequence_length=40 if pieces else 0, kaldi=kaldi)
    torch.save(mockingjay_checkpoint(config, n_inputs=240 if kaldi else 80), path)
    return MockingjayUpstream(str(path)).eval()


def test_every_hidden_state_is_the_same_alone_and_in_a_padded_batch(upstream):
    wavs, wav_lens = padded_batch(padding=9.0)  # whatever stands in the padding
    with torch.no_grad():
        together, counts = upstream.hidden_states(wavs, wav_lens)
        for i, n in enumerate(SAMPLES):
            alone, count = upstream.hidden_states(wavs[i : i + 1, :n], torch.ones(1))
            assert count.item() == counts[i].item()
            for a, b in zip(alone, together, strict=True):
                assert a.shape[1] == count
                torch.testing.assert_close(b[i, :count], a[0], atol=1e-4, rtol=0)


def test_frame_counts_are_those_of_the_documented_front_ends(upstream):
    _, counts = upstream.hidden_states(*padded_batch())
    centred = isinstance(upstream, MockingjayUpstream) and upstream.min_samples == 201
    expected = [1 + n // 160 if centred else 1 + (n - 400) // 160 for n in SAMPLES]
    assert counts.tolist() == expected
    assert (upstream.hop_samples, upstream.reads) == (160, "wav")


def test_all_weights_get_a_gradient_but_those_of_the_predictor(upstream):
    values = upstream(*padded_batch()).values
    values.square().sum().backward()
    without = [name for name, p in upstream.named_parameters() if p.grad is None]
    is_apc = isinstance(upstream, ApcUpstream)
    expected = ["network.postnet.weight", "network.postnet.bias"] if is_apc else []
    assert without == expected
    assert [n for n, p in upstream.named_parameters() if not p.requires_grad] == without


def test_audio_shorter_than_two_frames_is_refused_with_the_minimum(upstream):
    n = upstream.min_samples
    with pytest.raises(ValueError, match=f"at least {n} samples.*has {n - 1}"):
        upstream(torch.zeros(1, n - 1), torch.ones(1))
    with pytest.raises(ValueError, match=f"at least {n} samples.*has {n - 1}"):
        upstream.network.front_end(torch.zeros(1, n), torch.tensor([n - 1]))
    frames = upstream(torch.randn(1, n), torch.ones(1))
    assert frames.counts.tolist() == [2]
    assert frames.values.isfinite().all()


def test_a_silent_recording_gives_finite_frames(upstream):
    assert upstream(torch.zeros(1, 4000), torch.ones(1)).values.isfinite().all()


@pytest.mark.parametrize("layer", ["last", "sum"])
def test_a_frozen_network_has_no_dropout_while_its_parent_trains(tmp_path, layer):
    path = tmp_path / "tera.ckpt"
    save_mockingjay(path, Mockingjay(small_config()))  # dropout 0.1
    upstream = MockingjayUpstream(str(path), freeze=True, layer=layer)
    parent = nn.ModuleDict({"upstream": upstream}).train()
    first, second = (parent["upstream"](*padded_batch()).values for _ in range(2))
    assert torch.equal(first, second)
    trained = [name for name, p in upstream.named_parameters() if p.requires_grad]
    assert trained == (["layer_mix.weights"] if layer == "sum" else [])
    assert upstream.frozen == (layer == "last")


def test_a_new_layer_sum_is_the_mean_of_the_layers(tmp_path):
    torch.save(apc_checkpoint(), tmp_path / "apc.ckpt")
    upstream = ApcUpstream(str(tmp_path), layer="sum").eval()
    states, _ = upstream.hidden_states(*padded_batch())
    assert len(states) == 3
    values = upstream(*padded_batch()).values
    torch.testing.assert_close(values, sum(states) / 3, atol=1e-6, rtol=0)


# ---- the networks, computed again


def test_mockingjay_is_a_post_norm_transformer_over_projected_frames():
    config = small_config()
    network = Mockingjay(config).eval()
    for p in network.parameters():
        nn.init.normal_(p, std=0.3)
    features = torch.randn(2, 30, 80)
    states = network.encode(Frames(features, torch.tensor([30, 30])))
    state = network.state_dict()
    positions = torch.zeros(30, 24)
    for p in range(30):
        for j in range(24):
            angle = p / 10000 ** (2 * (j // 2) / 24)
            positions[p, j] = math.cos(angle) if j % 2 else math.sin(angle)
    weight, bias = (
        state[f"input_representations.spec_transform.{k}"] for k in ("weight", "bias")
    )
    norm = [state[f"input_representations.LayerNorm.{k}"] for k in ("weight", "bias")]
    x = nn.functional.layer_norm(
        features @ weight.T + bias + positions, (24,), *norm, eps=1e-12
    )
    torch.testing.assert_close(states[0], x, atol=1e-5, rtol=1e-5)
    for i in range(2):
        x = torch_layer(state, f"encoder.layer.{i}.")(x)
        torch.testing.assert_close(states[i + 1], x, atol=1e-5, rtol=1e-5)


def torch_layer(state: dict, prefix: str) -> nn.TransformerEncoderLayer:
    """The same layer in PyTorch's own implementation."""
    layer = nn.TransformerEncoderLayer(
        24, 3, 48, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    ).eval()
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    own = {
        f"{ours}.{k}": state[f"{prefix}{theirs}.{k}"]
        for ours, theirs in names.items()
        for k in ("weight", "bias")
    }
    for k in ("weight", "bias"):
        parts = [state[f"{prefix}attention.self.{p}.{k}"] for p in PROJECTIONS]
        own[f"self_attn.in_proj_{k}"] = torch.cat(parts)
    layer.load_state_dict(own)
    return layer


def test_long_utterances_are_encoded_in_equal_pieces_with_positions_from_zero():
    config = small_config(sequence_length=30)
    network = Mockingjay(config).eval()
    features = torch.randn(2, 101, 80)
    states = network.encode(Frames(features, torch.tensor([101, 30])))
    # 101 frames: ceil(101 / 30) = 4 pieces of ceil(101 / 4) = 26, the last of 23.
    edges = [0, 26, 52, 78, 101]
    for layer, state in enumerate(states):
        for start, end in itertools.pairwise(edges):
            counts = torch.tensor([end - start])
            piece = network.encode(Frames(features[:1, start:end], counts))[layer]
            torch.testing.assert_close(state[:1, start:end], piece, atol=1e-5, rtol=0)
    short = network.encode(Frames(features[1:, :30], torch.tensor([30])))
    torch.testing.assert_close(states[-1][1:, :30], short[-1], atol=1e-5, rtol=0)


def test_apc_without_residual_is_a_stack_of_grus():
    network = Apc(apc_config(hidden_size=16, residual=False)).eval()
    stack = nn.GRU(80, 16, num_layers=3, batch_first=True)
    for i, layer in enumerate(network.rnn_layers):
        for name, weight in layer.state_dict().items():
            stack.state_dict()[name.replace("_l0", f"_l{i}")].copy_(weight)
    features = torch.randn(2, 20, 80)
    torch.testing.assert_close(network.encode(features)[-1], stack(features)[0])


def test_apc_adds_the_input_of_each_layer_but_the_first():
    network = Apc(apc_config(hidden_size=16)).eval()
    features = torch.randn(1, 20, 80)
    first, second, third = network.encode(features)
    rnns = network.rnn_layers
    torch.testing.assert_close(first, rnns[0](features)[0])
    torch.testing.assert_close(second, rnns[1](first)[0] + first)
    torch.testing.assert_close(third, rnns[2](second)[0] + second)
