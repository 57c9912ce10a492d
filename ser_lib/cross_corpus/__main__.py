"""Add finished cross-corpus runs to a results file, and renew what is made of it:

    python -m ser_lib.cross_corpus recipes/Multi RUN [RUN ...]
    python -m ser_lib.cross_corpus recipes/Multi

RUN is the output folder of cross_corpus.py. The rows go to ``cross_corpus.csv`` in the
folder of the recipe. Its README gets the table, between the markers, and
``figures/cross_corpus.png`` the heat maps.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ser_lib.cross_corpus.figure import heat_maps
from ser_lib.cross_corpus.rows import (
    COLUMNS,
    matrix_table,
    merge_rows,
    read_rows,
    write_rows,
)
from ser_lib.cross_corpus.run import MATRIX_FILE
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path
from ser_lib.utils.marked_blocks import with_block
from ser_lib.utils.text_tables import markdown_table

RESULTS_FILE = "cross_corpus.csv"
_BEGIN = "<!-- cross-corpus: begin (python -m ser_lib.cross_corpus recipes/Multi) -->"
_END = "<!-- cross-corpus: end -->"


def with_table(readme: str, rows: pd.DataFrame) -> str:
    """Return the text of a README with the table of some rows between its markers.

    Raises
    ------
    ValueError
        If it does not have both markers once.
    """
    table = markdown_table(matrix_table(rows))
    return with_block(readme, _BEGIN, _END, table, "The README")


def main(arguments: Sequence[str]) -> None:
    """Merge runs into the results file; write the table and the figure."""
    parser = CommandParser("ser_lib.cross_corpus", __doc__)
    parser.add_argument("folder", type=path_argument, help="folder of the recipe")
    parser.add_argument("runs", type=path_argument, nargs="*", help="finished runs")
    options = parser.parse_args(arguments)
    path: Path = options.folder / RESULTS_FILE
    rows = read_rows(path) if path.is_file() else pd.DataFrame(columns=COLUMNS)
    for run in options.runs:
        if not (run / MATRIX_FILE).is_file():
            raise FileNotFoundError(
                f"{run} has no {MATRIX_FILE}: expected the output folder of a finished "
                f"cross_corpus.py."
            )
        rows = merge_rows(rows, read_rows(run / MATRIX_FILE))
    if rows.empty:
        raise ValueError(f"{path} has no rows yet; give at least one run.")
    write_rows(path, rows)
    readme = options.folder / "README.md"
    text = with_table(readme.read_text(encoding="utf-8"), rows)
    with atomic_path(readme) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    (options.folder / "figures").mkdir(exist_ok=True)
    with atomic_path(options.folder / "figures" / "cross_corpus.png") as unfinished:
        heat_maps(rows).savefig(unfinished)
    print(f"{path}, {readme} and its figure are up to date: {len(rows)} rows.")


if __name__ == "__main__":
    run_command(main)
