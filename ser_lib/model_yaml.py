"""The ``hyperparams.yaml`` of a model folder: written, and checked before it is used.

HyperPyYAML calls whatever function a file names. A model folder can come from
anybody, so the file is parsed without building anything, each of its tags is compared
with what such a file needs, and what was checked is what is built.
"""

import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from torch import nn

PRETRAINER = "ser_lib.pretrainer.StrictPretrainer"

_HEAD = "# Builds the network; its weights are in the files *.safetensors.\n"
_MODULES = ("ser_lib.model", "ser_lib.upstreams", "ser_lib.aggregators")
_PLAIN = re.compile(r"tag:yaml\.org,2002:(str|int|float|bool|null|seq|map)")
# Dots would read attributes, operators would compute.
_REFERENCE = re.compile(r"<\w+>")


def model_yaml(definition: str, members: Sequence[str]) -> str:
    r"""Write the file for one or several models of one shape.

    Arguments
    ---------
    definition : str
        HyperPyYAML with the one key ``model``.
    members : Sequence[str]
        A name for each; each gets weights of its own.

    Returns
    -------
    str
        HyperPyYAML with the keys that SpeechBrain's ``foreign_class`` asks for,
        ``modules`` and ``pretrainer``.

    Example
    -------
    >>> print(model_yaml("model: {}\n", ["fold_1", "fold_2"]).replace("    ", "  "))
    # Builds the network; its weights are in the files *.safetensors.
    model: {}
    fold_1: !ref <model>
    fold_2: !copy <model>
    modules:
      fold_1: !ref <fold_1>
      fold_2: !ref <fold_2>
    pretrainer: !new:ser_lib.pretrainer.StrictPretrainer
      loadables:
        fold_1: !ref <fold_1>
        fold_2: !ref <fold_2>
    <BLANKLINE>
    """
    first, *others = members
    lines = [f"{first}: !ref <model>", *(f"{name}: !copy <model>" for name in others)]
    lines += ["modules:", *(f"    {name}: !ref <{name}>" for name in members)]
    lines += [f"pretrainer: !new:{PRETRAINER}", "    loadables:"]
    lines += [f"        {name}: !ref <{name}>" for name in members]
    return _HEAD + definition + "\n".join(lines) + "\n"


def checked_yaml(text: str, name: str | Path) -> str:
    """Refuse a file that asks for anything but networks of this library.

    Arguments
    ---------
    text : str
        The content of a ``hyperparams.yaml``.
    name : str | Path
        The file, for the messages.

    Returns
    -------
    str
        What was checked, without comments, for ``load_hyperpyyaml``.

    Raises
    ------
    ValueError
        If it is no YAML, a tag is not one of those needed, or an encoder is not
        described but named.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is damaged, it is no YAML: {error}") from error
    for node in _nodes(root):
        if not _is_needed(node):
            raise ValueError(
                f"{name} asks for {node.tag} in line {node.start_mark.line + 1}. "
                f"Nothing of it was run: the file may ask for networks of "
                f"{', '.join(_MODULES)} alone."
            )
        _check_source(node, name)
    return yaml.serialize(root)


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Walk a tree, keys included; aliases are visited once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _is_needed(node: yaml.Node) -> bool:
    kind, _, called = node.tag.partition(":")
    if kind in ("!ref", "!copy"):
        return isinstance(node, yaml.ScalarNode) and bool(
            _REFERENCE.fullmatch(node.value)
        )
    if kind in ("!new", "!name"):
        return called == PRETRAINER or _is_network(called)
    return bool(_PLAIN.fullmatch(node.tag))


def _is_network(called: str) -> bool:
    """Only classes of the package itself: not what its modules happen to import."""
    module, _, name = called.rpartition(".")
    if module not in _MODULES:
        return False
    found = getattr(importlib.import_module(module), name, None)
    is_network = isinstance(found, type) and issubclass(found, nn.Module)
    return is_network and found.__module__.startswith(_MODULES)


def _check_source(node: yaml.Node, name: str | Path) -> None:
    """An encoder by name would be read from anywhere on this disk or downloaded."""
    if "ser_lib.upstreams." not in node.tag:
        return
    sources = []
    if isinstance(node, yaml.MappingNode):
        sources = [value for key, value in node.value if key.value == "source"]
    elif isinstance(node, yaml.SequenceNode):  # by position, it comes first
        sources = node.value[:1]
    for source in sources:
        if not isinstance(source, yaml.MappingNode):
            raise ValueError(
                f"{name} names an encoder elsewhere ({source.value!r}, line "
                f"{source.start_mark.line + 1}). Expected its description, as "
                f"python -m ser_lib.export writes it."
            )
