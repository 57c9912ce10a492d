"""Pooling over time: the mean, alone, projected, or with the standard deviation.

Each has two steps. ``pool`` has no weights, so on frames that do not change it is
computed only once for an utterance; ``embed`` may have some. ``standardise`` turns what
was pooled into what standardised frames would give.
"""

import torch
from torch import nn

from ser_lib.upstreams import Frames, time_mask


class MeanPooling(nn.Module):
    """The mean over an utterance's frames (Morais et al., 2022, rows 1 to 4).

    SpeechBrain's ``StatisticsPooling`` adds random noise to the mean, also in
    evaluation.

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
        """Average (batch, time, dim) frames over time, to (batch, dim)."""
        return self.embed(self.pool(frames))

    def pool(self, frames: Frames) -> torch.Tensor:
        """Return the (batch, dim) means."""
        inside = time_mask(frames.counts, frames.values.shape[1])[..., None]
        total = frames.values.float().masked_fill(~inside, 0.0).sum(1)  # (batch, dim)
        return total / frames.counts[:, None]

    def embed(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the means as they are."""
        return pooled

    @staticmethod
    def standardise(
        pooled: torch.Tensor, mean: torch.Tensor, sd: torch.Tensor
    ) -> torch.Tensor:
        """Standardise (batch, dim) means by (batch, dim) statistics of frames."""
        return (pooled - mean) / sd


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over an utterance's frames, standardised.

    Each statistic is standardised by its mean and deviation over the training part
    (:meth:`fit`), so weight decay in the classifier treats all of them alike. On a
    frozen encoder this is the usual linear probe. Batches cannot take the place of the
    training part, since utterances of a batch have similar lengths.

    Arguments
    ---------
    hidden_size : int
        Size of a layer with ReLU after it, which tasks share; 0 for none.

    Example
    -------
    >>> pooling = StatisticsPooling(input_size=1)
    >>> frames = Frames(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([2]))
    >>> pooling(frames).round(decimals=3)
    tensor([[2., 1.]])
    """

    min_frames = 1

    def __init__(self, input_size: int, hidden_size: int = 0) -> None:
        super().__init__()
        size = 2 * input_size
        self.output_size = hidden_size or size
        self.mean = MeanPooling(input_size)
        self.register_buffer("center", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        if hidden_size:
            self.hidden = nn.Sequential(nn.Linear(size, hidden_size), nn.ReLU())
        else:
            self.hidden = nn.Identity()

    def fit(self, pooled: torch.Tensor) -> None:
        """Standardise by the (utterances, 2 * dim) statistics of the training part."""
        self.center.copy_(pooled.mean(0))
        self.scale.copy_(pooled.std(0, correction=0).clamp(min=1e-5))

    def forward(self, frames: Frames) -> torch.Tensor:
        """Pool (batch, time, dim) frames over time, to (batch, output_size)."""
        return self.embed(self.pool(frames))

    def embed(self, pooled: torch.Tensor) -> torch.Tensor:
        """Standardise (batch, 2 * dim) statistics, and apply the hidden layer."""
        return self.hidden((pooled - self.center) / self.scale)

    @staticmethod
    def standardise(
        pooled: torch.Tensor, mean: torch.Tensor, sd: torch.Tensor
    ) -> torch.Tensor:
        """Standardise the frames behind (batch, 2 * dim) statistics."""
        means, deviations = pooled.chunk(2, dim=-1)
        return torch.cat([(means - mean) / sd, deviations / sd], dim=-1)

    def pool(self, frames: Frames) -> torch.Tensor:
        """Return the (batch, 2 * dim) statistics, not standardised."""
        mean = self.mean(frames)
        distances = (frames.values - mean[:, None]).square()
        variance = self.mean(Frames(distances, frames.counts))
        return torch.cat([mean, (variance + 1e-8).sqrt()], dim=-1)


class ProjectedMean(nn.Module):
    """A linear layer on each frame, then the mean over time, as in SUPERB.

    Yang et al., 2021, https://arxiv.org/abs/2105.01051; the emotion task of
    https://github.com/s3prl/s3prl. There is no activation between the two, so the
    mean of the projected frames is the projected mean, which is computed here.

    Arguments
    ---------
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
        """Average (batch, time, dim) frames and project them, to (batch, size)."""
        return self.embed(self.pool(frames))

    def pool(self, frames: Frames) -> torch.Tensor:
        """Return the (batch, dim) means, not projected."""
        return self.mean(frames)

    def embed(self, pooled: torch.Tensor) -> torch.Tensor:
        """Project (batch, dim) means to (batch, size)."""
        return self.projection(pooled)

    standardise = staticmethod(MeanPooling.standardise)
