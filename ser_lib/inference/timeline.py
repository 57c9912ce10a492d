"""Recognise emotions over time in a long recording.

Windows are classified (``windows.py``), smoothed and joined to segments
(``segments.py``). ``formats.py`` and ``plot.py`` write the result::

    timeline = timeline_file(recognizer, "call.wav")
    for segment in timeline.segments:
        print(segment.start_s, segment.end_s, segment.label, segment.score)
    write_timeline("call.rttm", timeline, "rttm")
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from ser_lib.audio import SILENCE_DBFS, check_rate, open_audio
from ser_lib.inference.interface import Recognizer
from ser_lib.inference.segments import Segment, find_segments, smooth
from ser_lib.inference.sureness import sure_label
from ser_lib.inference.window_cutter import WindowCutter, check_lengths
from ser_lib.inference.windows import Window, classify_windows
from ser_lib.settings import Task

_BLOCK_S = 16.0  # read at a time
_ENVELOPE_COLUMNS = 1500  # pixels of a drawn waveform
# Decoders may return a few frames of an MP3 fewer than its header states.
_MISSING_TOLERANCE_S = 0.1


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
        Starts of the cells (see ``segments.py``), and the end of the last one.
    probabilities : (cells, n_labels) np.ndarray
        Smoothed probabilities; NaN in silent cells.
    segments : list[Segment]
        The segments in order; the gaps between them are silent.
    envelope : (columns, 2) np.ndarray
        Lowest and highest sample of equal parts of the recording, for a figure.
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


def timeline_file(
    recognizer: Recognizer,
    path: str | Path,
    window_s: float = 4.0,
    hop_s: float = 1.0,
    skip_silence_dbfs: float | None = None,
    min_segment_s: float = 0.0,
    unknown_below: float | None = None,
) -> Timeline:
    """Recognise emotions over time in a recording of any length.

    The file is read in blocks, so memory use hardly depends on its length.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    path : str | Path
        A file that libsndfile reads, with any sampling rate and number of channels.
    window_s : float
        Length of a window.
    hop_s : float
        Distance between the starts of consecutive windows.
    skip_silence_dbfs : float | None
        See ``windows.stream``.
    min_segment_s : float
        Shorter segments are merged into a neighbour.
    unknown_below : float | None
        The label of windows and segments is ``unknown`` where the highest probability
        is below this.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the file cannot be opened.
    ValueError
        If it cannot be decoded, or is silent or too short.
    """
    check_lengths(window_s, hop_s, recognizer.min_duration_s)
    with open_audio(path) as audio:
        rate_hz, n_samples = audio.samplerate, audio.frames
        check_rate(rate_hz, recognizer.sample_rate_hz, str(path))
        cutter = WindowCutter(rate_hz, window_s, hop_s, name=str(path))
        envelope = _Envelope(n_samples)
        blocks = envelope.watch(_read_blocks(path, audio, envelope.column_samples))
        windows = list(classify_windows(recognizer, blocks, cutter, skip_silence_dbfs))
    if not any(any(window.has_sound) for window in windows):
        raise ValueError(_silence_message(path, skip_silence_dbfs))
    windows = [_with_sure_label(window, unknown_below) for window in windows]
    labels, tasks = list(recognizer.labels), list(recognizer.tasks)
    n_answers = len(labels) + sum(task.size for task in tasks)
    edges_s, answers = smooth(windows, n_answers, cutter.hop_samples / rate_hz)
    return Timeline(
        path=str(path),
        duration_s=n_samples / rate_hz,
        labels=labels,
        tasks=tasks,
        windows=windows,
        edges_s=edges_s,
        probabilities=answers[:, : len(labels)],
        segments=find_segments(labels, edges_s, answers, min_segment_s, unknown_below),
        envelope=envelope.low_and_high(),
    )


def _with_sure_label(window: Window, unknown_below: float | None) -> Window:
    if window.label is None:
        return window
    return replace(window, label=sure_label(window.label, window.score, unknown_below))


def _silence_message(path: str | Path, skip_silence_dbfs: float | None) -> str:
    expected = f"a peak above {SILENCE_DBFS:.0f} dBFS"
    if skip_silence_dbfs is not None:
        expected += f" and an RMS of at least {skip_silence_dbfs:g} dBFS"
    return f"{path} is silent: no part of it has {expected}."


# ---- reading


def _read_blocks(
    path: str | Path, audio: soundfile.SoundFile, column_samples: int
) -> Iterator[np.ndarray]:
    """Yield blocks (samples, channels) that contain whole columns of the envelope."""
    # SoundFile.blocks fills a block that cannot be read with earlier samples.
    n_columns = math.ceil(_BLOCK_S * audio.samplerate / column_samples)
    n_read = 0
    while n_read < audio.frames:
        block = audio.read(n_columns * column_samples, "float32", always_2d=True)
        if len(block) == 0:
            break
        n_read += len(block)
        yield block
    if audio.frames - n_read > _MISSING_TOLERANCE_S * audio.samplerate:
        raise ValueError(
            f"{path} is cut off: its header states {audio.frames} samples, but it has "
            f"only {n_read}. Copy it again."
        )


class _Envelope:
    """Collects the lowest and highest sample of equal parts of a stream of blocks."""

    def __init__(self, n_samples: int) -> None:
        self.column_samples = math.ceil(n_samples / _ENVELOPE_COLUMNS)
        self._columns: list[np.ndarray] = []

    def watch(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            yield block
            # The consumer has checked the samples and asks for the next block.
            wav = block.mean(axis=1)
            padded = np.pad(wav, (0, -len(wav) % self.column_samples), mode="edge")
            columns = padded.reshape(-1, self.column_samples)
            self._columns.append(np.stack([columns.min(1), columns.max(1)], axis=1))

    def low_and_high(self) -> np.ndarray:
        return np.concatenate(self._columns)
