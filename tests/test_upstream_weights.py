"""Encoders in Hugging Face's format: every weight, or a reason why not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_upstreams import UPSTREAMS
from transformers import (
    AutoConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    HubertForCTC,
    HubertModel,
    PreTrainedModel,
    Wav2Vec2ForPreTraining,
    Wav2Vec2ForXVector,
    WavLMForSequenceClassification,
)

from ser_lib.synthetic.encoders import write_tiny_classifier
from ser_lib.upstreams import SequenceClassificationUpstream
from ser_lib.upstreams.families import load_upstream

FAMILIES = ["hubert", "hubert_large", "wav2vec2", "wavlm", "data2vec", "bert"]
WEIGHTS = "model.safetensors"
# The name of a square weight.
WEIGHT = {
    "bert": "encoder.layer.1.attention.self.query.weight",
    "classifier": "hubert.encoder.layers.1.attention.q_proj.weight",
}
SPEECH_WEIGHT = "encoder.layers.1.attention.q_proj.weight"


def write(folder: Path, name: str) -> Path:
    if name == "classifier":
        write_tiny_classifier(folder, ["neu", "hap"])
    else:
        UPSTREAMS[name][1](folder)
    return folder


def load(folder: Path, name: str) -> torch.nn.Module:
    if name == "classifier":
        return SequenceClassificationUpstream(str(folder))
    return load_upstream(UPSTREAMS[name][0], str(folder), layer="last")


def change(folder: Path, rename: Callable, convert: Callable = lambda value: value):
    """Write the weights under other names (None leaves one out), converted."""
    found = load_file(folder / WEIGHTS)
    changed = {rename(key): convert(value) for key, value in found.items()}
    changed.pop(None, None)
    save_file(changed, folder / WEIGHTS)


def spoil(value: torch.Tensor, number: float) -> torch.Tensor:
    value = value.clone()
    value.view(-1)[-1] = number
    return value


DAMAGES = {
    "missing": (lambda w, key: w.pop(key), "missing {key}"),
    "renamed": (
        lambda w, key: w.update({f"{key}_": w.pop(key)}),
        "missing {key}; unexpected .*{key}_",
    ),
    "unexpected": (
        lambda w, key: w.update({f"{key}_": torch.ones(1)}),
        "unexpected .*{key}_",
    ),
    "shape": (
        lambda w, key: w.update({key: w[key][:, :-1].clone()}),
        r"of another shape {key} \((\d+), \d+\) .*\(\1, \1\)",
    ),
    "scalar": (
        lambda w, key: w.update({key: torch.tensor(1.0)}),
        r"of another shape {key} \(\) ",
    ),
    "nan": (
        lambda w, key: w.update({key: spoil(w[key], torch.nan)}),
        "not finite {key}",
    ),
    "infinite in float32": (
        lambda w, key: w.update({key: spoil(w[key].double(), 1e300)}),
        "not finite {key}",
    ),
    "int64": (
        lambda w, key: w.update({key: w[key].long()}),
        r"not real numbers {key} \(torch.int64\)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*FAMILIES, "classifier"])
def test_a_damaged_weight_is_refused_by_its_name(tmp_path, name, damage):
    write(tmp_path, name)
    key = WEIGHT.get(name, SPEECH_WEIGHT)
    weights = load_file(tmp_path / WEIGHTS)
    spoil_weights, message = DAMAGES[damage]
    spoil_weights(weights, key)
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(ValueError, match=message.format(key=key)) as error:
        load(tmp_path, name)
    assert str(tmp_path) in str(error.value)


def state(upstream: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All weights but the unused one, and those that stand there twice."""
    left_out = "masked_spec", "_group_norm"
    weights = upstream.state_dict().items()
    return {k: v for k, v in weights if not any(name in k for name in left_out)}


def assert_same(upstream: torch.nn.Module, expected: dict[str, torch.Tensor]) -> None:
    found = state(upstream)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == torch.float32, key
        assert found[key].equal(value), key


PREFIX = {"data2vec": "data2vec_audio", "bert": "bert", "wavlm": "wavlm"}


@pytest.mark.parametrize("name", FAMILIES)
def test_names_with_the_prefix_of_a_larger_model_are_read(tmp_path, name):
    expected = state(load(write(tmp_path, name), name))
    prefix = PREFIX.get(name, UPSTREAMS[name][0])
    change(tmp_path, lambda key: f"{prefix}.{key}")
    assert_same(load(tmp_path, name), expected)


@pytest.mark.parametrize("name", [*FAMILIES, "classifier"])
def test_half_precision_becomes_float32(tmp_path, name):
    change(write(tmp_path, name), lambda key: key, torch.Tensor.half)
    upstream = load(tmp_path, name)
    assert all(value.dtype == torch.float32 for value in upstream.state_dict().values())
    change(tmp_path, lambda key: key, torch.Tensor.float)
    assert_same(load(tmp_path, name), state(upstream))


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("name", ["hubert", "bert"])
def test_weights_in_several_files_are_read_and_a_lost_one_is_named(
    tmp_path, name, safe
):
    expected = state(load(write(tmp_path, name), name))
    weights = load_file(tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).unlink()
    stem, suffix = ("model", "safetensors") if safe else ("pytorch_model", "bin")
    listed = {}
    for i in range(3):
        part = dict(list(weights.items())[i::3])
        file = f"{stem}-{i}.{suffix}"
        (save_file if safe else torch.save)(part, tmp_path / file)
        listed |= dict.fromkeys(part, file)
    index = tmp_path / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    assert_same(load(tmp_path, name), expected)
    (tmp_path / f"{stem}-1.{suffix}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"{stem}-1\.{suffix}"):
        load(tmp_path, name)
    index.write_text('{"weight_map": null}')
    with pytest.raises(ValueError, match="weight_map"):
        load(tmp_path, name)


HEADS = {
    HubertForCTC: "hubert",
    Wav2Vec2ForPreTraining: "wav2vec2",
    Wav2Vec2ForXVector: "wav2vec2",
    WavLMForSequenceClassification: "wavlm",
    BertForMaskedLM: "bert",
    BertForPreTraining: "bert",
}


@pytest.mark.parametrize("kind", HEADS)
def test_the_heads_of_other_tasks_are_left_out(tmp_path, kind):
    name = HEADS[kind]
    config = AutoConfig.from_pretrained(write(tmp_path, name))
    config.use_weighted_layer_sum = True
    model = kind(config)
    model.save_pretrained(tmp_path)
    encoder: PreTrainedModel = model.base_model
    encoder.pooler = None
    expected = {f"model.{key}": value for key, value in state(encoder).items()}
    assert_same(load(tmp_path, name), expected)


@pytest.mark.parametrize("kind", [HubertModel, BertModel])
def test_a_weight_that_is_not_used_may_be_missing(tmp_path, kind):
    # As in facebook/wav2vec2-base-960h, and in masked language models.
    name = "bert" if kind is BertModel else "hubert"
    unused = "masked_spec_embed", "pooler."
    expected = state(load(write(tmp_path, name), name))
    change(tmp_path, lambda key: None if key.startswith(unused) else key)
    assert_same(load(tmp_path, name), expected)


def test_the_names_of_older_versions_are_read(tmp_path):
    # torch's weight norm, and the layer norms and positions of BERT.
    old = {"parametrizations.weight.original0": "weight_g", "LayerNorm.weight": "gamma"}
    old |= {"parametrizations.weight.original1": "weight_v", "LayerNorm.bias": "beta"}
    for name, n_old in (("hubert", 2), ("bert", 10)):
        folder = tmp_path / name
        expected = state(load(write(folder, name), name))
        weights = load_file(folder / WEIGHTS)
        renamed = {}
        for key, value in weights.items():
            for new in old:
                norm = "LayerNorm." if "LayerNorm" in new else ""
                key = key.replace(new, norm + old[new])
            renamed[key] = value
        assert len(renamed.keys() - weights.keys()) == n_old
        if name == "bert":
            renamed["embeddings.position_ids"] = torch.arange(512)[None]
        (folder / WEIGHTS).unlink()
        torch.save(renamed, folder / "pytorch_model.bin")
        assert_same(load(folder, name), expected)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.9])
@pytest.mark.parametrize("file", [WEIGHTS, "pytorch_model.bin"])
def test_a_file_that_is_cut_off_is_refused_by_its_name(tmp_path, file, share):
    weights = load_file(write(tmp_path, "hubert") / WEIGHTS)
    torch.save(weights, tmp_path / "pytorch_model.bin")
    if file != WEIGHTS:
        (tmp_path / WEIGHTS).unlink()
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"{file} \(\d+ bytes\) cannot be read"):
        load(tmp_path, "hubert")


@pytest.mark.parametrize("name", ["hubert", "bert"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("hidden_size", None),
        ("hidden_size", [1, 2]),
        ("hidden_size", 0),
        ("intermediate_size", -1),
        ("num_attention_heads", 0),
        ("hidden_act", "text"),
        ("dtype", []),
        ("dtype", "text"),
        ("model_type", []),
        ("model_type", "none_that_there_is"),
    ],
)
def test_a_setting_of_a_wrong_kind_names_the_folder(tmp_path, name, setting, value):
    config = write(tmp_path, name) / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, setting: value}))
    with pytest.raises(ValueError, match=f"settings in {tmp_path} "):
        load(tmp_path, name)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"text"'])
@pytest.mark.parametrize("name", ["hubert", "bert"])
def test_settings_that_are_none_at_all_name_the_folder(tmp_path, name, text):
    write(tmp_path, name)
    for file in ("preprocessor_config.json", "tokenizer_config.json", "config.json"):
        if (tmp_path / file).exists():
            (tmp_path / file).write_text(text)
            with pytest.raises(ValueError, match=f"settings in {tmp_path} "):
                load(tmp_path, name)


@pytest.mark.parametrize("name", ["hubert", "bert"])
def test_settings_that_name_no_network_name_the_folder(tmp_path, name):
    (write(tmp_path, name) / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=f"settings in {tmp_path} "):
        load(tmp_path, name)
