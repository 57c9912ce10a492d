"""Compare finished runs that tested the same utterances, by a paired test:

    python -m ser_lib.evaluation.compare RUN BASELINE
    python -m ser_lib.evaluation.compare RUN BASELINE --csv RECIPE/comparisons.csv

The test is a bootstrap over speakers (``bootstrap.paired_difference``): both scores
are computed on the same resamples. With ``--csv``, the rows are added to a file, and
the README beside it gets the table of the file between its markers:

    <!-- comparisons: begin (python -m ser_lib.evaluation.compare) -->
    <!-- comparisons: end -->
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser_lib.evaluation.bootstrap import paired_difference
from ser_lib.evaluation.fold_results import collect, pool
from ser_lib.evaluation.predictions import read_labels
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path
from ser_lib.utils.marked_blocks import write_block
from ser_lib.utils.text_tables import markdown_table, read_csv

_BEGIN = "<!-- comparisons: begin (python -m ser_lib.evaluation.compare) -->"
_END = "<!-- comparisons: end -->"
_KEY = ["experiment", "baseline", "seed", "metric"]
_COLUMNS = [*_KEY, "folds", "n", "difference", "low", "high", "p_value"]


def compare_runs(run: str | Path, baseline: str | Path) -> pd.DataFrame:
    """Compare WA and UA of two runs.

    Arguments
    ---------
    run, baseline : str | Path
        Output folders of runs, ``<results>/<experiment>/seed_<seed>``.

    Returns
    -------
    pd.DataFrame
        A row for WA and one for UA: the run minus the baseline in percentage points,
        the ends of the 95 % interval, and the two-sided p-value.

    Raises
    ------
    FileNotFoundError
        If a run has no finished fold.
    ValueError
        If the runs tested other utterances, or have other labels.
    """
    results = [_results(folder) for folder in (run, baseline)]
    (first, *_), (other, *_) = results
    labels = list(first.scores.recalls)
    if sorted(labels) != sorted(other.scores.recalls):
        raise ValueError(
            f"{run} has the labels {labels}, but {baseline} has "
            f"{list(other.scores.recalls)}. Only runs with the same can be compared."
        )
    own, before = map(pool, results)
    rows = []
    for metric in ("WA", "UA"):
        found = paired_difference(own, before, metric, labels)
        points = [100 * x for x in (found.difference, found.low, found.high)]
        about = [first.experiment, other.experiment, first.seed, metric]
        about += [len(results[0]), len(own)]
        rows.append([*about, *points, found.p_value])
    decimals = dict.fromkeys(("difference", "low", "high"), 2) | {"p_value": 4}
    return pd.DataFrame(rows, columns=_COLUMNS).round(decimals)


def _results(folder: str | Path) -> list:
    found = sorted(Path(folder).glob("fold_*/predictions.csv"))
    results = collect(folder, read_labels(found[0])) if found else []
    if not results:
        raise FileNotFoundError(
            f"{folder} has no finished fold. Expected the output folder of a run, such "
            f"as results/fbank_ecapa/seed_1986."
        )
    return results


def comparison_table(rows: pd.DataFrame) -> str:
    """Format comparisons in Markdown; UA only."""
    lines = [
        {
            "experiment": row["experiment"],
            "compared with": row["baseline"],
            "seed": row["seed"],
            "UA, points [95 % interval]": f"{row['difference']:+.2f} "
            f"[{row['low']:+.2f}, {row['high']:+.2f}]",
            "p": f"{row['p_value']:.3f}",
        }
        for _, row in rows[rows["metric"] == "UA"].iterrows()
    ]
    return markdown_table(pd.DataFrame(lines).set_index("experiment"))


def update_readme(path: Path, rows: pd.DataFrame) -> None:
    """Write the table of some comparisons between the markers of a README."""
    write_block(path, _BEGIN, _END, comparison_table(rows))


def main(arguments: Sequence[str]) -> None:
    """Compare two runs, print the table, and add it to a file."""
    parser = CommandParser("ser_lib.evaluation.compare", __doc__)
    parser.add_argument("run", type=path_argument, help="folder of a finished run")
    parser.add_argument("baseline", type=path_argument, help="folder of another one")
    parser.add_argument("--csv", type=path_argument, help="file to add the rows to")
    options = parser.parse_args(arguments)
    rows = compare_runs(options.run, options.baseline)
    print(comparison_table(rows))
    if not options.csv:
        return
    if options.csv.is_file():
        former = read_csv(options.csv)
        if list(former) != _COLUMNS:
            raise ValueError(
                f"{options.csv} has the columns {list(former)}, expected {_COLUMNS}."
            )
        rows = pd.concat([former, rows]).drop_duplicates(_KEY, keep="last")
    rows = rows.sort_values(["baseline", "experiment", "seed", "metric"])
    with atomic_path(options.csv) as unfinished:
        rows.to_csv(unfinished, index=False, lineterminator="\n")
    update_readme(options.csv.with_name("README.md"), rows)
    print(f"{options.csv} and its README have {len(rows)} rows.")


if __name__ == "__main__":
    run_command(main)
