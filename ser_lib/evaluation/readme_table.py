"""Write the results tables of a recipe's README, from its ``results.csv`` alone:

    python -m ser_lib.evaluation.readme_table recipes/RAVDESS
    python -m ser_lib.evaluation.readme_table recipes/RAVDESS --check
    python -m ser_lib.evaluation.readme_table recipes/RAVDESS --readme README.md

The folder contains ``README.md`` and ``results.csv``. Only the block between the two
markers is changed. ``--check`` changes nothing and fails if the block is out of date.
``--readme`` writes the first table, without the UA of each fold, into another file.
The markers of this README are:

    <!-- results: begin (python -m ser_lib.evaluation.readme_table recipes/RAVDESS) -->
    <!-- results: end -->
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser_lib.evaluation.results_csv import read_results
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import markdown_table, mean_and_sd, with_interval

_BEGIN = (
    r"<!-- results: begin "
    r"\(python -m ser_lib\.evaluation\.readme_table [^)\n]+\) -->\n"
)
_END = r"<!-- results: end -->"


def update_readme(
    readme_path: str | Path, results_csv: str | Path, of_each_fold: bool = True
) -> bool:
    """Rewrite the results block of a README.

    Arguments
    ---------
    readme_path : str | Path
        The README with the markers.
    results_csv : str | Path
        The results of a corpus.
    of_each_fold : bool
        Whether the second table is written, too.

    Returns
    -------
    bool
        Whether the README was out of date.

    Raises
    ------
    ValueError
        If the README does not contain the two markers once each, in order.
    """
    readme_path = Path(readme_path)
    updated = _updated_text(readme_path, results_csv, of_each_fold)
    if updated == readme_path.read_text(encoding="utf-8"):
        return False
    with atomic_path(readme_path) as unfinished:
        unfinished.write_text(updated, encoding="utf-8")
    return True


def results_block(results: pd.DataFrame, of_each_fold: bool = True) -> str:
    """Format the tables of a README.

    Arguments
    ---------
    results : pd.DataFrame
        The rows of ``results.csv``.
    of_each_fold : bool
        Whether the second table is included.

    Returns
    -------
    str
        Two Markdown tables with one row per experiment and seed: scores over folds
        and pooled, and the UA of each fold.

    Raises
    ------
    ValueError
        If a run has no row ``pooled`` or no fold.
    """
    missing = {"experiment", "seed", "fold"} - {*results.columns}
    if missing:
        raise ValueError(f"The results file has no column {sorted(missing)}.")
    lines = []
    for (experiment, seed), rows in results.groupby(["experiment", "seed"]):
        pooled, folds = rows[rows["fold"] == "pooled"], rows[rows["fold"] != "pooled"]
        if len(pooled) != 1 or not len(folds):
            raise ValueError(
                f"{experiment}, seed {seed}: expected rows of folds and one row pooled "
                f"in the results file, found {rows['fold'].tolist()}."
            )
        run = {"experiment": experiment, "seed": seed}
        lines.append({**run, **_scores_of_run(folds, pooled.iloc[0])})
    runs = markdown_table(pd.DataFrame(lines).set_index("experiment"))
    text = f"{runs}\n\nPercent; sd over folds; 95 % intervals by drawing test speakers."
    if (results["adapted"] != "no").any():
        text += (
            " Adapted to speaker (to the corpus): frames are standardised by each "
            "speaker's own recordings (by all recordings), without labels, in test, "
            "too; not to be compared with rows that are not adapted."
        )
    if not of_each_fold:
        return text
    return f"{text} UA of each fold:\n\n{markdown_table(_ua_of_each_fold(results))}"


def _scores_of_run(folds: pd.DataFrame, pooled: pd.Series) -> dict[str, object]:
    n_classes = pooled.filter(like="recall_").notna().sum()
    cells = {"adapted": pooled["adapted"], "classes": n_classes}
    cells |= {"folds": len(folds), "n": pooled["n"]}
    for metric in ("WA", "UA"):
        cells[f"{metric} mean ± sd"] = mean_and_sd(folds[metric])
    for metric in ("WA", "UA"):
        cells[f"pooled {metric} [95 % interval]"] = with_interval(pooled, metric)
    return cells


def _ua_of_each_fold(results: pd.DataFrame) -> pd.DataFrame:
    folds = results[results["fold"] != "pooled"].astype({"fold": int})
    table = folds.pivot(index=["experiment", "seed"], columns="fold", values="UA")
    return table.add_prefix("fold ").reset_index("seed")


def _updated_text(
    readme_path: Path, results_csv: str | Path, of_each_fold: bool
) -> str:
    try:
        readme = readme_path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{readme_path} is not text in UTF-8.") from error
    begins, ends = list(re.finditer(_BEGIN, readme)), list(re.finditer(_END, readme))
    if len(begins) != 1 or len(ends) != 1 or begins[0].end() > ends[0].start():
        raise ValueError(
            f"{readme_path}: expected one line\n<!-- results: begin (python -m "
            f"ser_lib.evaluation.readme_table {readme_path.parent}) -->\nand below it "
            f"one line\n{_END}\nbut found {len(begins)} and {len(ends)}, or in the "
            f"wrong order. Add them where the tables belong."
        )
    before, after = readme[: begins[0].end()], readme[ends[0].start() :]
    block = results_block(read_results(results_csv), of_each_fold)
    return f"{before}\n{block}\n\n{after}"


def main(arguments: Sequence[str]) -> int:
    """Update or check the README of a recipe.

    Returns
    -------
    int
        Exit status: 1 if ``--check`` finds the README out of date, else 0.
    """
    parser = CommandParser("ser_lib.evaluation.readme_table", __doc__)
    parser.add_argument(
        "folder", type=path_argument, help="folder of README.md and results.csv"
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument(
        "--readme", type=path_argument, help="another file, for the first table alone"
    )
    options = parser.parse_args(arguments)
    readme_path = options.readme or options.folder / "README.md"
    results_csv = options.folder / "results.csv"
    of_each_fold = options.readme is None
    if not options.check:
        changed = update_readme(readme_path, results_csv, of_each_fold)
        print(f"{readme_path}: {'updated' if changed else 'already up to date'}.")
        return 0
    updated = _updated_text(readme_path, results_csv, of_each_fold)
    if updated == readme_path.read_text("utf-8"):
        return 0
    print(
        f"{readme_path} differs from {results_csv}. Run the same command without "
        f"--check to update it.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    run_command(main)
