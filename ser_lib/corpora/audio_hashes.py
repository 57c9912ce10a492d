"""Hashes of the decoded audio of files, computed once for each file.

Samples are hashed as 32-bit floats with the channels averaged. So a WAV and a FLAC file
of one recording have the same hash, as do its 16-bit and 24-bit versions and a mono and
a duplicated stereo version, regardless of headers, tags and names. A copy at another
sampling rate or from a lossy codec has another hash.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ser_lib.audio import file_status, read_audio
from ser_lib.corpora.manifest import Utterance
from ser_lib.utils.files import atomic_path
from ser_lib.utils.progress import with_progress

_MIN_FILES_FOR_BAR = 500  # fewer are hashed in about a second


class _Row(NamedTuple):
    """One line of the cache: the state of a file when it was hashed."""

    path: str
    size_bytes: str
    modified_ns: str
    changed_ns: str
    audio_hash: str


def audio_hash(path: str | Path) -> str:
    """Hash the decoded samples of an audio file.

    Returns
    -------
    str
        16 hexadecimal digits of SHA-256.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        If the file is missing or refused, see ``audio.read_audio``.

    Example
    -------
    >>> import soundfile
    >>> folder = Path(getfixture("tmp_path"))
    >>> soundfile.write(folder / "a.wav", [0.5, 0.25], 16000)
    >>> soundfile.write(folder / "copy.flac", [[0.5, 0.5], [0.25, 0.25]], 16000)
    >>> audio_hash(folder / "a.wav") == audio_hash(folder / "copy.flac")
    True
    """
    # Not resampled, because the last digits of resampling differ between machines.
    wav = read_audio(path, sample_rate_hz=None)
    return hashlib.sha256(wav.numpy().astype("<f4").tobytes()).hexdigest()[:16]


def with_audio_hashes(
    utterances: Sequence[Utterance], data_folder: str | Path, cache_path: str | Path
) -> list[Utterance]:
    """Return the utterances with their audio hashes, in the same order.

    A file is decoded unless the cache has its path with the same size, modification
    time and change time. Copying can preserve the modification time, but not the change
    time.

    Arguments
    ---------
    cache_path : str | Path
        A CSV file with the hashes of one or more corpora.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        If an audio file is missing or refused, see ``audio.read_audio``.
    """
    cache = _read_cache(Path(cache_path))
    files = [_unhashed_row(Path(data_folder, u.path)) for u in utterances]
    new = [file for file in dict.fromkeys(files) if not _is_cached(file, cache)]
    is_long = len(new) >= _MIN_FILES_FOR_BAR
    for file in with_progress(new, "hashing audio", "files", show=is_long):
        cache[file.path] = file._replace(audio_hash=audio_hash(file.path))
    if new:
        _write_cache(Path(cache_path), cache)
    return [
        replace(utterance, audio_hash=cache[file.path].audio_hash)
        for utterance, file in zip(utterances, files, strict=True)
    ]


def _unhashed_row(path: Path) -> _Row:
    status = file_status(path)
    numbers = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    # As text, like the rows read from the cache.
    return _Row(str(path.absolute()), *map(str, numbers), audio_hash="")


def _is_cached(file: _Row, cache: Mapping[str, _Row]) -> bool:
    """Return whether the cache has the hash of a file in its present state."""
    row = cache.get(file.path)
    return row is not None and row._replace(audio_hash="") == file


def _read_cache(path: Path) -> dict[str, _Row]:
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as f:
        rows = csv.DictReader(f)
        # A cache of an earlier version has other columns: all files are hashed again.
        is_current = rows.fieldnames == list(_Row._fields)
        return {row["path"]: _Row(**row) for row in rows} if is_current else {}


def _write_cache(path: Path, rows: Mapping[str, _Row]) -> None:
    with atomic_path(path) as unfinished:
        with open(unfinished, "w", newline="", encoding="utf-8") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(_Row._fields)
            writer.writerows(rows.values())
