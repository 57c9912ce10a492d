"""The k-means step of HuBERT: features, centroids, and the nearest centroid of a frame.

Hsu et al., 2021, https://arxiv.org/abs/2106.07447, section IV.B: in the first
iteration, 39 MFCC features (13 and their first and second deltas) every 10 ms; later,
the frames of a layer of the previous iteration's model.
"""

from collections.abc import Iterable

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torchaudio.compliance import kaldi

from ser_lib.upstreams.huggingface import HuggingFaceUpstream
from ser_lib.upstreams.s3prl_frontends import add_deltas

SAMPLE_RATE_HZ = 16000


class MfccFeatures:
    """Kaldi's MFCC with deltas, 39 dimensions every 10 ms.

    Example
    -------
    >>> MfccFeatures()(torch.randn(1600)).shape
    torch.Size([8, 39])
    """

    dim = 39
    hop_samples = 160

    def __call__(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute (time, 39) features of a waveform of at least 400 samples."""
        cepstra = kaldi.mfcc(
            wav[None].float(), sample_frequency=SAMPLE_RATE_HZ, use_energy=False
        )
        return add_deltas(cepstra, order=2, window=5)


class LayerFeatures:
    """The frames of a layer of an earlier model.

    Arguments
    ---------
    source : str
        The model, see ``HuggingFaceUpstream``.
    layer : int
        Number of the layer, from 1; 0 is the input of the first layer.

    Raises
    ------
    ValueError
        If the model has no such layer.
    """

    def __init__(self, source: str, layer: int) -> None:
        self._upstream = HuggingFaceUpstream(source, freeze=True)
        n_layers = self._upstream.model.config.num_hidden_layers
        if not 0 <= layer <= n_layers:
            raise ValueError(
                f"{source} has {n_layers} layers; cluster_layer is {layer}. Expected a "
                f"number from 0 to {n_layers}."
            )
        self.layer = layer
        self.dim = self._upstream.dim
        self.hop_samples = self._upstream.hop_samples

    def __call__(self, wav: torch.Tensor) -> torch.Tensor:
        """Compute the (time, dim) frames of one (samples,) utterance."""
        self._upstream.to(wav.device)
        full_length = torch.ones(1, device=wav.device)
        states, _ = self._upstream.hidden_states(wav[None], full_length)
        return states[self.layer][0].float()


def fit_centroids(
    features: Iterable[np.ndarray], n_clusters: int, seed: int
) -> torch.Tensor:
    """Fit clusters by mini-batch k-means (scikit-learn).

    Arguments
    ---------
    features : Iterable[np.ndarray]
        Features of each utterance, (time, dim).

    Returns
    -------
    (n_clusters, dim) torch.Tensor
        The centroids, in float32.

    Raises
    ------
    ValueError
        If there are fewer frames than clusters.
    """
    frames = np.concatenate(list(features))
    if len(frames) < n_clusters:
        raise ValueError(
            f"{len(frames)} frames are too few for {n_clusters} clusters. Use more "
            f"audio or fewer clusters."
        )
    k_means = MiniBatchKMeans(
        n_clusters, batch_size=10000, n_init=5, random_state=seed % 2**32
    )
    return torch.from_numpy(k_means.fit(frames).cluster_centers_).float()


def nearest(features: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Return the number of the nearest centroid of each frame.

    Arguments
    ---------
    features : (time, dim) torch.Tensor
        Frames.
    centroids : (n_clusters, dim) torch.Tensor
        The centroids.

    Example
    -------
    >>> nearest(torch.tensor([[0.9], [0.1]]), torch.tensor([[0.0], [1.0]]))
    tensor([1, 0])
    """
    return torch.cdist(features, centroids).argmin(-1)
