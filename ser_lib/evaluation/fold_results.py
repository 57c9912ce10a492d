"""Read and check the finished folds of a run.

A finished fold is a folder ``fold_<k>`` with ``predictions.csv`` (``predictions.py``),
``history.csv`` (``epoch``, ``train_loss``, ``valid_loss``, ``valid_accuracy``, ``lr``;
one row per epoch) and ``fold.json`` (experiment, settings, averaged epochs).
``fold_status.py`` decides which of them belong to a run.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from ser_lib.evaluation.fold_status import (
    FOLD_INFO_KEYS,
    finished_folds,
    left_out_folds,
    read_fold_info,
    remedy,
)
from ser_lib.evaluation.metrics import Scores, compute_scores
from ser_lib.evaluation.predictions import PREDICTION_FILES, read_predictions
from ser_lib.utils.text_tables import read_csv

logger = logging.getLogger(__name__)

_HISTORY_COLUMNS = ["epoch", "train_loss", "valid_loss", "valid_accuracy", "lr"]


@dataclass(frozen=True)
class FoldResult:
    """Results of one finished fold.

    Arguments
    ---------
    experiment, corpus : str
        Their names.
    seed, fold : int
        Seed of the run and number of the fold, from 1.
    settings_key : str
        Key of all settings that can change the result.
    averaged_epochs : list[int]
        The epochs whose weights were averaged.
    valid_accuracy : list[float]
        Validation accuracy of each averaged epoch, from 0 to 1.
    adapted : str
        ``"speaker"`` if unlabelled recordings of the test speakers were used, else
        ``"no"``.
    absent_labels : list[str]
        Classes that the test part lacks, as the protocol allows.
    predictions, history : pd.DataFrame
        Contents of ``predictions.csv`` and ``history.csv``.
    valid : pd.DataFrame | None
        Contents of ``valid_predictions.csv``, if the fold has this file.
    scores : Scores
        Computed from the predictions.
    """

    experiment: str
    corpus: str
    seed: int
    fold: int
    settings_key: str
    averaged_epochs: list[int]
    valid_accuracy: list[float]
    adapted: str
    absent_labels: list[str]
    predictions: pd.DataFrame
    history: pd.DataFrame
    valid: pd.DataFrame | None
    scores: Scores


def collect(
    output_folder: str | Path,
    labels: Sequence[str],
    settings_key: str | None = None,
    digests: Mapping[int, str] | None = None,
) -> list[FoldResult]:
    """Read the finished folds of a run; log a warning for each other folder.

    Arguments
    ---------
    output_folder : str | Path
        Contains ``fold_1``, ``fold_2`` and so on.
    labels : Sequence[str]
        Classes in the order of corpus.yaml.
    settings_key : str | None
        Read only folds with this key; ``None`` reads all, which must share one key.
    digests : Mapping[int, str] | None
        The folds of the run, see :func:`left_out_folds`.

    Returns
    -------
    list[FoldResult]
        In the order of the folds; empty if none is finished.

    Raises
    ------
    ValueError
        If a file of a fold is damaged, or the folds belong to different runs.
    """
    for name, reason in left_out_folds(output_folder, settings_key, digests).items():
        logger.warning("%s is left out: %s", Path(output_folder) / name, reason)
    folds = finished_folds(output_folder, settings_key, digests)
    results = [_read_fold(output_folder, fold, labels) for fold in folds]
    _check_one_run(results)
    return results


def _read_fold(
    output_folder: str | Path, fold: int, labels: Sequence[str]
) -> FoldResult:
    folder = Path(output_folder) / f"fold_{fold}"
    fold_info = read_fold_info(folder)
    try:
        _check_epochs(fold_info, folder)
        history = _read_history(folder / "history.csv")
        predictions = read_predictions(folder / PREDICTION_FILES["test"], labels)
        path = folder / PREDICTION_FILES["valid"]
        valid = read_predictions(path, labels) if path.is_file() else None
    except ValueError as error:
        raise ValueError(f"{error} {remedy(folder)}") from error
    absent = fold_info.get("absent_labels", [])
    return FoldResult(
        **{name: fold_info[name] for name in FOLD_INFO_KEYS},
        adapted=fold_info.get("adapted", "no"),
        absent_labels=absent,
        predictions=predictions,
        history=history,
        valid=valid,
        scores=compute_scores(predictions, labels, absent),
    )


def _check_epochs(fold_info: Mapping, folder: Path) -> None:
    epochs, accuracies = fold_info["averaged_epochs"], fold_info["valid_accuracy"]
    if not isinstance(epochs, list) or not isinstance(accuracies, list):
        raise ValueError(
            f"{folder / 'fold.json'}: expected lists of averaged_epochs and of "
            f"valid_accuracy, found {epochs!r} and {accuracies!r}."
        )
    if len(epochs) != len(accuracies):
        raise ValueError(
            f"{folder / 'fold.json'}: expected one valid_accuracy for each of the "
            f"{len(epochs)} averaged_epochs, found {len(accuracies)}."
        )


def _read_history(path: Path) -> pd.DataFrame:
    history = read_csv(path)
    if list(history.columns) != _HISTORY_COLUMNS:
        raise ValueError(
            f"{path}: expected the columns {_HISTORY_COLUMNS}, found "
            f"{list(history.columns)}."
        )
    text_columns = [name for name in history if not is_numeric_dtype(history[name])]
    if text_columns or history.empty:
        raise ValueError(
            f"{path}: expected numbers for at least one epoch, found {len(history)} "
            f"rows, with text in the columns {text_columns or 'none'}."
        )
    return history


def _check_one_run(results: Sequence[FoldResult]) -> None:
    for name in ("corpus", "experiment", "seed", "settings_key"):
        values = {result.fold: getattr(result, name) for result in results}
        if len(set(values.values())) > 1:
            raise ValueError(
                f"The folds differ in {name}: {values}. Expected one run: pass the "
                f"settings_key of the run to report, or remove the other folds."
            )


def pooled_scores(results: Sequence[FoldResult]) -> Scores:
    """Compute the scores of all folds of a run together."""
    labels = list(results[0].scores.recalls)
    absent = [k for k in labels if all(k in r.absent_labels for r in results)]
    return compute_scores(pool(results), labels, absent)


def pool(results: Sequence[FoldResult]) -> pd.DataFrame:
    """Concatenate the predictions of all folds of a run.

    Raises
    ------
    ValueError
        If an utterance is tested in two folds.
    """
    pooled = pd.concat([result.predictions for result in results], ignore_index=True)
    repeated = pooled["id"][pooled["id"].duplicated()]
    if len(repeated):
        folds = [
            r.fold for r in results if repeated.iloc[0] in set(r.predictions["id"])
        ]
        raise ValueError(
            f"{len(repeated)} utterances are tested in more than one fold. The first "
            f"is {repeated.iloc[0]} in the folds {folds}. Expected each utterance once."
        )
    return pooled
