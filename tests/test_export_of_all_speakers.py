"""Export of a model that is used on others: half the size, measured by another run."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from model_folders import (
    LABELS,
    MODEL_INFO,
    hubert_definition,
    run_experiment,
    write_corpus,
    write_folder,
)
from safetensors.torch import load_file

from ser_lib.evaluation import read_predictions
from ser_lib.evaluation.calibration import (
    at_temperature,
    reliability,
    temperature_of,
)
from ser_lib.export import export_run
from ser_lib.export.__main__ import main
from ser_lib.inference import EmotionRecognizer
from ser_lib.model_folder import write_member
from ser_lib.model_folder.description import read_model_info
from ser_lib.model_folder.network import build_model
from ser_lib.utils.command import run_command

pytestmark = pytest.mark.slow

SETTINGS = {"n_mels": 20, "embedding_size": 6, "number_of_epochs": 2}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and another of the same settings and folds."""
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"))
    run = run_experiment(corpus, "fbank_ecapa", folds=(1, 2), **SETTINGS)
    return run, shutil.copytree(run, run.parent / "seed_other")


def predictions_of(run) -> pd.DataFrame:
    paths = [run / f"fold_{fold}" / "predictions.csv" for fold in (1, 2)]
    return pd.concat([read_predictions(path, LABELS) for path in paths])


def text_of(path) -> str:
    return " ".join(path.read_text(encoding="utf-8").split())


# ---- scores of another run


def test_the_card_has_the_scores_of_the_run_that_measured_and_says_so(runs, tmp_path):
    run, other = runs
    out = export_run(run, tmp_path / "model", measured_by=other)
    card = text_of(out / "README.md")
    table = predictions_of(other)
    wa = 100 * (table["label"] == table["prediction"]).mean()
    assert "**These weights themselves are not tested.**" in card
    assert f"WA {wa:.2f} [" in card
    assert "model-index" not in card  # the hub shows these as scores of the weights
    assert "- This model: trained on 51 utterances of 8 speakers" in card
    assert "- Fold 1: trained on" in card and "- Fold 2: trained on" in card


def test_it_is_calibrated_on_the_test_parts_of_that_run(runs, tmp_path):
    run, other = runs
    out = export_run(run, tmp_path / "model", measured_by=other)
    found = read_model_info(out)["members"]["fold_1"]["temperature"]
    assert found == pytest.approx(
        temperature_of(predictions_of(other), LABELS), abs=1e-3
    )


def test_the_error_of_the_card_is_that_of_temperatures_of_the_other_fold(
    runs, tmp_path
):
    run, other = runs
    out = export_run(run, tmp_path / "model", measured_by=other)
    answers = []
    parts = [
        read_predictions(other / f"fold_{fold}" / "predictions.csv", LABELS)
        for fold in (1, 2)
    ]
    for own, others in (parts, parts[::-1]):
        probabilities = own[[f"p_{label}" for label in LABELS]].to_numpy()
        scaled = at_temperature(probabilities, temperature_of(others, LABELS))
        right = own["label"] == own["prediction"]
        answers.append(np.stack([scaled.max(axis=1), right]))
    confidence, right = np.concatenate(answers, axis=1)
    error = 100 * reliability(confidence, right).error
    assert f"calibration error is {error:.1f} percent" in text_of(out / "README.md")


def test_a_run_of_other_settings_measures_nothing(runs, tmp_path):
    run, other = runs
    info = other / "fold_2" / "fold.json"
    changed = shutil.copytree(other, tmp_path / "changed")
    key = read_key(info)
    for path in changed.glob("fold_*/fold.json"):
        path.write_text(path.read_text().replace(key, "0" * len(key)))
    with pytest.raises(ValueError, match=f"no finished fold .*settings_key {key}"):
        export_run(run, tmp_path / "model", measured_by=changed)
    assert not (tmp_path / "model").exists()


def read_key(path) -> str:
    return pd.read_json(path, typ="series")["settings_key"]


def test_a_run_of_one_fold_measures_no_calibration(runs, tmp_path):
    run, other = runs
    single = shutil.copytree(other, tmp_path / "single")
    shutil.rmtree(single / "fold_1")
    with pytest.raises(ValueError, match="Only fold 2 .*at least two"):
        export_run(run, tmp_path / "model", measured_by=single)


# ---- reports in the card


def test_a_report_is_in_the_card_without_its_pictures(runs, tmp_path):
    report = tmp_path / "stress.md"
    report.write_text("# Noise\n\nBad.\n\n![UA](stress.png)\n\n## By group\n\nFair.\n")
    out = tmp_path / "model"
    main([str(runs[0]), str(out), "--report", str(report)])
    card = (out / "README.md").read_text()
    assert "\n\n### Noise\n\nBad.\n\n#### By group\n\nFair.\n\n## Protocol" in card
    assert "stress.png" not in card


def test_a_report_that_is_missing_or_no_text_changes_nothing(runs, tmp_path, capsys):
    (tmp_path / "stress.png").write_bytes(b"\x89PNG\xff")
    for name in ("none.md", "stress.png"):
        arguments = [str(runs[0]), str(tmp_path / "out"), "--report"]
        with pytest.raises(SystemExit):
            run_command(main, arguments=[*arguments, str(tmp_path / name)])
        message = capsys.readouterr().err
        assert name in message and len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


# ---- half precision


def test_encoders_in_half_precision_take_half_the_size_and_answer_the_same(tmp_path):
    network = hubert_definition(tmp_path / "hubert")
    model = build_model(network, LABELS, "this test").eval()
    info = {**MODEL_INFO, "network": network}
    sizes = {}
    for half in (False, True):
        folder = tmp_path / f"half_{half}"
        folder.mkdir()
        write_member(folder, model, info, half)
        weights = load_file(folder / "fold_1.safetensors")
        for key, value in model.state_dict().items():
            is_encoder = key.startswith("upstreams.") and value.is_floating_point()
            expected = value.half() if half and is_encoder else value
            assert torch.equal(weights[key], expected), key
        sizes[half] = (folder / "fold_1.safetensors").stat().st_size
    assert 0.45 < sizes[True] / sizes[False] < 0.6


def test_a_folder_in_half_precision_computes_in_float32(tmp_path):
    network = hubert_definition(tmp_path / "hubert")
    folders = [
        write_folder(tmp_path / name, network, half=half)
        for name, half in (("whole", False), ("half", True))
    ]
    noise = torch.randn(16000, generator=torch.Generator().manual_seed(0)).numpy()
    whole, half = (
        EmotionRecognizer.from_hparams(folder, run_opts={"device": "cpu"})
        for folder in folders
    )
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    found, expected = (r.classify_array(noise, 16000)[0] for r in (half, whole))
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    assert not torch.equal(found, expected)
    assert read_model_info(folders[1])["encoder_weights"] == "float16"
    assert "encoder_weights" not in read_model_info(folders[0])


def test_a_weight_that_float16_cannot_hold_is_named(tmp_path):
    network = hubert_definition(tmp_path / "hubert")
    model = build_model(network, LABELS, "this test")
    key, weight = next(iter(model.upstreams.named_parameters()))
    with torch.no_grad():
        weight.view(-1)[0] = 70000.0
    info = {**MODEL_INFO, "network": network}
    with pytest.raises(ValueError, match=rf"{key} has values up to 7e\+04.* 65504"):
        write_member(tmp_path, model, info, half=True)
