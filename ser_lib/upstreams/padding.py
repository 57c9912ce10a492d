"""What keeps padding out of an encoder of the Hugging Face family.

The waveform is normalised over the utterance's own samples, and so is the output of
the first convolution where a group norm over time follows it (the "base" encoders).
Where positions come from several convolutions (data2vec), the padding is set to zero
between them.
"""

import torch
from torch import nn

from ser_lib.upstreams.frames import time_mask


class MaskedGroupNorm(nn.GroupNorm):
    """A group norm with one channel a group, over the utterance's own steps.

    Arguments
    ---------
    *args, **kwargs
        Those of ``torch.nn.GroupNorm``.
    """

    n_valid: torch.Tensor | None = None  # (batch,), set before each forward pass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``x`` of shape (batch, channels, time) along time.

        Arguments
        ---------
        x : (batch, channels, time) torch.Tensor
            Output of the first convolution.

        Returns
        -------
        (batch, channels, time) torch.Tensor
            As ``x``; the padding is scaled along with the rest.
        """
        if self.n_valid is None:
            return super().forward(x)
        dtype, x = x.dtype, x.float()  # thousands of steps are summed
        inside = time_mask(self.n_valid, x.shape[-1])[:, None]
        n = inside.sum(-1, keepdim=True)
        mean = (x * inside).sum(-1, keepdim=True) / n
        variance = ((x - mean) * inside).square().sum(-1, keepdim=True) / n
        scale = self.weight[:, None] / torch.sqrt(variance + self.eps)
        return ((x - mean) * scale + self.bias[:, None]).to(dtype)


def mask_group_norm(feature_extractor: nn.Module) -> MaskedGroupNorm | None:
    """Turn the group norm of a "base" encoder into a masked one, names unchanged.

    Arguments
    ---------
    feature_extractor : nn.Module
        The convolutions of an encoder.

    Returns
    -------
    MaskedGroupNorm | None
        The norm; None where the encoder has no group norm, as the "large" ones.
    """
    norm = getattr(feature_extractor.conv_layers[0], "layer_norm", None)
    if not isinstance(norm, nn.GroupNorm):
        return None
    assert norm.num_groups == norm.num_channels, "one channel a group was expected"
    norm.__class__ = MaskedGroupNorm
    return norm


class EndsMask:
    """Sets what lies behind each utterance to zero, before a layer of convolutions.

    ``counts``, (batch,), is the number of steps of each utterance; it is set before
    each forward pass.
    """

    counts: torch.Tensor | None = None

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        """Mask the input (batch, channels, time) of a layer; called as its hook."""
        (x,) = inputs
        return (
            x
            if self.counts is None
            else x * time_mask(self.counts, x.shape[-1])[:, None]
        )


def mask_positions(encoder: nn.Module) -> EndsMask | None:
    """Keep the padding of positional convolutions that are stacked at zero.

    The first of them makes something of an utterance's end in the padding, which the
    next would take for speech.

    Arguments
    ---------
    encoder : nn.Module
        The transformer of an encoder.

    Returns
    -------
    EndsMask | None
        The mask; None where there is one convolution only, as in HuBERT.
    """
    layers = getattr(getattr(encoder, "pos_conv_embed", None), "layers", None)
    if layers is None:
        return None
    mask = EndsMask()
    for layer in layers:
        layer.register_forward_pre_hook(mask)
    return mask


def normalise(wavs: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance for each utterance, eps as in Hugging Face.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    inside : (batch, samples) torch.BoolTensor
        False in the padding.

    Returns
    -------
    (batch, samples) torch.Tensor
        Normalised; what stands in the padding has no meaning.
    """
    n = inside.sum(1, keepdim=True)
    mean = (wavs * inside).sum(1, keepdim=True) / n
    variance = ((wavs - mean) * inside).square().sum(1, keepdim=True) / n
    return (wavs - mean) / torch.sqrt(variance + 1e-7)
