"""emotion2vec: equal to a plain network, in all forms of its files, loaded strictly.

``test_superb.py``, ``test_two_stages.py``, ``test_export_upstreams.py`` and others test
it with all other upstreams.
"""

import math
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from ser_lib.aggregators import MeanPooling
from ser_lib.model import EmotionModel
from ser_lib.training.cache_keys import encoder_digest
from ser_lib.upstreams import Emotion2VecUpstream
from ser_lib.upstreams.emotion2vec import LABELS, save_emotion2vec
from ser_lib.upstreams.emotion2vec_network import Emotion2Vec

AUDIO = "modality_encoders.AUDIO."
SIZES = {
    "dim": 24,
    "n_heads": 3,
    "mlp_dim": 20,
    "prenet_depth": 1,
    "depth": 2,
    "convolutions": [(8, 10, 5), (8, 4, 4)],
    "n_position_layers": 2,
    "position_kernel": 5,
    "position_groups": 4,
    "n_tokens": 3,
}
WHOLE = torch.ones(1)


@pytest.fixture
def network() -> Emotion2Vec:
    """A network whose norms, tokens and scales are not those of the start."""
    torch.manual_seed(0)
    network = Emotion2Vec(**SIZES).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
        # A negative scale counts as zero.
        scale = network.modality_encoders["AUDIO"].alibi_scale
        scale.copy_(torch.tensor([0.5, -1.0, 2.0]).reshape(1, 1, 3, 1, 1))
    return network


def plain_states(weights: dict, wav: torch.Tensor) -> list[torch.Tensor]:
    """Compute the states of one waveform in float64, written from the paper's parts."""
    w = {key: value.double() for key, value in weights.items()}
    audio = {k.removeprefix(AUDIO): v for k, v in w.items() if k.startswith(AUDIO)}
    x = wav.double()
    x = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    x = x[None]
    for i, (_, _, stride) in enumerate(SIZES["convolutions"]):
        name = f"local_encoder.conv_layers.{i}"
        x = F.conv1d(x, audio[f"{name}.0.weight"], stride=stride)
        x = F.gelu(norm(x.T, audio[f"{name}.2.1.weight"], audio[f"{name}.2.1.bias"]).T)
    x = norm(x.T, audio["project_features.1.weight"], audio["project_features.1.bias"])
    x = x @ audio["project_features.2.weight"].T + audio["project_features.2.bias"]
    p = x
    for i in (1, 2):
        name = f"relative_positional_encoder.{i}.0"
        kernel = audio[f"{name}.weight"]
        p = F.conv1d(p.T, kernel, audio[f"{name}.bias"], padding=2, groups=4).T
        p = F.gelu(norm(p))
    x = torch.cat([audio["extra_tokens"][0], x + p])
    x = norm(
        x, audio["context_encoder.norm.weight"], audio["context_encoder.norm.bias"]
    )
    states = [x]
    names = [f"{AUDIO}context_encoder.blocks.0", "blocks.0", "blocks.1"]
    slopes = [2**-4, 2**-8, 2**-2]  # two heads, and one of a sequence of four
    scales = audio["alibi_scale"].flatten().tolist()
    for name in names:
        states.append(plain_block(w, name, states[-1], slopes, scales))
    return [state[3:] for state in states]


def plain_block(w, name, x, slopes, scales) -> torch.Tensor:
    q, k, v = (x @ w[f"{name}.attn.qkv.weight"].T + w[f"{name}.attn.qkv.bias"]).split(
        24, dim=1
    )
    heads = []
    for h in range(3):
        own = slice(8 * h, 8 * h + 8)
        logits = q[:, own] @ k[:, own].T / math.sqrt(8)
        for i in range(3, len(x)):
            for j in range(3, len(x)):
                logits[i, j] -= abs(i - j) * slopes[h] * max(scales[h], 0.0)
        heads.append(logits.softmax(1) @ v[:, own])
    y = torch.cat(heads, 1) @ w[f"{name}.attn.proj.weight"].T
    x = x + y + w[f"{name}.attn.proj.bias"]
    x = norm(x, w[f"{name}.norm1.weight"], w[f"{name}.norm1.bias"])
    y = F.gelu(x @ w[f"{name}.mlp.fc1.weight"].T + w[f"{name}.mlp.fc1.bias"])
    y = y @ w[f"{name}.mlp.fc2.weight"].T + w[f"{name}.mlp.fc2.bias"]
    return norm(x + y, w[f"{name}.norm2.weight"], w[f"{name}.norm2.bias"])


def norm(x, weight=1.0, bias=0.0) -> torch.Tensor:
    x = x - x.mean(1, keepdim=True)
    return x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt() * weight + bias


def written(folder: Path, network: Emotion2Vec, classifier=None) -> Path:
    folder.mkdir(exist_ok=True)
    save_emotion2vec(folder / "model.pt", network, classifier)
    return folder / "model.pt"


def changed(path: Path, change) -> str:
    """Change the content of a file."""
    content = torch.load(path)
    content = change(content) or content  # either changed in place, or another
    with torch.serialization.safe_globals([Namespace]):
        torch.save(content, path)
    return str(path)


# ---- the network


@pytest.mark.parametrize("n_samples", [400, 421, 1000])
def test_every_state_is_that_of_the_plain_network(network, n_samples):
    torch.manual_seed(1)
    wav = 0.1 * torch.randn(n_samples) + 0.05
    states, counts = network(wav[None], torch.tensor([n_samples]))
    expected = plain_states(network.state_dict(), wav)
    assert len(states) == 4 and counts.item() == len(expected[0])
    for found, plain in zip(states, expected, strict=True):
        difference = (found[0] - plain).abs().max() / plain.abs().max()
        assert difference < 1e-5


def test_frames_do_not_depend_on_the_batch(network):
    torch.manual_seed(1)
    wavs, n_samples = torch.randn(3, 900), torch.tensor([900, 500, 30])
    together, counts = network(wavs, n_samples)
    for i, n in enumerate(n_samples):
        alone, _ = network(wavs[i : i + 1, :n], n[None])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(b[i, : counts[i]], a[0], atol=1e-5, rtol=1e-5)


def test_the_defaults_have_the_published_numbers_of_weights():
    with torch.device("meta"):
        base = Emotion2Vec()
        large = Emotion2Vec(dim=1024, n_heads=16, mlp_dim=4096)
    assert sum(w.numel() for w in base.parameters()) == 93_171_212
    classifier = 9 * 1024 + 9
    assert sum(w.numel() for w in large.parameters()) + classifier == 162_140_185
    assert len(base.state_dict()) == 183
    assert base.hop_samples == 320 and base.min_samples == 400


# ---- the files


def wrap_as_state_dict(content):
    return {"state_dict": {f"module.{k}": v for k, v in content["model"].items()}}


def add_decoder_and_optimiser(content):
    content["model"][f"{AUDIO}decoder.proj.weight"] = torch.randn(2, 2)
    content["model"]["_ema"] = {"blocks.0.norm1.weight": torch.zeros(24)}
    content["last_optimizer_state"] = {"state": {0: torch.randn(4)}}


def use_four_dimensions(content):
    key = f"{AUDIO}alibi_scale"
    content["model"][key] = content["model"][key][0]


def use_a_namespace(content):
    content["cfg"] = Namespace(**content["cfg"])


@pytest.mark.parametrize(
    "change",
    [
        lambda content: None,
        wrap_as_state_dict,
        add_decoder_and_optimiser,
        use_four_dimensions,
        use_a_namespace,
    ],
)
def test_all_forms_of_the_file_give_the_same_frames(network, tmp_path, change):
    path = written(tmp_path, network)
    if change is wrap_as_state_dict:
        write_config(tmp_path)  # such a file does not tell its strides
    upstream = Emotion2VecUpstream(changed(path, change), freeze=True)
    wav = torch.randn(1, 800)
    expected, _ = network(wav, torch.tensor([800]))
    found = upstream(wav, WHOLE).values
    torch.testing.assert_close(found, expected[-1], atol=1e-5, rtol=0)


def write_config(folder: Path, **model_conf) -> None:
    spec = {"feature_encoder_spec": "[(8, 10, 5)] + [(8, 4, 4)]"}
    model_conf = {"norm_eps": "1e-05", "modalities": {"audio": spec}, **model_conf}
    (folder / "config.yaml").write_text(yaml.safe_dump({"model_conf": model_conf}))


def test_a_folder_is_read_with_its_configuration(network, tmp_path):
    written(tmp_path, network)
    plain = Emotion2VecUpstream(str(tmp_path))
    assert plain.network.blocks[0].norm1.eps == 1e-5 and plain.network.normalise_wav
    before = encoder_digest(str(tmp_path))
    write_config(tmp_path, norm_eps="1e-06", normalize=False, encoder_dropout=None)
    told = Emotion2VecUpstream(str(tmp_path))
    assert told.network.blocks[0].norm1.eps == 1e-6
    assert not told.network.normalise_wav
    assert encoder_digest(str(tmp_path)) != before


def remove(key):
    return lambda content: content["model"].pop(key) is None


def put(key, value):
    return lambda content: content["model"].update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("blocks.1.mlp.fc2.bias"), "missing blocks.1.mlp.fc2.bias"),
        (remove("blocks.0.mlp.fc1.weight"), "KeyError: 'blocks.0.mlp.fc1.weight'"),
        (put("blocks.0.extra", torch.ones(1)), "unexpected blocks.0.extra"),
        (put("blocks.1.norm1.bias", torch.ones(3)), "of another shape blocks.1.norm1"),
        (
            put("blocks.1.norm1.bias", torch.full((24,), float("nan"))),
            "not finite blocks.1.norm1.bias",
        ),
        (
            lambda c: c["cfg"]["model"].update(layer_norm_first=True),
            "layer_norm_first = True",
        ),
        (
            lambda c: c["cfg"]["model"]["modalities"]["audio"].update(
                conv_pos_pre_ln=True
            ),
            "conv_pos_pre_ln = True",
        ),
        (lambda c: c["cfg"]["model"].update(num_heads=5), "5 heads do not divide"),
        (lambda c: c["cfg"]["model"].update(norm_eps="small"), "'small'"),
        (
            lambda c: c["cfg"]["model"]["modalities"]["audio"].update(
                feature_encoder_spec="__import__('os').getcwd()"
            ),
            "is not a list of layers",
        ),
        (lambda c: c.pop("cfg") is None, "Put the config.yaml of the model beside"),
    ],
)
def test_a_wrong_file_is_told(network, tmp_path, change, message):
    path = changed(written(tmp_path, network), change)
    with pytest.raises(ValueError, match=message):
        Emotion2VecUpstream(path)


def test_a_truncated_file_is_told(network, tmp_path):
    path = written(tmp_path, network)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="damaged, truncated or of another format"):
        Emotion2VecUpstream(str(path))


def test_audio_below_one_frame_is_told(network, tmp_path):
    upstream = Emotion2VecUpstream(str(written(tmp_path, network)))
    with pytest.raises(ValueError, match="needs at least 25 samples.* has 24"):
        upstream(torch.randn(1, 24), WHOLE)


# ---- the classifier


@pytest.fixture
def head() -> nn.Linear:
    torch.manual_seed(2)
    return nn.Linear(24, 9)


def model_of(source, labels, **names) -> EmotionModel:
    upstream = Emotion2VecUpstream(str(source), label_names=names)
    branch = {"upstreams": ["upstream"], "aggregator": MeanPooling}
    return EmotionModel(
        labels, {"upstream": upstream}, [branch], classifier_from="upstream"
    ).eval()


def test_logits_are_those_of_the_published_classifier(network, head, tmp_path):
    path = written(tmp_path, network, head)
    model = model_of(path, ["sad", "angry", "disgust"], disgust="disgusted")
    wav = torch.randn(1, 800)
    states, _ = network(wav, torch.tensor([800]))
    expected = head(states[-1].mean(1))[:, [6, 0, 1]]
    torch.testing.assert_close(model(wav, WHOLE), expected, atol=1e-5, rtol=0)


def test_the_classes_are_read_from_the_tokens_beside_the_file(network, tmp_path):
    path = written(tmp_path, network, nn.Linear(24, 3))
    (tmp_path / "tokens.txt").write_text("难过/sad\nunuse_0\n<unk>\n", encoding="utf-8")
    model = model_of(path, ["unknown", "sad"])
    rows = torch.load(path)["model"]["proj.bias"][[2, 0]]
    assert model.downstream.classifier.bias.equal(rows)


def test_a_plus_file_serves_as_an_encoder_alone(network, head, tmp_path):
    upstream = Emotion2VecUpstream(str(written(tmp_path, network, head)))
    assert "proj" not in {name.split(".")[0] for name in upstream.state_dict()}


def test_a_wrong_classifier_is_told(network, head, tmp_path):
    path = written(tmp_path, network, head)
    with pytest.raises(ValueError, match="has no class calm; it has angry, disgusted"):
        model_of(path, ["calm", "sad"])
    changed(path, remove("proj.bias"))
    with pytest.raises(ValueError, match="missing bias"):
        model_of(path, ["sad"])
    with pytest.raises(ValueError, match="has no classifier.*emotion2vec_plus"):
        model_of(written(tmp_path / "base", network), ["sad"])


def test_the_published_classes_are_nine():
    assert len(LABELS) == 9 and LABELS[3] == "happy" and LABELS[8] == "unknown"
