"""Rows of results.csv: percent, two decimals, replaced run by run."""

import pandas as pd
import pytest
from finished_run import LABELS, write_fold

from ser_lib.evaluation import collect, merge_results, result_rows
from ser_lib.evaluation.results_csv import read_results, write_results


@pytest.fixture
def rows(tmp_path) -> pd.DataFrame:
    write_fold(tmp_path / "run", 1, predicted="saaa")
    write_fold(tmp_path / "run", 2, predicted="ssaa")
    return result_rows(collect(tmp_path / "run", LABELS))


def test_there_is_a_row_for_each_fold_and_one_for_all(rows):
    assert list(rows.columns) == [
        *[
            "corpus",
            "experiment",
            "seed",
            "adapted",
            "fold",
            "n",
            "WA",
            "UA",
            "macro_F1",
        ],
        *["recall_sad", "recall_angry", "WA_low", "WA_high", "UA_low", "UA_high"],
    ]
    assert rows["fold"].tolist() == ["1", "2", "pooled"]
    assert rows["n"].tolist() == [4, 4, 8]
    assert rows["UA"].tolist() == [75.0, 100.0, 87.5]
    # F1: sad 2 / 3 and angry 4 / 5; none wrong; sad 6 / 7 and angry 8 / 9.
    assert rows["macro_F1"].tolist() == [73.33, 100.0, 87.3]
    assert rows["recall_sad"].tolist() == [50.0, 100.0, 75.0]


def test_only_the_pooled_row_has_intervals(rows):
    intervals = rows[["WA_low", "WA_high", "UA_low", "UA_high"]]
    assert intervals[:2].isna().all(axis=None)
    # Of the four speakers only 1F is wrong, in one of two utterances.
    assert intervals.iloc[2].tolist() == [62.5, 100.0, 62.5, 100.0]


def test_the_file_has_two_decimals_and_is_read_as_it_was_written(rows, tmp_path):
    write_results(tmp_path / "results.csv", rows)
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert lines[1] == "TOY,mean_pooling,1986,no,1,4,75.00,75.00,73.33,50.00,100.00,,,,"
    pd.testing.assert_frame_equal(read_results(tmp_path / "results.csv"), rows)


def test_a_run_that_is_merged_again_replaces_its_former_rows(rows, tmp_path):
    path = tmp_path / "results.csv"
    merge_results(path, rows.assign(UA=1.0))
    merge_results(path, rows.assign(seed=7))
    merge_results(path, rows)
    merged = read_results(path)
    assert merged["seed"].tolist() == [7, 7, 7, 1986, 1986, 1986]
    assert merged["UA"].tolist() == [75.0, 100.0, 87.5] * 2


def test_a_run_that_has_fewer_folds_than_before_leaves_none_behind(rows, tmp_path):
    path = tmp_path / "results.csv"
    merge_results(path, rows)
    merge_results(path, rows[rows["fold"] != "2"])
    assert read_results(path)["fold"].tolist() == ["1", "pooled"]


def test_rows_are_sorted_by_experiment_seed_and_number_of_the_fold(rows, tmp_path):
    path = tmp_path / "results.csv"
    many = pd.concat([rows, rows[:1].assign(fold="10")])
    merge_results(path, many.assign(experiment="b"))
    merge_results(path, rows.assign(experiment="a"))
    merged = read_results(path)
    assert merged["experiment"].tolist() == ["a"] * 3 + ["b"] * 4
    assert merged["fold"].tolist() == ["1", "2", "pooled", "1", "2", "10", "pooled"]


def test_the_order_of_merging_does_not_change_the_file(rows, tmp_path):
    for name, seeds in (("one", (1, 2)), ("two", (2, 1))):
        for seed in seeds:
            merge_results(tmp_path / name, rows.assign(seed=seed))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_with_other_classes_is_refused(rows, tmp_path):
    path = tmp_path / "results.csv"
    merge_results(path, rows.rename(columns={"recall_sad": "recall_fear"}))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="has the columns .*recall_fear.*recall_sad"):
        merge_results(path, rows)
    assert path.read_bytes() == before


def test_an_experiment_with_some_of_the_classes_has_no_recalls_of_the_others(
    rows, tmp_path
):
    fewer = rows.drop(columns="recall_sad").assign(experiment="fewer")
    for name, order in (("one", (rows, fewer)), ("two", (fewer, rows))):
        for table in order:
            merge_results(tmp_path / name, table)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    merged = read_results(tmp_path / "one")
    assert list(merged) == list(rows)
    assert merged["recall_sad"].isna().tolist() == [True] * 3 + [False] * 3


def test_a_file_of_another_corpus_is_refused(rows, tmp_path):
    merge_results(tmp_path / "results.csv", rows.assign(corpus="SAVEE"))
    with pytest.raises(ValueError, match=r"results of \['SAVEE'\], expected \['TOY'\]"):
        merge_results(tmp_path / "results.csv", rows)
