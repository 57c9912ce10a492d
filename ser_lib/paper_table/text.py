"""A table of experiments as text, in Markdown and for the console.

Both show the same three tables: ours beside the paper's, the pooled figures with their
intervals, and the claims. What is missing is shown as missing.
"""

from collections.abc import Sequence

import pandas as pd

from ser_lib.paper_table.claims import CAVEAT
from ser_lib.utils.text_tables import markdown_table, plain_table, with_interval

METRICS = ("WA", "UA")
EXPLANATION = (
    "In percent. Mean and sd are over folds. Pooled figures are of the predictions of "
    "all folds together. The difference is our mean minus the paper's figure."
)


def console_text(
    title: str, notes: Sequence[str], figures: pd.DataFrame, claims: pd.DataFrame
) -> str:
    """Write a table for the console.

    Arguments
    ---------
    title : str
        The heading.
    notes : Sequence[str]
        What a reader must know, for instance that the speech is synthetic.
    figures : pd.DataFrame
        As made by ``experiment_table.scores_table``.
    claims : pd.DataFrame
        As made by ``claims.judge_claims``.

    Returns
    -------
    str
        Aligned text.
    """
    tables = [_main_part(figures), _pooled_part(figures), _claims_part(claims, figures)]
    return "\n\n".join(
        [
            title,
            *(f"Note: {note}" for note in notes),
            *(plain_table(table) for table in tables if len(table)),
            f"{EXPLANATION} {CAVEAT}",
        ]
    )


def markdown_text(
    title: str, notes: Sequence[str], figures: pd.DataFrame, claims: pd.DataFrame
) -> str:
    """Write a table in Markdown, with the paper's description of each row.

    Arguments
    ---------
    title : str
        The heading.
    notes : Sequence[str]
        What a reader must know, for instance that the speech is synthetic.
    figures : pd.DataFrame
        As made by ``experiment_table.scores_table``.
    claims : pd.DataFrame
        As made by ``claims.judge_claims``.

    Returns
    -------
    str
        Without a last line break.
    """
    names = list(figures.columns)
    described_by = names[names.index("experiment") + 1 : names.index("folds")]
    tables = {
        "## Ours and the paper's": _main_part(figures, described_by),
        "## Pooled over folds": _pooled_part(figures),
        "## Claims": _claims_part(claims, figures),
    }
    parts = [f"# {title}", *("> " + note.replace("\n", "\n> ") for note in notes)]
    for heading, table in tables.items():
        if len(table):
            parts += [heading, markdown_table(table)]
    return "\n\n".join([*parts, f"{EXPLANATION} {CAVEAT}"])


def _main_part(figures: pd.DataFrame, described_by: Sequence[str] = ()) -> pd.DataFrame:
    """Ours and the paper's, as text."""
    part = figures.set_index(figures["row"].astype(str))
    shown = part[["experiment", *described_by]]
    shown = shown.rename(columns=lambda name: name.replace("_", " "))
    shown["folds"] = [
        "missing" if not n else str(n) if n == total else f"{n} of {total} folds"
        for n, total in zip(part["folds"], part["of_folds"], strict=True)
    ]
    for m in METRICS:
        pairs = zip(part[f"{m}_mean"], part[f"{m}_sd"], strict=True)
        shown[f"{m} mean ± sd"] = [_mean_and_sd(mean, sd) for mean, sd in pairs]
    for m in METRICS:
        shown[f"paper {m}"] = part[f"paper_{m}"]
    for m in METRICS:
        shown[f"{m} difference"] = part[f"difference_{m}"].map(_signed)
    return shown


def _mean_and_sd(mean: float, sd: float) -> str:
    if pd.isna(mean):
        return ""
    return f"{mean:.2f}" if pd.isna(sd) else f"{mean:.2f} ± {sd:.2f}"


def _signed(value: float) -> str:
    return "" if pd.isna(value) else f"{value:+.2f}"


def _pooled_part(figures: pd.DataFrame) -> pd.DataFrame:
    part = figures.set_index(figures["row"].astype(str))
    part = part[part["folds"] > 0]
    shown = part[["experiment", "n"]].copy()
    for m in METRICS:
        texts = [with_interval(row, m) for _, row in part.iterrows()]
        shown[f"pooled {m} [95 % interval]"] = texts
    return shown


def _claims_part(claims: pd.DataFrame, figures: pd.DataFrame) -> pd.DataFrame:
    """Claims with the numbers of their rows, as text."""
    rows = figures.set_index("experiment")
    shown = []
    for _, claim in claims.iterrows():
        better, worse = rows.loc[claim["better"]], rows.loc[claim["worse"]]
        difference, p = "", ""
        if claim["folds"]:
            ends = f"[{_signed(claim['low'])}, {_signed(claim['high'])}]"
            difference = f"{_signed(claim['UA_difference'])} {ends}"
            p = f"{claim['p_value']:.4f}"
        shown.append(
            {
                "claim": claim["claim"],
                "rows": f"{better['row']} over {worse['row']}",
                "folds": f"{claim['folds']} of {better['of_folds']}",
                "UA difference [95 % interval]": difference,
                "p": p,
                "paper": _signed(better["paper_UA"] - worse["paper_UA"]),
                "verdict": claim["verdict"],
            }
        )
    return pd.DataFrame(shown).set_index("claim") if shown else pd.DataFrame()
