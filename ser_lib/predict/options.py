"""The options of ``python -m ser_lib.predict``."""

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ser_lib.predict.adaptation import add_adaptation_arguments
from ser_lib.predict.inputs import STANDARD_INPUT, Recording
from ser_lib.predict.outputs import TIMELINE_SUFFIXES
from ser_lib.predict.remote import is_remote
from ser_lib.predict.rows import ROW_FORMATS
from ser_lib.predict.speakers import (
    SPEAKER_OPTIONS,
    add_speaker_arguments,
    speaker_usage_error,
    summary_path,
)
from ser_lib.utils.command_line import (
    CommandParser,
    add_model_arguments,
    level_argument,
    path_argument,
    positive,
    share_argument,
    text_argument,
)
from ser_lib.utils.ray_cluster import LOCAL

_TIMELINE_DEFAULTS = {
    "window_s": 4.0,
    "hop_s": 1.0,
    "skip_silence_dbfs": None,
    "min_segment_s": 0.0,
    "plot": None,
}


def parse_options(arguments: Sequence[str], description: str) -> argparse.Namespace:
    """Parse the command line; wrong usage exits with code 2.

    Example
    -------
    >>> options = parse_options(["MODEL", "a.wav", "--timeline"], "")
    >>> options.inputs, options.window_s, options.format
    (['a.wav'], 4.0, 'csv')
    """
    parser = CommandParser("ser_lib.predict", description)
    _add_arguments(parser)
    add_adaptation_arguments(parser)
    add_speaker_arguments(_add_timeline_arguments(parser))
    options = parser.parse_args(arguments)
    error = _usage_error(options)
    if error:
        parser.error(error)
    for name, default in _TIMELINE_DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    return options


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument(
        "inputs",
        nargs="+",
        type=text_argument,
        metavar="FILE_OR_FOLDER_OR_TABLE",
        help="recordings to classify",
    )
    parser.add_argument(
        "--format",
        choices=[*ROW_FORMATS, *TIMELINE_SUFFIXES],
        default="csv",
        help="output format (default: csv); those of files need --timeline",
    )
    parser.add_argument(
        "--out",
        type=path_argument,
        help="output file, or folder for rttm, audacity, textgrid and webvtt (default: "
        "standard output)",
    )
    parser.add_argument(
        "--batch_size", type=positive(int), default=16, help="files per batch"
    )
    parser.add_argument(
        "--max_duration_s",
        type=positive(float),
        default=300.0,
        help="without --timeline, longer files are errors (default: 300)",
    )
    unsure = parser.add_mutually_exclusive_group()
    unsure.add_argument(
        "--unknown_below",
        type=share_argument,
        metavar="P",
        help="the label of a less probable answer is unknown, in timelines, too",
    )
    unsure.add_argument(
        "--target_accuracy",
        type=share_argument,
        metavar="A",
        help="as unknown, leave out answers until this share of the others was right "
        "on the validation recordings of the model",
    )
    parser.add_argument(
        "--ray",
        type=text_argument,
        nargs="?",
        const=LOCAL,
        metavar="ADDRESS",
        help="classify with Ray, on all cores of this machine or on the cluster at an "
        "address; --out is a folder of Parquet files, and inputs may be addresses "
        "(s3:// ...)",
    )


def _add_timeline_arguments(
    parser: argparse.ArgumentParser,
) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("timelines of long recordings")
    group.add_argument(
        "--timeline", action="store_true", help="one row per segment of one emotion"
    )
    group.add_argument("--window_s", type=float, help="window length (default: 4)")
    group.add_argument("--hop_s", type=float, help="window distance (default: 1)")
    group.add_argument(
        "--skip_silence_dbfs",
        type=level_argument,
        metavar="DBFS",
        help="also treat audio with an RMS below this as silent, for example -50",
    )
    group.add_argument(
        "--min_segment_s",
        type=_number_from_0,
        help="merge shorter segments into a neighbour (default: 0)",
    )
    group.add_argument(
        "--plot",
        type=path_argument,
        metavar="FOLDER",
        help="write a figure of each recording",
    )
    return group


def _number_from_0(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(
            f"invalid number: {text!r}; expected at least 0, and finite"
        )
    return value


def _usage_error(options: argparse.Namespace) -> str:
    names = [*_TIMELINE_DEFAULTS, *SPEAKER_OPTIONS]
    used = [name for name in names if getattr(options, name) is not None]
    if options.format in TIMELINE_SUFFIXES:
        used.append(f"format {options.format}")
    if used and not options.timeline:
        return f"--{used[0]} needs --timeline"
    if options.ray is not None:
        return _bulk_usage_error(options)
    if options.save_adaptation is not None and not options.adapt:
        return "--save_adaptation needs --adapt"
    return speaker_usage_error(options)


def _bulk_usage_error(options: argparse.Namespace) -> str:
    if options.out is None:
        return "--ray needs --out FOLDER, for Parquet files"
    others = ("timeline", "adapt", "adapt_by", "adaptation", "save_adaptation")
    used = [name for name in others if getattr(options, name)]
    if options.format != "csv":
        used.append(f"format {options.format}")
    if used:
        return f"--{used[0]} cannot be used with --ray; leave one of them out"
    if options.out.parts[0].endswith(":"):
        return "--out must be a folder on this machine, not an address"
    if STANDARD_INPUT in options.inputs:
        return "standard input cannot be used with --ray; write it to a file"
    return ""


def check_outputs(options: argparse.Namespace, recordings: Sequence[Recording]) -> None:
    """Check that outputs would not overwrite an input or each other.

    Raises
    ------
    ValueError
        If an output is a file instead of a folder or the other way round, if the rows
        would overwrite an input, or if two recordings would have the same output file.
    """
    for name in ("plot", "summary"):
        folder = getattr(options, name)
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ValueError(f"--{name} {folder} is a file; expected a folder.")
    addresses = [r.name for r in recordings if is_remote(r.name)]
    if addresses and options.ray is None:
        raise ValueError(f"{addresses[0]} is an address, which needs --ray.")
    if options.ray is not None:
        return
    if options.out is not None and options.format in ROW_FORMATS:
        if options.out.is_dir():
            raise ValueError(
                f"--out {options.out} is a folder; expected a file for the rows."
            )
        if _is_among(options.out, _inputs(options, recordings)):
            raise ValueError(f"--out {options.out} is also an input.")
    _check_names(recordings, options)
    _check_summaries(recordings, options)


def _inputs(
    options: argparse.Namespace, recordings: Sequence[Recording]
) -> list[str | Path]:
    turns = [] if options.turns is None else [options.turns]
    return [*options.inputs, *turns, *(recording.path for recording in recordings)]


def _check_summaries(
    recordings: Sequence[Recording], options: argparse.Namespace
) -> None:
    """Raise ValueError if a summary would overwrite an input or the rows."""
    if options.summary is None:
        return
    others = _inputs(options, recordings)
    others += [] if options.out is None else [options.out]
    for recording in recordings:
        path = summary_path(options.summary, recording)
        if _is_among(path, others):
            raise ValueError(
                f"The summary of {recording.name}, {path}, is also an input or --out. "
                f"Choose another --summary."
            )


def _is_among(out: Path, inputs: Iterable[str | Path]) -> bool:
    """Return whether a file is one of the inputs, even under another name."""
    absolute, file = os.path.abspath(out), _file_of(out)
    return any(
        os.path.abspath(path) == absolute or (file and _file_of(path) == file)
        for path in inputs
    )


def _file_of(path: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: NUL in its name
        return None
    return status.st_dev, status.st_ino


def _check_names(recordings: Sequence[Recording], options: argparse.Namespace) -> None:
    """Raise ValueError if two recordings have the same output file."""
    is_one_each = options.format in TIMELINE_SUFFIXES and options.format != "rttm"
    if is_one_each and options.out is None and len(recordings) > 1:
        raise ValueError(
            f"--format {options.format} with several recordings needs --out FOLDER: "
            f"each gets a file."
        )
    has_files = options.format in TIMELINE_SUFFIXES and options.out is not None
    if not has_files and options.plot is None and options.summary is None:
        return
    first: dict[str, Recording] = {}
    for recording in recordings:
        if recording.error:
            continue
        other = first.setdefault(recording.short_name, recording)
        if other is not recording:
            raise ValueError(
                f"{other.name} and {recording.name} would both be written to files "
                f"named {recording.short_name}. Use their common folder as the input."
            )
