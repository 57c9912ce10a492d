"""Finished folds are read and checked; all others are named."""

import json
import logging

import pandas as pd
import pytest
from finished_run import LABELS, write_fold

from ser_lib.finished_folds import left_out_folds
from ser_lib.fold_results import collect, pool


def change_fact(folder, **changed):
    path = folder / "fold.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_finished_folds_are_read_in_the_order_of_their_numbers(tmp_path):
    for fold in (10, 2, 1):
        write_fold(tmp_path, fold)
    results = collect(tmp_path, LABELS)
    assert [result.fold for result in results] == [1, 2, 10]
    assert results[0].experiment == "mean_pooling"
    assert results[0].averaged_epochs == [2, 3]
    assert results[0].history["epoch"].tolist() == [1, 2, 3]
    assert results[0].figures.UA == 0.75


def test_unfinished_folds_and_gaps_are_named_with_the_reason(tmp_path, caplog):
    write_fold(tmp_path, 2)
    write_fold(tmp_path, 3)
    (tmp_path / "fold_3" / "predictions.csv").unlink()
    with caplog.at_level(logging.WARNING):
        assert [result.fold for result in collect(tmp_path, LABELS)] == [2]
    assert left_out_folds(tmp_path) == {
        "fold_1": "not begun",
        "fold_3": "not finished, predictions.csv missing",
    }
    assert f"{tmp_path / 'fold_3'} is left out: not finished" in caplog.text


def test_folds_with_other_settings_are_left_out_by_name(tmp_path):
    write_fold(tmp_path, 1)
    write_fold(tmp_path, 2)
    change_fact(tmp_path / "fold_2", settings_key="old")
    assert [r.fold for r in collect(tmp_path, LABELS, "key")] == [1]
    reason = "run with other settings (old, now key)"
    assert left_out_folds(tmp_path, "key") == {"fold_2": reason}
    with pytest.raises(
        ValueError, match="differ in settings_key: {1: 'key', 2: 'old'}"
    ):
        collect(tmp_path, LABELS)


def test_an_empty_folder_has_no_results(tmp_path):
    assert collect(tmp_path, LABELS) == []


@pytest.mark.parametrize("changed", [{"seed": 2}, {"experiment": "ecapa"}])
def test_folds_of_two_runs_are_not_mixed(tmp_path, changed):
    write_fold(tmp_path, 1)
    write_fold(tmp_path, 2)
    change_fact(tmp_path / "fold_2", **changed)
    with pytest.raises(ValueError, match=f"The folds differ in {next(iter(changed))}"):
        collect(tmp_path, LABELS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fold": 4}, "is of fold 4, expected fold 1"),
        ({"valid_accuracy": [0.5]}, "each of the 2 averaged_epochs, found 1"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(tmp_path, changed, message):
    write_fold(tmp_path, 1)
    change_fact(tmp_path / "fold_1", **changed)
    with pytest.raises(ValueError, match=message):
        collect(tmp_path, LABELS)


def test_a_missing_fact_is_named(tmp_path):
    write_fold(tmp_path, 1)
    (tmp_path / "fold_1" / "fold.json").write_text('{"experiment": "mean_pooling"}')
    with pytest.raises(ValueError, match="fold.json lacks corpus, seed, fold"):
        collect(tmp_path, LABELS)


def test_a_history_with_other_columns_is_refused(tmp_path):
    write_fold(tmp_path, 1)
    path = tmp_path / "fold_1" / "history.csv"
    pd.read_csv(path).drop(columns="lr").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"expected the columns .*'lr'\], found"):
        collect(tmp_path, LABELS)


def test_the_pool_holds_the_rows_of_all_folds(tmp_path):
    write_fold(tmp_path, 1)
    write_fold(tmp_path, 2)
    pooled = pool(collect(tmp_path, LABELS))
    assert pooled["id"].tolist() == [f"{fold}-{i}" for fold in (1, 2) for i in range(4)]


def test_an_utterance_tested_twice_is_named_with_its_folds(tmp_path):
    write_fold(tmp_path, 1)
    write_fold(tmp_path, 2)
    path = tmp_path / "fold_2" / "predictions.csv"
    path.write_text(path.read_text().replace("2-3", "1-3"))
    with pytest.raises(ValueError, match=r"first is 1-3 in the folds \[1, 2\]"):
        pool(collect(tmp_path, LABELS))
