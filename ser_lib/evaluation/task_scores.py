"""The scores of further tasks, and of votes.

- Classes: WA, UA and macro F1, see ``metrics.py``.
- Values: CCC, the concordance correlation coefficient (Lin, 1989,
  https://doi.org/10.2307/2532051); Pearson's correlation; RMSE in the unit of the
  values. Variances are those of the population, as in the paper.
- Votes: KL, the mean divergence of the predicted probabilities from the shares of the
  votes, in nats; Brier, the mean sum of squared differences between the two (Brier,
  1950).

Utterances without a target of the task are left out. Each score but those of classes is
a function of sums over utterances, so that resamples of speakers are one product.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ser_lib.corpora import VOTES
from ser_lib.evaluation.bootstrap import bootstrap_interval, interval_of_sums
from ser_lib.evaluation.fold_results import FoldResult, pool
from ser_lib.evaluation.metrics import compute_scores
from ser_lib.evaluation.task_columns import TaskColumns, further_tasks

_OF_CLASSES = ("WA", "UA", "macro_F1")
_MOMENTS = ("n", "t", "p", "tt", "pp", "tp")  # sums of truth and prediction


def task_rows(results: Sequence[FoldResult]) -> pd.DataFrame:
    """Compute all scores of further tasks, and of votes, of a run.

    Returns
    -------
    pd.DataFrame
        Columns ``task``, ``score``, ``fold`` (text, then ``pooled``), ``n`` (with a
        target), ``value``, and the ends ``low`` and ``high`` of the 95 % interval by
        drawing speakers (NaN except for ``pooled``). Scores of classes are in percent.
        Empty if the emotion is the only task and has no votes.
    """
    labels = list(results[0].scores.recalls)
    parts = {str(result.fold): result.predictions for result in results}
    rows = []
    for fold, predictions in {**parts, "pooled": pool(results)}.items():
        for task in further_tasks(predictions, labels):
            rows += _rows(task.name, fold, _scores(predictions, task, fold))
        if f"{VOTES}{labels[0]}" in predictions:
            rows += _rows("emotion", fold, _vote_scores(predictions, labels, fold))
    columns = ["task", "score", "fold", "n", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


_Score = tuple[int, float, float, float]  # n, value and the ends of its interval


def _rows(task: str, fold: str, scores: dict[str, _Score]) -> list[list]:
    return [[task, name, fold, *values] for name, values in scores.items()]


def _scores(
    predictions: pd.DataFrame, task: TaskColumns, fold: str
) -> dict[str, _Score]:
    known = predictions[predictions[task.name] != ""]
    if known.empty:
        names = _OF_CLASSES if task.labels else OF_VALUES
        return {name: (0, *[np.nan] * 3) for name in names}
    if task.labels:
        return _class_scores(known, task, fold)
    truth, predicted = known[task.name].astype(float), known[task.prediction]
    sums = pd.DataFrame(
        {
            "n": 1.0,
            "t": truth,
            "p": predicted,
            "tt": truth**2,
            "pp": predicted**2,
            "tp": truth * predicted,
        }
    )
    return _scores_of_sums(sums, known["speaker"], OF_VALUES, fold)


def _class_scores(
    known: pd.DataFrame, task: TaskColumns, fold: str
) -> dict[str, _Score]:
    labels = list(task.labels)
    renamed = {"label": known[task.name], "prediction": known[task.prediction]}
    table = known[["id", "speaker"]].assign(**renamed)
    absent = [label for label in labels if label not in set(table["label"])]
    scores = compute_scores(table, labels, absent)
    found = {}
    for name in _OF_CLASSES:
        ends = (np.nan, np.nan)
        if fold == "pooled":
            ends = bootstrap_interval(table, name, labels)
        shares = getattr(scores, name), *ends
        found[name] = (len(table), *(100 * share for share in shares))
    return found


def _vote_scores(
    predictions: pd.DataFrame, labels: Sequence[str], fold: str
) -> dict[str, _Score]:
    votes = predictions[[f"{VOTES}{label}" for label in labels]]
    known = (votes != "").all(axis=1)
    shares = votes[known].astype(float).to_numpy()
    shares = shares / shares.sum(axis=1, keepdims=True)
    p = predictions.loc[known, [f"p_{label}" for label in labels]].to_numpy()
    sums = pd.DataFrame(
        {
            "n": np.ones(len(shares)),
            "kl": divergences(shares, p),
            "brier": ((shares - p) ** 2).sum(axis=1),
        }
    )
    speakers = predictions.loc[known, "speaker"].reset_index(drop=True)
    return _scores_of_sums(sums, speakers, OF_VOTES, fold)


def divergences(shares: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the KL divergence of each row of probabilities from its shares, in nats.

    A probability that was rounded to 0 counts as 1e-6, the last decimal of the files.

    Arguments
    ---------
    shares, probabilities : (rows, labels) np.ndarray
        Each row sums to 1.
    """
    floor = np.maximum(probabilities, 1e-6)
    logs = np.log(np.where(shares > 0, shares, 1.0) / floor)
    return np.where(shares > 0, shares * logs, 0.0).sum(axis=1)


def _scores_of_sums(
    sums: pd.DataFrame,
    speakers: pd.Series,
    functions: dict[str, Callable[[np.ndarray], np.ndarray]],
    fold: str,
) -> dict[str, _Score]:
    by_speaker = sums.groupby(speakers.to_numpy()).sum().to_numpy()
    found = {}
    for name, score in functions.items():
        ends = (np.nan, np.nan)
        if fold == "pooled":
            ends = interval_of_sums(by_speaker, score)
        value = float(score(by_speaker.sum(axis=0)))
        found[name] = (len(sums), value, *ends)
    return found


def _moments(sums: np.ndarray) -> tuple[np.ndarray, ...]:
    """[..., 6] sums -> means, variances and covariance of truth and prediction."""
    n, t, p, tt, pp, tp = np.moveaxis(sums, -1, 0)
    mean_t, mean_p = t / n, p / n
    var_t, var_p = tt / n - mean_t**2, pp / n - mean_p**2
    return mean_t, mean_p, var_t, var_p, tp / n - mean_t * mean_p


def _concordance(sums: np.ndarray) -> np.ndarray:
    """[..., 6] sums -> [...] CCC."""
    mean_t, mean_p, var_t, var_p, covariance = _moments(sums)
    return 2 * covariance / (var_t + var_p + (mean_t - mean_p) ** 2)


def _pearson(sums: np.ndarray) -> np.ndarray:
    """[..., 6] sums -> [...] correlation."""
    _, _, var_t, var_p, covariance = _moments(sums)
    product = np.maximum(var_t * var_p, 0)
    undefined = np.full(np.shape(product), np.nan)
    return np.divide(covariance, np.sqrt(product), out=undefined, where=product > 0)


def _rmse(sums: np.ndarray) -> np.ndarray:
    """[..., 6] sums -> [...] root of the mean squared error."""
    n, _, _, tt, pp, tp = np.moveaxis(sums, -1, 0)
    return np.sqrt(np.maximum(tt + pp - 2 * tp, 0) / n)


OF_VALUES = {"CCC": _concordance, "Pearson": _pearson, "RMSE": _rmse}
OF_VOTES = {
    "KL": lambda sums: sums[..., 1] / sums[..., 0],
    "Brier": lambda sums: sums[..., 2] / sums[..., 0],
}
