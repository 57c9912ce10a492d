"""An ensemble of adapted encoders: the encoder is stored once, or refused."""

import json
import shutil
import sys

import pytest
import torch
from model_folders import LABELS, MODEL_INFO, hubert_definition
from safetensors.torch import load_file, save_file

from ser_lib.export.onnx import write_onnx
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder import hub as hub_module
from ser_lib.model_folder import push_to_hub, write_member, write_model_info
from ser_lib.model_folder.checksums import sha256
from ser_lib.model_folder.network import build_model
from ser_lib.upstreams import add_lora, lora_weights, merge_lora, take_lora

SHARED = "encoders.safetensors"
LAYER = "upstreams.upstream.model.encoder.layers.0.attention.q_proj"


def adapted_model(network: dict, fold: int, r: int = 2):
    """Return a model whose adapters seem trained, each fold's in the same encoder."""
    torch.manual_seed(0)
    model = build_model(network, LABELS, "this test")
    add_lora(model.upstreams["upstream"], {"r": r})
    torch.manual_seed(fold)
    with torch.no_grad():
        for weight in lora_weights(model).values():
            weight.normal_(std=0.5)
        for weight in model.downstream.parameters():
            weight.normal_(std=3)
    return model.eval()


def write_ensemble(folder, network: dict, folds=(1, 2, 3), half: bool = False):
    folder.mkdir()
    info = {**MODEL_INFO, "network": network}
    members = {}
    for fold in folds:
        model = adapted_model(network, fold)
        taken = {"upstream": take_lora(model.upstreams["upstream"])}
        own = {**info, "fold": fold, "adapters": taken}
        members[f"fold_{fold}"] = write_member(folder, model, own, half)
    write_model_info(folder, info, members, half)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> dict:
    return hubert_definition(tmp_path_factory.mktemp("encoder") / "hubert")


@pytest.fixture(scope="module")
def sound(network, tmp_path_factory):
    return write_ensemble(tmp_path_factory.mktemp("models") / "an ensemble", network)


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "model")


def load(folder) -> EmotionRecognizer:
    return EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})


def merged_probabilities(network: dict, wavs: torch.Tensor) -> torch.Tensor:
    found = []
    for fold in (1, 2, 3):
        model = adapted_model(network, fold)
        merge_lora(model)
        with torch.no_grad():
            found.append(model(wavs, torch.ones(len(wavs))).softmax(-1))
    return torch.stack(found).mean(0)


def test_members_share_the_encoder_and_answer_as_merged_ones_without_peft(
    network, sound, monkeypatch
):
    wavs = 0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    expected = merged_probabilities(network, wavs)
    monkeypatch.setitem(sys.modules, "peft", None)  # an import fails
    found = load(sound).classify_batch(wavs)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert found.std() > 0.05
    shared = load_file(sound / SHARED)
    own = load_file(sound / "fold_2.safetensors")
    assert shared.keys().isdisjoint(own)
    # 2 layers, queries and values, two matrices of 2 * 64; a linear layer of 64 * 4.
    factors = {key: value for key, value in own.items() if ".lora_" in key}
    assert sum(f.numel() for f in factors.values()) == 2 * 2 * 2 * 2 * 64
    assert set(own) - set(factors) == {
        "downstream.classifier.weight",
        "downstream.classifier.bias",
    }
    entry = json.loads((sound / "model.json").read_text())["members"]["fold_2"]
    about = {"r": 2, "lora_alpha": 8, "averaged": 1}
    targets = {"target_modules": ["q_proj", "v_proj"]}
    assert entry["adapters"] == {"upstream": about | targets}


def test_half_precision_halves_encoder_and_adapters(network, sound, tmp_path):
    half = write_ensemble(tmp_path / "half", network, half=True)
    assert load_file(half / SHARED)[f"{LAYER}.weight"].dtype == torch.float16
    assert load_file(half / "fold_1.safetensors")[f"{LAYER}.lora_A"].dtype == (
        torch.float16
    )
    wavs = 0.1 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    found, whole = (load(f).classify_batch(wavs)[0] for f in (half, sound))
    torch.testing.assert_close(found, whole, atol=0.02, rtol=0)


@pytest.mark.slow
def test_an_ensemble_becomes_one_graph(network, tmp_path):
    folder = write_ensemble(tmp_path / "model", network, folds=(1, 2))
    path = write_onnx(load(folder), tmp_path / "model.onnx")  # it compares them
    assert path.is_file()


def test_a_member_of_another_encoder_is_not_written(network, tmp_path):
    folder = write_ensemble(tmp_path / "model", network, folds=(1,))
    model = adapted_model(network, 2)
    taken = {"upstream": take_lora(model.upstreams["upstream"])}
    with torch.no_grad():
        model.get_parameter(f"{LAYER}.weight")[0, 0] += 1
    info = {**MODEL_INFO, "network": network, "fold": 2, "adapters": taken}
    with pytest.raises(ValueError, match="Fold 2 has adapters for another encoder"):
        write_member(folder, model, info)


def test_the_encoder_goes_to_the_hub_with_its_members(sound, monkeypatch):
    sent = {}

    class Api:
        def create_repo(self, *_, **__):
            return "https://hub/me/model"

        def upload_folder(self, **options):
            sent.update(options)

    monkeypatch.setattr(hub_module, "HfApi", Api)
    push_to_hub(sound, "me/model")
    assert SHARED in sent["allow_patterns"]
    assert SHARED in hub_module.NEEDED_PATTERNS


# ---- damaged and malicious folders


def renew(folder) -> dict:
    """Make the checksums right again, as somebody who means harm would."""
    info = json.loads((folder / "model.json").read_text())
    for name, member in info["members"].items():
        member["sha256"] = sha256(folder / f"{name}.safetensors")
    if isinstance(info.get("shared"), dict):
        info["shared"]["sha256"] = sha256(folder / SHARED)
    (folder / "model.json").write_text(json.dumps(info))
    return info


def change_weights(folder, name: str, **changed: torch.Tensor | None) -> None:
    path = folder / name
    weights = {k: v for k, v in (load_file(path) | changed).items() if v is not None}
    info = json.loads((folder / "model.json").read_text())
    kept = ("labels", "sample_rate_hz", "trim_silence_db")
    repeated = json.dumps({key: info[key] for key in kept})
    save_file(weights, path, metadata={"model_info": repeated})
    renew(folder)


def test_a_missing_encoder_is_named(folder):
    (folder / SHARED).unlink()
    with pytest.raises(FileNotFoundError, match=f"incomplete: it has no {SHARED}"):
        load(folder)


def test_a_changed_encoder_is_refused(folder):
    content = bytearray((folder / SHARED).read_bytes())
    content[-1] ^= 1
    (folder / SHARED).write_bytes(content)
    with pytest.raises(ValueError, match=f"{SHARED} was changed or damaged"):
        load(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({f"{LAYER}.lora_A": torch.zeros(3, 64)}, r"lora_A is \(3, 64\).*\(2, 64\)"),
        ({f"{LAYER}.lora_A": torch.zeros(2, 65)}, r"lora_A is \(2, 65\).*\(2, 64\)"),
        ({f"{LAYER}.lora_B": None}, r"lora_B is missing, expected \(64, 2\)"),
        ({"x.lora_A": torch.zeros(2, 64)}, r"x\.lora_A is .*expected no such key"),
        ({f"{LAYER}.lora_A": torch.zeros(2, 64).int()}, "int32, expected real numbers"),
        ({f"{LAYER}.lora_A": torch.full((2, 64), torch.nan)}, "not finite .*q_proj"),
        ({f"{LAYER}.weight": torch.zeros(64, 64)}, f"weight, which {SHARED} has"),
    ],
    ids=["rank", "encoder", "missing", "foreign", "integers", "nan", "twice"],
)
def test_adapters_that_do_not_fit_are_refused_by_name(folder, changed, message):
    change_weights(folder, "fold_2.safetensors", **changed)
    with pytest.raises(ValueError, match=message) as refused:
        load(folder)
    assert "fold_2.safetensors" in str(refused.value)


@pytest.mark.parametrize("value", [None, torch.zeros(64, 65)], ids=["less", "wider"])
def test_an_encoder_of_another_network_is_refused(folder, value):
    change_weights(folder, SHARED, **{f"{LAYER}.weight": value})
    with pytest.raises(ValueError, match=rf"fold_1.*{LAYER}"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"r": 10**9},
        {"r": 0},
        {"r": True},
        {"averaged": 2.0},
        {"target_modules": "q_proj"},
        {"target_modules": [["q_proj"]]},
        {"more": 1},
    ],
    ids=str,
)
def test_descriptions_of_adapters_that_make_no_sense_are_refused(folder, change):
    info = json.loads((folder / "model.json").read_text())
    info["members"]["fold_1"]["adapters"]["upstream"] |= change
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="damaged: the adapters of fold_1 are"):
        load(folder)


@pytest.mark.parametrize("adapters", [None, {}, [], {"other": {}}], ids=str)
def test_a_member_without_adapters_has_no_share_in_an_encoder(folder, adapters):
    info = json.loads((folder / "model.json").read_text())
    info["members"]["fold_3"]["adapters"] = adapters
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="damaged: the adapters of fold_3 are"):
        load(folder)


def test_adapters_without_an_encoder_are_refused(folder):
    info = json.loads((folder / "model.json").read_text())
    shared = info.pop("shared")
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="fold_1.*adapters, but it has no entry"):
        load(folder)
    for wrong in ([], {"sha256": 1}, "../x"):
        (folder / "model.json").write_text(json.dumps(info | {"shared": wrong}))
        with pytest.raises(ValueError, match="shared has no sha256"):
            load(folder)
    assert set(shared) == {"sha256"}


def test_one_encoder_is_not_multiplied_beyond_a_limit(folder):
    info = json.loads((folder / "model.json").read_text())
    info["members"] = {f"fold_{k}": info["members"]["fold_1"] for k in range(1, 40)}
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="39 members that share .* up to 32"):
        load(folder)


def test_a_pickle_in_place_of_the_encoder_is_refused(folder):
    (folder / SHARED).write_bytes(b"\x80\x04K\x01.")
    renew(folder)
    with pytest.raises(ValueError, match=f"{SHARED} is not a file of weights"):
        load(folder)
