"""Crops and band gains; all other augmentation is SpeechBrain's (see hparams)."""

from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from ser_lib.upstreams import Frames, sample_counts


def augment_wavs(
    hparams: SimpleNamespace, wavs: torch.Tensor, wav_lens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crop and augment waveforms in training.

    Arguments
    ---------
    hparams : SimpleNamespace
        With crop_s, sample_rate_hz and wav_augment.
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    wav_lens : (batch,) torch.Tensor
        Relative lengths.

    Returns
    -------
    (batch, samples) torch.Tensor
        Waveforms, possibly of another length.
    (batch,) torch.Tensor
        Relative lengths.
    """
    if hparams.crop_s is not None:
        crop_samples = round(hparams.crop_s * hparams.sample_rate_hz)
        wavs, wav_lens = random_crop(wavs, wav_lens, crop_samples)
    if hparams.wav_augment is not None:
        wavs, wav_lens = hparams.wav_augment(wavs, wav_lens)
    return wavs, wav_lens


def augment_frames(hparams: SimpleNamespace, frames: Frames) -> Frames:
    """Apply ``hparams.frame_augment``, which must keep the number of frames."""
    n_steps = frames.values.shape[1]
    values, _ = hparams.frame_augment(frames.values, frames.counts / n_steps)
    assert values.shape[1] == n_steps, "frame_augment must keep the frame count"
    return Frames(values, frames.counts)


def random_crop(
    wavs: torch.Tensor, wav_lens: torch.Tensor, crop_samples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a random segment out of each utterance.

    Arguments
    ---------
    wavs : (batch, samples) torch.Tensor
        Padded waveforms.
    wav_lens : (batch,) torch.Tensor
        Relative lengths.
    crop_samples : int
        Length of a crop; a shorter utterance is kept whole.

    Returns
    -------
    (batch, at most crop_samples) torch.Tensor
        The crops, padded with zeros.
    (batch,) torch.Tensor
        Their relative lengths.

    Example
    -------
    >>> wavs, lens = random_crop(torch.ones(2, 9), torch.tensor([1.0, 1 / 3]), 6)
    >>> wavs.sum(1), lens
    (tensor([6., 3.]), tensor([1.0000, 0.5000]))
    """
    n_samples = sample_counts(wavs, wav_lens)
    kept = n_samples.clamp(max=crop_samples)
    start = torch.rand(len(wavs), device=wavs.device) * (n_samples - kept + 1)
    width = int(kept.max())
    offset = torch.arange(width, device=wavs.device)[None]  # (1, width)
    source = (start.long()[:, None] + offset).clamp(max=wavs.shape[1] - 1)
    inside = offset < kept[:, None]
    return wavs.gather(1, source) * inside, kept / width


class BandGains(nn.Module):
    """Random gains over the frequencies of a spectrogram, one curve per utterance.

    The linear type of FilterAugment (Nam et al., 2022, section 2.2,
    https://arxiv.org/abs/2110.03282), which imitates other microphones, rooms and vocal
    tracts. The knots of a curve are evenly spaced; the paper draws their positions.

    Arguments
    ---------
    max_db : float
        Gains are drawn from [-max_db, max_db], in decibels.
    min_knots, max_knots : int
        Range of the number of gains that a curve interpolates.

    Example
    -------
    >>> gains = BandGains(max_db=6)(torch.zeros(4, 100, 80))
    >>> gains.shape, bool(gains.abs().max() <= 6)
    (torch.Size([4, 100, 80]), True)
    """

    def __init__(
        self, max_db: float = 6.0, min_knots: int = 3, max_knots: int = 6
    ) -> None:
        super().__init__()
        self.max_db, self.min_knots, self.max_knots = max_db, min_knots, max_knots

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Add the gains to a (batch, time, frequency) spectrogram in decibels."""
        n_knots = int(torch.randint(self.min_knots, self.max_knots + 1, ()))
        shape = len(spectrogram), 1, n_knots
        knots = (2 * torch.rand(shape, device=spectrogram.device) - 1) * self.max_db
        return spectrogram + F.interpolate(
            knots, spectrogram.shape[2], mode="linear", align_corners=True
        )
