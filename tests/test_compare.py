"""Two runs are compared by a paired test; the README has the table of the file."""

import pandas as pd
import pytest
from finished_run import LABELS, write_fold

from ser_lib.evaluation import paired_difference, read_predictions
from ser_lib.evaluation.compare import compare_runs, main

MARKERS = (
    "# Toy\n\n<!-- comparisons: begin (python -m ser_lib.evaluation.compare) -->\n"
    "<!-- comparisons: end -->\n\nThe end\n"
)


@pytest.fixture
def runs(tmp_path):
    """Two folds; the first run has 6 of 8 correct, the second 4 of 8."""
    for fold in (1, 2):
        write_fold(tmp_path / "tasks", fold, "saaa", experiment="tasks")
        write_fold(tmp_path / "plain", fold, "aaas", experiment="plain")
    return tmp_path / "tasks", tmp_path / "plain"


def test_the_difference_is_that_of_the_scores_and_of_the_paired_test(runs):
    rows = compare_runs(*runs).set_index("metric")
    assert rows.loc["UA", "difference"] == 50.0  # 0.75 against 0.25
    assert rows.loc["UA", ["folds", "n"]].tolist() == [2, 8]
    tables = [
        pd.concat(
            read_predictions(run / f"fold_{k}" / "predictions.csv", LABELS)
            for k in (1, 2)
        )
        for run in runs
    ]
    expected = paired_difference(*tables, "UA", LABELS)
    found = rows.loc["UA", ["low", "high", "p_value"]].tolist()
    points = [100 * expected.low, 100 * expected.high]
    assert found == pytest.approx([*points, expected.p_value], abs=0.005)


def test_rows_are_added_to_a_file_once_and_to_the_readme_beside_it(runs, tmp_path):
    readme, table = tmp_path / "README.md", tmp_path / "comparisons.csv"
    readme.write_text(MARKERS)
    for _ in range(2):
        main([*map(str, runs), "--csv", str(table)])
    main([str(runs[1]), str(runs[0]), "--csv", str(table)])
    assert len(pd.read_csv(table)) == 4
    text = readme.read_text()
    assert text.count("| tasks | plain | 1986 | +50.00 [") == 1
    assert text.count("| plain | tasks | 1986 | -50.00 [") == 1
    assert text.startswith("# Toy\n") and text.endswith("-->\n\nThe end\n")


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing has no finished fold"):
        compare_runs(runs[0], tmp_path / "nothing")
    write_fold(tmp_path / "more", 1)
    with pytest.raises(ValueError, match="4 only in the first and 0 only in the"):
        compare_runs(runs[0], tmp_path / "more")
    (tmp_path / "README.md").write_text("no markers")
    with pytest.raises(ValueError, match="needs the line <!-- comparisons: begin"):
        main([*map(str, runs), "--csv", str(tmp_path / "comparisons.csv")])
