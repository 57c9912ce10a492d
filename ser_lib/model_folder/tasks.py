"""The tasks besides the emotion in the description of a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ser_lib.settings import CLASSES, VALUE, Task

_MOST_TASKS, _MOST_LABELS = 20, 1000
_ABOUT = {CLASSES: {"name", "kind", "labels"}, VALUE: {"name", "kind", "range"}}


def describe_tasks(tasks: Sequence[Task]) -> list[dict]:
    """Return what a model needs to know of its tasks, as plain values.

    Example
    -------
    >>> describe_tasks([Task("arousal", "value", range=(1, 5))])
    [{'name': 'arousal', 'kind': 'value', 'range': [1, 5]}]
    """
    return [_describe(task) for task in tasks]


def _describe(task: Task) -> dict:
    key = "range" if task.kind == VALUE else "labels"
    return {"name": task.name, "kind": task.kind, key: list(getattr(task, key))}


def further_tasks(network: Mapping) -> list[Task]:
    """Return the tasks of a network that was checked, besides the emotion."""
    return [Task.from_json(entries) for entries in network.get("tasks", [])]


def check_tasks(tasks: object, name: str | Path) -> None:
    """Raise ValueError if a description of tasks is not as :func:`describe_tasks`'."""
    if not isinstance(tasks, list) or len(tasks) > _MOST_TASKS:
        raise _damaged(name, tasks)
    names = [task.get("name") for task in tasks if isinstance(task, dict)]
    if len({str(n) for n in names}) != len(tasks):
        raise _damaged(name, tasks)
    for task in tasks:
        if not _is_task(task):
            raise _damaged(name, task)


def _is_task(task: Mapping) -> bool:
    kind, title = task.get("kind"), task.get("name")
    if not isinstance(kind, str) or set(task) != _ABOUT.get(kind):
        return False
    if not isinstance(title, str) or not title.isidentifier() or len(title) > 100:
        return False
    return _is_range(task["range"]) if kind == VALUE else _are_labels(task["labels"])


def _is_range(ends: object) -> bool:
    is_pair = isinstance(ends, list) and len(ends) == 2
    return is_pair and all(type(x) in (int, float) for x in ends) and ends[0] < ends[1]


def _are_labels(labels: object) -> bool:
    are_names = isinstance(labels, list) and all(isinstance(x, str) for x in labels)
    return are_names and 2 <= len(set(labels)) == len(labels) <= _MOST_LABELS


def _damaged(name: str | Path, found: object) -> ValueError:
    return ValueError(
        f"The tasks of {name} are not described as expected: {found!r:.200}. Expected "
        f"up to {_MOST_TASKS} with different names, each with labels or a range."
    )
