"""The options of ``python -m ser_lib.predict``."""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ser_lib.predict.inputs import Recording
from ser_lib.predict.outputs import TIMELINE_SUFFIXES
from ser_lib.predict.rows import ROW_FORMATS
from ser_lib.utils.command_line import CommandParser, path_argument, text_argument

_TIMELINE_DEFAULTS = {
    "window_s": 4.0,
    "hop_s": 1.0,
    "skip_silence_dbfs": None,
    "min_segment_s": 0.0,
    "plot": None,
}


def parse_options(arguments: Sequence[str], description: str) -> argparse.Namespace:
    """Read the command line; wrong usage ends the program with exit code 2.

    Arguments
    ---------
    arguments : Sequence[str]
        Of the command line.
    description : str
        What the help begins with.

    Returns
    -------
    argparse.Namespace
        ``model``, ``inputs`` and a value for each option.

    Example
    -------
    >>> options = parse_options(["MODEL", "a.wav", "--timeline"], "")
    >>> options.inputs, options.window_s, options.format
    (['a.wav'], 4.0, 'csv')
    """
    parser = CommandParser("ser_lib.predict", description)
    _add_arguments(parser)
    _add_timeline_arguments(parser)
    options = parser.parse_args(arguments)
    wrong = _what_is_wrong(options)
    if wrong:
        parser.error(wrong)
    for name, default in _TIMELINE_DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    return options


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=text_argument, metavar="MODEL", help="model folder or hub id"
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=text_argument,
        metavar="FILE_OR_FOLDER_OR_CSV",
        help="what to recognise",
    )
    parser.add_argument(
        "--format",
        choices=[*ROW_FORMATS, *TIMELINE_SUFFIXES],
        default="csv",
        help="of the rows (default: csv); rttm and audacity need --timeline",
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        help="file for the rows, or folder for rttm and audacity (default: print them)",
    )
    parser.add_argument(
        "--batch_size", type=_positive(int), default=16, help="files in a batch"
    )
    parser.add_argument(
        "--max_duration_s",
        type=_positive(float),
        default=300.0,
        help="without --timeline, longer files are errors (default: 300)",
    )
    parser.add_argument(
        "--device",
        type=text_argument,
        default="cpu",
        help="such as cuda (default: cpu)",
    )


def _add_timeline_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("timelines of long recordings")
    group.add_argument(
        "--timeline", action="store_true", help="a row for each segment of one emotion"
    )
    group.add_argument("--window_s", type=float, help="window (default: 4)")
    group.add_argument("--hop_s", type=float, help="from window to window (default: 1)")
    group.add_argument(
        "--skip_silence_dbfs",
        type=_level_dbfs,
        metavar="DBFS",
        help="also count as silent what has an RMS below this, such as -50",
    )
    group.add_argument(
        "--min_segment_s",
        type=_number_from_0,
        help="join shorter ones (default: 0)",
    )
    group.add_argument(
        "--plot",
        type=path_argument,
        metavar="FOLDER",
        help="a picture of each recording",
    )


def _positive(kind: type) -> Callable[[str], float]:
    """Give a reader of numbers above zero, named for argparse's message."""

    def number(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    number.__name__ = f"positive {kind.__name__}"
    return number


def _number_from_0(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"invalid number from 0 on: {text!r}")
    return value


def _level_dbfs(text: str) -> float:
    value = float(text)
    if not float("-inf") < value <= 0:
        raise argparse.ArgumentTypeError(
            f"invalid level: {text!r}; expected at most 0, which is full scale"
        )
    return value


def _what_is_wrong(options: argparse.Namespace) -> str:
    needing = [n for n in _TIMELINE_DEFAULTS if getattr(options, n) is not None]
    if options.format in TIMELINE_SUFFIXES:
        needing.append(f"format {options.format}")
    if needing and not options.timeline:
        return f"--{needing[0]} needs --timeline"
    return ""


def check_outputs(options: argparse.Namespace, items: Sequence[Recording]) -> None:
    """Refuse outputs that would overwrite an input or each other.

    Arguments
    ---------
    options : argparse.Namespace
        What :func:`parse_options` gave.
    items : Sequence[Recording]
        The recordings in its inputs.

    Raises
    ------
    ValueError
        If a folder is expected and a file is there, or the other way round; if the rows
        would be written to an input; if files of two recordings would have one name.
    """
    if options.plot is not None and options.plot.exists() and not options.plot.is_dir():
        raise ValueError(f"--plot {options.plot} is a file; expected a folder.")
    if options.out is not None and options.format in ROW_FORMATS:
        if options.out.is_dir():
            raise ValueError(
                f"--out {options.out} is a folder; expected a file for the rows."
            )
        if _is_among(options.out, [*options.inputs, *(item.path for item in items)]):
            raise ValueError(f"--out {options.out} is an input, too.")
    _check_names(items, options)


def _is_among(out: Path, inputs: Iterable[str | Path]) -> bool:
    """Tell whether a file is one of the inputs, by any of its names."""
    absolute, file = os.path.abspath(out), _file_of(out)
    return any(
        os.path.abspath(given) == absolute or (file and _file_of(given) == file)
        for given in inputs
    )


def _file_of(path: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: NUL in its name
        return None
    return status.st_dev, status.st_ino


def _check_names(items: Sequence[Recording], options: argparse.Namespace) -> None:
    """Refuse to write two recordings to one place."""
    if options.format == "audacity" and options.out is None and len(items) > 1:
        raise ValueError(
            "--format audacity with several recordings needs --out FOLDER, for a label "
            "track for each."
        )
    has_files = options.format in TIMELINE_SUFFIXES and options.out is not None
    if not has_files and options.plot is None:
        return
    first: dict[str, Recording] = {}
    for item in (item for item in items if not item.error):
        other = first.setdefault(item.short_name, item)
        if other is not item:
            raise ValueError(
                f"{other.name} and {item.name} would both be written to files named "
                f"{item.short_name}. Give their common folder as the input."
            )
