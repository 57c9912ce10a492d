"""Standardise frames by statistics of recordings, which need no labels.

A model that was trained on standardised frames can be adapted to a speaker, a
microphone or a call centre: the statistics of its training part are replaced by those
of the new recordings.
"""

import torch
from torch import nn

from ser_lib.upstreams.frames import Frames, time_mask

_LEAST_DEVIATION = 1e-4  # of a dimension that is constant


def frame_moments(frames: Frames) -> torch.Tensor:
    """Return number, mean and variance of the frames of each utterance.

    Returns
    -------
    (batch, 3, dim) torch.Tensor
        The number of frames is repeated for each dimension; float64, on the CPU.

    Example
    -------
    >>> frame_moments(Frames(torch.tensor([[[1.0], [3.0]]]), torch.tensor([2])))
    tensor([[[2.],
             [2.],
             [1.]]], dtype=torch.float64)
    """
    values, counts = frames
    inside = time_mask(counts, values.shape[1])[..., None]
    values = values.double().masked_fill(~inside, 0.0)
    n = counts[:, None].to(values).expand(-1, values.shape[2])
    mean = values.sum(1) / n
    distances = (values - mean[:, None]).masked_fill(~inside, 0.0)
    return torch.stack([n, mean, distances.square().sum(1) / n], dim=1).cpu()


def joined_moments(moments: torch.Tensor) -> torch.Tensor:
    """Return the (3, dim) moments of all frames of (utterances, 3, dim) moments.

    Example
    -------
    The frames 1 and 3 of one utterance, and 5 of another:

    >>> joined_moments(torch.tensor([[[2.0], [2.0], [1.0]], [[1.0], [5.0], [0.0]]]))
    tensor([[3.0000],
            [3.0000],
            [2.6667]], dtype=torch.float64)
    """
    n, mean, variance = moments.double().unbind(1)
    total = n.sum(0)
    joint_mean = (n * mean).sum(0) / total
    around = variance + (mean - joint_mean).square()
    return torch.stack([total, joint_mean, (n * around).sum(0) / total])


class FrameStandardiser(nn.Module):
    """Subtracts a mean from each frame and divides by a standard deviation.

    Before :meth:`fit`, it changes nothing.

    Arguments
    ---------
    dim : int
        Size of a frame.

    Example
    -------
    >>> standardiser = FrameStandardiser(dim=1)
    >>> standardiser.fit(torch.tensor([[[2.0], [2.0], [1.0]]]))
    >>> frames = Frames(torch.tensor([[[1.0], [3.0]]]), torch.tensor([2]))
    >>> standardiser(frames).values
    tensor([[[-1.],
             [ 1.]]])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("sd", torch.ones(dim))
        # The distance of the farthest speaker of the training part
        self.register_buffer("farthest", torch.zeros(()))

    def fit(self, speakers: torch.Tensor) -> None:
        """Standardise by the training part.

        Arguments
        ---------
        speakers : (speakers, 3, dim) torch.Tensor
            The moments of each speaker of the training part.
        """
        self._set(joined_moments(speakers))
        distances = [self.distance(mean) for mean in speakers[:, 1]]
        self.farthest.copy_(torch.tensor(max(distances)))

    def adapt(self, moments: torch.Tensor, prior_frames: float) -> None:
        """Standardise by other recordings.

        Few recordings say little about a speaker, so the statistics are those of the
        recordings together with ``prior_frames`` frames like those of the training
        part.

        Arguments
        ---------
        moments : (3, dim) torch.Tensor
            The moments of the recordings.
        prior_frames : float
            At 0, the recordings alone count.
        """
        n = torch.full_like(self.mean, prior_frames)
        prior = torch.stack([n, self.mean, self.sd.square()]).to(moments)
        self._set(joined_moments(torch.stack([moments, prior])))

    def distance(self, mean: torch.Tensor) -> float:
        """Return how far a (dim,) mean is: in deviations, root mean square."""
        deviations = (mean.to(self.mean) - self.mean) / self.sd
        return deviations.square().mean().sqrt().item()

    def forward(self, frames: Frames) -> Frames:
        """Standardise (batch, time, dim) frames."""
        return Frames((frames.values - self.mean) / self.sd, frames.counts)

    def _set(self, moments: torch.Tensor) -> None:
        self.mean.copy_(moments[1])
        self.sd.copy_(moments[2].sqrt().clamp(min=_LEAST_DEVIATION))
