"""Packages that only one part of the library needs."""

from collections.abc import Sequence
from importlib.util import find_spec


def check_installed(what: str, modules: Sequence[str], requirements: str) -> None:
    """Raise ModuleNotFoundError, with what to install, if a module is missing.

    Arguments
    ---------
    what : str
        What needs them, as the start of a sentence.
    modules : Sequence[str]
        Names to import.
    requirements : str
        The file that pins their packages.

    Example
    -------
    >>> check_installed("The page", ["json"], "extra_requirements.txt")
    >>> check_installed("The page", ["json", "no_such"], "extra_requirements.txt")
    Traceback (most recent call last):
    ...
    ModuleNotFoundError: The page needs no_such: pip install -r extra_requirements.txt
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"{what} needs {', '.join(missing)}: pip install -r {requirements}"
        )
