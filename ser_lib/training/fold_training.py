"""Training one fold: the two stages of Morais et al. (2022), section 2.

``train_fold`` trains an experiment on a fold, or finds it trained. In a stage-B
experiment it first asks ``stored_frames`` for the frames of each fine-tuned upstream;
that trains the stage-A experiment in the same way, averages its checkpoints and
computes the frames once.
"""

import gc
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything
from torch.utils.data import DataLoader

from ser_lib.dataio import (
    FrameStore,
    check_space,
    encode_all,
    evaluation_sampler,
    join_stores,
    make_audio_reader,
    make_loader,
    make_loaders,
    write_frames,
)
from ser_lib.folds import Fold, fold_digest
from ser_lib.model import Upstreams
from ser_lib.settings import Settings
from ser_lib.training.brain import EmotionBrain
from ser_lib.training.cache_keys import settings_key
from ser_lib.training.checkpoints import AtomicCheckpointer, saved_modules
from ser_lib.training.finetuning import stage_settings
from ser_lib.upstreams import SpeechEncoder
from ser_lib.utils.digests import digest
from ser_lib.utils.distributed import locked, n_processes, process_rank
from ser_lib.utils.files import atomic_path
from ser_lib.utils.seeds import epoch_seed

logger = get_logger(__name__)


def trained_folder(settings: Settings, fold: Fold, run_opts: RunOptions) -> Path:
    """Name the folder of a trained fold by all that can change it.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    fold : Fold
        The fold.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    Path
        Holds a file ``finished`` once the fold is trained.
    """
    key = digest([settings_key(settings, run_opts), fold_digest(fold)])
    name = f"{settings['experiment']}-fold_{fold.number}-{key}"
    return Path(settings["cache_folder"]) / "trained" / name


def frames_folder(
    settings: Settings, upstream: str, fold: Fold, run_opts: RunOptions
) -> Path:
    """Name the folder of the frames of a fine-tuned upstream.

    Arguments
    ---------
    settings : Settings
        Settings of a stage-B experiment.
    upstream : str
        A key of its ``finetuned`` block.
    fold : Fold
        The fold.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    Path
        Experiments with the same stage A share it.
    """
    stage = stage_settings(settings, upstream)
    k = settings["finetuned"][upstream]["averaged_checkpoints"]
    key = digest([settings_key(stage, run_opts), k, fold_digest(fold)])
    name = f"{stage['experiment']}-fold_{fold.number}-{key}"
    return Path(settings["cache_folder"]) / "frames" / name


def train_fold(
    settings: Settings, fold: Fold, run_opts: RunOptions
) -> tuple[EmotionBrain, dict[str, DataLoader]]:
    """Train a fold, or go on with it, or find it trained.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    fold : Fold
        The fold.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    EmotionBrain
        The Brain; its checkpoints hold the training.
    dict[str, DataLoader]
        Loaders of the parts: train, valid, test.

    Raises
    ------
    ValueError
        If an upstream reads transcripts and an utterance has none.
    """
    folder = trained_folder(settings, fold, run_opts)
    stores = {
        upstream: stored_frames(settings, upstream, fold, run_opts)
        for upstream in settings["finetuned"]
    }
    with locked(folder):
        if if_main_process():  # for ser_lib/export/finished_fold.py
            with atomic_path(folder / "hyperparams.yaml") as unfinished:
                unfinished.write_text(settings.text, encoding="utf-8")
        seed_everything(epoch_seed(settings["seed"], fold.number, 0), verbose=False)
        hparams = settings.build(fold=fold.number, save_folder=str(folder))
        brain = make_brain(hparams, stores, run_opts, folder)
        inputs = fold_inputs(settings, brain.reads, fold) | stores
        loaders = make_loaders(hparams, fold, inputs)
        brain.train_sampler = loaders["train"].batch_sampler
        if not (folder / "finished").is_file():
            logger.info("Training fold %d of %s.", fold.number, settings["experiment"])
            valid = loaders.get("valid")  # None: the fold validates nothing
            brain.fit(hparams["epoch_counter"], loaders["train"], valid)
            (folder / "finished").touch()
    return brain, loaders


def stored_frames(
    settings: Settings, upstream: str, fold: Fold, run_opts: RunOptions
) -> FrameStore:
    """Compute the frames of a fine-tuned upstream for a fold, or find them.

    Arguments
    ---------
    settings : Settings
        Settings of the stage-B experiment.
    upstream : str
        A key of its ``finetuned`` block.
    fold : Fold
        The fold; frames of all its parts are stored.
    run_opts : RunOptions
        Run options.

    Returns
    -------
    FrameStore
        Gives frames by utterance id.
    """
    folder = frames_folder(settings, upstream, fold, run_opts)
    with locked(folder):
        try:
            return FrameStore(folder)
        except FileNotFoundError:
            pass
        except ValueError as error:
            logger.warning("%s It is computed again.", error)
        ddp_barrier()  # all have looked before anything is written
        stage = stage_settings(settings, upstream)
        brain, _ = train_fold(stage, fold, run_opts)
        brain.load_average(settings["finetuned"][upstream]["averaged_checkpoints"])
        _encode_fold(stage, fold, brain, folder)
    del brain
    gc.collect()
    torch.cuda.empty_cache()
    return FrameStore(folder)


def _encode_fold(
    stage: Settings, fold: Fold, brain: EmotionBrain, folder: Path
) -> None:
    """Write the frames of a stage-A Brain's one upstream; each process its share."""
    ((name, encoder),) = brain.upstreams.items()
    utterances = [*fold.train, *fold.valid, *fold.test]
    check_space(folder, utterances, encoder, stage["sample_rate_hz"])
    loader = make_loader(
        utterances,
        brain.hparams.labels,
        fold_inputs(stage, brain.reads, fold),
        evaluation_sampler(vars(brain.hparams), utterances),
        stage["num_workers"],
    )
    show = not brain.noprogressbar and if_main_process()
    label = f"frames of {stage['experiment']}"
    frames = encode_all(loader, encoder, label, brain.device, show)
    if n_processes() == 1:
        write_frames(folder, encoder.dim, frames)
        return
    write_frames(folder / f"part_{process_rank()}", encoder.dim, frames)
    ddp_barrier()
    if if_main_process():
        parts = [folder / f"part_{rank}" for rank in range(n_processes())]
        join_stores(folder, [FrameStore(part) for part in parts])
        for part in parts:
            shutil.rmtree(part)


def fold_inputs(settings: Settings, reads: set[str], fold: Fold) -> dict:
    """Say where the upstreams that run in training get their input from.

    Arguments
    ---------
    settings : Settings
        Settings of the experiment.
    reads : set[str]
        ``wav``, ``text``, both or neither.
    fold : Fold
        The fold.

    Returns
    -------
    dict
        For ``make_loader``.

    Raises
    ------
    ValueError
        If transcripts are wanted and an utterance has none.
    """
    if "text" in reads:
        rows = [*fold.train, *fold.valid, *fold.test]
        empty = [u.id for u in rows if not u.text.strip()]
        if empty:
            raise ValueError(
                f"{settings['experiment']} reads transcripts, and {len(empty)} of "
                f"{len(rows)} utterances of {settings['corpus']['name']} have none, "
                f"the first is {empty[0]}. Give transcripts, or choose an experiment "
                f"on speech alone."
            )
    sources = {"wav": make_audio_reader(settings), "text": None}
    return {name: sources[name] for name in sorted(reads)}


def _cache_frozen_states(hparams: dict, upstreams: Upstreams) -> None:
    if hparams["crop_s"] is not None or hparams["wav_augment"] is not None:
        raise ValueError(
            "frozen_cache_gb is given, but crop_s or wav_augment change the audio in "
            "every epoch, so nothing could be used again. Give one or the other."
        )
    for upstream in upstreams.values():
        if isinstance(upstream, SpeechEncoder) and upstream.has_frozen_states:
            upstream.keep_states(hparams["frozen_cache_gb"])


def make_brain(
    hparams: dict, stores: Mapping[str, FrameStore], run_opts: RunOptions, folder: Path
) -> EmotionBrain:
    """Put model, checkpointer and settings together.

    Arguments
    ---------
    hparams : dict
        Built settings.
    stores : Mapping[str, FrameStore]
        Upstreams whose frames are stored; the others run in training.
    run_opts : RunOptions
        Run options.
    folder : Path
        Where checkpoints go.

    Returns
    -------
    EmotionBrain
        Ready to fit, or to load the average of its checkpoints.
    """
    model = hparams["model"]
    modules = {"downstream": model.downstream}
    running = model.upstreams.without(stores)
    if hparams["frozen_cache_gb"]:
        _cache_frozen_states(hparams, running)
    if len(running):
        modules["upstreams"] = running
    recoverables = {
        **saved_modules(modules),
        "epoch_counter": hparams["epoch_counter"],
        "history": hparams["history"],
    }
    brain = EmotionBrain(
        modules,
        hparams={**hparams, "stored_upstreams": list(stores)},
        run_opts=run_opts,
        checkpointer=AtomicCheckpointer(folder / "save", recoverables),
    )
    # Layer drop leaves some weights without a gradient.
    brain.find_unused_parameters = n_processes() > 1
    return brain
