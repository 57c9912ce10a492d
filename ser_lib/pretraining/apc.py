"""APC: predicting a frame some steps ahead from the past.

Chung et al. (Interspeech 2019), https://arxiv.org/abs/1904.03240, equation 1: the loss
is the sum over t of |x_(t+n) - y_t|; here it is the mean over frames and mel bands.
"""

from pathlib import Path

import torch

from ser_lib.pretraining.objective import Objective
from ser_lib.upstreams.apc import Apc, published_config, save_apc
from ser_lib.upstreams.frames import time_mask


class ApcObjective(Objective):
    """APC's network and the L1 distance to the frame ``steps_ahead``.

    Arguments
    ---------
    hidden_size, num_layers : int
        Units and number of the GRUs, 512 and 3 in the published model.
    dropout : float
        Dropout after each GRU.
    steps_ahead : int
        Prediction distance: 3 is best for phones in the paper; the published model was
        trained with 5.

    Example
    -------
    >>> objective = ApcObjective(hidden_size=16, num_layers=1)
    >>> objective(torch.randn(2, 8000), torch.tensor([8000, 6000])).shape
    torch.Size([])
    """

    def __init__(
        self,
        hidden_size: int = 512,
        num_layers: int = 3,
        dropout: float = 0.1,
        steps_ahead: int = 5,
    ) -> None:
        super().__init__()
        self.network = Apc(
            published_config(
                hidden_size=hidden_size, num_layers=num_layers, dropout=dropout
            )
        )
        self.steps_ahead = steps_ahead
        hop_samples = self.network.hop_samples
        self.min_samples = self.network.min_samples + steps_ahead * hop_samples

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        frames = self.network.front_end(wavs, n_samples)
        now, ahead = frames.values[:, : -self.steps_ahead], self.steps_ahead
        predicted = self.network.postnet(self.network.encode(now)[-1])
        distances = (predicted - frames.values[:, ahead:]).abs().mean(-1)
        inside = time_mask(frames.counts - ahead, distances.shape[1])
        return distances[inside].mean()

    def save(self, folder: Path) -> None:
        """Write ``apc.ckpt`` in s3prl's format."""
        save_apc(folder / "apc.ckpt", self.network)
