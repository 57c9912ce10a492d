"""Classify many files in batches of similar length, on all cores.

On a CPU, parallel workers are faster than large batches. Each worker reads a batch and
classifies it with its share of PyTorch's threads. They share the model, whose modules
keep no state between calls. ``tests/bench_inference.py`` measures the speed.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from ser_lib.audio import audio_duration_s
from ser_lib.dataio import LengthBucketSampler
from ser_lib.inference.interface import Classified, Recognizer
from ser_lib.utils.progress import Progress

Result = TypeVar("Result")
_MAX_WORKERS = 8
# Memory for longer batches is allocated again for each batch, which is slow.
_CPU_BATCH_S = 40.0
# In larger models, one utterance keeps a core busy, and padding only adds work.
_LARGE_MODEL_WEIGHTS = 10_000_000


def classify_many(
    recognizer: Recognizer,
    paths: Sequence[str | Path],
    batch_size: int,
    max_batch_s: float,
    progressbar: bool,
) -> list[Classified]:
    """Classify many files, see ``EmotionRecognizer.classify_files``."""
    durations_s = [audio_duration_s(path, recognizer.sample_rate_hz) for path in paths]

    def read_and_classify(batch: Sequence[int]) -> list[Classified]:
        names = [str(paths[i]) for i in batch]
        wavs = list(map(recognizer.load_audio, names))
        return classify_wavs(recognizer, wavs, names)

    limits = batch_size, max_batch_s
    results: dict[int, Classified] = {}
    with Progress("classifying", len(paths), "files", show=progressbar) as bar:
        for batch, classified in run_in_parallel(
            recognizer, durations_s, read_and_classify, *limits
        ):
            results |= zip(batch, classified, strict=True)
            bar.update(len(batch))
    return [results[i] for i in range(len(paths))]


def run_in_parallel(
    recognizer: Recognizer,
    durations_s: Sequence[float],
    work: Callable[[Sequence[int]], Result],
    batch_size: int,
    max_batch_s: float,
) -> Iterator[tuple[Sequence[int], Result]]:
    """Group recordings into batches and distribute them to workers.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    durations_s : Sequence[float]
        Duration of each recording.
    work : Callable
        Called with the indices of a batch, in the thread of a worker.
    batch_size : int
        Maximum number of recordings in a batch.
    max_batch_s : float
        Maximum of padded seconds processed at a time; a longer recording is processed
        alone.

    Yields
    ------
    Sequence[int]
        Indices of a batch; the longest recordings come first.
    Result
        What ``work`` returned for it. Its exceptions propagate.
    """
    if not durations_s:
        return
    n_workers = _count_workers(recognizer, len(durations_s))
    limit_s = max_batch_s / n_workers  # the limit holds for all workers together
    batch_size = min(batch_size, -(-len(durations_s) // n_workers))
    if _on_cpu(recognizer):
        limit_s = min(limit_s, _CPU_BATCH_S)
        n_weights = sum(weight.numel() for weight in recognizer.parameters())
        batch_size = 1 if n_weights >= _LARGE_MODEL_WEIGHTS else batch_size
    batches = list(LengthBucketSampler(durations_s, batch_size, limit_s, shuffle=False))
    # Longest first: a file above the limit is a batch of its own and may take the
    # memory of all workers.
    n_long = sum(durations_s[batch[0]] > limit_s for batch in batches)
    for part, workers in ((batches[:n_long], 1), (batches[n_long:], n_workers)):
        yield from zip(part, _run(part, work, workers), strict=True)


def _on_cpu(recognizer: Recognizer) -> bool:
    return torch.device(recognizer.device).type == "cpu"


def _count_workers(recognizer: Recognizer, n_files: int) -> int:
    # Threads do not inherit the caller's autocast.
    if not _on_cpu(recognizer) or torch.is_autocast_enabled("cpu"):
        return 1
    return min(torch.get_num_threads(), _MAX_WORKERS, n_files)


def _run(
    batches: Sequence[Sequence[int]],
    work: Callable[[Sequence[int]], Result],
    n_workers: int,
) -> Iterator[Result]:
    """Yield the result of each batch, in the order of the batches."""
    if n_workers == 1:
        yield from map(work, batches)
        return
    n_threads = torch.get_num_threads()
    share = (n_threads // n_workers,)
    try:
        # set_num_threads affects the calling thread and threads started later.
        with ThreadPoolExecutor(n_workers, "", torch.set_num_threads, share) as pool:
            yield from pool.map(work, batches)
    finally:
        torch.set_num_threads(n_threads)


def classify_wavs(
    recognizer: Recognizer,
    wavs: Sequence[torch.Tensor],
    names: Sequence[str] | None = None,
) -> list[Classified]:
    """Classify waveforms as one batch.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    wavs : Sequence[(samples,) torch.Tensor]
        From ``EmotionRecognizer.load_audio``.
    names : Sequence[str] | None
        Names for error messages.

    Returns
    -------
    list[Classified]
        For each waveform, as ``EmotionRecognizer.classify_file`` returns it.
    """
    out_prob, score, index, labels = recognizer.classify_batch(*_padded(wavs), names)
    rows = zip(out_prob.split(1), score.split(1), index.split(1), labels, strict=True)
    return [(*tensors, [label]) for *tensors, label in rows]


def answer_wavs(
    recognizer: Recognizer, wavs: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Return the (n_outputs,) answers of all tasks for each waveform of a batch."""
    return list(recognizer.answer_batch(*_padded(wavs)))


def _padded(wavs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch of waveforms, and their lengths relative to the longest."""
    counts = torch.tensor([len(wav) for wav in wavs], dtype=torch.float64)
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    return padded, counts / padded.shape[1]
