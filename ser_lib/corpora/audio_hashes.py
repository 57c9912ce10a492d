"""Hashes of what is heard in audio files, computed once for each file.

The samples are hashed after decoding, as 32-bit floats with the channels averaged.
So a WAV and a FLAC file of one recording, its 16 and its 24 bits, its one channel
and two equal ones have the same hash, whatever their headers, tags and names. A copy
at another sampling rate, or one that went through a lossy codec, has another hash.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ser_lib.audio import file_status, read_audio
from ser_lib.corpora.manifest import Utterance
from ser_lib.utils.files import atomic_path

_FEW_FILES = 500  # hashed in about a second, so without a progress bar


class _Row(NamedTuple):
    """One line of the cache: a file as it was when it was hashed."""

    path: str
    size_bytes: str
    modified_ns: str
    changed_ns: str
    audio_hash: str


def audio_hash(path: str | Path) -> str:
    """Hash the decoded samples of an audio file.

    Arguments
    ---------
    path : str | Path
        Anything that :func:`ser_lib.audio.read_audio` reads.

    Returns
    -------
    str
        16 hexadecimal digits of SHA-256.

    Raises
    ------
    ValueError
        If the file is cut off or damaged.

    Example
    -------
    >>> import soundfile
    >>> folder = Path(getfixture("tmp_path"))
    >>> soundfile.write(folder / "a.wav", [0.5, 0.25], 16000)
    >>> soundfile.write(folder / "copy.flac", [[0.5, 0.5], [0.25, 0.25]], 16000)
    >>> audio_hash(folder / "a.wav") == audio_hash(folder / "copy.flac")
    True
    """
    # At its own rate, because the last digits of resampling differ between machines.
    wav = read_audio(path, sample_rate_hz=None)
    return hashlib.sha256(wav.numpy().astype("<f4").tobytes()).hexdigest()[:16]


def with_audio_hashes(
    utterances: Sequence[Utterance], data_folder: str | Path, cache_path: str | Path
) -> list[Utterance]:
    """Fill in the audio hashes of a corpus.

    A file is decoded only if the cache does not know it by path, size and the times at
    which its content and its entry in the file system were last changed. Programs that
    copy can set back the first of these times, but not the second.

    Arguments
    ---------
    utterances : Sequence[Utterance]
        The corpus.
    data_folder : str | Path
        What the paths of the utterances are relative to.
    cache_path : str | Path
        A CSV file that keeps the hashes, of several corpora if need be.

    Returns
    -------
    list[Utterance]
        The utterances in the same order, with ``audio_hash``.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError
        If an audio file is missing or refused, see ``audio.read_audio``.
    """
    known = _read_cache(Path(cache_path))
    files = [_as_it_is_now(Path(data_folder, u.path)) for u in utterances]
    new = [file for file in dict.fromkeys(files) if _known_hash(known, file) is None]
    few = len(new) < _FEW_FILES
    bar = tqdm(
        new, "hashing audio", unit="file", ascii=True, mininterval=1, disable=few
    )
    for file in bar:
        known[file.path] = file._replace(audio_hash=audio_hash(file.path))
    if new:
        _write_cache(Path(cache_path), known)
    return [
        replace(utterance, audio_hash=known[file.path].audio_hash)
        for utterance, file in zip(utterances, files, strict=True)
    ]


def _as_it_is_now(path: Path) -> _Row:
    status = file_status(path)
    numbers = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    # All text, as it comes back from the file.
    return _Row(str(path.absolute()), *map(str, numbers), audio_hash="")


def _known_hash(known: Mapping[str, _Row], file: _Row) -> str | None:
    """Return the hash of a file that has not changed since it was hashed."""
    row = known.get(file.path)
    unchanged = row is not None and row._replace(audio_hash="") == file
    return row.audio_hash if unchanged else None


def _read_cache(path: Path) -> dict[str, _Row]:
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as f:
        rows = csv.DictReader(f)
        # One of an earlier version knows less of the files: they are hashed again.
        is_current = rows.fieldnames == list(_Row._fields)
        return {row["path"]: _Row(**row) for row in rows} if is_current else {}


def _write_cache(path: Path, rows: Mapping[str, _Row]) -> None:
    with atomic_path(path) as unfinished:
        with open(unfinished, "w", newline="", encoding="utf-8") as f:
            writer = csv.writer(f, lineterminator="\n")
            writer.writerow(_Row._fields)
            writer.writerows(rows.values())
