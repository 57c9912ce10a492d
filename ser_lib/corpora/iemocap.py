"""IEMOCAP (Busso et al. 2008, https://sail.usc.edu/iemocap/): read the release.

Files that are read for each session, with example lines::

    Session1/dialog/EmoEvaluation/Ses01F_impro01.txt
        % [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]
        [6.2901 - 8.2357]<TAB>Ses01F_impro01_F000<TAB>neu<TAB>[2.5000, 2.5000, 2.5000]
        C-E2:<TAB>Neutral;<TAB>()
        C-E4:<TAB>Neutral; Sadness;<TAB>(a sigh)
        C-F1:<TAB>Neutral;<TAB>()
        A-E3:<TAB>val 3; act 2; dom  2;<TAB>()
    Session1/dialog/transcriptions/Ses01F_impro01.txt
        Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
    Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav

The line that starts with a square bracket is the turn, with the mean of the annotators'
valence, activation (here ``arousal``) and dominance. The lines ``C-E`` below it are the
categories that each annotator chose. An annotator has one vote, which several
categories share. The actors' own evaluations (``C-F``, ``C-M``) are not used: the
official label is that of the annotators.

``Ses01F`` names the session and the speaker who wears the motion capture markers; the
letter before the last number (``F000``) is the speaker.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ser_lib.audio import audio_duration_s
from ser_lib.corpora.label_map import LabelMap, new_labels
from ser_lib.corpora.manifest import Utterance

_MEAN = r"\d+(?:\.\d+)?"
_TURN = re.compile(
    r"\[[\d.]+ - [\d.]+\]\s+"
    r"(?P<id>Ses\d\d[FM]_\w+_(?P<gender>[FM])\d+)\s+(?P<label>\w+)\s+"
    rf"\[(?P<valence>{_MEAN}), *(?P<arousal>{_MEAN}), *(?P<dominance>{_MEAN})\]"
)
_CHOICE = re.compile(r"C-E\d+:(?P<categories>[^(]*)")
# The categories of the annotators; any other counts as a vote that is left out.
CATEGORIES = {
    "Neutral": "neu",
    "Neutral state": "neu",
    "Happiness": "hap",
    "Excited": "exc",
    "Anger": "ang",
    "Sadness": "sad",
    "Frustration": "fru",
    "Surprise": "sur",
    "Fear": "fea",
    "Disgust": "dis",
    "Other": "oth",
}
_GENDERS = {"F": "female", "M": "male"}
_TRANSCRIPT = re.compile(r"(?P<id>Ses\w+)\s*\[[^\]]*\]\s*:(?P<text>.*)")


class _Turn(NamedTuple):
    id: str
    gender: str
    label: str
    valence: str
    arousal: str
    dominance: str
    choices: list[list[str]]  # the labels that each annotator chose

    def attributes(self) -> dict[str, str]:
        """Return gender, valence, arousal, dominance, and the votes for each label."""
        names = ("valence", "arousal", "dominance")
        votes: Counter[str] = Counter()
        for choice in self.choices:
            for label in choice:
                votes[f"votes_{label}"] += 1 / len(choice)
        known = [f"votes_{label}" for label in dict.fromkeys(CATEGORIES.values())]
        counted = {name: votes[name] for name in (*known, *votes)} if votes else {}
        return {
            "gender": _GENDERS[self.gender],
            **{name: getattr(self, name) for name in names},
            **{name: f"{number:g}" for name, number in counted.items()},
        }


def read_corpus(
    data_folder: str | Path,
    corpus: Mapping,
    label_map: LabelMap,
    utterances: str = "labelled",
) -> list[Utterance]:
    """Read the utterances of the official IEMOCAP release.

    Arguments
    ---------
    data_folder : str | Path
        The folder that holds ``Session1`` to ``Session5``.
    corpus : Mapping
        The ``corpus`` block of ``recipes/IEMOCAP/corpus.yaml``: ``labels``,
        ``dialog_order`` (dialogs of each session) and ``sample_rate_hz``.
    label_map : LabelMap
        The label map of the experiment.
    utterances : str
        ``labelled``: the audio of utterances that the label map leaves out is not read,
        and their duration is 0. ``all``: it is read.

    Returns
    -------
    list[Utterance]
        Sessions and dialogs in the order of ``dialog_order``, and the utterances of a
        dialog by name. SUPERB's metadata (https://github.com/s3prl/s3prl) have this
        order, on which its folds depend.

    Raises
    ------
    FileNotFoundError
        If a session or a file is missing.
    ValueError
        If a line, a label or an audio file is not as expected.
    """
    data_folder = Path(data_folder)
    labels = new_labels(corpus["labels"], label_map)
    left_out = {label for label, new in labels.items() if new is None}
    if utterances == "all":
        left_out = set()
    _check_sessions(data_folder, corpus)
    found: list[Utterance] = []
    for session, dialog_order in corpus["dialog_order"].items():
        session_folder = data_folder / f"Session{session}"
        for dialog in _dialogs(session_folder, dialog_order):
            turns = _read_turns(session_folder, dialog, corpus)
            found += _utterances(session_folder, dialog, turns, corpus, left_out)
    return found


def _check_sessions(data_folder: Path, corpus: Mapping) -> None:
    names = [f"Session{session}" for session in corpus["dialog_order"]]
    how_to_get_it = f"If you do not have it: {corpus['how_to_get'].rstrip('.')}"
    if all((data_folder / name).is_dir() for name in names):
        return
    if not data_folder.is_dir():
        found, advice = "there is no such folder", f"Check the path. {how_to_get_it}"
    else:
        inside = sorted(path.name for path in data_folder.iterdir())
        found = f"it holds {inside[:10] or 'nothing'}"
        advice = f"Give the folder that holds {names[0]} to {names[-1]}"
        advice += "" if inside else f". {how_to_get_it}"
    one_level_down = sorted(data_folder.glob(f"*/{names[0]}"))
    if (data_folder / "sentences").is_dir() and (data_folder / "dialog").is_dir():
        advice = f"This is one session: give {data_folder.absolute().parent}"
    elif one_level_down:
        advice = f"Give {one_level_down[0].parent}"
    raise FileNotFoundError(
        f"Looked for {', '.join(names)} in {data_folder}; {found}. {advice}."
    )


def _dialogs(session_folder: Path, dialog_order: Sequence[str]) -> list[str]:
    """Return the names of the dialogs that exist, in the order of the list."""
    folder = session_folder / "dialog" / "EmoEvaluation"
    # The release contains files named ._*, which macOS creates next to the real ones.
    found = {p.stem for p in folder.glob("*.txt") if not p.name.startswith("._")}
    if not found:
        raise FileNotFoundError(
            f"Looked for the labels of {session_folder.name} in {folder}/*.txt; found "
            f"none. Unpack the release again."
        )
    unknown = sorted(found - set(dialog_order))
    if unknown:
        raise ValueError(
            f"{folder} holds dialogs that dialog_order in corpus.yaml does not list "
            f"for this session: {unknown}. Remove them, or add them to the list."
        )
    return [dialog for dialog in dialog_order if dialog in found]


def _read_turns(session_folder: Path, dialog: str, corpus: Mapping) -> list[_Turn]:
    """Return the turns of a dialog with their official labels, sorted by name."""
    path = session_folder / "dialog" / "EmoEvaluation" / f"{dialog}.txt"
    expected = list(corpus["labels"])
    turns = []
    for number, line in _numbered_lines(path):
        choice = _CHOICE.match(line)
        if choice and turns:
            names = [name.strip() for name in choice["categories"].split(";")]
            labels = [CATEGORIES.get(name, "") for name in names if name]
            turns[-1].choices.append(labels)
        if not line.startswith("["):
            continue
        match = _TURN.match(line)
        if match is None:
            raise ValueError(
                f"{path}, line {number}: expected '[start - end] name label "
                f"[valence, activation, dominance]', found {line!r}."
            )
        turns.append(_Turn(**match.groupdict(), choices=[]))
        if turns[-1].label not in expected:
            raise ValueError(
                f"{path}, line {number}: {turns[-1].id} has the label "
                f"{turns[-1].label!r}, expected one of {expected}."
            )
    return sorted(turns, key=lambda turn: turn.id)


def _utterances(
    session_folder: Path,
    dialog: str,
    turns: Sequence[_Turn],
    corpus: Mapping,
    left_out: set[str],
) -> Iterator[Utterance]:
    """Combine the turns with their transcripts and audio files."""
    transcript_path = session_folder / "dialog" / "transcriptions" / f"{dialog}.txt"
    transcripts = _read_transcripts(transcript_path)
    for turn in turns:
        wav_path = session_folder / "sentences" / "wav" / dialog / f"{turn.id}.wav"
        if turn.id not in transcripts:
            raise ValueError(
                f"{transcript_path} has no line for {turn.id}; expected '{turn.id} "
                f"[start-end]: transcript'. Unpack the release again."
            )
        rate_hz = corpus["sample_rate_hz"]
        is_used = turn.label not in left_out
        yield Utterance(
            id=turn.id,
            path=wav_path.relative_to(session_folder.parent).as_posix(),
            label=turn.label,
            speaker=f"{turn.id[:5]}{turn.gender}",
            duration_s=audio_duration_s(wav_path, rate_hz) if is_used else 0.0,
            session=session_folder.name.removeprefix("Session"),
            dialog=dialog,
            text=transcripts[turn.id],
            attributes=turn.attributes(),
        )


def _read_transcripts(path: Path) -> dict[str, str]:
    """Return the transcripts by name; other lines (``M: ...``) are not utterances."""
    if not path.is_file():
        raise FileNotFoundError(
            f"The transcripts {path} are missing. Unpack the release again."
        )
    matches = (_TRANSCRIPT.match(line) for _, line in _numbered_lines(path))
    return {match["id"]: match["text"].strip() for match in matches if match}


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    # The annotators' remarks are free text and may contain invalid bytes.
    text = path.read_text(encoding="utf-8", errors="replace")
    return enumerate(text.splitlines(), start=1)
