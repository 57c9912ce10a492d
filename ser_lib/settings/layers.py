"""The layers of settings: YAML files that extend each other, joined node by node.

* Plain mappings are merged key by key.
* A scalar, a list or a tagged node (``!new:``, ``!name:``, ``!ref`` ...) is replaced.
* A key that no lower layer has is an error that names the file, the key and the nearest
  match. A file may add a top-level key if something refers to it.
"""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from ser_lib.settings.checks import check_values
from ser_lib.settings.errors import (
    COMMAND_LINE,
    at_source,
    extended_files,
    naming_settings,
    read_settings_text,
    unknown_setting,
)
from ser_lib.settings.shipped import find_settings
from ser_lib.settings.yaml_tree import check_size, tag_of, without_comments

_KINDS = {bool: "True or False", (int, float): "a number", list: "a list"}
_OBJECT_TAGS = ("!new:", "!name:")
# A missing value, and a choice among values: both may be replaced by a mapping.
_NO_OBJECT_TAGS = ("!PLACEHOLDER", "!apply:operator.getitem")


def join_files(path: Path, above: tuple[Path, ...] = ()) -> CommentedMap:
    """Join a settings file with those it extends; the files in ``above`` extend it."""
    if path.resolve() in above:
        raise ValueError(f"{path} extends itself, or a file that extends it.")
    layer = parse(read_settings_text(path), str(path))
    check_values(layer, at_source(str(path)))
    names = extended_files(layer.pop("extends", []), path)
    if not names:
        return layer
    above = (*above, path.resolve())
    first, *others = [find_settings(name, path.parent) for name in names]
    tree = join_files(first, above)
    for other in others:
        merge(tree, join_files(other, above), str(other))
    introduced = [key for key in layer if key not in tree]
    merge(tree, layer, str(path))
    _check_are_used(introduced, tree, path)
    return tree


def stage_file(path: Path, name: str) -> Path:
    """Find a settings file that another one names, such as that of its fine-tuning.

    Arguments
    ---------
    path : Path
        The settings file that has the name, itself or in a file that it extends.
    name : str
        A file beside any of them, or a name as for ``find_settings``.
    """
    layers = [path]
    for layer in layers:  # grows: the files that each extends, the uppermost first
        if (layer.parent / name).is_file():
            return layer.parent / name
        names = parse(read_settings_text(layer), str(layer)).get("extends", [])
        extended = extended_files(names, layer)
        layers += [find_settings(other, layer.parent) for other in extended]
    return find_settings(name, path.parent)


def merge(
    base: CommentedMap, layer: CommentedMap, source: str, where: str = ""
) -> None:
    """Merge a layer into ``base``, in place."""
    for key, value in layer.items():
        name = f"{where}{key}"
        if key not in base:
            # An empty mapping, such as ``finetuned: {}``, a label map and tasks accept
            # any key; overrides of another experiment are checked with its settings.
            is_open = where.endswith((": overrides: ", "label_map: "))
            is_open = is_open or where.startswith("tasks: ")
            is_open = is_open or (where and not base)
            if not is_open and (where or source == COMMAND_LINE):
                raise unknown_setting(name, key, base, source)
            base[key] = value
        elif _is_plain_map(base[key]) and base[key] and _is_plain_map(value):
            merge(base[key], value, source, f"{name}: ")
        else:
            _check_kind(base[key], value, name, source)
            base[key] = value


def _check_are_used(introduced: list[str], tree: CommentedMap, path: Path) -> None:
    """Refuse a new key that nothing refers to: it is probably misspelled."""
    text = dump(tree)
    for key in introduced:
        if not re.search(rf"<{re.escape(str(key))}[>.\[]", text):
            known = [k for k in tree if k not in introduced]
            raise unknown_setting(key, key, known, str(path))


def in_order_of_reference(tree: CommentedMap) -> CommentedMap:
    """Sort the top-level keys so that each comes after the keys it refers to.

    HyperPyYAML resolves references to references only in this order.
    """
    ordered = CommentedMap()

    def place(key: str, referring: tuple[str, ...] = ()) -> None:
        if key in referring:
            loop = " -> ".join([*referring, key])
            raise ValueError(f"These settings refer to each other: {loop}.")
        if key in ordered or key not in tree:
            return
        for name in re.findall(r"<(\w+)", dump({key: tree[key]})):
            place(name, (*referring, key))
        ordered[key] = tree[key]

    for key in tree:
        place(key)
    return ordered


def _check_kind(old: Any, new: Any, name: str, source: str) -> None:
    """Refuse text for a number, a number for a switch, arguments for an object."""
    is_object = tag_of(old) and not tag_of(old).startswith(_NO_OBJECT_TAGS)
    if is_object and _is_plain_map(new):
        raise ValueError(
            f"{name} {at_source(source)} has arguments only, but {name} is an object "
            f"({tag_of(old)}). Write the whole object with its tag, or change the "
            f"settings that the object refers to."
        )
    if tag_of(new) or new is None:
        return
    if tag_of(old).startswith(_OBJECT_TAGS):
        raise ValueError(
            f"{name} {at_source(source)} is {new!r}; expected an object with its tag, "
            f"such as {tag_of(old)}."
        )
    if tag_of(old) or old is None:
        return
    for kind, words in _KINDS.items():  # text may become anything: --folds 3
        if isinstance(old, kind):
            if not isinstance(new, kind) or isinstance(new, bool) != (kind is bool):
                raise ValueError(
                    f"{name} {at_source(source)} is {new!r}; expected {words}, such as "
                    f"{old!r}."
                )
            return


def parse(text: str, source: str) -> CommentedMap:
    """Parse settings into YAML nodes; ``source`` is named in errors."""
    with naming_settings(source, text):
        tree = YAML().load(text) if text.strip() else CommentedMap()
    if not isinstance(tree, CommentedMap):
        raise ValueError(f"{source} does not hold 'key: value' settings.")
    check_size(tree, source)
    return without_comments(tree)


def _is_plain_map(node: Any) -> bool:
    return isinstance(node, CommentedMap) and not tag_of(node)


def dump(tree: Mapping) -> str:
    """Format YAML nodes as text, with each reference on one line."""
    yaml = YAML()
    yaml.width = 4096  # a text search would not find a wrapped !ref
    stream = StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()
