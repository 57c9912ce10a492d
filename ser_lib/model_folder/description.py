"""The files of a model folder, which ``python -m ser_lib.export`` writes.

    model.json            labels in order, network, training data, checksums ...
    fold_<k>.safetensors  the weights; an ensemble has several
    encoders.safetensors  the encoder of an ensemble with adapters, see ``shared.py``
    hyperparams.yaml, custom_interface.py      only for SpeechBrain's foreign_class
    label_encoder.txt     the labels, for SpeechBrain's CategoricalEncoder
    README.md             the model card
    model.onnx            if requested

A folder is refused, with the name of the file, if a file is damaged or the files do not
belong together.
"""

import json
import re
import reprlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file

from ser_lib import __version__
from ser_lib.dataio import LABEL_ENCODER_FILE, write_label_encoder
from ser_lib.model import EmotionModel
from ser_lib.model_folder.checksums import network_sha256
from ser_lib.model_folder.network import check_network
from ser_lib.model_folder.shared import (
    SHARED_FILE,
    check_shared,
    split_weights,
    write_shared,
)
from ser_lib.utils.checksums import sha256
from ser_lib.utils.strict_json import read_json

FORMAT = 3
SHARED_FORMAT = 4  # with encoders.safetensors
MODEL_FILE = "model.json"
YAML_FILE = "hyperparams.yaml"
INTERFACE_FILE = "custom_interface.py"
CARD_FILE = "README.md"
ONNX_FILE = "model.onnx"
WEIGHT_FILES = "fold_[0-9]*.safetensors"
# What an export writes; any other file in the folder belongs to the user.
OWN_FILES = (
    MODEL_FILE,
    YAML_FILE,
    INTERFACE_FILE,
    LABEL_ENCODER_FILE,
    CARD_FILE,
    WEIGHT_FILES,
    SHARED_FILE,
    ONNX_FILE,
    f"{ONNX_FILE}.data",
)

# Weights are useless without these, so each file of weights repeats them.
REPEATED_IN_WEIGHTS = ("labels", "sample_rate_hz", "trim_silence_db")
_KINDS = {
    "labels": list,
    "sample_rate_hz": int,
    "trim_silence_db": (int, float, type(None)),
    "min_duration_s": (int, float),
    "network": dict,
    "network_sha256": str,
    "members": dict,
    "trained_on": dict,
    "versions": dict,
}
_RANGES = {
    "sample_rate_hz": (1000, 192_000),
    "trim_silence_db": (0, 200),
    "min_duration_s": (0, 3600),
}
_MOST_LABELS, _MOST_MEMBERS = 1000, 100
_KEPT = (*REPEATED_IN_WEIGHTS, "min_duration_s", "trained_on", "encoders", "note")
_KEPT_OF_RUN = ("experiment", "seed", "settings_key")
_KEPT_OF_FOLD = ("fold", "averaged_epochs", "valid_accuracy")
PACKAGES = ("torch", "speechbrain", "transformers", "numpy")
_YAML = """# Only for SpeechBrain's foreign_class. model.json describes the network.
pretrainer: !new:ser_lib.model_folder.StrictPretrainer
modules: !ref <pretrainer.members>
"""
_INTERFACE = '''"""For SpeechBrain's foreign_class: the class itself is in ser_lib."""

from ser_lib.inference import EmotionRecognizer

__all__ = ["EmotionRecognizer"]
'''
_MEMBER = re.compile(r"fold_[1-9][0-9]{0,8}")


def write_member(
    folder: Path, model: EmotionModel, info: Mapping, half: bool = False
) -> dict:
    """Write the weights of one fold.

    Arguments
    ---------
    folder : Path
        The model folder.
    model : EmotionModel
        The averaged model.
    info : Mapping
        From ``export.load_trained``. If it has ``adapters``, the encoders are written
        to a file that all members share.
    half : bool
        Whether the weights of encoders are written in float16.

    Returns
    -------
    dict
        The entry of this member in ``model.json``.

    Raises
    ------
    ValueError
        If a weight is too large for float16, or the encoder is not that of the other
        members.
    """
    path = folder / f"fold_{info['fold']}.safetensors"
    adapters = info.get("adapters", {})
    parts = split_weights(model, adapters)
    shared, weights = ({k: v.clone() for k, v in part.items()} for part in parts)
    if half:
        shared |= _halved(shared)
        weights |= _halved(weights)
    if shared:
        write_shared(folder / SHARED_FILE, shared, info["fold"])
    repeated = json.dumps({key: info[key] for key in REPEATED_IN_WEIGHTS})
    save_file(weights, path, metadata={"format": "pt", "model_info": repeated})
    path.chmod(folder.stat().st_mode & 0o666)  # safetensors denies access to others
    kept = {key: info[key] for key in _KEPT_OF_FOLD} | info["calibration"]
    if adapters:
        kept["adapters"] = {name: about for name, (_, about) in adapters.items()}
    return {**kept, "sha256": sha256(path)}


def _halved(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the real weights of encoders in float16."""
    found = {}
    for key, value in weights.items():
        if not key.startswith("upstreams.") or not value.is_floating_point():
            continue
        found[key] = value.to(torch.float16)
        if not found[key].isfinite().all():
            raise ValueError(
                f"{key} has values up to {value.abs().max():.3g}, but float16 ends at "
                f"{torch.finfo(torch.float16).max:.0f}. Export without --half."
            )
    return found


def write_model_info(
    folder: Path, info: Mapping, members: Mapping[str, dict], half: bool = False
) -> dict:
    """Write all files of a model folder except weights and card.

    Arguments
    ---------
    folder : Path
        The model folder.
    info : Mapping
        From ``export.load_trained``, for any of the folds.
    members : Mapping[str, dict]
        fold_<k> -> its entry from :func:`write_member`.
    half : bool
        As given to :func:`write_member`.

    Returns
    -------
    dict
        The content of ``model.json``.

    Raises
    ------
    ValueError
        If the network has classes that are not in ``ser_lib``.
    """
    network = info["network"]
    check_network(network, f"the experiment {info['experiment']}")
    (folder / YAML_FILE).write_text(_YAML, encoding="utf-8")
    (folder / INTERFACE_FILE).write_text(_INTERFACE, encoding="utf-8")
    shared = folder / SHARED_FILE
    is_shared = shared.is_file()
    write_label_encoder(folder / LABEL_ENCODER_FILE, info["labels"])
    model_info = {
        "format": SHARED_FORMAT if is_shared else FORMAT,
        **{key: info[key] for key in (*_KEPT, *_KEPT_OF_RUN)},
        "network": network,
        "network_sha256": network_sha256(network),
        "members": dict(members),
        **({"shared": {"sha256": sha256(shared)}} if is_shared else {}),
        **({"encoder_weights": "float16"} if half else {}),
        "versions": {"ser_lib": __version__, **{p: version(p) for p in PACKAGES}},
    }
    text = json.dumps(model_info, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / MODEL_FILE).write_text(text, encoding="utf-8")
    return model_info


def read_model_info(folder: str | Path) -> dict:
    """Read and check ``model.json``.

    Raises
    ------
    FileNotFoundError
        If the folder has no such file.
    ValueError
        If it is damaged, or of another format.
    """
    path = Path(folder) / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a model folder: it has no {MODEL_FILE}. Expected the "
            f"output of python -m ser_lib.export. The folder contains: "
            f"{sorted(p.name for p in Path(folder).iterdir()) or 'nothing'}."
        )
    info = read_json(path)
    found = info.get("format") if isinstance(info, dict) else None
    if found not in (FORMAT, SHARED_FORMAT):
        raise ValueError(
            f"{path} has the format {reprlib.repr(found)}; this version of ser_lib "
            f"reads the formats {FORMAT} and {SHARED_FORMAT}. Export the model again "
            f"from its run (python -m ser_lib.export RUN_FOLDER {folder}), or install "
            f"the version of ser_lib that wrote it."
        )
    for key, kind in _KINDS.items():
        if not isinstance(info.get(key), kind):
            raise ValueError(
                f"{path} is damaged: {key} is {reprlib.repr(info.get(key))}, expected "
                f"{kind.__name__ if isinstance(kind, type) else 'a number'}."
            )
    _check_numbers(path, info)
    _check_labels_and_members(path, info)
    check_network(info["network"], path)
    check_shared(path, info)
    if network_sha256(info["network"]) != info["network_sha256"]:
        raise ValueError(
            f"{path} was changed or damaged: the SHA-256 of its network differs from "
            f"network_sha256. Copy, download or export the folder again."
        )
    return info


def _check_numbers(path: Path, info: Mapping) -> None:
    for key, (least, most) in _RANGES.items():
        if info[key] is not None and not least <= info[key] <= most:
            raise ValueError(
                f"{path} is damaged: {key} is {reprlib.repr(info[key])}, expected "
                f"{least} to {most}."
            )


def _check_labels_and_members(path: Path, info: Mapping) -> None:
    labels, members = info["labels"], info["members"]
    are_names = all(isinstance(label, str) for label in labels)
    if not are_names or not 2 <= len(set(labels)) == len(labels) <= _MOST_LABELS:
        raise ValueError(
            f"{path}: labels are {labels}, expected 2 to {_MOST_LABELS} different "
            f"names."
        )
    wrong = [name for name in members if not _MEMBER.fullmatch(name)]
    if wrong or not 1 <= len(members) <= _MOST_MEMBERS:
        raise ValueError(
            f"{path}: members are {wrong or len(members)}, expected fold_1, fold_2 and "
            f"so on, up to {_MOST_MEMBERS} of them."
        )
    without = [
        name
        for name, member in members.items()
        if not isinstance(member, dict) or not isinstance(member.get("sha256"), str)
    ]
    if without:
        raise ValueError(f"{path} is damaged: {without} have no sha256.")
    for name, member in members.items():
        _check_calibration(path, name, member)


def _check_calibration(path: Path, name: str, member: Mapping) -> None:
    """Check the optional entries of a member that ``calibration_of`` returns."""
    temperature = member.get("temperature", 1.0)
    accuracies = member.get("accuracies_above", [])
    numbers = [temperature, *(accuracies if isinstance(accuracies, list) else [None])]
    are_numbers = all(type(x) in (int, float) for x in numbers)
    if not are_numbers or not 0.01 <= temperature <= 100 or len(accuracies) > 100:
        raise ValueError(
            f"{path} is damaged: {name} has the temperature "
            f"{reprlib.repr(temperature)} and accuracies_above "
            f"{reprlib.repr(accuracies)}, expected 0.01 to 100, and up to 100 numbers."
        )


def check_same(path: Path, key: str, found: object, info: Mapping) -> None:
    """Raise ValueError if a file repeats an entry of ``model.json`` with another value.

    Arguments
    ---------
    path : Path
        The file.
    key : str
        Name of the entry.
    found : object
        Its value in the file.
    info : Mapping
        The content of ``model.json``.
    """
    if found != info[key]:
        raise ValueError(
            f"{path} and {MODEL_FILE} do not belong together: {key} are {found!r} in "
            f"{path.name} and {info[key]!r} in {MODEL_FILE}. Export the model again."
        )
