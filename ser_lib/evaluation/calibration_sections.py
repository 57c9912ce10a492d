"""The section of a report about calibration, and its figure."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ser_lib.evaluation.calibration import (
    at_temperature,
    calibration_rows,
    coverage_curve,
    probabilities_of,
    reliability,
    temperature_of,
)
from ser_lib.evaluation.fold_results import FoldResult, pool
from ser_lib.utils.text_tables import markdown_table

FIGURE = "calibration.png"
_SHOWN_COVERAGES = (1.0, 0.8, 0.6, 0.4, 0.2)


def temperatures(results: Sequence[FoldResult]) -> dict[int, float]:
    """Return the temperature of each fold that has validation predictions."""
    labels = list(results[0].scores.recalls)
    rows = calibration_rows(results)
    return {fold: temperature_of(own, labels) for fold, own in rows.items()}


def cross_fitted(results: Sequence[FoldResult]) -> dict[int, float]:
    """Return a temperature for each fold, fitted to the test parts of the others.

    Raises
    ------
    ValueError
        If there is only one fold.
    """
    if len(results) < 2:
        raise ValueError(
            f"Only fold {results[0].fold} is finished; expected at least two folds."
        )
    labels = list(results[0].scores.recalls)
    return {
        result.fold: temperature_of(
            pool([other for other in results if other is not result]), labels
        )
        for result in results
    }


def calibrated_answers(
    results: Sequence[FoldResult], found: Mapping[int, float] | None = None
) -> pd.DataFrame:
    """Return the answers on the test parts of the folds that have a temperature.

    Arguments
    ---------
    found : Mapping[int, float] | None
        The temperatures; None for those of :func:`temperatures`.

    Returns
    -------
    pd.DataFrame
        One row per utterance: ``before`` and ``after``, the confidence without and with
        the temperature of its fold, and ``is_correct``.
    """
    tables = []
    found = temperatures(results) if found is None else found
    for result in results:
        if result.fold not in found:
            continue
        table = result.predictions
        before = probabilities_of(table, list(result.scores.recalls))
        after = at_temperature(before, found[result.fold])
        columns = {"before": before.max(axis=1), "after": after.max(axis=1)}
        is_correct = table["label"] == table["prediction"]
        tables.append(pd.DataFrame(columns).assign(is_correct=is_correct.to_numpy()))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def calibration_sections(results: Sequence[FoldResult]) -> list[str]:
    """Return how sure the model is and how often it is right."""
    answers = calibrated_answers(results)
    if answers.empty:
        return []
    found = temperatures(results)
    rows = {
        name: {
            "mean confidence": 100 * answers[column].mean(),
            "accuracy": 100 * answers["is_correct"].mean(),
            "calibration error": 100
            * reliability(answers[column], answers["is_correct"]).error,
        }
        for name, column in (("before", "before"), ("after", "after"))
    }
    table = pd.DataFrame(rows).T.round(2).rename_axis("percent")
    listed = ", ".join(f"{t:.2f} (fold {fold})" for fold, t in found.items())
    text = (
        f"After training, a temperature for each fold is fitted to the validation "
        f"parts of all folds, without the speakers that the fold tests: {listed}. It "
        f"changes no prediction, and model folders have it. The table and the figure "
        f"are of the test parts. If validation and training share speakers, the model "
        f"is too sure of itself with new ones."
    )
    curve = coverage_curve(answers["after"].to_numpy(), answers["is_correct"])
    return [
        "## Calibration",
        text,
        markdown_table(table),
        f"![Reliability, and accuracy by coverage]({FIGURE})",
        f"If only the surest are answered: {_at_coverages(curve)}.",
    ]


def _at_coverages(curve: pd.DataFrame) -> str:
    texts = []
    for coverage in _SHOWN_COVERAGES:
        row = curve[curve["coverage"] >= coverage - 1e-9].iloc[0]
        texts.append(
            f"{100 * row['coverage']:.0f} % with an accuracy of "
            f"{100 * row['accuracy']:.1f}"
        )
    return ", ".join(texts)


def calibration_figure(answers: pd.DataFrame, title: str) -> Figure:
    """Draw reliability before and after, and the accuracy of the surest answers.

    Arguments
    ---------
    answers : pd.DataFrame
        From :func:`calibrated_answers`.
    title : str
        Above both panels.
    """
    figure = Figure((9, 4.2), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="grey", lw=1, ls=":")
    for column, colour in (("before", "tab:orange"), ("after", "tab:blue")):
        bins, error = reliability(answers[column], answers["is_correct"])
        label = f"{column}: error {100 * error:.1f}"
        line = {"marker": "o", "ms": 4, "lw": 1.5, "color": colour, "label": label}
        left.plot(bins["confidence"], bins["accuracy"], **line)
    left.set_xlim(0, 1)
    left.legend(fontsize=8, frameon=False, loc="upper left")
    _style(left, "confidence", "accuracy")
    curve = coverage_curve(answers["after"].to_numpy(), answers["is_correct"])
    right.plot(curve["coverage"], curve["accuracy"], color="tab:blue", lw=1.5)
    right.set_xlim(0, 1)
    _style(right, "share answered, the surest first", "their accuracy")
    figure.suptitle(title, fontsize=11)
    return figure


def _style(axes: Axes, x: str, y: str) -> None:
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
