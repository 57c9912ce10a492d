"""The report of a run: scores, a table of its folds, errors and figures.

It is computed from the files of the finished folds, so it can be written again at any
time:

    python -m ser_lib.evaluation.report OUTPUT_FOLDER
    python -m ser_lib.evaluation.report OUTPUT_FOLDER --results RECIPE/results.csv

    python -m ser_lib.evaluation.report OUTPUT_FOLDER --results FILE --pack PACK

The second command also writes the rows of the run to the results file of the recipe.
The third adds the id of the pack (``python -m ser_lib.publish``) that has the run.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ser_lib.evaluation.calibration_sections import (
    FIGURE,
    calibrated_answers,
    calibration_figure,
    calibration_sections,
)
from ser_lib.evaluation.errors import (
    error_sections,
    write_wrong_predictions,
    wrong_predictions,
)
from ser_lib.evaluation.fold_results import FoldResult, collect, pool
from ser_lib.evaluation.fold_status import left_out_folds
from ser_lib.evaluation.metrics import confusion_matrix
from ser_lib.evaluation.plots import (
    confusion_figure,
    learning_curves_figure,
    steps_figure,
)
from ser_lib.evaluation.report_sections import (
    corpus_sections,
    fold_sections,
    fold_table,
    header_sections,
    list_reasons,
    score_sections,
)
from ser_lib.evaluation.results_csv import (
    PUBLISHED,
    merge_results,
    read_results,
    result_rows,
    write_results,
)
from ser_lib.evaluation.step_table import read_steps, step_sections
from ser_lib.evaluation.task_scores import task_rows
from ser_lib.evaluation.task_sections import (
    format_task_table,
    task_sections,
    write_task_scores,
)
from ser_lib.utils.checksums import pack_id, read_checksums, sha256
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import plain_table


def write_report(
    output_folder: str | Path,
    labels: Sequence[str],
    title: str,
    note: str = "",
    expected: Mapping[str, float | str] | None = None,
    settings_key: str | None = None,
) -> Path:
    """Write ``report.md``, its tables, its figures and ``report.json``.

    Arguments
    ---------
    output_folder : str | Path
        Contains the folders of the folds. The files go to its folder ``report``:
        ``report.md``, ``results.csv``, ``wrong_predictions.csv``, ``confusion.png``,
        ``learning_curves.png``, if there are further tasks ``task_scores.csv``, if the
        steps were logged ``steps.png``, and if there are validation predictions
        ``calibration.png``.
    labels : Sequence[str]
        Classes in the order of corpus.yaml.
    title : str
        Heading of the report and of its figures.
    note : str
        What a reader must know, for example that the speech is synthetic.
    expected : Mapping[str, float | str] | None
        Scores to compare with: ``WA`` and ``UA`` in percent, and their ``source``.
    settings_key : str | None
        Report only the folds with this key, see ``fold_results.collect``.

    Returns
    -------
    Path
        The file ``report.md``.

    Raises
    ------
    FileNotFoundError
        If no fold is finished.
    ValueError
        If ``expected`` has other keys, or a file of a fold is damaged.
    """
    _check_expected(expected or {})
    results = collect(output_folder, labels, settings_key)
    left_out = left_out_folds(output_folder, settings_key)
    if not results:
        raise FileNotFoundError(
            f"{output_folder} has no finished fold to report"
            f"{list_reasons(left_out) or ': it is empty'}\nExpected fold_<k> with "
            f"predictions.csv, history.csv and fold.json, and with the settings and "
            f"data of this run."
        )
    rows = result_rows(results)
    further = task_rows(results)
    steps = read_steps(output_folder, [result.fold for result in results])
    errors = wrong_predictions(pool(results))
    sections = [
        *header_sections(results, title, note, left_out),
        *score_sections(rows, dict(expected or {})),
        *corpus_sections(results),
        *task_sections(further),
        *fold_sections(results, rows),
        *step_sections(steps),
        *calibration_sections(results),
        *error_sections(errors),
    ]
    folder = Path(output_folder) / "report"
    _write_figures(folder, results, steps, title)
    write_results(folder / "results.csv", rows)
    write_task_scores(folder, further)
    write_wrong_predictions(folder, errors)
    report_info = {
        "labels": list(labels),
        "title": title,
        "note": note,
        "expected": dict(expected) if expected else None,
        "settings_key": settings_key,
    }
    _write_text(folder / "report.json", json.dumps(report_info, indent=2) + "\n")
    _write_text(folder / "report.md", "\n\n".join(sections) + "\n")
    return folder / "report.md"


def _check_expected(expected: Mapping) -> None:
    unknown = set(expected) - {"WA", "UA", "source"}
    if unknown:
        raise ValueError(
            f"The expected scores have the keys {sorted(unknown)}, known are WA, UA "
            f"and source."
        )


def format_table(output_folder: str | Path) -> str:
    """Return the tables of a written report, aligned for the console."""
    folds = plain_table(fold_table(_read_rows(output_folder)))
    further = format_task_table(Path(output_folder) / "report")
    return f"{folds}\n\n{further}" if further else folds


def _read_rows(output_folder: str | Path) -> pd.DataFrame:
    return read_results(Path(output_folder) / "report" / "results.csv")


def _write_figures(
    folder: Path,
    results: Sequence[FoldResult],
    steps: Mapping[int, pd.DataFrame],
    title: str,
) -> None:
    labels = list(results[0].scores.recalls)
    confusion = confusion_matrix(pool(results), labels)
    curves = learning_curves_figure(
        {result.fold: result.history for result in results},
        {result.fold: result.averaged_epochs for result in results},
        title,
    )
    figures = {
        "confusion.png": confusion_figure(confusion, labels, title),
        "learning_curves.png": curves,
    }
    if steps:
        figures["steps.png"] = steps_figure(steps, title)
    answers = calibrated_answers(results)
    if not answers.empty:
        figures[FIGURE] = calibration_figure(answers, title)
    for name, figure in figures.items():
        with atomic_path(folder / name) as unfinished:
            figure.savefig(unfinished)


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Write the report of a run again and print its table."""
    parser = CommandParser("ser_lib.evaluation.report", __doc__)
    parser.add_argument(
        "output_folder", type=path_argument, help="folder of a finished run"
    )
    parser.add_argument(
        "--results", type=path_argument, help="results.csv to add the run to"
    )
    parser.add_argument(
        "--pack", type=path_argument, help="the published run, named in its rows"
    )
    options = parser.parse_args(arguments)
    if options.pack and not options.results:
        parser.error("--pack names the run in a results file: give --results, too")
    write_report(options.output_folder, **read_report_info(options.output_folder))
    print(format_table(options.output_folder))
    if options.results:
        rows = _read_rows(options.output_folder)
        if options.pack:
            rows[PUBLISHED] = _published_id(options.output_folder, rows, options.pack)
        merge_results(options.results, rows)
        print(f"The rows of this run are now in {options.results}.")


def _published_id(output_folder: Path, rows: pd.DataFrame, pack: Path) -> str:
    """Return the id of a pack, after checking that it has the predictions of a run."""
    sums = read_checksums(pack)
    run = f"{rows['experiment'].iloc[0]}/seed_{rows['seed'].iloc[0]}"
    for fold in rows["fold"][rows["fold"] != "pooled"]:
        name = f"fold_{fold}/predictions.csv"
        if sums.get(f"{run}/{name}") != sha256(output_folder / name):
            raise ValueError(
                f"{pack} does not have the predictions of {output_folder / name}. "
                f"Publish the run again: python -m ser_lib.publish {output_folder} OUT"
            )
    return pack_id(sums)


def read_report_info(output_folder: str | Path) -> dict:
    """Read the ``report.json`` of a run: the arguments of :func:`write_report`.

    Raises
    ------
    FileNotFoundError
        If the run has no report.
    ValueError
        If the file is damaged.
    """
    path = Path(output_folder) / "report" / "report.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: expected the output folder of a run that has a "
            f"report. Run its train.py first."
        )
    expected = {"labels", "title", "note", "expected", "settings_key"}
    try:
        report_info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        report_info = str(error)
    if not isinstance(report_info, dict) or set(report_info) != expected:
        raise ValueError(
            f"{path} is damaged: expected {sorted(expected)}, found {report_info}. Run "
            f"train.py again to rewrite it; nothing is trained again."
        )
    return report_info


if __name__ == "__main__":
    run_command(main)
