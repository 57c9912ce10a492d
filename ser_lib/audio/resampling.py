"""Resampling from any rate with soxr, in memory that does not depend on the ratio."""

import numpy as np
import soxr
import torch

# Relative to the wanted rate: 1 kHz to 1.024 MHz for a model of 16 kHz. A file that
# claims a lower rate would become huge and holds no speech.
_MIN_RATIO, _MAX_RATIO = 1 / 16, 64


def check_rate(rate_hz: float, wanted_rate_hz: int, name: str) -> None:
    """Refuse a sampling rate that no recording of speech has.

    Arguments
    ---------
    rate_hz : float
        Sampling rate of a recording.
    wanted_rate_hz : int
        The rate to resample it to.
    name : str
        Name of the recording in the message.

    Raises
    ------
    ValueError
        If the rate is not a whole number, or is below 1/16 of the wanted rate or above
        64 times that.

    Example
    -------
    >>> try:
    ...     check_rate(0, 16000, "The array")
    ... except ValueError as error:
    ...     print(str(error)[:72])
    The array has a sampling rate of 0 Hz; expected a whole number from 1000
    """
    lowest_hz = wanted_rate_hz * _MIN_RATIO
    highest_hz = wanted_rate_hz * _MAX_RATIO
    if not lowest_hz <= rate_hz <= highest_hz or rate_hz % 1:
        raise ValueError(
            f"{name} has a sampling rate of {rate_hz} Hz; expected a whole number "
            f"from {lowest_hz:.0f} to {highest_hz:.0f}, to be resampled to "
            f"{wanted_rate_hz} Hz."
        )


def resampled_samples(n_samples: int, rate_hz: int, wanted_rate_hz: int) -> int:
    """Return the length of the output of :func:`resample`, rounded up."""
    return -(-n_samples * wanted_rate_hz // rate_hz)


def resample(
    wav: torch.Tensor, rate_hz: int, wanted_rate_hz: int, name: str
) -> torch.Tensor:
    """Resample a waveform.

    Arguments
    ---------
    wav : (samples,) torch.Tensor
        float32, on the CPU.
    rate_hz, wanted_rate_hz : int
        If they are equal, the waveform is returned unchanged.
    name : str
        Name of the waveform in messages.

    Returns
    -------
    (resampled_samples,) torch.Tensor
        See :func:`resampled_samples`.

    Raises
    ------
    ValueError
        See :func:`check_rate`.

    Example
    -------
    >>> resample(torch.zeros(44101), 44100, 16000, "a.wav").shape
    torch.Size([16001])
    """
    check_rate(rate_hz, wanted_rate_hz, name)
    if rate_hz == wanted_rate_hz:
        return wav
    rate_hz = int(rate_hz)
    # soxr rounds the length up or down. Silence at the end, which it assumes anyway,
    # makes room for one more sample.
    padded = np.pad(wav.numpy(), (0, -(-rate_hz // wanted_rate_hz)))
    resampled = torch.from_numpy(soxr.resample(padded, rate_hz, wanted_rate_hz))
    return resampled[: resampled_samples(len(wav), rate_hz, wanted_rate_hz)]
