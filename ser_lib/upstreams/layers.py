"""One sequence of frames from the hidden states: the last, their sum, or some."""

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
    """Some hidden states of an encoder, concatenated frame by frame.

    Example
    -------
    >>> LayerConcatenation([1, 2])(torch.ones(3, 1, 5, 8)).shape
    torch.Size([1, 5, 16])
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self.numbers = list(numbers)

    def forward(self, layers: torch.Tensor) -> torch.Tensor:
        """Concatenate from ``(layers, batch, time, dim)``, the lowest first."""
        return layers[self.numbers].movedim(0, -2).flatten(-2)


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


Layer = Literal["last", "sum", "all"] | int | Sequence[int]


def check_layer(layer: Layer) -> None:
    """Raise ValueError unless ``layer`` is in ``LAYERS`` or has numbers of states."""
    if isinstance(layer, str):
        is_right = layer in LAYERS
    else:
        numbers = _numbers(layer)
        is_right = len(numbers) == len(set(numbers)) > 0
        is_right = is_right and all(type(n) is int and n >= 0 for n in numbers)
    if not is_right:
        raise ValueError(
            f"layer is {layer!r}; expected {', '.join(LAYERS)}, the number of a hidden "
            f"state, counted from 0, or a list of different numbers."
        )


def _numbers(layer: int | Sequence[int]) -> list[int]:
    return list(layer) if isinstance(layer, list | tuple) else [layer]


def layer_mix(layer: Layer, dims: Sequence[int]) -> nn.Module | None:
    """Return the module that makes one sequence of frames of all hidden states.

    Arguments
    ---------
    layer : str | int | Sequence[int]
        ``"last"``, ``"sum"`` for a learnable sum, ``"all"``, concatenated, the number
        of a hidden state, or several, concatenated.
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
    if not isinstance(layer, str) and max(_numbers(layer)) >= len(dims):
        raise ValueError(
            f"layer is {layer}, but this encoder has {len(dims)} hidden states. "
            f"Expected numbers from 0 to {len(dims) - 1}."
        )
    if len(set(dims)) > 1:
        raise ValueError(
            f"The hidden states of this encoder differ in size ({list(dims)}), so "
            f"layer {layer!r} cannot combine them. Use layer: last."
        )
    if layer == "sum":
        return LayerSum(len(dims))
    if isinstance(layer, int):
        return ChosenLayer(layer)
    return LayerConcatenation(range(len(dims)) if layer == "all" else layer)


def highest_state(layer: Layer, dims: Sequence[int]) -> int:
    """Return the number of the highest hidden state that :func:`layer_mix` reads."""
    return len(dims) - 1 if isinstance(layer, str) else max(_numbers(layer))


def mixed_dim(layer: Layer, dims: Sequence[int]) -> int:
    """Return the size of the frames that :func:`layer_mix` makes."""
    if layer == "all":
        return sum(dims)
    return dims[-1] * (1 if isinstance(layer, str) else len(_numbers(layer)))
