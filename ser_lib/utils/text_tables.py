"""Tables: read from files, and written as text for Markdown and for the console."""

from pathlib import Path

import pandas as pd


def read_csv(path: str | Path, **options: object) -> pd.DataFrame:
    """Read a CSV file as pandas does; one that is damaged is named.

    Arguments
    ---------
    path : str | Path
        The file.
    **options : object
        Those of ``pandas.read_csv``.

    Returns
    -------
    pd.DataFrame
        The table.

    Raises
    ------
    ValueError
        If the file is empty, or not a table in UTF-8.
    """
    try:
        return pd.read_csv(path, **options)
    except ValueError as error:  # those of pandas do not name the file
        reason = str(error).strip().rstrip(".")
        raise ValueError(f"{path} cannot be read as a table: {reason}.") from error


def markdown_table(table: pd.DataFrame) -> str:
    """Write a table in Markdown; the index is the first column.

    Arguments
    ---------
    table : pd.DataFrame
        Fractions get two decimals, a missing value an empty cell.

    Returns
    -------
    str
        Lines without a last line break.

    Example
    -------
    >>> table = pd.DataFrame({"n": [4], "UA": [62.5]}, index=["mean"])
    >>> print(markdown_table(table.rename_axis("fold")))
    | fold | n | UA |
    |:---|---:|---:|
    | mean | 4 | 62.50 |
    """
    texts = _as_texts(table)
    rows = [[texts.index.name or "", *texts.columns]]
    rows += [[name, *row] for name, row in zip(texts.index, texts.values, strict=True)]
    lines = [" | ".join(str(cell).replace("|", r"\|") for cell in row) for row in rows]
    lines = [f"| {line} |" for line in lines]
    return "\n".join([lines[0], "|:---" + "|---:" * texts.shape[1] + "|", *lines[1:]])


def plain_table(table: pd.DataFrame) -> str:
    """Write a table as aligned text for the console.

    Arguments
    ---------
    table : pd.DataFrame
        As made by ``report.fold_table``; headings ``recall <label>`` are shortened
        to the label.

    Returns
    -------
    str
        Lines without a last line break.

    Example
    -------
    >>> table = pd.DataFrame({"n": [4], "UA": [62.5]}, index=["mean"])
    >>> print(plain_table(table.rename_axis("fold")))
    fold n    UA
    mean 4 62.50
    """
    texts = _as_texts(table).reset_index()
    texts.columns = [str(name).removeprefix("recall ") for name in texts.columns]
    return texts.to_string(index=False)


def mean_and_sd(percents: pd.Series) -> str:
    """Write mean and sample standard deviation over folds.

    Arguments
    ---------
    percents : pd.Series
        One value a fold; a single fold has no standard deviation.

    Returns
    -------
    str
        Two decimals each.

    Example
    -------
    >>> mean_and_sd(pd.Series([70.0, 72.0])), mean_and_sd(pd.Series([70.0]))
    ('71.00 ± 1.41', '70.00')
    """
    mean = f"{percents.mean():.2f}"
    return mean if len(percents) < 2 else f"{mean} ± {percents.std(ddof=1):.2f}"


def with_interval(row: pd.Series, metric: str) -> str:
    """Write a pooled figure with its interval.

    Arguments
    ---------
    row : pd.Series
        The row ``pooled`` of ``results.csv``.
    metric : str
        ``WA`` or ``UA``.

    Returns
    -------
    str
        The figure alone where there is no interval (fewer than two speakers).

    Example
    -------
    >>> with_interval(pd.Series({"UA": 71.0, "UA_low": 69.5, "UA_high": 73.0}), "UA")
    '71.00 [69.50, 73.00]'
    """
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    figure = f"{row[metric]:.2f}"
    return figure if pd.isna(low) else f"{figure} [{low:.2f}, {high:.2f}]"


def percent(share: float | None) -> str:
    """Write a share as percent.

    Arguments
    ---------
    share : float | None
        From 0 to 1; None if it was not measured.

    Returns
    -------
    str
        Two decimals.

    Example
    -------
    >>> percent(0.75), percent(None)
    ('75.00', 'not measured')
    """
    return "not measured" if share is None else f"{100 * share:.2f}"


def _as_texts(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(object).map(_as_text)


def _as_text(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
