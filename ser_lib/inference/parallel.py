"""Many files through one model: batches of like length, shared out to all cores.

On a CPU, cores that work apart gain more than large batches do: each worker reads a
batch and classifies it with its share of PyTorch's threads. They share the model, whose
modules keep no state between calls. ``tests/bench_inference.py`` measures it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm

from ser_lib.audio import audio_duration_s
from ser_lib.dataio import LengthBucketSampler
from ser_lib.inference.interface import Classified, Recognizer

Found = TypeVar("Found")
_MOST_WORKERS = 8
# Beyond it, the system hands out the memory of every batch anew, which takes time.
_CPU_BATCH_S = 40.0
# From this size on, one utterance keeps a core busy, and padding only adds work.
_LARGE_MODEL_WEIGHTS = 10_000_000


def classify_many(
    recognizer: Recognizer,
    paths: Sequence[str | Path],
    batch_size: int,
    max_batch_s: float,
    progressbar: bool,
) -> list[Classified]:
    """Classify many files.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    paths : Sequence[str | Path]
        The files.
    batch_size, max_batch_s, progressbar
        As for ``EmotionRecognizer.classify_files``.

    Returns
    -------
    list[Classified]
        For each file, in the order given.

    Raises
    ------
    FileNotFoundError, ValueError
        As for ``EmotionRecognizer.load_audio``; missing and damaged files are found
        first.
    """
    durations_s = [audio_duration_s(path, recognizer.sample_rate_hz) for path in paths]

    def read_and_classify(batch: Sequence[int]) -> list[Classified]:
        names = [str(paths[i]) for i in batch]
        wavs = list(map(recognizer.load_audio, names))
        return classify_wavs(recognizer, wavs, names)

    limits = batch_size, max_batch_s
    results: dict[int, Classified] = {}
    with tqdm(total=len(paths), unit="file", disable=not progressbar) as bar:
        for batch, found in run_in_parallel(
            recognizer, durations_s, read_and_classify, *limits
        ):
            results |= zip(batch, found, strict=True)
            bar.update(len(batch))
    return [results[i] for i in range(len(paths))]


def run_in_parallel(
    recognizer: Recognizer,
    durations_s: Sequence[float],
    work: Callable[[Sequence[int]], Found],
    batch_size: int,
    max_batch_s: float,
) -> Iterator[tuple[Sequence[int], Found]]:
    """Cut recordings into batches, and share these out to workers.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    durations_s : Sequence[float]
        Duration of each recording.
    work : Callable
        Called with the indices of a batch, in the thread of a worker.
    batch_size : int
        Most recordings in a batch.
    max_batch_s : float
        Most padded seconds in work at a time; a longer recording is alone.

    Yields
    ------
    Sequence[int]
        Indices of a batch; the longest recordings come first.
    Found
        What ``work`` gave for it. Its errors reach the caller.
    """
    if not durations_s:
        return
    n_workers = _count_workers(recognizer, len(durations_s))
    limit_s = max_batch_s / n_workers  # all workers together hold no more
    batch_size = min(batch_size, -(-len(durations_s) // n_workers))
    if _on_cpu(recognizer):
        limit_s = min(limit_s, _CPU_BATCH_S)
        n_weights = sum(weight.numel() for weight in recognizer.parameters())
        batch_size = 1 if n_weights >= _LARGE_MODEL_WEIGHTS else batch_size
    batches = list(LengthBucketSampler(durations_s, batch_size, limit_s, shuffle=False))
    # Longest first: each file above the limit is a batch of its own, and takes as much
    # memory as all workers may.
    n_long = sum(durations_s[batch[0]] > limit_s for batch in batches)
    for part, workers in ((batches[:n_long], 1), (batches[n_long:], n_workers)):
        yield from zip(part, _run(part, work, workers), strict=True)


def _on_cpu(recognizer: Recognizer) -> bool:
    return torch.device(recognizer.device).type == "cpu"


def _count_workers(recognizer: Recognizer, n_files: int) -> int:
    # Threads do not take over the caller's autocast.
    if not _on_cpu(recognizer) or torch.is_autocast_enabled("cpu"):
        return 1
    return min(torch.get_num_threads(), _MOST_WORKERS, n_files)


def _run(
    batches: Sequence[Sequence[int]],
    work: Callable[[Sequence[int]], Found],
    n_workers: int,
) -> Iterator[Found]:
    """Yield what the work on each batch gives, in the order of the batches."""
    if n_workers == 1:
        yield from map(work, batches)
        return
    n_threads = torch.get_num_threads()
    share = (n_threads // n_workers,)
    try:
        # It counts for the thread that calls it, and for those that begin later.
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
        What ``EmotionRecognizer.load_audio`` gives.
    names : Sequence[str] | None
        What errors call them, see ``EmotionRecognizer.classify_batch``.

    Returns
    -------
    list[Classified]
        For each of them, what ``EmotionRecognizer.classify_file`` gives.
    """
    counts = torch.tensor([len(wav) for wav in wavs], dtype=torch.float64)
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    values = recognizer.classify_batch(padded, counts / padded.shape[1], names)
    out_prob, score, index, labels = values
    rows = zip(out_prob.split(1), score.split(1), index.split(1), labels, strict=True)
    return [(*tensors, [label]) for *tensors, label in rows]
