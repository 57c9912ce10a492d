"""Write a stand-in for a corpus: synthetic speech with the file names of the corpus.

    python -m ser_lib.synthetic.corpora ravdess FOLDER [--small]

and likewise for savee, table (for recipes/Custom), nemo, emodb, crema-d and meld.

Tests use stand-ins, and a recipe can be tried on one without the corpus. The results
say nothing about real speech.
"""

import csv
from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path

import numpy as np
import soundfile

from ser_lib.corpora import ravdess, savee
from ser_lib.synthetic.releases import (
    voice_of,
    write_crema_d,
    write_emodb,
    write_meld,
    write_nemo,
)
from ser_lib.synthetic.speech import (
    SAMPLE_RATE_HZ,
    make_speaker,
    random_numbers,
    speak,
)
from ser_lib.utils.command import run_command
from ser_lib.utils.command_line import CommandParser, path_argument

_SAVEE_SPEAKERS = ("DC", "JE", "JK", "KL")
_TABLE_LABELS = ("angry", "happy", "sad")
# Names and formats that users' own recordings may have.
_TABLE_FILES = ("{} 1.wav", "Büro, {}.flac", "${}.ogg", "{{{}}}.mp3")


def write_savee(folder: str | Path, sentences: int = 15, seed: int = 0) -> Path:
    """Write a stand-in for SAVEE in the layout of the release.

    Arguments
    ---------
    folder : str | Path
        Parent of ``AudioData``.
    sentences : int
        Recordings per speaker and emotion; twice as many of neutral. The release has
        15; with fewer, the recipe needs the counts of :func:`savee_counts`.
    seed : int
        For the speakers and the audio.

    Example
    -------
    >>> folder = write_savee(getfixture("tmp_path"), sentences=1)
    >>> sorted(path.name for path in (folder / "AudioData" / "JK").iterdir())
    ['a01.wav', 'd01.wav', 'f01.wav', 'h01.wav', 'n01.wav', 'n02.wav', 'sa01.wav', \
'su01.wav']
    """
    for number, name in enumerate(_SAVEE_SPEAKERS):
        speaker = make_speaker("M", random_numbers(seed, number, "speaker"))
        for letters, label in savee.EMOTIONS.items():
            for k in range(1, _savee_takes(label, sentences) + 1):
                rng = random_numbers(seed, number, f"{letters}{k}")
                wav = speak(voice_of(label), speaker, rng)
                _write(Path(folder, "AudioData", name, f"{letters}{k:02d}.wav"), wav)
    return Path(folder)


def savee_counts(sentences: int = 15) -> dict[str, int]:
    """Return the number of recordings per label that :func:`write_savee` writes.

    Example
    -------
    >>> savee_counts()["fear"], savee_counts()["neutral"]
    (60, 120)
    """
    return {
        label: len(_SAVEE_SPEAKERS) * _savee_takes(label, sentences)
        for label in savee.EMOTIONS.values()
    }


def _savee_takes(label: str, sentences: int) -> int:
    return 2 * sentences if label == "neutral" else sentences


def write_ravdess(folder: str | Path, small: bool = False, seed: int = 0) -> Path:
    """Write a stand-in for RAVDESS with all 1,440 recordings.

    Arguments
    ---------
    folder : str | Path
        Parent of ``Actor_01`` to ``Actor_24``.
    small : bool
        Synthesise each emotion of an actor once and shift it in time for the other
        takes, which is eight times as fast.
    seed : int
        For the speakers and the audio.
    """
    for actor, (code, emotion) in product(ravdess.ACTORS, ravdess.EMOTIONS.items()):
        gender = "M" if int(actor) % 2 else "F"
        speaker = make_speaker(gender, random_numbers(seed, int(actor), "speaker"))
        intensities = ("01",) if emotion == "neutral" else ("01", "02")
        takes = product(intensities, ravdess.STATEMENTS, ("01", "02"))
        wav = None
        for k, take in enumerate(takes):
            if wav is None or not small:
                rng = random_numbers(seed, int(actor), f"{emotion} {k}")
                wav = speak(emotion, speaker, rng)
            name = "-".join(["03-01", code, *take, actor])
            path = Path(folder, f"Actor_{actor}", f"{name}.wav")
            _write(path, np.roll(wav, 800 * k) if small else wav)
    return Path(folder)


def write_table(
    folder: str | Path, speakers: int = 4, utterances: int = 4, seed: int = 0
) -> Path:
    """Write recordings in various formats, with a table of them, for recipes/Custom.

    Arguments
    ---------
    folder : str | Path
        Gets ``table.csv`` and one folder per speaker.
    speakers : int
        Number of speakers.
    utterances : int
        Per speaker and label; the labels are angry, happy and sad.
    seed : int
        For the speakers and the audio.

    Returns
    -------
    Path
        The file ``table.csv``.

    Example
    -------
    >>> path = write_table(getfixture("tmp_path"), speakers=1, utterances=1)
    >>> print(path.read_text(encoding="utf-8").strip())
    path,label,speaker
    speaker 1/angry0 1.wav,angry,speaker 1
    "speaker 1/Büro, happy0.flac",happy,speaker 1
    speaker 1/$sad0.ogg,sad,speaker 1
    """
    files, repeats = cycle(_TABLE_FILES), cycle((1, 3))
    rows = [("path", "label", "speaker")]
    for number in range(1, speakers + 1):
        name = f"speaker {number}"
        speaker = make_speaker("FM"[number % 2], random_numbers(seed, number, name))
        for k, label in product(range(utterances), _TABLE_LABELS):
            wav = speak(label, speaker, random_numbers(seed, number, f"{label} {k}"))
            path = f"{name}/{next(files).format(f'{label}{k}')}"
            n = next(repeats)  # every other file has 48 kHz and two channels
            wav = np.stack([np.repeat(wav, n)] * (1 + n // 3), axis=1)
            _write(Path(folder, path), wav, n * SAMPLE_RATE_HZ)
            rows.append((path, label, name))
    table = Path(folder, "table.csv")
    with open(table, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator="\n").writerows(rows)
    return table


def _write(path: Path, wav: np.ndarray, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav, sample_rate_hz)


# Stand-ins that have fewer recordings than the release: how to write them, and how many
# recordings of each speaker and label there are (with --small).
_RELEASES = {
    "crema-d": (write_crema_d, 2, 1),
    "emodb": (write_emodb, 10, 2),
    "meld": (write_meld, 20, 2),
    "nemo": (write_nemo, 10, 2),
}


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("ser_lib.synthetic.corpora", __doc__)
    parser.add_argument("corpus", choices=["savee", "ravdess", "table", *_RELEASES])
    parser.add_argument("folder", type=path_argument)
    parser.add_argument("--small", action="store_true", help="fewer or simpler files")
    args = parser.parse_args(arguments)
    path, counts = args.folder, {}
    if args.corpus == "savee":
        write_savee(path, sentences=2 if args.small else 15)
        counts = savee_counts(2) if args.small else {}
    elif args.corpus == "ravdess":
        write_ravdess(path, small=args.small)
    elif args.corpus == "table":
        path = write_table(path, utterances=2 if args.small else 12)
    else:
        write, takes, few = _RELEASES[args.corpus]
        counts = write(path, few if args.small else takes)
    print(f"Wrote synthetic speech to {path}")
    if counts:
        found = ", ".join(f"{label}: {n}" for label, n in counts.items())
        print(f'Run it with --corpus "{{counts: {{{found}}}}}"')


if __name__ == "__main__":
    run_command(main)
