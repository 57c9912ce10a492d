"""The list of wrong predictions, in the report and on the console."""

import pandas as pd
import pytest
from finished_run import LABELS, write_fold

from ser_lib.evaluation import list_errors, write_report
from ser_lib.evaluation.errors import (
    error_sections,
    write_wrong_predictions,
    wrong_predictions,
)


@pytest.fixture
def report(tmp_path):
    """Of s s a a, the second of fold 1 and the first of fold 2 are wrong."""
    write_fold(tmp_path, 1, "saaa")
    write_fold(tmp_path, 2, "asaa")
    return write_report(tmp_path, LABELS, "Toy run")


def test_the_report_lists_every_error_of_every_fold_and_nothing_else(report):
    table = pd.read_csv(report.parent / "wrong_predictions.csv")
    assert table.to_dict("list") == {
        "id": ["1-1", "2-0"],
        "label": ["sad", "sad"],
        "prediction": ["angry", "angry"],
        "probability": [0.75, 0.75],
    }
    text = report.read_text(encoding="utf-8")
    assert "2 test utterances were classified wrongly." in text
    assert "| 2-0 | sad | angry | 0.75 |" in text


def test_the_console_gets_the_same_list(report):
    lines = list_errors(report.parent).splitlines()
    assert lines[0].split() == ["id", "label", "prediction", "probability"]
    assert [line.split()[0] for line in lines[1:3]] == ["1-1", "2-0"]
    assert lines[3] == "Wrong predictions: 2"


def test_the_probability_is_that_of_the_class_that_was_predicted():
    row = {"id": "a", "speaker": "1", "label": "x", "prediction": "z"}
    table = pd.DataFrame([{**row, "p_x": 0.3, "p_y": 0.1, "p_z": 0.6}])
    assert wrong_predictions(table)["probability"].tolist() == [0.6]


def test_a_run_without_errors_has_an_empty_list(tmp_path):
    columns = ["id", "speaker", "label", "prediction", "p_sad"]
    errors = wrong_predictions(
        pd.DataFrame([["a", "1", "sad", "sad", 1.0]]).set_axis(columns, axis=1)
    )
    write_wrong_predictions(tmp_path, errors)
    assert list_errors(tmp_path) == "Wrong predictions: 0"


def test_a_long_list_stays_in_its_file(tmp_path):
    row = {"label": "sad", "prediction": "angry", "probability": 0.5}
    errors = pd.DataFrame([{"id": str(i), **row} for i in range(101)])
    text = "\n".join(error_sections(errors))
    assert "101 test utterances" in text and "(wrong_predictions.csv)" in text
    assert "| 7 |" not in text
    assert "| 7 |" in "\n".join(error_sections(errors[:100]))
