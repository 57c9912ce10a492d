"""A miniature corpus of made-up speech in IEMOCAP's folder layout.

It stands in for IEMOCAP in the quickstart and in the tests: the same files, with
the same oddities, ten speakers, four emotions that can be heard but overlap.
Results on it say that the machinery works, and nothing about real speech.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.random import Generator, default_rng
from scipy.signal import lfilter

SAMPLE_RATE_HZ = 16000
_SESSIONS = (1, 2, 3, 4, 5)
# Dialogs that every session of the official release has.
_DIALOGS = ("F_impro01", "M_impro02", "F_script01_1", "M_script02_1")


class _Voice(NamedTuple):
    """What an emotion moves in the voice."""

    f0_shift_st: float  # semitones above the speaker's own pitch
    f0_range_st: float  # standard deviation of the pitch accents
    f0_rise_st: float  # from the beginning to the end
    level_db: float
    syllables_per_s: float
    tilt_octaves: float  # above 900 Hz: where the glottal source begins to fall


# Directions as in Scherer (2003), "Vocal communication of emotion: a review of
# research paradigms", Speech Communication 40, Table 2. Sizes chosen so that a
# linear classifier of log mel statistics gets 86 to 92 % of unseen sessions right.
_VOICES = {
    "neu": _Voice(0, 1.5, -1, 0, 4.6, 0),
    "hap": _Voice(7, 4.0, 3, 3, 5.4, 1.1),
    "ang": _Voice(3, 3.0, -2, 7, 6.2, 3.2),
    "sad": _Voice(-3, 0.7, -2, -5, 3.4, -2.0),
}
_SPREAD = _Voice(0.8, 0.3, 1.0, 1.5, 0.4, 0.2)  # between utterances of one speaker

# Official labels that the four-class protocol merges (exc) or leaves out, and whose
# voice they are spoken in here.
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

# First three formants of seven vowels, men's means: Peterson and Barney (1952),
# "Control methods used in a study of the vowels", JASA 24, Table II.
_FORMANTS_HZ = (
    (270, 2290, 3010),
    (530, 1840, 2480),
    (660, 1720, 2410),
    (730, 1090, 2440),
    (570, 840, 2410),
    (300, 870, 2240),
    (640, 1190, 2390),
)
_HIGHER_FORMANTS_HZ = (3500, 4500)
_BANDWIDTHS_HZ = (70, 100, 140, 250, 300)


class _Speaker(NamedTuple):
    f0_hz: float
    formant_scale: float
    tilt_octaves: float
    level_db: float


class _Turn(NamedTuple):
    id: str
    label: str
    text: str
    wav: np.ndarray


def write_miniature_iemocap(
    folder: str | Path, utterances_per_class_and_session: int = 16, seed: int = 0
) -> Path:
    """Write the miniature corpus; the same seed gives the same corpus.

    Arguments
    ---------
    folder : str | Path
        Where ``Session1`` to ``Session5`` are to stand.
    utterances_per_class_and_session : int
        See :func:`miniature_counts`; about half of ``hap`` is labelled ``exc``.
        Some utterances with labels outside the four classes are added.
    seed : int
        For the speakers, the words and the audio.

    Returns
    -------
    Path
        The folder.

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
            _write_dialog(Path(folder) / f"Session{session}", dialog, sorted(turns))
    return Path(folder)


def miniature_counts(utterances_per_class_and_session: int = 16) -> dict[str, int]:
    """Utterances of each class in the miniature corpus, ``exc`` merged into ``hap``.

    Arguments
    ---------
    utterances_per_class_and_session : int
        As given to :func:`write_miniature_iemocap`.

    Returns
    -------
    dict[str, int]
        Class to number of utterances over all sessions.

    Example
    -------
    >>> miniature_counts(16)
    {'neu': 80, 'hap': 80, 'ang': 80, 'sad': 80}
    """
    return dict.fromkeys(_VOICES, len(_SESSIONS) * utterances_per_class_and_session)


def _turns(session: int, n_per_class: int, seed: int) -> Iterator[_Turn]:
    """All turns of a session, dealt evenly to its dialogs and speakers."""
    sizes = dict.fromkeys(_SPOKEN_LIKE, _LEFT_OUT_PER_SESSION)
    sizes |= dict.fromkeys(_VOICES, n_per_class)
    sizes |= {"hap": n_per_class - n_per_class // 2, "exc": n_per_class // 2}
    labels = [label for label, size in sizes.items() for _ in range(size)]
    speakers = {gender: _speaker(session, gender, seed) for gender in "FM"}
    slots = [(dialog, gender) for dialog in _DIALOGS for gender in speakers]
    numbers = dict.fromkeys(slots, 0)
    # Shuffled, so that the number of an utterance says nothing about its label.
    for index in _random(seed, session, "order").permutation(len(labels)):
        label, (dialog, gender) = labels[index], slots[index % len(slots)]
        number = numbers[dialog, gender]
        numbers[dialog, gender] += 1
        rng = _random(seed, session, f"utterance {index}")
        emotion = _SPOKEN_LIKE.get(label, label)
        yield _Turn(
            id=f"Ses{session:02d}{dialog}_{gender}{number:03d}",
            label=label,
            text=_sentence(emotion, rng),
            wav=_speak(_utter(emotion, rng), speakers[gender], rng),
        )


def _random(seed: int, session: int, purpose: str) -> Generator:
    """Random numbers of their own for each purpose, whatever else is drawn."""
    return default_rng([seed, session, *purpose.encode()])


def _speaker(session: int, gender: str, seed: int) -> _Speaker:
    rng = _random(seed, session, f"speaker {gender}")
    f0_hz, formant_scale = (205, 1.16) if gender == "F" else (118, 1.0)
    return _Speaker(
        f0_hz=f0_hz * 2 ** rng.normal(0, 0.125),
        formant_scale=formant_scale * rng.uniform(0.95, 1.05),
        tilt_octaves=rng.normal(0, 0.25),
        level_db=rng.normal(0, 1.5),
    )


def _utter(emotion: str, rng: Generator) -> _Voice:
    """One utterance's voice: more or less emotional, and off in every respect."""
    neutral, typical = np.array(_VOICES["neu"]), np.array(_VOICES[emotion])
    strength = rng.uniform(0.8, 1.2)
    own = np.array(_SPREAD) * rng.normal(size=len(_SPREAD))
    return _Voice(*(neutral + strength * (typical - neutral) + own))


def _speak(voice: _Voice, speaker: _Speaker, rng: Generator) -> np.ndarray:
    """Source and filter (Fant 1960, "Acoustic Theory of Speech Production")."""
    # Whole tenths of a second: convolutions are set up anew for every new length,
    # which would take as long as training does.
    duration_s = rng.integers(7, 15) / 10
    position = np.linspace(0, 1, round(duration_s * SAMPLE_RATE_HZ))
    syllables = max(2, round(duration_s * voice.syllables_per_s))
    source = _glottal_source(voice, speaker, position, syllables, rng)
    wav = _vocal_tract(source, syllables, speaker.formant_scale, rng)
    wav *= 0.05 + np.abs(np.sin(np.pi * syllables * position)) ** 0.7
    level_db = -32 + voice.level_db + speaker.level_db
    wav *= 10 ** (level_db / 20) / np.sqrt(np.mean(wav**2))
    room_noise = 3e-4 * rng.normal(size=len(wav))
    return np.clip(wav + room_noise, -1, 1)


def _glottal_source(
    voice: _Voice,
    speaker: _Speaker,
    position: np.ndarray,
    syllables: int,
    rng: Generator,
) -> np.ndarray:
    """Pulses along a pitch contour, with breath, falling above the tilt frequency."""
    accents_st = np.interp(
        position,
        np.linspace(0, 1, syllables),
        max(voice.f0_range_st, 0.3) * rng.normal(size=syllables),
    )
    shift_st = voice.f0_shift_st + accents_st + voice.f0_rise_st * (position - 0.5)
    jitter = np.repeat(rng.normal(1, 0.015, len(position) // 80 + 1), 80)
    f0_hz = speaker.f0_hz * 2 ** (shift_st / 12) * jitter[: len(position)]
    pulses = np.diff(np.floor(np.cumsum(f0_hz / SAMPLE_RATE_HZ)), prepend=0)
    breath = 0.02 * rng.normal(size=len(position))
    tilt_hz = 900 * 2 ** (voice.tilt_octaves + speaker.tilt_octaves)
    pole = np.exp(-2 * np.pi * tilt_hz / SAMPLE_RATE_HZ)
    return lfilter([1 - pole], [1, -pole], pulses + breath)


def _vocal_tract(
    source: np.ndarray, syllables: int, formant_scale: float, rng: Generator
) -> np.ndarray:
    """A random vowel for each syllable: resonators in a row.

    The resonator is that of Klatt (1980), https://doi.org/10.1121/1.383940, eq. 1-2.
    """
    radii = np.exp(-np.pi * np.array(_BANDWIDTHS_HZ) / SAMPLE_RATE_HZ)
    states = np.zeros((len(radii), 2))
    pieces = np.array_split(source, syllables)
    for n, vowel in enumerate(rng.integers(len(_FORMANTS_HZ), size=syllables)):
        formants_hz = np.array([*_FORMANTS_HZ[vowel], *_HIGHER_FORMANTS_HZ])
        angles = 2 * np.pi * formant_scale * formants_hz / SAMPLE_RATE_HZ
        for i, (radius, angle) in enumerate(zip(radii, angles, strict=True)):
            poles = [1, -2 * radius * np.cos(angle), radius**2]
            pieces[n], states[i] = lfilter([sum(poles)], poles, pieces[n], zi=states[i])
    return np.concatenate(pieces)


def _sentence(emotion: str, rng: Generator) -> str:
    openers = _OPENERS[emotion if rng.random() < 0.5 else rng.choice([*_OPENERS])]
    words = (_SUBJECTS, _VERBS, _OBJECTS, _TIMES)
    return f"{rng.choice(openers)}, {' '.join(rng.choice(w) for w in words)}."


def _write_dialog(session_folder: Path, dialog: str, turns: list[_Turn]) -> None:
    """Write the files of a dialog, and those beside them that nobody needs."""
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
        label_lines += [
            f"[{start_s:.4f} - {end_s:.4f}]\t{turn.id}\t{turn.label}\t"
            "[2.5000, 2.5000, 2.5000]",
            f"C-E2:\t{turn.label};\t()",
            "A-E3:\tval 3; act 2;\tdom  2;\t()\n",
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


if __name__ == "__main__":
    print(f"Wrote made-up speech to {write_miniature_iemocap(sys.argv[1])}")
