"""README tables come from results.csv and can be checked against it."""

import pandas as pd
import pytest
from finished_run import LABELS, write_fold

from ser_lib.evaluation import collect, merge_results, result_rows
from ser_lib.evaluation.readme_table import main, results_block, update_readme
from ser_lib.evaluation.results_csv import read_results

COMMAND = "python -m ser_lib.evaluation.readme_table recipes/TOY"
BEGIN = f"<!-- results: begin ({COMMAND}) -->"
END = "<!-- results: end -->"


@pytest.fixture
def recipe(tmp_path):
    """A recipe with one run of two folds, UA 75 and 100 %."""
    write_fold(tmp_path / "run", 1, predicted="saaa")
    write_fold(tmp_path / "run", 2, predicted="ssaa")
    rows = result_rows(collect(tmp_path / "run", LABELS))
    merge_results(tmp_path / "TOY" / "results.csv", rows)
    readme = f"# TOY\n\nBefore.\n\n{BEGIN}\nformer text\n{END}\n\nAfter.\n"
    (tmp_path / "TOY" / "README.md").write_text(readme, encoding="utf-8")
    return tmp_path / "TOY"


def test_the_block_holds_the_figures_of_each_run(recipe):
    lines = results_block(read_results(recipe / "results.csv")).splitlines()
    assert lines[0].startswith(
        "| experiment | seed | adapted | classes | folds | n | WA mean ± sd |"
    )
    both = "87.50 ± 17.68"  # 75 and 100: the sd is 25 / sqrt(2)
    pooled = "87.50 [62.50, 100.00]"
    assert lines[2] == (
        "| mean_pooling | 1986 | no | 2 | 2 | 8 | "
        f"{both} | {both} | {pooled} | {pooled} |"
    )
    assert lines[-3] == "| experiment | seed | fold 1 | fold 2 |"
    assert lines[-1] == "| mean_pooling | 1986 | 75.00 | 100.00 |"


def test_only_the_text_between_the_markers_changes(recipe):
    assert update_readme(recipe / "README.md", recipe / "results.csv") is True
    text = (recipe / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# TOY\n\nBefore.\n\n{BEGIN}\n\n| experiment |")
    assert text.endswith(f"|\n\n{END}\n\nAfter.\n")
    assert "former text" not in text
    assert update_readme(recipe / "README.md", recipe / "results.csv") is False


def test_runs_with_fewer_folds_have_empty_cells(recipe):
    rows = read_results(recipe / "results.csv")
    merge_results(recipe / "results.csv", rows[rows["fold"] != "1"].assign(seed=7))
    lines = results_block(read_results(recipe / "results.csv")).splitlines()
    assert "| mean_pooling | 7 | no | 2 | 1 | 8 | 100.00 | 100.00 |" in lines[2]
    assert lines[-4:] == [
        "| experiment | seed | fold 1 | fold 2 |",
        "|:---|---:|---:|---:|",
        "| mean_pooling | 7 |  | 100.00 |",
        "| mean_pooling | 1986 | 75.00 | 100.00 |",
    ]


def test_the_columns_follow_the_numbers_of_the_folds(recipe):
    rows = read_results(recipe / "results.csv").replace({"fold": {"1": "10"}})
    merge_results(recipe / "results.csv", rows)
    lines = results_block(read_results(recipe / "results.csv")).splitlines()
    assert lines[-3:] == [
        "| experiment | seed | fold 2 | fold 10 |",
        "|:---|---:|---:|---:|",
        "| mean_pooling | 1986 | 100.00 | 75.00 |",
    ]


def test_check_fails_until_the_readme_is_updated(recipe, capsys):
    before = (recipe / "README.md").read_bytes()
    assert main(["--check", str(recipe)]) == 1
    assert "README.md differs from" in capsys.readouterr().err
    assert (recipe / "README.md").read_bytes() == before
    assert main([str(recipe)]) == 0
    assert main(["--check", str(recipe)]) == 0


def test_check_fails_when_a_number_was_changed_by_hand(recipe):
    main([str(recipe)])
    path = recipe / "README.md"
    path.write_text(path.read_text("utf-8").replace("87.50", "88.50"), "utf-8")
    assert main(["--check", str(recipe)]) == 1


@pytest.mark.parametrize(
    "text", ["# TOY\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{BEGIN}{END}"]
)
def test_a_readme_without_its_markers_is_refused(recipe, text):
    (recipe / "README.md").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="README.md: expected one line"):
        update_readme(recipe / "README.md", recipe / "results.csv")


def test_a_run_without_pooled_row_is_named():
    rows = pd.DataFrame({"experiment": ["a"], "seed": [1], "fold": ["1"]})
    with pytest.raises(ValueError, match=r"a, seed 1: .* found \['1'\]"):
        results_block(rows)
