"""Attentive statistics pooling as aggregator."""

import torch
from speechbrain.lobes.models.ECAPA_TDNN import AttentiveStatisticsPooling
from torch import nn

from ser_lib.upstreams import Frames


def relative_lengths(counts: torch.Tensor, n_steps: int) -> torch.Tensor:
    """Return the (batch,) lengths that make SpeechBrain's masks exact.

    They are half a frame less, so that rounding never includes a padded frame:
    SpeechBrain compares t < length * n_steps.
    """
    return (counts - 0.5) / n_steps


class AttentivePooling(nn.Module):
    """Mean and standard deviation over time, weighted by attention.

    Okabe et al., 2018, https://arxiv.org/abs/1803.10963. SpeechBrain's module, which
    ECAPA-TDNN also uses, has a weight for each dimension of a frame and sees the mean
    and deviation of the utterance (Desplanques et al., 2020, section 3.1,
    https://arxiv.org/abs/2005.07143).

    Arguments
    ---------
    attention_channels : int
        Size of the hidden layer that computes the weights.

    Example
    -------
    >>> pooling = AttentivePooling(input_size=80)
    >>> pooling(Frames(torch.randn(2, 50, 80), torch.tensor([50, 20]))).shape
    torch.Size([2, 160])
    """

    min_frames = 1

    def __init__(self, input_size: int, attention_channels: int = 128) -> None:
        super().__init__()
        self.output_size = 2 * input_size
        self.asp = AttentiveStatisticsPooling(input_size, attention_channels)

    def forward(self, frames: Frames) -> torch.Tensor:
        """Pool (batch, time, dim) frames to (batch, 2 * dim)."""
        x = frames.values.transpose(1, 2)  # (batch, dim, time)
        lengths = relative_lengths(frames.counts, x.shape[-1])
        return self.asp(x, lengths=lengths).squeeze(-1)
