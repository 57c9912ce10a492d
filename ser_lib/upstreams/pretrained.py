"""Weights of an encoder in Hugging Face's format, loaded strictly.

``from_pretrained`` only warns if a weight is missing, and leaves it random. Here the
files are read first, every number is checked, and transformers reports the keys that
do not fit. It also handles old names of weights, and names with or without the prefix
of a larger model.
"""

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig, PreTrainedModel

from ser_lib.upstreams.checkpoints import load_legacy
from ser_lib.upstreams.weights import some_keys
from ser_lib.utils.progress import no_bars_of_transformers

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# A vector for SpecAugment, which is off here; some published files lack it.
UNUSED = "masked_spec_embed"
# Buffers of older versions, which are not loaded.
_INTEGERS = ("position_ids", "token_type_ids", "num_batches_tracked")

# Errors that transformers raises for invalid settings.
_WRONG_SETTINGS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


@contextmanager
def named_settings(folder: str | Path) -> Iterator[None]:
    """Name the folder in errors that transformers raises for invalid settings.

    Raises
    ------
    ValueError
        If transformers cannot build an encoder from them.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except _WRONG_SETTINGS as error:
        *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
        if frame.f_globals["__name__"].startswith("ser_lib."):
            raise  # our own error, which is complete
        reason = " ".join(str(error).split())
        raise ValueError(
            f"The settings in {folder} (config.json and the other JSON files) do not "
            f"describe an encoder ({type(error).__name__}: {reason}). Copy or download "
            f"them again."
        ) from error


def has_weights(folder: Path) -> bool:
    """Return whether a folder contains weights of an encoder."""
    return any((folder / name).is_file() for name in WEIGHT_FILES)


def load_pretrained(
    auto_class: type,
    folder: str | Path,
    config: PreTrainedConfig,
    heads: Sequence[str] = (),
    dispensable: Sequence[str] = (),
) -> PreTrainedModel:
    """Load a model strictly, in float32 and eval mode.

    Arguments
    ---------
    heads : Sequence[str]
        Prefixes of weights that the files may hold in addition to the model's own:
        heads of other tasks, which are not loaded.
    dispensable : Sequence[str]
        Prefixes of weights that the files may lack, because the model is used without
        them.

    Raises
    ------
    FileNotFoundError
        If a part of the weights is missing.
    ValueError
        If a file is damaged, or weights are missing, unexpected, of another shape, not
        real numbers, or not finite; the first of each are named.
    """
    weights = read_weights(Path(folder))
    with torch.device("meta"):
        kind = type(auto_class.from_config(config, trust_remote_code=False))
    problems = _problems_of_numbers(weights)
    if not problems:
        # Pass only the weights: the folder may also contain adapters, for example.
        with no_bars_of_transformers():
            model, found = kind.from_pretrained(
                None,
                config=config,
                state_dict=weights,
                dtype="float32",
                ignore_mismatched_sizes=True,  # reported below, with the others
                output_loading_info=True,
            )
        problems = _problems_of_keys(found, tuple(heads), tuple(dispensable))
    if problems:
        raise ValueError(
            f"The weights in {folder} are not those of the {kind.__name__} that its "
            f"config.json describes: {'; '.join(problems)}. Copy or download both "
            f"again, or save the model with save_pretrained."
        )
    model.config.name_or_path = str(folder)
    return model


def read_weights(
    folder: Path, skipped: tuple[str, ...] = ()
) -> dict[str, torch.Tensor]:
    """Read the weights of a folder, from one file or from several parts.

    Arguments
    ---------
    folder : Path
        Folder with one of ``WEIGHT_FILES``; of several, the first listed is read.
    skipped : tuple[str, ...]
        Prefixes of weights that are not needed; those in safetensors are not read.

    Raises
    ------
    FileNotFoundError
        If a part is missing.
    ValueError
        If a file is damaged.
    """
    file = next(folder / name for name in WEIGHT_FILES if (folder / name).is_file())
    if file.suffix != ".json":
        return _read(file, skipped)
    weights = {}
    for part in _parts(file):
        weights |= _read(part, skipped)
    return weights


def _parts(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        parts = [index.parent / Path(name).name for name in names]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{index} does not list the weight files (weight_map). Copy or download it "
            f"again."
        ) from error
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{index} names {some_keys(missing)}, which are not in the folder."
        )
    return parts


def _read(file: Path, skipped: tuple[str, ...]) -> dict[str, torch.Tensor]:
    if file.suffix == ".bin":
        weights = load_legacy(file)
        return {k: v for k, v in weights.items() if not k.startswith(skipped)}
    try:
        with safe_open(file, "pt") as weights:
            wanted = [key for key in weights.keys() if not key.startswith(skipped)]
            return {key: weights.get_tensor(key) for key in wanted}
    except SafetensorError as error:
        raise ValueError(
            f"{file} ({file.stat().st_size} bytes) cannot be read: it is damaged or "
            f"truncated. Copy or download it again."
        ) from error


def _problems_of_numbers(weights: Mapping[str, object]) -> list[str]:
    numbers = {k: v for k, v in weights.items() if not k.endswith(_INTEGERS)}
    real = {
        key: value
        for key, value in numbers.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    problems = {
        "not real numbers": [
            f"{key} ({getattr(value, 'dtype', type(value).__name__)})"
            for key, value in numbers.items()
            if key not in real
        ],
        # In the network's precision: 1e300 is infinite in float32.
        "not finite": [
            key for key, value in real.items() if not value.float().isfinite().all()
        ],
    }
    return [f"{kind} {some_keys(keys)}" for kind, keys in problems.items() if keys]


def _problems_of_keys(
    found: Mapping, heads: tuple[str, ...], dispensable: tuple[str, ...]
) -> list[str]:
    problems = {
        "missing": [k for k in found["missing_keys"] if not k.startswith(dispensable)],
        "unexpected": [k for k in found["unexpected_keys"] if not k.startswith(heads)],
        "of another shape": [
            f"{key} {tuple(shape)} instead of {tuple(own)}"
            for key, shape, own in found["mismatched_keys"]
        ],
    }
    named = {
        kind: sorted(key for key in keys if not key.endswith(UNUSED))
        for kind, keys in problems.items()
    }
    return [f"{kind} {some_keys(keys)}" for kind, keys in named.items() if keys]
