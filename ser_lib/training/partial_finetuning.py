"""Fine-tuning of a part of an encoder: settings that all upstreams understand.

``frozen_layers`` trains only the higher layers, ``lr_layer_decay`` trains lower layers
at lower rates, and ``lora`` trains adapters only. The defaults train all layers at one
rate, as in Morais et al. (2022).
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from ser_lib.upstreams import LayerStack, add_lora, mixing_weights


class Group(NamedTuple):
    """Weights that share an optimiser.

    Arguments
    ---------
    lr : float
        The highest learning rate.
    """

    weights: list[nn.Parameter]
    lr: float


def choose_weights(upstreams: Mapping[str, nn.Module], hparams: Mapping) -> None:
    """Freeze layers of the upstreams, and add adapters, as the settings say.

    Raises
    ------
    ValueError
        If there is nothing to freeze or to adapt: no encoder is trained, or it has no
        layers.
    """
    kept, lora = hparams["frozen_layers"], hparams["lora"]
    changed = {
        "frozen_layers": kept > 0,
        "lora": lora is not None,
        "lr_layer_decay": hparams["lr_layer_decay"] != 1.0,
    }
    given = [name for name, is_given in changed.items() if is_given]
    if not given:
        return
    stacks = [
        upstream
        for upstream in upstreams.values()
        if isinstance(upstream, LayerStack) and _is_trained(upstream)
    ]
    if not stacks:
        raise ValueError(
            f"{' and '.join(given)} cannot be used in {hparams['experiment']}: it "
            f"trains no encoder with layers. In an experiment of two stages, pass it "
            f"to the first: --finetuned '{{upstream: {{overrides: {{{given[0]}: "
            f"...}}}}}}'; in a table, under its name in --changes FILE."
        )
    for upstream in stacks:
        if lora is not None:
            add_lora(upstream, lora)
        if kept:
            upstream.freeze_lower(kept)


def _is_trained(upstream: LayerStack) -> bool:
    layers = [weight for depth in upstream.weights_by_depth() for weight in depth]
    return any(weight.requires_grad for weight in layers)


def upstream_groups(
    upstreams: Mapping[str, nn.Module], hparams: Mapping
) -> dict[str, Group]:
    """Group the trained weights of the upstreams by learning rate.

    Arguments
    ---------
    hparams : Mapping
        ``lr_upstream`` is the rate of the highest layer, and that of each lower one is
        ``lr_layer_decay`` times that of the layer above it. Learnable sums of layers
        are trained at ``lr_downstream``.

    Example
    -------
    >>> from ser_lib.upstreams.apc import Apc, ApcUpstream, published_config
    >>> config = published_config(num_layers=2, hidden_size=4)
    >>> upstream = ApcUpstream({"config": config})
    >>> rates = {"lr_upstream": 0.1, "lr_downstream": 1.0, "lr_layer_decay": 0.5}
    >>> groups = upstream_groups({"a": upstream}, rates)
    >>> {name: group.lr for name, group in groups.items()}
    {'upstreams_a_2': 0.1, 'upstreams_a_1': 0.05}
    """
    lr, decay = hparams["lr_upstream"], hparams["lr_layer_decay"]
    mixing = [w for upstream in upstreams.values() for w in mixing_weights(upstream)]
    groups = {"upstreams_mix": Group(mixing, hparams["lr_downstream"])}
    for name, upstream in upstreams.items():
        if decay == 1.0 or not isinstance(upstream, LayerStack):
            continue
        for i, weights in enumerate(reversed(upstream.weights_by_depth())):
            depth = len(upstream.layer_stack) - i
            groups[f"upstreams_{name}_{depth}"] = Group(weights, lr * decay**i)
    grouped = {id(weight) for group in groups.values() for weight in group.weights}
    weights = [w for upstream in upstreams.values() for w in upstream.parameters()]
    groups["upstreams"] = Group([w for w in weights if id(w) not in grouped], lr)
    return {
        name: Group(trained, group.lr)
        for name, group in groups.items()
        if (trained := [w for w in group.weights if w.requires_grad])
    }
