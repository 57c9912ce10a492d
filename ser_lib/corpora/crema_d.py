"""CREMA-D (https://github.com/CheyneyComputerScience/CREMA-D): read the release.

The corpus is described by Cao et al. (2014), https://doi.org/10.1109/TAFFC.2014.2336244.
A file name such as ``1001_DFA_ANG_XX`` is the actor, the sentence, the intended emotion
and its intensity (LO, MD, HI, or XX: not specified). What listeners heard is in
``processedResults/summaryTable.csv``; some columns of a row::

    "","FileName","VoiceVote","VoiceLevel"
    "1","1001_IEO_NEU_XX","N","69.1"

``VoiceVote`` is the emotion with most votes for the sound alone. Emotions with equally
many votes are separated by colons (``A:D``); such a recording has the label ``tie``.

Two files add attributes if they are there. ``processedResults/tabulatedVotes.csv`` has
the number of votes for each emotion; rows whose number starts with 1 are of the sound
alone. ``VideoDemographics.csv`` describes the actors. Some columns::

    "","A","D","F","H","N","S","fileName"       "ActorID","Age","Sex"
    "100001",0,0,0,1,10,0,"1001_IEO_NEU_XX"     1001,51,"Male"
"""

import re
from collections.abc import Mapping
from pathlib import Path

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.manifest import Utterance
from ser_lib.corpora.release import (
    audio_by_name,
    check_names,
    check_speakers,
    find_release,
    read_index,
    wrong_names,
)

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
LABEL_BY = ("intended", "vote")
_NAME = re.compile(
    rf"(?P<actor>1\d{{3}})_(?P<sentence>{'|'.join(SENTENCES)})"
    rf"_(?P<emotion>{'|'.join(EMOTIONS)})_(?:LO|MD|HI|XX?)"
)
_VOTES = {emotion[0]: label for emotion, label in EMOTIONS.items()}
_SUMMARY = Path("processedResults") / "summaryTable.csv"
_ALL_VOTES = Path("processedResults") / "tabulatedVotes.csv"
_ACTORS = Path("VideoDemographics.csv")


def read_corpus(
    data_folder: str | Path, corpus: Mapping, label_by: str = "intended"
) -> list[Utterance]:
    """Read the 7,442 clips of CREMA-D.

    Arguments
    ---------
    data_folder : str | Path
        A clone of the repository, which holds ``AudioWAV``.
    corpus : Mapping
        The ``corpus`` block of ``recipes/CREMA-D/corpus.yaml``: ``name``, ``speakers``,
        ``how_to_get`` and ``sample_rate_hz``.
    label_by : str
        ``intended``: the emotion that the actor was asked for. ``vote``: the one that
        most listeners heard.

    Returns
    -------
    list[Utterance]
        Sorted by name.

    Raises
    ------
    FileNotFoundError
        If the folder holds something else, or the votes are missing.
    ValueError
        If a clip has another name, cannot be read or is a Git LFS pointer, an actor is
        missing, or the votes are not those of the clips.
    """
    if label_by not in LABEL_BY:
        raise ValueError(f"label_by is {label_by!r}; expected one of {LABEL_BY}.")
    folder = find_release(
        data_folder,
        corpus,
        "AudioWAV/1001_DFA_ANG_XX.wav",
        lambda path: any(path.glob("AudioWAV/10*_*")),
    )
    files = audio_by_name(folder / "AudioWAV", corpus)
    wrong = [name for name in files if not _NAME.fullmatch(name)]
    if wrong:
        expected = "actor, sentence, emotion, intensity: 1001_DFA_ANG_XX"
        raise wrong_names(wrong, expected, corpus)
    votes = _read_votes(folder, files, corpus) if label_by == "vote" else {}
    counted, described = _count_votes(folder), _describe_actors(folder)
    utterances = [
        _utterance(
            path,
            folder,
            corpus,
            votes.get(_official(name)),
            described.get(name[:4], {}) | counted.get(_official(name), {}),
        )
        for name, path in files.items()
    ]
    check_speakers(utterances, corpus)
    return utterances


def actors() -> list[str]:
    """Return the names of the 91 actors: 1001 to 1091."""
    return [str(actor) for actor in range(1001, 1092)]


def _official(name: str) -> str:
    """Return the name in the release; one file was named ..._X at first."""
    return f"{name}X" if name.endswith("_X") else name


def _utterance(
    path: Path,
    folder: Path,
    corpus: Mapping,
    vote: str | None,
    attributes: Mapping[str, str],
) -> Utterance:
    name = _NAME.fullmatch(path.stem)
    return Utterance(
        id=_official(path.stem),
        path=path.relative_to(folder).as_posix(),
        label=vote or EMOTIONS[name["emotion"]],
        speaker=name["actor"],
        duration_s=audio_duration_s(path, corpus["sample_rate_hz"]),
        text=SENTENCES[name["sentence"]],
        attributes=attributes,
    )


def _count_votes(folder: Path) -> dict[str, dict[str, str]]:
    """Return the votes for the sound of each clip, if the release has them."""
    path = folder / _ALL_VOTES
    if not path.is_file():
        return {}
    counted = {}
    for line, row in read_index(path, ("", *_VOTES, "fileName")):
        if not row[""].startswith("1"):  # the face, or both
            continue
        wrong = [letter for letter in _VOTES if not row[letter].isdecimal()]
        if wrong:
            raise ValueError(
                f"{path}, line {line}, column {wrong[0]}: expected a number of votes, "
                f"found {row[wrong[0]]!r}. Download it again."
            )
        votes = {f"votes_{label}": row[letter] for letter, label in _VOTES.items()}
        counted[row["fileName"]] = votes
    return counted


def _describe_actors(folder: Path) -> dict[str, dict[str, str]]:
    """Return gender and age of each actor, if the release has them."""
    path = folder / _ACTORS
    if not path.is_file():
        return {}
    rows = [row for _, row in read_index(path, ("ActorID", "Age", "Sex"))]
    return {
        row["ActorID"]: {"gender": row["Sex"].lower(), "age": row["Age"]}
        for row in rows
    }


def _read_votes(
    folder: Path, files: Mapping[str, Path], corpus: Mapping
) -> dict[str, str]:
    """Return the label that most listeners heard, by clip."""
    path = folder / _SUMMARY
    if not path.is_file():
        raise FileNotFoundError(
            f"The votes {path} are missing; expected a clone of the repository. "
            f"{corpus['how_to_get'].strip()}"
        )
    votes = {}
    for line, row in read_index(path, ("FileName", "VoiceVote")):
        letters = row["VoiceVote"].split(":")
        if set(letters) - set(_VOTES):
            raise ValueError(
                f"{path}, line {line}: the vote is {row['VoiceVote']!r}; expected "
                f"letters of {', '.join(_VOTES)}, separated by colons."
            )
        votes[row["FileName"]] = _VOTES[letters[0]] if len(letters) == 1 else "tie"
    check_names([_official(name) for name in files], votes, folder, corpus)
    return votes
