"""Build the network of a model folder from its description in plain values:

    {
      "upstreams": {"upstream": {"class": "FbankUpstream", "n_mels": 80}},
      "branches": [
        {"upstreams": ["upstream"], "aggregator": {"class": "EcapaTdnn"}}
      ]
    }

A model whose frames are standardised also has ``standardise_by``, such as ``mixed``.
One with several tasks has ``tasks``: those besides the emotion.

Model folders may come from untrusted sources. A description can name only the classes
listed here, their arguments are plain numbers, strings, lists and mappings, and an
encoder is described, not fetched by name. So it can build only networks of ``ser_lib``.
Limits on its size keep it from hanging or exhausting memory.
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
from ser_lib.model import STANDARDISE_BY, EmotionModel
from ser_lib.model_folder.tasks import check_tasks, further_tasks
from ser_lib.utils.strict_json import check_plain

UPSTREAMS = (
    "ApcUpstream",
    "CpcUpstream",
    "DeloresUpstream",
    "Emotion2VecUpstream",
    "FbankUpstream",
    "HuggingFaceUpstream",
    "MockingjayUpstream",
    "SequenceClassificationUpstream",
    "Wav2VecUpstream",
    "WhisperUpstream",
)
AGGREGATORS = (
    "AttentivePooling",
    "EcapaTdnn",
    "MeanPooling",
    "ProjectedMean",
    "StatisticsPooling",
)

# Arguments that EcapaTdnn passes on to SpeechBrain's class.
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
# Sizes of filter banks, which are not limited by the shapes of weights.
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
# What constructors raise on invalid arguments.
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
    """Build a network with random weights, on torch's default device.

    Arguments
    ---------
    network : Mapping
        Its description.
    labels : Sequence[str]
        Classes in the order of the logits.
    name : str | Path
        Source of the description, for error messages.

    Raises
    ------
    ValueError
        If the description is not allowed or cannot be built.

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
            built = {
                key: _constructor(block, upstreams)()
                for key, block in network["upstreams"].items()
            }
            branches = [
                branch | {"aggregator": _constructor(branch["aggregator"], aggregators)}
                for branch in network["branches"]
            ]
            by = network.get("standardise_by")
            model = EmotionModel(labels, built, branches, standardise_by=by)
            sizes = {task.name: task.size for task in further_tasks(network)}
            model.downstream.add_heads(sizes)
    except _UNBUILDABLE as error:
        raise ValueError(
            f"The network of {name} cannot be built ({type(error).__name__}: {error})."
        ) from error
    without_hop = [key for key, part in built.items() if part.hop_samples < 1]
    if without_hop:
        raise ValueError(
            f"The network of {name} cannot be built: the frames of "
            f"{', '.join(without_hop)} have a hop of 0 samples."
        )
    return model


def check_network(network: Mapping, name: str | Path) -> None:
    """Check a description without building anything.

    Arguments
    ---------
    network : Mapping
        The description.
    name : str | Path
        Its source, for error messages.

    Raises
    ------
    ValueError
        If a class is not listed here, an argument is unknown or not a plain value, an
        encoder is given by name, or a limit is exceeded.
    """
    check_plain(network, f"The network of {name}", _MAX_NUMBERS)
    blocks, branches = network.get("upstreams"), network.get("branches")
    is_complete = (
        set(network) - {"standardise_by", "tasks"} == {"upstreams", "branches"}
        and network.get("standardise_by", "mixed") in STANDARDISE_BY
        and _is_filled(blocks, dict)
        and _is_filled(branches, list)
        and all(_is_branch(branch) for branch in branches)
    )
    if not is_complete:
        raise ValueError(
            f"The network of {name} is not described as expected: upstreams (a class "
            f"and its arguments for each name) and branches (for each, the names of "
            f"its upstreams and an aggregator), up to {_MAX_NETWORKS} of each; and "
            f"standardise_by ({', '.join(STANDARDISE_BY)}) if frames are standardised."
        )
    check_tasks(network.get("tasks", []), name)
    for key, block in blocks.items():
        where = f"The upstream {key} of {name}"
        _check_class(block, UPSTREAMS, upstreams, where)
        if not isinstance(block.get("source", {}), dict):
            raise ValueError(
                f"{where} refers to an encoder outside the folder "
                f"({block['source']!r}). Expected its description, as written by "
                f"python -m ser_lib.export."
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


def check_exportable(model: nn.Module, name: str | Path) -> None:
    """Raise ValueError if a part of a model has a class that is not listed here.

    Arguments
    ---------
    model : torch.nn.Module
        The model to export.
    name : str | Path
        Its source, for error messages.
    """
    parts = [("model", model, {"EmotionModel": EmotionModel})]
    if isinstance(model, EmotionModel):
        classes = {key: getattr(upstreams, key) for key in UPSTREAMS}
        parts += [
            (f"upstream {key}", part, classes) for key, part in model.upstreams.items()
        ]
        classes = {key: getattr(aggregators, key) for key in AGGREGATORS}
        branches = model.downstream.branches
        parts += [("aggregator", branch.aggregator, classes) for branch in branches]
    for part_name, part, classes in parts:
        kind = type(part)
        if classes.get(kind.__name__) is not kind:
            raise ValueError(
                f"The model of {name} cannot be exported: its {part_name} is of the "
                f"class {kind.__module__}.{kind.__qualname__}. A model folder can use "
                f"only the classes {', '.join(classes)}, so that loading it never runs "
                f"foreign code. Use the run itself (ser_lib.export.load_trained)."
            )


def _check_class(block: object, known: Sequence[str], home: object, where: str) -> None:
    name = block.get("class") if isinstance(block, dict) else block
    if not isinstance(block, dict) or name not in known:
        raise ValueError(
            f"{where} has the class {name!r}, which was not run. Expected one of the "
            f"classes {', '.join(known)}."
        )
    allowed = _arguments_of(getattr(home, name))
    unknown = [key for key in block if key != "class" and key not in allowed]
    if unknown:
        raise ValueError(
            f"{where}: {name} takes no {', no '.join(unknown)}; it takes "
            f"{', '.join(sorted(allowed)) or 'no arguments'}."
        )


def _arguments_of(kind: type[nn.Module]) -> set[str]:
    names = set(inspect.signature(kind).parameters) - {"input_size"}
    if "ecapa" in names:
        names = names - {"ecapa"} | _ECAPA_ARGUMENTS
    return names


def _constructor(block: Mapping, home: object) -> Callable[..., nn.Module]:
    arguments = {key: value for key, value in block.items() if key != "class"}
    return partial(getattr(home, block["class"]), **arguments)


@contextmanager
def _limited_parts() -> Iterator[None]:
    """Raise ValueError when more layers and weights are built than any network has.

    The arguments that set the number of layers have different names in each class, so
    this counts what is built instead.
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
