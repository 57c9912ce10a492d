"""Encoders that the members of an ensemble share.

The folds of a run with adapters (LoRA) have one encoder. Their ensemble holds it once,
in ``encoders.safetensors``. The file of a member has two narrow matrices for each
adapted layer, ``<layer>.lora_A`` and ``<layer>.lora_B``; its weight is that of the
encoder plus B A. ``model.json`` has the checksum of the encoder, and for each member::

    "adapters": {"upstream": {"r": 8, "lora_alpha": 8, "averaged": 5,
                              "target_modules": ["q_proj", "v_proj"]}}

The matrices have the rank ``averaged * r``. Loading gives plain encoders, without peft.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ser_lib.model import EmotionModel
from ser_lib.upstreams import Adapters, mixing_weights

SHARED_FILE = "encoders.safetensors"
# Each member takes the memory of the whole encoder, which its file does not have.
MOST_MEMBERS = 32
_NUMBERS = ("r", "lora_alpha", "averaged")
_MOST = 10_000
_FACTORS = (".lora_A", ".lora_B")

Shapes = dict[str, tuple[int, ...]]


def split_weights(
    model: EmotionModel, adapters: Mapping[str, Adapters]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Divide the weights of a model into those of its encoders and its own.

    Arguments
    ---------
    model : EmotionModel
        Its adapters are taken out.
    adapters : Mapping[str, Adapters]
        What was taken out, by upstream.

    Returns
    -------
    dict[str, torch.Tensor]
        The weights of the adapted encoders as they were before training.
    dict[str, torch.Tensor]
        All others, and the factors.
    """
    own, shared = dict(model.state_dict()), {}
    for name, (factors, _) in adapters.items():
        upstream = model.upstreams[name]
        trained = {weight.data_ptr() for weight in mixing_weights(upstream)}
        for key, weight in upstream.state_dict().items():
            if weight.data_ptr() not in trained:
                shared[f"upstreams.{name}.{key}"] = own.pop(f"upstreams.{name}.{key}")
        for key, pair in factors.items():
            layer = f"upstreams.{name}.{key.removesuffix('.weight')}"
            own |= {layer + e: f for e, f in zip(_FACTORS, pair, strict=True)}
    return shared, own


def write_shared(path: Path, weights: Mapping[str, torch.Tensor], fold: int) -> None:
    """Write the encoders of the first member; compare those of the others with it.

    Raises
    ------
    ValueError
        If a member was adapted from another encoder.
    """
    if not path.is_file():
        save_file(dict(weights), path, metadata={"format": "pt"})
        path.chmod(path.parent.stat().st_mode & 0o666)
        return
    with safe_open(path, "pt") as written:
        is_same = set(written.keys()) == set(weights) and all(
            written.get_tensor(key).equal(weights[key]) for key in weights
        )
    if not is_same:
        raise ValueError(
            f"Fold {fold} has adapters for another encoder than the folds before it, "
            f"so they cannot share one. Export it alone (--fold {fold})."
        )


# ---- reading


def check_shared(path: Path, info: Mapping) -> None:
    """Raise ValueError if ``model.json`` does not describe shared encoders soundly."""
    members = info["members"]
    if "shared" not in info:
        adapted = [name for name, member in members.items() if "adapters" in member]
        if adapted:
            raise ValueError(
                f"{path} is damaged: {adapted} have adapters, but it has no entry "
                f"'shared' for their encoder."
            )
        return
    shared = info["shared"]
    if not isinstance(shared, dict) or not isinstance(shared.get("sha256"), str):
        raise ValueError(f"{path} is damaged: shared has no sha256.")
    if len(members) > MOST_MEMBERS:
        raise ValueError(
            f"{path} has {len(members)} members that share an encoder, expected up to "
            f"{MOST_MEMBERS}."
        )
    for name, member in members.items():
        found = member.get("adapters")
        if not _is_filled(found) or not all(
            key in info["network"]["upstreams"] and _is_about(about)
            for key, about in found.items()
        ):
            raise ValueError(
                f"{path} is damaged: the adapters of {name} are {found!r:.200}, "
                f"expected for an upstream of the network {', '.join(_NUMBERS)} (1 to "
                f"{_MOST}) and target_modules."
            )


def _is_filled(value: object) -> bool:
    return isinstance(value, dict) and 0 < len(value) <= 100


def _is_about(about: object) -> bool:
    if not isinstance(about, dict) or set(about) != {*_NUMBERS, "target_modules"}:
        return False
    targets = about["target_modules"]
    are_names = isinstance(targets, list) and all(isinstance(t, str) for t in targets)
    numbers = [about[key] for key in _NUMBERS]
    return are_names and all(type(n) is int and 1 <= n <= _MOST for n in numbers)


def whole_shapes(own: Shapes, shared: Shapes, adapters: Mapping, path: Path) -> Shapes:
    """Return the shapes of a member's weights with those of its encoders.

    Arguments
    ---------
    own, shared : dict[str, tuple[int, ...]]
        Shapes in the file of the member and of the encoders.
    adapters : Mapping
        Upstream -> r, averaged and target_modules, from ``model.json``.
    path : Path
        The file of the member.

    Raises
    ------
    ValueError
        If an adapter is missing, does not belong to the encoder, or has another rank.
    """
    twice = [key for key in own if key in shared]
    if twice:
        raise ValueError(f"{path} has {twice[0]}, which {SHARED_FILE} has as well.")
    expected = _factor_shapes(shared, adapters)
    found = {key: shape for key, shape in own.items() if key.endswith(_FACTORS)}
    if found != expected:
        key = min(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        raise ValueError(
            f"{path} has no adapters for the encoder in {SHARED_FILE}: {key} is "
            f"{found.get(key, 'missing')}, expected {expected.get(key, 'no such key')}."
        )
    return shared | {key: shape for key, shape in own.items() if key not in found}


def _factor_shapes(shared: Shapes, adapters: Mapping) -> Shapes:
    shapes = {}
    for name, about in adapters.items():
        rank = about["r"] * about["averaged"]
        for key, shape in shared.items():
            layer, _, kind = key.rpartition(".")
            is_target = layer.rpartition(".")[2] in about["target_modules"]
            is_linear = kind == "weight" and len(shape) == 2
            if key.startswith(f"upstreams.{name}.") and is_target and is_linear:
                shapes[f"{layer}.lora_A"] = rank, shape[1]
                shapes[f"{layer}.lora_B"] = shape[0], rank
    return shapes


def whole_weights(
    own: Mapping[str, torch.Tensor], shared: Mapping[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """Return a member's weights with those of its encoders, adapters added.

    Raises
    ------
    ValueError
        If a factor is not of real numbers.
    """
    whole = dict(shared)
    for key, value in own.items():
        if not shared or not key.endswith(_FACTORS):
            whole[key] = value
        elif not value.is_floating_point():
            raise ValueError(f"{path}: {key} is {value.dtype}, expected real numbers.")
        elif key.endswith(_FACTORS[0]):
            layer = key.removesuffix(_FACTORS[0])
            b = own[layer + _FACTORS[1]]
            weight = shared[f"{layer}.weight"]
            whole[f"{layer}.weight"] = weight.float() + b.float() @ value.float()
    return whole
