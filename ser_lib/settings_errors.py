"""What is wrong with a settings file, in one sentence instead of a library's traceback.

ruamel.yaml tells about the text, HyperPyYAML about references and classes.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import hyperpyyaml.core
from ruamel.yaml.error import MarkedYAMLError, YAMLError


@contextmanager
def naming_settings(source: str, text: str = "") -> Iterator[None]:
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
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not text in UTF-8.") from error
    except YAMLError as error:
        raise ValueError(
            f"{source} is not valid YAML: {_told(error, text)}."
        ) from error
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
