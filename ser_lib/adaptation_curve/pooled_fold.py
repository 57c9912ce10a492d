"""What adaptation needs of a fold: pooled test utterances and the moments of frames.

Each test utterance is encoded once. Standardising what was pooled is then the same as
standardising its frames, so that an adaptation takes no more than a matrix product.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ser_lib.corpora import Utterance, read_manifest
from ser_lib.dataio import evaluation_sampler, fold_inputs, make_loader
from ser_lib.evaluation import finished_folds
from ser_lib.export import load_trained
from ser_lib.folds import Fold
from ser_lib.model import Downstream, EmotionModel
from ser_lib.settings import Settings
from ser_lib.upstreams import frame_moments
from ser_lib.utils.command import raise_if_interrupted
from ser_lib.utils.digests import digest
from ser_lib.utils.files import atomic_path
from ser_lib.utils.listing import first_few
from ser_lib.utils.progress import Progress


class PooledFold(NamedTuple):
    """The test part of a fold and the model that is tested on it, without its encoder.

    Arguments
    ---------
    corpus : str
        Name of the corpus, for utterances that do not name theirs.
    utterances : list[Utterance]
        The test part.
    pooled : list[(utterances, dim) torch.Tensor]
        What each branch pools of frames that are not standardised.
    moments : dict[str, (utterances, 3, dim) torch.Tensor]
        For each upstream, from ``frame_moments``.
    labels : list[str]
        The classes, in the order of the logits.
    downstream : Downstream
        Branches and classifier, in eval mode.
    standardisers : nn.ModuleDict
        A ``FrameStandardiser`` for each upstream.
    frames_per_s : dict[str, float]
        For each upstream.
    temperature : float
        Divides the logits.
    """

    corpus: str
    utterances: list[Utterance]
    pooled: list[torch.Tensor]
    moments: dict[str, torch.Tensor]
    labels: list[str]
    downstream: Downstream
    standardisers: nn.ModuleDict
    frames_per_s: dict[str, float]
    temperature: float


def pooled_folds(
    run_folder: Path, work: Path, data_folder: Path | None = None
) -> list[PooledFold]:
    """Encode the test part of each finished fold, except those that are in ``work``.

    Arguments
    ---------
    run_folder : Path
        The output folder of a run.
    work : Path
        Gets a file for each fold.
    data_folder : Path | None
        Where the paths of the recordings start; None for the folder of the run.

    Raises
    ------
    FileNotFoundError
        If it is not a run, no fold is finished, or the recordings are missing.
    ValueError
        If the model cannot be adapted or has heard the test speakers, or the folds are
        of different settings.
    """
    keys, folds = {}, []
    # Without a finished fold, loading the first one says what is wrong.
    for number in finished_folds(run_folder) or [1]:
        model, info = load_trained(run_folder, number)
        check_model(model, run_folder)
        keys[number] = info["settings_key"]
        if len(set(keys.values())) > 1:
            raise ValueError(
                f"The folds of {run_folder} were run with different settings "
                f"(settings_key {keys}). Run the older ones again with --folds."
            )
        fold = read_fold(run_folder, number)
        name = digest([info["settings_key"], info["fold_digest"]])
        path = work / f"fold_{number}_{name}.safetensors"
        if not path.is_file():
            settings = _settings(run_folder, data_folder)
            with atomic_path(path) as unfinished:
                save_file(_encode(model, fold, settings), unfinished)
        folds.append(_pooled_fold(model, info, fold, path))
    return folds


def check_model(model: EmotionModel, run_folder: Path) -> None:
    """Raise ValueError if the adaptation of a model cannot be measured."""
    if not model.standardisers:
        raise ValueError(
            f"The model of {run_folder} cannot be adapted: its frames are not "
            f"standardised. Train it with --standardise_by mixed."
        )
    if "text" in model.upstreams.reads:
        raise ValueError(
            f"The model of {run_folder} reads transcripts. Expected a model that reads "
            f"only speech, as adaptation needs."
        )
    if not model.downstream.has_pooling:
        names = [type(b.aggregator).__name__ for b in model.downstream.branches]
        raise ValueError(
            f"The model of {run_folder} aggregates with {', '.join(names)}, which has "
            f"no pooling without weights, so that each adaptation would aggregate all "
            f"frames again. Use a run with MeanPooling, ProjectedMean or "
            f"StatisticsPooling, such as whisper_frozen."
        )


def read_fold(run_folder: Path, number: int) -> Fold:
    """Read a fold; raise ValueError if it trains on speakers that it tests."""
    folder = run_folder / f"fold_{number}"
    parts = [read_manifest(folder / f"{p}.csv") for p in ("train", "valid", "test")]
    fold = Fold(number, *parts)
    heard = {(u.corpus, u.speaker) for u in fold.train}
    known = sorted({u.speaker for u in fold.test if (u.corpus, u.speaker) in heard})
    if known:
        raise ValueError(
            f"Fold {number} of {run_folder} trained on speakers that it tests "
            f"({first_few(known)}), so it cannot say what adaptation to a new speaker "
            f"is worth. Use a run whose folds are split by speaker or corpus."
        )
    return fold


def _settings(run_folder: Path, data_folder: Path | None) -> Settings:
    given = {} if data_folder is None else {"data_folder": str(data_folder)}
    settings = Settings.from_file(run_folder / "hyperparams.yaml", given)
    folder = Path(settings["data_folder"])
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no data folder {folder}. Say where the recordings of the run "
            f"are: --data_folder DIR."
        )
    return settings


@torch.no_grad()
def _encode(
    model: EmotionModel, fold: Fold, settings: Settings
) -> dict[str, torch.Tensor]:
    """Return what each branch pools and the moments, in the order of the test part."""
    sampler = evaluation_sampler(settings, fold.test)
    inputs = fold_inputs(settings, model.upstreams.reads, fold)
    loader = make_loader(
        fold.test, model.labels, inputs, sampler, settings["num_workers"]
    )
    rows: dict[str, dict[str, torch.Tensor]] = {}
    with Progress(f"encoding fold {fold.number}", len(fold.test), "files") as bar:
        for batch in loader:
            raise_if_interrupted()
            frames = model.upstreams(*batch.wav)
            branches = enumerate(model.downstream.pool(frames))
            found = {f"pooled.{k}": values for k, values in branches}
            found |= {f"moments.{k}": frame_moments(f) for k, f in frames.items()}
            for key, values in found.items():
                rows.setdefault(key, {}).update(zip(batch.id, values, strict=True))
            bar.update(len(batch.id))
    ids = [u.id for u in fold.test]
    return {key: torch.stack([own[i] for i in ids]) for key, own in rows.items()}


def _pooled_fold(
    model: EmotionModel, info: Mapping, fold: Fold, path: Path
) -> PooledFold:
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged ({error}). Delete it and run the command again."
        ) from error
    branches: Sequence = model.downstream.branches
    hops = {name: model.upstreams[name].hop_samples for name in model.standardisers}
    return PooledFold(
        info["corpus"],
        fold.test,
        [tensors[f"pooled.{k}"] for k in range(len(branches))],
        {name: tensors[f"moments.{name}"] for name in model.standardisers},
        model.labels,
        model.downstream,
        model.standardisers,
        {name: info["sample_rate_hz"] / hop for name, hop in hops.items()},
        info["calibration"].get("temperature", 1.0),
    )
