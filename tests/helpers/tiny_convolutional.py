"""Tiny checkpoints of CPC, wav2vec and DeLoRes, in their published formats."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import nn

from ser_lib.upstreams.audio_ntt import AudioNtt2020
from ser_lib.upstreams.cpc import Cpc, CpcUpstream, save_cpc
from ser_lib.upstreams.delores import DeloresUpstream, save_delores
from ser_lib.upstreams.wav2vec import Wav2VecUpstream, save_wav2vec
from ser_lib.upstreams.wav2vec_network import Wav2Vec

SAMPLES = [4001, 2879, 1600, 1121]  # 26, 18, 11 and 8 mel frames: odd when halved

SAVE = {"cpc": save_cpc, "wav2vec": save_wav2vec, "delores": save_delores}
LOAD = {"cpc": CpcUpstream, "wav2vec": Wav2VecUpstream, "delores": DeloresUpstream}
every = pytest.mark.parametrize("name", sorted(SAVE))


def tiny(name: str) -> nn.Module:
    """Return a small network whose norms are not the identity."""
    if name == "cpc":
        network = Cpc(dim=8, context_dim=8)
    elif name == "wav2vec":
        features = [(8, 10, 5), (8, 8, 4), (6, 1, 1)]
        network = Wav2Vec(features, [(6, 2, 1), (8, 3, 1)])
    else:
        network = AudioNtt2020(dim=8)
    for key, parameter in network.named_parameters():
        if parameter.dim() == 1 or "batchNorm" in key:
            nn.init.uniform_(parameter, 0.5, 1.5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def written(folder: Path, name: str, network: nn.Module | None = None) -> str:
    """Write a network and return the path of its checkpoint."""
    path = folder / f"{name}.pt"
    SAVE[name](path, network or tiny(name))
    return str(path)


def read(path: str) -> dict:
    with torch.serialization.safe_globals([Namespace]):
        return torch.load(path)


def batch(padding: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    wavs = torch.full((len(SAMPLES), max(SAMPLES)), padding)
    for wav, n in zip(wavs, SAMPLES, strict=True):
        wav[:n] = 0.1 * torch.randn(n) + 0.02
    return wavs, torch.tensor(SAMPLES) / max(SAMPLES)
