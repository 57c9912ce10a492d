"""Windows of a recording of any length: cut as the audio comes, then classified.

Window ``k`` starts at ``k * hop_s`` and lasts ``window_s``. What remains at the end
without a whole window makes one shorter window, from the next start to the end, unless
it is shorter than the model's ``min_duration_s``; that can only be where the hop is
nearly as long as the window. A recording shorter than one window is one window.

Windows are cut at the recording's own rate, and each is resampled by itself. So a
window gives what the same piece of the recording gives as a file, and no block that
the audio came in leaves a trace::

    for window in stream(recognizer, blocks_of_a_microphone, sample_rate_hz=44100):
        print(window.start_s, window.label, window.score)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ser_lib.audio import SILENCE_DBFS, check_duration, check_rate, resample
from ser_lib.inference.interface import Recognizer
from ser_lib.inference.window_cutter import WindowCutter, check_lengths

# Audio in one batch of windows: bounds the memory, whatever the length of a window.
_BATCH_S = 64.0


@dataclass(frozen=True)
class Window:
    """A window and what was recognised in it.

    Arguments
    ---------
    start_s, end_s : float
        Where it lies in the recording.
    has_sound : tuple[bool, ...]
        Whether there is sound in each piece of the window that is as long as a hop
        (the last one may be shorter).
    label : str | None
        The most probable label; None for a window without sound.
    score : float | None
        Its probability.
    probabilities : tuple[float, ...] | None
        All probabilities, in the order of the model's labels.
    """

    start_s: float
    end_s: float
    has_sound: tuple[bool, ...]
    label: str | None = None
    score: float | None = None
    probabilities: tuple[float, ...] | None = None


def stream(
    recognizer: Recognizer,
    blocks: Iterable[np.ndarray | torch.Tensor],
    sample_rate_hz: int,
    window_s: float = 4.0,
    hop_s: float = 1.0,
    skip_silence_dbfs: float | None = None,
) -> Iterator[Window]:
    """Classify a stream window by window, as its blocks come.

    A window is given as soon as the block that completes it has come; the memory
    needed is that of a window and a block.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    blocks : Iterable[np.ndarray | torch.Tensor]
        Audio of any length each, (samples,) or (samples, channels), see
        ``samples.mono``.
    sample_rate_hz : int
        Rate of the blocks; it may be another than the model's.
    window_s : float
        Length of a window.
    hop_s : float
        From the start of a window to that of the next.
    skip_silence_dbfs : float | None
        Pieces of the length of a hop count as silent, too, when their RMS is below
        this (decibels relative to full scale; a sine of full scale has -3). None
        skips only what ``audio_checks.check_wav`` calls silent: no sample above
        -60 dBFS. Silent windows are not classified.

    Yields
    ------
    Window
        The windows in order.

    Raises
    ------
    ValueError
        If the lengths do not fit, a block is no audio, or the stream ends before it
        lasted ``min_duration_s``.
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
    """Cut blocks into windows and classify them in batches.

    Arguments
    ---------
    recognizer : Recognizer
        The model.
    blocks : Iterable[np.ndarray | torch.Tensor]
        The recording.
    cutter : WindowCutter
        A new one.
    skip_silence_dbfs : float | None
        See :func:`stream`.

    Yields
    ------
    Window
        The windows in order.

    Raises
    ------
    ValueError
        See :func:`stream`.
    """
    rate_hz, min_duration_s = cutter.sample_rate_hz, recognizer.min_duration_s
    batch_size = max(int(_BATCH_S * rate_hz / cutter.window_samples), 1)
    n_given = 0
    for block in blocks:
        windows = cutter.push(block)
        for batch in windows.split(batch_size) if len(windows) else ():
            yield from _classify(recognizer, batch, n_given, cutter, skip_silence_dbfs)
            n_given += len(batch)
    rest = cutter.rest()
    rest_samples = rest.shape[1] if len(rest) else 0
    if n_given == 0:
        check_duration(rest_samples, rate_hz, cutter.name, min_duration_s)
    if len(rest) and rest_samples / rate_hz >= min_duration_s:
        yield from _classify(recognizer, rest, n_given, cutter, skip_silence_dbfs)


def _classify(
    recognizer: Recognizer,
    windows: torch.Tensor,
    n_before: int,
    cutter: WindowCutter,
    skip_silence_dbfs: float | None,
) -> list[Window]:
    """Classify the windows of one batch that have sound in them."""
    rate_hz = cutter.sample_rate_hz
    rates_hz = rate_hz, recognizer.sample_rate_hz
    wavs = torch.stack([resample(wav, *rates_hz, cutter.name) for wav in windows])
    has_sound = _has_sound(windows, cutter.hop_samples, skip_silence_dbfs)
    # As check_wav sees it, too: the whole window at the model's rate.
    has_sound &= _is_loud(wavs, None)[:, None]
    heard = has_sound.any(dim=1)
    results: Iterator[tuple] = iter(())
    if heard.any():
        starts = (n_before + torch.nonzero(heard).flatten()) * cutter.hop_samples
        starts_s = (starts / rate_hz).tolist()
        names = [f"{cutter.name} at {start_s:.2f} s" for start_s in starts_s]
        out_prob, score, _, labels = recognizer.classify_batch(
            wavs[heard], torch.ones(len(names)), names
        )
        probabilities = map(tuple, out_prob.tolist())
        results = zip(labels, score.tolist(), probabilities, strict=True)
    # Plain numbers are kept: arrays as small as these, between large ones that come
    # and go, would pin the memory of the large ones.
    found = []
    for i, pieces in enumerate(has_sound.tolist(), start=n_before):
        start_s = i * cutter.hop_samples / rate_hz
        end_s = start_s + windows.shape[1] / rate_hz
        values = next(results) if any(pieces) else ()
        found.append(Window(start_s, end_s, tuple(pieces), *values))
    return found


def _has_sound(
    windows: torch.Tensor, hop_samples: int, skip_silence_dbfs: float | None
) -> torch.Tensor:
    """Tell for each piece of each window if there is sound in it."""
    n_whole = windows.shape[1] // hop_samples
    whole = windows[:, : n_whole * hop_samples].reshape(len(windows), -1, hop_samples)
    found = [_is_loud(whole, skip_silence_dbfs)]
    if windows.shape[1] % hop_samples:
        last = windows[:, None, n_whole * hop_samples :]
        found.append(_is_loud(last, skip_silence_dbfs))
    return torch.cat(found, dim=1)


def _is_loud(pieces: torch.Tensor, least_rms_dbfs: float | None) -> torch.Tensor:
    centred = pieces - pieces.mean(dim=-1, keepdim=True)
    is_loud = centred.abs().amax(dim=-1) > 10 ** (SILENCE_DBFS / 20)
    if least_rms_dbfs is not None:
        rms = centred.square().mean(dim=-1).sqrt()
        is_loud &= rms >= 10 ** (least_rms_dbfs / 20)
    return is_loud
