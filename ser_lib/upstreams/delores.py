"""DeLoRes: the AudioNTT-2020 network, trained by decorrelating two views.

Ghosh et al., 2022, https://arxiv.org/abs/2203.13628 (DeLoRes, and DeLoRes-S in the
LAPE repository); DeLoRes-M: https://ieeexplore.ieee.org/document/9868132.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from ser_lib.upstreams.audio_ntt import AudioNtt2020
from ser_lib.upstreams.native import NativeUpstream
from ser_lib.utils.files import atomic_path

# Key prefix of the network in each training script's checkpoints, and prefixes of the
# weights that only its training objective uses.
_LAYOUTS = {
    "encoder_q.encoder.": (  # DeLoRes-M; encoder_k is the moving average
        "encoder_q.fc.",
        "encoder_k.",
        "queue",
        "p1.",
        "p2.",
        "p3.",
    ),
    "encoder.encoder.": ("p.",),  # DeLoRes-S
    "module.": ("module.projector.", "module.bn."),  # DeLoRes
    "": (),  # BYOL-A
}


def save_delores(path: str | Path, network: AudioNtt2020) -> None:
    """Write a checkpoint as DeLoRes's training script does (names in ``module.``)."""
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    with atomic_path(path) as unfinished:
        torch.save({"state_dict": state}, unfinished)


def _network_state(state: Mapping[str, torch.Tensor], path: Path) -> dict:
    """Return the network's weights, with the names of ``AudioNtt2020``."""
    for prefix, dropped in _LAYOUTS.items():
        if any(key.startswith(f"{prefix}features") for key in state):
            kept = {k: v for k, v in state.items() if not k.startswith(dropped)}
            return {_own_name(k.removeprefix(prefix)): v for k, v in kept.items()}
    raise ValueError(
        f"{path} contains no DeLoRes network: expected keys that start with "
        f"{', '.join(f'{prefix}features' for prefix in _LAYOUTS)}; found "
        f"{list(state)[:3]}."
    )


def _own_name(key: str) -> str:
    """Turn LAPE's ``features_2.1.bias`` into ``features.5.bias``."""
    found = re.match(r"features_(\d)\.(\d)\.", key)
    if not found:
        return key
    number = 4 * (int(found[1]) - 1) + int(found[2])
    return f"features.{number}.{key[found.end() :]}"


class DeloresUpstream(NativeUpstream):
    """DeLoRes as an upstream: 2048 (512, 256) dimensions every 80 ms.

    Ghosh et al., 2022, https://arxiv.org/abs/2203.13628. Hidden states: both linear
    layers. No checkpoint was published. The formats read are those that the training
    scripts save (DeLoRes; DeLoRes-M and DeLoRes-S of LAPE; BYOL-A, which has the same
    network). These scripts scale the waveform or the log mels in different ways, which
    their checkpoints do not record: nothing is scaled here.

    Takes the arguments of :class:`~ser_lib.upstreams.native.NativeUpstream`.

    Example
    -------
    >>> path = getfixture("tmp_path") / "delores.pth.tar"
    >>> save_delores(path, AudioNtt2020(dim=4))
    >>> upstream = DeloresUpstream(str(path), freeze=True)
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape, frames.counts, upstream.hop_samples
    (torch.Size([2, 12, 4]), tensor([12,  6]), 1280)
    """

    network_class = AudioNtt2020

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        """Infer the frame size, which is not recorded, from the weights."""
        weights = _network_state(checkpoint.get("state_dict", checkpoint), path)
        dim = len(weights["fc.0.weight"]) if "fc.0.weight" in weights else 2048
        return {"dim": dim}, weights
