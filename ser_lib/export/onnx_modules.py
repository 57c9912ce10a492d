"""Modules for unpadded input, from which ONNX graphs are exported.

Masks would make the shapes of a graph depend on the data. Here all utterances of a
batch have the same length. Each upstream and aggregator has a rewritten form, which
shares the weights of the original.
"""

from collections.abc import Sequence

import torch
from speechbrain.lobes.models.ECAPA_TDNN import AttentiveStatisticsPooling
from torch import nn
from torch.nn import functional as F

from ser_lib.aggregators import (
    AttentivePooling,
    EcapaTdnn,
    MeanPooling,
    ProjectedMean,
    StatisticsPooling,
)
from ser_lib.upstreams import (
    ApcUpstream,
    CpcUpstream,
    DeloresUpstream,
    Emotion2VecUpstream,
    FbankUpstream,
    HuggingFaceUpstream,
    MockingjayUpstream,
    Wav2VecUpstream,
    WhisperUpstream,
)
from ser_lib.upstreams.audio_ntt import MEL_HOP_SAMPLES


class _PowerSpectrum(nn.Module):
    """The power spectrum of a short-time Fourier transform, as a convolution.

    The Fourier transform of onnxruntime is off by about 0.007 dB.
    """

    def __init__(self, window: torch.Tensor, hop_samples: int) -> None:
        super().__init__()
        n_fft, self.hop_samples = len(window), hop_samples
        times, bins = torch.arange(n_fft), torch.arange(n_fft // 2 + 1)[:, None]
        angles = 2 * torch.pi * (bins * times % n_fft).double() / n_fft
        kernels = torch.cat([angles.cos(), -angles.sin()]) * window
        self.register_buffer("kernels", kernels.float()[:, None])

    def forward(self, wavs: torch.Tensor, pad_mode: str) -> torch.Tensor:
        """Transform (batch, samples) to (batch, time, bins), windows centred."""
        half = self.kernels.shape[-1] // 2
        wavs = F.pad(wavs, (half, half), mode=pad_mode)[:, None]
        parts = F.conv1d(wavs, self.kernels, stride=self.hop_samples)
        real, imaginary = parts.transpose(1, 2).chunk(2, dim=-1)
        return real.square() + imaginary.square()


class _UnpaddedFbank(nn.Module):
    def __init__(self, upstream: FbankUpstream) -> None:
        super().__init__()
        stft, self.bank = upstream.fbank.compute_STFT, upstream.fbank.compute_fbanks
        assert stft.win_length == stft.n_fft, "expected a window as long as the FFT"
        self.spectrum = _PowerSpectrum(stft.window, stft.hop_length)

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        return self.bank(self.spectrum(wavs, "constant"))


class _UnpaddedEncoder(nn.Module):
    def __init__(self, upstream: HuggingFaceUpstream) -> None:
        super().__init__()
        self.model, self.normalize_wav = upstream.model, upstream.normalize_wav
        self.layer_mix = upstream.layer_mix

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        if self.normalize_wav:
            wavs = wavs - wavs.mean(1, keepdim=True)
            wavs = wavs / torch.sqrt(wavs.square().mean(1, keepdim=True) + 1e-7)
        if self.layer_mix is None:
            return self.model(wavs).last_hidden_state
        states = self.model(wavs, output_hidden_states=True).hidden_states
        return self.layer_mix(torch.stack(states))


class _UnpaddedNetwork(nn.Module):
    """The original network: with no padding, its masks are true everywhere."""

    def __init__(self, upstream: Wav2VecUpstream | Emotion2VecUpstream) -> None:
        super().__init__()
        self.network, self.layer_mix = upstream.network, upstream.layer_mix

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        n_samples = torch.ones_like(wavs[:, 0], dtype=torch.long) * wavs.shape[1]
        states, _ = self.network(wavs, n_samples)
        return _one_layer(states, self.layer_mix)


class _UnpaddedDelores(nn.Module):
    def __init__(self, upstream: DeloresUpstream) -> None:
        super().__init__()
        network, self.layer_mix = upstream.network, upstream.layer_mix
        self.spectrum = _PowerSpectrum(network.log_mel.window, MEL_HOP_SAMPLES)
        self.register_buffer("filters", network.log_mel.filters)
        self.features, self.fc = network.features, network.fc

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        mels = self.spectrum(wavs, "reflect") @ self.filters
        log_mels = torch.log(mels + torch.finfo(torch.float32).eps)
        x = self.features(log_mels.transpose(1, 2)[:, None])
        first = self.fc[:2](x.permute(0, 3, 2, 1).flatten(2))
        return _one_layer([first, self.fc[2:](first)], self.layer_mix)


class _UnpaddedWhisper(nn.Module):
    """For up to 30 s: longer audio would have to be cut into pieces."""

    def __init__(self, upstream: WhisperUpstream) -> None:
        super().__init__()
        self.network, self.layer_mix = upstream.network, upstream.layer_mix
        log_mel = upstream.network.log_mel
        self.spectrum = _PowerSpectrum(log_mel.window, log_mel.hop_samples)

    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        log_mel = self.network.log_mel
        mels = self.spectrum(wavs, "reflect")[:, :-1] @ log_mel.filters
        states, _ = self.network.encode(log_mel.scaled(mels), None)
        return _one_layer(states, self.layer_mix)


def _one_layer(
    states: Sequence[torch.Tensor], layer_mix: nn.Module | None
) -> torch.Tensor:
    return states[-1] if layer_mix is None else layer_mix(torch.stack(list(states)))


class _UnpaddedMean(nn.Module):
    def __init__(self, aggregator: MeanPooling) -> None:
        super().__init__()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.mean(1)


class _UnpaddedProjectedMean(nn.Module):
    def __init__(self, aggregator: ProjectedMean) -> None:
        super().__init__()
        self.projection = aggregator.projection

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.projection(frames.mean(1))


class _UnpaddedStatistics(nn.Module):
    def __init__(self, aggregator: StatisticsPooling) -> None:
        super().__init__()
        self.register_buffer("center", aggregator.center)
        self.register_buffer("scale", aggregator.scale)
        self.hidden = aggregator.hidden

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        mean = frames.mean(1)
        variance = (frames - mean[:, None]).square().mean(1)
        pooled = torch.cat([mean, (variance + 1e-8).sqrt()], dim=-1)
        return self.hidden((pooled - self.center) / self.scale)


class _UnpaddedAttentive(nn.Module):
    def __init__(self, aggregator: AttentivePooling) -> None:
        super().__init__()
        self.asp = aggregator.asp

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return _pool(self.asp, frames.transpose(1, 2)).squeeze(-1)


class _UnpaddedEcapa(nn.Module):
    """The forward pass of SpeechBrain's ECAPA-TDNN without its masks."""

    def __init__(self, aggregator: EcapaTdnn) -> None:
        super().__init__()
        self.input_norm, self.ecapa = aggregator.input_norm, aggregator.ecapa
        self.batch_norm, self.stem = aggregator.batch_norm, aggregator.stem

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        x = frames.transpose(1, 2)  # (batch, channels, time)
        if self.input_norm == "batch":
            x = self.batch_norm(x)
        elif self.input_norm == "sentence":
            x = x - x.mean(2, keepdim=True)
        if self.stem is not None:
            x = self.stem.filter(x.transpose(1, 2)).transpose(1, 2)
        outputs = []
        for block in self.ecapa.blocks:
            x = block(x)
            outputs.append(x)
        x = self.ecapa.mfa(torch.cat(outputs[1:], dim=1))
        x = self.ecapa.asp_bn(_pool(self.ecapa.asp, x))
        return self.ecapa.fc(x).squeeze(-1)


def _pool(asp: AttentiveStatisticsPooling, x: torch.Tensor) -> torch.Tensor:
    """Attentive mean and standard deviation over time: (batch, 2 * channels, 1)."""
    mean = x.mean(2, keepdim=True)
    std = (x - mean).square().mean(2, keepdim=True).clamp(asp.eps).sqrt()
    context = torch.cat([x, mean.expand_as(x), std.expand_as(x)], dim=1)
    attention = asp.conv(asp.tanh(asp.tdnn(context))).softmax(2)
    mean = (attention * x).sum(2, keepdim=True)
    variance = (attention * (x - mean).square()).sum(2, keepdim=True)
    return torch.cat([mean, variance.clamp(asp.eps).sqrt()], dim=1)


_FORMS = {
    FbankUpstream: _UnpaddedFbank,
    HuggingFaceUpstream: _UnpaddedEncoder,
    Wav2VecUpstream: _UnpaddedNetwork,
    Emotion2VecUpstream: _UnpaddedNetwork,
    DeloresUpstream: _UnpaddedDelores,
    WhisperUpstream: _UnpaddedWhisper,
    AttentivePooling: _UnpaddedAttentive,
    MeanPooling: _UnpaddedMean,
    ProjectedMean: _UnpaddedProjectedMean,
    StatisticsPooling: _UnpaddedStatistics,
    EcapaTdnn: _UnpaddedEcapa,
}
_RECURRENT = "its recurrent layers would be unrolled to one fixed length"
_REASONS = {
    ApcUpstream: _RECURRENT,
    CpcUpstream: _RECURRENT,
    MockingjayUpstream: "it splits long utterances into pieces",
}


def unpadded(module: nn.Module) -> nn.Module:
    """Return the form of an upstream or aggregator for input without padding.

    Arguments
    ---------
    module : nn.Module
        An upstream or aggregator; the result shares its weights.

    Returns
    -------
    nn.Module
        For an upstream (batch, samples) -> (batch, time, dim); for an aggregator
        (batch, time, dim) -> (batch, size).

    Raises
    ------
    TypeError
        If it has no such form.
    """
    kind = type(module)
    if kind not in _FORMS:
        reason = f" ({_REASONS[kind]})" if kind in _REASONS else ""
        raise TypeError(
            f"{kind.__name__} has no form for unpadded input{reason}, so it cannot be "
            f"exported to ONNX. These can: {[k.__name__ for k in _FORMS]}."
        )
    return _FORMS[kind](module)
