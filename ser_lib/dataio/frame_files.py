"""Check the files of frames that an experiment reads, before anything is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn

from ser_lib.corpora import Utterance
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.upstreams import TOLERANCE_S, FrameFiles
from ser_lib.utils.listing import first_few

# Settings that change the times of speech, but not those of frames made elsewhere
_CHANGE_TIMES = ("trim_silence_db", "crop_s", "wav_augment")


def check_frame_files(
    settings: Settings, model: nn.Module, folds: Sequence[Fold]
) -> list[str]:
    """Read the files of frames of all utterances once; refuse those that do not fit.

    Arguments
    ---------
    model : EmotionModel
        Of these settings.

    Returns
    -------
    list[str]
        For each stream of frames that some utterances lack, how many; they are used
        without it if ``modality_dropout`` is above 0.

    Raises
    ------
    ValueError
        If a file is missing, cannot be read, or is of another length than its
        utterance, or if the settings cannot be used with files of frames.
    """
    parts = [part for fold in folds for part in fold.parts.values()]
    utterances = list({u.id: u for part in parts for u in part}.values())
    counted = []
    for name, upstream in model.upstreams.items():
        if upstream.reads != "id":
            continue
        stream = _Stream(name, upstream, _in_branch_with(model, name))
        _check_folder(settings, stream)
        if any(model.upstreams[other].reads == "wav" for other in stream.beside):
            _check_times(settings, stream)
        lacking = [u.id for u in utterances if upstream.path(u.id) is None]
        if lacking:
            counted.append(_count_lacking(settings, stream, lacking, len(utterances)))
        _check_files(stream, [u for u in utterances if upstream.path(u.id)])
    return counted


class _Stream(NamedTuple):
    """An upstream that reads files, and the names of those it is fused early with."""

    name: str
    upstream: FrameFiles
    beside: list[str]


def _check_folder(settings: Settings, stream: _Stream) -> None:
    name, folder = stream.name, stream.upstream.folder
    named = {key: settings[key] for key in settings if key.endswith("frames_folder")}
    if folder not in map(Path, named.values()):
        raise ValueError(
            f"{settings['experiment']} reads the frames of {name} in {folder}, which "
            f"is none of its settings that end in frames_folder ({named}). Name the "
            f"folder by such a setting: trained folds are kept by its content."
        )
    if settings["degraded_copies"]:
        raise ValueError(
            f"degraded_copies is {settings['degraded_copies']}, but there are no "
            f"frames of {name} for copies. Set degraded_copies to 0."
        )


def _in_branch_with(model: nn.Module, name: str) -> list[str]:
    """Return the upstreams whose frames are concatenated with those of a stream."""
    early = [b for b in model.downstream.branches if hasattr(b, "ratios")]
    names = {n for b in early if name in b.upstreams for n in b.upstreams}
    return sorted(names - {name})


def _check_times(settings: Settings, stream: _Stream) -> None:
    given = [key for key in _CHANGE_TIMES if settings[key] is not None]
    if given:
        raise ValueError(
            f"{given[0]} is set, which changes the times of the speech, but not those "
            f"of the frames of {stream.name}, so {stream.name} and "
            f"{first_few(stream.beside)} cannot be fused early. Set it to null, or put "
            f"{stream.name} in a branch of its own (late fusion)."
        )


def _count_lacking(
    settings: Settings, stream: _Stream, lacking: Sequence[str], n: int
) -> str:
    """Return how many utterances have no frames, if the settings allow it."""
    name, beside, corpus = stream.name, stream.beside, settings["corpus"]["name"]
    without = f"{len(lacking)} of {n} utterances of {corpus} have no frames of {name}"
    if not settings["modality_dropout"] or len(lacking) == n:
        raise ValueError(
            f"{without}: {stream.upstream.folder} has no <id>.npy or <id>.safetensors "
            f"for {first_few(lacking)}. Write them, or train "
            f"with --modality_dropout 0.3 an experiment that also reads speech or "
            f"text; it uses such utterances without {name}."
        )
    if beside or settings["standardise_by"] is not None:
        cause = f"fused early with {first_few(beside)}" if beside else "standardised"
        raise ValueError(
            f"{without}, such as {lacking[0]}, but {name} is {cause}, which needs "
            f"frames of all. Put {name} in a branch of its own (late fusion) and set "
            f"standardise_by to null, or write the files."
        )
    return f"{without}: used without."


def _check_files(stream: _Stream, utterances: Sequence[Utterance]) -> None:
    upstream = stream.upstream
    faults = {u.id: fault for u in utterances if (fault := _fault(upstream, u))}
    if faults:
        listed = "\n".join(f"  {i}: {fault}" for i, fault in [*faults.items()][:3])
        raise ValueError(
            f"{len(faults)} of {len(utterances)} files of {stream.name} cannot be "
            f"used; expected a frame of {upstream.dim} numbers every "
            f"{upstream.hop_s:g} s, over the whole recording. The first:\n{listed}\n"
            f"Write them again, or correct the size or the hop in the settings."
        )


def _fault(upstream: FrameFiles, utterance: Utterance) -> str:
    """Return what is wrong with the frames of an utterance; empty if nothing is."""
    try:
        n_frames = len(upstream.read(utterance.id))
    except ValueError as error:
        return str(error)
    found_s, expected_s = n_frames * upstream.hop_s, utterance.duration_s
    off_s = abs(found_s - expected_s)
    if off_s <= TOLERANCE_S + upstream.hop_s:
        return ""
    return (
        f"{n_frames} frames, {found_s:.2f} s, but the recording has {expected_s:.2f} "
        f"s: {off_s:.2f} s ({off_s / upstream.hop_s:.0f} frames) too "
        f"{'long' if found_s > expected_s else 'short'}, more than {TOLERANCE_S} s and "
        f"a frame"
    )
