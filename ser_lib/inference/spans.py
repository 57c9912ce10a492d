"""Classify given parts of a recording: its speech, or the turns of a speaker.

A part of at most ``window_s`` is classified as a whole, like a file of its own; a
longer one is cut into windows. Smoothed probabilities (``segments.py``) never reach
over the ends of a part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from ser_lib.audio import resample, trim_silence
from ser_lib.inference.blocks import PartReader
from ser_lib.inference.interface import Recognizer
from ser_lib.inference.segments import smooth
from ser_lib.inference.window_cutter import WindowCutter
from ser_lib.inference.windowing import Windowing
from ser_lib.inference.windows import Window, classify_windows, is_loud, results_of

# A model hears some of what is around speech: a VAD misses quiet beginnings and ends.
_MARGIN_S = 0.2


@dataclass(frozen=True)
class Span:
    """A part of a recording."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Cells:
    """Smoothed answers along a recording.

    Arguments
    ---------
    edges_s : (cells + 1,) np.ndarray
        Starts of the cells, and the end of the last one.
    answers : (cells, n_answers) np.ndarray
        Probabilities, then the answers of other tasks; NaN where nothing was
        classified.
    """

    edges_s: np.ndarray
    answers: np.ndarray

    def mean(self) -> np.ndarray:
        """Return the mean over time of what was classified; NaN if nothing was."""
        known = ~np.isnan(self.answers[:, 0])
        if not known.any():
            return np.full(self.answers.shape[1], np.nan)
        durations_s = np.diff(self.edges_s)[known]
        return np.average(self.answers[known], axis=0, weights=durations_s)


def with_margins(spans: Sequence[Span], duration_s: float) -> list[Span]:
    """Widen each span by 0.2 s on both sides, to the middle of a pause at most.

    Example
    -------
    >>> for span in with_margins([Span(0.1, 1.0), Span(1.25, 2.0)], duration_s=3.0):
    ...     print(f"{span.start_s:.3f} {span.end_s:.3f}")
    0.000 1.125
    1.125 2.200
    """
    if not spans:
        return []
    middles_s = [(a.end_s + b.start_s) / 2 for a, b in pairwise(spans)]
    limits_s = [0.0, *middles_s, duration_s]
    return [
        Span(max(span.start_s - _MARGIN_S, low), min(span.end_s + _MARGIN_S, high))
        for span, low, high in zip(spans, limits_s[:-1], limits_s[1:], strict=True)
    ]


def classify_span(
    recognizer: Recognizer,
    parts: PartReader,
    span: Span,
    heard: Span,
    windowing: Windowing,
) -> list[Window]:
    """Classify a part of a recording.

    Arguments
    ---------
    span : Span
        It is classified as a whole if it is at most ``window_s`` long.
    heard : Span
        What the model hears of it: the span, or more.

    Returns
    -------
    list[Window]
        One window, or several, which cover ``heard``. One without a label is silent.
    """
    where_s = heard.start_s, heard.end_s
    if span.duration_s <= windowing.window_s:
        return [_classify_whole(recognizer, parts, heard, windowing.skip_silence_dbfs)]
    lengths_s = windowing.window_s, windowing.hop_s
    cutter = WindowCutter(parts.sample_rate_hz, *lengths_s, parts.name, heard.start_s)
    blocks, skip = parts.blocks(*where_s), windowing.skip_silence_dbfs
    windows = list(classify_windows(recognizer, blocks, cutter, skip))
    # A short silence within a part does not end it.
    return [
        replace(w, has_sound=(any(w.has_sound),) * len(w.has_sound)) for w in windows
    ]


def _classify_whole(
    recognizer: Recognizer, parts: PartReader, heard: Span, min_rms_dbfs: float | None
) -> Window:
    """Classify a span like a file: without silence at its ends, if trained so."""
    rates_hz = parts.sample_rate_hz, recognizer.sample_rate_hz
    where_s = heard.start_s, heard.end_s
    wav = resample(parts.wav(*where_s), *rates_hz, parts.name)
    if not is_loud(wav, min_rms_dbfs):
        return Window(*where_s, (False,))
    name = f"{parts.name} at {heard.start_s:.2f} s"
    trim_silence_db = recognizer.model_info["trim_silence_db"]
    if trim_silence_db is not None:
        trimmed = trim_silence(wav, recognizer.sample_rate_hz, trim_silence_db)
        if len(trimmed) >= recognizer.min_duration_s * recognizer.sample_rate_hz:
            wav = trimmed
    answered = recognizer.answer_batch(wav[None], torch.ones(1), [name])
    (values,) = results_of(recognizer.labels, answered)
    return Window(*where_s, (True,), *values)


def cells_of_span(
    windows: Sequence[Window], span: Span, n_answers: int, hop_s: float
) -> Cells:
    """Smooth the windows of a span and cut what lies outside of it."""
    edges_s, answers = smooth(windows, n_answers, hop_s)
    edges_s = edges_s.clip(span.start_s, span.end_s)
    edges_s[-1] = span.end_s  # the rest after the last window may not be classified
    has_length = np.diff(edges_s) > 0
    starts_s = edges_s[:-1][has_length]
    return Cells(np.append(starts_s, edges_s[-1]), answers[has_length])


def join_cells(spans: Sequence[Cells], n_answers: int, duration_s: float) -> Cells:
    """Join the cells of spans to those of a recording, with silent ones in the gaps.

    Example
    -------
    >>> one = Cells(np.array([1.0, 2.0]), np.array([[0.75, 0.25]]))
    >>> cells = join_cells([one], n_answers=2, duration_s=3.0)
    >>> cells.edges_s, cells.answers[:, 0]
    (array([0., 1., 2., 3.]), array([ nan, 0.75,  nan]))
    """
    silence = np.full((1, n_answers), np.nan)
    starts_s, rows, end_s = [], [], 0.0
    for cells in spans:
        if cells.edges_s[0] > end_s:
            starts_s.append(np.array([end_s]))
            rows.append(silence)
        starts_s.append(cells.edges_s[:-1])
        rows.append(cells.answers)
        end_s = cells.edges_s[-1]
    if duration_s > end_s:
        starts_s.append(np.array([end_s]))
        rows.append(silence)
    end_s = max(end_s, duration_s)
    return Cells(np.append(np.concatenate(starts_s), end_s), np.concatenate(rows))
