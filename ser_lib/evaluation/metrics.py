"""Compute scores from predictions: WA, UA, macro F1 and recalls.

Every score is a function of the confusion matrix (rows true, columns predicted, in
the order of corpus.yaml), and lies between 0 and 1:

- WA, weighted accuracy: the share of correct utterances;
- UA, unweighted accuracy: the mean recall of the classes;
- macro F1: the mean F1 score of the classes.

A class without a true utterance has no recall. In a reported score this is an error,
because the mean would silently cover fewer classes than the corpus has, unless the
protocol says that a test part lacks a class. In a bootstrap
resample (``bootstrap.py``) it can happen by chance; the mean then covers the classes
that are present.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn import metrics as sklearn_metrics


@dataclass(frozen=True)
class Scores:
    """Scores of one set of predictions.

    Arguments
    ---------
    n : int
        Number of utterances.
    WA, UA, macro_F1 : float
        Shares from 0 to 1.
    recalls : dict[str, float]
        Recall of each class, in the order of corpus.yaml.
    confusion : [C, C] np.ndarray
        Counts; rows are true, columns are predicted classes.
    """

    n: int
    WA: float
    UA: float
    macro_F1: float  # noqa: N815 - named like its column in results.csv
    recalls: dict[str, float]
    confusion: np.ndarray


def compute_scores(
    predictions: pd.DataFrame, labels: Sequence[str], absent: Sequence[str] = ()
) -> Scores:
    """Compute all scores of a set of predictions.

    Arguments
    ---------
    predictions : pd.DataFrame
        One row per utterance, with the columns ``label`` and ``prediction``.
    labels : Sequence[str]
        Classes in the order of corpus.yaml.
    absent : Sequence[str]
        Classes that may have no true utterance, as the protocol allows. UA and macro F1
        are then means over the others, and the recall is NaN.

    Raises
    ------
    ValueError
        If a label or a prediction is not in ``labels``, or another class has no true
        utterance.

    Example
    -------
    >>> truth, predicted = ["sad", "sad", "angry", "sad"], ["sad", "sad", "sad", "sad"]
    >>> table = pd.DataFrame({"label": truth, "prediction": predicted})
    >>> result = compute_scores(table, ["sad", "angry"])
    >>> result.WA, result.UA, result.recalls
    (0.75, 0.5, {'sad': 1.0, 'angry': 0.0})
    """
    confusion = confusion_matrix(predictions, labels)
    present = confusion.sum(1) > 0
    missing = [
        label
        for label, is_there in zip(labels, present, strict=True)
        if not is_there and label not in absent
    ]
    if missing:
        raise ValueError(
            f"No utterance of {len(predictions)} has the true label "
            f"{' or '.join(missing)}: expected all of {list(labels)}. UA and macro F1 "
            f"are means over all classes, so each must occur in the test part."
        )
    recalls = _recalls(confusion).tolist()
    return Scores(
        n=len(predictions),
        WA=float(_weighted_accuracy(confusion)),
        UA=float(_unweighted_accuracy(confusion)),
        macro_F1=float(_macro_f1(confusion)),
        recalls=dict(zip(labels, recalls, strict=True)),
        confusion=confusion,
    )


def confusion_matrix(predictions: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Count the utterances of each pair of true and predicted class.

    Arguments
    ---------
    predictions : pd.DataFrame
        One row per utterance, with the columns ``label`` and ``prediction``.
    labels : Sequence[str]
        Classes in the order of the rows and columns.

    Returns
    -------
    [C, C] np.ndarray
        Counts; rows are true, columns are predicted classes.

    Raises
    ------
    ValueError
        If there are no rows, or a label or prediction is not in ``labels``.
    """
    found = {*predictions["label"], *predictions["prediction"]}
    if not found or found - set(labels):
        raise ValueError(
            f"Expected labels and predictions to be among {list(labels)}, found "
            f"{sorted(found)} in {len(predictions)} utterances."
        )
    return sklearn_metrics.confusion_matrix(
        predictions["label"], predictions["prediction"], labels=list(labels)
    )


def _weighted_accuracy(confusion: np.ndarray) -> np.ndarray:
    """[..., C, C] counts -> [...] shares."""
    correct = np.trace(confusion, axis1=-2, axis2=-1)
    return correct / confusion.sum(axis=(-2, -1))


def _unweighted_accuracy(confusion: np.ndarray) -> np.ndarray:
    """[..., C, C] counts -> [...] mean recalls, ignoring absent classes."""
    return np.nanmean(_recalls(confusion), axis=-1)


def _macro_f1(confusion: np.ndarray) -> np.ndarray:
    """[..., C, C] counts -> [...] mean F1 scores, ignoring absent classes."""
    n_true, n_predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    # 2 * correct / (true + predicted) is the harmonic mean of precision and recall.
    n_both = np.where(n_true > 0, n_true + n_predicted, 0)
    return np.nanmean(_share(2 * correct, n_both), axis=-1)


def _recalls(confusion: np.ndarray) -> np.ndarray:
    """[..., C, C] counts -> [..., C] shares, NaN for an absent class."""
    correct = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _share(correct, confusion.sum(axis=-1))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    undefined = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=undefined, where=whole > 0)


# [..., C, C] counts -> [...] shares: all resamples of a bootstrap in one call.
FROM_CONFUSION: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "WA": _weighted_accuracy,
    "UA": _unweighted_accuracy,
    "macro_F1": _macro_f1,
}
