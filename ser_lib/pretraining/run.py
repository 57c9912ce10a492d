"""One pre-training, from a folder of audio to an encoder: the main path.

The output folder contains ``recordings.csv`` (the training and validation data),
``hyperparams.yaml``, ``history.csv``, ``encoder_untrained`` (the network before the
first step, for comparison) and, once the training is finished, ``encoder`` and
``pretraining.json``. Both encoders can be passed to an experiment as
``--upstream_source``; the trained one has a model card, ``README.md``.
"""

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from speechbrain import create_experiment_directory
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything
from torch.utils.data import DataLoader

from ser_lib.dataio import LengthBucketSampler
from ser_lib.pretraining.audio_folder import (
    Segment,
    SegmentReader,
    cut,
    hold_out,
    list_audio,
    read_segments,
    write_segments,
)
from ser_lib.pretraining.brain import PretrainingBrain
from ser_lib.pretraining.encoder_card import write_encoder_card
from ser_lib.pretraining.objective import Objective
from ser_lib.settings import Settings
from ser_lib.training import AtomicCheckpointer
from ser_lib.utils.distributed import locked, n_processes, process_rank
from ser_lib.utils.files import atomic_path
from ser_lib.utils.seeds import epoch_seed

logger = get_logger(__name__)

# Settings that may differ when a run resumes. recordings.csv records the data; the
# card is written again.
WITHOUT_EFFECT = (
    "family",
    "data_folder",
    "data_name",
    "data_licence",
    "results_folder",
    "output_folder",
    "show_hparams",
    "num_workers",
    "keep_audio_in_memory",
    "tensorboard",
)


def run_pretraining(settings: Settings, run_opts: RunOptions) -> None:
    """Pre-train an encoder as :func:`pretrain` does, and print its folder."""
    print(f"The encoder is in {pretrain(settings, run_opts)}")


def pretrain(settings: Settings, run_opts: RunOptions) -> Path:
    """Pre-train an encoder, or resume an interrupted run; return the encoder's folder.

    Arguments
    ---------
    settings : Settings
        Flattened settings, see ``recipes/Pretraining/hparams/base.yaml``.
    run_opts : RunOptions
        SpeechBrain's run options (device, precision ...).

    Raises
    ------
    FileNotFoundError, ValueError
        If the data or the settings are invalid; the message says why.
    """
    folder = Path(settings["output_folder"])
    with locked(folder):
        is_finished = (folder / "pretraining.json").is_file()
        _keep_settings(settings, folder)
        if is_finished:
            logger.info("%s is finished: nothing to do.", folder)
        else:
            _run(settings, run_opts, folder)
        if if_main_process():
            write_encoder_card(settings, folder)
    return folder / "encoder"


def _run(settings: Settings, run_opts: RunOptions, folder: Path) -> None:
    """Train to the end, then write the encoder and pretraining.json."""
    create_experiment_directory(folder)
    seed_everything(epoch_seed(settings["seed"], 0, 0), verbose=False)
    hparams = settings.build()
    train, valid = _recordings(hparams, folder)
    brain = _train(hparams, train, valid, run_opts, folder)
    if if_main_process():
        _write_encoder(brain.objective, folder / "encoder")
        _write_info(brain, train, valid, folder)
        logger.info("The encoder is in %s", folder / "encoder")


def _keep_settings(settings: Settings, folder: Path) -> None:
    """Save the settings; refuse settings other than those of an interrupted run."""
    path = folder / "hyperparams.yaml"
    if path.is_file():
        old = Settings.from_file(path).unresolved()
        new = settings.unresolved()
        differing = [
            key
            for key in sorted({*old, *new})
            if key not in WITHOUT_EFFECT and old.get(key) != new.get(key)
        ]
        if differing:
            raise ValueError(
                f"{folder} contains a pre-training with other settings; these differ: "
                f"{', '.join(differing)}. Use another --results_folder or the old "
                f"settings, or delete the folder."
            )
    ddp_barrier()  # all processes have checked
    if if_main_process():
        with atomic_path(path) as unfinished:
            unfinished.write_text(settings.text, encoding="utf-8")


def _recordings(hparams: dict, folder: Path) -> tuple[list[Segment], list[Segment]]:
    """Find and split the audio; a run that resumes keeps its recordings."""
    path = folder / "recordings.csv"
    if not path.is_file():
        ddp_barrier()  # all processes have checked
        rate_hz = hparams["sample_rate_hz"]
        min_s = hparams["objective"].min_samples / rate_hz
        if hparams["crop_s"] < min_s:
            raise ValueError(
                f"crop_s is {hparams['crop_s']}; {hparams['method']} needs crops of at "
                f"least {min_s:.2f} s."
            )
        segments = cut(
            hparams["data_folder"],
            list_audio(hparams["data_folder"], hparams["exclude"]),
            rate_hz,
            max(hparams["min_duration_s"], min_s),
            hparams["max_duration_s"],
        )
        parts = hold_out(segments, hparams["valid_share"], hparams["seed"])
        if if_main_process():
            write_segments(path, *parts)
    ddp_barrier()
    train, valid = read_segments(path)
    hours = (sum(s.duration_s for s in part) / 3600 for part in (train, valid))
    logger.info("Training on %.2f hours, validating on %.2f.", *hours)
    return train, valid


def _train(
    hparams: dict,
    train: Sequence[Segment],
    valid: Sequence[Segment],
    run_opts: RunOptions,
    folder: Path,
) -> PretrainingBrain:
    objective = hparams["objective"]
    recoverables = {
        "objective": objective,
        "epoch_counter": hparams["epoch_counter"],
        "history": hparams["history"],
    }
    checkpointer = AtomicCheckpointer(folder / "save", recoverables)
    reader = SegmentReader(
        hparams["data_folder"],
        hparams["sample_rate_hz"],
        hparams["keep_audio_in_memory"],
    )
    if not checkpointer.list_checkpoints():
        if if_main_process():
            _write_encoder(objective, folder / "encoder_untrained")
        objective.prepare(_in_random_order(train, reader, hparams), hparams["seed"])
    loaders = [
        _make_loader(part, reader, hparams, shuffle=part is train)
        for part in (train, valid)
    ]
    brain = PretrainingBrain(
        {"objective": objective},
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=checkpointer,
    )
    brain.find_unused_parameters = n_processes() > 1  # as with layer drop
    brain.train_sampler = loaders[0].batch_sampler
    brain.fit(hparams["epoch_counter"], *loaders)
    return brain


def _in_random_order(
    segments: Sequence[Segment], reader: SegmentReader, hparams: dict
) -> Iterator[torch.Tensor]:
    """Read segments lazily, in random order."""
    shuffled = list(segments)
    random.Random(hparams["seed"]).shuffle(shuffled)
    return map(reader, shuffled)


def _make_loader(
    segments: Sequence[Segment], reader: SegmentReader, hparams: dict, shuffle: bool
) -> DataLoader:
    sampler = LengthBucketSampler(
        [min(s.duration_s, hparams["crop_s"]) for s in segments],
        hparams["batch_size"],
        seed=epoch_seed(hparams["seed"], 0, 0),
        shuffle=shuffle,
        share=(process_rank(), n_processes()),
    )
    dataset = DynamicItemDataset({str(i): {"part": s} for i, s in enumerate(segments)})
    dataset.add_dynamic_item(reader, takes="part", provides="wav")
    dataset.set_output_keys(["id", "wav"])
    return make_dataloader(
        dataset,
        batch_sampler=sampler,
        num_workers=hparams["num_workers"],
        collate_fn=PaddedBatch,
        pin_memory=torch.cuda.is_available(),
    )


def _write_encoder(objective: Objective, folder: Path) -> None:
    """Write the encoder to a temporary folder and rename it when complete."""
    unfinished = folder.with_name(f".unfinished.{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    objective.save(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _write_info(
    brain: PretrainingBrain,
    train: Sequence[Segment],
    valid: Sequence[Segment],
    folder: Path,
) -> None:
    hparams, device = brain.hparams, torch.device(brain.device)
    rows = hparams.history.rows
    is_cuda = device.type == "cuda"
    info = {
        "method": hparams.method,
        "seed": hparams.seed,
        "epochs": len(rows),
        "train_loss": [rows[0]["train_loss"], rows[-1]["train_loss"]],
        "valid_loss": [rows[0]["valid_loss"], rows[-1]["valid_loss"]],
        "train_hours": sum(s.duration_s for s in train) / 3600,
        "valid_hours": sum(s.duration_s for s in valid) / 3600,
        "excluded": list(hparams.exclude),
        "device": torch.cuda.get_device_name(device) if is_cuda else device.type,
        "processes": n_processes(),
        "precision": brain.precision,
    }
    with atomic_path(folder / "pretraining.json") as unfinished:
        unfinished.write_text(json.dumps(info, indent=1), encoding="utf-8")
