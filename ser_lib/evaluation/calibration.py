"""Calibration: does a probability of 0.8 mean that 8 of 10 such answers are right?

One temperature for each fold (Guo et al., 2017, https://arxiv.org/abs/1706.04599,
section 4.2), which changes no prediction. A validation part often has few speakers, and
then fits them alone. So the temperature is fitted on the validation parts of all folds
of the run, each predicted by its own model, without the speakers that the fold tests.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from ser_lib.evaluation.fold_results import FoldResult

N_BINS = 10
_LEAST_TEMPERATURE, _MOST_TEMPERATURE = 0.05, 20.0
_LEAST_PROBABILITY = 1e-7  # predictions.csv has six decimals


class Reliability(NamedTuple):
    """The answers of a model by their confidence, see :func:`reliability`.

    Arguments
    ---------
    bins : pd.DataFrame
        One row for each bin that has answers: ``n``, ``confidence`` (mean) and
        ``accuracy``, from 0 to 1.
    error : float
        Expected calibration error, from 0 to 1.
    """

    bins: pd.DataFrame
    error: float


def fit_temperature(probabilities: np.ndarray, targets: Sequence[int]) -> float:
    """Find the temperature with the lowest cross-entropy.

    Arguments
    ---------
    probabilities : (utterances, labels) np.ndarray
        Softmax outputs.
    targets : Sequence[int]
        Index of the true label of each utterance.

    Returns
    -------
    float
        From 0.05 to 20. Above 1, the model was too sure of itself.

    Example
    -------
    Three of four answers are right, and the model says 0.9:

    >>> probabilities = np.array([[0.9, 0.1]] * 4)
    >>> temperature = fit_temperature(probabilities, [0, 0, 0, 1])
    >>> at_temperature(probabilities, temperature)[0].round(3)
    array([0.75, 0.25])
    """

    def cross_entropy(log_temperature: float) -> float:
        scaled = at_temperature(probabilities, np.exp(log_temperature))
        of_targets = scaled[np.arange(len(scaled)), targets]
        return -np.log(np.maximum(of_targets, _LEAST_PROBABILITY)).mean()

    bounds = np.log(_LEAST_TEMPERATURE), np.log(_MOST_TEMPERATURE)
    found = minimize_scalar(
        cross_entropy, bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits of (utterances, labels) probabilities by a temperature."""
    logits = np.log(np.maximum(probabilities, _LEAST_PROBABILITY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def probabilities_of(table: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Return the (utterances, labels) probabilities of a table of predictions."""
    return table[[f"p_{label}" for label in labels]].to_numpy(float)


def calibration_rows(results: Sequence[FoldResult]) -> dict[int, pd.DataFrame]:
    """Return the validation predictions that the temperature of each fold is fitted on.

    Returns
    -------
    dict[int, pd.DataFrame]
        Fold -> rows of all folds without its test speakers; its own validation part if
        nothing else is left. Folds without a validation part are left out.
    """
    with_valid = [result for result in results if result.valid is not None]
    if not with_valid:
        return {}
    rows = pd.concat([result.valid for result in with_valid], ignore_index=True)
    chosen = {}
    for result in with_valid:
        of_others = rows[~rows["speaker"].isin(set(result.predictions["speaker"]))]
        chosen[result.fold] = result.valid if of_others.empty else of_others
    return chosen


def temperature_of(valid: pd.DataFrame, labels: Sequence[str]) -> float:
    """Fit a temperature to validation predictions."""
    targets = [labels.index(label) for label in valid["label"]]
    return fit_temperature(probabilities_of(valid, labels), targets)


def reliability(
    confidence: np.ndarray, is_correct: np.ndarray, n_bins: int = N_BINS
) -> Reliability:
    """Compare confidence with accuracy in bins of equal width.

    Arguments
    ---------
    confidence : (utterances,) np.ndarray
        Probability of the predicted label.
    is_correct : (utterances,) np.ndarray
        Whether the predicted label is the true one.

    Returns
    -------
    Reliability
        Its error is the mean distance between confidence and accuracy, weighted by the
        size of the bins (Guo et al., 2017, equation 3).

    Example
    -------
    >>> reliability(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0])).error
    0.1
    """
    numbers = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    table = pd.DataFrame(
        {"bin": numbers, "confidence": confidence, "accuracy": is_correct.astype(float)}
    )
    groups = table.groupby("bin")
    bins = groups.mean().assign(n=groups.size())[["n", "confidence", "accuracy"]]
    distances = (bins["confidence"] - bins["accuracy"]).abs()
    error = float((distances * bins["n"]).sum() / bins["n"].sum())
    return Reliability(bins, round(error, 12))


def coverage_curve(confidence: np.ndarray, is_correct: np.ndarray) -> pd.DataFrame:
    """Compute the accuracy of the answers above each threshold.

    Returns
    -------
    pd.DataFrame
        ``threshold``: each confidence that occurs, the highest first; ``coverage``, the
        share of utterances that are at least as sure; ``accuracy`` of these.

    Example
    -------
    >>> coverage_curve(np.array([0.6, 0.9]), np.array([False, True]))
       threshold  coverage  accuracy
    0        0.9       0.5       1.0
    1        0.6       1.0       0.5
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence = confidence[order]
    answered = np.arange(1, len(order) + 1)
    curve = pd.DataFrame(
        {
            "threshold": sorted_confidence,
            "coverage": answered / len(order),
            "accuracy": is_correct[order].cumsum() / answered,
        }
    )
    return curve.groupby("threshold", sort=False).last().reset_index()


def accuracies_above(confidence: np.ndarray, is_correct: np.ndarray) -> list[float]:
    """Compute the accuracy of the answers that are at least 0 %, 1 % ... 99 % sure.

    Returns
    -------
    list[float]
        One for each threshold, up to the highest confidence that occurs.

    Example
    -------
    >>> accuracies = accuracies_above(np.array([0.02, 0.015]), np.array([True, False]))
    >>> accuracies
    [0.5, 0.5, 1.0]
    """
    thresholds = np.arange(100) / 100
    above = [confidence >= t for t in thresholds if t <= confidence.max()]
    return [round(float(is_correct[sure].mean()), 4) for sure in above]


def calibration_of(valid: pd.DataFrame, labels: Sequence[str]) -> dict:
    """Return what a model folder holds of the calibration of a fold.

    Arguments
    ---------
    valid : pd.DataFrame
        From :func:`calibration_rows`.

    Returns
    -------
    dict
        ``temperature``; ``accuracies_above``, of these predictions at this temperature.
    """
    temperature = temperature_of(valid, labels)
    scaled = at_temperature(probabilities_of(valid, labels), temperature)
    is_correct = (valid["label"] == valid["prediction"]).to_numpy()
    return {
        "temperature": round(temperature, 6),
        "accuracies_above": accuracies_above(scaled.max(axis=1), is_correct),
    }
