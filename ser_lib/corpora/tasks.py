"""The targets of tasks: what the attributes of an utterance say of each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from ser_lib.corpora.attributes import VOTES, number_of_votes
from ser_lib.corpora.manifest import Utterance
from ser_lib.settings import CLASSES, DISTRIBUTION, VALUE, Task

Target = int | float | list[float]
# Votes are counts, or shares that were rounded to a few decimals.
_SUM_TOLERANCE = 0.02


def with_labels(tasks: Sequence[Task], utterances: Sequence[Utterance]) -> list[Task]:
    """Return tasks with the classes of each: those listed, or all values, sorted.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        All parts of a fold.

    Example
    -------
    >>> rows = [Utterance("a", "", "sad", "1", 1.0, attributes={"sex": "woman"})]
    >>> with_labels([Task("sex", column="sex", labels=("man", "woman"))], rows)[0].size
    2
    """
    return [_with_labels(task, utterances) for task in tasks]


def _with_labels(task: Task, utterances: Sequence[Utterance]) -> Task:
    if task.kind != CLASSES or task.labels:
        return task
    values = {u.attributes.get(task.column) or "" for u in utterances} - {""}
    if not values:
        raise ValueError(_absent(task, len(utterances)))
    if len(values) == 1:
        raise ValueError(
            f"tasks: {task.name} has only the class {next(iter(values))!r} in the "
            f"column {task.column}; expected at least two."
        )
    return replace(task, labels=tuple(sorted(values)))


def _absent(task: Task, n: int) -> str:
    if task.is_emotion:
        what, remedy = f"{VOTES}<label>", "Train on the labels (kind: classes)"
    else:
        what, remedy = task.column, "Leave the task out, or name the right column"
    return f"tasks: {task.name}: none of {n:,} utterances has {what}. {remedy}."


def target_of(utterance: Utterance, task: Task) -> Target | None:
    """Return the target of a task for an utterance; None if it has none.

    Returns
    -------
    int | float | list[float] | None
        The index of its class; its value; or the share of the votes for each label.

    Raises
    ------
    ValueError
        If the value is not a number in the range of the task, or not one of its
        classes.

    Example
    -------
    >>> votes = {"votes_sad": "3", "votes_angry": "1", "arousal": "4.5"}
    >>> row = Utterance("a", "", "sad", "1", 1.0, attributes=votes)
    >>> target_of(row, Task("emotion", "distribution", labels=("angry", "sad")))
    [0.25, 0.75]
    >>> target_of(row, Task("arousal", "value", column="arousal", range=(1, 5)))
    4.5
    """
    if task.kind == DISTRIBUTION:
        votes = [number_of_votes(utterance, f"{VOTES}{x}") for x in task.labels]
        total = sum(votes)
        return [n / total for n in votes] if total else None
    if task.is_emotion:
        return task.labels.index(utterance.label)
    text = utterance.attributes.get(task.column) or ""
    if not text:
        return None
    return _value(text, task) if task.kind == VALUE else _index(text, task)


def _value(text: str, task: Task) -> float:
    low, high = task.range
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:  # also if it is not a number
        raise ValueError(f"expected a number from {low:g} to {high:g}")
    return value


def _index(text: str, task: Task) -> int:
    if text not in task.labels:
        raise ValueError(f"expected one of {', '.join(task.labels)}")
    return task.labels.index(text)


def check_targets(tasks: Sequence[Task], utterances: Sequence[Utterance]) -> list[str]:
    """Check the targets of all tasks before anything is trained.

    Returns
    -------
    list[str]
        A sentence for each task that some utterances lack.

    Raises
    ------
    ValueError
        If no utterance has a target of a task, a value is outside the range, a class is
        unknown, or votes are neither counts nor shares that sum to 1.
    """
    sentences = []
    for task in with_labels(tasks, utterances):
        if task.kind == DISTRIBUTION:
            _check_all(utterances, task, _check_votes)
        has_target = _check_all(utterances, task, target_of)
        n = len(utterances) - sum(has_target)
        if n == len(utterances):
            raise ValueError(_absent(task, n))
        if n:
            sentences.append(
                f"Task {task.name}: {n:,} of {len(utterances):,} utterances have no "
                f"target and are left out of its loss."
            )
    return sentences


def _check_all(
    utterances: Sequence[Utterance],
    task: Task,
    read: Callable[[Utterance, Task], object],
) -> list[bool]:
    """Return which utterances have a target; name the first of those that are wrong."""
    found, wrong = [], []
    for u in utterances:
        try:
            found.append(read(u, task) is not None)
        except ValueError as error:
            wrong.append((u, error))
    if wrong:
        u, error = wrong[0]
        text = u.attributes.get(task.column)
        where = f"{u.id} has {task.column} = {text!r}; " if task.column else ""
        raise ValueError(
            f"tasks: {task.name}: {len(wrong):,} of {len(utterances):,} utterances "
            f"have a wrong target. The first: {where}{error}."
        )
    return found


def _check_votes(utterance: Utterance, task: Task) -> None:
    del task
    names = [name for name in utterance.attributes if name.startswith(VOTES)]
    total = sum(number_of_votes(utterance, name) for name in names)
    if abs(total - round(total)) > _SUM_TOLERANCE:
        raise ValueError(
            f"the votes of {utterance.id} sum to {total:g}; expected counts of votes, "
            f"or shares that sum to 1"
        )
