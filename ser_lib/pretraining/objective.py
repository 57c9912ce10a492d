"""The base class of pre-training objectives: a network and a loss without labels."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn


class Objective(nn.Module):
    """An encoder with its training objective; subclasses implement forward and save.

    ``min_samples`` is the shortest utterance for which there is a loss.
    """

    min_samples: int

    def prepare(self, wavs: Iterator[torch.Tensor], seed: int) -> None:
        """Prepare training from some audio; most objectives do nothing here.

        Arguments
        ---------
        wavs : Iterator[torch.Tensor]
            Waveforms (samples,) of the training part in random order, read lazily.
        seed : int
            Seed of anything random.
        """

    def set_progress(self, progress: float) -> None:
        """Set what changes during training; called before each step.

        Arguments
        ---------
        progress : float
            Completed share of the training, from 0 to 1.
        """

    def after_step(self) -> None:
        """Update the objective; called after each step of the optimiser."""

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss () of a batch.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        n_samples : (batch,) torch.LongTensor
            Samples in each.
        """
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the encoder to an empty folder, in the format of its upstream class."""
        raise NotImplementedError
