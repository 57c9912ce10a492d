"""Check the files of frames that an experiment reads, before anything is trained."""

from collections.abc import Sequence

from speechbrain.utils.logger import get_logger
from torch import nn

from ser_lib.corpora import Utterance
from ser_lib.folds import Fold
from ser_lib.settings import Settings
from ser_lib.upstreams import TOLERANCE_S, FrameFiles
from ser_lib.utils.listing import first_few

logger = get_logger(__name__)

# Settings that change the times of speech, but not those of frames made elsewhere
_CHANGE_TIMES = ("trim_silence_db", "crop_s", "wav_augment")


def check_frame_files(
    settings: Settings, model: nn.Module, folds: Sequence[Fold]
) -> None:
    """Read the files of frames of all utterances once; refuse those that do not fit.

    Utterances without a file are counted in the log if ``modality_dropout`` is above 0.

    Arguments
    ---------
    model : EmotionModel
        Of these settings.

    Raises
    ------
    ValueError
        If a file is missing, cannot be read, or is of another length than its
        utterance, or if the settings cannot be used with files of frames.
    """
    streams = {name: u for name, u in model.upstreams.items() if u.reads == "id"}
    parts = [part for fold in folds for part in fold.parts.values()]
    utterances = list({u.id: u for part in parts for u in part}.values())
    for name, stream in streams.items():
        _check_folder(settings, name, stream)
        present = stream.present([u.id for u in utterances]).tolist()
        pairs = list(zip(utterances, present, strict=True))
        lacking = [u.id for u, is_present in pairs if not is_present]
        shared = _in_branch_with(model, name)
        if lacking:
            _check_lacking(settings, name, stream, lacking, len(utterances), shared)
        if any(model.upstreams[other].reads == "wav" for other in shared):
            _check_times(settings, name, shared)
        _check_files(name, stream, [u for u, is_present in pairs if is_present])


def _check_folder(settings: Settings, name: str, stream: FrameFiles) -> None:
    named = {key: settings[key] for key in settings if key.endswith("frames_folder")}
    if str(stream.folder) not in named.values():
        raise ValueError(
            f"{settings['experiment']} reads the frames of {name} in {stream.folder}, "
            f"which is none of its settings that end in frames_folder ({named}). Name "
            f"the folder by such a setting: trained folds are kept by its content."
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


def _check_lacking(
    settings: Settings,
    name: str,
    stream: FrameFiles,
    lacking: Sequence[str],
    n: int,
    shared: Sequence[str],
) -> None:
    corpus = settings["corpus"]["name"]
    without = f"{len(lacking)} of {n} utterances of {corpus} have no frames of {name}"
    if not settings["modality_dropout"] or len(lacking) == n:
        raise ValueError(
            f"{without}: there is no file <id>.npy or <id>.safetensors in "
            f"{stream.folder} for {first_few(lacking)}. Write them, or train with "
            f"--modality_dropout 0.3 an experiment that also reads speech or text; it "
            f"uses such utterances without {name}."
        )
    if shared or settings["standardise_by"] is not None:
        cause = f"fused early with {first_few(shared)}" if shared else "standardised"
        raise ValueError(
            f"{without}, such as {lacking[0]}, but {name} is {cause}, which needs "
            f"frames of all. Put {name} in a branch of its own (late fusion) and set "
            f"standardise_by to null, or write the files."
        )
    logger.info("%s: used without.", without)


def _check_times(settings: Settings, name: str, shared: Sequence[str]) -> None:
    given = [key for key in _CHANGE_TIMES if settings[key] is not None]
    if given:
        raise ValueError(
            f"{given[0]} is set, which changes the times of the speech, but not those "
            f"of the frames of {name}, so {name} and {first_few(shared)} cannot be "
            f"fused early. Set it to null, or put {name} in a branch of its own (late "
            f"fusion)."
        )


def _check_files(
    name: str, stream: FrameFiles, utterances: Sequence[Utterance]
) -> None:
    faults = {u.id: fault for u in utterances if (fault := _fault(stream, u))}
    if faults:
        listed = "\n".join(f"  {i}: {fault}" for i, fault in [*faults.items()][:3])
        raise ValueError(
            f"{len(faults)} of {len(utterances)} files of {name} cannot be used; "
            f"expected a frame of {stream.dim} numbers every {stream.hop_s} s, over "
            f"the whole recording. The first:\n{listed}\nWrite them again, or correct "
            f"the size or the hop in the settings."
        )


def _fault(stream: FrameFiles, utterance: Utterance) -> str:
    """Return what is wrong with the frames of an utterance; empty if nothing is."""
    try:
        n_frames = len(stream.read(utterance.id))
    except ValueError as error:
        return str(error)
    off_s = n_frames * stream.hop_s - utterance.duration_s
    if abs(off_s) <= TOLERANCE_S + stream.hop_s:
        return ""
    off = f"{abs(off_s):.2f} s ({abs(off_s) / stream.hop_s:.0f} frames)"
    return (
        f"{n_frames} frames, {n_frames * stream.hop_s:.2f} s, but the recording has "
        f"{utterance.duration_s:.2f} s: {off} too {'long' if off_s > 0 else 'short'}, "
        f"more than {TOLERANCE_S} s and a frame"
    )
