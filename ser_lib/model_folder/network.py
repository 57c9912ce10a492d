"""A network in plain values, from which it is built: part of a model folder.

    {
      "upstreams": {"upstream": {"class": "FbankUpstream", "n_mels": 80}},
      "branches": [
        {"upstreams": ["upstream"], "aggregator": {"class": "EcapaTdnn"}}
      ]
    }

A model folder can come from anybody. A class is one of those listed here, by its name;
its arguments are numbers, words, lists and mappings; an encoder is described, never
named. So whatever a description says, nothing but networks of this library is made.
What it may ask for is limited, so that nothing hangs or takes all memory.
"""

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from torch import nn
from torch.nn.modules import module as registration

from ser_lib import aggregators, upstreams
from ser_lib.model import EmotionModel
from ser_lib.utils.strict_json import check_plain

UPSTREAMS = (
    "ApcUpstream",
    "CpcUpstream",
    "DeloresUpstream",
    "FbankUpstream",
    "HuggingFaceUpstream",
    "MockingjayUpstream",
    "SequenceClassificationUpstream",
    "Wav2VecUpstream",
)
AGGREGATORS = ("EcapaTdnn", "MeanPooling", "ProjectedMean")

# Those that EcapaTdnn hands on to SpeechBrain's class.
_ECAPA_ARGUMENTS = {
    "channels",
    "kernel_sizes",
    "dilations",
    "attention_channels",
    "res2net_scale",
    "se_channels",
    "dropout",
}

# The largest published encoders (48 layers) have about 1500 parts, ECAPA-TDNN 500.
_MAX_PARTS = 5000
_MAX_NETWORKS = 8
# What sizes a filter bank, which no weights have to match.
_MAX_NUMBERS = {
    "sample_rate_hz": 192_000,
    "sample_frequency": 192_000,
    "sampling_rate": 192_000,
    "n_mels": 1024,
    "n_freq": 8193,
    "feat_dim": 1024,
    "num_mel_bins": 1024,
    "window_ms": 250,
    "win_ms": 250,
    "frame_length": 250,
}
# What the constructors raise on arguments that make no sense.
_UNBUILDABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


def build_model(
    network: Mapping, labels: Sequence[str], name: str | Path
) -> EmotionModel:
    """Build a network with random weights.

    Arguments
    ---------
    network : Mapping
        Its description.
    labels : Sequence[str]
        The classes, in the order of the logits.
    name : str | Path
        Where the description stands, for the messages.

    Returns
    -------
    EmotionModel
        On torch's default device; on "meta" it takes no memory.

    Raises
    ------
    ValueError
        If the description asks for anything else, or makes no network.

    Example
    -------
    >>> network = {
    ...     "upstreams": {"fbank": {"class": "FbankUpstream", "n_mels": 40}},
    ...     "branches": [
    ...         {"upstreams": ["fbank"], "aggregator": {"class": "MeanPooling"}}
    ...     ],
    ... }
    >>> build_model(network, ["calm", "angry"], "model.json").downstream.classifier
    Linear(in_features=40, out_features=2, bias=True)
    """
    check_network(network, name)
    try:
        with _limited_parts():
            made = {
                key: _constructor(block, upstreams)()
                for key, block in network["upstreams"].items()
            }
            branches = [
                branch | {"aggregator": _constructor(branch["aggregator"], aggregators)}
                for branch in network["branches"]
            ]
            model = EmotionModel(labels, made, branches)
    except _UNBUILDABLE as error:
        raise ValueError(
            f"The network of {name} cannot be built ({type(error).__name__}: {error})."
        ) from error
    still = [key for key, upstream in made.items() if upstream.hop_samples < 1]
    if still:
        raise ValueError(
            f"The network of {name} cannot be built: {', '.join(still)} gives frames "
            f"at a distance of 0 samples."
        )
    return model


def check_network(network: Mapping, name: str | Path) -> None:
    """Check a description without building anything.

    Arguments
    ---------
    network : Mapping
        The description.
    name : str | Path
        Where it stands, for the messages.

    Raises
    ------
    ValueError
        If a class is not one of those listed here, an argument is not one that it
        takes or is not a plain value, an encoder is named, or a limit is passed.
    """
    check_plain(network, f"The network of {name}", _MAX_NUMBERS)
    made_of, branches = network.get("upstreams"), network.get("branches")
    is_whole = (
        set(network) == {"upstreams", "branches"}
        and _is_filled(made_of, dict)
        and _is_filled(branches, list)
        and all(_is_branch(branch) for branch in branches)
    )
    if not is_whole:
        raise ValueError(
            f"The network of {name} is not described as expected: upstreams (a class "
            f"and its arguments for each name) and branches (for each, the names of "
            f"its upstreams and an aggregator), up to {_MAX_NETWORKS} of each."
        )
    for key, block in made_of.items():
        where = f"The upstream {key} of {name}"
        _check_class(block, UPSTREAMS, upstreams, where)
        if not isinstance(block.get("source", {}), dict):
            raise ValueError(
                f"{where} names an encoder ({block['source']!r}) that would be read "
                f"from elsewhere. Expected its description, as python -m "
                f"ser_lib.export writes it."
            )
    for branch in branches:
        where = f"An aggregator of {name}"
        _check_class(branch["aggregator"], AGGREGATORS, aggregators, where)


def _is_filled(value: object, kind: type) -> bool:
    return isinstance(value, kind) and 0 < len(value) <= _MAX_NETWORKS


def _is_branch(branch: object) -> bool:
    return (
        isinstance(branch, dict)
        and set(branch) == {"upstreams", "aggregator"}
        and _is_filled(branch["upstreams"], list)
    )


def check_made_of(model: nn.Module, name: str | Path) -> None:
    """Refuse a model that no description makes, since a class is not listed here.

    Arguments
    ---------
    model : torch.nn.Module
        The model to describe.
    name : str | Path
        Where it comes from, for the message.

    Raises
    ------
    ValueError
        If a class is of the user's own; it is named.
    """
    found = [("model", model, {"EmotionModel": EmotionModel})]
    if isinstance(model, EmotionModel):
        classes = {key: getattr(upstreams, key) for key in UPSTREAMS}
        found += [
            (f"upstream {key}", part, classes) for key, part in model.upstreams.items()
        ]
        classes = {key: getattr(aggregators, key) for key in AGGREGATORS}
        parts = [branch.aggregator for branch in model.downstream.branches]
        found += [("aggregator", part, classes) for part in parts]
    for what, part, classes in found:
        kind = type(part)
        if classes.get(kind.__name__) is not kind:
            raise ValueError(
                f"The model of {name} cannot be exported: its {what} is of the class "
                f"{kind.__module__}.{kind.__qualname__}. A model folder is built from "
                f"the classes {', '.join(classes)} alone, so that nobody who gets it "
                f"runs foreign code. Use the run itself (ser_lib.export.load_trained)."
            )


def _check_class(block: object, known: Sequence[str], home: object, where: str) -> None:
    name = block.get("class") if isinstance(block, dict) else block
    if not isinstance(block, dict) or name not in known:
        raise ValueError(
            f"{where} asks for {name!r}. Nothing of it was run: expected the name of "
            f"one of the classes {', '.join(known)}."
        )
    taken = _arguments_of(getattr(home, name))
    unknown = [key for key in block if key != "class" and key not in taken]
    if unknown:
        raise ValueError(
            f"{where}: {name} takes no {', no '.join(unknown)}; it takes "
            f"{', '.join(sorted(taken)) or 'no arguments'}."
        )


def _arguments_of(make: type[nn.Module]) -> set[str]:
    names = set(inspect.signature(make).parameters) - {"input_size"}
    if "ecapa" in names:
        names = names - {"ecapa"} | _ECAPA_ARGUMENTS
    return names


def _constructor(block: Mapping, home: object) -> Callable[..., nn.Module]:
    arguments = {key: value for key, value in block.items() if key != "class"}
    return partial(getattr(home, block["class"]), **arguments)


@contextmanager
def _limited_parts() -> Iterator[None]:
    """Stop when more layers and weights are made than any network has.

    A number of layers is one argument among many, with another name in each class;
    what is made is counted instead.
    """
    thread, n_parts = threading.get_ident(), 0

    def count(module: nn.Module, name: str, part: object) -> None:
        nonlocal n_parts
        n_parts += threading.get_ident() == thread
        if n_parts > _MAX_PARTS:
            raise ValueError(f"it has more than {_MAX_PARTS} layers and weights")

    with ExitStack() as stack:
        for kind in ("module", "parameter", "buffer"):
            register = getattr(
                registration, f"register_module_{kind}_registration_hook"
            )
            stack.callback(register(count).remove)
        yield
