"""RAVDESS: 24 actors, two sentences, eight emotions, 1,440 recordings of speech.

The corpus is described by Livingstone & Russo (2018), PLOS ONE 13(5): e0196391, and
published at https://zenodo.org/records/1188976. A file name describes its recording
with seven numbers, such as ``03-01-06-01-02-01-12``: modality (03 audio only), vocal
channel (01 speech), emotion, intensity (01 normal, 02 strong; neutral has no strong
recordings), statement, repetition, actor.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

from speechbrain.utils.logger import get_logger

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.manifest import Utterance
from ser_lib.utils.download import download_and_unpack
from ser_lib.utils.listing import first_few

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
INTENSITIES = {"01": "normal", "02": "strong"}
ACTORS = [f"{actor:02}" for actor in range(1, 25)]  # odd: male, even: female

_AUDIO_SUFFIXES = (".wav", ".flac")
_NAME = re.compile(r"\d\d(-\d\d){6}")
_HOW_TO_GET_IT = (
    "Give the folder that holds Actor_01 .. Actor_24 as --data_folder, or an empty "
    "folder to download the corpus into."
)


def read_corpus(data_folder: str | Path, corpus: Mapping) -> list[Utterance]:
    """List the 1,440 speech recordings; download them first if the folder is empty.

    The audio files (WAV or FLAC) must be exactly those of the release. Other files are
    ignored, as are the ``._*`` files that macOS creates.

    Arguments
    ---------
    data_folder : str | Path
        The folder that holds ``Actor_01`` to ``Actor_24``. If it is missing or empty,
        the official archive is downloaded into it and unpacked into a subfolder named
        after the archive; a folder that holds only this subfolder is accepted too.
    corpus : Mapping
        The ``corpus`` block of ``corpus.yaml``: ``archive`` (``url``, ``size_bytes``,
        ``md5``) and ``sample_rate_hz``.

    Returns
    -------
    list[Utterance]
        Sorted by actor, then by file name.

    Raises
    ------
    FileNotFoundError
        If the folder holds something else; the message says what it holds and names
        the right folder if it is one level away.
    ValueError
        If a file is missing, occurs twice, has an invalid name, does not belong to the
        corpus or is incomplete; or if the archive is not the official one.
    ConnectionError
        If the archive cannot be downloaded.
    """
    actors_folder = _find_actors(Path(data_folder), corpus["archive"])
    files = _audio_files(actors_folder)
    _check_names(files)
    _check_no_others(files, actors_folder)
    _check_unique(files)
    _check_complete(files, actors_folder)
    return [
        _utterance(path, data_folder, corpus)
        for path in sorted(files, key=lambda path: (path.parent.name, path.stem))
    ]


def _find_actors(data_folder: Path, archive: Mapping) -> Path:
    """Return the folder that holds the actors' folders; fill an empty data folder."""
    archive_path = data_folder / Path(urlsplit(archive["url"]).path).name
    unpacked = data_folder / archive_path.stem
    if data_folder.is_file():
        raise FileNotFoundError(f"{data_folder} is not a folder. {_HOW_TO_GET_IT}")
    if _has_actors(data_folder):
        return data_folder
    if _is_empty(data_folder, archive_path):
        logger.warning(
            "%s is empty: downloading RAVDESS (%d MB, CC BY-NC-SA 4.0) into it from %s",
            data_folder,
            archive["size_bytes"] / 1e6,
            archive["url"],
        )
        size_bytes, md5 = archive["size_bytes"], archive["md5"]
        download_and_unpack(archive["url"], archive_path, unpacked, size_bytes, md5)
        logger.info("%s was unpacked and may be deleted.", archive_path)
    if _has_actors(unpacked):
        return unpacked
    raise FileNotFoundError(_wrong_folder(data_folder))


def _has_actors(folder: Path) -> bool:
    return any((folder / f"Actor_{actor}").is_dir() for actor in ACTORS)


def _is_empty(data_folder: Path, archive: Path) -> bool:
    """Return whether a folder holds nothing but the archive and hidden files."""
    archive_names = {archive.name, f"{archive.name}.part"}
    return not data_folder.exists() or all(
        path.name in archive_names or path.name.startswith(".")
        for path in data_folder.iterdir()
    )


def _wrong_folder(data_folder: Path) -> str:
    """Describe what a folder holds; name the right folder if it is one level away."""
    names = sorted(path.name for path in data_folder.iterdir())
    near = [data_folder.absolute().parent, *sorted(data_folder.iterdir())]
    right = next((folder for folder in near if _has_actors(folder)), None)
    advice = f"The right folder is {right}." if right else _HOW_TO_GET_IT
    return (
        f"{data_folder} is not the RAVDESS folder: looked for Actor_01 .. Actor_24 in "
        f"it, found {first_few(names)} ({len(names)} in total). {advice}"
    )


def _audio_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _AUDIO_SUFFIXES and not path.name.startswith("._")
    )


def _expected_stems() -> list[str]:
    """Return the names of the release: 60 recordings of each actor."""
    return [
        f"03-01-{emotion}-{intensity}-{statement}-{repetition}-{actor}"
        for actor, emotion, intensity, statement, repetition in product(
            ACTORS, EMOTIONS, ("01", "02"), STATEMENTS, ("01", "02")
        )
        if (EMOTIONS[emotion], intensity) != ("neutral", "02")
    ]


def _check_names(files: list[Path]) -> None:
    invalid = [path for path in files if not _NAME.fullmatch(path.stem)]
    if invalid:
        raise ValueError(
            f"{len(invalid)} audio files do not have the name of a RAVDESS recording "
            f"(seven two-digit numbers, such as 03-01-06-01-02-01-12): "
            f"{first_few(invalid)}. Move them out of the folder."
        )


def _check_no_others(files: list[Path], actors_folder: Path) -> None:
    """Refuse recordings that the release does not have, or has in another folder."""
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
            f"which is audio only (names start with 03-01) and has each recording "
            f"once, in the folder of its actor: {first_few(others)}. Move video (01-, "
            f"02-) and song (03-02) out of {actors_folder}, and also a second copy of "
            f"the actors, such as the folder audio_speech_actors_01-24 of some copies."
        )


def _check_unique(files: list[Path]) -> None:
    same_stem = defaultdict(list)
    for path in files:
        same_stem[path.stem].append(path)
    repeated = [paths for paths in same_stem.values() if len(paths) > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} recordings occur twice, the first as "
            f"{' and '.join(map(str, repeated[0]))}. Keep either the WAV or the FLAC "
            f"files."
        )


def _check_complete(files: list[Path], actors_folder: Path) -> None:
    found = {path.stem for path in files}
    expected = _expected_stems()
    missing = [stem for stem in expected if stem not in found]
    if missing:
        first = first_few(f"Actor_{stem[-2:]}/{stem}" for stem in missing)
        raise ValueError(
            f"{actors_folder} is incomplete: expected {len(expected):,} recordings "
            f"(.wav or .flac), found {len(found):,}, missing {len(missing):,}: "
            f"{first}. Copy or unpack the corpus again."
        )


def _utterance(path: Path, data_folder: str | Path, corpus: Mapping) -> Utterance:
    _, _, emotion, intensity, statement, _, actor = path.stem.split("-")
    return Utterance(
        id=path.stem,
        path=path.relative_to(data_folder).as_posix(),
        label=EMOTIONS[emotion],
        speaker=actor,
        duration_s=audio_duration_s(path, corpus["sample_rate_hz"]),
        text=STATEMENTS[statement],
        attributes={
            "intensity": INTENSITIES[intensity],
            "gender": "male" if int(actor) % 2 else "female",
            "statement": STATEMENTS[statement].split()[0].lower(),  # kids, dogs
        },
    )
