"""HuBERT: predicting the clusters of masked frames.

Hsu et al., 2021, https://arxiv.org/abs/2106.07447: k-means assigns each frame to a
cluster (``clusters.py``); the transformer sees some of the frames and predicts the
clusters of the others by softmax(cos(A o_t, e_c) / 0.1) (equation 3). The loss is the
mean cross-entropy over the masked frames, alpha = 1 in section II.B.

Clusters are assigned during training, on the crop in use: MFCC are cheap to compute,
and nothing has to be stored, however large the corpus.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.nn import functional as F
from transformers import HubertConfig, HubertModel

from ser_lib.pretraining.clusters import (
    SAMPLE_RATE_HZ,
    LayerFeatures,
    MfccFeatures,
    fit_centroids,
    nearest,
)
from ser_lib.pretraining.transformer import TransformerObjective

TEMPERATURE = 0.1


class HubertObjective(TransformerObjective):
    """HuBERT's network, the clusters, and the cross-entropy at masked frames.

    Arguments
    ---------
    encoder : Mapping
        Settings of the network that differ from the base model's, with the names of
        ``HubertConfig``.
    n_clusters : int
        100 in the first iteration of the paper, 500 in the second.
    cluster_source : str | None
        None for MFCC, the first iteration; the model of the previous iteration for
        later ones.
    cluster_layer : int
        Its layer, 6 of 12 in the paper.
    clustered_s : float
        Seconds of audio for the clustering.
    mask_share, mask_length :
        As for :class:`TransformerObjective`.

    Example
    -------
    >>> small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    >>> objective = HubertObjective({**small, "conv_dim": [16] * 7}, n_clusters=5)
    >>> objective.prepare(iter([torch.randn(16000)]), seed=0)
    >>> objective(torch.randn(2, 8000), torch.tensor([8000, 6000])).shape
    torch.Size([])
    """

    code_dim = 256

    def __init__(
        self,
        encoder: Mapping,
        n_clusters: int = 100,
        cluster_source: str | None = None,
        cluster_layer: int = 6,
        clustered_s: float = 3600.0,
        mask_share: float = 0.8,
        mask_length: int = 10,
    ) -> None:
        super().__init__(HubertConfig, HubertModel, encoder, mask_share, mask_length)
        self.clustered_s = clustered_s
        self._features = (
            MfccFeatures()
            if cluster_source is None
            else LayerFeatures(cluster_source, cluster_layer)
        )
        size = n_clusters, self._features.dim
        self.register_buffer("centroids", torch.full(size, torch.nan))
        self.projection = nn.Linear(self.model.config.hidden_size, self.code_dim)
        self.codes = nn.Parameter(torch.rand(n_clusters, self.code_dim))

    def prepare(self, wavs: Iterator[torch.Tensor], seed: int) -> None:
        """Compute the clusters."""
        features, needed_s = [], self.clustered_s
        with torch.no_grad():
            for wav in wavs:
                features.append(self._features(wav).cpu().numpy())
                needed_s -= len(wav) / SAMPLE_RATE_HZ
                if needed_s <= 0:
                    break
        self.centroids.copy_(fit_centroids(features, len(self.centroids), seed))

    def forward(self, wavs: torch.Tensor, n_samples: torch.Tensor) -> torch.Tensor:
        """Compute the loss, see :class:`Objective`."""
        batch = self.batch(wavs, n_samples)
        is_masked = torch.from_numpy(batch.is_masked).to(wavs.device)
        targets = self.clusters(wavs, n_samples, is_masked.shape[1])
        states = self.model(
            batch.wavs, attention_mask=batch.inside, mask_time_indices=is_masked
        ).last_hidden_state
        predicted = F.normalize(self.projection(states[is_masked]).float(), dim=-1)
        logits = predicted @ F.normalize(self.codes, dim=-1).T / TEMPERATURE
        return F.cross_entropy(logits, targets[is_masked])

    @torch.no_grad()
    def clusters(
        self, wavs: torch.Tensor, n_samples: torch.Tensor, n_steps: int
    ) -> torch.Tensor:
        """Return the cluster of each frame of the encoder.

        A frame of the encoder gets the cluster of the feature frame that starts at the
        same time; if the encoder has one more frame at the end, the last cluster is
        repeated.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms.
        n_samples : (batch,) torch.LongTensor
            Samples in each.
        n_steps : int
            Frames of the encoder in the padded batch.

        Returns
        -------
        (batch, n_steps) torch.LongTensor
            Numbers of clusters; values in the padding have no meaning.
        """
        starts = torch.arange(n_steps, device=wavs.device) * self.hop_samples
        positions = starts // self._features.hop_samples
        rows = []
        with torch.autocast(wavs.device.type, enabled=False):
            for wav, n in zip(wavs, n_samples.tolist(), strict=True):
                numbers = nearest(self._features(wav[:n]), self.centroids)
                rows.append(numbers[positions.clamp(max=len(numbers) - 1)])
        return torch.stack(rows)
