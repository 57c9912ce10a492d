"""The picture of a table of experiments: our UA with its interval, and the paper's."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

_DPI = 150
_OURS, _PAPER = "tab:blue", "tab:orange"


def table_figure(figures: pd.DataFrame, title: str, note: str = "") -> Figure:
    """Draw one line for each row of a table.

    Arguments
    ---------
    figures : pd.DataFrame
        As made by ``experiment_table.scores_table``.
    title : str
        Stands above the picture; long titles are wrapped.
    note : str
        What a reader must know, for instance that the speech is synthetic.

    Returns
    -------
    Figure
        A dot with its interval for ours, a diamond for the paper's.
    """
    height_inches = 1.6 + 0.32 * len(figures)
    figure = Figure((8, height_inches), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    places = range(len(figures))
    axes.set_yticks(places, [_label(row) for _, row in figures.iterrows()], fontsize=8)
    axes.set_ylim(len(figures) - 0.5, -0.5)  # the first row on top
    axes.scatter(
        figures["paper_UA"],
        places,
        marker="D",
        s=28,
        facecolors="none",
        edgecolors=_PAPER,
        linewidths=1.5,
        zorder=3,
    )
    _draw_ours(axes, figures)
    axes.set_xlabel("UA, percent", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure)
    heading = [textwrap.fill(title, 80), textwrap.fill(note, 100)]
    figure.suptitle("\n".join(filter(None, heading)), fontsize=10)
    return figure


def _label(row: pd.Series) -> str:
    name = f"{row['experiment']}  {row['row']}"
    if row["folds"] == 0:
        return f"(missing)  {name}"
    if row["folds"] < row["of_folds"]:
        return f"({row['folds']} of {row['of_folds']} folds)  {name}"
    return name


def _draw_ours(axes: Axes, figures: pd.DataFrame) -> None:
    for place, (_, row) in enumerate(figures.iterrows()):
        if row["folds"]:
            ends = [row["UA_low"], row["UA_high"]]
            axes.plot(ends, [place, place], color=_OURS, lw=2, alpha=0.6)
            axes.plot(row["UA"], place, marker="o", ms=5, color=_OURS, ls="")


def _add_legend(figure: Figure) -> None:
    ours = Line2D([], [], color=_OURS, marker="o", ms=5, lw=2)
    paper = Line2D([], [], marker="D", ms=5, ls="", mfc="none", mec=_PAPER, mew=1.5)
    figure.legend(
        [ours, paper],
        ["ours: all folds together, 95 % interval", "paper"],
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
