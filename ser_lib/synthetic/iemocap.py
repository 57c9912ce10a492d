"""Write a miniature corpus of synthetic speech in the folder layout of IEMOCAP.

It replaces IEMOCAP in the quickstart and in tests: the same kinds of files with the
same irregularities, ten speakers, and four emotions that are audible but overlap.
Results on it show that the code works; they say nothing about real speech.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.random import Generator

from ser_lib.corpora import iemocap
from ser_lib.synthetic.speech import (
    SAMPLE_RATE_HZ,
    make_speaker,
    random_numbers,
    speak,
)
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument

_SESSIONS = (1, 2, 3, 4, 5)
# Dialogs that every session of the official release has.
_DIALOGS = ("F_impro01", "M_impro02", "F_script01_1", "M_script02_1")

_VOICES = {"neu": "neutral", "hap": "happy", "ang": "angry", "sad": "sad"}
# Official labels that the four-class protocol merges (exc) or leaves out, each with the
# class whose voice is used for it.
_SPOKEN_LIKE = {
    "exc": "hap",
    "fru": "ang",
    "xxx": "neu",
    "sur": "hap",
    "fea": "sad",
    "dis": "ang",
    "oth": "neu",
}
_LEFT_OUT_PER_SESSION = 2  # of each label

# Mean valence, activation and dominance of a voice, from 1 to 5
_MEANS = {
    "neu": (3.0, 2.5, 3.0),
    "hap": (4.0, 3.5, 3.0),
    "ang": (2.0, 4.0, 4.0),
    "sad": (2.0, 2.0, 2.5),
}
_CATEGORIES = {label: name for name, label in reversed(iemocap.CATEGORIES.items())}

# The first words hint at the emotion in about six utterances of ten.
_OPENERS = {
    "neu": ("So", "Okay", "Well"),
    "hap": ("Wow", "Great", "Yes"),
    "ang": ("No", "Stop", "Enough"),
    "sad": ("Oh", "Sorry", "Alas"),
}
_SUBJECTS = ("I", "you", "we", "they", "my sister", "the driver")
_VERBS = ("saw", "took", "lost", "wanted", "paid for", "forgot")
_OBJECTS = ("the letter", "the car", "a ticket", "the keys", "that picture", "it")
_TIMES = ("today", "again", "last night", "at home", "in the rain", "after all")


class _Turn(NamedTuple):
    id: str
    label: str
    text: str
    wav: np.ndarray
    evaluations: list[str]  # the lines below the turn
    means: tuple[float, float, float]  # valence, activation and dominance


def write_miniature_iemocap(
    folder: str | Path, utterances_per_class_and_session: int = 16, seed: int = 0
) -> Path:
    """Write the miniature corpus, which depends only on the arguments.

    Arguments
    ---------
    folder : str | Path
        Parent of ``Session1`` to ``Session5``.
    utterances_per_class_and_session : int
        About half of ``hap`` is labelled ``exc``. A few utterances with labels outside
        the four classes are added.
    seed : int
        For the speakers, the words and the audio.

    Example
    -------
    >>> folder = write_miniature_iemocap(getfixture("tmp_path"), 1)
    >>> sorted(path.name for path in folder.iterdir())
    ['Session1', 'Session2', 'Session3', 'Session4', 'Session5']
    """
    for session in _SESSIONS:
        dialogs = {}
        for turn in _turns(session, utterances_per_class_and_session, seed):
            dialogs.setdefault(turn.id.rsplit("_", 1)[0], []).append(turn)
        for dialog, turns in dialogs.items():
            _write_dialog(
                Path(folder) / f"Session{session}",
                dialog,
                sorted(turns, key=lambda turn: turn.id),
            )
    return Path(folder)


def miniature_counts(utterances_per_class_and_session: int = 16) -> dict[str, int]:
    """Return the number of utterances of each official label.

    Example
    -------
    >>> counts = miniature_counts(16)
    >>> counts["neu"], counts["hap"], counts["exc"], counts["fru"]
    (80, 40, 40, 10)
    """
    sizes = _sizes(utterances_per_class_and_session)
    return {label: len(_SESSIONS) * size for label, size in sizes.items()}


def _sizes(n_per_class: int) -> dict[str, int]:
    """Return the utterances of each official label in a session."""
    sizes = dict.fromkeys(_SPOKEN_LIKE, _LEFT_OUT_PER_SESSION)
    sizes |= dict.fromkeys(_VOICES, n_per_class)
    return sizes | {"hap": n_per_class - n_per_class // 2, "exc": n_per_class // 2}


def _turns(session: int, n_per_class: int, seed: int) -> Iterator[_Turn]:
    """Yield the turns of a session, spread evenly over its dialogs and speakers."""
    sizes = _sizes(n_per_class).items()
    labels = [label for label, size in sizes for _ in range(size)]
    speakers = {
        gender: make_speaker(gender, random_numbers(seed, session, f"speaker {gender}"))
        for gender in "FM"
    }
    slots = [(dialog, gender) for dialog in _DIALOGS for gender in speakers]
    numbers = dict.fromkeys(slots, 0)
    # Shuffled, so that the number of an utterance says nothing about its label.
    for index in random_numbers(seed, session, "order").permutation(len(labels)):
        label, (dialog, gender) = labels[index], slots[index % len(slots)]
        number = numbers[dialog, gender]
        numbers[dialog, gender] += 1
        rng = random_numbers(seed, session, f"utterance {index}")
        emotion = _SPOKEN_LIKE.get(label, label)
        annotators = random_numbers(seed, session, f"annotators {index}")
        scores = _scores(emotion, annotators)
        yield _Turn(
            id=f"Ses{session:02d}{dialog}_{gender}{number:03d}",
            label=label,
            text=_sentence(emotion, rng),
            wav=speak(_VOICES[emotion], speakers[gender], rng),
            evaluations=[
                *_categories(label, dialog[0], annotators),
                *(
                    f"A-E{k}:\tval {v}; act {a};\tdom  {d};\t()"
                    for k, (v, a, d) in enumerate(scores, start=3)
                ),
            ],
            means=tuple(scores.mean(axis=0)),
        )


def _categories(label: str, actor: str, rng: Generator) -> Iterator[str]:
    """Yield what three annotators, and then the actor with the markers, chose.

    Two annotators agree on the label and the third has a doubt; for ``xxx`` all differ.
    """
    others = [name for name in dict.fromkeys(_CATEGORIES) if name != label]
    first, second, third = (_CATEGORIES[x] for x in rng.permutation(others)[:3])
    if label != "xxx":
        first = second = _CATEGORIES[label]
        third = first if rng.random() < 0.4 else f"{first}; {third}"
    for annotator, chosen in zip((1, 2, 4), (first, second, third), strict=True):
        yield f"C-E{annotator}:\t{chosen};\t()"
    yield f"C-{actor}1:\t{first};\t(not sure)"


def _scores(emotion: str, rng: Generator) -> np.ndarray:
    """Return valence, activation and dominance by two annotators, (2, 3), 1 to 5."""
    scores = np.array(_MEANS[emotion]) + rng.normal(0, 0.6, (2, 3))
    return scores.round().clip(1, 5).astype(int)


def _sentence(emotion: str, rng: Generator) -> str:
    openers = _OPENERS[emotion if rng.random() < 0.5 else rng.choice([*_OPENERS])]
    words = (_SUBJECTS, _VERBS, _OBJECTS, _TIMES)
    return f"{rng.choice(openers)}, {' '.join(rng.choice(w) for w in words)}."


def _write_dialog(session_folder: Path, dialog: str, turns: list[_Turn]) -> None:
    """Write the files of a dialog, and the unneeded files that the release also has."""
    wavs = session_folder / "sentences" / "wav" / dialog
    labels = session_folder / "dialog" / "EmoEvaluation"
    transcripts = session_folder / "dialog" / "transcriptions"
    categorical = labels / "Categorical"
    for folder in (wavs, categorical, transcripts):
        folder.mkdir(parents=True, exist_ok=True)
    label_lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n"]
    transcript_lines = ["M: Mhm.", f"{dialog}_MXX0 [001.0000-001.5000]: [LAUGHTER]"]
    start_s = 6.0
    for turn in turns:
        end_s = start_s + len(turn.wav) / SAMPLE_RATE_HZ
        means = ", ".join(f"{mean:.4f}" for mean in turn.means)
        label_lines += [
            f"[{start_s:.4f} - {end_s:.4f}]\t{turn.id}\t{turn.label}\t[{means}]",
            *turn.evaluations,
            "",
        ]
        span = f"[{start_s:08.4f}-{end_s:08.4f}]"
        transcript_lines.append(f"{turn.id} {span}: {turn.text}")
        path = wavs / f"{turn.id}.wav"
        soundfile.write(path, turn.wav, SAMPLE_RATE_HZ, subtype="PCM_16")
        start_s = end_s + 0.5
    (labels / f"{dialog}.txt").write_text("\n".join(label_lines))
    (transcripts / f"{dialog}.txt").write_text("\n".join(transcript_lines))
    for junk in (labels / f"._{dialog}.txt", wavs / f"._{turns[0].id}.wav"):
        junk.write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ")
    (categorical / f"{dialog}_e2_cat.txt").write_text(f"{turns[0].id} :Neutral; ()\n")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("ser_lib.synthetic.iemocap", __doc__)
    parser.add_argument("folder", type=path_argument, help="folder to write")
    folder = parser.parse_args(arguments).folder
    print(f"Wrote synthetic speech to {write_miniature_iemocap(folder)}")


if __name__ == "__main__":
    run_command(main)
