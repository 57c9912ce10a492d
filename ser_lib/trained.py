"""The model of a finished fold, put together again from what the run left behind.

Nothing is trained and no corpus is read: the network comes from the settings that
lie beside the checkpoints, its weights are the average that the fold was tested
with. In a stage-B run, each fine-tuned upstream comes from the stage-A run that
``fold.json`` names.
"""

import json
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import torch
from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.tag import Tag
from speechbrain.utils.checkpoints import Checkpoint

from ser_lib.checkpoints import AtomicCheckpointer, load_average, saved_modules
from ser_lib.finished_folds import finished_folds
from ser_lib.hparams import Settings
from ser_lib.model import EmotionModel
from ser_lib.upstreams.families import class_of_family

_BY_FAMILY = "!apply:ser_lib.upstreams.families.load_upstream"
SETTINGS_FILE = "hyperparams.yaml"


def load_trained(run_folder: str | Path, fold: int) -> tuple[EmotionModel, dict]:
    """Load the averaged model of a finished fold.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of a run, ``<results>/<experiment>/seed_<seed>``. It may
        have been moved together with the work folder beside it.
    fold : int
        Number of the fold.

    Returns
    -------
    EmotionModel
        In eval mode, on the CPU.
    dict
        What ``fold.json`` says, the facts of the training that matter in use, and
        ``definition``: HyperPyYAML that builds the network without weights.

    Raises
    ------
    FileNotFoundError
        If the fold is not finished, or its checkpoints are gone. The message says
        which command makes them.
    ValueError
        If the checkpoints are not those that the fold was tested with.
    """
    run_folder = Path(run_folder)
    facts = read_fold_facts(run_folder, fold)
    settings = _settings(run_folder / SETTINGS_FILE, run_folder)
    folder = _trained_folder(run_folder, fold, settings, facts["trained_in"])
    model, definition = settings["model"], _model_block(settings)
    modules = {
        "downstream": model.downstream,
        "upstreams": model.upstreams.without(settings["finetuned"]),
    }
    averaged = _average(folder, modules, settings["averaged_checkpoints"])
    _check_epochs(folder, averaged, facts["averaged_epochs"])
    for name in settings["finetuned"]:
        encoder, block = _finetuned(run_folder, settings, facts, name)
        model.upstreams[name], definition["upstreams"][name] = encoder, block
    encoders = {}
    for name, upstream in model.upstreams.items():
        block = _with_its_class(definition["upstreams"][name])
        is_described = hasattr(upstream, "without_weights")
        if is_described and isinstance(source := block.get("source"), str):
            encoders[name] = _without_folders(source)
            block["source"] = upstream.without_weights()
        definition["upstreams"][name] = block
    facts |= {"encoders": encoders} | _facts_of_use(settings, definition)
    return model.eval(), facts


def _finetuned(
    run_folder: Path, settings: Settings, facts: Mapping, name: str
) -> tuple[torch.nn.Module, CommentedMap]:
    """Load the one upstream of a stage-A run, and the block that builds it."""
    recorded = facts.get("upstreams_trained_in", {}).get(name)
    wanted = ("finished", "save", SETTINGS_FILE)
    folder = _trained_folder(run_folder, facts["fold"], settings, recorded, wanted)
    stage = _settings(folder / SETTINGS_FILE, run_folder)
    upstreams = stage["model"].upstreams
    k = settings["finetuned"][name]["averaged_checkpoints"]
    _average(folder, {"upstreams": upstreams}, k)
    ((stage_name, encoder),) = upstreams.items()
    return encoder, _model_block(stage)["upstreams"][stage_name]


def read_fold_facts(run_folder: str | Path, fold: int) -> dict:
    """Read ``fold.json`` of a finished fold.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of a run.
    fold : int
        Number of the fold.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    FileNotFoundError
        If there is no run, or the fold is not finished.
    """
    run_folder = Path(run_folder)
    if not (run_folder / SETTINGS_FILE).is_file():
        raise FileNotFoundError(
            f"{run_folder} is not the folder of a run: it has no {SETTINGS_FILE}. "
            f"Expected a folder such as results/fbank_ecapa/seed_1986."
        )
    path = run_folder / f"fold_{fold}" / "fold.json"
    if not path.is_file():
        found = finished_folds(run_folder)
        raise FileNotFoundError(
            f"Fold {fold} of {run_folder} is not finished: {path} is missing. Finished "
            f"are the folds {found or 'none'}. {_command(run_folder, fold)}"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _settings(path: Path, run_folder: Path) -> Settings:
    """Read flattened settings; find local encoders from wherever this runs.

    A source becomes a plain name, also where a function chose it.
    """
    settings = Settings(path.read_text(encoding="utf-8"), path)
    output = settings["output_folder"]
    sources = {}
    for key in settings:
        if key.endswith("_source") and isinstance(source := settings[key], str):
            moved = run_folder / os.path.relpath(source, output)
            is_moved = not Path(source).exists() and moved.exists()
            sources[key] = str(moved.resolve()) if is_moved else source
    return Settings.from_file(path, sources) if sources else settings


def _trained_folder(
    run_folder: Path,
    fold: int,
    settings: Settings,
    recorded: str | None,
    wanted: tuple[str, ...] = ("finished", "save"),
) -> Path:
    """Find a folder of checkpoints: it keeps its place relative to the run's."""
    if recorded is None:
        raise FileNotFoundError(
            f"fold.json of fold {fold} of {run_folder} does not say where its "
            f"upstreams were trained: an older version wrote it. "
            f"{_again(run_folder, fold)}"
        )
    moved = run_folder / os.path.relpath(recorded, settings["output_folder"])
    folder = Path(recorded) if Path(recorded).exists() else moved.resolve()
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"The checkpoints of fold {fold} of {run_folder} are gone, or were left by "
            f"an older version: {folder} has no {', no '.join(missing)}. "
            f"{_again(run_folder, fold)}"
        )
    return folder


def _again(run_folder: Path, fold: int) -> str:
    return (
        f"Delete {run_folder / f'fold_{fold}' / 'fold.json'} and start the run again; "
        f"what is trained is not trained again. {_command(run_folder, fold)}"
    )


def _command(run_folder: Path, fold: int) -> str:
    path = run_folder / SETTINGS_FILE
    settings = Settings(path.read_text(encoding="utf-8"), path)
    return (
        f"The command, in recipes/{settings['corpus']['name']} and with the options of "
        f"the run: python train.py hparams/{settings['experiment']}.yaml "
        f"--data_folder ... --folds {fold}"
    )


def _average(
    folder: Path, modules: Mapping[str, torch.nn.Module], k: int
) -> list[Checkpoint]:
    saved = saved_modules(modules)
    return load_average(AtomicCheckpointer(folder / "save", saved), saved, k)


def _check_epochs(folder: Path, averaged: list[Checkpoint], tested: list[int]) -> None:
    epochs = [checkpoint.meta["epoch"] for checkpoint in averaged]
    if epochs != tested:
        raise ValueError(
            f"{folder} holds other checkpoints than the fold was tested with: expected "
            f"the epochs {tested} (fold.json), found {epochs}. Train the fold again."
        )


def _model_block(settings: Settings) -> CommentedMap:
    """Give the block ``model`` with all references resolved."""
    return YAML().load(resolve_references(settings.text))["model"]


def _with_its_class(block: CommentedMap) -> CommentedMap:
    """Write an upstream that is named by its family as a class and its arguments."""
    if block.tag.value != _BY_FAMILY or "." in block["family"]:
        return block
    upstream, arguments = class_of_family(**block)
    named = CommentedMap(arguments)
    named.yaml_set_ctag(Tag(suffix=f"!new:ser_lib.upstreams.{upstream.__name__}"))
    return named


def _without_folders(source: str) -> str:
    """Give a hub id as it is, and of a path its last part: the rest is this machine."""
    path = Path(source).expanduser()
    return path.name if path.exists() else source


def _facts_of_use(settings: Settings, definition: CommentedMap) -> dict:
    corpus = settings["corpus"]
    text = StringIO()
    _use_lines(definition)
    YAML().dump({"model": definition}, text)
    described = ("name", "licence", "source", "citation")
    return {
        "labels": list(settings["labels"]),
        "sample_rate_hz": settings["sample_rate_hz"],
        "trim_silence_db": settings["trim_silence_db"],
        "min_duration_s": corpus["min_duration_s"],
        "trained_on": {key: corpus.get(key, "not stated") for key in described},
        "note": settings["note"],
        "definition": text.getvalue(),
    }


def _use_lines(node: object) -> None:
    """Write every key on a line of its own; recipes put short blocks in braces."""
    if isinstance(node, CommentedMap):
        node.fa.set_block_style()
    values = node.values() if isinstance(node, CommentedMap) else node
    for value in values if isinstance(node, CommentedMap | CommentedSeq) else ():
        _use_lines(value)
