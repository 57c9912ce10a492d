"""A learnable sum over the layers of an encoder, as in the SUPERB benchmark."""

import torch
from torch import nn


class LayerSum(nn.Module):
    """Weighted sum of all hidden states; the weights add up to one.

    The featurizer of the SUPERB benchmark (https://arxiv.org/abs/2105.01051, section
    3.3): a softmax over one learnable number per layer, all initially zero, so that
    training starts from the plain mean. The layers are not normalised.

    Example
    -------
    >>> layer_sum = LayerSum(2)
    >>> layers = torch.stack([torch.zeros(1, 5, 8), torch.ones(1, 5, 8)])
    >>> layer_sum(layers)[0, 0, 0].item()
    0.5
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers))

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """Sum ``(layers, batch, time, dim)`` over the layers, the lowest first."""
        return torch.einsum("l,l...->...", self.weights.softmax(0).to(layers), layers)
