"""One rule for which samples are accepted, whatever their source.

Files, arrays, batches, timelines, streams and training all use this module. Full
scale is 1: integers are divided by the full scale of their type; floats must be finite
and at most ``MAX_PEAK``.
"""

import numpy as np
import torch

# Floats may exceed full scale by some decibels, as in a mix without a limiter; this is
# 24 dB. 16-bit integers that were converted to floats but not divided exceed it if they
# hold anything audible (16 / 32768 is -66 dBFS).
MAX_PEAK = 16.0
# Not int64, since its full scale is unknown.
_INTEGERS = (
    torch.uint8,
    torch.int8,
    torch.uint16,
    torch.int16,
    torch.uint32,
    torch.int32,
)


def mono(
    samples: np.ndarray | torch.Tensor,
    sample_rate_hz: float,
    name: str,
    start_s: float = 0.0,
) -> torch.Tensor:
    """Convert samples of any type to one channel of floats, or refuse them.

    Arguments
    ---------
    samples : (samples,) or (samples, channels) np.ndarray | torch.Tensor
        Floats with full scale 1, or integers of 8, 16 or 32 bits with the full scale of
        their type. Channels are averaged.
    sample_rate_hz : float
        Their sampling rate, for the messages.
    name : str
        Name of the recording in messages.
    start_s : float
        Position of the samples in the recording, for the messages.

    Returns
    -------
    (samples,) torch.Tensor
        float32, on the CPU.

    Raises
    ------
    ValueError
        If the shape is wrong, or :func:`scaled` or :func:`check_samples` refuse them.

    Example
    -------
    >>> mono(np.array([[16384, 0], [-32768, -32768]], np.int16), 16000, "a.wav")
    tensor([ 0.2500, -1.0000])
    """
    wav = torch.as_tensor(samples).detach().cpu()
    if wav.ndim not in (1, 2):
        raise ValueError(
            f"{name} has the shape {tuple(wav.shape)}; expected (samples,) or "
            f"(samples, channels)."
        )
    wav = scaled(wav, name)
    check_samples(wav, sample_rate_hz, name, start_s)
    wav = wav.float()
    return wav.mean(dim=1) if wav.ndim == 2 else wav


def scaled(samples: torch.Tensor, name: str) -> torch.Tensor:
    """Divide integers by the full scale of their type; floats stay as they are.

    Raises
    ------
    ValueError
        If the samples are neither floats nor integers of 8, 16 or 32 bits.

    Example
    -------
    >>> scaled(torch.tensor([0, 128, 192], dtype=torch.uint8), "The array")
    tensor([-1.0000,  0.0000,  0.5000])
    """
    if samples.is_floating_point():
        return samples
    if samples.dtype not in _INTEGERS:
        raise ValueError(
            f"{name} holds {str(samples.dtype).removeprefix('torch.')}; expected "
            f"floats with full scale 1, or integers of 8, 16 or 32 bits."
        )
    limits = torch.iinfo(samples.dtype)
    middle = (limits.max + 1 + limits.min) // 2  # 128 for uint8
    return ((samples.double() - middle) / (limits.max + 1 - middle)).float()


def check_samples(
    samples: torch.Tensor, sample_rate_hz: float, name: str, start_s: float = 0.0
) -> None:
    """Refuse floats that are not finite or far beyond full scale.

    Arguments
    ---------
    samples : (samples,) or (samples, channels) torch.Tensor
        Floats.
    sample_rate_hz, name, start_s
        See :func:`mono`.

    Raises
    ------
    ValueError
        If a sample is NaN or infinite, or its absolute value exceeds ``MAX_PEAK``.

    Example
    -------
    >>> try:
    ...     check_samples(torch.tensor([0.5, -20000.0]), 16000, "a.wav")
    ... except ValueError as error:
    ...     print(str(error)[:54])
    a.wav reaches 20000; expected floats with full scale 1
    """
    if within_scale(samples):
        return
    not_finite = torch.nonzero(~torch.isfinite(samples))
    if len(not_finite):
        first_s = start_s + int(not_finite[0, 0]) / sample_rate_hz
        raise ValueError(
            f"{name} holds samples that are not finite (NaN or infinity); the first is "
            f"at {first_s:.3f} s."
        )
    raise ValueError(
        f"{name} reaches {float(samples.abs().max()):.6g}; expected floats with full "
        f"scale 1 (up to {MAX_PEAK:g} is accepted). Divide them by their full scale "
        f"(32768 for 16 bits)."
    )


def within_scale(samples: torch.Tensor) -> bool:
    """Return whether all samples are finite and at most ``MAX_PEAK``; True if empty."""
    if samples.numel() == 0:
        return True
    low, high = samples.aminmax()  # NaN if a sample is NaN; makes no copy
    return bool((low >= -MAX_PEAK) & (high <= MAX_PEAK))
