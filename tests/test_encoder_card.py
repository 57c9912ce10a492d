"""The card of a pre-trained encoder, and the encoder in the tree."""

import re
import shlex
from pathlib import Path

import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file
from speechbrain import parse_arguments

from ser_lib.pretraining.encoder_card import encoder_card
from ser_lib.settings import Settings
from ser_lib.upstreams import HuggingFaceUpstream

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "Pretraining"
ENCODER = ROOT / "pretrained" / "hubert_tiny"
INFO = {
    "method": "hubert_tiny",
    "seed": 1986,
    "epochs": 60,
    "train_loss": [4.5, 3.25],
    "valid_loss": [4.4, 3.5],
    "train_hours": 1.17,
    "valid_hours": 0.06,
    "excluded": ["Actor_01/*", "Actor_11/*"],
    "device": "cpu",
    "processes": 1,
    "precision": "fp32",
}


def settings_of(method: str, **given: object) -> Settings:
    file = RECIPE / "hparams" / f"{method}.yaml"
    return Settings.from_file(file, {"data_folder": "/somewhere", **given})


def test_the_card_says_what_was_done_and_what_the_data_allow():
    given = {"data_name": "RAVDESS", "data_licence": "CC BY-NC-SA 4.0"}
    card = encoder_card(settings_of("hubert_tiny", **given), INFO)
    assert card.startswith("---\n")
    front = YAML(typ="safe").load(card.split("---\n")[1])
    assert front["license"] == "cc-by-nc-sa-4.0"
    assert front["library_name"] == "transformers"
    assert "# hubert_tiny, pre-trained on RAVDESS\n" in card
    for text in (
        "pre-trained on 1.23 hours",
        "Excluded files (patterns): `Actor_01/*`, `Actor_11/*`",
        "Training loss: 4.5000 in the first epoch, 3.2500 in the last",
        "Epochs: 60; seed 1986",
        "Device: cpu, 1 process(es), precision fp32",
        "Licence of the data: CC BY-NC-SA 4.0. The weights are derived from this data",
        "--hubert_source FOLDER",
        "this one on 1.23",
    ):
        assert text in card, text


def test_what_nobody_stated_is_not_stated():
    info = {**INFO, "method": "apc", "excluded": []}
    card = encoder_card(settings_of("apc"), info)
    assert "Data: not stated.\n\nLicence of the data: not stated. Check" in card
    assert "license: other" in card
    assert "Excluded files (patterns): none" in card
    assert "hubert_source" not in card and "transformers" not in card
    assert "--family apc --upstream_source FOLDER" in card


def test_the_command_of_the_card_gives_the_settings_again(monkeypatch):
    settings = settings_of(
        "hubert",
        exclude=["*Actor_01/*", "it's/*"],
        encoder={"hidden_size": 96},
        lr=0.002,
        data_name="a: b",
        num_workers=0,
    )
    card = encoder_card(settings, {**INFO, "method": "hubert"})
    (command,) = re.findall(r"python train.py (.*--data_name.*)", card)
    assert "/somewhere" not in card and "num_workers" not in command
    monkeypatch.chdir(RECIPE)
    file, _, overrides = parse_arguments(shlex.split(command))
    again = Settings.from_file(file, overrides).unresolved()
    expected = settings.unresolved() | {"data_folder": "DATA", "num_workers": 2}
    assert again == expected


# ---- the encoder in the tree


def test_the_encoder_in_the_tree_is_small_and_its_card_names_the_licence():
    assert {p.name for p in ENCODER.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert sum(p.stat().st_size for p in ENCODER.iterdir()) < 8e6
    card = (ENCODER / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card
    assert "Licence of the data: CC BY-NC-SA 4.0." in card
    for actor in Settings.from_file(
        ROOT / "recipes" / "RAVDESS" / "hparams" / "superb.yaml"
    )["corpus"]["folds"][0]["test"]:
        assert f"Actor_{actor}/*" in card


def test_the_encoder_in_the_tree_loads_strictly_and_gives_finite_frames():
    upstream = HuggingFaceUpstream(str(ENCODER), freeze=True)
    stored = load_file(ENCODER / "model.safetensors")
    loaded = upstream.model.state_dict()
    assert stored.keys() == loaded.keys()
    assert all(torch.equal(stored[key], loaded[key]) for key in stored)
    frames = upstream(0.1 * torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    assert frames.values.shape == (2, 49, 64) and frames.counts.tolist() == [49, 24]
    assert torch.isfinite(frames.values).all()
    # The signal gets through: frames differ from each other.
    assert frames.values[0].std(dim=0).mean() > 0.01
