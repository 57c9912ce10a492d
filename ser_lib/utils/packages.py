"""Packages that only one part of the library needs: the extras of pyproject.toml."""

import shlex
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel has the settings of the recipes inside the package, a checkout beside it.
IS_CHECKOUT = not (_PACKAGE / "recipes").is_dir()
RECIPES = (_PACKAGE.parent if IS_CHECKOUT else _PACKAGE) / "recipes"


def check_installed(what: str, modules: Sequence[str], extra: str) -> None:
    """Raise ModuleNotFoundError, with what to install, if a module is missing.

    Arguments
    ---------
    what : str
        What needs them, as the start of a sentence.
    modules : Sequence[str]
        Names to import.
    extra : str
        The extra of ``pyproject.toml`` that pins their packages.

    Example
    -------
    >>> check_installed("The page", ["json"], "slurm")
    >>> check_installed("The page", ["json", "no_such"], "slurm")
    Traceback (most recent call last):
    ...
    ModuleNotFoundError: The page needs no_such: python -m pip install submitit==1.5.4
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        command = shlex.join(["python", "-m", "pip", "install", *pins_of(extra)])
        raise ModuleNotFoundError(f"{what} needs {', '.join(missing)}: {command}")


def pins_of(extra: str = "") -> list[str]:
    """Return the packages of an extra, or those of every installation, as pip has them.

    Raises
    ------
    FileNotFoundError
        If ``ser_lib`` was copied without the files that say so.

    Example
    -------
    >>> pins_of("slurm")
    ['submitit==1.5.4']
    >>> "numpy" in [pin.split("==")[0] for pin in pins_of()]
    True
    """
    if IS_CHECKOUT:
        return _pins_of_checkout(_PACKAGE.parent, extra)
    try:
        lines = [line.partition(";") for line in requires("ser_lib") or []]
    except PackageNotFoundError as error:
        raise FileNotFoundError(_copied_alone()) from error
    wanted = f'extra == "{extra}"' if extra else ""
    return [pin.strip() for pin, _, marker in lines if marker.strip() == wanted]


def _pins_of_checkout(root: Path, extra: str) -> list[str]:
    if not (root / "pyproject.toml").is_file():
        raise FileNotFoundError(_copied_alone())
    if not extra:
        return (root / "requirements.txt").read_text(encoding="utf-8").split()
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["optional-dependencies"][extra]


def _copied_alone() -> str:
    return (
        f"{_PACKAGE} is neither installed nor in its repository, so the packages that "
        f"it needs are not known. Install ser_lib with pip."
    )
