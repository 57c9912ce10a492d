"""What every upstream returns, and the arithmetic of lengths.

SpeechBrain's ``wav_lens`` are fractions of the longest utterance. A fraction times
a frame count is off by one after rounding in some 5 % of cases, so lengths are
turned into whole numbers once, here, and stay whole numbers.
"""

from typing import NamedTuple

import torch


class Frames(NamedTuple):
    """A padded batch of frame sequences.

    Arguments
    ---------
    values : (batch, time, dim) torch.Tensor
        Frames; what stands after an utterance's last frame is arbitrary.
    counts : (batch,) torch.LongTensor
        Number of frames of each utterance.
    """

    values: torch.Tensor
    counts: torch.Tensor


def sample_counts(wavs: torch.Tensor, wav_lens: torch.Tensor) -> torch.Tensor:
    """Turn relative lengths into whole numbers of samples.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    wav_lens : (batch,) torch.Tensor
        Length of each, as a fraction of the padded length.

    Returns
    -------
    (batch,) torch.LongTensor
        Samples of each utterance.

    Example
    -------
    >>> sample_counts(torch.zeros(2, 16000), torch.tensor([1.0, 0.33333]))
    tensor([16000,  5333])
    """
    return torch.round(wav_lens.double() * wavs.shape[1]).long()


def time_mask(counts: torch.Tensor, n_steps: int) -> torch.Tensor:
    """Mark the steps that belong to each utterance.

    Arguments
    ---------
    counts : (batch,) torch.LongTensor
        Steps of each utterance.
    n_steps : int
        Steps of the padded batch.

    Returns
    -------
    (batch, n_steps) torch.BoolTensor
        True within the utterance, False in the padding.

    Example
    -------
    >>> time_mask(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(n_steps, device=counts.device)[None] < counts[:, None]
