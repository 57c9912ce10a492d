"""Settings: short files that extend each other, joined before anything is built.

HyperPyYAML has no inheritance and accepts a misspelled nested override. So the layers
of an experiment (the files in ``extends:``, the file itself, the command line) are
joined (``layers.py``) before references are resolved.

The result is ordinary HyperPyYAML text, which stock ``load_hyperpyyaml`` can read.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.comments import CommentedMap

from ser_lib.settings.checks import NO_VALUE, check_together, check_values
from ser_lib.settings.errors import COMMAND_LINE, at_source, naming_settings
from ser_lib.settings.layers import (
    dump,
    in_order_of_reference,
    join_files,
    merge,
    parse,
)
from ser_lib.settings.yaml_tree import tag_of, without_tags


class Settings:
    r"""The settings of one experiment, as one flattened HyperPyYAML text.

    Arguments
    ---------
    text : str
        A HyperPyYAML document without ``extends:``.
    path : str | Path
        The file it was read from.

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
        self._tree = parse(text, str(path))
        self._plain_values: dict[str, Any] = {}  # a cache, because parsing is slow

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

        Raises
        ------
        FileNotFoundError
            If the file, or one that it extends, does not exist.
        ValueError
            If a key is unknown, or a value is of the wrong kind or out of range.
        """
        return cls.from_files([path], overrides)

    @classmethod
    def from_files(
        cls, paths: Sequence[str | Path], overrides: str | Mapping = ""
    ) -> "Settings":
        """Join several settings files, as ``extends`` does, and the command line.

        Arguments
        ---------
        paths : Sequence[str | Path]
            Each overrides the ones before it; the last one names the settings.
        overrides : str | Mapping
            See :meth:`from_file`.
        """
        first, *others = map(Path, paths)
        tree = join_files(first)
        for path in others:
            merge(tree, join_files(path), str(path))
        if isinstance(overrides, Mapping):
            overrides = dump(dict(overrides))
        layer = parse(overrides, COMMAND_LINE)
        merge(tree, layer, COMMAND_LINE)
        check_values(layer, at_source(COMMAND_LINE))
        return cls(dump(in_order_of_reference(tree)), paths[-1])

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree)

    def __getitem__(self, key: str) -> Any:
        """Build one top-level value and what it refers to, and nothing else.

        A missing required value (``!PLACEHOLDER``) is a ValueError.
        """
        if key not in self._plain_values:
            value = self._load([key])[key]
            if not _is_plain(value):
                return value  # objects are built each time
            self._plain_values[key] = value
        return deepcopy(self._plain_values[key])

    def build(self, **replaced: Any) -> dict[str, Any]:
        """Build all settings, as ``load_hyperpyyaml`` does with the flattened text.

        Arguments
        ---------
        **replaced : Any
            Top-level values to replace in this call only, such as ``fold=3``.
        """
        return self._load(list(self._tree), **replaced)

    def unresolved(self) -> dict[str, Any]:
        """Return the settings as plain values, with references and objects as text.

        Returns
        -------
        dict[str, Any]
            A JSON-serializable tree; a tagged node becomes
            ``{"!new:module.Class": arguments}``.
        """
        return without_tags(self._tree)

    def _load(self, keys: list[str], **replaced: Any) -> dict[str, Any]:
        resolved = self._resolve(**replaced) if replaced else self._resolved
        wanted = dump(CommentedMap((key, resolved[key]) for key in keys))
        if NO_VALUE in wanted:
            missing = self._placeholders()
            options = " ".join(f"--{key} ..." for key in missing)
            raise ValueError(f"{self.path} needs a value for {missing}: give {options}")
        with naming_settings(str(self.path), wanted):
            return load_hyperpyyaml(wanted)

    @cached_property
    def _resolved(self) -> CommentedMap:
        return self._resolve()

    def _resolve(self, **replaced: Any) -> CommentedMap:
        overrides = {**dict.fromkeys(self._placeholders(), NO_VALUE), **replaced}
        with naming_settings(str(self.path), self.text):
            text = resolve_references(self.text, overrides).read()
        resolved = parse(text, str(self.path))
        check_values(resolved, "with all references resolved")
        check_together(resolved)
        return resolved

    def _placeholders(self) -> list[str]:
        return [k for k, v in self._tree.items() if tag_of(v) == "!PLACEHOLDER"]


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float)
