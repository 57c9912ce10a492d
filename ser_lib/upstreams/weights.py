"""Weights for a network: all of them, no others, and nothing but finite numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

SHOWN_KEYS = 3


def load_strictly(
    module: nn.Module, state: Mapping[str, torch.Tensor], source: str | Path
) -> None:
    """Load weights, all of them and no others.

    Arguments
    ---------
    module : torch.nn.Module
        The network.
    state : Mapping[str, torch.Tensor]
        Weights by the names of the module's own ``state_dict``.
    source : str | Path
        The file they come from, for the message.

    Raises
    ------
    ValueError
        If weights are missing, unexpected, of another shape, of another kind (an
        integer for a real number), or not finite (NaN, infinity); the first of each
        are named.

    Example
    -------
    >>> layer = nn.Linear(2, 1)
    >>> load_strictly(layer, {"weight": torch.ones(1, 2)}, "old.ckpt")
    Traceback (most recent call last):
    ...
    ValueError: old.ckpt does not fit the Linear: missing bias.
    """
    problems = weight_problems(module.state_dict(), state)
    if problems:
        kind = type(module).__name__
        raise ValueError(f"{source} does not fit the {kind}: {'; '.join(problems)}.")
    module.load_state_dict(state, strict=True)


def weight_problems(
    own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]
) -> list[str]:
    """Say how given weights differ from those that a network has.

    Arguments
    ---------
    own : Mapping[str, torch.Tensor]
        The ``state_dict`` of the network, whose values do not matter.
    given : Mapping[str, torch.Tensor]
        The weights to load.

    Returns
    -------
    list[str]
        Nothing if they fit and are finite; else a text for each kind of problem.

    Example
    -------
    >>> weight_problems({"bias": torch.zeros(2)}, {"bias": torch.tensor([1, 2])})
    ['of another kind bias torch.int64 in place of torch.float32']
    >>> weight_problems({"bias": torch.zeros(1)}, {"bias": torch.tensor([torch.nan])})
    ['not finite bias']
    """
    shared = [key for key in own if key in given]
    shapes = {key: tuple(getattr(given[key], "shape", ())) for key in shared}
    fitting = [key for key in shared if shapes[key] == tuple(own[key].shape)]
    alike = [key for key in fitting if _kind(given[key]) == _kind(own[key])]
    problems = {
        "missing": [key for key in own if key not in given],
        "unexpected": [str(key) for key in given if key not in own],
        "of another shape": [
            f"{key} {shapes[key]} in place of {tuple(own[key].shape)}"
            for key in shared
            if key not in fitting
        ],
        "of another kind": [
            f"{key} {getattr(given[key], 'dtype', type(given[key]))} in place of "
            f"{own[key].dtype}"
            for key in fitting
            if key not in alike
        ],
        # As the network will hold them: 1e300 is infinite in float32.
        "not finite": [
            key for key in alike if not given[key].to(own[key].dtype).isfinite().all()
        ],
    }
    return [f"{kind} {some_keys(keys)}" for kind, keys in problems.items() if keys]


def _kind(value: object) -> str:
    """Real numbers of any precision are one kind; so are integers of any size."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    if value.dtype == torch.bool:
        return "bool"
    if value.is_complex():
        return "complex"
    return "real" if value.is_floating_point() else "integer"


def some_keys(keys: Sequence[str]) -> str:
    """Name the first of some keys, and count the others.

    Arguments
    ---------
    keys : Sequence[str]
        Names of weights.

    Returns
    -------
    str
        For a message.

    Example
    -------
    >>> some_keys(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(keys) - SHOWN_KEYS
    shown = ", ".join(keys[:SHOWN_KEYS])
    return f"{shown} and {more} more" if more > 0 else shown
