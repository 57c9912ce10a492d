"""Option parsing for our own commands.

The recipes take settings and SpeechBrain's options instead, see ``settings/recipe.py``.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_INSTALLED = "ser-"  # start of the names of the commands in pyproject.toml


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that is stricter than argparse.

    Options cannot be abbreviated, those that are not lists (``action="append"``) cannot
    be repeated, and every command has ``--debug``.

    Arguments
    ---------
    module : str
        Module to run with ``python -m``; empty for a script.
    description : str
        The help text; line breaks are kept. A command of the installation
        (``ser-predict``) has its own name in it in place of ``python -m module``.

    Example
    -------
    >>> parser = CommandParser("ser_lib.example", "An example.")
    >>> _ = parser.add_argument("--out", type=path_argument)
    >>> parser.parse_args(["--out", "a.csv"]).out.name
    'a.csv'
    """

    def __init__(self, module: str, description: str) -> None:
        by_module = f"python -m {module}"
        called = Path(sys.argv[0]).name
        name = called if called.startswith(_INSTALLED) else by_module
        super().__init__(
            prog=name if module else None,
            description=description.replace(f"{by_module} ", f"{name} "),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument(
            "--debug",
            action="store_true",
            help="also show the Python traceback of an error",
        )

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse like argparse, but refuse an option that is given twice."""
        args = sys.argv[1:] if args is None else list(args)
        options = args[: args.index("--")] if "--" in args else args
        names = [option.split("=")[0] for option in options]
        for name, action in self._option_string_actions.items():
            is_list = isinstance(action, argparse._AppendAction)
            if names.count(name) > 1 and not is_list:
                self.error(f"{name} is given {names.count(name)} times; give it once")
        return super().parse_known_args(args, namespace)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and ``--device``."""
    parser.add_argument(
        "model", type=text_argument, metavar="MODEL", help="model folder or hub id"
    )
    parser.add_argument(
        "--device",
        type=text_argument,
        default="cpu",
        help="for example cuda (default: cpu)",
    )


def add_address_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """Add ``--host`` and ``--port``, with the default of the latter."""
    parser.add_argument(
        "--host",
        type=text_argument,
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0 lets other machines in, without a password "
        "(default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=port,
        help=f"0 takes a free one (default: {port})",
    )


def text_argument(text: str) -> str:
    """Check that an argument is not empty, as ``type=`` of an option.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is blank, as ``"$UNSET"`` is in a shell.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "the argument is empty (is a shell variable not set?)"
        )
    return text


def path_argument(text: str) -> Path:
    """Read a path, which must not be empty: ``Path("")`` is the current folder.

    Raises
    ------
    argparse.ArgumentTypeError
        See :func:`text_argument`.
    """
    return Path(text_argument(text))


def positive(kind: type) -> Callable[[str], float]:
    """Return a parser of numbers above zero, named for argparse's message.

    Example
    -------
    >>> positive(int)("3"), positive(float).__name__
    (3, 'positive float')
    """

    def number(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"
    return number


def share_argument(text: str) -> float:
    """Read a number between 0 and 1.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is 0, 1 or beyond.
    """
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"invalid share: {text!r}; expected a number between 0 and 1"
        )
    return value


def level_argument(text: str) -> float:
    """Read a level in dBFS: at most 0, which is full scale."""
    value = float(text)
    if not float("-inf") < value <= 0:
        raise argparse.ArgumentTypeError(
            f"invalid level: {text!r}; expected at most 0 (full scale)"
        )
    return value
