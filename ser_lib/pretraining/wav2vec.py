"""wav2vec: distinguishing true future frames from distractors of the same utterance.

Schneider et al., 2019, https://arxiv.org/abs/1904.05862, equation 2: for k = 1 ... 12
steps, with h_k an affine map, log sigmoid(z_(i+k) . h_k(c_i)) of the true frame and
log sigmoid(-z~ . h_k(c_i)) of ten distractors z~, drawn at random from the utterance,
are summed; the loss is the negative sum, here averaged over i and k.
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ser_lib.pretraining.objective import Objective
from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.wav2vec import save_wav2vec
from ser_lib.upstreams.wav2vec_network import (
    LARGE_AGGREGATOR_LAYERS,
    LARGE_FEATURE_LAYERS,
    Layers,
    Wav2Vec,
)


class Wav2VecObjective(Objective):
    """wav2vec's network, an affine map for each step ahead, and the binary loss.

    The published model has dropout in its convolutions; this network has none.

    Arguments
    ---------
    feature_layers, aggregator_layers : Layers
        Size, kernel and stride of each layer; by default those of the published
        large model.
    steps_ahead : int
        Predicts 1 to this many steps ahead.
    n_distractors : int
        Distractors per predicted frame.

    Example
    -------
    >>> objective = Wav2VecObjective([(8, 10, 5), (8, 8, 32)], [(8, 2, 1)])
    >>> objective(torch.randn(2, 8000), torch.tensor([8000, 6000])).shape
    torch.Size([])
    """

    def __init__(
        self,
        feature_layers: Layers = LARGE_FEATURE_LAYERS,
        aggregator_layers: Layers = LARGE_AGGREGATOR_LAYERS,
        steps_ahead: int = 12,
        n_distractors: int = 10,
    ) -> None:
        super().__init__()
        self.network = Wav2Vec(feature_layers, aggregator_layers)
        self.n_distractors = n_distractors
        z_dim, c_dim = self.network.dims[0], self.network.dims[-1]
        self.predictors = nn.ModuleList(
            nn.Linear(c_dim, z_dim) for _ in range(steps_ahead)
        )
        hop_samples = self.network.hop_samples
        self.min_samples = self.network.min_samples + steps_ahead * hop_samples

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        (z, *_, c), counts = self.network(wavs, n_samples)
        inside = time_mask(counts, z.shape[1])
        positions = draw_others(counts, z.shape[1], self.n_distractors)
        rows = torch.arange(len(z), device=z.device)[:, None, None]
        distractors = z[rows, positions]  # (batch, time, n_distractors, dim)
        losses = []
        for k, predictor in enumerate(self.predictors, start=1):
            predicted = predictor(c[:, :-k])
            all_losses = binary_loss(predicted, z[:, k:], distractors[:, k:])
            losses.append(all_losses[inside[:, k:]].mean())
        return torch.stack(losses).mean()

    def save(self, folder: Path) -> None:
        """Write ``wav2vec.pt`` in fairseq's format."""
        save_wav2vec(folder / "wav2vec.pt", self.network)


def draw_others(counts: torch.Tensor, n_steps: int, n_drawn: int) -> torch.Tensor:
    """Draw, for each frame, positions of other frames of its utterance.

    Arguments
    ---------
    counts : (batch,) torch.LongTensor
        Frames in each utterance, at least two.
    n_steps : int
        Frames in the padded batch.
    n_drawn : int
        Number of positions per frame.

    Returns
    -------
    (batch, n_steps, n_drawn) torch.LongTensor
        Positions in the utterance.

    Example
    -------
    >>> draw_others(torch.tensor([2]), n_steps=2, n_drawn=3)  # there is only one other
    tensor([[[1, 1, 1],
             [0, 0, 0]]])
    """
    shape = len(counts), n_steps, n_drawn
    others = (counts - 1)[:, None, None]
    drawn = (torch.rand(shape, device=counts.device) * others).long()
    drawn = drawn.clamp(max=others - 1)  # rounding can exceed the last frame
    own = torch.arange(n_steps, device=counts.device)[None, :, None]
    return drawn + (drawn >= own)


def binary_loss(
    predicted: torch.Tensor, target: torch.Tensor, distractors: torch.Tensor
) -> torch.Tensor:
    """Compute equation 2 of the paper, (batch, time), for each prediction.

    Arguments
    ---------
    predicted : (batch, time, dim) torch.Tensor
        The prediction of each frame, ``h_k(c)``.
    target : (batch, time, dim) torch.Tensor
        The frames.
    distractors : (batch, time, n_distractors, dim) torch.Tensor
        Other frames.
    """
    score = (predicted * target).sum(-1).float()
    others = (distractors @ predicted[..., None])[..., 0].float()
    return -F.logsigmoid(score) - F.logsigmoid(-others).sum(-1)
