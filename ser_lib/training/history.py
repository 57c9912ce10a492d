"""The metrics of each epoch, saved with the checkpoints.

Because the history is part of a checkpoint, a resumed run continues the rows of the
checkpoint it resumes from, and no epoch appears twice.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pandas as pd
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import if_main_process

from ser_lib.utils.files import atomic_path


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
        """Write all rows to the CSV file."""
        with atomic_path(self.path) as unfinished:
            pd.DataFrame(self.rows).to_csv(unfinished, index=False, float_format="%.6g")

    @mark_as_saver
    def _save(self, path: str) -> None:
        Path(path).write_text(json.dumps(self.rows), encoding="utf-8")

    @mark_as_loader
    def _load(self, path: str, end_of_epoch: bool) -> None:
        del end_of_epoch
        self.rows = json.loads(Path(path).read_text(encoding="utf-8"))


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
