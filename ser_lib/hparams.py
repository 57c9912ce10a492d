"""Settings: short files that extend each other, joined before anything is built.

HyperPyYAML has no inheritance, and it lets a misspelt nested override pass. So the
layers of an experiment (the files it ``extends:``, the file itself, the command
line) are joined here, on the YAML nodes, before references resolve:

* plain mappings merge, key by key;
* a scalar, a list or a tagged node (``!new:``, ``!name:``, ``!ref`` ...) replaces;
* a key that no lower layer knows is an error that names the file, the key and the
  nearest match. A file may introduce a top-level key if something refers to it.

The result is one ordinary HyperPyYAML text, which stock ``load_hyperpyyaml`` reads.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from ser_lib import settings_errors
from ser_lib.setting_checks import check_together, check_values
from ser_lib.yaml_tree import check_size, tag_of, without_comments, without_tags

COMMAND_LINE = "the command line"
_KINDS = {bool: "True or False", (int, float): "a number", list: "a list"}
_OBJECT_TAGS = ("!new:", "!name:")
_NO_VALUE = "(this setting has no value)"


class Settings:
    r"""The settings of one experiment: one flattened HyperPyYAML text.

    Arguments
    ---------
    text : str
        A HyperPyYAML document without ``extends:``.
    path : str | Path
        The file it was made from.

    Example
    -------
    >>> settings = Settings("lr: 0.1\nfolder: !ref results/<lr>")
    >>> settings["folder"]
    'results/0.1'
    >>> settings.build(lr=0.5)["folder"]
    'results/0.5'
    """

    def __init__(self, text: str, path: str | Path = "settings") -> None:
        self.text = text
        self.path = Path(path)
        self._tree = _parse(text, str(path))
        self._plain_values: dict[str, Any] = {}  # parsing takes a while

    @classmethod
    def from_file(cls, path: str | Path, overrides: str | Mapping = "") -> "Settings":
        """Join the layers of a settings file and the command line.

        Arguments
        ---------
        path : str | Path
            The uppermost settings file.
        overrides : str | Mapping
            Settings that replace those of the files: YAML text, as
            ``arguments.read_arguments`` returns it, or a mapping.

        Returns
        -------
        Settings
            The flattened settings.

        Raises
        ------
        FileNotFoundError
            If the file, or one that it extends, does not exist.
        ValueError
            If a key is unknown, a value changes its kind, or a number is out of its
            range.
        """
        tree = _join_file(Path(path))
        if isinstance(overrides, Mapping):
            overrides = _dump(dict(overrides))
        given = _parse(overrides, COMMAND_LINE)
        _merge(tree, given, COMMAND_LINE)
        check_values(given, _at(COMMAND_LINE))
        return cls(_dump(_in_order_of_reference(tree)), path)

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree)

    def __getitem__(self, key: str) -> Any:
        """Build one top-level value and what it refers to, and nothing else.

        A required value (``!PLACEHOLDER``) that was not given is a ValueError.
        """
        if key not in self._plain_values:
            value = self._load([key])[key]
            if not _is_plain(value):
                return value  # objects are built anew each time
            self._plain_values[key] = value
        return deepcopy(self._plain_values[key])

    def build(self, **replaced: Any) -> dict[str, Any]:
        """Build every object of the settings anew.

        Arguments
        ---------
        **replaced : Any
            Top-level values that hold for this time only, such as ``fold=3``.

        Returns
        -------
        dict[str, Any]
            What ``load_hyperpyyaml`` makes of the flattened text.
        """
        return self._load(list(self._tree), **replaced)

    def unresolved(self) -> dict[str, Any]:
        """Give the settings as plain values, with references and objects as text.

        Returns
        -------
        dict[str, Any]
            A tree of dict, list, str, int, float, bool and None, fit for JSON;
            a tagged node becomes ``{"!new:module.Class": arguments}``.
        """
        return without_tags(self._tree)

    def _load(self, keys: list[str], **replaced: Any) -> dict[str, Any]:
        resolved = self._resolve(**replaced) if replaced else self._resolved
        wanted = _dump(CommentedMap((key, resolved[key]) for key in keys))
        if _NO_VALUE in wanted:
            missing = self._placeholders()
            options = " ".join(f"--{key} ..." for key in missing)
            raise ValueError(f"{self.path} needs a value for {missing}: give {options}")
        with settings_errors.naming_settings(str(self.path), wanted):
            return load_hyperpyyaml(wanted)

    @cached_property
    def _resolved(self) -> CommentedMap:
        return self._resolve()

    def _resolve(self, **replaced: Any) -> CommentedMap:
        given = {**dict.fromkeys(self._placeholders(), _NO_VALUE), **replaced}
        with settings_errors.naming_settings(str(self.path), self.text):
            text = resolve_references(self.text, given).read()
        resolved = _parse(text, str(self.path))
        check_values(resolved, "with all references resolved")
        check_together(resolved)
        return resolved

    def _placeholders(self) -> list[str]:
        return [k for k, v in self._tree.items() if tag_of(v) == "!PLACEHOLDER"]


def _join_file(path: Path, above: tuple[Path, ...] = ()) -> CommentedMap:
    """Join a file onto the files that it extends; ``above`` extend it."""
    if path.resolve() in above:
        raise ValueError(f"{path} extends itself, or a file that extends it.")
    layer = _parse(settings_errors.read_settings_text(path), str(path))
    check_values(layer, _at(str(path)))
    names = settings_errors.extended_files(layer.pop("extends", []), path)
    if not names:
        return layer
    above = (*above, path.resolve())
    first, *others = names
    tree = _join_file(path.parent / first, above)
    for name in others:
        _merge(tree, _join_file(path.parent / name, above), str(path.parent / name))
    introduced = [key for key in layer if key not in tree]
    _merge(tree, layer, str(path))
    _check_are_used(introduced, tree, path)
    return tree


def _merge(
    base: CommentedMap, layer: CommentedMap, source: str, where: str = ""
) -> None:
    """Put a layer onto ``base``, in place."""
    for key, value in layer.items():
        name = f"{where}{key}"
        if key not in base:
            # An empty mapping, such as ``finetuned: {}``, is open to any key.
            if source == COMMAND_LINE or (where and base):
                raise settings_errors.unknown_setting(name, key, base, source)
            base[key] = value
        elif _is_plain_map(base[key]) and base[key] and _is_plain_map(value):
            _merge(base[key], value, source, f"{name}: ")
        else:
            _check_kind(base[key], value, name, source)
            base[key] = value


def _check_are_used(introduced: list[str], tree: CommentedMap, path: Path) -> None:
    """Take a new key that nothing refers to for a misspelt one."""
    text = _dump(tree)
    for key in introduced:
        if not re.search(rf"<{re.escape(str(key))}[>.\[]", text):
            known = [k for k in tree if k not in introduced]
            raise settings_errors.unknown_setting(key, key, known, str(path))


def _in_order_of_reference(tree: CommentedMap) -> CommentedMap:
    """Put each top-level key behind those that it refers to.

    HyperPyYAML resolves a reference to a reference in this order only.
    """
    ordered = CommentedMap()

    def place(key: str, waiting: tuple[str, ...] = ()) -> None:
        if key in waiting:
            loop = " -> ".join([*waiting, key])
            raise ValueError(f"These settings refer to each other: {loop}.")
        if key in ordered or key not in tree:
            return
        for name in re.findall(r"<(\w+)", _dump({key: tree[key]})):
            place(name, (*waiting, key))
        ordered[key] = tree[key]

    for key in tree:
        place(key)
    return ordered


def _check_kind(old: Any, new: Any, name: str, source: str) -> None:
    """Refuse a word for a number, a number for a switch, arguments for an object."""
    if tag_of(old) and _is_plain_map(new) and tag_of(old) != "!PLACEHOLDER":
        raise ValueError(
            f"{name} in {source} gives arguments only, but {name} is an object "
            f"({tag_of(old)}). Give a whole object with its tag, or change the keys "
            f"that the object refers to."
        )
    if tag_of(new) or new is None:
        return
    if tag_of(old).startswith(_OBJECT_TAGS):
        raise ValueError(
            f"{name} {_at(source)} is {new!r}; expected an object with its tag, such "
            f"as {tag_of(old)}."
        )
    if tag_of(old) or old is None:
        return
    for kind, words in _KINDS.items():  # text takes anything: --folds 3
        if isinstance(old, kind):
            if not isinstance(new, kind) or isinstance(new, bool) != (kind is bool):
                raise ValueError(
                    f"{name} {_at(source)} is {new!r}; expected {words}, such as "
                    f"{old!r}."
                )
            return


def _at(source: str) -> str:
    return f"{'on' if source == COMMAND_LINE else 'in'} {source}"


def _parse(text: str, source: str) -> CommentedMap:
    with settings_errors.naming_settings(source, text):
        tree = YAML().load(text) if text.strip() else CommentedMap()
    if not isinstance(tree, CommentedMap):
        raise ValueError(f"{source} does not hold 'key: value' settings.")
    check_size(tree, source)
    return without_comments(tree)


def _is_plain_map(node: Any) -> bool:
    return isinstance(node, CommentedMap) and not tag_of(node)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)


def _dump(tree: Mapping) -> str:
    yaml = YAML()
    yaml.width = 4096  # a wrapped !ref would no longer be found by a text search
    stream = StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()
