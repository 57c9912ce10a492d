"""Load the model of a finished fold from the files of its run.

Nothing is trained and no corpus is read. The network comes from the settings next to
the checkpoints, labels and corpus.yaml from the folder of the run, and the weights are
the average that was tested. Each fine-tuned upstream comes from the fine-tuning run
that ``fold.json`` names.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from speechbrain.utils.checkpoints import Checkpoint
from torch import nn

from ser_lib.evaluation import (
    calibration_of,
    calibration_rows,
    collect,
    fold_status,
    read_labels,
)
from ser_lib.export.description import describe_network
from ser_lib.folds import CORPUS_FILE
from ser_lib.model import EmotionModel
from ser_lib.model_folder import MODEL_FILE, describe_tasks
from ser_lib.settings import Settings, Task
from ser_lib.training import (
    AtomicCheckpointer,
    adapted_encoders,
    choose_weights,
    load_average,
    saved_modules,
)
from ser_lib.upstreams import Adapters, merge_lora, take_lora

SETTINGS_FILE = "hyperparams.yaml"
_CHECKPOINTS = ("finished", "save", SETTINGS_FILE)


def load_trained(
    run_folder: str | Path, fold: int, merged: bool = True
) -> tuple[EmotionModel, dict]:
    """Load the averaged model of a finished fold.

    Arguments
    ---------
    run_folder : str | Path
        The output folder of a run, ``<results>/<experiment>/seed_<seed>``. It may
        have been moved together with the work folder next to it.
    fold : int
        Number of the fold.
    merged : bool
        Whether adapters are added to the encoders. If not, the encoders are those from
        before the training.

    Returns
    -------
    EmotionModel
        In eval mode, on the CPU.
    dict
        The entries of ``fold.json``, what a user of the model needs to know,
        ``network``, a description of the model (see ``model_folder/network.py``), and
        ``adapters``: upstream -> :class:`ser_lib.upstreams.Adapters` not merged.

    Raises
    ------
    FileNotFoundError
        If the fold is not finished, or its checkpoints are missing. The message has
        the command that creates them.
    ValueError
        If the checkpoints are not those that were tested, a file of the run is damaged,
        or an older version wrote it without what its model needs.
    """
    run_folder = Path(run_folder)
    fold_info = read_fold_info(run_folder, fold)
    recorded = _recorded_settings(run_folder, fold)
    folder = _trained_folder(run_folder, fold_info, fold_info["trained_in"])
    settings = _settings(folder, run_folder, recorded)
    model, block = settings["model"], _model_block(settings)
    tasks = [Task.from_json(entries) for entries in fold_info.get("tasks", [])][1:]
    model.downstream.add_heads({task.name: task.size for task in tasks})
    if model.standardise_by != settings["standardise_by"]:
        raise ValueError(
            f"{run_folder} cannot be exported: an older version trained it with "
            f"standardise_by: {settings['standardise_by']}, and did not keep the "
            f"statistics of its training part. Run the experiment again."
        )
    modules = {
        "downstream": model.downstream,
        "upstreams": model.upstreams.without(settings["finetuned"]),
        "standardisers": model.standardisers,
    }
    choose_weights(modules["upstreams"], settings)
    averaged = _average(folder, modules, len(fold_info["averaged_epochs"]))
    _check_epochs(folder, averaged, fold_info["averaged_epochs"])
    _check_encoders(settings, averaged)
    for name in settings["finetuned"]:
        trained_in = fold_info.get("upstreams_trained_in", {}).get(name)
        stage = _trained_folder(run_folder, fold_info, trained_in)
        stage_settings = _settings(stage, run_folder, recorded)
        k = settings["finetuned"][name]["averaged_checkpoints"]
        encoder, stage_block = _finetuned(stage, stage_settings, k)
        model.upstreams[name], block["upstreams"][name] = encoder, stage_block
    adapters = {} if merged else _adapters(model)
    merge_lora(model)
    network, encoders = describe_network(model.eval(), block)
    network |= {"tasks": describe_tasks(tasks)} if tasks else {}
    labels = settings["labels"]
    rows = calibration_rows(collect(run_folder, labels, fold_info["settings_key"]))
    calibration = calibration_of(rows[fold], labels) if fold in rows else {}
    fold_info |= {"network": network, "encoders": encoders, "calibration": calibration}
    fold_info["adapters"] = adapters
    return model, fold_info | _usage_info(settings)


def read_fold_info(run_folder: str | Path, fold: int) -> dict:
    """Read ``fold.json`` of a finished fold.

    Raises
    ------
    FileNotFoundError
        If the folder is not that of a run, or the fold is not a finished fold of it.
    ValueError
        If the file is damaged.
    """
    run_folder = Path(run_folder)
    if (run_folder / MODEL_FILE).is_file():
        raise FileNotFoundError(
            f"{run_folder} is a model folder (the output of an export). Expected the "
            f"folder of a run, such as results/fbank_ecapa/seed_1986."
        )
    if not (run_folder / SETTINGS_FILE).is_file():
        raise FileNotFoundError(
            f"{run_folder} is not the folder of a run: it has no {SETTINGS_FILE}. "
            f"Expected a folder such as results/fbank_ecapa/seed_1986."
        )
    finished = fold_status.finished_folds(run_folder)
    if fold not in finished:
        reasons = fold_status.left_out_folds(run_folder)
        reason = reasons.get(f"fold_{fold}", "the run has no such fold")
        command = _command(run_folder, fold) if f"fold_{fold}" in reasons else ""
        raise FileNotFoundError(
            f"Fold {fold} of {run_folder} cannot be used: {reason}. Finished folds: "
            f"{finished or 'none'}. {command}".rstrip()
        )
    return fold_status.read_fold_info(run_folder / f"fold_{fold}")


def _recorded_settings(run_folder: Path, fold: int) -> dict[str, Any]:
    """Return the corpus and labels that the run used, even if its table has changed."""
    path = run_folder / CORPUS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{run_folder} has no {CORPUS_FILE}: it was lost, or an older version "
            f"wrote the run. Run train.py with --prepare_only True to write it again."
        )
    try:
        corpus = YAML(typ="safe").load(path)["corpus"]
    except (YAMLError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({type(error).__name__}).") from error
    labels = read_labels(run_folder / f"fold_{fold}" / "predictions.csv")
    return {"corpus": {**corpus, "labels": labels}, "labels": labels}


def _finetuned(
    folder: Path, settings: Settings, k: int
) -> tuple[nn.Module, CommentedMap]:
    """Load the upstream of a fine-tuning run, and the settings that build it."""
    upstreams = settings["model"].upstreams
    choose_weights(upstreams, settings)
    _check_encoders(settings, _average(folder, {"upstreams": upstreams}, k))
    ((name, encoder),) = upstreams.items()
    return encoder, _model_block(settings)["upstreams"][name]


def _settings(folder: Path, run_folder: Path, recorded: Mapping[str, Any]) -> Settings:
    """Read the settings of a training; find local encoders even if the run was moved.

    A source becomes a plain string, even if a function chose it.
    """
    path = folder / SETTINGS_FILE
    settings = Settings.from_file(path, recorded)
    sources = {}
    for key in settings:
        if key.endswith("_source") and isinstance(source := settings[key], str):
            moved = run_folder / os.path.relpath(source, settings["output_folder"])
            is_moved = not Path(source).exists() and moved.exists()
            sources[key] = str(moved.resolve()) if is_moved else source
    return Settings.from_file(path, {**recorded, **sources}) if sources else settings


def _trained_folder(
    run_folder: Path, fold_info: Mapping, trained_in: str | None
) -> Path:
    """Find a folder of checkpoints, also if it was moved together with the run."""
    fold = fold_info["fold"]
    if trained_in is None:
        raise FileNotFoundError(
            f"fold.json of fold {fold} of {run_folder} does not say where its "
            f"upstreams were trained: an older version wrote it. "
            f"{_remedy(run_folder, fold)}"
        )
    output_folder = Settings.from_file(run_folder / SETTINGS_FILE)["output_folder"]
    moved = run_folder / os.path.relpath(trained_in, output_folder)
    folder = Path(trained_in) if Path(trained_in).exists() else moved.resolve()
    missing = [name for name in _CHECKPOINTS if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"The checkpoints of fold {fold} of {run_folder} are missing or from an "
            f"older version: {folder} has no {', no '.join(missing)}. "
            f"{_remedy(run_folder, fold)}"
        )
    return folder


def _remedy(run_folder: Path, fold: int) -> str:
    return (
        f"Delete {run_folder / f'fold_{fold}' / 'fold.json'} and start the run again; "
        f"finished trainings are not repeated. {_command(run_folder, fold)}"
    )


def _command(run_folder: Path, fold: int) -> str:
    experiment = Settings.from_file(run_folder / SETTINGS_FILE)["experiment"]
    return (
        f"In the folder of the recipe, with the options of the run: python train.py "
        f"hparams/{experiment}.yaml --folds {fold}"
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
            f"{folder} has other checkpoints than those tested: expected the epochs "
            f"{tested} (fold.json), found {epochs}. Train the fold again."
        )


def _check_encoders(settings: Settings, averaged: list[Checkpoint]) -> None:
    """Check that adapters are loaded into the encoders that they were trained in."""
    for checkpoint in averaged if settings["lora"] is not None else []:
        expected = checkpoint.meta.get("encoders")
        if expected is None:
            raise ValueError(
                f"An older version trained the adapters in {checkpoint.path} and "
                f"averaged them in another way. Run the experiment again."
            )
        for key, found in adapted_encoders(settings).items():
            if found != expected.get(key):
                raise ValueError(
                    f"The adapters in {checkpoint.path} were trained in another "
                    f"encoder: {key} is {settings[key]} with the digest {found}, "
                    f"expected {expected.get(key)}. Restore its files."
                )


def _adapters(model: EmotionModel) -> dict[str, Adapters]:
    taken = {name: take_lora(upstream) for name, upstream in model.upstreams.items()}
    return {name: adapters for name, adapters in taken.items() if adapters}


def _model_block(settings: Settings) -> CommentedMap:
    """Return the settings block ``model`` with all references resolved."""
    return YAML().load(resolve_references(settings.text))["model"]


def _usage_info(settings: Settings) -> dict:
    corpus = settings["corpus"]
    described = ("name", "licence", "source", "citation")
    return {
        "labels": list(settings["labels"]),
        "sample_rate_hz": settings["sample_rate_hz"],
        "trim_silence_db": settings["trim_silence_db"],
        "min_duration_s": corpus["min_duration_s"],
        "trained_on": {key: corpus.get(key, "not stated") for key in described},
        "note": settings["note"],
    }
