"""Confidence intervals and paired tests of scores: a bootstrap over speakers.

Utterances of the same speaker are correlated, so each resample draws whole speakers
with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Davison
and Hinkley, Bootstrap Methods and their Application, 1997). The intervals reflect the
choice of test speakers, not the seed of the training. With few speakers they are too
narrow.

A score depends only on the confusion matrix, and the matrix of a resample is the sum of
the matrices of its speakers. Thousands of resamples are one matrix product.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_lib.evaluation.metrics import FROM_CONFUSION, confusion_matrix


@dataclass(frozen=True)
class Difference:
    """Score of the first minus score of the second of two sets of predictions.

    Arguments
    ---------
    difference : float
        As a share, from -1 to 1.
    low, high : float
        Ends of its 95 % interval; NaN with fewer than two speakers.
    p_value : float
        Two-sided; NaN with fewer than two speakers.
    """

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    predictions: pd.DataFrame,
    metric: str,
    labels: Sequence[str],
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a score.

    Arguments
    ---------
    predictions : pd.DataFrame
        One row per utterance: ``speaker``, ``label``, ``prediction``.
    metric : str
        ``WA``, ``UA`` or ``macro_F1``.
    labels : Sequence[str]
        All classes of the corpus.
    level : float
        Confidence level, between 0 and 1.

    Returns
    -------
    tuple[float, float]
        Lower and upper end, as shares; both NaN with fewer than two speakers.

    Raises
    ------
    ValueError
        If the metric is unknown, or see :func:`metrics.confusion_matrix`.

    Example
    -------
    >>> truth = ["sad", "angry"] * 2
    >>> table = pd.DataFrame({"speaker": list("AABB"), "label": truth})
    >>> bootstrap_interval(table.assign(prediction=truth), "UA", ["sad", "angry"])
    (1.0, 1.0)
    """
    counts = _confusion_per_speaker(predictions, labels)
    return _interval(_resample(counts, metric, n_resamples, seed), level)


def interval_of_sums(
    sums: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute the 95 % interval of a score that depends on sums over utterances.

    Arguments
    ---------
    sums : (speakers, size) np.ndarray
        The sums of each speaker.
    score : Callable
        From (..., size) sums to (...) scores.

    Returns
    -------
    tuple[float, float]
        Lower and upper end; both NaN with fewer than two speakers.
    """
    if len(sums) < 2:
        return float("nan"), float("nan")
    return _interval(score(_draw(len(sums), n_resamples, seed) @ sums), level=0.95)


def paired_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    metric: str,
    labels: Sequence[str],
    n_resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """Compare two sets of predictions of the same utterances.

    Both scores are computed on the same resamples. The p-value is twice the share of
    resamples on the other side of zero. The observed data count as one more resample,
    so it is never 0 (Davison and Hinkley 1997, section 4.2).

    Arguments
    ---------
    predictions_a, predictions_b : pd.DataFrame
        One row per utterance: ``id``, ``speaker``, ``label``, ``prediction``.
    metric : str
        ``WA``, ``UA`` or ``macro_F1``.
    labels : Sequence[str]
        All classes of the corpus.

    Returns
    -------
    Difference
        Score of a minus score of b.

    Raises
    ------
    ValueError
        If the utterances, speakers or true labels differ between the two.
    """
    _check_same_utterances(predictions_a, predictions_b)
    a = _confusion_per_speaker(predictions_a, labels)
    b = _confusion_per_speaker(predictions_b, labels)
    # The same seed draws the same speakers for both. Rounding removes differences
    # that come only from the order of a sum.
    draws_a = _resample(a, metric, n_resamples, seed)
    draws_b = _resample(b, metric, n_resamples, seed)
    draws = (draws_a - draws_b).round(12)
    score = FROM_CONFUSION[metric]
    difference = float(score(a.sum(axis=0)) - score(b.sum(axis=0)))
    low, high = _interval(draws, level=0.95)
    if np.isnan(low):
        return Difference(difference, low, high, float("nan"))
    far_side = min((draws <= 0).sum(), (draws >= 0).sum())
    p_value = min(1.0, 2 * float(far_side + 1) / (n_resamples + 1))
    return Difference(difference, low, high, p_value)


def group_difference(
    predictions_a: pd.DataFrame,
    predictions_b: pd.DataFrame,
    metric: str,
    labels: Sequence[str],
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Compare two groups of utterances, such as those of women and of men.

    Speakers with utterances in one group only are drawn group by group. Those with
    utterances in both, such as speakers of two languages, are drawn once for both.

    Arguments
    ---------
    predictions_a, predictions_b : pd.DataFrame
        One row per utterance: ``speaker``, ``label``, ``prediction``.
    metric : str
        ``WA``, ``UA`` or ``macro_F1``.
    labels : Sequence[str]
        All classes of the corpus. A class that a group lacks is not in its score.

    Returns
    -------
    tuple[float, float, float]
        Score of a minus score of b, as a share, and the ends of its 95 % interval; both
        ends are NaN if a group has fewer than two speakers.

    Example
    -------
    >>> truth = ["sad", "angry"] * 2
    >>> a = pd.DataFrame({"speaker": list("AABB"), "label": truth, "prediction": truth})
    >>> b = a.assign(speaker=list("CCDD"), prediction="sad")
    >>> group_difference(a, b, "UA", ["sad", "angry"])
    (0.5, 0.5, 0.5)
    """
    score = FROM_CONFUSION[metric]
    groups = predictions_a, predictions_b
    whole = [score(_confusion_per_speaker(g, labels).sum(axis=0)) for g in groups]
    difference = float(whole[0] - whole[1])
    names = [set(g["speaker"]) for g in groups]
    if min(map(len, names)) < 2:
        return difference, float("nan"), float("nan")
    both = names[0] & names[1]
    totals: list[np.ndarray] = [0, 0]
    for k, stratum in enumerate((names[0] - both, names[1] - both, both)):
        for i, group in enumerate(groups):
            own = group[group["speaker"].isin(stratum)]
            if len(own):
                counts = _confusion_per_speaker(own, labels)
                draws = _draw(len(counts), n_resamples, [seed, k])
                totals[i] = totals[i] + np.tensordot(draws, counts, axes=1)
    low, high = _interval((score(totals[0]) - score(totals[1])).round(12), level=0.95)
    return difference, low, high


def _check_same_utterances(a: pd.DataFrame, b: pd.DataFrame) -> None:
    only_a, only_b = len({*a["id"]} - {*b["id"]}), len({*b["id"]} - {*a["id"]})
    if only_a or only_b or len(a) != len(b):
        raise ValueError(
            f"Expected predictions of the same utterances, found {len(a)} and {len(b)} "
            f"rows, {only_a} only in the first and {only_b} only in the second."
        )
    columns = ["id", "speaker", "label"]
    both = a[columns].merge(b[columns], on="id", suffixes=("_a", "_b"))
    same_speaker = both["speaker_a"] == both["speaker_b"]
    changed = both[~same_speaker | (both["label_a"] != both["label_b"])]
    if len(changed):
        raise ValueError(
            f"{len(changed)} utterances have another speaker or true label in the "
            f"second predictions. The first is {changed['id'].iloc[0]}."
        )


def _confusion_per_speaker(
    predictions: pd.DataFrame, labels: Sequence[str]
) -> np.ndarray:
    """[S, C, C] counts, speakers in sorted order."""
    confusion_matrix(predictions, labels)  # refuses unknown labels
    counts = predictions.groupby(["speaker", "label", "prediction"]).size()
    speakers = sorted(predictions["speaker"].unique())
    cells = pd.MultiIndex.from_product([speakers, labels, labels])
    counts = counts.reindex(cells, fill_value=0).to_numpy()
    return counts.reshape(len(speakers), len(labels), len(labels))


def _resample(
    counts: np.ndarray, metric: str, n_resamples: int, seed: int
) -> np.ndarray:
    """[S, C, C] counts -> [n_resamples] values of the metric; NaN if S < 2."""
    if metric not in FROM_CONFUSION:
        raise ValueError(
            f"The metric is {metric!r}, expected one of {list(FROM_CONFUSION)}."
        )
    n_speakers = len(counts)
    if n_speakers < 2:
        return np.full(n_resamples, np.nan)
    draws = _draw(n_speakers, n_resamples, seed)
    return FROM_CONFUSION[metric](np.tensordot(draws, counts, axes=1))


def _draw(n_speakers: int, n_resamples: int, seed: int | Sequence[int]) -> np.ndarray:
    """[n_resamples, n_speakers] how often each resample has each speaker."""
    return np.random.default_rng(seed).multinomial(
        n_speakers, np.full(n_speakers, 1 / n_speakers), size=n_resamples
    )


def _interval(draws: np.ndarray, level: float) -> tuple[float, float]:
    outside = (1 - level) / 2
    low, high = np.quantile(draws, [outside, 1 - outside])
    return float(low), float(high)
