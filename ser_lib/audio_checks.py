"""What is refused as input of a model: nothing gets a label that holds no speech.

Accepted as they are: clipped recordings, any sampling rate (8 kHz gives a model of
16 kHz an empty upper band, 192 kHz is brought down) and any number of channels (they
are averaged, so channels of opposite sign cancel out).
"""

import numpy as np
import torch
import torchaudio

from ser_lib.audio import trim_silence

# At this level a 16-bit file uses 6 of its bits; the quietest of RAVDESS's 1440 files
# peaks at -47 dBFS.
SILENCE_DBFS = -60.0
# Samples in float are far below this, 16-bit integers turned into float far above.
_MOST_FULL_SCALES = 16.0


def check_wav(
    wav: torch.Tensor, sample_rate_hz: int, name: str, min_duration_s: float
) -> None:
    """Refuse a waveform that no emotion can be recognised in.

    Arguments
    ---------
    wav : (samples,) torch.Tensor
        The waveform; full scale is 1.
    sample_rate_hz : int
        Its sampling rate.
    name : str
        What the messages call it, such as the path of its file.
    min_duration_s : float
        Shortest duration that is accepted.

    Raises
    ------
    ValueError
        If it is empty, shorter than ``min_duration_s``, or silent (no sample above
        -60 dBFS once its mean is taken off), or holds NaN or infinity.

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
        raise ValueError(f"{name} is empty: it holds not one sample of audio.")
    not_finite = torch.nonzero(~torch.isfinite(wav))
    if len(not_finite):
        raise ValueError(
            f"{name} holds {len(not_finite)} samples that are not finite (NaN or "
            f"infinity), the first after {int(not_finite[0]) / sample_rate_hz:.3f} s."
        )
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
    """Check a waveform and cut the silence at its ends, if training cut it.

    Arguments
    ---------
    wav, sample_rate_hz, name, min_duration_s
        As for :func:`check_wav`.
    trim_silence_db : float | None
        See ``audio.trim_silence``; None cuts nothing.

    Returns
    -------
    (samples,) torch.Tensor
        The waveform, or a part of it.

    Raises
    ------
    ValueError
        As for :func:`check_wav`, also if what is left is too short.
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
    """Refuse audio that is too short.

    Arguments
    ---------
    n_samples : int
        Its length.
    sample_rate_hz : int
        Its sampling rate.
    name : str
        What the message calls it.
    min_duration_s : float
        Shortest duration that is accepted.

    Raises
    ------
    ValueError
        If it is shorter.
    """
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
) -> None:
    """Refuse a padded batch that a model cannot read; silence may be in it.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    wav_lens : (batch,) torch.Tensor
        Relative lengths.
    sample_rate_hz : int
        Their sampling rate.
    min_duration_s : float
        Shortest duration that is accepted.

    Raises
    ------
    ValueError
        If the shapes are others, a length is above 1, an utterance is too short, or
        there is NaN or infinity anywhere.
    """
    if wavs.ndim != 2 or wav_lens.shape != wavs.shape[:1] or (wav_lens > 1).any():
        raise ValueError(
            f"wavs have the shape {tuple(wavs.shape)}, wav_lens are "
            f"{wav_lens.tolist()}; expected (batch, samples), and for each utterance "
            f"its share of the samples, at most 1."
        )
    counts = torch.round(wav_lens.double() * wavs.shape[1]).long()
    for row, n_samples in enumerate(counts.tolist()):
        name = f"Utterance {row} of the batch"
        check_duration(n_samples, sample_rate_hz, name, min_duration_s)
    finite = torch.isfinite(wavs).all(dim=1)
    if not finite.all():
        raise ValueError(
            f"The utterances {torch.nonzero(~finite).flatten().tolist()} of the batch "
            f"hold samples that are not finite (NaN or infinity)."
        )


def mono_wav(
    samples: np.ndarray | torch.Tensor,
    sample_rate_hz: int,
    wanted_rate_hz: int,
    name: str = "The array",
) -> torch.Tensor:
    """Turn an array into a waveform as ``audio.read_audio`` gives it for a file.

    Arguments
    ---------
    samples : (samples,) or (samples, channels) np.ndarray | torch.Tensor
        Float with full scale 1, or integers, whose full scale is that of their type;
        channels are averaged.
    sample_rate_hz : int
        Sampling rate of the array.
    wanted_rate_hz : int
        It is resampled to this rate.
    name : str
        What the messages call it.

    Returns
    -------
    (samples,) torch.Tensor
        float32.

    Raises
    ------
    ValueError
        If the shape is another, or float samples lie far beyond full scale.

    Example
    -------
    >>> mono_wav(np.array([[16384, 0], [-32768, -32768]], np.int16), 16000, 16000)
    tensor([ 0.2500, -1.0000])
    """
    wav = torch.as_tensor(samples).detach().cpu()
    if wav.ndim not in (1, 2) or (wav.ndim == 2 and wav.shape[1] > wav.shape[0] > 0):
        raise ValueError(
            f"{name} has the shape {tuple(wav.shape)}; expected (samples,) or "
            f"(samples, channels)."
        )
    if not wav.is_floating_point():
        limits = torch.iinfo(wav.dtype)
        middle = (limits.max + 1 + limits.min) // 2  # 128 where there is no sign
        wav = (wav.double() - middle) / (limits.max + 1 - middle)
    wav = wav.float()
    wav = wav.mean(dim=1) if wav.ndim == 2 else wav
    finite = wav[torch.isfinite(wav)]
    highest = float(finite.abs().max()) if len(finite) else 0.0
    if highest > _MOST_FULL_SCALES:
        raise ValueError(
            f"{name} reaches {highest:.0f}; expected float samples with "
            f"full scale 1. Divide them by their full scale (32768 for 16 bits)."
        )
    return torchaudio.functional.resample(wav, sample_rate_hz, wanted_rate_hz)
