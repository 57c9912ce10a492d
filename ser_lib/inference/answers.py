"""What a model with several tasks answers: a label or a value for each task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ser_lib.inference.interface import Recognizer
from ser_lib.settings import EMOTION, VALUE, Task


@dataclass(frozen=True)
class ClassAnswer:
    """The answer of a task with classes.

    Arguments
    ---------
    label : str
        The most probable class.
    score : float
        Its probability.
    probabilities : dict[str, float]
        Class -> probability.
    """

    label: str
    score: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class ValueAnswer:
    """The answer of a task with values, in the range of the task."""

    value: float


Answer = ClassAnswer | ValueAnswer


def answers_by_task(tasks: Sequence[Task], row: Sequence[float]) -> dict[str, Answer]:
    """Turn a row of numbers into an answer for each task.

    Arguments
    ---------
    tasks : Sequence[Task]
        The tasks that the row answers.
    row : Sequence[float]
        For each task, the probabilities of its classes, or its value.

    Example
    -------
    >>> tasks = [Task("sex", labels=("f", "m")), Task("age", "value", range=(0, 99))]
    >>> answers = answers_by_task(tasks, [0.25, 0.75, 31.0])
    >>> answers["sex"].label, answers["sex"].score, answers["age"].value
    ('m', 0.75, 31.0)
    """
    found, start = {}, 0
    for task in tasks:
        own = [float(x) for x in row[start : start + task.size]]
        start += task.size
        if task.kind == VALUE:
            found[task.name] = ValueAnswer(own[0])
            continue
        probabilities = dict(zip(task.labels, own, strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        answer = ClassAnswer(label, probabilities[label], probabilities)
        found[task.name] = answer
    return found


def count_answers(recognizer: Recognizer) -> int:
    """Return how many numbers a model answers: probabilities and values."""
    return len(recognizer.labels) + sum(task.size for task in recognizer.tasks)


def emotion_of(labels: Sequence[str]) -> Task:
    """Return the task that every model has."""
    return Task(EMOTION, labels=tuple(labels))


def answer_columns(tasks: Sequence[Task], with_probabilities: bool = True) -> list[str]:
    """Return the columns of :func:`answer_row`.

    Example
    -------
    >>> answer_columns([Task("sex", labels=("f", "m")), Task("age", "value")])
    ['sex', 'sex_p_f', 'sex_p_m', 'age']
    """
    columns = []
    for task in tasks:
        columns.append(task.name)
        if with_probabilities and task.kind != VALUE:
            columns += [f"{task.name}_p_{label}" for label in task.labels]
    return columns


def answer_row(
    answers: Mapping[str, Answer], with_probabilities: bool = True
) -> dict[str, str | float]:
    """Return answers as the columns of a table: labels, probabilities and values."""
    row: dict[str, str | float] = {}
    for name, answer in answers.items():
        if isinstance(answer, ValueAnswer):
            row[name] = round(answer.value, 6)
            continue
        row[name] = answer.label
        if with_probabilities:
            shares = answer.probabilities.items()
            row |= {f"{name}_p_{label}": round(p, 6) for label, p in shares}
    return row
