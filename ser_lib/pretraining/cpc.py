"""CPC: distinguishing future frames from other frames of the batch.

van den Oord et al., 2018, https://arxiv.org/abs/1807.03748: the score of a frame z as
the one k steps after c_t is z^T W_k c_t (equation 3), and the loss is the cross-entropy
of the true frame among all candidates (equation 4, InfoNCE), averaged over k. "Modified
CPC" (https://arxiv.org/abs/2002.02848), whose network is used here, replaces W_k by a
transformer layer; here W_k is the matrix of the first paper.
"""

from pathlib import Path

import torch
from torch import nn

from ser_lib.pretraining.objective import Objective
from ser_lib.upstreams.cpc import Cpc, save_cpc
from ser_lib.upstreams.frames import time_mask


class CpcObjective(Objective):
    """CPC's network, a matrix for each step ahead, and InfoNCE.

    Arguments
    ---------
    dim, context_dim : int
        Sizes of z and c, 256 and 256 in the published model.
    steps_ahead : int
        Predicts 1 to this many steps ahead.
    n_negatives : int
        Number of other candidates for each prediction. They are drawn from all frames
        of the batch, once per utterance.

    Example
    -------
    >>> objective = CpcObjective(dim=8, context_dim=8, n_negatives=4)
    >>> objective(torch.randn(2, 8000), torch.tensor([8000, 6000])).shape
    torch.Size([])
    """

    def __init__(
        self,
        dim: int = 256,
        context_dim: int = 256,
        steps_ahead: int = 12,
        n_negatives: int = 128,
    ) -> None:
        super().__init__()
        self.network = Cpc(dim, context_dim)
        # A nonzero bias would dominate quiet recordings: all frames would stay alike.
        nn.init.zeros_(self.network.gEncoder["conv0"].bias)
        self.n_negatives = n_negatives
        self.predictors = nn.ModuleList(
            nn.Linear(context_dim, dim, bias=False) for _ in range(steps_ahead)
        )
        hop_samples = self.network.hop_samples
        self.min_samples = self.network.min_samples + steps_ahead * hop_samples

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        (z, c), counts = self.network(wavs, n_samples)
        inside = time_mask(counts, z.shape[1])
        positions = torch.arange(inside.numel(), device=z.device).view(inside.shape)
        drawn = torch.randint(
            int(counts.sum()), (len(z), self.n_negatives), device=z.device
        )
        drawn = positions[inside][drawn]  # (batch, n_negatives)
        negatives = z.flatten(0, 1)[drawn]
        losses = []
        for k, predictor in enumerate(self.predictors, start=1):
            is_target = positions[:, k:, None] == drawn[:, None]
            predicted = predictor(c[:, :-k])
            all_losses = info_nce(predicted, z[:, k:], negatives, is_target)
            losses.append(all_losses[inside[:, k:]].mean())
        return torch.stack(losses).mean()

    def save(self, folder: Path) -> None:
        """Write ``cpc.pt`` in the published format."""
        save_cpc(folder / "cpc.pt", self.network)


def info_nce(
    predicted: torch.Tensor,
    target: torch.Tensor,
    negatives: torch.Tensor,
    is_target: torch.Tensor,
) -> torch.Tensor:
    """Compute the (batch, time) cross-entropy of the true frame among all candidates.

    Arguments
    ---------
    predicted : (batch, time, dim) torch.Tensor
        The prediction of each frame.
    target : (batch, time, dim) torch.Tensor
        The frames.
    negatives : (batch, n_negatives, dim) torch.Tensor
        Other frames.
    is_target : (batch, time, n_negatives) torch.BoolTensor
        Whether a negative is the frame itself; it is then ignored.

    Example
    -------
    >>> one = torch.ones(1, 1, 1)
    >>> no = torch.zeros(1, 1, 1, dtype=torch.bool)
    >>> info_nce(one, one, one, no)  # two equal candidates: log 2
    tensor([[0.6931]])
    """
    score = (predicted * target).sum(-1, keepdim=True)
    others = predicted @ negatives.transpose(1, 2)
    others = others.masked_fill(is_target, -torch.inf)
    return -torch.cat([score, others], dim=-1).float().log_softmax(-1)[..., 0]
