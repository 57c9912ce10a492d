"""Any folder of audio as training material: found, cut into stretches, split, read."""

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from speechbrain.utils.logger import get_logger
from tqdm import tqdm

from ser_lib.audio import audio_duration_s, find_files, read_audio
from ser_lib.utils.files import atomic_path

logger = get_logger(__name__)

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


@dataclass(frozen=True)
class Stretch:
    """A part of a recording, or all of it.

    Arguments
    ---------
    path : str
        Of the recording, relative to the data folder.
    start_s, duration_s : float
        Where it begins and how long it is.
    is_whole : bool
        Whether it is the whole recording.
    """

    path: str
    start_s: float
    duration_s: float
    is_whole: bool


def list_audio(data_folder: str | Path, exclude: Sequence[str] = ()) -> list[str]:
    """Find all audio files below a folder.

    Arguments
    ---------
    data_folder : str | Path
        The folder; hidden files are passed over.
    exclude : Sequence[str]
        Patterns of relative paths to leave out, such as ``Actor_01/*`` or
        ``*/speaker 3/*``. A star stands for any text, slashes too.

    Returns
    -------
    list[str]
        Relative paths, in order.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there is no audio in it, a pattern matches nothing, or all is excluded.

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
        raise FileNotFoundError(f"There is no folder {folder}. Give --data_folder.")
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in find_files(folder)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(f"No audio ({', '.join(SUFFIXES)}) is below {folder}.")
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
) -> list[Stretch]:
    """Cut recordings into stretches; what is too short is counted and left out.

    Arguments
    ---------
    data_folder : str | Path
        The folder.
    paths : Sequence[str]
        Recordings in it.
    sample_rate_hz : int
        Rate at which they will be read.
    min_duration_s, max_duration_s : float
        A shorter recording is left out; a longer one is cut into the fewest equal
        parts that are not too long.

    Returns
    -------
    list[Stretch]
        In the order of the paths.

    Raises
    ------
    ValueError
        If a file is damaged, or all are too short.
    """
    stretches, too_short = [], []
    for path in tqdm(paths, desc="durations", disable=len(paths) < 1000):
        duration_s = audio_duration_s(Path(data_folder) / path, sample_rate_hz)
        if duration_s < min_duration_s:
            too_short.append(path)
            continue
        n_parts = -int(-duration_s // max_duration_s)
        part_s = duration_s / n_parts
        stretches += [
            Stretch(path, i * part_s, part_s, n_parts == 1) for i in range(n_parts)
        ]
    if not stretches:
        raise ValueError(
            f"All {len(paths)} recordings are shorter than {min_duration_s:.2f} s, the "
            f"least that this method can learn from."
        )
    if too_short:
        what = "%d of %d recordings are shorter than %.2f s and left out, such as %s."
        amounts = len(too_short), len(paths), min_duration_s, too_short[0]
        logger.warning(what, *amounts)
    return stretches


def hold_out(
    stretches: Sequence[Stretch], share: float, seed: int
) -> tuple[list[Stretch], list[Stretch]]:
    """Split recordings into those to train on and those to validate on.

    The choice depends on the seed and the name of a recording alone, and all stretches
    of a recording go to one side.

    Arguments
    ---------
    stretches : Sequence[Stretch]
        All of them.
    share : float
        Share of the recordings that is held out; one at least.
    seed : int
        For the choice.

    Returns
    -------
    list[Stretch]
        To train on.
    list[Stretch]
        Held out.

    Raises
    ------
    ValueError
        If there is one recording only.

    Example
    -------
    >>> recordings = [Stretch(name, 0.0, 1.0, True) for name in "abcdefghij"]
    >>> train, valid = hold_out(recordings, share=0.2, seed=1)
    >>> len(train), len(valid)
    (8, 2)
    """
    names = sorted({s.path for s in stretches}, key=lambda name: _draw(name, seed))
    if len(names) < 2:
        raise ValueError(
            f"There is one recording only ({names[0]}); a second one is needed to "
            f"validate on."
        )
    held_out = set(names[: max(1, round(share * len(names)))])
    train = [s for s in stretches if s.path not in held_out]
    return train, [s for s in stretches if s.path in held_out]


def _draw(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def write_stretches(
    path: str | Path, train: Sequence[Stretch], valid: Sequence[Stretch]
) -> None:
    """Write down what is trained and validated on.

    Arguments
    ---------
    path : str | Path
        A CSV file.
    train, valid : Sequence[Stretch]
        Both parts.
    """
    rows = [(*astuple(s), "train") for s in train]
    rows += [(*astuple(s), "valid") for s in valid]
    columns = [*Stretch.__dataclass_fields__, "part"]
    with atomic_path(path) as unfinished:
        pd.DataFrame(rows, columns=columns).to_csv(unfinished, index=False)


def read_stretches(path: str | Path) -> tuple[list[Stretch], list[Stretch]]:
    """Read what :func:`write_stretches` wrote.

    Arguments
    ---------
    path : str | Path
        The CSV file.

    Returns
    -------
    list[Stretch]
        To train on.
    list[Stretch]
        Held out.
    """
    table = pd.read_csv(path, dtype={"path": str}, keep_default_na=False)
    parts = {"train": [], "valid": []}
    for row in table.itertuples(index=False):
        stretch = Stretch(row.path, row.start_s, row.duration_s, bool(row.is_whole))
        parts[row.part].append(stretch)
    return parts["train"], parts["valid"]


class StretchReader:
    """Reads stretches of recordings as mono waveforms at one rate.

    Arguments
    ---------
    data_folder : str | Path
        The folder that paths are relative to.
    sample_rate_hz : int
        Files at other rates are resampled.
    keep_in_memory : bool
        Keep what was read for later epochs (4 MB a minute, in each worker).
    """

    def __init__(
        self, data_folder: str | Path, sample_rate_hz: int, keep_in_memory: bool = False
    ) -> None:
        self.data_folder = Path(data_folder)
        self.sample_rate_hz = sample_rate_hz
        self._kept = lru_cache(None)(self._read) if keep_in_memory else None

    def __call__(self, stretch: Stretch) -> torch.Tensor:
        """Read one stretch.

        Arguments
        ---------
        stretch : Stretch
            What to read.

        Returns
        -------
        (samples,) torch.Tensor
            The waveform.
        """
        if self._kept is not None:
            return self._kept(stretch).clone()  # what is made of it may be changed
        return self._read(stretch)

    def _read(self, stretch: Stretch) -> torch.Tensor:
        path = self.data_folder / stretch.path
        part = () if stretch.is_whole else (stretch.start_s, stretch.duration_s)
        return read_audio(path, self.sample_rate_hz, *part)
