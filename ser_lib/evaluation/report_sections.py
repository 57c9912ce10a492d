"""The sections of a report about the run, its scores and its folds, in Markdown."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ser_lib.evaluation.fold_results import FoldResult, pool
from ser_lib.evaluation.results_csv import scores_by
from ser_lib.utils.text_tables import (
    markdown_table,
    mean_and_sd,
    percent,
    with_interval,
)

_OTHERS = (
    "This includes the test speakers, so these scores must not be compared with those "
    "of runs that did not use their recordings."
)
# By the setting standardise_by.
ADAPTED = {
    "speaker": "> Adapted: the frames of each speaker were standardised by all "
    f"recordings of that speaker in the fold, without labels. {_OTHERS}",
    "corpus": "> Adapted: the frames of each corpus were standardised by all its "
    f"recordings, without labels. {_OTHERS}",
}


def fold_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Build the table of a run: one row per fold, then mean, sd and pooled.

    Arguments
    ---------
    rows : pd.DataFrame
        The rows of one run, see ``results_csv.result_rows``.

    Returns
    -------
    pd.DataFrame
        Rows ``1`` to ``K``, ``mean``, ``sd`` (of a sample, ddof = 1) and ``pooled``
        (all predictions together); columns ``n``, ``WA``, ``UA``, ``macro F1`` and
        ``recall <label>``, in percent with two decimals. Mean and sd are computed
        from the rounded rows, so that readers can reproduce them.
    """
    table = rows.set_index("fold")
    recalls = [name for name in table if name.startswith("recall_")]
    table = table[["n", "WA", "UA", "macro_F1", *recalls]]
    table = table.rename(columns=lambda name: name.replace("_", " ", 1))
    folds = table.drop(index="pooled")
    summary = pd.DataFrame({"mean": folds.mean(), "sd": folds.std(ddof=1)}).T.round(2)
    summary["n"] = pd.NA
    parts = [part.astype({"n": "Int64"}) for part in (folds, summary)]
    return pd.concat([*parts, table.loc[["pooled"]]]).rename_axis("fold")


def header_sections(
    results: Sequence[FoldResult], title: str, note: str, left_out: Mapping[str, str]
) -> list[str]:
    """Return the title, what was run, the note, and the folds that are not reported."""
    run, pooled = results[0], pool(results)
    folds = ", ".join(str(result.fold) for result in results)
    sections = [
        f"# {title}",
        f"Corpus {run.corpus}, experiment {run.experiment}, seed {run.seed}, settings "
        f"`{run.settings_key}`. Test data of folds {folds}: {len(pooled)} utterances "
        f"of {pooled['speaker'].nunique()} speakers.",
    ]
    if run.adapted != "no":
        sections.append(ADAPTED[run.adapted])
    if note:
        sections.append("\n".join(f"> {line}" for line in note.splitlines()))
    if left_out:
        sections.append(f"Not in this report{list_reasons(left_out)}")
    return sections


def list_reasons(left_out: Mapping[str, str]) -> str:
    """Format the result of ``left_out_folds`` as a Markdown list, or nothing."""
    if not left_out:
        return ""
    lines = [f"- {name}: {reason}" for name, reason in left_out.items()]
    return ":\n\n" + "\n".join(lines)


def score_sections(
    rows: pd.DataFrame, expected: Mapping[str, float | str]
) -> list[str]:
    """Return WA and UA of a run, next to the expected scores if there are any."""
    pooled = rows[rows["fold"] == "pooled"].iloc[0]
    folds = rows[rows["fold"] != "pooled"]
    table = pd.DataFrame(index=pd.Index(["WA", "UA"], name="percent"))
    table["mean ± sd over folds"] = [mean_and_sd(folds[m]) for m in table.index]
    table["pooled [95 % interval]"] = [with_interval(pooled, m) for m in table.index]
    text = (
        "WA is the share of correct utterances, UA the mean recall of the classes. "
        "Pooled scores are computed from the predictions of all folds together. Their "
        "intervals come from drawing test speakers with replacement; they do not "
        "reflect the seed of the training."
    )
    if expected:
        values = [expected.get(metric) for metric in table.index]
        table["expected"] = pd.Series(values, index=table.index, dtype=float)
        means = folds[list(table.index)].mean().round(2)
        table["mean minus expected"] = means - table["expected"]
        text += f" Expected scores: {expected.get('source', 'source not given')}."
    return ["## Scores", markdown_table(table), text]


def corpus_sections(results: Sequence[FoldResult]) -> list[str]:
    """Return the scores of each corpus, if several are joined; else nothing."""
    pooled = pool(results)
    if "corpus" not in pooled:
        return []
    table = corpus_table(pooled, list(results[0].scores.recalls))
    text = (
        "All folds together. A label that a corpus does not have is not in its UA. "
        "Intervals come from drawing the speakers of the corpus."
    )
    return ["## Scores by corpus", markdown_table(table), text]


def corpus_table(pooled: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Format :func:`results_csv.scores_by`: a row for each corpus."""
    rows = scores_by("corpus", pooled, labels).set_index("corpus")
    table = rows[["n", "labels"]].copy()
    for metric in ("WA", "UA"):
        column = [with_interval(row, metric) for _, row in rows.iterrows()]
        table[f"{metric} [95 % interval]"] = column
    return table


def fold_sections(results: Sequence[FoldResult], rows: pd.DataFrame) -> list[str]:
    """Return the table of folds, the figures, and the averaged epochs."""
    averaged = pd.DataFrame(
        {
            "averaged epochs": [
                ", ".join(map(str, r.averaged_epochs)) for r in results
            ],
            "their validation accuracy, percent": [
                ", ".join(map(percent, r.valid_accuracy)) for r in results
            ],
        },
        index=pd.Index([r.fold for r in results], name="fold"),
    )
    return [
        "## Folds",
        markdown_table(fold_table(rows)),
        "![Confusion matrix of all folds](confusion.png)",
        "## Training",
        "![Learning curves of each fold](learning_curves.png)",
        markdown_table(averaged),
    ]
