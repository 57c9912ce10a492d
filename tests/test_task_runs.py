"""A run with several tasks, from the corpus to its report, on a miniature IEMOCAP."""

import json

import pandas as pd
import pytest
from speechbrain.utils.run_opts import RunOptions

from ser_lib.evaluation import read_predictions
from ser_lib.experiment import run
from ser_lib.settings import RECIPES, Settings, Task
from ser_lib.synthetic.iemocap import miniature_counts, write_miniature_iemocap
from ser_lib.training import finetuning_settings, settings_key

pytestmark = pytest.mark.slow
LABELS = ["neu", "hap", "ang", "sad"]
TASKS = {
    "emotion": {"kind": "distribution"},
    "arousal": {"kind": "value", "range": [1, 5]},
    "gender": {"kind": "classes", "weight": 0.3},
}


def settings_of(folder, **given):
    given |= {"data_folder": str(folder / "IEMOCAP"), "tensorboard": "no"}
    given |= {"corpus": {"counts": miniature_counts(4), "part_digests": None}}
    given |= {"results_folder": str(folder / "results"), "folds": 1}
    given |= {"number_of_epochs": 3, "num_workers": 0, "stem_channels": 0}
    given |= {"ecapa_channels": [16, 16, 16, 16, 48], "crop_s": None}
    path = RECIPES / "IEMOCAP" / "hparams" / "fbank_ecapa.yaml"
    return Settings.from_file(path, given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    write_miniature_iemocap(folder / "IEMOCAP", 4)
    options = RunOptions(noprogressbar=True)
    run(settings_of(folder, tasks=TASKS, utterances="all"), options)
    return folder


def fold_of(folder):
    return next(folder.rglob("fold_1/fold.json")).parent


def test_a_run_with_votes_values_and_classes_writes_a_column_for_each(folder):
    table = read_predictions(fold_of(folder) / "predictions.csv", LABELS)
    truth = pd.read_csv(fold_of(folder) / "test.csv", dtype=str).set_index("id")
    truth = truth.loc[table["id"]].reset_index(drop=True)
    for column in ("arousal", "gender", *(f"votes_{label}" for label in LABELS)):
        assert table[column].tolist() == truth[column].fillna("").tolist()
    assert table["arousal_prediction"].between(1, 5).all()
    assert set(table["gender_prediction"]) <= {"female", "male"}
    probabilities = table[["gender_p_female", "gender_p_male"]].sum(axis=1)
    assert probabilities.to_list() == pytest.approx([1.0] * len(table), abs=2e-6)


def test_the_fold_knows_its_tasks(folder):
    info = json.loads((fold_of(folder) / "fold.json").read_text())
    emotion, arousal, gender = [Task.from_json(entries) for entries in info["tasks"]]
    assert (emotion.kind, emotion.labels) == ("distribution", tuple(LABELS))
    assert (arousal.kind, arousal.range) == ("value", (1, 5))
    assert (gender.labels, gender.weight) == (("female", "male"), 0.3)


def test_the_report_has_the_scores_of_all_tasks(folder):
    report = next(folder.rglob("report.md")).read_text()
    for line in ("| arousal | CCC | 16 |", "| gender | UA | 16 |", "| emotion | KL |"):
        assert line in report, line


def test_the_key_of_a_run_without_tasks_is_that_of_one_that_names_the_default(folder):
    options = RunOptions()
    plain = settings_key(settings_of(folder), options)
    assert settings_key(settings_of(folder, tasks={}), options) == plain
    assert settings_key(settings_of(folder, tasks=TASKS), options) != plain


def test_the_fine_tuning_of_a_second_stage_has_the_tasks_of_the_experiment(folder):
    path = RECIPES / "IEMOCAP" / "hparams" / "hubert_mean.yaml"
    settings = Settings.from_file(path, {"data_folder": "x", "tasks": TASKS})
    assert finetuning_settings(settings, "upstream")["tasks"] == TASKS
