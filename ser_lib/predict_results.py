"""From recordings to results, for ``python -m ser_lib.predict``: one bad file is one
result with an error, and the others are as if it were not there.
"""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ser_lib.audio import audio_duration_s
from ser_lib.dataset import LengthBucketSampler
from ser_lib.files import atomic_path
from ser_lib.predict_inputs import STANDARD_INPUT, Item
from ser_lib.predict_outputs import Result
from ser_lib.timeline import Timeline, timeline_file
from ser_lib.timeline_formats import segment_rows
from ser_lib.timeline_plot import timeline_figure

if TYPE_CHECKING:
    from ser_lib.inference import EmotionRecognizer

# Files that are read, then sorted by length and cut into batches; at most so much
# audio, so that memory stays bounded.
_CHUNK_FILES = 64
_CHUNK_S = 1200.0
_BATCH_S = 160.0
# What one file can do wrong without stopping the others (torch: RuntimeError).
_FAILURES = (OSError, ValueError, RuntimeError)
WINDOWING = ("window_s", "hop_s", "skip_silence_dbfs", "min_segment_s")


def _message(item: Item, error: Exception | str) -> str:
    """Give the text of an error, which names the recording."""
    if item.name == STANDARD_INPUT:
        return str(error).replace(str(item.path), "standard input")
    return str(error) if str(item.path) in str(error) else f"{item.path}: {error}"


# ---- one label for each file


def find_labels(
    recognizer: "EmotionRecognizer", items: Sequence[Item], options: Namespace
) -> Iterator[Result]:
    """Recognise one emotion for each file.

    Arguments
    ---------
    recognizer : EmotionRecognizer
        The model.
    items : Sequence[Item]
        The files.
    options : Namespace
        ``batch_size`` and ``max_duration_s``.

    Yields
    ------
    Result
        In the order of the files, those of up to 64 files at a time.
    """
    chunk: list[tuple[Item, torch.Tensor | str]] = []
    for item in items:
        chunk.append((item, _read(recognizer, item, options.max_duration_s)))
        n_samples = sum(len(wav) for _, wav in chunk if not isinstance(wav, str))
        is_full = len(chunk) == _CHUNK_FILES
        if is_full or n_samples >= _CHUNK_S * recognizer.sample_rate_hz:
            yield from _classify_chunk(recognizer, chunk, options.batch_size)
            chunk = []
    yield from _classify_chunk(recognizer, chunk, options.batch_size)


def _read(
    recognizer: "EmotionRecognizer", item: Item, max_duration_s: float
) -> torch.Tensor | str:
    """Read a file, or tell why it cannot be used."""
    if item.error:
        return item.error
    try:
        duration_s = audio_duration_s(item.path, recognizer.sample_rate_hz)
        if duration_s <= max_duration_s:
            return recognizer.load_audio(item.path)
    except _FAILURES as error:
        return _message(item, error)
    return _message(
        item,
        f"lasts {duration_s:.1f} s, more than --max_duration_s {max_duration_s:g}. Use "
        f"--timeline for labels along the recording, or raise it.",
    )


def _classify_chunk(
    recognizer: "EmotionRecognizer",
    chunk: Sequence[tuple[Item, torch.Tensor | str]],
    batch_size: int,
) -> Iterator[Result]:
    """Classify what could be read, in batches of like length; keep the order."""
    found = {i: wav for i, (_, wav) in enumerate(chunk) if isinstance(wav, str)}
    usable = [i for i in range(len(chunk)) if i not in found]
    durations_s = [len(chunk[i][1]) / recognizer.sample_rate_hz for i in usable]
    batches = LengthBucketSampler(durations_s, batch_size, _BATCH_S, shuffle=False)
    for batch in batches if usable else ():
        indices = [usable[i] for i in batch]
        found |= _classify(recognizer, {i: chunk[i] for i in indices})
    for i, (item, _) in enumerate(chunk):
        if isinstance(found[i], str):
            yield Result(item, error=found[i])
        else:
            yield Result(item, rows=[_row(item, recognizer.labels, found[i])])


def _classify(
    recognizer: "EmotionRecognizer", batch: Mapping[int, tuple[Item, torch.Tensor]]
) -> dict[int, np.ndarray | str]:
    """Classify a batch; if it fails, one by one, to find out which file it is."""
    wavs = [wav for _, wav in batch.values()]
    counts = torch.tensor([len(wav) for wav in wavs], dtype=torch.float64)
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    try:
        out_prob, *_ = recognizer.classify_batch(padded, counts / padded.shape[1])
    except _FAILURES as error:
        if len(batch) == 1:
            return {i: _message(item, error) for i, (item, _) in batch.items()}
        each = [_classify(recognizer, {i: pair}) for i, pair in batch.items()]
        return {i: found for one in each for i, found in one.items()}
    return dict(zip(batch, out_prob.cpu().numpy(), strict=True))


def _row(item: Item, labels: Sequence[str], probabilities: np.ndarray) -> dict:
    best = int(probabilities.argmax())
    values = [round(p, 6) for p in probabilities.tolist()]
    shares = {f"p_{label}": p for label, p in zip(labels, values, strict=True)}
    return {"path": item.name, "label": labels[best], "score": values[best], **shares}


# ---- segments along each file


def find_timelines(
    recognizer: "EmotionRecognizer", items: Sequence[Item], options: Namespace
) -> Iterator[Result]:
    """Recognise the emotions along each recording, and draw them if asked to.

    Arguments
    ---------
    recognizer : EmotionRecognizer
        The model.
    items : Sequence[Item]
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
            if item.name == STANDARD_INPUT:
                timeline = replace(timeline, path=item.short_name)
            if options.plot is not None:
                _draw(timeline, options.plot / f"{item.short_name}.png")
        except _FAILURES as error:
            yield Result(item, error=_message(item, error))
        else:
            yield Result(item, rows=_segment_rows(item, timeline), timeline=timeline)


def _draw(timeline: Timeline, path: Path) -> None:
    with atomic_path(path) as unfinished:
        timeline_figure(timeline).savefig(unfinished)


def _segment_rows(item: Item, timeline: Timeline) -> list[dict]:
    rows = segment_rows(timeline)
    first = {"path": item.name, "n_segments": len(rows)}
    return [{**first, "segment": i, **row} for i, row in enumerate(rows, start=1)]
