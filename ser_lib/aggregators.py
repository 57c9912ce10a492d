"""Aggregators: from the frames of an utterance to one embedding."""

import torch
import torch.nn.functional as F
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.nnet.CNN import Conv1d
from torch import nn

from ser_lib.conv_stem import ConvStem
from ser_lib.upstreams.frames import Frames, time_mask


class MeanPooling(nn.Module):
    """The mean over an utterance's frames (Morais et al., 2022, rows 1 to 4).

    SpeechBrain's ``StatisticsPooling`` adds random noise to the mean, in evaluation
    too; a mean needs none.

    Arguments
    ---------
    input_size : int
        Size of a frame.

    Example
    -------
    >>> pooling = MeanPooling(input_size=1)
    >>> frames = Frames(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2]))
    >>> pooling(frames)
    tensor([[2.]])
    """

    min_frames = 1

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = input_size

    def forward(self, frames: Frames) -> torch.Tensor:
        """Average over time.

        Arguments
        ---------
        frames : Frames
            Padded frames ``(batch, time, dim)``.

        Returns
        -------
        (batch, dim) torch.Tensor
            One embedding an utterance.
        """
        inside = time_mask(frames.counts, frames.values.shape[1])[..., None]
        total = frames.values.float().masked_fill(~inside, 0.0).sum(1)  # (batch, dim)
        return total / frames.counts[:, None]


class ProjectedMean(nn.Module):
    """A linear layer on each frame, then the mean over time, as in SUPERB.

    Yang et al., 2021, https://arxiv.org/abs/2105.01051; the emotion task of
    https://github.com/s3prl/s3prl. There is no activation between the two, so the
    mean of the projected frames is the projected mean, which is computed here.

    Arguments
    ---------
    input_size : int
        Size of a frame.
    size : int
        Size of a projected frame.

    Example
    -------
    >>> pooling = ProjectedMean(input_size=80, size=16)
    >>> pooling(Frames(torch.randn(2, 50, 80), torch.tensor([50, 20]))).shape
    torch.Size([2, 16])
    """

    min_frames = 1

    def __init__(self, input_size: int, size: int = 256) -> None:
        super().__init__()
        self.output_size = size
        self.mean = MeanPooling(input_size)
        self.projection = nn.Linear(input_size, size)

    def forward(self, frames: Frames) -> torch.Tensor:
        """Project and average over time.

        Arguments
        ---------
        frames : Frames
            Padded frames ``(batch, time, dim)``.

        Returns
        -------
        (batch, size) torch.Tensor
            One embedding an utterance.
        """
        return self.projection(self.mean(frames))


class EcapaTdnn(nn.Module):
    """SpeechBrain's ECAPA-TDNN with embeddings that do not depend on the batch.

    Desplanques et al., 2020, https://arxiv.org/abs/2005.07143, used as aggregator by
    Morais et al., 2022 (rows 5 to 11). At its ends, the network pads an utterance
    with its own mirror image. In a padded batch, the stock convolutions see padding
    there instead, which moves an embedding by 1 to 4 %; here the mirror image is
    put behind each utterance before every convolution.

    Arguments
    ---------
    input_size : int
        Size of a frame.
    embedding_size : int
        Size of the embedding.
    input_norm : str
        What happens to the frames first: ``none``; ``batch`` (a batch norm over
        all frames: levels between utterances are kept); ``sentence`` (each
        utterance's mean is taken off).
    stem_channels : int
        Channels of a ``ConvStem`` between the two, for filter banks; 0 is none.
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
        self._counts: torch.Tensor | None = None
        reaches = [1]
        for module in self.ecapa.modules():
            if isinstance(module, Conv1d) and module.kernel_size > 1:
                module.register_forward_pre_hook(self._mirror_ends)
                reaches.append(1 + module.dilation * (module.kernel_size - 1) // 2)
        # A mirror image needs that many frames; fewer are repeated.
        self.min_frames = max(reaches)

    def forward(self, frames: Frames) -> torch.Tensor:
        """Embed a padded batch.

        Arguments
        ---------
        frames : Frames
            Padded frames ``(batch, time, dim)``.

        Returns
        -------
        (batch, embedding_size) torch.Tensor
            One embedding an utterance.

        """
        if frames.counts.min() < self.min_frames:
            frames = _repeat_short(frames, self.min_frames)
        values = self._normalise(frames)
        if self.stem is not None:
            values = self.stem(Frames(values, frames.counts)).values
        if frames.counts.min() < values.shape[1]:
            # Room for the mirror image of the longest, as of all others.
            values = F.pad(values, (0, 0, 0, self.min_frames - 1))
            self._counts = frames.counts
        # Half a frame less, so that rounding never lets a padded frame in: the
        # network compares t < length * n_steps.
        lengths = (frames.counts - 0.5) / values.shape[1]
        embeddings = self.ecapa(values, lengths)
        self._counts = None
        return embeddings.squeeze(1)

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

    def _mirror_ends(self, conv: Conv1d, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        """Continue every utterance of (batch, channels, time) with its mirror image."""
        (x,) = inputs
        if self._counts is None:  # nothing is padded: the network does it itself
            return x
        last = self._counts[:, None] - 1
        t = torch.arange(x.shape[-1], device=x.device)[None]
        source = torch.where(t > last, (2 * last - t).clamp(min=0), t)
        return x.gather(2, source[:, None].expand_as(x))


def _repeat_short(frames: Frames, min_frames: int) -> Frames:
    """Repeat the frames of utterances that have too few; a word has three tokens."""
    values, counts = frames
    if values.shape[1] < min_frames:
        values = F.pad(values, (0, 0, 0, min_frames - values.shape[1]))
    t = torch.arange(values.shape[1], device=values.device)[None]
    source = torch.where(t < min_frames, t % counts[:, None], t)
    source = torch.where(counts[:, None] < min_frames, source, t)
    values = values.gather(1, source[..., None].expand_as(values))
    return Frames(values, counts.clamp(min=min_frames))
