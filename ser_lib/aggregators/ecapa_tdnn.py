"""ECAPA-TDNN as aggregator."""

import torch
import torch.nn.functional as F
from speechbrain.lobes.models.ECAPA_TDNN import (
    ECAPA_TDNN,
    Res2NetBlock,
    SERes2NetBlock,
    TDNNBlock,
)
from speechbrain.nnet.CNN import Conv1d
from torch import nn

from ser_lib.aggregators.attentive import relative_lengths
from ser_lib.aggregators.conv_stem import ConvStem
from ser_lib.upstreams import Frames, time_mask


class EcapaTdnn(nn.Module):
    """SpeechBrain's ECAPA-TDNN with embeddings that do not depend on the batch.

    Desplanques et al., 2020, https://arxiv.org/abs/2005.07143, used as aggregator by
    Morais et al., 2022 (rows 5 to 11). The network pads an utterance with its own
    mirror image at both ends. In a padded batch, the stock convolutions see padding
    instead, which changes an embedding by 1 to 4 %. Here the mirror image is put after
    each utterance before every convolution.

    Arguments
    ---------
    input_norm : str
        Normalisation of the frames: ``none``; ``batch`` (a batch norm over all frames,
        which keeps level differences between utterances); ``sentence`` (each
        utterance's mean is subtracted).
    stem_channels : int
        Channels of a ``ConvStem`` after the normalisation, for filter banks; 0 for
        none.
    **ecapa : dict
        Arguments of SpeechBrain's ``ECAPA_TDNN``: channels, kernel_sizes,
        dilations, attention_channels, res2net_scale, se_channels, dropout.

    Example
    -------
    >>> ecapa = EcapaTdnn(80, 16, channels=[16] * 4 + [32], attention_channels=8)
    >>> ecapa(Frames(torch.randn(2, 50, 80), torch.tensor([50, 20]))).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        input_size: int,
        embedding_size: int = 192,
        input_norm: str = "none",
        stem_channels: int = 0,
        **ecapa: dict,
    ) -> None:
        super().__init__()
        if input_norm not in ("none", "batch", "sentence"):
            raise ValueError(
                f"input_norm is {input_norm!r}; expected none, batch or sentence."
            )
        self.input_norm = input_norm
        self.output_size = embedding_size
        self.batch_norm = nn.BatchNorm1d(input_size) if input_norm == "batch" else None
        self.stem = ConvStem(input_size, stem_channels) if stem_channels else None
        if self.stem is not None:
            input_size = self.stem.output_size
        self.ecapa = ECAPA_TDNN(input_size, lin_neurons=embedding_size, **ecapa)
        reaches = [
            1 + module.dilation * (module.kernel_size - 1) // 2
            for module in self.ecapa.modules()
            if isinstance(module, Conv1d)
        ]
        # A mirror image needs this many frames; shorter utterances are repeated.
        self.min_frames = max(reaches)

    def forward(self, frames: Frames) -> torch.Tensor:
        """Embed (batch, time, dim) frames to (batch, embedding_size)."""
        if frames.counts.min() < self.min_frames:
            frames = _repeat_short(frames, self.min_frames)
        values = self._normalise(frames)
        if self.stem is not None:
            values = self.stem(Frames(values, frames.counts)).values
        return self._embed(Frames(values, frames.counts))

    def _embed(self, frames: Frames) -> torch.Tensor:
        """Run the forward pass of SpeechBrain's network, with mirrored ends."""
        values, counts = frames
        x = values.transpose(1, 2)  # (batch, channels, time)
        source = _mirrored_steps(counts, x.shape[-1], self.min_frames - 1)
        if source is not None:
            # Room for the mirror image of the longest utterance.
            x = F.pad(x, (0, self.min_frames - 1))
        lengths = relative_lengths(counts, x.shape[-1])
        first, *others = self.ecapa.blocks
        x, outputs = _tdnn(first, x, source), []
        for block in others:
            x = _se_res2net(block, x, source, lengths)
            outputs.append(x)
        x = _tdnn(self.ecapa.mfa, torch.cat(outputs, dim=1), source)
        x = self.ecapa.asp_bn(self.ecapa.asp(x, lengths=lengths))
        return self.ecapa.fc(x).squeeze(-1)

    def _normalise(self, frames: Frames) -> torch.Tensor:
        values, counts = frames
        if self.input_norm == "none":
            return values
        inside = time_mask(counts, values.shape[1])
        if self.batch_norm is not None:
            flat = self.batch_norm(values[inside])  # (all frames, dim), no padding
            return values.new_zeros(values.shape).masked_scatter(
                inside[..., None], flat
            )
        mean = (values * inside[..., None]).sum(1, keepdim=True) / counts[:, None, None]
        return values - mean


def _mirrored_steps(
    counts: torch.Tensor, n_steps: int, n_mirrored: int
) -> torch.Tensor | None:
    """Return the source of each step, (batch, 1, time), when ends are mirrored.

    None if nothing is padded: the network then mirrors the ends itself.
    """
    if counts.min() == n_steps:
        return None
    last = counts[:, None] - 1
    t = torch.arange(n_steps + n_mirrored, device=counts.device)[None]
    return torch.where(t > last, (2 * last - t).clamp(min=0), t)[:, None]


def _tdnn(
    block: TDNNBlock, x: torch.Tensor, source: torch.Tensor | None
) -> torch.Tensor:
    """Run a TDNN block on (batch, channels, time), mirroring every utterance's end."""
    if source is not None and block.conv.kernel_size > 1:
        x = x.gather(2, source.expand_as(x))
    return block(x)


def _res2net(
    block: Res2NetBlock, x: torch.Tensor, source: torch.Tensor | None
) -> torch.Tensor:
    first, *others = x.chunk(block.scale, dim=1)
    outputs = [first]
    for i, (part, inner) in enumerate(zip(others, block.blocks, strict=True)):
        part = part if i == 0 else part + outputs[-1]
        outputs.append(_tdnn(inner, part, source))
    return torch.cat(outputs, dim=1)


def _se_res2net(
    block: SERes2NetBlock,
    x: torch.Tensor,
    source: torch.Tensor | None,
    lengths: torch.Tensor,
) -> torch.Tensor:
    residual = x if block.shortcut is None else block.shortcut(x)
    x = _res2net(block.res2net_block, block.tdnn1(x), source)
    return block.se_block(block.tdnn2(x), lengths) + residual


def _repeat_short(frames: Frames, min_frames: int) -> Frames:
    """Repeat the frames of utterances that have too few: a word has three tokens."""
    values, counts = frames
    if values.shape[1] < min_frames:
        values = F.pad(values, (0, 0, 0, min_frames - values.shape[1]))
    t = torch.arange(values.shape[1], device=values.device)[None]
    source = torch.where(t < min_frames, t % counts[:, None], t)
    source = torch.where(counts[:, None] < min_frames, source, t)
    values = values.gather(1, source[..., None].expand_as(values))
    return Frames(values, counts.clamp(min=min_frames))
