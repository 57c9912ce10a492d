"""Log mel filter banks: the upstream without pre-training (Morais et al., row 9)."""

import torch
from speechbrain.lobes.features import Fbank
from torch import nn

from ser_lib.upstreams.frames import Frames, sample_counts


class FbankUpstream(nn.Module):
    """SpeechBrain's log mel filter bank (in decibels) as an upstream.

    Example
    -------
    >>> upstream = FbankUpstream(n_mels=40, hop_ms=20)
    >>> frames = upstream(torch.randn(2, 16000), torch.tensor([1.0, 0.5]))
    >>> frames.values.shape, frames.counts
    (torch.Size([2, 51, 40]), tensor([51, 26]))
    """

    reads = "wav"
    frozen = False  # cheaper to compute than to read, and computed before augmentation
    min_samples = 1

    def __init__(
        self,
        sample_rate_hz: int = 16000,
        n_mels: int = 80,
        hop_ms: float = 10,
        window_ms: float = 25,
    ) -> None:
        super().__init__()
        # On "meta", PyTorch would import its compiler for the window: seconds.
        with torch.device("cpu"):
            self.fbank = Fbank(
                sample_rate=sample_rate_hz,
                n_mels=n_mels,
                hop_length=hop_ms,
                win_length=window_ms,
                n_fft=round(sample_rate_hz * window_ms / 1000),
            )
        self.dim = n_mels
        self.hop_samples = round(sample_rate_hz * hop_ms / 1000)

    def forward(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> Frames:
        """Compute the filter bank of each utterance.

        Arguments
        ---------
        wavs : (batch, samples) torch.Tensor
            Padded waveforms.
        wav_lens : (batch,) torch.Tensor
            Lengths as fractions of the padded length.

        Returns
        -------
        Frames
            ``(batch, time, n_mels)``; the transform is centred, so ``n`` samples
            give ``n // hop_samples + 1`` frames.
        """
        n_samples = sample_counts(wavs, wav_lens)
        inside = torch.arange(wavs.shape[1], device=wavs.device) < n_samples[:, None]
        # Decibels are relative to the utterance's peak, so the padding must be silent.
        with torch.autocast(wavs.device.type, enabled=False):
            values = self.fbank((wavs * inside).float())
        return Frames(values, n_samples // self.hop_samples + 1)
