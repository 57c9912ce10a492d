"""The figure of cross-corpus matrices: a heat map for each experiment."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_DPI = 150


def heat_maps(rows: pd.DataFrame) -> Figure:
    r"""Draw the UA of each cell with its interval, a panel for each experiment.

    Arguments
    ---------
    rows : pd.DataFrame
        From ``rows.matrix_rows``. Of several seeds, the first is drawn.

    Example
    -------
    >>> row = dict(experiment="a", labels=5, adapted="no", seed=1, trained_on="A")
    >>> row |= dict(tested_on="B", UA=40.0, UA_low=35.0, UA_high=45.0)
    >>> [text.get_text() for text in heat_maps(pd.DataFrame([row])).axes[0].texts]
    ['40.0\n[35, 45]']
    """
    panels = list(rows.groupby(["experiment", "labels", "adapted"], sort=False))
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    size = max(rows["tested_on"].nunique(), 2)
    side_inches = 1.4 + 1.0 * size
    figure = Figure(
        (columns * side_inches, lines * side_inches), dpi=_DPI, layout="constrained"
    )
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, (name, own) in zip(axes, panels, strict=False):
        _draw(panel, own[own["seed"] == own["seed"].min()], name)
    for empty in axes[len(panels) :]:
        empty.set_visible(False)
    figure.suptitle("UA in percent: trained on (row), tested on (column)", fontsize=10)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, name: tuple[str, int, str]) -> None:
    experiment, n_labels, adapted = name
    tested = sorted(set(rows["tested_on"]))
    # In the order of the columns, so that the cells that are not tested are a diagonal.
    trained = sorted(set(rows["trained_on"]), key=lambda name: (" + " in name, name))
    values = np.full((len(trained), len(tested)), np.nan)
    for _, row in rows.iterrows():
        at = trained.index(row["trained_on"]), tested.index(row["tested_on"])
        values[at] = row["UA"]
        interval = f"[{row['UA_low']:.0f}, {row['UA_high']:.0f}]"
        colour = "white" if row["UA"] > 60 else "black"
        axes.text(
            at[1],
            at[0],
            f"{row['UA']:.1f}\n{interval}",
            ha="center",
            va="center",
            fontsize=9,
            color=colour,
        )
    axes.set_facecolor("whitesmoke")  # seen where nothing was tested
    axes.imshow(values, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(tested)), tested, fontsize=8)
    axes.set_yticks(range(len(trained)), trained, fontsize=8)
    how = "not adapted" if adapted == "no" else f"adapted by {adapted}"
    axes.set_title(f"{experiment}\n{how}, {n_labels} classes", fontsize=9)
