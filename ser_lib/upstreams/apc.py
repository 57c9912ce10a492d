"""APC, autoregressive predictive coding: the future predicted from the past.

Chung et al., "An Unsupervised Autoregressive Model for Speech Representation
Learning" (Interspeech 2019), https://arxiv.org/abs/1904.03240: a stack of recurrent
layers reads the frames x_1 ... x_t and predicts x_(t+n) by y_t, a linear layer on its
last states; the loss is the sum over t of |x_(t+n) - y_t|. The states are the
features. The version published in s3prl (https://github.com/s3prl/s3prl, Apache-2.0)
is that of VQ-APC (https://arxiv.org/abs/2005.08392) without quantiser: three GRUs with
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

# Settings of s3prl's own reading of files, with no meaning for a waveform.
NOT_FOR_KALDI = ("feat_type", "feat_dim", "decode_wav", "cmvn")


class Apc(nn.Module):
    """The network of APC: a stack of GRUs and the layer that predicts.

    Its module names are the keys of the published checkpoints.

    Arguments
    ---------
    config : Mapping
        ``model.paras`` (num_layers, hidden_size, dropout, residual) and
        ``data.audio`` (feat_type, feat_dim, arguments of Kaldi's filter bank, cmvn).

    Raises
    ------
    ValueError
        If the features are not a filter bank.

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
        """Compute the hidden states of waveforms.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms at 16 kHz.
        n_samples : (batch,) torch.LongTensor
            Samples of each.

        Returns
        -------
        list[torch.Tensor]
            As :meth:`encode`.
        (batch,) torch.LongTensor
            Frames of each utterance.
        """
        frames = self.front_end(wavs, n_samples)
        return self.encode(frames.values), frames.counts

    def encode(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Compute the hidden states; the padding comes last and is never seen.

        Arguments
        ---------
        features : (batch, time, mels) torch.Tensor
            What ``front_end`` gives.

        Returns
        -------
        list[torch.Tensor]
            ``(batch, time, hidden_size)`` of each layer, after the residual. The
            prediction of frame t + n in pre-training is ``postnet`` of the last.
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
    band at zero mean and unit deviation over the utterance. Output: 512 dimensions
    every 160 samples, ``1 + (n - 400) // 160`` frames. It reads from left to right
    only. SUPERB's model is s3prl's ``apc_360hr`` (``apc_default.ckpt``, LibriSpeech
    360 h, 4,105,296 parameters); there is ``apc_960hr.ckpt`` too. The files state
    no licence of their own; see the repository.

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

    make_network = Apc

    def __init__(
        self, source: str | Mapping, freeze: bool = False, layer: str = "last"
    ) -> None:
        super().__init__(source, freeze, layer)
        # Only pre-training predicts: without a gradient, the layer would stop
        # distributed training.
        self.network.postnet.requires_grad_(False)

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        config, weights = entries(checkpoint, ("config", "model"), path)
        return config, weights

    @staticmethod
    def _arguments(config: Mapping) -> Mapping:
        """Leave out what is about the training."""
        paras, audio = config["model"]["paras"], config["data"]["audio"]
        return {"config": {"model": {"paras": paras}, "data": {"audio": audio}}}


def published_config(**paras: float) -> dict:
    """Give the configuration of the published checkpoints.

    Arguments
    ---------
    **paras : float
        Settings of the network to change, such as ``hidden_size``.

    Returns
    -------
    dict
        Configuration for :class:`Apc`.
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
    """Write a checkpoint in s3prl's format.

    Arguments
    ---------
    path : str | Path
        The file; it is replaced only when complete.
    network : Apc
        Configuration and weights.
    """
    content = {"config": network.config, "model": network.state_dict()}
    with atomic_path(path) as unfinished:
        torch.save(content, unfinished)
