"""The return type of every upstream, and functions on lengths.

SpeechBrain's ``wav_lens`` are fractions of the longest utterance. Multiplying a
fraction by a frame count and rounding is off by one in about 5 % of cases, so lengths
are converted to whole numbers once, here, and stay whole numbers.
"""

from typing import NamedTuple

import torch


class Frames(NamedTuple):
    """A padded batch of frame sequences.

    Arguments
    ---------
    values : (batch, time, dim) torch.Tensor
        Frames; values after an utterance's last frame are arbitrary.
    counts : (batch,) torch.LongTensor
        Number of frames in each utterance.
    """

    values: torch.Tensor
    counts: torch.Tensor


def sample_counts(wavs: torch.Tensor, wav_lens: torch.Tensor) -> torch.Tensor:
    """Convert relative lengths to (batch,) numbers of samples.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    wav_lens : (batch,) torch.Tensor
        Lengths as fractions of the padded length.

    Example
    -------
    >>> sample_counts(torch.zeros(2, 16000), torch.tensor([1.0, 0.33333]))
    tensor([16000,  5333])
    """
    return torch.round(wav_lens.double() * wavs.shape[1]).long()


def time_mask(counts: torch.Tensor, n_steps: int) -> torch.Tensor:
    """Return a mask that is True within each utterance and False in the padding.

    Arguments
    ---------
    counts : (batch,) torch.LongTensor
        Steps in each utterance.
    n_steps : int
        Steps in the padded batch.

    Returns
    -------
    (batch, n_steps) torch.BoolTensor

    Example
    -------
    >>> time_mask(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(n_steps, device=counts.device)[None] < counts[:, None]
