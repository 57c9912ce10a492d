"""Pre-training as a run: resumed, written, refused."""

import json
from pathlib import Path

import pytest
import torch
from speechbrain.utils.run_opts import RunOptions
from tiny_objectives import write_noise
from transformers import HubertConfig

from ser_lib.pretraining import HubertObjective, run
from ser_lib.pretraining.audio_folder import read_segments
from ser_lib.pretraining.brain import PretrainingBrain
from ser_lib.settings import Settings
from ser_lib.synthetic import tiny_speech_settings
from ser_lib.upstreams import ApcUpstream

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "Pretraining"
METHODS = sorted(
    path.stem
    for path in (RECIPE / "hparams").glob("*.yaml")
    if path.stem not in ("base", "transformer", "tiny_transformer")
)
RUN_OPTS = {"noprogressbar": True, "device": "cpu"}


@pytest.fixture
def data(tmp_path) -> Path:
    return write_noise(tmp_path / "data")


def settings_of(method: str, data: Path, results: Path, **changes: object) -> Settings:
    given = {
        "data_folder": str(data),
        "results_folder": str(results),
        "num_workers": 0,
        "tensorboard": "no",
        "batch_size": 3,
        "number_of_epochs": 3,
        "crop_s": 0.5,
    }
    if method == "apc":
        given |= {"hidden_size": 8, "num_layers": 1}
    return Settings.from_file(
        RECIPE / "hparams" / f"{method}.yaml", {**given, **changes}
    )


def pretrain(settings: Settings) -> Path:
    return run.pretrain(settings, RunOptions.from_dictionary(RUN_OPTS))


# ---- runs


def encoder_state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "apc.ckpt")["model"]


def test_a_run_leaves_two_encoders_and_says_what_it_did(data, tmp_path):
    settings = settings_of("apc", data, tmp_path, exclude=["a/*"])
    encoder = pretrain(settings)
    folder = tmp_path / "apc" / "seed_1986"
    assert encoder == folder / "encoder"
    info = json.loads((folder / "pretraining.json").read_text())
    assert info["method"] == "apc" and info["epochs"] == 3
    assert info["excluded"] == ["a/*"]
    history = (folder / "history.csv").read_text().splitlines()
    assert history[0] == "epoch,train_loss,valid_loss,lr" and len(history) == 4
    train, valid = read_segments(folder / "recordings.csv")
    assert {s.path[0] for s in [*train, *valid]} == {"b"}
    untrained = encoder_state(folder / "encoder_untrained")
    trained = encoder_state(encoder)
    assert all(not torch.equal(trained[k], untrained[k]) for k in trained)
    assert ApcUpstream(str(encoder), freeze=True).dim == 8
    (data / "b" / "4.mp3").unlink()  # a finished run reads no audio
    assert pretrain(settings) == encoder


def test_a_killed_run_ends_with_the_weights_of_the_uninterrupted_one(
    data, tmp_path, monkeypatch
):
    uninterrupted = pretrain(settings_of("apc", data, tmp_path / "uninterrupted"))
    settings = settings_of("apc", data, tmp_path / "interrupted")
    end_stage = PretrainingBrain.on_stage_end
    deaths = []

    def die_in_the_second_epoch(brain, stage, stage_loss, epoch):
        if epoch == 2 and not deaths:
            deaths.append(epoch)
            raise KeyboardInterrupt
        end_stage(brain, stage, stage_loss, epoch)

    monkeypatch.setattr(PretrainingBrain, "on_stage_end", die_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        pretrain(settings)
    assert not (tmp_path / "interrupted" / "apc" / "seed_1986" / "encoder").exists()
    resumed = pretrain(settings)
    assert deaths == [2]
    ours, theirs = encoder_state(resumed), encoder_state(uninterrupted)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    histories = [
        p.with_name("history.csv").read_text() for p in (resumed, uninterrupted)
    ]
    assert histories[0] == histories[1]


def test_huberts_clusters_survive_a_kill(data, tmp_path, monkeypatch):
    encoder = {"conv_dim": [16] * 7, "hidden_size": 32, "num_hidden_layers": 1}
    encoder |= {"num_attention_heads": 2, "intermediate_size": 32}
    changes = {"encoder": encoder, "n_clusters": 6, "number_of_epochs": 2}
    settings = settings_of("hubert", data, tmp_path, **changes)
    end_stage, found = PretrainingBrain.on_stage_end, []

    def die_after_the_first_epoch(brain, stage, stage_loss, epoch):
        end_stage(brain, stage, stage_loss, epoch)
        found.append(brain.objective.centroids.clone())
        if len(found) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(PretrainingBrain, "on_stage_end", die_after_the_first_epoch)
    with pytest.raises(KeyboardInterrupt):
        pretrain(settings)
    monkeypatch.setattr(HubertObjective, "prepare", lambda *_: pytest.fail("again"))
    pretrain(settings)
    assert len(found) == 4  # training and validation of two epochs
    assert torch.isfinite(found[0]).all()
    assert all(torch.equal(centroids, found[0]) for centroids in found)


def test_a_folder_with_other_settings_is_refused_and_harmless_ones_are_not(
    data, tmp_path
):
    first = settings_of("apc", data, tmp_path, number_of_epochs=1)
    encoder = pretrain(first)
    harmless = settings_of("apc", data, tmp_path, number_of_epochs=1, num_workers=1)
    assert pretrain(harmless) == encoder
    other = settings_of("apc", data, tmp_path, number_of_epochs=1, lr=0.5)
    with pytest.raises(ValueError, match=r"with other settings; these differ: lr\."):
        pretrain(other)


def test_crops_that_are_too_short_for_a_method_are_refused(data, tmp_path):
    settings = settings_of("apc", data, tmp_path, crop_s=0.05)
    with pytest.raises(ValueError, match=r"crop_s is 0.05; apc needs .* at least 0.0"):
        pretrain(settings)


# ---- settings


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_named_after_its_file_and_builds(method, data, tmp_path):
    settings = settings_of(method, data, tmp_path)
    assert settings["method"] == method
    hparams = settings.build()
    crop_s = Settings.from_file(RECIPE / "hparams" / f"{method}.yaml")["crop_s"]
    assert crop_s * 16000 >= hparams["objective"].min_samples
    ser_lib = RECIPE.parents[1] / "ser_lib"
    files = [
        *(ser_lib / "pretraining").glob("*.py"),
        ser_lib / "settings" / "recipe.py",
        ser_lib / "training" / "resumable_brain.py",
    ]
    code = "".join(path.read_text() for path in files)
    for key in settings:
        assert (
            f"<{key}" in settings.text
            or f'["{key}"]' in code
            or f"hparams.{key}" in code
        ), f"{key} of {method} is never used"


def test_there_are_eight_methods_and_three_of_them_tiny():
    assert METHODS == sorted(
        ["mockingjay", "apc", "cpc", "wav2vec", "delores"]
        + ["wav2vec2", "hubert", "data2vec"]
        + ["wav2vec2_tiny", "hubert_tiny", "data2vec_tiny"]
    )


def test_the_tiny_hubert_has_the_network_of_the_tiny_models(tmp_path):
    file = RECIPE / "hparams" / "hubert_tiny.yaml"
    settings = Settings.from_file(file, {"mask_share": 0.5})
    flattened = tmp_path / "hyperparams.yaml"
    flattened.write_text(settings.text)
    again = Settings.from_file(flattened)
    assert again.unresolved() == settings.unresolved()
    assert again["encoder"] == tiny_speech_settings("group")
    objective = again["objective"]
    tiny = HubertConfig(**tiny_speech_settings("group"))
    assert objective.encoder.config.hidden_size == tiny.hidden_size
    assert list(objective.encoder.config.conv_dim) == list(tiny.conv_dim)
    assert objective.hop_samples == 320 and objective.mask_share == 0.5
    with pytest.raises(ValueError, match="arguments only, but encoder is an obj"):
        Settings.from_file(file, {"encoder": {"hidden_size": 32}})


def test_frames_are_masked_even_if_the_network_is_told_not_to():
    """The tiny models switch SpecAugment off, and transformers masks by that switch."""
    settings = tiny_speech_settings("group")
    assert settings["apply_spec_augment"] is False
    objective = HubertObjective(settings, n_clusters=4, mask_length=5)
    objective.prepare(iter([0.1 * torch.randn(16000)]), seed=0)
    objective(0.1 * torch.randn(2, 8000), torch.tensor([8000, 8000])).backward()
    assert objective.encoder.masked_spec_embed.grad.abs().sum() > 0
