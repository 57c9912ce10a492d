"""The section of a report about further tasks and votes, and its table as a file."""

from pathlib import Path

import pandas as pd

from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import markdown_table, plain_table

TASKS_FILE = "task_scores.csv"
_PERCENT = ("WA", "UA", "macro_F1")


def task_sections(rows: pd.DataFrame) -> list[str]:
    """Return the section about the rows of ``task_scores.task_rows``; or nothing."""
    if rows.empty:
        return []
    text = (
        "WA, UA and macro F1 are in percent; RMSE is in the unit of the values, KL in "
        "nats. KL and Brier compare the probabilities with the shares of the votes. "
        "Utterances without a target of a task are left out. Intervals come from "
        "drawing test speakers."
    )
    return ["## Other tasks", markdown_table(task_table(rows)), text]


def task_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Format the rows of ``task_scores.task_rows``: one line per task and score."""
    lines = []
    for (task, score), own in rows.groupby(["task", "score"], sort=False):
        pooled = own[own["fold"] == "pooled"].iloc[0]
        folds = own[own["fold"] != "pooled"]["value"]
        decimals = 2 if score in _PERCENT else 3
        lines.append(
            {
                "task": task,
                "score": score.replace("_", " "),
                "n": int(pooled["n"]),
                "mean ± sd over folds": _mean_and_sd(folds, decimals),
                "pooled [95 % interval]": _with_interval(pooled, decimals),
            }
        )
    return pd.DataFrame(lines).set_index("task")


def format_task_table(folder: str | Path) -> str:
    """Return the table of a written report for the console; empty if it has none."""
    path = Path(folder) / TASKS_FILE
    if not path.is_file():
        return ""
    return plain_table(task_table(pd.read_csv(path, dtype={"fold": str})))


def write_task_scores(folder: Path, rows: pd.DataFrame) -> None:
    """Write the rows to ``task_scores.csv``; without rows, remove an earlier file."""
    if rows.empty:
        (folder / TASKS_FILE).unlink(missing_ok=True)
        return
    with atomic_path(folder / TASKS_FILE) as unfinished:
        rows.to_csv(unfinished, index=False, float_format="%.4f", lineterminator="\n")


def _mean_and_sd(values: pd.Series, decimals: int) -> str:
    if values.isna().any():  # a fold whose truth does not vary has no correlation
        return "not defined"
    mean = f"{values.mean():.{decimals}f}"
    return f"{mean} ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else mean


def _with_interval(row: pd.Series, decimals: int) -> str:
    value, low, high = (f"{row[k]:.{decimals}f}" for k in ("value", "low", "high"))
    return value if pd.isna(row["low"]) else f"{value} [{low}, {high}]"
