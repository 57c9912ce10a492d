"""The options of a command that turn some settings into others."""

import json
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from ruamel.yaml import YAML


def options_of(
    settings: Mapping[str, Any],
    defaults: Mapping[str, Any],
    left_out: Collection[str] = (),
) -> list[str]:
    """Return ``--key value`` for each setting that differs, quoted for a shell.

    Arguments
    ---------
    settings, defaults : Mapping[str, Any]
        From ``Settings.unresolved``.
    left_out : Collection[str]
        Settings that get no option.

    Example
    -------
    >>> options_of({"lr": 0.1, "note": "a b", "seed": 1}, {"lr": 0.2, "seed": 1})
    ['--lr 0.1', "--note 'a b'"]
    """
    return [
        shlex.join([f"--{key}", _as_argument(value)])
        for key, value in settings.items()
        if key not in left_out and defaults.get(key) != value
    ]


def _as_argument(value: Any) -> str:
    is_plain = isinstance(value, str) and YAML(typ="safe").load(value) == value
    return value if is_plain else _as_yaml(value)


def _as_yaml(value: Any) -> str:
    """Format a value of ``Settings.unresolved`` as one line of YAML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    tag = next((key for key in value if key.startswith("!")), None)
    if tag is not None:
        arguments = value[tag]
        bare = arguments if isinstance(arguments, str) else _as_yaml(arguments)
        return f"{tag} {bare}".strip()
    return f"{{{', '.join(f'{k}: {_as_yaml(v)}' for k, v in value.items())}}}"
