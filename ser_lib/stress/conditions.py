"""The conditions of a stress report, and how each changes an utterance."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ser_lib.audio import (
    Degradation,
    babble,
    change_gain,
    change_speed,
    clip,
    cut_middle,
    reverberate,
    telephone,
    through_codec,
    unchanged,
    white_noise,
)
from ser_lib.corpora import Utterance
from ser_lib.utils.digests import digest

# Raise it when a degradation, or how voices are drawn, changes.
VERSION = 1
MIN_VOICES, MAX_VOICES = 2, 6
FASTEST = 1.1  # shortens utterances the most, except cuts, which keep short ones whole


class Condition(NamedTuple):
    """A condition that a model is tested in.

    Arguments
    ---------
    title : str
        As in the report.
    degrade : Degradation
        A function of ``audio/degradations.py``.
    parameters : Mapping
        Its parameters, except the voices of ``babble``.
    """

    title: str
    degrade: Degradation
    parameters: Mapping[str, float | str]

    @property
    def name(self) -> str:
        """Name of its files.

        Example
        -------
        >>> Condition("Reverberation, 0.3 s", unchanged, {}).name
        'reverberation_0_3_s'
        """
        return re.sub(r"\W+", "_", self.title.lower())

    @property
    def needs_voices(self) -> bool:
        """Whether the speech of other people is mixed in."""
        return self.degrade is babble


CLEAN = Condition("Clean", unchanged, {})
_SNRS_DB = (20, 10, 0)
CONDITIONS = (
    CLEAN,
    *(Condition(f"White noise, {x} dB", white_noise, {"snr_db": x}) for x in _SNRS_DB),
    *(Condition(f"Babble, {x} dB", babble, {"snr_db": x}) for x in _SNRS_DB),
    *(
        Condition(f"Reverberation, {x} s", reverberate, {"rt60_s": x})
        for x in (0.3, 0.8)
    ),
    Condition("Telephone line", telephone, {}),
    Condition("MP3, 16 kbit/s", through_codec, {"codec": "MP3"}),
    Condition("Opus, 6 kbit/s", through_codec, {"codec": "Opus"}),
    Condition("20 dB quieter", change_gain, {"gain_db": -20}),
    Condition("20 dB louder, clipped", change_gain, {"gain_db": 20}),
    Condition("10 % of samples clipped", clip, {"share": 0.1}),
    *(Condition(f"Middle {x} s", cut_middle, {"duration_s": x}) for x in (1, 2)),
    *(Condition(f"Speed {x}", change_speed, {"factor": x}) for x in (0.9, FASTEST)),
)


def conditions_for(utterances: Sequence[Utterance]) -> list[Condition]:
    """Return the conditions that a table allows: babble needs three speakers."""
    has_voices = len({u.speaker for u in utterances}) > MIN_VOICES
    return [c for c in CONDITIONS if has_voices or not c.needs_voices]


def generator_of(utterance: Utterance) -> np.random.Generator:
    """Return a random generator that depends on the id of an utterance alone.

    All conditions start from it, so that 20 and 0 dB are the same noise.
    """
    return np.random.default_rng(int(digest(utterance.id), 16))


def draw_voices(
    utterance: Utterance,
    utterances: Sequence[Utterance],
    generator: np.random.Generator,
) -> list[Utterance]:
    """Draw utterances of up to six other speakers, one of each.

    The draw does not depend on the order of the utterances.
    """
    by_speaker: dict[str, list[Utterance]] = {}
    for other in sorted(utterances, key=lambda u: u.id):
        by_speaker.setdefault(other.speaker, []).append(other)
    others = sorted(by_speaker.keys() - {utterance.speaker})
    chosen = generator.permutation(len(others))[:MAX_VOICES]
    drawn = [by_speaker[others[i]] for i in chosen]
    return [own[generator.integers(len(own))] for own in drawn]
