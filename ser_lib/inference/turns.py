"""Recognise the emotion of each turn of a conversation, as a diariser found them::

    turns = read_turns("call.rttm", "call.wav")
    for timeline in turn_timelines(recognizer, "call.wav", turns):
        for turn in timeline.segments:
            print(timeline.speaker, turn.start_s, turn.end_s, turn.label or turn.error)

A turn gets one label: that of its mean probabilities over time. Turns of different
speakers may overlap; each is then classified with what the others say in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ser_lib.audio import check_rate, open_audio
from ser_lib.inference.answers import count_answers
from ser_lib.inference.blocks import Envelope, PartReader, read_blocks
from ser_lib.inference.interface import Recognizer
from ser_lib.inference.segments import Segment
from ser_lib.inference.spans import (
    Cells,
    Span,
    cells_of_span,
    classify_span,
    join_cells,
)
from ser_lib.inference.sureness import sure_label
from ser_lib.inference.timeline import Timeline, with_sure_label
from ser_lib.inference.windowing import Windowing
from ser_lib.inference.windows import Window

# Diarisers work in steps of some milliseconds and round.
_END_TOLERANCE_S = 0.1
_OVERLAP_TOLERANCE_S = 0.002


@dataclass(frozen=True)
class Turn:
    """What one speaker says without a break; ``where`` names its line in a file."""

    start_s: float
    end_s: float
    speaker: str
    where: str = ""

    def __str__(self) -> str:
        at = f"{self.where}: " if self.where else ""
        return f"{at}{self.speaker} from {self.start_s:.3f} to {self.end_s:.3f} s"


def check_turns(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns in the order of their starts, if all can be.

    Raises
    ------
    ValueError
        If the list is empty, a time is negative or not finite, or a turn does not end
        after it starts, has no speaker, or overlaps another turn of its speaker.

    Example
    -------
    >>> check_turns([Turn(0.0, -2.0, "A")])
    Traceback (most recent call last):
    ...
    ValueError: A from 0.000 to -2.000 s: a turn must end after its start.
    """
    if not turns:
        raise ValueError("There are no turns; expected at least one.")
    for turn in turns:
        problem = _problem_of(turn)
        if problem:
            raise ValueError(f"{turn}: {problem}.")
    in_order = sorted(turns, key=lambda turn: (turn.start_s, turn.end_s, turn.speaker))
    for speaker in {turn.speaker for turn in in_order}:
        own = [turn for turn in in_order if turn.speaker == speaker]
        for first, second in pairwise(own):
            if second.start_s < first.end_s - _OVERLAP_TOLERANCE_S:
                raise ValueError(f"Two turns of {speaker} overlap: {first}, {second}.")
    return in_order


def _problem_of(turn: Turn) -> str:
    """Return why there can be no such turn, or an empty text."""
    if not (math.isfinite(turn.start_s) and math.isfinite(turn.end_s)):
        return "the times of a turn must be finite numbers"
    if turn.start_s < 0:
        return "a turn cannot start before the recording (0 s)"
    if turn.end_s <= turn.start_s:
        return "a turn must end after its start"
    return "" if turn.speaker.strip() else "the turn has no speaker"


def turn_timelines(
    recognizer: Recognizer, path: str | Path, turns: Sequence[Turn], **options: Any
) -> list[Timeline]:
    """Recognise the emotion of each turn.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    path : str | Path
        The recording. Its channels are averaged.
    turns : Sequence[Turn]
        From :func:`read_turns`, or made by hand.
    **options
        See ``Windowing``, without ``vad`` and ``min_segment_s``. A turn of at most
        ``window_s`` is classified as a whole, a longer one in windows.

    Returns
    -------
    list[Timeline]
        One for each speaker, in the order in which they begin to speak. Each segment
        is a turn, with probabilities; if it is too short or silent, with an error.

    Raises
    ------
    FileNotFoundError, PermissionError
        If the recording cannot be opened.
    ValueError
        If the recording cannot be decoded, :func:`check_turns` refuses the turns, or
        one ends after the end of the recording.
    """
    windowing = Windowing(**options)
    if windowing.vad is not None or windowing.min_segment_s:
        raise ValueError("vad and min_segment_s cannot be given with turns.")
    windowing.check(recognizer.min_duration_s)
    turns = check_turns(turns)
    with open_audio(path) as audio:
        check_rate(audio.samplerate, recognizer.sample_rate_hz, str(path))
        duration_s = audio.frames / audio.samplerate
        turns = [_inside(turn, path, duration_s) for turn in turns]
        envelope = Envelope(audio.frames)
        for _ in envelope.watch(read_blocks(path, audio)):
            pass
    shared = str(path), duration_s, envelope.low_and_high()
    return [
        _timeline(
            recognizer, [t for t in turns if t.speaker == speaker], windowing, shared
        )
        for speaker in dict.fromkeys(turn.speaker for turn in turns)
    ]


def _inside(turn: Turn, path: str | Path, duration_s: float) -> Turn:
    """Cut a turn at the end of the recording, or refuse it."""
    too_long_s = turn.end_s - duration_s
    if too_long_s > _END_TOLERANCE_S or turn.start_s >= duration_s:
        raise ValueError(
            f"{turn} is beyond the end of {path}, which lasts {duration_s:.3f} s. Are "
            f"the turns of another recording?"
        )
    return Turn(turn.start_s, min(turn.end_s, duration_s), turn.speaker, turn.where)


def _timeline(
    recognizer: Recognizer,
    turns: Sequence[Turn],
    windowing: Windowing,
    shared: tuple[str, float, np.ndarray],
) -> Timeline:
    """Return the timeline of one speaker."""
    path, duration_s, envelope = shared
    labels, n_answers = list(recognizer.labels), count_answers(recognizer)
    all_windows: list[Window] = []
    segments, cells = [], []
    with open_audio(path) as audio:
        parts = PartReader(path, audio, channel=None)
        for turn in turns:
            windows, error = _classify_turn(recognizer, parts, turn, windowing)
            answers = np.full(n_answers, np.nan)
            if not error:
                span = Span(turn.start_s, turn.end_s)
                own = cells_of_span(windows, span, n_answers, windowing.hop_s)
                answers = own.mean()
            all_windows += windows
            segments.append(_segment(turn, labels, answers, error, windowing))
            edges_s = np.array([turn.start_s, turn.end_s])
            cells.append(Cells(edges_s, answers[None]))
    joined = join_cells(cells, n_answers, duration_s)
    return Timeline(
        path=path,
        duration_s=duration_s,
        labels=labels,
        tasks=list(recognizer.tasks),
        windows=[with_sure_label(w, windowing.unknown_below) for w in all_windows],
        edges_s=joined.edges_s,
        probabilities=joined.answers[:, : len(labels)],
        segments=segments,
        envelope=envelope,
        speaker=turns[0].speaker,
    )


def _classify_turn(
    recognizer: Recognizer, parts: PartReader, turn: Turn, windowing: Windowing
) -> tuple[list[Window], str]:
    """Return the windows of a turn, or why it cannot be classified."""
    span = Span(turn.start_s, turn.end_s)
    if span.duration_s < recognizer.min_duration_s:
        return [], (
            f"the turn is too short: it lasts {1000 * span.duration_s:.0f} ms, "
            f"expected at least {1000 * recognizer.min_duration_s:.0f} ms"
        )
    windows = classify_span(recognizer, parts, span, span, windowing)
    if not any(any(window.has_sound) for window in windows):
        return windows, "the turn is silent"
    return windows, ""


def _segment(
    turn: Turn,
    labels: Sequence[str],
    answers: np.ndarray,
    error: str,
    windowing: Windowing,
) -> Segment:
    where_s = turn.start_s, turn.end_s
    if error:
        return Segment(*where_s, "", math.nan, error=error)
    probabilities, others = np.split(answers, [len(labels)])
    best = int(probabilities.argmax())
    score = float(probabilities[best])
    label = sure_label(labels[best], score, windowing.unknown_below)
    rows = tuple(others.tolist()), tuple(probabilities.tolist())
    return Segment(*where_s, label, score, *rows)
