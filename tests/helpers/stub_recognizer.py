"""A recogniser whose probabilities are the loudness, so that tests can recompute them.

A square wave of amplitude a has an RMS of a, so it is "loud" with probability a.
"""

from pathlib import Path

import numpy as np
import soundfile
import torch

from ser_lib.audio import read_audio
from ser_lib.audio.checks import check_wav
from ser_lib.inference.windows import stream

RATE_HZ = 1000


class StubRecognizer:
    """Has the members of EmotionRecognizer that timelines and predict use."""

    device = "cpu"
    labels = ["quiet", "loud"]
    tasks = ()
    min_duration_s = 0.1

    def __init__(self, sample_rate_hz: int = RATE_HZ, checksum: str = "0") -> None:
        self.sample_rate_hz = sample_rate_hz
        members = {"fold_1": checksum}
        self.model_info = {"members": members, "network_sha256": "0"}
        self.model_info["trim_silence_db"] = None
        self.batches: list[tuple[int, ...]] = []

    def parameters(self):
        return iter(())

    def load_audio(self, path):
        wav = read_audio(path, self.sample_rate_hz)
        check_wav(wav, self.sample_rate_hz, str(path), self.min_duration_s)
        return wav

    def classify_batch(self, wavs, wav_lens, names=None):
        out_prob = self.answer_batch(wavs, wav_lens, names)
        score, index = out_prob.max(dim=1)
        return out_prob, score, index, [self.labels[i] for i in index]

    def answer_batch(self, wavs, wav_lens, names=None):
        self.batches.append(tuple(wavs.shape))
        counts = (wav_lens * wavs.shape[1]).round().long().tolist()
        pairs = zip(wavs, counts, strict=True)
        rms = torch.stack([wav[:n].square().mean().sqrt() for wav, n in pairs])
        return torch.stack([1 - rms, rms], dim=1)

    def stream(self, blocks, *options):
        return stream(self, blocks, *options)


def square_wave(*pieces: tuple[float, float], rate_hz: int = RATE_HZ) -> np.ndarray:
    """Concatenate square waves of (seconds, amplitude); amplitude 0 is silence."""
    waves = []
    for duration_s, amplitude in pieces:
        signs = 1 - 2 * (np.arange(round(duration_s * rate_hz)) % 2)
        waves.append(amplitude * signs)
    return np.concatenate(waves).astype(np.float32)


def write_wave(path: Path, *pieces: tuple[float, float], rate_hz: int = RATE_HZ):
    """Write a square wave to a file, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, square_wave(*pieces, rate_hz=rate_hz), rate_hz)
    return path


def windows_of(wav, window_s=2.0, hop_s=1.0, **options):
    recognizer = StubRecognizer()
    return list(stream(recognizer, [wav], RATE_HZ, window_s, hop_s, **options))


def spans(windows_or_segments):
    return [(span.start_s, span.end_s) for span in windows_or_segments]


def p_loud(windows):
    return [None if w.label is None else w.probabilities[1] for w in windows]


def in_blocks(wav, n):
    return (wav[start : start + n] for start in range(0, len(wav), n))
