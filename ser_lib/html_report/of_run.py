"""The page of a run: scores, folds, confusion, curves, calibration, errors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_lib.corpora import read_manifest
from ser_lib.evaluation import (
    FoldResult,
    calibrated_answers,
    collect,
    confusion_matrix,
    corpus_table,
    coverage_curve,
    fold_table,
    left_out_folds,
    pool,
    read_report_info,
    reliability,
    result_rows,
    task_rows,
    task_table,
)
from ser_lib.html_report.charts import Line, line_chart
from ser_lib.html_report.content import Cell, Figure, Page, Section, Table, table_of
from ser_lib.html_report.players import NONE, Players
from ser_lib.settings import Settings
from ser_lib.utils.text_tables import with_interval

_MOST_ERRORS = 4000


def run_page(folder: Path, players: Players) -> Page:
    """Collect the page of a run.

    Arguments
    ---------
    folder : Path
        Its output folder, with a report.

    Raises
    ------
    FileNotFoundError
        If no fold is finished.
    ValueError
        If a file of the run is damaged.
    """
    info = read_report_info(folder)
    results = collect(folder, info["labels"], info["settings_key"])
    if not results:
        raise FileNotFoundError(f"{folder} has no finished fold to report.")
    rows, pooled = result_rows(results), pool(results)
    run = results[0]
    left_out = left_out_folds(folder, info["settings_key"])
    whole = rows[rows["fold"] == "pooled"].iloc[0]
    return Page(
        title=info["title"],
        subtitle=f"Seed {run.seed}, settings {run.settings_key}. {len(results)} folds, "
        f"{len(pooled)} test utterances, {pooled['speaker'].nunique()} speakers.",
        highlights=[_highlight(whole, metric) for metric in ("UA", "WA")],
        notes=[
            *([info["note"]] if info["note"] else []),
            *(f"Not in this report: {name}, {why}." for name, why in left_out.items()),
        ],
        sections=[
            _scores(results, rows, pooled),
            _confusion(pooled, info["labels"]),
            _training(results),
            *_calibration(results),
            _errors(folder, pooled, players),
        ],
    )


def _highlight(pooled: pd.Series, metric: str) -> tuple[str, str, str]:
    value, _, interval = with_interval(pooled, metric).partition(" ")
    return metric, f"{value} %", interval


def _scores(
    results: Sequence[FoldResult], rows: pd.DataFrame, pooled: pd.DataFrame
) -> Section:
    text = (
        "Percent. WA is the share of correct utterances, UA the mean recall of the "
        "classes. Pooled scores are of all folds together; their 95 % intervals come "
        "from drawing test speakers with replacement, and do not reflect the seed of "
        "the training. The columns named after classes are their recalls."
    )
    folds = fold_table(rows).rename(columns=lambda name: name.removeprefix("recall "))
    tables = [table_of(folds, "Scores of each fold")]
    if "corpus" in pooled:
        by_corpus = corpus_table(pooled, list(results[0].scores.recalls))
        tables.append(table_of(by_corpus, "Scores of each corpus"))
    further = task_rows(results)
    if not further.empty:
        tables.append(table_of(task_table(further), "Other tasks"))
    return Section("Scores", [text], tables=tables)


def _confusion(pooled: pd.DataFrame, labels: Sequence[str]) -> Section:
    counts = confusion_matrix(pooled, labels)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = []
    for label, own, parts in zip(labels, counts, shares, strict=True):
        cells = [
            Cell(
                f"{100 * share:.1f}",
                float(share),
                shade=float(share),
                title=f"{n} of {own.sum()} {label} were taken for {predicted}",
            )
            for predicted, n, share in zip(labels, own, parts, strict=True)
        ]
        total = int(own.sum())
        rows.append([Cell(label, label), *cells, Cell(str(total), float(total))])
    caption = "Percent of each true class (rows) that was taken for each (columns)"
    table = Table(caption, ["true", *labels, "n"], rows, is_sortable=False)
    return Section("Confusion", tables=[table])


def _training(results: Sequence[FoldResult]) -> Section:
    last = max(result.history["epoch"].max() for result in results)
    figures = []
    for column, name in (
        ("valid_accuracy", "validation accuracy"),
        ("train_loss", "training loss"),
    ):
        lines = [
            Line(f"fold {r.fold}", r.history["epoch"], r.history[column])
            for r in results
        ]
        highest = 1.0
        if column == "train_loss":
            highest = float(max(r.history[column].max() for r in results))
        ranges = (1, float(last)), (0.0, highest)
        svg = line_chart(lines, f"{name} of each fold", ("epoch", name), *ranges)
        figures.append(Figure(svg, f"The {name} of each fold"))
    averaged = pd.DataFrame(
        {"averaged epochs": [", ".join(map(str, r.averaged_epochs)) for r in results]},
        index=pd.Index([str(r.fold) for r in results], name="fold"),
    )
    return Section("Training", [], figures, [table_of(averaged, "Averaged epochs")])


def _calibration(results: Sequence[FoldResult]) -> list[Section]:
    answers = calibrated_answers(results)
    if answers.empty:
        return []
    lines = []
    for column in ("before", "after"):
        bins, error = reliability(answers[column], answers["is_correct"])
        name = f"{column} calibration, error {100 * error:.1f} %"
        lines.append(Line(name, bins["confidence"], bins["accuracy"]))
    lines.append(Line("as sure as right", [0, 1], [0, 1], is_guide=True))
    ends = (0, 1), (0, 1)
    reliable = line_chart(lines, "Reliability", ("confidence", "accuracy"), *ends)
    curve = coverage_curve(answers["after"].to_numpy(), answers["is_correct"])
    few = curve.iloc[:: max(len(curve) // 200, 1)]
    line = Line("accuracy", few["coverage"], few["accuracy"])
    axes = "share answered, the surest first", "their accuracy"
    covered = line_chart([line], "Accuracy by coverage", axes, *ends)
    figures = [
        Figure(reliable, "How often the model is right, by how sure it is"),
        Figure(covered, "Accuracy if only the surest are answered"),
    ]
    return [Section("Sureness", figures=figures)]


def _errors(folder: Path, pooled: pd.DataFrame, players: Players) -> Section:
    wrong = pooled[pooled["label"] != pooled["prediction"]]
    columns = [name for name in pooled if name.startswith("p_")]
    wrong = wrong.assign(probability=wrong[columns].max(axis=1))
    wrong = wrong.sort_values("probability", ascending=False)
    texts = [f"{len(wrong)} of {len(pooled)} test utterances were classified wrongly."]
    if len(wrong) > _MOST_ERRORS:
        wrong = wrong[:_MOST_ERRORS]
        texts.append(f"The {_MOST_ERRORS} surest of them are listed.")
    paths = _paths(folder)
    headings = ["utterance", "speaker", "true", "predicted", "probability"]
    rows = [
        [
            *(Cell(x, x) for x in (row.id, row.speaker, row.label, row.prediction)),
            Cell(f"{row.probability:.3f}", float(row.probability)),
            *_player(players, paths.get(row.id, "")),
        ]
        for row in wrong.itertuples()
    ]
    if players.choice != NONE:
        headings.append("listen")
        texts.append(f"Recordings: {players.sentence}.")
    table = Table("Wrong predictions, the surest first", headings, rows, (2, 3))
    return Section("Wrong predictions", texts, tables=[table])


def _player(players: Players, path: str) -> list[Cell]:
    return [] if players.choice == NONE else [Cell("", "", players.player(path))]


def _paths(folder: Path) -> dict[str, str]:
    """Return the audio file of each test utterance."""
    manifests = sorted(folder.glob("fold_*/test.csv"))
    return {u.id: u.path for path in manifests for u in read_manifest(path)}


def data_folder_of(folder: Path) -> Path:
    """Return the data folder of a run, as its settings name it."""
    path = folder / "hyperparams.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no hyperparams.yaml, which names the recordings. Give "
            f"--data_folder DIR, or --audio none."
        )
    return Path(Settings.from_file(path)["data_folder"])


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run with a report."""
    return (folder / "report" / "report.json").is_file()
