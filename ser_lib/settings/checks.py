"""Checks of settings before anything is built: numbers, names and combinations.

``check_values`` checks one layer of settings, so that it can report where a value was
given; ``check_together`` checks values that depend on each other. Settings that are not
listed here, such as those of a user, are not checked.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ser_lib.settings.ranges import Range, range_of
from ser_lib.settings.tasks import read_tasks
from ser_lib.settings.yaml_tree import tag_of

# In place of a placeholder, until a value is given
NO_VALUE = "(this setting has no value)"
# Each key must be at most its value.
_AT_MOST = {
    "averaged_checkpoints": "kept_checkpoints",
    "corpus: min_duration_s": "crop_s",  # the minimum that networks need
    "min_duration_s": "max_duration_s",
}
_DIVISORS = {
    f"{block}: {name}": f"{block}: hidden_size"
    for block in ("encoder", "transformer")
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups")
}

# Each names a folder in the results folder, or a part of its name.
NAMES = ("experiment", "method", "family")
# Required by every run; other objects, such as wav_augment, may be null.
REQUIRED = (
    "aggregator",
    "corpus",
    "epoch_counter",
    "finetuned",
    "folds",
    "history",
    "labels",
    "make_folds",
    "model",
    "objective",
    "optimizer",
    "read_corpus",
    "upstream",
)
# Lists and mappings that are checked as a whole
_WHOLE = ("balance_by", "class_weights", "label_map", "tasks")
PATHS = (
    "csv",
    "data_folder",
    "frames_folder",
    "output_folder",
    "results_folder",
    "cache_folder",
)


def values_of(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of settings, each with its full name.

    Arguments
    ---------
    node : Any
        A tree of settings as ruamel.yaml reads it.
    name : str
        Name of this node.

    Yields
    ------
    tuple[str, Any]
        Such as ``optimizer: weight_decay`` and its value. Overrides for a fine-tuning
        experiment (``finetuned``) have the names that they have there. Tagged nodes,
        such as ``!ref``, are left out.

    Example
    -------
    >>> list(values_of({"lr": 0.1, "loader": {"sizes": [1, 2]}}))
    [('lr', 0.1), ('loader: sizes', 1), ('loader: sizes', 2)]
    """
    if tag_of(node).startswith("!apply"):  # the result is checked, not the arguments
        return
    is_one_value = name in (*NAMES, *PATHS, *_WHOLE) or range_of(name)
    if isinstance(node, Mapping) and not is_one_value:
        block = "" if fnmatchcase(name, "finetuned: *: overrides") else name
        for key, value in node.items():
            yield from values_of(value, f"{block}: {key}" if block else str(key))
    elif isinstance(node, list) and not is_one_value:
        for value in node:
            yield from values_of(value, name)
    elif not tag_of(node):
        is_list = isinstance(node, list)
        yield name, [v for v in node if not tag_of(v)] if is_list else node


def check_values(settings: Mapping, where: str) -> None:
    """Refuse numbers out of range, and names that lead out of the results folder.

    Arguments
    ---------
    settings : Mapping
        One layer of settings, or all of them.
    where : str
        Where they were given: ``on the command line``, ``in base.yaml``.

    Raises
    ------
    ValueError
        With the setting, its value and what was expected.

    Example
    -------
    >>> check_values({"crop_s": 0}, "in mine.yaml")
    Traceback (most recent call last):
    ValueError: crop_s in mine.yaml is 0; expected a number above 0, or null.
    """
    for name, value in values_of(settings):
        expected = _expected_instead(name, value)
        if expected is not None:
            found = "null" if value is None else repr(value)
            raise ValueError(f"{name} {where} is {found}; expected {expected}.")


def _expected_instead(name: str, value: Any) -> object | None:
    """Return what was expected in place of a wrong value; None for a right one."""
    numbers = range_of(name)
    if numbers is not None:
        return None if value in numbers else numbers
    for names, is_right, expected in _KINDS:
        if name in names and not is_right(value):
            return expected
    return None


def _is_layer(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("last", "sum", "all")
    numbers = value if isinstance(value, list) else [value]
    are_different = len(numbers) == len(set(map(str, numbers))) > 0
    return are_different and all(type(n) is int and n >= 0 for n in numbers)


def _are_weights(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and value in Range(0, open_low=True, listed=True)
    return value in (None, "balanced")


def _is_label_map(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return value == "shared" or bool(tag_of(value))
    return all(new is None or isinstance(new, str) for new in value.values())


def _is_corpora(value: Any) -> bool:
    is_open = bool(tag_of(value)) or value == NO_VALUE
    return is_open or (isinstance(value, Mapping) and bool(value))


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and value.strip() not in ("", ".", "..")
        and value.isprintable()
        and not set(value) & set("/\\")
    )


def _is_path(value: Any) -> bool:
    is_text = isinstance(value, str) and value.strip() != "" and "\0" not in value
    return is_text and not value.startswith("~")  # no shell has expanded it


_KINDS = (
    (NAMES, _is_name, "a name as text, without / and \\, since it names a folder"),
    (
        ("standardise_by",),
        lambda v: v in (None, "speaker", "corpus", "mixed"),
        "speaker, corpus, mixed or null",
    ),
    (
        ("balance_by",),
        lambda v: v in ([], ["label"], ["corpus"], ["corpus", "label"]),
        "[], [label], [corpus] or [corpus, label]",
    ),
    (
        ("label_map",),
        _is_label_map,
        "labels and what they become, such as {calm: neutral, bored: null}, or shared",
    ),
    (("corpora",), _is_corpora, "recipes and their data folders: {RAVDESS: DIR}"),
    (("label_by",), lambda v: v in ("intended", "vote"), "intended or vote"),
    (
        ("folds_by",),
        lambda v: v in ("speaker", "corpus", "matrix", "all"),
        "speaker, corpus or all (matrix is for cross_corpus.py)",
    ),
    (
        ("layer",),
        _is_layer,
        "last, sum, all, the number of a hidden state, from 0, or a list of numbers",
    ),
    (
        ("class_weights",),
        _are_weights,
        "balanced, null, or a list of numbers above 0",
    ),
    (REQUIRED, lambda v: v is not None, "a value"),
    (
        PATHS,
        _is_path,
        "a path as text (put a number in quotation marks, and write $HOME for your "
        "home folder)",
    ),
)


def check_together(settings: Mapping) -> None:
    """Refuse values that do not fit each other.

    Arguments
    ---------
    settings : Mapping
        All settings, with references resolved.

    Raises
    ------
    ValueError
        With both settings and their values.
    """
    for less, more in _AT_MOST.items():
        small, large = _find(settings, less), _find(settings, more)
        if _are_numbers(small, large) and small > large:
            raise ValueError(
                f"{less} is {small}, and {more} is {large}; expected {less} to be at "
                f"most {more}."
            )
    for divisor, size in _DIVISORS.items():
        parts, whole = _find(settings, divisor), _find(settings, size)
        if _are_numbers(parts, whole) and whole % parts:
            raise ValueError(
                f"{divisor} is {parts}, and {size} is {whole}; expected a "
                f"divisor of it."
            )
    _check_ecapa_channels(settings.get("ecapa_channels"))
    _check_labels(settings.get("labels"))
    read_tasks({"tasks": settings.get("tasks", {})})


def _find(settings: Mapping, name: str) -> Any:
    node: Any = settings
    for key in name.split(": "):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)


def _check_ecapa_channels(channels: Any) -> None:
    """Refuse channels that ECAPA-TDNN cannot split into the 8 parts of Res2Net."""
    if not isinstance(channels, list):
        return
    blocks = channels[1:-1]
    if len(channels) != 5 or len(set(blocks)) != 1 or blocks[0] % 8:
        raise ValueError(
            f"ecapa_channels is {list(channels)}; expected five numbers, the three in "
            f"the middle being the same multiple of 8, such as [512, 512, 512, 512, "
            f"1536]."
        )


def _check_labels(labels: Any) -> None:
    is_plain = labels is not None and not tag_of(labels)
    if is_plain and not isinstance(labels, list):
        raise ValueError(
            f"labels is {labels!r}; expected a list of names, such as [sad, angry]."
        )
