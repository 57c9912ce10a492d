"""CPC, wav2vec and DeLoRes: lengths, padding, and the papers' parts recomputed."""

import pytest
import torch
import torchaudio
from tiny_convolutional import LOAD, SAMPLES, batch, every, tiny, written
from torch import nn
from torch.nn import functional as F

from ser_lib.upstreams.audio_ntt import AudioNtt2020, LogMel
from ser_lib.upstreams.cpc import CONVOLUTIONS, Cpc
from ser_lib.upstreams.wav2vec import Wav2VecUpstream
from ser_lib.upstreams.wav2vec_network import Wav2Vec

ALONE = torch.ones(1)


@every
def test_an_utterance_alone_and_in_a_noisily_padded_batch_gives_equal_states(
    tmp_path, name
):
    upstream = LOAD[name](written(tmp_path, name)).eval()
    wavs, wav_lens = batch(padding=1.0)
    with torch.no_grad():
        together, counts = upstream.hidden_states(wavs, wav_lens)
        for i, n in enumerate(SAMPLES):
            alone, count = upstream.hidden_states(wavs[i : i + 1, :n], ALONE)
            assert count.item() == counts[i] == alone[0].shape[1]
            for a, b in zip(together, alone, strict=True):
                torch.testing.assert_close(a[i, :count], b[0], atol=1e-4, rtol=0)


@every
def test_a_saved_network_gives_the_same_states_as_an_upstream(tmp_path, name):
    network = tiny(name)
    upstream = LOAD[name](written(tmp_path, name, network)).eval()
    wavs, wav_lens = batch()
    expected, counts = network(wavs, torch.tensor(SAMPLES))
    frames = upstream(wavs, wav_lens)
    assert torch.equal(frames.values, expected[-1])
    assert torch.equal(frames.counts, counts)
    assert upstream.dim == frames.values.shape[2] == 8
    assert upstream.reads == "wav"
    assert upstream.hop_samples == {"cpc": 160, "wav2vec": 20, "delores": 1280}[name]


@every
def test_audio_too_short_for_one_frame_is_refused_with_both_lengths(tmp_path, name):
    upstream = LOAD[name](written(tmp_path, name)).eval()
    # CPC: 1, 2, 4, 8, 32, 159 steps, from the top down. wav2vec: 10 + 7 * 5.
    n = upstream.min_samples
    assert n == {"cpc": 159, "wav2vec": 45, "delores": 7 * 160}[name]
    assert upstream(torch.randn(1, n), ALONE).counts.item() == 1
    with pytest.raises(ValueError, match=f"at least {n} samples.*has {n - 1}"):
        upstream(torch.randn(1, n - 1), ALONE)


@every
def test_a_frozen_encoder_stays_in_eval_mode_and_has_no_gradients(tmp_path, name):
    upstream = LOAD[name](written(tmp_path, name), freeze=True)
    nn.ModuleDict({"upstream": upstream}).train()
    assert upstream.frozen
    assert not any(module.training for module in upstream.network.modules())
    assert not any(p.requires_grad for p in upstream.parameters())
    assert not upstream(*batch()).values.requires_grad


@every
def test_an_encoder_that_is_not_frozen_has_gradients_everywhere(tmp_path, name):
    upstream = LOAD[name](written(tmp_path, name)).train()
    values, counts = upstream(*batch())
    sum(v[:n].square().sum() for v, n in zip(values, counts, strict=True)).backward()
    assert not upstream.frozen
    assert all(p.grad is not None for p in upstream.parameters())
    lowest = next(upstream.parameters())  # the first convolution
    assert lowest.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["cpc", "delores"])
def test_the_layer_sum_starts_as_the_mean_and_alone_is_trained(tmp_path, name):
    upstream = LOAD[name](written(tmp_path, name), freeze=True, layer="sum")
    wavs, wav_lens = batch()
    states, _ = upstream.hidden_states(wavs, wav_lens)
    values = upstream(wavs, wav_lens).values
    torch.testing.assert_close(values, (states[0] + states[1]) / 2)
    trained = [key for key, p in upstream.named_parameters() if p.requires_grad]
    assert trained == ["layer_mix.weights"]
    assert not upstream.frozen


def test_states_of_different_sizes_are_not_summed(tmp_path):
    with pytest.raises(ValueError, match=r"differ in size \(\[6, 6, 8\]\)"):
        Wav2VecUpstream(written(tmp_path, "wav2vec"), layer="sum")
    with pytest.raises(
        ValueError, match="'first'; expected last, sum, all, the number"
    ):
        Wav2VecUpstream(written(tmp_path, "wav2vec"), layer="first")


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (Cpc, 1_843_456),  # SUPERB, table 1
        # SUPERB counts the prediction of 12 steps too: one matrix for each, a bias.
        (Wav2Vec, 32_537_088 - (12 * 512 * 512 + 512)),
        # Convolutions and norms, then 512 x 2048 and 2048 x 2048 with biases.
        (AudioNtt2020, 768 + 2 * 37_056 + 1_050_624 + 4_196_352),
    ],
)
def test_the_networks_have_the_published_number_of_parameters(build, expected):
    with torch.device("meta"):
        network = build()
    assert sum(p.numel() for p in network.parameters()) == expected


def test_cpc_equals_its_formulas_written_out():
    network, wav = tiny("cpc"), torch.randn(1, 1000)
    (z, c), _ = network(wav, torch.tensor([1000]))
    state, x = network.state_dict(), wav[:, None]
    for i, (_, stride, padding) in enumerate(CONVOLUTIONS):
        weight, bias = (state[f"gEncoder.conv{i}.{k}"] for k in ("weight", "bias"))
        x = F.conv1d(x, weight, bias, stride, padding)
        mean = x.sum(1, keepdim=True) / 8
        variance = (x - mean).pow(2).sum(1, keepdim=True) / 7  # unbiased
        x = (x - mean) / (variance + 1e-5).sqrt()
        norm = f"gEncoder.batchNorm{i}"
        x = (x * state[f"{norm}.weight"] + state[f"{norm}.bias"]).clamp(min=0)
    torch.testing.assert_close(z, x.transpose(1, 2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(c[0], lstm(state, x[0].T), atol=1e-5, rtol=1e-5)


def lstm(state: dict[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    """One layer, gate by gate."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_in, w_back, b_in, b_back = (state[f"gAR.baseNet.{name}_l0"] for name in names)
    h = memory = torch.zeros(8)
    outputs = []
    for x in inputs:
        i, f, g, o = (w_in @ x + b_in + w_back @ h + b_back).chunk(4)
        memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
        h = o.sigmoid() * memory.tanh()
        outputs.append(h)
    return torch.stack(outputs)


def test_wav2vec_equals_its_formulas_written_out():
    network, wav = tiny("wav2vec"), torch.randn(1, 500)
    states, _ = network(wav, torch.tensor([500]))
    weights, x = network.state_dict(), wav[:, None]
    for i, stride in enumerate([5, 4, 1]):
        block = f"feature_extractor.conv_layers.{i}"
        x = F.conv1d(x, weights[f"{block}.0.weight"], stride=stride)
        norm = weights[f"{block}.2.weight"], weights[f"{block}.2.bias"]
        x = F.group_norm(x, 1, *norm).clamp(min=0)
    expected = [torch.log1p(x.abs())]
    for i, kernel in enumerate([2, 3]):
        x = expected[-1]
        block = f"feature_aggregator.conv_layers.{i}"
        past = torch.cat([x[..., :1]] * (kernel - 1) + [x], dim=-1)
        y = F.conv1d(past, weights[f"{block}.1.weight"], weights[f"{block}.1.bias"])
        norm = weights[f"{block}.3.weight"], weights[f"{block}.3.bias"]
        y = F.group_norm(y, 1, *norm).clamp(min=0)
        if i == 1:  # from 6 to 8
            x = F.conv1d(x, weights["feature_aggregator.residual_proj.1.weight"])
        expected.append((y + x) * 0.5**0.5)
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(ours, theirs.transpose(1, 2), atol=1e-5, rtol=1e-5)


def torchaudio_log_mel(wav: torch.Tensor) -> torch.Tensor:
    """(samples,) -> (64, time)"""
    mel = torchaudio.transforms.MelSpectrogram(
        n_fft=1024,
        hop_length=160,
        f_min=60,
        f_max=7800,
        n_mels=64,
        norm="slaney",
        mel_scale="slaney",
    )
    return (mel(wav) + 1.1920929e-07).log()


def test_the_front_end_of_delores_equals_torchaudio_on_each_utterance():
    wavs, _ = batch(padding=1.0)
    values, counts = LogMel()(wavs, torch.tensor(SAMPLES))
    for wav, n, log_mels, count in zip(wavs, SAMPLES, values, counts, strict=True):
        expected = torchaudio_log_mel(wav[:n]).T
        assert count == len(expected)
        torch.testing.assert_close(log_mels[:count], expected, atol=1e-4, rtol=0)


def test_delores_equals_plain_modules_on_one_utterance():
    network, wav = tiny("delores"), 0.1 * torch.randn(4001)
    (first, last), _ = network(wav[None], torch.tensor([4001]))
    x = network.features(torchaudio_log_mel(wav)[None, None])  # (1, 64, 8 mels, 3)
    assert x.shape == (1, 64, 8, 3)
    frames = x[0].permute(2, 1, 0).reshape(3, 512)  # the channel runs fastest
    hidden = network.fc[0](frames).relu()
    torch.testing.assert_close(first[0], hidden, atol=1e-4, rtol=1e-4)
    expected = network.fc[3](hidden).relu()
    torch.testing.assert_close(last[0], expected, atol=1e-4, rtol=1e-4)


def test_batch_norms_learn_from_the_utterances_and_not_from_the_padding():
    network = tiny("delores").train()
    convolution, norm = network.features[:2]
    wavs, _ = batch()
    values, counts = network.log_mel(wavs, torch.tensor(SAMPLES))
    before = norm.running_mean.clone()
    network.encode(values, counts)
    alone = [
        convolution(v[:n].T[None, None])[0].flatten(1)  # (channel, mel and time)
        for v, n in zip(values, counts, strict=True)
    ]
    expected = 0.9 * before + 0.1 * torch.cat(alone, dim=1).mean(1)
    torch.testing.assert_close(norm.running_mean, expected, atol=1e-4, rtol=0)


def test_the_embedding_of_delores_is_maximum_plus_mean_of_the_utterance():
    values = torch.tensor([[[1.0, -1.0], [3.0, -3.0], [9.0, 9.0]]])
    embedding = AudioNtt2020(dim=2).embed(values, torch.tensor([2]))
    assert embedding.tolist() == [[3.0 + 2.0, -1.0 - 2.0]]
