"""The tasks of a model: the emotion, and others such as arousal or gender.

The setting ``tasks`` has a block for each task; without it, the emotion is the only
one::

    tasks:
        emotion: {kind: classes}
        arousal: {kind: value, range: [1, 5]}
        gender: {kind: classes, weight: 0.3}

A task other than the emotion reads the attribute of its name, or ``column``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ser_lib.settings.ranges import Range

EMOTION = "emotion"
CLASSES, VALUE, DISTRIBUTION = KINDS = "classes", "value", "distribution"
CCC, SQUARED_ERROR = LOSSES = "ccc", "squared_error"

_OF_ALL = {"kind", "weight"}
_OF_EMOTION = {CLASSES: _OF_ALL, DISTRIBUTION: _OF_ALL}
_OF_CLASSES = {"labels", "label_smoothing", "class_weights", "focal_gamma"}
_OF_OTHERS = {
    CLASSES: {*_OF_ALL, "column", *_OF_CLASSES},
    VALUE: {*_OF_ALL, "column", "range", "loss"},
}
_NUMBERS = {
    "weight": Range(0, open_low=True, high=float("inf"), open_high=True),
    "label_smoothing": Range(0, 1, open_high=True),
    "focal_gamma": Range(0, high=float("inf"), open_high=True),
}
# Other columns of the prediction files
_RESERVED = ("id", "corpus", "speaker", "label", "prediction", "path", "error", "score")


@dataclass(frozen=True)
class Task:
    """One task of a model.

    Arguments
    ---------
    kind : str
        ``classes``; ``value`` for a number; ``distribution`` for the shares of the
        annotators' votes (only of the emotion, whose answer is still one label).
    weight : float
        Its loss is multiplied by it before the losses of all tasks are added up.
    column : str
        The attribute of an utterance that holds its target.
    labels : tuple[str, ...]
        The classes in the order of its outputs; empty until they are read from the
        corpus.
    range : tuple[float, ...]
        Lowest and highest value.
    loss : str
        Of values: ``ccc`` for 1 - CCC, or ``squared_error``.
    label_smoothing, class_weights, focal_gamma
        As the settings of these names, which are those of the emotion.
    """

    name: str
    kind: str = CLASSES
    weight: float = 1.0
    column: str = ""
    labels: tuple[str, ...] = ()
    range: tuple[float, ...] = ()
    loss: str = CCC
    label_smoothing: float = 0.0
    class_weights: str | tuple[float, ...] | None = None
    focal_gamma: float = 0.0

    @property
    def size(self) -> int:
        """Number of outputs."""
        return 1 if self.kind == VALUE else len(self.labels)

    @property
    def is_emotion(self) -> bool:
        """Whether this is the emotion, which every model has."""
        return self.name == EMOTION

    def as_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "Task":
        """Return the task of some entries; lists become tuples again."""
        return cls(**_with_tuples(entries))


def read_tasks(settings: Mapping[str, Any]) -> list[Task]:
    """Read the setting ``tasks``, the emotion first.

    Arguments
    ---------
    settings : Mapping[str, Any] | Settings
        ``tasks``, and what belongs to the emotion: ``labels``, ``label_smoothing``,
        ``class_weights`` and ``focal_gamma``.

    Raises
    ------
    ValueError
        With the task, the key and what was expected.

    Example
    -------
    >>> blocks = {"emotion": {"kind": "classes"}, "sex": {"column": "gender"}}
    >>> settings = {"labels": ["angry", "sad"], "tasks": blocks, "focal_gamma": 2.0}
    >>> [(task.name, task.column, task.focal_gamma) for task in read_tasks(settings)]
    [('emotion', '', 2.0), ('sex', 'gender', 0.0)]
    >>> read_tasks({"tasks": {"arousal": {"kind": "value"}}})
    Traceback (most recent call last):
    ValueError: tasks has no emotion; expected it to be one of the tasks, since \
predictions and the choice of epochs need it. Its weight may be small.
    """
    blocks = settings["tasks"] if "tasks" in settings else {}
    if not isinstance(blocks, Mapping):
        raise ValueError(f"tasks is {blocks!r}; expected a block for each task.")
    if blocks and EMOTION not in blocks:
        raise ValueError(
            "tasks has no emotion; expected it to be one of the tasks, since "
            "predictions and the choice of epochs need it. Its weight may be small."
        )
    tasks = [_read(str(name), block) for name, block in blocks.items()]
    first = [task for task in tasks if task.is_emotion] or [Task(EMOTION)]
    emotion = replace(first[0], **_with_tuples(_of_emotion(settings)))
    return [emotion, *(task for task in tasks if not task.is_emotion)]


def _of_emotion(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings beside ``tasks`` that are those of the emotion."""
    keys = "labels", "label_smoothing", "class_weights", "focal_gamma"
    return {key: settings[key] for key in keys if key in settings}


def _with_tuples(block: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in block.items()}


def _read(name: str, block: Any) -> Task:
    _check_name(name)
    block = {} if block is None else block
    if not isinstance(block, Mapping):
        raise ValueError(f"tasks: {name} is {block!r}; expected a block with its kind.")
    kind = block.get("kind", CLASSES)
    known = _OF_EMOTION if name == EMOTION else _OF_OTHERS
    if kind not in known:
        raise ValueError(
            f"tasks: {name}: kind is {kind!r}; expected {' or '.join(known)}."
        )
    _check_keys(name, block, known[kind])
    if kind == VALUE and "range" not in block:
        raise ValueError(
            f"tasks: {name} has no range; expected the lowest and the highest value, "
            f"such as range: [1, 5]."
        )
    column = {} if name == EMOTION else {"column": name}
    return Task(name=name, **column | _with_tuples(block))


def _check_keys(name: str, block: Mapping, known: set[str]) -> None:
    unknown = [str(key) for key in block if key not in known]
    if unknown:
        misplaced = name == EMOTION and _OF_CLASSES & set(unknown)
        hint = " Those of the emotion are settings beside tasks." if misplaced else ""
        raise ValueError(
            f"tasks: {name} has {', '.join(unknown)}; a task of this kind may have "
            f"{', '.join(sorted(known))}.{hint}"
        )
    for key, value in block.items():
        expected = _expected(key, value)
        if expected:
            raise ValueError(f"tasks: {name}: {key} is {value!r}; expected {expected}.")


def _check_name(name: str) -> None:
    is_column = name.startswith(("p_", "votes_")) or name in _RESERVED
    if not name.isidentifier() or is_column:
        raise ValueError(
            f"tasks has the name {name!r}; expected letters, digits and underscores, "
            f"not {', '.join(_RESERVED)}, nor a name that starts with p_ or votes_."
        )


def _expected(key: str, value: Any) -> str:
    """Return what was expected in place of a wrong value; empty for a right one."""
    if key in _NUMBERS:
        return "" if value in _NUMBERS[key] else str(_NUMBERS[key])
    numbers = isinstance(value, list) and value in Range(listed=True)
    if key == "range":
        is_range = numbers and len(value) == 2 and value[0] < value[1]
        return "" if is_range else "the lowest and the highest value, such as [1, 5]"
    if key == "labels":
        are_names = isinstance(value, list) and all(isinstance(v, str) for v in value)
        is_right = are_names and len(set(value)) == len(value) >= 2
        return "" if is_right else "a list of at least two different names"
    if key == "class_weights":
        is_right = value in (None, "balanced") or (numbers and min(value) > 0)
        return "" if is_right else "balanced, null, or a list of numbers above 0"
    if key == "loss":
        return "" if value in LOSSES else " or ".join(LOSSES)
    if key == "column":
        return "" if isinstance(value, str) and value else "the name of an attribute"
    return ""
