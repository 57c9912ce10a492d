"""Analyse one recording for the page."""

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile

from ser_lib.audio import read_audio
from ser_lib.inference import Recognizer, Timeline, timeline_file
from ser_lib.predict import Recording, find_labels
from ser_lib.utils.file_names import on_one_line, printable

_HOPS_PER_WINDOW = 4
_FAILURES = (OSError, ValueError, RuntimeError)  # torch raises RuntimeError


class UnusableError(ValueError):
    """A recording cannot be used; the message is for the visitor."""


@dataclass(frozen=True)
class Analysis:
    """What the page shows of a recording.

    Arguments
    ---------
    name : str
        Its name.
    row : dict
        The row of ``python -m ser_lib.predict``.
    timeline : Timeline
        Its timeline.
    sound : Path
        What the model hears, as a file that every browser plays.
    """

    name: str
    row: dict
    timeline: Timeline
    sound: Path


def analyse(
    recognizer: Recognizer,
    path: str,
    sound: Path,
    max_duration_s: float,
    window_s: float,
    unknown_below: float | None,
) -> Analysis:
    """Recognise the emotion of a recording, and of its parts.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    path : str
        The recording.
    sound : Path
        The file to write for the player.
    max_duration_s : float
        Longer recordings are refused.
    window_s : float
        Length of a window of the timeline.
    unknown_below : float | None
        The label of a less probable answer is ``unknown``.

    Raises
    ------
    UnusableError
        If the recording cannot be used, with the message of the command line.
    """
    name = on_one_line(printable(Path(path).name))
    options = Namespace(
        batch_size=1, max_duration_s=max_duration_s, unknown_below=unknown_below
    )
    (result,) = find_labels(recognizer, [Recording(name, Path(path), "")], options)
    if result.error:
        raise UnusableError(result.error.replace(path, name))
    try:
        hop_s = window_s / _HOPS_PER_WINDOW
        timeline = timeline_file(
            recognizer, path, window_s, hop_s, unknown_below=unknown_below
        )
        rate_hz = recognizer.sample_rate_hz
        wav = read_audio(path, rate_hz).clamp(-1, 1)
        soundfile.write(sound, wav.numpy(), rate_hz, "PCM_16", format="WAV")
    except _FAILURES as error:
        raise UnusableError(str(error).replace(path, name)) from error
    return Analysis(name, result.rows[0], replace(timeline, path=name), sound)
