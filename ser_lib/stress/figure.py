"""The picture of a stress report: UA in each condition."""

import pandas as pd
from matplotlib.figure import Figure

_DPI = 150


def stress_figure(scores: pd.DataFrame, chance: float, title: str) -> Figure:
    """Draw the UA in each condition with its interval; clean and chance are lines.

    Arguments
    ---------
    scores : pd.DataFrame
        A row for each condition, the first is clean: ``condition``, ``UA``, ``UA_low``
        and ``UA_high``, in percent.
    chance : float
        UA of a model that always gives one answer, in percent.
    title : str
        What was tested on what.
    """
    figure = Figure((8, 1.6 + 0.28 * len(scores)), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    heights = range(len(scores))
    axes.hlines(heights, scores["UA_low"], scores["UA_high"], lw=2, alpha=0.6)
    axes.plot(scores["UA"], heights, "o", ms=5, label="UA and its 95 % interval")
    clean = scores["UA"].iloc[0]
    axes.axvline(clean, color="tab:green", ls="--", lw=1, label=f"clean, {clean:.1f}")
    axes.axvline(chance, color="tab:red", ls=":", lw=1.5, label=f"chance, {chance:.1f}")
    axes.set_yticks(heights, scores["condition"], fontsize=8)
    axes.set_ylim(len(scores) - 0.5, -0.5)  # the first row on top
    axes.set_xlim(0, 100)
    axes.set_xlabel("UA, percent", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure
