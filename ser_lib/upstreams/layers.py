"""One sequence of frames from the hidden states: the last, one, their sum or all."""

from collections.abc import Sequence
from typing import Literal

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


class ChosenLayer(nn.Module):
    """One hidden state of an encoder; 0 is the input of its first layer.

    Example
    -------
    >>> ChosenLayer(1)(torch.arange(3.0).reshape(3, 1, 1, 1)).item()
    1.0
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """Choose from ``(layers, batch, time, dim)``, the lowest first."""
        return layers[self.number]


Layer = Literal["last", "sum", "all"] | int


def check_layer(layer: Layer) -> None:
    """Raise ValueError unless ``layer`` is in ``LAYERS`` or may be a number."""
    is_number = isinstance(layer, int) and not isinstance(layer, bool) and layer >= 0
    if layer not in LAYERS and not is_number:
        raise ValueError(
            f"layer is {layer!r}; expected {', '.join(LAYERS)} or the number of a "
            f"hidden state, counted from 0."
        )


def layer_mix(layer: Layer, dims: Sequence[int]) -> nn.Module | None:
    """Return the module that makes one sequence of frames of all hidden states.

    Arguments
    ---------
    layer : str | int
        ``"last"``, ``"sum"`` for a learnable sum, ``"all"``, concatenated, or the
        number of a hidden state.
    dims : Sequence[int]
        Size of each hidden state.

    Returns
    -------
    nn.Module | None
        None for the last layer, which needs no other.

    Raises
    ------
    ValueError
        If ``layer`` is something else, there is no such state, or the states differ in
        size.
    """
    check_layer(layer)
    if layer == "last":
        return None
    if isinstance(layer, int) and layer >= len(dims):
        raise ValueError(
            f"layer is {layer}, but this encoder has {len(dims)} hidden states. "
            f"Expected a number from 0 to {len(dims) - 1}."
        )
    if len(set(dims)) > 1:
        raise ValueError(
            f"The hidden states of this encoder differ in size ({list(dims)}), so "
            f"layer {layer!r} cannot combine them. Use layer: last."
        )
    if isinstance(layer, int):
        return ChosenLayer(layer)
    return LayerSum(len(dims)) if layer == "sum" else LayerConcatenation()
