"""wav2vec 2.0: finding the quantised frame at masked positions among distractors.

Baevski et al., 2020, https://arxiv.org/abs/2006.11477: the loss is the contrastive loss
(equation 3) plus 0.1 times the diversity of the codebooks (equation 4), as computed by
transformers' ``Wav2Vec2ForPreTraining``. Added here is that the temperature of the
Gumbel softmax falls from 2 to 0.5, which the published base model reached after 70 % of
its training.
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining, Wav2Vec2Model
from transformers.models.wav2vec2.modeling_wav2vec2 import _sample_negative_indices

from ser_lib.pretraining.transformer import TransformerObjective

FIRST_TEMPERATURE, LAST_TEMPERATURE = 2.0, 0.5
COOLED_AT = 0.7  # share of the training


class Wav2Vec2Objective(TransformerObjective):
    """wav2vec 2.0's network, quantiser and loss, averaged over masked frames.

    Arguments
    ---------
    encoder : Mapping
        Settings of the network that differ from the base model's, with the names of
        ``Wav2Vec2Config``.
    quantiser : Mapping
        The same for the quantiser and the loss (num_codevectors_per_group,
        num_negatives ...).
    mask_share, mask_length :
        As for :class:`TransformerObjective`.

    Example
    -------
    >>> small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> objective = Wav2Vec2Objective({**small, "conv_dim": [16] * 7})
    >>> objective(torch.randn(2, 8000), torch.tensor([8000, 6000])).shape
    torch.Size([])
    """

    def __init__(
        self,
        encoder: Mapping,
        quantiser: Mapping = MappingProxyType({}),
        mask_share: float = 0.65,
        mask_length: int = 10,
    ) -> None:
        super().__init__(
            Wav2Vec2Config,
            Wav2Vec2ForPreTraining,
            {**encoder, **quantiser},
            mask_share,
            mask_length,
        )

    @property
    def encoder(self) -> Wav2Vec2Model:
        """The encoder without the quantiser."""
        return self.model.wav2vec2

    def set_progress(self, progress: float) -> None:
        """Lower the temperature of the Gumbel softmax by a constant factor per step."""
        fall = (LAST_TEMPERATURE / FIRST_TEMPERATURE) ** min(1.0, progress / COOLED_AT)
        self.model.set_gumbel_temperature(FIRST_TEMPERATURE * fall)

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        batch = self.batch(wavs, n_samples)
        negatives = _sample_negative_indices(
            batch.is_masked.shape,
            self.model.config.num_negatives,
            mask_time_indices=batch.is_masked,
        )
        is_masked = torch.from_numpy(batch.is_masked).to(wavs.device)
        output = self.model(
            batch.wavs,
            attention_mask=batch.inside,
            mask_time_indices=is_masked,
            sampled_negative_indices=torch.from_numpy(negatives).to(wavs.device),
        )
        return output.loss / is_masked.sum()
