"""Adapt a model to recordings without labels: one speaker, one microphone, one line.

A model that was trained on standardised frames (``standardise_by``) standardises those
of its input by the statistics of its training part. Here they are replaced by the
statistics of the recordings it will be used on, which may be the same recordings.
"""

import copy
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn.utils.rnn import pad_sequence

from ser_lib.inference.interface import Recognizer
from ser_lib.inference.parallel import run_in_parallel
from ser_lib.model import EmotionModel
from ser_lib.upstreams import frame_moments, joined_moments
from ser_lib.utils.files import atomic_path

logger = logging.getLogger(__name__)

# Speech like that of the training part that is added to the recordings. Chosen on the
# test speakers of RAVDESS and nEMO, so that few recordings do no harm; many lose less
# than a point by it (recipes/RAVDESS/adaptation).
PRIOR_S = 10.0
# Longer recordings are cut into equal pieces.
_MAX_PIECE_S = 30.0
_BATCH_SIZE, _MAX_BATCH_S = 16, 160.0
# Of the farthest speaker of the training part
_FAR = 1.5

Moments = dict[str, dict[str, torch.Tensor]]


class Adaptation(NamedTuple):
    """What is known about the frames of some recordings.

    Arguments
    ---------
    moments : dict[str, dict[str, (3, dim) torch.Tensor]]
        Member of the model -> upstream -> number, mean and variance of the frames.
    n_recordings : int
        Number of recordings.
    duration_s : float
        Their duration, without silence at their ends if the model trims it.
    """

    moments: Moments
    n_recordings: int
    duration_s: float


def check_adaptable(recognizer: Recognizer) -> None:
    """Raise ValueError if a model was not trained to be adapted."""
    if "standardise_by" not in recognizer.model_info["network"]:
        raise ValueError(
            "This model cannot be adapted: it was trained on frames that are not "
            "standardised. Use a model of a run with standardise_by: mixed, such as "
            "pretrained/ser_whisper_tiny."
        )


def measure(
    recognizer: Recognizer, members: Mapping[str, EmotionModel], wavs: Sequence
) -> Adaptation:
    """Compute the moments of the frames of recordings.

    Arguments
    ---------
    members : Mapping[str, EmotionModel]
        The members of the model.
    wavs : Sequence[(samples,) torch.Tensor]
        Usable waveforms at the rate of the model.

    Raises
    ------
    ValueError
        If no recording is given.
    """
    if not wavs:
        raise ValueError(
            "There is nothing to adapt to: expected at least one recording."
        )
    rate_hz = recognizer.sample_rate_hz
    pieces = [piece for wav in wavs for piece in _pieces(wav, rate_hz)]
    durations_s = [len(piece) / rate_hz for piece in pieces]
    rows: dict[int, Moments] = {}

    def work(batch: Sequence[int]) -> list[Moments]:
        return _moments_of([pieces[i] for i in batch], members, recognizer.device)

    limits = _BATCH_SIZE, _MAX_BATCH_S
    for batch, found in run_in_parallel(recognizer, durations_s, work, *limits):
        rows |= zip(batch, found, strict=True)
    joined = {
        name: {
            upstream: joined_moments(
                torch.stack([rows[i][name][upstream] for i in range(len(pieces))])
            )
            for upstream in member.standardisers
        }
        for name, member in members.items()
    }
    return Adaptation(joined, len(wavs), sum(durations_s))


def _pieces(wav: torch.Tensor, rate_hz: int) -> Iterator[torch.Tensor]:
    n_pieces = -(-len(wav) // round(_MAX_PIECE_S * rate_hz))
    yield from wav.tensor_split(n_pieces)


@torch.no_grad()
def _moments_of(
    wavs: Sequence[torch.Tensor], members: Mapping[str, EmotionModel], device: str
) -> list[Moments]:
    counts = torch.tensor([len(wav) for wav in wavs], dtype=torch.float64)
    padded = pad_sequence(list(wavs), batch_first=True).to(device)
    wav_lens = (counts / padded.shape[1]).to(device)
    rows: list[Moments] = [{name: {} for name in members} for _ in wavs]
    for name, member in members.items():
        frames = member.upstreams(padded, wav_lens)
        for upstream in member.standardisers:
            for row, moments in zip(rows, frame_moments(frames[upstream]), strict=True):
                row[name][upstream] = moments
    return rows


def adapted(
    member: EmotionModel, moments: Mapping[str, torch.Tensor], rate_hz: int
) -> EmotionModel:
    """Return a model that shares all weights but standardises by other recordings."""
    model = copy.copy(member)
    model._modules = dict(member._modules)
    model.standardisers = copy.deepcopy(member.standardisers)
    for name, standardiser in model.standardisers.items():
        frames_per_s = rate_hz / member.upstreams[name].hop_samples
        standardiser.adapt(moments[name], PRIOR_S * frames_per_s)
    return model


def warn_if_far(
    members: Mapping[str, EmotionModel], adapted_members: Mapping[str, EmotionModel]
) -> None:
    """Log a warning if recordings are far from every speaker of the training part."""
    for name, member in members.items():
        for upstream, standardiser in member.standardisers.items():
            adapted_mean = adapted_members[name].standardisers[upstream].mean
            farthest = standardiser.farthest.item()
            distance = standardiser.distance(adapted_mean)
            if distance > _FAR * farthest:
                logger.warning(
                    "The recordings are far from all speech that the model was "
                    "trained on: %.2f deviations from its mean, the farthest speaker "
                    "being at %.2f. Check that they are speech, and of one speaker, "
                    "microphone or line.",
                    distance,
                    farthest,
                )
                return


# ---- files


def save_adaptation(path: str | Path, adaptation: Adaptation, model_info: Mapping):
    """Write an adaptation, for use with the same model.

    Arguments
    ---------
    path : str | Path
        A file, such as ``adaptation.safetensors``.
    model_info : Mapping
        The content of ``model.json``.
    """
    tensors = {
        f"{member}.{upstream}": moments.contiguous()
        for member, own in adaptation.moments.items()
        for upstream, moments in own.items()
    }
    info = {
        "model": _identity(model_info),
        "n_recordings": adaptation.n_recordings,
        "duration_s": adaptation.duration_s,
    }
    with atomic_path(Path(path)) as unfinished:
        save_file(tensors, unfinished, metadata={"adaptation": json.dumps(info)})


def read_adaptation(
    path: str | Path, members: Mapping[str, EmotionModel], model_info: Mapping
) -> Adaptation:
    """Read a file of :func:`save_adaptation`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an adaptation of this model, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file {path}. Write one with --save_adaptation first."
        )
    try:
        with safe_open(path, "pt") as file:
            info = json.loads((file.metadata() or {})["adaptation"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        identity = info["model"]
        numbers = int(info["n_recordings"]), float(info["duration_s"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not an adaptation ({type(error).__name__}: {error}). Expected "
            f"a file that save_adaptation or --save_adaptation wrote."
        ) from error
    if identity != _identity(model_info):
        raise ValueError(
            f"{path} is an adaptation of another model. Adapt this one to the "
            f"recordings."
        )
    moments: Moments = {name: {} for name in members}
    for name, member in members.items():
        for upstream, standardiser in member.standardisers.items():
            found = tensors.pop(f"{name}.{upstream}", None)
            _check_moments(path, found, standardiser.mean.numel())
            moments[name][upstream] = found
    if tensors:
        raise ValueError(f"{path} has unknown entries: {', '.join(tensors)}.")
    return Adaptation(moments, *numbers)


def _check_moments(path: Path, moments: torch.Tensor | None, dim: int) -> None:
    is_usable = (
        moments is not None
        and moments.shape == (3, dim)
        and bool(moments.isfinite().all())
        and bool((moments[0] > 0).all() and (moments[2] >= 0).all())
    )
    if not is_usable:
        raise ValueError(
            f"{path} is damaged: expected number, mean and variance of frames of the "
            f"size {dim}. Save the adaptation again."
        )


def _identity(model_info: Mapping) -> list:
    sums = {name: member["sha256"] for name, member in model_info["members"].items()}
    return [model_info["network_sha256"], sums]
