"""Cache keys: a hash of everything that can change a trained fold or its frames.

The folders of trained folds and frames are named by such a key. A run with other
settings, data or encoder weights gets another folder; one that differs only in
harmless settings (workers, logging, folders) gets the same.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechbrain.utils.run_opts import RunOptions

from ser_lib.settings import Settings
from ser_lib.training.finetuning import finetuning_settings
from ser_lib.upstreams import (
    FRAME_SUFFIXES,
    NEEDED_FILES,
    SUFFIXES,
    WEIGHT_FILES,
    local_checkpoint,
    local_encoder,
)
from ser_lib.utils.digests import digest
from ser_lib.utils.distributed import n_processes

# Increase by hand when a change of the code changes scores (see CHANGELOG.md).
SCORES_VERSION = 2
_ADAPTERS_VERSION = 2  # the same for runs with adapters

_MODULE_PATH = re.compile(r"^(!\w+:)ser_lib\.(?:\w+\.)*(?=\w+$)")
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "vocab.txt")

# Where a run reads and writes, and how it goes about it: no result depends on these.
HOW_IT_RUNS = {
    "data_folder",
    "results_folder",
    "output_folder",
    "cache_folder",
    "save_folder",
    "folds",
    "prepare_only",
    "skip_prep",
    "show_hparams",
    "export_to",
    "list_errors",
    "num_workers",
    "keep_audio_in_memory",
    "frozen_cache_gb",
    "tensorboard",
}
# Settings that cannot change a trained fold. The key of a fold includes its data and
# the weights of encoders; averaged_checkpoints is in result_key.
WITHOUT_EFFECT = HOW_IT_RUNS | {
    "experiment",
    "note",
    "paper",
    "averaged_checkpoints",
    "corpus",
    "corpora",
    "label_map",
    "utterances",
    "read_corpus",
    "make_folds",
    "csv",
    "folds_by",
    "fold_by",
    "n_folds",
}
# Settings that came later: with this value, nothing changes and the key has none.
ADDED = {"modality_dropout": 0, "tasks": {}}
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
    """Hash the settings and run options that can change a trained fold."""
    options = {name: getattr(run_opts, name) for name in RUN_OPTIONS_WITH_EFFECT}
    if n_processes() > 1:  # each process adds a batch to every step
        options["processes"] = n_processes()
    return _settings_key(settings, tuple(sorted(options.items())))


@lru_cache(maxsize=100)  # settings are immutable, and a plan needs many keys
def _settings_key(settings: Settings, options: tuple[tuple[str, Any], ...]) -> str:
    tree = _without_modules(settings.unresolved())
    kept = {key: value for key, value in tree.items() if key not in WITHOUT_EFFECT}
    kept = {k: v for k, v in kept.items() if k not in ADDED or v != ADDED[k]}
    for key in kept:
        if key.endswith("_source"):
            kept[key] = encoder_digest(settings[key])
        elif key.endswith("frames_folder"):
            kept[key] = _frames_digest(Path(settings[key]))
    if kept.get("lora") is not None:
        kept["lora"] = [kept["lora"], _ADAPTERS_VERSION]
    kept["labels"] = list(settings["labels"])
    kept["finetuned"] = {
        name: [
            _settings_key(finetuning_settings(settings, name), options),
            block["averaged_checkpoints"],
        ]
        for name, block in settings["finetuned"].items()
    }
    return digest([SCORES_VERSION, kept, options])


def result_key(settings: Settings, run_opts: RunOptions) -> str:
    """Hash everything that scores depend on, except the folds."""
    return digest([settings_key(settings, run_opts), settings["averaged_checkpoints"]])


def _without_modules(tree: Any) -> Any:
    """Remove module paths of ser_lib classes, so that moving one keeps the key."""
    if isinstance(tree, dict):
        return {
            _MODULE_PATH.sub(r"\1", k): _without_modules(v) for k, v in tree.items()
        }
    return [_without_modules(v) for v in tree] if isinstance(tree, list) else tree


def encoder_digest(source: str | None) -> str:
    """Hash the files of an encoder, wherever they are.

    Arguments
    ---------
    source : str | None
        Local folder or hub id of an encoder in Hugging Face's format; a checkpoint
        file, a folder with one, or a file on the hub; None for an upstream without
        weights.
    """
    if source is None:
        return digest(None)
    if _is_checkpoint(source):
        path = local_checkpoint(source)
        beside = path.with_name("config.yaml")  # emotion2vec reads it
        files = [path, beside] if beside.is_file() else [path]
        digests = [_file_digest(p, p.stat().st_mtime_ns) for p in files]
        return digest(digests if len(files) > 1 else digests[0])
    folder = local_encoder(source, needed=["config.json"])
    names = {*NEEDED_FILES, *TOKENIZER_FILES, *WEIGHT_FILES}
    found = [p for p in folder.iterdir() if p.name in names or p.suffix == ".bin"]
    shards = [p for p in folder.glob("*.safetensors") if p not in found]
    return digest(
        {p.name: _file_digest(p, p.stat().st_mtime_ns) for p in [*found, *shards]}
    )


def adapted_encoders(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each encoder if adapters are trained, by setting.

    Checkpoints of adapters do not hold their encoder, so they record it.
    """
    if settings["lora"] is None:
        return {}
    sources = [key for key in settings if key.endswith("_source")]
    return {key: encoder_digest(settings[key]) for key in sources}


def _frames_digest(folder: Path) -> str:
    """Hash all files of frames in a folder, wherever it is."""
    paths = [p for p in folder.rglob("*") if p.suffix in FRAME_SUFFIXES and p.is_file()]
    return digest(
        {
            str(p.relative_to(folder)): _file_digest(p, p.stat().st_mtime_ns)
            for p in sorted(paths)
        }
    )


def _is_checkpoint(source: str) -> bool:
    """Return whether a source is a single file, here or on the hub."""
    path = Path(source).expanduser()
    if path.is_dir():
        has_checkpoint = any(p.suffix in SUFFIXES for p in path.iterdir())
        return has_checkpoint and not (path / "config.json").is_file()
    is_local = path.is_absolute() or source.startswith((".", "~"))
    return path.is_file() or (source.count("/") > 1 and not is_local)


@lru_cache  # keys are computed several times per fold; encoders take gigabytes
def _file_digest(path: Path, modified_ns: int) -> str:
    del modified_ns  # part of the cache's key
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
