"""SAVEE (http://kahlan.eps.surrey.ac.uk/savee/): read the release.

File names in the two layouts in use::

    AudioData/DC/sa03.wav    as released: speaker DC, sadness, third sentence
    ALL/DC_sa03.wav          as it circulates: all files in one folder

The emotions are a (anger), d (disgust), f (fear), h (happiness), n (neutral),
sa (sadness) and su (surprise). The release does not say which sentence a number stands
for, so ``text`` is empty.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.manifest import Utterance
from ser_lib.utils.listing import first_few

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
_AUDIO_SUFFIXES = {".wav", ".flac"}


def read_corpus(data_folder: str | Path, corpus: Mapping) -> list[Utterance]:
    """Read the 480 recordings of SAVEE.

    Arguments
    ---------
    data_folder : str | Path
        The folder that holds ``AudioData`` or ``ALL``, or one of these.
    corpus : Mapping
        The ``corpus`` block of ``recipes/SAVEE/corpus.yaml``: ``speakers``, ``counts``
        (recordings of each label, over all speakers), ``how_to_get`` and
        ``sample_rate_hz``.

    Returns
    -------
    list[Utterance]
        Sorted by speaker, then by name. Both layouts give the same ids, such as
        ``DC_sa03``.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist or holds something else.
    ValueError
        If a recording is missing, occurs twice, does not belong to the corpus or is
        incomplete.
    """
    folder = _find_recordings(Path(data_folder), corpus)
    names = _expected_names(corpus)
    paths = _complete(_audio_files(folder), names, folder)
    return [
        Utterance(
            id=name,
            path=paths[name].relative_to(data_folder).as_posix(),
            label=label,
            speaker=name.split("_")[0],
            duration_s=audio_duration_s(paths[name], corpus["sample_rate_hz"]),
            attributes={"gender": "male"},  # all four speakers are men
        )
        for name, label in names.items()
    ]


def _expected_names(corpus: Mapping) -> dict[str, str]:
    """Return the recordings of the release and their labels."""
    return {
        f"{speaker}_{letters}{number:02d}": label
        for speaker in corpus["speakers"]
        for letters, label in EMOTIONS.items()
        for number in range(1, corpus["counts"][label] // len(corpus["speakers"]) + 1)
    }


def _find_recordings(data_folder: Path, corpus: Mapping) -> Path:
    """Return the folder that holds the speakers' folders, or all files."""
    speakers = list(corpus["speakers"])
    if not data_folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {data_folder}. SAVEE cannot be downloaded without "
            f"registration. {corpus['how_to_get'].strip()}"
        )
    candidates = [data_folder / "AudioData", data_folder / "ALL", data_folder]
    found = [folder for folder in candidates if _has_recordings(folder, speakers)]
    if not found:
        names = sorted(path.name for path in data_folder.iterdir())
        raise FileNotFoundError(
            f"{data_folder} is not the SAVEE folder: looked for AudioData/"
            f"{speakers[0]}/a01.wav or ALL/{speakers[0]}_a01.wav, found "
            f"{first_few(names) or 'nothing'}. {corpus['how_to_get'].strip()}"
        )
    if len(found) > 1:
        raise ValueError(
            f"{data_folder} holds the recordings twice, in {found[0]} and in "
            f"{found[1]}. Give one of these folders as the data folder."
        )
    return found[0]


def _has_recordings(folder: Path, speakers: Iterable[str]) -> bool:
    return any(
        (folder / speaker).is_dir() or any(folder.glob(f"{speaker}_*"))
        for speaker in speakers
    )


def _audio_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files by recording: ``DC/a01`` and ``DC_a01`` are the same."""
    files = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        # macOS creates a file named ._* next to each real one.
        if path.suffix.lower() in _AUDIO_SUFFIXES and not path.name.startswith("._"):
            name = "_".join(path.relative_to(folder).with_suffix("").parts)
            files[name].append(path)
    return files


def _complete(
    files: Mapping[str, list[Path]], names: Mapping[str, str], folder: Path
) -> dict[str, Path]:
    """Check that each expected recording exists once and that there are no others."""
    others = [path for name in files.keys() - names.keys() for path in files[name]]
    if others:
        raise ValueError(
            f"{len(others)} audio files are not among the {len(names)} recordings of "
            f"SAVEE: {first_few(sorted(others))}. Expected names such as DC/sa03.wav "
            f"or DC_sa03.wav; move the others out of {folder}."
        )
    repeated = [paths for paths in files.values() if len(paths) > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} recordings occur twice, the first as "
            f"{' and '.join(map(str, repeated[0]))}. Keep one file of each."
        )
    missing = [name for name in names if name not in files]
    if missing:
        raise ValueError(
            f"{folder} is incomplete: expected {len(names)} recordings, found "
            f"{len(files)}, missing {len(missing)}: {first_few(missing)}. Copy or "
            f"unpack the corpus again."
        )
    return {name: paths[0] for name, paths in files.items()}
