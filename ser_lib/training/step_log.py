"""Loss and accuracy of each training step.

``steps.csv`` is in the folder of ``history.csv``. It has one row per step, with the
columns ``epoch``, ``step``, ``loss``, ``correct`` and ``utterances``, as seen in
training, with dropout and augmentation. With several processes, each has its own rows.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from speechbrain.utils.distributed import if_main_process

from ser_lib.evaluation import STEP_COLUMNS, STEPS_FILE, epoch_accuracies
from ser_lib.utils.distributed import gather_lists
from ser_lib.utils.files import atomic_path

Step = tuple[torch.Tensor, torch.Tensor, int]  # loss, correct, utterances


def log_steps(path: str | Path, epoch: int, steps: Sequence[Step]) -> float:
    """Append the steps of an epoch to a CSV file; every process must call it.

    An epoch that is repeated after a kill replaces its earlier rows.

    Arguments
    ---------
    steps : Sequence[Step]
        For each step of this process, the loss, the number of correctly classified
        utterances, and the number of utterances.

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
    rows = pd.DataFrame(gather_lists(own), columns=STEP_COLUMNS)
    rows = rows.sort_values("step", kind="stable")
    if if_main_process():
        former = pd.read_csv(path) if Path(path).is_file() else rows[:0]
        all_rows = pd.concat([former[former["epoch"] < epoch], rows])
        with atomic_path(path) as unfinished:
            all_rows.to_csv(unfinished, index=False, float_format="%.6g")
    return float(epoch_accuracies(rows)[epoch])


def copy_steps(source: str | Path, folder: str | Path) -> None:
    """Copy the file of a trained fold to the folder of its results.

    Folds trained by an older version have no such file; one in ``folder`` is then
    removed.
    """
    target = Path(folder) / STEPS_FILE
    if (Path(source) / STEPS_FILE).is_file():
        shutil.copyfile(Path(source) / STEPS_FILE, target)
    else:
        target.unlink(missing_ok=True)
