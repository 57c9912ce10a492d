"""What a run left behind: its finished folds, read and checked.

A finished fold is a folder ``fold_<k>`` with ``predictions.csv`` (``predictions.py``),
``history.csv`` (``epoch``, ``train_loss``, ``valid_loss``, ``valid_accuracy``, ``lr``;
one row an epoch) and ``fold.json`` (what was run, which epochs were averaged).
"""

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser_lib.metrics import Figures, figures
from ser_lib.predictions import read_predictions

logger = logging.getLogger(__name__)

_FOLD_FILES = ("fold.json", "history.csv", "predictions.csv")
_FOLD_FACTS = (
    "experiment",
    "corpus",
    "seed",
    "fold",
    "settings_key",
    "averaged_epochs",
    "valid_accuracy",
)
_HISTORY_COLUMNS = ["epoch", "train_loss", "valid_loss", "valid_accuracy", "lr"]


@dataclass(frozen=True)
class FoldResult:
    """What one finished fold left behind.

    Arguments
    ---------
    experiment, corpus : str
        What was run.
    seed, fold : int
        Seed of the run and number of the fold, from 1.
    settings_key : str
        Key of the settings that can change the result.
    averaged_epochs : list[int]
        The epochs whose weights were averaged.
    valid_accuracy : list[float]
        Validation accuracy of each averaged epoch, a share from 0 to 1.
    predictions, history : pd.DataFrame
        The two tables of the fold.
    figures : Figures
        Computed from the predictions.
    """

    experiment: str
    corpus: str
    seed: int
    fold: int
    settings_key: str
    averaged_epochs: list[int]
    valid_accuracy: list[float]
    predictions: pd.DataFrame
    history: pd.DataFrame
    figures: Figures


def collect(
    output_folder: str | Path, labels: Sequence[str], settings_key: str | None = None
) -> list[FoldResult]:
    """Read the finished folds of a run; the others are named in the log.

    Arguments
    ---------
    output_folder : str | Path
        Holds ``fold_1``, ``fold_2`` and so on.
    labels : Sequence[str]
        The corpus's labels, in the corpus's order.
    settings_key : str | None
        Take only folds with this key; ``None`` takes all, if they have one key.

    Returns
    -------
    list[FoldResult]
        In the order of the folds; empty if none is finished.

    Raises
    ------
    ValueError
        If the files of a fold are unsound, or the folds are not of one run.
    """
    left_out = left_out_folds(output_folder, settings_key)
    for fold, reason in left_out.items():
        logger.warning("fold %d is not in the results: %s", fold, reason)
    results = [
        _read_fold(Path(output_folder) / f"fold_{fold}", fold, labels)
        for fold in _known_folds(output_folder)
        if fold not in left_out
    ]
    _check_one_run(results)
    return results


def left_out_folds(
    output_folder: str | Path, settings_key: str | None = None
) -> dict[int, str]:
    """Say which folds have no result to report, and why.

    Known are the folds that have a folder, and those below the highest of them.

    Arguments
    ---------
    output_folder : str | Path
        Holds ``fold_1``, ``fold_2`` and so on.
    settings_key : str | None
        Leave out folds with another key; ``None`` accepts any.

    Returns
    -------
    dict[int, str]
        Fold -> reason, in the order of the folds.
    """
    reasons = {}
    for fold in _known_folds(output_folder):
        folder = Path(output_folder) / f"fold_{fold}"
        missing = [name for name in _FOLD_FILES if not (folder / name).is_file()]
        if not folder.is_dir():
            reasons[fold] = "not begun"
        elif missing:
            reasons[fold] = f"not finished, {', '.join(missing)} missing"
        elif settings_key is not None:
            found = _read_facts(folder)["settings_key"]
            if found != settings_key:
                reasons[fold] = f"run with settings {found}, not {settings_key}"
    return reasons


def _known_folds(output_folder: str | Path) -> list[int]:
    folders = Path(output_folder).glob("fold_*")
    numbers = {int(m[1]) for f in folders if (m := re.fullmatch(r"fold_(\d+)", f.name))}
    return sorted(numbers | set(range(1, max(numbers, default=0))))


def _read_facts(folder: Path) -> dict:
    facts = json.loads((folder / "fold.json").read_text(encoding="utf-8"))
    missing = [name for name in _FOLD_FACTS if name not in facts]
    if missing:
        raise ValueError(
            f"{folder / 'fold.json'} lacks {', '.join(missing)}: expected "
            f"{list(_FOLD_FACTS)}, found {list(facts)}."
        )
    return facts


def _read_fold(folder: Path, fold: int, labels: Sequence[str]) -> FoldResult:
    facts = _read_facts(folder)
    if facts["fold"] != fold:
        raise ValueError(
            f"{folder / 'fold.json'} is of fold {facts['fold']}, expected fold {fold}."
        )
    if len(facts["averaged_epochs"]) != len(facts["valid_accuracy"]):
        raise ValueError(
            f"{folder / 'fold.json'}: expected one valid_accuracy for each of the "
            f"{len(facts['averaged_epochs'])} averaged_epochs, found "
            f"{len(facts['valid_accuracy'])}."
        )
    history = pd.read_csv(folder / "history.csv")
    if list(history.columns) != _HISTORY_COLUMNS:
        raise ValueError(
            f"{folder / 'history.csv'}: expected the columns {_HISTORY_COLUMNS}, found "
            f"{list(history.columns)}."
        )
    predictions = read_predictions(folder / "predictions.csv", labels)
    return FoldResult(
        **{name: facts[name] for name in _FOLD_FACTS},
        predictions=predictions,
        history=history,
        figures=figures(predictions, labels),
    )


def _check_one_run(results: Sequence[FoldResult]) -> None:
    for name in ("corpus", "experiment", "seed", "settings_key"):
        values = {result.fold: getattr(result, name) for result in results}
        if len(set(values.values())) > 1:
            raise ValueError(
                f"The folds differ in {name}: {values}. Expected one run: give the "
                f"settings_key of the run to report, or remove the other folds."
            )


def pool(results: Sequence[FoldResult]) -> pd.DataFrame:
    """Join the predictions of all folds.

    Arguments
    ---------
    results : Sequence[FoldResult]
        At least one fold of one run.

    Returns
    -------
    pd.DataFrame
        The rows of all folds, in the order of the folds.

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
            f"{len(repeated)} utterances are tested in more than one fold, the first "
            f"is {repeated.iloc[0]} in the folds {folds}. Expected each utterance once."
        )
    return pooled
