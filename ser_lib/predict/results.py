"""Compute the results of ``python -m ser_lib.predict``.

A bad file gives a result with an error and does not affect the others.
"""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ser_lib.audio import audio_duration_s
from ser_lib.inference import (
    Recognizer,
    Timeline,
    answer_row,
    answer_wavs,
    answers_by_task,
    run_in_parallel,
    segment_rows,
    sure_label,
)
from ser_lib.predict.inputs import STANDARD_INPUT, Recording
from ser_lib.predict.outputs import Result
from ser_lib.predict.speakers import timelines_of, write_summary
from ser_lib.utils.files import atomic_path

_CHUNK_FILES = 64  # files that are sorted by length and grouped into batches
_BATCH_S = 160.0  # maximum of padded seconds in memory
# Errors of one file that do not stop the others (torch raises RuntimeError).
_FAILURES = (OSError, ValueError, RuntimeError)
_NOT_FINITE = "the model returns answers that are not finite (NaN or infinity)."


def _message(recording: Recording, error: Exception | str) -> str:
    """Return the text of an error, including the name of the recording."""
    name, path = recording.name, str(recording.path)
    name = "standard input" if name == STANDARD_INPUT else name
    text = str(error).replace(path, name) if path in str(error) else str(error)
    return text if name in text else f"{name}: {text}"


# ---- one label for each file


def find_labels(
    recognizer: Recognizer, recordings: Sequence[Recording], options: Namespace
) -> Iterator[Result]:
    """Recognise one emotion per file; yield the results in order, 64 at a time."""
    for start in range(0, len(recordings), _CHUNK_FILES):
        yield from _find_chunk(
            recognizer, recordings[start : start + _CHUNK_FILES], options
        )


def _find_chunk(
    recognizer: Recognizer, recordings: Sequence[Recording], options: Namespace
) -> Iterator[Result]:
    """Recognise in batches of similar length, on all cores; keep the order."""
    lengths = [_duration_s(recognizer, i, options.max_duration_s) for i in recordings]
    usable = [i for i, length in enumerate(lengths) if not isinstance(length, str)]
    results = {i: length for i, length in enumerate(lengths) if isinstance(length, str)}

    def work(batch: Sequence[int]) -> dict:
        files = {usable[i]: recordings[usable[i]] for i in batch}
        return _read_and_classify(recognizer, files)

    durations_s = [lengths[i] for i in usable]
    limits = options.batch_size, _BATCH_S
    for _, batch_results in run_in_parallel(recognizer, durations_s, work, *limits):
        results |= batch_results
    for i, recording in enumerate(recordings):
        if isinstance(results[i], str):
            yield Result(recording, error=results[i])
        else:
            row = _row(recording, recognizer, results[i], options.unknown_below)
            yield Result(recording, rows=[row])


def _duration_s(
    recognizer: Recognizer, recording: Recording, max_duration_s: float
) -> float | str:
    """Return the duration of a file, or why it cannot be used."""
    if recording.error:
        return recording.error
    try:
        duration_s = audio_duration_s(recording.path, recognizer.sample_rate_hz)
    except _FAILURES as error:
        return _message(recording, error)
    if duration_s <= max_duration_s:
        return duration_s
    return _message(
        recording,
        f"lasts {duration_s:.1f} s, more than --max_duration_s {max_duration_s:g}. "
        f"Raise the limit, or use predict --timeline, which takes any length.",
    )


def _read_and_classify(
    recognizer: Recognizer, batch: Mapping[int, Recording]
) -> dict[int, np.ndarray | str]:
    """Return the answers for each file of a batch, or its error."""
    errors: dict[int, np.ndarray | str] = {}
    wavs: dict[int, torch.Tensor] = {}
    for i, recording in batch.items():
        try:
            wavs[i] = recognizer.load_audio(recording.path)
        except _FAILURES as error:
            errors[i] = _message(recording, error)
    return errors | (_classify(recognizer, batch, wavs) if wavs else {})


def _classify(
    recognizer: Recognizer,
    recordings: Mapping[int, Recording],
    wavs: Mapping[int, torch.Tensor],
) -> dict[int, np.ndarray | str]:
    """Classify a batch; if that fails, one by one, so that only the bad file fails."""
    try:
        rows = answer_wavs(recognizer, list(wavs.values()))
    except _FAILURES as error:
        if len(wavs) == 1:
            return {i: _message(recordings[i], error) for i in wavs}
        results: dict[int, np.ndarray | str] = {}
        for i, wav in wavs.items():
            results |= _classify(recognizer, recordings, {i: wav})
        return results
    pairs = zip(wavs, rows, strict=True)
    arrays = {i: row.cpu().numpy() for i, row in pairs}
    return {
        i: array if np.isfinite(array).all() else _message(recordings[i], _NOT_FINITE)
        for i, array in arrays.items()
    }


def _row(
    recording: Recording,
    recognizer: Recognizer,
    answers: np.ndarray,
    unknown_below: float | None,
) -> dict:
    labels = recognizer.labels
    probabilities, others = answers[: len(labels)], answers[len(labels) :]
    best = int(probabilities.argmax())
    values = [round(p, 6) for p in probabilities.tolist()]
    shares = {f"p_{label}": p for label, p in zip(labels, values, strict=True)}
    return {
        "path": recording.name,
        "label": sure_label(labels[best], probabilities[best], unknown_below),
        "score": values[best],
        **shares,
        **answer_row(answers_by_task(recognizer.tasks, others)),
    }


# ---- segments of each file


def find_timelines(
    recognizer: Recognizer, recordings: Sequence[Recording], options: Namespace
) -> Iterator[Result]:
    """Recognise emotions over time in each recording; draw them with ``--plot``."""
    for recording in recordings:
        if recording.error:
            yield Result(recording, error=recording.error)
            continue
        try:
            timelines = timelines_of(recognizer, recording, options)
            _check_finite(timelines)
            if recording.name == STANDARD_INPUT:
                name = recording.short_name
                timelines = [replace(timeline, path=name) for timeline in timelines]
            if options.plot is not None:
                _draw(timelines, options.plot / f"{recording.short_name}.png")
            if options.summary is not None:
                write_summary(options.summary, recording, timelines)
        except _FAILURES as error:
            yield Result(recording, error=_message(recording, error))
        else:
            rows = _segment_rows(recording, timelines)
            yield Result(recording, rows=rows, timelines=timelines)


def _check_finite(timelines: Sequence[Timeline]) -> None:
    windows = [window for timeline in timelines for window in timeline.windows]
    values = [w.probabilities for w in windows if w.probabilities is not None]
    if not np.isfinite(values).all():
        raise ValueError(_NOT_FINITE)


def _draw(timelines: Sequence[Timeline], path: Path) -> None:
    # Matplotlib takes half a second to import; most commands draw nothing.
    from ser_lib.inference import timeline_figure

    with atomic_path(path) as unfinished:
        timeline_figure(timelines).savefig(unfinished)


def _segment_rows(recording: Recording, timelines: Sequence[Timeline]) -> list[dict]:
    rows = segment_rows(timelines)
    first = {"path": recording.name, "n_segments": len(rows)}
    return [{**first, "segment": i, **row} for i, row in enumerate(rows, start=1)]
