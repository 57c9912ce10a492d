"""Resampling from any rate, in memory that does not depend on the ratio (by soxr)."""

import numpy as np
import soxr
import torch

# Of the rate that is wanted: 1 kHz to 1.024 MHz for a model of 16 kHz. A file that
# claims a lower rate would grow beyond measure and holds no speech.
_LOWEST_RATIO, _HIGHEST_RATIO = 1 / 16, 64


def check_rate(rate_hz: float, wanted_rate_hz: int, name: str) -> None:
    """Refuse a sampling rate that no recording of speech has.

    Arguments
    ---------
    rate_hz : float
        Sampling rate of a recording.
    wanted_rate_hz : int
        That at which it is to be used.
    name : str
        What the message calls the recording.

    Raises
    ------
    ValueError
        If it is not a whole number, or lies below a 16th of the wanted rate or above
        64 times that.

    Example
    -------
    >>> try:
    ...     check_rate(0, 16000, "The array")
    ... except ValueError as error:
    ...     print(str(error)[:72])
    The array has a sampling rate of 0 Hz; expected a whole number from 1000
    """
    lowest_hz = wanted_rate_hz * _LOWEST_RATIO
    highest_hz = wanted_rate_hz * _HIGHEST_RATIO
    if not lowest_hz <= rate_hz <= highest_hz or rate_hz % 1:
        raise ValueError(
            f"{name} has a sampling rate of {rate_hz} Hz; expected a whole number "
            f"from {lowest_hz:.0f} to {highest_hz:.0f} (it is to be resampled to "
            f"{wanted_rate_hz} Hz)."
        )


def resampled_samples(n_samples: int, rate_hz: int, wanted_rate_hz: int) -> int:
    """Say how long :func:`resample` makes a waveform.

    Arguments
    ---------
    n_samples : int
        Its length.
    rate_hz, wanted_rate_hz : int
        Its sampling rate, and the wanted one.

    Returns
    -------
    int
        The same duration at the wanted rate; a fraction of a sample counts as one.
    """
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
        Its sampling rate, and the wanted one. If they are the same, nothing is done.
    name : str
        What messages call it.

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
    # soxr rounds the length down as often as up. Silence at the end, which it takes for
    # granted anyway, makes room for one sample more.
    padded = np.pad(wav.numpy(), (0, -(-rate_hz // wanted_rate_hz)))
    resampled = torch.from_numpy(soxr.resample(padded, rate_hz, wanted_rate_hz))
    return resampled[: resampled_samples(len(wav), rate_hz, wanted_rate_hz)]
