"""The folder of an exported model, and how it is read: checked before it is trusted.

    model.json            labels in order, sample rate, folds, training data, checksums
    hyperparams.yaml      builds the network, without weights (see model_yaml.py)
    fold_<k>.safetensors  the weights; an ensemble has several
    custom_interface.py   names the class, for SpeechBrain's foreign_class
    README.md             the model card

``python -m ser_lib.export`` writes it. A damaged folder, or one whose parts do not
belong together, is refused with the name of the part.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import save_file

from ser_lib import __version__
from ser_lib.model import EmotionModel
from ser_lib.model_yaml import checked_yaml, model_yaml

FORMAT = 1
FACTS_FILE = "model.json"
YAML_FILE = "hyperparams.yaml"

# Facts that the weights are worth nothing without: each file of weights repeats them.
WITNESSED = ("labels", "sample_rate_hz", "trim_silence_db")
_KINDS = {
    "labels": list,
    "sample_rate_hz": int,
    "trim_silence_db": (int, float, type(None)),
    "min_duration_s": (int, float),
    "members": dict,
    "trained_on": dict,
    "versions": dict,
    "hyperparams_sha256": str,
}
_KEPT = (*WITNESSED, "min_duration_s", "trained_on", "encoders", "note")
_KEPT_OF_RUN = ("experiment", "seed", "settings_key")
_KEPT_OF_FOLD = ("fold", "averaged_epochs", "valid_accuracy")
PACKAGES = ("torch", "speechbrain", "transformers", "hyperpyyaml", "numpy")
_INTERFACE = '''"""For SpeechBrain's foreign_class: the class itself is in ser_lib."""

from ser_lib.inference import EmotionRecognizer

__all__ = ["EmotionRecognizer"]
'''
_MEMBER = re.compile(r"fold_[1-9][0-9]*")


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
    text = model_yaml(facts["definition"], list(members))
    checked_yaml(text, f"The model of {facts['experiment']}")
    (folder / YAML_FILE).write_text(text, encoding="utf-8")
    (folder / "custom_interface.py").write_text(_INTERFACE, encoding="utf-8")
    about = {
        "format": FORMAT,
        **{key: facts[key] for key in (*_KEPT, *_KEPT_OF_RUN)},
        "members": dict(members),
        "hyperparams_sha256": sha256(folder / YAML_FILE),
        "versions": {"ser_lib": __version__, **{p: version(p) for p in PACKAGES}},
    }
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
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
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged, it is no JSON: {error}.") from error
    found = facts.get("format") if isinstance(facts, dict) else None
    if found != FORMAT:
        raise ValueError(
            f"{path} has the format {found!r}; this version of ser_lib reads format "
            f"{FORMAT}. Install the version that wrote it, or export the model again."
        )
    for key, kind in _KINDS.items():
        if not isinstance(facts.get(key), kind):
            raise ValueError(
                f"{path} is damaged: {key} is {facts.get(key)!r}, expected "
                f"{kind.__name__ if isinstance(kind, type) else 'a number'}."
            )
    _check_labels_and_members(path, facts)
    return facts


def _check_labels_and_members(path: Path, facts: Mapping) -> None:
    labels, members = facts["labels"], facts["members"]
    if len(labels) < 2 or len(set(map(str, labels))) < len(labels):
        raise ValueError(f"{path}: labels are {labels}, expected different names.")
    wrong = [name for name in members if not _MEMBER.fullmatch(name)]
    if wrong or not members:
        raise ValueError(
            f"{path}: members are {wrong or 'none'}, expected fold_1, fold_2 and so on."
        )


def read_yaml(folder: str | Path, facts: Mapping) -> str:
    """Read ``hyperparams.yaml`` and compare its checksum.

    Arguments
    ---------
    folder : str | Path
        A model folder.
    facts : Mapping
        As :func:`read_facts` gives them.

    Returns
    -------
    str
        Its content, which is not checked for what it builds.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is missing, or not the file that was exported.
    """
    path = Path(folder) / YAML_FILE
    check_sum(path, facts["hyperparams_sha256"])
    return path.read_text(encoding="utf-8")


def sha256(path: Path) -> str:
    """Hash a file.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def check_sum(path: Path, expected: str) -> None:
    """Compare a file of a model folder with its checksum.

    Arguments
    ---------
    path : Path
        The file.
    expected : str
        Its SHA-256, as ``model.json`` has it.

    Raises
    ------
    FileNotFoundError, ValueError
        If it is missing, or has another.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"The model folder {path.parent} is incomplete: it has no {path.name}. "
            f"Copy, download or export it again."
        )
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} was changed or damaged: its SHA-256 is {found[:12]}..., "
            f"{FACTS_FILE} expects {str(expected)[:12]}.... Copy, download or export "
            f"the folder again."
        )


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
