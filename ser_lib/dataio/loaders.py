"""Loaders: from manifest rows to padded batches.

Everything random about a training example (crop, augmentation) happens later, on
the batch, so the number of loader workers cannot change a result.
"""

from collections.abc import Mapping, Sequence

import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from torch.utils.data import DataLoader

from ser_lib.corpora import Utterance
from ser_lib.dataio.audio_reader import AudioReader
from ser_lib.dataio.frame_store import FrameStore
from ser_lib.dataio.samplers import LengthBucketSampler
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.utils.distributed import n_processes, process_rank
from ser_lib.utils.seeds import epoch_seed


def make_audio_reader(settings: Settings) -> AudioReader:
    """Make the reader of a corpus's audio.

    Arguments
    ---------
    settings : Settings
        Settings of an experiment.

    Returns
    -------
    AudioReader
        Reads by the paths of the manifest.
    """
    return AudioReader(
        settings["data_folder"],
        settings["sample_rate_hz"],
        settings["trim_silence_db"],
        settings["keep_audio_in_memory"],
    )


def make_loaders(
    hparams: Mapping, fold: Fold, inputs: Mapping[str, AudioReader | FrameStore | None]
) -> dict[str, DataLoader]:
    """Make the loaders of a fold's parts.

    Arguments
    ---------
    hparams : Mapping
        Built settings.
    fold : Fold
        The fold.
    inputs : Mapping[str, AudioReader | FrameStore | None]
        What a batch holds, see ``make_loader``.

    Returns
    -------
    dict[str, DataLoader]
        By the names train, valid, test; without valid if that part is empty.
    """
    crop_s = hparams["crop_s"] or float("inf")
    samplers = {
        "train": LengthBucketSampler(
            [min(u.duration_s, crop_s) for u in fold.train],
            hparams["batch_size"],
            hparams["max_batch_s"],
            seed=epoch_seed(hparams["seed"], fold.number, 0),
            share=(process_rank(), n_processes()),
        ),
        "valid": evaluation_sampler(hparams, fold.valid),
        "test": evaluation_sampler(hparams, fold.test),
    }
    return {
        part: make_loader(
            getattr(fold, part),
            hparams["labels"],
            inputs,
            sampler,
            hparams["num_workers"],
        )
        for part, sampler in samplers.items()
        if fold.parts[part]
    }


def evaluation_sampler(
    hparams: Mapping, utterances: Sequence[Utterance]
) -> LengthBucketSampler:
    """Make batches for evaluation: whole utterances, longest first.

    Arguments
    ---------
    hparams : Mapping
        Built settings.
    utterances : Sequence[Utterance]
        The part of a fold.

    Returns
    -------
    LengthBucketSampler
        In a fixed order; each process of a run gets its share of the batches.
    """
    durations_s = [u.duration_s for u in utterances]
    limits = hparams["batch_size"], hparams["max_batch_s"]
    share = process_rank(), n_processes()
    return LengthBucketSampler(durations_s, *limits, shuffle=False, share=share)


def make_loader(
    utterances: Sequence[Utterance],
    labels: Sequence[str],
    inputs: Mapping[str, AudioReader | FrameStore | None],
    sampler: LengthBucketSampler,
    num_workers: int = 0,
) -> DataLoader:
    """Make the loader of one part of a fold.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        Rows of the manifest.
    labels : Sequence[str]
        The classes, in the order of the logits.
    inputs : Mapping[str, AudioReader | FrameStore | None]
        What a batch holds beside ``id`` and ``label``: ``wav`` from a reader, frames
        of an upstream, by its name, from a store, or, for None, the column of this
        name of the manifest: ``text``.
    sampler : LengthBucketSampler
        Gives the batches.
    num_workers : int
        Processes that read ahead.

    Returns
    -------
    DataLoader
        Gives SpeechBrain ``PaddedBatch`` objects.
    """
    rows = {
        u.id: {"path": u.path, "text": u.text, "label": labels.index(u.label)}
        for u in utterances
    }
    dataset = DynamicItemDataset(rows)
    for name, source in inputs.items():
        if source is None:
            continue
        takes = "path" if isinstance(source, AudioReader) else "id"
        dataset.add_dynamic_item(source, takes=takes, provides=name)
    dataset.set_output_keys(["id", "label", *inputs])
    return make_dataloader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=PaddedBatch,
        pin_memory=torch.cuda.is_available(),
    )
