"""Loaders: from manifest rows to padded batches.

Random crops and augmentation happen later, on the batch, so the number of loader
workers cannot change a result.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from torch.utils.data import DataLoader

from ser_lib.corpora import Utterance
from ser_lib.dataio.audio_reader import AudioReader
from ser_lib.dataio.degraded_copies import DEGRADED_SHARE, DegradedCopy
from ser_lib.dataio.frame_store import FrameStore
from ser_lib.dataio.samplers import LengthBucketSampler
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.utils.distributed import n_processes, process_rank
from ser_lib.utils.seeds import epoch_seed


def make_audio_reader(settings: Settings) -> AudioReader:
    """Create the audio reader of an experiment."""
    return AudioReader(
        settings["data_folder"],
        settings["sample_rate_hz"],
        settings["trim_silence_db"],
        settings["keep_audio_in_memory"],
    )


def make_loaders(
    hparams: Mapping, fold: Fold, inputs: Mapping[str, AudioReader | FrameStore | None]
) -> dict[str, DataLoader]:
    """Create the loaders of a fold, by the names train, valid and test.

    An empty validation part has no loader.

    Arguments
    ---------
    hparams : Mapping
        Built settings.
    inputs : Mapping[str, AudioReader | FrameStore | None]
        See :func:`make_loader`.
    """
    crop_s = hparams["crop_s"] or float("inf")
    samplers = {
        "train": LengthBucketSampler(
            [min(u.duration_s, crop_s) for u in fold.train],
            hparams["batch_size"],
            hparams["max_batch_s"],
            seed=epoch_seed(hparams["seed"], fold.number, 0),
            share=(process_rank(), n_processes()),
            weights=balanced_weights(fold.train, hparams["balance_by"]),
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


def balanced_weights(
    utterances: Sequence[Utterance], balance_by: Sequence[str]
) -> list[float] | None:
    """Return how often to draw each utterance, so that groups are drawn equally often.

    Degraded copies, if there are any, are drawn in ``DEGRADED_SHARE`` of all draws.

    Arguments
    ---------
    balance_by : Sequence[str]
        The fields whose combinations are the groups, such as ``corpus`` and ``label``.

    Returns
    -------
    list[float] | None
        Probabilities, which sum to 1; None to take each utterance once, without fields
        and copies.

    Example
    -------
    >>> rows = [Utterance(i, "", label, "A", 1.0) for i, label in enumerate("aab")]
    >>> balanced_weights(rows, ["label"])
    [0.25, 0.25, 0.5]
    """
    is_copy = np.array([isinstance(u, DegradedCopy) for u in utterances])
    if not balance_by and not is_copy.any():
        return None
    groups = [tuple(getattr(u, field) for field in balance_by) for u in utterances]
    sizes = Counter(groups)
    weights = np.array([1 / (len(sizes) * sizes[group]) for group in groups])
    if is_copy.any():
        weights[is_copy] *= DEGRADED_SHARE / weights[is_copy].sum()
        weights[~is_copy] *= (1 - DEGRADED_SHARE) / weights[~is_copy].sum()
    return weights.tolist()


def evaluation_sampler(
    hparams: Mapping, utterances: Sequence[Utterance]
) -> LengthBucketSampler:
    """Create batches for evaluation: whole utterances in a fixed order, longest first.

    Each process of a run gets its share of the batches.
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
    """Create the loader of one part of a fold; it yields SpeechBrain ``PaddedBatch``.

    Arguments
    ---------
    labels : Sequence[str]
        The classes, in the order of the logits.
    inputs : Mapping[str, AudioReader | FrameStore | None]
        Contents of a batch besides ``id``, ``speaker``, ``corpus`` and ``label``, by
        name: a reader for ``wav``, a store for the frames of an upstream, or None for
        the manifest column ``text``.
    num_workers : int
        Processes that read ahead.
    """
    rows = {
        u.id: {
            "utterance": u,
            "text": u.text,
            "speaker": u.speaker,
            "corpus": u.corpus,
            "label": labels.index(u.label),
        }
        for u in utterances
    }
    dataset = DynamicItemDataset(rows)
    for name, source in inputs.items():
        if source is None:
            continue
        takes = "utterance" if isinstance(source, AudioReader) else "id"
        dataset.add_dynamic_item(source, takes=takes, provides=name)
    dataset.set_output_keys(["id", "speaker", "corpus", "label", *inputs])
    return make_dataloader(
        dataset,
        batch_sampler=sampler,
        num_workers=num_workers,
        collate_fn=PaddedBatch,
        pin_memory=torch.cuda.is_available(),
    )
