"""Tables as text: CSV files, Markdown and the console."""

from pathlib import Path

import pandas as pd


def read_csv(path: str | Path, **options: object) -> pd.DataFrame:
    """Read a CSV file with pandas, whose errors do not name the file; ours do.

    Arguments
    ---------
    **options : object
        Passed to ``pandas.read_csv``.

    Raises
    ------
    ValueError
        If the file is empty, or not a table in UTF-8.
    """
    try:
        return pd.read_csv(path, **options)
    except ValueError as error:
        reason = str(error).strip().rstrip(".")
        raise ValueError(f"{path} cannot be read as a table: {reason}.") from error


def markdown_table(table: pd.DataFrame) -> str:
    """Format a table in Markdown; the index is the first column.

    Arguments
    ---------
    table : pd.DataFrame
        Floats get two decimals, missing values an empty cell.

    Returns
    -------
    str
        Without a final line break.

    Example
    -------
    >>> table = pd.DataFrame({"n": [4], "UA": [62.5]}, index=["mean"])
    >>> print(markdown_table(table.rename_axis("fold")))
    | fold | n | UA |
    |:---|---:|---:|
    | mean | 4 | 62.50 |
    """
    texts = as_texts(table)
    rows = [[texts.index.name or "", *texts.columns]]
    rows += [[name, *row] for name, row in zip(texts.index, texts.values, strict=True)]
    lines = [" | ".join(str(cell).replace("|", r"\|") for cell in row) for row in rows]
    lines = [f"| {line} |" for line in lines]
    return "\n".join([lines[0], "|:---" + "|---:" * texts.shape[1] + "|", *lines[1:]])


def plain_table(table: pd.DataFrame) -> str:
    """Format a table as aligned text; headings ``recall <label>`` become the label.

    Example
    -------
    >>> table = pd.DataFrame({"n": [4], "UA": [62.5]}, index=["mean"])
    >>> print(plain_table(table.rename_axis("fold")))
    fold n    UA
    mean 4 62.50
    """
    texts = as_texts(table).reset_index()
    texts.columns = [str(name).removeprefix("recall ") for name in texts.columns]
    return texts.to_string(index=False)


def mean_and_sd(percents: pd.Series) -> str:
    """Format mean and sample standard deviation over folds.

    A single fold has no standard deviation.

    Example
    -------
    >>> mean_and_sd(pd.Series([70.0, 72.0])), mean_and_sd(pd.Series([70.0]))
    ('71.00 ± 1.41', '70.00')
    """
    mean = f"{percents.mean():.2f}"
    return mean if len(percents) < 2 else f"{mean} ± {percents.std(ddof=1):.2f}"


def with_interval(row: pd.Series, metric: str) -> str:
    """Format a pooled score with its confidence interval.

    Arguments
    ---------
    row : pd.Series
        The row ``pooled`` of ``results.csv``. With fewer than two speakers, it has no
        interval.
    metric : str
        ``WA`` or ``UA``.

    Example
    -------
    >>> with_interval(pd.Series({"UA": 71.0, "UA_low": 69.5, "UA_high": 73.0}), "UA")
    '71.00 [69.50, 73.00]'
    """
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    score = f"{row[metric]:.2f}"
    return score if pd.isna(low) else f"{score} [{low:.2f}, {high:.2f}]"


def percent(share: float | None) -> str:
    """Format a share between 0 and 1 as percent, or None as ``not measured``.

    Example
    -------
    >>> percent(0.75), percent(None)
    ('75.00', 'not measured')
    """
    return "not measured" if share is None else f"{100 * share:.2f}"


def as_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text: floats with two decimals, missing values empty."""
    return table.astype(object).map(_as_text)


def _as_text(value: object) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
