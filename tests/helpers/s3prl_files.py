"""Random checkpoints of Mockingjay, TERA and APC in the documented formats."""

import argparse
import copy

import torch

from ser_lib.upstreams.apc import published_config as apc_config
from ser_lib.upstreams.mockingjay_network import published_config

SAMPLES = [16000, 9001, 4000]
KALDI = {
    "kaldi": {"feat_type": "fbank", "fbank": {"num_mel_bins": 80}},
    "delta": {"order": 2, "win_length": 5},
    "cmvn": {"use_cmvn": True},
}


def small_config(sequence_length: int = 0, kaldi: bool = False) -> dict:
    """Return two layers of 24 with 3 heads, and the published front end."""
    config = published_config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48
    )
    config["task"]["sequence_length"] = sequence_length
    if kaldi:
        config["audio"] = copy.deepcopy(KALDI)
    return config


def documented_shapes(n_inputs: int) -> dict[str, tuple[int, ...]]:
    """Return the encoder's weight names and shapes, as in the documentation."""
    front = "input_representations"
    linear = {f"{front}.spec_transform": (24, n_inputs)}
    norms = [f"{front}.LayerNorm"]
    for i in range(2):
        layer = f"encoder.layer.{i}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear[f"{layer}.attention.{part}"] = (24, 24)
        linear[f"{layer}.intermediate.dense"] = (48, 24)
        linear[f"{layer}.output.dense"] = (24, 48)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    shapes = {f"{name}.weight": shape for name, shape in linear.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    return shapes | {f"{n}.{kind}": (24,) for n in norms for kind in ("weight", "bias")}


def mockingjay_checkpoint(config: dict, n_inputs: int = 80) -> dict:
    """Return a checkpoint of the newer kind with random weights."""
    shapes = documented_shapes(n_inputs)
    return {
        "Optimizer": {},
        "Step": 500000,
        "Args": argparse.Namespace(seed=1),
        "Config": {"runner": {}},
        "SpecHead": {},
        "Transformer": {k: 0.3 * torch.randn(v) for k, v in shapes.items()},
        "Upstream_Config": config,
    }


def apc_checkpoint(**paras: object) -> dict:
    """Return a checkpoint of APC with layers of 16 and random weights."""
    config = apc_config(hidden_size=16, **paras)
    state = {"postnet.weight": torch.randn(80, 16), "postnet.bias": torch.randn(80)}
    for i, n_inputs in enumerate((80, 16, 16)):
        for kind, shape in (("ih", (48, n_inputs)), ("hh", (48, 16))):
            state[f"rnn_layers.{i}.weight_{kind}_l0"] = 0.4 * torch.randn(shape)
            state[f"rnn_layers.{i}.bias_{kind}_l0"] = 0.4 * torch.randn(48)
    return {"config": config, "model": state}


def padded_batch(padding: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    wavs = torch.full((len(SAMPLES), max(SAMPLES)), padding)
    generator = torch.Generator().manual_seed(0)
    for wav, n in zip(wavs, SAMPLES, strict=True):
        wav[:n] = 0.1 * torch.randn(n, generator=generator) + 0.02
    return wavs, torch.tensor(SAMPLES) / max(SAMPLES)
