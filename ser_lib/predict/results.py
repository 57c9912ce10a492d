"""From recordings to results, for ``python -m ser_lib.predict``: one bad file is one
result with an error, and the others are as if it were not there.
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
    classify_wavs,
    run_in_parallel,
    segment_rows,
    timeline_file,
)
from ser_lib.predict.inputs import STANDARD_INPUT, Recording
from ser_lib.predict.outputs import Result
from ser_lib.utils.files import atomic_path

_CHUNK_FILES = 64  # so many are sorted by length and cut into batches
_BATCH_S = 160.0  # most padded seconds in memory
# What one file can do wrong without stopping the others (torch: RuntimeError).
_FAILURES = (OSError, ValueError, RuntimeError)
_NOT_FINITE = "the model gives probabilities that are not finite (NaN or infinity)."
WINDOWING = ("window_s", "hop_s", "skip_silence_dbfs", "min_segment_s")


def _message(item: Recording, error: Exception | str) -> str:
    """Give the text of an error, which names the recording."""
    if item.name == STANDARD_INPUT:
        return str(error).replace(str(item.path), "standard input")
    return str(error) if str(item.path) in str(error) else f"{item.path}: {error}"


# ---- one label for each file


def find_labels(
    recognizer: Recognizer, items: Sequence[Recording], options: Namespace
) -> Iterator[Result]:
    """Recognise one emotion for each file.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    items : Sequence[Recording]
        The files.
    options : Namespace
        ``batch_size`` and ``max_duration_s``.

    Yields
    ------
    Result
        In the order of the files, those of up to 64 files at a time.
    """
    for start in range(0, len(items), _CHUNK_FILES):
        yield from _find_chunk(recognizer, items[start : start + _CHUNK_FILES], options)


def _find_chunk(
    recognizer: Recognizer, items: Sequence[Recording], options: Namespace
) -> Iterator[Result]:
    """Recognise in batches of like length, on all cores; keep the order."""
    lengths = [_duration_s(recognizer, i, options.max_duration_s) for i in items]
    usable = [i for i, length in enumerate(lengths) if not isinstance(length, str)]
    found = {i: length for i, length in enumerate(lengths) if isinstance(length, str)}

    def work(batch: Sequence[int]) -> dict:
        of_batch = {usable[i]: items[usable[i]] for i in batch}
        return _read_and_classify(recognizer, of_batch)

    durations_s = [lengths[i] for i in usable]
    limits = options.batch_size, _BATCH_S
    for _, results in run_in_parallel(recognizer, durations_s, work, *limits):
        found |= results
    for i, item in enumerate(items):
        if isinstance(found[i], str):
            yield Result(item, error=found[i])
        else:
            yield Result(item, rows=[_row(item, recognizer.labels, found[i])])


def _duration_s(
    recognizer: Recognizer, item: Recording, max_duration_s: float
) -> float | str:
    """Say how long a file lasts, or why it cannot be used."""
    if item.error:
        return item.error
    try:
        duration_s = audio_duration_s(item.path, recognizer.sample_rate_hz)
    except _FAILURES as error:
        return _message(item, error)
    if duration_s <= max_duration_s:
        return duration_s
    return _message(
        item,
        f"lasts {duration_s:.1f} s, more than --max_duration_s {max_duration_s:g}. Use "
        f"--timeline for labels along the recording, or raise it.",
    )


def _read_and_classify(
    recognizer: Recognizer, batch: Mapping[int, Recording]
) -> dict[int, np.ndarray | str]:
    """Give the probabilities of each file of a batch, or why there are none."""
    found: dict[int, np.ndarray | str] = {}
    wavs: dict[int, torch.Tensor] = {}
    for i, item in batch.items():
        try:
            wavs[i] = recognizer.load_audio(item.path)
        except _FAILURES as error:
            found[i] = _message(item, error)
    return found | (_classify(recognizer, batch, wavs) if wavs else {})


def _classify(
    recognizer: Recognizer,
    items: Mapping[int, Recording],
    wavs: Mapping[int, torch.Tensor],
) -> dict[int, np.ndarray | str]:
    """Classify a batch; if it fails, one by one, to find out which file it is."""
    try:
        rows = classify_wavs(recognizer, list(wavs.values()))
    except _FAILURES as error:
        if len(wavs) == 1:
            return {i: _message(items[i], error) for i in wavs}
        each = [_classify(recognizer, items, {i: wav}) for i, wav in wavs.items()]
        return {i: found for one in each for i, found in one.items()}
    pairs = zip(wavs, rows, strict=True)
    found = {i: row[0][0].cpu().numpy() for i, row in pairs}
    return {i: _usable_or_why_not(items[i], row) for i, row in found.items()}


def _usable_or_why_not(item: Recording, probabilities: np.ndarray) -> np.ndarray | str:
    is_finite = np.isfinite(probabilities).all()
    return probabilities if is_finite else _message(item, _NOT_FINITE)


def _row(item: Recording, labels: Sequence[str], probabilities: np.ndarray) -> dict:
    best = int(probabilities.argmax())
    values = [round(p, 6) for p in probabilities.tolist()]
    shares = {f"p_{label}": p for label, p in zip(labels, values, strict=True)}
    return {"path": item.name, "label": labels[best], "score": values[best], **shares}


# ---- segments along each file


def find_timelines(
    recognizer: Recognizer, items: Sequence[Recording], options: Namespace
) -> Iterator[Result]:
    """Recognise the emotions along each recording, and draw them if asked to.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    items : Sequence[Recording]
        The recordings.
    options : Namespace
        Window, hop, silence, shortest segment, and ``plot``.

    Yields
    ------
    Result
        In the order of the recordings.
    """
    windowing = {name: getattr(options, name) for name in WINDOWING}
    for item in items:
        if item.error:
            yield Result(item, error=item.error)
            continue
        try:
            timeline = timeline_file(recognizer, item.path, **windowing)
            _check_finite(timeline)
            if item.name == STANDARD_INPUT:
                timeline = replace(timeline, path=item.short_name)
            if options.plot is not None:
                _draw(timeline, options.plot / f"{item.short_name}.png")
        except _FAILURES as error:
            yield Result(item, error=_message(item, error))
        else:
            yield Result(item, rows=_segment_rows(item, timeline), timeline=timeline)


def _check_finite(timeline: Timeline) -> None:
    values = [w.probabilities for w in timeline.windows if w.probabilities is not None]
    if not np.isfinite(values).all():
        raise ValueError(_NOT_FINITE)


def _draw(timeline: Timeline, path: Path) -> None:
    # Matplotlib takes half a second to import; most commands draw nothing.
    from ser_lib.inference import timeline_figure

    with atomic_path(path) as unfinished:
        timeline_figure(timeline).savefig(unfinished)


def _segment_rows(item: Recording, timeline: Timeline) -> list[dict]:
    rows = segment_rows(timeline)
    first = {"path": item.name, "n_segments": len(rows)}
    return [{**first, "segment": i, **row} for i, row in enumerate(rows, start=1)]
