"""Stand-ins for nEMO, EmoDB, CREMA-D and MELD: their layouts with synthetic speech.

Each has all speakers and classes of the release, but fewer recordings, so the recipe is
run with the counts that are returned (``--corpus "{counts: ...}"``).
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

import soundfile

from ser_lib.corpora import crema_d, emodb, meld
from ser_lib.synthetic.speech import (
    SAMPLE_RATE_HZ,
    make_speaker,
    random_numbers,
    speak,
)

_NEMO_SPEAKERS = ("EB0", "IC0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0", "WR0")
_NEMO_LABELS = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")
_EMODB_SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
_MELD_LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
_MELD_SPEAKERS = ("Joey", "Rachel", "Ross", "Monica")
# Label of a corpus -> emotion of the synthetic voice
_VOICES = {
    "anger": "angry",
    "boredom": "calm",
    "fear": "fearful",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}


def write_nemo(folder: str | Path, takes: int = 2, seed: int = 0) -> dict[str, int]:
    """Write a stand-in for nEMO: ``data.tsv`` and ``samples``.

    Arguments
    ---------
    folder : str | Path
        Parent of ``samples``.
    takes : int
        Recordings per speaker and label; the speaker MK0 has no surprised.
    seed : int
        For the speakers and the audio.

    Returns
    -------
    dict[str, int]
        Label -> number of recordings.
    """
    columns = ("file_id", "emotion", "raw_text", "normalized_text", "speaker_id")
    rows = [(*columns, "gender", "age")]
    counts: Counter[str] = Counter()
    for speaker, label, k in product(_NEMO_SPEAKERS, _NEMO_LABELS, range(1, takes + 1)):
        if (speaker, label) == ("MK0", "surprised"):
            continue
        name = f"{speaker}_{label}_{k}.wav"
        _write(Path(folder, "samples", name), speaker, label, k, seed)
        texts = f"Zdanie {k}.", f"zdanie {k}"
        person = {"F": "female", "M": "male"}[_sex(speaker)], "23"
        rows.append((name, label, *texts, f"        {speaker}", *person))
        counts[label] += 1
    _write_rows(Path(folder, "data.tsv"), rows, delimiter="\t")
    return dict(counts)


def write_emodb(folder: str | Path, takes: int = 2, seed: int = 0) -> dict[str, int]:
    """Write a stand-in for EmoDB: the folder ``wav``; see :func:`write_nemo`.

    The speaker 08 has no disgust.
    """
    counts: Counter[str] = Counter()
    cells = product(_EMODB_SPEAKERS, emodb.EMOTIONS.items(), range(takes))
    sentences = list(emodb.SENTENCES)
    for speaker, (letter, label), k in cells:
        if (speaker, label) == ("08", "disgust"):
            continue
        take = "abcdef"[k // len(sentences)]
        name = f"{speaker}{sentences[k % len(sentences)]}{letter}{take}.wav"
        _write(Path(folder, "wav", name), speaker, label, k, seed)
        counts[label] += 1
    return dict(counts)


def write_crema_d(folder: str | Path, takes: int = 1, seed: int = 0) -> dict[str, int]:
    """Write a stand-in for CREMA-D with all 91 actors; see :func:`write_nemo`.

    In the votes, every seventh recording is a tie; the others have a vote of ten for
    neutral and nine for their emotion.
    """
    counts: Counter[str] = Counter()
    rows = [("", "FileName", "VoiceVote", "VoiceLevel")]
    letters = [code[0] for code in crema_d.EMOTIONS]
    counted = [("", *letters, "fileName")]
    for actor in crema_d.actors():
        for (code, label), k in product(crema_d.EMOTIONS.items(), range(takes)):
            name = f"{actor}_{list(crema_d.SENTENCES)[k]}_{code}_XX"
            _write(Path(folder, "AudioWAV", f"{name}.wav"), actor, label, k, seed)
            is_tie = len(rows) % 7 == 0
            vote = ("A:D", "50:50") if is_tie else (code[0], "50")
            votes = {"A": 5, "D": 5} if is_tie else Counter({code[0]: 9}) + Counter("N")
            shares = [votes.get(letter, 0) for letter in letters]
            counted.append((str(100000 + len(rows)), *shares, name))
            counted.append((str(200000 + len(rows)), *[0] * 5, 10, name))  # the face
            rows.append((str(len(rows)), name, *vote))
            counts[label] += 1
    _write_rows(Path(folder, "processedResults", "summaryTable.csv"), rows)
    _write_rows(Path(folder, "processedResults", "tabulatedVotes.csv"), counted)
    people = [(a, 30, {"F": "Female", "M": "Male"}[_sex(a)]) for a in crema_d.actors()]
    header = ("ActorID", "Age", "Sex")
    _write_rows(Path(folder, "VideoDemographics.csv"), [header, *people])
    return dict(counts)


def write_meld(folder: str | Path, takes: int = 2, seed: int = 0) -> dict[str, int]:
    """Write a stand-in for MELD: the indices, and ``audio`` as if it had been cut.

    See :func:`write_nemo`; ``takes`` is the number of dialogs in each part, and a
    dialog has an utterance of each label.
    """
    counts: Counter[str] = Counter()
    header = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
    for part, (index, _) in meld.PARTS.items():
        rows = [header]
        for dialog, (k, label) in product(range(takes), enumerate(_MELD_LABELS)):
            speaker = _MELD_SPEAKERS[(dialog + k) % len(_MELD_SPEAKERS)]
            rows.append((f"So, {label}, {dialog}.", speaker, label, dialog, k))
            path = Path(folder, "audio", part, f"dia{dialog}_utt{k}.wav")
            number = 100 * list(meld.PARTS).index(part) + dialog
            _write(path, speaker, label, number, seed)
            counts[label] += 1
        _write_rows(Path(folder, index), rows)
    return dict(counts)


def voice_of(label: str) -> str:
    """Return the emotion of the synthetic voice for a label of a corpus."""
    return _VOICES.get(label, label)


def _sex(speaker: str) -> str:
    """Return F or M, which alternate with the name."""
    return "FM"[sum(speaker.encode()) % 2]


def _write(path: Path, speaker: str, label: str, take: int, seed: int) -> None:
    """Write one recording of a speaker."""
    key = sum(speaker.encode())
    rng = random_numbers(seed, key, f"speaker {speaker}")
    voice = make_speaker(_sex(speaker), rng)
    rng = random_numbers(seed, key, f"{speaker} {label} {take}")
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, speak(voice_of(label), voice, rng), SAMPLE_RATE_HZ)


def _write_rows(
    path: Path, rows: Iterable[Sequence[object]], delimiter: str = ","
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, delimiter=delimiter, lineterminator="\n").writerows(rows)
