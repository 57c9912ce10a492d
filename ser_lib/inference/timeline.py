"""Recognise emotions over time in a long recording.

Windows are classified (``windows.py``), smoothed and joined to segments
(``segments.py``). ``formats.py`` and ``plot.py`` write the result::

    timeline = timeline_file(recognizer, "call.wav", vad="silero")
    for segment in timeline.segments:
        print(segment.start_s, segment.end_s, segment.label, segment.score)
    write_timeline("call.rttm", timeline, "rttm")

A recording of several speakers has a timeline for each: of its channels
(``channel_timelines``), or by the turns that a diariser found (``turns.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ser_lib.audio import SILENCE_DBFS, check_rate, open_audio
from ser_lib.inference.answers import count_answers
from ser_lib.inference.blocks import Envelope, PartReader, read_blocks
from ser_lib.inference.interface import Recognizer
from ser_lib.inference.segments import Segment, find_segments, smooth
from ser_lib.inference.spans import (
    Cells,
    Span,
    cells_of_span,
    classify_span,
    join_cells,
    with_margins,
)
from ser_lib.inference.speech import find_speech
from ser_lib.inference.sureness import sure_label
from ser_lib.inference.window_cutter import WindowCutter
from ser_lib.inference.windowing import Windowing
from ser_lib.inference.windows import Window, classify_windows
from ser_lib.settings import Task

CHANNEL_NAMES = ("left", "right")


@dataclass(frozen=True)
class Timeline:
    """Emotions over time in a recording.

    Arguments
    ---------
    path : str
        The recording.
    duration_s : float
        Its length.
    labels : list[str]
        The labels of the model, in the order of the probabilities.
    tasks : list[Task]
        What else the model answers: ``others`` of windows and segments.
    windows : list[Window]
        The windows, as classified; the label of one that is not sure is ``unknown``.
    edges_s : (cells + 1,) np.ndarray
        Starts of the cells (see ``segments.py``), and the end of the last one. With a
        VAD, the cells of speech are as long as the hop, and a pause is a cell.
    probabilities : (cells, n_labels) np.ndarray
        Smoothed probabilities; NaN in silent cells.
    segments : list[Segment]
        The segments in order; the gaps between them are silent.
    envelope : (columns, 2) np.ndarray
        Lowest and highest sample of equal parts of the recording, for a figure.
    speaker : str
        Whose timeline it is, if the recording has one for each; or empty.
    channel : int
        Number of the channel, from 1.
    """

    path: str
    duration_s: float
    labels: list[str]
    tasks: list[Task]
    windows: list[Window]
    edges_s: np.ndarray
    probabilities: np.ndarray
    segments: list[Segment]
    envelope: np.ndarray
    speaker: str = ""
    channel: int = 1


def timeline_file(
    recognizer: Recognizer,
    path: str | Path,
    window_s: float = 4.0,
    hop_s: float = 1.0,
    **options: Any,
) -> Timeline:
    """Recognise emotions over time in a recording of any length.

    The file is read in blocks, so memory use hardly depends on its length.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    path : str | Path
        A file that libsndfile reads, with any sampling rate and number of channels.
    window_s, hop_s, **options
        See ``Windowing``; ``vad="silero"`` cuts windows at speech.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the file cannot be opened.
    ModuleNotFoundError
        If ``silero-vad`` is needed and not installed.
    ValueError
        If it cannot be decoded, or is silent, without speech or too short.
    """
    windowing = Windowing(window_s, hop_s, **options)
    timeline = _follow(recognizer, path, windowing)
    _check_heard(path, [timeline], windowing)
    return timeline


def channel_timelines(
    recognizer: Recognizer,
    path: str | Path,
    names: Sequence[str] = CHANNEL_NAMES,
    **options: Any,
) -> list[Timeline]:
    """Recognise emotions over time in each channel of a recording, such as a call.

    Arguments
    ---------
    recognizer, path
        See :func:`timeline_file`.
    names : Sequence[str]
        Who speaks in each channel.
    **options
        See ``Windowing``.

    Returns
    -------
    list[Timeline]
        One for each channel; a channel in which nobody speaks has no segments.

    Raises
    ------
    FileNotFoundError, PermissionError, ModuleNotFoundError, ValueError
        See :func:`timeline_file`; also if the recording does not have a different
        channel for each name.
    """
    names, windowing = list(names), Windowing(**options)
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise ValueError(f"The channels are named {names}; expected different names.")
    _check_channels(path, len(names))
    timelines = [
        replace(_follow(recognizer, path, windowing, i), speaker=name, channel=i + 1)
        for i, name in enumerate(names)
    ]
    _check_heard(path, timelines, windowing)
    return timelines


def _check_channels(path: str | Path, n_expected: int) -> None:
    """Refuse a recording that has not one voice in each channel."""
    with open_audio(path) as audio:
        if audio.channels == 1:
            raise ValueError(
                f"{path} has one channel, so its speakers cannot be separated by "
                f"channel; expected {n_expected}. Leave the option out, or give their "
                f"turns."
            )
        if audio.channels != n_expected:
            raise ValueError(
                f"{path} has {audio.channels} channels; expected {n_expected}, one for "
                f"each name."
            )
        if all(np.all(b == b[:, :1]) for b in read_blocks(path, audio)):
            raise ValueError(
                f"{path} has {n_expected} channels that are the same, as if one was "
                f"copied; expected one speaker in each. Leave the option out."
            )


def _follow(
    recognizer: Recognizer,
    path: str | Path,
    windowing: Windowing,
    channel: int | None = None,
) -> Timeline:
    """Return the timeline of one channel, or of the mean of all."""
    windowing.check(recognizer.min_duration_s)
    with open_audio(path) as audio:
        check_rate(audio.samplerate, recognizer.sample_rate_hz, str(path))
        duration_s = audio.frames / audio.samplerate
        envelope = Envelope(audio.frames)
        read = read_blocks(path, audio, channel, envelope.column_samples)
        blocks = envelope.watch(read)
        if windowing.vad is None:
            cutter = WindowCutter(
                audio.samplerate, windowing.window_s, windowing.hop_s, str(path)
            )
            skip = windowing.skip_silence_dbfs
            windows = list(classify_windows(recognizer, blocks, cutter, skip))
            hop_s = cutter.hop_samples / audio.samplerate
            cells = Cells(*smooth(windows, count_answers(recognizer), hop_s))
        else:
            least_s = recognizer.min_duration_s
            speech = find_speech(blocks, audio.samplerate, str(path), least_s)
    if windowing.vad is not None:
        windows, cells = _speech_cells(recognizer, path, windowing, speech, channel)
    shown = windowing.min_segment_s, windowing.unknown_below
    labels, tasks = list(recognizer.labels), list(recognizer.tasks)
    return Timeline(
        path=str(path),
        duration_s=duration_s,
        labels=labels,
        tasks=tasks,
        windows=[
            with_sure_label(window, windowing.unknown_below) for window in windows
        ],
        edges_s=cells.edges_s,
        probabilities=cells.answers[:, : len(labels)],
        segments=find_segments(labels, cells.edges_s, cells.answers, *shown),
        envelope=envelope.low_and_high(),
    )


def _speech_cells(
    recognizer: Recognizer,
    path: str | Path,
    windowing: Windowing,
    speech: Sequence[Span],
    channel: int | None,
) -> tuple[list[Window], Cells]:
    """Classify the speech of a recording; pauses are silent cells."""
    n_answers, all_windows, own_cells = count_answers(recognizer), [], []
    with open_audio(path) as audio:
        parts = PartReader(path, audio, channel)
        duration_s = audio.frames / audio.samplerate
        for span, heard in zip(speech, with_margins(speech, duration_s), strict=True):
            windows = classify_span(recognizer, parts, span, heard, windowing)
            all_windows += windows
            own_cells.append(cells_of_span(windows, span, n_answers, windowing.hop_s))
    return all_windows, join_cells(own_cells, n_answers, duration_s)


def with_sure_label(window: Window, unknown_below: float | None) -> Window:
    """Return a window labelled ``unknown`` if it is not sure enough."""
    if window.label is None:
        return window
    return replace(window, label=sure_label(window.label, window.score, unknown_below))


def _check_heard(
    path: str | Path, timelines: Sequence[Timeline], windowing: Windowing
) -> None:
    """Refuse a recording that is silent, or without speech."""
    windows = [window for timeline in timelines for window in timeline.windows]
    if any(any(window.has_sound) for window in windows):
        return
    expected = f"a peak above {SILENCE_DBFS:.0f} dBFS"
    if windowing.skip_silence_dbfs is not None:
        expected += f" and an RMS of at least {windowing.skip_silence_dbfs:g} dBFS"
    if windowing.vad is not None:
        raise ValueError(
            f"{path} has no speech: {windowing.vad} found none with {expected}."
        )
    raise ValueError(f"{path} is silent: no part of it has {expected}.")
