"""Two-dimensional convolutions in front of ECAPA-TDNN, for filter banks."""

import torch
from torch import nn

from ser_lib.upstreams import Frames, time_mask


class ConvStem(nn.Module):
    """Convolutions that see spectral patterns independently of their frequency.

    After the stem of ECAPA CNN-TDNN (Thienpondt et al., 2021,
    https://doi.org/10.21437/Interspeech.2021-1570). ECAPA-TDNN reads every band of a
    filter bank as a separate channel, so what it learns from one voice does not
    transfer to a voice whose harmonics and formants are a few bands higher.
    Convolutions over time and frequency share their weights between bands. There are
    four of them, 3 x 3, each with batch norm and ReLU. The first and the last halve the
    number of bands, the second and the third form a residual block. The number of
    frames does not change.

    Arguments
    ---------
    input_size : int
        Bands of the filter bank, at least four.
    channels : int
        Channels of each convolution (128 in the paper).

    Raises
    ------
    ValueError
        If there are fewer than four bands.

    Example
    -------
    >>> stem = ConvStem(input_size=80, channels=16)
    >>> frames = stem(Frames(torch.randn(2, 50, 80), torch.tensor([50, 20])))
    >>> frames.values.shape, stem.output_size
    (torch.Size([2, 50, 320]), 320)
    """

    def __init__(self, input_size: int, channels: int) -> None:
        super().__init__()
        if input_size < 4:
            raise ValueError(
                f"stem_channels is {channels}, for frames of {input_size} bands; "
                f"convolutions over frequency need at least 4. Set stem_channels to 0."
            )
        self.first = _conv_norm(1, channels, frequency_stride=2)
        self.block = nn.ModuleList([_conv_norm(channels, channels) for _ in range(2)])
        self.last = _conv_norm(channels, channels, frequency_stride=2)
        n_bands = -(-input_size // 4)
        self.output_size = channels * n_bands

    def forward(self, frames: Frames) -> Frames:
        """Filter (batch, time, input_size) frames to (batch, time, output_size)."""
        inside = time_mask(frames.counts, frames.values.shape[1])
        return Frames(self.filter(frames.values, inside), frames.counts)

    def filter(
        self, spectrograms: torch.Tensor, inside: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Filter spectrograms, of equal length if ``inside`` is None.

        Arguments
        ---------
        spectrograms : (batch, time, input_size) torch.Tensor
            Filter bank, raw or normalised.
        inside : (batch, time) torch.BoolTensor
            False in the padding.

        Returns
        -------
        (batch, time, output_size) torch.Tensor
            As many frames.
        """

        def silenced(x: torch.Tensor) -> torch.Tensor:
            # Every convolution sees zeros after an utterance, padded or not.
            return x if inside is None else x.masked_fill(~inside[:, None, :, None], 0)

        x = silenced(spectrograms[:, None])  # (batch, 1, time, bands)
        x = silenced(self.first(x).relu())
        inner = silenced(self.block[0](x).relu())
        x = silenced((x + self.block[1](inner)).relu())
        x = silenced(self.last(x).relu())  # (batch, channels, time, bands / 4)
        return x.transpose(1, 2).flatten(2)


def _conv_norm(
    in_channels: int, out_channels: int, frequency_stride: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            in_channels, out_channels, 3, stride=(1, frequency_stride), padding=1
        ),
        nn.BatchNorm2d(out_channels),
    )
