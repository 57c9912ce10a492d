"""Figures of a report: confusion matrix, learning curves, training steps.

They are drawn without pyplot, so there is no window and no global state.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ser_lib.evaluation.step_table import epoch_accuracies

_DPI = 150
_PANELS = {
    "train_loss": "training loss",
    "valid_loss": "validation loss",
    "valid_accuracy": "validation accuracy",
}


def confusion_figure(
    confusion: np.ndarray, labels: Sequence[str], title: str
) -> Figure:
    r"""Draw a confusion matrix; each row adds up to 100 %.

    Arguments
    ---------
    confusion : [C, C] np.ndarray
        Counts; rows are true, columns are predicted classes.
    labels : Sequence[str]
        Names of the C classes, in the order of the matrix.
    title : str
        Wrapped if long.

    Example
    -------
    >>> figure = confusion_figure(np.array([[3, 1], [0, 2]]), ["sad", "angry"], "A")
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['75.0 %\n3', '25.0 %\n1', '0.0 %\n0', '100.0 %\n2']
    """
    n_true = confusion.sum(axis=1, keepdims=True)
    shares = confusion / np.maximum(n_true, 1)
    side_inches = 1.6 + 0.8 * max(len(labels), 3)
    figure = Figure((side_inches, side_inches), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            f"{100 * share:.1f} %\n{confusion[row, column]}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if share > 0.65 else "black",
        )
    _label_classes(axes, labels)
    _set_title(figure, title)
    return figure


def _label_classes(axes: Axes, labels: Sequence[str]) -> None:
    positions = np.arange(len(labels))
    if max(map(len, labels)) > 8:
        slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(positions, labels, **slanted)
    else:
        axes.set_xticks(positions, labels)
    axes.set_yticks(positions, labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    # White lines between the cells.
    axes.set_xticks(positions[:-1] + 0.5, minor=True)
    axes.set_yticks(positions[:-1] + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def learning_curves_figure(
    histories: Mapping[int, pd.DataFrame],
    averaged_epochs: Mapping[int, Sequence[int]],
    title: str,
) -> Figure:
    """Draw losses and validation accuracy per epoch, one line per fold.

    Arguments
    ---------
    histories : Mapping[int, pd.DataFrame]
        Fold -> one row per epoch, with the columns ``epoch``, ``train_loss``,
        ``valid_loss`` and ``valid_accuracy`` (from 0 to 1).
    averaged_epochs : Mapping[int, Sequence[int]]
        Fold -> the epochs whose weights were averaged; they are marked with dots.
    title : str
        Wrapped if long.
    """
    n_legend_columns = 1 + len(histories) // 20
    width_inches = 10 + n_legend_columns
    figure = Figure((width_inches, 3.8), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, len(_PANELS))
    colours = _colours(len(histories))
    last_epoch = max(history["epoch"].max() for history in histories.values())
    for axes, (column, name) in zip(panels, _PANELS.items(), strict=True):
        for (fold, history), colour in zip(histories.items(), colours, strict=True):
            _draw_fold(axes, history, column, averaged_epochs[fold], colour)
        if all(history[column].isna().all() for history in histories.values()):
            axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, last_epoch + 0.5)
        _style(axes)
    panels[-1].yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    dot = Line2D([], [], marker="o", ms=4, ls="", color="grey", label="averaged")
    handles = [*_fold_handles(list(histories), colours), dot]
    _add_legend(figure, handles, n_legend_columns)
    _set_title(figure, title)
    return figure


def steps_figure(steps: Mapping[int, pd.DataFrame], title: str) -> Figure:
    """Draw the loss of each training step and the training accuracy of each epoch.

    Arguments
    ---------
    steps : Mapping[int, pd.DataFrame]
        Fold -> the rows of its ``steps.csv``, see ``step_table``.
    title : str
        Wrapped if long.
    """
    n_legend_columns = 1 + len(steps) // 20
    figure = Figure((8 + n_legend_columns, 3.8), dpi=_DPI, layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    colours = _colours(len(steps))
    for rows, colour in zip(steps.values(), colours, strict=True):
        # Each process of a run has a row per step.
        loss = rows.groupby(["epoch", "step"])["loss"].mean().to_numpy()
        losses.plot(np.arange(1, len(loss) + 1), loss, color=colour, lw=0.8)
        accuracy = epoch_accuracies(rows)
        accuracies.plot(accuracy.index, accuracy, marker=".", color=colour, lw=1)
    for axes, name, unit in (
        (losses, "training loss", "step"),
        (accuracies, "training accuracy", "epoch"),
    ):
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(unit)
        _style(axes)
    accuracies.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    handles = _fold_handles(list(steps), colours)
    _add_legend(figure, handles, n_legend_columns)
    _set_title(figure, title)
    return figure


def _style(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _colours(n: int) -> list[tuple[float, ...]]:
    if n <= 10:
        return [matplotlib.colormaps["tab10"](i) for i in range(n)]
    return [matplotlib.colormaps["turbo"](x) for x in np.linspace(0.05, 0.95, n)]


def _draw_fold(
    axes: Axes,
    history: pd.DataFrame,
    column: str,
    averaged_epochs: Sequence[int],
    colour: tuple[float, ...],
) -> None:
    # A line of one point is invisible without a marker.
    marker = "_" if len(history) == 1 else None
    axes.plot(history["epoch"], history[column], marker=marker, color=colour, lw=1)
    averaged = history[history["epoch"].isin(averaged_epochs)]
    axes.scatter(averaged["epoch"], averaged[column], s=14, color=colour, zorder=3)


def _fold_handles(
    folds: Sequence[int], colours: Sequence[tuple[float, ...]]
) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, lw=1.5, label=f"fold {fold}")
        for fold, colour in zip(folds, colours, strict=True)
    ]


def _add_legend(figure: Figure, handles: list[Line2D], n_columns: int) -> None:
    figure.legend(
        handles=handles,
        loc="outside right center",
        fontsize=8,
        frameon=False,
        ncols=n_columns,
    )


def _set_title(figure: Figure, title: str) -> None:
    width_inches = figure.get_size_inches()[0]
    figure.suptitle(textwrap.fill(title, int(11 * width_inches)), fontsize=11)
