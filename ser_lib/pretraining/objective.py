"""What every pre-training objective is: a network, and a loss that needs no labels."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn


class Objective(nn.Module):
    """An encoder with what its objective adds; a subclass gives forward and save.

    ``min_samples`` is the shortest utterance that has a loss.
    """

    min_samples: int

    def prepare(self, wavs: Iterator[torch.Tensor], seed: int) -> None:
        """Look at some audio before training; most objectives need not.

        Arguments
        ---------
        wavs : Iterator[torch.Tensor]
            Waveforms (samples,) of the training part in a random order, read when
            they are asked for.
        seed : int
            For whatever is drawn.
        """

    def set_progress(self, progress: float) -> None:
        """Set what changes in the course of training, before each step.

        Arguments
        ---------
        progress : float
            Share of the training that is done, from 0 to 1.
        """

    def after_step(self) -> None:
        """Do what follows each step of the optimiser."""

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        n_samples : (batch,) torch.LongTensor
            Samples of each.

        Returns
        -------
        () torch.Tensor
            The loss.
        """
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the encoder so that its upstream class can read the folder.

        Arguments
        ---------
        folder : Path
            An empty folder.
        """
        raise NotImplementedError
