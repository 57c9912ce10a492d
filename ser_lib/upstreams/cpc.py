"""Contrastive predictive coding (CPC), as in CPC_audio and the SUPERB benchmark.

The idea: van den Oord et al., 2018, https://arxiv.org/abs/1807.03748, figure 1:
``z_t = g_enc(x_t)`` and ``c_t = g_ar(z_1 ... z_t)``. The network: Rivière et al.,
2020, https://arxiv.org/abs/2002.02848 ("modified CPC"), which normalises each frame
over its channels and has an LSTM as ``g_ar``.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ser_lib.upstreams.checkpoints import entries
from ser_lib.upstreams.frames import time_mask
from ser_lib.upstreams.native import (
    NativeUpstream,
    check_options,
    conv_counts,
    shortest_input,
)
from ser_lib.utils.files import atomic_path

# Kernel, stride and padding of each convolution.
CONVOLUTIONS = ((10, 5, 3), (8, 4, 2), (4, 2, 1), (4, 2, 1), (4, 2, 1))
HOP_SAMPLES = 160

# Values of CPC_audio's options that this network supports, the default first.
_SUPPORTED = {
    "encoder_type": ("cpc",),
    "normMode": ("layerNorm",),
    "arMode": ("LSTM", "GRU"),
    "cpc_mode": (None, "none"),
}


class ChannelNorm(nn.Module):
    """Normalise each frame over its channels, with the unbiased variance.

    ``torch.nn.LayerNorm`` divides by the number of channels, this norm by one less.

    Example
    -------
    >>> ChannelNorm(2)(torch.tensor([[[1.0], [3.0]]])).flatten().detach()
    tensor([-0.7071,  0.7071])
    """

    eps = 1e-5

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, n_channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, n_channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``(batch, channels, time)``, the output of a convolution."""
        dtype, x = x.dtype, x.float()
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)
        normalised = (x - mean) * torch.rsqrt(variance + self.eps)
        return (normalised * self.weight + self.bias).to(dtype)


class Cpc(nn.Module):
    """The network: five convolutions (10 ms frames), then an LSTM or a GRU.

    The frames of an utterance do not depend on the padding: it is set to zero before
    each convolution, like the convolution's own padding.

    Arguments
    ---------
    dim : int
        Channels of the convolutions, the size of ``z``.
    context_dim : int
        Units of the recurrent layers, the size of ``c``.
    context_layers : int
        Number of recurrent layers.
    context_type : str
        ``"LSTM"``, as in the published checkpoint, or ``"GRU"``.

    Example
    -------
    >>> network = Cpc(dim=8, context_dim=4)
    >>> (z, c), counts = network(torch.randn(2, 1600), torch.tensor([1600, 800]))
    >>> z.shape, c.shape, counts
    (torch.Size([2, 10, 8]), torch.Size([2, 10, 4]), tensor([10,  5]))
    """

    hop_samples = HOP_SAMPLES
    min_samples = shortest_input(CONVOLUTIONS)

    def __init__(
        self,
        dim: int = 256,
        context_dim: int = 256,
        context_layers: int = 1,
        context_type: str = "LSTM",
    ) -> None:
        super().__init__()
        self.dims = [dim, context_dim]
        # Module names are those of the published checkpoint.
        self.gEncoder = nn.ModuleDict()
        for i, (kernel, stride, padding) in enumerate(CONVOLUTIONS):
            n_in = dim if i else 1
            self.gEncoder[f"conv{i}"] = nn.Conv1d(n_in, dim, kernel, stride, padding)
            self.gEncoder[f"batchNorm{i}"] = ChannelNorm(dim)
        recurrent = {"LSTM": nn.LSTM, "GRU": nn.GRU}[context_type]
        layers = recurrent(dim, context_dim, context_layers, batch_first=True)
        self.gAR = nn.ModuleDict({"baseNet": layers})

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return ``z``, ``c`` and the frame counts; see NativeUpstream."""
        x, counts = wavs[:, None], n_samples
        for i, convolution in enumerate(CONVOLUTIONS):
            x = x * time_mask(counts, x.shape[-1])[:, None]
            x = self.gEncoder[f"batchNorm{i}"](self.gEncoder[f"conv{i}"](x)).relu()
            counts = conv_counts(counts, *convolution)
        z = x.transpose(1, 2)
        c, _ = self.gAR["baseNet"](z)
        return [z, c], counts

    @property
    def layer_stack(self) -> list[nn.Module]:
        """The recurrent part, above the convolutions."""
        return [self.gAR]


def save_cpc(path: str | Path, network: Cpc) -> None:
    """Write a checkpoint in the published format (``config`` and ``weights``)."""
    layers = network.gAR["baseNet"]
    config = {
        **{name: allowed[0] for name, allowed in _SUPPORTED.items()},
        "hiddenEncoder": layers.input_size,
        "hiddenGar": layers.hidden_size,
        "nLevelsGRU": layers.num_layers,
        "arMode": layers.mode,
    }
    content = {"config": config, "weights": network.state_dict()}
    with atomic_path(path) as unfinished:
        torch.save(content, unfinished)


class CpcUpstream(NativeUpstream):
    """CPC as an upstream: 256 dimensions every 10 ms.

    Rivière et al., 2020, https://arxiv.org/abs/2002.02848. Waveforms are not
    normalised. Hidden states: ``z`` (the convolutions) and ``c`` (the LSTM or GRU).
    Published checkpoint, 1,843,456 parameters, SUPERB's "modified CPC":
    60k_epoch4-d0f474de.pt of
    https://dl.fbaipublicfiles.com/librilight/CPC_checkpoints/, trained on 60,000
    hours of Libri-Light. The code (CPC_audio) has the MIT licence; we know of no
    statement about the weights alone.

    Takes the arguments of :class:`~ser_lib.upstreams.native.NativeUpstream`.

    Example
    -------
    >>> path = getfixture("tmp_path") / "cpc.pt"
    >>> save_cpc(path, Cpc(dim=8, context_dim=4))
    >>> upstream = CpcUpstream(str(path), freeze=True)
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape, frames.counts, upstream.hop_samples
    (torch.Size([2, 100, 4]), tensor([100,  50]), 160)
    """

    network_class = Cpc

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        config, weights = entries(checkpoint, ("config", "weights"), path)
        check_options(config, _SUPPORTED, path)
        return config, weights

    @staticmethod
    def _arguments(config: Mapping) -> Mapping:
        """Use CPC_audio's defaults for options that a file does not name."""
        return {
            "dim": config.get("hiddenEncoder", 256),
            "context_dim": config.get("hiddenGar", 256),
            "context_layers": config.get("nLevelsGRU", 1),
            "context_type": config.get("arMode", "LSTM"),
        }
