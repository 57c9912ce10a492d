"""Draw the UA of each hidden state of an encoder from a results file.

python -m ser_lib.evaluation.layer_figure layers.csv layers.png

The file has a run for each state, whose experiment ends in its number, such as
``whisper_frozen_layer_2``; 0 is the input of the first layer.
"""

import re
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument
from ser_lib.utils.files import atomic_path
from ser_lib.utils.text_tables import read_csv

_DPI = 150
_NAME = re.compile(r"(.+)_layer_(\d+)")


def layer_figure(results: pd.DataFrame) -> Figure:
    """Draw the pooled UA of each state with its 95 % interval.

    Arguments
    ---------
    results : pd.DataFrame
        Rows of a results file, see ``results_csv.py``.

    Raises
    ------
    ValueError
        If no experiment ends in the number of a state.
    """
    pooled = results[results["fold"] == "pooled"]
    names = pooled["experiment"].str.extract(_NAME)
    pooled = pooled.assign(of=names[0], layer=names[1].astype(float)).dropna(
        subset="layer"
    )
    if pooled.empty:
        raise ValueError(
            "The results have no experiment whose name ends in _layer_ and a number; "
            f"they have {', '.join(sorted(set(results['experiment'])))}."
        )
    figure = Figure((6, 3.6), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for name, rows in pooled.sort_values("layer").groupby("of"):
        ends = [rows["UA"] - rows["UA_low"], rows["UA_high"] - rows["UA"]]
        axes.errorbar(
            rows["layer"], rows["UA"], ends, marker="o", capsize=3, label=name
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("hidden state (0: input of the first layer)")
    axes.set_ylabel("UA, percent")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def main(arguments: Sequence[str]) -> None:
    """Draw the figure of a file."""
    parser = CommandParser("ser_lib.evaluation.layer_figure", __doc__)
    parser.add_argument("results", type=path_argument, help="a results file")
    parser.add_argument("figure", type=path_argument, help="the picture to write")
    options = parser.parse_args(arguments)
    figure = layer_figure(read_csv(options.results))
    with atomic_path(options.figure) as unfinished:
        figure.savefig(unfinished, format=options.figure.suffix.lstrip(".") or "png")


if __name__ == "__main__":
    run_command(main)
