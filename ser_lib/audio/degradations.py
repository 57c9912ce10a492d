"""What happens to speech on its way to a model: noise, rooms, telephones, codecs.

Each degradation is a pure function of samples, their sampling rate and a random
generator, and of parameters given by name::

    noisy = white_noise(samples, 16000, np.random.default_rng(0), snr_db=10)

The same generator state gives the same output; those without chance ignore the
generator. All return float32 on the scale of the input, and as many samples unless they
change the duration. Levels beyond full scale are kept, except where a codec or a
recorder clips them.
"""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.signal
import soundfile
import torch
import torchaudio.functional
from numpy.random import Generator

from ser_lib.audio.resampling import resample

Degradation = Callable[..., np.ndarray]

TELEPHONE_HZ = (300, 3400)
_TELEPHONE_RATE_HZ = 8000
_CODEC_RATE_HZ = 16000


class Codec(NamedTuple):
    """How soundfile encodes and decodes speech at 16 kHz.

    Arguments
    ---------
    options : dict
        Arguments of ``soundfile.write``.
    delay_samples : int
        Samples that encoder and decoder put before the speech.
    """

    options: dict
    delay_samples: int


# libsndfile maps a compression level from 0 to 1 to the rates that an encoder allows.
# At 0.95, MP3 has 16 kbit/s. Its decoder does not remove the delay at so low a rate,
# which is 576 samples of LAME and 529 of the decoder. At 1, Opus has its lowest rate,
# 6 kbit/s; with the headers of Ogg, 3 s of speech have 6.5 to 8.
CODECS = {
    "MP3": Codec(
        {
            "format": "MP3",
            "subtype": "MPEG_LAYER_III",
            "compression_level": 0.95,
            "bitrate_mode": "CONSTANT",
        },
        576 + 529,
    ),
    "Opus": Codec({"format": "OGG", "subtype": "OPUS", "compression_level": 1.0}, 0),
}


def unchanged(samples: np.ndarray, rate_hz: int, rng: Generator) -> np.ndarray:
    """Return the samples as they are: the condition that others are compared with."""
    return samples


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise at a signal-to-noise ratio: of the mean powers of the whole signals.

    Arguments
    ---------
    samples, noise : (samples,) np.ndarray
        Of the same length; neither is silent throughout.
    snr_db : float
        Power of the samples relative to the noise, in decibels.

    Example
    -------
    >>> add_noise(np.ones(4), np.array([1.0, -1.0, 1.0, -1.0]), snr_db=20).round(2)
    array([1.1, 0.9, 1.1, 0.9], dtype=float32)
    """
    tensors = (torch.from_numpy(x.astype(np.float32)) for x in (samples, noise))
    return torchaudio.functional.add_noise(*tensors, torch.tensor(snr_db)).numpy()


def white_noise(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, snr_db: float
) -> np.ndarray:
    """Add white Gaussian noise, as of an amplifier; see :func:`add_noise`."""
    return add_noise(samples, rng.standard_normal(len(samples)), snr_db)


def speech_shaped_noise(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, snr_db: float
) -> np.ndarray:
    """Add stationary noise with the spectrum of the speech; see :func:`add_noise`.

    It is the speech itself with random phases.
    """
    spectrum = np.abs(np.fft.rfft(samples))
    phases = np.exp(2j * np.pi * rng.random(len(spectrum)))
    return add_noise(samples, np.fft.irfft(spectrum * phases, len(samples)), snr_db)


def babble(
    samples: np.ndarray,
    rate_hz: int,
    rng: Generator,
    *,
    voices: Sequence[np.ndarray],
    snr_db: float,
) -> np.ndarray:
    """Add people who speak in the background, all at the same level.

    Arguments
    ---------
    voices : Sequence[(any_samples,) np.ndarray]
        Speech of other people at the same sampling rate, none of it silent throughout.
        Each voice starts at a random point and is repeated until the samples end.
    snr_db : float
        Power of the samples relative to the sum of the voices, in decibels.
    """
    total = np.zeros(len(samples))
    for voice in voices:
        start = rng.integers(len(voice))
        total += np.resize(np.roll(voice, -start), len(samples)) / _rms(voice)
    return add_noise(samples, total, snr_db)


def reverberate(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, rt60_s: float
) -> np.ndarray:
    """Place speaker and microphone in a room; the level is kept.

    The impulse response is the direct sound and a tail of Gaussian noise that decays
    exponentially (Polack, La transmission de l'énergie sonore dans les salles, 1988).
    Both have the same energy, as at the critical distance from the speaker.

    Arguments
    ---------
    rt60_s : float
        Reverberation time: how long the tail takes to fall by 60 dB.
    """
    time_s = np.arange(1, round(rt60_s * rate_hz)) / rate_hz
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    response = np.concatenate([[1.0], tail / np.linalg.norm(tail)])
    wet = scipy.signal.fftconvolve(samples, response)[: len(samples)]
    return (wet * (_rms(samples) / _rms(wet))).astype(np.float32)


def telephone(samples: np.ndarray, rate_hz: int, rng: Generator) -> np.ndarray:
    """Send speech through a telephone line: 300 to 3400 Hz, 8 kHz, 8 bits of mu-law.

    A Butterworth filter of order 8 limits the band; G.711 mu-law quantises the samples,
    and clips what exceeds full scale.
    """
    narrow = _resampled(samples, rate_hz, _TELEPHONE_RATE_HZ)
    band = scipy.signal.butter(
        8, TELEPHONE_HZ, "bandpass", fs=_TELEPHONE_RATE_HZ, output="sos"
    )
    narrow = scipy.signal.sosfilt(band, narrow)
    line = _decoded(encoded(narrow, _TELEPHONE_RATE_HZ, format="WAV", subtype="ULAW"))
    return _fitted(_resampled(line, _TELEPHONE_RATE_HZ, rate_hz), len(samples))


def through_codec(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, codec: str
) -> np.ndarray:
    """Encode speech at a low bit rate and decode it: MP3 at 16, Opus at 6 kbit/s.

    Arguments
    ---------
    codec : str
        A key of ``CODECS``. Both encode speech at 16 kHz.
    """
    options, delay_samples = CODECS[codec]
    wide = _resampled(samples, rate_hz, _CODEC_RATE_HZ)
    decoded = _decoded(encoded(wide, _CODEC_RATE_HZ, **options))[delay_samples:]
    back = _resampled(_fitted(decoded, len(wide)), _CODEC_RATE_HZ, rate_hz)
    return _fitted(back, len(samples))


def change_gain(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, gain_db: float
) -> np.ndarray:
    """Record at another level; what then exceeds full scale is clipped.

    Example
    -------
    >>> change_gain(np.array([0.05, -0.2]), 16000, np.random.default_rng(), gain_db=20)
    array([ 0.5, -1. ], dtype=float32)
    """
    return np.clip(samples * 10 ** (gain_db / 20), -1, 1).astype(np.float32)


def clip(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, share: float
) -> np.ndarray:
    """Clip a share of the samples, as a microphone that is overloaded.

    Arguments
    ---------
    share : float
        From 0 to 1: this share of the samples, the loudest, is set to the threshold.

    Example
    -------
    >>> clip(np.array([1.0, -2, 3, -4, 5]), 16000, np.random.default_rng(), share=0.5)
    array([ 1., -2.,  3., -3.,  3.], dtype=float32)
    """
    threshold = np.quantile(np.abs(samples), 1 - share)
    return np.clip(samples, -threshold, threshold).astype(np.float32)


def cut_middle(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, duration_s: float
) -> np.ndarray:
    """Keep the middle of an utterance; one that is shorter is kept whole.

    Example
    -------
    >>> cut_middle(np.arange(5), 1, np.random.default_rng(), duration_s=3)
    array([1, 2, 3])
    """
    n_kept = min(len(samples), round(duration_s * rate_hz))
    start = (len(samples) - n_kept) // 2
    return samples[start : start + n_kept]


def change_speed(
    samples: np.ndarray, rate_hz: int, rng: Generator, *, factor: float
) -> np.ndarray:
    """Play speech faster or slower, which moves its pitch, too (Ko et al. 2015).

    Arguments
    ---------
    factor : float
        Above 1 is faster, and higher.
    """
    return _resampled(samples, round(factor * rate_hz), rate_hz)


def encoded(samples: np.ndarray, rate_hz: int, **options: object) -> bytes:
    """Encode samples with ``soundfile.write``, which takes the options."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, **options)
    return file.getvalue()


def _decoded(content: bytes) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    return samples


def _resampled(samples: np.ndarray, rate_hz: int, wanted_rate_hz: int) -> np.ndarray:
    wav = torch.from_numpy(samples.astype(np.float32))
    return resample(wav, rate_hz, wanted_rate_hz, "The speech").numpy()


def _fitted(samples: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut or pad the end, where a codec or a resampler adds or drops samples."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
