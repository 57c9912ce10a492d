"""The options of ``python -m ser_lib.predict``."""

import argparse
from collections.abc import Callable, Sequence

from ser_lib.command_line import CommandParser, path_argument, text_argument
from ser_lib.predict_outputs import TIMELINE_SUFFIXES
from ser_lib.predict_rows import ROW_FORMATS

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
    parser.add_argument("--device", default="cpu", help="such as cuda (default: cpu)")


def _add_timeline_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("timelines of long recordings")
    group.add_argument(
        "--timeline", action="store_true", help="a row for each segment of one emotion"
    )
    group.add_argument("--window_s", type=float, help="window (default: 4)")
    group.add_argument("--hop_s", type=float, help="from window to window (default: 1)")
    group.add_argument(
        "--skip_silence_dbfs",
        type=float,
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
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"invalid number from 0 on: {text!r}")
    return value


def _what_is_wrong(options: argparse.Namespace) -> str:
    needing = [n for n in _TIMELINE_DEFAULTS if getattr(options, n) is not None]
    if options.format in TIMELINE_SUFFIXES:
        needing.append(f"format {options.format}")
    if needing and not options.timeline:
        return f"--{needing[0]} needs --timeline"
    if options.out is not None and options.format in ROW_FORMATS:
        if options.out.is_dir():
            return f"--out {options.out} is a folder; expected a file for the rows"
        if str(options.out) in options.inputs:
            return f"--out {options.out} is an input, too"
    return ""
