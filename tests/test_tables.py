"""Tables as text."""

import pandas as pd

from ser_lib.utils.text_tables import markdown_table, plain_table, with_interval


def test_missing_values_are_empty_cells_and_numbers_have_two_decimals():
    table = pd.DataFrame(
        {"n": pd.array([4, None], dtype="Int64"), "UA": [70.0, float("nan")]},
        index=pd.Index(["1", "sd"], name="fold"),
    )
    assert markdown_table(table).splitlines()[2:] == [
        "| 1 | 4 | 70.00 |",
        "| sd |  |  |",
    ]


def test_a_bar_in_a_cell_does_not_end_the_cell():
    assert r"| a\|b |" in markdown_table(pd.DataFrame({"x": ["a|b"]}, index=["1"]))


def test_the_lines_for_the_console_are_aligned_and_recalls_have_short_headings():
    table = pd.DataFrame(
        {"n": [4, 12], "recall n": [100.0, 7.5]},
        index=pd.Index(["1", "pooled"], name="fold"),
    )
    lines = plain_table(table).splitlines()
    assert lines[0].split() == ["fold", "n", "n"]
    assert lines[2].split() == ["pooled", "12", "7.50"]
    assert len({len(line) for line in lines}) == 1


def test_a_score_without_interval_stands_alone():
    missing = float("nan")
    row = pd.Series({"WA": 71.0, "WA_low": missing, "WA_high": missing})
    assert with_interval(row, "WA") == "71.00"
