"""A table of experiments as text, in Markdown and for the console.

Both show our scores next to the paper's, below them the rows that the paper does not
have, pooled scores with their intervals, and the claims. Experiments without a finished
fold are shown as missing.
"""

from collections.abc import Sequence

import pandas as pd

from ser_lib.paper_table.claims import CAVEAT
from ser_lib.utils.text_tables import markdown_table, plain_table, with_interval

METRICS = ("WA", "UA")
OWN = "Rows of our own, which the paper does not have"
EXPLANATION = (
    "In percent. Mean and sd are over folds. Pooled scores are computed from the "
    "predictions of all folds together."
)


def console_text(
    title: str, notes: Sequence[str], scores: pd.DataFrame, claims: pd.DataFrame
) -> str:
    """Format the results of ``run.scores_table`` and ``judge_claims`` for the console.

    The notes are what a reader must know, for example that the speech is synthetic.
    """
    published, own = _published_and_own(scores)
    tables = [_main_part(published), _pooled_part(scores), _claims_part(claims, scores)]
    parts = [plain_table(table) for table in tables if len(table)]
    if len(own):
        parts.insert(1, f"{OWN}\n{plain_table(_main_part(own))}")
    return "\n\n".join(
        [
            title,
            *(f"Note: {note}" for note in notes),
            *parts,
            f"{_explanation(scores)} {CAVEAT}",
        ]
    )


def markdown_text(
    title: str, notes: Sequence[str], scores: pd.DataFrame, claims: pd.DataFrame
) -> str:
    """Format the same in Markdown, with the paper's description of each row."""
    names = list(scores.columns)
    described_by = names[names.index("experiment") + 1 : names.index("folds")]
    published, own = _published_and_own(scores)
    tables = {
        _heading(scores): _main_part(published, described_by),
        f"## {OWN}": _main_part(own, described_by) if len(own) else own,
        "## Pooled over folds": _pooled_part(scores),
        "## Claims": _claims_part(claims, scores),
    }
    parts = [f"# {title}", *("> " + note.replace("\n", "\n> ") for note in notes)]
    for heading, table in tables.items():
        if len(table):
            parts += [heading, markdown_table(table)]
    return "\n\n".join([*parts, f"{_explanation(scores)} {CAVEAT}"])


def is_own(scores: pd.DataFrame) -> pd.Series:
    """Return which rows are our own: the paper has scores, but not for them."""
    return scores["paper_UA"].isna() & has_paper(scores)


def _published_and_own(scores: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return scores[~is_own(scores)], scores[is_own(scores)]


def _main_part(scores: pd.DataFrame, described_by: Sequence[str] = ()) -> pd.DataFrame:
    """Return our scores and the paper's, as text."""
    part = scores.set_index(scores["row"].astype(str))
    shown = part[["experiment", *described_by]]
    shown = shown.rename(columns=lambda name: name.replace("_", " "))
    shown["folds"] = [
        "missing" if not n else str(n) if n == total else f"{n} of {total} folds"
        for n, total in zip(part["folds"], part["of_folds"], strict=True)
    ]
    for m in METRICS:
        pairs = zip(part[f"{m}_mean"], part[f"{m}_sd"], strict=True)
        shown[f"{m} mean ± sd"] = [_mean_and_sd(mean, sd) for mean, sd in pairs]
    if not has_paper(scores):
        return shown
    for m in METRICS:
        shown[f"paper {m}"] = part[f"paper_{m}"]
    for m in METRICS:
        shown[f"{m} difference"] = part[f"difference_{m}"].map(_signed)
    return shown


def has_paper(scores: pd.DataFrame) -> bool:
    """Return whether the paper has a score for some row."""
    return bool(scores["paper_UA"].notna().any())


def _heading(scores: pd.DataFrame) -> str:
    return "## Ours and the paper's" if has_paper(scores) else "## Scores"


def _explanation(scores: pd.DataFrame) -> str:
    if not has_paper(scores):
        return EXPLANATION
    return f"{EXPLANATION} The difference is our mean minus the paper's score."


def _mean_and_sd(mean: float, sd: float) -> str:
    if pd.isna(mean):
        return ""
    return f"{mean:.2f}" if pd.isna(sd) else f"{mean:.2f} ± {sd:.2f}"


def _signed(value: float) -> str:
    return "" if pd.isna(value) else f"{value:+.2f}"


def _pooled_part(scores: pd.DataFrame) -> pd.DataFrame:
    part = scores.set_index(scores["row"].astype(str))
    part = part[part["folds"] > 0]
    shown = part[["experiment", "n"]].copy()
    for m in METRICS:
        texts = [with_interval(row, m) for _, row in part.iterrows()]
        shown[f"pooled {m} [95 % interval]"] = texts
    return shown


def _claims_part(claims: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return the claims with the numbers of their rows, as text."""
    rows, compared = scores.set_index("experiment"), has_paper(scores)
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
    if not shown:
        return pd.DataFrame()
    table = pd.DataFrame(shown).set_index("claim")
    return table if compared else table.drop(columns="paper")
