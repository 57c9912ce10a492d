"""Finished folds are read and checked; all others are named."""

import json
import logging
import shutil

import pytest
from finished_run import LABELS, write_fold

from ser_lib.evaluation import (
    collect,
    finished_folds,
    left_out_folds,
    pool,
    write_report,
)


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
    assert results[0].scores.UA == 0.75


def test_unfinished_folds_and_gaps_are_named_with_the_reason(tmp_path, caplog):
    write_fold(tmp_path, 2)
    write_fold(tmp_path, 3)
    (tmp_path / "fold_3" / "predictions.csv").unlink()
    with caplog.at_level(logging.WARNING):
        assert [result.fold for result in collect(tmp_path, LABELS)] == [2]
    assert left_out_folds(tmp_path) == {
        "fold_1": "not started",
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
        ({"valid_accuracy": [0.5]}, "each of the 2 averaged_epochs, found 1"),
        ({"averaged_epochs": 2}, "expected lists of averaged_epochs .* found 2 and"),
    ],
)
def test_entries_of_fold_json_that_contradict_each_other_are_refused(
    tmp_path, changed, message
):
    write_fold(tmp_path, 1)
    change_fact(tmp_path / "fold_1", **changed)
    with pytest.raises(ValueError, match=message):
        collect(tmp_path, LABELS)


HISTORY = "epoch,train_loss,valid_loss,valid_accuracy,lr\n"
DAMAGED = {  # file -> content -> what the error says of it
    "history.csv": {
        b"": "No columns to parse",
        b"\x89PNG\xff\x00": "cannot be read as a table",
        b"epoch,train_loss\n1,0.5\n": r"expected the columns .*'lr'\], found",
        HISTORY.encode(): "numbers for at least one epoch, found 0 rows",
        f"{HISTORY}1,a,b,c,d\n".encode(): r"text in the columns \['train_loss', 'val",
        f"{HISTORY}1,2,3,4,5\n1,2,3,4,5,6,7".encode(): "Expected 5 fields",
    },
    "predictions.csv": {
        b"": "No columns to parse",
        b"\x89PNG\xff\x00": "cannot be read as a table",
        b"id,speaker\na,b\n": "expected the columns",
    },
    "steps.csv": {
        b"": "No columns to parse",
        b"epoch,step\n1,1\n": r"expected numbers in the columns \['epoch', 'step', 'l",
    },
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, c) for name, cases in DAMAGED.items() for c in cases]
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, name, content):
    write_fold(tmp_path, 1)
    path = tmp_path / "fold_1" / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=DAMAGED[name][content]) as error:
        write_report(tmp_path, LABELS, "Toy run")
    assert str(path) in str(error.value)
    assert f"Delete {path.with_name('fold.json')} and start the run" in str(error.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "fold.json is damaged (Expecting value: line 1"),
        ("{", "fold.json is damaged"),
        ("[1]", "fold.json is damaged (it contains [1])"),
        ('{"experiment": "mean_pooling"}', "fold.json lacks corpus, seed, fold"),
    ],
)
def test_a_fold_whose_fold_json_is_damaged_is_left_out_by_name(
    tmp_path, content, reason
):
    write_fold(tmp_path, 1)
    write_fold(tmp_path, 2)
    (tmp_path / "fold_2" / "fold.json").write_text(content)
    left_out = left_out_folds(tmp_path)
    assert list(left_out) == ["fold_2"]
    assert reason in left_out["fold_2"]
    assert left_out["fold_2"].endswith("; the next run tests the fold again")
    text = write_report(tmp_path, LABELS, "Toy run").read_text(encoding="utf-8")
    assert "folds 1: 4 utterances" in text
    assert reason in text


def test_a_copy_of_a_fold_is_left_out_by_name(tmp_path):
    write_fold(tmp_path, 1)
    for copy in ("fold_1 copy", "fold_2", "fold_01"):
        shutil.copytree(tmp_path / "fold_1", tmp_path / copy)
    assert left_out_folds(tmp_path) == {
        "fold_2": "its fold.json is of fold 1, expected fold 2",
        "fold_01": "not a name of a fold",
        "fold_1 copy": "not a name of a fold",
    }
    assert finished_folds(tmp_path) == [1]


def test_the_folds_that_a_run_wrote_down_are_its_folds(tmp_path):
    for fold in (1, 2, 3, 4):
        write_fold(tmp_path, fold, fold_digest=f"digest {fold}")
    (tmp_path / "folds.json").write_text(
        '{"1": "digest 1", "2": "new", "5": "digest 5"}'
    )
    of_run = "not of this run, which has the folds 1, 2, 5"
    assert left_out_folds(tmp_path) == {
        "fold_2": "run with other data (digest digest 2, now new)",
        "fold_3": of_run,
        "fold_4": of_run,
        "fold_5": "not started",
    }
    assert [result.fold for result in collect(tmp_path, LABELS)] == [1]
    # A table of experiments knows the folds itself.
    known = {4: "digest 4", 2: "digest 2"}
    assert finished_folds(tmp_path, "key", known) == [2, 4]


@pytest.mark.parametrize("content", ["", "3", '{"one": "digest"}'])
def test_a_damaged_record_of_the_folds_is_named_with_what_to_do(tmp_path, content):
    write_fold(tmp_path, 1)
    (tmp_path / "folds.json").write_text(content)
    with pytest.raises(ValueError, match=r"folds.json is damaged .* --prepare_only"):
        left_out_folds(tmp_path)


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
