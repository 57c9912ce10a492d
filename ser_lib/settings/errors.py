"""Errors in settings files, reported in one sentence instead of a library's traceback.

ruamel.yaml reports errors in the text, HyperPyYAML errors in references and classes.
"""

import difflib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hyperpyyaml.core
from ruamel.yaml.error import MarkedYAMLError, YAMLError

COMMAND_LINE = "the command line"
# Old and new names of settings.
RENAMED = {
    "frozen_states_gb": "frozen_cache_gb",
    "ranked_from": "average_after",
    "work_folder": "cache_folder",
}


@contextmanager
def naming_settings(source: str, text: str) -> Iterator[None]:
    """Turn errors of the YAML libraries in some settings into a ValueError.

    Errors raised by the classes that the settings name are not changed.

    Arguments
    ---------
    source : str
        The file, for the message.
    text : str
        The settings; the message quotes the wrong line.

    Raises
    ------
    ValueError
        If the text is not YAML, or a reference, class or argument does not exist.

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
        problem = _yaml_problem(error, text)
        raise ValueError(f"{source} is not valid YAML: {problem}.") from error
    except RecursionError as error:
        raise ValueError(f"{source} is nested too deeply.") from error
    except (ImportError, KeyError, TypeError, ValueError) as error:
        *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename != hyperpyyaml.core.__file__:
            raise
        message = ": ".join(str(part).rstrip(": ") for part in error.args)
        raise ValueError(f"{source}: {message}.") from error


def _yaml_problem(error: YAMLError, text: str) -> str:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    number = error.problem_mark.line
    lines = text.splitlines()
    line = f", {lines[number].strip()!r}" if number < len(lines) else ""
    return f"{error.problem}, in line {number + 1}{line}"


def read_settings_text(path: Path) -> str:
    """Read a settings file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not text in UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no settings file {path}.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8.") from error


def extended_files(value: Any, path: Path) -> list[str]:
    """Return the files named in the ``extends:`` of a settings file as a list."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{path} extends {value!r}; expected a file or a list.")
    return names


def unknown_setting(
    name: str, key: str, known_keys: Iterable, source: str
) -> ValueError:
    """Create the error for an unknown setting, with the new name or the nearest match.

    Arguments
    ---------
    name : str
        The setting, with the names of the blocks that it is in.
    key : str
        Its last part.
    known_keys : Iterable
        The keys allowed in this block.
    source : str
        The file, for the message.
    """
    if key in RENAMED:
        return ValueError(
            f"{name!r} {at_source(source)} is now called {RENAMED[key]!r}."
        )
    near = difflib.get_close_matches(str(key), [str(k) for k in known_keys], n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {list(known_keys)}."
    return ValueError(f"Unknown setting {name!r} {at_source(source)}. {hint}")


def at_source(source: str) -> str:
    """Format where a setting was given: "in a.yaml", "on the command line"."""
    return f"{'on' if source == COMMAND_LINE else 'in'} {source}"
