"""Tiny pre-training objectives, a batch for them, and a folder of noise."""

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
from speechbrain.utils.seed import seed_everything

from ser_lib.pretraining import (
    ApcObjective,
    CpcObjective,
    Data2VecObjective,
    DeloresObjective,
    HubertObjective,
    MockingjayObjective,
    Wav2Vec2Objective,
    Wav2VecObjective,
)
from ser_lib.pretraining.objective import Objective

SAMPLES = [16000, 9001, 12000, 10000]
ENCODER = {
    "conv_dim": [16, 16, 16, 16],
    "conv_kernel": [10, 8, 4, 4],
    "conv_stride": [5, 4, 4, 4],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 2,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
}
QUANTISER = {
    "num_codevectors_per_group": 8,
    "codevector_dim": 16,
    "proj_codevector_dim": 16,
    "num_negatives": 5,
    "feat_quantizer_dropout": 0.0,
}
MOCKINGJAY = {
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def hubert() -> HubertObjective:
    objective = HubertObjective(ENCODER, n_clusters=5)
    objective.prepare(iter([0.1 * torch.randn(16000)]), seed=0)
    return objective


TINY: dict[str, Callable[[], Objective]] = {
    "mockingjay": lambda: MockingjayObjective(MOCKINGJAY),
    "apc": lambda: ApcObjective(hidden_size=16, num_layers=2, dropout=0.0),
    "cpc": lambda: CpcObjective(dim=8, context_dim=8, steps_ahead=3, n_negatives=8),
    "wav2vec": lambda: Wav2VecObjective(
        [(8, 10, 5), (8, 8, 32)], [(8, 2, 1)], steps_ahead=3, n_distractors=4
    ),
    "wav2vec2": lambda: Wav2Vec2Objective(ENCODER, QUANTISER, mask_length=3),
    "hubert": hubert,
    "data2vec": lambda: Data2VecObjective(ENCODER, top_layers=2, decay=(0.99, 0.99)),
    "delores": lambda: DeloresObjective(dim=16, projection_size=8),
}
every = pytest.mark.parametrize("method", TINY)


def batch(padding: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    wavs = torch.full((len(SAMPLES), max(SAMPLES)), padding)
    generator = torch.Generator().manual_seed(0)
    for wav, n in zip(wavs, SAMPLES, strict=True):
        loudness = 0.1 + 0.1 * torch.sin(torch.arange(n) / 1000)
        wav[:n] = loudness * torch.randn(n, generator=generator)
    return wavs, torch.tensor(SAMPLES)


def loss_of(objective: Objective, wavs: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    """Compute a loss, with the same masks, negatives and views in each call."""
    seed_everything(0, verbose=False)
    return objective(wavs, n)


def write_noise(folder: Path) -> Path:
    """Write recordings in all formats: speaker a has three files, speaker b four."""
    names = ["a/1.wav", "a/2.flac", "a/deep/3.OGG", "b/4.mp3"]
    names += ["b/5.wav", "b/6.wav", "b/7.wav"]
    generator = torch.Generator().manual_seed(0)
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = 0.1 * torch.randn(16000 + 800 * i, generator=generator)
        kind = Path(name).suffix[1:].upper()
        soundfile.write(folder / name, noise.numpy(), 16000, format=kind)
    (folder / "notes.txt").write_text("no audio")
    (folder / "a" / "._1.wav").write_bytes(b"left by a Mac")
    return folder
