"""The files that a finished fold leaves in the output folder."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from speechbrain.utils.logger import get_logger

from ser_lib.corpora import Utterance
from ser_lib.evaluation import write_parts
from ser_lib.model import CORPUS, SPEAKER
from ser_lib.training.brain import EmotionBrain
from ser_lib.training.history import TRAIN_LOG, log_test
from ser_lib.training.step_log import copy_steps
from ser_lib.utils.files import atomic_path

logger = get_logger(__name__)


def discard_results(folder: Path, fault: str) -> None:
    """Remove fold.json, which marks a finished fold, before anything changes."""
    path = folder / "fold.json"
    if path.is_file():
        logger.warning("Replacing the results in %s: %s", folder, fault)
        path.unlink()


def write_results(
    folder: Path,
    info: Mapping,
    brain: EmotionBrain,
    predictions: Mapping[str, pd.DataFrame],
    utterances: Sequence[Utterance],
) -> None:
    """Write predictions and learning curves, then fold.json.

    Arguments
    ---------
    info : Mapping
        The entries of fold.json that do not depend on the training.
    brain : EmotionBrain
        After ``load_average``.
    predictions : Mapping[str, pd.DataFrame]
        By part: those of ``test`` and, if there is such a part, ``valid``.
    utterances : Sequence[Utterance]
        All utterances of the fold.
    """
    labels = brain.hparams.labels
    tasks = brain.targets.tasks
    write_parts(folder, predictions, utterances, labels, tasks)
    shutil.copyfile(brain.hparams.history.path, folder / "history.csv")
    copy_steps(brain.hparams.save_folder, folder)
    _copy_train_log(folder, brain, predictions["test"], utterances)
    label_of = {u.id: u.label for u in utterances}
    tested = {label_of[i] for i in predictions["test"]["id"]}
    by = brain.hparams.standardise_by
    info = {
        **info,
        "adapted": by if by in (SPEAKER, CORPUS) else "no",
        "absent_labels": [label for label in labels if label not in tested],
        "averaged_epochs": [c.meta["epoch"] for c in brain.averaged],
        "valid_accuracy": [c.meta["valid_accuracy"] for c in brain.averaged],
    }
    if brain.hparams.tasks:
        info["tasks"] = [task.as_json() for task in tasks]
    with atomic_path(folder / "fold.json") as unfinished:
        unfinished.write_text(json.dumps(info, indent=1), encoding="utf-8")


def _copy_train_log(
    folder: Path,
    brain: EmotionBrain,
    tested: pd.DataFrame,
    utterances: Sequence[Utterance],
) -> None:
    """Copy SpeechBrain's log of the training, and add the line of the test.

    A fold that an older version trained has no such log.
    """
    log = brain.hparams.history.path.with_name(TRAIN_LOG)
    if not log.is_file():
        (folder / TRAIN_LOG).unlink(missing_ok=True)
        return
    truth = {u.id: u.label for u in utterances}
    correct = tested["prediction"] == tested["id"].map(truth)
    averaged = " ".join(str(c.meta["epoch"]) for c in brain.averaged)
    with atomic_path(folder / TRAIN_LOG) as unfinished:
        shutil.copyfile(log, unfinished)
        log_test(unfinished, {"epochs averaged": averaged}, accuracy=correct.mean())
