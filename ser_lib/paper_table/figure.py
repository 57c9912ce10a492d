"""The figure of a table of experiments: our UA with its interval, and the paper's."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ser_lib.paper_table.text import has_paper, is_own

_DPI = 150
_OURS, _PAPER = "tab:blue", "tab:orange"


def table_figure(scores: pd.DataFrame, title: str, note: str = "") -> Figure:
    """Draw the UA of each row: a dot with its interval for ours, a diamond for theirs.

    Arguments
    ---------
    scores : pd.DataFrame
        From ``run.scores_table``.
    title : str
        Wrapped if long.
    note : str
        What a reader must know, for example that the speech is synthetic.
    """
    height_inches = 1.6 + 0.32 * len(scores)
    figure = Figure((8, height_inches), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    heights = range(len(scores))
    labels = [_label(row) for _, row in scores.iterrows()]
    pairs = zip(labels, is_own(scores), strict=True)
    labels = [f"(ours alone)  {label}" if own else label for label, own in pairs]
    axes.set_yticks(heights, labels, fontsize=8)
    axes.set_ylim(len(scores) - 0.5, -0.5)  # the first row on top
    axes.scatter(
        scores["paper_UA"],
        heights,
        marker="D",
        s=28,
        facecolors="none",
        edgecolors=_PAPER,
        linewidths=1.5,
        zorder=3,
    )
    _draw_ours(axes, scores)
    axes.set_xlabel("UA, percent", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure, has_paper(scores))
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


def _draw_ours(axes: Axes, scores: pd.DataFrame) -> None:
    for height, (_, row) in enumerate(scores.iterrows()):
        if row["folds"]:
            ends = [row["UA_low"], row["UA_high"]]
            axes.plot(ends, [height, height], color=_OURS, lw=2, alpha=0.6)
            axes.plot(row["UA"], height, marker="o", ms=5, color=_OURS, ls="")


def _add_legend(figure: Figure, with_paper: bool) -> None:
    ours = Line2D([], [], color=_OURS, marker="o", ms=5, lw=2)
    paper = Line2D([], [], marker="D", ms=5, ls="", mfc="none", mec=_PAPER, mew=1.5)
    n = 2 if with_paper else 1
    figure.legend(
        [ours, paper][:n],
        ["ours: all folds together, 95 % interval", "paper"][:n],
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
