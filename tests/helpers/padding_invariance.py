"""Check that the output for an utterance does not depend on its batch."""

from pathlib import Path

import soundfile
import torch
from tiny_upstreams import TEXTS

SAMPLES = [16000, 9001, 4000, 12000]


def write_noise(folder: Path) -> Path:
    """Write one recording per length: 0.wav, 1.wav ..."""
    generator = torch.Generator().manual_seed(0)
    for i, n in enumerate(SAMPLES):
        noise = 0.1 * torch.randn(n, generator=generator)
        soundfile.write(folder / f"{i}.wav", noise.numpy(), 16000)
    return folder


def assert_alone_equals_padded(model: torch.nn.Module) -> None:
    """Check that logits agree to 1e-4, whatever the padding contains."""
    wavs = torch.ones(len(SAMPLES), max(SAMPLES))
    for wav, n in zip(wavs, SAMPLES, strict=True):
        wav[:n] = 0.1 * torch.randn(n)
    texts = [*TEXTS, TEXTS[0]]
    with torch.no_grad():
        together = model(wavs, torch.tensor(SAMPLES) / max(SAMPLES), texts)
        for wav, n, text, logits in zip(wavs, SAMPLES, texts, together, strict=True):
            alone = model(wav[None, :n], torch.ones(1), [text])[0]
            torch.testing.assert_close(logits, alone, atol=1e-4, rtol=0)
