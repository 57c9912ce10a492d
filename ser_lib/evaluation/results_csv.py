"""The results table: figures of every run, in percent with two decimals.

One row for each fold of a run and one, ``pooled``, for the predictions of all its
folds together. ``recipes/<CORPUS>/results.csv`` holds the rows of many runs, named by
experiment and seed. It is the only source of the tables in the READMEs.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser_lib.evaluation.bootstrap import bootstrap_interval
from ser_lib.evaluation.fold_results import FoldResult, pool
from ser_lib.evaluation.metrics import Scores, compute_scores
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import read_csv

_RECALL = "recall_"
_ENDS = ("_low", "_high")


def result_rows(results: Sequence[FoldResult]) -> pd.DataFrame:
    """Make the rows of ``results.csv`` of one run.

    Arguments
    ---------
    results : Sequence[FoldResult]
        At least one fold of one run.

    Returns
    -------
    pd.DataFrame
        One row a fold, then ``pooled``: ``corpus``, ``experiment``, ``seed``,
        ``fold`` (text), ``n``, ``WA``, ``UA``, ``macro_F1``, ``recall_<label>``, and
        the ends of the 95 % intervals of WA and UA, NaN but for ``pooled``.
    """
    labels = list(results[0].scores.recalls)
    pooled = pool(results)
    intervals = {}
    for metric in ("WA", "UA"):
        low, high = bootstrap_interval(pooled, metric, labels)
        intervals[f"{metric}_low"], intervals[f"{metric}_high"] = 100 * low, 100 * high
    rows = [{"fold": str(r.fold), **_percents(r.scores)} for r in results]
    rows.append(
        {"fold": "pooled", **_percents(compute_scores(pooled, labels)), **intervals}
    )
    run = {name: getattr(results[0], name) for name in ("corpus", "experiment", "seed")}
    table = pd.DataFrame([{**run, **row} for row in rows])
    return table.round(2)


def _percents(figures: Scores) -> dict[str, float]:
    shares = {"WA": figures.WA, "UA": figures.UA, "macro_F1": figures.macro_F1}
    shares |= {f"{_RECALL}{label}": recall for label, recall in figures.recalls.items()}
    return {"n": figures.n, **{name: 100 * share for name, share in shares.items()}}


def write_results(path: str | Path, rows: pd.DataFrame) -> None:
    """Write rows as ``results.csv``, metrics with two decimals.

    Arguments
    ---------
    path : str | Path
        The file to write; it is replaced only when complete.
    rows : pd.DataFrame
        As made by :func:`result_rows`.
    """
    with atomic_path(path) as unfinished:
        rows.to_csv(unfinished, index=False, float_format="%.2f", lineterminator="\n")


def read_results(path: str | Path) -> pd.DataFrame:
    """Read what :func:`write_results` or :func:`merge_results` wrote.

    Arguments
    ---------
    path : str | Path
        A results CSV file.

    Returns
    -------
    pd.DataFrame
        As made by :func:`result_rows`.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    text = dict.fromkeys(("corpus", "experiment", "fold"), str)
    columns = read_csv(path, nrows=0).columns
    empty = {c: [""] for c in columns if c.startswith(_RECALL) or c.endswith(_ENDS)}
    return read_csv(path, dtype=text, keep_default_na=False, na_values=empty)


def merge_results(path: str | Path, rows: pd.DataFrame) -> None:
    """Put the rows of a run into a results file, in place of its former rows.

    Arguments
    ---------
    path : str | Path
        The file to change; it is made if it does not exist.
    rows : pd.DataFrame
        As made by :func:`result_rows`. Rows of the same experiment and seed are
        replaced, all others stay; the file is sorted. Experiments with some of the
        classes have no recalls of the others.

    Raises
    ------
    ValueError
        If the file is of another corpus or has other columns.
    """
    if Path(path).exists():
        former = read_results(path)
        columns = _common_columns(path, former, rows)
        former, rows = former.reindex(columns=columns), rows.reindex(columns=columns)
        run = ["experiment", "seed"]
        replaced = former.set_index(run).index.isin(rows.set_index(run).index)
        rows = pd.concat([former[~replaced], rows], ignore_index=True)
    order = rows["fold"].map(lambda fold: 10**9 if fold == "pooled" else int(fold))
    rows = rows.assign(order=order).sort_values(["experiment", "seed", "order"])
    write_results(path, rows.drop(columns="order"))


def _common_columns(
    path: str | Path, former: pd.DataFrame, rows: pd.DataFrame
) -> list[str]:
    """Give the columns of the table with more classes, which has those of the other."""
    fewer, more = sorted((list(rows), list(former)), key=len)
    other = [c for c in more if c not in fewer and not c.startswith(_RECALL)]
    if other or not set(fewer) <= set(more):
        raise ValueError(
            f"{path} has the columns {list(former)}, expected {list(rows)}. Is it the "
            f"results file of another corpus?"
        )
    if {*former["corpus"]} != {*rows["corpus"]}:
        raise ValueError(
            f"{path} holds results of {sorted({*former['corpus']})}, expected "
            f"{sorted({*rows['corpus']})}."
        )
    return more
