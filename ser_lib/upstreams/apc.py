"""APC, autoregressive predictive coding: predicting future frames from past ones.

Chung et al., "An Unsupervised Autoregressive Model for Speech Representation
Learning" (Interspeech 2019), https://arxiv.org/abs/1904.03240: a stack of recurrent
layers reads the frames x_1 ... x_t; a linear layer on its last states predicts
x_(t+n) as y_t; the loss is the sum over t of |x_(t+n) - y_t|. The states are the
features. The version published in s3prl (https://github.com/s3prl/s3prl, Apache-2.0)
is VQ-APC (https://arxiv.org/abs/2005.08392) without the quantiser: three GRUs with
residual connections, predicting 5 frames ahead.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ser_lib.upstreams.checkpoints import entries
from ser_lib.upstreams.native import NativeUpstream
from ser_lib.upstreams.s3prl_frontends import KaldiFbank
from ser_lib.utils.files import atomic_path

# Settings of s3prl's file reading, which Kaldi's filter bank does not take.
NOT_FOR_KALDI = ("feat_type", "feat_dim", "decode_wav", "cmvn")


class Apc(nn.Module):
    """The network of APC: a stack of GRUs and a linear prediction layer.

    Its module names are the keys of the published checkpoints.

    Arguments
    ---------
    config : Mapping
        ``model.paras`` (num_layers, hidden_size, dropout, residual) and
        ``data.audio`` (feat_type, feat_dim, arguments of Kaldi's filter bank, cmvn).

    Raises
    ------
    ValueError
        If ``feat_type`` is not ``fbank``.

    Example
    -------
    >>> network = Apc(published_config())
    >>> sum(p.numel() for p in network.parameters())  # as in SUPERB
    4105296
    """

    def __init__(self, config: Mapping) -> None:
        super().__init__()
        paras, audio = config["model"]["paras"], config["data"]["audio"]
        if audio["feat_type"] != "fbank":
            raise ValueError(
                f"APC was trained on '{audio['feat_type']}' features; expected 'fbank'."
            )
        self.config = config
        kaldi = {k: v for k, v in audio.items() if k not in NOT_FOR_KALDI}
        self.front_end = KaldiFbank(
            {
                "num_mel_bins": audio["feat_dim"],
                "window_type": "hamming",
                **kaldi,
            },
            cmvn=audio.get("cmvn", True),
        )
        self.hop_samples = self.front_end.hop_samples
        self.min_samples = self.front_end.min_samples
        n_mels, hidden_size = audio["feat_dim"], paras["hidden_size"]
        self.dims = [hidden_size] * paras["num_layers"]
        self.rnn_layers = nn.ModuleList(
            nn.GRU(size, hidden_size, batch_first=True)
            for size in [n_mels, *self.dims[1:]]
        )
        self.dropout = nn.Dropout(paras["dropout"])
        self.residual = paras["residual"]
        self.postnet = nn.Linear(hidden_size, n_mels)

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the states of each layer and the frame counts; see NativeUpstream."""
        frames = self.front_end(wavs, n_samples)
        return self.encode(frames.values), frames.counts

    @property
    def layer_stack(self) -> nn.ModuleList:
        """The GRUs, the lowest first."""
        return self.rnn_layers

    def encode(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Compute the states of each layer; padding comes last, so it has no effect.

        Arguments
        ---------
        features : (batch, time, mels) torch.Tensor
            Output of ``front_end``.

        Returns
        -------
        list[torch.Tensor]
            ``(batch, time, hidden_size)`` of each layer, after the residual. In
            pre-training, ``postnet`` of the last one predicts frame t + n.
        """
        states, x = [], features
        for i, rnn in enumerate(self.rnn_layers):
            y = self.dropout(rnn(x)[0])
            x = y + x if self.residual and i > 0 else y
            states.append(x)
        return states


class ApcUpstream(NativeUpstream):
    """APC as an upstream, from a checkpoint of s3prl.

    Input: Kaldi's filter bank (80 bands, Hamming window, 25 ms every 10 ms), each
    band normalised to zero mean and unit deviation over the utterance. Output: 512
    dimensions every 160 samples, ``1 + (n - 400) // 160`` frames. The GRUs read from
    left to right only. SUPERB uses s3prl's ``apc_360hr`` (``apc_default.ckpt``,
    LibriSpeech 360 h, 4,105,296 parameters); s3prl also publishes ``apc_960hr.ckpt``.
    The files do not state a licence; see the repository.

    Takes the arguments of :class:`~ser_lib.upstreams.native.NativeUpstream`.

    Example
    -------
    >>> path = getfixture("tmp_path") / "apc.ckpt"
    >>> save_apc(path, Apc(published_config(num_layers=2, hidden_size=16)))
    >>> upstream = ApcUpstream(str(path), freeze=True)
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape, frames.counts
    (torch.Size([2, 98, 16]), tensor([98, 48]))
    """

    network_class = Apc

    def __init__(
        self, source: str | Mapping, freeze: bool = False, layer: str = "last"
    ) -> None:
        super().__init__(source, freeze, layer)
        # Only pre-training uses this layer. Distributed training fails on trainable
        # parameters that get no gradient.
        self.network.postnet.requires_grad_(False)

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        config, weights = entries(checkpoint, ("config", "model"), path)
        return config, weights

    @staticmethod
    def _arguments(config: Mapping) -> Mapping:
        """Keep only the network and front-end settings."""
        paras, audio = config["model"]["paras"], config["data"]["audio"]
        return {"config": {"model": {"paras": paras}, "data": {"audio": audio}}}


def published_config(**paras: float) -> dict:
    """Return the configuration of the published checkpoints for :class:`Apc`.

    Arguments
    ---------
    **paras : float
        Network settings to change, such as ``hidden_size``.
    """
    network = {"num_layers": 3, "hidden_size": 512, "dropout": 0.1, "residual": True}
    audio = {
        "feat_type": "fbank",
        "feat_dim": 80,
        "frame_length": 25,
        "frame_shift": 10,
        "decode_wav": False,
    }
    return {"model": {"paras": {**network, **paras}}, "data": {"audio": audio}}


def save_apc(path: str | Path, network: Apc) -> None:
    """Write a checkpoint in s3prl's format."""
    content = {"config": network.config, "model": network.state_dict()}
    with atomic_path(path) as unfinished:
        torch.save(content, unfinished)
