"""The base of wav2vec 2.0, HuBERT and data2vec: convolutions and a masked transformer.

All three pass the waveform through convolutions to 20 ms frames, replace spans of
frames by one learned vector, and run a transformer (wav2vec 2.0, Baevski et al., 2020,
https://arxiv.org/abs/2006.11477, sections 2 and 3.1). The networks come from
transformers, which also draws the masks.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
)
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

from ser_lib.pretraining.objective import Objective
from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.native import shortest_input
from ser_lib.upstreams.padding import PaddedWaveforms, keep_padding_out, normalise


class MaskedBatch(NamedTuple):
    """The inputs of a network of transformers.

    Arguments
    ---------
    wavs : PaddedWaveforms
        Waveforms, normalised if the encoder needs it.
    inside : (batch, samples) torch.BoolTensor
        False in the padding.
    counts : (batch,) torch.LongTensor
        Frames in each utterance.
    is_masked : (batch, time) np.ndarray
        Frames that the transformer does not see; never in the padding.
    """

    wavs: PaddedWaveforms
    inside: torch.Tensor
    counts: torch.Tensor
    is_masked: np.ndarray


class TransformerObjective(Objective):
    """An encoder of transformers that is trained on masked frames.

    Arguments
    ---------
    config_class : Callable
        Class of its configuration.
    model_class : Callable
        Builds the network from a configuration.
    encoder : Mapping
        Settings of the network that differ from the defaults of ``config_class``, which
        are those of the base size.
    mask_share : float
        Share of the frames that are masked, not counting overlaps.
    mask_length : int
        Frames of a span.
    """

    def __init__(
        self,
        config_class: Callable[..., PreTrainedConfig],
        model_class: Callable[[PreTrainedConfig], PreTrainedModel],
        encoder: Mapping,
        mask_share: float,
        mask_length: int,
    ) -> None:
        super().__init__()
        # Without it, transformers ignores the mask.
        config = config_class(**{**encoder, "apply_spec_augment": True})
        self.model = model_class(config)
        self.mask_share, self.mask_length = mask_share, mask_length
        self.hop_samples = int(np.prod(config.conv_stride))
        keep_padding_out(self.encoder)
        layers = zip(config.conv_kernel, config.conv_stride, strict=True)
        one_frame = shortest_input([(*layer, 0) for layer in layers])
        self.min_samples = one_frame + mask_length * self.hop_samples

    @property
    def encoder(self) -> PreTrainedModel:
        """The encoder to be saved."""
        return self.model

    @property
    def normalises(self) -> bool:
        """Whether the waveform is normalised; a group norm makes that unnecessary."""
        return not self.encoder.feature_extractor.has_group_norm

    def batch(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> MaskedBatch:
        """Normalise waveforms and draw a mask.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms.
        n_samples : (batch,) torch.LongTensor
            Samples in each.
        """
        inside = time_mask(n_samples, wavs.shape[1])
        if self.normalises:
            wavs = normalise(wavs, inside)
        counts = self.encoder._get_feat_extract_output_lengths(n_samples)
        n_steps = int(
            self.encoder._get_feat_extract_output_lengths(torch.tensor(wavs.shape[1]))
        )
        is_masked = _compute_mask_indices(
            (len(wavs), n_steps),
            self.mask_share,
            self.mask_length,
            attention_mask=time_mask(counts, n_steps).long(),
            min_masks=1,
        )
        wavs = PaddedWaveforms(wavs * inside, n_samples)
        return MaskedBatch(wavs, inside, counts, is_masked)

    def save(self, folder: Path) -> None:
        """Write the encoder in Hugging Face's format."""
        self.encoder.save_pretrained(folder)
        Wav2Vec2FeatureExtractor(
            do_normalize=self.normalises, return_attention_mask=self.normalises
        ).save_pretrained(folder)
