"""Modules that keep padding out of a Hugging Face encoder.

The waveform is normalised over the utterance's own samples, and so is the output of
the first convolution if a group norm over time follows it (the "base" encoders).
Where several convolutions compute positions (data2vec), the padding is set to zero
between them. Lengths are passed with each call and never stored, so threads can share
an encoder.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.native import conv_counts


class PaddedWaveforms(NamedTuple):
    """Waveforms with their lengths: the input of an encoder's convolutions.

    Arguments
    ---------
    values : (batch, samples) torch.Tensor
        Padded waveforms, zero in the padding.
    n_samples : (batch,) torch.LongTensor
        Samples in each.
    """

    values: torch.Tensor
    n_samples: torch.Tensor


class Convolved(NamedTuple):
    """Cached (batch, channels, time) output of the convolutions, returned unchanged."""

    frames: torch.Tensor


class PaddedConvolutions(nn.Module):
    """The convolutions of an encoder, which receive the lengths with each call.

    Replaces the module of transformers, whose layers it takes over under their own
    names. That module also computes the gradient of the waveform, which is not needed.
    """

    def __init__(self, feature_extractor: nn.Module) -> None:
        super().__init__()
        self.conv_layers = feature_extractor.conv_layers
        norm = getattr(self.conv_layers[0], "layer_norm", None)
        self.has_group_norm = isinstance(norm, nn.GroupNorm)
        if self.has_group_norm:
            assert norm.num_groups == norm.num_channels, (
                "expected one channel per group"
            )

    def forward(self, wavs: torch.Tensor | PaddedWaveforms | Convolved) -> torch.Tensor:
        """Compute (batch, channels, time) frames; those in the padding are arbitrary.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor | PaddedWaveforms | Convolved
            A tensor means waveforms of equal length.
        """
        if isinstance(wavs, Convolved):
            return wavs.frames
        if isinstance(wavs, torch.Tensor):
            return self._convolve(wavs, None)
        if wavs.values.is_cpu and not self._needs_gradient(wavs.values):
            # The first layer of a batch takes gigabytes: allocating them page by page
            # takes a CPU as long as the arithmetic.
            rows = zip(wavs.values, wavs.n_samples.tolist(), strict=True)
            alone = [self._convolve(wav[None, :n], None)[0].T for wav, n in rows]
            return pad_sequence(alone, batch_first=True).transpose(1, 2)
        return self._convolve(*wavs)

    def _needs_gradient(self, wavs: torch.Tensor) -> bool:
        inputs = [wavs, *self.parameters()]
        return torch.is_grad_enabled() and any(x.requires_grad for x in inputs)

    def _convolve(
        self, wavs: torch.Tensor, n_samples: torch.Tensor | None
    ) -> torch.Tensor:
        x, (first, *others) = wavs[:, None], self.conv_layers
        if self.has_group_norm and n_samples is not None:
            (kernel,), (stride,) = first.conv.kernel_size, first.conv.stride
            counts = conv_counts(n_samples, kernel, stride)
            x = first.activation(_group_norm(first.layer_norm, first.conv(x), counts))
        else:
            x = first(x)
        for layer in others:
            x = layer(x)
        return x


def _group_norm(
    norm: nn.GroupNorm, x: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Normalise each channel of (batch, channels, time) over the utterance's steps."""
    dtype, x = x.dtype, x.float()  # thousands of steps are summed
    inside = time_mask(counts, x.shape[-1])[:, None]
    n = inside.sum(-1, keepdim=True)
    mean = (x * inside).sum(-1, keepdim=True) / n
    variance = ((x - mean) * inside).square().sum(-1, keepdim=True) / n
    scale = norm.weight[:, None] / torch.sqrt(variance + norm.eps)
    return ((x - mean) * scale + norm.bias[:, None]).to(dtype)


class PaddedPositions(nn.Module):
    """Stacked positional convolutions whose padding is kept at zero.

    The first convolution smears an utterance's end into the padding, which the next one
    would take for speech. The transformer sets the padding to zero before it computes
    positions, so frames of zeros are padding. Replaces the module of transformers,
    whose layers it takes over under their own names.
    """

    def __init__(self, positions: nn.Module) -> None:
        super().__init__()
        self.layers = positions.layers

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Compute the positions, which are added to the frames.

        Arguments
        ---------
        frames : (batch, time, dim) torch.Tensor
            Frames, zero in the padding.

        Returns
        -------
        (batch, time, dim) torch.Tensor
            Positions; values in the padding have no meaning.
        """
        x = frames.transpose(1, 2)
        inside = (x != 0).any(1, keepdim=True)
        for layer in self.layers:
            x = layer(x * inside)
        return x.transpose(1, 2)


def keep_padding_out(encoder: PreTrainedModel) -> None:
    """Make the frames of an encoder independent of the padding; weight names stay.

    Arguments
    ---------
    encoder : PreTrainedModel
        HuBERT, wav2vec 2.0, WavLM or data2vec. After this, it takes
        :class:`PaddedWaveforms` as ``input_values``.
    """
    encoder.feature_extractor = PaddedConvolutions(encoder.feature_extractor)
    positions = encoder.encoder.pos_conv_embed
    if hasattr(positions, "layers"):  # HuBERT has one convolution only
        encoder.encoder.pos_conv_embed = PaddedPositions(positions)


def normalise(
    wavs: torch.Tensor, inside: torch.Tensor, eps: float = 1e-7
) -> torch.Tensor:
    """Normalise each utterance to zero mean and unit variance.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    inside : (batch, samples) torch.BoolTensor
        False in the padding.
    eps : float
        Added to the variance; the default is that of Hugging Face.

    Returns
    -------
    (batch, samples) torch.Tensor
        Normalised waveforms; values in the padding have no meaning.
    """
    n = inside.sum(1, keepdim=True)
    mean = (wavs * inside).sum(1, keepdim=True) / n
    variance = ((wavs - mean) * inside).square().sum(1, keepdim=True) / n
    return (wavs - mean) / torch.sqrt(variance + eps)
