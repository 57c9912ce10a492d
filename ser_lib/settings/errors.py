"""What is wrong with a settings file, in one sentence instead of a library's traceback.

ruamel.yaml tells about the text, HyperPyYAML about references and classes.
"""

import difflib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hyperpyyaml.core
from ruamel.yaml.error import MarkedYAMLError, YAMLError

# The settings that had another name in earlier versions.
RENAMED = {
    "frozen_states_gb": "frozen_cache_gb",
    "ranked_from": "average_after",
    "work_folder": "cache_folder",
}


@contextmanager
def naming_settings(source: str, text: str) -> Iterator[None]:
    """Turn what the libraries refuse in some settings into a ValueError.

    What the classes that are named in them refuse stays as it is.

    Arguments
    ---------
    source : str
        The file, for the message.
    text : str
        The settings, for the line that is wrong.

    Raises
    ------
    ValueError
        If they are not YAML, or a reference, class or argument does not exist.

    Example
    -------
    >>> from ruamel.yaml import YAML
    >>> with naming_settings("my.yaml", "*b"):
    ...     YAML().load("*b")
    Traceback (most recent call last):
    ValueError: my.yaml is not valid YAML: found undefined alias 'b', in line 1, '*b'.
    """
    try:
        yield
    except YAMLError as error:
        raise ValueError(
            f"{source} is not valid YAML: {_told(error, text)}."
        ) from error
    except RecursionError as error:
        raise ValueError(f"{source} is nested too deeply.") from error
    except (ImportError, KeyError, TypeError, ValueError) as error:
        *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename != hyperpyyaml.core.__file__:
            raise
        message = ": ".join(str(part).rstrip(": ") for part in error.args)
        raise ValueError(f"{source}: {message}.") from error


def _told(error: YAMLError, text: str) -> str:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    number = error.problem_mark.line
    lines = text.splitlines()
    line = f", {lines[number].strip()!r}" if number < len(lines) else ""
    return f"{error.problem}, in line {number + 1}{line}"


def read_settings_text(path: Path) -> str:
    """Read a settings file.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no settings file {path}.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8.") from error


def extended_files(value: Any, path: Path) -> list[str]:
    """Give what stands under ``extends:`` as a list.

    Arguments
    ---------
    value : Any
        What stands there: one name, or a list.
    path : Path
        The file in which it stands, for the message.

    Returns
    -------
    list[str]
        The names.

    Raises
    ------
    ValueError
        If it is something else.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{path} extends {value!r}; expected a file, or a list.")
    return names


def unknown_setting(name: str, key: str, known: Iterable, source: str) -> ValueError:
    """Say that a setting is not known, and which is meant.

    Arguments
    ---------
    name : str
        The setting, with what it stands in.
    key : str
        Its last part.
    known : Iterable
        The keys that are known there.
    source : str
        The file.

    Returns
    -------
    ValueError
        To be raised.
    """
    if key in RENAMED:
        return ValueError(f"{name!r} in {source} is now called {RENAMED[key]!r}.")
    near = difflib.get_close_matches(str(key), [str(k) for k in known], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else f" Known here: {list(known)}."
    return ValueError(f"Unknown setting {name!r} in {source}.{hint}")
