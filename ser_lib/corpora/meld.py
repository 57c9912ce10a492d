"""MELD (https://affective-meld.github.io): read the release, and cut audio from video.

The corpus is described by Poria et al. (2019), https://aclanthology.org/P19-1050. Each
part has an index and a folder of clips, somewhere below the data folder::

    train_sent_emo.csv    train_splits/dia0_utt0.mp4
    dev_sent_emo.csv      dev_splits_complete/dia0_utt0.mp4
    test_sent_emo.csv     output_repeated_splits_test/dia0_utt0.mp4

Some columns of an index::

    Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID
    You must've had your hands full.,The Interviewer,neutral,0,1
"""

from collections.abc import Mapping
from pathlib import Path

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.manifest import Utterance
from ser_lib.corpora.release import add_once, find_release, read_index
from ser_lib.corpora.video import Clip, cut_audio

# Part -> index and folder of its clips
PARTS = {
    "train": ("train_sent_emo.csv", "train_splits"),
    "dev": ("dev_sent_emo.csv", "dev_splits_complete"),
    "test": ("test_sent_emo.csv", "output_repeated_splits_test"),
}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")


def read_corpus(
    data_folder: str | Path, corpus: Mapping, audio_folder: str | Path
) -> list[Utterance]:
    """Read the utterances of MELD; cut the audio that is not there yet.

    Arguments
    ---------
    data_folder : str | Path
        The folder of the three indices and of the clips.
    corpus : Mapping
        The ``corpus`` block of ``recipes/MELD/corpus.yaml``: ``name``, ``how_to_get``,
        ``left_out`` (utterances without a usable clip), ``sample_rate_hz``,
        ``min_duration_s`` (shorter clips are padded) and ``max_duration_s`` (longer
        ones are cut).
    audio_folder : str | Path
        Gets ``train/dia0_utt0.wav`` and so on.

    Returns
    -------
    list[Utterance]
        The parts in the order train, dev, test, and their utterances in the order of
        the index. Ids are such as ``train/dia0_utt0``.

    Raises
    ------
    FileNotFoundError
        If an index or a clip is missing, or ffmpeg is needed and not installed.
    ValueError
        If an index is damaged, or a clip has no sound that ffmpeg can read.
    """
    folder = find_release(
        data_folder,
        corpus,
        "train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv",
        lambda path: all(_find(path, index) for index, _ in PARTS.values()),
    )
    rows = {
        name: row
        for part, (index, _) in PARTS.items()
        for name, row in _read_index(_find(folder, index), part).items()
        if name not in corpus["left_out"]
    }
    wavs = {name: Path(audio_folder, f"{name}.wav") for name in rows}
    missing = [name for name, wav in wavs.items() if not wav.is_file()]
    if missing:
        videos = {part: _clips_folder(folder, part) for part in PARTS}
        cut_audio([Clip(_video(videos, name), wavs[name]) for name in missing], corpus)
    return [
        Utterance(
            id=name,
            path=_relative(wavs[name], folder),
            label=row["Emotion"],
            speaker=row["Speaker"],
            duration_s=audio_duration_s(wavs[name], corpus["sample_rate_hz"]),
            dialog=name.rpartition("_")[0],
            text=row["Utterance"],
        )
        for name, row in rows.items()
    ]


def _find(folder: Path, name: str) -> Path | None:
    """Return a file or folder in a folder or up to two levels below it."""
    patterns = (name, f"*/{name}", f"*/*/{name}")
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return next(found, None)


def _clips_folder(folder: Path, part: str) -> Path:
    clips = _find(folder, PARTS[part][1])
    if clips is None:
        raise FileNotFoundError(
            f"The clips of {part} are missing: looked for a folder {PARTS[part][1]} in "
            f"{folder}. Unpack {part}.tar.gz of MELD.Raw there."
        )
    return clips


def _video(folders: Mapping[str, Path], name: str) -> Path:
    part, clip = name.split("/")
    return folders[part] / f"{clip}.mp4"


def _relative(path: Path, folder: Path) -> str:
    inside = path.is_relative_to(folder)
    return (path.relative_to(folder) if inside else path.absolute()).as_posix()


def _read_index(path: Path, part: str) -> dict[str, dict[str, str]]:
    """Return the rows of the index of a part by utterance."""
    rows: dict[str, dict[str, str]] = {}
    for line, row in read_index(path, _COLUMNS):
        name = f"{part}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
        add_once(rows, name, row, f"{path}, line {line}")
    return rows
