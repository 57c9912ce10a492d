"""What each training step gave: its loss, and how much of its batch was right.

``steps.csv`` stands beside ``history.csv``: one row a step, with the columns ``epoch``,
``step``, ``loss``, ``correct`` and ``utterances``. It is seen in training, so dropout
and augmentation are on. A run of several processes has a row for each of them.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from pandas.api.types import is_numeric_dtype
from speechbrain.utils.distributed import if_main_process

from ser_lib.distributed import gather_lists
from ser_lib.files import atomic_path
from ser_lib.finished_folds import remedy
from ser_lib.tables import markdown_table, read_csv

STEPS_FILE = "steps.csv"
Step = tuple[torch.Tensor, torch.Tensor, int]  # loss, correct, utterances
_COLUMNS = ["epoch", "step", "loss", "correct", "utterances"]


def log_steps(path: str | Path, epoch: int, steps: Sequence[Step]) -> float:
    """Add the steps of an epoch to the file; every process calls it.

    An epoch that is trained again after a kill replaces what was there of it.

    Arguments
    ---------
    path : str | Path
        The file; it is made where it is missing.
    epoch : int
        Number of the epoch.
    steps : Sequence[Step]
        For each step of this process the loss, how many utterances were classified
        correctly, and how many there were.

    Returns
    -------
    float
        Share of the epoch's utterances that were classified correctly.

    Example
    -------
    >>> path = Path(getfixture("tmp_path")) / "steps.csv"
    >>> log_steps(path, 1, [(torch.tensor(0.5), torch.tensor(1), 2)])
    0.5
    >>> print(path.read_text().strip())
    epoch,step,loss,correct,utterances
    1,1,0.5,1,2
    """
    own = [
        (epoch, step, loss.item(), int(correct), n)
        for step, (loss, correct, n) in enumerate(steps, start=1)
    ]
    rows = pd.DataFrame(gather_lists(own), columns=_COLUMNS)
    rows = rows.sort_values("step", kind="stable")
    if if_main_process():
        former = pd.read_csv(path) if Path(path).is_file() else rows[:0]
        rows_of_all = pd.concat([former[former["epoch"] < epoch], rows])
        with atomic_path(path) as unfinished:
            rows_of_all.to_csv(unfinished, index=False, float_format="%.6g")
    return float(epoch_accuracies(rows)[epoch])


def epoch_accuracies(steps: pd.DataFrame) -> pd.Series:
    """Compute the training accuracy of each epoch.

    Arguments
    ---------
    steps : pd.DataFrame
        Rows of a ``steps.csv``.

    Returns
    -------
    pd.Series
        Epoch -> share of its utterances that were classified correctly.
    """
    totals = steps.groupby("epoch")[["correct", "utterances"]].sum()
    return totals["correct"] / totals["utterances"]


def copy_steps(source: str | Path, folder: str | Path) -> None:
    """Copy the file of a trained fold to the folder of its results.

    Arguments
    ---------
    source, folder : str | Path
        From where and to where. A fold that an older version trained has no such file;
        none is then left in ``folder`` either.
    """
    target = Path(folder) / STEPS_FILE
    if (Path(source) / STEPS_FILE).is_file():
        shutil.copyfile(Path(source) / STEPS_FILE, target)
    else:
        target.unlink(missing_ok=True)


def read_steps(output_folder: str | Path, folds: Sequence[int]) -> dict:
    """Read the files of a run's folds.

    Arguments
    ---------
    output_folder : str | Path
        Holds ``fold_1``, ``fold_2`` and so on.
    folds : Sequence[int]
        The folds that are wanted.

    Returns
    -------
    dict[int, pd.DataFrame]
        Fold -> its rows, for those that have the file.

    Raises
    ------
    ValueError
        If a file is damaged.
    """
    folders = {fold: Path(output_folder, f"fold_{fold}") for fold in folds}
    return {
        fold: _read_fold_steps(folder)
        for fold, folder in folders.items()
        if (folder / STEPS_FILE).is_file()
    }


def _read_fold_steps(folder: Path) -> pd.DataFrame:
    try:
        steps = read_csv(folder / STEPS_FILE)
        if list(steps) != _COLUMNS or not all(map(is_numeric_dtype, steps.dtypes)):
            raise ValueError(
                f"{folder / STEPS_FILE}: expected numbers in the columns {_COLUMNS}, "
                f"found the columns {list(steps)}."
            )
    except ValueError as error:
        raise ValueError(f"{error} {remedy(folder)}") from error
    return steps


def step_sections(steps: Mapping[int, pd.DataFrame]) -> list[str]:
    """Write what the report says about the steps, beside their picture.

    Arguments
    ---------
    steps : Mapping[int, pd.DataFrame]
        As :func:`read_steps` gives them.

    Returns
    -------
    list[str]
        Sections in Markdown; none if there are no steps.
    """
    if not steps:
        return []
    table = pd.DataFrame({fold: epoch_accuracies(s) for fold, s in steps.items()}).T
    table.columns = [f"epoch {epoch}" for epoch in table]
    return [
        "![Loss of each step and accuracy of each epoch](steps.png)",
        "Training accuracy, percent:",
        markdown_table(100 * table.rename_axis("fold")),
    ]
