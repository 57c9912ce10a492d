"""Strict loading of weights: all of them, no others, only finite numbers."""

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
    state : Mapping[str, torch.Tensor]
        Weights by the names in the module's ``state_dict``.

    Raises
    ------
    ValueError
        If weights are missing, unexpected, of another shape, of another kind (an
        integer instead of a real number), or not finite (NaN, infinity); the first of
        each are named.

    Example
    -------
    >>> layer = nn.Linear(2, 1)
    >>> load_strictly(layer, {"weight": torch.ones(1, 2)}, "old.ckpt")
    Traceback (most recent call last):
    ...
    ValueError: old.ckpt does not fit the Linear: missing bias.
    """
    shapes = {key: tuple(getattr(value, "shape", ())) for key, value in state.items()}
    check_shapes(module, shapes, source)
    own = module.state_dict()
    others = [key for key in own if _kind(state[key]) != _kind(own[key])]
    # In the network's precision: 1e300 is infinite in float32.
    infinite = [
        key
        for key in own
        if key not in others and not state[key].to(own[key].dtype).isfinite().all()
    ]
    problems = {
        "of another kind": [
            f"{key} {getattr(state[key], 'dtype', type(state[key]))} instead of "
            f"{own[key].dtype}"
            for key in others
        ],
        "not finite": infinite,
    }
    _refuse(module, problems, source)
    module.load_state_dict(state, strict=True)


def check_shapes(
    module: nn.Module, shapes: Mapping[str, tuple[int, ...]], source: str | Path
) -> None:
    """Compare the names and shapes of weights in a file with those of a network.

    Arguments
    ---------
    module : torch.nn.Module
        The network; it may be on the device "meta", where weights take no memory.

    Raises
    ------
    ValueError
        If weights are missing, unexpected or of another shape.

    Example
    -------
    >>> check_shapes(nn.Linear(2, 1), {"weight": (2, 2), "bias": (1,)}, "old.ckpt")
    Traceback (most recent call last):
    ...
    ValueError: old.ckpt does not fit the Linear: of another shape weight (2, 2) \
instead of (1, 2).
    """
    own = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    problems = {
        "missing": [key for key in own if key not in shapes],
        "unexpected": [str(key) for key in shapes if key not in own],
        "of another shape": [
            f"{key} {shapes[key]} instead of {own[key]}"
            for key in own
            if key in shapes and shapes[key] != own[key]
        ],
    }
    _refuse(module, problems, source)


def _refuse(
    module: nn.Module, problems: Mapping[str, list[str]], source: str | Path
) -> None:
    found = [f"{kind} {some_keys(keys)}" for kind, keys in problems.items() if keys]
    if found:
        kind = type(module).__name__
        raise ValueError(f"{source} does not fit the {kind}: {'; '.join(found)}.")


def _kind(value: object) -> str:
    """Return the kind of a value; all precisions of a number are one kind."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    if value.dtype == torch.bool:
        return "bool"
    if value.is_complex():
        return "complex"
    return "real" if value.is_floating_point() else "integer"


def some_keys(keys: Sequence[str]) -> str:
    """Format some names for a message: the first ones, and how many more.

    Example
    -------
    >>> some_keys(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = len(keys) - SHOWN_KEYS
    shown = ", ".join(keys[:SHOWN_KEYS])
    return f"{shown} and {more} more" if more > 0 else shown
