"""Classify a recording of any length window by window.

Window ``k`` starts at ``k * hop_s`` and lasts ``window_s``. Samples after the last
whole window form one shorter window, unless it would be shorter than the model's
``min_duration_s``. A recording shorter than one window is one window.

Windows are cut at the sampling rate of the recording, and each is resampled separately.
So the result of a window is that of the same part of the recording as a file, and does
not depend on the blocks::

    for window in stream(recognizer, blocks_of_a_microphone, sample_rate_hz=44100):
        print(window.start_s, window.label, window.score)
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ser_lib.audio import SILENCE_DBFS, check_duration, check_rate, resample
from ser_lib.inference.interface import Recognizer
from ser_lib.inference.window_cutter import WindowCutter, check_lengths

# Audio in one batch of windows, which limits memory use.
_BATCH_S = 64.0


@dataclass(frozen=True)
class Window:
    """A window and its result.

    Arguments
    ---------
    start_s, end_s : float
        Position in the recording.
    has_sound : tuple[bool, ...]
        Whether each part of the window as long as a hop has sound (the last part may be
        shorter).
    label : str | None
        The most probable label; None for a silent window.
    score : float | None
        Its probability.
    probabilities : tuple[float, ...] | None
        All probabilities, in the order of the model's labels.
    others : tuple[float, ...]
        The answers of the model's other tasks, see ``answers.answers_by_task``.
    """

    start_s: float
    end_s: float
    has_sound: tuple[bool, ...]
    label: str | None = None
    score: float | None = None
    probabilities: tuple[float, ...] | None = None
    others: tuple[float, ...] = ()


def stream(
    recognizer: Recognizer,
    blocks: Iterable[np.ndarray | torch.Tensor],
    sample_rate_hz: int,
    window_s: float = 4.0,
    hop_s: float = 1.0,
    skip_silence_dbfs: float | None = None,
) -> Iterator[Window]:
    """Classify a stream of audio blocks window by window.

    A window is yielded as soon as the block that completes it arrives. Memory is needed
    for one window and one block.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    blocks : Iterable[(samples,) or (samples, channels) np.ndarray | torch.Tensor]
        Blocks of any length: floats with full scale 1, or integers.
    sample_rate_hz : int
        Sampling rate of the blocks; it may differ from the model's.
    window_s : float
        Length of a window.
    hop_s : float
        Distance between the starts of consecutive windows.
    skip_silence_dbfs : float | None
        Silent windows are not classified. A part as long as a hop is silent if no
        sample is above -60 dBFS, or if its RMS is below this value (relative to full
        scale; a full-scale sine has -3 dBFS).

    Yields
    ------
    Window
        The windows in order.

    Raises
    ------
    ValueError
        If a length is out of range, a block is not valid audio, or the stream is
        shorter than ``min_duration_s``.
    """
    check_lengths(window_s, hop_s, recognizer.min_duration_s)
    check_rate(sample_rate_hz, recognizer.sample_rate_hz, "The recording")
    cutter = WindowCutter(sample_rate_hz, window_s, hop_s)
    return classify_windows(recognizer, blocks, cutter, skip_silence_dbfs)


def classify_windows(
    recognizer: Recognizer,
    blocks: Iterable[np.ndarray | torch.Tensor],
    cutter: WindowCutter,
    skip_silence_dbfs: float | None = None,
) -> Iterator[Window]:
    """Cut blocks into windows with a new cutter and classify them; see stream."""
    rate_hz, min_duration_s = cutter.sample_rate_hz, recognizer.min_duration_s
    batch_size = max(int(_BATCH_S * rate_hz / cutter.window_samples), 1)
    n_done = 0
    for block in blocks:
        windows = cutter.push(block)
        for batch in windows.split(batch_size) if len(windows) else ():
            yield from _classify(recognizer, batch, n_done, cutter, skip_silence_dbfs)
            n_done += len(batch)
    rest = cutter.rest()
    rest_samples = rest.shape[1] if len(rest) else 0
    if n_done == 0:
        check_duration(rest_samples, rate_hz, cutter.name, min_duration_s)
    if len(rest) and rest_samples / rate_hz >= min_duration_s:
        yield from _classify(recognizer, rest, n_done, cutter, skip_silence_dbfs)


def _classify(
    recognizer: Recognizer,
    windows: torch.Tensor,
    n_before: int,
    cutter: WindowCutter,
    skip_silence_dbfs: float | None,
) -> list[Window]:
    """Classify the windows of one batch; silent ones get no label."""
    rate_hz = cutter.sample_rate_hz
    rates_hz = rate_hz, recognizer.sample_rate_hz
    wavs = torch.stack([resample(wav, *rates_hz, cutter.name) for wav in windows])
    has_sound = _has_sound(windows, cutter.hop_samples, skip_silence_dbfs)
    # audio.check_wav applies to the whole window at the model's rate.
    has_sound &= is_loud(wavs, None)[:, None]
    is_audible = has_sound.any(dim=1)
    results: Iterator[tuple] = iter(())
    if is_audible.any():
        starts = (n_before + torch.nonzero(is_audible).flatten()) * cutter.hop_samples
        starts_s = (cutter.start_s + starts / rate_hz).tolist()
        names = [f"{cutter.name} at {start_s:.2f} s" for start_s in starts_s]
        batch = wavs[is_audible], torch.ones(len(names)), names
        results = results_of(recognizer.labels, recognizer.answer_batch(*batch))
    # Windows keep plain numbers: small arrays allocated between large ones would keep
    # the memory of the large ones from being returned.
    classified = []
    for i, parts in enumerate(has_sound.tolist(), start=n_before):
        start_s = cutter.start_s + i * cutter.hop_samples / rate_hz
        end_s = start_s + windows.shape[1] / rate_hz
        values = next(results) if any(parts) else ()
        classified.append(Window(start_s, end_s, tuple(parts), *values))
    return classified


def results_of(labels: Sequence[str], answered: torch.Tensor) -> Iterator[tuple]:
    """Yield label, score, probabilities and other answers of each window."""
    score, index = answered[:, : len(labels)].max(dim=-1)
    pairs = zip(score.tolist(), index.tolist(), answered.tolist(), strict=True)
    for highest, best, row in pairs:
        own, others = tuple(row[: len(labels)]), tuple(row[len(labels) :])
        yield labels[best], highest, own, others


def _has_sound(
    windows: torch.Tensor, hop_samples: int, skip_silence_dbfs: float | None
) -> torch.Tensor:
    """Return for each hop-long part of each window whether it has sound."""
    n_whole = windows.shape[1] // hop_samples
    whole = windows[:, : n_whole * hop_samples].reshape(len(windows), -1, hop_samples)
    loud = [is_loud(whole, skip_silence_dbfs)]
    if windows.shape[1] % hop_samples:
        last = windows[:, None, n_whole * hop_samples :]
        loud.append(is_loud(last, skip_silence_dbfs))
    return torch.cat(loud, dim=1)


def is_loud(parts: torch.Tensor, min_rms_dbfs: float | None) -> torch.Tensor:
    """Return whether parts of shape (..., samples) have sound, see :func:`stream`."""
    centred = parts - parts.mean(dim=-1, keepdim=True)
    has_sound = centred.abs().amax(dim=-1) > 10 ** (SILENCE_DBFS / 20)
    if min_rms_dbfs is not None:
        rms = centred.square().mean(dim=-1).sqrt()
        has_sound &= rms >= 10 ** (min_rms_dbfs / 20)
    return has_sound
