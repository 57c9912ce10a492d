"""Mockingjay and TERA: transformers that reconstruct altered spectrograms.

Mockingjay: Liu et al. (ICASSP 2020), https://arxiv.org/abs/1910.12638, figure 1: a
BERT over frames reconstructs frames that were set to zero, from both sides (L1 loss).
TERA: Liu et al. (IEEE/ACM TASLP 2021), https://arxiv.org/abs/2007.06028: the same
network with fewer layers, trained to undo alterations in time, frequency and
magnitude. The format is s3prl's (https://github.com/s3prl/s3prl, Apache-2.0).
"""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ser_lib.upstreams.checkpoints import entries
from ser_lib.upstreams.mockingjay_network import Mockingjay
from ser_lib.upstreams.native import NativeUpstream
from ser_lib.utils.files import atomic_path


class MockingjayUpstream(NativeUpstream):
    """Mockingjay or TERA as an upstream, from a checkpoint of s3prl.

    Output: 768 dimensions every 160 samples. The front end is the one that the
    checkpoint was trained with (``front_end`` in ``mockingjay_network.py``). SUPERB's
    models, by their names in s3prl:

    - mockingjay_logMelLinearLarge_T_AdamW_b32_500k_360hr_drop1: 12 layers, trained on
      360 h of LibriSpeech, 85,118,208 parameters;
    - tera_logMelBase_T_F_M_AdamW_b32_1m_960hr_drop1: 3 layers, 960 h, 21,327,360.

    The files do not state a licence; see the repository.

    Takes the arguments of :class:`~ser_lib.upstreams.native.NativeUpstream`.

    Example
    -------
    >>> from ser_lib.upstreams.mockingjay_network import published_config
    >>> config = published_config(num_hidden_layers=1, hidden_size=24)
    >>> path = getfixture("tmp_path") / "tera.ckpt"
    >>> save_mockingjay(path, Mockingjay(config))
    >>> upstream = MockingjayUpstream(str(path), layer="sum")
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape, frames.counts
    (torch.Size([2, 101, 24]), tensor([101,  51]))
    """

    network_class = Mockingjay

    @staticmethod
    def _contents(checkpoint: Mapping, path: Path) -> tuple[Mapping, Mapping]:
        """Return the encoder's configuration and weights, with old names updated.

        Old files keep the encoder's configuration under Config; in newer ones, Config
        is that of the trainer.
        """
        config, weights = entries(checkpoint, ("Config", "Transformer"), path)
        if "transformer" not in config:
            (config,) = entries(checkpoint, ("Upstream_Config",), path)
        names = ("transformer", "task", "audio")
        blocks = entries(config, names, f"The configuration in {path}")
        config = dict(zip(names, blocks, strict=True))
        return {"config": config}, {_new_name(k): v for k, v in weights.items()}


def _new_name(key: str) -> str:
    """Replace TensorFlow's names of layer norm weights."""
    return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", key))


def save_mockingjay(
    path: str | Path,
    network: Mockingjay,
    spec_head: nn.Module | None = None,
    step: int = 0,
) -> None:
    """Write a checkpoint in s3prl's format.

    Arguments
    ---------
    spec_head : torch.nn.Module | None
        The head of pre-training; features do not need it.
    step : int
        Number of pre-training steps so far.
    """
    content = {
        "Optimizer": {},
        "Step": step,
        "Args": argparse.Namespace(),
        "Config": {},
        "SpecHead": {} if spec_head is None else spec_head.state_dict(),
        "Transformer": network.state_dict(),
        "Upstream_Config": network.config,
    }
    with atomic_path(path) as unfinished:
        torch.save(content, unfinished)
