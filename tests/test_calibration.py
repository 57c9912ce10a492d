"""Calibration: temperatures, errors, thresholds, and where they are stored and used."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from finished_run import LABELS, write_fold
from model_folders import write_folder

from ser_lib.evaluation import collect, write_predictions, write_report
from ser_lib.evaluation.calibration import (
    accuracies_above,
    at_temperature,
    calibration_of,
    calibration_rows,
    coverage_curve,
    fit_temperature,
    reliability,
)
from ser_lib.inference import EmotionRecognizer, threshold_for


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def valid_table(n_right, n, p):
    """``n`` answers "sad" with probability ``p``, of which the first are right."""
    return pd.DataFrame(
        {
            "id": [str(i) for i in range(n)],
            "speaker": "A",
            "label": ["sad"] * n_right + ["angry"] * (n - n_right),
            "prediction": "sad",
            "p_sad": p,
            "p_angry": 1 - p,
        }
    )


def test_the_temperature_of_logits_that_were_scaled_is_found():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (20000, 4))
    truth = softmax(logits)
    targets = (truth.cumsum(axis=1) < generator.random((20000, 1))).sum(axis=1)
    for scale in (0.5, 1.0, 3.0):
        found = fit_temperature(softmax(scale * logits), targets)
        assert found == pytest.approx(scale, rel=0.05)  # two standard errors
        calibrated = at_temperature(softmax(scale * logits), found)
        confidence = calibrated.max(axis=1)
        is_correct = calibrated.argmax(axis=1) == targets
        assert reliability(confidence, is_correct).error < 0.015
    assert reliability(softmax(3 * logits).max(axis=1), is_correct).error > 0.1


def test_a_temperature_changes_no_prediction():
    probabilities = softmax(np.random.default_rng(1).normal(0, 3, (100, 5)))
    for temperature in (0.05, 1.0, 20.0):
        scaled = at_temperature(probabilities, temperature)
        assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
        assert scaled.sum(axis=1) == pytest.approx(1)
    assert at_temperature(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-6)


def test_the_calibration_error_weighs_bins_by_their_size():
    confidence = np.array([0.95, 0.95, 0.95, 0.55])
    is_correct = np.array([True, True, False, True])
    bins, error = reliability(confidence, is_correct)
    assert bins["n"].tolist() == [1, 3]
    assert error == pytest.approx(0.25 * 0.45 + 0.75 * (0.95 - 2 / 3))
    assert reliability(np.array([1.0]), np.array([True])).error == 0


def test_equal_confidences_are_answered_together():
    curve = coverage_curve(np.array([0.9, 0.9, 0.5]), np.array([True, False, True]))
    assert curve["threshold"].tolist() == [0.9, 0.5]
    assert curve["coverage"].tolist() == pytest.approx([2 / 3, 1])
    assert curve["accuracy"].tolist() == pytest.approx([1 / 2, 2 / 3])


def test_the_report_tells_the_error_before_and_after(tmp_path):
    write_fold(tmp_path, 1)  # says 0.75 for all; three of four are right
    valid = valid_table(n_right=6, n=10, p=0.75)
    write_predictions(tmp_path / "fold_1" / "valid_predictions.csv", valid, LABELS)
    report = write_report(tmp_path, LABELS, "Toy").read_text()
    assert "## Calibration" in report
    # logit 1.0986 / temperature = logit of 0.6, 0.4055
    assert "2.71 (fold 1)" in report
    rows = "| before | 75.00 | 75.00 | 0.00 |\n| after | 60.00 | 75.00 | 15.00 |"
    assert rows in report
    assert (tmp_path / "report" / "calibration.png").stat().st_size > 10_000
    (tmp_path / "fold_1" / "valid_predictions.csv").unlink()
    report = write_report(tmp_path, LABELS, "Toy").read_text()
    assert "Calibration" not in report


def test_no_test_speaker_of_a_fold_is_in_its_calibration(tmp_path):
    for fold, speakers in ((1, "2M"), (2, "1M"), (3, "3M")):
        write_fold(tmp_path, fold)  # tests the speakers 1M and 1F, and so on
        valid = valid_table(n_right=2, n=4, p=0.75).assign(speaker=[speakers] * 4)
        path = tmp_path / f"fold_{fold}" / "valid_predictions.csv"
        write_predictions(path, valid, LABELS)
    found = calibration_rows(collect(tmp_path, LABELS))
    speakers = {fold: sorted(set(rows["speaker"])) for fold, rows in found.items()}
    assert speakers == {1: ["2M", "3M"], 2: ["1M", "3M"], 3: ["1M", "2M"]}
    shutil.rmtree(tmp_path / "fold_1")
    shutil.rmtree(tmp_path / "fold_2")
    # Its own part is better than none, as in protocols that share speakers.
    (only,) = calibration_rows(collect(tmp_path, LABELS)).values()
    assert set(only["speaker"]) == {"3M"}


def test_a_model_divides_its_logits_by_the_temperature_of_each_member(tmp_path):
    plain = write_folder(tmp_path / "plain", folds=(1, 2))
    calibration = {"temperature": 2.0, "accuracies_above": [0.5, 1.0]}
    hot = write_folder(tmp_path / "hot", folds=(1, 2), calibration=calibration)
    wavs = 0.1 * torch.randn(2, 16000)
    members = EmotionRecognizer.from_hparams(plain).mods.values()
    with torch.no_grad():
        logits = [member(wavs, torch.ones(2)) for member in members]
    for folder, temperature in ((plain, 1.0), (hot, 2.0)):
        found = EmotionRecognizer.from_hparams(folder)(wavs)[0]
        expected = sum((x / temperature).softmax(-1) for x in logits) / 2
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("value", [0, -1.0, "2", None, 1e9])
def test_a_temperature_that_is_none_is_refused(tmp_path, value):
    folder = write_folder(tmp_path / "model", calibration={"temperature": 2.0})
    info = json.loads((folder / "model.json").read_text())
    info["members"]["fold_1"]["temperature"] = value
    (folder / "model.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"damaged: fold_1 has the temperature"):
        EmotionRecognizer.from_hparams(folder)


def test_the_threshold_for_an_accuracy_comes_from_validation():
    # At the temperature that makes 0.9 to 0.75, three of four are right.
    found = calibration_of(valid_table(n_right=6, n=8, p=0.9), LABELS)
    assert found["accuracies_above"] == [0.75] * 76  # thresholds 0.00 to 0.75
    info = {"members": {"fold_1": found}}
    assert threshold_for(info, 0.7) == 0
    with pytest.raises(ValueError, match=r"accuracy of 0\.8: .* reach 0\.750"):
        threshold_for(info, 0.8)
    with pytest.raises(ValueError, match="not calibrated"):
        threshold_for({"members": {"fold_1": {}}}, 0.5)
    sure = np.array([0.3, 0.9])
    above = accuracies_above(sure, np.array([False, True]))
    assert (above[30], above[31], len(above)) == (0.5, 1.0, 91)
