"""The metrics of each epoch, saved with the checkpoints.

Because the history is part of a checkpoint, a resumed run continues the rows of the
checkpoint it resumes from, and no epoch appears twice. The same rows are written as
``train_log.txt``, in the format of SpeechBrain's ``FileTrainLogger``.
"""

import importlib.util
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import MainProcessContext, if_main_process

from ser_lib.utils.files import atomic_path

if TYPE_CHECKING:
    from speechbrain.utils.train_logger import FileTrainLogger

TRAIN_LOG = "train_log.txt"
_PARTS = ("train", "valid")


@register_checkpoint_hooks
class History:
    """Rows of metrics, one per epoch.

    Arguments
    ---------
    path : str
        CSV file that :meth:`write` writes.
    tensorboard : str
        ``yes`` also logs to TensorBoard, in the folder of the file; ``auto`` does so
        if it is installed; ``no`` does not.

    Raises
    ------
    ValueError
        If ``tensorboard`` is ``yes`` and it is not installed.

    Example
    -------
    >>> history = History(getfixture("tmp_path") / "history.csv")
    >>> history.append(epoch=1, train_loss=0.5)
    >>> history.write()
    >>> print(history.path.read_text().strip())
    epoch,train_loss
    1,0.5
    >>> print(history.path.with_name("train_log.txt").read_text().strip())
    epoch: 1 - train loss: 5.00e-01
    """

    def __init__(self, path: str, tensorboard: str = "no") -> None:
        self.path = Path(path)
        self.rows: list[dict[str, float]] = []
        self._tensorboard = _tensorboard_writer(self.path.parent, tensorboard)

    def append(self, **row: float) -> None:
        """Add the row of an epoch, by column names."""
        self.rows.append(row)
        if self._tensorboard is not None:
            for name, value in row.items():
                self._tensorboard.add_scalar(name, value, row["epoch"])

    def write(self) -> None:
        """Write all rows to the CSV file, and to ``train_log.txt`` beside it."""
        with atomic_path(self.path) as unfinished:
            pd.DataFrame(self.rows).to_csv(unfinished, index=False, float_format="%.6g")
        # SpeechBrain's logger appends; written anew, no epoch appears twice.
        with atomic_path(self.path.with_name(TRAIN_LOG)) as unfinished:
            unfinished.touch()
            for row in self.rows:
                _log(unfinished, **_stats(row))

    @mark_as_saver
    def _save(self, path: str) -> None:
        Path(path).write_text(json.dumps(self.rows), encoding="utf-8")

    @mark_as_loader
    def _load(self, path: str, end_of_epoch: bool) -> None:
        del end_of_epoch
        self.rows = json.loads(Path(path).read_text(encoding="utf-8"))


def log_test(train_log: Path, tested: Mapping[str, Any], **stats: float) -> None:
    """Append the line of a test to a ``train_log.txt``.

    Arguments
    ---------
    tested : Mapping[str, Any]
        What was tested, such as ``{"Epochs averaged": "3 4"}``.
    **stats : float
        Its scores.
    """
    _log(train_log, stats_meta=dict(tested), test_stats=stats)


def _log(train_log: Path, **stats: Mapping[str, Any]) -> None:
    """Append a line; SpeechBrain would wait for the processes that write nothing."""
    with MainProcessContext():
        _file_logger(train_log).log_stats(**stats, verbose=False)


def _stats(row: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Group the columns of an epoch as the arguments of ``log_stats``."""
    stats = {"stats_meta": {}, **{f"{part}_stats": {} for part in _PARTS}}
    for name, value in row.items():
        part, _, rest = name.partition("_")
        if rest and part in _PARTS:
            stats[f"{part}_stats"][rest] = value
        else:
            stats["stats_meta"][name] = value
    return {name: values for name, values in stats.items() if values}


def _tensorboard_writer(folder: Path, setting: str) -> Any:
    """Create a SummaryWriter, and its folder, only for runs that log."""
    if setting not in ("auto", "yes", "no"):
        raise ValueError(f"tensorboard is {setting!r}; expected auto, yes or no.")
    installed = importlib.util.find_spec("tensorboard") is not None
    if setting == "no" or (setting == "auto" and not installed):
        return None
    if not if_main_process():
        return None
    if not installed:
        raise ValueError("tensorboard is yes: run 'pip install tensorboard' first.")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder / "tensorboard")


def _file_logger(path: Path) -> "FileTrainLogger":
    """Create SpeechBrain's logger; its module would warn that it draws no pictures."""
    name = "speechbrain.utils.train_logger"
    logging.getLogger(name).addFilter(lambda r: "torchvision" not in r.getMessage())
    from speechbrain.utils.train_logger import FileTrainLogger

    return FileTrainLogger(str(path))
