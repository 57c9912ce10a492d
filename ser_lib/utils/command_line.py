"""The options of our own commands, read the same everywhere.

The recipes take settings and SpeechBrain's options instead, see ``recipe.py``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class CommandParser(argparse.ArgumentParser):
    """A parser of options that is strict where argparse is not, the same everywhere.

    Options cannot be abbreviated nor given twice, and there is ``--debug``.

    Arguments
    ---------
    module : str
        Name of the command's module, for ``python -m``; empty for a script.
    description : str
        The help; its line breaks are kept.

    Example
    -------
    >>> parser = CommandParser("ser_lib.example", "An example.")
    >>> _ = parser.add_argument("--out", type=path_argument)
    >>> parser.parse_args(["--out", "a.csv"]).out.name
    'a.csv'
    """

    def __init__(self, module: str, description: str) -> None:
        super().__init__(
            prog=f"python -m {module}" if module else None,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument(
            "--debug",
            action="store_true",
            help="show the Python traceback of an error, too",
        )

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read the arguments as argparse does; refuse an option given twice."""
        args = sys.argv[1:] if args is None else list(args)
        options = args[: args.index("--")] if "--" in args else args
        names = [option.split("=")[0] for option in options]
        for name in self._option_string_actions:
            if names.count(name) > 1:
                self.error(f"{name} is given {names.count(name)} times; give it once")
        return super().parse_known_args(args, namespace)


def text_argument(text: str) -> str:
    """Read an argument that must not be empty, as ``type=`` of an option.

    Arguments
    ---------
    text : str
        The argument.

    Returns
    -------
    str
        The argument as it is.

    Raises
    ------
    argparse.ArgumentTypeError
        If nothing is in it, as with ``"$UNSET"`` in a shell.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "the argument is empty (is a variable of the shell not set?)"
        )
    return text


def path_argument(text: str) -> Path:
    """Read a path that must not be empty: an empty one would be the current folder.

    Arguments
    ---------
    text : str
        The argument.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    argparse.ArgumentTypeError
        As for :func:`text_argument`.
    """
    return Path(text_argument(text))
