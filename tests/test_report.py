"""The report of a run small enough to recompute by hand."""

import json

import numpy as np
import pytest
from finished_run import LABELS, write_fold

from ser_lib.evaluation import (
    collect,
    fold_table,
    format_table,
    result_rows,
    write_report,
)
from ser_lib.evaluation.report import main


@pytest.fixture
def run(tmp_path):
    """UA is 75, 100 and 50 % in the three folds."""
    return write_run(tmp_path / "run")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of that run, written once because drawing takes its time."""
    run = write_run(tmp_path_factory.mktemp("reported") / "run")
    note = "synthetic speech\nsays nothing"
    expected = {"UA": 70.0, "source": "Table 1, row 6"}
    return write_report(run, LABELS, "Toy run", note, expected, "key")


def write_run(output_folder):
    for fold, predicted in enumerate(["saaa", "ssaa", "aaaa"], start=1):
        write_fold(output_folder, fold, predicted)
    return output_folder


def test_the_table_has_folds_mean_sd_and_pooled(run):
    table = fold_table(result_rows(collect(run, LABELS)))
    assert table.index.tolist() == ["1", "2", "3", "mean", "sd", "pooled"]
    assert table.columns.tolist() == [
        *["n", "WA", "UA", "macro F1", "recall sad", "recall angry"]
    ]
    # The sample standard deviation of 75, 100 and 50 is 25.
    assert table["UA"].tolist() == [75.0, 100.0, 50.0, 75.0, 25.0, 75.0]
    assert table["recall sad"].tolist() == [50.0, 100.0, 0.0, 50.0, 50.0, 50.0]
    assert table["n"].dropna().tolist() == [4, 4, 4, 12]


def test_one_fold_has_no_standard_deviation(tmp_path):
    write_fold(tmp_path, 1)
    table = fold_table(result_rows(collect(tmp_path, LABELS)))
    assert table.loc["mean", "UA"] == 75.0
    assert np.isnan(table.loc["sd", "UA"])


def test_the_mean_is_that_of_the_rounded_rows_a_reader_sees(tmp_path):
    write_fold(tmp_path, 1, "saaa")
    write_fold(tmp_path, 2, "sssa")
    table = fold_table(result_rows(collect(tmp_path, LABELS)))
    shown = table.loc[["1", "2"], "macro F1"]
    assert shown.tolist() == [73.33, 73.33]
    assert table.loc["mean", "macro F1"] == 73.33


def test_the_report_says_what_was_run_and_how_well_it_went(report):
    assert report.parts[-3:] == ("run", "report", "report.md")
    text = report.read_text(encoding="utf-8")
    assert text.startswith("# Toy run\n")
    assert "Corpus TOY, experiment mean_pooling, seed 1986, settings `key`." in text
    assert "folds 1, 2, 3: 12 utterances of 6 speakers" in text
    assert "> synthetic speech\n> says nothing" in text
    assert "| WA | 75.00 ± 25.00 | 75.00 [" in text
    assert "| 70.00 | 5.00 |" in text
    assert "Expected scores: Table 1, row 6." in text
    assert "| mean |  | 75.00 | 75.00 |" in text
    assert "| 2 | 2, 3 | 75.00, 70.00 |" in text
    assert "Not in this report" not in text


def test_the_report_names_missing_folds_and_no_scores_that_nobody_expects(run):
    (run / "fold_2" / "history.csv").unlink()
    text = write_report(run, LABELS, "Toy run").read_text(encoding="utf-8")
    assert "- fold_2: not finished, history.csv missing" in text
    assert "folds 1, 3: 8 utterances" in text
    assert "\n>" not in text
    assert "expected" not in text.lower()


def test_the_folder_of_the_report_holds_whole_files_only(report):
    pictures = ["confusion.png", "learning_curves.png"]
    found = sorted(path.name for path in report.parent.iterdir())
    tables = ["results.csv", "wrong_predictions.csv"]
    assert found == [*pictures, "report.json", "report.md", *tables]
    for picture in pictures:
        assert (report.parent / picture).read_bytes().startswith(b"\x89PNG")
    report_info = json.loads((report.parent / "report.json").read_text())
    assert report_info == {
        "labels": LABELS,
        "title": "Toy run",
        "note": "synthetic speech\nsays nothing",
        "expected": {"UA": 70.0, "source": "Table 1, row 6"},
        "settings_key": "key",
    }


def test_a_run_without_finished_folds_has_no_report(tmp_path):
    (tmp_path / "fold_1").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"no finished fold(?s:.*)- fold_1: not finished"
    ):
        write_report(tmp_path, LABELS, "Toy run")


def test_an_unknown_expected_score_is_named(run):
    with pytest.raises(ValueError, match=r"keys \['wa'\], known are WA, UA"):
        write_report(run, LABELS, "Toy run", expected={"wa": 70.0})


def test_the_command_writes_the_same_report_again_and_merges_the_rows(
    report, tmp_path, capsys
):
    before = {path.name: path.read_bytes() for path in report.parent.iterdir()}
    results = tmp_path / "recipe" / "results.csv"
    main([str(report.parents[1]), "--results", str(results)])
    out = capsys.readouterr().out
    assert format_table(report.parents[1]) in out
    printed = out.splitlines()
    assert printed[0].split()[:4] == ["fold", "n", "WA", "UA"]
    assert printed[6].split()[:4] == ["pooled", "12", "75.00", "75.00"]
    after = {path.name: path.read_bytes() for path in report.parent.iterdir()}
    assert after == before
    assert results.read_bytes() == before["results.csv"]


def test_the_command_needs_a_run_that_has_a_report(run):
    with pytest.raises(FileNotFoundError, match="report.json is missing"):
        main([str(run)])
