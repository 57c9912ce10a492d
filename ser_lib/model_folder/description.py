"""The folder of an exported model, and how it is read: checked before it is trusted.

    model.json            labels in order, network, training data, checksums ...
    fold_<k>.safetensors  the weights; an ensemble has several
    hyperparams.yaml, custom_interface.py      for SpeechBrain's foreign_class alone
    README.md             the model card
    model.onnx            where it was asked for

``python -m ser_lib.export`` writes it. A damaged folder, or one whose parts do not
belong together, is refused with the name of the part.
"""

import json
import re
import reprlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save_file

from ser_lib import __version__
from ser_lib.model import EmotionModel
from ser_lib.model_folder.checksums import network_sha256, sha256
from ser_lib.model_folder.network import check_network
from ser_lib.utils.strict_json import read_json

FORMAT = 2
FACTS_FILE = "model.json"
YAML_FILE = "hyperparams.yaml"
INTERFACE_FILE = "custom_interface.py"
CARD_FILE = "README.md"
ONNX_FILE = "model.onnx"
WEIGHT_FILES = "fold_[0-9]*.safetensors"
# What an export writes; anything else in the folder is somebody's own.
OWN_FILES = (
    FACTS_FILE,
    YAML_FILE,
    INTERFACE_FILE,
    CARD_FILE,
    WEIGHT_FILES,
    ONNX_FILE,
    f"{ONNX_FILE}.data",
)

# Facts that the weights are worth nothing without: each file of weights repeats them.
WITNESSED = ("labels", "sample_rate_hz", "trim_silence_db")
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
_KEPT = (*WITNESSED, "min_duration_s", "trained_on", "encoders", "note")
_KEPT_OF_RUN = ("experiment", "seed", "settings_key")
_KEPT_OF_FOLD = ("fold", "averaged_epochs", "valid_accuracy")
PACKAGES = ("torch", "speechbrain", "transformers", "numpy")
_YAML = """# For SpeechBrain's foreign_class alone. model.json describes the network.
pretrainer: !new:ser_lib.model_folder.StrictPretrainer
modules: !ref <pretrainer.members>
"""
_INTERFACE = '''"""For SpeechBrain's foreign_class: the class itself is in ser_lib."""

from ser_lib.inference import EmotionRecognizer

__all__ = ["EmotionRecognizer"]
'''
_MEMBER = re.compile(r"fold_[1-9][0-9]{0,8}")


def write_member(folder: Path, model: EmotionModel, facts: Mapping) -> dict:
    """Write the weights of one fold's model.

    Arguments
    ---------
    folder : Path
        The model folder.
    model : EmotionModel
        The model.
    facts : Mapping
        As ``trained.load_trained`` gives them.

    Returns
    -------
    dict
        What ``model.json`` says about it.
    """
    path = folder / f"fold_{facts['fold']}.safetensors"
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    witness = json.dumps({key: facts[key] for key in WITNESSED})
    save_file(weights, path, metadata={"format": "pt", "facts": witness})
    path.chmod(folder.stat().st_mode & 0o666)  # safetensors makes it its owner's alone
    return {**{key: facts[key] for key in _KEPT_OF_FOLD}, "sha256": sha256(path)}


def write_facts(folder: Path, facts: Mapping, members: Mapping[str, dict]) -> dict:
    """Write all files of a model folder but weights and card.

    Arguments
    ---------
    folder : Path
        The model folder.
    facts : Mapping
        As ``trained.load_trained`` gives them for one of the folds.
    members : Mapping[str, dict]
        What :func:`write_member` gave, by the names fold_<k>.

    Returns
    -------
    dict
        The content of ``model.json``.

    Raises
    ------
    ValueError
        If the model is made of more than networks of this library.
    """
    network = facts["network"]
    check_network(network, f"the experiment {facts['experiment']}")
    (folder / YAML_FILE).write_text(_YAML, encoding="utf-8")
    (folder / INTERFACE_FILE).write_text(_INTERFACE, encoding="utf-8")
    about = {
        "format": FORMAT,
        **{key: facts[key] for key in (*_KEPT, *_KEPT_OF_RUN)},
        "network": network,
        "network_sha256": network_sha256(network),
        "members": dict(members),
        "versions": {"ser_lib": __version__, **{p: version(p) for p in PACKAGES}},
    }
    text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / FACTS_FILE).write_text(text, encoding="utf-8")
    return about


def read_facts(folder: str | Path) -> dict:
    """Read ``model.json`` and check that it says what a model needs.

    Arguments
    ---------
    folder : str | Path
        A model folder.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    FileNotFoundError
        If the folder has no such file.
    ValueError
        If it is damaged, or of another format.
    """
    path = Path(folder) / FACTS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a model folder: it has no {FACTS_FILE}. Expected what "
            f"python -m ser_lib.export writes. It holds: "
            f"{sorted(p.name for p in Path(folder).iterdir()) or 'nothing'}."
        )
    facts = read_json(path)
    found = facts.get("format") if isinstance(facts, dict) else None
    if found == 1:
        raise ValueError(
            f"{folder} has the format 1 of an older version, whose hyperparams.yaml "
            f"could run code and is no longer read. Export the model from its run "
            f"again: python -m ser_lib.export RUN_FOLDER {folder}"
        )
    if found != FORMAT:
        raise ValueError(
            f"{path} has the format {reprlib.repr(found)}; this version of ser_lib "
            f"reads format {FORMAT}. Install the version that wrote it, or export the "
            f"model again."
        )
    for key, kind in _KINDS.items():
        if not isinstance(facts.get(key), kind):
            raise ValueError(
                f"{path} is damaged: {key} is {reprlib.repr(facts.get(key))}, expected "
                f"{kind.__name__ if isinstance(kind, type) else 'a number'}."
            )
    _check_numbers(path, facts)
    _check_labels_and_members(path, facts)
    check_network(facts["network"], path)
    if network_sha256(facts["network"]) != facts["network_sha256"]:
        raise ValueError(
            f"{path} was changed or damaged: its network has another SHA-256 than "
            f"network_sha256. Copy, download or export the folder again."
        )
    return facts


def _check_numbers(path: Path, facts: Mapping) -> None:
    for key, (least, most) in _RANGES.items():
        if facts[key] is not None and not least <= facts[key] <= most:
            raise ValueError(
                f"{path} is damaged: {key} is {reprlib.repr(facts[key])}, expected "
                f"{least} to {most}."
            )


def _check_labels_and_members(path: Path, facts: Mapping) -> None:
    labels, members = facts["labels"], facts["members"]
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


def check_same(path: Path, key: str, found: object, facts: Mapping) -> None:
    """Compare a fact that a file of the folder repeats.

    Arguments
    ---------
    path : Path
        The file.
    key : str
        Name of the fact.
    found : object
        What the file says.
    facts : Mapping
        As :func:`read_facts` gives them.

    Raises
    ------
    ValueError
        If they differ.
    """
    if found != facts[key]:
        raise ValueError(
            f"{path} and {FACTS_FILE} do not belong together: {key} are {found!r} in "
            f"{path.name} and {facts[key]!r} in {FACTS_FILE}. Export the model again."
        )
