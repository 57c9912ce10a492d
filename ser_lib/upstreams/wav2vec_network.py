"""The network of wav2vec 1.0: convolutions over the waveform, then over the past.

Schneider et al., 2019, https://arxiv.org/abs/1904.05862, figure 1 and section 2.1:
an encoder network computes ``z`` from the waveform, a context network ``c`` from ``z``.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.native import conv_counts, shortest_input

Layers = Sequence[tuple[int, int, int]]  # size, kernel and stride of each layer

LARGE_FEATURE_LAYERS: Layers = (
    (512, 10, 5),
    (512, 8, 4),
    *[(512, 4, 2)] * 3,
    *[(512, 1, 1)] * 2,
)
LARGE_AGGREGATOR_LAYERS: Layers = tuple((512, kernel, 1) for kernel in range(2, 14))


class UtteranceNorm(nn.GroupNorm):
    """A group norm with one group, over the channels and an utterance's own steps.

    Example
    -------
    >>> x, inside = torch.tensor([[[1.0, 3.0, 9.0]]]), torch.tensor([[[1, 1, 0]]])
    >>> UtteranceNorm(1)(x, inside)[..., :2].detach()
    tensor([[[-1.0000,  1.0000]]])
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__(1, n_channels)

    def forward(self, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Normalise in float32; the padding is scaled along with the rest.

        Arguments
        ---------
        x : (batch, channels, time) torch.Tensor
            Output of a convolution.
        inside : (batch, 1, time) torch.BoolTensor
            True within the utterance, False in the padding.
        """
        dtype, x = x.dtype, x.float()
        n = x.shape[1] * inside.sum(-1, keepdim=True)
        mean = (x * inside).sum((1, 2), keepdim=True) / n
        variance = ((x - mean) * inside).square().sum((1, 2), keepdim=True) / n
        scale = self.weight[:, None] * torch.rsqrt(variance + self.eps)
        return ((x - mean) * scale + self.bias[:, None]).to(dtype)


class Wav2Vec(nn.Module):
    """The network: convolutions to 10 ms frames, then convolutions over the past.

    The frames of an utterance do not depend on the padding: no convolution looks past
    its end, and the norms see only its own steps. The defaults are the published
    "large" model.

    Arguments
    ---------
    feature_layers, aggregator_layers : Sequence[tuple[int, int, int]]
        Size, kernel and stride of each layer; the aggregator's strides are 1.
    skip_connections : bool
        Add the input of an aggregator layer to its output.
    residual_scale : float
        That sum is multiplied by the square root of this.
    log_compression : bool
        Whether ``z`` is ``log(|x| + 1)`` of the last feature layer.

    Raises
    ------
    ValueError
        If an aggregator layer has a stride other than 1.

    Example
    -------
    >>> network = Wav2Vec([(8, 10, 5), (8, 8, 4)], [(8, 2, 1), (8, 3, 1)])
    >>> states, counts = network(torch.randn(2, 245), torch.tensor([245, 45]))
    >>> len(states), states[-1].shape, counts
    (3, torch.Size([2, 11, 8]), tensor([11,  1]))
    """

    def __init__(
        self,
        feature_layers: Layers = LARGE_FEATURE_LAYERS,
        aggregator_layers: Layers = LARGE_AGGREGATOR_LAYERS,
        skip_connections: bool = True,
        residual_scale: float = 0.5,
        log_compression: bool = True,
    ) -> None:
        super().__init__()
        if any(stride != 1 for _, _, stride in aggregator_layers):
            raise ValueError(
                f"The strides of the aggregator must be 1; its layers (size, kernel, "
                f"stride) are {aggregator_layers}."
            )
        self.feature_layers = [tuple(layer) for layer in feature_layers]
        self.aggregator_layers = [tuple(layer) for layer in aggregator_layers]
        self.skip_connections = skip_connections
        self.residual_scale = residual_scale
        self.log_compression = log_compression
        layers = self.feature_layers[-1:] + self.aggregator_layers
        self.dims = [size for size, _, _ in layers]  # of z and of each layer above
        self.hop_samples = math.prod(stride for _, _, stride in feature_layers)
        self.min_samples = shortest_input([(k, s, 0) for _, k, s in feature_layers])
        self.feature_extractor = _feature_extractor(feature_layers)
        self.feature_aggregator = _aggregator(self.dims, aggregator_layers)
        if skip_connections:
            self.feature_aggregator["residual_proj"] = _projections(self.dims)

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return all hidden states and the frame counts; see NativeUpstream.

        The states are ``z``, then the output of each aggregator layer; the last is
        ``c``.
        """
        x, counts = wavs[:, None], n_samples
        blocks = self.feature_extractor["conv_layers"]
        for block, (_, kernel, stride) in zip(blocks, self.feature_layers, strict=True):
            counts = conv_counts(counts, kernel, stride)
            x = block["0"](x)
            inside = time_mask(counts, x.shape[-1])[:, None]
            x = block["2"](x, inside).relu()
        if self.log_compression:
            x = torch.log(x.abs() + 1)
        states = [x]
        for i in range(len(self.aggregator_layers)):
            states.append(self._aggregate(i, states[-1], inside))
        return [state.transpose(1, 2) for state in states], counts

    @property
    def layer_stack(self) -> nn.ModuleList:
        """The layers of the aggregator, the lowest first."""
        return self.feature_aggregator["conv_layers"]

    def _aggregate(self, i: int, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Run an aggregator layer, repeating its first step to the left."""
        block = self.feature_aggregator["conv_layers"][i]
        kernel = self.aggregator_layers[i][1]
        y = block["1"](F.pad(x, (kernel - 1, 0), mode="replicate"))
        y = block["3"](y, inside).relu()
        if not self.skip_connections:
            return y
        projections = self.feature_aggregator["residual_proj"]
        if str(i) in projections:
            x = projections[str(i)](x)
        return (y + x) * math.sqrt(self.residual_scale)


def _feature_extractor(layers: Layers) -> nn.ModuleDict:
    """Build the convolutions, named as in the checkpoint: 0 convolution, 2 norm."""
    blocks, n_in = nn.ModuleList(), 1
    for size, kernel, stride in layers:
        convolution = nn.Conv1d(n_in, size, kernel, stride, bias=False)
        blocks.append(nn.ModuleDict({"0": convolution, "2": UtteranceNorm(size)}))
        n_in = size
    return nn.ModuleDict({"conv_layers": blocks})


def _aggregator(dims: Sequence[int], layers: Layers) -> nn.ModuleDict:
    """Build the aggregator, named as in the checkpoint: 1 convolution, 3 norm."""
    blocks = nn.ModuleList()
    for n_in, (size, kernel, _) in zip(dims[:-1], layers, strict=True):
        convolution = nn.Conv1d(n_in, size, kernel)
        blocks.append(nn.ModuleDict({"1": convolution, "3": UtteranceNorm(size)}))
    return nn.ModuleDict({"conv_layers": blocks})


def _projections(dims: Sequence[int]) -> nn.ModuleDict:
    """Build projections of a layer's input to its output size, where they differ."""
    return nn.ModuleDict(
        {
            str(i): nn.Conv1d(n_in, n_out, 1, bias=False)
            for i, (n_in, n_out) in enumerate(pairwise(dims))
            if n_in != n_out
        }
    )
