"""Find where there is speech in a recording, with Silero VAD.

Source: https://github.com/snakers4/silero-vad (MIT). The package ships its weights.
"""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import soxr
import torch

from ser_lib.audio import check_rate, mono
from ser_lib.inference.spans import Span
from ser_lib.utils.packages import check_installed

logger = logging.getLogger(__name__)

_RATE_HZ = 16000
_CHUNK_SAMPLES = 512  # of one probability
_MIN_SPEECH_S = 0.25
# Half-second pauses separate, in spite of reverberation; stops within words do not.
_MIN_PAUSE_S = 0.25
_LOUD_REST_S = 0.5


def check_vad_is_installed() -> None:
    """Raise ModuleNotFoundError, saying what to install, if Silero VAD is missing."""
    check_installed("vad='silero'", ["silero_vad"], "vad")


def find_speech(
    blocks: Iterable[np.ndarray],
    sample_rate_hz: int,
    name: str,
    min_speech_s: float = 0.0,
) -> list[Span]:
    """Return the parts of a recording with speech, in order.

    Pauses below 0.25 s belong to the speech around them; speech below 0.25 s counts as
    noise.

    Arguments
    ---------
    blocks : Iterable[(samples,) or (samples, channels) np.ndarray]
        The recording. Its channels are averaged.
    name : str
        Its name in messages.
    min_speech_s : float
        Shorter speech counts as noise, too.

    Raises
    ------
    ModuleNotFoundError
        If ``silero-vad`` is not installed.
    ValueError
        If the rate or the samples are refused.
    """
    check_vad_is_installed()
    check_rate(sample_rate_hz, _RATE_HZ, name)
    # Importing it sets the number of threads of PyTorch to one.
    n_threads = torch.get_num_threads()
    from silero_vad import get_speech_timestamps_from_probs, load_silero_vad

    torch.set_num_threads(n_threads)
    model = load_silero_vad()  # it keeps a state, so each recording has its own
    n_samples, probabilities, rms = 0, [], []
    wavs = _resampled(blocks, sample_rate_hz, name)
    with torch.no_grad():
        for chunk in _chunks(wavs):
            n_samples += len(chunk)
            padded = torch.nn.functional.pad(chunk, (0, _CHUNK_SAMPLES - len(chunk)))
            probabilities.append(model(padded, _RATE_HZ).item())
            rms.append(padded.square().mean().sqrt().item())
    found = get_speech_timestamps_from_probs(
        probabilities,
        min_speech_duration_ms=1000 * max(_MIN_SPEECH_S, min_speech_s),
        min_silence_duration_ms=1000 * _MIN_PAUSE_S,
        audio_length_samples=n_samples,
    )
    spans = [Span(own["start"] / _RATE_HZ, own["end"] / _RATE_HZ) for own in found]
    _warn_of_loud_rest(spans, np.array(rms), name)
    return spans


def _warn_of_loud_rest(spans: Sequence[Span], rms: np.ndarray, name: str) -> None:
    """Log a warning if much that is not speech is as loud as half of the speech."""
    chunk_s = _CHUNK_SAMPLES / _RATE_HZ
    middles_s = (np.arange(len(rms)) + 0.5) * chunk_s
    is_speech = np.zeros(len(rms), bool)
    for span in spans:
        is_speech |= (middles_s >= span.start_s) & (middles_s < span.end_s)
    if not is_speech.any():
        return
    is_loud_rest = ~is_speech & (rms >= np.median(rms[is_speech]))
    duration_s = chunk_s * is_loud_rest.sum()
    if duration_s >= _LOUD_REST_S:
        first_s = chunk_s * is_loud_rest.argmax()
        logger.warning(
            "%s: %.1f s are as loud as the speech, but Silero VAD hears no speech "
            "there (the first at %.1f s). They are left out: it does not hear screams.",
            name,
            duration_s,
            first_s,
        )


def _resampled(
    blocks: Iterable[np.ndarray], rate_hz: int, name: str
) -> Iterable[torch.Tensor]:
    """Yield one channel at the rate of the VAD, without seams between the blocks."""
    resampler = soxr.ResampleStream(rate_hz, _RATE_HZ, 1, dtype="float32")
    n_before = 0
    for block in blocks:
        wav = mono(block, rate_hz, name, n_before / rate_hz)
        n_before += len(wav)
        if rate_hz == _RATE_HZ:
            yield wav
        else:
            yield torch.from_numpy(resampler.resample_chunk(wav.numpy()))
    if rate_hz != _RATE_HZ:
        rest = resampler.resample_chunk(np.zeros(0, "float32"), last=True)
        yield torch.from_numpy(rest)


def _chunks(wavs: Iterable[torch.Tensor]) -> Iterable[torch.Tensor]:
    """Yield the samples of waveforms in chunks of the VAD; the last may be shorter."""
    rest = torch.zeros(0)
    for wav in wavs:
        *chunks, rest = torch.cat([rest, wav]).split(_CHUNK_SAMPLES)
        yield from chunks
    if len(rest):
        yield rest
