"""The columns of further tasks in the predictions files.

They follow the probabilities of the labels. If the model trains on votes, the votes
for each label come first: ``votes_<label>``. Then each task has its truth, its
prediction and, if it has classes, their probabilities: ``gender``,
``gender_prediction``, ``gender_p_man``, ``gender_p_woman``. A truth that an utterance
lacks is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser_lib.corpora import VOTES, Utterance
from ser_lib.settings import DISTRIBUTION, VALUE, Task

_PREDICTION = "_prediction"


@dataclass(frozen=True)
class TaskColumns:
    """A task as the columns of a predictions file describe it.

    Arguments
    ---------
    labels : tuple[str, ...]
        Its classes; empty if its predictions are values.
    """

    name: str
    labels: tuple[str, ...] = ()

    @property
    def prediction(self) -> str:
        """The column of its predictions."""
        return f"{self.name}{_PREDICTION}"

    @property
    def probabilities(self) -> list[str]:
        """The columns of its probabilities."""
        return [f"{self.name}_p_{label}" for label in self.labels]

    @property
    def columns(self) -> list[str]:
        """All its columns."""
        return [self.name, self.prediction, *self.probabilities]


def tasks_of_columns(columns: Sequence[str]) -> list[TaskColumns] | None:
    """Return the tasks of the columns after the probabilities and votes.

    Returns
    -------
    list[TaskColumns] | None
        None if they are not such columns.

    Example
    -------
    >>> columns = ["age", "age_prediction", "sex", "sex_prediction", "sex_p_f"]
    >>> [(task.name, task.labels) for task in tasks_of_columns([*columns, "sex_p_m"])]
    [('age', ()), ('sex', ('f', 'm'))]
    """
    tasks, rest = [], list(columns)
    while rest:
        name, start = rest[0], f"{rest[0]}_p_"
        if rest[1:2] != [f"{name}{_PREDICTION}"]:
            return None
        labels = []
        while rest[2 + len(labels) :][:1] and rest[2 + len(labels)].startswith(start):
            labels.append(rest[2 + len(labels)].removeprefix(start))
        tasks.append(TaskColumns(name, tuple(labels)))
        rest = rest[2 + len(labels) :]
    return tasks


def further_tasks(
    predictions: pd.DataFrame, labels: Sequence[str]
) -> list[TaskColumns]:
    """Return the tasks besides the emotion of a predictions file that was checked."""
    last = list(predictions).index(f"p_{labels[-1]}")
    after = [c for c in list(predictions)[last + 1 :] if not c.startswith(VOTES)]
    return tasks_of_columns(after) or []


def with_task_columns(
    table: pd.DataFrame, tasks: Sequence[Task], answers: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Add the predictions of further tasks to a table of ``prediction_table``.

    Arguments
    ---------
    tasks : Sequence[Task]
        All tasks, the emotion first.
    answers : Mapping[str, (rows, task.size) np.ndarray]
        Probabilities or values by task.
    """
    for task in tasks[1:]:
        columns, own = TaskColumns(task.name, task.labels), answers[task.name]
        if task.kind == VALUE:
            table[columns.prediction] = own[:, 0]
            continue
        table[columns.prediction] = [task.labels[k] for k in own.argmax(axis=1)]
        table[columns.probabilities] = own
    return table


def with_truth(
    table: pd.DataFrame, tasks: Sequence[Task], utterances: Sequence[Utterance]
) -> pd.DataFrame:
    """Add the votes, and the truth of each further task before its prediction.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The utterance of each row.
    """
    if tasks and tasks[0].kind == DISTRIBUTION:
        after = table.columns.get_loc(f"p_{tasks[0].labels[-1]}") + 1
        for k, label in enumerate(tasks[0].labels):
            name = f"{VOTES}{label}"
            own = [u.attributes.get(name, "") for u in utterances]
            table.insert(after + k, name, own)
    for task in tasks[1:]:
        own = [u.attributes.get(task.column, "") for u in utterances]
        at = table.columns.get_loc(TaskColumns(task.name).prediction)
        table.insert(at, task.name, own)
    return table
