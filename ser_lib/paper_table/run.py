"""Train what a table of experiments lacks, then print our scores next to the paper's.

``run_table`` reads the rows and their settings (``rows.py``), plans what is missing
(``plan.py``), runs each experiment as ``train.py`` does (``experiment.py``), and writes
the table of all finished folds.
"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import protocol
from ser_lib.evaluation import FoldResult, collect, result_rows
from ser_lib.experiment import report, run_folds, start_run
from ser_lib.fold_run import FoldRun
from ser_lib.folds import fold_digest, write_folds
from ser_lib.paper_table.claims import judge_claims
from ser_lib.paper_table.engines import table_engine
from ser_lib.paper_table.figure import table_figure
from ser_lib.paper_table.plan import (
    RowPlan,
    check_disk,
    disk_text,
    make_plan,
    plan_table,
)
from ser_lib.paper_table.rows import find_table, read_rows
from ser_lib.paper_table.steps import Engine, Step, run_steps, steps_of
from ser_lib.paper_table.text import METRICS, console_text, markdown_text
from ser_lib.settings import Settings, join_processes, read_command_line
from ser_lib.training import result_key
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import plain_table

_PER_METRIC = ("{0}_mean", "{0}_sd", "{0}", "{0}_low", "{0}_high")
_SCORES = ["n", *(name.format(metric) for metric in METRICS for name in _PER_METRIC)]


def run_table_recipe(arguments: Sequence[str], description: str) -> None:
    """Run a table from the command line.

    Arguments
    ---------
    arguments : Sequence[str]
        A table file or the name of its corpus, then options, settings and run options.
    description : str
        Start of the help text.
    """
    name, run_opts, overrides = read_command_line(arguments, description)
    run_table(find_table(name), overrides, join_processes(run_opts))


def run_table(path: str | Path, overrides: str, run_opts: RunOptions) -> None:
    """Train what a table lacks, then write and print the table.

    Arguments
    ---------
    path : str | Path
        The table file, such as ``recipes/IEMOCAP/table1.yaml``.
    overrides : str
        YAML text from the command line, see ``rows.read_rows``.
    run_opts : RunOptions
        SpeechBrain's run options.
    """
    table, rows = read_rows(path, overrides)
    jobs_folder = Path(rows[0].settings["results_folder"]) / "jobs"
    with contextlib.ExitStack() as stack:
        engine = None
        if not table["plan_only"]:
            engine = stack.enter_context(table_engine(table, jobs_folder))
        plans = make_plan(rows, run_opts)
        if if_main_process():
            print(f"\n{plain_table(plan_table(plans))}\n\n{disk_text(plans)}\n")
            sys.stdout.flush()
        if not table["plan_only"]:
            check_disk(plans)
            run_missing(plans, run_opts, engine)
    if if_main_process():
        results = {p.row.experiment: finished_results(p, run_opts) for p in plans}
        print(write_table(table, plans, results))


def run_missing(
    plans: Sequence[RowPlan], run_opts: RunOptions, engine: Engine | None = None
) -> None:
    """Run the missing folds of every experiment, here or on an engine."""
    for plan in plans:
        settings = plan.row.settings
        if if_main_process():
            write_folds(plan.folds, protocol(settings), settings["output_folder"])
    if engine is None:
        _run_here(plans, run_opts)
    else:
        _run_on(engine, plans, run_opts)


def _run_on(engine: Engine, plans: Sequence[RowPlan], run_opts: RunOptions) -> None:
    """Run the missing folds as steps of an engine; report each finished experiment."""
    rows = {plan.row.experiment: plan for plan in plans if plan.to_do}
    to_do = {name: set(plan.to_do) for name, plan in rows.items()}
    for plan in rows.values():
        start_run(plan.row.settings, plan.folds)

    def then(step: Step) -> None:
        settings = step.settings
        folds = to_do[settings["experiment"]]
        if not step.upstream:
            folds.difference_update(fold.number for fold in step.folds)
            if not folds:
                report(settings, run_opts)

    run_steps(steps_of(plans, run_opts), engine, then)


def _run_here(plans: Sequence[RowPlan], run_opts: RunOptions) -> None:
    """Run the missing folds of every experiment, as ``train.py`` does."""
    for number, plan in enumerate(plans, start=1):
        settings = plan.row.settings
        if not plan.to_do:
            continue
        run_folds(settings, plan.folds, run_opts, f"[{number}/{len(plans)}] ")
        if if_main_process():
            report(settings, run_opts)


def finished_results(plan: RowPlan, run_opts: RunOptions) -> list[FoldResult]:
    """Read the finished folds of a row, including those of other runs."""
    settings = plan.row.settings
    if not any(FoldRun(settings, f, run_opts).is_tested for f in plan.folds):
        return []
    labels, key = settings["labels"], result_key(settings, run_opts)
    digests = {fold.number: fold_digest(fold) for fold in plan.folds}
    return collect(settings["output_folder"], labels, key, digests)


def write_table(
    table: Settings,
    plans: Sequence[RowPlan],
    results: Mapping[str, Sequence[FoldResult]],
) -> str:
    """Write the table, its claims and its figure; return them as text.

    Arguments
    ---------
    table : Settings
        The table file: ``title``, ``claims``.
    plans : Sequence[RowPlan]
        All rows of the table.
    results : Mapping[str, Sequence[FoldResult]]
        Experiment -> its finished folds.

    Returns
    -------
    str
        For the console.
    """
    scores = scores_table(plans, results)
    claims = judge_claims(table["claims"], results)
    settings = [plan.row.settings for plan in plans]
    seeds = ", ".join(map(str, dict.fromkeys(s["seed"] for s in settings)))
    title = f"{table['title']}: {settings[0]['corpus']['name']}, seed {seeds}"
    notes = list(dict.fromkeys(s["note"].strip() for s in settings if s["note"]))
    name = table.path.stem
    folder = Path(settings[0]["results_folder"]) / name
    _write_csv(folder / f"{name}.csv", scores)
    _write_csv(folder / "claims.csv", claims)
    with atomic_path(folder / f"{name}.png") as unfinished:
        table_figure(scores, title, " ".join(notes)).savefig(unfinished)
    text = markdown_text(title, notes, scores, claims)
    text += f"\n\n![UA of each row with its interval]({name}.png)\n"
    with atomic_path(folder / f"{name}.md") as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    text = console_text(title, notes, scores, claims)
    return f"{text}\n\nThe table is in {folder / name}.md"


def scores_table(
    plans: Sequence[RowPlan], results: Mapping[str, Sequence[FoldResult]]
) -> pd.DataFrame:
    """Build the rows of the table's CSV file.

    Returns
    -------
    pd.DataFrame
        ``row``, ``experiment``, the columns of the table file, ``folds`` (finished),
        ``of_folds``, ``n`` (utterances); for WA and UA, in percent: mean and sd over
        folds, the pooled score with its 95 % interval, the paper's score and the
        difference. Missing values are NaN.
    """
    lines = []
    for plan in plans:
        row, folds = plan.row, results[plan.row.experiment]
        line = {"row": row.number, "experiment": row.experiment}
        line |= {name: _yes_or_no(value) for name, value in row.columns.items()}
        line |= {"folds": len(folds), "of_folds": len(plan.folds)}
        line |= _scores(folds)
        paper = row.settings["paper"] or {}
        line |= {f"paper_{m}": float(paper.get(m, "nan")) for m in METRICS}
        for m in METRICS:
            line[f"difference_{m}"] = round(line[f"{m}_mean"] - line[f"paper_{m}"], 2)
        lines.append(line)
    return pd.DataFrame(lines).astype({"n": "Int64"})


def _yes_or_no(value: str | bool) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else value


def _scores(results: Sequence[FoldResult]) -> dict[str, float]:
    """Compute the scores of a row, from rounded folds so that readers can reproduce."""
    if not results:
        return dict.fromkeys(_SCORES, float("nan"))
    rows = result_rows(results)
    folds, pooled = rows[rows["fold"] != "pooled"], rows.iloc[-1]
    scores = {}
    for metric in METRICS:
        scores[f"{metric}_mean"] = round(folds[metric].mean(), 2)
        scores[f"{metric}_sd"] = round(folds[metric].std(ddof=1), 2)
    return {name: scores.get(name, pooled.get(name)) for name in _SCORES}


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as unfinished:
        table.to_csv(unfinished, index=False, lineterminator="\n")
