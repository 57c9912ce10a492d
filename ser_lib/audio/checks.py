"""Checks of what a model is given: audio without speech gets no label.

Accepted as they are: clipped recordings, sampling rates from 1 kHz to 1 MHz (8 kHz
leaves the upper band of a 16 kHz model empty, 192 kHz is downsampled) and any number of
channels (they are averaged, so channels of opposite sign cancel out). ``samples.py``
checks the samples themselves.
"""

from collections.abc import Sequence

import numpy as np
import torch

from ser_lib.audio.read import trim_silence
from ser_lib.audio.resampling import check_rate, resample
from ser_lib.audio.samples import check_samples, mono, within_scale

# At this level, a 16-bit file uses 6 of its bits. The quietest of the 1,440 RAVDESS
# files peaks at -47 dBFS.
SILENCE_DBFS = -60.0


def check_wav(
    wav: torch.Tensor, sample_rate_hz: int, name: str, min_duration_s: float
) -> None:
    """Refuse a waveform in which no emotion can be recognized.

    Arguments
    ---------
    wav : (samples,) torch.Tensor
        As ``audio.read_audio`` or :func:`mono_wav` returns it.
    name : str
        Name of the recording in messages, such as its path.
    min_duration_s : float
        Shortest duration that is accepted.

    Raises
    ------
    ValueError
        If it is empty, shorter than ``min_duration_s``, or silent (no sample exceeds
        -60 dBFS after the mean is removed).

    Example
    -------
    >>> check_wav(torch.zeros(16000), 16000, "a.wav", min_duration_s=0.2)
    Traceback (most recent call last):
    ...
    ValueError: a.wav is silent: its peak is at -inf dBFS; expected above -60 dBFS.
    """
    if wav.ndim != 1:
        raise ValueError(
            f"{name} has the shape {tuple(wav.shape)}; expected one channel: (samples,)"
        )
    if len(wav) == 0:
        raise ValueError(f"{name} is empty: it has no audio samples.")
    check_duration(len(wav), sample_rate_hz, name, min_duration_s)
    peak = (wav - wav.mean()).abs().max()
    peak_dbfs = 20 * float(torch.log10(peak))
    if peak_dbfs <= SILENCE_DBFS:
        raise ValueError(
            f"{name} is silent: its peak is at {peak_dbfs:.0f} dBFS; expected above "
            f"{SILENCE_DBFS:.0f} dBFS."
        )


def usable_wav(
    wav: torch.Tensor,
    sample_rate_hz: int,
    name: str,
    min_duration_s: float,
    trim_silence_db: float | None = None,
) -> torch.Tensor:
    """Check a waveform and trim the silence at its ends, if training trimmed it.

    Arguments
    ---------
    wav, sample_rate_hz, name, min_duration_s
        See :func:`check_wav`.
    trim_silence_db : float | None
        See ``audio.trim_silence``; None trims nothing.

    Returns
    -------
    (samples,) torch.Tensor
        The waveform, or a part of it.

    Raises
    ------
    ValueError
        See :func:`check_wav`; also if the trimmed waveform is too short.
    """
    check_wav(wav, sample_rate_hz, name, min_duration_s)
    if trim_silence_db is not None:
        wav = trim_silence(wav, sample_rate_hz, trim_silence_db)
        name = f"{name}, without the silence at its ends,"
        check_duration(len(wav), sample_rate_hz, name, min_duration_s)
    return wav


def check_duration(
    n_samples: int, sample_rate_hz: int, name: str, min_duration_s: float
) -> None:
    """Refuse audio that is shorter than ``min_duration_s``."""
    duration_s = n_samples / sample_rate_hz
    if duration_s < min_duration_s:
        raise ValueError(
            f"{name} is too short: it lasts {1000 * duration_s:.0f} ms, expected at "
            f"least {1000 * min_duration_s:.0f} ms."
        )


def check_batch(
    wavs: torch.Tensor,
    wav_lens: torch.Tensor,
    sample_rate_hz: int,
    min_duration_s: float,
    names: Sequence[str],
) -> None:
    """Refuse a padded batch that a model cannot process; silence is allowed.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms; floats with full scale 1.
    wav_lens : (batch,) torch.Tensor
        Relative lengths.
    min_duration_s : float
        Shortest duration that is accepted.
    names : Sequence[str]
        Names of the utterances in messages.

    Raises
    ------
    ValueError
        If a shape is wrong, a length is not between 0 and 1, an utterance is too short,
        or samples are refused (see ``samples.check_samples``).
    """
    if (
        wavs.ndim != 2
        or wav_lens.shape != wavs.shape[:1]
        or not ((wav_lens >= 0) & (wav_lens <= 1)).all()  # NaN is neither
    ):
        raise ValueError(
            f"wavs have the shape {tuple(wavs.shape)}, wav_lens are "
            f"{wav_lens.tolist()}; expected (batch, samples) and one relative length "
            f"between 0 and 1 per utterance."
        )
    counts = torch.round(wav_lens.double() * wavs.shape[1]).long()
    for name, n_samples in zip(names, counts.tolist(), strict=True):
        check_duration(n_samples, sample_rate_hz, name, min_duration_s)
    if not within_scale(wavs):  # one check per batch is faster
        for name, wav in zip(names, wavs, strict=True):
            check_samples(wav, sample_rate_hz, name)


def mono_wav(
    samples: np.ndarray | torch.Tensor,
    sample_rate_hz: int,
    wanted_rate_hz: int,
    name: str = "The array",
) -> torch.Tensor:
    """Convert an array to a waveform as ``audio.read_audio`` returns it for a file.

    Arguments
    ---------
    samples : (samples,) or (samples, channels) np.ndarray | torch.Tensor
        See ``samples.mono``.
    wanted_rate_hz : int
        The array is resampled to this rate.
    name : str
        Name of the array in messages.

    Returns
    -------
    (samples,) torch.Tensor
        float32.

    Raises
    ------
    ValueError
        If the shape is wrong, or the samples or the rate are refused.

    Example
    -------
    >>> mono_wav(np.array([[16384, 0], [-32768, -32768]], np.int16), 16000, 16000)
    tensor([ 0.2500, -1.0000])
    """
    shape = tuple(np.shape(samples))
    if len(shape) == 2 and shape[1] > shape[0] > 0:
        raise ValueError(
            f"{name} has the shape {shape}; expected (samples,) or (samples, "
            f"channels), with at least as many samples as channels."
        )
    check_rate(sample_rate_hz, wanted_rate_hz, name)
    wav = mono(samples, sample_rate_hz, name)
    return resample(wav, sample_rate_hz, wanted_rate_hz, name)
