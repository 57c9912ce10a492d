"""Describe the network of a trained model in plain values, for a model folder."""

import inspect
from io import StringIO
from pathlib import Path
from typing import Any

from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from torch import nn

from ser_lib.model import EmotionModel
from ser_lib.upstreams import class_of_family

_BY_FAMILY = "!apply:ser_lib.upstreams.families.load_upstream"


def describe_network(model: EmotionModel, block: CommentedMap) -> tuple[dict, dict]:
    """Describe a network in plain values; return it with the names of its encoders.

    Arguments
    ---------
    block : CommentedMap
        The settings that built it: ``model``, with all references resolved.
    """
    network, encoders = {"upstreams": {}, "branches": []}, {}
    for name, upstream in model.upstreams.items():
        arguments = _arguments(block["upstreams"][name], upstream)
        if hasattr(upstream, "without_weights") and "source" in arguments:
            encoders[name] = _without_folders(str(arguments["source"]))
            arguments["source"] = upstream.without_weights()
        network["upstreams"][name] = {"class": type(upstream).__name__, **arguments}
    branches = zip(block["branches"], model.downstream.branches, strict=True)
    for written, branch in branches:
        aggregator = {"class": type(branch.aggregator).__name__}
        kind = "fusion" if "fusion" in written else "aggregator"
        aggregator |= _arguments(written[kind], branch.aggregator)
        network["branches"].append(
            {"upstreams": list(branch.upstreams), kind: aggregator}
        )
    if model.standardise_by is not None:
        network["standardise_by"] = model.standardise_by
    return network, encoders


def _arguments(node: object, module: nn.Module) -> dict[str, Any]:
    """Evaluate the arguments that a module was built with."""
    if isinstance(node, CommentedSeq):
        names = inspect.signature(type(module)).parameters
        node = CommentedMap(zip(names, node, strict=False))
    if not isinstance(node, CommentedMap) or not node:
        return {}
    text = StringIO()
    YAML().dump(CommentedMap(node), text)  # a copy has no tag
    arguments = load_hyperpyyaml(text.getvalue())
    if getattr(node.tag, "value", None) == _BY_FAMILY and "." not in node["family"]:
        _, arguments = class_of_family(**arguments)
    return arguments


def _without_folders(source: str) -> str:
    """Return a hub id unchanged, and only the last part of a local path."""
    path = Path(source).expanduser()
    return path.name if path.exists() else source
