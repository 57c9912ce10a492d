"""RAVDESS: 24 actors, two sentences, eight emotions, 1,440 recordings of speech.

Livingstone & Russo (2018), PLOS ONE 13(5): e0196391, describe the corpus;
https://zenodo.org/records/1188976 publishes it. Everything that is known about a
recording stands in its name, seven numbers such as ``03-01-06-01-02-01-12``: modality
(03 audio only), vocal channel (01 speech), emotion, intensity (01 normal, 02 strong;
neutral has no strong one), statement, repetition, actor.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

from speechbrain.utils.logger import get_logger

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.manifest import Utterance
from ser_lib.utils.download import download_and_unpack

logger = get_logger(__name__)

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {
    "01": "Kids are talking by the door",
    "02": "Dogs are sitting by the door",
}
ACTORS = [f"{actor:02}" for actor in range(1, 25)]  # odd: male, even: female

_AUDIO_SUFFIXES = (".wav", ".flac")
_NAME = re.compile(r"\d\d(-\d\d){6}")
_HOW_TO_GET_IT = (
    "Give the folder that holds Actor_01 .. Actor_24 as --data_folder, or an empty "
    "folder to have the corpus downloaded into it."
)


def read_corpus(data_folder: str | Path, corpus: Mapping) -> list[Utterance]:
    """List the 1,440 speech recordings; download them first if the folder is empty.

    The audio files (WAV or FLAC) must be the full grid of the release, no more and no
    less. Files of other kinds, and the ``._*`` files that macOS makes, are not looked
    at.

    Arguments
    ---------
    data_folder : str | Path
        The folder that holds ``Actor_01`` to ``Actor_24``. If it is missing or empty,
        the official archive is downloaded into it and unpacked into a subfolder named
        after the archive; a folder with this subfolder alone is fine, too.
    corpus : Mapping
        The ``corpus`` block of ``corpus.yaml``: ``archive`` (``url``, ``size_bytes``,
        ``md5``), ``sample_rate_hz``, ``merged_labels`` (emotion to the label used) and
        ``ignored_labels`` (emotions to leave out).

    Returns
    -------
    list[Utterance]
        In the order of the actors, then of the file names; without the emotions that
        are left out, which must be there all the same.

    Raises
    ------
    FileNotFoundError
        If the folder holds something else; the message says what, and which folder
        is the right one if it is near.
    ValueError
        If a file is missing, there twice, has a name that cannot be read, does not
        belong to the corpus, or is not whole; or if the archive is not the official
        one.
    ConnectionError
        If the archive cannot be downloaded.
    """
    actors_folder = _find_actors(Path(data_folder), corpus["archive"])
    files = _audio_files(actors_folder)
    _check_names(files)
    _check_no_others(files, actors_folder)
    _check_once(files)
    _check_complete(files, actors_folder)
    return [
        _utterance(path, data_folder, corpus)
        for path in sorted(files, key=lambda path: (path.parent.name, path.stem))
        if _emotion(path) not in corpus["ignored_labels"]
    ]


def _find_actors(data_folder: Path, archive: Mapping) -> Path:
    """Find the folder that holds the actors' folders; fill an empty data folder."""
    archive_path = data_folder / Path(urlsplit(archive["url"]).path).name
    unpacked = data_folder / archive_path.stem
    if data_folder.is_file():
        raise FileNotFoundError(f"{data_folder} is not a folder. {_HOW_TO_GET_IT}")
    if _has_actors(data_folder):
        return data_folder
    if _is_empty(data_folder, but_for=archive_path):
        logger.warning(
            "%s is empty: RAVDESS (%d MB, CC BY-NC-SA 4.0) is downloaded into it from "
            "%s",
            data_folder,
            archive["size_bytes"] / 1e6,
            archive["url"],
        )
        size_bytes, md5 = archive["size_bytes"], archive["md5"]
        download_and_unpack(archive["url"], archive_path, unpacked, size_bytes, md5)
        logger.info("%s is unpacked and may be deleted.", archive_path)
    if _has_actors(unpacked):
        return unpacked
    raise FileNotFoundError(_wrong_folder(data_folder))


def _has_actors(folder: Path) -> bool:
    return any((folder / f"Actor_{actor}").is_dir() for actor in ACTORS)


def _is_empty(data_folder: Path, but_for: Path) -> bool:
    """Whether there is nothing but an archive, or a part of it, and hidden files."""
    archive_names = {but_for.name, f"{but_for.name}.part"}
    return not data_folder.exists() or all(
        path.name in archive_names or path.name.startswith(".")
        for path in data_folder.iterdir()
    )


def _wrong_folder(data_folder: Path) -> str:
    """Say what is there and, if it is one level away, which folder is the right one."""
    names = sorted(path.name for path in data_folder.iterdir())
    there = f"{_first(names)} ({len(names)} in all)"
    near = [data_folder.absolute().parent, *sorted(data_folder.iterdir())]
    right = next((folder for folder in near if _has_actors(folder)), None)
    advice = f"The right folder is {right}" if right else _HOW_TO_GET_IT
    return (
        f"{data_folder} is not the RAVDESS folder: looked for Actor_01 .. Actor_24 in "
        f"it, found {there}. {advice}"
    )


def _audio_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _AUDIO_SUFFIXES and not path.name.startswith("._")
    )


def _expected_stems() -> list[str]:
    """The names of the release: 60 recordings of each actor."""
    return [
        f"03-01-{emotion}-{intensity}-{statement}-{repetition}-{actor}"
        for actor, emotion, intensity, statement, repetition in product(
            ACTORS, EMOTIONS, ("01", "02"), STATEMENTS, ("01", "02")
        )
        if (EMOTIONS[emotion], intensity) != ("neutral", "02")
    ]


def _first(names: Iterable[object], n: int = 5) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")


def _check_names(files: list[Path]) -> None:
    unreadable = [path for path in files if not _NAME.fullmatch(path.stem)]
    if unreadable:
        raise ValueError(
            f"{len(unreadable)} audio files have a name that is not that of a RAVDESS "
            f"recording (seven two-digit numbers, such as 03-01-06-01-02-01-12): "
            f"{_first(unreadable)}. Move them out of the folder."
        )


def _check_no_others(files: list[Path], actors_folder: Path) -> None:
    """Refuse recordings that are not of the release, or not where it puts them."""
    expected = set(_expected_stems())
    others = [
        path
        for path in files
        if path.stem not in expected
        or path.parent != actors_folder / f"Actor_{path.stem[-2:]}"
    ]
    if others:
        raise ValueError(
            f"{len(others)} audio files do not belong to the speech part of RAVDESS, "
            f"which is audio only (names begin with 03-01) and has each recording "
            f"once, in the folder of its actor: {_first(others)}. Video (01-, 02-) "
            f"and song (03-02) must be moved out of {actors_folder}, and so must a "
            f"second copy of the actors, such as the folder audio_speech_actors_01-24 "
            f"of some circulating copies."
        )


def _check_once(files: list[Path]) -> None:
    same_stem = defaultdict(list)
    for path in files:
        same_stem[path.stem].append(path)
    repeated = [paths for paths in same_stem.values() if len(paths) > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} recordings are there twice, the first as "
            f"{' and '.join(map(str, repeated[0]))}. Keep the WAV or the FLAC files, "
            f"not both."
        )


def _check_complete(files: list[Path], actors_folder: Path) -> None:
    found = {path.stem for path in files}
    expected = _expected_stems()
    missing = [stem for stem in expected if stem not in found]
    if missing:
        first = _first(f"Actor_{stem[-2:]}/{stem}" for stem in missing)
        raise ValueError(
            f"{actors_folder} is incomplete: expected {len(expected):,} recordings "
            f"(.wav or .flac), found {len(found):,}, missing {len(missing):,}: "
            f"{first}. Copy or unpack the corpus again."
        )


def _emotion(path: Path) -> str:
    return EMOTIONS[path.stem.split("-")[2]]


def _utterance(path: Path, data_folder: str | Path, corpus: Mapping) -> Utterance:
    *_, statement, _, actor = path.stem.split("-")
    emotion = _emotion(path)
    return Utterance(
        id=path.stem,
        path=path.relative_to(data_folder).as_posix(),
        label=corpus["merged_labels"].get(emotion, emotion),
        speaker=actor,
        duration_s=audio_duration_s(path, corpus["sample_rate_hz"]),
        text=STATEMENTS[statement],
    )
