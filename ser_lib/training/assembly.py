"""Builds the Brain of a fold from its settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from ser_lib.corpora import Utterance, with_labels
from ser_lib.dataio import FrameStore
from ser_lib.model import Upstreams
from ser_lib.settings import read_tasks
from ser_lib.training.brain import EmotionBrain
from ser_lib.training.checkpoints import AtomicCheckpointer, saved_modules
from ser_lib.training.modality_dropout import check_modality_dropout
from ser_lib.training.partial_finetuning import choose_weights
from ser_lib.training.task_targets import TaskTargets
from ser_lib.upstreams import SpeechEncoder
from ser_lib.utils.distributed import n_processes


def _cache_frozen_states(hparams: dict, upstreams: Upstreams) -> None:
    if hparams["crop_s"] is not None or hparams["wav_augment"] is not None:
        raise ValueError(
            "frozen_cache_gb is set, but crop_s or wav_augment changes the audio in "
            "every epoch, so nothing could be reused. Set only one of them."
        )
    for upstream in upstreams.values():
        if isinstance(upstream, SpeechEncoder) and upstream.has_frozen_states:
            upstream.keep_states(hparams["frozen_cache_gb"])


def make_brain(
    hparams: dict,
    stores: Mapping[str, FrameStore],
    run_opts: RunOptions,
    folder: Path,
    utterances: Sequence[Utterance],
) -> EmotionBrain:
    """Build the Brain of a fold.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        All utterances of the fold, from which tasks take their classes and targets.
    stores : Mapping[str, FrameStore]
        Stored frames by upstream; the other upstreams run during training.
    folder : Path
        Parent folder of the checkpoints.
    """
    model = hparams["model"]
    check_modality_dropout(
        hparams["modality_dropout"], model.downstream.modalities, hparams["experiment"]
    )
    tasks = with_labels(read_tasks(hparams), utterances)
    model.downstream.add_heads({task.name: task.size for task in tasks[1:]})
    modules = {"downstream": model.downstream}
    running = model.upstreams.without(stores)
    for upstream in running.values():
        if upstream.reads == "id":
            upstream.may_lack = hparams["modality_dropout"] > 0
    choose_weights(running, hparams)
    if hparams["frozen_cache_gb"]:
        _cache_frozen_states(hparams, running)
    if len(running):
        modules["upstreams"] = running
    if len(model.standardisers):
        modules["standardisers"] = model.standardisers
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
    brain.targets = TaskTargets(tasks, utterances)
    # With layer drop, some weights get no gradient.
    brain.find_unused_parameters = n_processes() > 1
    return brain
