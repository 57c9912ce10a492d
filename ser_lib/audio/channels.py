"""Random recording channels: a room, noise, a microphone, a line or codec.

Training on degraded copies of its utterances prepares a model for other recordings than
those of its corpora. A channel stays the same for all recordings of one speaker, as
that of a caller does.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from ser_lib.audio.degradations import (
    change_gain,
    clip,
    cut_middle,
    reverberate,
    speech_shaped_noise,
    telephone,
    through_codec,
    unchanged,
    white_noise,
)

_Step = Callable[[np.ndarray, int, Generator], np.ndarray]
_TRANSMISSIONS = (
    unchanged,
    telephone,
    partial(through_codec, codec="MP3"),
    partial(through_codec, codec="Opus"),
)


class Channel(NamedTuple):
    """What happens to all recordings of a speaker, in this order.

    Each step is a function of ``degradations.py`` whose parameters are set.
    """

    room: _Step
    noise: _Step
    microphone: _Step
    overload: _Step
    transmission: _Step

    def transmit(
        self, samples: np.ndarray, rate_hz: int, generator: Generator
    ) -> np.ndarray:
        """Record (samples,) speech through the channel; one in three is cut short."""
        for step in self:
            samples = step(samples, rate_hz, generator)
        if generator.random() < 1 / 3:
            duration_s = generator.uniform(1, 3)
            samples = cut_middle(samples, rate_hz, generator, duration_s=duration_s)
        return samples


def draw_channel(generator: Generator) -> Channel:
    """Draw a channel; the probabilities and ranges are in the code.

    Example
    -------
    >>> channel = draw_channel(np.random.default_rng(0))
    >>> channel.transmit(np.ones(16000), 16000, np.random.default_rng(0)).dtype
    dtype('float32')
    """
    is_noisy, is_white = generator.random(2) < (0.6, 0.5)
    noise = white_noise if is_white else speech_shaped_noise
    snr_db = generator.uniform(0, 25)
    rt60_s = generator.uniform(0.1, 0.8)
    gain_db = generator.uniform(-25, 15)
    share = generator.uniform(0.005, 0.15)
    has_room, is_clipped = generator.random(2) < (0.5, 0.2)
    return Channel(
        partial(reverberate, rt60_s=rt60_s) if has_room else unchanged,
        partial(noise, snr_db=snr_db) if is_noisy else unchanged,
        partial(change_gain, gain_db=gain_db),
        partial(clip, share=share) if is_clipped else unchanged,
        _TRANSMISSIONS[generator.integers(len(_TRANSMISSIONS))],
    )
