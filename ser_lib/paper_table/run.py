"""A table of experiments: train what is missing, then print ours beside the paper's.

``run_table`` is the whole of it: the rows and their settings (``experiment_rows.py``),
a plan of what is missing (``experiment_plan.py``), the runs, each as ``train.py`` does
it (``experiment.py``), and the table of the folds that are there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.run_opts import RunOptions

from ser_lib.evaluation import FoldResult, collect, result_rows
from ser_lib.experiment import report, run_folds
from ser_lib.fold_run import FoldRun
from ser_lib.folds import fold_digest, write_folds
from ser_lib.paper_table.claims import judge_claims
from ser_lib.paper_table.figure import table_figure
from ser_lib.paper_table.plan import (
    RowPlan,
    check_disk,
    disk_text,
    make_plan,
    plan_table,
)
from ser_lib.paper_table.rows import read_rows
from ser_lib.paper_table.text import METRICS, console_text, markdown_text
from ser_lib.settings import Settings
from ser_lib.training import result_key
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import plain_table

_PER_METRIC = ("{0}_mean", "{0}_sd", "{0}", "{0}_low", "{0}_high")
_FIGURES = ["n", *(name.format(metric) for metric in METRICS for name in _PER_METRIC)]


def run_table(path: str | Path, overrides: str, run_opts: RunOptions) -> None:
    """Train what a table lacks, then write and print the table.

    Arguments
    ---------
    path : str | Path
        The table file, such as ``recipes/IEMOCAP/table1.yaml``.
    overrides : str
        YAML text from the command line, see ``experiment_rows.read_rows``.
    run_opts : RunOptions
        SpeechBrain's run options.
    """
    table, rows = read_rows(path, overrides)
    plans = make_plan(rows, run_opts)
    if if_main_process():
        print(f"\n{plain_table(plan_table(plans))}\n\n{disk_text(plans)}\n", flush=True)
    if not table["plan_only"]:
        check_disk(plans)
        run_missing(plans, run_opts)
    if if_main_process():
        found = {p.row.experiment: finished_results(p, run_opts) for p in plans}
        print(write_table(table, plans, found))


def run_missing(plans: Sequence[RowPlan], run_opts: RunOptions) -> None:
    """Run every experiment that has folds to do, as ``train.py`` does.

    Arguments
    ---------
    plans : Sequence[RowPlan]
        The rows.
    run_opts : RunOptions
        Run options.
    """
    for number, plan in enumerate(plans, start=1):
        settings = plan.row.settings
        if if_main_process():
            write_folds(plan.folds, settings["corpus"], settings["output_folder"])
        if not plan.to_do:
            continue
        run_folds(settings, plan.folds, run_opts, f"[{number}/{len(plans)}] ")
        if if_main_process():
            report(settings, run_opts)


def finished_results(plan: RowPlan, run_opts: RunOptions) -> list[FoldResult]:
    """Read the finished folds of a row, whoever computed them.

    Arguments
    ---------
    plan : RowPlan
        The row.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    list[FoldResult]
        In the order of the folds; perhaps none.
    """
    settings = plan.row.settings
    if not any(FoldRun(settings, f, run_opts).is_tested for f in plan.folds):
        return []
    labels, key = settings["corpus"]["labels"], result_key(settings, run_opts)
    digests = {fold.number: fold_digest(fold) for fold in plan.folds}
    return collect(settings["output_folder"], labels, key, digests)


def write_table(
    table: Settings,
    plans: Sequence[RowPlan],
    results: Mapping[str, Sequence[FoldResult]],
) -> str:
    """Write the table, its claims and its figure; give them as text.

    Arguments
    ---------
    table : Settings
        The table file: ``title``, ``claims``.
    plans : Sequence[RowPlan]
        The rows.
    results : Mapping[str, Sequence[FoldResult]]
        The finished folds of each experiment.

    Returns
    -------
    str
        For the console.
    """
    figures = scores_table(plans, results)
    claims = judge_claims(table["claims"], results)
    settings = [plan.row.settings for plan in plans]
    seeds = ", ".join(map(str, dict.fromkeys(s["seed"] for s in settings)))
    title = f"{table['title']}: {settings[0]['corpus']['name']}, seed {seeds}"
    notes = list(dict.fromkeys(s["note"].strip() for s in settings if s["note"]))
    name = table.path.stem
    folder = Path(settings[0]["results_folder"]) / name
    _write_csv(folder / f"{name}.csv", figures)
    _write_csv(folder / "claims.csv", claims)
    with atomic_path(folder / f"{name}.png") as unfinished:
        table_figure(figures, title, " ".join(notes)).savefig(unfinished)
    text = markdown_text(title, notes, figures, claims)
    text += f"\n\n![UA of each row, ours and the paper's]({name}.png)\n"
    with atomic_path(folder / f"{name}.md") as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    text = console_text(title, notes, figures, claims)
    return f"{text}\n\nThe table is in {folder / name}.md"


def scores_table(
    plans: Sequence[RowPlan], results: Mapping[str, Sequence[FoldResult]]
) -> pd.DataFrame:
    """Make the rows of the table's CSV file.

    Arguments
    ---------
    plans : Sequence[RowPlan]
        The rows.
    results : Mapping[str, Sequence[FoldResult]]
        The finished folds of each experiment.

    Returns
    -------
    pd.DataFrame
        ``row``, ``experiment``, the columns of the table file, ``folds`` that are
        finished, ``of_folds``, ``n`` utterances; for WA and UA, in percent, mean and
        sd over folds, the pooled figure and its 95 % interval; the paper's figures,
        and the difference. What is missing is NaN.
    """
    lines = []
    for plan in plans:
        row, found = plan.row, results[plan.row.experiment]
        line = {"row": row.number, "experiment": row.experiment}
        line |= {name: _yes_or_no(value) for name, value in row.columns.items()}
        line |= {"folds": len(found), "of_folds": len(plan.folds)}
        line |= _scores(found)
        paper = row.settings["paper"] or {}
        line |= {f"paper_{m}": float(paper.get(m, "nan")) for m in METRICS}
        for m in METRICS:
            line[f"difference_{m}"] = round(line[f"{m}_mean"] - line[f"paper_{m}"], 2)
        lines.append(line)
    return pd.DataFrame(lines).astype({"n": "Int64"})


def _yes_or_no(value: str | bool) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else value


def _scores(found: Sequence[FoldResult]) -> dict[str, float]:
    """Mean and sd of the rounded rows of the report, as a reader recomputes them."""
    if not found:
        return dict.fromkeys(_FIGURES, float("nan"))
    rows = result_rows(found)
    folds, pooled = rows[rows["fold"] != "pooled"], rows.iloc[-1]
    figures = {}
    for metric in METRICS:
        figures[f"{metric}_mean"] = round(folds[metric].mean(), 2)
        figures[f"{metric}_sd"] = round(folds[metric].std(ddof=1), 2)
    return {name: figures.get(name, pooled.get(name)) for name in _FIGURES}


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as unfinished:
        table.to_csv(unfinished, index=False, lineterminator="\n")
