"""Any folder of audio as training data: finding, cutting, splitting and reading it."""

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from speechbrain.utils.logger import get_logger

from ser_lib.audio import audio_duration_s, find_files, read_audio
from ser_lib.utils.files import atomic_path
from ser_lib.utils.progress import with_progress

logger = get_logger(__name__)

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


@dataclass(frozen=True)
class Segment:
    """A recording or a part of one.

    Arguments
    ---------
    path : str
        Path of the recording, relative to the data folder.
    start_s, duration_s : float
        Start and duration.
    is_whole : bool
        Whether it is the whole recording.
    """

    path: str
    start_s: float
    duration_s: float
    is_whole: bool


def list_audio(data_folder: str | Path, exclude: Sequence[str] = ()) -> list[str]:
    """Return the sorted relative paths of all audio files below a folder.

    Arguments
    ---------
    data_folder : str | Path
        The folder; hidden files are skipped.
    exclude : Sequence[str]
        Patterns of relative paths to leave out, such as ``Actor_01/*`` or
        ``*/speaker 3/*``. A star matches any text, including slashes.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it contains no audio, a pattern matches nothing, or everything is excluded.

    Example
    -------
    >>> folder = Path(getfixture("tmp_path"))
    >>> for name in ("a.wav", "b.wav", "notes.txt"):
    ...     (folder / name).touch()
    >>> list_audio(folder, exclude=["b*"])
    ['a.wav']
    """
    folder = Path(data_folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. Set --data_folder.")
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in find_files(folder)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(f"No audio ({', '.join(SUFFIXES)}) was found below {folder}.")
    for pattern in exclude:
        if not fnmatch.filter(found, pattern):
            raise ValueError(
                f"exclude: {pattern!r} matches none of the {len(found)} audio files "
                f"below {folder}, the first of which is {found[0]}."
            )
    kept = [p for p in found if not any(fnmatch.fnmatch(p, e) for e in exclude)]
    if not kept:
        raise ValueError(f"All {len(found)} audio files below {folder} are excluded.")
    logger.info("%d audio files, %d excluded.", len(found), len(found) - len(kept))
    return kept


def cut(
    data_folder: str | Path,
    paths: Sequence[str],
    sample_rate_hz: int,
    min_duration_s: float,
    max_duration_s: float,
) -> list[Segment]:
    """Cut recordings into segments, leaving out (and logging) those that are too short.

    Arguments
    ---------
    min_duration_s, max_duration_s : float
        A shorter recording is left out; a longer one is cut into the fewest equal
        parts that are not too long.

    Raises
    ------
    ValueError
        If a file is damaged, or all are too short.
    """
    segments, too_short = [], []
    is_long = len(paths) >= 1000
    for path in with_progress(paths, "reading durations", "files", show=is_long):
        duration_s = audio_duration_s(Path(data_folder) / path, sample_rate_hz)
        if duration_s < min_duration_s:
            too_short.append(path)
            continue
        n_parts = -int(-duration_s // max_duration_s)
        part_s = duration_s / n_parts
        segments += [
            Segment(path, i * part_s, part_s, n_parts == 1) for i in range(n_parts)
        ]
    if not segments:
        raise ValueError(
            f"All {len(paths)} recordings are shorter than {min_duration_s:.2f} s, the "
            f"minimum for this method."
        )
    if too_short:
        logger.warning(
            "Leaving out %d of %d recordings shorter than %.2f s, such as %s.",
            len(too_short),
            len(paths),
            min_duration_s,
            too_short[0],
        )
    return segments


def hold_out(
    segments: Sequence[Segment], share: float, seed: int
) -> tuple[list[Segment], list[Segment]]:
    """Split recordings into a training and a validation part, in this order.

    The split depends only on the seed and the names of the recordings. All segments of
    a recording are in the same part.

    Arguments
    ---------
    share : float
        Share of the recordings that is held out; at least one is.

    Raises
    ------
    ValueError
        If there is only one recording.

    Example
    -------
    >>> recordings = [Segment(name, 0.0, 1.0, True) for name in "abcdefghij"]
    >>> train, valid = hold_out(recordings, share=0.2, seed=1)
    >>> len(train), len(valid)
    (8, 2)
    """
    names = sorted({s.path for s in segments}, key=lambda name: _rank(name, seed))
    if len(names) < 2:
        raise ValueError(
            f"There is only one recording ({names[0]}); a second one is needed for "
            f"validation."
        )
    held_out = set(names[: max(1, round(share * len(names)))])
    train = [s for s in segments if s.path not in held_out]
    return train, [s for s in segments if s.path in held_out]


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def write_segments(
    path: str | Path, train: Sequence[Segment], valid: Sequence[Segment]
) -> None:
    """Write the training and the validation part to a CSV file."""
    rows = [(*astuple(s), "train") for s in train]
    rows += [(*astuple(s), "valid") for s in valid]
    columns = [*Segment.__dataclass_fields__, "part"]
    with atomic_path(path) as unfinished:
        pd.DataFrame(rows, columns=columns).to_csv(unfinished, index=False)


def read_segments(path: str | Path) -> tuple[list[Segment], list[Segment]]:
    """Read the two parts that :func:`write_segments` wrote."""
    table = pd.read_csv(path, dtype={"path": str}, keep_default_na=False)
    parts = {"train": [], "valid": []}
    for row in table.itertuples(index=False):
        segment = Segment(row.path, row.start_s, row.duration_s, bool(row.is_whole))
        parts[row.part].append(segment)
    return parts["train"], parts["valid"]


class SegmentReader:
    """Reads segments of recordings as mono waveforms at one rate.

    Arguments
    ---------
    keep_in_memory : bool
        Cache waveforms for later epochs (4 MB per minute, in each worker).
    """

    def __init__(
        self, data_folder: str | Path, sample_rate_hz: int, keep_in_memory: bool = False
    ) -> None:
        self.data_folder = Path(data_folder)
        self.sample_rate_hz = sample_rate_hz
        self._cached = lru_cache(None)(self._read) if keep_in_memory else None

    def __call__(self, segment: Segment) -> torch.Tensor:
        """Return the (samples,) waveform of a segment."""
        if self._cached is not None:
            return self._cached(segment).clone()  # callers may change it
        return self._read(segment)

    def _read(self, segment: Segment) -> torch.Tensor:
        path = self.data_folder / segment.path
        part = () if segment.is_whole else (segment.start_s, segment.duration_s)
        return read_audio(path, self.sample_rate_hz, *part)
