"""Read the log of training steps for the report.

``steps.csv`` is next to ``history.csv``. It has one row per step, with the columns
``epoch``, ``step``, ``loss``, ``correct`` and ``utterances``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from ser_lib.evaluation.fold_status import remedy
from ser_lib.utils.text_tables import markdown_table, read_csv

STEPS_FILE = "steps.csv"
STEP_COLUMNS = ["epoch", "step", "loss", "correct", "utterances"]


def epoch_accuracies(steps: pd.DataFrame) -> pd.Series:
    """Compute the training accuracy of each epoch from the rows of a ``steps.csv``."""
    totals = steps.groupby("epoch")[["correct", "utterances"]].sum()
    return totals["correct"] / totals["utterances"]


def read_steps(
    output_folder: str | Path, folds: Sequence[int]
) -> dict[int, pd.DataFrame]:
    """Read ``steps.csv`` of each fold that has it."""
    folders = {fold: Path(output_folder, f"fold_{fold}") for fold in folds}
    return {
        fold: _read_fold_steps(folder)
        for fold, folder in folders.items()
        if (folder / STEPS_FILE).is_file()
    }


def _read_fold_steps(folder: Path) -> pd.DataFrame:
    try:
        steps = read_csv(folder / STEPS_FILE)
        if list(steps) != STEP_COLUMNS or not all(map(is_numeric_dtype, steps.dtypes)):
            raise ValueError(
                f"{folder / STEPS_FILE}: expected numbers in the columns "
                f"{STEP_COLUMNS}, found the columns {list(steps)}."
            )
    except ValueError as error:
        raise ValueError(f"{error} {remedy(folder)}") from error
    return steps


def step_sections(steps: Mapping[int, pd.DataFrame]) -> list[str]:
    """Return the report's sections about training steps, or an empty list."""
    if not steps:
        return []
    table = pd.DataFrame({fold: epoch_accuracies(s) for fold, s in steps.items()}).T
    table.columns = [f"epoch {epoch}" for epoch in table]
    return [
        "![Loss of each step and accuracy of each epoch](steps.png)",
        "Training accuracy, percent:",
        markdown_table(100 * table.rename_axis("fold")),
    ]
