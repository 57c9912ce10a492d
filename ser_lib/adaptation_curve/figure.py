"""The picture of an adaptation curve: UA against the number of recordings."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser_lib.adaptation_curve.curve import ALL, CORPUS, N_RECORDINGS, PLAIN

_DPI = 150
# "all" and "corpus" stand to the right of the numbers.
_AT = {str(n): n for n in N_RECORDINGS} | {ALL: 120, CORPUS: 240}


def curve_figure(rows: pd.DataFrame, title: str) -> Figure:
    """Draw a panel for each prior, a line for each corpus; plain ones are dashed.

    Arguments
    ---------
    rows : pd.DataFrame
        From ``curve.measure_curve``.
    title : str
        What was measured.
    """
    plain = rows[rows["adapted_to"] == PLAIN]
    panels = list(rows.groupby("prior_s"))
    figure = Figure((1 + 4 * len(panels), 4.5), dpi=_DPI, layout="constrained")
    every_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (prior_s, own) in zip(every_axes, panels, strict=True):
        _draw(axes, own, plain)
        axes.set_title(f"prior {prior_s:g} s", fontsize=9)
    every_axes[0].set_ylabel("UA, percent", fontsize=9)
    lines, names = every_axes[0].get_legend_handles_labels()
    figure.legend(
        lines, names, loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    figure.suptitle(title, fontsize=10)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, plain: pd.DataFrame) -> None:
    for k, corpus in enumerate(plain["corpus"]):
        own = rows[rows["corpus"] == corpus]
        at, colour = own["adapted_to"].map(_AT), f"C{k}"
        is_number = ~own["adapted_to"].isin([ALL, CORPUS])
        axes.plot(at[is_number], own["UA"][is_number], "o-", c=colour, ms=4)
        axes.plot(at[~is_number], own["UA"][~is_number], "s", c=colour, ms=5)
        axes.vlines(at, own["low"], own["high"], colors=colour, lw=2, alpha=0.3)
        axes.plot([], [], "o-", c=colour, ms=4, label=corpus)
        not_adapted = plain.loc[plain["corpus"] == corpus, "UA"].item()
        axes.axhline(not_adapted, c=colour, ls="--", lw=1)
    axes.plot([], [], "k--", lw=1, label="not adapted")
    axes.set_xscale("log")
    axes.set_xticks(list(_AT.values()), list(_AT), fontsize=8, rotation=45)
    axes.minorticks_off()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("recordings adapted to", fontsize=9)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
