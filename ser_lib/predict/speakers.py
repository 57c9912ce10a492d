"""Timelines by speech, by channel and by turn in ``python -m ser_lib.predict``."""

import argparse
import csv
import io
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ser_lib.inference import (
    CHANNEL_NAMES,
    VADS,
    Recognizer,
    Timeline,
    Turn,
    channel_timelines,
    check_vad_is_installed,
    read_turns,
    speaker_line,
    speaker_rows,
    timeline_file,
    turn_timelines,
)
from ser_lib.predict.inputs import Recording
from ser_lib.utils.command_line import path_argument, text_argument
from ser_lib.utils.digests import digest
from ser_lib.utils.file_names import on_one_line
from ser_lib.utils.files import atomic_path

WINDOWING = ("window_s", "hop_s", "skip_silence_dbfs", "min_segment_s")
SPEAKER_OPTIONS = ("vad", "channels", "channel_names", "turns", "summary")


def add_speaker_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the options that follow speech and speakers."""
    group.add_argument(
        "--vad",
        choices=VADS,
        help="cut windows at speech, and give each utterance a segment of its own",
    )
    speakers = group.add_mutually_exclusive_group()
    speakers.add_argument(
        "--channels",
        choices=["separate"],
        help="a timeline for each channel of a two-channel call",
    )
    speakers.add_argument(
        "--turns",
        type=path_argument,
        metavar="FILE",
        help="one result for each turn of a diariser: .rttm (of one recording or "
        "several), .csv (start_s, end_s, speaker) or .TextGrid",
    )
    group.add_argument(
        "--channel_names",
        nargs=2,
        type=text_argument,
        metavar=("FIRST", "SECOND"),
        help="who speaks in each channel, such as: agent customer "
        "(default: left right)",
    )
    group.add_argument(
        "--summary",
        type=path_argument,
        metavar="FOLDER",
        help="with --channels or --turns, write a CSV file for each recording with a "
        "row for each speaker: duration, share of each label, mean probabilities",
    )


def speaker_usage_error(options: Namespace) -> str:
    """Return which options do not go together, or an empty text."""
    if options.channel_names is not None and options.channels is None:
        return "--channel_names needs --channels separate"
    if options.summary is not None and not has_speakers(options):
        return "--summary needs --channels or --turns"
    if options.turns is not None:
        for name in ("vad", "min_segment_s"):
            if getattr(options, name) is not None:
                return f"--{name} cannot be given with --turns, which are its segments"
    return ""


def has_speakers(options: Namespace) -> bool:
    """Return whether a recording has a timeline for each speaker."""
    return options.channels is not None or options.turns is not None


def prepare_speakers(options: Namespace, recordings: Sequence[Recording]) -> None:
    """Check what is needed, and read the turns to ``options.turns_of``.

    Raises
    ------
    ModuleNotFoundError
        If a package is missing.
    OSError, ValueError
        If the turns cannot be read, or are not of these recordings.
    """
    options.turns_of = {}
    if options.vad is not None:
        check_vad_is_installed()
    if options.turns is None:
        return
    usable = [recording for recording in recordings if not recording.error]
    if len(usable) > 1:
        _check_rttm(options.turns, usable)
    for recording in usable:
        is_only = len(usable) == 1
        options.turns_of[recording.name] = read_turns(
            options.turns, recording.path, is_only
        )


def _check_rttm(path: Path, recordings: Sequence[Recording]) -> None:
    """Check that a file can hold the turns of several recordings."""
    if path.suffix.lower() != ".rttm":
        raise ValueError(
            f"--turns {path} is of one recording, and {len(recordings)} are given. "
            f"Give one, or the turns of all in an RTTM file."
        )
    first: dict[str, Recording] = {}
    for recording in recordings:
        other = first.setdefault(recording.path.stem, recording)
        if other is not recording:
            raise ValueError(
                f"{other.name} and {recording.name} have the same name, by which "
                f"--turns {path} tells recordings apart. Give one at a time."
            )


def speaker_settings(options: Namespace) -> dict:
    """Return what a command that resumes must have in common with the first."""
    settings = {}
    if options.vad is not None:
        settings["vad"] = options.vad
    if options.channels is not None:
        settings["channels"] = options.channel_names or list(CHANNEL_NAMES)
    if options.turns is not None:
        settings["turns"] = digest(options.turns.read_bytes().hex())
    return settings


def timelines_of(
    recognizer: Recognizer, recording: Recording, options: Namespace
) -> list[Timeline]:
    """Return the timeline of a recording, or that of each speaker."""
    windowing = {name: getattr(options, name) for name in WINDOWING}
    windowing["unknown_below"] = options.unknown_below
    if options.turns is not None:
        turns: Sequence[Turn] = options.turns_of[recording.name]
        return turn_timelines(recognizer, recording.path, turns, **windowing)
    windowing["vad"] = options.vad
    if options.channels is not None:
        names = options.channel_names or CHANNEL_NAMES
        return channel_timelines(recognizer, recording.path, names, **windowing)
    return [timeline_file(recognizer, recording.path, **windowing)]


def summary_lines(recording: Recording, timelines: Sequence[Timeline]) -> list[str]:
    """Return a line for each speaker, for a person."""
    return [
        on_one_line(f"{recording.name}: {speaker_line(row)}")
        for row in speaker_rows(timelines)
    ]


def summary_path(folder: Path, recording: Recording) -> Path:
    """Return where the summary of a recording is."""
    return folder / f"{recording.short_name}.speakers.csv"


def write_summary(
    folder: Path, recording: Recording, timelines: Sequence[Timeline]
) -> None:
    """Write a row for each speaker of a recording."""
    rows = speaker_rows(timelines)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_path(summary_path(folder, recording)) as unfinished:
        unfinished.write_text(text.getvalue(), encoding="utf-8", newline="\n")
