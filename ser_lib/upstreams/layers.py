"""One sequence of frames from the hidden states of an encoder: last, sum or all."""

from collections.abc import Sequence

import torch
from torch import nn

LAYERS = ("last", "sum", "all")


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


class LayerConcatenation(nn.Module):
    """All hidden states of an encoder, concatenated frame by frame.

    Example
    -------
    >>> LayerConcatenation()(torch.ones(3, 1, 5, 8)).shape
    torch.Size([1, 5, 24])
    """

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """Concatenate ``(layers, batch, time, dim)``, the lowest first."""
        return layers.movedim(0, -2).flatten(-2)


def check_layer(layer: str) -> None:
    """Raise ValueError if a choice of hidden states is none of ``LAYERS``."""
    if layer not in LAYERS:
        raise ValueError(f"layer is {layer!r}; expected {' or '.join(LAYERS)}.")


def layer_mix(layer: str, dims: Sequence[int]) -> nn.Module | None:
    """Return the module that makes one sequence of frames of all hidden states.

    Arguments
    ---------
    layer : str
        ``"last"``, ``"sum"`` for a learnable sum, or ``"all"``, concatenated.
    dims : Sequence[int]
        Size of each hidden state.

    Returns
    -------
    nn.Module | None
        None for the last layer, which needs no other.

    Raises
    ------
    ValueError
        If ``layer`` is something else, or the states differ in size.
    """
    check_layer(layer)
    if layer == "last":
        return None
    if len(set(dims)) > 1:
        raise ValueError(
            f"The hidden states of this encoder differ in size ({list(dims)}), so "
            f"layer {layer!r} cannot combine them. Use layer: last."
        )
    return LayerSum(len(dims)) if layer == "sum" else LayerConcatenation()
