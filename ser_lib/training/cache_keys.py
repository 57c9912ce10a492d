"""Names for what is computed once: a hash of everything that can change it.

A trained fold and a store of frames stand in folders named by such a key. A run
with other settings, other data or other encoder weights gets another folder; one
that differs in something harmless (workers, logging, folders) gets the same.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechbrain.utils.run_opts import RunOptions

from ser_lib.settings import Settings
from ser_lib.training.finetuning import stage_settings
from ser_lib.upstreams import (
    NEEDED_FILES,
    SUFFIXES,
    WEIGHT_FILES,
    local_checkpoint,
    local_encoder,
)
from ser_lib.utils.digests import digest
from ser_lib.utils.distributed import n_processes

# Raised by hand when a change of the code moves figures (see CHANGELOG.md).
SCORES_VERSION = 2

_OF_SER_LIB = re.compile(r"^(!\w+:)ser_lib\.(?:\w+\.)*(?=\w+$)")
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "vocab.txt")

# Settings that cannot change a trained fold. The corpus acts through the manifest,
# an encoder through its weights, checkpoints through the averaging that reads them.
WITHOUT_EFFECT = {
    "experiment",
    "data_folder",
    "results_folder",
    "output_folder",
    "cache_folder",
    "save_folder",
    "folds",
    "prepare_only",
    "show_hparams",
    "note",
    "export_to",
    "paper",
    "list_errors",
    "num_workers",
    "keep_audio_in_memory",
    "frozen_cache_gb",
    "tensorboard",
    "averaged_checkpoints",
    "corpus",
    "read_corpus",
    "make_folds",
    "csv",
    "fold_by",
    "n_folds",
}
RUN_OPTIONS_WITH_EFFECT = (
    "debug",
    "debug_batches",
    "debug_epochs",
    "precision",
    "eval_precision",
    "max_grad_norm",
    "skip_nonfinite_grads",
    "grad_accumulation_factor",
    "optimizer_step_limit",
)


def settings_key(settings: Settings, run_opts: RunOptions) -> str:
    """Hash the settings and run options that can change a trained fold.

    Arguments
    ---------
    settings : Settings
        Flattened settings of an experiment.
    run_opts : RunOptions
        SpeechBrain's run options.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    options = {name: getattr(run_opts, name) for name in RUN_OPTIONS_WITH_EFFECT}
    if n_processes() > 1:  # each adds a batch to every step
        options["processes"] = n_processes()
    return _settings_key(settings, tuple(sorted(options.items())))


@lru_cache(maxsize=100)  # settings do not change, and a plan asks for many keys
def _settings_key(settings: Settings, options: tuple[tuple[str, Any], ...]) -> str:
    tree = _without_places(settings.unresolved())
    kept = {key: value for key, value in tree.items() if key not in WITHOUT_EFFECT}
    for key in kept:
        if key.endswith("_source"):
            kept[key] = encoder_digest(settings[key])
    kept["labels"] = list(settings["corpus"]["labels"])
    kept["finetuned"] = {
        name: [
            _settings_key(stage_settings(settings, name), options),
            block["averaged_checkpoints"],
        ]
        for name, block in settings["finetuned"].items()
    }
    return digest([SCORES_VERSION, kept, options])


def result_key(settings: Settings, run_opts: RunOptions) -> str:
    """Hash what the scores of an experiment depend on, apart from the folds.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    return digest([settings_key(settings, run_opts), settings["averaged_checkpoints"]])


def _without_places(tree: Any) -> Any:
    """Name objects of ser_lib by class alone, so that a moved module keeps its key."""
    if isinstance(tree, dict):
        return {_OF_SER_LIB.sub(r"\1", k): _without_places(v) for k, v in tree.items()}
    return [_without_places(v) for v in tree] if isinstance(tree, list) else tree


def encoder_digest(source: str | None) -> str:
    """Hash the files of an encoder, so that its place does not matter.

    Arguments
    ---------
    source : str | None
        Local folder or hub id of an encoder in Hugging Face's format; a checkpoint
        file, a folder that holds one, or a file on the hub; None for an upstream
        without weights.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    if source is None:
        return digest(None)
    if _is_checkpoint(source):
        path = local_checkpoint(source)
        return digest(_file_digest(path, path.stat().st_mtime_ns))
    folder = local_encoder(source, needed=["config.json"])
    wanted = {*NEEDED_FILES, *TOKENIZER_FILES, *WEIGHT_FILES}
    found = [p for p in folder.iterdir() if p.name in wanted or p.suffix == ".bin"]
    shards = [p for p in folder.glob("*.safetensors") if p not in found]
    return digest(
        {p.name: _file_digest(p, p.stat().st_mtime_ns) for p in [*found, *shards]}
    )


def _is_checkpoint(source: str) -> bool:
    """Tell a single file, here or on the hub, from a Hugging Face folder."""
    path = Path(source).expanduser()
    if path.is_dir():
        holds_one = any(p.suffix in SUFFIXES for p in path.iterdir())
        return holds_one and not (path / "config.json").is_file()
    is_local = path.is_absolute() or source.startswith((".", "~"))
    return path.is_file() or (source.count("/") > 1 and not is_local)


@lru_cache  # keys are made several times a fold, and encoders have gigabytes
def _file_digest(path: Path, modified_ns: int) -> str:
    del modified_ns  # part of the cache's key
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
