"""A miniature corpus of made-up speech in IEMOCAP's folder layout.

It stands in for IEMOCAP in the quickstart and in the tests: same files, same
oddities, ten speakers, four emotions that can be heard but overlap. Results on
it say that the machinery works, and nothing about real speech.
"""

from collections.abc import Iterator, Sequence
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


class _Manner(NamedTuple):
    """How an emotion moves the voice."""

    f0_shift_st: float  # semitones above the speaker's own pitch
    f0_range_st: float  # standard deviation of the pitch accents
    f0_rise_st: float  # from the beginning to the end
    level_db: float
    syllables_per_s: float
    tilt_hz: float  # the glottal source falls above this frequency
    openers: Sequence[str]
    ratings: str  # valence, activation, dominance; 1 to 5


# Directions as in Scherer (2003), "Vocal communication of emotion: a review of
# research paradigms", Speech Communication 40, Table 2; sizes chosen so that a
# simple classifier gets about five utterances in six right.
_MANNERS = {
    "neu": _Manner(0, 1.5, -1, 0, 4.6, 900, ("So", "Okay", "Well"), "3.0, 2.5, 3.0"),
    "hap": _Manner(5, 3.5, 3, 3, 5.4, 1500, ("Wow", "Great", "Yes"), "4.5, 4.0, 3.5"),
    "ang": _Manner(3, 3.0, -2, 7, 5.8, 2800, ("No", "Stop", "Enough"), "1.5, 4.5, 4.5"),
    "sad": _Manner(-2, 0.7, -2, -6, 3.4, 450, ("Oh", "Sorry", "Alas"), "1.5, 1.5, 2.0"),
}
# Which manner the official labels are spoken in, and how many of them there are
# for each utterance of a class: hap is made of hap and exc.
_OUTSIDE_THE_PROTOCOL = {
    "fru": "ang",
    "xxx": "neu",
    "sur": "hap",
    "fea": "sad",
    "dis": "ang",
    "oth": "neu",
}
_SUBJECTS = ("I", "you", "we", "they", "my sister", "the driver")
_VERBS = ("saw", "took", "lost", "wanted", "paid for", "forgot")
_OBJECTS = ("the letter", "the car", "a ticket", "the keys", "that picture", "it")
_TIMES = ("today", "again", "last night", "at home", "in the rain", "after all")

# First three formants of seven vowels, men's means: Peterson & Barney (1952),
# "Control methods used in a study of the vowels", JASA 24, Table II.
_VOWEL_FORMANTS_HZ = np.array(
    [
        [270, 2290, 3010],
        [530, 1840, 2480],
        [660, 1720, 2410],
        [730, 1090, 2440],
        [570, 840, 2410],
        [300, 870, 2240],
        [640, 1190, 2390],
    ]
)
_BANDWIDTHS_HZ = (70, 100, 140, 250, 300)


class _Speaker(NamedTuple):
    f0_hz: float
    formant_scale: float
    tilt_scale: float
    level_db: float


class _Turn(NamedTuple):
    id: str
    label: str
    manner: str
    speaker: _Speaker


def miniature_counts(utterances_per_class_and_session: int = 16) -> dict[str, int]:
    return {
        label: len(_SESSIONS) * utterances_per_class_and_session for label in _MANNERS
    }


def _speaker(session: int, gender: str, seed: int) -> _Speaker:
    rng = default_rng([seed, session, ord(gender)])
    f0_hz, formant_scale = (205, 1.16) if gender == "F" else (118, 1.0)
    return _Speaker(
        f0_hz=f0_hz * 2 ** (rng.normal(0, 1.5) / 12),
        formant_scale=formant_scale * rng.uniform(0.95, 1.05),
        tilt_scale=2 ** rng.normal(0, 0.25),
        level_db=rng.normal(0, 1.5),
    )


STRENGTH = (0.4, 1.2)
SD = dict(f0=1.5, rng=0.3, rise=1.5, level=2.5, rate=0.5, tilt=0.45)


def _vary(manner: _Manner, rng: Generator) -> _Manner:
    """One utterance's manner: weaker or stronger, and off in every respect."""
    neutral = _MANNERS["neu"]
    strength = rng.uniform(*STRENGTH)

    def mix(k):
        a, b = getattr(neutral, k), getattr(manner, k)
        return a + strength * (b - a)

    return manner._replace(
        f0_shift_st=mix("f0_shift_st") + rng.normal(0, SD["f0"]),
        f0_range_st=max(0.2, mix("f0_range_st") * 2 ** rng.normal(0, SD["rng"])),
        f0_rise_st=mix("f0_rise_st") + rng.normal(0, SD["rise"]),
        level_db=mix("level_db") + rng.normal(0, SD["level"]),
        syllables_per_s=mix("syllables_per_s") + rng.normal(0, SD["rate"]),
        tilt_hz=neutral.tilt_hz
        * (manner.tilt_hz / neutral.tilt_hz) ** strength
        * 2 ** rng.normal(0, SD["tilt"]),
    )


BASE_DB = -32


def _speak(manner: _Manner, speaker: _Speaker, rng: Generator) -> np.ndarray:
    duration_s = rng.integers(7, 15) / 10
    samples = round(duration_s * SAMPLE_RATE_HZ)
    syllables = max(2, round(duration_s * manner.syllables_per_s))
    position = np.linspace(0, 1, samples)
    accents = np.interp(
        position, np.linspace(0, 1, syllables), rng.normal(size=syllables)
    )
    shift_st = (
        manner.f0_shift_st
        + manner.f0_range_st * accents
        + manner.f0_rise_st * (position - 0.5)
    )
    f0_hz = speaker.f0_hz * 2 ** (shift_st / 12)
    jitter = np.repeat(rng.normal(1, 0.015, samples // 80 + 1), 80)[:samples]
    phase = np.cumsum(f0_hz * jitter / SAMPLE_RATE_HZ)
    pulses = np.diff(np.floor(phase), prepend=0)
    source = pulses + 0.02 * rng.normal(size=samples)
    pole = np.exp(-2 * np.pi * manner.tilt_hz * speaker.tilt_scale / SAMPLE_RATE_HZ)
    source = lfilter([1 - pole], [1, -pole], source)
    wav = _vocal_tract(source, syllables, speaker.formant_scale, rng)
    wav = wav * (0.05 + np.abs(np.sin(np.pi * syllables * position)) ** 0.7)
    level_db = BASE_DB + manner.level_db + speaker.level_db
    wav *= 10 ** (level_db / 20) / np.sqrt(np.mean(wav**2))
    return np.clip(wav + 3e-4 * rng.normal(size=samples), -1, 1)


def _vocal_tract(source, syllables, formant_scale, rng):
    """Klatt (1980) https://doi.org/10.1121/1.383940 resonators in cascade."""
    vowels = rng.integers(len(_VOWEL_FORMANTS_HZ), size=syllables)
    state = np.zeros((len(_BANDWIDTHS_HZ), 2))
    pieces = []
    for vowel, piece in zip(vowels, np.array_split(source, syllables)):
        formants_hz = formant_scale * np.array([*_VOWEL_FORMANTS_HZ[vowel], 3500, 4500])
        radii = np.exp(-np.pi * np.array(_BANDWIDTHS_HZ) / SAMPLE_RATE_HZ)
        for i, (f, r) in enumerate(zip(formants_hz, radii)):
            a = [1, -2 * r * np.cos(2 * np.pi * f / SAMPLE_RATE_HZ), r * r]
            piece, state[i] = lfilter([sum(a)], a, piece, zi=state[i])
        pieces.append(piece)
    return np.concatenate(pieces)
