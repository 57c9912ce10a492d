"""Adapt the model of ``python -m ser_lib.predict`` to recordings, without labels."""

import argparse
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ser_lib.inference import Recognizer, check_adaptable
from ser_lib.predict.inputs import Recording
from ser_lib.utils.command_line import path_argument, text_argument
from ser_lib.utils.digests import digest

if TYPE_CHECKING:
    import torch

    from ser_lib.inference import EmotionRecognizer

# Errors of one file that do not stop the others (torch raises RuntimeError).
_FAILURES = (OSError, ValueError, RuntimeError)


def add_adaptation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that adapt the model."""
    group = parser.add_argument_group("adaptation without labels")
    adapted = group.add_mutually_exclusive_group()
    adapted.add_argument(
        "--adapt",
        action="store_true",
        help="adapt the model to all recordings given: those of one speaker, one "
        "microphone or one line",
    )
    adapted.add_argument(
        "--adapt_by",
        type=text_argument,
        metavar="COLUMN",
        help="adapt it to each group of recordings that share a value in this column "
        "of the CSV files, such as speaker",
    )
    adapted.add_argument(
        "--adaptation",
        type=path_argument,
        metavar="FILE",
        help="adapt it as a file of --save_adaptation says",
    )
    group.add_argument(
        "--save_adaptation",
        type=path_argument,
        metavar="FILE",
        help="with --adapt, write what the model was adapted to",
    )


def prepared(
    recognizer: "EmotionRecognizer", options: Namespace
) -> "EmotionRecognizer":
    """Apply ``--adaptation``, or check that the model can be adapted.

    Raises
    ------
    FileNotFoundError, ValueError
        If it cannot, or the file is not an adaptation of it.
    """
    if options.adaptation is not None:
        return recognizer.load_adaptation(options.adaptation)
    if options.adapt or options.adapt_by is not None:
        check_adaptable(recognizer)
    return recognizer


def adaptation_settings(
    options: Namespace, recordings: Sequence[Recording]
) -> dict[str, str]:
    """Return what a command that resumes must have in common with the first."""
    if options.adaptation is not None:
        return {"adaptation": digest(options.adaptation.read_bytes().hex())}
    if options.adapt or options.adapt_by is not None:
        groups = sorted([recording.group, recording.name] for recording in recordings)
        return {"set of recordings to adapt to": digest(groups)}
    return {}


def adapted_groups(
    recognizer: "EmotionRecognizer",
    recordings: Sequence[Recording],
    todo: Sequence[Recording],
    options: Namespace,
) -> Iterator[tuple[Recognizer, list[Recording]]]:
    """Yield an adapted model for each group of recordings that is still to do.

    Arguments
    ---------
    recordings : Sequence[Recording]
        All recordings of the command: the model is adapted to these.
    todo : Sequence[Recording]
        Those without a result.
    """
    if not options.adapt and options.adapt_by is None:
        yield recognizer, list(todo)
        return
    for name in dict.fromkeys(recording.group for recording in todo):
        group = [recording for recording in recordings if recording.group == name]
        adapted = _adapted(recognizer, group, options)
        if options.save_adaptation is not None:
            adapted.save_adaptation(options.save_adaptation)
        yield adapted, [recording for recording in todo if recording.group == name]


def _adapted(
    recognizer: "EmotionRecognizer", group: Sequence[Recording], options: Namespace
) -> "EmotionRecognizer":
    wavs = _usable_wavs(recognizer, group)
    if not wavs:  # each recording will have its error
        return recognizer
    adapted = recognizer.adapt(wavs)
    found = adapted.adaptation
    whose = f" of {options.adapt_by} {group[0].group}" if options.adapt_by else ""
    number = f"{found.n_recordings} recording{'s' * (found.n_recordings > 1)}"
    print(
        f"Adapted to {number}{whose}, {found.duration_s:.1f} s.",
        file=sys.stderr,
    )
    return adapted


def _usable_wavs(
    recognizer: Recognizer, group: Sequence[Recording]
) -> "list[torch.Tensor]":
    """Read the recordings that can be used; the others get a row with an error."""
    wavs = []
    for recording in group:
        try:
            if not recording.error:
                wavs.append(recognizer.load_audio(recording.path))
        except _FAILURES:
            continue
    return wavs
