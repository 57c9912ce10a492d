"""The network of emotion2vec: data2vec 2.0 for audio, without its decoder.

Ma et al., 2023, https://arxiv.org/abs/2312.15185; Baevski et al., 2022,
https://arxiv.org/abs/2212.07525. Convolutions over the waveform, convolutional
positions, and transformer layers with ALiBi (Press et al., 2022,
https://arxiv.org/abs/2108.12409), whose bias falls with the distance of two frames.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.native import conv_counts, shortest_input
from ser_lib.upstreams.padding import normalise

CONVOLUTIONS = ((512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2)
_WAVEFORM_EPS = 1e-5


@dataclass(frozen=True)
class Emotion2VecConfig:
    """Sizes of the network, those of ``emotion2vec_base`` by default.

    Arguments
    ---------
    dim : int
        Size of a frame.
    n_heads : int
        Attention heads.
    mlp_dim : int
        Size of the hidden layer in a block.
    prenet_depth, depth : int
        Blocks of the context encoder, and blocks above it.
    convolutions : Sequence[tuple[int, int, int]]
        Size, kernel and stride of the convolutions over the waveform.
    n_position_layers, position_kernel, position_groups : int
        Of the convolutions that compute positions.
    n_tokens : int
        Learnt tokens in front of the frames, which are not among the output.
    norm_eps : float
        Epsilon of the norms of the blocks.
    normalise_wav : bool
        Normalise each waveform to mean 0 and variance 1.
    dropout, attention_dropout : float
        In training.

    Raises
    ------
    ValueError
        If the heads do not divide a frame.
    """

    dim: int = 768
    n_heads: int = 12
    mlp_dim: int = 3072
    prenet_depth: int = 4
    depth: int = 8
    convolutions: Sequence[Sequence[int]] = CONVOLUTIONS
    n_position_layers: int = 5
    position_kernel: int = 19
    position_groups: int = 16
    n_tokens: int = 10
    norm_eps: float = 1e-5
    normalise_wav: bool = True
    dropout: float = 0.0
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.n_heads < 1 or self.dim % self.n_heads:
            raise ValueError(
                f"{self.n_heads} heads do not divide frames of size {self.dim}"
            )


class Emotion2Vec(nn.Module):
    """Waveforms to the states of all layers; frames do not depend on the padding.

    The names of the modules are those of the published files.

    Arguments
    ---------
    **sizes : int | float | bool | Sequence
        Of an :class:`Emotion2VecConfig`.

    Example
    -------
    >>> sizes = {"dim": 16, "n_heads": 2, "mlp_dim": 32, "prenet_depth": 1, "depth": 2}
    >>> network = Emotion2Vec(**sizes)
    >>> states, counts = network(torch.randn(2, 4000), torch.tensor([4000, 720]))
    >>> len(states), states[-1].shape, counts
    (4, torch.Size([2, 12, 16]), tensor([12,  2]))
    """

    def __init__(self, **sizes: float | Sequence) -> None:
        super().__init__()
        config = Emotion2VecConfig(**sizes)
        self.convolutions = [tuple(layer) for layer in config.convolutions]
        self.normalise_wav = config.normalise_wav
        self.dims = [config.dim] * (1 + config.prenet_depth + config.depth)
        self.hop_samples = math.prod(stride for _, _, stride in self.convolutions)
        self.min_samples = shortest_input([(k, s, 0) for _, k, s in self.convolutions])
        audio = nn.Module()
        audio.extra_tokens = nn.Parameter(torch.zeros(1, config.n_tokens, config.dim))
        audio.alibi_scale = nn.Parameter(torch.ones(1, 1, config.n_heads, 1, 1))
        audio.local_encoder = _local_encoder(self.convolutions)
        n_channels = self.convolutions[-1][0]
        audio.project_features = nn.ModuleDict(
            {"1": nn.LayerNorm(n_channels), "2": nn.Linear(n_channels, config.dim)}
        )
        audio.relative_positional_encoder = _positional_encoder(config)
        audio.context_encoder = nn.Module()
        audio.context_encoder.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        audio.context_encoder.blocks = _blocks(config, config.prenet_depth)
        self.modality_encoders = nn.ModuleDict({"AUDIO": audio})
        self.blocks = _blocks(config, config.depth)
        slopes = alibi_slopes(config.n_heads)
        self.register_buffer("slopes", slopes, persistent=False)

    @property
    def layer_stack(self) -> list[nn.Module]:
        """The blocks of the context encoder, then those above it."""
        audio = self.modality_encoders["AUDIO"]
        return [*audio.context_encoder.blocks, *self.blocks]

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return all hidden states and the frame counts; see NativeUpstream.

        The states are the input of the first block and the output of each.
        """
        audio = self.modality_encoders["AUDIO"]
        if self.normalise_wav:
            wavs = normalise(wavs, time_mask(n_samples, wavs.shape[1]), _WAVEFORM_EPS)
        x, counts = self._convolve(wavs, n_samples)
        inside = time_mask(counts, x.shape[1])
        x = x + self._positions(x, inside)
        tokens = audio.extra_tokens.expand(x.shape[0], -1, -1)
        n_tokens = tokens.shape[1]
        x = audio.context_encoder.norm(torch.cat([tokens.to(x), x], dim=1))
        bias = self._attention_bias(inside, n_tokens).to(x)
        states = [x]
        for block in self.layer_stack:
            states.append(block(states[-1], bias))
        return [state[:, n_tokens:] for state in states], counts

    def _convolve(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        audio, x, counts = self.modality_encoders["AUDIO"], wavs[:, None], n_samples
        layers = audio.local_encoder["conv_layers"]
        for layer, (_, kernel, stride) in zip(layers, self.convolutions, strict=True):
            counts = conv_counts(counts, kernel, stride)
            x = layer["2"]["1"](layer["0"](x).transpose(1, 2))
            x = F.gelu(x).transpose(1, 2)
        x = audio.project_features["1"](x.transpose(1, 2))
        return audio.project_features["2"](x), counts

    def _positions(self, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Return (batch, time, dim) positions; the padding is zero for each layer."""
        layers = self.modality_encoders["AUDIO"].relative_positional_encoder
        for layer in layers.values():
            y = layer["0"]((x * inside[..., None]).transpose(1, 2)).transpose(1, 2)
            y = y[:, : x.shape[1]]  # an even kernel gives a step more
            x = F.gelu(F.layer_norm(y, y.shape[-1:]))
        return x

    def _attention_bias(self, inside: torch.Tensor, n_tokens: int) -> torch.Tensor:
        """Return the (batch, heads, time, time) bias of the attention.

        It is zero from and to the tokens, and minus infinity for padded frames.
        """
        scale = self.modality_encoders["AUDIO"].alibi_scale[0].clamp(min=0)
        steps = torch.arange(inside.shape[1], device=inside.device)
        distance = (steps[:, None] - steps).abs()
        bias = -distance * self.slopes[:, None, None] * scale  # (1, heads, time, time)
        bias = F.pad(bias, (n_tokens, 0, n_tokens, 0))
        attended = F.pad(inside, (n_tokens, 0), value=True)
        return bias.masked_fill(~attended[:, None, None], -math.inf)


class Block(nn.Module):
    """A transformer layer whose norms come after the residuals."""

    def __init__(self, config: Emotion2VecConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.norm_eps
        self.n_heads = config.n_heads
        self.attention_dropout = config.attention_dropout
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)}
        )
        self.dropout = nn.Dropout(config.dropout)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = nn.ModuleDict(
            {
                "fc1": nn.Linear(dim, config.mlp_dim),
                "fc2": nn.Linear(config.mlp_dim, dim),
            }
        )

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Transform (batch, time, dim); the bias is added to the scaled products."""
        x = self.norm1(x + self._attend(x, bias))
        return self.norm2(x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](x))))

    def _attend(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        qkv = self.attn["qkv"](x).unflatten(2, (3, self.n_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, time, size)
        rate = self.attention_dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, bias, dropout_p=rate)
        return self.dropout(self.attn["proj"](y.transpose(1, 2).flatten(2)))


def alibi_slopes(n_heads: int) -> torch.Tensor:
    """Return the (heads,) slopes of ALiBi (Press et al., 2022, section 3).

    A geometric sequence; if the number of heads is not a power of two, the rest is
    every other slope of the sequence that is twice as long.

    Example
    -------
    >>> alibi_slopes(3)
    tensor([0.0625, 0.0039, 0.2500])
    """
    power = 2 ** int(math.log2(n_heads))
    slopes = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    between = [2.0 ** (-4 * i / power) for i in range(1, 2 * power + 1, 2)]
    return torch.tensor([*slopes, *between][:n_heads])


def _local_encoder(layers: Sequence[tuple[int, int, int]]) -> nn.ModuleDict:
    """Build the convolutions, named as in the files: 0 convolution, 2.1 norm."""
    blocks, n_in = nn.ModuleList(), 1
    for size, kernel, stride in layers:
        convolution = nn.Conv1d(n_in, size, kernel, stride, bias=False)
        norm = nn.ModuleDict({"1": nn.LayerNorm(size)})
        blocks.append(nn.ModuleDict({"0": convolution, "2": norm}))
        n_in = size
    return nn.ModuleDict({"conv_layers": blocks})


def _positional_encoder(config: Emotion2VecConfig) -> nn.ModuleDict:
    """Build the convolutions that compute positions, counted from 1 as in the files."""
    kernel, groups = config.position_kernel, config.position_groups
    return nn.ModuleDict(
        {
            str(1 + i): nn.ModuleDict(
                {
                    "0": nn.Conv1d(
                        config.dim,
                        config.dim,
                        kernel,
                        padding=kernel // 2,
                        groups=groups,
                    )
                }
            )
            for i in range(config.n_position_layers)
        }
    )


def _blocks(config: Emotion2VecConfig, n: int) -> nn.ModuleList:
    return nn.ModuleList(Block(config) for _ in range(n))
