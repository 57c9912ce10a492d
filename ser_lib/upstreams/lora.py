"""Low-rank adapters in an encoder (LoRA, Hu et al., 2021), by the library peft.

https://arxiv.org/abs/2106.09685. The encoder's own weights stay as they are; a product
of two narrow matrices is trained beside some of its linear layers. Checkpoints hold the
adapters only, and an exported model their sum with the encoder's weights, or both
beside each other (``model_folder/shared.py``).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from ser_lib.upstreams.layer_stack import mixing_weights
from ser_lib.utils.packages import check_installed

# The projections of queries and values, which the paper adapts, by the names that the
# encoders here have for them.
TARGETS = ("q_proj", "v_proj", "query", "value", "qkv")
_OPTIONS = ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora")


def add_lora(upstream: nn.Module, options: Mapping) -> None:
    """Freeze an encoder and put trainable adapters into it.

    Arguments
    ---------
    options : Mapping
        Of peft's ``LoraConfig``: r, lora_alpha, lora_dropout, target_modules (parts of
        names of linear layers; default ``TARGETS``), use_rslora.

    Raises
    ------
    ModuleNotFoundError
        If peft is not installed.
    ValueError
        If an option is unknown or wrong, or the encoder has no such layer.
    """
    check_installed("lora", ["peft"], "lora")
    from peft import LoraConfig, inject_adapter_in_model

    unknown = [str(name) for name in options if name not in _OPTIONS]
    if unknown:
        raise ValueError(
            f"lora has {', '.join(unknown)}; expected only {', '.join(_OPTIONS)}."
        )
    linear = {
        name.rpartition(".")[2]
        for name, module in upstream.named_modules()
        if isinstance(module, nn.Linear)
    }
    targets = sorted(linear.intersection(options.get("target_modules") or TARGETS))
    if not targets:
        raise ValueError(
            f"lora: this encoder has no linear layer named "
            f"{' or '.join(options.get('target_modules') or TARGETS)}; it has "
            f"{', '.join(sorted(linear)) or 'none'}. Set target_modules."
        )
    upstream.requires_grad_(False)
    for weight in mixing_weights(upstream):
        weight.requires_grad_(True)
    try:
        config = LoraConfig(**{**options, "target_modules": targets})
        inject_adapter_in_model(config, upstream)
    except (TypeError, ValueError) as error:
        raise ValueError(f"lora in the settings: {error}.") from error


def lora_weights(module: nn.Module) -> nn.ParameterDict | None:
    """Return the trained weights of a module with adapters, shared and not copied.

    These are the adapters and learnable sums of layers. None if it has no adapters.
    """
    mixes = {id(weight) for weight in mixing_weights(module)}
    found = {
        name.replace(".", "/"): weight  # a name in a ParameterDict has no dot
        for name, weight in module.named_parameters()
        if ".lora_" in name or id(weight) in mixes
    }
    has_adapters = any("/lora_" in name for name in found)
    return nn.ParameterDict(found) if has_adapters else None


def average_lora(states: Iterable[Mapping[str, torch.Tensor]], mean: dict) -> dict:
    """Replace the mean factors of adapters by factors of their mean product.

    The mean of the products B A is not the product of the means. It has a rank of up to
    n r: the exact one is the product of all B side by side, divided by n, and of all A
    below each other.

    Arguments
    ---------
    states : Iterable[Mapping[str, torch.Tensor]]
        State dicts of :func:`lora_weights`.
    mean : dict[str, torch.Tensor]
        Their mean, weight by weight; changed in place.

    Example
    -------
    >>> a, b = "q_proj/lora_A/default/weight", "q_proj/lora_B/default/weight"
    >>> one = {a: torch.ones(1, 2), b: torch.ones(2, 1)}
    >>> two = {a: torch.zeros(1, 2), b: torch.ones(2, 1)}
    >>> mean = average_lora([one, two], dict(one))
    >>> mean[b] @ mean[a]
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    states = list(states)
    for key in mean:
        if "/lora_A/" in key:
            mean[key] = torch.cat([state[key] for state in states], dim=0)
        elif "/lora_B/" in key:
            products = [state[key].double() / len(states) for state in states]
            mean[key] = torch.cat(products, dim=1).to(mean[key])
    return mean


def load_lora(weights: nn.ParameterDict, state: Mapping[str, torch.Tensor]) -> None:
    """Load adapters, also of another rank, into those of :func:`lora_weights`.

    Raises
    ------
    RuntimeError
        If weights are missing, unexpected, or of an encoder of another size.
    """
    for key, weight in weights.items():
        if key in state and "/lora_" in key:
            rank_axis = 0 if "/lora_A/" in key else 1
            size = list(weight.shape)
            size[rank_axis] = state[key].shape[rank_axis]
            weight.data = weight.new_empty(size)
    weights.load_state_dict(state, strict=True)


class Adapters(NamedTuple):
    """The adapters of an encoder, without peft.

    Arguments
    ---------
    factors : dict[str, tuple[(rank, in) torch.Tensor, (out, rank) torch.Tensor]]
        Name of a weight -> A and B; the trained weight is the encoder's plus B A.
    about : dict
        r, lora_alpha, target_modules, and averaged: rank = averaged * r.
    """

    factors: dict[str, tuple[torch.Tensor, torch.Tensor]]
    about: dict


@torch.no_grad()
def take_lora(module: nn.Module) -> Adapters | None:
    """Remove the adapters and return them; the encoder's own weights are left.

    None if there are no adapters.
    """
    factors, targets, about = {}, set(), {}
    for name, layer in list(module.named_modules()):
        if not hasattr(layer, "lora_A"):
            continue
        ((adapter, scaling),) = layer.scaling.items()
        a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        factors[f"{name}.weight"] = a.detach(), b.detach() * scaling
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, layer.get_base_layer())
        targets.add(child)
        r = layer.r[adapter]
        about = {"r": r, "lora_alpha": layer.lora_alpha[adapter]}
        about["averaged"] = len(a) // r
    if not factors:
        return None
    return Adapters(factors, about | {"target_modules": sorted(targets)})


@torch.no_grad()
def merge_lora(module: nn.Module) -> None:
    """Add the adapters to the weights beside them, and remove them."""
    adapters = take_lora(module)
    if adapters is not None:
        for name, (a, b) in adapters.factors.items():
            module.get_parameter(name).add_(b @ a)
