"""The base class of speech encoders: last layer or layer sum, trained or frozen."""

from functools import partial

import torch
from torch import nn

from ser_lib.upstreams.frames import Frames, sample_counts
from ser_lib.upstreams.layer_stack import LayerStack
from ser_lib.upstreams.state_cache import StateCache


class SpeechEncoder(LayerStack):
    """An encoder of waveforms that returns its hidden states.

    A subclass sets ``freeze``, ``layer_mix`` (see ``layers.py``) and ``min_samples`` in
    addition to the attributes of every upstream, and implements ``_states`` and
    ``layer_stack``.
    """

    reads = "wav"
    freeze: bool
    layer_mix: nn.Module | None
    min_samples: int
    _cache: StateCache | None = None

    def train(self, mode: bool = True) -> "SpeechEncoder":
        """Set the mode; a frozen encoder always stays in eval mode."""
        return super().train(mode and not self.freeze)

    @property
    def has_frozen_states(self) -> bool:
        """Whether some states are the same in every epoch and can be cached."""
        return self.freeze

    def keep_states(self, limit_gb: float) -> None:
        """Cache the states of the frozen part in memory.

        Arguments
        ---------
        limit_gb : float
            Memory limit in gigabytes.

        Raises
        ------
        ValueError
            If the whole encoder is trained.
        """
        if not self.has_frozen_states:
            raise ValueError("Only the states of a frozen encoder can be cached.")
        self._cache = StateCache(limit_gb)

    def hidden_states(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return every hidden state of the encoder.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        wav_lens : (batch,) torch.Tensor
            Lengths as fractions of the padded length.

        Returns
        -------
        list[(batch, time, dim) torch.Tensor]
            The states, the lowest first.
        (batch,) torch.LongTensor
            Frames in each utterance.

        Raises
        ------
        ValueError
            If an utterance is too short for one frame.
        """
        return self._checked_states(wavs, wav_lens, all_states=True)

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> Frames:
        """Encode a padded batch, see :meth:`hidden_states`.

        Returns
        -------
        Frames
            ``(batch, time, dim)``: the last layer, the sum of all, or all.
        """
        mix = self.layer_mix
        states, counts = self._checked_states(
            wavs, wav_lens, mix is not None, self._cache
        )
        return Frames(states[-1] if mix is None else mix(torch.stack(states)), counts)

    def _checked_states(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        all_states: bool,
        cache: StateCache | None = None,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        n_samples = sample_counts(wavs, wav_lens)
        if n_samples.min() < self.min_samples:
            raise ValueError(
                f"The encoder needs at least {self.min_samples} samples; the shortest "
                f"utterance in this batch has {int(n_samples.min())}."
            )
        if cache is None or not self.freeze:
            return self._states(wavs, n_samples, all_states)
        encode = partial(self._states, all_states=all_states)
        return cache.states(encode, wavs, n_samples)

    def _states(
        self, wavs: torch.Tensor, n_samples: torch.Tensor, all_states: bool
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run the encoder; without ``all_states``, only the output is needed."""
        raise NotImplementedError
