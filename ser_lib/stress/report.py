"""The report of a stress test: scores by condition and group, and where it fails."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ser_lib.evaluation import (
    compute_scores,
    group_difference,
    paired_difference,
    scores_by,
)
from ser_lib.stress.conditions import CLEAN, MIN_VOICES, conditions_for
from ser_lib.stress.figure import stress_figure
from ser_lib.stress.table import Table
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import markdown_table, plain_table, with_interval

_HOW = (
    "UA is the mean recall of the classes, WA the share of correct utterances, in "
    "percent; change is the UA minus that of the same utterances when clean. The 95 % "
    "intervals come from drawing speakers with replacement; with few speakers they are "
    "too narrow. Of twenty such intervals, one misses the true value on average."
)
_ENDS = ("", "_low", "_high")
COLUMNS = [
    *("condition", "group", "value", "n", "speakers", "labels"),
    *(f"{name}{end}" for name in ("WA", "UA", "change", "gap") for end in _ENDS),
]


def score_rows(
    predictions: Mapping[str, pd.DataFrame], groups: pd.DataFrame, labels: Sequence[str]
) -> pd.DataFrame:
    """Compute the rows of ``stress.csv``.

    Arguments
    ---------
    predictions : Mapping[str, pd.DataFrame]
        Title of the condition -> its predictions; the first is clean.
    groups : pd.DataFrame
        From ``Table``.
    labels : Sequence[str]
        The labels of the model. UA is over those that the utterances have.

    Returns
    -------
    pd.DataFrame
        A row for each condition, and for each group in it: ``condition``; ``group`` (a
        column) and ``value``, empty for all utterances; ``n``, ``speakers``,
        ``labels``; ``WA`` and ``UA``; ``change``, UA minus UA when clean; ``gap``, UA
        minus UA of the group of this column with the highest. Scores and differences
        are in percent, with the ends of their 95 % intervals.
    """
    clean = predictions[CLEAN.title]
    rows = []
    for title, own in predictions.items():
        rows += _rows(own, clean, pd.Series("", own["id"]), labels, title)
        for column in groups:
            rows += _rows(own, clean, groups[column], labels, title)
    return pd.DataFrame(rows).round(2)


def _rows(
    own: pd.DataFrame,
    clean: pd.DataFrame,
    values: pd.Series,
    labels: Sequence[str],
    title: str,
) -> list[dict]:
    """Return the rows of one condition and one kind of group."""
    parts = dict(list(own.groupby(own["id"].map(values))))
    before = dict(list(clean.groupby(clean["id"].map(values))))
    scores = scores_by("value", own.assign(value=own["id"].map(values)), labels)
    best = scores["value"][scores["UA"].idxmax()]
    rows = []
    for score in scores.sort_values("value").to_dict("records"):
        part = parts[score["value"]]
        row = {"condition": title, "group": values.name or "", **score}
        row["speakers"] = part["speaker"].nunique()
        if title != CLEAN.title:
            change = paired_difference(part, before[score["value"]], "UA", labels)
            ends = change.difference, change.low, change.high
            row |= _percents("change", ends)
        if score["value"] != best:
            gap = group_difference(part, parts[best], "UA", labels)
            row |= _percents("gap", gap)
        rows.append(row)
    return rows


def _percents(name: str, shares: Sequence[float]) -> dict[str, float]:
    return {f"{name}{end}": 100 * x for end, x in zip(_ENDS, shares, strict=True)}


def failures(
    rows: pd.DataFrame, clean: pd.DataFrame, labels: Sequence[str], chance: float
) -> list[str]:
    """Say in words where a model fails: conditions, the weakest class, groups.

    Arguments
    ---------
    rows : pd.DataFrame
        From :func:`score_rows`.
    clean : pd.DataFrame
        The predictions when clean.
    labels : Sequence[str]
        The labels of the model.
    chance : float
        UA of a model that always gives one answer, in percent.

    Returns
    -------
    list[str]
        Sentences; a difference is told if its 95 % interval leaves out 0.
    """
    whole = rows[rows["group"] == ""]
    worse = whole[whole["change_high"] < 0].sort_values("change")
    found = []
    for _, row in pd.concat([whole.head(1), worse]).iterrows():
        is_chance = row["UA_low"] <= chance
        text = f"{row['condition']}: UA {row['UA']:.1f}"
        text += f", not measurably above chance ({chance:.1f})" * is_chance
        if row["condition"] != CLEAN.title:
            found.append(f"{text}, {_below(row, 'change')} below clean.")
        elif is_chance:
            found.append(f"{text}.")
    if worse.empty:
        found.append("No condition is measurably worse than clean.")
    found.append(_weakest_class(clean, labels))
    for group, own in rows[rows["group"] != ""].groupby("group", sort=False):
        found += _largest_gaps(group, own)
    return found


def _below(row: pd.Series, name: str) -> str:
    low, high = -row[f"{name}_high"], -row[f"{name}_low"]
    return f"{-row[name]:.1f} points [{low:.1f}, {high:.1f}]"


def _weakest_class(clean: pd.DataFrame, labels: Sequence[str]) -> str:
    absent = [label for label in labels if label not in set(clean["label"])]
    recalls = compute_scores(clean, labels, absent).recalls
    weakest = min(sorted(set(clean["label"])), key=recalls.get)
    wrong = clean.query("label == @weakest and prediction != @weakest")["prediction"]
    text = (
        f"Clean, {weakest} is the weakest class: {100 * recalls[weakest]:.1f} % of it"
    )
    heard = f", and most often {wrong.mode()[0]} is heard instead" if len(wrong) else ""
    return f"{text} is recognised{heard}."


def _largest_gaps(group: str, rows: pd.DataFrame) -> list[str]:
    """Tell the largest gap when clean, and the largest of all if that is another."""
    sure = rows[rows["gap_high"] < 0]
    when_clean = sure[sure["condition"] == CLEAN.title]
    found = pd.concat([when_clean.nsmallest(1, "gap"), sure.nsmallest(1, "gap")])
    return [
        f"{row['condition']}, {group} {row['value']}: UA {row['UA']:.1f}, "
        f"{_below(row, 'gap')} below {group} {_best(rows, row['condition'])}."
        for _, row in found.drop_duplicates().iterrows()
    ]


def _best(rows: pd.DataFrame, condition: str) -> str:
    return rows[(rows["condition"] == condition) & rows["gap"].isna()]["value"].iloc[0]


def condition_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Build the table of conditions, all utterances together."""
    whole = rows[rows["group"] == ""]
    names = ("UA", "WA", "change")
    texts = {f"{name} [95 % interval]": _texts(whole, name) for name in names}
    return pd.DataFrame(texts, index=pd.Index(whole["condition"]))


def _texts(rows: pd.DataFrame, name: str) -> list[str]:
    return [
        "" if pd.isna(row[name]) else with_interval(row, name)
        for _, row in rows.iterrows()
    ]


def group_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Build the table of one kind of group: UA of each, and the largest gap."""
    texts = rows.assign(text=_texts(rows, "UA"))
    table = texts.pivot(index="condition", columns="value", values="text")
    table = table.loc[rows["condition"].unique()].rename_axis(columns=None)
    largest = rows.loc[rows.groupby("condition", sort=False)["gap"].idxmin()]
    table["largest gap"] = [
        f"{with_interval(row, 'gap')}, {row['value']} minus "
        f"{_best(rows, row['condition'])}"
        for _, row in largest.iterrows()
    ]
    return table


def notes(table: Table, rows: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """Say what a reader must know about a table: what it lacks, what is left out."""
    utterances, found = table.utterances, [table.label_map] if table.label_map else []
    if table.members:
        found.append(
            "Each recording was classified by one member of the ensemble: that of the "
            "fold which the table names."
        )
    absent = [x for x in labels if x not in {u.label for u in utterances}]
    if absent:
        found.append(
            f"The table has no utterance of {', '.join(absent)}: UA is over the other "
            f"classes, but the model may give these answers, too."
        )
    if not any(c.needs_voices for c in conditions_for(utterances)):
        found.append(
            f"Babble is left out: it needs at least {MIN_VOICES} other speakers for "
            f"each utterance."
        )
    for x in (1, 2):
        n = sum(u.duration_s <= x for u in utterances)
        if n:
            found.append(
                f"{n} of {len(utterances)} recordings last at most {x} s: 'Middle "
                f"{x} s' leaves them whole."
            )
    return found + _notes_on_groups(rows[rows["condition"] == CLEAN.title])


def _notes_on_groups(clean: pd.DataFrame) -> list[str]:
    found = []
    most = clean["labels"].max()
    for _, row in clean[clean["group"] != ""].iterrows():
        name = f"{row['group']} {row['value']}"
        if row["speakers"] == 1:
            found.append(f"{name} has one speaker: it has no interval.")
        if row["labels"] < most:
            found.append(
                f"{name} has {row['labels']} of {most} classes: its UA is over these, "
                f"so its gaps are not between equals."
            )
    return found


def write_report(
    folder: Path,
    title: str,
    table: Table,
    predictions: Mapping[str, pd.DataFrame],
    labels: Sequence[str],
    command: str,
) -> str:
    """Write ``stress.csv``, ``stress.png`` and ``stress.md``.

    Arguments
    ---------
    folder : Path
        The output folder.
    title : str
        What was tested on what.
    table, predictions, labels
        See :func:`score_rows`.
    command : str
        The command line.

    Returns
    -------
    str
        The scores and failures for the console.
    """
    rows = score_rows(predictions, table.groups, labels).reindex(columns=COLUMNS)
    with atomic_path(folder / "stress.csv") as unfinished:
        rows.to_csv(unfinished, index=False, lineterminator="\n")
    clean = predictions[CLEAN.title]
    chance = 100 / clean["label"].nunique()
    whole = rows[rows["group"] == ""]
    with atomic_path(folder / "stress.png") as unfinished:
        stress_figure(whole, chance, title).savefig(unfinished)
    failed = [f"- {text}" for text in failures(rows, clean, labels, chance)]
    noted = notes(table, rows, labels)
    sections = [
        f"# {title}",
        f"```bash\n{command}\n```",
        f"{len(clean)} utterances of {clean['speaker'].nunique()} speakers. {_HOW}",
        *noted,
        "![UA in each condition with its 95 % interval](stress.png)",
        "## It fails where",
        "\n".join(failed),
        "## Conditions",
        markdown_table(condition_table(rows)),
    ]
    for group, own in rows[rows["group"] != ""].groupby("group", sort=False):
        text = "The two groups of a gap were chosen because they differ most."
        sections += [f"## UA by {group}", markdown_table(group_table(own)), text]
    with atomic_path(folder / "stress.md") as unfinished:
        unfinished.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    parts = [plain_table(condition_table(rows)), "It fails where", *failed, *noted]
    return "\n".join(parts)
