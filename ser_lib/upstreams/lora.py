"""Low-rank adapters in an encoder (LoRA, Hu et al., 2021), by the library peft.

https://arxiv.org/abs/2106.09685. The encoder's own weights stay as they are; a product
of two narrow matrices is trained beside some of its linear layers. Checkpoints hold the
adapters only, and an exported model their sum with the encoder's weights.
"""

from collections.abc import Mapping

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


@torch.no_grad()
def merge_lora(module: nn.Module) -> None:
    """Add the adapters to the weights beside them, and remove them."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "lora_A"):
                child.merge()
                setattr(parent, name, child.get_base_layer())
