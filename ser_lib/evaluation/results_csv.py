"""The results file: scores of many runs, in percent with two decimals.

Each run has one row per fold and a row ``pooled`` for the predictions of all its folds
together. Runs are identified by experiment and seed. ``recipes/<CORPUS>/results.csv``
is the only source of the tables in the READMEs.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser_lib.evaluation.bootstrap import bootstrap_interval
from ser_lib.evaluation.fold_results import FoldResult, pool, pooled_scores
from ser_lib.evaluation.metrics import Scores, compute_scores
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import read_csv

_RUN = ("corpus", "experiment", "seed", "adapted")
_RECALL = "recall_"
_ENDS = ("_low", "_high")
PUBLISHED = "published"  # optional last column: the id of the pack with the run


def result_rows(results: Sequence[FoldResult]) -> pd.DataFrame:
    """Build the rows of ``results.csv`` of one run.

    Arguments
    ---------
    results : Sequence[FoldResult]
        At least one fold of one run.

    Returns
    -------
    pd.DataFrame
        One row per fold, then ``pooled``: ``corpus``, ``experiment``, ``seed``,
        ``adapted`` (to unlabelled recordings of the test speakers: ``no`` or
        ``speaker``), ``fold`` (text), ``n``, ``WA``, ``UA``, ``macro_F1``,
        ``recall_<label>``, and the ends of the 95 % intervals of WA and UA (NaN except
        for ``pooled``).
    """
    labels = list(results[0].scores.recalls)
    pooled = pool(results)
    intervals = {}
    for metric in ("WA", "UA"):
        low, high = bootstrap_interval(pooled, metric, labels)
        intervals[f"{metric}_low"], intervals[f"{metric}_high"] = 100 * low, 100 * high
    rows = [{"fold": str(r.fold), **_percents(r.scores)} for r in results]
    rows.append({"fold": "pooled", **_percents(pooled_scores(results)), **intervals})
    run = {name: getattr(results[0], name) for name in _RUN}
    table = pd.DataFrame([{**run, **row} for row in rows])
    return table.round(2)


def scores_by(
    column: str, predictions: pd.DataFrame, labels: Sequence[str]
) -> pd.DataFrame:
    """Compute the scores of each group of utterances, such as each corpus.

    Arguments
    ---------
    column : str
        The column of the predictions that names the group.
    predictions : pd.DataFrame
        One row per utterance.
    labels : Sequence[str]
        Classes in the order of the predictions. A class that a group lacks is not in
        its UA.

    Returns
    -------
    pd.DataFrame
        One row per group: the column, ``n``, ``labels`` (how many it has), ``WA``,
        ``UA`` and the ends of their 95 % intervals, in percent.
    """
    rows = []
    for group, own in predictions.groupby(column, sort=False):
        absent = [label for label in labels if label not in set(own["label"])]
        scores = compute_scores(own, labels, absent)
        row = {column: group, "n": scores.n, "labels": len(labels) - len(absent)}
        for metric in ("WA", "UA"):
            ends = bootstrap_interval(own, metric, labels)
            row[metric] = 100 * getattr(scores, metric)
            row[f"{metric}_low"], row[f"{metric}_high"] = (100 * end for end in ends)
        rows.append(row)
    return pd.DataFrame(rows)


def _percents(scores: Scores) -> dict[str, float]:
    shares = {"WA": scores.WA, "UA": scores.UA, "macro_F1": scores.macro_F1}
    shares |= {f"{_RECALL}{label}": recall for label, recall in scores.recalls.items()}
    return {"n": scores.n, **{name: 100 * share for name, share in shares.items()}}


def write_results(path: str | Path, rows: pd.DataFrame) -> None:
    """Write rows of :func:`result_rows` to a CSV file, scores with two decimals."""
    with atomic_path(path) as unfinished:
        rows.to_csv(unfinished, index=False, float_format="%.2f", lineterminator="\n")


def read_results(path: str | Path) -> pd.DataFrame:
    """Read a file of :func:`write_results` or :func:`merge_results`."""
    text = dict.fromkeys(("corpus", "experiment", "adapted", "fold", PUBLISHED), str)
    columns = read_csv(path, nrows=0).columns
    empty = {c: [""] for c in columns if c.startswith(_RECALL) or c.endswith(_ENDS)}
    rows = read_csv(path, dtype=text, keep_default_na=False, na_values=empty)
    if "adapted" not in rows and "seed" in rows:  # written by an earlier version
        rows.insert(rows.columns.get_loc("seed") + 1, "adapted", "no")
    return rows


def merge_results(path: str | Path, rows: pd.DataFrame) -> None:
    """Add the rows of a run to a results file, replacing its earlier rows.

    Arguments
    ---------
    path : str | Path
        The file to update; it is created if missing.
    rows : pd.DataFrame
        From :func:`result_rows`. Rows of the same experiment and seed are replaced;
        the file is sorted. An experiment on a subset of the classes has empty recalls
        for the others. A column ``published``, which both may lack, is empty for runs
        that are not published.

    Raises
    ------
    ValueError
        If the file belongs to another corpus or has other columns.
    """
    if Path(path).exists():
        former = read_results(path)
        former, rows = _with_published(former, rows)
        columns = _common_columns(path, former, rows)
        former, rows = former.reindex(columns=columns), rows.reindex(columns=columns)
        run = ["experiment", "seed"]
        replaced = former.set_index(run).index.isin(rows.set_index(run).index)
        rows = pd.concat([former[~replaced], rows], ignore_index=True)
    order = rows["fold"].map(lambda fold: 10**9 if fold == "pooled" else int(fold))
    rows = rows.assign(order=order).sort_values(["experiment", "seed", "order"])
    write_results(path, rows.drop(columns="order"))


def _with_published(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """Move the column ``published`` to the end, if one of the tables has it."""
    if not any(PUBLISHED in table for table in tables):
        return list(tables)
    found = []
    for table in tables:
        ids = table[PUBLISHED] if PUBLISHED in table else ""
        others = table.drop(columns=PUBLISHED, errors="ignore")
        found.append(others.assign(**{PUBLISHED: ids}))
    return found


def _common_columns(
    path: str | Path, former: pd.DataFrame, rows: pd.DataFrame
) -> list[str]:
    """Return the columns of the table with more classes, after checking both."""
    fewer, more = sorted((list(rows), list(former)), key=len)
    other = [c for c in more if c not in fewer and not c.startswith(_RECALL)]
    if other or not set(fewer) <= set(more):
        raise ValueError(
            f"{path} has the columns {list(former)}, expected {list(rows)}. Does it "
            f"belong to another corpus?"
        )
    if {*former["corpus"]} != {*rows["corpus"]}:
        raise ValueError(
            f"{path} has results of {sorted({*former['corpus']})}, expected "
            f"{sorted({*rows['corpus']})}."
        )
    return more
