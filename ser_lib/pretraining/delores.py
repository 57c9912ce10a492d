"""DeLoRes: two views of an utterance agree, and their dimensions are decorrelated.

Ghosh et al., 2022, https://arxiv.org/abs/2203.13628: each view is a mixup with another
sound followed by a random resized crop of the log mel bands, as in BYOL-A (Niizumi et
al., 2021, https://arxiv.org/abs/2103.06695, section III.B). The loss is that of Barlow
Twins (Zbontar et al., 2021, https://arxiv.org/abs/2103.03230, equation 1): with C the
cross-correlation of the two batches of projections, the sum of (1 - C_ii)^2 plus lambda
times the sum of C_ij^2 for i unequal j.

Here the other sound is another utterance of the batch; in the papers, it is one of the
last 2048. Log mel bands are not standardised, because the upstream does not do it.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ser_lib.pretraining.objective import Objective
from ser_lib.upstreams.audio_ntt import AudioNtt2020
from ser_lib.upstreams.delores import save_delores
from ser_lib.upstreams.frames import Frames

MAX_MIXED = 0.4  # share of the other sound, in power
CANVAS = 1.5  # a crop is taken from a canvas longer than the utterance by this factor
SCALES = (0.6, 1.5)  # of a crop, in time and in frequency


class DeloresObjective(Objective):
    """The AudioNTT network, a projector, two views and the loss of Barlow Twins.

    Arguments
    ---------
    dim : int
        Size of a frame, 2048 in the paper.
    projection_size : int
        Size of the projections, which are decorrelated.
    off_diagonal_weight : float
        Lambda.

    Example
    -------
    >>> objective = DeloresObjective(dim=8, projection_size=8)
    >>> objective(torch.randn(2, 16000), torch.tensor([16000, 9000])).shape
    torch.Size([])
    """

    def __init__(
        self,
        dim: int = 2048,
        projection_size: int = 8192,
        off_diagonal_weight: float = 0.005,
    ) -> None:
        super().__init__()
        self.network = AudioNtt2020(dim)
        self.off_diagonal_weight = off_diagonal_weight
        self.projector = nn.Sequential(
            nn.Linear(dim, projection_size, bias=False),
            nn.BatchNorm1d(projection_size),
            nn.ReLU(),
            nn.Linear(projection_size, projection_size, bias=False),
        )
        # The mel bands need more than half a window, the crop a few frames.
        self.min_samples = 4 * self.network.hop_samples

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        with torch.no_grad():
            log_mels = self.network.log_mel(wavs, n_samples)
            views = [resized_crops(mixed(log_mels)) for _ in range(2)]
        first, second = (self._project(view) for view in views)
        return barlow_twins(first, second, self.off_diagonal_weight)

    def _project(self, view: Frames) -> torch.Tensor:
        states, counts = self.network.encode(*view)
        return self.projector(self.network.embed(states[-1], counts))

    def save(self, folder: Path) -> None:
        """Write ``delores.pth`` in the format of DeLoRes's training script."""
        save_delores(folder / "delores.pth", self.network)


def mixed(log_mels: Frames) -> Frames:
    """Mix each utterance with another of the batch, in power.

    A shorter partner is repeated. The number of frames does not change.

    Arguments
    ---------
    log_mels : Frames
        ``(batch, time, mels)``, logarithms of power.
    """
    values, counts = log_mels
    partners = torch.randperm(len(values), device=values.device)
    shares = MAX_MIXED * torch.rand(len(values), 1, 1, device=values.device)
    t = torch.arange(values.shape[1], device=values.device)[None]
    positions = (t % counts[partners][:, None])[..., None].expand_as(values)
    others = values[partners].gather(1, positions)
    power = (1 - shares) * values.exp() + shares * others.exp()
    return Frames((power + torch.finfo(power.dtype).eps).log(), counts)


def resized_crops(log_mels: Frames) -> Frames:
    """Cut a random rectangle from each utterance and stretch it to the original size.

    The part of a crop outside the utterance is zero.

    Arguments
    ---------
    log_mels : Frames
        ``(batch, time, mels)``.
    """
    values = torch.zeros_like(log_mels.values)
    utterances = zip(log_mels.values, log_mels.counts.tolist(), strict=True)
    for i, (utterance, n) in enumerate(utterances):
        values[i, :n] = _resized_crop(utterance[:n])
    return Frames(values, log_mels.counts)


def _resized_crop(image: torch.Tensor) -> torch.Tensor:
    """Crop and resize a (time, mels) image."""
    n_steps, n_bands = image.shape
    before = (int(n_steps * CANVAS) - n_steps) // 2
    after = int(n_steps * CANVAS) - n_steps - before
    canvas = F.pad(image, (0, 0, before, after))
    height, top = _crop_range(n_steps, len(canvas))
    width, left = _crop_range(n_bands, n_bands)
    crop = canvas[top : top + height, left : left + width]
    return F.interpolate(
        crop[None, None], (n_steps, n_bands), mode="bicubic", align_corners=True
    )[0, 0]


def _crop_range(size: int, room: int) -> tuple[int, int]:
    """Draw the length and the start of a crop."""
    low, high = SCALES
    scale = low + (high - low) * torch.rand(()).item()
    length = min(max(int(scale * size), 1), room)
    return length, int(torch.randint(room - length + 1, ()))


def barlow_twins(
    first: torch.Tensor, second: torch.Tensor, off_diagonal_weight: float
) -> torch.Tensor:
    """Compute the redundancy of two views, equation 1 of Barlow Twins.

    Arguments
    ---------
    first, second : (batch, dim) torch.Tensor
        Projections of the two views.

    Example
    -------
    >>> views = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])  # two equal dimensions
    >>> barlow_twins(views, views, off_diagonal_weight=0.5)  # all of C is 1
    tensor(1.0000)
    """
    with torch.autocast(first.device.type, enabled=False):
        first, second = (standardised(view.float()) for view in (first, second))
        correlation = first.T @ second / len(first)
    diagonal = correlation.diagonal()
    off_diagonal = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal_weight * off_diagonal


def standardised(x: torch.Tensor) -> torch.Tensor:
    """Normalise (batch, dim) like a batch norm without parameters in training."""
    variance, mean = torch.var_mean(x, dim=0, correction=0)
    return (x - mean) * torch.rsqrt(variance + 1e-5)
