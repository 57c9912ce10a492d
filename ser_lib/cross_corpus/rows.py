"""The rows of a cross-corpus matrix: what one corpus teaches about another."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ser_lib.evaluation import FoldResult, scores_by
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import read_csv, with_interval

_RUN = ["experiment", "labels", "adapted", "seed"]
_CELL = ["trained_on", "tested_on"]
COLUMNS = [*_RUN, *_CELL, "n", "WA", "WA_low", "WA_high", "UA", "UA_low", "UA_high"]


def matrix_rows(
    results: Sequence[FoldResult], names: Mapping[int, str], labels: Sequence[str]
) -> pd.DataFrame:
    """Compute a row for each fold and each corpus that it tests.

    Arguments
    ---------
    results : Sequence[FoldResult]
        Finished folds; their predictions have a column ``corpus``.
    names : Mapping[int, str]
        Fold -> the corpora that it trains on.
    labels : Sequence[str]
        Classes in the order of the predictions. A class that a corpus lacks is not in
        its UA.

    Returns
    -------
    pd.DataFrame
        Columns ``COLUMNS``; scores and the ends of their 95 % intervals (drawing test
        speakers) in percent.
    """
    tables = []
    for result in results:
        cells = scores_by("corpus", result.predictions, labels)
        cells = cells.rename(columns={"corpus": "tested_on"}).assign(
            experiment=result.experiment,
            labels=len(labels),
            adapted=result.adapted,
            seed=result.seed,
            trained_on=names[result.fold],
        )
        tables.append(cells[COLUMNS])
    return pd.concat(tables, ignore_index=True).round(2)


def write_rows(path: str | Path, rows: pd.DataFrame) -> None:
    """Write rows to a CSV file, scores with two decimals."""
    with atomic_path(path) as unfinished:
        rows.to_csv(unfinished, index=False, float_format="%.2f", lineterminator="\n")


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read a file of :func:`write_rows`.

    Raises
    ------
    ValueError
        If it has other columns.
    """
    text = dict.fromkeys(("experiment", "adapted", *_CELL), str)
    rows = read_csv(path, dtype=text, keep_default_na=False)
    if list(rows) != COLUMNS:
        raise ValueError(f"{path}: expected the columns {COLUMNS}, found {list(rows)}.")
    return rows


def merge_rows(former: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Add rows, replacing those of the same run and cell; the result is sorted."""
    keys = [*_RUN, *_CELL]
    replaced = former.set_index(keys).index.isin(rows.set_index(keys).index)
    joined = pd.concat([former[~replaced], rows], ignore_index=True)
    return joined.sort_values(keys, ignore_index=True)


def matrix_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Build a table with one row per cell, scores with their intervals."""
    table = rows[[*_RUN, *_CELL, "n"]].copy()
    for metric in ("WA", "UA"):
        column = [with_interval(row, metric) for _, row in rows.iterrows()]
        table[f"{metric} [95 % interval]"] = column
    return table.set_index("experiment")
