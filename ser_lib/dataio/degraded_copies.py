"""Degraded copies of training utterances, as other recordings would sound.

Each copy of a speaker's utterances goes through one channel, drawn at random
(``audio/channels.py``), as the recordings of one telephone do. A copy has a speaker and
a corpus of its own, so that statistics of frames are those of one channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ser_lib.audio import draw_channel
from ser_lib.corpora import Utterance
from ser_lib.utils.digests import digest

# Of all draws in training. A larger share costs accuracy on good recordings and gains
# little on degraded ones.
DEGRADED_SHARE = 0.2


@dataclass(frozen=True)
class DegradedCopy(Utterance):
    """A copy of an utterance that is degraded when it is read."""


def with_degraded_copies(
    utterances: Sequence[Utterance], n_copies: int
) -> list[Utterance]:
    """Return utterances and copies of them, whose ids have a suffix.

    Example
    -------
    >>> rows = [Utterance("a01", "a01.wav", "sad", "A", 2.5, corpus="SAVEE")]
    >>> [(u.id, u.speaker, u.corpus) for u in with_degraded_copies(rows, 2)]
    [('a01', 'A', 'SAVEE'), ('a01~1', 'A~1', 'SAVEE~1'), ('a01~2', 'A~2', 'SAVEE~2')]
    """
    copies = [
        DegradedCopy(
            **vars(u)
            | {key: f"{getattr(u, key)}~{k}" for key in ("id", "speaker", "corpus")}
        )
        for k in range(1, n_copies + 1)
        for u in utterances
    ]
    return [*utterances, *copies]


def degrade(wav: torch.Tensor, sample_rate_hz: int, copy: DegradedCopy) -> torch.Tensor:
    """Send a (samples,) waveform through the channel of a copy.

    The channel depends on the speaker of the copy, and chance on its id.
    """
    channel = draw_channel(_generator(copy.corpus, copy.speaker))
    samples = channel.transmit(wav.numpy(), sample_rate_hz, _generator(copy.id))
    return torch.from_numpy(np.ascontiguousarray(samples))


def _generator(*names: str) -> np.random.Generator:
    return np.random.default_rng(int(digest(names), 16))
